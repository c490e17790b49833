"""Mutual information neural estimation: critics that ascend a lower bound of I(x; y).

Belghazi et al. 2018, arXiv:1801.04062v5: the Donsker-Varadhan bound (Eq. 5) and its gradient with the denominator replaced
by an exponential moving average (section 3.2, Eq. 12). van den Oord et al. 2018, arXiv:1807.03748v2, Eq. 4: InfoNCE, which
cannot exceed log(1 + shifts) and is the safer of the two when the encoder *maximises* it.

    DV:       I >= E_joint[T] - log E_product[exp T]
    InfoNCE:  I >= E_joint[T - log mean(exp T over the true y and the others)]

All estimates are in nats. G critics are one batched network, so K factors cost one product, not a loop.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CRITIC_CLIP = 5.0  # the norm that a step's critic gradients are clipped to


class BatchedLinear(nn.Module):
    """G independent linear layers as one batched product: (G, B, n_in) -> (G, B, n_out)."""

    def __init__(self, groups: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(groups, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, n_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def soft_clip(scores: Tensor, bound: float) -> Tensor:
    """Bound a critic smoothly to (-bound, bound), so that exp of it cannot overflow or be one sample's affair."""
    return bound * torch.tanh(scores / bound)


class MutualInformationEstimator(nn.Module):
    """G critics T_g(x, y), each a perceptron with two hidden layers, for G pairs of variables.

    x is (G, B, x_dim), y is (G, B, y_dim); rows agree in the joint distribution, and y rolled by 1..shifts rows gives the
    product of the marginals (rows are independent draws). The critic must ascend: step its optimiser on `critic_loss`.
    """

    ema: Tensor

    def __init__(
        self,
        x_dim: int,
        y_dim: int,
        *,
        hidden_dim: int = 128,
        groups: int = 1,
        shifts: int = 4,
        bound: float = 5.0,
        ema_rate: float = 0.01,
    ) -> None:
        super().__init__()
        self.shifts = shifts
        self.bound = bound
        self.ema_rate = ema_rate
        self.x_layer = BatchedLinear(groups, x_dim, hidden_dim)
        self.y_layer = BatchedLinear(groups, y_dim, hidden_dim)
        self.hidden = BatchedLinear(groups, hidden_dim, hidden_dim)
        self.score = BatchedLinear(groups, hidden_dim, 1)
        self.register_buffer("ema", torch.ones(groups))  # of E_product[exp T]

    def scores(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """T on joint pairs (G, B) and on product pairs (G, shifts, B)."""
        if x.shape[1] <= self.shifts:
            raise ValueError(
                f"MINE needs a batch larger than its shifts, got batch={x.shape[1]}, shifts={self.shifts}."
            )
        from_x, from_y = self.x_layer(x), self.y_layer(y)  # the first layer is linear in (x, y): computed once a row
        pairs = [from_x + from_y.roll(shift, dims=1) for shift in range(self.shifts + 1)]
        first = functional.relu(torch.cat(pairs, dim=1))  # (G, (1 + shifts) B, H)
        raw = self.score(functional.relu(self.hidden(first)))[..., 0]
        table = soft_clip(raw, self.bound).unflatten(1, (self.shifts + 1, -1))  # (G, 1 + shifts, B)
        return table[:, 0], table[:, 1:]

    def donsker_varadhan(self, x: Tensor, y: Tensor) -> Tensor:
        """The DV value of each pair, (G,), in nats."""
        joint, product = self.scores(x, y)
        return joint.mean(1) - _log_mean_exp(product)

    def info_nce(self, x: Tensor, y: Tensor) -> Tensor:
        """The InfoNCE value of each pair, (G,), in nats, at most log(1 + shifts)."""
        joint, product = self.scores(x, y)
        everyone = torch.cat([joint[:, None], product], dim=1)
        return (joint - torch.logsumexp(everyone, dim=1)).mean(1) + math.log(1 + self.shifts)

    def critic_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """A scalar whose gradient *descends* where DV ascends, with the moving average in the denominator (Eq. 12).

        The gradient of log E[exp T] is E[exp T dT] / E[exp T]. A minibatch's own denominator makes that ratio biased; the
        moving average does not. Call it once an update: it moves the average.
        """
        joint, product = self.scores(x, y)
        exponential = product.exp().mean((1, 2))
        with torch.no_grad():
            self.ema.lerp_(exponential, self.ema_rate)
        return (exponential / self.ema - joint.mean(1)).sum()


def _log_mean_exp(product: Tensor) -> Tensor:
    """(G, shifts, B) -> (G,)."""
    return torch.logsumexp(product.flatten(1), dim=1) - math.log(product[0].numel())
