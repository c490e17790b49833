"""The style-modulated encoder-decoder pair that QLAE was published with: network="style".

Hsu et al. 2023, arXiv:2305.18378. The architecture is that of their code, kylehkhsu/latent_quantization commit 9a420a3:
`encoders/image.py` and `decoders/style_image.py` with the configurations `image.yaml` and `style_image.yaml`.

Encoder: twelve convolutions without biases, each followed by an instance norm and a LeakyReLU(0.2). The last of each three
halves height and width. Then two ReLU layers, 256 wide, and a linear layer.

Decoder: two ReLU layers, 256 wide, make a style of the code. A learned constant (256, 4, 4) passes twelve blocks, and the last
of each three doubles height and width. A block is a convolution without biases, a LeakyReLU(0.2), an instance norm, and a scale
and a shift of each channel, which a ReLU layer makes of the style. As in the code, neither is ever negative. The last
convolution has no bias.

One difference from the code, which changes no function that the networks can compute: transposed convolutions of stride 1 are
convolutions.
"""

import math

import torch
from torch import Tensor, nn

from disbench.baselines.precision import Float32Linear

EPS = 1e-6  # of the instance norms
SLOPE = 0.2
DENSE = 256
ENCODER_WIDTHS, DECODER_WIDTHS = (32, 64, 128, 256), (256, 128, 64, 32)
LAYERS = 3  # of one width; the last changes height and width


def scaled(width: int, multiplier: float) -> int:
    """Multiply a published width, to at least 1."""
    return max(1, round(width * multiplier))


def encoder(channels: int, outputs: int, multiplier: float) -> nn.Module:
    """Make a module (B, channels, 64, 64) -> (B, outputs)."""
    layers: list[nn.Module] = []
    wide_in = channels
    for width in ENCODER_WIDTHS:
        wide = scaled(width, multiplier)
        for number in range(LAYERS):
            kernel, stride = (4, 2) if number == LAYERS - 1 else (3, 1)
            layers += [
                nn.Conv2d(wide_in, wide, kernel, stride, padding=1, bias=False),
                nn.GroupNorm(wide, wide, eps=EPS),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
            wide_in = wide
    dense = scaled(DENSE, multiplier)
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        Float32Linear(wide_in * 4 * 4, dense),
        nn.ReLU(inplace=True),
        Float32Linear(dense, dense),
        nn.ReLU(inplace=True),
        Float32Linear(dense, outputs),
    )


class StyleBlock(nn.Module):
    """Convolve, normalize each channel of an image, and scale and shift it by a style."""

    def __init__(self, channels_in: int, channels_out: int, style_dim: int, doubles: bool) -> None:
        super().__init__()
        if doubles:
            self.convolution: nn.Module = nn.ConvTranspose2d(channels_in, channels_out, 4, 2, padding=1, bias=False)
            bound = 1 / math.sqrt(channels_in * 4 * 4)  # as for a convolution; torch takes the channels that come out
            nn.init.uniform_(self.convolution.weight, -bound, bound)
        else:
            self.convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)
        self.norm = nn.GroupNorm(channels_out, channels_out, eps=EPS, affine=False)
        self.modulation = nn.Sequential(nn.Linear(style_dim, 2 * channels_out), nn.ReLU(inplace=True))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map images (B, C, H, W) and styles (B, S) to (B, C', H, W) or (B, C', 2H, 2W)."""
        scale, shift = self.modulation(style)[:, :, None, None].chunk(2, dim=1)
        found: Tensor = self.norm(self.activation(self.convolution(x))) * scale + shift
        return found


class StyleDecoder(nn.Module):
    """Map codes (B, D) to (B, C, 64, 64), whose sigmoid is the mean image."""

    def __init__(self, channels: int, latent_dim: int, multiplier: float) -> None:
        super().__init__()
        dense, wide_in = scaled(DENSE, multiplier), scaled(DECODER_WIDTHS[0], multiplier)
        self.mapping = nn.Sequential(
            nn.Linear(latent_dim, dense), nn.ReLU(inplace=True), nn.Linear(dense, dense), nn.ReLU(inplace=True)
        )
        self.constant = nn.Parameter(torch.full((1, wide_in, 4, 4), 0.1))
        blocks = []
        for width in DECODER_WIDTHS:
            wide = scaled(width, multiplier)
            for number in range(LAYERS):
                blocks.append(StyleBlock(wide_in, wide, dense, doubles=number == LAYERS - 1))
                wide_in = wide
        self.blocks = nn.ModuleList(blocks)
        self.output = nn.Conv2d(wide_in, channels, 3, padding=1, bias=False)

    def activations(self, z: Tensor) -> list[Tensor]:
        """Compute the style (B, S), the images after each block, and the output (B, C, 64, 64)."""
        style: Tensor = self.mapping(z)
        found = [style]
        x = self.constant.expand(len(z), -1, -1, -1)
        for block in self.blocks:
            x = block(x, style)
            found.append(x)
        return [*found, self.output(x)]

    def forward(self, z: Tensor) -> Tensor:
        """Decode: (B, D) to (B, C, 64, 64)."""
        return self.activations(z)[-1]
