"""Tripod: finite scalar quantization, independent latents by kernel densities, and a decoder in which latents do not interact.

Hsu et al. 2024, arXiv:2404.10282v2, as in the authors' code (kylehkhsu/tripod, commit d794dc4). They minimize

    mean over pixels of -log p(x|z)  +  w_1 mean_i [log q(z_i) - sum_k log q_k(z_ik)]  +  w_2 sum over layers of a ratio

with kernel densities q and q_k over the minibatch, and the normalized Hessian penalty as the ratio. The loss here is summed over
pixels, so that weights, limit of the gradient and Adam's epsilon are multiplied by the numbers of an image, as in `qlae`.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Unpack

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from disbench.baselines.method import Batch, Grids, as_batch
from disbench.baselines.optim import EPSILON, adamw
from disbench.baselines.precision import float32
from disbench.baselines.quantization import OptionsWithoutRate, QuantizedAutoencoder, straight_through

LEAST_STD = 1e-6  # of a latent that is constant in a minibatch
LEAST_CURVATURE = 1e-10  # added to the denominator of the ratio, as in the code
NONLINEARITIES = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh)
PIECEWISE_LINEAR = (nn.ReLU, nn.LeakyReLU)
BANDWIDTHS = ("std", "silverman")


def silverman(dimensions: int, count: int) -> float:
    """Silverman's factor of the standard deviations for a Gaussian kernel density of `count` points."""
    return float((4 / (dimensions + 2)) ** (1 / (dimensions + 4)) * count ** (-1 / (dimensions + 4)))


def multi_information(z: Tensor, joint: Tensor, marginal: Tensor) -> Tensor:
    """Estimate the multi-information of latents by Gaussian kernel densities over the minibatch.

    Parameters
    ----------
    z : Tensor of shape (B, D)
        Codes.
    joint, marginal : Tensor of shape (D,)
        Standard deviations of the kernels of the joint density, which are products over latents, and of the marginal densities.

    Returns
    -------
    Tensor
        Mean of log q(z) - sum_k log q_k(z_k) in nats, a scalar.

    References
    ----------
    Hsu et al. 2024, arXiv:2404.10282v2

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.tripod import multi_information
    >>> grid, width = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([0.1, 0.1])
    >>> round(multi_information(grid, width, width).item(), 3)  # independent
    0.0
    >>> round(multi_information(grid[[0, 3]], width, width).item(), 3)  # equal: log 2
    0.693
    """
    squares = (z[:, None] - z).square()  # (B, B, D)

    def log_kernels(width: Tensor) -> Tensor:
        """Log-densities (B, B, D) of each code under the kernel around each."""
        return -0.5 * squares / width.square() - width.log() - 0.5 * math.log(2 * math.pi)

    log_joint = log_kernels(joint).sum(2).logsumexp(1) - math.log(len(z))  # (B,)
    log_marginals = log_kernels(marginal).logsumexp(1) - math.log(len(z))  # (B, D)
    return (log_joint - log_marginals.sum(1)).mean()


def curvature_ratio(signs: Sequence[Tensor], normal: Sequence[Tensor], step: float, pooled: bool = False) -> Tensor:
    """Compute the normalized Hessian penalty of one layer.

    The variance of second differences over random signs is twice the sum of squares of the Hessian off its diagonal, and over
    normal directions twice that of all its entries. The ratio is their quotient. The term -2 a(z) of a second difference is
    the same for all directions, so their variance is that of a(z + v) + a(z - v).

    Parameters
    ----------
    signs, normal : sequence of K tensors of shape (B, ...)
        Sums a(z + v) + a(z - v) of a layer's activations for K directions of random signs, and for K normal ones.
    step : float
        Length of the directions.
    pooled : bool, default False
        Whether both variances are averaged over images before the division. For piecewise linear layers: an image within whose
        reach they have no kink would be divided by 0.

    Returns
    -------
    Tensor
        Mean over the layer of the variance over signs, divided by that over normal directions, averaged over images: a scalar.

    References
    ----------
    Hsu et al. 2024, arXiv:2404.10282v2

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.tripod import curvature_ratio
    >>> def around(v):  # of the layer z_1 z_2, whose Hessian has nothing on its diagonal
    ...     z = torch.tensor([[0.3, 0.7]])
    ...     return ((z + v).prod(1) + (z - v).prod(1))[:, None]
    >>> signs = [around(torch.tensor(v)) for v in ([1.0, 1.0], [1.0, -1.0])]
    >>> round(curvature_ratio(signs, signs, step=1.0).item(), 3)
    1.0
    """
    off_diagonal, whole = mean_variance(signs), mean_variance(normal)  # (B,)
    if pooled:
        off_diagonal, whole = off_diagonal.mean(), whole.mean()
    return (off_diagonal / (whole + LEAST_CURVATURE * step**4)).mean()


def mean_variance(numbers: Sequence[Tensor]) -> Tensor:
    """Compute the variance over K tensors (B, ...), by the differences of pairs, averaged over all other axes: (B,)."""
    axes = tuple(range(1, numbers[0].dim()))
    squares = [(one - other).square().mean(axes) for one, other in combinations(numbers, 2)]
    return torch.stack(squares).sum(0) / len(numbers) ** 2


def hidden_layers(decoder: nn.Module, z: Tensor) -> list[Tensor]:
    """Compute the activations (B, ...) of a decoder's hidden layers at codes (B, D).

    Of a `Sequential` they are the numbers after each nonlinearity. Another decoder lists them, and its output as the last, by a
    method `activations`.
    """
    if not isinstance(decoder, nn.Sequential):
        return list(decoder.activations(z))[:-1]  # type: ignore[operator]
    found: list[Tensor] = []
    last = max(place for place, module in enumerate(decoder) if isinstance(module, NONLINEARITIES))
    for module in decoder[: last + 1]:
        z = module(z)
        if isinstance(module, NONLINEARITIES):
            found.append(z)
    return found


class Tripod(QuantizedAutoencoder):
    """Train an autoencoder with quantized latents, a penalty of their multi-information and one of the decoder's Hessian.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    levels : int, default 12
        Number of values of each latent, equally spaced from -1 to 1; at least 2.
    multi_information : float, default 1e-4
        Weight of the multi-information, for a reconstruction averaged over pixels.
    hessian : float, default 1e-2
        Weight of the normalized Hessian penalty, likewise.
    directions : int, default 2
        Number of directions of each kind for the Hessian penalty; at least 2.
    step : float, default 0.1
        Length of the directions, in standard deviations of the latents.
    bandwidth : {"std", "silverman"}, default "std"
        Kernel width of the marginal densities: the standard deviation, or that times Silverman's factor.
    clip : float, default 1.0
        Largest absolute value of a number of the gradient, for a loss averaged over pixels.
    lr : float, default 2e-4
        Learning rate of Adam.
    **shell
        Other parameters of `Autoencoder`.

    References
    ----------
    Hsu et al. 2024, arXiv:2404.10282v2
    """

    data_parallel = False  # densities are of the whole minibatch
    published: ClassVar[Grids] = {
        "shapes3d": {"multi_information": (1e-4,), "hessian": (1e-2,), "latent_dim": (12,)},
        "mpi3d_complex": {"multi_information": (1e-8,), "hessian": (1e-4,), "latent_dim": (14,)},
    }

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        levels: int = 12,
        multi_information: float = 1e-4,
        hessian: float = 1e-2,
        directions: int = 2,
        step: float = 0.1,
        bandwidth: str = "std",
        clip: float = 1.0,
        lr: float = 2e-4,
        **shell: Unpack[OptionsWithoutRate],
    ) -> None:
        super().__init__(image_shape, n_train, lr=lr, **shell)
        for name, count in (("levels", levels), ("directions", directions)):
            if count < 2:
                raise ValueError(f"{name} needs at least 2, got {count}.")
        if step <= 0 or clip <= 0:
            raise ValueError(f"step and clip need to be above 0, got {step} and {clip}.")
        if bandwidth not in BANDWIDTHS:
            raise ValueError(f"bandwidth must be one of {', '.join(BANDWIDTHS)}, got {bandwidth!r}.")
        self.levels = levels
        self.multi_information = multi_information
        self.hessian = hessian
        self.directions = directions
        self.step = step
        self.bandwidth = bandwidth
        self.clip = clip
        self.pooled = any(isinstance(module, PIECEWISE_LINEAR) for module in self.decoder.modules())

    def quantize(self, z: Tensor) -> Tensor:
        """Round the outputs of the encoder (B, D), bounded by a tanh, straight through."""
        bounded, steps = z.tanh(), self.levels - 1
        return straight_through(2 * ((bounded + 1) / 2 * steps).round() / steps - 1, bounded)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms; see `VAE.training_step`."""
        x = as_batch(batch).images
        outputs = self.encoder(x)
        z = self.quantize(outputs)
        std = (outputs.tanh().var(0, correction=0) + LEAST_STD**2).sqrt()  # (D,)
        marginal = std if self.bandwidth == "std" else std * silverman(1, len(z))
        shared = multi_information(z, std * silverman(self.latent_dim, len(z)), marginal)
        curvature = self.curvature(z, std)
        reconstruction = self.reconstruction_loss(x, z)
        penalty = self.pixels * (self.multi_information * shared + self.hessian * curvature)
        terms = {"reconstruction": reconstruction, "multi_information": shared, "hessian_penalty": curvature}
        return {"loss": reconstruction + penalty, **terms}

    def curvature(self, z: Tensor, std: Tensor) -> Tensor:
        """Compute the normalized Hessian penalty at codes (B, D), summed over hidden layers, averaged over images: a scalar."""
        shape = (self.directions, *z.shape)
        signs = 2.0 * torch.randint(2, shape, device=z.device) - 1
        normal = torch.randn(shape, device=z.device)
        with float32(z.device):  # a difference of rounded numbers is noise
            of_signs, of_normal = ([self.around(z, self.step * std * v) for v in kind] for kind in (signs, normal))
            ratios = [
                curvature_ratio(one, other, self.step, self.pooled)
                for one, other in zip(zip(*of_signs, strict=True), zip(*of_normal, strict=True), strict=True)
            ]
        return torch.stack(ratios).sum()

    def around(self, z: Tensor, direction: Tensor) -> list[Tensor]:
        """Add the hidden layers' activations (B, ...) on both sides of codes (B, D)."""
        layers = hidden_layers(self.decoder, torch.cat([z + direction, z - direction]))
        # With channels last, as they lie in memory, gradients come so, too, and masking these by activations is fast.
        return [plus + minus for plus, minus in (layer.movedim(1, -1).chunk(2) for layer in layers)]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make an Adam over all parameters."""
        groups = [{"params": list(self.parameters()), "weight_decay": 0.0}]
        return adamw(groups, self.lr, eps=EPSILON * self.pixels)
