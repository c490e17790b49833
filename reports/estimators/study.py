"""What the study of estimators measured: the file `estimators.json`, which `benchmarks` writes and the page is made from."""

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.untrusted import read_regular
from disbench.reports.records import STUDY_FILE
from disbench.reports.records.reasons import reason_of

STUDY_SCHEMA = 1
LARGEST = 64 << 20  # bytes of a study that is read; the full profile writes about 1 MB


class Cell(BaseModel):
    """One measurement. kind: 'truth', 'total_correlation', 'information', 'timing', 'lag' or 'check'; 'group_truth' or 'groups',
    whose `dims` are the latents in a group.

    numbers are nats, milliseconds (`*_ms`), counts or ratios by their names; None where one does not apply or is not finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    task: str
    estimator: str
    batch: int = 0
    dims: int = 0
    seed: int = 0
    numbers: dict[str, float | None] = Field(default_factory=dict)
    curves: dict[str, list[float]] = Field(default_factory=dict)

    @field_validator("numbers")
    @classmethod
    def only_finite(cls, numbers: dict[str, float | None]) -> dict[str, float | None]:
        return {name: n if n is not None and math.isfinite(n) else None for name, n in numbers.items()}

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.task}/{self.estimator}/B{self.batch}/D{self.dims}/seed{self.seed}"


class Study(BaseModel):
    """profile and settings decide what is measured; machine says where, code by which versions. tasks: what each is, in words."""

    model_config = ConfigDict(extra="forbid")

    profile: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    code: list[str] = Field(default_factory=list)
    tasks: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    cells: dict[str, Cell] = Field(default_factory=dict)
    study_schema: int = STUDY_SCHEMA

    def of_kind(self, kind: str) -> list[Cell]:
        return [cell for cell in self.cells.values() if cell.kind == kind]


def write_study(study: Study, folder: Path) -> Path:
    """Write the study whole or not at all."""
    path = folder / STUDY_FILE
    write_atomic(path, (study.model_dump_json(indent=1) + "\n").encode())
    return path


def read_study(folder: Path) -> Study:
    """The study in a folder. Raises ValueError for a damaged file or one of another schema."""
    path = folder / STUDY_FILE
    try:
        study = Study.model_validate_json(read_regular(path, LARGEST))
    except ValidationError as error:
        raise ValueError(
            f"{path} is no study of estimators: {reason_of(error)}. Remove it, or name another folder."
        ) from error
    if study.study_schema != STUDY_SCHEMA:
        raise ValueError(
            f"{path} has schema {study.study_schema}, this version reads {STUDY_SCHEMA}; name another folder."
        )
    return study
