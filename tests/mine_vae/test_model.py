from itertools import chain

import pytest
import torch
import yaml

from disbench.baselines.bernoulli import bernoulli_loss
from disbench.baselines.beta_tcvae import kl_terms
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.benchmarks.training.steps import Loop
from disbench.mine_vae import MINEDisentangleVAE, model
from disbench.mine_vae.marginals import total_correlation
from disbench.mine_vae.total_correlation import TC_ESTIMATORS

BATCH = 16
DOCUMENT = """
model_params:
  latent_dim: 128
  num_factors: 10
  factor_dim: 32
  attention_dim: 128
  mine_hidden_dim: 128
  disentanglement_weight: 1.0
  attention_reg_weight: 0.1
  entropy_reg_weight: 0.05
  bi_level_outer_steps: 5
  bi_level_inner_steps: 3
  gaussian_fit_samples: 1000
"""


@pytest.fixture(autouse=True)
def short_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "AUDIT_STEPS", 5)


def make(kind: type[MINEDisentangleVAE] = MINEDisentangleVAE, **options: object) -> MINEDisentangleVAE:
    torch.manual_seed(0)
    small = {"latent_dim": 6, "num_factors": 3, "network": "mlp", "hidden_dim": 16, "recent_posteriors": 64}
    return kind((1, 8, 8), 500, **{**small, **options})


def fit(method: MINEDisentangleVAE, steps: int, precision: str = "32-true", **options: object) -> list[dict]:
    """Train, and give the terms of each step."""
    terms: list[dict] = []
    original = method.training_step

    def listening(batch: torch.Tensor, batch_idx: int) -> dict:
        terms.append(original(batch, batch_idx))
        return terms[-1]

    method.training_step = listening
    Loop(steps, precision=precision, **options).fit(method, (torch.rand(BATCH, 1, 8, 8) for _ in range(steps)))
    return terms


def copies(method: MINEDisentangleVAE) -> dict[str, list[torch.Tensor]]:
    return {party: [p.detach().clone() for p in parameters] for party, parameters in method.parameter_groups().items()}


def moved(method: MINEDisentangleVAE, before: dict[str, list[torch.Tensor]]) -> set[str]:
    now = method.parameter_groups()
    return {
        party
        for party in now
        if not all(torch.equal(old, new) for old, new in zip(before[party], now[party], strict=True))
    }


def test_the_documents_parameters_load_unchanged_and_are_the_defaults() -> None:
    parameters = yaml.safe_load(DOCUMENT)["model_params"]
    given, default = (MINEDisentangleVAE((1, 64, 64), 1000, **options) for options in (parameters, {}))
    for method in (given, default):
        assert method.latent_dim == 128
        assert method.parts.attention.assignment().shape == (128, 11)
        assert method.parts.gaussian_fit.recent.rows.shape == (1000, 10, 32)
        assert method.parts.leak.hidden.weight.shape == (10, 128, 128)
        assert (method.parts.outer_steps, method.parts.inner_steps) == (5, 3)
        weights = (method.disentanglement_weight, method.parts.attention_reg_weight, method.parts.entropy_reg_weight)
        assert weights == (1.0, 0.1, 0.05)
    assert [p.shape for p in given.parameters()] == [p.shape for p in default.parameters()]


def test_every_parameter_has_one_party() -> None:
    method = make()
    owned = [id(parameter) for parameter in chain(*method.parameter_groups().values())]
    assert sorted(owned) == sorted(id(parameter) for parameter in method.parameters())


def test_in_the_first_phase_the_loss_is_beta_tcvaes_sum_and_the_partition_is_at_rest() -> None:
    method = make(beta=3.0, tc_weight=7.0, disentanglement_weight=2.0)
    x = torch.rand(BATCH, 1, 8, 8)
    q = method.posterior(x)
    z = q.sample()
    terms = method.outer_loss(x, q, z, second_phase=False)
    tc = kl_terms(z, q, 500).total_correlation
    expected = bernoulli_loss(method.decoder(z), x) + 3.0 * kl_to_prior(q).sum(1).mean() + 2.0 * 7.0 * tc
    torch.testing.assert_close(terms["loss"], expected)
    assert set(terms) == {"loss", "reconstruction", "kl", "total_correlation"}


def test_in_the_second_phase_the_loss_is_the_sum_that_the_module_states() -> None:
    method = make(beta=3.0, tc_weight=7.0, disentanglement_weight=2.0, pair_weight=0.5)
    x = torch.rand(BATCH, 1, 8, 8)
    q = method.posterior(x)
    terms = method.outer_loss(x, q, q.sample(), second_phase=True)
    pairs = terms["leak"] - terms["kept"]  # all factor weights are 1 at first
    penalty = 2.0 * (7.0 * terms["total_correlation"] + 0.5 * pairs)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 3.0 * terms["kl"] + penalty)


class Watched(MINEDisentangleVAE):
    """Keeps of each descent who moved, the parties whose loss it was, and their gradients' norm."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[tuple[set[str], set[str]]] = []
        self.norms: list[float] = []

    def minimize(self, optimizers: list, loss: torch.Tensor, clip: float | None = None) -> None:
        before = copies(self)
        super().minimize(optimizers, loss, clip)
        own = [parameter for optimizer in optimizers for parameter in optimizer.param_groups[0]["params"]]
        owners = {
            party for party, parameters in self.parameter_groups().items() if any(parameters[0] is each for each in own)
        }
        self.seen.append((moved(self, before), owners))
        gradients = [parameter.grad for parameter in own if parameter.grad is not None]
        self.norms.append(torch.nn.utils.get_total_norm(gradients).item())


def test_in_each_stage_its_own_party_moves_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "CRITIC_CLIP", 1e-4)  # so low that it is met
    method = make(Watched, mine_start=0.0)
    fit(method, 5)
    outer, critics, assignment = ({party} for party in ("outer", "critics", "assignment"))
    each_step = [outer, critics, critics]
    assert method.seen == [(party, party) for party in each_step * 5 + [assignment] * 3]
    clipped = [norm < 1.01e-4 for norm in method.norms]
    assert clipped == [party == critics for _, party in method.seen]


@pytest.mark.parametrize(
    ("mine_start", "steps", "expected"),
    [
        (1.0, 4, {"outer"}),
        (0.99, 20, {"outer", "critics"}),  # a twentieth step is before it and within the critics' lead
        (0.0, 4, {"outer", "critics"}),
        (0.0, 5, {"outer", "critics", "assignment"}),
    ],
)
def test_who_has_moved_after_some_steps(mine_start: float, steps: int, expected: set[str]) -> None:
    method = make(mine_start=mine_start)
    before = copies(method)
    fit(method, steps)
    assert moved(method, before) == expected


def test_joint_training_moves_the_assignment_from_the_first_step() -> None:
    method = make(mine_start=0.0, bi_level=False)
    before = copies(method)
    fit(method, 1)
    assert "assignment" in moved(method, before)


def test_a_fixed_assignment_is_blocks_that_nobody_moves() -> None:
    method = make(mine_start=0.0, attention="fixed")
    assert set(method.parameter_groups()) == {"outer", "critics"}
    fit(method, 6)
    assert method.groups().tolist() == [1, 1, 2, 2, 3, 3]


def test_without_mine_no_critic_moves_and_no_neural_term_is_in_the_loss() -> None:
    method = make(mine_start=0.0, mine=False)
    before = copies(method)
    terms = fit(method, 6)[-1]
    assert "critics" not in moved(method, before)
    assert not {"leak", "kept"} & set(terms)


@pytest.mark.parametrize("critic", ["mine", "nwj", "infonce", "smile", "ratio"])
def test_every_bound_of_the_critics_trains(critic: str) -> None:
    terms = fit(make(mine_start=0.0, critic=critic), 6)[-1]
    assert all(torch.isfinite(value) for value in terms.values())


@pytest.mark.parametrize("name", [name for name in TC_ESTIMATORS if name != "marginal"])
def test_every_estimator_of_total_correlation_trains_with_its_own_critic_and_no_other(name: str) -> None:
    method = make(mine_start=0.5, tc_estimator=name, mine_hidden_dim=8)
    assert method.marginals is None
    assert not [key for key in method.state_dict() if key.startswith("marginals")]
    before = copies(method)
    critic = [parameter.detach().clone() for parameter in method.tc_critic.parameters()]
    terms = fit(method, 20)
    assert moved(method, before) == {"outer", "critics", "assignment"}
    still = [torch.equal(old, new) for old, new in zip(critic, method.tc_critic.parameters(), strict=True)]
    assert sum(still) <= 2  # a weight that reads nothing, and a bias that a bound does not see
    assert all(torch.isfinite(value) for step in terms for value in step.values())
    assert ("audit_total_correlation_unseen" in terms[-1]) == (name != "club")


@pytest.mark.parametrize("name", TC_ESTIMATORS)
def test_the_encoder_gets_the_value_of_the_estimator_and_its_gradient(name: str) -> None:
    method = make(tc_weight=7.0, disentanglement_weight=2.0, pair_weight=0.0, tc_estimator=name)
    x = torch.rand(BATCH, 1, 8, 8)
    q = method.posterior(x)
    z = q.sample()
    torch.manual_seed(1)
    terms = method.outer_loss(x, q, z, second_phase=True)
    torch.manual_seed(1)
    value = total_correlation(z, q, method.marginals, 500) if name == "marginal" else method.tc_critic.estimate(z)
    torch.testing.assert_close(terms["total_correlation"], value)
    penalty = terms["loss"] - terms["reconstruction"] - terms["kl"]
    first = next(method.encoder.parameters())
    found, expected = (torch.autograd.grad(each, first, retain_graph=True)[0] for each in (penalty, 14.0 * value))
    assert expected.any()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_first_phase_is_the_same_whatever_estimates_total_correlation_later() -> None:
    one, two = make(tc_estimator="ratio"), make(tc_estimator="club")
    two.encoder.load_state_dict(one.encoder.state_dict())
    two.decoder.load_state_dict(one.decoder.state_dict())
    x = torch.rand(BATCH, 1, 8, 8)
    q = one.posterior(x)
    z = q.sample()
    first, second = (method.outer_loss(x, q, z, second_phase=False)["loss"] for method in (one, two))
    assert torch.equal(first, second)


def test_monte_carlo_and_the_audit_are_logged_beside_mine() -> None:
    method = make(mine_start=0.5)
    terms = fit(method, 20)
    assert "total_correlation_monte_carlo" not in terms[9]
    assert terms[-1]["total_correlation_monte_carlo"] != 0
    assert "audit_marginals_unseen" not in terms[14]
    wanted = {f"audit_{name}_{field}" for name in ("marginals", "leak", "kept") for field in ("unseen", "advanced")}
    assert wanted <= set(terms[15])  # audited after four fifths
    assert wanted <= set(terms[19])


def test_a_run_whose_critics_stand_still_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clusters in each latent: the Gaussian fit, which is all that critics without a rate have, is too wide."""
    monkeypatch.setattr(model, "AUDIT_STEPS", 200)
    method = make(mine_start=0.0, critic_lr=0.0)
    mean = 3.0 * torch.randint(0, 2, (64, 6)).float()
    method.recent.add(torch.stack([mean, torch.full_like(mean, -4.0)], 1))
    for _ in range(200):
        method.marginals.fit(method.draw(64))
    method.audit(1, BATCH)
    assert any("'marginals' stale" in remark for remark in method.remarks)


def test_an_audit_changes_nothing_that_trains() -> None:
    one, two = make(mine_start=0.0), make(mine_start=0.0)
    two.audit = lambda step, batch: {}
    for method in (one, two):
        torch.manual_seed(1)
        fit(method, 10)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_in_bf16_only_the_networks_round() -> None:
    terms = fit(make(mine_start=0.0), 5, "bf16-mixed")
    assert all(value.dtype == torch.float32 for step in terms for value in step.values())


def test_groups_name_one_group_for_each_latent() -> None:
    groups = make().groups()
    assert groups.shape == (6,)
    assert set(groups.tolist()) <= {0, 1, 2, 3}


def test_the_partition_is_reported_with_its_capacity_target() -> None:
    report = make().partition()
    assert report.assignment.shape == (6, 4)
    assert report.complexities.shape == (3,)
    torch.testing.assert_close(report.target.sum(), torch.tensor(1.0))


def test_the_recent_posteriors_are_those_of_the_last_minibatches() -> None:
    method = make(mine_start=0.0)
    fit(method, 3)
    assert int(method.recent.count()) == 3 * BATCH
    assert isinstance(method.draw(5), Posterior)
