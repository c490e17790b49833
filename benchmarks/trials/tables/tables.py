"""Read a table of codes and factors from a file. Imports torch only for files that torch wrote.

Which arrays are the codes and which the factors is read off their names (`CODES`, `FACTORS`), or told by the caller. The
formats themselves are in `table_files`.
"""

import logging
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.trials.tables.named_table import NamedTable, checked
from disbench.benchmarks.trials.tables.table_files import (
    CONVERSIONS,
    Arrays,
    Columns,
    open_csv,
    open_h5,
    open_mat,
    open_npy,
    open_npz,
    open_parquet,
    open_torch,
)
from disbench.datasets.imported.factor_columns import as_matrix, read_column, warn_of_identifiers
from disbench.datasets.storage.hdf5 import check_regular_file

_log = logging.getLogger(__name__)

# Names of arrays, in small letters. The first of each is taken before any other.
CODES = (
    *("codes", "code", "z", "zs", "latents", "latent", "mu", "mus", "mean", "means", "z_mean", "posterior_mean"),
    *("embedding", "embeddings", "representation", "representations"),
)
FACTORS = (
    *("factors", "factor", "y", "ys", "v", "labels", "label", "targets", "target", "latents_values", "latents_classes"),
    *("latent_values", "latent_classes", "factor_values", "ground_truth", "generative_factors"),
)
FURTHER = ("codes_std", "group", "factor_names", "code_names", "quantized")
# A column of a CSV or Parquet file is a code or a factor by what its name begins with: z0, code_a, v1, factor_shape.
CODE_COLUMN = re.compile(r"(codes?|z|latents?|mu)([ _.-]?\d+|[ _.-].+)?", re.IGNORECASE)
FACTOR_COLUMN = re.compile(r"(factors?|v|y|labels?|targets?)([ _.-]?\d+|[ _.-](?P<name>.+))?", re.IGNORECASE)
# The same with "std" after the first word: deviations of posteriors, for `codes_std`. A variance is neither.
DEVIATION_COLUMN = re.compile(r"(codes?|z|latents?|mu)[ _.-](stds?|sigma)([ _.-]?\d+|[ _.-].+)?", re.IGNORECASE)
VARIANCE_COLUMN = re.compile(r"(codes?|z|latents?|mu)[ _.-]log_?var([ _.-]?\d+|[ _.-].+)?", re.IGNORECASE)
RULE = (
    "Columns named z*, code_*, latent_* or mu_* are codes, those with _std_ after it their deviations (z_std_0), and v*, y*, "
    "factor_*, label_* or target_* are factors. Name others: "
    "--codes-column 'z*' --factors-column shape,size takes the columns of these names or patterns, or else those that begin with "
    "them."
)
TABLE = "A table is an .npz, .h5, .mat, .pt, .csv, .tsv or .parquet file with 'codes' (N, D) or (N, G, F) and 'factors' (N, K)."

ARRAY_FILES: dict[str, Callable[[Path], Arrays]] = {
    ".npz": open_npz,
    **dict.fromkeys((".h5", ".hdf5"), open_h5),
    ".mat": open_mat,
    **dict.fromkeys((".pt", ".pth"), open_torch),
}
COLUMN_FILES: dict[str, Callable[[Path], Columns]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), open_csv),
    **dict.fromkeys((".parquet", ".pq"), open_parquet),
}


def read_table(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read codes (N, D) and factors (N, K) as `read_named_table` does."""
    return read_named_table(path)[:2]


def read_named_table(path: Path, *, codes: str | None = None, factors: str | None = None) -> NamedTable:
    r"""Read a table from a file of any origin.

    The file holds arrays 'codes' (N, D), or (N, G, F) for vector-valued ones, and 'factors' (N, K), or others that `CODES` and
    `FACTORS` list, or columns as `RULE` has them. It may hold 'factor_names' (K,) and 'code_names' (D,), text, 'codes_std' of the
    shape of the codes, 'group' (D,), and 'quantized', true if each code takes one of few values. Factors of text are numbered
    alphabetically. The metrics check the numbers.

    Parameters
    ----------
    path : Path
        The file.
    codes, factors : str, optional
        Names of the arrays or columns, if they are ambiguous; of columns also patterns such as ``z*``. For codes in an .npy
        file, the .npy file of the factors.

    Returns
    -------
    NamedTable

    Raises
    ------
    ValueError
        The message says what is wrong with the file, and what to do.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.benchmarks.trials.tables.tables import read_named_table
    >>> size = Path("table.csv").write_text("z0,z1,factor_shape\n0.1,0.2,heart\n0.3,0.4,square\n")
    >>> table = read_named_table(Path("table.csv"))
    >>> table.codes.tolist(), table.factors.tolist(), table.factor_names
    ([[0.1, 0.2], [0.3, 0.4]], [[0], [1]], ('shape',))
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file. {TABLE}")
    kind = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path} is a folder. {TABLE}")
    if kind not in (*ARRAY_FILES, *COLUMN_FILES, ".npy"):
        advice = CONVERSIONS.get(kind, "").format(path=str(path), stem=f"{path.stem}.csv")
        raise ValueError(f"{path} has {path.suffix or 'no extension'}. {f'{advice} ' if advice else ''}{TABLE}")
    try:
        check_regular_file(path)
        if kind in COLUMN_FILES:
            file: Arrays | Columns = COLUMN_FILES[kind](path)
        elif kind == ".npy":
            file, factors = open_npy(path, None if factors is None else Path(factors)), None
        else:
            file = ARRAY_FILES[kind](path)
        table = _chosen(file, codes, factors)
    except _ContentError as error:
        raise ValueError(f"{path} {error}") from error
    except Exception as error:  # a damaged file makes numpy, zipfile, h5py, scipy and pandas raise a dozen types
        raise ValueError(f"{path} cannot be read as {kind}: {str(error) or type(error).__name__}") from error
    try:
        return checked(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _ContentError(ValueError):
    """The file can be read, and lacks something."""


def _chosen(file: Arrays | Columns, codes: str | None, factors: str | None) -> NamedTable:
    return _from_columns(file, codes, factors) if isinstance(file, Columns) else _from_arrays(file, codes, factors)


def _from_arrays(file: Arrays, codes: str | None, factors: str | None) -> NamedTable:
    codes_name, factors_name = _choose(file.names, codes, factors)
    if (codes_name, factors_name) != ("codes", "factors"):
        _log.info("Codes are read from %r and factors from %r.", codes_name, factors_name)
    further: dict[str, Any] = {name: file.read(name) for name in FURTHER if name in file.names}
    further |= {name: _texts(further[name], name) for name in ("factor_names", "code_names") if name in further}
    if "quantized" in further:
        flag = np.asarray(further.pop("quantized"))
        if flag.size == 1 and flag.dtype.kind in "biu" and flag.item() in (0, 1):
            further["quantized"] = bool(flag.item())
        else:  # another's array of this name
            _log.warning("'quantized' is no truth value and is not read.")
    return NamedTable(file.read(codes_name), file.read(factors_name), **further)


def _choose(names: Sequence[str], codes: str | None, factors: str | None) -> tuple[str, str]:
    """Find the names of the two arrays. Raises _ContentError if one is missing, or several are candidates."""
    holds = f"it holds {', '.join(map(repr, names)) or 'nothing'}"
    chosen, missing = [], []
    for option, given, known in (("codes", codes, CODES), ("factors", factors, FACTORS)):
        if given is not None and given not in names:
            raise _ContentError(f"lacks {given!r}; {holds}.")
        possible = [name for name in names if name.lower() in known and name not in (codes, factors)]
        if option in names and given is None:
            possible = [option]
        if given is None and len(possible) > 1:
            raise _ContentError(
                f"has several arrays that may be the {option}: {', '.join(possible)}. Name one: --{option} {possible[0]}"
            )
        found = given if given is not None else next(iter(possible), None)
        chosen.append(found or "")
        missing += [option] if found is None else []
    if missing:
        options = " ".join(f"--{option} NAME" for option in missing)
        raise _ContentError(f"lacks {' and '.join(missing)}; {holds}. Name them: {options}. {TABLE}")
    return chosen[0], chosen[1]


def _from_columns(file: Columns, codes: str | None, factors: str | None) -> NamedTable:
    header = list(file.columns)
    lists = {name: column for name, column in file.columns.items() if _holds_lists(column)}
    if lists:  # Parquet may hold a whole row of codes in one cell
        return _from_arrays(
            Arrays(list(lists), lambda name: np.stack(np.asarray(lists[name]).tolist())), codes, factors
        )
    factor_columns = _columns(header, factors, FACTOR_COLUMN)
    named = {word.strip() for word in (codes or "").split(",")}
    deviations = [name for name in header if DEVIATION_COLUMN.fullmatch(name) and name not in named]
    variances = [name for name in header if VARIANCE_COLUMN.fullmatch(name) and name not in named]
    code_columns = [name for name in _columns(header, codes, CODE_COLUMN) if name not in (*deviations, *variances)]
    if factors is not None and codes is None:
        code_columns = [name for name in code_columns if name not in factor_columns]
    elif codes is not None and factors is None:
        factor_columns = [name for name in factor_columns if name not in code_columns]
    for what, found in (("codes", code_columns), ("factors", factor_columns)):
        if not found:
            raise _ContentError(f"has no columns of {what}; its columns are {', '.join(header)}. {RULE}")
    if both := [name for name in code_columns if name in factor_columns]:
        raise _ContentError(f"has columns that would be codes and factors: {', '.join(both)}. {RULE}")
    if left_out := [name for name in header if name not in (*code_columns, *factor_columns, *deviations)]:
        _log.warning("Columns that are neither codes nor factors are left out: %s.", ", ".join(left_out))
    matrix = np.stack([_numbers(file.columns[name], name, file.where) for name in code_columns], axis=1)
    read = [read_column(file.columns[name], name, file.where) for name in factor_columns]
    warn_of_identifiers(read)
    matches = (FACTOR_COLUMN.fullmatch(name) for name in factor_columns)
    short = [
        match["name"] if match and match["name"] else name for match, name in zip(matches, factor_columns, strict=True)
    ]
    names = tuple(short if len(set(short)) == len(short) else factor_columns)
    deviations = _in_order_of(code_columns, deviations)
    std = (
        np.stack([_numbers(file.columns[name], name, file.where) for name in deviations], axis=1)
        if deviations
        else None
    )
    return NamedTable(matrix, as_matrix(read), names, tuple(code_columns), std)


def _in_order_of(codes: Sequence[str], deviations: Sequence[str]) -> list[str]:
    """Sort the columns of deviations by their codes: z_std_b, z_std_a of za, zb is z_std_a, z_std_b."""

    def which(name: str, pattern: re.Pattern[str]) -> str:
        match = pattern.fullmatch(name)
        return (match[match.re.groups] or "").strip(" _.-") if match else name

    found = {which(name, DEVIATION_COLUMN): name for name in deviations}
    wanted = [which(name, CODE_COLUMN) for name in codes]
    if deviations and (sorted(found) != sorted(wanted) or len(found) < len(deviations)):
        raise _ContentError(
            f"needs one column of deviations for each code: {', '.join(codes)} and {', '.join(deviations)} differ."
        )
    return [found[name] for name in wanted] if deviations else []


def _holds_lists(column: Any) -> bool:
    return (
        isinstance(column, np.ndarray)
        and column.dtype.kind == "O"
        and isinstance(column[:1].tolist(), list)
        and (len(column) > 0 and isinstance(column[0], np.ndarray | list))
    )


def _columns(header: Sequence[str], given: str | None, usual: re.Pattern[str]) -> list[str]:
    """Choose the columns that were named, exactly, by their beginning or by a pattern, or else those of the usual names."""
    if given is None:
        return [name for name in header if usual.fullmatch(name)]
    found: list[str] = []
    for word in (part.strip() for part in given.split(",")):
        if word in header:
            matching = [word]
        elif set(word) & set("*?["):
            matching = [name for name in header if fnmatchcase(name, word)]
        else:
            matching = [name for name in header if word and name.startswith(word)]
        if not matching:
            raise _ContentError(f"has no column {word!r}; its columns are {', '.join(header)}. {RULE}")
        found += [name for name in matching if name not in found]
    return found


def _numbers(column: Sequence[str] | NDArray[Any], name: str, where: Callable[[int], str]) -> NDArray[np.float64]:
    """Convert a column of codes. Raises ValueError that names the first cell that is not a number."""
    try:
        return np.asarray(column).astype(np.float64)
    except (ValueError, TypeError):
        for row, cell in enumerate(column):
            try:
                float(cell)
            except (ValueError, TypeError) as error:
                raise ValueError(f"code {name} needs numbers, got {str(cell)!r} in {where(row)}") from error
        raise


def _texts(array: NDArray[Any], what: str) -> tuple[str, ...]:
    """Convert an array of text to a tuple; HDF5 keeps text as bytes."""
    if array.ndim != 1:
        raise ValueError(f"{what} needs a list of names, got shape {array.shape}.")
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in array.tolist()]
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what} needs text, got dtype {array.dtype}; save numpy.array(names, dtype=str).")
    return tuple(values)
