"""Our scores beside those of other implementations on tables drawn from a seed, which agreement.py stored."""

import json
import subprocess
import sys

import agreement
import numpy as np
import pytest
from agreement import PAGE, SCORES, check_commit, key, our_scores, page
from peer_code import REPOSITORIES
from peer_tables import CASES, DRAWN, table
from peers import ADAPTERS, NO_CODE, OURS

from disbench.metrics import METRICS, __all__ as public

STORED = json.loads(SCORES.read_text(encoding="utf-8"))
SLOW_TABLES = ("many_latents",)
SMALL_TABLES = ("few_rows", "imbalanced")
COMPARED = [(metric, adapter) for metric, adapters in ADAPTERS.items() for adapter in adapters]
EXACT = [(metric, adapter) for metric, adapter in COMPARED if adapter.seeds == 1]
NAMES = [*METRICS, *(name.removesuffix("_detail") for name in public if name.endswith("_detail"))]
REPOSITORY = PAGE.parents[2]


@pytest.mark.parametrize("metric", NAMES)
def test_every_metric_has_a_row(metric):
    assert f"\n| `{metric}` | " in PAGE.read_text(encoding="utf-8")


def test_every_comparison_has_scores_and_stands_on_the_page():
    compared = {metric: [key(adapter) for adapter in adapters] for metric, adapters in ADAPTERS.items()}
    assert compared == {metric: list(scores) for metric, scores in STORED.items()}
    assert set(OURS) == set(NAMES)
    assert {adapter.repository for _, adapter in COMPARED} == set(REPOSITORIES)
    assert PAGE.read_text(encoding="utf-8") == page(STORED)


@pytest.mark.parametrize("metric", NO_CODE)
def test_a_metric_that_is_not_compared_names_tests_that_there_are(metric):
    assert metric not in ADAPTERS
    tests = (REPOSITORY / NO_CODE[metric].file).read_text(encoding="utf-8")
    assert metric in tests
    assert NO_CODE[metric].tests
    assert all(f"\ndef {name}(" in tests for name in NO_CODE[metric].tests)


@pytest.mark.parametrize(("metric", "adapter"), COMPARED, ids=[f"{m}-{key(a)}" for m, a in COMPARED])
def test_stored_scores_agree_but_where_the_definitions_differ(metric, adapter):
    stored = STORED[metric][key(adapter)]
    for name, ours in stored["ours"].items():
        agree = abs(ours - stored["theirs"][name]) <= adapter.tolerance
        assert agree != (name in adapter.differs_on), f"{name}: {ours} here, {stored['theirs'][name]} there"
    compared = [name for name in stored["ours"] if name not in adapter.differs_on]
    assert len([name for name in compared if name in DRAWN]) >= 6
    assert len([name for name in compared if name in CASES]) >= 4
    assert bool(adapter.note) >= bool(adapter.differs_on)


@pytest.mark.parametrize(("metric", "adapter"), EXACT, ids=[f"{m}-{key(a)}" for m, a in EXACT])
def test_a_score_is_still_that_of_the_other_implementation(metric, adapter):
    stored = STORED[metric][key(adapter)]["theirs"]
    names = [name for name in stored if name in DRAWN and name not in (*SLOW_TABLES, *adapter.differs_on)]
    if adapter.slow:
        names = [name for name in SMALL_TABLES if name in names][:1]
    assert names
    assert our_scores(metric, adapter, names) == pytest.approx(
        {name: stored[name] for name in names}, abs=adapter.tolerance
    )


def test_the_page_is_written_without_other_implementations_where_no_scores_are_missing(tmp_path, monkeypatch):
    stored, written = tmp_path / "peers.json", tmp_path / "agreement.md"
    stored.write_bytes(SCORES.read_bytes())
    monkeypatch.setattr(agreement, "SCORES", stored)
    monkeypatch.setattr(agreement, "PAGE", written)
    monkeypatch.setattr(sys, "argv", ["agreement.py", "--peers", str(tmp_path / "none"), "--missing"])
    agreement.main()
    assert stored.read_bytes() == SCORES.read_bytes()
    assert written.read_bytes() == PAGE.read_bytes()


def test_a_table_has_the_rows_and_factors_of_its_view():
    codes, factors = table("many_values", "factors of three values at most", 300)
    assert codes.shape == (300, 4)
    assert factors.max(axis=0).tolist() == [2, 2, 2]
    assert np.bincount(factors[:, 0]).min() > 80
    means, cells = table("duplicated_code", "mean codes of cells of two factors")
    whole, labels = table("duplicated_code")
    assert cells.tolist() == [[i, j] for i in range(3) for j in range(4)]
    assert means[5] == pytest.approx(whole[(labels[:, 0] == 1) & (labels[:, 1] == 1)].mean(axis=0))


def test_a_drawn_table_is_the_same_whenever_it_is_drawn():
    codes, factors = table("lognormal")
    assert codes.shape == factors.shape == (2000, 3)
    assert (table("lognormal")[0] == codes).all()
    assert len({table(name)[0].tobytes() for name in (*DRAWN, *CASES)}) == len(DRAWN) + len(CASES)


def test_a_repository_at_another_commit_or_at_no_known_one_is_refused(tmp_path):
    root = tmp_path / "icebeem"
    root.mkdir()
    with pytest.raises(SystemExit, match=r"not a git checkout.*git clone https://github.com/ilkhem/icebeem"):
        check_commit(tmp_path, "icebeem")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(root), *author, "commit", "-q", "--allow-empty", "-m", "other"], check=True)
    with pytest.raises(SystemExit, match="the page compares with 0077f01"):
        check_commit(tmp_path, "icebeem")
