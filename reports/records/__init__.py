"""The contract between running and reporting, and how a folder of records is read."""

from disbench.reports.records.record import (
    GRID,
    LARGEST,
    LARGEST_INTEGER,
    RECORD_FILE,
    SCHEMA_VERSION,
    STUDY_FILE,
    Evaluation,
    Failure,
    FurtherView,
    Partition,
    Record,
    Trial,
    UsedPlugin,
    migrated,
    migrated_to_today,
    trial_of,
)
from disbench.reports.records.record_file import NewerRecordError, read_record, read_records, write_record

__all__ = [
    "GRID",
    "LARGEST",
    "LARGEST_INTEGER",
    "RECORD_FILE",
    "SCHEMA_VERSION",
    "STUDY_FILE",
    "Evaluation",
    "Failure",
    "FurtherView",
    "NewerRecordError",
    "Partition",
    "Record",
    "Trial",
    "UsedPlugin",
    "migrated",
    "migrated_to_today",
    "read_record",
    "read_records",
    "trial_of",
    "write_record",
]
