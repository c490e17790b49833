"""The profile counts every moment of a step once, and the trial's stages are all there."""

import time

import pytest
import torch
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.trials.profile import (
    BACKWARD,
    DATA,
    FORWARD,
    LOOP,
    OPTIMIZER,
    REST,
    Clock,
    profile_steps,
    profile_trial,
    shares,
)
from disbench.datasets import FactorDataset, load
from disbench.mine_vae import MINEDisentangleVAE
from disbench.reports.records import Trial

OWN = {
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
    "mine_vae": {"latent_dim": 6, "num_factors": 3},
}
STEP = {
    DATA,
    LOOP,
    OPTIMIZER,
    *(kind.format(part) for kind in (FORWARD, BACKWARD) for part in ("encoder", "decoder", REST)),
}


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like", select={"orientation": 0, "scale": 3})


def trial(method: str, **fields: object) -> Trial:
    hparams = {"network": "mlp", "hidden_dim": 16, **OWN.get(method, {})}
    shared = {"dataset": "dsprites_like", "dataset_version": "1", "seed": 0, "batch_size": 8, "rows": 200}
    return Trial(**{"method": method, "steps": 1000, "hparams": hparams, **shared, **fields})


def test_a_moment_belongs_to_the_innermost_part_alone() -> None:
    clock = Clock(torch.device("cpu"))
    started = time.perf_counter()
    with clock.part("outer"):
        time.sleep(0.02)
        with clock.part("inner"):
            time.sleep(0.03)
            clock.switch("other")
            time.sleep(0.01)
        time.sleep(0.02)
    passed = time.perf_counter() - started
    assert clock.seconds.keys() == {"outer", "inner", "other"}
    assert clock.seconds["outer"] >= 0.04
    assert clock.seconds["inner"] >= 0.03
    assert clock.seconds["other"] >= 0.01
    assert sum(clock.seconds.values()) == pytest.approx(passed, abs=1e-3)
    assert not clock.stack


@pytest.mark.parametrize("method", ["beta_vae", "factor_vae", "mine_vae"])
def test_every_part_of_a_step_is_seen(method: str, dataset: FactorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MINEDisentangleVAE, "audit_at", ())
    kept = []
    monkeypatch.setattr(dataset, "preload", lambda: kept.append(None))  # as the trial does that is estimated
    _, parts = profile_steps(trial(method, steps=100_000), dataset, 3)
    assert kept
    assert set(parts) == STEP
    assert all(seconds > 0 for seconds in parts.values())


def test_time_that_a_part_wastes_is_found_in_that_part(dataset: FactorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = dataset.batch
    monkeypatch.setattr(dataset, "batch", lambda rows: (time.sleep(0.05), batch(rows))[1])
    _, parts = profile_steps(trial("vae"), dataset, 3)
    assert parts[DATA] >= 0.05
    assert max(parts, key=parts.get) == DATA


def test_the_profile_leaves_the_method_as_it_was(dataset: FactorDataset) -> None:
    method, _ = profile_steps(trial("vae"), dataset, 3)
    x = dataset.batch(torch.arange(4)).float() / 255
    q = method.posterior(x)
    assert "forward" not in vars(method.encoder)
    q.mean.sum().backward()
    assert method.training_step(x, 0)["loss"].isfinite()


def test_a_trials_profile_has_every_stage_and_shares_add_up(dataset: FactorDataset) -> None:
    rows = profile_trial(trial("vae"), dataset, {"mig": {}, "irs": {}}, steps=2)
    stages = [row.part for row in rows if row.share_of_step is None]
    assert stages == ["encode", "score: mig", "score: irs", "reconstruction quality", "pictures"]
    assert sum(shares(rows)) == pytest.approx(1)
    assert sum(row.share_of_step or 0 for row in rows) == pytest.approx(1)


def test_the_command_prints_the_table_and_refuses_what_it_does_not_know() -> None:
    words = [
        "profile",
        "--method",
        "vae",
        "--dataset",
        "dsprites_like",
        "--set",
        "network=mlp",
        "--set",
        "hidden_dim=16",
    ]
    words += ["--select", "scale=3", "--rows", "200", "--timed-steps", "2", "--metrics", "mig"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for part in ("training loop", "backward: decoder", "score: mig", "pictures"):
        assert part in result.output
    for wrong, needed in ((["--metrics", "magic"], "magic"), (["--set", "betta=1"], "betta")):
        refused = CliRunner().invoke(app, [*words, *wrong])
        assert refused.exit_code == 2
        assert needed in refused.output
