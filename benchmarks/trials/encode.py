"""Encode a dataset with a trained method into the table that all metrics read."""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Method, codes_of
from disbench.benchmarks.plugins.packages import provide
from disbench.benchmarks.plugins.registries import changes_since, missing_from
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.benchmarks.settings.defaults import Evaluations, changed_options
from disbench.benchmarks.training.loop import load_checkpoint
from disbench.benchmarks.training.progress import Progress
from disbench.benchmarks.trials.tables.group_file import described, with_groups
from disbench.benchmarks.trials.tables.named_table import NamedTable as NamedTable
from disbench.benchmarks.trials.tables.tables import read_named_table as read_named_table, read_table as read_table
from disbench.datasets import FactorDataset, load
from disbench.datasets.factors import in_ranges
from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.storage.hdf5 import open_hdf5
from disbench.metrics.views import column_groups, column_names
from disbench.reports.records import RECORD_FILE, Partition, Trial, read_record

log = logging.getLogger(__name__)
CHUNK = 100  # images a call; a thousand took 1.7 times as long on a CPU, whose caches hold the activations of few
TRIAL = "trial"  # the attribute of a trial's table that holds its id


@dataclass(frozen=True)
class Codes:
    """codes (N, D) or (N, G, F), which are scored; codes_std of the same shape, their standard deviations, or None where the
    method has none; factors (N, K); rows (N,); group of each code (D,) or (G F,), or None.

    `factor_names` (K,) and `code_names` (D,), or none, are for readers who have the file but not the dataset. `quantized` is the
    method's.
    """

    codes: NDArray[np.float32]
    codes_std: NDArray[np.float32] | None
    factors: NDArray[np.int64]
    rows: NDArray[np.int64]
    group: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] = ()
    code_names: tuple[str, ...] = ()
    quantized: bool = False

    def flat(self) -> "Codes":
        """The same with codes (N, D): the columns of vectors one after the other."""
        std = None if self.codes_std is None else self.codes_std.reshape(len(self.codes), -1)
        return replace(self, codes=self.codes.reshape(len(self.codes), -1), codes_std=std)


def scored_rows(trial: Trial, size: int) -> torch.Tensor:
    """Of `size` rows those that are scored, sorted: all, or a sample that depends on dataset, changed options and size alone."""
    if size <= trial.rows:
        return torch.arange(size)
    options = sorted(changed_options(trial).items())
    generator = generator_for(trial.dataset, trial.dataset_version, options, "scored rows")
    return torch.randperm(size, generator=generator)[: trial.rows].sort().values


def evaluation_rows(trial: Trial, dataset: FactorDataset, evaluations: Evaluations) -> dict[str, torch.Tensor]:
    """The rows (M,) of each evaluation of a trial by its name: those that the dataset names, then the given ones.

    Raises ValueError where a selection is none of this dataset, or has fewer than two rows.
    """
    named = dict(dataset.evaluations)
    for name, select in evaluations.items():
        selected = in_ranges(dataset, select).nonzero().flatten()
        if len(selected) < 2:
            raise ValueError(f"The evaluation {name} needs two rows of {trial.dataset}, got {len(selected)}.")
        named[name] = selected
    found = {}
    for name, rows in named.items():
        chosen = scored_rows(trial, len(dataset) if rows is None else len(rows))
        found[name] = chosen if rows is None else rows[chosen]
    return found


@torch.no_grad()
def encode(
    method: Method, dataset: FactorDataset, rows: torch.Tensor, device: torch.device, *, name: str = ""
) -> Codes:
    """Encode `rows` of a dataset by `method.encode`. Raises TypeError or ValueError where that returns no codes.

    name: whose progress is shown; by default none is.
    """
    method = method.to(device).eval()
    values, deviations = [], []
    with Progress(f"{name}: encoding", len(rows), "image", shown=bool(name)) as progress:
        for number, chunk in enumerate(rows.to(dataset.preferred_device(device)).split(CHUNK)):
            progress.update(number * CHUNK)
            found = codes_of(method, dataset.batch(chunk).to(device).float().div_(255))
            values.append(found.values.float().cpu())
            if found.std is not None:
                deviations.append(found.std.float().cpu())
    shape = tuple(values[0].shape[1:])
    return Codes(
        torch.cat(values).numpy(),
        torch.cat(deviations).numpy() if len(deviations) == len(values) else None,
        dataset.factors(rows).numpy(),
        rows.numpy(),
        _groups(method, shape),
        tuple(dataset.factor_names),
        column_names(shape),
        method.quantized,
    )


def regrouped(tables: Mapping[str, Codes], source: str) -> tuple[dict[str, Codes], str]:
    """Replace the groups of the same codes on several selections of rows, and describe them.

    "found" finds them on the first selection; another word is a file that `with_groups` reads. Raises ValueError as that does.
    """
    first = next(iter(tables.values()))
    shape = first.codes.shape[1:] if first.codes.ndim == 3 else ()
    flat = first.flat()
    named = NamedTable(flat.codes, flat.factors, flat.factor_names, flat.code_names, flat.codes_std, shape=shape)
    content = with_groups(named, source)
    return {name: replace(codes.flat(), group=content.group) for name, codes in tables.items()}, described(
        content, source
    )


def encode_checkpoint(
    checkpoint: Path, root: str | None = None, evaluations: Evaluations | None = None
) -> tuple[Method, Trial, dict[str, Codes]]:
    """The trained method, its trial, and the rows of each evaluation encoded anew, on an accelerator where there is one.

    Raises ValueError or OSError where the checkpoint or the dataset cannot be opened; the message names the plugins that the
    trial's record has and this process has not. A plugin that has changed since is logged.
    """
    try:
        record = read_record(checkpoint.parent / RECORD_FILE)
    except (OSError, ValueError):
        record = None
    try:
        method, trial = load_checkpoint(str(checkpoint))
        provide("dataset", trial.dataset)
        dataset = load(trial.dataset, root, **trial.dataset_options)
    except ValueError as error:
        missing = [] if record is None else missing_from(record)
        raise ValueError(" ".join([str(error), *missing])) from error
    for line in [] if record is None else changes_since(record):
        log.warning("%s", line)
    chosen = evaluation_rows(trial, dataset, evaluations or {})
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    return method, trial, {name: encode(method, dataset, rows, device) for name, rows in chosen.items()}


def partition_of(method: Method, codes: Codes) -> Partition | None:
    """Report a method's partition, and how many nats of its codes each hard group holds; else None.

    Nats need the codes' standard deviations, so a method without them has no partition in its record.
    """
    report = method.partition()
    if report is None or codes.group is None or codes.codes_std is None:
        return None
    deviations = torch.from_numpy(codes.flat().codes_std)
    kl = kl_to_prior(Posterior(torch.from_numpy(codes.flat().codes), 2 * deviations.log())).mean(0)  # (D,)
    return Partition(
        assignment=report.assignment.tolist(),
        group=codes.group.tolist(),
        nats=np.bincount(codes.group, weights=kl.numpy(), minlength=report.assignment.shape[1]).tolist(),
        target=report.target.tolist(),
        complexities=report.complexities.tolist(),
    )


def _groups(method: Method, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    found = method.groups()
    try:
        return column_groups(shape, None if found is None else found.cpu().numpy())
    except ValueError as error:
        raise ValueError(f"{type(method).__name__}.groups: {error}") from error


def write_codes(codes: Codes, path: Path, trial: Trial | None = None) -> None:
    """Write an HDF5 table whole or not at all. It has the id of its trial, which `read_codes` compares."""
    content = io.BytesIO()  # after a failed write to a disk h5py crashes the process at its end
    with h5py.File(content, "w") as file:
        if trial is not None:
            file.attrs[TRIAL] = trial.id
        for name, array in vars(codes).items():
            if array is not None and array is not False and np.size(array):
                file.create_dataset(name, data=array)
    write_atomic(path, content)


def read_codes(path: Path, trial: Trial) -> NamedTable:
    """A trial's own table. Raises ValueError for a damaged file or another trial's."""
    table = read_named_table(path)
    with open_hdf5(path) as file:
        found = file.attrs.get(TRIAL)
    if found != trial.id:
        raise ValueError(f"{path} holds the codes of {found or 'an unnamed trial'}, not of {trial.id}.")
    if not np.isfinite(table.codes).all():
        raise ValueError(f"{path} is damaged: it has codes that are not finite, and none are written.")
    return table
