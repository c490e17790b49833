"""A traversal moves what its row names and nothing else; a reconstruction stands below its own original."""

import numpy as np
import pytest
import torch
from torch import Tensor

from disbench.baselines.vae import VAE
from disbench.benchmarks.trials.traversals import COLUMNS, REACH, group_traversals, latent_traversals, reconstructions
from disbench.datasets import load

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}


class Painter(VAE):
    """Draws each latent as the brightness of one pixel: a picture can be read back as the code behind it."""

    def decode(self, z: Tensor) -> Tensor:
        return torch.nn.functional.pad(0.5 + 0.05 * z, (0, 64 * 64 - z.shape[1])).reshape(-1, 1, 64, 64)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter((1, 64, 64), 100, latent_dim=4, network="mlp", hidden_dim=8)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(500, 1))
    own = generator.normal(size=(500, 4)) * [0.1, 0.1, 1.5, 1.0] + common * [1.0, -2.0, 0.0, 0.0]
    return (own + np.array([0.5, 0.0, 1.0, 0.0])).astype(np.float32)


def read_back(pictures: np.ndarray) -> np.ndarray:
    """(rows, COLUMNS, 1, 64, 64) -> codes (rows, COLUMNS, 4), right to the nearest of 255 levels."""
    return (pictures.reshape(*pictures.shape[:2], -1)[..., :4] / 255 - 0.5) / 0.05


LEVEL = 0.5 / 255 / 0.05 + 1e-3  # rounding to bytes


def test_a_latents_row_moves_it_over_its_spread_and_holds_the_others(painter: Painter, codes: np.ndarray) -> None:
    pictures, labels = latent_traversals(painter, codes)
    z = read_back(pictures)
    assert pictures.shape == (4, COLUMNS, 1, 64, 64)
    for d in range(4):
        wanted = codes[:, d].mean() + codes[:, d].std() * np.linspace(-REACH, REACH, COLUMNS)
        np.testing.assert_allclose(z[d, :, d], wanted, atol=LEVEL)
        assert np.ptp(np.delete(z[d], d, axis=1), axis=0).max() == 0
        assert labels[d].startswith(f"z{d} (sd ")


def test_a_quantized_latents_row_walks_over_the_values_that_occur(painter: Painter) -> None:
    """Of more values than columns some are chosen, both ends among them; of fewer some are repeated."""
    values = [np.arange(-6, 7) / 6, np.array([-0.7, 0.1, 0.2]), np.array([0.4]), np.arange(9) / 9]
    codes = np.stack([np.resize(each, 500) for each in values], axis=1).astype(np.float32)
    method = Painter((1, 64, 64), 100, latent_dim=4, network="mlp", hidden_dim=8)
    method.quantized = True
    z = read_back(latent_traversals(method, codes)[0])
    for d, each in enumerate(values):
        nearest = np.abs(z[d, :, d, None] - each).argmin(1)
        np.testing.assert_allclose(z[d, :, d], each[nearest], atol=LEVEL)
        assert (nearest[0], nearest[-1]) == (0, len(each) - 1)
        assert len(set(nearest)) == min(len(each), COLUMNS)
        assert np.ptp(np.delete(z[d], d, axis=1), axis=0).max() == 0


def test_a_groups_row_moves_its_latents_together_along_their_component(painter: Painter, codes: np.ndarray) -> None:
    pictures, labels = group_traversals(painter, codes, np.array([2, 2, 0, 5]))
    z = read_back(pictures)
    assert [label.split(" (")[0] for label in labels] == ["group 2: z0 z1", "group 5: z3", "nuisance: z2"]
    _, values, axes = np.linalg.svd(codes[:, :2] - codes[:, :2].mean(0), full_matrices=False)
    direction = axes[0] * np.sign(axes[0, 1])  # z1 has the larger loading
    sweep = values[0] / np.sqrt(len(codes)) * np.linspace(-REACH, REACH, COLUMNS)[:, None]
    np.testing.assert_allclose(z[0, :, :2], codes[:, :2].mean(0) + sweep * direction, atol=LEVEL)
    assert np.ptp(z[0, :, 0]) > 1  # z0 falls while z1 rises
    assert np.sign(z[0, -1, 0] - z[0, 0, 0]) == -np.sign(z[0, -1, 1] - z[0, 0, 1])
    for row, moved in ((0, [0, 1]), (1, [3]), (2, [2])):
        assert np.ptp(np.delete(z[row], moved, axis=1), axis=0).max() == 0


def test_a_large_group_is_named_by_its_size(painter: Painter) -> None:
    codes = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    _, labels = group_traversals(painter, codes, np.array([1] * 6))
    assert labels[0].startswith("group 1: 6 latents")


def test_groups_that_do_not_vary_have_no_row(painter: Painter, codes: np.ndarray) -> None:
    flat = codes.copy()
    flat[:, 3] = 0.25
    _, labels = group_traversals(painter, flat, np.array([1, 1, 1, 2]))
    assert [label[:7] for label in labels] == ["group 1"]
    pictures, labels = group_traversals(painter, np.ones_like(codes), np.array([1, 1, 1, 2]))
    assert (len(pictures), labels) == (0, [])


def test_reconstructions_stand_below_their_originals() -> None:
    dataset = load("dsprites_like", select=SELECT)
    method = VAE((1, 64, 64), 100, latent_dim=3, network="mlp", hidden_dim=8).eval()
    rows = torch.tensor([3, 50, 200])
    pictures = reconstructions(method, dataset, rows)
    assert pictures.shape == (2, 3, 1, 64, 64)
    assert np.array_equal(pictures[0], dataset.batch(rows).numpy())
    with torch.no_grad():
        made = method(dataset.batch(rows).float() / 255)
    assert np.abs(pictures[1] / 255 - made.numpy()).max() <= 0.5 / 255 + 1e-6
