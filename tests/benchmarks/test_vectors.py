"""Vector-valued codes (N, G, F): from `encode` to the table, the views, the pictures and a file of anybody's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from disbench.baselines.method import Codes
from disbench.baselines.vae import VAE
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.trials.encode import encode, write_codes
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.benchmarks.trials.traversals import group_traversals, latent_traversals
from disbench.datasets import FactorDataset, load
from disbench.metrics.views import GROUP, MEAN, column_groups, views

SHAPE = (1, 64, 64)
FACTORS = np.stack(np.meshgrid(np.arange(4), np.arange(5), indexing="ij"), -1).reshape(-1, 2).repeat(5, axis=0)
NOISE = np.random.default_rng(0).normal(size=(100, 2, 3))
VECTORS = FACTORS[:, :, None] + 0.1 * NOISE  # (100, 2, 3): each vector is about one factor


class Vectors(VAE):
    """Six latents as two vectors of three."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments, network="mlp", hidden_dim=8, latent_dim=6)

    def encode(self, x: Tensor) -> Codes:
        return Codes(*(part.unflatten(1, (2, 3)) for part in super().encode(x)))

    def decode(self, z: Tensor) -> Tensor:
        assert z.shape[1:] == (2, 3)
        return super().decode(z.flatten(1))


class Named(Vectors):
    def groups(self) -> Tensor:
        return torch.tensor([2, 0])


@pytest.fixture
def dataset() -> FactorDataset:
    return load("dsprites_like", select={"shape": 1, "orientation": 0, "position_x": "0-3", "position_y": "0-3"})


@pytest.mark.parametrize(("kind", "groups"), [(Vectors, [1, 1, 1, 2, 2, 2]), (Named, [2, 2, 2, 0, 0, 0])])
def test_a_file_of_vectors_is_read_as_columns_with_their_groups(
    kind: type[VAE], groups: list[int], dataset: FactorDataset, tmp_path: Path
) -> None:
    codes = encode(kind(SHAPE, 96), dataset, torch.arange(60), torch.device("cpu"))
    assert codes.codes.shape == codes.codes_std.shape == (60, 2, 3)
    write_codes(codes, tmp_path / "codes.h5")
    table = read_named_table(tmp_path / "codes.h5")
    assert np.array_equal(table.codes, codes.codes.reshape(60, 6))
    assert np.array_equal(table.codes_std, codes.codes_std.reshape(60, 6))
    assert table.group.tolist() == groups
    assert table.code_names == ("z0.0", "z0.1", "z0.2", "z1.0", "z1.1", "z1.2")
    assert table.shape == (2, 3)


def test_groups_of_another_number_are_refused_by_the_methods_name(dataset: FactorDataset) -> None:
    class Wrong(Vectors):
        def groups(self) -> Tensor:
            return torch.tensor([1, 2, 3])

    with pytest.raises(ValueError, match=r"Wrong\.groups: .* 2 latents .* got int64 \(3,\)"):
        encode(Wrong(SHAPE, 96), dataset, torch.arange(5), torch.device("cpu"))


def test_the_group_view_of_vectors_has_a_column_for_each_that_follows_its_factor() -> None:
    found, missing = views(VECTORS, None, np.full(VECTORS.shape, 0.5))
    assert missing == {}
    assert found[MEAN].codes.shape == (100, 6)
    assert np.abs(np.corrcoef(found[GROUP].codes.T, FACTORS.T)[:2, 2:]).round(1).tolist() == [[1, 0], [0, 1]]
    # Along a unit direction, independent deviations of 0.5 stay 0.5.
    np.testing.assert_allclose(found[GROUP].codes_std, 0.5)
    assert found[MEAN].content(MEAN, (2, 3)) == "6 numbers, those of 2 vectors one after the other"
    assert found[GROUP].content(GROUP) == "the first principal component of each of 2 groups of latents"


def test_column_groups_repeat_those_of_vectors() -> None:
    assert column_groups((3,)) is None
    assert column_groups((2, 2), np.array([5, 0])).tolist() == [5, 5, 0, 0]
    assert column_groups((2, 2), np.array([1, 2, 3, 4])).tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="2 latents need to be as many integers"):
        column_groups((2, 2), np.array([1.0, 2.0]))


def test_score_reads_vectors_from_anybodys_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", codes=VECTORS, factors=FACTORS)
    scored = CliRunner().invoke(app, ["score", str(tmp_path / "t.npz"), "--metrics", "mig"])
    assert scored.exit_code == 0, scored.output
    both = read_named_table(tmp_path / "t.npz")
    assert both.group.tolist() == [1, 1, 1, 2, 2, 2]
    np.savez(tmp_path / "t.npz", codes=VECTORS, factors=FACTORS, codes_std=VECTORS[:, :1])
    with pytest.raises(ValueError, match=r"codes_std needs the shape of codes, \(100, 2, 3\), got \(100, 1, 3\)"):
        read_named_table(tmp_path / "t.npz")


def test_pictures_of_vectors_have_a_row_for_each_number_and_for_each_vector() -> None:
    method = Vectors(SHAPE, 96)
    codes = VECTORS.astype(np.float32)
    images, labels = latent_traversals(method, codes)
    assert images.shape == (6, 9, *SHAPE)
    assert labels[4].startswith("z1.1 (sd")
    images, labels = group_traversals(method, codes, column_groups((2, 3)))
    assert images.shape == (2, 9, *SHAPE)
    assert labels[0].startswith("group 1: z0.0 z0.1 z0.2")


def test_a_limit_of_decoding_keeps_the_latents_that_vary_most() -> None:
    method = Vectors(SHAPE, 96)
    method.decode_limit = 20
    codes = VECTORS.astype(np.float32)
    codes[:, 0, 2] *= 5
    codes[:, 1, 0] *= 3
    images, labels = latent_traversals(method, codes)
    assert len(images) == 2
    assert [label.split()[0] for label in labels] == ["z0.2", "z1.0"]
