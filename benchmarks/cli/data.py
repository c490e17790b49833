"""`disbench data`: list datasets, download official files, and verify existing files."""

import inspect
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column

from disbench.benchmarks.cli.terminal.options import DataDir, DatasetOptions, Plugins, Select, dataset_options
from disbench.benchmarks.cli.terminal.printing import console, fail, new_table, say, stopping, write_file

data_app = typer.Typer(
    no_args_is_help=True,
    help="The datasets: list them, look at them, fetch the official ones, and check what is there. "
    "Those named *_like are drawn here and need no download.",
)

Name = Annotated[str, typer.Argument(help="A dataset; see `disbench data list`.", show_default=False)]
Checksums = Annotated[
    list[str] | None,
    typer.Option(
        "--checksum",
        help="Expect this content instead of the published one: sha256:... or md5:..., for a set of several files "
        "FILE=sha256:..., repeatable. For an edition newer than this program, once you have made sure that the authors "
        "published it (a download of another content names its sha256), and for a file whose checksum is not known here, "
        "from somebody who has opened it.",
    ),
]


def checksums_from(words: list[str] | None) -> dict[str, str] | str | None:
    """The words of --checksum: the checksum of the only file, or some by file name."""
    if words and len(words) == 1 and "=" not in words[0]:
        return words[0]
    found = {}
    for word in words or []:
        file, equals, text = word.partition("=")
        if not equals:
            raise fail(f"--checksum is given {len(words or [])} times, so each needs to name its file: FILE={word}")
        found[file] = text
    return found


@data_app.command("list")
def list_(data_dir: DataDir = None, plugin: Plugins = None) -> None:
    """Every dataset: whose pictures they are, how many, what a download takes, on which terms, and whether it is here.

    A set counts as here when all its published files are; what was unpacked from them is not counted.
    """
    from disbench.benchmarks.cli.data_facts import row_of
    from disbench.benchmarks.plugins.packages import provide_all
    from disbench.datasets import names
    from disbench.datasets.storage.files import data_root
    from disbench.datasets.storage.store import remove_unfinished_conversions

    remove_unfinished_conversions()
    provide_all("dataset")
    table = new_table(Column("name", no_wrap=True), "pictures", "images", "download", "licence", "here")
    for name in names(data_dir):
        table.add_row(name, *(escape(text) for text in row_of(name, data_dir)))
    console.print(table)
    say("* asks something of you: read the terms at the homepage (`disbench data info NAME`), then --accept-license.")
    say(f"Official files are looked for in {data_root(data_dir).absolute()}.")


@data_app.command()
def info(name: Name, data_dir: DataDir = None, plugin: Plugins = None) -> None:
    """What a dataset is: its factors, images, version, license and files.

    For an official dataset without its files, shows what is known without them.
    """
    from disbench.benchmarks.cli.data_facts import facts_of, facts_of_files
    from disbench.benchmarks.plugins.packages import provide
    from disbench.datasets import DATASETS, SOURCES, load

    provide("dataset", name)
    try:
        dataset, missing = load(name, data_dir), None
    except FileNotFoundError as error:
        if name not in SOURCES:  # an imported set of which a file was deleted
            raise fail(f"{error}. Import {name} again, with --replace.") from error
        dataset, missing = None, error
    say(name)
    described = DATASETS.get(name)
    if described is not None:
        say((inspect.getdoc(getattr(described, "func", described)) or "").partition("\n\n")[0])
    facts = facts_of(dataset) if dataset is not None else [("pictures", "official")]
    if name in SOURCES:
        facts += facts_of_files(SOURCES[name], data_dir)
    for label, text in facts:
        say(f"{label:10}{text}")
    if missing is not None:
        say(f"\n{missing}")


@data_app.command("download")
def download_(
    name: Name,
    data_dir: DataDir = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the set's terms and agree to them.")
    ] = False,
    checksums: Checksums = None,
    plugin: Plugins = None,
) -> None:
    """Fetch an official dataset and compare it with its published checksum.

    What was fetched before a stop, a lost connection or Ctrl-C is kept in the cache ($DISBENCH_CACHE, else ~/.cache/disbench):
    run the same command again to go on. A file that is there already is compared and never overwritten.
    """
    from disbench.benchmarks.plugins.packages import provide
    from disbench.datasets import SOURCES, check_name
    from disbench.datasets.storage.cache import cache_folder
    from disbench.datasets.storage.download import download

    with stopping(f"What has come is kept in {cache_folder() / 'downloads'}; run the same command again to go on."):
        provide("dataset", name)
        check_name(name, data_dir)
        if name not in SOURCES:
            say(f"Nothing needs to be downloaded for {name}: its pictures are drawn here, or are here already.")
            return
        paths = download(SOURCES[name], data_dir, accept_license=accept_license, checksum=checksums_from(checksums))
    for path in paths:
        say(path)


@data_app.command()
def verify(name: Name, data_dir: DataDir = None, checksums: Checksums = None, plugin: Plugins = None) -> None:
    """Read every file of a dataset anew, compare its checksum, and open the set. Status 1 when anything is wrong.

    The arrays that were converted from the files are compared too. A file whose checksum is not known here is never called ok.
    """
    from disbench.benchmarks.cli.data_facts import compared_files, opened
    from disbench.benchmarks.plugins.packages import provide
    from disbench.datasets import SOURCES, check_name
    from disbench.datasets.storage.download import expected_checksums

    given = checksums_from(checksums)
    found = []
    provide("dataset", name)
    check_name(name, data_dir)
    if name in SOURCES:
        for status, text in compared_files(SOURCES[name], data_dir, expected_checksums(SOURCES[name], given)):
            say(f"{status}: {text}")
            found.append(status)
    elif given:
        raise fail(f"{name} has no files to compare, so --checksum says nothing about it.")
    for status, text in opened(name, data_dir):
        say(f"{status}: {text}")
        found.append(status)
    if "WRONG" in found:
        raise typer.Exit(1)


@data_app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="A folder of images, or an .npz with `images` and `factors`.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="What it is to be called: small letters, digits and _.")],
    factors: Annotated[
        Path | None,
        typer.Option(
            help="CSV: a column with each image's path, and one for each factor. Default: the folder's only CSV."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let go of what was imported under this name.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make a dataset from your own images. Afterwards `--dataset NAME` trains on it, and suites can name it.

    Images of any size become 64x64: the central square, shrunk. A CSV looks like

        file,shape,hue
        one.png,cube,3
        two.png,ball,7

    Values are numbers or words; a missing value is an error. An npz has `images` uint8 (N, H, W) or (N, H, W, 3), `factors`
    (N, K) and, if you like, `factor_names` (K).
    """
    from disbench.benchmarks.cli.data_facts import facts_of
    from disbench.benchmarks.plugins.packages import names as names_of
    from disbench.datasets import SOURCES, load
    from disbench.datasets.imported.dataset import import_dataset

    folders = {folder.partition("/")[0] for official in SOURCES.values() for folder in official.folders}
    folder = import_dataset(
        source, name, data_dir, table=factors, replace=replace, reserved={*names_of("dataset"), *folders}
    )
    dataset = load(name, data_dir)
    say(folder)
    for label, text in facts_of(dataset):
        say(f"{label:10}{text}")


@data_app.command()
def preview(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder for the two pictures.")] = Path("runs/preview"),
    select: Select = None,
    options: DatasetOptions = None,
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(help="Seed of the random samples.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Write two pictures: random samples, and every factor swept in turn."""
    from disbench.benchmarks.plugins.packages import provide
    from disbench.benchmarks.runtime.seeds import generator_for
    from disbench.benchmarks.trials.traversals import factor_sweeps, random_samples
    from disbench.datasets import load
    from disbench.reports.markup.image_grids import image_grid, png

    provide("dataset", name)
    dataset = load(name, data_dir, **dataset_options(options, select))
    out.mkdir(parents=True, exist_ok=True)
    generator = generator_for(name, seed, "preview")
    samples = random_samples(dataset, 6, 10, generator)
    sweeps = factor_sweeps(dataset, 10, generator)
    labels = [f"{factor} ({size})" for factor, size in zip(dataset.factor_names, dataset.factor_sizes, strict=True)]
    for kind, images, rows in (("samples", samples, [""] * len(samples)), ("sweeps", sweeps, labels)):
        path = out / f"{name}-{kind}.png"
        picture = png(image_grid(images, rows, title=f"{name} ({dataset.provenance}): {kind}"))
        write_file(path, picture)
        say(path)
