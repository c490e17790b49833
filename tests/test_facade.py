"""`import disbench`: what a user of Python and notebooks calls, and that importing it loads nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from typer.testing import CliRunner

import disbench
from disbench.benchmarks.cli.main import app
from disbench.datasets import DATASETS
from disbench.metrics import METRICS
from disbench.reports.records import Record, Trial, write_record

FEW = {"shape": 0, "scale": 0, "orientation": "0-1", "position_x": "0-3", "position_y": "0-3"}
SMALL = {"network": "mlp", "hidden_dim": 8}


def test_importing_the_package_loads_neither_torch_nor_scikit_learn() -> None:
    program = "import sys, disbench; dir(disbench); disbench.__version__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "sklearn", "numpy", "pandas", "pydantic"} & set(done.stdout.split())


def test_every_public_name_is_there_and_the_version_is_that_of_the_distribution() -> None:
    for name in disbench.__all__:
        assert getattr(disbench, name) is not None
    assert set(disbench.__all__) <= set(dir(disbench))
    assert disbench.__version__.count(".") >= 1
    assert disbench.datasets.load is disbench.datasets.registry.load
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = disbench.no_such_name


def test_scores_are_those_of_the_metrics_and_are_shown_as_a_table() -> None:
    factors = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 25, axis=0)
    codes = factors + 0.1 * np.random.default_rng(0).normal(size=factors.shape)
    found = disbench.score(codes, factors, metrics={"mig": {"bins": 5}, "sap": {}})
    assert found["mig"] == METRICS["mig"](codes, factors, bins=5)
    assert list(found.frame["metric"]) == ["mig", "sap"] == list(found)
    assert (found.frame["ceiling"] > found.frame["floor"]).all()
    assert f"{found['mig']:.3f}" in repr(found) and f"<td>{found['mig']:.3f}</td>" in found._repr_html_()


def test_a_metric_without_a_score_says_why() -> None:
    factors = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 25, axis=0)
    found = disbench.score(factors, np.zeros((100, 2)), metrics="sap")
    assert len(found) == 0 and "no score" in repr(found)
    with pytest.raises(KeyError, match="no score"):
        found["sap"]
    with pytest.raises(ValueError, match="mig"):
        disbench.score(factors, factors, metrics="mgi")


def test_a_file_is_scored_as_its_arrays_are(tmp_path: Path) -> None:
    table = disbench.encode(lambda images: images.mean((2, 3)), "shapes3d_like", rows=200)
    path = table.save(tmp_path / "table")
    assert dict(disbench.score(path, metrics="mig,sap")) == dict(table.score("mig,sap"))
    with pytest.raises(ValueError, match="factors"):
        disbench.score(table.codes)


def test_columns_of_a_file_are_chosen_by_patterns_and_two_npy_files_are_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.linspace(0, 1, 5)[rng.integers(0, 5, (300, 2))]  # as `latents_values` of dSprites
    codes = values + 0.05 * rng.normal(size=values.shape)
    frame = pd.DataFrame(
        np.hstack([codes, rng.normal(size=(300, 1)), values]), columns=["a_1", "a_2", "b", "size", "x"]
    )
    expected = METRICS["mig"](codes, values)
    for write, name in ((frame.to_csv, "table.csv"), (frame.to_parquet, "table.parquet")):
        write(tmp_path / name, index=False)
        found = disbench.score(tmp_path / name, metrics="mig", codes_column="a_?", factors_column="s*,x")
        assert found["mig"] == pytest.approx(expected)
    np.save(tmp_path / "z.npy", codes)
    np.save(tmp_path / "v.npy", values)
    assert disbench.score(tmp_path / "z.npy", tmp_path / "v.npy", metrics="mig")["mig"] == pytest.approx(expected)
    words = ["score", str(tmp_path / "table.csv"), "--metrics", "mig", "--json"]
    done = CliRunner().invoke(app, [*words, "--codes-column", "a_*", "--factors-column", "size,x"])
    assert json.loads(done.stdout)["scores"]["mig"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="no column 'q\\*'"):
        disbench.score(tmp_path / "table.csv", codes_column="q*", factors_column="size")
    with pytest.raises(ValueError, match="two files"):
        disbench.score(tmp_path / "z.npy", values)


@pytest.mark.parametrize("kind", ["function", "module", "array", "transformer", "deviations"])
def test_every_kind_of_encoder_encodes_the_images_of_its_rows(kind: str) -> None:
    dataset = disbench.datasets.load("dsprites_like", select=FEW)
    images = dataset.batch(torch.arange(len(dataset))).float() / 255
    flat = images.flatten(1)
    torch.manual_seed(0)
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(flat.shape[1], 3))
    pca = PCA(3, svd_solver="full").fit(flat.numpy())
    encoder, expected, std = {
        "function": (lambda x: x.flatten(1)[:, :5], flat[:, :5], None),
        "module": (linear, linear.eval()(images).detach(), None),
        "array": (lambda x: x.flatten(1).numpy()[:, :5], flat[:, :5], None),
        "transformer": (pca, pca.transform(flat.numpy()), None),
        "deviations": (lambda x: disbench.baselines.method.Codes(flat_sums(x), flat_sums(x) + 1), flat_sums(images), 1),
    }[kind]
    linear.train()
    found = disbench.encode(encoder, dataset, rows=None, batch_size=7)
    np.testing.assert_allclose(found.codes, np.asarray(expected), atol=1e-4)
    assert (found.factors == dataset.factors(torch.arange(len(dataset))).numpy()).all()
    assert (found.codes_std is not None) == (std is not None)


def flat_sums(images: torch.Tensor) -> torch.Tensor:
    return images.sum(3).flatten(1)[:, ::16]


def test_a_sample_of_rows_is_the_same_in_each_call_and_sorted() -> None:
    one, other = (disbench.encode(lambda x: x.mean((2, 3)), "shapes3d_like", rows=40) for _ in range(2))
    assert (one.rows == other.rows).all() and (np.diff(one.rows) > 0).all() and len(one.rows) == 40
    assert one.rows.max() > 1000


def test_what_an_encoder_may_not_return_is_refused() -> None:
    for wrong, message in (
        (lambda x: x.mean((2, 3))[:1], "codes"),
        (lambda x: x.mean((2, 3)) / 0, "not finite"),
        (lambda x: x, "codes"),
    ):
        with pytest.raises(ValueError, match=message):
            disbench.encode(wrong, "shapes3d_like", rows=20)
    with pytest.raises(ValueError, match="select"):
        disbench.encode(lambda x: x, DATASETS["shapes3d_like"](), select={"shape": 0})


def test_a_trained_method_is_loaded_with_its_scores_and_encodes(tmp_path: Path) -> None:
    settings = {"steps": 2, "batch_size": 4, "select": FEW, "metrics": "sap", "out": tmp_path}
    model = disbench.train("beta_vae", "dsprites_like", beta=3, **settings, **SMALL)
    again = disbench.load(model.folder / "model.ckpt")
    assert again.trial.hparams["beta"] == 3 and dict(again.scores) == dict(model.scores) == model.record.scores
    dataset = disbench.datasets.load("dsprites_like", select=FEW)
    table = disbench.encode(again, dataset, rows=None)
    assert dict(table.score("sap")) == pytest.approx(dict(model.scores))
    images = dataset.batch(torch.arange(5)).numpy() / 255
    np.testing.assert_allclose(again.encode(images), table.codes[:5], atol=1e-5)
    before = (model.folder / "model.ckpt").stat().st_mtime_ns
    disbench.train("beta_vae", "dsprites_like", beta=3, **settings, **SMALL)
    assert (model.folder / "model.ckpt").stat().st_mtime_ns == before, "a finished trial is not trained again"
    with pytest.raises(ValueError, match="btea"):
        disbench.train("beta_vae", "dsprites_like", btea=3, **settings)
    with pytest.raises(ValueError, match="steps"):
        disbench.train("beta_vae", "dsprites_like", **{**settings, "steps": 0})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for method, values in {"vae": (0.1, 0.8), "beta_vae": (0.5, 0.5), "factor_vae": (0.4, 0.4)}.items():
        for seed in range(3):
            trial = Trial(
                method=method, dataset="dsprites_like", dataset_version="1", seed=seed, steps=9, batch_size=64
            )
            scores = {name: value + 0.01 * seed for name, value in zip(("mig", "sap"), values, strict=True)}
            write_record(Record(trial=trial, status="ok", views={"mean": scores}), tmp_path / trial.id)
    return tmp_path


def test_results_are_a_frame_a_table_and_a_comparison(folder: Path) -> None:
    found = disbench.results(folder)
    assert len(found.frame) == 3 * 3 * 2
    table = found.table()
    assert table.loc[("dsprites_like", "mean", "beta_vae"), "mig"] == pytest.approx(0.51)
    assert found.table("n").to_numpy().tolist() == [[3, 3]] * 3
    line = found.compare("beta_vae", "vae").set_index("metric").loc["mig"]
    assert line["verdict"] == "better" and line["difference"] == pytest.approx(0.4)
    assert "beta_vae" in repr(found) and "0.510" in repr(found) and "0.510" in found._repr_html_()
    assert found.failed == [] and found.unreadable == []
    with pytest.raises(ValueError, match="statistic"):
        found.table("median")


def test_the_front_has_the_methods_that_no_other_beats_in_both(folder: Path, tmp_path: Path) -> None:
    found = disbench.results(folder)
    points = found.front("mig", "sap").set_index("method")
    assert points["on_front"].to_dict() == {"vae": True, "beta_vae": True, "factor_vae": False}
    axes = found.plot_front("mig", "sap")
    assert {text.get_text() for text in axes.texts} == {"vae", "beta_vae", "factor_vae"}
    assert axes.get_xlabel() == "MIG ↑" and axes.lines[0].get_xdata().tolist() == pytest.approx([0.11, 0.51])
    with pytest.raises(ValueError, match="dci"):
        found.front("mig", "dci")
    assert found.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!")


def test_a_suite_may_be_a_mapping_and_is_restricted_by_only(tmp_path: Path) -> None:
    suite = {
        "name": "small",
        "methods": [{"name": "vae"}, {"name": "beta_vae"}],
        "seeds": [0, 1],
        "steps": 1,
        "datasets": [{"name": "dsprites_like", "options": {"select": FEW}}],
        "batch_size": 4,
        "untrained": False,
        "metrics": {"sap": {}},
        "hparams": SMALL,
    }
    found = disbench.run(suite, tmp_path, only={"method": "beta_vae", "seed": [0]})
    assert found.frame[["method", "seed"]].to_numpy().tolist() == [["beta_vae", 0]]
    with pytest.raises(ValueError, match="only"):
        disbench.run(suite, tmp_path, only={"methods": "vae"})


def test_a_script_for_each_use_in_the_guide_has_at_most_15_lines() -> None:
    text = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
    scripts = [code for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) if "import disbench\n" in code]
    assert len(scripts) >= 3
    assert max(len(code.splitlines()) for code in scripts) <= 15
    for function in ("encode", "score", "train", "load", "run"):
        assert re.search(rf"\.{function}\(", "".join(scripts))
