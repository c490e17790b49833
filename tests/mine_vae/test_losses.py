"""The MINE VAE's losses, as its training step returns them, against the equations of its modules written out.

Expected values use torch.distributions, numerical integrals, or loops over images, latents and factors in float64.
"""

import math
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Batch
from disbench.mine_vae import CrossAttention, MINEDisentangleVAE, model
from disbench.mine_vae.attention import EMBEDDING_RATE
from disbench.mine_vae.factor_encoder import NOISE, with_noise
from disbench.mine_vae.mine import MutualInformationEstimator
from disbench.mine_vae.partition import PairwiseInformation, Partition

BATCH, LATENTS, FACTORS, N_TRAIN = 5, 4, 2, 40
Array = NDArray[np.float64]


def images() -> Tensor:
    return torch.rand(BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def make(**options: Any) -> MINEDisentangleVAE:
    """A method whose every part says something: wide posteriors, values that reach the decoder, critics that are not flat."""
    torch.manual_seed(0)
    small = {"latent_dim": LATENTS, "num_factors": FACTORS, "factor_dim": 3, "network": "mlp", "hidden_dim": 8}
    method = MINEDisentangleVAE((1, 8, 8), N_TRAIN, **{**small, "recent_posteriors": 32, **options})
    with torch.no_grad():
        method.encoder[-1].weight.mul_(30)
        method.decoder[-2].weight.mul_(4)
        method.parts.attention.value.weight.normal_()
        method.marginals.score.weight.mul_(30)
        for critic in (method.parts.leak, method.parts.kept):
            critic.y_layer.weight.mul_(6)
            critic.hidden.weight.mul_(3)
            critic.score.weight.mul_(3)
    method.audit_at = ()
    return method


class Seeded(lightning.Callback):
    """Fixes the noise of a step and keeps its terms."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(7)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.terms = {name: value.item() for name, value in outputs.items()}


def trained_once(method: MINEDisentangleVAE) -> dict[str, float]:
    seeded = Seeded()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(max_epochs=1, limit_train_batches=1, accelerator="cpu", callbacks=[seeded], **quiet)
    trainer.fit(method, iter([images()]))
    return seeded.terms


def drawn(method: MINEDisentangleVAE) -> tuple[Normal, Tensor]:
    """The posteriors of the images and the first draw of the step, in float64."""
    with torch.no_grad():
        mean, logvar = method.encoder(images()).double().chunk(2, dim=1)
    q = Normal(mean, logvar.exp().sqrt())
    torch.manual_seed(7)
    return q, mean + q.stddev * torch.randn(BATCH, LATENTS)


def weight_of(layer: Any) -> tuple[Array, Array]:
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def embeddings_of(method: MINEDisentangleVAE, z: Tensor) -> Array:
    """(K, B, F): layer norm of a perceptron with one hidden layer for each factor."""
    encoder = method.parts.factor_encoder
    (first, first_bias), (second, second_bias) = weight_of(encoder.hidden), weight_of(encoder.embedding)
    scale, offset = weight_of(encoder.norm)
    found = []
    for k in range(FACTORS):
        raw = np.maximum(z.numpy() @ first[k] + first_bias[k], 0) @ second[k] + second_bias[k]
        centred = raw - raw.mean(1, keepdims=True)
        found.append(scale * centred / np.sqrt(raw.var(1, keepdims=True) + 1e-5) + offset)
    return np.array(found)


def refined(method: MINEDisentangleVAE, z: Tensor, embeddings: Array) -> Array:
    """What the decoder reads: z plus the factors' values, each latent's weighted by its share in the factor."""
    assignment = method.parts.attention.assignment().detach().double().numpy()
    value = method.parts.attention.value.weight.detach().double().numpy()  # (D, F)
    found = z.numpy().copy()
    for b in range(BATCH):
        for d in range(LATENTS):
            for k in range(FACTORS):
                found[b, d] += assignment[d, k + 1] * (value[d] @ embeddings[k, b])
    return found


def negative_log_likelihood(method: MINEDisentangleVAE, read: Array) -> float:
    with torch.no_grad():
        p = torch.sigmoid(method.decoder(torch.from_numpy(read).float()).double())
    x = images().double()
    return float(-(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean())


def log_q(q: Normal, z: Tensor) -> Array:
    """log q(z_i) (B,) by minibatch stratified sampling, pair by pair."""
    found = []
    for i in range(BATCH):
        together = 0.0
        for j in range(BATCH):
            weight = 1 / N_TRAIN if i == j else (N_TRAIN - 1) / (N_TRAIN * (BATCH - 1))
            together += weight * Normal(q.mean[j], q.stddev[j]).log_prob(z[i]).sum().exp().item()
        found.append(math.log(together))
    return np.array(found)


def test_in_the_first_phase_the_loss_is_the_stated_sum_with_total_correlation_by_monte_carlo() -> None:
    method = make(mine_start=1.0, beta=3.0, tc_weight=7.0, disentanglement_weight=2.0, refine=False)
    q, z = drawn(method)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean().item()
    single = np.zeros(BATCH)
    for i in range(BATCH):
        for d in range(LATENTS):
            own = [Normal(q.mean[j, d], q.stddev[j, d]).log_prob(z[i, d]).exp().item() for j in range(BATCH)]
            others = (N_TRAIN - 1) / (N_TRAIN * (BATCH - 1))
            single[i] += math.log(own[i] / N_TRAIN + others * (sum(own) - own[i]))
    correlation = float(np.mean(log_q(q, z) - single))
    reconstruction = negative_log_likelihood(method, z.numpy())
    terms = trained_once(method)
    assert terms["reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert terms["kl"] == pytest.approx(kl, rel=1e-5)
    assert terms["total_correlation"] == pytest.approx(correlation, rel=1e-4)
    assert terms["loss"] == pytest.approx(reconstruction + 3.0 * kl + 2.0 * 7.0 * correlation, rel=1e-5)


def marginal_correlation(method: MINEDisentangleVAE, q: Normal, z: Tensor) -> float:
    """sum_d E[log q(z_d|x) - log r_d(z_d)] - I(z; n), each r_d normalized by a fine integral over its support."""
    marginals = method.marginals
    (first, first_bias), (second, second_bias) = weight_of(marginals.features), weight_of(marginals.score)
    waves = marginals.frequencies.double().numpy()

    def critic(d: int, u: Array) -> Array:
        u = np.clip(u, -5.0, 5.0)[:, None]
        features = np.concatenate([u / 2, np.sin(u * waves), np.cos(u * waves)], axis=1)
        hidden = features @ first[d] + first_bias[d]
        raw = (np.where(hidden > 0, hidden, 0.1 * hidden) @ second[d] + second_bias[d])[:, 0]
        return 8.0 * np.tanh(raw / 8.0)

    grid = np.linspace(-5, 5, 100_001)
    bound = 0.0
    for d in range(LATENTS):
        m, s = marginals.mean[d].item(), marginals.scale[d].item()
        mass = trapezoid(np.exp(critic(d, grid) - 0.5 * grid**2), grid) / math.sqrt(2 * math.pi)
        log_r = Normal(m, s).log_prob(z[:, d]).numpy() + critic(d, (z[:, d].numpy() - m) / s) - math.log(mass)
        bound += np.mean(-Normal(q.mean[:, d], q.stddev[:, d]).entropy().numpy() - log_r)
    information = np.mean(q.log_prob(z).sum(1).numpy() - log_q(q, z))
    return float(bound - information)


def scores_of(estimator: MutualInformationEstimator, k: int, x: Array, y: Array) -> Array:
    """T of factor k on rows x (B, X) and y (B, Y)."""
    layers = [weight_of(layer) for layer in (estimator.x_layer, estimator.y_layer, estimator.hidden, estimator.score)]
    (x_weight, x_bias), (y_weight, y_bias), (hidden, hidden_bias), (score, score_bias) = layers
    first = np.maximum(x @ x_weight[k] + x_bias[k] + y @ y_weight[k] + y_bias[k], 0)
    raw = (np.maximum(first @ hidden[k] + hidden_bias[k], 0) @ score[k] + score_bias[k])[:, 0]
    return 5.0 * np.tanh(raw / 5.0)


def test_in_the_second_phase_the_loss_is_the_stated_sum_with_every_part_by_mine() -> None:
    method = make(
        mine_start=0.0,
        beta=3.0,
        tc_weight=7.0,
        disentanglement_weight=2.0,
        pair_weight=0.5,
        attention="fixed",  # latents 0 and 1 are factor 1's, 2 and 3 factor 2's: no partition is drawn
        lr=0.0,
        critic_lr=0.0,
    )
    weights = torch.tensor([0.6, 1.7])
    method.parts.factor_weights.copy_(weights)
    method.marginals.mean.copy_(torch.tensor([0.2, -0.3, 0.1, 0.4]))
    method.marginals.scale.copy_(torch.tensor([1.5, 2.0, 0.8, 3.0]))
    q, z = drawn(method)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean().item()
    correlation = marginal_correlation(method, q, z)
    embeddings = embeddings_of(method, z)
    reconstruction = negative_log_likelihood(method, refined(method, z, embeddings))
    # The step draws in this order: posteriors, the integral's offset, the embeddings' noise.
    torch.manual_seed(7)
    torch.randn(BATCH, LATENTS)
    torch.rand(1)
    noisy = embeddings + 0.3 * torch.randn(FACTORS, BATCH, 3).double().numpy()
    leak, kept = np.zeros(FACTORS), np.zeros(FACTORS)
    for k in range(FACTORS):
        inside = np.zeros((BATCH, LATENTS))
        inside[:, 2 * k : 2 * k + 2] = z.numpy()[:, 2 * k : 2 * k + 2]
        other = np.roll(noisy[k], 1, axis=0)
        joint = scores_of(method.parts.leak, k, z.numpy() - inside, noisy[k])
        product = scores_of(method.parts.leak, k, z.numpy() - inside, other)
        leak[k] = joint.mean() - math.log(np.exp(product).mean())  # Donsker-Varadhan
        joint = scores_of(method.parts.kept, k, inside, noisy[k])
        product = scores_of(method.parts.kept, k, inside, other)
        kept[k] = np.mean(joint - np.log((np.exp(joint) + np.exp(product)) / 2))  # InfoNCE, one other for each
    pairs = float(np.mean(weights.double().numpy() * (leak - kept)))
    terms = trained_once(method)
    assert min(abs(leak.mean()), abs(kept.mean()), abs(correlation)) > 0.02
    assert terms["reconstruction"] == pytest.approx(reconstruction, rel=1e-4)
    assert terms["kl"] == pytest.approx(kl, rel=1e-5)
    assert terms["total_correlation"] == pytest.approx(correlation, rel=3e-3)
    assert terms["leak"] == pytest.approx(leak.mean(), rel=1e-3, abs=1e-4)
    assert terms["kept"] == pytest.approx(kept.mean(), rel=1e-3, abs=1e-4)
    expected = reconstruction + 3.0 * kl + 2.0 * (7.0 * terms["total_correlation"] + 0.5 * pairs)
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_assignments_loss_is_the_stated_sum_over_partitions_that_may_be_drawn() -> None:
    torch.manual_seed(0)
    parts = Partition(
        LATENTS,
        num_factors=FACTORS,
        factor_dim=3,
        cross_weight=3.0,
        capacity_weight=5.0,
        entropy_reg_weight=0.7,
        attention_reg_weight=0.2,
    )
    with torch.no_grad():
        parts.pairwise.feature.weight.mul_(8)
    parts.factor_weights.copy_(torch.tensor([0.6, 1.7]))
    z, nats = torch.randn(BATCH, LATENTS), torch.tensor([0.5, 2.0, 1.0, 0.1])
    loss, terms = parts.inner_loss(z, nats)
    logits = parts.attention.logits().detach().double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = np.array([0.1, 0.9 * 0.6 / 2.3, 0.9 * 1.7 / 2.3])
    capacity, cross = 0.0, 0.0
    with torch.no_grad():
        information = parts.pairwise.estimate(z, torch.arange(LATENTS)).double().numpy()
    for groups in np.ndindex(*[FACTORS + 1] * LATENTS):  # every partition, with its probability
        odds = math.prod(shares[d, group] for d, group in enumerate(groups))
        use = np.array([sum(nats[d].item() for d in range(LATENTS) if groups[d] == k) for k in range(FACTORS + 1)])
        capacity += odds * (((use / 3.6 - target) ** 2) / target).sum()
        apart = [information[d, e] for d in range(LATENTS) for e in range(LATENTS) if d != e and groups[d] != groups[e]]
        cross += odds * sum(apart) / LATENTS
    entropy = np.mean([-(row * np.log(row)).sum() for row in shares])
    expected = {"capacity": capacity, "entropy": entropy, "squares": np.mean(logits**2), "cross": cross}
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4, abs=1e-6), name
    total = 3.0 * cross + 5.0 * capacity + 0.7 * entropy + 0.2 * np.mean(logits**2)
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_a_pair_of_latents_is_read_by_donsker_varadhan_with_rolled_rows() -> None:
    torch.manual_seed(0)
    pairwise = PairwiseInformation(3)
    with torch.no_grad():
        pairwise.feature.weight.mul_(8)
    z = torch.randn(BATCH, 3)
    layers = [weight_of(layer) for layer in (pairwise.first, pairwise.hidden, pairwise.feature)]

    def leaky(x: Array) -> Array:
        return np.where(x > 0, x, 0.1 * x)

    def feature(d: int) -> Array:
        hidden = leaky(z[:, d : d + 1].double().numpy() @ layers[0][0][d] + layers[0][1][d])
        hidden = leaky(hidden @ layers[1][0][d] + layers[1][1][d])
        return hidden @ layers[2][0][d] + layers[2][1][d]

    def one_way(d: int, e: int) -> float:
        joint = 5 * np.tanh((feature(d) * feature(e)).sum(1) / 5)
        product = 5 * np.tanh((feature(d) * np.roll(feature(e), 1, axis=0)).sum(1) / 5)
        return float(joint.mean() - math.log(np.exp(product).mean()))

    with torch.no_grad():
        found = pairwise.estimate(z, torch.arange(3)).numpy()
    for d in range(3):
        for e in range(3):
            expected = 0.0 if d == e else 0.5 * (one_way(d, e) + one_way(e, d))
            assert found[d, e] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert abs(found).max() > 0.05


def far_from_the_minibatch(method: MINEDisentangleVAE) -> None:
    """Fill the recent posteriors with codes near 100, which no minibatch here has."""
    mean = 100 + torch.randn(32, LATENTS)
    method.recent.add(torch.stack([mean, torch.full_like(mean, -6.0)], 1))


def test_the_assignment_learns_from_recent_posteriors_and_not_from_the_minibatch() -> None:
    method = make(mine_start=0.0)
    far_from_the_minibatch(method)
    seen: list[tuple[Tensor, Tensor]] = []
    original = method.parts.inner_loss

    def noting(z: Tensor, nats: Tensor) -> Any:
        seen.append((z, nats))
        return original(z, nats)

    method.parts.inner_loss = noting
    method.assignment_stage(Batch(images()), drawn(method))
    ((z, nats),) = seen
    assert z.shape == (BATCH, LATENTS)
    assert (z - 100).abs().max() < 6
    assert nats.min() > 4000  # 0.5 * 100 ** 2 and a little less or more


def test_critics_learn_from_recent_posteriors_and_not_from_the_minibatch() -> None:
    method = make(mine_start=0.0)
    far_from_the_minibatch(method)
    seen: list[Tensor] = []
    method.parts.critic_loss = lambda z: seen.append(z) or z.sum()
    original = method.marginals.critic_loss
    method.marginals.critic_loss = lambda z: seen.append(z) or original(z)
    method.critics_stage(Batch(images()), drawn(method), second_phase=True)
    assert [len(z) for z in seen] == [32, BATCH]
    assert all((z - 100).abs().max() < 6 for z in seen)


def test_joint_training_moves_the_assignment_on_the_minibatch() -> None:
    method = make(mine_start=0.0, bi_level=False)
    far_from_the_minibatch(method)
    seen: list[Tensor] = []
    method.assignment_loss = lambda z, q: seen.append(z) or z.sum() * 0
    torch.manual_seed(7)
    _, _, (_, z) = method.outer_stage(Batch(images()), (), second_phase=True, joint=True)
    assert torch.equal(seen[0], z)


def test_keys_follow_the_embeddings_by_a_twentieth_each_step() -> None:
    attention = CrossAttention(LATENTS, num_factors=FACTORS, factor_dim=3)
    embeddings = torch.randn(FACTORS, BATCH, 3, generator=torch.Generator().manual_seed(0))
    expected = np.zeros((FACTORS, 3))
    for _ in range(3):
        attention.track(embeddings)
        expected += 0.05 * (embeddings.double().numpy().mean(1) - expected)
    np.testing.assert_allclose(attention.mean_embedding.numpy(), expected, rtol=1e-5)
    assert EMBEDDING_RATE == 0.05


def test_each_party_has_the_optimizer_that_the_method_states() -> None:
    method = make(lr=2e-4, critic_lr=5e-3, assignment_lr=4e-2)
    found = [(o.param_groups[0]["lr"], o.param_groups[0]["betas"]) for o in method.configure_optimizers()]
    assert found == [(2e-4, (0.9, 0.999)), (5e-3, (0.5, 0.9)), (4e-2, (0.9, 0.999))]
    defaults = make()
    assert [o.param_groups[0]["lr"] for o in defaults.configure_optimizers()] == [1e-4, 3e-3, 1e-2]


def test_the_defaults_are_those_that_the_methods_page_states() -> None:
    method = MINEDisentangleVAE((1, 64, 64), 100)
    assert (method.beta, method.tc_weight, method.mine_start, method.pair_weight) == (1, 20, 0.6, 1)
    assert (method.parts.cross_weight, method.parts.capacity_weight) == (10, 5)
    assert (method.mine, method.refine, method.parts.weigh, method.parts.bi_level) == (True, True, True, True)
    assert (model.CRITICS_LEAD, model.CRITIC_STEPS, model.MONTE_CARLO_EVERY, NOISE) == (0.1, 2, 10, 0.3)
    assert len(method.recent.rows) == 512


def test_the_embeddings_noise_has_the_stated_deviation() -> None:
    torch.manual_seed(0)
    assert with_noise(torch.zeros(100_000)).std().item() == pytest.approx(0.3, rel=0.01)


def test_information_that_neither_side_has_is_nothing_to_the_assignment() -> None:
    """A latent's own information about itself is not counted, and unused posteriors hold no nats."""
    parts = Partition(2, num_factors=1, factor_dim=3)
    _, terms = parts.inner_loss(Posterior(torch.zeros(8, 2), torch.zeros(8, 2)).sample(), torch.zeros(2))
    target, nothing = np.array([0.1, 0.9]), np.zeros(2)
    assert terms["capacity"].item() == pytest.approx((((nothing - target) ** 2) / target).sum(), rel=1e-5)


def test_the_decoder_reads_the_refined_latents_wherever_it_is_asked() -> None:
    method = make()
    z = torch.randn(BATCH, LATENTS, generator=torch.Generator().manual_seed(2)).double()
    read = torch.from_numpy(refined(method, z, embeddings_of(method, z))).float()
    with torch.no_grad():
        torch.testing.assert_close(method.logits(z.float()), method.decoder(read), rtol=1e-4, atol=1e-4)
        plain = make(refine=False)
        torch.testing.assert_close(plain.logits(z.float()), plain.decoder(z.float()))
        assert (method.logits(z.float()) - method.decoder(z.float())).abs().max() > 0.01


def test_a_latents_logits_are_scaled_products_with_each_factors_token_and_key() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(LATENTS, num_factors=FACTORS, factor_dim=3, attention_dim=7)
    attention.mean_embedding.copy_(torch.randn(FACTORS, 3))
    queries, tokens, key, mean = (
        each.detach().double().numpy()
        for each in (attention.queries, attention.tokens, attention.key.weight, attention.mean_embedding)
    )
    for d in range(LATENTS):
        for k in range(FACTORS + 1):
            target = tokens[k] + (key @ mean[k - 1] if k else 0)  # 0 is nuisance, which has no embedding
            expected = sum(queries[d, i] * target[i] for i in range(7)) / math.sqrt(7)
            assert attention.logits()[d, k].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_partitions_are_drawn_as_often_as_the_assignment_says() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(LATENTS, num_factors=FACTORS, factor_dim=3, attention_dim=4)
    with torch.no_grad():
        drawn_partitions = torch.stack([attention.sampled_partition() for _ in range(4000)])
        torch.testing.assert_close(drawn_partitions.mean(0), attention.assignment(), rtol=0, atol=0.04)
    assert set(drawn_partitions.round(decimals=4).unique().tolist()) == {0.0, 1.0}


def test_what_is_remembered_of_a_step_are_its_posteriors_and_embeddings() -> None:
    method = make(mine_start=0.0)
    far_from_the_minibatch(method)
    with torch.no_grad():
        q = method.posterior(images())
        method.buffer_stage(Batch(images()), (q, q.sample()), step=1, second_phase=True)
    assert method.marginals.mean.min() > 3  # fitted to recent posteriors, of which 27 in 32 are near 100
    assert int(method.recent.seen) == 32 + BATCH
    assert int(method.parts.gaussian_fit.recent.seen) == BATCH
    assert method.parts.attention.mean_embedding.abs().max() > 0


def test_critics_read_draws_and_not_means() -> None:
    method = make(mine_start=0.0, recent_posteriors=512)
    method.recent.add(torch.stack([torch.full((512, LATENTS), 3.0), torch.zeros(512, LATENTS)], 1))
    seen: list[Tensor] = []
    method.marginals.critic_loss = lambda z: seen.append(z) or z.sum()
    method.critic_loss(BATCH, second_phase=False)
    assert seen[0].mean().item() == pytest.approx(3, abs=0.1)
    assert seen[0].std().item() == pytest.approx(1, abs=0.1)


def test_the_critics_loss_is_the_sum_over_the_three_kinds_on_their_own_latents() -> None:
    torch.manual_seed(0)
    parts = Partition(LATENTS, num_factors=FACTORS, factor_dim=3, attention="fixed")
    z = torch.randn(4000, LATENTS)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, value in (("leak", 1.0), ("kept", 20.0), ("pairwise", 300.0)):
        critic = getattr(parts, name)
        critic.critic_loss = lambda x, y, name=name, value=value: seen.update({name: (x, y)}) or torch.tensor(value)
    assert parts.critic_loss(z).item() == 321
    for k in range(FACTORS):
        own = [2 * k, 2 * k + 1]
        others = [d for d in range(LATENTS) if d not in own]
        assert torch.equal(seen["kept"][0][k][:, own], z[:, own])
        assert not seen["kept"][0][k][:, others].any()
        assert torch.equal(seen["leak"][0][k][:, others], z[:, others])
        assert not seen["leak"][0][k][:, own].any()
    with torch.no_grad():
        noise = seen["leak"][1] - parts.factor_encoder(z)
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert torch.equal(seen["leak"][1], seen["kept"][1])
    assert torch.equal(seen["pairwise"][0], z)


def test_the_gaussian_fit_moves_a_twentieth_of_the_way_each_step() -> None:
    method = make()
    q = Posterior(torch.full((8, LATENTS), 4.0), torch.full((8, LATENTS), math.log(9.0)))
    method.marginals.fit(q)
    torch.testing.assert_close(method.marginals.mean, torch.full((LATENTS,), 0.2))
    torch.testing.assert_close(method.marginals.scale, torch.full((LATENTS,), math.sqrt(0.95 + 0.05 * 9)))


def test_latents_that_say_most_have_the_critics() -> None:
    method = make()
    method.marginals.n_live = 2
    method.marginals.scale.copy_(torch.tensor([1.0, 5.0, 2.0, 9.0]))
    assert set(method.marginals.live().tolist()) == {1, 3}


def test_a_marginal_critic_says_at_most_eight_nats() -> None:
    method = make()
    with torch.no_grad():
        method.marginals.score.weight.mul_(1e4)
        scores = method.marginals.critic(torch.linspace(-5, 5, 50).expand(LATENTS, -1))
    assert scores.abs().max().item() == pytest.approx(8, rel=1e-4)
