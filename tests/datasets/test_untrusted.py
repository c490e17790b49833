"""What somebody else wrote is checked before it becomes a path or is read."""

import os
from pathlib import Path

import pytest

from disbench.datasets.untrusted import check_path_name, path_inside, read_regular

BAD_NAMES = (
    *("", ".", "..", ".hidden", "-rf", "/elsewhere/x", "../x", "a/b", "a\\b", "a b", "a\n", "a\0b", "é", "n" * 101),
    *("\x1b[31mred", "\u202eabc", "C:x", "~root", "$HOME", "a*"),
)


@pytest.mark.parametrize("name", ["vae", "beta_tcvae", "3d.v2-x", "_own", "A" * 100])
def test_a_plain_name_is_kept(name: str) -> None:
    assert check_path_name(name, "method") == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_lead_elsewhere_is_refused_in_printable_words(name: str) -> None:
    with pytest.raises(ValueError, match="A method name needs 1 to 100 letters") as error:
        check_path_name(name, "method")
    assert str(error.value).isprintable() and str(error.value).isascii() and len(str(error.value)) < 600


def test_only_what_lies_in_the_folder_is_inside_it(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    (folder / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    outside = (
        "../trial2/x",
        "..",
        str(tmp_path / "x"),
        "link",
        "link/x",
        "deep/../../x",
        "with\0nul",
        "loop",
        "loop/x",
    )
    for name in outside:
        assert path_inside(folder, name) is None, name
    for name in ("x.png", "deep/x.png", "deep/../x.png"):
        assert path_inside(folder, name) is not None, name


def test_a_regular_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_regular(path, 3) == b"abc"
    with pytest.raises(ValueError, match="has 3 bytes, and at most 2 are read"):
        read_regular(path, 2)


def test_a_sparse_file_of_30_gb_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(30 << 30)
    with pytest.raises(ValueError, match="32,212,254,720 bytes"):
        read_regular(tmp_path / "file", 1 << 20)


def test_a_pipe_a_folder_a_device_and_a_link_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is not a regular file"):
            read_regular(path, 10)
    with pytest.raises(ValueError, match="symbolic link"):
        read_regular(tmp_path / "link", 10)
    assert read_regular(tmp_path / "link", 10, follow=True) == b"x"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)
