"""Plugins that --plugin or a suite names: Python files, and modules that are importable.

A plugin registers what it has, as a script would: `METHODS["x"] = X`. It is loaded once a process, here and in every
worker. A job carries the path and the hash of each file, not its content: workers share the folder of trials with the driver,
so they can share the file. A file gets the module name `disbench_plugin_<its name>` in every process, so its classes can be
pickled.
"""

import hashlib
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from disbench.benchmarks.plugins.packages import offered, package_of
from disbench.benchmarks.plugins.registries import (
    SOURCES,
    Entry,
    Source,
    built_in,
    check_entry,
    collecting,
    imported_kinds,
    owner_of,
    register,
    registry,
    source_of,
)
from disbench.datasets.untrusted import read_regular
from disbench.datasets.wording import missing_extra

LARGEST = 16 << 20  # bytes of a plugin file


def load_plugin(word: str, folder: Path | None = None, sha256: str = "") -> Source:
    r"""Load a plugin and register its methods, metrics and datasets, once per process.

    Parameters
    ----------
    word : str
        A Python file (`my_vae.py`), or the name of a module that can be imported (`my_package.vae`).
    folder : Path, optional
        Folder that a file is relative to; by default the current one.
    sha256 : str, optional
        Hash that the file needs to have.

    Returns
    -------
    Source
        Name and hash of the plugin.

    Raises
    ------
    ValueError
        If it cannot be loaded, has another hash, registers nothing, or registers something of a wrong type or under a name that
        is taken. Nothing of it is registered then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from disbench.benchmarks import METHODS
    >>> from disbench.benchmarks.plugins.files import load_plugin
    >>> lines = [
    ...     "from disbench.baselines.beta_vae import BetaVAE",
    ...     "from disbench.benchmarks import METHODS",
    ...     "class StrongVAE(BetaVAE): pass",
    ...     'METHODS["strong_vae"] = StrongVAE',
    ... ]
    >>> size = Path("strong_vae.py").write_text("\n".join(lines))
    >>> load_plugin("strong_vae.py").name, "strong_vae" in METHODS
    ('strong_vae.py', True)
    """
    if word.endswith(".py") or os.sep in word or (folder or Path()).joinpath(word).exists():
        path = (folder or Path()) / word
        return _load(Source(path.name, sha256, word=str(path), place=str(path.resolve())))
    return _load(Source(word, sha256, word=word, place=word))


def load_sources(sources: Sequence[Source]) -> None:
    """Load what another process has loaded. Raises ValueError as `load_plugin` does."""
    for source in sources:
        _load(source)


def loaded() -> tuple[Source, ...]:
    """List the plugins that another process has to load to have what this one has.

    The running script is one of them where it registers something.
    """
    for kind in imported_kinds():
        for name in list(registry(kind)):
            source_of(kind, name)
    return tuple(dict.fromkeys(source for source in SOURCES.values() if source.place))


def _load(wanted: Source) -> Source:
    for known in loaded():
        if known.place == wanted.place:
            _check_hash(wanted, known.sha256)
            return known
        if known.name == wanted.name:
            raise ValueError(f"Two plugins are called {known.name}: {known.place} and {wanted.place}. Rename one.")
    path, content = _read(wanted)
    source = wanted._replace(sha256=hashlib.sha256(content).hexdigest())
    _check_hash(wanted, source.sha256)
    with collecting() as added:
        try:
            if _is_file(source):
                _execute(path, content)
            else:
                import_module(source.place)
        except (Exception, SystemExit) as error:
            raise ValueError(f"The plugin {source.word} cannot be loaded: {_told(error, path)}") from error
    entries = added or _registered_before(source)
    _check(entries, source)
    register(entries, source)
    return source


def _is_file(source: Source) -> bool:
    return Path(source.place).is_absolute()


def _read(source: Source) -> tuple[Path, bytes]:
    """Read a file, or the file that a module is in; return its path and content."""
    try:
        spec = None if _is_file(source) else find_spec(source.place)
        path = Path(source.place) if spec is None else Path(spec.origin or "")
        if path.suffix != ".py":
            raise ValueError("a Python file (.py) is needed, or a module that can be imported from one.")
        return path, read_regular(path, LARGEST, follow=True)
    except (OSError, ImportError, ValueError) as error:
        reason = "there is no such file." if isinstance(error, FileNotFoundError) else error
        raise ValueError(f"The plugin {source.word} cannot be read: {reason}") from error


def _check_hash(wanted: Source, found: str) -> None:
    if wanted.sha256 not in ("", found):
        raise ValueError(
            f"The plugin {wanted.name} is not the file that the command began with: sha256 {wanted.sha256[:12]} is needed, "
            f"{wanted.place} here has {found[:12]}. Give every machine the same file; after a change start the command again."
        )


def _execute(path: Path, content: bytes) -> None:
    """Run a plugin file as a module. What was hashed is what runs, and modules that lie beside the file can be imported."""
    name = f"disbench_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[name] = module
    try:
        exec(compile(content, str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise


def _told(error: BaseException, path: Path) -> str:
    """Describe an error in a plugin, and the line of the plugin where it came from."""
    if isinstance(error, SystemExit):
        return 'it ends the process. Call app() under `if __name__ == "__main__":` alone.'
    if (advice := missing_extra(error)) is not None:
        return advice
    if isinstance(error, SyntaxError):
        line, said = error.lineno, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
        said = str(error)
    return f"{f'line {line}: ' if line else ''}{type(error).__name__}: {said}"


def _registered_before(source: Source) -> dict[Entry, Any]:
    """Find what a module registered when it was imported earlier in this process."""
    return {
        (kind, name): found
        for kind in imported_kinds()
        for name, found in registry(kind).items()
        if name not in built_in(kind) and f"{owner_of(found)}.".startswith(f"{source.place}.")
    }


def _check(entries: Mapping[Entry, Any], source: Source) -> None:
    """Raise ValueError where a plugin registers nothing, a wrong type, or a name that is taken."""
    if not entries:
        raise ValueError(
            f'The plugin {source.word} registers nothing. It needs a line such as METHODS["my_vae"] = MyVAE, METRICS[...] = ... '
            "or DATASETS[...] = ..."
        )
    for (kind, name), found in entries.items():
        try:
            check_entry(kind, name, found)
        except ValueError as error:
            raise ValueError(f"The plugin {source.word}: {error}") from error
        holder = SOURCES.get((kind, name))
        if name in built_in(kind):
            taken = "disbench"
        elif holder is not None and holder.place != source.place:
            taken = f"the plugin {holder.name}"
        elif name in offered(kind):
            taken = f"the installed package {package_of(offered(kind)[name])}"
        else:
            continue
        raise ValueError(
            f"The plugin {source.word} registers the {kind} {name}, a name that is taken by {taken}. Rename it."
        )
