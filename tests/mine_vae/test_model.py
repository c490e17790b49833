import pytest
import torch

from disbench.baselines.gaussian import Posterior
from disbench.benchmarks.train import make_trainer
from disbench.mine_vae import MINEDisentangleVAE
from disbench.mine_vae.attention import split_by_factor
from disbench.reports.records import Trial

BATCH = 16


def make(**options: object) -> MINEDisentangleVAE:
    torch.manual_seed(0)
    small = {"latent_dim": 6, "num_factors": 3, "network": "mlp", "hidden_dim": 16}
    return MINEDisentangleVAE((1, 8, 8), 500, **{**small, **options})


def fit(method: MINEDisentangleVAE, steps: int) -> None:
    trial = Trial(method="mine_vae", dataset="none", dataset_version="1", seed=0, steps=steps, batch_size=BATCH)
    make_trainer(trial, []).fit(method, (torch.rand(BATCH, 1, 8, 8) for _ in range(steps)))


def test_defaults_are_the_documents() -> None:
    method = MINEDisentangleVAE((1, 64, 64), 1000)
    assert method.latent_dim == 128
    assert method.attention.assignment().shape == (128, 11)
    assert method.gaussian_fit.recent.rows.shape == (1000, 10, 32)
    assert (method.outer_steps, method.inner_steps) == (5, 3)
    assert (method.disentanglement_weight, method.attention_reg_weight, method.entropy_reg_weight) == (1.0, 0.1, 0.05)


def test_pairs_are_the_weighted_leak_less_what_is_kept() -> None:
    method = make()
    method.factor_weights.copy_(torch.tensor([0.5, 1.0, 2.0]))
    z, embeddings, partition = torch.randn(BATCH, 6), torch.randn(3, BATCH, 32), torch.eye(4)[[0, 1, 1, 2, 3, 3]]
    torch.manual_seed(1)
    pairs, leak, kept = method.pair_terms(z, embeddings, partition)
    torch.manual_seed(1)
    noisy = embeddings + 0.3 * torch.randn_like(embeddings)
    outside, inside = split_by_factor(z, partition)
    leaks, kepts = method.leak.donsker_varadhan(outside, noisy), method.kept.info_nce(inside, noisy)
    torch.testing.assert_close(pairs, (method.factor_weights * (leaks - kepts)).sum() / 3)
    torch.testing.assert_close(torch.stack([leak, kept]), torch.stack([leaks.mean(), kepts.mean()]))


@pytest.mark.parametrize("ramp", [0.25, 1.0])
def test_the_outer_loss_is_the_sum_that_the_module_states(ramp: float) -> None:
    method = make(beta=3.0, tc_weight=7.0, disentanglement_weight=2.0)
    x = torch.rand(BATCH, 1, 8, 8)
    q = method.posterior(x)
    terms = method.outer_loss(x, q, q.sample(), ramp)
    pairs = terms["leak"] - terms["kept"]  # all factor weights are 1 at first
    penalty = ramp * 2.0 * (7.0 * terms["total_correlation"] + pairs)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 3.0 * terms["kl"] + penalty)


def test_every_critic_ascends_its_own_bound() -> None:
    """Two latents that are copies of one number: kept information is there to be found, and the critics find it."""
    method = make()
    mean = torch.randn(512, 1).repeat(1, 6)
    method.recent.add(torch.stack([mean, torch.full_like(mean, -4.0)], 1))
    method.attention.sampled_partition = lambda: torch.eye(4)[[1, 1, 2, 2, 3, 3]]
    method.marginals.fit(Posterior(mean, torch.full_like(mean, -4.0)))

    def values() -> tuple[torch.Tensor, torch.Tensor]:
        z = mean[:256]
        with torch.no_grad():
            return method.pair_terms(z, method.factor_encoder(z), method.attention.sampled_partition())[1:]

    leak_before, kept_before = values()
    critics = [*method.leak.parameters(), *method.kept.parameters(), *method.marginals.parameters()]
    optimizer = torch.optim.Adam(critics, lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        method.critic_loss(64).backward()
        optimizer.step()
    leak, kept = values()
    assert leak > leak_before + 0.3
    assert kept > kept_before + 0.3


def test_the_assignment_moves_every_fifth_step_alone() -> None:
    for steps, moves in ((4, False), (5, True)):
        method = make()
        before = method.attention.queries.detach().clone()
        fit(method, steps)
        assert torch.equal(method.attention.queries, before) != moves


def test_no_party_moves_another_while_it_is_frozen() -> None:
    method = make()
    kept_before = [parameter.detach().clone() for parameter in method.kept.parameters()]
    method.critic_lr = 0.0
    fit(method, 6)
    assert all(torch.equal(new, old) for new, old in zip(method.kept.parameters(), kept_before, strict=True))


def test_inner_loss_reaches_the_assignment_and_nothing_that_encodes() -> None:
    method = make()
    method.recent.add(torch.randn(64, 2, 6))
    method.inner_loss(BATCH).backward()
    assert method.attention.queries.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in method.encoder.parameters())


def test_groups_name_one_group_for_each_latent() -> None:
    groups = make().groups()
    assert groups.shape == (6,)
    assert set(groups.tolist()) <= {0, 1, 2, 3}
