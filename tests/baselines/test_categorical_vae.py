"""The loss of the categorical VAE written out, its noise by counting, its straight-through gap by hand, and its limits."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import xlogy
from scipy.stats import entropy
from torch import Tensor, nn

from disbench.baselines.categorical import kl_to_uniform, relaxed_one_hot
from disbench.baselines.categorical_vae import CategoricalVAE, cosine_schedule
from disbench.baselines.method import Step
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3, "categories": 5}


class Given(nn.Module):
    """An encoder that returns what it is given, (B, 1, 1, D K) to (B, D K)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Pixels(nn.Module):
    """A decoder of one pixel, whose logit is the sum of the latents."""

    def forward(self, z: Tensor) -> Tensor:
        return z.sum(1)[:, None, None, None]


def test_the_relaxation_takes_each_category_as_often_as_its_probability() -> None:
    """At noise of scale s the largest weight follows softmax(logits / s)."""
    torch.manual_seed(0)
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    for scale in (1.0, 2.0):
        expected = probabilities ** (1 / scale) / (probabilities ** (1 / scale)).sum()
        weights = relaxed_one_hot(probabilities.log().expand(200_000, 3), scale)
        found = torch.bincount(weights.argmax(1), minlength=3) / 200_000
        torch.testing.assert_close(found, expected, rtol=0, atol=0.005)
        torch.testing.assert_close(weights.sum(1), torch.ones(200_000))


def test_the_noise_decides_the_weights_by_the_formula_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = torch.tensor([[0.2, 0.5, 0.9]], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand_like", lambda logits: uniform)
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    found = relaxed_one_hot(logits, noise_scale=0.5, temperature=0.7)
    powers = [
        (math.exp(logit) / (-math.log(u)) ** 0.5) ** (1 / 0.7)
        for logit, u in zip(logits[0].tolist(), uniform[0].tolist(), strict=True)
    ]
    np.testing.assert_allclose(found[0], np.array(powers) / sum(powers), rtol=1e-12)


def test_noise_of_zero_from_the_generator_gives_finite_weights_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand_like", torch.zeros_like)
    logits = torch.zeros(2, 3, requires_grad=True)
    weights = relaxed_one_hot(logits)
    weights[:, 0].sum().backward()
    assert weights.isfinite().all() and logits.grad.isfinite().all()


def test_the_divergence_is_that_of_scipy_at_likely_and_at_impossible_categories() -> None:
    logits = torch.randn(4, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    expected = entropy(np.exp(logits.numpy()), np.ones((4, 3, 7)), axis=-1)
    np.testing.assert_allclose(kl_to_uniform(logits), expected, rtol=1e-12)
    certain = torch.tensor([[0.0, 1000.0, 0.0]], requires_grad=True)
    kl_to_uniform(certain).sum().backward()
    assert kl_to_uniform(certain).item() == pytest.approx(math.log(3))
    assert certain.grad.isfinite().all()


def test_the_loss_is_the_papers_written_out_for_two_images_of_one_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the encoder and the decoder replaced, at the middle of training, where the noise has the scale 1.25."""
    torch.manual_seed(0)
    method = CategoricalVAE((1, 1, 6), 10, network="mlp", hidden_dim=8, latent_dim=2, categories=3).double()
    logits, noise = torch.randn(2, 1, 1, 6, dtype=torch.float64), torch.rand(2, 2, 3, dtype=torch.float64)
    images = torch.tensor([1.0, 0.25], dtype=torch.float64)[:, None, None, None]
    method.encoder, method.decoder, method.total_steps = Given(), Pixels(), 10
    monkeypatch.setattr(torch, "rand_like", lambda _: noise)
    monkeypatch.setattr(method, "category_logits", lambda _: logits.reshape(2, 2, 3))
    terms = method.training_step(images, 5)
    expected_loss = expected_kl = 0.0
    for i in range(2):
        pixel = 0.0
        for d in range(2):
            row = logits.reshape(2, 2, 3)[i, d].numpy()
            q = np.exp(row) / np.exp(row).sum()
            expected_kl += xlogy(q, 3 * q).sum() / 2
            y = np.exp(row - 1.25 * np.log(-np.log(noise[i, d].numpy())))
            pixel += (y / y.sum()) @ [-1.0, 0.0, 1.0]
        p = 1 / (1 + np.exp(-pixel))
        x = images[i].item()
        expected_loss -= (x * np.log(p) + (1 - x) * np.log(1 - p)) / 2
    assert terms["kl"].item() == pytest.approx(expected_kl, rel=1e-12)
    assert terms["noise_scale"].item() == pytest.approx(1.25)
    assert terms["loss"].item() == pytest.approx(expected_loss + expected_kl, rel=1e-6)  # the likelihood is in float32


def test_the_scale_of_the_noise_rises_by_half_a_cosine() -> None:
    found = [cosine_schedule(Step(number, 300), 0.5, 2.0) for number in (0, 100, 150, 200, 300)]
    assert found == pytest.approx([0.5, 0.875, 1.25, 1.625, 2.0])


def test_the_gradient_is_that_of_finite_differences() -> None:
    places = torch.linspace(-1, 1, 4, dtype=torch.float64)

    def objective(logits: Tensor) -> Tensor:
        torch.manual_seed(0)
        z = (relaxed_one_hot(logits, 1.3) * places).sum(-1)
        return z.square().sum() + kl_to_uniform(logits).sum()

    assert torch.autograd.gradcheck(objective, torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True))


def test_the_code_is_the_expectation_over_fixed_places() -> None:
    method = CategoricalVAE((1, 1, 6), 10, network="mlp", hidden_dim=8, latent_dim=2, categories=3)
    method.encoder = Given()
    logits = torch.tensor([0.2, 0.3, 0.5, 0.98, 0.01, 0.01]).log()
    codes = method.encode(logits.reshape(1, 1, 1, 6))
    torch.testing.assert_close(codes.values, torch.tensor([[0.3, -0.97]]))
    assert codes.std is None
    assert "places" not in dict(method.named_parameters())


def gap_by_hand(probabilities: list[float]) -> float:
    """One latent at -1, 0 or 1, one pixel of the value 1 with the logit z: log sigmoid(z) at the mean and at the mode."""
    mean = probabilities[2] - probabilities[0]
    mode = [-1.0, 0.0, 1.0][int(np.argmax(probabilities))]
    return math.log1p(math.exp(-mode)) - math.log1p(math.exp(-mean))


def test_the_straight_through_gap_is_the_change_of_the_loss_from_mean_to_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sign is dropped after the mean over all images, in whatever batches these come, as in the authors' code."""
    method = CategoricalVAE((1, 1, 1), 10, network="mlp", hidden_dim=8, latent_dim=1, categories=3)
    method.decoder = Pixels()
    rows = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.4, 0.5]]
    logits = iter([torch.tensor(rows[:2]).log()[:, None], torch.tensor(rows[2:]).log()[:, None]])
    monkeypatch.setattr(method, "category_logits", lambda _: next(logits))
    found = method.selection_scores([torch.ones(2, 1, 1, 1), torch.ones(1, 1, 1, 1)])
    changes = [gap_by_hand(row) for row in rows]
    assert changes[0] + changes[1] > 0 > changes[2]
    assert found == {"straight_through_gap": pytest.approx(abs(sum(changes)) / 3, rel=1e-4)}


def test_certain_categories_leave_no_gap() -> None:
    method = CategoricalVAE((1, 8, 8), 10, **SMALL)
    with torch.no_grad():
        method.encoder[-1].weight *= 1e6
    assert method.selection_scores([torch.rand(4, 1, 8, 8)]) == {"straight_through_gap": pytest.approx(0, abs=1e-4)}


def test_without_noise_it_is_an_autoencoder_of_the_expectation_with_a_penalty() -> None:
    torch.manual_seed(0)
    method = CategoricalVAE((1, 8, 8), 10, **SMALL, noise_scale_start=1e-12, noise_scale_end=1e-12)
    x = torch.rand(4, 1, 8, 8)
    terms = method.training_step(x, 0)
    torch.testing.assert_close(terms["reconstruction"], method.reconstruction_loss(x, method.encode(x).values))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"categories": 1}, "categories needs at least 2"),
        ({"noise_scale_start": 0.0}, "greater than 0, got 0.0 and 2.0"),
        ({"noise_scale_end": math.nan}, "greater than 0, got 0.5 and nan"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CategoricalVAE((1, 8, 8), 10, **{**SMALL, **options})


def trial_of(method: str) -> tuple[Trial, Any]:
    options = {"select": {"shape": 1, "orientation": 0, "position_x": "0-9", "position_y": "0-9"}}
    dataset = load("dsprites_like", **options)
    fields = {"dataset": "dsprites_like", "dataset_options": options, "dataset_version": dataset.version, "rows": 100}
    hparams = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}
    return Trial(method=method, seed=0, steps=4, batch_size=16, hparams=hparams, **fields), dataset


def test_the_record_of_a_trial_has_the_gap_and_other_methods_have_none(tmp_path: Path) -> None:
    records = {}
    for method in ("categorical_vae", "vae"):
        trial, dataset = trial_of(method)
        record = run_trial(trial, dataset, tmp_path, {"mig": {}})
        assert record.status == "ok" and not record.remarks
        records[method] = json.loads((tmp_path / record.trial.id / "record.json").read_text())["selection_scores"]
    assert records["vae"] == {}
    assert list(records["categorical_vae"]) == ["straight_through_gap"]
    assert records["categorical_vae"]["straight_through_gap"] > 0


def test_a_score_that_is_no_number_becomes_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CategoricalVAE, "selection_scores", lambda *_: {"broken": math.nan})
    trial, dataset = trial_of("categorical_vae")
    record = run_trial(trial, dataset, tmp_path, {"mig": {}})
    assert record.status == "ok" and record.selection_scores == {}
    assert "selection scores failed" in record.remarks[0] and "got nan" in record.remarks[0]
