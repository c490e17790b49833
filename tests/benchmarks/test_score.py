"""`disbench score`: a stranger's table in one command, all that is said of it, and a reason for any file it cannot use."""

import csv
import dataclasses
import functools
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.settings.command import reproducing_command
from disbench.benchmarks.settings.validation import metric_keywords
from disbench.benchmarks.trials.encode import Codes, write_codes
from disbench.benchmarks.trials.score import named_entries, score
from disbench.benchmarks.trials.tables.named_table import NamedTable
from disbench.benchmarks.trials.tables.tables import read_named_table, read_table
from disbench.metrics import METRICS, PROTOCOLS, Metric, majority_vote as votes
from disbench.reports.records import Record, Trial, read_record

FACTORS = np.stack(np.meshgrid(np.arange(4), np.arange(5), indexing="ij"), -1).reshape(-1, 2).repeat(20, 0)
CODES = FACTORS @ np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3]]) + np.random.default_rng(0).normal(0, 0.3, (400, 3))
COUNTS = {"train": 60, "test": 60, "few": 20}
FEW = {name: {key: count for key, count in COUNTS.items() if key in metric_keywords(name)} for name in METRICS}
NAMES = {"factor_names": np.array(["shape", "scale"]), "code_names": np.array(["a", "b [x]", "c"])}


def disbench(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["score", *(str(word) for word in words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.npz"
    np.savez(path, codes=CODES, factors=FACTORS)
    return path


@pytest.fixture
def named(tmp_path: Path) -> Path:
    path = tmp_path / "named.npz"
    np.savez(path, codes=CODES, factors=FACTORS, **NAMES)
    return path


def test_rows_that_repeat_an_image_are_counted_on_stderr(tmp_path: Path, table: Path) -> None:
    path = tmp_path / "many.npz"
    np.savez(path, codes=np.repeat(CODES, 5, axis=0), factors=np.repeat(FACTORS, 5, axis=0))
    code, out, error = disbench(path, "--metrics", "mig", "--json")
    assert code == 0
    assert set(json.loads(out)["scores"]) == {"mig"}
    assert "1,600 of 2,000 rows repeat another row in all codes and factors." in error
    np.savez(path, codes=np.vstack([CODES, CODES[:3]]), factors=np.vstack([FACTORS, FACTORS[:3]]))
    for few in (table, path):
        assert "repeat" not in disbench(few, "--metrics", "mig")[2]


def test_a_strangers_table_is_scored_in_one_command(table: Path) -> None:
    status, shown, error = disbench(table)
    assert (status, error) == (0, "")
    for label in ("Z-diff ↑", "Z-min Var ↓", "IRS ↑", "MIG ↑", "JEMMIG ↑"):
        assert label in shown
    mig = METRICS["mig"]
    assert f"{mig(CODES, FACTORS):.3f} │ 0.0" in shown
    assert "confidence" not in shown


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_any_type_of_number_is_scored(tmp_path: Path, kind: type) -> None:
    np.savez_compressed(tmp_path / "t.NPZ", codes=(10 * CODES).astype(kind), factors=FACTORS.astype(np.uint8))
    (tmp_path / "t.NPZ.npz").rename(tmp_path / "t.NPZ")
    status, shown, _ = disbench(tmp_path / "t.NPZ", "--metrics", "mig", "--json")
    assert status == 0
    assert json.loads(shown)["scores"]["mig"] == METRICS["mig"]((10 * CODES).astype(kind), FACTORS)


def test_names_are_read_from_npz_and_from_hdf5_in_any_form_of_text(tmp_path: Path, named: Path) -> None:
    assert read_named_table(named)[2:4] == (("shape", "scale"), ("a", "b [x]", "c"))
    for i, names in enumerate((["größe", "scale"], np.array(["größe".encode(), b"scale"]))):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["codes"], file["factors"], file["factor_names"] = CODES, FACTORS, names
        found = read_named_table(tmp_path / f"{i}.h5")
        assert (found.factor_names, found.code_names) == (("größe", "scale"), ())
    codes, factors = read_table(tmp_path / "0.h5")
    assert np.array_equal(codes, CODES)
    assert np.array_equal(factors, FACTORS)


def test_the_detail_says_by_name_which_code_won_and_by_how_much(named: Path) -> None:
    status, shown, _ = disbench(named, "--metrics", "mig", "--detail")
    assert status == 0
    entry = METRICS["mig"].detail(CODES, FACTORS)["factors"][1]
    assert entry["code"] == 1
    assert f"│ scale  │ b [x] │ {entry['gap']:.3f} │" in shown


def test_without_names_the_detail_counts_columns(table: Path) -> None:
    status, shown, _ = disbench(table, "--metrics", "irs,mig", "--csv", "--detail")
    assert status == 0
    found = lines(shown)
    assert {(line["factor"], line["code"]) for line in found if line["metric"] == "mig"} == {("v0", "z0"), ("v1", "z1")}
    assert [line["code"] for line in found if line["quantity"] == "weight"] == ["z0", "z1", "z2"]
    gaps = [float(line["value"]) for line in found if line["quantity"] == "gap"]
    assert np.mean(gaps) == pytest.approx(METRICS["mig"](CODES, FACTORS), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_every_detail_has_a_name_for_every_column(name: str) -> None:
    groups = [1, 1, 2] if "groups" in METRICS[name].uses else None
    detail = METRICS[name].detail(CODES, FACTORS % 2, groups=groups, **FEW[name])
    for entries in named_entries(detail, ("shape", "scale"), ("a", "b", "c")):
        for entry in entries:
            assert entry.get("factor") in (None, "shape", "scale")
            assert entry.get("code") in (None, "a", "b", "c")
            assert entry.get("other") in (None, "a", "b", "c")


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz",
        codes=np.insert(CODES, 1, 0.5, axis=1),
        factors=np.insert(FACTORS, 0, 3, axis=1),
        factor_names=["one [value]", "shape", "scale"],
    )
    status, shown, _ = disbench(tmp_path / "t.npz", "--metrics", "mig", "--detail")
    assert status == 0
    assert "MIG: without constant factors one [value]." in shown
    assert "MIG: without dropped codes z1." in shown


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_what_is_told_of_the_work_is_no_part_of_the_result(
    table: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as continuous integration has it: every stream then counts as a terminal
    status, shown, error = disbench(table, "--metrics", "mig", form)
    assert status == 0 and shown[0] in "{m" and "\x1b" not in shown
    assert "Scoring 400 rows" in error


def test_confidence_is_the_interval_over_rows(named: Path) -> None:
    asked = (named, "--metrics", "mig,irs", "--confidence", "--resamples", 20)
    found = json.loads(disbench(*asked, "--json")[1])
    assert found["factor_names"] == ["shape", "scale"]
    around = found["confidence"]["mig"]
    assert around["kind"] == "bootstrap"
    assert around["n"] == 20
    assert around["low"] < found["scores"]["mig"] < around["high"]
    line = lines(disbench(*asked, "--csv")[1])[0]
    assert {key: float(line[key]) for key in ("score", "low", "high", "mean", "sd")} == {
        "score": found["scores"]["mig"],
        **{key: around[key] for key in ("low", "high", "mean", "sd")},
    }
    assert f"{around['low']:.3f} to {around['high']:.3f}, 95 %" in disbench(*asked)[1]


def test_confidence_of_a_sampled_metric_is_its_spread_over_five_seeds(table: Path) -> None:
    asked = (table, "--metrics", "z_min_var", "--confidence")
    around = json.loads(disbench(*asked, "--json")[1])["confidence"]["z_min_var"]
    scores = [METRICS["z_min_var"](CODES, FACTORS, seed=seed) for seed in range(5)]
    assert (around["kind"], around["n"]) == ("seeds", 5)
    assert (around["low"], around["high"]) == (min(scores), max(scores))
    assert f"{min(scores):.3f} to {max(scores):.3f}, 5 seeds" in disbench(*asked)[1]


def test_every_metric_has_a_confidence_or_a_reason() -> None:
    """A metric that takes seconds would take minutes here, if it were not `sampled` or `not_resampled`."""
    found = score(CODES[::2], FACTORS[::2], FEW, resamples=3)
    assert sorted([*found.confidence, *found.no_confidence]) == sorted(found.scores)
    assert all(reason.endswith(".") for reason in found.no_confidence.values())


def test_no_confidence_asked_none_given() -> None:
    found = score(CODES, FACTORS, {"mig": {}})
    assert not found.confidence
    assert not found.no_confidence


def test_a_metric_that_cannot_be_asked_is_a_line_without_numbers_and_a_reason(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", codes=CODES, factors=FACTORS[:, :1])
    asked = (tmp_path / "t.npz", "--metrics", "mig,modularity")
    status, shown, error = disbench(*asked, "--csv")
    assert status == 0
    assert [(line["metric"], line["score"] != "") for line in lines(shown)] == [("mig", True), ("modularity", False)]
    assert "modularity compares what a code knows" in error
    assert "Modularity: not applicable. modularity compares" in disbench(*asked)[1]


def test_a_picture_is_written_and_its_path_printed(named: Path, tmp_path: Path) -> None:
    path = tmp_path / "matrix.png"
    status, shown, _ = disbench(named, "--metrics", "mig", "--picture", path)
    assert status == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.name in shown
    assert json.loads(disbench(named, "--metrics", "mig", "--picture", path, "--json")[1])["scores"]


@pytest.mark.parametrize(
    ("name", "words"), [("matrix.pdf", "--picture writes a .png"), ("table.npz/m.png", "cannot be written")]
)
def test_a_picture_that_cannot_be_written_is_refused(table: Path, tmp_path: Path, name: str, words: str) -> None:
    status, _, error = disbench(table, "--picture", tmp_path / name)
    assert status == 2
    assert words in error


def broken(**changes: Any) -> dict[str, Any]:
    return {"codes": CODES, "factors": FACTORS, **changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": CODES, "b": FACTORS}, "lacks codes and factors; it holds 'a', 'b'. Name them: --codes NAME"),
        ({"codes": CODES, "hues": FACTORS}, "lacks factors; it holds 'codes', 'hues'. Name them: --factors NAME"),
        ({}, "it holds nothing."),
        (broken(codes=CODES.astype(object)), "codes holds Python objects; save codes.astype(float)."),
        (broken(factor_names=np.array(["a", "b"], dtype=object)), "save factor_names.astype(str)."),
        (broken(factors=FACTORS[1:]), "codes and factors need the same rows, got 400 and 399"),
        (broken(codes=np.where(CODES > 4, np.nan, CODES)), "codes need finite values"),
        (broken(codes=CODES[:, 0]), "a single code is a column"),
        (broken(codes=CODES[:1], factors=FACTORS[:1]), "at least 2 rows"),
        (broken(codes=CODES.astype(str)), "codes needs real numbers, got dtype <U"),
        (broken(codes=CODES.astype(complex)), "codes needs real numbers, got dtype complex128"),
        (broken(factors=np.where(FACTORS == 1, np.nan, FACTORS)), "factor v0 has a missing value (NaN)"),
        (broken(factor_names=["a"]), "factor_names has 1 names for 2 columns of factors."),
        (broken(code_names=["a", "b"]), "code_names has 2 names for 3 columns of codes."),
        (broken(code_names=[1, 2, 3]), "code_names needs text, got dtype int64"),
        (broken(code_names=[["a", "b", "c"]]), "code_names needs a list of names, got shape (1, 3)"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_with_its_fault(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    np.savez(tmp_path / "t.npz", **content)
    status, shown, error = disbench(tmp_path / "t.npz", "--metrics", "mig,z_min_var")
    assert (status, shown) == (2, "")
    assert error.startswith("Error: ")
    assert words in error


def save_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, CODES)


def save_half(path: Path) -> None:
    np.savez(path, codes=CODES, factors=FACTORS)
    path.write_bytes(path.read_bytes()[:4000])


def save_flipped(path: Path) -> None:
    np.savez(path, codes=CODES, factors=FACTORS)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def save_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("codes")
        file["factors"] = FACTORS


def save_dangling(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["codes"], file["factors"] = h5py.SoftLink("/nowhere"), h5py.ExternalLink("absent.h5", "/factors")


def save_half_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["codes"], file["factors"] = CODES, FACTORS
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("name", "save", "words"),
    [
        ("t.npz", save_array, "it is a single .npy array; save both with numpy.savez"),
        ("t.npz", save_half, "cannot be read as .npz"),
        ("t.npz", save_flipped, "cannot be read as .npz: Bad CRC-32"),
        ("t.npz", Path.touch, "cannot be read as .npz"),
        ("t.npz", Path.mkdir, "is a folder"),
        ("t.h5", Path.touch, "cannot be read as .h5"),
        ("t.h5", save_group, "codes needs to be an array in the file itself"),
        ("t.h5", save_dangling, "codes needs to be an array in the file itself"),
        ("t.hdf5", save_half_hdf5, "cannot be read as .hdf5"),
        ("t.csv", Path.touch, "cannot be read as .csv: it has no rows"),
        ("t.docx", Path.touch, "has .docx. A table is an .npz, .h5,"),
        ("table", Path.touch, "has no extension."),
        ("t.npz", lambda path: None, "no such file."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_fault(
    tmp_path: Path, name: str, save: Callable[[Path], object], words: str
) -> None:
    save(tmp_path / name)
    status, shown, error = disbench(tmp_path / name, "--metrics", "mig")
    assert (status, shown) == (2, "")
    assert words in error


def test_a_cut_table_is_never_a_traceback(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", codes=CODES[:9], factors=FACTORS[:9], **NAMES)
    content, path = (tmp_path / "whole.npz").read_bytes(), tmp_path / "t.npz"
    rng = np.random.default_rng(0)
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"t\.npz"):
            read_named_table(path)
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert isinstance(read_named_table(path), NamedTable)
        except ValueError as error:
            assert "t.npz" in str(error)


def test_a_protocol_is_asked_for_by_the_name_of_its_publication(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 4, (400, 2))
    np.savez(tmp_path / "t.npz", codes=factors + generator.normal(size=(400, 2)), factors=factors)

    def scored(*words: str) -> dict[str, float]:
        result = CliRunner().invoke(app, ["score", str(tmp_path / "t.npz"), "--json", *words])
        assert result.exit_code == 0, result.output
        return json.loads(result.output)["scores"]

    ours, zaidi = scored("--metrics", "jemmig"), scored("--metrics", "jemmig", "--protocol", "zaidi2020")
    assert ours["jemmig"] != zaidi["jemmig"]
    assert list(scored("--protocol", "locatello2019")) == ["z_diff", "z_min_var", "factor_vae_score", "irs", "mig"]
    for words, message in (
        (["--protocol", "nobody"], "there are higgins2017, locatello2019"),
        (["--protocol", "do2020", "--metrics", "tad"], "Of do2020 there are settings for"),
    ):
        result = CliRunner().invoke(app, ["score", str(tmp_path / "t.npz"), *words])
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())


def test_an_option_of_a_metric_is_set_by_a_word(table: Path) -> None:
    words = ["mig.bins=7", "irs.quantile=.9", "z_diff.scaled=true", "z_diff.train=400", "mig_sup.divide_by=code"]
    asked = ("--metrics", "mig,irs,z_diff,mig_sup,jemmig", "--json")
    found = json.loads(disbench(table, *asked, *(w for word in words for w in ("--metric-option", word)))[1])["scores"]
    expected = {
        "mig": {"bins": 7},
        "irs": {"quantile": 0.9},
        "z_diff": {"scaled": True, "train": 400},
        "mig_sup": {"divide_by": "code"},
        "jemmig": {},
    }
    assert found == {name: METRICS[name](CODES, FACTORS, **options) for name, options in expected.items()}
    assert found["mig"] != METRICS["mig"](CODES, FACTORS)


def test_an_option_wins_over_the_protocols_and_leaves_its_others(table: Path) -> None:
    protocol = PROTOCOLS["zaidi2020"]["z_min_var"]
    asked = (table, "--protocol", "zaidi2020", "--metrics", "z_min_var", "--json")
    found = json.loads(disbench(*asked, "--metric-option", "z_min_var.group=5")[1])["scores"]["z_min_var"]
    assert found == METRICS["z_min_var"](CODES, FACTORS, **{**protocol, "group": 5})
    assert found != METRICS["z_min_var"](CODES, FACTORS, group=5)
    assert PROTOCOLS["zaidi2020"]["z_min_var"]["group"] == 200


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("bins=10", "needs metric.keyword=value, such as mig.bins=10, got 'bins=10'."),
        ("mig.bins", "needs metric.keyword=value"),
        ("migg.bins=10", "Unknown metric 'migg' in 'migg.bins=10'. Known: z_diff, z_min_var,"),
        ("mig.bin=10", "mig has no option 'bin'. It takes: bins=20, divide_by=factor."),
        ("mig.seed=1", "mig has no option 'seed'."),
        ("sap.train=1", "sap has no option 'train'. It takes: no options."),
        ("rmig.stds=1", "rmig has no option 'stds'. It takes: bins=100, limit=4.0, standardise=True."),
        ("mig.bins=ten", "mig.bins needs int, got 'ten'; its default is 20."),
        ("mig.bins=10.5", "mig.bins needs int, got '10.5'"),
        ("irs.quantile=high", "irs.quantile needs float, got 'high'"),
        ("z_diff.scaled=maybe", "z_diff.scaled needs bool, got 'maybe'"),
        ("mig_sup.divide_by=row", "mig_sup.divide_by needs one of ['factor', 'code'], got 'row'"),
        ("jemmig.bins=10", "--metric-option sets jemmig, the metrics asked for are mig, irs"),
    ],
)
@pytest.mark.parametrize("command", ["score", "train"])
def test_an_option_that_no_metric_takes_is_refused_with_what_there_is(
    table: Path, command: str, word: str, words: str
) -> None:
    metrics = "mig,irs,mig_sup,z_diff,rmig,sap"
    place = [str(table)] if command == "score" else ["--method", "vae"]
    result = CliRunner().invoke(app, [command, *place, "--metrics", metrics, "--metric-option", word])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize("name", METRICS)
def test_every_option_of_a_protocol_can_be_set_by_a_word(name: str) -> None:
    for protocol in PROTOCOLS.values():
        assert set(protocol.get(name, ())) <= set(metric_keywords(name))


TRIAL = {
    "method": "vae",
    "dataset": "dsprites_like",
    "dataset_version": "1",
    "dataset_options": {"select": {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}},
    "seed": 0,
    "steps": 2,
    "batch_size": 16,
    "hparams": {"network": "mlp", "hidden_dim": 8, "latent_dim": 3},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The folder and the record of a trial that was scored with options of three types."""
    options = {
        "mig": {"bins": 5},
        "irs": {"quantile": 0.9},
        "z_min_var": {"group": 9, "train": 50, "test": 50, "relative": False},
        "mcc": {"correlation": "spearman"},
        "jemmig": {},
    }
    return commanded(reproducing_command(Trial(**TRIAL), options), tmp_path_factory.mktemp("first"))


def commanded(command: str, out: Path) -> tuple[Path, Record]:
    words = command.removesuffix("--out runs").split()[1:]
    result = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    (folder,) = out.iterdir()
    return folder, read_record(folder / "record.json")


def test_the_reproducing_command_carries_the_metrics_options(trained: tuple[Path, Record], tmp_path: Path) -> None:
    _, record = trained
    assert record.metric_options["z_min_var"] == {"group": 9, "train": 50, "test": 50, "relative": False}
    assert record.metric_options["mcc"] == {"correlation": "spearman"}
    assert record.metric_options["jemmig"] == {}
    _, again = commanded(record.command, tmp_path)
    assert again.metric_options == record.metric_options
    assert (again.trial, again.scores, again.command) == (record.trial, record.scores, record.command)


def test_the_command_follows_when_other_options_are_asked_for(trained: tuple[Path, Record]) -> None:
    folder, record = trained
    other = reproducing_command(record.trial, {"mig": {"bins": 3}})
    _, again = commanded(other, folder.parent)
    assert again.command == other
    assert again.metric_options == {"mig": {"bins": 3}}


def test_a_checkpoint_is_evaluated_with_an_option(trained: tuple[Path, Record]) -> None:
    folder, _ = trained
    with h5py.File(folder / "codes.h5") as file:
        expected = METRICS["mig"](file["codes"][()], file["factors"][()], bins=4)
    words = ["evaluate", str(folder / "model.ckpt"), "--metrics", "mig", "--metric-option"]
    result = CliRunner().invoke(app, [*words, "mig.bins=4"])
    assert result.exit_code == 0, result.output
    assert f"{expected:.3f}" in result.output
    result = CliRunner().invoke(app, [*words, "mig.bins=0"])
    assert result.exit_code == 2
    assert "mig.bins needs int, got '0'" in result.stderr


def test_the_table_of_a_trial_names_its_factors_and_codes(trained: tuple[Path, Record]) -> None:
    folder, record = trained
    content = read_named_table(folder / "codes.h5")
    assert content.factor_names == tuple(record.factor_names)
    assert content.code_names == ("z0", "z1", "z2")
    shown = disbench(folder / "codes.h5", "--metrics", "mig", "--detail")[1]
    assert all(f"│ {name} " in shown for name in record.factor_names)


def test_a_table_without_names_is_written_and_read_as_before(tmp_path: Path) -> None:
    arrays = CODES.astype(np.float32), np.ones_like(CODES, np.float32), FACTORS.astype(np.int64), np.arange(len(CODES))
    write_codes(Codes(*arrays), tmp_path / "codes.h5")
    with h5py.File(tmp_path / "codes.h5") as file:
        assert sorted(file) == ["codes", "codes_std", "factors", "rows"]
    assert read_named_table(tmp_path / "codes.h5")[2:4] == ((), ())


class Calls:
    """Counts how often a metric is computed."""

    def __init__(self, metric: Metric) -> None:
        self.metric, self.count = metric, 0

    def counted(self) -> Metric:
        @functools.wraps(self.metric.compute)
        def compute(*args: Any, **keywords: Any) -> Any:
            self.count += 1
            return self.metric.compute(*args, **keywords)

        return dataclasses.replace(self.metric, compute=compute)


@pytest.mark.parametrize("name", METRICS)
def test_score_computes_each_metric_three_times(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(METRICS[name])
    monkeypatch.setitem(METRICS, name, calls.counted())
    found = score(CODES[::4], FACTORS[::4] % 2, {name: FEW[name]})
    assert calls.count == 3 or name in found.skipped
    if name in found.scores:
        assert found.scores[name] == METRICS[name](CODES[::4], FACTORS[::4] % 2, **FEW[name])


def test_z_min_var_and_the_factor_vae_score_share_three_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    extreme_codes = votes.extreme_codes
    monkeypatch.setattr(votes, "extreme_codes", lambda *args: drawn.append(1) or extreme_codes(*args))
    found = score(CODES + 0.125, FACTORS, {"z_min_var": {}, "factor_vae_score": {}})
    assert len(drawn) == 3
    assert found.scores["z_min_var"] == 1 - found.scores["factor_vae_score"]


def test_a_listener_hears_of_each_metric_before_it_is_computed() -> None:
    heard: list[tuple[str, int, int]] = []
    score(CODES, FACTORS, {"mig": {}, "irs": {}}, on_metric=lambda *word: heard.append(word))
    assert heard == [("mig", 0, 2), ("irs", 1, 2)]


def test_a_table_is_scored_without_torch() -> None:
    code = "import sys, disbench.benchmarks.trials.score; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
