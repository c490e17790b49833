"""beta-VAE: the KL term weighted by beta. Higgins et al. 2017 (ICLR), Eq. 4."""

from collections.abc import Sequence
from typing import ClassVar, Unpack

from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.vae import VAE, ShellOptions


class BetaVAE(VAE):
    """Train a VAE whose loss weighs the KL divergence.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 4.0
        Weight of the KL divergence. 1 is the VAE; larger values trade reconstruction for a posterior closer to the prior.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Higgins et al. 2017, ICLR, openreview.net/forum?id=Sy2fzU9gl, Eq. 4
    """

    data_parallel = True
    published: ClassVar[Grids] = {"any": {"beta": (1.0, 2.0, 4.0, 6.0, 8.0, 16.0)}}

    def __init__(
        self, image_shape: Sequence[int], n_train: int, *, beta: float = 4.0, **shell: Unpack[ShellOptions]
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.beta = beta

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the KL divergence; see `VAE.regulariser`."""
        kl = kl_to_prior(q).sum(1).mean()
        return self.beta * kl, {"kl": kl}
