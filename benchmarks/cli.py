"""The command `disbench`. Each command reads only the files of the stage before, so each can be run again alone."""

import csv
import json
import logging
import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import yaml
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.allocator import keep_memory
from disbench.benchmarks.data_cli import data_app
from disbench.benchmarks.encode import Codes, NamedTable, encode, read_named_table, scored_rows
from disbench.benchmarks.estimators_cli import estimators
from disbench.benchmarks.hyperparameters import check_method, hyperparameters
from disbench.benchmarks.locks import claimed
from disbench.benchmarks.options import (
    DataDir,
    DatasetOptions,
    MetricSettings,
    Select,
    assignments,
    console,
    fail,
    metric_settings,
)
from disbench.benchmarks.profile_cli import profile_app
from disbench.benchmarks.report_cli import report_app
from disbench.benchmarks.score import Scores, named_entries
from disbench.benchmarks.score import score as score_table
from disbench.benchmarks.suite import DEFAULT_METRICS, suite_names
from disbench.benchmarks.suite_cli import suite_app
from disbench.benchmarks.train import load_checkpoint
from disbench.benchmarks.traverse import latent_traversals
from disbench.benchmarks.trial import existing_record, run_trial
from disbench.benchmarks.views import MEAN, VIEWS, read_group
from disbench.benchmarks.views import view as view_of
from disbench.datasets import load
from disbench.datasets import names as dataset_names
from disbench.metrics import METRICS, PROTOCOLS
from disbench.metrics.information import table_information
from disbench.reports.figures import image_grid, information_matrix, png
from disbench.reports.records import Record, Trial
from disbench.reports.render import render
from disbench.reports.text import as_text

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Compare disentanglement methods: train, score, and show them. Start with: disbench run quick",
)
app.add_typer(data_app, name="data")
app.add_typer(report_app)  # export, compare, merge
app.add_typer(suite_app)  # run, status, search
app.add_typer(profile_app)
app.command()(estimators)

MetricNames = Annotated[
    str | None,
    typer.Option(
        "--metrics", help=f"Comma-separated names; see `disbench list metrics`. Default: {','.join(DEFAULT_METRICS)}."
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option("--protocol", help=f"With a publication's settings: {', '.join(PROTOCOLS)}. Default: our own."),
]
WithConfidence = Annotated[
    bool, typer.Option("--confidence", help="With each score its 95 % interval over rows, or its spread over 5 seeds.")
]
Resamples = Annotated[int, typer.Option(min=2, help="Resamples of the rows for --confidence.")]

ViewName = Annotated[
    str, typer.Option("--view", help=f"{' or '.join(VIEWS)}: of a partitioned table also one number for each group.")
]

SPREAD = {"bootstrap": "95 %", "seeds": "{n} seeds"}
CONFIDENCE_COLUMNS = ("kind", "low", "high", "mean", "sd", "n")
DETAIL_COLUMNS = 5  # as many as a terminal holds
PICTURE_BINS = 20


def metric_options(
    names: str | None, settings: list[str] | None, protocol: str | None = None
) -> dict[str, dict[str, Any]]:
    """The metrics that are asked for, the usual ones by default, with the settings of a publication if one is named.

    Single settings win over the publication's.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise fail(f"There is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
    known: Collection[str] = PROTOCOLS[protocol] if protocol else METRICS
    usual = [name for name in DEFAULT_METRICS if name in known]
    wanted = usual if names is None else [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        whose = f"Of {protocol} there are settings for" if protocol else "Known:"
        raise fail(f"Unknown metric {', '.join(unknown) or '(none given)'}. {whose} {', '.join(known)}.")
    own = metric_settings(settings)
    if idle := [name for name in own if name not in wanted]:
        raise fail(
            f"--metric-option sets {', '.join(idle)}, the metrics asked for are {', '.join(wanted)}. Add --metrics."
        )
    return {name: {**(PROTOCOLS[protocol][name] if protocol else {}), **own.get(name, {})} for name in wanted}


def print_scores(found: Scores) -> None:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    spread = bool(found.confidence or found.no_confidence)
    table = Table("metric", "score", "floor", "ceiling", "range", *["confidence"] * spread)
    for name in found.scores:
        metric = METRICS[name]
        low, high = metric.bounds
        numbers = [number(scores.get(name)) for scores in (found.scores, found.floor, found.ceiling)]
        around = found.confidence.get(name)
        told = "–" if around is None else f"{around['low']:.3f} to {around['high']:.3f}, {SPREAD[around['kind']]}"
        arrow = "↑" if metric.higher_is_better else "↓"
        table.add_row(
            f"{metric.label} {arrow}", *numbers, f"{low:g} to {high:g}", *[told.format(**around or {})] * spread
        )
    console.print(table)
    for name, reason in found.skipped.items():
        console.print(f"{METRICS[name].label}: not applicable. {reason}", markup=False)
    for name, reason in found.no_confidence.items():
        console.print(f"{METRICS[name].label}: no confidence, {reason}", markup=False)
    if found.confidence:
        console.print(
            "95 %: where another sample of as many rows would score; the smallest and largest of seeds: how far the"
            " metric's own draws move it.",
            markup=False,
        )


def print_detail(found: Scores, factor_names: Sequence[str], code_names: Sequence[str]) -> None:
    """What each metric says of each factor or code: names and its first numbers; JSON and CSV hold all of them."""
    for name, detail in found.detail.items():
        for entries in named_entries(detail, factor_names, code_names):
            table = Table(
                *(key.replace("_", " ") for key in list(entries[0])[:DETAIL_COLUMNS]), title=METRICS[name].label
            )
            for entry in entries:
                table.add_row(*(Text(cell(value)) for value in list(entry.values())[:DETAIL_COLUMNS]))
            console.print(table)
    for what, names, letter in (("constant_factors", factor_names, "v"), ("dropped_codes", code_names, "z")):
        for name, detail in found.detail.items():
            if left_out := [names[i] if names else f"{letter}{i}" for i in detail.get(what, ())]:
                told = f"{METRICS[name].label}: without {what.replace('_', ' ')} {', '.join(left_out)}."
                console.print(told, markup=False)


def cell(value: object) -> str:
    """A value of a detail as a reader wants it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_csv(found: Scores) -> None:
    """Scores, a metric a line, empty where it has no number; reasons go to stderr."""
    spread = CONFIDENCE_COLUMNS if found.confidence or found.no_confidence else ()
    writer = csv.writer(sys.stdout)
    writer.writerow(["metric", "score", "floor", "ceiling", *spread])
    for name in (*found.scores, *found.skipped):
        around = found.confidence.get(name, {})
        numbers = [scores.get(name) for scores in (found.scores, found.floor, found.ceiling)]
        writer.writerow([name, *numbers, *(around.get(column) for column in spread)])
    for name, reason in {**found.skipped, **found.no_confidence}.items():
        print(f"{name}: {reason}", file=sys.stderr)


def write_detail_csv(found: Scores, factor_names: Sequence[str], code_names: Sequence[str]) -> None:
    """One number a line: of which metric, about which factor and code, which number."""
    writer = csv.writer(sys.stdout)
    writer.writerow(["metric", "factor", "code", "quantity", "value"])
    for name, detail in found.detail.items():
        for entries in named_entries(detail, factor_names, code_names):
            for entry in entries:
                about = [entry.get("factor"), entry.get("code")]
                numbers = {key: value for key, value in entry.items() if key not in ("factor", "code")}
                writer.writerows([name, *about, key, value] for key, value in numbers.items())


def draw_information(path: Path, table: NamedTable) -> None:
    """The information in each code about each factor that varies, as a picture."""
    if path.suffix.lower() != ".png":
        raise fail(f"--picture writes a .png, got {path}.")
    found = table_information(table.codes, table.factors, PICTURE_BINS)
    shares = found.info.mutual / found.info.factor_entropy[:, None]
    factors = [table.factor_names[k] if table.factor_names else f"v{k}" for k in found.columns]
    codes = table.code_names or [f"z{j}" for j in range(shares.shape[1])]
    title = f"I(code; factor) / H(factor), {PICTURE_BINS} bins"
    picture = png(information_matrix(np.minimum(shares, 1.0), factors, codes, title))
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise fail(f"--picture {path} cannot be written: {error.strerror}.") from error


@app.callback()
def main() -> None:
    """Set up logging: rich on a terminal, plain lines with the time in a log file."""
    keep_memory()
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|lightning_utilities")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False)
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="methods, metrics, datasets, suites, or all")] = "all") -> None:
    """What there is: methods with their hyperparameters, metrics, data sets, suites."""
    kinds = ("methods", "metrics", "datasets", "suites")
    if what != "all" and what not in kinds:
        raise fail(f"{what!r} is not one of {', '.join(kinds)}.")
    for kind in kinds if what == "all" else (what,):
        console.print(f"[bold]{kind}[/]")
        if kind == "methods":
            for name in METHODS:
                options = ", ".join(f"{key}={parameter.default}" for key, parameter in hyperparameters(name).items())
                console.print(f"  {name}: {options}", highlight=False)
        elif kind == "metrics":
            for name, metric in METRICS.items():
                console.print(
                    f"  {name} {'↑' if metric.higher_is_better else '↓'} {metric.definition}", highlight=False
                )
        else:
            for name in dataset_names() if kind == "datasets" else suite_names():
                console.print(f"  {name}", highlight=False)


def trial_from(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of a trial in a training YAML: the trial's own names, or `model_params` with the method under `name`."""
    content = dict(content)
    model = dict(content.pop("model_params", {}))
    if "name" in model:
        named = model.pop("name")
        classes = {method.__name__: key for key, method in METHODS.items()}
        content["method"] = classes.get(named, named)
    content["hparams"] = {**content.get("hparams", {}), **model}
    return content


@app.command()
def train(
    method: Annotated[str | None, typer.Option(help="See `disbench list methods`.")] = None,
    dataset: Annotated[str | None, typer.Option(help="See `disbench list datasets`.")] = None,
    steps: Annotated[int | None, typer.Option(help="Calls of training_step.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    precision: Annotated[str | None, typer.Option(help="Lightning's: 32-true, bf16-mixed, ...")] = None,
    rows: Annotated[int | None, typer.Option(help="Rows encoded and scored, at most.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter, key=value. Repeatable.")] = None,
    select: Select = None,
    options: DatasetOptions = None,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="YAML with these names; options here win.")
    ] = None,
    metrics: MetricNames = None,
    settings: MetricSettings = None,
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="The trial's own folder is made in it.")] = Path("runs/train"),
) -> None:
    """One trial: trained, encoded, scored, recorded."""
    wanted = metric_options(metrics, settings)
    try:
        fields = trial_from(yaml.safe_load(config.read_text(encoding="utf-8")) or {} if config else {})
        given = {"method": method, "dataset": dataset, "steps": steps, "seed": seed, "batch_size": batch_size}
        given |= {"precision": precision, "rows": rows}
        fields |= {key: value for key, value in given.items() if value is not None}
        fields["hparams"] = {**fields["hparams"], **assignments(sets)}
        fields["dataset_options"] = {**fields.get("dataset_options", {}), **assignments(options)}
        if select:
            fields["dataset_options"]["select"] = assignments(select)
        missing = [f"--{key}" for key in ("method", "dataset", "steps") if key not in fields]
        if missing:
            raise fail(f"{', '.join(missing)} must be given, here or in the YAML.")
        opened = load(fields["dataset"], data_dir, **fields.get("dataset_options", {}))
        channels = fields["hparams"].pop("in_channels", opened.image_shape[0])
        if channels != opened.image_shape[0]:
            raise fail(
                f"in_channels is {channels}, {fields['dataset']} has images of {opened.image_shape[0]} channel(s)."
            )
        fields["hparams"] = check_method(fields["method"], fields["hparams"])
        trial = Trial(**{"seed": 0, "batch_size": 64, **fields}, dataset_version=opened.version)
    except (ValueError, OSError, yaml.YAMLError) as error:
        raise fail(error) from error
    if existing_record(out / trial.id) is not None:
        console.print("This trial was run already; it is kept.")
    with claimed(out / trial.id) as ours:
        if not ours:
            raise fail(f"Another process is running {trial.id}.")
        record = run_trial(trial, opened, out, wanted, root=data_dir)
    finish(record, out / trial.id)


def finish(record: Record, folder: Path) -> None:
    """Print a trial's outcome, leave with status 1 where it failed."""
    print(folder)
    if record.status != "ok":
        print(record.error, file=sys.stderr)
        raise typer.Exit(1)
    print_scores(Scores(record.scores, record.floor, record.ceiling, record.skipped))


def encode_checkpoint(checkpoint: Path, data_dir: str | None) -> tuple[VAE, Trial, Codes]:
    """The trained method, its trial, and its data set's scored rows encoded anew, on an accelerator where there is one."""
    try:
        method, trial = load_checkpoint(str(checkpoint))
        dataset = load(trial.dataset, data_dir, **trial.dataset_options)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    return method, trial, encode(method, dataset, scored_rows(trial, len(dataset)), device)


@app.command()
def evaluate(
    checkpoint: Path,
    metrics: MetricNames = None,
    settings: MetricSettings = None,
    protocol: ProtocolName = None,
    confidence: WithConfidence = False,
    resamples: Resamples = 200,
    view: ViewName = MEAN,
    data_dir: DataDir = None,
) -> None:
    """Encode a checkpoint's data set again and score it; writes nothing."""
    wanted = metric_options(metrics, settings, protocol)
    _, _, codes = encode_checkpoint(checkpoint, data_dir)
    try:
        shown = view_of(view, codes.codes, codes.group)
        found = score_table(shown.codes, codes.factors, wanted, resamples=resamples if confidence else None)
    except ValueError as error:
        raise fail(error) from error
    print_scores(found)


@app.command()
def traverse(
    checkpoint: Path,
    out: Annotated[Path | None, typer.Option("-o", help="Default: traversal.png beside the checkpoint.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Draw what each latent of a trained method does."""
    method, trial, codes = encode_checkpoint(checkpoint, data_dir)
    images, labels = latent_traversals(method, codes.codes)
    path = out or checkpoint.with_name("traversal.png")
    path.write_bytes(png(image_grid(images, labels, title=trial.id)))
    print(path)


@app.command()
def score(
    table: Annotated[Path, typer.Argument(help="An .npz or .h5 with codes (N, D) and factors (N, K), of anybody's.")],
    metrics: MetricNames = None,
    settings: MetricSettings = None,
    protocol: ProtocolName = None,
    confidence: WithConfidence = False,
    resamples: Resamples = 200,
    view: ViewName = MEAN,
    detail: Annotated[
        bool, typer.Option("--detail", help="For each factor or code: which won, and by how much.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the information in each code about each factor into this .png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with floor, ceiling and detail.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV; with --detail, of the detail alone.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Score a table, whoever made it. `factor_names` (K,) and `code_names` (D,) in it are used where it has them."""
    wanted = metric_options(metrics, settings, protocol)
    try:
        content = read_named_table(table)
        if view != MEAN:
            shown = view_of(view, content.codes, read_group(table))
            content = content._replace(codes=shown.codes, code_names=shown.names)
        names = content.factor_names, content.code_names
        if picture:
            draw_information(picture, content)
        found = score_table(
            content.codes, content.factors, wanted, seed=seed, resamples=resamples if confidence else None
        )
    except ValueError as error:
        raise fail(error) from error
    if as_json:
        named = {"factor_names": content.factor_names, "code_names": content.code_names}
        print(json.dumps({**vars(found), **{key: value for key, value in named.items() if value}}, indent=1))
    elif as_csv and detail:
        write_detail_csv(found, *names)
    elif as_csv:
        write_csv(found)
    else:
        print_scores(found)
        if detail:
            print_detail(found, *names)
        if picture:
            print(picture)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: leaderboard.html in the folder.")
    ] = None,
) -> None:
    """Make the page from the records in a folder."""
    try:
        print(as_text(folder))
        print(render(folder, output).resolve())
    except (ValueError, OSError) as error:
        raise fail(error) from error
