"""A table of codes and factors with their names, and its checks."""

import logging
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from disbench.datasets.imported.factor_columns import IDENTIFIER_ROWS, as_matrix, read_column, warn_of_identifiers
from disbench.metrics.arrays import check_rows, check_shape
from disbench.metrics.views import column_groups, column_names

_log = logging.getLogger(__name__)


class NamedTable(NamedTuple):
    """Hold codes and factors as they are in a file.

    Parameters
    ----------
    codes : ndarray of shape (N, D)
        Vector-valued codes (N, G, F) are D = G * F columns here.
    factors : ndarray of shape (N, K)
        Factor values.
    factor_names, code_names : tuple of str
        K and D names; () if the file has none.
    codes_std : ndarray of shape (N, D), optional
        Standard deviations of Gaussian posteriors with means `codes`.
    group : ndarray of shape (D,), optional
        Group of each code; for vector-valued codes the vector of each, from 1 to G.
    shape : tuple of int
        (G, F) of vector-valued codes, else ().
    quantized : bool
        Whether each code takes one of few values.
    """

    codes: NDArray[Any]
    factors: NDArray[Any]
    factor_names: tuple[str, ...] = ()
    code_names: tuple[str, ...] = ()
    codes_std: NDArray[Any] | None = None
    group: NDArray[Any] | None = None
    shape: tuple[int, ...] = ()
    quantized: bool = False


def checked(table: NamedTable) -> NamedTable:
    """Convert a table to two-dimensional arrays and numbers for factors. Raises ValueError if that is impossible."""
    table = _flat(table)
    codes, code_names = _plain(table.codes, "codes", table.code_names)
    factors, factor_names = _plain(table.factors, "factors", table.factor_names)
    check_shape(codes, "codes", "code")
    check_shape(factors, "factors", "factor")
    check_rows(codes, factors)
    for what, names, array in (("factor_names", factor_names, factors), ("code_names", code_names, codes)):
        if names and len(names) != array.shape[1]:
            raise ValueError(
                f"{what} has {len(names)} names for {array.shape[1]} columns of {what.partition('_')[0]}s."
            )
    factors = _numbered(factors, factor_names)
    std, group = table.codes_std, table.group
    if std is not None:
        std = _plain(std, "codes_std", ())[0]
        if std.shape != codes.shape:
            raise ValueError(f"codes_std needs the shape of codes, {codes.shape}, got {std.shape}.")
    if group is not None and group.ndim == 2 and 1 in group.shape:  # MATLAB has no vectors
        group = group.ravel()
    return NamedTable(codes, factors, factor_names, code_names, std, group, table.shape, table.quantized)


def _flat(table: NamedTable) -> NamedTable:
    """Vector-valued codes (N, G, F) as columns (N, G F), whose vectors are groups 1 to G unless the table says otherwise."""
    shape = table.codes.shape
    if len(shape) != 3 or 1 in shape[1:] or 0 in shape:
        return table
    std, group = table.codes_std, table.group
    if std is not None:
        if std.shape != shape:
            raise ValueError(f"codes_std needs the shape of codes, {shape}, got {std.shape}.")
        std = std.reshape(len(std), -1)
    group = column_groups(shape[1:], None if group is None else group.ravel())
    names = table.code_names or column_names(shape[1:])
    flat = table.codes.reshape(len(table.codes), -1)
    return table._replace(codes=flat, codes_std=std, group=group, code_names=names, shape=shape[1:])


def _plain(array: NDArray[Any], what: str, names: tuple[str, ...]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert a structured array to columns with their names, and drop trailing axes of length 1 of an array."""
    if array.dtype.names is not None:
        names = names or tuple(array.dtype.names)
        try:
            array = structured_to_unstructured(array)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} is a structured array of {array.dtype}; save one type of number") from error
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{what} is empty: it has shape {array.shape}.")
    if array.ndim > 2 and set(array.shape[2:]) == {1}:
        _log.info("%s has shape %s; its trailing axes of length 1 are dropped.", what, array.shape)
        array = array.reshape(array.shape[:2])
    return array, names


def _numbered(factors: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
    """Factors as numbers: text is numbered. Raises ValueError that names the factor with a missing value."""
    named = [(column, names[k] if names else f"v{k}") for k, column in enumerate(factors.T)]
    if factors.dtype.kind not in "biuf":
        return as_matrix([read_column(column, name) for column, name in named])
    for column, name in named:
        if factors.dtype.kind == "f" and np.isnan(column).any():
            read_column(column, name)  # raises
    distinct = factors.dtype.kind in "iu" and len(factors) >= IDENTIFIER_ROWS
    if distinct and any(len(np.unique(column)) == len(column) for column in factors.T):
        warn_of_identifiers([read_column(column, name) for column, name in named])
    return factors
