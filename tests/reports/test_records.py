"""The contract: a record survives its file, half a file is never read, and a trial's id names everything that decides it."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from disbench.datasets.storage.atomic import remove_temporary_files, write_atomic
from disbench.reports.records import (
    RECORD_FILE,
    SCHEMA_VERSION,
    FurtherView,
    Partition,
    Record,
    Trial,
    read_record,
    read_records,
    write_record,
)
from disbench.reports.records.collect import collect
from disbench.reports.records.migration import ADDED
from disbench.reports.tables.aggregate import tables

BASE = {
    "method": "vae",
    "dataset": "dsprites",
    "dataset_options": {"shapes": ["heart"]},
    "dataset_version": "1",
    "seed": 0,
    "steps": 10,
    "batch_size": 64,
    "precision": "32-true",
    "rows": 1000,
    "hparams": {"beta": 1.0},
}
CHANGED = {
    "method": "beta_vae",
    "method_version": 2,
    "dataset": "shapes3d",
    "dataset_options": {"shapes": ["oval"]},
    "dataset_version": "2",
    "seed": 1,
    "steps": 11,
    "batch_size": 32,
    "precision": "bf16-mixed",
    "rows": 1001,
    "hparams": {"beta": 2.0},
}


def test_a_record_comes_back_equal(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    for folder, record in read_records(fill(tmp_path / "runs")):
        again = tmp_path / "again" / folder.name
        assert read_record(write_record(record, again)) == record


def test_writing_leaves_nothing_but_the_record(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    path = write_record(make_record({"mig": 0.1}), tmp_path / "trial")
    write_record(make_record({"mig": 0.2}), tmp_path / "trial")
    assert [entry.name for entry in path.parent.iterdir()] == [RECORD_FILE]
    assert read_record(path).scores == {"mig": 0.2}


def test_an_interrupted_write_is_never_read(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    whole = write_record(make_record({"mig": 0.1}), tmp_path / "trial").read_text()
    (tmp_path / "trial" / f".{RECORD_FILE}.1234").write_text(whole[: len(whole) // 2])
    assert [record.scores for _, record in read_records(tmp_path)] == [{"mig": 0.1}]


def test_a_record_that_cannot_be_serialised_leaves_the_old_one(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    path = write_record(make_record({"mig": 0.1}), tmp_path)
    with pytest.raises(ValueError, match="serialize"):
        write_record(make_record({"mig": 0.2}, detail={"codes": object()}), tmp_path)
    assert read_record(path).scores == {"mig": 0.1}


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text('{"trial": {')
    with pytest.raises(ValueError, match=RECORD_FILE):
        read_record(tmp_path / RECORD_FILE)


def test_a_trial_id_does_not_depend_on_the_order_of_settings() -> None:
    one = Trial.model_validate(BASE | {"hparams": {"a": 1, "b": 2}})
    other = Trial.model_validate(BASE | {"hparams": {"b": 2, "a": 1}})
    assert one.id == other.id


def test_a_trial_id_is_the_one_of_earlier_releases_with_this_schema() -> None:
    assert Trial.model_validate(BASE).id == "vae-dsprites-seed0-e9b1dd7b1b"


@pytest.mark.parametrize("field", sorted(Trial.model_fields))
def test_a_trial_id_changes_with_every_field(field: str) -> None:
    assert set(CHANGED) == set(Trial.model_fields)
    changed = Trial.model_validate(BASE | {field: CHANGED[field]})
    assert changed.id != Trial.model_validate(BASE).id


def test_a_record_is_plain_json(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    path = write_record(make_record({"mig": 0.1}), tmp_path)
    assert json.loads(path.read_text())["views"] == {"mean": {"mig": 0.1}}


def test_a_record_from_before_views_partitions_and_reconstructions_is_still_read(tmp_path: Path) -> None:
    older = {
        "trial": BASE,
        "status": "ok",
        "views": {"mean": {"mig": 0.25}},
        "floor": {"mig": 0.01},
        "curves": {"loss": [[1, 2.0]]},
        "artefacts": {"traversal": "traversal.png"},
        "schema_version": 1,
    }
    (tmp_path / RECORD_FILE).write_text(json.dumps(older))
    record = read_record(tmp_path / RECORD_FILE)
    assert record.scores == {"mig": 0.25}
    assert record.schema_version == SCHEMA_VERSION
    assert (record.further_views, record.partition, record.reconstruction) == ({}, None, {})


def test_a_partition_and_a_perfect_reconstruction_come_back_equal(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    partition = Partition(
        assignment=[[0.25, 0.75], [1.0, 0.0]], group=[1, 0], nats=[0.5, 2.5], target=[0.1, 0.9], complexities=[3.0]
    )
    further = {"group": FurtherView(codes=["group 1"], floor={"mig": 0.1}, skipped={"irs": "why"}, detail={"mig": {}})}
    fields = {"partition": partition, "further_views": further, "reconstruction": {"psnr": float("inf"), "ssim": 1.0}}
    record = make_record({"mig": 0.1}, **fields)
    assert read_record(write_record(record, tmp_path)) == record


def test_a_curve_that_ends_in_nan_is_read_back(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    record = make_record({}).model_copy(update={"curves": {"loss": [(1, float("nan")), (2, float("inf"))]}})
    (_, first), (_, second) = read_record(write_record(record, tmp_path)).curves["loss"]
    assert math.isnan(first)
    assert second == float("inf")


def test_a_record_of_a_newer_schema_is_refused_with_its_version_and_the_one_that_is_read(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    content = json.loads(write_record(make_record({"mig": 0.1}), tmp_path).read_text())
    for newer in ({"schema_version": SCHEMA_VERSION + 1}, {"schema_version": SCHEMA_VERSION + 1, "of_later": 1}):
        (tmp_path / RECORD_FILE).write_text(json.dumps(content | newer))
        with pytest.raises(
            ValueError, match=f"record.json has schema_version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}"
        ):
            read_record(tmp_path / RECORD_FILE)


def test_a_field_that_is_unknown_or_has_a_value_that_is_not_allowed_is_named(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    content = json.loads(write_record(make_record({"mig": 0.1}), tmp_path).read_text())
    for wrong, words in (
        ({"of_later": 1}, "of_later"),
        ({"failure": "bad luck"}, "(?s)failure.*'diverged'.*'disk full'"),
    ):
        (tmp_path / RECORD_FILE).write_text(json.dumps(content | wrong))
        with pytest.raises(ValueError, match=words):
            read_record(tmp_path / RECORD_FILE)


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_link_stays_in_its_place_unless_it_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        write_atomic(tmp_path / name, name.encode())
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"link"
    assert not (tmp_path / "loop").is_symlink() and (tmp_path / "loop").read_bytes() == b"loop"


def test_what_a_killed_process_was_writing_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    for name in (".record.json.12", ".disbench-0123456789abcdef.tmp", ".lock", "record.json", ".hidden"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "record.json", ".hidden"}


def test_a_summary_does_not_depend_on_how_its_file_is_laid_out(
    make_record: Callable[..., Record], tmp_path: Path
) -> None:
    record = make_record(
        {"mig": 0.5, "curves": 0.25},
        curves={"loss": [(1, 2.0), (2, 1.0)]},
        detail={"mig": {"gaps": [0.1]}, "curves": {"a": {}}},
        remarks=['\n "curves": {\n', "\n },"],
        artefacts={"detail": "x"},
        views={"curves": {"mig": 0.5}, "detail": {"mig": 0.4}},
    )
    whole_text = record.model_dump_json()
    one_space_each = json.dumps(json.loads(whole_text), indent=1).replace("\n  ", "\n ")
    while "\n  " in one_space_each:
        one_space_each = one_space_each.replace("\n  ", "\n ")
    last = {name: value for name, value in json.loads(whole_text).items() if name != "curves"}
    last["curves"] = json.loads(whole_text)["curves"]
    texts = [
        record.model_dump_json(indent=1),
        whole_text,
        json.dumps(json.loads(whole_text), indent=4),
        json.dumps(last, indent=1),
        one_space_each,
    ]
    wanted = record.model_dump(exclude={"curves", "detail"})
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_text(text)
    found = collect(tmp_path)
    assert found.unreadable == ()
    assert [own.model_dump(exclude={"curves", "detail"}) for _, own in found.found] == [wanted] * len(texts)
    assert not any(own.curves or own.detail for _, own in found.found[:3])  # what is not as expected is read in full


def test_paths_are_in_order_of_their_parts(make_record: Callable[..., Record], tmp_path: Path) -> None:
    for name in ("a-b", "a", "a/c"):
        write_record(make_record({"mig": 0.1}), tmp_path / name)
    assert [folder.relative_to(tmp_path).as_posix() for folder, _ in collect(tmp_path).found] == ["a", "a/c", "a-b"]


@pytest.mark.parametrize("field", ["method", "dataset"])
@pytest.mark.parametrize("name", ["/elsewhere/x", "../x", "..", "a/b", "", ".x", "\x1b[31m"])
def test_a_trial_whose_name_could_lead_elsewhere_is_refused_wherever_it_is_read(
    tmp_path: Path, field: str, name: str
) -> None:
    with pytest.raises(ValueError, match=f"A {field} name needs"):
        Trial.model_validate(BASE | {field: name})
    content = {"trial": BASE | {field: name}, "status": "ok"}
    (tmp_path / RECORD_FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"A {field} name needs"):
        read_record(tmp_path / RECORD_FILE)
    ((path, reason),) = collect(tmp_path).unreadable
    assert path == RECORD_FILE and f"A {field} name needs" in reason


def older(method: str, score: float, **hparams: object) -> dict[str, object]:
    trial = {name: value for name, value in BASE.items() if name != "hparams"}
    return {
        "trial": {**trial, "method": method, "hparams": hparams},
        "status": "ok",
        "views": {"mean": {"mig": score}},
        "metric_options": {"mig": {}},
        "schema_version": 1,
    }


def written(content: dict[str, object], folder: Path) -> Record:
    folder.mkdir()
    (folder / RECORD_FILE).write_text(json.dumps(content))
    return read_record(folder / RECORD_FILE)


def test_a_record_of_schema_1_is_read_with_the_defaults_of_its_version(tmp_path: Path) -> None:
    record = written(older("beta_vae", 0.5, lr=1e-4, beta=8.0), tmp_path / "a")
    whole = {"beta": 8, "latent_dim": 10, "lr": 1e-4, "network": "conv", "hidden_dim": 1200, **ADDED[0][1]}
    assert record.trial.hparams == whole
    assert record.changes == {"beta": 8}
    assert (record.trial.method_version, record.metric_versions) == (1, {"mig": 1})
    assert (record.schema_version, record.migrated_from) == (SCHEMA_VERSION, 1)
    ((_, summary),) = collect(tmp_path).found
    assert summary.trial == record.trial
    again = json.loads(write_record(record, tmp_path / "b").read_text())
    assert again["schema_version"] == SCHEMA_VERSION
    assert "migrated_from" not in again


def test_a_method_of_somebody_else_keeps_what_was_set_in_schema_1(tmp_path: Path) -> None:
    record = written(older("theirs", 0.5, beta=8.0), tmp_path / "a")
    assert record.trial.hparams == {"beta": 8}
    assert record.changed_hparams == ["beta"]


def test_the_sizes_of_methods_by_default_are_compared_too(tmp_path: Path) -> None:
    records = [written(older(method, 0.5), tmp_path / method) for method in ("vae", "mine_vae")]
    (table,) = tables((tmp_path / record.trial.method, record) for record in records)
    assert "Unequal settings: latent_dim is 128 in mine_vae, 10 in vae." in table.notices


def test_scores_of_two_versions_of_a_metric_are_noticed(make_record: Callable[..., Record]) -> None:
    records = [
        (Path(name), make_record({"mig": 0.1}, method=name, metric_versions={"mig": version}))
        for name, version in (("a", 1), ("b", 2))
    ]
    (both,), (one,) = tables(records), tables(records[:1])
    assert any("mig of version 1 in a, 2 in b" in notice for notice in both.notices)
    assert not any("mig" in notice for notice in one.notices)


def test_of_a_trial_of_two_schemas_the_newer_record_is_shown(tmp_path: Path) -> None:
    record = written(older("vae", 0.25), tmp_path / "a")
    record.views["mean"]["mig"] = 0.5
    write_record(record, tmp_path / "b")
    (table,) = tables(collect(tmp_path).found)
    assert [cell.mean for row in table.rows for cell in row.cells.values()] == [0.5]


def test_rows_of_two_versions_of_a_method_are_told_apart(make_record: Callable[..., Record], tmp_path: Path) -> None:
    for version in (1, 2):
        write_record(make_record({"mig": 0.1}, method_version=version), tmp_path / str(version))
    (table,) = tables(collect(tmp_path).found)
    assert sorted(row.label for row in table.rows) == ["vae (method_version=1)", "vae (method_version=2)"]
