"""Property tests draw the same examples on every machine, a slow machine fails none of them, and the home is left alone."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same everywhere", deadline=None, derandomize=True)
settings.load_profile("same everywhere")


@pytest.fixture(autouse=True)
def fresh_signals() -> None:
    """As in a process of its own in the foreground.

    A shell's background job inherits a SIGINT that is ignored, and Ray leaves a handler of SIGTERM behind where it was started.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def geometry_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, so that they trace the geometries and convert the files themselves, once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture
def registries() -> Iterator[None]:
    """What a page's or a docstring's examples register is forgotten afterwards."""
    from disbench.benchmarks import METHODS
    from disbench.benchmarks.plugins.registries import SOURCES
    from disbench.datasets import DATASETS
    from disbench.metrics import METRICS

    before = [(registry, dict(registry)) for registry in (METHODS, METRICS, DATASETS)]
    yield
    SOURCES.clear()
    for registry, content in before:
        registry.clear()
        registry.update(content)
