"""Three squares, each in one of 8 x 8 places: XYSquares of Michlo et al. 2023, arXiv:2202.13341, drawn here.

A square moves by its own width, so two images that differ in one position of a square share no pixel of it: every other
position is as far in pixels as the next one. A reconstruction loss says nothing of which positions are neighbors, and VAEs fail.
"""

import torch

from disbench.datasets.factors import FactorDataset, FactorSpace

SIDE, PLACES = 64, 8
STEP = SIDE // PLACES  # pixels, also the width of a square


class XYSquares(FactorDataset):
    """Red, green and blue square x 8 columns x 8 rows each; images (3, 64, 64), {0, 255}.

    Squares that overlap add up their colors.
    """

    name = "xy_squares"
    version = "1"
    provenance = "procedural"
    space = FactorSpace(tuple(f"{axis}_{color}" for color in ("red", "green", "blue") for axis in "xy"), (PLACES,) * 6)
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: object = None) -> None:
        """`root`, where files lie, is accepted as by every dataset and not needed: the images are drawn when asked."""

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        place = self.factors(indices).view(-1, 3, 2)  # (B, color, x and y)
        pixel = torch.arange(SIDE, device=indices.device) // STEP
        across = place[:, :, 0, None, None] == pixel[None, None, None, :]  # (B, 3, 1, 64)
        down = place[:, :, 1, None, None] == pixel[None, None, :, None]  # (B, 3, 64, 1)
        return (across & down).to(torch.uint8) * 255
