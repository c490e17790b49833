"""Mutual information neural estimation: critics T(x, y) that estimate I(x; y) from samples alone.

Each estimate is a function of T on pairs from the joint distribution (J) and on pairs from the product of the marginals (P).
The best T is log p(x, y) / (p(x) p(y)), for `mine` and `infonce` up to a constant. All values are nats.

    mine      E_J[T] - log E_P[exp T]                      Donsker-Varadhan; Belghazi et al. 2018, arXiv:1801.04062v5, Eq. 5
    nwj       1 + E_J[T] - E_P[exp T]                      Nguyen et al. 2010; Poole et al. 2019, arXiv:1905.06922v1, with 1 + T
                                                           for their critic, so that 0 is the score of independent pairs
    infonce   E_J[T - log mean exp T over the true y and the others]    van den Oord et al. 2018, arXiv:1807.03748v2, Eq. 4
    smile     E_J[T] - log E_P[exp clamp(T, -c, c)]        Song & Ermon 2020, arXiv:1910.06222v2; T learns by logistic loss
    ratio     E_J[T]                                       density ratio; T learns by logistic loss: its logit is the log ratio

What may be believed of each, for *any* critic (c is `clip`):

             below I?                                           ceiling             where it fails
    mine     with infinitely many product pairs; of a           2c                  a batch's log E_P overstates the value by
             batch only nearly                                                      about Var_P[exp T] / (2 pairs E_P[exp T]^2)
    nwj      in expectation over batches of any size            1 + c - exp(-c)     variance grows as exp I; a critic that is off
                                                                                    by a constant pays exp of it, down to -exp(c)
    infonce  in expectation over batches of any size            log(1 + shifts)     low below its ceiling too: 0.37 of 0.5 nats
    smile    no: the clamp shrinks the partition term           none                reads above I where log ratios pass the clamp
    ratio    no: an overconfident classifier reads high         c                   a batch that the critic memorized reads high

An estimate has a gradient to x and y, which an encoder minimizes or maximizes; `infonce` is the safer to maximize. At the best
critic all but `infonce` have the gradient of I itself; `ratio` is the cheapest, for the encoder's step needs no product pair.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BOUNDS = ("mine", "nwj", "infonce", "smile", "ratio")
CRITIC_CLIP = 5.0  # the norm that a step's critic gradients are clipped to


def log_mean_exp(product: Tensor) -> Tensor:
    """Compute log E_P[exp T]: (G, S, B) -> (G,)."""
    return torch.logsumexp(product.flatten(1), dim=1) - math.log(product[0].numel())


def donsker_varadhan(joint: Tensor, product: Tensor) -> Tensor:
    """Compute the Donsker-Varadhan bound, (G,) in nats, of joint (G, B) and product (G, S, B) scores.

    A constant added to T changes nothing.
    """
    return joint.mean(1) - log_mean_exp(product)


def nguyen_wainwright_jordan(joint: Tensor, product: Tensor) -> Tensor:
    """Compute the bound of Nguyen, Wainwright and Jordan, (G,) in nats, of joint (G, B) and product (G, S, B) scores.

    It is the tangent of Donsker-Varadhan's log at 1, so it is never above that bound.
    """
    return 1 + joint.mean(1) - product.exp().mean((1, 2))


def info_nce(joint: Tensor, product: Tensor) -> Tensor:
    """Compute InfoNCE, (G,) in nats, at most log(1 + S), of joint (G, B) and product (G, S, B) scores.

    product[:, :, i] holds the others of joint[:, i].
    """
    candidates = torch.cat([joint[:, None], product], dim=1)  # (G, 1 + S, B)
    return (joint - torch.logsumexp(candidates, dim=1)).mean(1) + math.log(candidates.shape[1])


def smile(joint: Tensor, product: Tensor, clip: float) -> Tensor:
    """Compute SMILE, (G,) in nats, of joint (G, B) and product (G, S, B) scores: T is clamped in the partition term alone."""
    return donsker_varadhan(joint, product.clamp(-clip, clip))


def logistic_loss(joint: Tensor, product: Tensor) -> Tensor:
    """Compute the cross-entropy, (G,), of joint (G, B) against product (G, S, B) pairs, each kind with half the weight.

    It is minus the Jensen-Shannon objective of Nowozin et al. 2016 (arXiv:1606.00709v1), and its minimum is at the log ratio.
    """
    return functional.softplus(-joint).mean(1) + functional.softplus(product).mean((1, 2))


def bound_value(bound: str, joint: Tensor, product: Tensor, clip: float) -> Tensor:
    """Compute the value by any of BOUNDS, (G,) in nats, of joint (G, B) and product (G, S, B) scores."""
    if bound == "ratio":
        return joint.mean(1)
    if bound == "smile":
        return smile(joint, product, clip)
    value = {"mine": donsker_varadhan, "nwj": nguyen_wainwright_jordan, "infonce": info_nce}[bound]
    return value(joint, product)


def soft_clip(scores: Tensor, bound: float) -> Tensor:
    """Bound a critic smoothly to (-bound, bound), so that exp of it cannot overflow or be one sample's affair."""
    return bound * torch.tanh(scores / bound)


class BatchedLinear(nn.Module):
    """G independent linear layers as one batched product: (G, B, n_in) -> (G, B, n_out)."""

    def __init__(self, groups: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, n_in, n_out))
        self.bias = nn.Parameter(torch.empty(groups, 1, n_out))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        self.weight.uniform_(-bound, bound)
        self.bias.uniform_(-bound, bound)

    def forward(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        """All G layers, or those in `which` (L,) indices: x is then (L, B, n_in)."""
        if which is None:
            return torch.baddbmm(self.bias, x, self.weight)
        return torch.baddbmm(self.bias[which], x, self.weight[which])


class MutualInformationEstimator(nn.Module):
    """G critics T_g(x, y), each a perceptron with two hidden layers, for G pairs of variables.

    x is (G, B, x_dim), y is (G, B, y_dim); rows agree in the joint distribution, and y rolled by 1..shifts rows gives the
    product of the marginals (rows are independent draws). Step the critics' optimizer on `critic_loss`, the encoder on
    `estimate`; the two must not share an optimizer, for the critic ascends whichever way the encoder goes.

    bound: one of BOUNDS. clip: T passes a soft clip to (-clip, clip), which holds exp T together; `smile` takes T as it is
    and clamps the partition term instead. shifts: others per row, each costing one more pass of the second layer over the
    batch; they make the product's expectation steadier, and InfoNCE's ceiling log(1 + shifts) higher.
    """

    ema: Tensor

    def __init__(
        self,
        x_dim: int,
        y_dim: int,
        *,
        bound: str = "mine",
        hidden_dim: int = 128,
        groups: int = 1,
        shifts: int = 4,
        clip: float = 5.0,
        ema_rate: float = 0.01,
    ) -> None:
        super().__init__()
        if bound not in BOUNDS:
            raise ValueError(f"bound must be one of {', '.join(BOUNDS)}, got {bound!r}.")
        self.bound = bound
        self.shifts = shifts
        self.clip = clip
        self.ema_rate = ema_rate
        self.x_layer = BatchedLinear(groups, x_dim, hidden_dim)
        self.y_layer = BatchedLinear(groups, y_dim, hidden_dim)
        self.hidden = BatchedLinear(groups, hidden_dim, hidden_dim)
        self.score = BatchedLinear(groups, hidden_dim, 1)
        self.register_buffer("ema", torch.ones(groups))  # of E_P[exp T]

    def scores(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """T on joint pairs (G, B) and on product pairs (G, shifts, B)."""
        if x.shape[1] <= self.shifts:
            raise ValueError(
                f"MINE needs a batch larger than its shifts, got batch={x.shape[1]}, shifts={self.shifts}."
            )
        table = self._table(x, y, self.shifts)
        return table[:, 0], table[:, 1:]

    def estimate(self, x: Tensor, y: Tensor) -> Tensor:
        """I(x; y) of each pair by `bound`, (G,), in nats, with a gradient to x and y."""
        if self.bound == "ratio":  # needs no product pair
            return self._table(x, y, 0)[:, 0].mean(1)
        return bound_value(self.bound, *self.scores(x, y), self.clip)

    def critic_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute a scalar for the critics' optimizer to *descend*: summed over the G pairs, which share no weight.

        For `mine` its gradient, not its value, is minus Donsker-Varadhan's with a moving average for the denominator (Eq. 12):
        the gradient of log E[exp T] is E[exp T dT] / E[exp T], a batch's own denominator biases that ratio, and the average
        nearly does not. Call it once an update, for it moves the average.
        """
        joint, product = self.scores(x, y)
        if self.bound == "mine":
            exponential = product.exp().mean((1, 2))
            with torch.no_grad():
                self.ema.lerp_(exponential, self.ema_rate)
            return (exponential / self.ema - joint.mean(1)).sum()
        if self.bound == "nwj":
            return -nguyen_wainwright_jordan(joint, product).sum()
        if self.bound == "infonce":
            return -info_nce(joint, product).sum()
        return logistic_loss(joint, product).sum()

    def _table(self, x: Tensor, y: Tensor, shifts: int) -> Tensor:
        """T of each row of x with y rolled by 0..shifts rows, (G, 1 + shifts, B)."""
        from_x, from_y = self.x_layer(x), self.y_layer(y)  # the first layer is linear in (x, y): computed once a row
        pairs = [from_x + from_y.roll(shift, dims=1) for shift in range(shifts + 1)]
        first = functional.relu(torch.cat(pairs, dim=1))  # (G, (1 + shifts) B, H)
        raw = self.score(functional.relu(self.hidden(first)))[..., 0].unflatten(1, (shifts + 1, -1))
        return raw if self.bound == "smile" else soft_clip(raw, self.clip)
