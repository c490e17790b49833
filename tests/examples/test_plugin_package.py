"""A method in a package of one's own, found by its entry point in every worker of `disbench run --engine ray`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from disbench.reports.records import read_record

PYPROJECT = """
[project]
name = "warm-vae"
version = "0.3.0"
[project.entry-points."disbench.methods"]
warm_vae = "warm_vae:WarmVAE"
"""
MODULE = """
from disbench.baselines.vae import VAE
from disbench.baselines.gaussian import kl_to_prior
class WarmVAE(VAE):
    def __init__(self, image_shape, n_train, *, warmth: float = 2.0, **shell):
        super().__init__(image_shape, n_train, **shell)
        self.warmth = warmth

    def regulariser(self, z, q):
        kl = kl_to_prior(q).sum(1).mean()
        return self.warmth * kl, {"kl": kl}
"""
SUITE = """
name: warm
datasets: [{name: dsprites_like}]
methods: [{name: warm_vae, grid: {warmth: [0.5, 2]}}]
hparams: {network: mlp, hidden_dim: 8}
metrics: {mig: {}}
seeds: [0]
steps: 3
rows: 99
untrained: false
"""


def test_a_package_with_an_entry_point_is_a_method_on_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("setuptools")  # which builds the package
    for name, text in (("pyproject.toml", PYPROJECT), ("warm_vae.py", MODULE), ("suite.yaml", SUITE)):
        (tmp_path / name).write_text(text)
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, *pip, str(tmp_path)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "RAY_ADDRESS": "local"}
    program = "import sys; from disbench.benchmarks.cli.main import app; sys.argv[0] = 'disbench'; app()"
    words = ["run", "suite.yaml", "--engine", "ray", "--workers", "2", "--out", "runs"]
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    records = [read_record(path) for path in (tmp_path / "runs").glob("*/record.json")]
    assert sorted(record.trial.hparams["warmth"] for record in records) == [0.5, 2.0]
    noted = [(plugin.name, plugin.version, plugin.used_for) for record in records for plugin in record.plugins]
    assert noted == 2 * [("warm-vae", "0.3.0", ["method warm_vae"])]
