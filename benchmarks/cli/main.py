"""The command `disbench`. Each command reads only the files of the stage before, so each can be run again alone."""

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from disbench.benchmarks.cli.data import data_app
from disbench.benchmarks.cli.listing import list_, metrics_app
from disbench.benchmarks.cli.report import report_app
from disbench.benchmarks.cli.suite import suite_app
from disbench.benchmarks.cli.terminal import options as common
from disbench.benchmarks.cli.terminal.commands import complete, our_version, quick_exit
from disbench.benchmarks.cli.terminal.guard import GuardedGroup
from disbench.benchmarks.cli.terminal.printing import PlainFormatter, Terminal, console, fail, say, stopping, write_file
from disbench.benchmarks.cli.timing import timing_app
from disbench.benchmarks.runtime.allocator import keep_memory
from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.runtime.optional import unsupported_system
from disbench.benchmarks.settings.choices import DEFAULT_METRICS, PROTOCOL_NAMES, VIEWS
from disbench.benchmarks.training.progress import AboveBars
from disbench.reports.records import RECORD_FILE, Record

if TYPE_CHECKING:
    from disbench.benchmarks.settings.training_file import TrainingFile

app = typer.Typer(
    cls=GuardedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Compare disentanglement methods: train, score, and show them. Start with: disbench run quick",
)
app.add_typer(data_app, name="data")
app.add_typer(report_app)  # export, compare, merge
app.add_typer(suite_app)  # run, status, search
app.add_typer(timing_app)  # profile, estimators
app.add_typer(metrics_app, name="metrics")  # stress
app.command("list")(list_)

MetricNames = Annotated[
    str | None,
    typer.Option(
        "--metrics", help=f"Comma-separated names; see `disbench list metrics`. Default: {','.join(DEFAULT_METRICS)}."
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help=f"With a publication's settings: {', '.join(PROTOCOL_NAMES)}. Default: our own."),
]
WithConfidence = Annotated[
    bool, typer.Option("--confidence", help="With each score its 95 % interval over rows, or its spread over 5 seeds.")
]
Resamples = Annotated[int, typer.Option(min=2, help="Resamples of the rows for --confidence.")]

Checkpoint = Annotated[Path, typer.Argument(help="A model.ckpt that `disbench train` or `run` wrote.")]
ToEvaluate = Annotated[Path, typer.Argument(help="A model.ckpt, or with --add a folder of trials.")]
Added = Annotated[str | None, typer.Option("--add", help="Metrics to put into the records of a folder: mig,fairness.")]
ViewName = Annotated[
    str, typer.Option("--view", help=f"{' or '.join(VIEWS)}: of a partitioned table also one number for each group.")
]


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"disbench {our_version()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Set up logging: rich on a terminal, plain lines with the time in a log file."""
    if (reason := unsupported_system()) is not None:
        raise fail(reason)
    quick_exit()
    keep_memory()
    if sys.stderr.isatty():
        handler: logging.Handler = AboveBars(console=Terminal(stderr=True), show_path=False, show_level=False)
        handler.setFormatter(PlainFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@app.command()
def train(
    method: Annotated[
        str | None, typer.Option(help="Required, here or in the YAML file. See `disbench list methods`.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Required, here or in the YAML file. See `disbench list datasets`.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Required, here or in the YAML file: number of training steps.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the weights, the order of images and the noise.", show_default="0")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a minibatch.", show_default="64")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Lightning's: 32-true, bf16-mixed, ...", show_default="32-true")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows encoded and scored, at most.", show_default="100000")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter, key=value. Repeatable.", show_default="the method's own"),
    ] = None,
    select: common.Select = None,
    options: common.DatasetOptions = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "-c", "--config", help="YAML file with these names; options on the command line win.", show_default="none"
        ),
    ] = None,
    metrics: MetricNames = None,
    settings: common.MetricSettings = None,
    ranges: common.EvaluationRanges = None,
    evaluate_every: common.EvaluateEvery = None,
    evaluate_rows: common.EvaluateRows = None,
    evaluate_metrics: common.EvaluateMetrics = None,
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
    out: Annotated[Path, typer.Option(help="Folder in which the trial's folder is made.")] = Path("runs/train"),
) -> None:
    """Train one trial, encode its dataset, score the codes and record all of it.

    Stop it with Ctrl-C at any time; the same command again goes on. Required: --method, --dataset and --steps, or a YAML file.
    """
    from disbench.benchmarks.cli.scores import metric_options
    from disbench.benchmarks.settings.defaults import resolved_trial
    from disbench.benchmarks.settings.training_file import TrainingFile, read_training_file
    from disbench.benchmarks.settings.trial_settings import check_precision_here, checked_trial
    from disbench.benchmarks.trials.encode import evaluation_rows
    from disbench.benchmarks.trials.existing import Earlier, finished
    from disbench.benchmarks.trials.trial import run_trial

    wanted, evaluations = metric_options(metrics, settings), common.evaluation_ranges(ranges)
    file = read_training_file(config) if config else TrainingFile()
    given = {"method": method, "dataset": dataset, "steps": steps, "seed": seed}
    given |= {"batch_size": batch_size, "precision": precision, "rows": rows}
    whole = file.complete(common.trial_settings(sets, options, select, **given), data_dir)
    trial, opened = checked_trial(whole, data_dir)
    check_precision_here(trial.precision)
    print_training_file(file)
    trial = resolved_trial(trial)
    evaluation_rows(trial, opened, evaluations)  # raises for rows that are not there
    schedule = common.schedule_of(evaluate_every, evaluate_rows, evaluate_metrics, wanted, trial.steps)
    earlier = Earlier(out)
    with stopping(f"Run the same command again to go on. How far it is: disbench status {out}"):
        record = finished(trial, out, wanted, evaluations, earlier=earlier, schedule=schedule)
        if record is not None:
            console.print("This trial was run already; it is kept.")
            found = None if (out / trial.id / RECORD_FILE).exists() else earlier.record(trial)
            finish(record, out / trial.id if found is None else found[0])
            return
        with try_lock(out / trial.id) as ours:
            if not ours:
                raise fail(f"Another process is running {trial.id}.")
            earlier.reuse(trial)
            record = run_trial(trial, opened, out, wanted, evaluations, root=data_dir, schedule=schedule)
    finish(record, out / trial.id)


def print_training_file(file: "TrainingFile") -> None:
    """What became of each name in the blocks of a training file."""
    for title, names, arrow in (("Read from the training file:", file.mapped, "->"), ("Ignored:", file.ignored, "-")):
        if names:
            console.print(title)
        for name, what in names.items():
            console.print(f"  {name} {arrow} {what}", markup=False, highlight=False, soft_wrap=True)


def finish(record: Record, folder: Path) -> None:
    """Print a trial's outcome, leave with status 1 where it failed."""
    from disbench.benchmarks.cli.scores import print_scores
    from disbench.benchmarks.trials.score import Scores

    say(folder)
    if record.status != "ok":
        say(record.error, err=True)
        raise typer.Exit(1)
    for shown in (record, *map(record.evaluated, record.evaluations)):
        if record.evaluations:
            console.print(f"{shown.evaluation}:")
        print_scores(Scores(shown.scores, shown.floor, shown.ceiling, shown.skipped), record.metric_options)


@app.command()
def evaluate(
    checkpoint: ToEvaluate,
    metrics: MetricNames = None,
    add: Added = None,
    settings: common.MetricSettings = None,
    protocol: ProtocolName = None,
    confidence: WithConfidence = False,
    resamples: Resamples = 200,
    groups: common.GroupSource = None,
    view: ViewName = "mean",
    ranges: common.EvaluationRanges = None,
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
) -> None:
    """Encode a checkpoint's dataset again and score it; writes nothing. Held-out rows have a separate table.

    With --groups found, groups are found on the first table and used on all. With --add, score every trial of a folder by
    further metrics, from its codes or its checkpoint, and write them into its record; nothing is trained.
    """
    if add is not None:
        from disbench.benchmarks.cli.scores import add_to_records

        add_to_records(checkpoint, add, settings, data_dir)
        return
    from disbench.benchmarks.cli.scores import announce, metric_options, metrics_without_settings, print_scores
    from disbench.benchmarks.trials.encode import encode_checkpoint, regrouped
    from disbench.benchmarks.trials.score import score_shown
    from disbench.metrics.views import view as view_of

    wanted = metric_options(metrics, settings, protocol)
    _, _, tables = encode_checkpoint(checkpoint, data_dir, common.evaluation_ranges(ranges))
    tables, grouping = (tables, "") if groups is None else regrouped(tables, groups)
    samples = resamples if confidence else None
    for name, codes in tables.items():
        shown = view_of(view, codes.codes, codes.group, codes.codes_std)
        announce(wanted, len(shown.codes))
        table = (shown.codes, codes.factors, wanted)
        columns: dict[str, Any] = {"codes_std": shown.codes_std, "groups": codes.group if view == "mean" else None}
        columns["quantized"] = codes.quantized and view == "mean"
        found = score_shown(f"scoring {name}", *table, **columns, resamples=samples)
        found.skipped |= metrics_without_settings(metrics, protocol)
        if len(tables) > 1:
            console.print(f"{name}: {len(codes.codes):,} rows")
        print_scores(found, wanted)
    if grouping:
        say(grouping)


@app.command()
def traverse(
    checkpoint: Checkpoint,
    out: Annotated[Path | None, typer.Option("-o", help="Default: traversal.png beside the checkpoint.")] = None,
    data_dir: common.DataDir = None,
    plugin: common.Plugins = None,
) -> None:
    """Draw what each latent of a trained method does, as a picture with a row for each latent."""
    from disbench.benchmarks.training.contracts import no_pictures
    from disbench.benchmarks.trials.encode import encode_checkpoint
    from disbench.benchmarks.trials.traversals import latent_traversals
    from disbench.reports.markup.image_grids import image_grid, png

    method, trial, tables = encode_checkpoint(checkpoint, data_dir)
    codes = next(iter(tables.values()))
    if (reason := no_pictures(method)) is not None:
        raise fail(f"{checkpoint}: {reason} There is nothing to draw.")
    images, labels = latent_traversals(method, codes.codes)
    path = out or checkpoint.with_name("traversal.png")
    write_file(path, png(image_grid(images, labels, title=trial.id)))
    say(path)


@app.command()
def score(
    table: Annotated[
        Path,
        typer.Argument(
            help="Codes (N, D) and factors (N, K) in an .npz, .h5, .mat, .pt, .csv, .tsv, .parquet or .npy file."
        ),
    ],
    codes: common.CodesColumn = None,
    factors: common.FactorsColumn = None,
    metrics: MetricNames = None,
    settings: common.MetricSettings = None,
    protocol: ProtocolName = None,
    confidence: WithConfidence = False,
    resamples: Resamples = 200,
    groups: common.GroupSource = None,
    view: ViewName = "mean",
    detail: Annotated[
        bool, typer.Option("--detail", help="For each factor or code: which won, and by how much.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the information in each code about each factor into this .png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with floor, ceiling and detail.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV; with --detail, of the detail alone.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the metrics' random draws.")] = 0,
    plugin: common.Plugins = None,
) -> None:
    """Score a table, whoever made it. `factor_names` (K,) and `code_names` (D,) in it are used where it has them."""
    from disbench.benchmarks.cli import scores as shown_as
    from disbench.benchmarks.trials.score import score_shown
    from disbench.benchmarks.trials.tables.group_file import described, with_groups
    from disbench.benchmarks.trials.tables.tables import read_named_table
    from disbench.metrics.views import MEAN, view as view_of

    wanted = shown_as.metric_options(metrics, settings, protocol)
    content = read_named_table(table, codes=codes, factors=factors)
    grouping = ""
    if groups is not None:
        content = with_groups(content, groups)
        grouping = described(content, groups)
    of_columns = content.group
    if view != MEAN:
        shown = view_of(view, content.codes, content.group, content.codes_std)
        content = content._replace(
            codes=shown.codes, code_names=shown.names, codes_std=shown.codes_std, group=None, quantized=False
        )
    names = content.factor_names, content.code_names
    if picture:
        shown_as.draw_information(picture, content)
    shown_as.announce(wanted, len(content.codes))
    samples = resamples if confidence else None
    columns: dict[str, Any] = {"codes_std": content.codes_std, "groups": content.group, "quantized": content.quantized}
    found = score_shown("scoring", content.codes, content.factors, wanted, seed=seed, **columns, resamples=samples)
    found.skipped |= shown_as.metrics_without_settings(metrics, protocol)
    shown_as.warn_of_repeated_rows(content)
    if as_json:
        named: dict[str, Any] = {"factor_names": content.factor_names, "code_names": content.code_names}
        if groups is not None and of_columns is not None:
            named |= {"groups": of_columns.tolist(), "groups_source": groups}
        print(json.dumps({**vars(found), **{key: value for key, value in named.items() if value}}, indent=1))
    elif as_csv and detail:
        shown_as.write_detail_csv(found, *names)
    elif as_csv:
        shown_as.write_csv(found)
    else:
        shown_as.print_scores(found, wanted)
        if detail:
            shown_as.print_detail(found, *names)
        if picture:
            say(picture)
    if grouping and not as_json:
        say(grouping, err=as_csv)


complete(app)
