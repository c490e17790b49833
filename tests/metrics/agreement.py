"""Compare our scores with those of the authors' code on the same tables, and write docs/metrics/agreement.md.

    python tests/metrics/agreement.py --list | (mkdir -p PEERS && cd PEERS && sh)   gets the other implementations
    python tests/metrics/agreement.py --peers PEERS                                 all metrics, an estimated 50 minutes
    python tests/metrics/agreement.py --peers PEERS --only mig,med                  some; others keep their scores
    python tests/metrics/agreement.py --peers PEERS --missing                       those that have no scores yet

The authors' files are imported by their paths and are not changed. What they import and is not installed is replaced by small
stand-ins (peers.py, which also says how to add a metric). Both scores of each table are kept in oracle/peers.json, from which
the page is written. test_agreement.py computes ours again and compares them without the authors' code.
"""

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from peer_code import REPOSITORIES, Adapter, load, table_names
from peer_tables import DRAWN, table
from peers import ADAPTERS, NO_CODE, OURS

from disbench.metrics import NotApplicable

Scores = dict[str, float]  # by table
SCORES = Path(__file__).parent / "oracle" / "peers.json"
PAGE = Path(__file__).parents[2] / "docs" / "metrics" / "agreement.md"
HEAD = """# Agreement with other implementations

Our scores beside those of the authors' or another public implementation, on the same tables: eight cases of
`tests/metrics/oracle` and eight tables drawn from a seed (imbalanced factors, a duplicated code, a rotation, 40 latents,
200 rows, factors of 32 values, continuous and lognormal factors). These commands make this page again:

```console
python tests/metrics/agreement.py --list | (mkdir -p FOLDER && cd FOLDER && sh)  # gets the other implementations
python tests/metrics/agreement.py --peers FOLDER                                 # needs no network
```

The second takes about 50 minutes of one core. This is an estimate: metrics were compared a few at a time.

How to read the table:

- A difference is that of the two scores, ours minus theirs. Where a metric draws random numbers, it is that of their
  means over three to five seeds.
- **Input** says what is made of each table first. A number of rows means that so many are drawn, because the other
  code is slow. Slow code is also run on fewer oracle cases.
- **Our options** give the other implementation's protocol.
- **Tables** counts oracle cases and drawn tables. Tables on which one of the two is undefined are left out, and so are
  those that take the other code more than five minutes.
- Predictors of both sides are fitted on the same rows, with the same random state where the other code takes one. The
  classifiers of `sap_svc` and `sap_tree` take theirs from the global generator there, which is seeded.
- `sap_tree` is compared on our folds. Theirs follow the order of rows, and [other folds score differently](sap.md#folds).
- `r2_diagonal` and `r2_separation` have other predictors.
- `tests/metrics/test_against_peers.py` compares more scores on the oracle cases.

| metric | implementation | input | our options | tables | largest difference | on | verdict |
|---|---|---|---|---|---|---|---|
"""


def key(adapter: Adapter) -> str:
    """The name of a comparison: one implementation and our options."""
    options = ",".join(f"{name}={value}" for name, value in adapter.options.items())
    return f"{adapter.repository}/{adapter.file} {options}".strip()


def their_scores(folder: Path, adapter: Adapter) -> Scores:
    """The mean over seeds of the authors' score of each table that their code can score."""
    module, scores = load(folder, adapter), {}
    for name in table_names(adapter):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                codes, factors = table(name, adapter.view, adapter.rows)
                score = float(np.mean([adapter.score(module, codes, factors, seed) for seed in range(adapter.seeds)]))
            except (ArithmeticError, AssertionError, TypeError, ValueError) as error:
                sys.stderr.write(f"{adapter.repository} {adapter.file} cannot score {name}: {error!r}\n")
                continue
        if np.isfinite(score):
            scores[name] = score
    return scores


def our_scores(metric: str, adapter: Adapter, names: list[str]) -> Scores:
    """The mean over seeds of our score of each table to which the metric is applicable."""
    scores = {}
    for name in names:
        codes, factors = table(name, adapter.view, adapter.rows)
        try:
            drawn = [OURS[metric](codes, factors, seed=seed, **adapter.options) for seed in range(adapter.seeds)]
        except NotApplicable:
            continue
        scores[name] = float(np.mean(drawn))
    return scores


def page(scores: dict[str, dict[str, dict[str, Scores]]]) -> str:
    """The page of all comparisons that have scores, and of the metrics that cannot be compared."""
    rows = []
    for metric in OURS:
        for adapter in ADAPTERS.get(metric, []):
            if key(adapter) in scores.get(metric, {}):
                rows.append(row(metric, adapter, scores[metric][key(adapter)]))
        if metric in NO_CODE:
            rows.append(row_without_code(metric))
    return HEAD + "\n".join(rows) + "\n"


def row(metric: str, adapter: Adapter, scores: dict[str, Scores]) -> str:
    found = {name: ours - scores["theirs"][name] for name, ours in scores["ours"].items()}
    compared = {name: each for name, each in found.items() if name not in adapter.differs_on}
    worst = max(compared, key=lambda name: abs(compared[name]))
    equal = sum(abs(each) <= adapter.tolerance for each in compared.values())
    verdict = f"within {adapter.tolerance:g}" + ("" if equal == len(compared) else f" on {equal} of {len(compared)}")
    if len(compared) < len(found):
        others = ", ".join(f"{name} ({found[name]:+.3f})" for name in found if name not in compared)
        verdict += f"; another definition on {others}"
    verdict += f": {adapter.note}" if adapter.note else ""
    address, commit = REPOSITORIES[adapter.repository]
    options = ", ".join(f"`{name}={value}`" for name, value in adapter.options.items())
    source = f"[{address}](https://github.com/{address}/blob/{commit}/{adapter.file}) at {commit}"
    taken = ", ".join(filter(None, (adapter.view, f"{adapter.rows} rows" if adapter.rows else "")))
    drawn = sum(name in DRAWN for name in compared)
    counts = f"{len(compared) - drawn} + {drawn}"
    return (
        f"| `{metric}` | {source} | {taken} | {options} | {counts} | {abs(compared[worst]):.0e} | {worst} | {verdict} |"
    )


def row_without_code(metric: str) -> str:
    case = NO_CODE[metric]
    tests = ", ".join(f"`{name}`" for name in case.tests)
    return f"| `{metric}` | {case.why} | | | | | | checked by {tests} in `{case.file}` |"


def check_commit(folder: Path, name: str) -> None:
    """Exit unless the repository is a git checkout of the commit that the page names."""
    root, (address, commit) = folder / name, REPOSITORIES[name]
    get = f"git clone https://github.com/{address} {root} && git -C {root} checkout {commit}"
    if not (root / ".git").exists():
        sys.exit(f"{root} is not a git checkout, which tells its commit: {get}")
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not head.startswith(commit):
        sys.exit(f"{root} is at {head[:7]}, the page compares with {commit}: git -C {root} checkout {commit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder that holds the repositories, each under its name")
    parser.add_argument("--only", help="comma-separated metrics to compare again")
    parser.add_argument("--missing", action="store_true", help="compare only where there are no scores yet")
    parser.add_argument("--list", action="store_true", help="print the commands that get the repositories")
    chosen = parser.parse_args()
    if chosen.list or not chosen.peers:
        for name, (address, commit) in REPOSITORIES.items():
            sys.stdout.write(f"git clone https://github.com/{address} {name} && git -C {name} checkout {commit}\n")
        return
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    for metric in chosen.only.split(",") if chosen.only else ADAPTERS:
        stored, scores[metric] = scores.get(metric, {}), {}
        for adapter in ADAPTERS[metric]:
            if chosen.missing and key(adapter) in stored:
                scores[metric][key(adapter)] = stored[key(adapter)]
                continue
            check_commit(chosen.peers, adapter.repository)
            theirs = their_scores(chosen.peers, adapter)
            ours = our_scores(metric, adapter, list(theirs))
            scores[metric][key(adapter)] = {"theirs": theirs, "ours": ours}
            sys.stderr.write(f"{row(metric, adapter, scores[metric][key(adapter)])}\n")
        scores = {name: scores[name] for name in ADAPTERS if name in scores}
        SCORES.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(scores), encoding="utf-8")


if __name__ == "__main__":
    main()
