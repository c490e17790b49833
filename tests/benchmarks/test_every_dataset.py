"""The whole run, from files in the official layouts to scores, for every dataset."""

import json
from pathlib import Path

import layouts
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
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


def test_imported_images_go_the_whole_way(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    source = tmp_path / "pictures"
    source.mkdir()
    rows = ["file,size,hue"]
    for number in range(48):
        pixels = generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
        rows.append(f"{number}.png,{number % 4},{'red' if number // 4 % 2 else 'blue'}")
    (source / "factors.csv").write_text("\n".join(rows) + "\n")

    where = ["--data-dir", str(tmp_path / "Data")]
    made = CliRunner().invoke(app, ["data", "import", str(source), "--name", "mine", *where])
    assert made.exit_code == 0, made.output
    assert "hue: 2 values" in made.output
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "{name: own, datasets: [{name: mine}], methods: [{name: vae}], seeds: [0], steps: 2, batch_size: 16, "
        "hparams: {network: mlp, hidden_dim: 8}, metrics: {mig: {}, irs: {}}}"
    )
    ran = CliRunner().invoke(app, ["run", str(suite), "--out", str(tmp_path / "runs"), *where])
    assert ran.exit_code == 0, ran.output
    assert {record.provenance for _, record in read_records(tmp_path / "runs")} == {"own"}
    assert "own data" in (tmp_path / "runs" / "leaderboard.html").read_text(encoding="utf-8")

    again = CliRunner().invoke(app, ["data", "import", str(source), "--name", "mine", *where])
    assert again.exit_code == 2
    taken = CliRunner().invoke(app, ["data", "import", str(source), "--name", "mpi3d", *where])
    assert taken.exit_code == 2
    nowhere = CliRunner().invoke(app, ["run", str(suite), "--data-dir", str(tmp_path / "elsewhere")])
    assert nowhere.exit_code == 2
    assert "no dataset 'mine'" in nowhere.output


def test_options_of_a_data_set_are_part_of_the_trial_and_of_its_command(tmp_path: Path) -> None:
    words = "train --method vae --dataset mpi3d_like --steps 1 --batch-size 8 --rows 16 --metrics irs --set network=mlp"
    words += f" --set hidden_dim=4 --option tier=reduced --select object_size=0 --out {tmp_path}"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    ((_, record),) = read_records(tmp_path)
    assert record.trial.dataset_options == {"tier": "reduced", "select": {"object_size": 0}}
    assert "--option tier=reduced --select object_size=0" in record.command
    assert record.factor_sizes[-2:] == [20, 20]
    wrong = CliRunner().invoke(app, [*words.split(), "--option", "teir=reduced"])
    assert wrong.exit_code == 2
    assert "takes the options tier" in wrong.output
