"""The loss of every baseline, as its training step returns it, against the paper's equation written out.

Expected values use torch.distributions or loops over images and latents in float64; the noise is fixed by the seed.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from disbench.baselines.beta_tcvae import BetaTCVAE
from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.factor_vae import FactorVAE
from disbench.baselines.vae import VAE

BATCH, LATENTS, N_TRAIN = 5, 3, 40
SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": LATENTS}


class Step(NamedTuple):
    """What one training step saw and returned: posteriors (B, D), the draw z (B, D) and each term."""

    q: Normal
    z: Tensor
    reconstruction: float
    kl: float
    terms: dict[str, float]


def images(n: int) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def make(kind: type[VAE], **options: Any) -> VAE:
    """A method whose encoder's outputs are spread out, so that no term is near zero or near another."""
    torch.manual_seed(0)
    method = kind((1, 8, 8), N_TRAIN, **SMALL, **options)
    with torch.no_grad():
        method.encoder[-1].weight.mul_(30)
        method.decoder[-2].weight.mul_(4)
    return method


def negative_log_likelihood(method: VAE, x: Tensor, z: Tensor) -> float:
    """Of Bernoulli pixels: summed over the pixels of an image, mean over images."""
    with torch.no_grad():
        p = torch.sigmoid(method.decoder(z).double())
    pixels = x.double() * p.log() + (1 - x.double()) * (1 - p).log()
    return float(np.mean([-pixels[i].sum().item() for i in range(len(x))]))


def first_step(method: VAE) -> Step:
    x = images(BATCH)
    with torch.no_grad():
        mean, logvar = method.encoder(x).chunk(2, dim=1)
    q = Normal(mean.double(), logvar.double().exp().sqrt())
    torch.manual_seed(7)
    z = q.mean + q.stddev * torch.randn(BATCH, LATENTS)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean().item()
    torch.manual_seed(7)
    terms = {name: value.item() for name, value in method.training_step(x, 0).items()}
    return Step(q, z, negative_log_likelihood(method, x, z.float()), kl, terms)


def test_the_vaes_loss_is_reconstruction_plus_kl() -> None:
    step = first_step(make(VAE))
    assert step.kl > 1
    assert step.terms["reconstruction"] == pytest.approx(step.reconstruction, rel=1e-5)
    assert step.terms["kl"] == pytest.approx(step.kl, rel=1e-5)
    assert step.terms["loss"] == pytest.approx(step.reconstruction + step.kl, rel=1e-6)


def test_beta_vaes_loss_is_reconstruction_plus_beta_times_kl() -> None:
    step = first_step(make(BetaVAE, beta=6.5))
    assert step.terms["kl"] == pytest.approx(step.kl, rel=1e-5)
    assert step.terms["loss"] == pytest.approx(step.reconstruction + 6.5 * step.kl, rel=1e-6)


def minibatch_densities(step: Step, estimator: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log q(z_i) (B,) and log q(z_id) (B, D): Chen et al. 2018, Eq. 3 (mws) or appendix C.2 (mss), pair by pair."""
    joint, single = np.zeros(BATCH), np.zeros((BATCH, LATENTS))
    for i in range(BATCH):
        together, alone = 0.0, np.zeros(LATENTS)
        for j in range(BATCH):
            own = np.exp(
                [Normal(step.q.mean[j, d], step.q.stddev[j, d]).log_prob(step.z[i, d]) for d in range(LATENTS)]
            )
            if estimator == "mws":
                weight = 1 / (N_TRAIN * BATCH)
            else:
                weight = 1 / N_TRAIN if i == j else (N_TRAIN - 1) / (N_TRAIN * (BATCH - 1))
            together += weight * own.prod()
            alone += weight * own
        joint[i], single[i] = math.log(together), np.log(alone)
    return joint, single


@pytest.mark.parametrize("estimator", ["mss", "mws"])
def test_beta_tcvaes_loss_weighs_the_total_correlation_of_the_decomposed_kl(estimator: str) -> None:
    step = first_step(make(BetaTCVAE, beta=5.0, estimator=estimator))
    log_q, log_q_single = minibatch_densities(step, estimator)
    log_posterior = step.q.log_prob(step.z).sum(1).numpy()
    log_prior = Normal(0.0, 1.0).log_prob(step.z).sum(1).numpy()
    information = np.mean(log_posterior - log_q)
    correlation = np.mean(log_q - log_q_single.sum(1))
    dimension_wise = np.mean(log_q_single.sum(1) - log_prior)
    assert step.terms["mutual_information"] == pytest.approx(information, rel=1e-4)
    assert step.terms["total_correlation"] == pytest.approx(correlation, rel=1e-4)
    assert step.terms["dimension_wise_kl"] == pytest.approx(dimension_wise, rel=1e-4)
    expected = step.reconstruction + information + 5.0 * correlation + dimension_wise
    assert step.terms["loss"] == pytest.approx(expected, rel=1e-5)


class Seeded(lightning.Callback):
    """Fixes the noise of a step and keeps its terms."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(7)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.terms = {name: value.item() for name, value in outputs.items()}


def trained_once(method: VAE, x: Tensor) -> dict[str, float]:
    """The terms of one whole step, optimizers included, on the minibatch x."""
    seeded = Seeded()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    lightning.Trainer(max_epochs=1, limit_train_batches=1, accelerator="cpu", callbacks=[seeded], **quiet).fit(
        method, iter([x])
    )
    return seeded.terms


def test_factor_vaes_losses_are_the_papers_with_the_density_ratio_of_its_discriminator() -> None:
    """Kim & Mnih 2018, Eq. 2 and 3 and algorithm 2. The first minibatch is encoded and decoded, the second permuted."""
    method = make(
        FactorVAE, gamma=11.0, discriminator_dim=16, lr=0.0
    )  # the encoder stands still, so both stages see one
    with torch.no_grad():
        method.discriminator[-1].bias.fill_(0.7)
        x = images(2 * BATCH)
        mean, logvar = method.encoder(x).double().chunk(2, dim=1)
        q = Normal(mean, logvar.exp().sqrt())
        torch.manual_seed(7)
        noise, second_noise = torch.randn(BATCH, LATENTS), torch.randn(BATCH, LATENTS)
        order = torch.rand(BATCH, LATENTS).argsort(dim=0)
        z = mean[:BATCH] + q.stddev[:BATCH] * noise
        second = mean[BATCH:] + q.stddev[BATCH:] * second_noise
        permuted = torch.tensor([[second[order[i, d], d] for d in range(LATENTS)] for i in range(BATCH)])
        judged = [torch.sigmoid(method.discriminator(draws.float())[:, 0].double()) for draws in (z, permuted)]
    of_joint, of_permuted = (each.numpy() for each in judged)  # D(z), the probability that z is from q(z)
    reconstruction = negative_log_likelihood(method, x[:BATCH], z.float())
    kl = kl_divergence(q, Normal(0.0, 1.0))[:BATCH].sum(1).mean().item()
    correlation = float(np.mean(np.log(of_joint / (1 - of_joint))))
    terms = trained_once(method, x)
    assert abs(correlation) > 0.1
    assert terms["reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert terms["kl"] == pytest.approx(kl, rel=1e-5)
    assert terms["total_correlation"] == pytest.approx(correlation, rel=1e-4)
    assert terms["loss"] == pytest.approx(reconstruction + kl + 11.0 * correlation, rel=1e-6)
    expected = -0.5 * np.mean(np.log(of_joint)) - 0.5 * np.mean(np.log(1 - of_permuted))
    assert terms["discriminator"] == pytest.approx(expected, rel=1e-5)


def test_factor_vaes_optimizers_are_the_papers() -> None:
    """Kim & Mnih 2018, appendix A: Adam of 1e-4 with betas 0.9 and 0.999, and for the discriminator 0.5 and 0.9."""
    method = FactorVAE((1, 64, 64), 100)
    autoencoder, discriminator = method.configure_optimizers()
    for optimizer, lr, betas in ((autoencoder, 1e-4, (0.9, 0.999)), (discriminator, 1e-4, (0.5, 0.9))):
        assert type(optimizer) is torch.optim.Adam
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (lr, betas, 0, 1e-8)
    owned = [{id(p) for p in optimizer.param_groups[0]["params"]} for optimizer in (autoencoder, discriminator)]
    networks = [method.encoder, method.decoder], [method.discriminator]
    assert owned == [{id(p) for network in each for p in network.parameters()} for each in networks]
    assert FactorVAE((1, 64, 64), 100, discriminator_lr=3e-4).configure_optimizers()[1].param_groups[0]["lr"] == 3e-4


@pytest.mark.parametrize("kind", [VAE, BetaVAE, BetaTCVAE])
def test_a_baselines_optimizer_is_adam_over_every_parameter(kind: type[VAE]) -> None:
    """Locatello et al. 2019, table 4."""
    method = kind((1, 64, 64), 100)
    optimizer = method.configure_optimizers()
    (group,) = optimizer.param_groups
    assert (type(optimizer), group["lr"], group["betas"]) == (torch.optim.Adam, 1e-4, (0.9, 0.999))
    assert {id(p) for p in group["params"]} == {id(p) for p in method.parameters()}
    assert kind((1, 64, 64), 100, lr=0.02).configure_optimizers().param_groups[0]["lr"] == 0.02


def test_the_defaults_are_the_published_weights() -> None:
    assert VAE((1, 64, 64), 100).latent_dim == 10
    assert BetaVAE((1, 64, 64), 100).beta == 4
    assert FactorVAE((1, 64, 64), 100).gamma == 35
    assert (BetaTCVAE((1, 64, 64), 100).beta, BetaTCVAE((1, 64, 64), 100).estimator) == (6, "mss")


def test_the_discriminators_slope_is_the_papers() -> None:
    slopes = {layer.negative_slope for layer in FactorVAE((1, 64, 64), 100).discriminator[1::2]}
    assert slopes == {0.2}
