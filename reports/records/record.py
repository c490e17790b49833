"""The contract between running and reporting: what decides a trial, and what a finished one leaves behind.

One folder a trial, named `Trial.id`: `record.json` (written whole or not at all) and the files it names. A leaderboard is made
from such folders alone, so records can be merged, mailed and rendered again without the code that trained.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from disbench.datasets.storage.atomic import set_aside, write_atomic
from disbench.datasets.untrusted import check_path_name, read_regular
from disbench.reports.records.migration import (
    RENAMED,
    migrated_trial,
    set_in_version_1,
    with_earlier_names,
    with_names_of_today,
)
from disbench.reports.records.reasons import reason_of

log = logging.getLogger(__name__)
# 2: trials hold every hyperparameter and the version of their method, records the versions of metrics.
SCHEMA_VERSION = 2
RECORD_FILE = "record.json"
STUDY_FILE = "estimators.json"  # of a study of estimators, which folders of records may hold, too
LARGEST = 256 << 20  # bytes of a record that is read; 100,000 steps of training leave about 2 MB
LARGEST_INTEGER = 2**63 - 1
GRID = "disbench grid"  # the text chunk in which the PNG of a grid of images says where its columns are

# diverged: a loss or code that is not finite, or a loss past all bounds. A full disk is no trial's result and stops the run.
Failure = Literal["diverged", "out of memory", "disk full", "dataset missing", "error"]


class Trial(BaseModel):
    """Everything that decides a result, and nothing else: equal trials give equal codes.

    `steps` counts calls of the method's `training_step`; `steps=0` is an untrained encoder. `rows` is the largest number of
    dataset rows that are encoded and scored. `dataset_version` is the renderer's or file's version, so that a changed picture
    is a changed trial. `hparams` and `dataset_options` hold every value, defaults included, and `method_version` changes when
    the same hyperparameters train to another result: a changed default or method is a changed trial, too
    (see `disbench.benchmarks.settings.defaults.resolved_trial`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    method_version: int = Field(default=1, ge=1, le=LARGEST_INTEGER)
    dataset: str
    dataset_options: dict[str, Any] = Field(default_factory=dict)
    dataset_version: str
    seed: int = Field(ge=0, le=LARGEST_INTEGER)
    steps: int = Field(ge=0, le=LARGEST_INTEGER)
    batch_size: int = Field(ge=2, le=LARGEST_INTEGER)
    precision: str = "32-true"
    rows: int = Field(default=100_000, ge=2, le=LARGEST_INTEGER)
    hparams: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method", "dataset")
    @classmethod
    def _safe_in_a_path(cls, name: str, info: ValidationInfo) -> str:
        return check_path_name(name, str(info.field_name))

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(hparams := fields.get("hparams"), dict):
            return {**fields, "hparams": with_names_of_today(str(fields.get("method")), hparams)}
        return fields

    @property
    def id(self) -> str:
        """Folder name: readable parts, then a hash of every field."""
        fields = self.model_dump(mode="json")
        fields["hparams"] = with_earlier_names(self.method, fields["hparams"])
        canonical = json.dumps(fields, sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
        return f"{self.method}-{self.dataset}-seed{self.seed}-{digest}"


class FurtherView(BaseModel):
    """Of a view after the first, what `floor`, `skipped` and `detail` of a record are to the first; `codes` (D') its columns.

    A floor depends on how many codes there are, so each view has its own; the ceiling is the same for all.
    """

    model_config = ConfigDict(extra="forbid")

    codes: list[str] = Field(default_factory=list)
    floor: dict[str, float] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)


class Partition(BaseModel):
    """How a method spread D latents over K factors' groups and nuisance, which is group 0.

    `assignment` (D, K+1): the share of each latent in each group; `group` (D,): the one it is in. `nats` (K+1,): KL(q(z|x) ||
    p(z)) of the latents in each group, mean over the scored rows; `target` (K+1,): the share of all nats meant for it.
    `complexities` (K,): nats of each factor's fitted embedding.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    assignment: list[list[float]]
    group: list[int]
    nats: list[float]
    target: list[float]
    complexities: list[float]


class Evaluation(BaseModel):
    """The scores of one named selection of rows after the first: what the fields of the same names of a record are to that.

    `rows` counts the rows that were scored.
    """

    model_config = ConfigDict(extra="forbid")

    rows: int
    views: dict[str, dict[str, float]] = Field(default_factory=dict)
    floor: dict[str, float] = Field(default_factory=dict)
    ceiling: dict[str, float] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)
    further_views: dict[str, FurtherView] = Field(default_factory=dict)
    view_contents: dict[str, str] = Field(default_factory=dict)
    missing_views: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)


class UsedPlugin(BaseModel):
    """Code outside disbench that a trial used, such as `used_for` ["method dip_vae", "metric nearest"].

    `name` and `version` of a package; of a file or module its name and no version. `sha256` is of the file.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    version: str = ""
    sha256: str = ""
    used_for: list[str] = Field(default_factory=list)


class Record(BaseModel):
    """What a trial left. A metric that is absent was not asked for; one in `skipped` could not be asked, with the reason.

    `views` maps a view of the representation ('mean': the raw posterior means; 'group': one number for each group of a
    partition) to {metric: score}; a view that could not be made has its reason in `missing_views`. `view_contents`
    maps a view to what it scored, in words. `floor` holds the same
    metrics on the same codes with their rows shuffled against the factors, `ceiling` on the factors themselves as codes,
    for the first view; `further_views` has what differs for the others. `reconstruction` maps 'psnr' (dB), 'ssim', 'lpips' and
    'fid' to the quality of `images` scored images decoded from their codes, and `reconstruction_skipped` to a reason. `remarks`
    are the method's own words on its training, such as an audit that found a critic stale.
    `curves` maps a loss term to [step, value] pairs, in nats per image unless its name says otherwise. `artefacts` maps a
    picture's or file's name ('traversal', 'codes', 'checkpoint') to its path relative to the record's folder.
    `seconds` of wall time and `cpu_seconds` of every thread are by stage: 'train' over all sittings, up to the last checkpoint of
    each that was broken off; `resumed_at` has the steps done when one was taken up. `images_per_second` is of training.
    `peak_memory` in bytes, of the last sitting: 'resident', and 'cuda' where there is one. `failure` is the kind of `error`.
    `evaluation` names the selection of rows that these scores are of: 'all', or 'trained' where rows were held out of training;
    `evaluations` has the scores of each further one, and `evaluation_options` the selections that were asked for.
    `metric_versions` holds the version of each metric that was asked for. `changed_hparams` names the hyperparameters of the
    trial whose values are not the method's defaults. `plugins` are those that its method, dataset or metrics came from.
    `migrated_from` is the older schema of the file that a record was read from; it is never written.
    """

    # A diverged run may leave a NaN in a curve; as null it could not be read back.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    trial: Trial
    status: Literal["ok", "failed"]
    views: dict[str, dict[str, float]] = Field(default_factory=dict)
    floor: dict[str, float] = Field(default_factory=dict)
    ceiling: dict[str, float] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)
    further_views: dict[str, FurtherView] = Field(default_factory=dict)
    view_contents: dict[str, str] = Field(default_factory=dict)
    missing_views: dict[str, str] = Field(default_factory=dict)
    evaluation: str = "all"
    evaluations: dict[str, Evaluation] = Field(default_factory=dict)
    evaluation_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    partition: Partition | None = None
    reconstruction: dict[str, float] = Field(default_factory=dict)
    remarks: list[str] = Field(default_factory=list)
    reconstruction_skipped: dict[str, str] = Field(default_factory=dict)
    metric_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metric_versions: dict[str, int] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    provenance: Literal["official", "procedural", "own"] | None = None
    factor_names: list[str] = Field(default_factory=list)
    factor_sizes: list[int] = Field(default_factory=list)
    curves: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    parameters: int | None = None
    images_seen: int | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    cpu_seconds: dict[str, float] = Field(default_factory=dict)
    images_per_second: float | None = None
    peak_memory: dict[str, int] = Field(default_factory=dict)
    resumed_at: list[int] = Field(default_factory=list)
    environment: dict[str, Any] = Field(default_factory=dict)
    command: str = ""
    artefacts: dict[str, str] = Field(default_factory=dict)
    error: str | None = None
    failure: Failure | None = None
    changed_hparams: list[str] = Field(default_factory=list)
    plugins: list[UsedPlugin] = Field(default_factory=list)
    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    migrated_from: int | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _renamed(self) -> "Record":
        renamed = RENAMED.get(self.trial.method, {})
        self.changed_hparams[:] = [renamed.get(name, name) for name in self.changed_hparams]
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """The hyperparameters whose values are not the method's defaults."""
        return {name: self.trial.hparams[name] for name in self.changed_hparams if name in self.trial.hparams}

    @property
    def error_line(self) -> str:
        """The last line of the error."""
        return (self.error or "no error was recorded").strip().splitlines()[-1]

    @property
    def scores(self) -> dict[str, float]:
        """The first view's scores."""
        return next(iter(self.views.values()), {})

    def evaluated(self, name: str) -> "Record":
        """This record with the scores of one of its `evaluations` as its own."""
        own = self.evaluations[name]
        fields = {field: getattr(own, field) for field in Evaluation.model_fields if field != "rows"}
        return self.model_copy(update={**fields, "evaluation": name, "evaluations": {}})


class NewerRecordError(ValueError):
    """A record that a later disbench wrote. It cannot be read here and is never replaced."""


def write_record(record: Record, folder: Path) -> Path:
    """Write `folder/record.json` whole or not at all.

    A record that is there and is of this trial is replaced. Any other file of that name is renamed and kept: one that cannot
    be read, one of another trial, one of an older schema. Raises NewerRecordError, and leaves it, where it is a later disbench's.
    """
    path = folder / RECORD_FILE
    content = (record.model_dump_json(indent=1) + "\n").encode()
    try:
        earlier = read_record(path)
    except FileNotFoundError:
        pass
    except NewerRecordError:
        raise
    except ValueError as error:
        log.warning("%s The file is kept as %s.", str(error).splitlines()[0], set_aside(path, "unreadable").name)
    else:
        if earlier.trial.id != record.trial.id:
            log.warning("%s is of %s. It is kept as %s.", path, earlier.trial.id, set_aside(path, "other").name)
        elif earlier.migrated_from is not None:
            set_aside(path, f"schema-{earlier.migrated_from}")
    write_atomic(path, content)
    return path


def read_record(path: Path) -> Record:
    """Read one `record.json`. Raises ValueError that names the file, and the field, when it is not a record of this schema.

    A record of schema 1 is given as schema 2 has it (see `migration`); its file stays as it is.
    """
    content = read_regular(path, LARGEST)
    try:
        record = Record.model_validate_json(content)
        _refuse_newer(path, record.schema_version)
        return migrated(record)
    except NewerRecordError:
        raise
    except (ValueError, RecursionError) as error:
        _refuse_newer(path, _schema_version(content), error)
        raise ValueError(f"{path} is not a disbench record of schema {SCHEMA_VERSION}: {reason_of(error)}") from error


def migrated(record: Record) -> Record:
    """The record as this schema has it."""
    if record.schema_version >= SCHEMA_VERSION:
        return record
    asked = dict.fromkeys((*record.metric_options, *record.scores, *record.skipped), 1)
    return record.model_copy(
        update={
            "trial": migrated_to_today(record.trial),
            "metric_versions": asked,
            "changed_hparams": set_in_version_1(record.trial.model_dump()),
            "schema_version": SCHEMA_VERSION,
            "migrated_from": record.schema_version,
        }
    )


def trial_of(fields: Any) -> Trial:
    """A trial as JSON wrote it, such as in a checkpoint; of schema 1 where it has no version of its method."""
    trial = Trial.model_validate(fields)
    return trial if "method_version" in fields else migrated_to_today(trial)


def migrated_to_today(trial: Trial) -> Trial:
    """A trial of schema 1 as this schema has it."""
    return Trial.model_validate(migrated_trial(trial.model_dump()))


def _refuse_newer(path: Path, found: Any, error: Exception | None = None) -> None:
    if isinstance(found, int) and found > SCHEMA_VERSION:
        raise NewerRecordError(
            f"{path} has schema_version {found}, this disbench reads up to {SCHEMA_VERSION}. "
            "Read it with the disbench that wrote it, or a later one."
        ) from error


def _schema_version(content: bytes) -> Any:
    try:
        return json.loads(content)["schema_version"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def read_records(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Every record below `folder` with the trial folder that holds it, in path order."""
    for path in sorted(folder.rglob(RECORD_FILE)):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # a copy that was cut off
        yield path.parent, read_record(path)
