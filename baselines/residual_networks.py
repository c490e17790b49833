"""The residual encoder-decoder pair that Tripod was published with: network="residual".

Hsu et al. 2024, arXiv:2404.10282. The architecture is that of their code, kylehkhsu/tripod commit d794dc4: `nn/encoder.py`,
`nn/decoder.py` and `nn/layers.py`, with `normalize_outputs: False` as in its configuration. GELUs are the tanh approximation,
JAX's default.

Encoder: it maps images to [-1, 1] first, as the code's datasets do. Then come, four times, two residual blocks and a layer
that moves 2 x 2 pixels into channels and mixes these by a 1 x 1 convolution. A mean over pixels, a layer 512 wide with a layer
norm and a GELU, and a linear layer follow. A residual block adds to its input what two convolutions make of it, each with an
instance norm and a GELU.

Decoder: two layers 256 wide, with layer norms and GELUs, make a condition of the code. A learned constant (512, 4, 4) passes,
four times, two residual blocks and a layer that repeats each pixel 2 x 2 times and convolves. In these blocks the condition
multiplies each channel after the instance norm by 1 + scale and adds a shift.
"""

import torch
from torch import Tensor, nn

from disbench.baselines.precision import Float32Linear
from disbench.baselines.style_networks import scaled

ENCODER_WIDTHS, DECODER_WIDTHS = (32, 64, 128, 256, 512), (512, 256, 128, 64)
CONDITION = 256


class ResidualBlock(nn.Module):
    """Add to images what two convolutions make of them, each with an instance norm and a GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*_normalized(channels_in, channels_out), *_normalized(channels_out, channels_out))
        self.identity = nn.Identity() if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        found: Tensor = self.identity(x) + self.residual(x)
        return found


class ModulatedConvolution(nn.Module):
    """Convolve, normalize each channel of an image, scale and shift it by a condition, and apply a GELU."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(channels, channels, affine=False)
        self.modulation = nn.Linear(condition_dim, 2 * channels)
        self.activation = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map images (B, C, H, W) and conditions (B, S) to (B, C, H, W)."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        found: Tensor = self.activation(self.norm(self.convolution(x)) * (1 + scale) + shift)
        return found


class ModulatedBlock(nn.Module):
    """Add to images what two modulated convolutions make of them."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.first = ModulatedConvolution(channels, condition_dim)
        self.second = ModulatedConvolution(channels, condition_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map images (B, C, H, W) and conditions (B, S) to (B, C, H, W)."""
        found: Tensor = x + self.second(self.first(x, condition), condition)
        return found


class Rescale(nn.Module):
    """Map images in [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return 2 * x - 1


class PixelMean(nn.Module):
    """Average over pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C)."""
        return x.mean((2, 3))


def encoder(channels: int, outputs: int, multiplier: float) -> nn.Module:
    """Make a module (B, channels, 64, 64) -> (B, outputs)."""
    first, *later = (scaled(width, multiplier) for width in ENCODER_WIDTHS)
    layers: list[nn.Module] = [Rescale()]
    wide_in, wide = channels, first
    for wide_out in later:
        layers += [
            ResidualBlock(wide_in, wide),
            ResidualBlock(wide, wide),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * wide, wide_out, 1),
        ]
        wide_in = wide = wide_out
    return nn.Sequential(*layers, PixelMean(), *_dense(wide, wide, Float32Linear), Float32Linear(wide, outputs))


class ModulatedStage(nn.Module):
    """Pass two modulated blocks, repeat each pixel 2 x 2 times, and convolve."""

    def __init__(self, channels_in: int, channels_out: int, condition_dim: int) -> None:
        super().__init__()
        self.first = ModulatedBlock(channels_in, condition_dim)
        self.second = ModulatedBlock(channels_in, condition_dim)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map images (B, C, H, W) and conditions (B, S) to (B, C', 2H, 2W)."""
        found: Tensor = self.convolution(self.upsample(self.second(self.first(x, condition), condition)))
        return found


class ResidualDecoder(nn.Module):
    """Map codes (B, D) to (B, C, 64, 64), whose sigmoid is the mean image."""

    def __init__(self, channels: int, latent_dim: int, multiplier: float) -> None:
        super().__init__()
        widths = [scaled(width, multiplier) for width in DECODER_WIDTHS]
        condition = scaled(CONDITION, multiplier)
        self.constant = nn.Parameter(torch.ones(1, widths[0], 4, 4))
        self.mapping = nn.Sequential(*_dense(latent_dim, condition), *_dense(condition, condition))
        self.stages = nn.ModuleList(
            ModulatedStage(wide, wide_out, condition)
            for wide, wide_out in zip(widths, [*widths[1:], channels], strict=True)
        )

    def activations(self, z: Tensor) -> list[Tensor]:
        """Compute the condition (B, S) and the images after each stage; the last are the output (B, C, 64, 64)."""
        condition: Tensor = self.mapping(z)
        found = [condition]
        x = self.constant.expand(len(z), -1, -1, -1)
        for stage in self.stages:
            x = stage(x, condition)
            found.append(x)
        return found

    def forward(self, z: Tensor) -> Tensor:
        """Decode: (B, D) to (B, C, 64, 64)."""
        return self.activations(z)[-1]


def _normalized(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.GroupNorm(channels_out, channels_out),
        nn.GELU(approximate="tanh"),
    ]


def _dense(wide_in: int, wide_out: int, linear: type[nn.Linear] = nn.Linear) -> list[nn.Module]:
    return [linear(wide_in, wide_out), nn.LayerNorm(wide_out), nn.GELU(approximate="tanh")]
