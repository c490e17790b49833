"""XYSquares: every square is where its factors say, and every step is as far in pixels as any other."""

import torch

from disbench.datasets import load


def test_a_square_fills_its_place_in_its_channel() -> None:
    dataset = load("xy_squares")
    (image,) = dataset.batch(dataset.space.indices(torch.tensor([[1, 2, 0, 0, 7, 3]])))
    for channel, (x, y) in enumerate([(1, 2), (0, 0), (7, 3)]):
        assert (image[channel, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] == 255).all()
        assert int((image[channel] > 0).sum()) == 64


def test_all_steps_of_a_factor_are_equally_far() -> None:
    dataset = load("xy_squares")
    rows = dataset.space.indices(torch.tensor([[x, 0, 3, 3, 4, 4] for x in range(8)]))
    images = dataset.batch(rows).float().flatten(1) / 255
    distance = torch.cdist(images, images, p=1)
    assert set(distance[~torch.eye(8, dtype=torch.bool)].tolist()) == {128.0}
