"""AnnealedVAE: penalize the distance of the KL divergence from a capacity that grows during training.

Burgess et al. 2018, arXiv:1804.03599v1, Eq. 8. The divergence is the mean over the minibatch, and the distance from the
capacity is taken of that mean. The mean of each image's own distance is another loss: it asks every image
to have the same divergence.
"""

from collections.abc import Sequence
from typing import ClassVar, Unpack

from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.vae import VAE, ShellOptions


def linear_capacity(number: int, capacity: float, annealing_steps: int) -> float:
    """Compute the capacity in nats at step `number`: from 0 up to `capacity` after `annealing_steps` steps, then constant."""
    return capacity * min(1.0, number / annealing_steps)


def capacity_penalty(q: Posterior, gamma: float, capacity: float) -> tuple[Tensor, Tensor]:
    """Weigh the distance of the KL divergence from a capacity.

    Parameters
    ----------
    q : Posterior
        Posteriors of B images.
    gamma : float
        Weight of the distance.
    capacity : float
        Capacity in nats per image.

    Returns
    -------
    tuple of Tensor and Tensor
        The penalty, 0 at best, and the KL divergence, averaged over images; scalars in nats per image.

    References
    ----------
    Burgess et al. 2018, arXiv:1804.03599v1, Eq. 8

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.annealed_vae import capacity_penalty
    >>> from disbench.baselines.gaussian import Posterior
    >>> q = Posterior(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 1))  # 0 and 2 nats
    >>> capacity_penalty(q, gamma=10.0, capacity=1.0)
    (tensor(0.), tensor(1.))
    """
    kl = kl_to_prior(q).sum(1).mean()
    return gamma * (kl - capacity).abs(), kl


class AnnealedVAE(VAE):
    """Train a VAE whose KL divergence is drawn to a capacity that grows during training.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    gamma : float, default 1000.0
        Weight of the distance between divergence and capacity.
    capacity : float, default 25.0
        The final capacity in nats per image.
    annealing_steps : int, default 100000
        Number of steps until the final capacity, at least 1.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Burgess et al. 2018, arXiv:1804.03599v1, Eq. 8
    """

    published: ClassVar[Grids] = {"any": {"capacity": (5.0, 10.0, 25.0, 50.0, 75.0, 100.0)}}

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        gamma: float = 1000.0,
        capacity: float = 25.0,
        annealing_steps: int = 100_000,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        if annealing_steps < 1:
            raise ValueError(f"annealing_steps needs at least 1 step, got {annealing_steps}.")
        self.gamma = gamma
        self.capacity = capacity
        self.annealing_steps = annealing_steps

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the distance of the KL divergence from the capacity of this step; see `VAE.regulariser`."""
        capacity = linear_capacity(step.number, self.capacity, self.annealing_steps)
        penalty, kl = capacity_penalty(q, self.gamma, capacity)
        return penalty, {"kl": kl, "capacity": kl.new_full((), capacity)}
