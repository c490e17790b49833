"""The core distribution, without the extras [train] and [pictures]: scores and reports work, training says what to install."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch

from disbench.datasets.wording import EXTRAS, missing_extra, needs_extra
from disbench.reports.records import RECORD_FILE, Record, Trial

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# A process in which the modules of EXTRAS cannot be imported.
BLOCKED = f"""
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(EXTRAS)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
COMMANDS = """
import logging
from typer.testing import CliRunner
from disbench.benchmarks.cli.main import app

done = []
for words in json.loads(sys.argv[1]):
    logging.root.handlers.clear()  # the last command's, on a stream that is closed
    found = CliRunner().invoke(app, words)
    done.append((found.exit_code, found.stdout, found.stderr))
print(json.dumps(done))
"""
Outcome = tuple[int, str, str]
WORKING = {
    "help": ["--help"],
    "help of train": ["train", "--help"],
    "version": ["--version"],
    "metrics": ["list", "metrics"],
    "score": ["score", "table.csv", "--confidence", "--resamples", "5"],
    "score by name": ["score", "table.npz", "--metrics", "mig,sap,mcc,dci_disentanglement,infom", "--json"],
    "stress": ["metrics", "stress", "--metrics", "mig,sap", "--csv"],
    "report": ["report", "records"],
    "export": ["export", "records", "--format", "latex"],
    "compare": ["compare", "vae", "beta_vae", "records"],
    "merge": ["merge", "merged", "records"],
    "status": ["status", "records"],
}
TRAINING = {
    "train": ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "2"],
    "run": ["run", "quick"],
    "search": ["search", "vae", "dsprites_like", "--steps", "2", "--grid", "latent_dim=[2, 4]"],
    "evaluate": ["evaluate", "model.ckpt"],
    "traverse": ["traverse", "model.ckpt"],
    "profile": ["profile", "--method", "vae", "--dataset", "dsprites_like"],
    "estimators": ["estimators"],
    "methods": ["list", "methods"],
    "datasets": ["list", "datasets"],
    "suites": ["list", "suites"],
    "everything": ["list"],
    "data list": ["data", "list"],
    "data info": ["data", "info", "dsprites"],
    "data download": ["data", "download", "dsprites"],
    "data verify": ["data", "verify", "dsprites"],
    "data import": ["data", "import", "pictures", "--name", "mine"],
    "data preview": ["data", "preview", "dsprites_like"],
    "a table of torch": ["score", "table.pt"],
    "a plugin with torch": ["score", "table.csv", "--plugin", "plugin.py"],
}
PICTURE = ["score", "table.csv", "--picture", "matrix.png"]
PYTHON = {
    "a method": "from disbench.baselines import BetaVAE",
    "a method's module": "from disbench.baselines.beta_vae import BetaVAE",
    "mine_vae": "from disbench.mine_vae import MINEDisentangleVAE",
    "methods": "from disbench.benchmarks import METHODS",
    "a dataset": "import disbench.datasets\ndisbench.datasets.load('dsprites_like')",
    "the registry of datasets": "from disbench.datasets.registry import DATASETS",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two methods, and a table in several formats."""
    out = tmp_path_factory.mktemp("core")
    for method in ("vae", "beta_vae"):
        for seed in range(3):
            settings = {"dataset": "shapes3d_like", "dataset_version": "1", "steps": 1, "batch_size": 64, "rows": 10}
            trial = Trial(method=method, seed=seed, precision="32-true", **settings)
            record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.5 + seed / 10}}, provenance="procedural")
            (out / "records" / trial.id).mkdir(parents=True)
            (out / "records" / trial.id / RECORD_FILE).write_text(record.model_dump_json(), encoding="utf-8")
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (300, 2))
    codes = factors + rng.normal(0, 0.2, factors.shape)
    np.savetxt(out / "table.csv", np.hstack([codes, factors]), delimiter=",", header="z0,z1,v0,v1", comments="")
    np.savez(out / "table.npz", codes=codes, factors=factors)
    torch.save({"codes": torch.tensor(codes), "factors": torch.tensor(factors)}, out / "table.pt")
    (out / "plugin.py").write_text("import torch\n")
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Outcome]:
    """Exit status, standard output and standard error of each command, by its name."""
    words = {**WORKING, **TRAINING, "picture": PICTURE}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + COMMANDS, json.dumps([*words.values()])],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(words, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", WORKING)
def test_scores_and_reports_work_without_the_extras(name: str, found: dict[str, Outcome]) -> None:
    status, output, errors = found[name]
    assert status == 0, output + errors


def test_the_commands_without_the_extras_do_their_work(folder: Path, found: dict[str, Outcome]) -> None:
    assert (folder / "records" / "leaderboard.html").stat().st_size > 10_000
    assert len(list((folder / "merged").glob(f"*/{RECORD_FILE}"))) == 6
    scores = json.loads(found["score by name"][1])["scores"]
    assert len(scores) == 5 and scores["mig"] > 0.5


@pytest.mark.parametrize("name", TRAINING)
def test_training_without_the_extra_says_what_to_install(name: str, found: dict[str, Outcome]) -> None:
    status, output, errors = found[name]
    lines = [line for line in errors.splitlines() if ": loading modules" not in line]
    assert (status, output, len(lines)) == (2, "", 1), output + errors
    assert "torch, which is not installed" in lines[0]
    assert "pip install 'disbench[train]'" in lines[0]


def test_a_picture_needs_a_smaller_extra(folder: Path, found: dict[str, Outcome]) -> None:
    status, output, errors = found["picture"]
    assert (status, output) == (2, "")
    assert "This needs matplotlib, which is not installed" in errors
    assert "pip install 'disbench[pictures]'" in errors
    assert not (folder / "matrix.png").exists()


@pytest.mark.parametrize("program", PYTHON.values(), ids=PYTHON)
def test_python_without_the_extra_raises_an_import_error_with_the_command(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED + program], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ModuleNotFoundError: This needs ")
    assert last.endswith("pip install 'disbench[train]'")


def test_only_a_missing_package_of_an_extra_is_advised_on() -> None:
    assert missing_extra(ModuleNotFoundError("No module named 'numpy'", name="numpy")) is None
    assert missing_extra(ImportError("cannot import name 'x' from 'torch'", name="torch")) is None
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'no_such_module'$"), needs_extra():
        import no_such_module  # noqa: F401


def names_in(requirements: list[str]) -> set[str]:
    return {each.partition(">")[0].strip() for each in requirements if not each.startswith("disbench[")}


def test_the_core_needs_no_package_that_trains() -> None:
    core, extras = names_in(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    assert core == {
        *(
            "filelock",
            "h5py",
            "jinja2",
            "numpy",
            "pandas",
            "pillow",
            "pydantic",
            "pyyaml",
            "rich",
            "scikit-learn",
            "scipy",
        ),
        *("threadpoolctl", "tqdm", "typer"),
    }
    assert names_in(extras["train"]) | names_in(extras["pictures"]) == {
        *("matplotlib", "pooch", "pytorch-lightning", "requests", "torch", "torchmetrics", "torchvision", "urllib3"),
    }


@pytest.mark.parametrize("extra", ["docs", "fid", "ray", "search", "slurm", "test", "tracking", "train"])
def test_an_extra_for_training_includes_what_training_needs(extra: str) -> None:
    own = [each for each in PROJECT["optional-dependencies"][extra] if each.startswith("disbench[")]
    included = {name for each in own for name in each.partition("[")[2].rstrip("]").split(",")}
    assert ("pictures" if extra == "train" else "train") in included


def test_every_package_of_the_extras_is_known_by_its_modules() -> None:
    distributions = packages_distributions()
    for extra in ("train", "pictures"):
        modules = [module for module, its in EXTRAS.items() if its == extra]
        assert {name for module in modules for name in distributions[module]} == names_in(
            PROJECT["optional-dependencies"][extra]
        )
