"""Lightning without its notices about devices, loggers and the end of an epoch, which say nothing about a trial."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
MODULES = r"(pytorch_lightning|lightning_fabric|lightning_utilities|lightning)\b"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hold back Lightning's notices and its own warnings within. Errors and the warnings of other packages stay.

    Afterwards Lightning is as it was, for other code of the process.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=MODULES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
