import math

import pytest
import pytorch_lightning as lightning
import torch

from disbench.baselines.factor_vae import FactorVAE, permute_latents
from disbench.baselines.gaussian import Posterior


def test_permuting_keeps_each_marginal_and_breaks_the_rows() -> None:
    torch.manual_seed(0)
    column = torch.randn(1000, 1)
    z = column.repeat(1, 3)
    permuted = permute_latents(z)
    torch.testing.assert_close(permuted.sort(0).values, z.sort(0).values)
    assert torch.corrcoef(permuted.T).fill_diagonal_(0).abs().max() < 0.15


def test_the_discriminator_learns_the_log_density_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own loss. Of two correlated Gaussians the mean log ratio is -log(1 - rho^2) / 2; one that says 0 loses log 2."""
    torch.manual_seed(0)
    rho = 0.8
    method = FactorVAE((1, 8, 8), 100, latent_dim=2, network="mlp", hidden_dim=8, discriminator_dim=64)
    optimizer = torch.optim.Adam(method.discriminator.parameters(), lr=1e-3)

    def draw(n: int) -> torch.Tensor:
        z = torch.randn(n, 2)
        return torch.stack([z[:, 0], rho * z[:, 0] + (1 - rho**2) ** 0.5 * z[:, 1]], 1)

    monkeypatch.setattr(method, "posterior", lambda points: Posterior(points, torch.full_like(points, -40)))
    for _ in range(800):
        loss = method.discriminator_loss(draw(512), draw(512))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        estimate = method.log_ratio(draw(20_000)).mean().item()
    truth = -0.5 * torch.log(torch.tensor(1 - rho**2)).item()
    assert abs(estimate - truth) < 0.1 * truth
    torch.nn.init.zeros_(method.discriminator[-1].weight)
    torch.nn.init.zeros_(method.discriminator[-1].bias)
    assert method.discriminator_loss(draw(512), draw(512)).item() == pytest.approx(math.log(2))


def test_gamma_weighs_the_total_correlation() -> None:
    torch.manual_seed(0)
    method = FactorVAE((1, 8, 8), 100, gamma=7, network="mlp", hidden_dim=8, discriminator_dim=8)
    terms, z = method.autoencoder_terms(torch.rand(16, 1, 8, 8))
    torch.testing.assert_close(terms["total_correlation"], method.log_ratio(z).mean())
    expected = terms["reconstruction"] + terms["kl"] + 7 * terms["total_correlation"]
    torch.testing.assert_close(terms["loss"], expected)


def test_the_papers_discriminator_has_six_layers_of_a_thousand() -> None:
    method = FactorVAE((1, 64, 64), 1000)
    shapes = [tuple(layer.weight.shape) for layer in method.discriminator if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(1000, 10), *[(1000, 1000)] * 4, (1, 1000)]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_discriminators_sample_comes_from_the_encoder_as_the_step_left_it(precision: str) -> None:
    torch.manual_seed(0)
    method = FactorVAE((1, 8, 8), 64, lr=0.1, network="mlp", hidden_dim=8, discriminator_dim=8)
    seen = []
    method.encoder.register_forward_hook(lambda encoder, inputs, output: seen.append((inputs[0], output.detach())))
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(max_steps=1, precision=precision, accelerator="cpu", **quiet)
    trainer.fit(method, iter([torch.rand(16, 1, 8, 8)]))
    (_, first), (second, sample) = seen
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision != "32-true"):
        assert torch.equal(sample, method.encoder(second))
    assert not torch.equal(sample, first)


def test_under_autocast_the_discriminator_is_rounded_only_where_it_stands_still() -> None:
    """Its gradient to the latents bears it, its own does not: see `discriminator_loss`."""
    torch.manual_seed(0)
    method = FactorVAE((1, 8, 8), 64, network="mlp", hidden_dim=8, discriminator_dim=8)
    kinds = []
    for layer in method.discriminator:
        layer.register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    x = torch.rand(16, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        _, z = method.autoencoder_terms(x)
        assert set(kinds) == {torch.bfloat16}
        kinds.clear()
        method.discriminator_loss(z, x)
    assert set(kinds) == {torch.float32}
