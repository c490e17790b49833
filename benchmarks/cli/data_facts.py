"""Facts about a dataset: its images, factors and files, and whether the files are the published ones."""

import json
from collections.abc import Iterator

import torch

from disbench.datasets import SOURCES, FactorDataset, load
from disbench.datasets.imported.dataset import is_unchanged
from disbench.datasets.storage.download import present
from disbench.datasets.storage.files import Source, checksum
from disbench.datasets.wording import amount


def row_of(name: str, data_dir: str | None) -> tuple[str, str, str, str, str]:
    """Pictures, images, download, license, here. A set with files is not opened: the first time, that takes minutes."""
    if name not in SOURCES:
        try:
            dataset = load(name, data_dir)
        except (ValueError, OSError) as error:
            return "own", "", "none", "", f"damaged: {error}"
        return dataset.provenance, f"{len(dataset):,}", "none", "", "yes"
    source = SOURCES[name]
    images = source.images
    here = sum(present(data_dir, source, file.name) is not None for file in source.files)
    presence = {0: "no", len(source.files): "yes"}.get(here, f"{here} of {len(source.files)} files")
    licence = f"{source.licence} *" if source.restricted else source.licence
    return "official", f"{images:,}" if images else "", size_of(source), licence, presence


def size_of(source: Source) -> str:
    """What a download of all files takes."""
    known = sum(file.size or 0 for file in source.files)
    if not all(file.size for file in source.files):
        return f"over {amount(known)}" if known else "not known"
    return amount(known)


def facts_of(dataset: FactorDataset) -> list[tuple[str, str]]:
    channels, height, width = dataset.image_shape
    order = "in the order of the grid" if dataset.is_grid else "not the full grid: each has its labels"
    sizes = zip(dataset.factor_names, dataset.factor_sizes, strict=True)
    return [
        ("pictures", dataset.provenance),
        ("version", dataset.version),
        ("images", f"{len(dataset):,}, {order}"),
        ("image", f"{channels} x {height} x {width} bytes"),
        *(("factor", f"{factor}: {size} values") for factor, size in sizes),
    ]


def facts_of_files(source: Source, data_dir: str | None) -> list[tuple[str, str]]:
    facts = [
        ("licence", source.licence + (" (needs --accept-license)" if source.restricted else "")),
        ("homepage", source.homepage),
    ]
    for file in source.files:
        path = present(data_dir, source, file.name)
        size = amount(file.size) if file.size else "size not known"
        facts.append(("file", f"{file.name}, {size}, {file.checksum or 'checksum not known'}"))
        facts.append(("", "not here" if path is None else f"at {path.absolute()}"))
    return facts


def compared_files(source: Source, root: str | None, expected: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(ok, WRONG, not known or not there, what was compared) of every official file."""
    for file in source.files:
        path, wanted = present(root, source, file.name), expected[file.name]
        if path is None:
            yield "not there", file.name
            continue
        algorithm = wanted.partition(":")[0] or "sha256"
        got = f"{algorithm}:{checksum(path, algorithm)}"
        if not wanted:
            yield "not known", f"{path} has {got}, and there is nothing to compare it with"
        elif got != wanted:
            yield "WRONG", f"{path} has {got}, expected {wanted}"
        else:
            yield "ok", f"{path} has {got}"


def opened(name: str, root: str | None) -> Iterator[tuple[str, str]]:
    """(ok or WRONG, what was done) of opening a set, reading its ends, and comparing what was converted from its files."""
    try:
        dataset = load(name, root)
        dataset.batch(torch.tensor([0, len(dataset) - 1]))
    except (ValueError, OSError) as error:
        yield "WRONG", f"{name} does not open: {error}"
        return
    yield "ok", f"{name} opens: {len(dataset):,} images, version {dataset.version}"
    if dataset.provenance == "own" and not is_unchanged(root, name):
        yield "WRONG", f"{name} has changed since it was imported. Import it again"
    if dataset.conversion is None:
        return
    recorded = json.loads((dataset.conversion / "meta.json").read_text(encoding="utf-8"))["images_sha256"]
    if checksum(dataset.conversion / "images.npy") == recorded:
        yield "ok", f"{dataset.conversion} is as it was converted"
    else:
        yield (
            "WRONG",
            f"{dataset.conversion} has changed since it was converted. Delete it; it is made anew when needed",
        )
