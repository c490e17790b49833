"""One folder with a record of each broken kind: every command shows the others and says what it left out, and why."""

import json
import math
import os
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.studies.status import states
from disbench.reports.records import RECORD_FILE, Record, Trial, write_record
from disbench.reports.records.collect import collect

GOOD = {"method": "vae", "dataset": "dsprites", "dataset_version": "1", "seed": 0, "steps": 30, "batch_size": 64}
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202egnp.exe\r"
DEEP = 50_000


def record(**fields: Any) -> dict[str, Any]:
    """A record as JSON, with fields of its trial or its own replaced."""
    trial = {name: fields.pop(name) for name in list(fields) if name in Trial.model_fields}
    own = {"status": "ok", "provenance": "procedural", "views": {"mean": {"mig": 0.2}}, **fields}
    return {"trial": {**GOOD, "seed": 9, **trial}, **own, "schema_version": own.get("schema_version", 2)}


def text(**fields: Any) -> bytes:
    return json.dumps(record(**fields)).encode()


def deep(name: str) -> bytes:
    return text().replace(b'"status"', b'"%s": %s%s, "status"' % (name.encode(), b'{"a":' * DEEP + b"1", b"}" * DEEP))


# What stands in the file of a record that must be left out, and a word of the reason.
CONTENTS: dict[str, tuple[bytes, str]] = {
    "absolute_method": (text(method="/elsewhere/x"), "method name needs"),
    "method_upwards": (text(method="../.."), "method name needs"),
    "dataset_upwards": (text(dataset="../x"), "dataset name needs"),
    "dataset_with_escapes": (text(dataset=ESCAPES), "dataset name needs"),
    "empty": (b"", "EOF"),
    "cut_off": (text()[:-40], "EOF"),
    "a_list": (b"[]", "object"),
    "null": (b"null", "object"),
    "words": (b"not JSON", "JSON"),
    "latin_1": (text(command="x").replace(b'"x"', b'"\xff\xe9"'), "unicode"),
    "with_bom": (b"\xef\xbb\xbf" + text(), "JSON"),
    "utf_16": (text().decode().encode("utf-16"), "JSON"),
    "deep_detail": (deep("detail"), "recursion"),
    "deep_unknown": (deep("unheard_of"), "recursion"),
    "score_1e308": (text(views={"mean": {"mig": 1e308}}), "1e+308"),
    "floor_1e308": (text(floor={"mig": -1e308}), "floor"),
    "seconds_1e308": (text(seconds={"train": 1e308}), "seconds"),
    "setting_of_400_digits": (text(hparams={"beta": 10**400}), "hparams"),
    "settings_of_megabytes": (text(hparams={"note": "n" * 3_000_000}), "3,000,000 characters"),
    "remarks_of_megabytes": (text(remarks=["n" * 3_000_000]), "characters beside"),
    "newer": (text(schema_version=99), "99"),
    "negative_seed": (text(seed=-1), "seed"),
    "seed_of_400_digits": (text(seed=10**400), "seed"),
    "no_trial": (b'{"status": "ok"}', "trial"),
    "unknown_field": (text(unheard_of=1), "unheard_of"),
    "key_with_escapes": (text(**{ESCAPES: 1}), "not permitted"),
    "score_is_text": (text(views={"mean": {"mig": "high"}}), "mig"),
}
# What is odd and can be shown, so that nothing is left out.
SHOWN: dict[str, dict[str, Any]] = {
    "scores_not_finite": {"views": {"mean": {"mig": math.nan, "sap": math.inf}}},
    "no_scores": {"views": {}},
    "curves_backwards": {"curves": {"loss": [[9, 1.0], [3, 2.0], [3, math.nan], [1, 1e308], [0, -1e308]]}},
    "curves_empty": {"curves": {"loss": [], "": [[0, math.inf]]}},
    "partition_of_nothing": {
        "partition": {"assignment": [], "group": [], "nats": [], "target": [], "complexities": []}
    },
    "partition_not_finite": {
        "partition": {
            "assignment": [[math.nan, math.inf]],
            "group": [-7],
            "nats": [math.inf, math.nan],
            "target": [math.nan, -1e308 / 1e300],
            "complexities": [math.nan],
        }
    },
    "numbers_below_zero": {"parameters": -1, "images_seen": -5, "seconds": {"train": -3.0}, "factor_sizes": [-1]},
    "nothing_in_lists": {"factor_names": [], "factor_sizes": [], "remarks": [], "resumed_at": []},
    "text_with_escapes": {"error": ESCAPES, "remarks": [ESCAPES], "skipped": {"mcc": ESCAPES, ESCAPES: ESCAPES}},
    "settings_with_escapes": {"hparams": {ESCAPES: ESCAPES}, "dataset_version": f"={ESCAPES}"},
    "quality_not_finite": {"reconstruction": {"psnr": math.nan, "images": math.inf}, "images_per_second": math.inf},
    "artefacts_elsewhere": {"artefacts": {"traversal": "/etc/passwd", "codes": "../../codes.h5", "x": "a\0b"}},
}
with suppress(ValidationError):  # newer releases of pydantic read it as infinite, older ones refuse it
    TypeAdapter(float).validate_json("1" + "0" * 400)
    SHOWN["score_of_400_digits"] = {"views": {"mean": {"mig": 10**400}}}


def bomb() -> bytes:
    """A PNG whose header promises 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(size)


# Files that a record names, each made by a function of its path.
ARTEFACTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "picture_is_a_bomb": ("traversal.png", lambda path: path.write_bytes(bomb())),
    "picture_of_30_gb": ("traversal.png", lambda path: sparse(path, 30 << 30)),
    "picture_is_a_pipe": ("traversal.png", os.mkfifo),
    "picture_is_a_folder": ("traversal.png", Path.mkdir),
    "picture_is_a_device": ("traversal.png", lambda path: path.symlink_to("/dev/zero")),
    "picture_is_a_loop": ("traversal.png", lambda path: path.symlink_to(path.name)),
    "picture_is_cut_off": ("traversal.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n")),
    "codes_are_a_pipe": ("codes.h5", os.mkfifo),
    "codes_of_30_gb": ("codes.h5", lambda path: sparse(path, 30 << 30)),
    "codes_are_a_device": ("codes.h5", lambda path: path.symlink_to("/dev/zero")),
}
# A record file that is no file.
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "record_is_a_pipe": (os.mkfifo, "not a regular file"),
    "record_is_a_folder": (Path.mkdir, "not a regular file"),
    "record_is_a_link": (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
    "record_leads_nowhere": (lambda path: path.symlink_to("nowhere"), "symbolic link"),
    "record_of_30_gb": (lambda path: sparse(path, 30 << 30), "bytes"),
}
LEFT_OUT = {name: word for name, (_, word) in {**CONTENTS, **{n: (b"", w) for n, (_, w) in FILES.items()}}.items()}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken") / "runs"
    for method in ("vae", "beta_vae"):
        for seed in range(3):
            trial = Trial.model_validate({**GOOD, "method": method, "seed": seed})
            scores = {"mig": 0.1 + seed / 100 + 0.3 * (method == "vae")}
            own = Record(trial=trial, status="ok", provenance="procedural", views={"mean": scores})
            write_record(own, folder / trial.id)
    for name, (content, _) in CONTENTS.items():
        (folder / name).mkdir()
        (folder / name / RECORD_FILE).write_bytes(content)
    for seed, (name, fields) in enumerate(SHOWN.items(), 100):
        (folder / name).mkdir()
        (folder / name / RECORD_FILE).write_text(json.dumps(record(seed=seed, **fields)))
    for seed, (name, (file, make)) in enumerate(ARTEFACTS.items(), 200):
        (folder / name).mkdir()
        artefacts = {"codes" if file.endswith("h5") else "traversal": file}
        (folder / name / RECORD_FILE).write_bytes(text(seed=seed, artefacts=artefacts, method=name))
        make(folder / name / file)
    for name, (make, _) in FILES.items():
        (folder / name).mkdir()
        make(folder / name / RECORD_FILE)
    hidden = folder / ".disbench-merge-0123456789abcdef"
    hidden.mkdir()
    (hidden / RECORD_FILE).write_bytes(text(method="hidden"))
    (folder / "study").mkdir()
    (folder / "study" / "estimators.json").write_text(
        '{"profile": "quick", "settings": {}, "machine": {}, "cells": {}}'
    )
    return folder


def disbench(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def clean(told: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", told)


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_broken_record_is_left_out_with_its_reason(broken: Path, name: str) -> None:
    reasons = dict(collect(broken).unreadable)
    assert set(reasons) == {f"{own}/{RECORD_FILE}" for own in LEFT_OUT}
    reason = reasons[f"{name}/{RECORD_FILE}"]
    assert LEFT_OUT[name] in reason and str(broken) not in reason and len(reason) < 400 and "\n" not in reason
    clean(reason)


def test_the_page_shows_the_others_and_lists_what_was_left_out(broken: Path, tmp_path: Path) -> None:
    status, told, _ = disbench("report", broken, "-o", tmp_path / "page.html")
    assert status == 0
    clean(told)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    clean(page)
    assert 'data-label="beta_vae"' in page and all(f'data-label="{name}"' in page for name in ARTEFACTS)
    assert all(f"<code>{name}/{RECORD_FILE}</code>" in page for name in LEFT_OUT)
    assert "study/estimators.json</code>" in page
    for name in ("is_a_bomb", "of_30_gb", "is_a_pipe", "is_a_folder", "is_a_device", "is_a_loop"):
        assert f"<code>picture_{name}/traversal.png</code>" in page
    assert "60,000 x 60,000 pixels" in page and "32,212,254,720 bytes" in page and "hidden" not in told


@pytest.mark.parametrize("form", ["csv", "json", "latex", "markdown"])
def test_the_exports_hold_the_others_and_name_what_was_left_out(broken: Path, form: str) -> None:
    status, told, error = disbench("export", broken, "--format", form)
    assert status == 0
    clean(told + error)
    assert "beta_vae" in told.replace("\\", "") and error.count("Left out: ") == len(LEFT_OUT)


def test_two_methods_are_compared(broken: Path) -> None:
    status, told, error = disbench("compare", "beta_vae", "picture_is_a_bomb", broken)
    assert status == 0 and "MIG" in told and error.count("Left out: ") == len(LEFT_OUT)
    clean(told + error)


def test_the_state_of_each_trial_is_shown(broken: Path) -> None:
    status, told, error = disbench("status", broken)
    assert status == 0 and "unreadable" in told
    clean(told + error)
    unreadable = {state.folder.name for state in states(broken) if state.state == "unreadable"}
    assert {"deep_detail", "absolute_method", "record_is_a_pipe", "record_is_a_folder", "with_bom"} <= unreadable


def test_the_others_are_merged_and_nothing_is_written_elsewhere(broken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, told, error = disbench("merge", out, broken)
    assert status == 1 and f"{6 + len(SHOWN) + len(ARTEFACTS)} trials copied" in told
    assert error.count("Left out: ") == len(LEFT_OUT)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and not list(out.glob(".*"))
    assert not any(path.is_symlink() or path.is_fifo() for path in out.rglob("*"))
    (copied,) = out.glob("picture_of_30_gb-*/traversal.png")
    assert copied.stat().st_size == 30 << 30 and copied.stat().st_blocks < 1000
    assert disbench("merge", out, broken)[0] == 1


def test_a_trial_that_vanishes_meanwhile_is_left_out(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    for seed in (1, 2):
        (folder / str(seed)).mkdir(parents=True)
        (folder / str(seed) / RECORD_FILE).write_bytes(text(seed=seed))
    walk = os.walk

    def walk_and_remove(*arguments: Any, **options: Any) -> Any:
        yield from walk(*arguments, **options)
        (folder / "1" / RECORD_FILE).unlink(missing_ok=True)

    monkeypatch.setattr(os, "walk", walk_and_remove)
    found = collect(folder)
    assert [place.name for place, _ in found.found] == ["2"]
    assert found.unreadable == (("1/record.json", "No such file or directory: record.json"),)
