"""The two encoder-decoder pairs on which methods are compared. Neither knows about a loss.

conv: Locatello et al. 2019, arXiv:1811.12359v4, Table 1 (64 x 64 images; 764,245 parameters at one channel, ten latents).
mlp:  the encoder of Higgins et al. 2017 (beta-VAE, ICLR), Table 1, DSprites row, two ReLU layers 1200 wide, and its mirror as
      decoder. Their decoder has three tanh layers instead, and is too slow for short budgets: on the quick suite beta-VAE's
      loss is 243 nats after 3,000 steps with it, and 164 after 510 with the mirror.

ReLUs work in place: no layer before them needs its own output for its gradient, and on a CPU a fresh array costs page faults.
The encoder's fourth comes after the flattening: what is flattened has its gradient laid out another way than the convolution's
output, and to mask one by the other takes ten times as long.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

# Asked once, because torch.compile cannot trace the question in every release that is supported.
AUTOCAST = frozenset(
    kind for kind in ("cpu", "cuda", "hpu", "mps", "mtia", "xla", "xpu") if torch.amp.is_autocast_available(kind)
)
NETWORKS = ("conv", "mlp")
FEW = 3  # channels, to which an up-convolution on a CPU is a matrix product


def encoder(network: str, image_shape: Sequence[int], outputs: int, hidden_dim: int) -> nn.Module:
    """Make a module (B, C, H, W) -> (B, outputs)."""
    if network == "mlp":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(image_shape), hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(inplace=True),
            Float32Linear(hidden_dim, outputs),
        )
    _check_conv(network, image_shape)
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


def decoder(network: str, image_shape: Sequence[int], latent_dim: int, hidden_dim: int) -> nn.Module:
    """Make a module (B, latent_dim) -> (B, C, H, W) of Bernoulli logits."""
    if network == "mlp":
        return nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, prod(image_shape)),
            nn.Unflatten(1, tuple(image_shape)),
        )
    _check_conv(network, image_shape)
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


class Float32Linear(nn.Linear):
    """`Linear` that no autocast rounds: means and log-variances make densities, and those are steps if rounded to bf16."""

    def forward(self, x: Tensor) -> Tensor:
        with float32(x.device):
            return super().forward(x.to(self.weight.dtype))


class UpConvolution(nn.ConvTranspose2d):
    """`ConvTranspose2d` with 4 x 4 kernels that doubles height and width: the same layer, with faster kernels on a CPU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        rounded = kind in AUTOCAST and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if rounded else x.dtype
        return _UpConvolution.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


class _UpConvolution(torch.autograd.Function):
    """Transposed convolution of images (B, C, H, W) with kernels (C, C', 4, 4) and biases (C',), all of one type.

    torch's own backward pass sums the bias's gradient one channel after another on a CPU, which takes longer than the
    convolution; here it is one pass over memory. To few channels, its forward pass wastes most of a vector: see `few_channels`.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if x.device.type == "cpu" and weight.shape[1] <= FEW:
            return few_channels(x, weight, bias)
        return functional.conv_transpose2d(x, weight, bias, stride=2, padding=1)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = *ctx.needs_input_grad[:2], False
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [2, 2], [1, 1], [1, 1], True, [0, 0], 1, wanted
        )
        return of_x, of_weight, gradient.sum((0, 2, 3))


def few_channels(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`functional.conv_transpose2d` with stride 2 and padding 1 of (B, C, H, W) with (C, C', 4, 4), as one matrix product.

    A pixel's 4 x 4 values are four blocks of 2 x 2, and each block of the padded output is the sum of one block from each of four
    neighbouring pixels. So the product has the place in a block first and pixels last, whole images are added, and
    only then does a block become rows and columns. Sums are in float32 at least. Of 64 images of 32 x 32, to one channel:
    6.5 ms to 1.3 in float32, 4.3 to .7 in bf16; to three: 6.8 to 4.3 and 4.2 to 2.4.
    """
    images, _, height, width = x.shape
    channels = weight.shape[1]
    pixels = x.permute(0, 2, 3, 1).flatten(0, 2)  # (B H W, C)
    blocks = weight.unflatten(3, (2, 2)).unflatten(2, (2, 2)).permute(2, 4, 1, 3, 5, 0)  # (2, 2, C', 2, 2, C)
    values = (blocks.flatten(0, 4) @ pixels.T).view(2, 2, channels, 2, 2, images, height, width)
    whole = torch.promote_types(x.dtype, torch.float32)
    padded = values.new_zeros((channels, 2, 2, images, height + 1, width + 1), dtype=whole)
    padded[..., :-1, :-1] = values[0, 0]
    padded[..., :-1, 1:] += values[0, 1]
    padded[..., 1:, :-1] += values[1, 0]
    padded[..., 1:, 1:] += values[1, 1]
    output = padded.permute(3, 0, 4, 1, 5, 2).reshape(images, channels, 2 * height + 2, 2 * width + 2)
    return (output[..., 1:-1, 1:-1] + bias[:, None, None]).to(x.dtype)


def float32(device: torch.device) -> AbstractContextManager[None]:
    """No autocast within, whatever the trainer's precision."""
    return torch.autocast(device.type, enabled=False) if device.type in AUTOCAST else nullcontext()


def perceptron(sizes: Sequence[int], slope: float) -> nn.Sequential:
    """Linear layers of the given sizes with LeakyReLU(slope) between them."""
    layers: list[nn.Module] = []
    for wide_in, wide_out in pairwise(sizes):
        layers += [nn.Linear(wide_in, wide_out), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])


def _check_conv(network: str, image_shape: Sequence[int]) -> None:
    if network != "conv":
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {network!r}.")
    if len(image_shape) != 3 or tuple(image_shape[1:]) != (64, 64):
        raise ValueError(
            f"network='conv' needs images of shape (C, 64, 64), got {tuple(image_shape)}. Use network='mlp' for other sizes."
        )


def count_parameters(module: nn.Module) -> int:
    """Trainable scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
