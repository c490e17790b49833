"""The whole run, from files in the official layouts to scores, for every dataset."""

import json
from pathlib import Path

import layouts
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli import app
from disbench.datasets import DATASETS, SOURCES
from disbench.reports.records import read_records


@pytest.mark.parametrize("name", DATASETS)
def test_a_method_is_trained_and_scored_on_every_dataset(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in SOURCES:
        layouts.write(name, tmp_path / "Data", monkeypatch)
    words = f"train --method beta_vae --dataset {name} --steps 2 --batch-size 16 --rows 300 --set network=mlp"
    words += f" --set hidden_dim=8 --data-dir {tmp_path / 'Data'} --out {tmp_path / 'runs'}"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    ((folder, record),) = read_records(tmp_path / "runs")
    assert record.status == "ok"
    assert record.provenance == ("official" if name in SOURCES else "procedural")
    assert len(record.scores) + len(record.skipped) == 6
    assert len(record.scores) >= 4
    assert all((folder / path).stat().st_size for path in record.artefacts.values())
    assert json.loads((folder / "record.json").read_text())["trial"]["dataset"] == name

    picture = CliRunner().invoke(
        app, ["data", "preview", name, "--data-dir", str(tmp_path / "Data"), "--out", str(tmp_path / "preview")]
    )
    assert picture.exit_code == 0, picture.output
    assert {path.name for path in (tmp_path / "preview").iterdir()} == {f"{name}-samples.png", f"{name}-sweeps.png"}
