"""Our scores beside those of other implementations on tables drawn from a seed, which agreement.py stored."""

import json
import subprocess

import pytest
from agreement import PAGE, SCORES, check_commit, key, our_scores, page
from peer_tables import CASES, DRAWN, table
from peers import ADAPTERS, REPOSITORIES

from disbench.metrics import METRICS

STORED = json.loads(SCORES.read_text(encoding="utf-8"))
SLOW_TABLES = ("many_latents",)
COMPARED = [(metric, adapter) for metric, adapters in ADAPTERS.items() for adapter in adapters]
EXACT = [(metric, adapter) for metric, adapter in COMPARED if adapter.seeds == 1]


def test_every_comparison_has_scores_and_stands_on_the_page():
    compared = {metric: [key(adapter) for adapter in adapters] for metric, adapters in ADAPTERS.items()}
    assert compared == {metric: list(scores) for metric, scores in STORED.items()}
    assert set(compared) <= set(METRICS)
    assert {adapter.repository for _, adapter in COMPARED} == set(REPOSITORIES)
    assert PAGE.read_text(encoding="utf-8") == page(STORED)


@pytest.mark.parametrize(("metric", "adapter"), COMPARED, ids=[f"{m}-{key(a)}" for m, a in COMPARED])
def test_stored_scores_agree_but_where_the_definitions_differ(metric, adapter):
    stored = STORED[metric][key(adapter)]
    for name, ours in stored["ours"].items():
        agree = abs(ours - stored["theirs"][name]) <= adapter.tolerance
        assert agree != (name in adapter.differs_on), f"{name}: {ours} here, {stored['theirs'][name]} there"
    assert sum(name in DRAWN and name not in adapter.differs_on for name in stored["ours"]) >= 6


@pytest.mark.parametrize(("metric", "adapter"), EXACT, ids=[f"{m}-{key(a)}" for m, a in EXACT])
def test_a_score_is_still_that_of_the_other_implementation(metric, adapter):
    stored = STORED[metric][key(adapter)]["theirs"]
    names = [name for name in stored if name in DRAWN and name not in (*SLOW_TABLES, *adapter.differs_on)]
    assert names
    assert our_scores(metric, adapter, names) == pytest.approx(
        {name: stored[name] for name in names}, abs=adapter.tolerance
    )


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
