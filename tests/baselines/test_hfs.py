"""The Hausdorff distance of supports by hand, by scipy and on the numbers of the authors' code, and the beta-VAE as its limit."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import directed_hausdorff
from torch import Tensor
from torch.func import vmap

from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.gaussian import Posterior
from disbench.baselines.hfs import HFS, hausdorff_distances

SMALL = {"network": "mlp", "hidden_dim": 8}
AUTHORS = 7.662465460226126
ALL = torch.tensor(list(combinations(range(4), 2)))


def means(images: int = 7, latents: int = 4) -> Tensor:
    """Numbers without a random generator, so that other code can be given the same."""
    count = torch.arange(images * latents, dtype=torch.float64)
    return (2 * torch.sin(1.3 * count + 0.1 * count**2)).view(images, latents)


def make(**options: Any) -> HFS:
    return HFS((1, 8, 8), 100, **{**SMALL, "latent_dim": 4, **options})


def test_the_missing_corner_of_a_rectangle_costs_the_shorter_side_squared() -> None:
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert hausdorff_distances(corners, torch.tensor([[0, 1]])).tolist() == [9.0]


def test_the_factorized_support_of_each_pair_is_compared_with_the_support_as_scipy_does() -> None:
    mean = means()
    found = hausdorff_distances(mean, ALL)
    expected = []
    for a, b in combinations(range(4), 2):
        grid = np.array(list(product(mean[:, a].tolist(), mean[:, b].tolist())))
        expected.append(directed_hausdorff(grid, mean[:, [a, b]].numpy())[0] ** 2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_on_the_same_numbers_it_is_what_the_authors_code_finds() -> None:
    """`factorizedsupport_loss` of dent/losses/factorizedsupportvae.py, commit 3b0d233, 'hausdorff_hard' and 'full'."""
    assert hausdorff_distances(means(), ALL).sum().item() == pytest.approx(AUTHORS, rel=1e-12)


@pytest.mark.parametrize("points", [None, 50])
def test_a_grid_costs_nothing_however_unequal_its_rows_are(points: int | None) -> None:
    """Correlated latents, too: two corners are there ten times."""
    corners = torch.cartesian_prod(torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.0, 1.5]))
    correlated = torch.cat([corners, corners[[0, 5]].repeat(10, 1)])
    mean = correlated.requires_grad_()
    distance = hausdorff_distances(mean, torch.tensor([[0, 1]]), points)
    distance.sum().backward()
    assert distance.item() == 0
    assert not mean.grad.any()


def test_drawn_combinations_find_at_most_the_distance_of_all_and_reach_it() -> None:
    torch.manual_seed(0)
    mean, whole = means(), hausdorff_distances(means(), ALL)
    few = torch.stack([hausdorff_distances(mean, ALL, points=1) for _ in range(300)])
    assert (few <= whole + 1e-12).all()
    assert (few < whole - 1e-3).any(dim=0).all()
    torch.testing.assert_close(few.amax(0), whole)
    torch.testing.assert_close(hausdorff_distances(mean, ALL, points=2000), whole)


@pytest.mark.parametrize("points", [None, 5])
def test_the_gradient_is_that_of_finite_differences(points: int | None) -> None:
    def penalty(mean: Tensor) -> Tensor:
        torch.manual_seed(0)
        return hausdorff_distances(mean, ALL, points)

    assert torch.autograd.gradcheck(penalty, [means().requires_grad_()])


def test_only_the_three_images_of_the_distance_have_a_gradient() -> None:
    """(3, 4) is the farthest combination, of rows 1 and 2, and (2, 2) of row 3 is the nearest row: 1 + 4."""
    mean = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [2.0, 2.0]], requires_grad=True)
    distance = hausdorff_distances(mean, torch.tensor([[0, 1]]))
    distance.sum().backward()
    assert distance.item() == 5
    assert mean.grad.tolist() == [[0, 0], [2, 0], [0, 4], [-2, -4]]


def test_the_penalty_is_the_weighted_sum_over_all_pairs() -> None:
    mean = means().float()
    q = Posterior(mean, torch.zeros_like(mean))
    penalty, terms = make(beta=3.0, gamma=2.0).regulariser(q.mean + 1, q)
    assert terms["support_distance"].item() == pytest.approx(AUTHORS, rel=1e-5)
    kl = mean.square().sum().item() / 2 / len(mean)
    assert penalty.item() == pytest.approx(3 * kl + 2 * AUTHORS, rel=1e-5)


def test_pairs_are_drawn_anew_without_replacement_and_each_as_often() -> None:
    torch.manual_seed(0)
    method = make(pairs=2)
    drawn = [[tuple(pair) for pair in method.drawn_pairs().tolist()] for _ in range(600)]
    assert {len(set(pairs)) for pairs in drawn} == {2}
    times = [sum(pair in pairs for pairs in drawn) for pair in combinations(range(4), 2)]
    assert min(times) > 150  # of 200 on average, with a deviation of 12
    assert make(pairs=6).drawn_pairs().tolist() == ALL.tolist()


def test_a_single_latent_has_no_pair() -> None:
    terms = make(latent_dim=1).training_step(torch.rand(4, 1, 8, 8), 0)
    assert terms["support_distance"] == 0


@pytest.mark.parametrize("pairs", [2, 6])
def test_without_gamma_it_is_the_beta_vae(pairs: int) -> None:
    x = torch.rand(6, 1, 8, 8)
    plain = BetaVAE((1, 8, 8), 100, beta=6.0, latent_dim=4, **SMALL)
    method = make(beta=6.0, gamma=0.0, pairs=pairs)
    method.load_state_dict(plain.state_dict())
    losses = []
    for each in (plain, method):
        torch.manual_seed(1)
        losses.append(each.training_step(x, 0)["loss"].item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("points", [None, 9])
def test_several_batches_at_once_have_the_distances_of_each(points: int | None) -> None:
    batches = torch.stack([means(), means() ** 2])
    found = vmap(lambda mean: hausdorff_distances(mean, ALL, points), randomness="same")(batches)
    for mean, distances in zip(batches, found, strict=True):
        if points is None:
            torch.testing.assert_close(distances, hausdorff_distances(mean, ALL))
        else:
            assert (distances <= hausdorff_distances(mean, ALL) + 1e-12).all()


def test_every_combination_or_drawn_ones_stay_on_the_meta_device() -> None:
    with torch.device("meta"):
        for points in (None, 3):
            terms = make(pairs=2, points=points).training_step(torch.rand(5, 1, 8, 8), 0)
            assert terms["loss"].is_meta


def test_the_defaults_are_those_of_the_authors_command_line() -> None:
    method = HFS((1, 64, 64), 100)
    assert (method.beta, method.gamma, method.pairs, method.points) == (1, 1, 25, None)
    with pytest.raises(ValueError, match="points needs at least 1 combination, or null for all of them, got 0"):
        make(points=0)


def test_no_pair_of_latents_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs needs at least 1 pair of latents, got -1"):
        HFS((1, 8, 8), 100, network="mlp", hidden_dim=8, pairs=-1)
