"""A merge that was killed loses no trial, and no file that a user named is ever half written."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.studies.merge import merge_folders
from disbench.reports.records import RECORD_FILE, Record, Trial, read_records, write_record
from disbench.reports.records.collect import collect

# Merges, and is killed while the second file of the second trial is half copied.
KILLED = """
import os, signal, sys
from pathlib import Path
from disbench.benchmarks.studies import merge
whole, files = merge._copy_file, []
def copy(source, target):
    files.append(source)
    if len(files) < 4:
        return whole(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes()[:5])
    os.kill(os.getpid(), signal.SIGKILL)
merge._copy_file = copy
merge.merge_folders(Path(sys.argv[1]), [Path(sys.argv[2])])
"""


def put(folder: Path, seed: int, score: float = 0.1, **fields: Any) -> Path:
    trial = Trial(method="vae", dataset="d", dataset_version="1", seed=seed, steps=10, batch_size=4)
    own = {"views": {"mean": {"mig": score}}, **fields}
    path = write_record(Record(trial=trial, status="ok", **own), folder / trial.id).parent
    for name in ("codes.h5", "traversal.png"):
        (path / name).write_bytes(f"{name} of seed {seed}".encode())
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_merge_loses_no_trial(tmp_path: Path) -> None:
    source, out = tmp_path / "a", tmp_path / "out"
    for seed in range(3):
        put(source, seed)
    done = subprocess.run([sys.executable, "-c", KILLED, out, source], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (hidden,) = out.glob(".*")
    assert len(collect(out).found) == len(list(read_records(out))) == 1
    merged = merge_folders(out, [source])
    assert (merged.copied, merged.kept, merged.left_out) == (2, 1, ())
    assert not hidden.exists() and contents(out) == contents(source)


def test_a_cut_off_copy_of_version_0_1_is_no_trial(tmp_path: Path) -> None:
    source, out = tmp_path / "a", tmp_path / "out"
    trial = put(source, 0)
    cut = put(out / ".merge-x1y2z3", 0)
    (cut / "codes.h5").write_bytes(b"half")
    assert merge_folders(out, [source]).copied == 1
    assert contents(out) == contents(source) and (out / trial.name / RECORD_FILE).exists()


def test_the_copy_that_another_merge_is_making_is_left_alone(tmp_path: Path) -> None:
    source, out = tmp_path / "a", tmp_path / "out"
    put(source, 0)
    busy = out / ".disbench-merge-0000"
    with try_lock(busy):
        (busy / "codes.h5").write_bytes(b"half")
        assert merge_folders(out, [source]).copied == 1
        assert (busy / "codes.h5").exists()


def test_a_record_of_the_same_trial_that_says_something_else_is_reported(tmp_path: Path) -> None:
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    trial = put(a, 0, environment={"device": "cpu"}).name
    put(b, 0, environment={"device": "cuda"})
    merged = merge_folders(out, [a, b])
    assert (merged.copied, merged.kept, merged.remade) == (1, 1, (trial,))
    told = CliRunner().invoke(app, ["merge", str(out), str(b)]).output
    assert f"Another record with the same scores was not copied: {trial}" in told


@pytest.mark.parametrize(
    "fields", [{"floor": {"mig": 0.5}}, {"metric_options": {"mig": {"bins": 9}}}, {"skipped": {"sap": "no"}}]
)
def test_records_that_agree_on_scores_alone_are_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    put(a, 0)
    put(b, 0, **fields)
    with pytest.raises(ValueError, match=f"different scores.*{next(iter(fields))}"):
        merge_folders(tmp_path / "out", [a, b])


def test_links_and_pipes_inside_a_trial_are_left_behind(tmp_path: Path) -> None:
    source, out = tmp_path / "a", tmp_path / "out"
    trial = put(source, 0)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    (trial / "folder").symlink_to(tmp_path / "private")
    (trial / "key.txt").symlink_to(tmp_path / "private" / "key")
    os.mkfifo(trial / "pipe")
    merge_folders(out, [source])
    assert {path.name for path in (out / trial.name).iterdir()} == {RECORD_FILE, "codes.h5", "traversal.png"}


def test_a_link_to_itself_is_no_folder_to_merge(tmp_path: Path) -> None:
    put(tmp_path / "a", 0)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop is not a folder"):
        merge_folders(tmp_path / "out", [tmp_path / "a", tmp_path / "loop"])
    with pytest.raises(OSError, match=r"symbolic links|File exists"):
        merge_folders(tmp_path / "loop", [tmp_path / "a"])


def test_a_file_that_cannot_be_read_leaves_the_other_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "a", tmp_path / "out"
    bad, good = put(source, 0), put(source, 1)
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == bad / "codes.h5":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    merged = merge_folders(out, [source])
    assert merged.copied == 1 and [path for path, _ in merged.left_out] == [str(bad)]
    assert {path.name for path in out.iterdir()} == {good.name}


def in_a_small_disk() -> None:
    """Let no file grow past 100 bytes, as on a disk that is full; the signal that comes with it is ignored by Python."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("export", "RUNS", "-o", "FILE"), "table.csv"),
        (("export", "RUNS", "--format", "latex", "-o", "FILE"), "table.tex"),
        (("report", "RUNS", "-o", "FILE"), "page.html"),
        (("score", "TABLE", "--metrics", "mig", "--picture", "FILE"), "matrix.png"),
        (("data", "preview", "dsprites_like", "--select", "shape=0", "--out", "FOLDER"), "dsprites_like-sweeps.png"),
        (("merge", "FOLDER", "RUNS"), "other.txt"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else None,
)
def test_a_full_disk_leaves_the_earlier_file_and_no_other(tmp_path: Path, words: tuple[str, ...], name: str) -> None:
    runs, folder = tmp_path / "runs", tmp_path / "made"
    put(runs, 0)
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 4, (200, 2))
    np.savez(tmp_path / "table.npz", codes=factors + 0.1, factors=factors)
    folder.mkdir()
    (folder / name).write_text("earlier")
    named = {"RUNS": runs, "TABLE": tmp_path / "table.npz", "FILE": folder / name, "FOLDER": folder}
    command = [
        sys.executable,
        "-c",
        "from disbench.benchmarks.cli.main import app; app()",
        *(named.get(w, w) for w in words),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "DISBENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, preexec_fn=in_a_small_disk, check=False
    )
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert "Error:" in done.stderr
    assert contents(folder) == {name: b"earlier"}
