"""The groups of latents during training: the assignment, its loss, and the complexity of each group.

The assignment A (D, K+1) is a softmax over groups, its column 0 nuisance. With I_de = I(z_d; z_e) it descends

    (1/D) sum_{d != e} (price_de - I_de) (A A^T)_de        price_de = price + resolution * s_d s_e / sum_d s_d,   s_d = sum_e I_de

over latents that are in use: those with 0.1 nats or more. A latent that carries nothing pays no price, else many of them
would fill every group, and latents in use would have no separate group to go to.

(A A^T)_de is the probability that d and e share a group. So latents are united where they share more than the price, and nothing
else has to keep the groups apart. The second part of the price is the null model of the modularity of networks (Newman 2006,
doi:10.1073/pnas.0601602103, Eq. 2): what d and e would share if all information were spread by how much each latent shares in
sum. It makes the price relative, for on images every pair of latents shares something.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines.find_blocks import pairwise_information
from disbench.baselines.gaussian import Posterior
from disbench.mine_vae.attention import entropy
from disbench.mine_vae.partition import cross_information

IN_USE = 0.1  # nats of a latent that counts


class GroupAttention(nn.Module):
    """Attention of D latents, the queries, to K + 1 groups, the keys: logits[d, k] = q_d . t_k / sqrt(attention_dim).

    learned=False: no logits; the latents are cut, in their order, into K blocks of equal size, and nuisance is empty.
    spread: deviation of the first logits. Nearly equal ones let the information decide the groups, and not the first draw.
    """

    blocks: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        num_factors: int = 10,
        attention_dim: int = 128,
        learned: bool = True,
        spread: float = 0.3,
    ) -> None:
        super().__init__()
        self.learned = learned
        if learned:
            self.queries = nn.Parameter(spread * torch.randn(latent_dim, attention_dim))
            self.tokens = nn.Parameter(torch.randn(num_factors + 1, attention_dim))
        else:
            block = 1 + torch.arange(latent_dim) * num_factors // latent_dim
            self.register_buffer("blocks", functional.one_hot(block, num_factors + 1).float())

    def logits(self) -> Tensor:
        """(D, K+1), column 0 the nuisance group."""
        return self.queries @ self.tokens.T / math.sqrt(self.queries.shape[1])

    def assignment(self) -> Tensor:
        """(D, K+1): A[d, k], the probability that latent d belongs to group k; rows sum to 1."""
        return self.logits().softmax(dim=1) if self.learned else self.blocks

    def mirrored(self) -> Tensor:
        """(D, K+1): A, whose gradient goes to the logits as it is, without the softmax's derivative.

        A step is then one of exponentiated gradient descent, up to the optimizer's scale. By the softmax's derivative a latent
        with nearly one group would have no gradient left, and stay where it is when its partners have moved.
        """
        if not self.learned:
            return self.blocks
        logits = self.logits()
        return logits.softmax(dim=1).detach() + logits - logits.detach()

    def groups(self) -> Tensor:
        """(D,): the group of each latent that has its largest probability, 0 for nuisance."""
        return self.assignment().argmax(1)


def group_complexities(q: Posterior, filled: Tensor, member: Tensor) -> Tensor:
    """Bound the information of each group of latents by a Gaussian fit, in nats.

    Parameters
    ----------
    q : Posterior
        Means and log-variances (S, D) of recent images.
    filled : Tensor of shape (S, 1), bool
        Which rows count.
    member : Tensor of shape (G, D)
        1 where a latent is in a group, else 0.

    Returns
    -------
    Tensor of shape (G,)
        R_g = 1/2 logdet(I + N^-1/2 C_g N^-1/2), with C_g the covariance of the means in the group and N the mean variances of
        the posteriors: what a Gaussian source with that covariance tells through that noise. A Gaussian has the largest
        entropy for its covariance, so it is an upper bound of I(z_g; image) for posteriors of constant width.

    References
    ----------
    Cover and Thomas 2006, Elements of Information Theory, section 9.5

    Examples
    --------
    One latent has the signal 1 and the noise 1, which is half of log 2 nats; the other one has no signal.

    >>> import torch
    >>> from disbench.baselines.gaussian import Posterior
    >>> from disbench.mine_vae.grouping import group_complexities
    >>> q = Posterior(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 2))
    >>> group_complexities(q, torch.ones(2, 1, dtype=torch.bool), torch.eye(2))
    tensor([0.3466, 0.0000])
    """
    count = filled.sum().clamp(min=1)
    mean = torch.where(filled, q.mean, 0).sum(0) / count
    noise = torch.where(filled, q.logvar.exp(), 0).sum(0) / count
    scaled = torch.where(filled, q.mean - mean, 0) / noise.clamp(min=1e-12).sqrt()
    covariance = scaled.T @ scaled / count
    masked = member[:, :, None] * covariance * member[:, None, :]
    return 0.5 * torch.logdet(masked + torch.eye(len(covariance), dtype=masked.dtype, device=masked.device))


def prices(information: Tensor, price: float, resolution: float) -> Tensor:
    """Compute the price of each pair of latents, (D, D), in nats, from their information (D, D) with a zero diagonal."""
    strength = information.sum(1)
    return price + resolution * torch.outer(strength, strength) / strength.sum().clamp(min=1e-12)


@torch.no_grad()
def pairs_in_use(q: Posterior, filled: Tensor) -> Tensor:
    """Find the pairs of latents, (D, D), whose posteriors (S, D) both have IN_USE nats or more: 1, else 0."""
    count = filled.sum().clamp(min=1)
    nats = torch.where(filled, 0.5 * (q.mean.square() + q.logvar.exp() - 1 - q.logvar), 0).sum(0) / count
    used = (nats >= IN_USE).to(nats.dtype)
    return torch.outer(used, used)


@torch.no_grad()
def read_pairs(q: Posterior, filled: Tensor) -> Tensor:
    """Estimate I(z_d; z_e) of draws from the posteriors (S, D), (D, D) in nats with a zero diagonal, by polynomials of ranks.

    Draws and not means: a latent that carries nothing has means that move a little, and their ranks may depend on others'.
    """
    information = pairwise_information(q.sample(), filled, filled.sum())
    return information * (1 - torch.eye(len(information), dtype=information.dtype, device=information.device))


def priced_loss(
    information: Tensor,
    in_use: Tensor,
    attention: GroupAttention,
    price: float,
    resolution: float,
    attention_reg_weight: float,
    entropy_reg_weight: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute what the assignment descends, a scalar in nats per latent, and its parts.

    Parameters
    ----------
    information : Tensor of shape (D, D)
        Information of each pair of latents in nats, with a zero diagonal.
    in_use : Tensor of shape (D, D)
        1 for pairs that count, else 0.
    attention : GroupAttention
        A learned one. Its assignment has a gradient, by `GroupAttention.mirrored`.
    price, resolution : float
        As in `prices`.
    attention_reg_weight, entropy_reg_weight : float
        Weights of the mean squared logit and of the mean entropy of an assignment.

    Returns
    -------
    Tensor
        The loss.
    dict of str to Tensor
        "cross", the nats that a latent shares with those of other groups, "entropy" and "squares".
    """
    latents, information = len(information), information * in_use
    priced = prices(information, price, resolution)
    exceeding = information - priced * in_use * (1 - torch.eye(latents, dtype=priced.dtype, device=priced.device))
    terms = {
        "cross": cross_information(information, attention.assignment(), latents),
        "entropy": entropy(attention.assignment()),
        "squares": attention.logits().square().mean(),
    }
    loss = cross_information(exceeding, attention.mirrored(), latents)
    return loss + attention_reg_weight * terms["squares"] + entropy_reg_weight * terms["entropy"], terms
