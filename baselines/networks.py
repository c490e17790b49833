"""The encoder-decoder pairs with which methods are compared.

conv: Locatello et al. 2019, arXiv:1811.12359v4, Table 1 (64 x 64 images; 764,245 parameters at one channel, ten latents).
mlp:  the encoder of Higgins et al. 2017 (beta-VAE, ICLR), Table 1, DSprites row, two ReLU layers 1200 wide, and its mirror as
      decoder. Their decoder has three tanh layers instead, and is too slow for short budgets: on the quick suite beta-VAE's
      loss is 243 nats after 3,000 steps with it, and 164 after 510 with the mirror.
style, residual: the larger pairs of QLAE and Tripod, see `style_networks` and `residual_networks`.

ReLUs work in place: no layer before them needs its own output for its gradient, and on a CPU a fresh array costs page faults.
The encoder's fourth comes after the flattening: what is flattened has its gradient laid out another way than the convolution's
output, and to mask one by the other takes ten times as long.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from disbench.baselines import residual_networks, style_networks
from disbench.baselines.kernels import up_convolution
from disbench.baselines.precision import Float32Linear as Float32Linear

NETWORKS = ("conv", "mlp", "style", "residual")
SCALABLE = ("style", "residual")


def encoder(
    network: str, image_shape: Sequence[int], outputs: int, hidden_dim: int, width_multiplier: float = 1.0
) -> nn.Module:
    """Make a module (B, C, H, W) -> (B, outputs)."""
    _check(network, image_shape, width_multiplier)
    if network == "style":
        return style_networks.encoder(image_shape[0], outputs, width_multiplier)
    if network == "residual":
        return residual_networks.encoder(image_shape[0], outputs, width_multiplier)
    if network == "mlp":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(image_shape), hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(inplace=True),
            Float32Linear(hidden_dim, outputs),
        )
    return nn.Sequential(
        nn.Conv2d(image_shape[0], 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 4, 2, 1),
        nn.Flatten(),
        nn.ReLU(inplace=True),
        Float32Linear(64 * 4 * 4, 256),
        nn.ReLU(inplace=True),
        Float32Linear(256, outputs),
    )


def decoder(
    network: str, image_shape: Sequence[int], latent_dim: int, hidden_dim: int, width_multiplier: float = 1.0
) -> nn.Module:
    """Make a module (B, latent_dim) -> (B, C, H, W), whose sigmoid is the mean image."""
    _check(network, image_shape, width_multiplier)
    if network == "style":
        return style_networks.StyleDecoder(image_shape[0], latent_dim, width_multiplier)
    if network == "residual":
        return residual_networks.ResidualDecoder(image_shape[0], latent_dim, width_multiplier)
    if network == "mlp":
        return nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, prod(image_shape)),
            nn.Unflatten(1, tuple(image_shape)),
        )
    return nn.Sequential(
        nn.Linear(latent_dim, 256),
        nn.ReLU(inplace=True),
        nn.Linear(256, 64 * 4 * 4),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (64, 4, 4)),
        UpConvolution(64, 64),
        nn.ReLU(inplace=True),
        UpConvolution(64, 32),
        nn.ReLU(inplace=True),
        UpConvolution(32, 32),
        nn.ReLU(inplace=True),
        UpConvolution(32, image_shape[0]),
    )


class UpConvolution(nn.ConvTranspose2d):
    """`ConvTranspose2d` with 4 x 4 kernels that doubles height and width: the same layer, with a faster kernel on a CPU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=4, stride=2, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # the names of the parent
        """Double height and width: (B, C, H, W) to (B, C', 2H, 2W)."""
        assert self.bias is not None  # `up_convolution` adds it
        return up_convolution(input, self.weight, self.bias)


def perceptron(sizes: Sequence[int], slope: float) -> nn.Sequential:
    """Linear layers of the given sizes with LeakyReLU(slope) between them."""
    layers: list[nn.Module] = []
    for wide_in, wide_out in pairwise(sizes):
        layers += [nn.Linear(wide_in, wide_out), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])


def _check(network: str, image_shape: Sequence[int], width_multiplier: float) -> None:
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {network!r}.")
    if network != "mlp" and (len(image_shape) != 3 or tuple(image_shape[1:]) != (64, 64)):
        raise ValueError(
            f"network={network!r} needs images of shape (C, 64, 64), got {tuple(image_shape)}. Use network='mlp' for other sizes."
        )
    if width_multiplier <= 0:
        raise ValueError(f"width_multiplier must be above 0, got {width_multiplier}.")
    if width_multiplier != 1 and network not in SCALABLE:
        raise ValueError(
            f"width_multiplier={width_multiplier} needs network={' or '.join(map(repr, SCALABLE))}, got {network!r}. "
            "Leave it out; the width of 'mlp' is hidden_dim, and that of 'conv' is fixed."
        )


def count_parameters(module: nn.Module) -> int:
    """Trainable scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
