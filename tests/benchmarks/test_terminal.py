"""What is printed fits every encoding, and text from files cannot steer the terminal."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.printing import PlainFormatter, Terminal, fail, say
from disbench.datasets.untrusted import printable, spreadsheet_text
from disbench.reports.records import Record, Trial, write_record

ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202etxt.exe\r\x7f\ud800\u2028end"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for method in ("vae", "beta_vae"):
        for seed in range(3):
            trial = Trial(method=method, dataset="d", dataset_version="1", seed=seed, steps=10, batch_size=4)
            scores = {"mig": 0.1 * seed, "z_min_var": 0.2}
            write_record(Record(trial=trial, status="ok", views={"mean": scores}), folder / trial.id)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 4, (200, 2))
    np.savez(tmp_path / "good.npz", codes=factors + generator.normal(0, 0.1, (200, 2)), factors=factors)
    return tmp_path / "good.npz"


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: object) -> tuple[object, str]:
    """A command's exit status and output where both streams have an encoding and raise for what it lacks."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(SystemExit) as ended:
        app([str(word) for word in words])
    monkeypatch.undo()
    stream.flush()
    return ended.value.code, stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("score", "--help"),
        ("list", "metrics"),
        ("score", "TABLE", "--metrics", "mig,z_min_var", "--detail", "--confidence"),
        ("report", "RUNS"),
        ("compare", "vae", "beta_vae", "RUNS"),
        ("status", "RUNS"),
        ("export", "RUNS", "--format", "markdown", "-o", "OUT"),
        ("score", "no such file ↑ \udcff"),
    ],
    ids=" ".join,
)
def test_every_command_prints_in_every_encoding(
    monkeypatch: pytest.MonkeyPatch, runs: Path, table: Path, tmp_path: Path, words: tuple[str, ...], encoding: str
) -> None:
    named = {"RUNS": runs, "TABLE": table, "OUT": tmp_path / "out.md"}
    status, told = printed(monkeypatch, encoding, *(named.get(word, word) for word in words))
    assert status == (2 if words[-1].startswith("no such") else 0) and len(told.strip()) > 10
    if words[:2] == ("score", "TABLE"):
        assert "MIG" in told and ("^" in told or encoding == "utf-8")
    if words[0] == "export":
        assert "±" in (tmp_path / "out.md").read_text(encoding="utf-8")


def test_scores_survive_an_old_code_page(table: Path) -> None:
    words = [
        sys.executable,
        "-c",
        "from disbench.benchmarks.cli.main import app; app()",
        "score",
        table,
        "--metrics",
        "mig",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"MIG ^" in done.stdout


def test_an_export_to_the_terminal_is_utf_8_in_every_encoding(monkeypatch: pytest.MonkeyPatch, runs: Path) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        app(["export", str(runs), "--format", "markdown"])
    monkeypatch.undo()
    assert "±" in stream.buffer.getvalue().decode("utf-8")


def test_text_without_controls_keeps_its_words_lines_and_tabs() -> None:
    assert printable("plain\ttext\r\nin two lines: é 漢 ↑") == "plain\ttext\nin two lines: é 漢 ↑"
    cleaned = printable(ESCAPES)
    assert len(cleaned) == len(ESCAPES) and "red" in cleaned
    assert all(character.isprintable() for character in cleaned)


@pytest.mark.parametrize("words", [ESCAPES, Text(ESCAPES), Text.assemble(("label ", "bold"), ESCAPES)])
def test_no_control_character_of_a_text_reaches_the_terminal(words: Any) -> None:
    drawn = io.StringIO()
    table = Table("head", title="title")
    table.add_row(words)
    terminal = Terminal(file=drawn, force_terminal=True, color_system="truecolor", width=200)
    for shown in (words, table):
        terminal.print(shown, markup=False)
    told = drawn.getvalue()
    assert "red" in told and "\x1b[1m" in told  # its own style is kept
    for control in ("\x1b]", "\x07", "\x1b[31m", "\x9b", "\u202e", "\r", "\x7f", "\u2028"):
        assert control not in told


def test_errors_lines_and_logs_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    fail(ESCAPES)
    say(ESCAPES)
    say(ESCAPES, err=True)
    line = PlainFormatter("%(message)s").format(logging.makeLogRecord({"msg": "%s", "args": (ESCAPES,)}))
    shown = capsys.readouterr()
    for told in (shown.out, shown.err, line):
        assert "red" in told and not set(told) & set("\x1b\x07\x9b\u202e\r\x7f")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_text_cell_is_no_formula(text: str) -> None:
    assert spreadsheet_text(text) == f"'{text}"
    assert spreadsheet_text(f"a{text}") == f"a{text}"


def test_a_formula_in_a_record_is_text_in_the_csv(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(method="vae", dataset="d", dataset_version="=cmd|' /C calc'!A0", seed=0, steps=10, batch_size=4)
    record = Record(trial=trial, status="ok", views={"mean": {"@mig": -0.5}}, skipped={"mcc": "-x"})
    write_record(record, runs / "formula")
    status, told = printed(monkeypatch, "utf-8", "export", runs)
    assert status == 0
    cells = [cell for line in told.splitlines() for cell in line.split(",")]
    assert "'=cmd|' /C calc'!A0" in cells and "'@mig" in cells and "'-x" in cells and "-0.5" in cells


def ended(words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """`python -m` of the command in a shell, whose redirections are a part of the words."""
    command = f"{sys.executable} -c 'from disbench.benchmarks.cli.main import app; app()' {words}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", ["--version", "--help", "list suites"])
def test_a_full_standard_output_is_one_line_and_a_status(words: str, buffered: bool) -> None:
    found = ended(f"{words} > /dev/full", env={**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"})
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("\n") == 1, found.stderr
    assert "no room" in found.stderr


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("words", ["--version", "--help", "list suites"])
def test_a_reader_that_goes_away_is_not_an_error_to_talk_about(words: str, buffered: bool) -> None:
    piped = f"{words} | true; exit ${{PIPESTATUS[0]}}"
    found = ended(piped, env={**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"})
    assert (found.returncode, found.stderr) == (1, "")


def test_closed_streams_change_nothing_but_what_is_seen(tmp_path: Path) -> None:
    assert ended("list suites >&-").returncode == 0
    assert ended(f"status {tmp_path} 2>&-").returncode == 2
    assert ended(f"status {tmp_path} >&- 2>&-").returncode == 2


def test_a_deleted_current_folder_is_told_in_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -c 'from disbench.benchmarks.cli.main import app; app()' data list"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
    assert "no longer exists" in found.stderr
