"""Convert arguments from any library into NumPy arrays without importing that library."""

import hashlib
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from disbench.metrics.options import check_type

ROWS_AT_ONCE = 1 << 14  # of an array that is not contiguous and must be copied
MANY = 10  # columns from which on an array that is wider than long is taken to lie on its side
MOST_VALUES = 256  # of a quantized code, or more in half as many rows


def to_array(data: Any) -> NDArray[Any]:
    """Convert a tensor, a pandas DataFrame, a structured array, or anything that NumPy converts, to a NumPy array.

    Tensors, and lists of them, may be on any device and have a gradient; bfloat16 and float8 have no NumPy type and become
    float32. In a DataFrame nullable numbers and booleans become plain ones, and categories their numbers or, for text, their
    codes in the order of the categories. Raises ValueError for a column with a missing value or with text, a masked array, a
    tensor on the meta device, and Python objects.
    """
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        return _from_tensor(data)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _from_frame(data)
    if isinstance(data, list | tuple) and any(hasattr(part, "detach") for part in data):
        data = [to_array(part) for part in data]
    if np.ma.is_masked(data):
        raise ValueError("an array has masked values, which are missing ones; fill them in or drop those rows.")
    array = np.asarray(data)
    if array.dtype.names is not None:
        return _from_structured(array)
    if array.dtype.kind == "O":
        raise ValueError(
            f"an array of numbers is needed, got dtype object with a {type(array.flat[0]).__name__}; convert it: "
            "array.astype(float)."
            if array.size
            else "an array of numbers is needed, got an empty one of dtype object."
        )
    return array


def column_names(data: Any) -> tuple[str, ...] | None:
    """Read the names of the columns of a DataFrame or of a structured array; None for data without names."""
    names = getattr(getattr(data, "dtype", None), "names", None) or getattr(data, "columns", None)
    return None if names is None else tuple(str(name) for name in names)


def check_shape(array: NDArray[Any], name: str, column: str) -> None:
    """Raise ValueError, with the advice that fits, unless the array has two axes and a column."""
    needs = f"{name} needs shape (rows, {name}), got {array.shape}"
    if array.ndim == 1:
        raise ValueError(f"{needs}; a single {column} is a column: {name}[:, None].")
    if array.ndim > 2:
        raise ValueError(
            f"{needs}; flatten each row, {name}.reshape(len({name}), -1), or average over the further axes."
        )
    if array.ndim == 0 or array.shape[1] == 0:
        raise ValueError(f"{needs}, which holds no {column}.")


def check_rows(codes: NDArray[Any], factors: NDArray[Any]) -> None:
    """Raise ValueError, with the advice that fits, unless codes (N, D) and factors (N, K) have the same rows."""
    got = f"got codes {codes.shape} and factors {factors.shape}"
    lying = {name: array.shape[1] >= max(MANY, len(array)) for name, array in (("codes", codes), ("factors", factors))}
    if all(lying.values()) and codes.shape[1] == factors.shape[1]:
        raise ValueError(f"codes and factors are transposed: a row is an image, {got}. Use codes.T and factors.T.")
    if len(codes) == len(factors):
        return
    for name, turned, other in (("codes", codes, factors), ("factors", factors, codes)):
        if lying[name] and turned.shape[1] == len(other):
            raise ValueError(f"{name} is transposed: a row is an image, {got}. Use {name}.T.")
    raise ValueError(
        f"codes and factors need the same rows, got {len(codes)} and {len(factors)}; "
        "pass the factors of the rows that were encoded."
    )


def check_index(first: str, frame: Any, second: str, other: Any) -> None:
    """Raise ValueError, with the advice that fits, if two DataFrames of the same number of rows have different indices."""
    if not (hasattr(frame, "iloc") and hasattr(other, "iloc")) or len(frame) != len(other):
        return
    if frame.index.equals(other.index):
        return
    by_position = f"If their rows are in the same order, pass {first}.to_numpy() and {second}.to_numpy()."
    strange = ~other.index.isin(frame.index)
    if strange.any():
        label = other.index[strange].tolist()[0]
        raise ValueError(
            f"{first} and {second} need the same index, got the row {label!r} of {second} alone. {by_position}"
        )
    raise ValueError(
        f"{first} and {second} need the same index, got rows in another order. Sort one as the other: "
        f"{second}.loc[{first}.index]. {by_position}"
    )


def check_recurring(codes: NDArray[Any], quantized: bool) -> None:
    """Raise ValueError if a quantized code has too many values to count: more than half of the rows, and than MOST_VALUES."""
    for place, code in enumerate(codes.T if check_type("as_table", "quantized", quantized, bool) else ()):
        if (values := len(np.unique(code))) > max(MOST_VALUES, len(codes) / 2):
            raise ValueError(
                f"Quantized codes need few values each, got {values:,} values of code {place} in {len(codes):,} rows. Leave out "
                "quantized for continuous codes."
            )


def deviations_of(std: Any, shape: tuple[int, ...], vectors: tuple[int, ...] | None) -> NDArray[Any]:
    """Convert deviations of codes, which may be `vectors` (G, F), to `shape` (N, D). Raises ValueError for another shape."""
    array = to_array(std)
    if vectors is not None and array.shape == (shape[0], *vectors):
        array = array.reshape(shape)
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise ValueError(f"std needs a standard deviation for each code, got {array.dtype} {array.shape} for {shape}.")
    return array


def _from_tensor(tensor: Any) -> NDArray[Any]:
    if getattr(tensor, "is_nested", False):
        raise ValueError(
            "a tensor with rows of one length is needed, got a nested tensor; stack its parts: torch.stack(tensor.unbind())."
        )
    if getattr(tensor, "is_meta", False):
        raise ValueError(
            f"a tensor with values is needed, got one of shape {tuple(tensor.shape)} on the meta device, which holds none; "
            "encode with a model on the CPU or a GPU."
        )
    tensor = tensor.detach().cpu().resolve_neg()
    if getattr(tensor, "is_sparse", False):
        tensor = tensor.to_dense()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:
        return np.asarray(tensor.float().numpy())


def _from_structured(array: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.asarray(structured_to_unstructured(array))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"an array of numbers is needed, got fields of {array.dtype}; pass one type of number."
        ) from error


def _from_frame(frame: Any) -> NDArray[Any]:
    columns = []
    for number, name in enumerate(frame.columns):
        column = frame.iloc[:, number]
        missing = np.asarray(column.isna())
        if missing.any():
            raise ValueError(
                f"column {name} has a missing value in row {int(missing.argmax())} (counted from 0); fill it in or drop the row."
            )
        if column.dtype.name == "category":
            numeric = np.asarray(column.cat.categories).dtype.kind in "biuf"
            column = column.astype(column.cat.categories.dtype) if numeric else column.cat.codes
        values = np.asarray(column)
        if values.dtype.kind == "O" and all(isinstance(value, bool | int | float | np.number) for value in values):
            values = np.array(values.tolist())
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"column {name} needs numbers, got {column.dtype}; number its values: frame[{name!r}].astype('category')."
            )
        columns.append(values)
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def digest(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    """Identify an array. SHA-1 is the fastest digest of the standard library that no two tables share by chance."""
    digest = hashlib.sha1(usedforsecurity=False)
    step = len(array) if array.flags.c_contiguous else ROWS_AT_ONCE
    for start in range(0, len(array), max(1, step)):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return array.dtype.str, array.shape, digest.digest()
