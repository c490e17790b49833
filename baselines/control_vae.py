"""ControlVAE: a controller sets the weight of the KL divergence so that the divergence follows a target.

Shao et al. 2020, arXiv:2004.05988v5, section 3 and Algorithm 1, as in the authors' code for disentangling
(shj1987/ControlVAE-ICML2020, commit 468ce4f, Disentangling/P_PID.py). With the error e = target - KL of a step,

    beta = max(beta_min, W),    W = beta_min + Kp / (1 + exp(e)) + I,    I <- I - Ki e

and I stays as it is when W of the step before was below beta_min (anti-windup). The target rises in small steps. Nothing in the
gradient goes through beta.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.vae import VAE, ShellOptions


class Gains(NamedTuple):
    """Hold the constants of the controller: Kp, Ki and the least weight."""

    proportional: float = 0.01
    integral: float = 0.001
    beta_min: float = 1.0


def stepped_target(number: int, start: float, increment: float, period: int, end: float) -> float:
    """Compute the target in nats at step `number` (0 at first): `start`, and `increment` more after every `period` steps."""
    return min(end, start + increment * ((number + 1) // period))


def control(error: Tensor, integral: Tensor, unclipped: Tensor, gains: Gains) -> tuple[Tensor, Tensor]:
    """Advance the controller by one step.

    Parameters
    ----------
    error : Tensor
        Target minus KL divergence, a scalar in nats.
    integral, unclipped : Tensor
        I and W of the step before, scalars.
    gains : Gains
        Constants of the controller.

    Returns
    -------
    tuple of Tensor and Tensor
        The new I and W. The weight beta is W, but at least `gains.beta_min`.

    References
    ----------
    Shao et al. 2020, arXiv:2004.05988v5, Algorithm 1

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.control_vae import Gains, control
    >>> control(torch.tensor(-2.0), torch.tensor(0.5), torch.tensor(1.5), Gains(proportional=0.0, integral=0.25))
    (tensor(1.), tensor(2.))
    """
    moved = integral - gains.integral * error
    integral = torch.where(unclipped < gains.beta_min, integral, moved)
    return integral, gains.beta_min + gains.proportional * torch.sigmoid(-error) + integral


class ControlVAE(VAE):
    """Train a VAE whose weight of the KL divergence is set by a controller.

    The state of the controller is in the checkpoint.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    capacity : float, default 18.0
        The last target of the KL divergence, in nats per image.
    capacity_start, capacity_step : float, default 0.5 and 0.15
        The first target, and by how much it rises at a time. If `capacity_start` is larger than
        `proportional_gain / integral_gain`, the weight can stay at `beta_min` for good.
    capacity_period : int, default 5000
        Number of steps from one rise to the next, at least 1.
    proportional_gain, integral_gain : float, default 0.01 and 0.001
        Kp and Ki of the paper.
    beta_min : float, default 1.0
        The least weight of the KL divergence.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Shao et al. 2020, arXiv:2004.05988v5, Algorithm 1
    """

    published: ClassVar[Grids] = {"dsprites": {"capacity": (16.0, 18.0)}}
    integral: Tensor
    unclipped: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        capacity: float = 18.0,
        capacity_start: float = 0.5,
        capacity_step: float = 0.15,
        capacity_period: int = 5000,
        proportional_gain: float = 0.01,
        integral_gain: float = 0.001,
        beta_min: float = 1.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        if capacity_period < 1:
            raise ValueError(f"capacity_period needs at least 1 step, got {capacity_period}.")
        self.target = (capacity_start, capacity_step, capacity_period, capacity)
        self.gains = Gains(proportional_gain, integral_gain, beta_min)
        self.register_buffer("integral", torch.zeros(()))
        self.register_buffer("unclipped", torch.full((), beta_min))
        if capacity_start * integral_gain > proportional_gain > 0:
            self.remarks.append(
                f"capacity_start={capacity_start} is above proportional_gain / integral_gain = "
                f"{proportional_gain / integral_gain:g} nats: the weight may stay at beta_min for the whole training."
            )

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the KL divergence; see `VAE.regulariser`. In training mode the controller advances."""
        kl = kl_to_prior(q).sum(1).mean()
        integral, unclipped = control(
            stepped_target(step.number, *self.target) - kl.detach(), self.integral, self.unclipped, self.gains
        )
        if self.training:
            self.integral.copy_(integral)
            self.unclipped.copy_(unclipped)
        beta = unclipped.clamp(min=self.gains.beta_min)
        return beta * kl, {"kl": kl, "beta": beta}
