"""Total correlation by a critic that learns from samples of z alone, and the choice of an estimator by its name.

TC = KL(q(z) || prod_d q(z_d)). Samples of the joint distribution J are draws z ~ q(z), samples of the product P are the same
draws with every latent permuted over the minibatch (Kim & Mnih 2018, arXiv:1802.05983v3, Algorithm 2). Any bound of a KL
divergence between J and P is then one of TC. All values are nats; T(z) is the critic.

    name      value, minimized by the encoder             the critic           the value is
    mine      E_J[T] - log E_P[exp T]                     ascends the value    a lower bound of TC
    nwj       1 + E_J[T] - E_P[exp T]                     ascends the value    a lower bound of TC
    infonce   E_J[T - log mean exp T over z and all B     ascends the value    a lower bound of TC,
              permuted rows]                                                   at most log(1 + B)
    smile     E_J[T] - log E_P[exp clamp(T, -c, c)]       logistic loss        no bound
    ratio     E_J[T]                                      logistic loss        no bound
    club      sum_d E_J[log r(z_d | z_<d)]                likelihood of r      an upper bound of TC if r fits
                    - E_P[log r(z_d | z_<d)]

Sources: Belghazi et al. 2018 (arXiv:1801.04062v5, Eq. 5 and 12), Nguyen, Wainwright & Jordan and InfoNCE as in Poole et al. 2019
(arXiv:1905.06922v1), Song & Ermon 2020 (arXiv:1910.06222v2), FactorVAE's Eq. 3 for `ratio`; see `mine`.

InfoNCE is a bound of mutual information of pairs. It needs no pairs here, because its proof holds for one draw of J among S
draws of P, whatever these two distributions are: exp T / mean exp T has the mean 1 under P, where all 1 + S draws are alike.

CLUB is a bound of mutual information of pairs, too, and TC is a sum of these: TC = sum_d I(z_d; z_<d), with z_<d the latents
before d (Bai et al. 2023, arXiv:2011.04794, the line-like decomposition). r(z_d | z_<d) is a learned Gaussian. With the exact
conditional the value is sum_d KL(J_d || P_d) + KL(P_d || J_d), J_d being the joint distribution of z_d and z_<d and P_d their
product. It is above TC unless TC is 0, and it depends on the order of the latents.

The gradient reaches the encoder through all z in the value, permuted or not; the critic's weights stand still. At the best
critic `mine`, `nwj`, `smile` and `ratio` have the gradient of TC. With a lower bound, encoder and critic play a minimax game: a
critic that lags makes the penalty too small. `mine_vae.marginals` has an upper bound, which encoder and critic both minimize.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines.factor_vae import permute_latents
from disbench.baselines.gaussian import Posterior, log_normal
from disbench.mine_vae.audit import Audit, audit_marginals, audit_pairs
from disbench.mine_vae.marginals import MarginalCritics
from disbench.mine_vae.mine import BOUNDS, BatchedLinear, MutualInformationEstimator

TC_ESTIMATORS = ("marginal", *BOUNDS, "club")


def permute_groups(z: Tensor, group: Tensor) -> Tensor:
    """Permute the rows of z (B, D), those of one group together: samples of the product of the groups' distributions.

    Parameters
    ----------
    z : Tensor of shape (B, D)
        Draws from the joint distribution.
    group : Tensor of shape (D,), integer
        The group of each latent, from 0 to D.

    Returns
    -------
    Tensor of shape (B, D)
        The latents of one group are taken from one row of z, those of another group from an unrelated row.

    Examples
    --------
    >>> import torch
    >>> from disbench.mine_vae.total_correlation import permute_groups
    >>> z = torch.arange(5.0)[:, None].expand(5, 3)
    >>> first, second, third = permute_groups(z, torch.tensor([1, 2, 1])).T
    >>> bool((first == third).all()), sorted(second.tolist())
    (True, [0.0, 1.0, 2.0, 3.0, 4.0])
    """
    order = torch.rand(z.shape[1] + 1, len(z), device=z.device).argsort(1)  # a permutation for each number of a group
    return z.gather(0, order[group].T)


def with_permuted(z: Tensor, copies: int = 1, group: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Make samples of the joint distribution and of the product of the marginals, (1, B, D) and (1, copies B, D), of z (B, D).

    The marginals are those of the latents, or of the groups of latents if `group` (D,) is given.
    """
    permuted = [permute_latents(z) if group is None else permute_groups(z, group) for _ in range(copies)]
    return z[None], torch.cat(permuted)[None]


class TotalCorrelationCritic(MutualInformationEstimator):
    """T(z) as a perceptron, with the bounds, losses and moving average of the critic of pairs.

    The first argument of each function is z (1, B, D), the second the same draws permuted `shifts` times (1, shifts B, D), as
    `with_permuted` makes them.
    """

    def __init__(self, latent_dim: int, **options: Any) -> None:
        super().__init__(latent_dim, 1, **options)

    def scores(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Compute T of z (1, B) and of the permuted draws (1, S, B): column i has what z_i is compared with.

        For InfoNCE these are all of them, S = shifts B, else S = shifts.
        """
        joint, product = super().scores(x, y)
        if self.bound == "infonce":
            product = product.flatten(1)[..., None].expand(-1, -1, joint.shape[1])
        return joint, product

    def _table(self, x: Tensor, y: Tensor, shifts: int) -> Tensor:
        rows = torch.cat([x, y[:, : shifts * x.shape[1]]], dim=1)
        constant = rows.new_ones(*rows.shape[:2], 1)  # there is no second variable: its weights are one more bias
        found: Tensor = super()._table(rows, constant, 0)[:, 0].unflatten(1, (shifts + 1, -1))
        return found


class PermutedCritic(nn.Module):
    """An estimator of total correlation by a `TotalCorrelationCritic`, which makes its permutations."""

    def __init__(self, latent_dim: int, *, bound: str, hidden_dim: int = 128) -> None:
        super().__init__()
        self.critic = TotalCorrelationCritic(latent_dim, bound=bound, hidden_dim=hidden_dim, shifts=1)

    def estimate(self, z: Tensor, group: Tensor | None = None) -> Tensor:
        """Estimate TC, or that of the groups (D,), a scalar in nats, of draws z (B, D), with a gradient to z."""
        return self.critic.estimate(*with_permuted(z, group=group))[0]

    def critic_loss(self, z: Tensor, group: Tensor | None = None) -> Tensor:
        """Compute what the critic descends."""
        return self.critic.critic_loss(*with_permuted(z, group=group))


def contrast(y: Tensor, q: Posterior) -> Tensor:
    """Compute the mean log density of each y given the x in its row minus that given the x of all rows, summed over columns.

    y (..., B, D) and q(y|x), whose mean and log variance are (..., B, D), give (...,) nats. It is CLUB with all B^2 pairs
    (Cheng et al. 2020, arXiv:2006.12013v6, Eq. 13) for a Gaussian: log variances cancel, and the mean over y_j of (y_j - m_i)^2
    has a closed form.
    """
    centre, variance = y.mean(-2, keepdim=True), y.var(-2, correction=0, keepdim=True)
    apart = (centre - q.mean).square() + variance - (y - q.mean).square()
    return 0.5 * (apart * torch.exp(-q.logvar)).sum(-1).mean(-1)


def bounded_posterior(mean: Tensor, logvar: Tensor) -> Posterior:
    """Make a Gaussian whose log variances are within (-6, 6), so that no pair decides the contrast alone."""
    return Posterior(mean, 6 * torch.tanh(logvar / 6))


class SequentialCLUB(nn.Module):
    """An estimator of total correlation as the sum of CLUB's values of I(z_d; z_<d), over latents d in their order.

    Each r(z_d | z_<d) is a Gaussian whose mean and variance are a perceptron of the latents before d.
    """

    mask: Tensor

    def __init__(self, latent_dim: int, *, hidden_dim: int = 64) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(latent_dim, latent_dim).tril(-1), persistent=False)
        self.hidden = BatchedLinear(latent_dim, latent_dim, hidden_dim)
        self.score = BatchedLinear(latent_dim, hidden_dim, 2)

    def conditionals(self, z: Tensor) -> Posterior:
        """Compute r(z_d | z_<d) of each latent and row of z (B, D), (D, B, 1)."""
        before = z[None] * self.mask[:, None]  # (D, B, D)
        mean, logvar = self.score(functional.relu(self.hidden(before))).chunk(2, dim=-1)
        return bounded_posterior(mean, logvar)

    def estimate(self, z: Tensor) -> Tensor:
        """Estimate an upper bound of TC, a scalar in nats, of draws z (B, D), with a gradient to z."""
        return contrast(z.T[..., None], self.conditionals(z)).sum()

    def critic_loss(self, z: Tensor) -> Tensor:
        """Minus the mean log-likelihood of z, summed over latents."""
        return -log_normal(z.T[..., None], *self.conditionals(z)).mean(1).sum()


def make_estimator(name: str, latent_dim: int, hidden_dim: int) -> MarginalCritics | PermutedCritic | SequentialCLUB:
    """Make one of TC_ESTIMATORS. `hidden_dim` is the width of the critic; "marginal" has its own."""
    if name == "marginal":
        return MarginalCritics(latent_dim)
    if name == "club":
        return SequentialCLUB(latent_dim, hidden_dim=hidden_dim)
    if name not in TC_ESTIMATORS:
        raise ValueError(f"tc_estimator must be one of {', '.join(TC_ESTIMATORS)}, got {name!r}.")
    return PermutedCritic(latent_dim, bound=name, hidden_dim=hidden_dim)


def audit_estimator(
    critics: MarginalCritics | PermutedCritic | SequentialCLUB,
    draw: Callable[[], Posterior],
    steps: int,
    group: Tensor | None = None,
) -> dict[str, Audit]:
    """Audit an estimator, of latents or of groups (D,). Its name in the curves is the key; `draw()` gives fresh posteriors.

    CLUB has no audit: its value does not fall as r fits better, so that no other critic's value shows how good it is.
    """
    if isinstance(critics, SequentialCLUB):
        return {}
    last = draw()
    if isinstance(critics, MarginalCritics):
        return {"marginals": audit_marginals(critics, draw, (last.sample(), last), steps=steps)}
    permuted = permute_latents if group is None else partial(permute_groups, group=group)
    audit = audit_pairs(
        critics.critic,
        lambda: with_permuted(draw().sample(), group=group),
        with_permuted(last.sample(), group=group),
        independent=lambda: with_permuted(permuted(draw().sample()), group=group),
        steps=steps,
    )
    return {"total_correlation": audit}
