"""Draw how the alternation of the MINE VAE went, from the records of a run: docs/alternation.png.

python docs/plot_alternation.py results/first
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from disbench.reports.records import Record, read_records

PANELS = {
    "total correlation, nats": {"total_correlation": "neural", "total_correlation_monte_carlo": "Monte Carlo"},
    "leak and kept, nats": {"leak": "leak", "kept": "kept"},
    "assignment: cross, nats a latent": {"assignment_cross": "cross"},
    "assignment: capacity, chi-square": {"assignment_capacity": "capacity"},
    "assignment: entropy, nats": {"assignment_entropy": "entropy"},
}
COLOURS = ("tab:blue", "tab:orange")


def draw(records: list[Record], output: Path) -> None:
    datasets = sorted({record.trial.dataset for record in records})
    figure, axes = plt.subplots(
        len(datasets), len(PANELS), figsize=(3 * len(PANELS), 2.3 * len(datasets)), squeeze=False, layout="constrained"
    )
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, (title, terms) in zip(row, PANELS.items(), strict=True):
            for record in (record for record in records if record.trial.dataset == dataset):
                for (term, label), colour in zip(terms.items(), COLOURS, strict=False):
                    points = [(step, value) for step, value in record.curves.get(term, []) if step > warm_up(record)]
                    axis.plot(*zip(*points, strict=True), color=colour, linewidth=0.8, alpha=0.8, label=label)
            handles, labels = axis.get_legend_handles_labels()
            once = dict(zip(labels, handles, strict=True))
            axis.legend(once.values(), once.keys(), frameon=False, fontsize=7)
            axis.set_title(f"{dataset}\n{title}", fontsize=8)
            axis.tick_params(labelsize=7)
    figure.savefig(output, dpi=110)


def warm_up(record: Record) -> float:
    """The step at which the second phase begins; only then do the parties alternate."""
    return record.trial.steps * float(record.trial.hparams.get("mine_start", 0.6))


if __name__ == "__main__":
    found = [record for _, record in read_records(Path(sys.argv[1])) if record.trial.method == "mine_vae"]
    draw([record for record in found if record.status == "ok"], Path(__file__).with_name("alternation.png"))
