"""Commands that measure time: `disbench profile` and `disbench estimators`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmarks.cli.terminal import options as common
from disbench.benchmarks.cli.terminal.printing import console, fail, new_table
from disbench.benchmarks.settings.choices import DEFAULT_METRICS, PROFILE_NAMES, WARM_UP
from disbench.datasets.wording import did_you_mean, shown

if TYPE_CHECKING:
    from disbench.benchmarks.estimators.tasks import PosteriorTask

timing_app = typer.Typer()


@timing_app.command()
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
    select: common.Select = None,
    options: common.DatasetOptions = None,
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
) -> None:
    """Where a trial's time goes, from a short training: a table; nothing is written."""
    from disbench.benchmarks.settings.defaults import resolved_trial
    from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
    from disbench.benchmarks.settings.validation import check_metrics
    from disbench.benchmarks.trials.profile import profile_trial, shares

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    wanted = check_metrics({name: {} for name in names})
    given = {"method": method, "dataset": dataset, "steps": steps, "batch_size": batch_size}
    given |= {"precision": precision, "rows": rows}
    trial, opened = checked_trial(common.trial_settings(sets, options, select, **given), data_dir)
    check_precision_here(trial.precision)
    found = profile_trial(resolved_trial(trial), opened, wanted, timed_steps)
    table = new_table("part", "ms a step", "of a step", "s a trial", "of the trial")
    for row, share in zip(found, shares(found), strict=True):
        of_step = "" if row.share_of_step is None else f"{row.share_of_step:.1%}"
        a_step = f"{row.seconds / steps * 1e3:.2f}" if of_step else ""
        table.add_row(row.part, a_step, of_step, f"{row.seconds:.1f}", f"{share:.1%}")
    console.print(table)


@timing_app.command()
def estimators(
    profile: Annotated[str, typer.Option(help=f"How much is measured: {', '.join(PROFILE_NAMES)}.")] = "quick",
    out: Annotated[
        Path, typer.Option(help="Folder of the results and the page; what is measured there is kept.")
    ] = Path("runs/estimators"),
    codes: Annotated[
        Path | None,
        typer.Option(help="A trial's codes.h5, whose posteriors are a task. Default: a small beta-VAE is trained."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ... Default: an accelerator where there is one.")
    ] = None,
) -> None:
    """MINE versus Monte Carlo against known truth: accuracy, gradients, time. Writes estimators.json and estimators.html."""
    import torch

    from disbench.benchmarks.estimators.profiles import PROFILES
    from disbench.benchmarks.estimators.study import run_study, seeded
    from disbench.benchmarks.estimators.trained import from_table, train_here
    from disbench.reports.estimators.page import page_in, render_study
    from disbench.reports.records import STUDY_FILE

    if profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise fail(f"There is no profile {shown(profile)}; there are {known}.{did_you_mean(profile, PROFILES)}")
    torch.set_num_threads(threads)
    try:
        where = torch.device(device) if device else torch.accelerator.current_accelerator(check_available=True)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:  # each device of torch has its own way to refuse
        raise fail(f"--device {shown(device)} is no device of this machine; use cpu, or cuda with a GPU.") from error
    where = where or torch.device("cpu")
    chosen = PROFILES[profile]

    def trained() -> "PosteriorTask":
        if codes is not None:
            return from_table(codes, chosen.rows, where)
        with seeded("trained encoder"):
            return train_here(chosen.rows, chosen.encoder_steps, where)

    words = ["disbench", "estimators", "--profile", profile, "--threads", str(threads), "--out", str(out)]
    words += ["--codes", str(codes)] if codes else []
    if codes is not None:
        trained()  # report an unreadable table now, not after minutes
    if (out / STUDY_FILE).exists():
        page_in(out)  # and so is an earlier study that no page can be made of
    run_study(
        out,
        profile,
        where,
        trained,
        source=str(codes) if codes else "trained here",
        command=shlex.join(words),
        told=lambda line: console.print(line, markup=False, highlight=False),
    )
    page = render_study(out)
    console.print(str(page), markup=False, highlight=False)
