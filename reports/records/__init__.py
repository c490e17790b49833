"""The contract between running and reporting, and how a folder of records is read."""

from disbench.reports.records.record import (
    GRID as GRID,
    LARGEST as LARGEST,
    LARGEST_INTEGER as LARGEST_INTEGER,
    RECORD_FILE as RECORD_FILE,
    SCHEMA_VERSION as SCHEMA_VERSION,
    STUDY_FILE as STUDY_FILE,
    Evaluation as Evaluation,
    Failure as Failure,
    FurtherView as FurtherView,
    Partition as Partition,
    Record as Record,
    Trial as Trial,
    UsedPlugin as UsedPlugin,
    migrated as migrated,
    migrated_to_today as migrated_to_today,
    trial_of as trial_of,
)
from disbench.reports.records.record_file import (
    NewerRecordError as NewerRecordError,
    read_record as read_record,
    read_records as read_records,
    write_record as write_record,
)
