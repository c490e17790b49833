"""The docstrings of the public API, which is what docs/api.md lists: complete, and their examples run."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import disbench.metrics
from disbench.metrics import METRICS, Metric

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
LISTED = re.findall(
    r"^\.\. auto(?:function|class|exception):: ([\w.]+)",
    PAGE,
    flags=re.MULTILINE,
)
FUNCTIONS = re.findall(r"^\.\. autofunction:: (\S+)", PAGE, flags=re.MULTILINE)
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def find(name):
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def described(docstring):
    """The names that the section Parameters or Attributes gives a description."""
    sections = re.split(r"^(\w+)\n-+\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    bodies = "\n".join(
        body for name, body in zip(sections[1::2], sections[2::2], strict=True) if name in ("Parameters", "Attributes")
    )
    headers = re.findall(r"^(\S[^\n]*)\n[ ]+\S", bodies, flags=re.MULTILINE)
    return {name.strip(" *") for header in headers for name in header.partition(" : ")[0].split(",")}


def test_every_public_name_of_the_metrics_is_on_the_page():
    constants = {"METRICS", "PROTOCOLS"}
    assert {f"disbench.metrics.{name}" for name in disbench.metrics.__all__ if name not in constants} <= {*LISTED}


@pytest.mark.parametrize("name", LISTED)
def test_every_parameter_is_described(name):
    listed = find(name)
    if inspect.isclass(listed) and issubclass(listed, BaseException):
        return
    parameters = inspect.signature(listed).parameters.values()
    assert {p.name for p in parameters if p.kind not in VARIADIC} <= described(listed.__doc__)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.usefixtures("registries")
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = inspect.cleandoc(find(name).__doc__)
    examples = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert examples.examples or name not in FUNCTIONS, "a function needs an example"
    output = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=output.append)
    assert not output, "".join(output)


def test_the_docstring_of_a_metric_is_completed_from_its_signature_and_its_card():
    def spread(table, *, power: int = 2, scale=1.5):
        """Measure the spread.

        Parameters
        ----------
        power
            The exponent.
        """

    card = {"label": "x", "higher_is_better": False, "definition": "A spread.", "source": "Nobody 2026"}
    metric = Metric(
        spread, **card, bounds=(0.0, 3.0), insensitive_to="Everything.", uses=("codes",), unbounded_with=(("power", 3),)
    )
    text = metric.__doc__
    assert text.startswith("Measure the spread.\n\nParameters\n----------\ncodes : ")
    assert "power : int, default 2\n    The exponent.\nscale : float, default 1.5\n\nReturns" in text
    assert "in [0, 3], without an upper bound under power=3. Lower is better." in text
    assert "factors : array-like of shape (N, K)\n    Not used by this metric." in text
    assert "Notes\n-----\nBlind spots: Everything.\n\nReferences\n----------\nNobody 2026" in text
    assert Metric(lambda table: 0.0, **card, bounds=(0.0, 1.0)).__doc__.startswith("A spread.\n")
    assert "{'factor', 'code'}, default 'factor'" in METRICS["mig"].__doc__
