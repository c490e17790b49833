"""HFS: for each pair of latents, every combination of their values should be near a latent vector of the minibatch.

Roth et al. 2023, arXiv:2210.07347v3, the pairwise Hausdorff factorized support, as in the authors' code with 'hausdorff_hard'
(facebookresearch/disentangling-correlated-factors, commit 3b0d233, dent/losses/factorizedsupportvae.py). The loss is

    -log p(x|z) + beta KL(q(z|x) || p(z)) + gamma sum_{a < b} d_ab

    d_ab = max_{i, j} min_k { (m_ia - m_ka)^2 + (m_jb - m_kb)^2 }

with the posterior means m of the minibatch. The points (m_ia, m_jb) are the factorized support of latents a and b, and the points
(m_ka, m_kb) are their support, so d_ab is the squared Hausdorff distance between the two: a support is a subset of its
factorized support. Latents may be correlated at no cost, as long as their support is a full grid.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.vae import VAE, ShellOptions


def hausdorff_distances(mean: Tensor, pairs: Tensor, points: int | None = None) -> Tensor:
    """Compute the squared Hausdorff distance of the support from the factorized support, for pairs of latents.

    The gradient goes to the three images of each distance: those that give the two values of the farthest point, and the one
    that is nearest to it.

    Parameters
    ----------
    mean : Tensor of shape (B, D)
        Posterior means.
    pairs : Tensor of shape (P, 2), integer
        Pairs of latents.
    points : int, optional
        Number of combinations of values that are drawn for each pair, with replacement. By default all B * B are looked at.

    Returns
    -------
    Tensor of shape (P,)
        Distances in squared units of the latents, at least 0.

    References
    ----------
    Roth et al. 2023, arXiv:2210.07347v3

    Examples
    --------
    The combination (3, 4) is no row. The nearest row is (0, 4), at a distance of 3:

    >>> import torch
    >>> from disbench.baselines.hfs import hausdorff_distances
    >>> hausdorff_distances(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), torch.tensor([[0, 1]]))
    tensor([9.])
    """
    first, second = pairs.unbind(1)
    count, values = len(mean), mean.detach().T
    square = (values[:, :, None] - values[:, None]).square()  # (D, B, B): [d, i, k] is (m_id - m_kd)^2
    along_first, along_second = square[first], square[second]  # (P, B, B) each
    pair = torch.arange(len(pairs), device=mean.device)
    if points is None:
        # A running minimum over the rows: an array (P, B, B, B) would take five times as long.
        nearest = along_first[:, :, None, 0] + along_second[:, None, :, 0]
        for row in range(1, count):
            nearest = torch.minimum(nearest, along_first[:, :, None, row] + along_second[:, None, :, row])
        farthest = nearest.flatten(1).argmax(1)
        i, j = farthest // count, farthest % count
    else:
        drawn = torch.rand(2, len(pairs), points, device=mean.device)
        of_first, of_second = (drawn * count).long().clamp(max=count - 1)  # (P, points) each
        nearest = (along_first[pair[:, None], of_first] + along_second[pair[:, None], of_second]).amin(2)
        farthest = nearest.argmax(1)
        i, j = of_first[pair, farthest], of_second[pair, farthest]
    k = (along_first[pair, i] + along_second[pair, j]).argmin(1)
    return (mean[i, first] - mean[k, first]).square() + (mean[j, second] - mean[k, second]).square()


class HFS(VAE):
    """Train a VAE whose pairs of latents are drawn to a factorized support.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence, at least 0.
    gamma : float, default 1.0
        Weight of the sum of the distances, at least 0. 0 is the beta-VAE.
    pairs : int, default 25
        Number of pairs of latents that are drawn in each step, without replacement. With at least D (D - 1) / 2, every step has
        all pairs.
    points : int, optional
        As in `hausdorff_distances`, at least 1. The authors' code has 100 in its mode 'random'.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Roth et al. 2023, arXiv:2210.07347v3
    """

    published: ClassVar[Grids] = {
        dataset: {"beta": beta, "gamma": (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)}
        for dataset, beta in {
            "dsprites": (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 16.0),
            "shapes3d": (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 16.0),
            "mpi3d_toy": (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 16.0, 32.0),
        }.items()
    }
    all_pairs: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        beta: float = 1.0,
        gamma: float = 1.0,
        pairs: int = 25,
        points: int | None = None,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        if pairs < 1:
            raise ValueError(f"pairs needs at least 1 pair of latents, got {pairs}.")
        if points is not None and points < 1:
            raise ValueError(f"points needs at least 1 combination, or null for all of them, got {points}.")
        self.beta = beta
        self.gamma = gamma
        self.pairs = pairs
        self.points = points
        found = list(combinations(range(self.latent_dim), 2))
        self.register_buffer("all_pairs", torch.tensor(found, dtype=torch.long).view(-1, 2), persistent=False)

    def drawn_pairs(self) -> Tensor:
        """Draw the pairs of latents (P, 2) of a step."""
        if self.pairs >= len(self.all_pairs):
            return self.all_pairs
        return self.all_pairs[torch.rand(len(self.all_pairs), device=self.all_pairs.device).argsort()[: self.pairs]]

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the KL divergence and the distances of the supports; see `VAE.regulariser`."""
        kl = kl_to_prior(q).sum(1).mean()
        distance = hausdorff_distances(q.mean, self.drawn_pairs(), self.points).sum()
        return self.beta * kl + self.gamma * distance, {"kl": kl, "support_distance": distance}
