"""The command that runs a suite."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from disbench.benchmarks.options import DataDir, fail
from disbench.benchmarks.run import run_suite
from disbench.benchmarks.suite import load_suite
from disbench.reports.render import render
from disbench.reports.text import as_text

suite_app = typer.Typer()


@suite_app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name (see `disbench list suites`) or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of trial folders; finished trials in it are kept.")] = Path("runs"),
    data_dir: DataDir = None,
) -> None:
    """Run a suite, then print its table and the path of its page. Run the same command again to go on after a stop."""
    try:
        records = list(run_suite(load_suite(suite, data_dir), out, data_dir))
    except (ValueError, OSError) as error:
        raise fail(error) from error
    except (KeyboardInterrupt, SystemExit):
        print(f"\nStopped. What was finished is in {out}; run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(as_text(out))
    print(render(out).resolve())
    failed = [record.trial.id for record in records if record.status == "failed"]
    if failed:
        print(f"{len(failed)} of {len(records)} trials failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)
