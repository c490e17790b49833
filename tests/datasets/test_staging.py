import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from disbench.datasets.imported.staging import clean_up, new_folder

KILLED = """
import os, sys
from pathlib import Path
from disbench.datasets.imported import staging

calls, rename = [], Path.rename
def killed(self, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        os._exit(9)
    return rename(self, target)
Path.rename = killed
with staging.new_folder(Path(sys.argv[1]) / "mine", lambda: None) as folder:
    (folder / "content").write_text("new")
"""


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def old_set(root: Path) -> Path:
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "content").write_text("old")
    return root / "mine" / "content"


@pytest.mark.parametrize(("call", "left"), [(2, "old"), (3, "old")])
def test_a_process_killed_before_a_rename_leaves_the_old_folder_or_lets_it_be_brought_back(
    tmp_path: Path, call: int, left: str
) -> None:
    """The renames are: of the new folder once it is locked, of the old folder, of the new folder to its place."""
    content = old_set(tmp_path)
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(call)], check=False).returncode == 9
    assert len(names(tmp_path)) == 2
    assert content.exists() == (call == 2)
    clean_up(tmp_path)
    assert names(tmp_path) == ["mine"]
    assert content.read_text() == left


def test_a_folder_that_is_being_filled_is_left_alone(tmp_path: Path) -> None:
    with new_folder(tmp_path / "mine", lambda: None) as folder:
        (folder / "content").touch()
        clean_up(tmp_path)
        assert (folder / "content").exists()
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["content"]


def test_an_old_folder_waits_while_its_successor_is_locked(tmp_path: Path) -> None:
    old, new = tmp_path / ".mine.0123abcd.old", tmp_path / ".mine.0123abcd"
    old.mkdir()
    new.mkdir()
    with FileLock(new / ".lock"):
        clean_up(tmp_path)
        assert names(tmp_path) == [".mine.0123abcd", ".mine.0123abcd.old"]
    clean_up(tmp_path)
    assert names(tmp_path) == ["mine"]


def test_an_error_in_the_block_leaves_the_old_folder(tmp_path: Path) -> None:
    content = old_set(tmp_path)
    with pytest.raises(OSError, match="full"), new_folder(tmp_path / "mine", lambda: None):
        raise OSError("full")
    assert names(tmp_path) == ["mine"]
    assert content.read_text() == "old"


def test_cleaning_up_touches_nothing_of_anybody_else(tmp_path: Path) -> None:
    for name in (".git", ".mine", ".Mine.0123abcd", "mine.0123abcd", ".mine.0123"):
        (tmp_path / name).mkdir()
    (tmp_path / ".mine.0123abcd").write_text("a file")
    before = names(tmp_path)
    clean_up(tmp_path)
    clean_up(tmp_path / "nowhere")
    assert names(tmp_path) == before
