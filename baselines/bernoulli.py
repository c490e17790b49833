"""The likelihood of images under independent Bernoulli pixels. Kingma & Welling 2014, arXiv:1312.6114v11, appendix C.1."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional


def bernoulli_loss(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x) of images x in [0, 1] under Bernoulli logits of the same shape: summed over pixels, mean over images, nats.

    Raises ValueError where the shapes differ.
    """
    if logits.shape != x.shape:
        raise ValueError(
            f"bernoulli_loss needs a logit for each pixel, got {tuple(logits.shape)} for {tuple(x.shape)}."
        )
    logits = logits.float()
    if logits.device.type == "cpu":
        summed: Tensor = _SummedCrossEntropy.apply(logits, x)
        return summed / len(x)
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


class _SummedCrossEntropy(torch.autograd.Function):
    """`binary_cross_entropy_with_logits`, summed, of logits and images of one shape.

    torch's logarithm of 1 + exp(-|logit|) takes 2.8 ms of 64 images of 64 x 64 on a CPU, in some processes 0.3; the same as
    -log sigmoid(|logit|), right to 1e-7 absolutely, takes 0.4 for the whole sum in all.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, x: Tensor) -> Tensor:
        return (logits.relu() - logits * x).sub_(logits.abs().sigmoid_().log_()).sum()

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        logits, x = ctx.saved_tensors
        return (logits.sigmoid() - x) * gradient, -logits * gradient if ctx.needs_input_grad[1] else None
