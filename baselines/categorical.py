"""Categorical posteriors: the Gumbel-softmax relaxation of samples, and their KL divergence from the uniform prior, in nats.

Jang et al. 2017, arXiv:1611.01144v5; Maddison et al. 2017, arXiv:1611.00712v3.
"""

import math

import torch
from torch import Tensor


def relaxed_one_hot(logits: Tensor, noise_scale: float = 1.0, temperature: float = 1.0) -> Tensor:
    """Draw from the Gumbel-softmax distribution, one relaxed one-hot vector per row.

    Parameters
    ----------
    logits : Tensor of shape (..., K)
        Unnormalized log-probabilities of K categories.
    noise_scale : float, default 1.0
        Factor of the Gumbel noise, greater than 0. At 1 the largest weight is at category k with probability softmax(logits)_k.
    temperature : float, default 1.0
        Greater than 0; the smaller, the nearer to one-hot.

    Returns
    -------
    Tensor of shape (..., K)
        softmax((logits + noise_scale * noise) / temperature); rows sum to 1.

    References
    ----------
    Jang et al. 2017, arXiv:1611.01144v5, Eq. 2

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.categorical import relaxed_one_hot
    >>> weights = relaxed_one_hot(torch.tensor([[0.0, 50.0]]))
    >>> weights.round()
    tensor([[0., 1.]])
    """
    # Uniform noise, which stacked training can replay; 0 would have no finite logarithm.
    uniform = torch.rand_like(logits).clamp(min=torch.finfo(logits.dtype).tiny)
    gumbel = -torch.log(-torch.log(uniform))
    return torch.softmax((logits + noise_scale * gumbel) / temperature, dim=-1)


def kl_to_uniform(logits: Tensor) -> Tensor:
    """Compute the KL divergence of categorical distributions from the uniform one.

    Parameters
    ----------
    logits : Tensor of shape (..., K)
        Unnormalized log-probabilities of K categories.

    Returns
    -------
    Tensor of shape (...)
        Nats, from 0 for a uniform distribution to log K for a certain category.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.categorical import kl_to_uniform
    >>> kl_to_uniform(torch.tensor([[3.0, 3.0], [0.0, 200.0]]))
    tensor([0.0000, 0.6931])
    """
    log_probabilities = torch.log_softmax(logits, dim=-1)
    return (log_probabilities.exp() * log_probabilities).sum(-1) + math.log(logits.shape[-1])
