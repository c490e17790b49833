"""torchmetrics is imported by whoever uses it, and is whole then."""

import subprocess
import sys

import pytest

LOADED = "import sys\nfrom disbench.benchmarks.commands import COMMANDS, load\nload(COMMANDS['train'].loads)\n"
UNUSED = ("torchvision", "scipy.signal", "scipy.stats", "sklearn", "pandas")


def printed(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_command_that_trains_imports_nothing_of_torchmetrics_that_it_does_not_use() -> None:
    names = printed(LOADED + "print(*sys.modules)\n")
    assert "pytorch_lightning" in names
    assert not {*names} & {*UNUSED}


@pytest.mark.parametrize(
    "use",
    [
        "import torchmetrics\nprint(torchmetrics.Accuracy.__name__)",
        "from torchmetrics import Accuracy\nprint(Accuracy.__name__)",
        "from torchmetrics import *\nprint(Accuracy.__name__)",
        "import torchmetrics.classification as c\nprint(c.Accuracy.__name__)",
    ],
)
def test_torchmetrics_is_whole_when_somebody_uses_it_after_all(use: str) -> None:
    same = "import torchmetrics, torchmetrics.metric\nassert issubclass(torchmetrics.Accuracy, torchmetrics.Metric)\n"
    same += "assert torchmetrics.Metric is torchmetrics.metric.Metric\n"
    same += "from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity\n"
    assert printed(f"{LOADED}{use}\n{same}") == ["Accuracy"]


def test_a_name_that_torchmetrics_lacks_stays_missing() -> None:
    use = "import torchmetrics\nprint(hasattr(torchmetrics, 'nothing'), hasattr(torchmetrics, 'Accuracy'))"
    assert printed(LOADED + use) == ["False", "True"]


def test_a_version_of_torchmetrics_with_other_modules_is_imported_at_once() -> None:
    program = "import sys\nfrom disbench.benchmarks import deferred\ndeferred.LIGHT['no_such_module'] = ()\n"
    program += "deferred.defer_torchmetrics()\nprint('torchmetrics.classification' in sys.modules)\n"
    program += "import pytorch_lightning, torchmetrics\nprint(torchmetrics.Accuracy.__name__)\n"
    assert printed(program) == ["True", "Accuracy"]


def test_torchmetrics_that_was_imported_before_stays_as_it_is() -> None:
    program = (
        "import torchmetrics\nfrom disbench.benchmarks.deferred import defer_torchmetrics\nbefore = torchmetrics\n"
    )
    program += "defer_torchmetrics()\nimport torchmetrics\nprint(torchmetrics is before, type(torchmetrics).__name__)\n"
    assert printed(program) == ["True", "module"]
