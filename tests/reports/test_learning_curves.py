"""Learning curves of scores on the page: means over seeds with intervals, and each trial's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from disbench.reports.markup.learning_curves import of_rows, of_trial, over_seeds
from disbench.reports.page.render import render
from disbench.reports.records import Evaluation, Record, read_record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.records.left_out import problem
from disbench.reports.tables.aggregate import tables

Make = Callable[..., Record]
SETTINGS = {"every": 1000, "rows": 1000, "metrics": {"mig": {}}, "metric_versions": {"mig": 2}}
CURVES = [[(1000, 0.1), (2000, 0.4)], [(1000, 0.2), (2000, 0.4)], [(1000, 0.3), (2000, 0.4), (3000, 0.9)]]


def seeds(make_record: Make, method: str = "beta_vae", curves: Any = CURVES, **fields: Any) -> list[Record]:
    given = {"score_curve_settings": SETTINGS, **fields}
    return [
        make_record({"mig": 0.5}, method, seed, score_curves={"mig": points}, **given)
        for seed, points in enumerate(curves)
    ]


def page_of(records: list[Record], folder: Path) -> str:
    for record in records:
        write_record(record, folder / record.trial.id)
    return render(folder).read_text(encoding="utf-8")


def test_a_point_is_the_mean_over_seeds_with_students_interval(make_record: Make) -> None:
    first, second, third = over_seeds(seeds(make_record), "mig")
    # t of 2 degrees of freedom is 4.3027 at 97.5 %; the deviation of 0.1, 0.2, 0.3 is 0.1
    assert first == (1000, pytest.approx(0.2), pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4))
    assert second == (2000, pytest.approx(0.4), pytest.approx(0.0, abs=1e-12))
    assert third == (3000, 0.9, 0.0)  # one seed alone has no interval


def test_two_seeds_have_a_mean_and_no_interval(make_record: Make) -> None:
    assert over_seeds(seeds(make_record)[:2], "mig")[0] == (1000, pytest.approx(0.15), 0.0)


def test_the_page_has_a_line_per_method_and_each_trial_its_own(make_record: Make, tmp_path: Path) -> None:
    records = [*seeds(make_record), *seeds(make_record, "vae", CURVES[:1])]
    page = page_of(records, tmp_path)
    assert page.count("<h3") and "Learning curves of scores" in page
    chart = of_rows(tables(collect(tmp_path).found)[0].rows)
    assert chart in page
    titles = re.findall(r"<title>(.*?)</title>", chart)
    assert sorted(titles) == ["beta_vae: 0.900 at step 3,000", "vae: 0.400 at step 2,000"]
    assert chart.count("fill-opacity:.14") == 1  # the interval of the method with three seeds
    for record in records:
        assert of_trial(record) in page
    assert "Rows: 1,000." in page and "not all comparable" not in page


def test_a_panel_ends_at_the_highest_interval_and_no_interval_leaves_the_bounds(
    make_record: Make, tmp_path: Path
) -> None:
    curves = [[(1000, 0.0), (2000, 0.2)], [(1000, 0.0), (2000, 0.2)], [(1000, 0.1), (2000, 0.2)]]
    page_of(seeds(make_record, curves=curves), tmp_path)
    chart = of_rows(tables(collect(tmp_path).found)[0].rows)
    ends = re.findall(r'text-anchor="end" font-size="10.5" opacity=".75">([^<]*)<', chart)
    assert ends[:3] == ["0", "0.1", "0.2"]
    (band,) = re.findall(r'<path d="([^"]*)Z"', chart)
    heights = [float(point.split()[1]) for point in band[1:].split("L")]
    bottom = max(float(found) for found in re.findall(r"M50.0 ([\d.]+)H", chart))
    assert max(heights) == bottom  # 0.033 less its interval is below 0, where MIG ends


def test_a_page_of_records_without_such_curves_has_no_such_section(make_record: Make, tmp_path: Path) -> None:
    page = page_of([make_record({"mig": 0.5}, "vae", 0)], tmp_path)
    assert "Learning curves of scores" not in page


def test_curves_of_different_samples_are_said_to_be_so(make_record: Make, tmp_path: Path) -> None:
    other = seeds(make_record, "vae", score_curve_settings={**SETTINGS, "rows": 2000})
    page = page_of([*seeds(make_record), *other], tmp_path)
    assert "Rows: 1,000 or 2,000." in page and "not all comparable" in page
    alike = seeds(make_record, "vae", score_curve_settings={**SETTINGS, "every": 10})
    assert "not all comparable" not in page_of([*seeds(make_record), *alike], tmp_path / "alike")


def test_the_curves_of_a_metric_of_somebody_else_and_of_values_beyond_numbers_are_drawn(
    make_record: Make, tmp_path: Path
) -> None:
    odd = {"theirs": [(1, float("nan")), (2, 3.0)], "none": [(1, float("inf"))], "empty": []}
    page = page_of([make_record({"mig": 0.5}, "vae", 0, score_curves=odd)], tmp_path)
    assert "3.000 at step 2" in page and "theirs ?" in page


def test_a_curve_with_a_number_of_no_scale_is_left_out_with_its_reason(make_record: Make) -> None:
    record = make_record({"mig": 0.5}, "vae", 0, score_curves={"mig": [(1, 1e200)]})
    assert "score_curves has 1e+200" in (problem(record) or "")


def test_records_from_before_the_curves_are_read_and_held_out_rows_have_none(make_record: Make, tmp_path: Path) -> None:
    path = write_record(seeds(make_record)[0], tmp_path / "trial")
    text = path.read_text(encoding="utf-8")
    before = re.sub(r' "score_curves": \{.*?\n \},\n "score_curve_settings": \{.*?\n \},\n', "", text, flags=re.DOTALL)
    assert before != text
    path.write_text(before, encoding="utf-8")
    assert read_record(path).score_curves == {}

    record = seeds(make_record, evaluations={"held_out": Evaluation(rows=3)})[0]
    assert record.evaluated("held_out").score_curves == {}
