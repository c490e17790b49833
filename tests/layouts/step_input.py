"""What a training step of any method gets, made of images alone, for tests that train every method without a dataset."""

import torch
from torch import Tensor

from disbench.baselines.method import Batch, Labelled, Method, Pairs

SIZES = (3, 2, 4)  # numbers of values of the labels, which are counted up row by row, so that no random number is drawn


def images_of_a_step(method: Method, batch: int) -> int:
    """How many images `Batch.images` of a step holds for a batch size."""
    return batch * (method.sampling.images if isinstance(method.sampling, Labelled) else method.sampling.rows)


def with_all_it_samples(method: Method, images: Tensor) -> Batch:
    """Images (B, C, H, W) with partners or labels where the method samples them. Sets how many values its labels have."""
    if isinstance(method.sampling, Pairs):
        rows, factors = (torch.arange(count, device=images.device) for count in (len(images), len(SIZES)))
        changed = rows[:, None] % len(SIZES) == factors
        return Batch(images, partner=images.flip(0), changed=changed if method.sampling.known else None)
    if not isinstance(method.sampling, Labelled):
        return Batch(images)
    method.label_sizes = SIZES
    rows = torch.arange(len(images), device=images.device)
    return Batch(images, labels=torch.stack([rows // 2**k % size for k, size in enumerate(SIZES)], dim=1))
