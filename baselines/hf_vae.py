"""HFVAE: decompose the KL term by blocks of latents and weight each part separately.

Esmaeili et al. 2019, arXiv:1804.02086, as in the authors' code (probtorch/probtorch, commit da87497, objectives/marginal.py).
With latents in blocks z_g and a prior of independent latents,

    E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_g q(z_g)) + sum_g KL(q(z_g) || prod_d q(z_gd)) + sum_d KL(q(z_d) || p(z_d))

The terms are the mutual information, the total correlation between blocks and within them, and the dimension-wise KL. Densities
are estimated from the minibatch as in beta-TCVAE, which is the case of one latent in each block.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Unpack

import torch
from torch import Tensor

from disbench.baselines.beta_tcvae import minibatch_densities
from disbench.baselines.find_blocks import find_blocks
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import START, Step
from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.baselines.vae import VAE, ShellOptions

RECENT = 2048  # posteriors that blocks are found from


class BlockKLTerms(NamedTuple):
    """Hold the four terms of the KL divergence, scalars in nats per image.

    Their sum is the sampled KL, log q(z|x) - log p(z).
    """

    mutual_information: Tensor
    between_blocks: Tensor
    within_blocks: Tensor
    dimension_wise_kl: Tensor


def block_kl_terms(z: Tensor, q: Posterior, n_train: int, block: Tensor, estimator: str = "mss") -> BlockKLTerms:
    """Estimate the four terms of the KL divergence from a minibatch.

    Parameters
    ----------
    z, q, n_train, estimator
        As in `kl_terms` of `disbench.baselines.beta_tcvae`.
    block : Tensor of shape (D,), integer
        The block of each latent, from 0 to D. A number may be absent.

    Returns
    -------
    BlockKLTerms
        In nats per image.

    References
    ----------
    Esmaeili et al. 2019, arXiv:1804.02086

    Examples
    --------
    Two equal latents in one block have no total correlation between blocks:

    >>> import torch
    >>> from disbench.baselines.gaussian import Posterior
    >>> from disbench.baselines.hf_vae import block_kl_terms
    >>> mean = torch.linspace(-2, 2, 9)[:, None].expand(9, 2)
    >>> terms = block_kl_terms(mean, Posterior(mean, torch.full((9, 2), -4.0)), n_train=9, block=torch.tensor([1, 1]))
    >>> print(f"{terms.between_blocks:.2f} {terms.within_blocks:.2f}")
    0.00 2.19
    """
    found = minibatch_densities(z, q, n_train, estimator)
    images, latents = z.shape
    per_block = found.per_latent.new_zeros(images, images, latents + 1).index_add(2, block, found.per_latent)
    occupied = z.new_zeros(latents + 1).index_add(0, block, torch.ones_like(z[0])) > 0
    log_q_blocks = torch.logsumexp(per_block + found.weights[..., None], dim=1)  # (B, D + 1)
    log_q_blocks = torch.where(occupied, log_q_blocks, 0).sum(1)
    return BlockKLTerms(
        (found.log_q_given_x - found.log_q).mean(),
        (found.log_q - log_q_blocks).mean(),
        (log_q_blocks - found.log_q_product).mean(),
        (found.log_q_product - found.log_prior).mean(),
    )


def blocks_of(sizes: int | Sequence[int], latent_dim: int) -> list[int]:
    """List the block of each latent, from 1, for sizes of blocks; an int is the size of all, the last one may be smaller."""
    if isinstance(sizes, int):
        if sizes < 1:
            raise ValueError(f"blocks needs a size of at least 1, got {sizes}.")
        sizes = [min(sizes, latent_dim - start) for start in range(0, latent_dim, sizes)]
    if min(sizes, default=0) < 1 or sum(sizes) != latent_dim:
        raise ValueError(f"blocks needs sizes of at least 1 with the sum latent_dim={latent_dim}, got {list(sizes)}.")
    return [number for number, size in enumerate(sizes, 1) for _ in range(size)]


class HFVAE(VAE):
    """Train a VAE whose loss weighs the total correlation between blocks of latents and within them.

    Blocks have given sizes, or they are found during training: until then each latent is a block, as in beta-TCVAE, and then
    latents that depend on each other are one. Found blocks are in the checkpoint.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    blocks : int, sequence of int or "found", default 2
        The size of every block, of which the last may be smaller, or the sizes of the blocks, with the sum D. "found" finds them
        by `find_blocks` at the shares `find_at` of training.
    between_weight : float, default 6.0
        Weight of the total correlation between blocks.
    within_weight, mutual_information_weight, dimension_wise_weight : float, default 1.0
        Weights of the other terms. With all four at 1 it is the VAE with a sampled KL divergence.
    find_at : sequence of float, default (0.3,)
        Shares of training at which blocks are found, rising, above 0 and below 1. Given blocks do not use it.
    price : float, default 0.02
        As in `find_blocks`. Given blocks do not use it.
    estimator : {"mss", "mws"}, default "mss"
        As in `kl_terms`.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Esmaeili et al. 2019, arXiv:1804.02086
    """

    block: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        blocks: int | tuple[int, ...] | Literal["found"] = 2,
        between_weight: float = 6.0,
        within_weight: float = 1.0,
        mutual_information_weight: float = 1.0,
        dimension_wise_weight: float = 1.0,
        find_at: tuple[float, ...] = (0.3,),
        price: float = 0.02,
        estimator: str = "mss",
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        shares = (0.0, *find_at, 1.0)
        if not find_at or any(share >= following for share, following in pairwise(shares)):
            raise ValueError(f"find_at needs rising shares above 0 and below 1, got {list(find_at)}.")
        if isinstance(blocks, str) and blocks != "found":
            raise ValueError(f"blocks needs a size, a list of sizes or 'found', got {blocks!r}.")
        self.recent = None if blocks != "found" else ReplayBuffer(RECENT, 2, self.latent_dim)
        self.register_buffer("block", torch.tensor(blocks_of(1 if blocks == "found" else blocks, self.latent_dim)))
        self.weights = (mutual_information_weight, between_weight, within_weight, dimension_wise_weight)
        self.find_at = find_at
        self.price = price
        self.estimator = estimator

    def groups(self) -> Tensor:
        """List the block of each latent, (D,), numbered from 1."""
        return self.block

    def observe(self, recent: ReplayBuffer, q: Posterior, step: Step) -> None:
        """Find blocks if it is time for it, and remember the posteriors of a step."""
        if step.number in [min(step.total - 1, max(1, round(share * step.total))) for share in self.find_at]:
            found = find_blocks(Posterior(*recent.rows.unbind(1)), recent.count(), self.price)
            nuisance = found == 0  # may carry something later, so each is a separate block
            self.block.copy_(torch.where(nuisance, found.amax() + nuisance.cumsum(0), found))
        recent.add(torch.stack(q.detach(), dim=1))

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the terms of the KL divergence; see `VAE.regulariser`. In training mode blocks are found in between."""
        if self.recent is not None and self.training:
            self.observe(self.recent, q, step)
        terms = block_kl_terms(z, q, self.n_train, self.block, self.estimator)
        weighted = [weight * term for weight, term in zip(self.weights, terms, strict=True)]
        return torch.stack(weighted).sum(), terms._asdict()
