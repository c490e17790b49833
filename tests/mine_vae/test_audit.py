import math

import pytest
import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior
from disbench.mine_vae.audit import Audit, audit_marginals, audit_pairs, information_by_sums, log_mass, verdict
from disbench.mine_vae.marginals import MarginalCritics
from disbench.mine_vae.mine import MutualInformationEstimator

RHO = 0.8  # 0.51 nats
RATE = 2e-3


def pair() -> tuple[Tensor, Tensor]:
    x, noise = torch.randn(2, 2, 64, 1)
    return x, RHO * x + math.sqrt(1 - RHO**2) * noise


def trained_pairs(learning_rate: float, bound: str = "mine", sign: float = 1.0) -> Audit:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, bound=bound, hidden_dim=32, groups=2)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=learning_rate, betas=(0.5, 0.9))
    for _ in range(350):
        batch = pair()
        optimizer.zero_grad()
        (sign * estimator.critic_loss(*batch)).backward()
        optimizer.step()
    return audit_pairs(estimator, pair, batch, steps=150, learning_rate=RATE, reads=48)


def two_humps() -> Posterior:
    """Means +-2 with equal odds and unit noise: 0.633 nats a latent, of which the Gaussian fit reads 0.80."""
    mean = 4.0 * torch.randint(0, 2, (512, 3)) - 2.0
    return Posterior(mean, torch.zeros_like(mean))


def fitted_marginals(learning_rate: float, sign: float = 1.0) -> tuple[MarginalCritics, tuple[Tensor, Posterior]]:
    torch.manual_seed(0)
    critics = MarginalCritics(3)
    optimizer = torch.optim.Adam(critics.parameters(), lr=learning_rate, betas=(0.5, 0.9))
    for _ in range(300):
        q = two_humps()
        z = q.sample()
        critics.fit(q)
        optimizer.zero_grad()
        (sign * critics.critic_loss(z)).backward()
        optimizer.step()
    return critics, (z, q)


@pytest.mark.parametrize("bound", ["mine", "infonce", "ratio"])
def test_a_critic_trained_at_the_proper_rate_passes(bound: str) -> None:
    audit = trained_pairs(RATE, bound)
    assert verdict(audit) == "ok", audit


@pytest.mark.parametrize("bound", ["mine", "ratio"])
def test_a_critic_trained_at_a_hundredth_of_the_rate_is_stale(bound: str) -> None:
    audit = trained_pairs(RATE / 100, bound)
    assert verdict(audit) == "stale", audit
    assert (audit.advanced > audit.unseen + 0.1).all()


@pytest.mark.parametrize("bound", ["mine", "nwj", "ratio"])
def test_a_critic_that_descends_its_bound_has_diverged(bound: str) -> None:
    audit = trained_pairs(RATE, bound, sign=-1)
    assert verdict(audit) == "diverged", audit


def test_a_critic_stuck_in_its_clip_is_found_by_a_fresh_one() -> None:
    """All scores at the clip: the reading is 0, and so is the gradient."""
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, hidden_dim=32, groups=2)
    with torch.no_grad():
        estimator.score.bias.fill_(500.0)
    audit = audit_pairs(estimator, pair, pair(), steps=200)
    assert torch.equal(audit.unseen, torch.zeros(2))
    assert verdict(audit) == "stale", audit


def test_marginal_critics_pass_when_trained_and_agree_with_monte_carlo() -> None:
    critics, last = fitted_marginals(3e-3)
    audit = audit_marginals(critics, two_humps, last, steps=100)
    assert verdict(audit) == "ok", audit
    torch.testing.assert_close(audit.unseen, audit.monte_carlo, rtol=0.1, atol=0)


def test_marginal_critics_at_a_hundredth_of_the_rate_read_too_much_and_are_stale() -> None:
    critics, last = fitted_marginals(3e-5)
    audit = audit_marginals(critics, two_humps, last, steps=100)
    assert verdict(audit) == "stale", audit
    assert audit.unseen > audit.monte_carlo + 0.1


def test_marginal_critics_that_descend_their_likelihood_have_diverged() -> None:
    critics, last = fitted_marginals(3e-3, sign=-1)
    assert verdict(audit_marginals(critics, two_humps, last, steps=20)) == "diverged"


def reading(unseen: float = 1.0, *, lower: bool = True, **others: float) -> Audit:
    sign = 1 if lower else -1
    values = {
        "trained": unseen,
        "noise": 0.05,
        "untrained": unseen - sign,
        "advanced": unseen,
        "null": 0.0,
        "monte_carlo": unseen,
    }
    return Audit(lower, *(torch.tensor([v]) for v in {"unseen": unseen, **values, **others}.values()))


@pytest.mark.parametrize(
    ("audit", "expected"),
    [
        (reading(), "ok"),
        (reading(monte_carlo=math.nan), "ok"),
        (reading(advanced=1.5), "stale"),
        (reading(monte_carlo=1.5), "stale"),
        (reading(lower=False, advanced=0.5), "stale"),
        (reading(lower=False, monte_carlo=0.5), "stale"),
        (reading(trained=1.5), "overfit"),
        (reading(trained=1.5, noise=0.2), "ok"),
        (reading(lower=False, trained=0.5), "overfit"),
        (reading(lower=False, trained=1.5), "ok"),
        (reading(advanced=0.5), "overfit"),
        (reading(null=0.3), "diverged"),
        (reading(null=-0.3), "diverged"),
        (reading(untrained=1.5), "diverged"),
        (reading(lower=False, untrained=0.5), "diverged"),
        (reading(advanced=math.nan), "diverged"),
        (reading(trained=-math.inf), "diverged"),
    ],
)
def test_the_verdict_names_the_worst_thing_found(audit: Audit, expected: str) -> None:
    assert verdict(audit) == expected


def test_an_audited_run_is_the_same_run() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, hidden_dim=8, groups=2).requires_grad_(False)
    state = {name: value.clone() for name, value in estimator.state_dict().items()}
    random_state = torch.get_rng_state()
    with torch.no_grad():
        audit = audit_pairs(estimator, pair, pair(), steps=2, reads=2)
    torch.set_rng_state(random_state)
    pair()
    after_the_batch = torch.get_rng_state()
    torch.set_rng_state(random_state)
    audit_pairs(estimator, pair, pair(), steps=2, reads=2)
    assert torch.equal(torch.get_rng_state(), after_the_batch)
    torch.testing.assert_close(dict(estimator.state_dict()), state, rtol=0, atol=0)
    assert not torch.equal(audit.advanced, audit.unseen)
    assert not any(value.requires_grad for value in audit[1:])


def test_a_memorised_batch_reads_above_unseen_ones() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, hidden_dim=64, groups=2)
    x, y = torch.randn(2, 2, 64, 1)  # independent
    optimizer = torch.optim.Adam(estimator.parameters(), lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        estimator.critic_loss(x, y).backward()
        optimizer.step()
    audit = audit_pairs(estimator, lambda: tuple(torch.randn(2, 2, 64, 1)), (x, y), steps=50)
    assert (audit.trained > audit.unseen + 0.3).all()
    assert verdict(audit) != "ok"


def test_information_by_sums_is_the_full_mean_over_all_posteriors() -> None:
    torch.manual_seed(0)
    q = Posterior(torch.randn(70, 2, dtype=torch.float64), torch.randn(70, 2, dtype=torch.float64))
    z = q.sample()
    expected = torch.zeros(2, dtype=torch.float64)
    for n in range(70):
        for d in range(2):
            densities = torch.distributions.Normal(q.mean[:, d], (0.5 * q.logvar[:, d]).exp()).log_prob(z[n, d]).exp()
            expected[d] += (densities[n] / densities.mean()).log() / 70
    torch.testing.assert_close(information_by_sums(z, q), expected)


def test_monte_carlo_is_withheld_near_log_n() -> None:
    """64 posteriors far apart: I = log 64 by sums whatever the truth."""

    def apart() -> Posterior:
        mean = 100 * torch.randn(32, 2)
        return Posterior(mean, torch.full_like(mean, -8.0))

    torch.manual_seed(0)
    q = apart()
    audit = audit_marginals(MarginalCritics(2), apart, (q.sample(), q), steps=1)
    assert torch.isnan(audit.monte_carlo).all()


def test_the_mass_of_a_density_is_one_unless_its_normaliser_is_wrong() -> None:
    critics, _ = fitted_marginals(3e-3)
    with torch.no_grad():
        assert log_mass(critics).abs().max() < 0.01
        critics.nodes = 2
        assert log_mass(critics).abs().min() > 0.1
