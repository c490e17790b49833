"""Score the groups of latents of the study `groups`, and print its tables and verdicts.

    disbench run groups --out runs/groups                                # train
    python docs/groups_study.py runs/groups --out results/groups         # score groups: results/groups/scores.json and front.png
    python docs/groups_study.py results/groups --table                   # print the tables from scores.json

`find_groups` finds the groups in the codes of each trial, with the right number given. A method that learns groups has a second
row with those. For each row:

    group_mig, group_modularity    scores of groups, see docs/metrics/group_information.md
    mig                            MIG of single latents
    rate                           KL divergence of the scored images from the prior, in nats
    distortion                     reconstruction loss in nats, mean over the last tenth of training
    allocation                     Spearman correlation, over factors, of the nats of a factor's best group with the number
                                   of real numbers that the factor needs
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import stats

from disbench.datasets import load
from disbench.metrics import METRICS, find_groups

WEIGHTS = {"beta_tcvae": ("beta", 1), "beta_vae": ("beta", 1), "factor_vae": ("gamma", 0)}
WEIGHTS |= {"hf_vae": ("between_weight", 1), "mine_groups": ("tc_weight", 0)}
ARCHITECTURE = ("network", "hidden_dim", "lr", "latent_dim", "blocks", "find_at", "attention", "discriminator_dim")
SCORES = ("group_mig", "group_modularity", "mig", "rate", "distortion", "allocation")
SCORE_FILE = "scores.json"


def label_of(trial: dict[str, Any], changed: list[str]) -> tuple[str, int]:
    """Name a row: the method with its weight and what else was changed; and its number of latents."""
    method, hparams = trial["method"], trial["hparams"]
    name, less = WEIGHTS.get(method, ("", 0))
    words = [f"weight {hparams[name] - less:g}"] if name else []
    for key in changed:
        if key == "attention" and hparams[key] == "fixed":
            words.append("fixed blocks")
        elif key == "discriminator_dim" or key in ARCHITECTURE or key == name:
            continue
        else:
            words.append(f"{key} {hparams[key]}".lower())
    return ", ".join([method, *words]), hparams["latent_dim"]


def tail(curve: list[list[float]]) -> float:
    """Average the last tenth of a curve."""
    values = [value for _, value in curve]
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def score(folder: Path) -> list[dict[str, Any]]:
    """Score one trial: with groups that are found and, if the method learns groups, with those."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    trial = record["trial"]
    if not trial["steps"]:  # an untrained encoder has no groups
        return []
    with h5py.File(folder / "codes.h5") as table:
        codes, std, factors = (np.asarray(table[name]) for name in ("codes", "codes_std", "factors"))
        learned = np.asarray(table["group"]) if "group" in table else None
    needed = load(trial["dataset"], **trial["dataset_options"]).intrinsic_dimensions
    nats = 0.5 * (codes**2 + std**2 - 1 - 2 * np.log(std)).mean(0)
    label, latents = label_of(trial, record["changed_hparams"])
    rows = [(label, find_groups(codes, std=std, count=factors.shape[1]))]
    if learned is not None:
        rows.append((f"{label}, learned groups", learned))
    scores = []
    for name, groups in rows:
        gaps = METRICS["group_mig"].detail(codes, factors, groups=groups)
        held = [float(nats[groups == gap["group"]].sum()) for gap in gaps["factors"]]
        scores.append(
            {
                "label": name,
                "latent_dim": latents,
                "seed": trial["seed"],
                "folder": folder.name,
                "group_mig": gaps["score"],
                "group_modularity": METRICS["group_modularity"](codes, factors, groups=groups),
                "mig": METRICS["mig"](codes, factors),
                "rate": float(nats.sum()),
                "distortion": tail(record["curves"]["reconstruction"]),
                "nats": dict(zip(record["factor_names"], held, strict=True)),
                "sizes": [int(((groups == gap["group"]) & (nats > 0.1)).sum()) for gap in gaps["factors"]],
                "allocation": float(stats.spearmanr(held, list(needed.values())).statistic) if needed else None,
                "remarks": record["remarks"],
            }
        )
    return scores


Rows = dict[tuple[str, int], dict[int, dict[str, Any]]]  # of each label and number of latents, by seed


def rows_of(scores: list[dict[str, Any]]) -> Rows:
    """Sort trials into rows, by number of latents and then in the order in which they were run."""
    rows: Rows = defaultdict(dict)
    for each in sorted(scores, key=lambda each: (each["latent_dim"], each["label"])):
        rows[each["label"], each["latent_dim"]][each["seed"]] = each
    return dict(rows)


def interval(values: list[float]) -> tuple[float, float]:
    """Compute the mean, and half the width of its 95 % interval by Student's t; NaN for fewer than three."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 2 else np.nan
    return float(np.mean(values)), float(half)


def table(rows: Rows) -> Iterator[str]:
    """Make the lines of a table: mean and half of the 95 % interval of each score."""
    yield "| latents | run | seeds | group MIG | group modularity | MIG | rate | distortion | allocation |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for (label, latents), seeds in rows.items():
        cells = []
        for name in SCORES:
            mean, half = interval([each[name] for each in seeds.values()])
            digits = 1 if name in ("rate", "distortion") else 3
            cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}")
        yield f"| {latents} | {label} | {len(seeds)} | {' | '.join(cells)} |"


def side(ours: dict[int, dict[str, Any]], theirs: dict[int, dict[str, Any]], name: str) -> tuple[float, float]:
    """Compute the mean difference, ours less theirs, over the seeds of both, and half of its 95 % interval."""
    both = sorted(set(ours) & set(theirs))
    return interval([ours[seed][name] - theirs[seed][name] for seed in both])


def verdict(group_mig: tuple[float, float], distortion: tuple[float, float]) -> str:
    """Say who is ahead on the front of group MIG against distortion, where an interval without 0 decides each."""
    wins = [0 if abs(mean) <= half or np.isnan(half) else np.sign(mean) for mean, half in (group_mig, distortion)]
    ahead, behind = wins[0] > 0 or wins[1] < 0, wins[0] < 0 or wins[1] > 0
    return {(True, False): "leads", (False, True): "loses", (True, True): "trades"}.get((ahead, behind), "level")


def verdicts(rows: Rows, ours: str) -> Iterator[str]:
    """Make the lines of a table that sets one run beside all others with as many latents."""
    yield f"| latents | {ours} against | difference of group MIG | difference of distortion | verdict |"
    yield "|---|---|---|---|---|"
    for (label, latents), seeds in rows.items():
        if label != ours and (ours, latents) in rows:
            mig, distortion = (side(rows[ours, latents], seeds, name) for name in ("group_mig", "distortion"))
            cells = f"{mig[0]:+.3f} ± {mig[1]:.3f} | {distortion[0]:+.1f} ± {distortion[1]:.1f}"
            yield f"| {latents} | {label} | {cells} | {verdict(mig, distortion)} |"


def draw(rows: Rows, path: Path) -> None:
    """Draw group MIG and MIG against distortion and rate: a point for each row, with 95 % intervals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharey="row", layout="constrained")
    methods = sorted({label.split(",")[0] for label, _ in rows})
    for (label, latents), seeds in rows.items():
        method = label.split(",")[0]
        for y, line in zip(("group_mig", "mig"), axes, strict=True):
            for x, axis in zip(("distortion", "rate"), line, strict=True):
                (right, wide), (up, high) = (interval([each[name] for each in seeds.values()]) for name in (x, y))
                marker = {10: "^", 32: "o", 128: "s"}.get(latents, "D")
                axis.errorbar(right, up, high, wide, fmt=marker, color=f"C{methods.index(method)}", capsize=2)
                axis.annotate(
                    label.removeprefix(method).lstrip(", "),
                    (right, up),
                    fontsize=6,
                    xytext=(4, 4),
                    textcoords="offset points",
                )
                axis.set_xlabel(f"{x}, nats")
                axis.set_ylabel({"group_mig": "group MIG", "mig": "MIG"}[y])
    for place, method in enumerate(methods):
        axes[0, 0].plot([], [], "o", color=f"C{place}", label=method)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Folder of the trials, or of scores.json with --table.")
    parser.add_argument("--out", type=Path, help="Folder for scores.json and front.png; by default the same.")
    parser.add_argument("--table", action="store_true", help="Only print the tables of scores.json.")
    parser.add_argument("--ours", default="mine_groups, weight 3", help="The run that is set beside the others.")
    given = parser.parse_args()
    out = given.out or given.folder
    if not given.table:
        folders = sorted(path.parent for path in given.folder.glob("*/codes.h5"))
        scores = read(out) if (out / SCORE_FILE).exists() else []
        known = {each["folder"] for each in scores}
        scores += [each for folder in folders if folder.name not in known for each in score(folder)]
        out.mkdir(parents=True, exist_ok=True)
        (out / SCORE_FILE).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        draw(rows_of(scores), out / "front.png")
    rows = rows_of(read(out))
    sys.stdout.write("\n".join([*table(rows), "", *verdicts(rows, given.ours)]) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """Read scores.json."""
    found: list[dict[str, Any]] = json.loads((folder / SCORE_FILE).read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
