"""What an image shows beside its factors: a random color, background noise or a background texture, fixed for each row.

The kinds are those of Locatello et al. 2019 (arXiv:1811.12359v4), Color-, Noisy- and Scream-dSprites, with two differences: the
texture is drawn here instead of taken from a painting, and random numbers are a hash of the row, so that a row is the same
image in every batch. All arithmetic on rows is on integers, so it is the same on every device.
"""

import functools

import numpy as np
import torch

from disbench.datasets.wording import did_you_mean, listed, shown

NUISANCE_VERSION = "1"
KINDS = ("color", "noise", "texture")
SIDE, CHANNELS = 64, 3
TEXTURE = 256  # pixels of a side of the texture, which repeats
WAVES = 12
INVERTED = 128  # what is added to the texture where the sprite is, modulo 256
MASK = 0xFFFFFFFF


def check_nuisance(nuisance: object) -> None:
    """Raise ValueError unless it is None or a kind."""
    if nuisance is not None and nuisance not in KINDS:
        raise ValueError(
            f"nuisance needs one of {listed(KINDS)}, got {shown(nuisance)}.{did_you_mean(str(nuisance), KINDS)}"
        )


def hashed(values: torch.Tensor) -> torch.Tensor:
    """Mix integers (...) of 32 bits to others that look random (Mueller's hash), int64 from 0 to 2**32 - 1."""
    mixed = values & MASK
    for _ in range(2):
        mixed = ((mixed >> 16) ^ mixed) * 0x45D9F3B & MASK
    return (mixed >> 16) ^ mixed


def random_bytes(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Give rows (B,) the same `count` bytes each time: (B, count), int64 from 0 to 255."""
    places = hashed(torch.arange(1, count + 1, device=rows.device))
    return hashed(hashed(rows + 1)[:, None] ^ places) >> 24


@functools.cache
def texture() -> torch.Tensor:
    """Draw the texture (3, 256, 256), uint8: waves of whole periods, so that it repeats without an edge."""
    random = np.random.default_rng(20261201)
    axis = 2 * np.pi * np.arange(TEXTURE) / TEXTURE
    channels = []
    for _ in range(CHANNELS):
        shade = np.zeros((TEXTURE, TEXTURE))
        for across, down in random.integers(-12, 13, (WAVES, 2)):
            shade += np.cos(across * axis[None, :] + down * axis[:, None] + random.uniform(0, 2 * np.pi))
        channels.append((shade - shade.min()) / np.ptp(shade) * 255)
    return torch.from_numpy(np.rint(np.stack(channels)).astype(np.uint8))


def with_nuisance(sprites: torch.Tensor, rows: torch.Tensor, kind: str) -> torch.Tensor:
    """Show white sprites (B, 64, 64) of 0 and 255 with the nuisance of their rows (B,): (B, 3, 64, 64), uint8."""
    inside = (sprites > 0)[:, None]  # (B, 1, 64, 64)
    if kind == "color":  # each channel from half to full
        color = (128 + random_bytes(rows, CHANNELS) // 2)[:, :, None, None]
        return (inside * color).to(torch.uint8)
    if kind == "noise":
        noise = random_bytes(rows, CHANNELS * SIDE * SIDE).view(-1, CHANNELS, SIDE, SIDE)
        return noise.masked_fill(inside, 255).to(torch.uint8)
    down, across = random_bytes(rows, 2).unbind(dim=1)  # the corner of the part of the texture
    steps = torch.arange(SIDE, device=rows.device)
    lines, columns = (down[:, None] + steps) % TEXTURE, (across[:, None] + steps) % TEXTURE  # (B, 64)
    part = texture().to(rows.device)[:, lines[:, :, None], columns[:, None, :]].transpose(0, 1)  # (B, 3, 64, 64)
    return torch.where(inside, part + INVERTED, part)  # bytes wrap around
