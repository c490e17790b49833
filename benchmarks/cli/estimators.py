"""`disbench estimators`: MINE versus Monte Carlo, measured here and shown on a page."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from disbench.benchmarks.cli.terminal.printing import console, fail
from disbench.benchmarks.settings.choices import PROFILE_NAMES
from disbench.datasets.wording import did_you_mean, shown

if TYPE_CHECKING:
    from disbench.benchmarks.estimators.tasks import PosteriorTask


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
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ) as error:  # each device of torch has its own way to refuse
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
    try:
        if codes is not None:
            trained()  # a table that cannot be read is told now, not after minutes
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
    except (ValueError, OSError) as error:
        raise fail(error) from error
    console.print(str(page), markup=False, highlight=False)
