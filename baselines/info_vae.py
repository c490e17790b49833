"""InfoVAE: add the maximum mean discrepancy between all latents and the prior to the KL divergence.

Zhao et al. 2017, arXiv:1706.02262v3, with MMD as the divergence between q(z) and p(z). The loss is

    -log p(x|z) + (1 - alpha) KL(q(z|x) || p(z)) + (alpha + lambda - 1) MMD(q(z), p(z))

MMD is the unbiased estimate of its square (Gretton et al. 2012, JMLR 13, Eq. 3) between the B latents of a minibatch and B
draws of the prior, so that it can be below 0.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Step
from disbench.baselines.vae import VAE, ShellOptions

KERNELS = ("rbf", "imq")


def kernel_matrix(x: Tensor, y: Tensor, kernel: str, bandwidth: float) -> Tensor:
    """Compute a kernel between all pairs of rows, which is 1 for equal rows.

    Parameters
    ----------
    x, y : Tensor of shape (B, D)
        Rows.
    kernel : {"rbf", "imq"}
        exp(-r / c), or the inverse multiquadratic kernel c / (c + r), of the squared distance r.
    bandwidth : float
        Scale of one latent, above 0; c = 2 D bandwidth^2.

    Returns
    -------
    Tensor of shape (B, B)
        Values in (0, 1].
    """
    square = (x[:, None] - y[None]).square().sum(2)  # (B, B)
    scale = 2 * x.shape[1] * bandwidth**2
    return torch.exp(-square / scale) if kernel == "rbf" else scale / (scale + square)


def squared_mmd(x: Tensor, y: Tensor, kernel: str = "rbf", bandwidth: float = 1.0) -> Tensor:
    """Estimate the squared maximum mean discrepancy of two distributions without bias.

    Parameters
    ----------
    x, y : Tensor of shape (B, D)
        Independent draws of the distributions, B at least 2.
    kernel, bandwidth
        As in `kernel_matrix`.

    Returns
    -------
    Tensor
        A scalar without unit, below 0 at times.

    Raises
    ------
    ValueError
        If B is 1.

    References
    ----------
    Gretton et al. 2012, JMLR 13, Eq. 3

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.info_vae import squared_mmd
    >>> squared_mmd(torch.tensor([[0.0], [0.0]]), torch.tensor([[2.0], [2.0]]), kernel="imq")
    tensor(1.3333)
    """
    count = len(x)
    if count < 2:
        raise ValueError(f"An unbiased MMD needs at least 2 images in a minibatch, got {count}.")
    # The kernel of a row with itself is 1.
    within = [(kernel_matrix(each, each, kernel, bandwidth).sum() - count) / (count * (count - 1)) for each in (x, y)]
    return within[0] + within[1] - 2 * kernel_matrix(x, y, kernel, bandwidth).mean()


class InfoVAE(VAE):
    """Train a VAE whose loss has the maximum mean discrepancy between latents and prior.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    alpha : float, default 0.0
        The KL divergence has the weight 1 - alpha. At 1 it has none.
    scale : float, default 1000.0
        Lambda of the paper: the discrepancy has the weight alpha + scale - 1. alpha = 0 and scale = 1 give the VAE.
    kernel : {"rbf", "imq"}, default "rbf"
        Gaussian or inverse multiquadratic kernel.
    bandwidth : float, default 1.0
        As in `kernel_matrix`.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Zhao et al. 2017, arXiv:1706.02262v3
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        alpha: float = 0.0,
        scale: float = 1000.0,
        kernel: str = "rbf",
        bandwidth: float = 1.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be 'rbf' or 'imq', got {kernel!r}.")
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be above 0, got {bandwidth}.")
        self.alpha = alpha
        self.scale = scale
        self.kernel = kernel
        self.bandwidth = bandwidth

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Weigh the KL divergence and the discrepancy; see `VAE.regulariser`."""
        kl = kl_to_prior(q).sum(1).mean()
        mmd = squared_mmd(z, torch.randn_like(z), self.kernel, self.bandwidth)
        return (1 - self.alpha) * kl + (self.alpha + self.scale - 1) * mmd, {"kl": kl, "mmd": mmd}
