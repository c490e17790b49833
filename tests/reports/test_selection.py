"""What criteria pick and what it costs, by hand; the file; the section of the page."""

import json
from pathlib import Path

import numpy as np
import pytest

from disbench.reports.comparison.selection import (
    SELECTION_FILE,
    Candidate,
    Pick,
    Selection,
    SelectionOfDataset,
    criterion_label,
    picks,
    read_selection,
    write_selection,
)
from disbench.reports.page.render import render
from disbench.reports.records import Record, Trial, write_record

SCORES = {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.4, 0.9]}
LOSS = {
    "a": [9.0, 1.0, 1.0],
    "b": [2.0, 8.0, 1.0],
}  # prefers a's first seed among all, setting a by its mean, b's second seed


def candidates(metric: str = "mig") -> list[Candidate]:
    return [
        Candidate(
            trial=f"{setting}{seed}",
            setting=setting,
            seed=seed,
            scores={metric: score},
            criteria={
                "reconstruction": [LOSS[setting][seed]],
                f"2 labels {metric}": [score, -score],
                **({"udr": [score]} if setting == "a" else {}),
            },
        )
        for setting, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]


def found(choice: str, higher: bool = True) -> dict[str, Pick]:
    return {each.criterion: each for each in picks(candidates(), {"mig": higher}, [2], 0) if each.choice == choice}


def test_a_trial_is_picked_of_all() -> None:
    own = found("trial")
    assert (own["oracle"].picked, own["oracle"].score) == ("b, seed 2", 0.9)
    assert own["median"].score == pytest.approx(0.35)
    assert own["reconstruction"].picked == "a, seed 0"
    assert own["reconstruction"].score == 0.1
    assert own["reconstruction"].regret == pytest.approx(0.8)
    # One of two draws of labels is right and picks 0.9, the other is wrong and picks 0.1.
    assert own["2 labels mig"].score == pytest.approx(0.5)
    assert own["2 labels mig"].regret == pytest.approx(0.4)
    assert own["udr"].score is None  # which setting b has no value of


def test_a_setting_is_picked_by_means_over_seeds() -> None:
    own = found("setting")
    assert (own["oracle"].picked, own["oracle"].score) == ("b", pytest.approx(0.6))
    assert own["median"].score == pytest.approx(0.4)
    assert (own["reconstruction"].picked, own["reconstruction"].score) == (
        "a",
        pytest.approx(0.2),
    )  # 11 / 3 against 11 / 3


def test_a_seed_of_each_setting_is_picked() -> None:
    own = found("seed")
    assert (own["oracle"].picked, own["oracle"].score) == ("2, 2", pytest.approx(0.6))
    assert own["median"].score == pytest.approx(0.35)
    assert (own["reconstruction"].picked, own["reconstruction"].score) == ("0, 1", pytest.approx(0.25))


def test_where_lower_is_better_the_lowest_is_best_and_regret_is_still_positive() -> None:
    own = found("trial", higher=False)
    assert (own["oracle"].picked, own["oracle"].score) == ("a, seed 0", 0.1)
    assert own["reconstruction"].regret == 0
    assert own["median"].regret == pytest.approx(0.25)


def test_the_interval_holds_the_regret_of_resampled_seeds() -> None:
    """Of setting a alone, by hand: three seeds with scores 1, 2, 3 of which the criterion likes the worst most."""
    own = [
        Candidate(trial=str(n), setting="a", seed=n, scores={"mig": n + 1.0}, criteria={"reconstruction": [-float(n)]})
        for n in range(3)
    ]
    [pick] = [
        each
        for each in picks(own, {"mig": True}, [], 0)
        if each.choice == "seed" and each.criterion == "reconstruction"
    ]
    assert pick.regret == 2
    assert (pick.low, pick.high) == (0.0, 2.0)  # 1 of 9 resamples has one seed three times, so 2.5 % are at 0


def test_criteria_are_sorted_by_regret_and_named_for_readers() -> None:
    own = list(found("trial").values())
    assert [each.criterion for each in own] == ["oracle", "median", "2 labels mig", "reconstruction", "udr"]
    assert [criterion_label(each.criterion) for each in own] == [
        "best choice",
        "median",
        "2 labels",
        "reconstruction",
        "UDR",
    ]
    assert criterion_label("1000 labels mig") == "1,000 labels"


def selection(ids: dict[str, str] | None = None) -> Selection:
    own = [each.model_copy(update={"trial": (ids or {}).get(each.trial, each.trial)}) for each in candidates()]
    dataset = SelectionOfDataset(
        dataset="dsprites_like", options="{}", candidates=own, picks=picks(own, {"mig": True}, [2], 0)
    )
    return Selection(command="disbench select runs", metrics=["mig"], labels=[2], draws=2, seed=0, datasets=[dataset])


def test_the_file_is_read_as_it_was_written_and_refused_where_it_is_another(tmp_path: Path) -> None:
    path = write_selection(selection(), tmp_path / SELECTION_FILE)
    assert read_selection(path) == selection()
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "selection_schema": 9}))
    with pytest.raises(ValueError, match="schema 9, and 1 is read"):
        read_selection(path)
    path.write_text(json.dumps({**content, "more": 1}))
    with pytest.raises(ValueError, match="is no selection of models"):
        read_selection(path)


def records(folder: Path) -> dict[str, str]:
    ids = {}
    for each in candidates():
        trial = Trial(
            method={"a": "vae", "b": "beta_vae"}[each.setting],
            dataset="dsprites_like",
            dataset_version="1",
            seed=each.seed,
            steps=9,
            batch_size=8,
        )
        write_record(Record(trial=trial, status="ok", views={"mean": each.scores}), folder / trial.id)
        ids[each.trial] = trial.id
    return ids


def test_the_page_shows_it_beside_its_records(tmp_path: Path) -> None:
    assert "Choosing a model" not in (records(tmp_path) and render(tmp_path).read_text())
    write_selection(selection(records(tmp_path)), tmp_path / SELECTION_FILE)
    page = render(tmp_path).read_text()
    assert "Choosing a model without labels" in page
    row = page[page.index('<th scope="row">reconstruction</th>') :]
    assert "a, seed 0" in row[: row.index("</tr>")]
    assert "0.800" in row[: row.index("</tr>")]


def test_a_selection_of_other_scores_is_left_out_and_named(tmp_path: Path) -> None:
    ids = records(tmp_path)
    other = selection(ids)
    other.datasets[0].candidates[0].scores["mig"] = np.nextafter(0.1, 1)
    write_selection(other, tmp_path / SELECTION_FILE)
    page = render(tmp_path).read_text()
    assert "Choosing a model" not in page
    assert "has no record here with these scores" in page
