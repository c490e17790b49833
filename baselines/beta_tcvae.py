"""beta-TCVAE: decompose the KL term and weight its total correlation by beta.

Chen et al. 2018, arXiv:1802.04942v5, Eq. 2 (the decomposition) and Eq. 4 (the loss, alpha = gamma = 1):

    E_x KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_d q(z_d)) + sum_d KL(q(z_d) || p(z_d))

q(z) is a mixture over all N training images, and a minibatch sees B of them. Two estimators of log q(z_i):

    mss  minibatch stratified sampling (appendix C.2): the image that z_i came from stands for itself, 1/N, and the
         others share the rest, (N-1)/(N(B-1)) each. Averaged over all minibatches that hold i, it is q(z_i) exactly.
         The self-weight belongs on the diagonal. Put in a fixed column instead, as several public copies do, it
         gives a nearly uniform average that overstates q(z_i).
    mws  minibatch weighted sampling (Eq. 3): 1/(NB) everywhere; a biased value, the same gradient as plain averaging.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, log_density_per_latent, log_normal
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.vae import VAE, ShellOptions


class KLTerms(NamedTuple):
    """Hold the three terms of the KL divergence, scalars in nats per image.

    Their sum is the sampled KL, log q(z|x) - log p(z).
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise_kl: Tensor


def log_batch_weights(batch: int, n_train: int, estimator: str, like: Tensor) -> Tensor:
    """Compute the log weights of a minibatch that estimate the density of the aggregate posterior.

    Parameters
    ----------
    batch : int
        Number of images B in the minibatch, at least 2.
    n_train : int
        Number of training images N, at least B.
    estimator : {"mss", "mws"}
        Minibatch stratified or weighted sampling.
    like : Tensor
        A tensor with the device and the type of the result.

    Returns
    -------
    Tensor of shape (B, B)
        [i, j] is the log weight of q(z_i | x_j).

    Raises
    ------
    ValueError
        If the sizes or the estimator are wrong.

    References
    ----------
    Chen et al. 2018, arXiv:1802.04942v5, appendix C.2 (mss) and Eq. 3 (mws)

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.beta_tcvae import log_batch_weights
    >>> log_batch_weights(2, 4, "mss", torch.zeros(())).exp()
    tensor([[0.2500, 0.7500],
            [0.7500, 0.2500]])
    """
    if not 1 < batch <= n_train:
        raise ValueError(f"Minibatch densities need 1 < batch <= n_train, got batch={batch}, n_train={n_train}.")
    if estimator == "mws":
        return torch.full((batch, batch), -math.log(n_train * batch), dtype=like.dtype, device=like.device)
    if estimator == "mss":
        others = math.log((n_train - 1) / (n_train * (batch - 1)))
        weights = torch.full((batch, batch), others, dtype=like.dtype, device=like.device)
        return weights.fill_diagonal_(-math.log(n_train))
    raise ValueError(f"estimator must be 'mss' or 'mws', got {estimator!r}.")


class MinibatchDensities(NamedTuple):
    """Hold log densities of B draws, in nats.

    Parameters
    ----------
    per_latent : Tensor of shape (B, B, D)
        [i, j, d] is log q(z_id | x_j).
    weights : Tensor of shape (B, B)
        Log weights of q(z_i | x_j) in the estimate of q(z_i).
    log_q_given_x, log_q, log_q_product, log_prior : Tensor of shape (B,)
        log q(z_i | x_i), the estimates of log q(z_i) and of sum_d log q(z_id), and log p(z_i).
    """

    per_latent: Tensor
    weights: Tensor
    log_q_given_x: Tensor
    log_q: Tensor
    log_q_product: Tensor
    log_prior: Tensor


def minibatch_densities(z: Tensor, q: Posterior, n_train: int, estimator: str = "mss") -> MinibatchDensities:
    """Estimate the densities that the terms of a KL divergence are made of; the parameters are those of `kl_terms`."""
    per_latent = log_density_per_latent(z, q)
    joint = per_latent.sum(2)  # (B, B)
    weights = log_batch_weights(len(z), n_train, estimator, z)
    log_q_given_x = joint.diagonal()
    log_q = torch.logsumexp(joint + weights, dim=1)
    log_q_product = torch.logsumexp(per_latent + weights[..., None], dim=1).sum(1)
    log_prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return MinibatchDensities(per_latent, weights, log_q_given_x, log_q, log_q_product, log_prior)


def kl_terms(z: Tensor, q: Posterior, n_train: int, estimator: str = "mss") -> KLTerms:
    """Estimate the three terms of the KL divergence from a minibatch.

    Parameters
    ----------
    z : Tensor of shape (B, D)
        One draw from each posterior.
    q : Posterior
        Posteriors of the B images.
    n_train : int
        Number of training images, at least B.
    estimator : {"mss", "mws"}, default "mss"
        Minibatch stratified or weighted sampling.

    Returns
    -------
    KLTerms
        Mutual information, total correlation and dimension-wise KL, in nats per image.

    References
    ----------
    Chen et al. 2018, arXiv:1802.04942v5, Eq. 2

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.beta_tcvae import kl_terms
    >>> from disbench.baselines.gaussian import Posterior
    >>> prior = Posterior(torch.zeros(4, 2), torch.zeros(4, 2))
    >>> bool(torch.allclose(torch.stack(kl_terms(torch.randn(4, 2), prior, n_train=4)), torch.zeros(3), atol=1e-5))
    True
    """
    found = minibatch_densities(z, q, n_train, estimator)
    return KLTerms(
        (found.log_q_given_x - found.log_q).mean(),
        (found.log_q - found.log_q_product).mean(),
        (found.log_q_product - found.log_prior).mean(),
    )


class BetaTCVAE(VAE):
    """Train a VAE whose loss weighs the total correlation of the latents.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 6.0
        Weight of the total correlation. 1 is the VAE with a sampled KL divergence.
    estimator : {"mss", "mws"}, default "mss"
        As in `kl_terms`.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Chen et al. 2018, arXiv:1802.04942v5, Eq. 4
    """

    published: ClassVar[Grids] = {"any": {"beta": (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)}}

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        beta: float = 6.0,
        estimator: str = "mss",
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.beta = beta
        self.estimator = estimator

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the terms of the KL divergence; see `VAE.regulariser`."""
        terms = kl_terms(z, q, self.n_train, self.estimator)
        penalty = terms.mutual_information + self.beta * terms.total_correlation + terms.dimension_wise_kl
        return penalty, terms._asdict()
