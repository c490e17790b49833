"""Metrics beside two published implementations' algorithms, told again plainly, in CPU time of one run. `make bench`.

Both are loops: disentanglement_lib's over pairs of code and factor, over points and over values, Zaidi et al.'s over the
values of each factor. The plain forms leave out what is not the algorithm (their checks, their encoder's time), so a ratio
is a lower bound.
"""

import itertools
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

from disbench.metrics import METRICS
from disbench.metrics.dcimig import dcimig
from disbench.metrics.irs import irs
from disbench.metrics.jemmig import jemmig
from disbench.metrics.mig import mig
from disbench.metrics.mig_sup import mig_sup
from disbench.metrics.modularity import modularity
from disbench.metrics.rmig import rmig
from disbench.metrics.z_diff import z_diff
from disbench.metrics.z_min_var import factor_vae_score

Array = NDArray[np.float64]
Factors = NDArray[np.int64]
DSPRITES, BINARY = (3, 6, 40, 32, 32), (2,) * 40
FAMILY = (mig, jemmig, modularity, dcimig, mig_sup, rmig)
L, TRAIN, TEST = 64, 10_000, 5_000
ROUND = itertools.count(1)

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def make_table(sizes: tuple[int, ...], D: int, rows: int = 10_000) -> tuple[Array, Factors]:
    """Noisy mixtures of uniform factors: `codes (rows, D)`, `factors (rows, K)`."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, rows) for size in sizes], axis=1)
    return encode(factors, sizes, D) + 0.2 * rng.normal(size=(rows, D)), factors


def encode(factors: Factors, sizes: tuple[int, ...], D: int) -> Array:
    """A fixed mixture, each factor mostly in one code."""
    mixing = np.eye(len(sizes), D) + 0.2 * np.random.default_rng(1).normal(size=(len(sizes), D))
    return (factors / np.array(sizes) - 0.5) @ mixing


def full_grid(sizes: tuple[int, ...]) -> Factors:
    """All combinations of factor values, in the order of `np.ravel_multi_index`."""
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def fresh_tables(codes: Array, factors: Factors) -> Callable[[], tuple[tuple[Array, Factors], dict[str, object]]]:
    """Each round another table of the same size, so that no result of an earlier round is found again."""
    return lambda: ((codes + 1e-9 * next(ROUND), factors), {})


def information_family(codes: Array, factors: Factors) -> list[float]:
    return [metric(codes, factors) for metric in FAMILY]


def mig_pair_by_pair(codes: Array, factors: Factors) -> float:
    """One metric of the family as disentanglement_lib has it; the others differ from it by its last three lines."""
    binned = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
    information = np.array([[mutual_info_score(values, code) for code in binned] for values in factors.T])
    entropy = np.array([mutual_info_score(values, values) for values in factors.T])
    ranked = np.sort(information, axis=1)
    return float(np.mean((ranked[:, -1] - ranked[:, -2]) / entropy))


@pytest.mark.benchmark(group="information, dSprites sizes, 10 codes: 6 metrics of ours, 1 pair by pair")
@pytest.mark.parametrize("form", [information_family, mig, mig_pair_by_pair])
def bench_information(benchmark: BenchmarkFixture, form: Callable[..., object]) -> None:
    table = make_table(DSPRITES, 10)
    assert mig(*table) == pytest.approx(mig_pair_by_pair(*table), abs=1e-9)
    benchmark.pedantic(form, setup=fresh_tables(*table), rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group="information, 40 binary factors, 32 codes: 6 metrics of ours, 1 pair by pair")
@pytest.mark.parametrize("form", [information_family, mig, mig_pair_by_pair])
def bench_information_binary(benchmark: BenchmarkFixture, form: Callable[..., object]) -> None:
    benchmark.pedantic(form, setup=fresh_tables(*make_table(BINARY, 32)), rounds=5, warmup_rounds=1)


def z_diff_point_by_point(grid_codes: Array, sizes: tuple[int, ...]) -> float:
    """disentanglement_lib: each point encodes two batches that agree on a factor. Here the encoder is a look-up."""
    rng = np.random.default_rng(0)
    points, targets = np.empty((TRAIN + TEST, grid_codes.shape[1])), rng.integers(len(sizes), size=TRAIN + TEST)
    for point, k in enumerate(targets):
        first = np.stack([rng.integers(size, size=L) for size in sizes], axis=1)
        second = np.stack([rng.integers(size, size=L) for size in sizes], axis=1)
        second[:, k] = first[:, k]
        difference = look_up(first, grid_codes, sizes) - look_up(second, grid_codes, sizes)
        points[point] = np.mean(np.abs(difference), axis=0)
    model = LogisticRegression().fit(points[:TRAIN], targets[:TRAIN])
    return float(model.score(points[TRAIN:], targets[TRAIN:]))


def z_min_var_point_by_point(grid_codes: Array, sizes: tuple[int, ...]) -> float:
    """disentanglement_lib: each vote encodes a batch that shares one factor's value."""
    rng = np.random.default_rng(0)
    D, overall = grid_codes.shape[1], grid_codes[rng.integers(len(grid_codes), size=10_000)].var(axis=0)
    votes = np.zeros((2, D, len(sizes)))
    for point in range(TRAIN + TEST):
        k = rng.integers(len(sizes))
        factors = np.stack([rng.integers(size, size=L) for size in sizes], axis=1)
        factors[:, k] = factors[0, k]
        variances = np.var(look_up(factors, grid_codes, sizes), axis=0, ddof=1)
        votes[int(point >= TRAIN), np.argmin(variances / overall), k] += 1
    return float(votes[1, np.arange(D), votes[0].argmax(axis=1)].sum() / TEST)


def look_up(factors: Factors, grid_codes: Array, sizes: tuple[int, ...]) -> Array:
    return grid_codes[np.ravel_multi_index(tuple(factors.T), sizes)]


def cycled(rows: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Zaidi et al.: `count` of the rows in shuffled cycles."""
    cycles = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(cycles)[:count]


def z_diff_value_by_value(codes: Array, factors: Factors) -> float:
    """Zaidi et al.: pairs for each value of a factor in shuffled cycles, then points one by one."""
    rng = np.random.default_rng(0)
    targets = np.sort(rng.integers(factors.shape[1], size=TRAIN + TEST))
    points: list[Array] = []
    for k in range(factors.shape[1]):
        needed = L * int((targets == k).sum())
        values, counts = np.unique(factors[:, k], return_counts=True)
        fixed, wanted = np.unique(rng.choice(values[counts > 1], size=needed), return_counts=True)
        pairs = []
        for value, count in zip(fixed, wanted, strict=True):
            rows = np.where(factors[:, k] == value)[0]
            half = len(rows) // 2
            for start in range(0, count, half):
                rng.shuffle(rows)
                taken = min(half, count - start)
                pairs.append(np.stack([rows[:taken], rows[taken : 2 * taken]]))
        first, second = rng.permutation(np.concatenate(pairs, axis=1), axis=1)
        for start in range(0, needed, L):
            difference = codes[first[start : start + L]] - codes[second[start : start + L]]
            points.append(np.mean(np.abs(difference), axis=0))
    order = rng.permutation(TRAIN + TEST)
    inputs, targets = np.array(points)[order], targets[order]
    model = LogisticRegression(max_iter=10_000).fit(inputs[:TRAIN], targets[:TRAIN])
    return float(model.score(inputs[TRAIN:], targets[TRAIN:]))


def z_min_var_value_by_value(codes: Array, factors: Factors) -> float:
    """Zaidi et al.: groups of each value of a factor in shuffled cycles, then votes one by one."""
    rng = np.random.default_rng(0)
    overall, D, K = codes.var(axis=0, ddof=1), codes.shape[1], factors.shape[1]
    targets = np.sort(rng.integers(K, size=TRAIN + TEST))
    winners: list[int] = []
    for k in range(K):
        values = np.unique(factors[:, k])
        fixed, wanted = np.unique(rng.choice(values, size=int((targets == k).sum())), return_counts=True)
        for value, count in zip(fixed, wanted, strict=True):
            rows = cycled(np.where(factors[:, k] == value)[0], L * int(count), rng)
            for start in range(0, len(rows), L):
                winners.append(int(np.argmin(np.var(codes[rows[start : start + L]], axis=0, ddof=1) / overall)))
    order = rng.permutation(TRAIN + TEST)
    votes = np.zeros((2, D, K))
    for position, point in enumerate(order):
        votes[int(position >= TRAIN), winners[point], targets[point]] += 1
    return float(votes[1, np.arange(D), votes[0].argmax(axis=1)].sum() / TEST)


@pytest.mark.benchmark(group="Z-diff, L = 64, 10,000 and 5,000 points, dSprites sizes, 10 codes")
@pytest.mark.parametrize("form", ["ours", "disentanglement_lib", "zaidi"])
def bench_z_diff(benchmark: BenchmarkFixture, form: str) -> None:
    table = make_table(DSPRITES, 10)
    forms = {"ours": (z_diff, table), "zaidi": (z_diff_value_by_value, table)}
    function, arguments = forms.get(
        form, (z_diff_point_by_point, (encode(full_grid(DSPRITES), DSPRITES, 10), DSPRITES))
    )
    score = benchmark.pedantic(function, args=arguments, rounds=3, warmup_rounds=1)
    assert score > 0.9


@pytest.mark.benchmark(group="Z-min Var, L = 64, 10,000 and 5,000 points, dSprites sizes, 10 codes")
@pytest.mark.parametrize("form", ["ours", "disentanglement_lib", "zaidi"])
def bench_z_min_var(benchmark: BenchmarkFixture, form: str) -> None:
    table = make_table(DSPRITES, 10)
    forms = {"ours": (factor_vae_score, table), "zaidi": (z_min_var_value_by_value, table)}
    function, arguments = forms.get(
        form, (z_min_var_point_by_point, (encode(full_grid(DSPRITES), DSPRITES, 10), DSPRITES))
    )
    score = benchmark.pedantic(function, args=arguments, rounds=3, warmup_rounds=1)
    assert score > 0.9


def irs_value_by_value(codes: Array, factors: Factors, *, quantile: float = 1.0) -> float:
    """disentanglement_lib: a mask over all rows for each value of each factor."""
    largest = np.max(np.abs(codes - codes.mean(axis=0)), axis=0)
    deviations = np.zeros((codes.shape[1], factors.shape[1]))
    for k in range(factors.shape[1]):
        values = np.unique(factors[:, k])
        for value in values:
            match = factors[:, k] == value
            held = np.abs(codes[match] - np.mean(codes[match], axis=0))
            deviations[:, k] += np.quantile(held, quantile, axis=0) / len(values)
    return float(np.average((1 - deviations / largest[:, None]).max(axis=1), weights=largest))


@pytest.mark.benchmark(group="IRS, dSprites sizes, 10 codes")
@pytest.mark.parametrize("quantile", [1.0, 0.99])
@pytest.mark.parametrize("form", [irs, irs_value_by_value])
def bench_irs(benchmark: BenchmarkFixture, form: Callable[..., float], quantile: float) -> None:
    table = make_table(DSPRITES, 10)
    assert irs(*table, quantile=quantile) == pytest.approx(irs_value_by_value(*table, quantile=quantile), abs=1e-9)
    benchmark.pedantic(form, args=table, kwargs={"quantile": quantile}, rounds=7, warmup_rounds=1)


@pytest.mark.benchmark(group="Z-diff, Z-min Var, IRS, MIG and JEMMIG together, 10,000 rows, dSprites sizes, 10 codes")
def bench_five_metrics(benchmark: BenchmarkFixture) -> None:
    def five(codes: Array, factors: Factors) -> list[float]:
        return [METRICS[name](codes, factors) for name in ("z_diff", "z_min_var", "irs", "mig", "jemmig")]

    benchmark.pedantic(five, setup=fresh_tables(*make_table(DSPRITES, 10)), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="MIG, JEMMIG and IRS together, all 737,280 rows of dSprites, 10 codes")
def bench_full_grid(benchmark: BenchmarkFixture) -> None:
    factors = full_grid(DSPRITES)
    codes = encode(factors, DSPRITES, 10) + 0.2 * np.random.default_rng(0).normal(size=(len(factors), 10))

    def three(codes: Array, factors: Factors) -> list[float]:
        return [metric(codes, factors) for metric in (mig, jemmig, irs)]

    benchmark.pedantic(three, setup=fresh_tables(codes, factors), rounds=2)
