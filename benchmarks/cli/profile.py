"""The command that shows where a trial's time goes."""

from typing import Annotated

import typer

from disbench.benchmarks.cli.terminal.options import DataDir, DatasetOptions, Select, assignments, dataset_options
from disbench.benchmarks.cli.terminal.printing import console, fail
from disbench.benchmarks.cli.terminal.table_style import table as new_table
from disbench.benchmarks.settings.choices import DEFAULT_METRICS, WARM_UP

profile_app = typer.Typer()


@profile_app.command()
def profile(
    method: Annotated[str, typer.Option(help="See `disbench list methods`.")],
    dataset: Annotated[str, typer.Option(help="See `disbench list datasets`.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the trial that is estimated.")] = 10_000,
    timed_steps: Annotated[int, typer.Option(min=1, help=f"Steps that are timed, after {WARM_UP}.")] = 30,
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a minibatch.")] = 64,
    precision: Annotated[str, typer.Option(help="Lightning's: 32-true, bf16-mixed, ...")] = "32-true",
    rows: Annotated[int, typer.Option(min=2, help="Rows encoded and scored, at most.")] = 100_000,
    metrics: Annotated[str, typer.Option(help="Comma-separated names.")] = ",".join(DEFAULT_METRICS),
    sets: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter, key=value. Repeatable.")] = None,
    select: Select = None,
    options: DatasetOptions = None,
    data_dir: DataDir = None,
) -> None:
    """Where a trial's time goes, from a short training: a table; nothing is written."""
    from disbench.benchmarks.settings.defaults import resolved_trial
    from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
    from disbench.benchmarks.settings.validation import check_metrics
    from disbench.benchmarks.trials.profile import profile_trial, shares

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    try:
        wanted = check_metrics({name: {} for name in names})
        settings = {
            "method": method,
            "dataset": dataset,
            "dataset_options": dataset_options(options, select),
            "steps": steps,
            "batch_size": batch_size,
            "precision": precision,
            "rows": rows,
            "hparams": assignments(sets, "--set"),
        }
        trial, opened = checked_trial(settings, data_dir)
        check_precision_here(trial.precision)
        found = profile_trial(resolved_trial(trial), opened, wanted, timed_steps)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    table = new_table("part", "ms a step", "of a step", "s a trial", "of the trial")
    for row, share in zip(found, shares(found), strict=True):
        of_step = "" if row.share_of_step is None else f"{row.share_of_step:.1%}"
        a_step = f"{row.seconds / steps * 1e3:.2f}" if of_step else ""
        table.add_row(row.part, a_step, of_step, f"{row.seconds:.1f}", f"{share:.1%}")
    console.print(table)
