"""Tasks whose answer is known: posteriors with their total correlation, pairs of variables with their information. In nats.

Total correlation of N posteriors q(z|n) has two truths, and estimators tell them apart:

    finite       that of the mixture q(z) = 1/N sum_n q(z|n), what beta-TCVAE's loss defines; summed over all N here
    population   that of the law which the posteriors were drawn from; for Gaussian means of covariance C and a noise of
                 variance s^2 it is 1/2 (sum_d log S_dd - log det S), S = C + diag(s^2)

They part when I(z; n) nears log N: then the mixture is N islands, and an island is not a sample of a smooth density.

`width` is the number of latents in a group, 1 unless the task is one of groups. The total correlation is then that between the
groups, KL(q(z) || prod_k q(z_Gk)); what the latents of one group share does not count.

Pairs follow Czyz et al. 2023, "Beyond Normal" (arXiv:2306.11078v2): the information of Gaussian pairs is in their
correlations, that of Student pairs has a closed form, and a smooth invertible map of either side changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_t
from torch import Tensor
from torch.distributions import Chi2

from disbench.baselines.gaussian import Posterior, log_density, log_density_per_latent


@dataclass
class Encoder:
    """N posteriors, each mean times one matrix and each deviation times one scale a latent: the weights that all rows share.

    mean, logvar: (N, D). matrix (D, D) and log_scale (D,) start at identity and 0, and are what an estimate's gradient is
    taken by: like a network's weights they are moved by every row of a batch.
    """

    mean: Tensor
    logvar: Tensor
    matrix: Tensor
    log_scale: Tensor

    @classmethod
    def of(cls, q: Posterior) -> "Encoder":
        D = q.mean.shape[1]
        matrix = torch.eye(D, dtype=q.mean.dtype, device=q.mean.device)
        return cls(q.mean, q.logvar, matrix.requires_grad_(), torch.zeros_like(matrix[0]).requires_grad_())

    def __len__(self) -> int:
        return len(self.mean)

    def __call__(self, rows: Tensor) -> Posterior:
        """The posteriors of some rows, (B,) -> two tensors (B, D)."""
        return Posterior(self.mean[rows] @ self.matrix.T, self.logvar[rows] + 2 * self.log_scale)

    def everything(self) -> Posterior:
        return Posterior(self.mean @ self.matrix.T, self.logvar + 2 * self.log_scale)

    def gradient(self, value: Tensor) -> Tensor:
        """d value / d (matrix, log_scale) as one vector, (D^2 + D,)."""
        return torch.cat([part.flatten() for part in torch.autograd.grad(value, (self.matrix, self.log_scale))])


@dataclass(frozen=True)
class Draw:
    """What an estimator of total correlation may see of one minibatch: z (B, D), a draw from each of B posteriors."""

    z: Tensor
    q: Posterior
    rows: Tensor
    encoder: Encoder
    width: int = 1


@dataclass(frozen=True)
class PosteriorTask:
    """N posteriors; covariance: (D, D) of the law of their means where it is known and Gaussian."""

    name: str
    description: str
    posterior: Posterior
    covariance: Tensor | None = None
    width: int = 1

    @property
    def latent_dim(self) -> int:
        return self.posterior.mean.shape[1]

    def draw(self, batch: int, encoder: Encoder) -> Draw:
        """A minibatch of rows without repetition, and a reparameterized draw from each posterior."""
        rows = torch.randperm(len(encoder), device=encoder.mean.device)[:batch]
        return draw_rows(rows, encoder, self.width)

    def population(self, encoder: Encoder) -> Tensor | None:
        """The population truth as a function of the encoder's weights, a scalar; None where the law is unknown."""
        if self.covariance is None:
            return None
        noise = torch.diag(torch.exp(self.posterior.logvar[0] + 2 * encoder.log_scale))
        return gaussian_total_correlation(encoder.matrix @ self.covariance @ encoder.matrix.T + noise, self.width)


def draw_rows(rows: Tensor, encoder: Encoder, width: int = 1) -> Draw:
    q = encoder(rows)
    return Draw(q.sample(), q, rows, encoder, width)


def gaussian_total_correlation(covariance: Tensor, width: int = 1) -> Tensor:
    """Total correlation of N(0, covariance) between groups of `width` latents, a scalar."""
    if width == 1:
        return 0.5 * (covariance.diagonal().log().sum() - torch.logdet(covariance))
    blocks = torch.stack([covariance[at : at + width, at : at + width] for at in range(0, len(covariance), width)])
    return 0.5 * (torch.logdet(blocks).sum() - torch.logdet(covariance))


def log_densities(z: Tensor, components: Posterior, width: int) -> Tensor:
    """(B, M, K): the log density of each group of `width` latents of z (B, D) under each of M components."""
    if width == 1:
        return log_density_per_latent(z, components)
    groups = zip(*(part.split(width, dim=1) for part in (z, *components)), strict=True)
    return torch.stack([log_density(one, Posterior(mean, logvar)) for one, mean, logvar in groups], dim=2)


def log_ratios(z: Tensor, components: Posterior, log_weights: Tensor, width: int = 1) -> Tensor:
    """log q(z_i) - sum_k log q(z_iGk), (B,), for the mixture of M components with log weights that broadcast to (B, M)."""
    per_group = log_densities(z, components, width)  # (B, M, K)
    joint = torch.logsumexp(per_group.sum(2) + log_weights, dim=1)
    return joint - torch.logsumexp(per_group + log_weights[..., None], dim=1).sum(1)


def uniform(components: int, like: Tensor) -> Tensor:
    """(1, M) log weights 1/M."""
    return torch.full((1, components), -math.log(components), dtype=like.dtype, device=like.device)


def autoregressive(dims: int, rho: float, device: torch.device) -> Tensor:
    """(D, D) correlations rho^|i - j|."""
    index = torch.arange(dims, dtype=torch.get_default_dtype(), device=device)
    return torch.as_tensor(rho, dtype=index.dtype, device=device) ** (index[:, None] - index[None]).abs()


def gaussian_posteriors(
    name: str, description: str, draws: Tensor, *, latents: int, noise: float, rho: float
) -> PosteriorTask:
    """Active latents: unit variance in all, `noise` the deviation of each posterior, AR(1) correlations rho between means.

    `draws` (N, A) of a standard normal become the means of the A active latents. The others are the prior: mean 0, deviation 1.
    """
    (rows, active), device = draws.shape, draws.device
    covariance = torch.zeros(latents, latents, device=device)
    covariance[:active, :active] = (1 - noise**2) * autoregressive(active, rho, device)
    mean = torch.zeros(rows, latents, device=device)
    mean[:, :active] = draws @ torch.linalg.cholesky(covariance[:active, :active]).T
    deviation = torch.ones(latents, device=device)
    deviation[:active] = noise
    logvar = (2 * deviation.log()).expand(rows, latents).contiguous()
    return PosteriorTask(name, description, Posterior(mean, logvar), covariance)


def posterior_tasks(rows: int, rows_of_many: int, device: torch.device) -> list[PosteriorTask]:
    """From easy to saturated. `rows`: N at D <= 10, `rows_of_many`: N at D > 10, where an exhaustive sum is dear."""

    def task(name: str, description: str, *, active: int, latents: int, **law: float) -> PosteriorTask:
        draws = torch.randn(rows_of_many if latents > 10 else rows, active, device=device)
        return gaussian_posteriors(name, description, draws, latents=latents, **law)

    return [
        task("easy", "2 latents, wide posteriors: both truths agree", latents=2, active=2, noise=0.6, rho=0.8),
        task("5 active", "10 latents, 5 of them active and dependent", latents=10, active=5, noise=0.35, rho=0.6),
        task("independent", "10 latents, 5 active, all independent", latents=10, active=5, noise=0.35, rho=0.0),
        task("saturated", "10 active latents, I(z; n) = log N", latents=10, active=10, noise=0.15, rho=0.6),
        task("32 latents", "32 latents, 8 of them active and dependent", latents=32, active=8, noise=0.35, rho=0.6),
        task("128 saturated", "128 active latents, I(z; n) = log N", latents=128, active=128, noise=0.15, rho=0.4),
    ]


GROUPS = 4


def group_task(rows: int, width: int, deviation: float, rho: float, device: torch.device) -> PosteriorTask:
    """GROUPS groups of `width` latents, posteriors of one deviation; the population truth does not depend on the width.

    In each group one direction has variance 1 and a correlation of rho with those of the other groups. The other directions
    have variances down to 1/4 and are independent. A rotation within each group then makes its latents depend on each other. It
    changes nothing between the groups, because the noise of the posteriors is the same in all directions.
    """
    variances = torch.linspace(1, 0.25, width, device=device).repeat(GROUPS)
    covariance = torch.diag(variances)
    first = torch.arange(GROUPS, device=device) * width
    covariance[first[:, None], first] = rho + (1 - rho) * torch.eye(GROUPS, device=device)
    rotation = torch.block_diag(*(torch.linalg.qr(torch.randn(width, width, device=device))[0] for _ in range(GROUPS)))
    mean = torch.randn(rows, GROUPS * width, device=device) @ torch.linalg.cholesky(covariance).T @ rotation.T
    logvar = torch.full_like(mean, 2 * math.log(deviation))
    words = f"{GROUPS} groups of {width}, posterior sd {deviation:g}, correlation between groups {rho:g}"
    return PosteriorTask(
        group_setting(deviation, rho), words, Posterior(mean, logvar), rotation @ covariance @ rotation.T, width
    )


def group_setting(deviation: float, rho: float) -> str:
    return f"sd {deviation:g}, correlation {rho:g}"


@dataclass(frozen=True)
class Pairs:
    """What an estimator of information sees: x (B, x_dim) and y (B, y_dim), row by row from the joint law."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class PairTask:
    """draw(n) gives n rows from torch's global generator on `device`; truth is I(x; y) in nats."""

    name: str
    description: str
    dims: tuple[int, int]
    truth: float
    draw: Callable[[int], Pairs]


def information_of(covariance: NDArray[np.float64], x_dim: int, df: float = math.inf) -> float:
    """I(x; y) of a Gaussian (x, y) by its covariance, or of a Student law with `df` degrees of freedom by its dispersion."""
    parts = (covariance[:x_dim, :x_dim], covariance[x_dim:, x_dim:], covariance)
    laws = [multivariate_t(shape=part, df=df) for part in parts]  # type: ignore[arg-type]  # its stubs take no infinite df
    x, y, both = (float(law.entropy()) for law in laws)
    return x + y - both


def paired_correlations(dims: int, rho: float, correlated: int | None = None) -> NDArray[np.float64]:
    """(2 dims, 2 dims): x_d with y_d correlated by rho for the first `correlated` d (all by default), nothing else."""
    count = dims if correlated is None else correlated
    covariance = np.eye(2 * dims)
    index = np.arange(count)
    covariance[index, dims + index] = covariance[dims + index, index] = rho
    return covariance


def swiss_roll(x: Tensor) -> Tensor:
    """(n, 1) Gaussian -> (n, 2): its quantile is the position along a spiral."""
    t = 1.5 * math.pi * (1 + 2 * torch.special.ndtr(x))
    return torch.cat([t * t.cos(), t * t.sin()], dim=1) / 21


def pair_task(
    name: str,
    description: str,
    covariance: NDArray[np.float64],
    device: torch.device,
    *,
    x_map: Callable[[Tensor], Tensor] = lambda x: x,
    y_map: Callable[[Tensor], Tensor] = lambda y: y,
    df: float = math.inf,
) -> PairTask:
    """x and y of equal width before the maps: Gaussian, or Student with `df` degrees of freedom."""
    x_dim = len(covariance) // 2
    factor = torch.from_numpy(np.linalg.cholesky(covariance)).to(device, torch.get_default_dtype())

    def draw(n: int) -> Pairs:
        both = torch.randn(n, len(factor), device=device) @ factor.T
        if df < math.inf:
            chi2 = Chi2(torch.tensor(float(df), device=device)).sample((n, 1))
            both = both / (chi2 / df).sqrt()
        return Pairs(x_map(both[:, :x_dim]), y_map(both[:, x_dim:]))

    one = draw(1)
    dims = one.x.shape[1], one.y.shape[1]
    return PairTask(name, description, dims, information_of(covariance, x_dim, df), draw)


STUDENT = ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))  # dimensions of either side, degrees of freedom
DENSE = (2, 3, 5, 25, 50)


def rho_for(information: float, dims: int) -> float:
    """The correlation at which `dims` independent Gaussian pairs carry that many nats together."""
    return math.sqrt(1 - math.exp(-2 * information / dims))


def pair_tasks(device: torch.device) -> list[PairTask]:
    """One-dimensional pairs first, then wider and more dependent ones."""

    def power(x: Tensor) -> Tensor:
        return x * x.abs().sqrt()

    bivariate = paired_correlations(1, 0.75)
    found = [
        pair_task("normal", "correlation .75", bivariate, device),
        pair_task("swiss roll", "the same, x rolled into a spiral", bivariate, device, x_map=swiss_roll),
        pair_task("half-cube", "the same, both sides to the power 3/2", bivariate, device, x_map=power, y_map=power),
    ]
    for dims in DENSE:
        every = np.full((2 * dims, 2 * dims), 0.5) + 0.5 * np.eye(2 * dims)
        found.append(pair_task(f"dense {dims}", f"{dims} + {dims} dimensions, all correlated by 1/2", every, device))
    sparse = paired_correlations(5, 0.8, 2)
    found.append(pair_task("sparse", "5 + 5 dimensions, two pairs correlated by .8", sparse, device))
    for dims, df in STUDENT:
        told = f"{dims} + {dims} dimensions, no correlation, {df} degree{'s' * (df > 1)} of freedom"
        found.append(pair_task(f"student {dims}, {df}", told, np.eye(2 * dims), device, df=df))
    for information in (2.0, 4.0, 6.0, 8.0, 10.0):
        pairs = paired_correlations(20, rho_for(information, 20))
        found.append(pair_task(f"20-d, {information:g}", "20 + 20 dimensions, Gaussian", pairs, device))
        if information in (4.0, 10.0):
            name = f"20-d cubed, {information:g}"
            found.append(pair_task(name, "the same, y cubed", pairs, device, y_map=lambda y: y**3))
    return found
