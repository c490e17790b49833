import math

import pytest
import torch
from torch import Tensor

from disbench.mine_vae import mine
from disbench.mine_vae.mine import BOUNDS, MutualInformationEstimator

CRITICS_OF_THE_LOG_RATIO = ("mine", "nwj", "smile", "ratio")


def correlated(information: float, dims: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(1, n, dims) twice: Gaussians with `information` nats in all, the same in each of their coordinates."""
    rho = math.sqrt(1 - math.exp(-2 * information / dims))
    x, noise = torch.randn(2, 1, n, dims, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def log_ratio(x: Tensor, y: Tensor, information: float) -> Tensor:
    """log p(x,y)/(p(x)p(y)) of `correlated`, the best critic, (1, n)."""
    variance = math.exp(-2 * information / x.shape[-1])  # 1 - rho^2
    rho = math.sqrt(1 - variance)
    squares = (rho * x).square() + (rho * y).square() - 2 * rho * x * y
    return (-0.5 * math.log(variance) - squares / (2 * variance)).sum(-1)


def exact_scores(information: float, dims: int, n: int, shifts: int = 4) -> tuple[Tensor, Tensor]:
    x, y = correlated(information, dims, n, torch.Generator().manual_seed(5))
    product = [log_ratio(x, y.roll(shift, dims=1), information) for shift in range(1, shifts + 1)]
    return log_ratio(x, y, information), torch.stack(product, dim=1)


def readings(bound: str, information: float, dims: int) -> Tensor:
    """20 estimates, each of 2,500 unseen pairs, by a critic that was trained on fresh ones."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    estimator = MutualInformationEstimator(dims, dims, bound=bound, hidden_dim=48)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=4e-3, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=500)
    for _ in range(500):
        optimizer.zero_grad()
        estimator.critic_loss(*correlated(information, dims, 160, generator)).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return torch.cat([estimator.estimate(*correlated(information, dims, 2500, generator)) for _ in range(20)])


@pytest.mark.parametrize("bound", CRITICS_OF_THE_LOG_RATIO)
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_gaussians_read_their_closed_form_within_ten_percent_and_not_above(bound: str, dims: int) -> None:
    values = readings(bound, 0.5, dims)
    assert abs(values.mean().item() - 0.5) < 0.05
    assert (values < 0.5 + 3 * values.std()).all()
    assert values.mean() < 0.5 + 3 * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("bound", BOUNDS)
def test_independent_pairs_read_nothing(bound: str) -> None:
    assert readings(bound, 0.0, 2).abs().max() < 0.02


def test_info_nce_reads_below_the_truth_with_few_candidates_and_nearer_with_more() -> None:
    """The best critic, and the same critic trained."""
    few, some, many = (mine.info_nce(*exact_scores(0.5, 1, 100_000, shifts)).item() for shifts in (1, 4, 32))
    assert few < 0.35
    assert few + 0.1 < some < 0.42
    assert 0.45 < many < 0.5
    assert abs(readings("infonce", 0.5, 1).mean().item() - some) < 0.03


def test_info_nce_is_capped_by_the_number_of_candidates() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(4, 4, bound="infonce", shifts=3)
    x = torch.randn(1, 64, 4)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        estimator.critic_loss(x, x).backward()
        optimizer.step()
    value = estimator.estimate(x, x).item()
    assert 0.9 * math.log(4) < value <= math.log(4) + 1e-5


def test_at_the_log_ratio_every_bound_but_info_nce_is_the_information() -> None:
    joint, product = exact_scores(0.5, 2, 400_000)
    values = [
        mine.donsker_varadhan(joint, product),
        mine.nguyen_wainwright_jordan(joint, product),
        mine.smile(joint, product, 5.0),
        joint.mean(1),
    ]
    torch.testing.assert_close(torch.cat(values), torch.full((4,), 0.5), rtol=0.02, atol=0)
    assert mine.info_nce(joint, product) < 0.45


def test_small_batches_lift_donsker_varadhan_above_the_truth_and_not_nwj_or_info_nce() -> None:
    """The best critic, 3 nats, batches of 8 pairs: the log of a mean that misses the rare large ratios."""
    joint, product = exact_scores(3.0, 5, 80_000)
    joint, product = joint.reshape(-1, 8), product.reshape(1, 4, -1, 8)[0].transpose(0, 1)
    assert mine.donsker_varadhan(joint, product).mean() > 3.5
    assert mine.info_nce(joint, product).mean() < math.log(5)
    nwj = mine.nguyen_wainwright_jordan(joint, product)
    assert nwj.mean() < 3.0 + 3 * nwj.std() / math.sqrt(len(nwj))


def test_the_clamp_lifts_smile_above_the_truth_where_log_ratios_pass_it() -> None:
    joint, product = exact_scores(4.0, 5, 100_000)
    assert mine.smile(joint, product, 1.0) > 4.5


def test_an_overconfident_critic_lifts_the_ratio_and_lowers_the_bounds() -> None:
    joint, product = exact_scores(0.5, 2, 100_000)
    assert (2 * joint).mean() > 0.95
    assert mine.donsker_varadhan(2 * joint, 2 * product) < 0.45
    assert mine.nguyen_wainwright_jordan(2 * joint, 2 * product) < 0.45


def test_a_constant_added_to_the_critic_costs_nwj_alone() -> None:
    joint, product = exact_scores(0.5, 2, 20_000)
    torch.testing.assert_close(mine.donsker_varadhan(joint + 3, product + 3), mine.donsker_varadhan(joint, product))
    torch.testing.assert_close(mine.info_nce(joint + 3, product + 3), mine.info_nce(joint, product))
    assert mine.nguyen_wainwright_jordan(joint + 3, product + 3) < -10


def test_logistic_loss_is_least_at_the_log_ratio() -> None:
    joint, product = exact_scores(0.5, 1, 200_000)
    losses = [mine.logistic_loss(a * joint + b, a * product + b) for a, b in ((1, 0), (0.7, 0), (1.4, 0), (1, 0.3))]
    assert losses[0] < min(losses[1:])
    assert mine.logistic_loss(0 * joint, 0 * product).item() == pytest.approx(2 * math.log(2))


def test_a_critic_at_its_clip_reads_the_ceiling() -> None:
    joint, product = torch.full((1, 8), 5.0), torch.full((1, 4, 8), -5.0)
    assert mine.donsker_varadhan(joint, product).item() == pytest.approx(10)
    assert mine.nguyen_wainwright_jordan(joint, product).item() == pytest.approx(6 - math.exp(-5))
    assert mine.info_nce(joint, product).item() == pytest.approx(math.log(5), abs=2e-4)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_bound_gives_an_encoder_a_gradient_in_the_dtype_of_its_data(bound: str, dtype: torch.dtype) -> None:
    estimator = MutualInformationEstimator(2, 3, bound=bound, groups=2).to(dtype)
    x, y = torch.randn(2, 8, 2, dtype=dtype, requires_grad=True), torch.randn(2, 8, 3, dtype=dtype, requires_grad=True)
    value = estimator.estimate(x, y)
    assert value.dtype == dtype
    assert value.shape == (2,)
    for gradient in torch.autograd.grad(value.sum(), [x, y]):
        assert gradient.abs().sum() > 0
    assert estimator.critic_loss(x.detach(), y.detach()).dtype == dtype


@pytest.mark.parametrize("bound", BOUNDS)
def test_every_bound_runs_where_its_tensors_are(bound: str) -> None:
    estimator = MutualInformationEstimator(2, 3, bound=bound, groups=2).to("meta")
    x, y = torch.empty(2, 8, 2, device="meta"), torch.empty(2, 8, 3, device="meta")
    assert estimator.estimate(x, y).device.type == "meta"
    assert estimator.critic_loss(x, y).device.type == "meta"


def test_the_ratio_is_the_mean_joint_score_and_smile_alone_leaves_its_critic_unclipped() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 8, 2), torch.randn(2, 8, 3)
    for bound in BOUNDS:
        estimator = MutualInformationEstimator(2, 3, bound=bound, groups=2)
        with torch.no_grad():
            estimator.score.bias.fill_(40.0)
        joint = estimator.scores(x, y)[0]
        if bound == "ratio":
            torch.testing.assert_close(estimator.estimate(x, y), joint.mean(1))
        if bound == "smile":
            torch.testing.assert_close(estimator.estimate(x, y), joint.mean(1) - 5.0)
        assert (joint.min() > 30) == (bound == "smile")


@pytest.mark.parametrize("bound", ["nwj", "infonce"])
def test_critics_of_plain_bounds_descend_minus_the_estimate(bound: str) -> None:
    estimator = MutualInformationEstimator(2, 3, bound=bound, groups=2)
    x, y = torch.randn(2, 8, 2), torch.randn(2, 8, 3)
    torch.testing.assert_close(estimator.critic_loss(x, y), -estimator.estimate(x, y).sum())


@pytest.mark.parametrize("bound", ["smile", "ratio"])
def test_smile_and_ratio_learn_by_logistic_regression_of_joint_against_product_pairs(bound: str) -> None:
    estimator = MutualInformationEstimator(2, 3, bound=bound, groups=2)
    x, y = torch.randn(2, 8, 2), torch.randn(2, 8, 3)
    joint, product = estimator.scores(x, y)
    expected = -joint.sigmoid().log().mean(1) - (1 - product.sigmoid()).log().mean((1, 2))
    torch.testing.assert_close(estimator.critic_loss(x, y), expected.sum())


def test_an_unknown_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="mine, nwj, infonce, smile, ratio, got 'dv'"):
        MutualInformationEstimator(1, 1, bound="dv")


def test_the_values_are_the_formulas_by_hand() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(2, 3, groups=2, shifts=2)
    x, y = torch.randn(2, 8, 2), torch.randn(2, 8, 3)
    joint, product = estimator.scores(x, y)
    assert joint.shape == (2, 8)
    assert product.shape == (2, 2, 8)
    expected = joint.mean(1) - product.exp().mean((1, 2)).log()
    torch.testing.assert_close(estimator.estimate(x, y), expected)
    denominator = (joint.exp() + product.exp().sum(1)) / 3
    torch.testing.assert_close(mine.info_nce(joint, product), (joint.exp() / denominator).log().mean(1))


def test_product_scores_pair_each_x_with_another_rows_y() -> None:
    estimator = MutualInformationEstimator(2, 3, shifts=2)
    x, y = torch.randn(1, 8, 2), torch.randn(1, 8, 3)
    _, product = estimator.scores(x, y)
    joint_of_rolled, _ = estimator.scores(x, y.roll(2, dims=1))
    torch.testing.assert_close(product[:, 1], joint_of_rolled)


def test_the_critics_gradient_has_the_moving_average_for_denominator() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, ema_rate=0.0)
    estimator.ema.fill_(7.0)
    x, y = torch.randn(2, 1, 32, 1)
    estimator.critic_loss(x, y).backward()
    ours = estimator.score.weight.grad.clone()
    estimator.zero_grad()
    joint, product = estimator.scores(x, y)
    (product.exp().mean() / 7.0 - joint.mean()).backward()
    torch.testing.assert_close(ours, estimator.score.weight.grad)


def test_the_moving_average_follows_the_exponential() -> None:
    estimator = MutualInformationEstimator(1, 1, ema_rate=1.0)
    x, y = torch.randn(2, 1, 32, 1)
    estimator.critic_loss(x, y)
    _, product = estimator.scores(x, y)
    torch.testing.assert_close(estimator.ema, product.exp().mean((1, 2)).detach())


def test_a_batch_too_small_for_the_shifts_is_refused() -> None:
    with pytest.raises(ValueError, match="batch=4, shifts=4"):
        MutualInformationEstimator(1, 1).scores(torch.zeros(1, 4, 1), torch.zeros(1, 4, 1))
