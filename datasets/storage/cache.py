"""Cache arrays that take seconds to compute, in a folder that may be deleted at any time.

The folder is `DISBENCH_CACHE`, else `~/.cache/disbench`. A file is an npz because its zip container carries a CRC, so a
damaged one is noticed, and its name carries the version of what it holds, so an outdated one is never read.
"""

import io
import logging
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.storage.atomic import write_atomic

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`DISBENCH_CACHE`, else `~/.cache/disbench`. Raises RuntimeError where there is no home folder."""
    configured = os.environ.get("DISBENCH_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "disbench"


def cached_array(
    name: str, build: Callable[[], NDArray[Any]], shape: tuple[int, ...], dtype: type[np.generic]
) -> NDArray[Any]:
    """The array kept under `name`, of this shape and dtype; built and stored when there is none or it is unreadable.

    `name` must hold the version of what `build` computes. Where nothing can be stored the array is still returned.
    """
    try:
        path = cache_folder() / f"{name}.npz"
        stored = _read(path)
    except (OSError, RuntimeError) as error:
        _log.info("No cached %s (%s).", name, error)
        stored = None
    if stored is not None and stored.shape == shape and stored.dtype == dtype:
        return stored
    array = build()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, array=array)
    try:
        write_atomic(cache_folder() / f"{name}.npz", buffer.getvalue())
    except (OSError, RuntimeError) as error:
        _log.warning("%s is not kept for the next process: %s. Set DISBENCH_CACHE to a writable folder.", name, error)
    return array


def _read(path: Path) -> NDArray[Any] | None:
    """The stored array, or None when the file is damaged. Raises OSError when there is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive["array"]
            return array
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("%s is damaged and is made again: %s", path, error)
        return None
