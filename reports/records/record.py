"""The contract between running and reporting: what decides a trial, and what a finished one leaves behind.

One folder a trial, named `Trial.id`: `record.json` (written whole or not at all) and the files it names. A leaderboard is made
from such folders alone, so records can be merged, mailed and rendered again without the code that trained.
"""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from disbench.datasets.untrusted import check_path_name
from disbench.reports.records import migration

# 2: trials hold every hyperparameter and the version of their method, records the versions of metrics.
SCHEMA_VERSION = 2
NONE = "none"  # what a method sees besides images
RECORD_FILE = "record.json"
STUDY_FILE = "estimators.json"  # of a study of estimators, which folders of records may hold, too
LARGEST = 256 << 20  # bytes of a record that is read; 100,000 steps of training leave about 2 MB
LARGEST_INTEGER = 2**63 - 1
GRID = "disbench grid"  # the text chunk in which the PNG of a grid of images says where its columns are

# diverged: a loss or code that is not finite, or a loss past all bounds. A full disk is no trial's result and stops the run.
Failure = Literal["diverged", "out of memory", "disk full", "dataset missing", "error"]


class Trial(BaseModel):
    """Hold everything that decides a result: equal trials give equal codes.

    Parameters
    ----------
    method, dataset : str
        Names in `METHODS` and `DATASETS`.
    method_version : int, default 1
        Changes when the same hyperparameters train to another result.
    dataset_options : dict
        Options of the dataset, defaults included.
    dataset_version : str
        Version of the renderer or the file: a changed image is a changed trial.
    seed : int
        Seed of all random numbers, at least 0.
    steps : int
        Number of calls of the method's `training_step`; 0 is an untrained encoder.
    batch_size : int
        Number of images per minibatch, at least 2.
    precision : str, default "32-true"
        Precision of training, as Lightning names it.
    rows : int, default 100,000
        Largest number of dataset rows that are encoded and scored, at least 2.
    hparams : dict
        Hyperparameters, defaults included (see `disbench.benchmarks.settings.defaults.resolved_trial`).

    Examples
    --------
    >>> from disbench.reports.records import Trial
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> trial.id.rpartition("-")[0]
    'vae-dsprites_like-seed0'
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
            method = str(fields.get("method"))
            hparams = migration.with_added(method, migration.with_names_of_today(method, hparams))
            return {**fields, "hparams": hparams}
        return fields

    @property
    def id(self) -> str:
        """Name of the folder: readable parts, then a hash of every field."""
        fields = self.model_dump(mode="json")
        fields["hparams"] = migration.without_added(
            self.method, migration.with_earlier_names(self.method, fields["hparams"])
        )
        canonical = json.dumps(fields, sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
        return f"{self.method}-{self.dataset}-seed{self.seed}-{digest}"


class FurtherView(BaseModel):
    """Hold the scores of a view after the first.

    `floor`, `skipped` and `detail` mean what they mean in `Record`; `codes` (D') names the columns of the view. A floor depends
    on how many codes there are, so each view has its own; the ceiling is the same for all.
    """

    model_config = ConfigDict(extra="forbid")

    codes: list[str] = Field(default_factory=list)
    floor: dict[str, float] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    detail: dict[str, Any] = Field(default_factory=dict)


class Partition(BaseModel):
    """Describe how a method spread D latents over the groups of K factors and nuisance, which is group 0.

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
    """Hold the scores of one named selection of rows after the first.

    `rows` counts the rows that were scored. The other fields mean what they mean in `Record`.
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
    shift: dict[str, Any] = Field(default_factory=dict)


class UsedPlugin(BaseModel):
    """Name code outside disbench that a trial used, such as `used_for` ["method dip_vae", "metric nearest"].

    `name` and `version` of a package; of a file or module its name and no version. `sha256` is of the file.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    version: str = ""
    sha256: str = ""
    used_for: list[str] = Field(default_factory=list)


class Record(BaseModel):
    """Hold what a trial left: its scores, its costs and the files that it wrote.

    A metric that is absent was not requested. A metric in `skipped` was requested and could not be computed.

    Parameters
    ----------
    trial : Trial
        What decides the result.
    status : {"ok", "failed"}
        Whether the trial finished.
    views : dict
        Scores by metric, by view: "mean", the posterior means; "group", one number per group of a partition.
    view_contents, missing_views : dict of str
        What each view scored, in words; and the reason for each view that could not be made.
    floor, ceiling : dict of float
        Scores of the first view, by metric: with rows shuffled against the factors, and of the factors themselves as codes.
    detail, skipped : dict
        Of the first view, by metric: the numbers behind the score, or the reason why there is none.
    further_views : dict of FurtherView
        The same of the other views, where it differs.
    evaluation : str, default "all"
        Selection of rows that these scores are of: "all", or "trained" if rows were held out of training.
    evaluations : dict of Evaluation
        Scores of further selections of rows.
    shift : dict
        Of a further evaluation, "nll" of reconstructions and "r2" of factors, beside those of the first: see `docs/running.md`.
    evaluation_options : dict
        Selections that were requested, as ranges of factors.
    partition : Partition, optional
        How the method spread its latents over factors.
    reconstruction, reconstruction_skipped : dict
        Quality of reconstructed images: "psnr" (dB), "ssim", "lpips", "fid", and their number, "images"; or the reason for none.
    selection_scores : dict of float
        Scores that need no factors, by name, in a method that has them: see `Method.selection_scores`.
    remarks : list of str
        What a reader should know about the training, such as a failed audit.
    metric_options, metric_versions : dict
        Options and version of each metric that was requested.
    provenance : {"official", "procedural", "own"}, optional
        Origin of the images.
    supervision : str, default "none"
        What the method sees besides images: "none", "labels" of some images, "all labels", or what else it declares.
    factor_names, factor_sizes : list
        Names of the dataset's factors, and their numbers of values.
    curves : dict of list
        [step, value] pairs by loss term, in nats per image unless the name says otherwise.
    score_curves : dict of list
        [step, score] pairs by metric, of a fixed sample of training rows, if scores were requested during training.
    score_curve_settings : dict
        How these were computed: "every", the steps between points; "rows"; "metrics" with options; "metric_versions".
    parameters, images_seen : int, optional
        Number of trained parameters, and of images in all steps.
    seconds, cpu_seconds : dict of float
        Wall time, and CPU time of all threads, by stage.
    images_per_second : float, optional
        Speed of training.
    peak_memory : dict of int
        Bytes since the last start: "resident", and "cuda" if there is a GPU.
    resumed_at : list of int
        Steps that were done at each resume.
    environment : dict
        Versions of packages, and the machine.
    command : str
        Command that runs the trial again.
    artefacts : dict of str
        Paths of files relative to the record's folder, by name, such as "codes" or "checkpoint".
    error, failure : str, optional
        Traceback of a failed trial, and its kind.
    changed_hparams : list of str
        Hyperparameters whose values are not the method's defaults.
    plugins : list of UsedPlugin
        Plugins of the method, the dataset or the metrics.
    schema_version, migrated_from : int
        Schema of this record, and the older one of its file, which is not written.
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
    shift: dict[str, Any] = Field(default_factory=dict)
    evaluation_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    partition: Partition | None = None
    reconstruction: dict[str, float] = Field(default_factory=dict)
    selection_scores: dict[str, float] = Field(default_factory=dict)
    remarks: list[str] = Field(default_factory=list)
    reconstruction_skipped: dict[str, str] = Field(default_factory=dict)
    metric_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metric_versions: dict[str, int] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    provenance: Literal["official", "procedural", "own"] | None = None
    supervision: str = NONE
    factor_names: list[str] = Field(default_factory=list)
    factor_sizes: list[int] = Field(default_factory=list)
    curves: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    score_curves: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    score_curve_settings: dict[str, Any] = Field(default_factory=dict)
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
        renamed = migration.RENAMED.get(self.trial.method, {})
        self.changed_hparams[:] = [renamed.get(name, name) for name in self.changed_hparams]
        if "supervision" not in self.model_fields_set:
            self.supervision = migration.SUPERVISION.get(self.trial.method, NONE)
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """Hyperparameters whose values are not the method's defaults."""
        return {name: self.trial.hparams[name] for name in self.changed_hparams if name in self.trial.hparams}

    @property
    def error_line(self) -> str:
        """Last line of the error."""
        return (self.error or "no error was recorded").strip().splitlines()[-1]

    @property
    def scores(self) -> dict[str, float]:
        """Scores of the first view."""
        return next(iter(self.views.values()), {})

    def evaluated(self, name: str) -> "Record":
        """Copy the record with the scores of one of its `evaluations` as its own."""
        own = self.evaluations[name]
        fields = {field: getattr(own, field) for field in Evaluation.model_fields if field != "rows"}
        fields |= {"score_curves": {}, "score_curve_settings": {}}  # they are of training rows
        return self.model_copy(update={**fields, "evaluation": name, "evaluations": {}})


def migrated(record: Record) -> Record:
    """Convert a record to this schema."""
    if record.schema_version >= SCHEMA_VERSION:
        return record
    asked = dict.fromkeys((*record.metric_options, *record.scores, *record.skipped), 1)
    return record.model_copy(
        update={
            "trial": migrated_to_today(record.trial),
            "metric_versions": asked,
            "changed_hparams": migration.set_in_version_1(record.trial.model_dump()),
            "schema_version": SCHEMA_VERSION,
            "migrated_from": record.schema_version,
        }
    )


def trial_of(fields: Any) -> Trial:
    """Validate a trial that was read from JSON, such as from a checkpoint; without `method_version` it is of schema 1."""
    trial = Trial.model_validate(fields)
    return trial if "method_version" in fields else migrated_to_today(trial)


def migrated_to_today(trial: Trial) -> Trial:
    """Convert a trial of schema 1 to this schema."""
    return Trial.model_validate(migration.migrated_trial(trial.model_dump()))
