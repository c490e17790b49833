"""The study of few labels: its tables are what the records say, and its choices follow from the candidates."""

import runpy
from pathlib import Path

from disbench.benchmarks.studies.suite import load_suite
from disbench.datasets import load
from disbench.metrics import METRICS
from disbench.reports.comparison.selection import picks, read_selection
from disbench.reports.records.collect import collect

ROOT = Path(__file__).parents[2]
LABELS = ROOT / "results" / "labels"


def test_the_tables_are_what_the_records_say() -> None:
    fill = runpy.run_path(str(ROOT / "docs" / "fill_labels.py"))
    for path, text in fill["pages"](LABELS).items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/fill_labels.py results/labels"


def test_the_suite_trains_what_the_records_hold() -> None:
    suite = load_suite(str(LABELS / "labels.yaml"))
    [entry] = suite.datasets
    wanted = {trial.id for trial in suite.trials(entry, load(entry.name).version)}
    assert {record.trial.id for _, record in collect(LABELS).found} <= wanted


def test_the_choices_follow_from_candidates_whose_scores_are_the_records() -> None:
    selection = read_selection(LABELS / "selection.json")
    records = {record.trial.id: record for _, record in collect(LABELS).found}
    higher = {name: METRICS[name].higher_is_better is not False for name in selection.metrics}
    for dataset in selection.datasets:
        for each in dataset.candidates:
            assert records[each.trial].supervision == "none"
            assert each.scores == {name: records[each.trial].scores[name] for name in selection.metrics}
        assert picks(dataset.candidates, higher, selection.labels, selection.seed) == dataset.picks
