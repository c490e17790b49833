"""dSprites with a color, noise or a texture: the sprite stays, the rest is fixed for each row and independent of the factors."""

import pytest
import torch

from disbench.datasets import load
from disbench.datasets.procedural.nuisance import KINDS, random_bytes, texture

ROWS = torch.randint(737_280, (300,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_sprite_is_where_it_was_and_a_row_is_the_same_image_in_every_batch(kind: str) -> None:
    plain, dataset = load("dsprites_like"), load("dsprites_like", nuisance=kind)
    images = dataset.batch(ROWS)
    assert images.shape == (300, *dataset.image_shape) == (300, 3, 64, 64)
    assert images.dtype == torch.uint8
    assert torch.equal(images[[7, 2]], dataset.batch(ROWS[[7, 2]]))
    inside = (plain.batch(ROWS) > 0).expand(-1, 3, -1, -1)
    if kind == "color":
        assert (images[~inside] == 0).all()
        assert images[inside].min() >= 128
        assert all(len(images[row, 0][inside[row, 0]].unique()) == 1 for row in range(20))
    if kind == "noise":
        assert (images[inside] == 255).all()
        assert images[~inside].float().mean() == pytest.approx(127.5, abs=1)
    if kind == "texture":
        found = images.clone()
        found[inside] -= 128  # bytes wrap around
        tile = texture().repeat(1, 2, 2)
        for row in range(3):
            windows = tile.unfold(1, 64, 1).unfold(2, 64, 1)[:, :256, :256]
            assert (windows == found[row][:, None, None]).all(dim=(0, 3, 4)).sum() >= 1


def test_random_bytes_are_even_and_say_nothing_of_row_or_place() -> None:
    found = random_bytes(torch.arange(20_000), 8).double()
    assert found.mean().item() == pytest.approx(127.5, abs=1)
    assert found.std().item() == pytest.approx(73.9, abs=1)
    assert (torch.corrcoef(found.T) - torch.eye(8)).abs().max() < 0.03
    assert torch.corrcoef(torch.stack([found[:-1, 0], found[1:, 0]]))[0, 1].abs() < 0.03
    assert len(random_bytes(torch.arange(20_000), 4).unique(dim=0)) > 19_990


def test_part_of_the_grid_shows_the_same_images() -> None:
    part, whole = (load("dsprites_like", nuisance="color", select=select) for select in ({"shape": 2}, {}))
    assert torch.equal(part.batch([0, 5]), whole.batch([2 * 245_760, 2 * 245_760 + 5]))


def test_without_a_nuisance_nothing_changes_and_another_word_is_refused() -> None:
    assert load("dsprites_like").version == "1"
    assert load("dsprites_like", nuisance="noise").version == "1+1"
    with pytest.raises(ValueError, match="Did you mean color"):
        load("dsprites_like", nuisance="colour")
