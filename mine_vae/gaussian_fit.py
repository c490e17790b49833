"""The complexity of each factor from a Gaussian fit of its recent embeddings.

    R_k = 1/2 logdet(I + C_k / noise^2)

C_k is the covariance of embedding e_k. R_k is the information, in nats, that a Gaussian with covariance C_k carries through a
channel with independent noise (Cover & Thomas 2006, Elements of Information Theory, section 9.5); a Gaussian maximizes
entropy at a given covariance, so R_k bounds the embedding's true information through that channel from above.
"""

import torch
from torch import Tensor, nn

from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.mine_vae.factor_encoder import NOISE

NUISANCE_SHARE = 0.1  # of the KL nats


class GaussianFitEstimator(nn.Module):
    """Fits the last `gaussian_fit_samples` embeddings of each factor; nothing here has a gradient."""

    def __init__(self, num_factors: int = 10, factor_dim: int = 32, *, gaussian_fit_samples: int = 1000) -> None:
        super().__init__()
        self.recent = ReplayBuffer(gaussian_fit_samples, num_factors, factor_dim)

    def add(self, embeddings: Tensor) -> None:
        """Take in a batch (K, B, F)."""
        self.recent.add(embeddings.transpose(0, 1))

    @torch.no_grad()
    def complexities(self) -> Tensor:
        """R_k, (K,), in nats, >= 0; zeros before anything was added."""
        rows = self.recent.rows.transpose(0, 1)  # (K, S, F)
        count = self.recent.count()
        filled = (torch.arange(rows.shape[1], device=rows.device) < count)[None, :, None]
        mean = (rows * filled).sum(1, keepdim=True) / count.clamp(min=1)
        centred = (rows - mean) * filled
        covariance = centred.transpose(1, 2) @ centred / (count - 1).clamp(min=1)
        identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
        return 0.5 * torch.logdet(identity + covariance / NOISE**2)


def factor_weights(complexities: Tensor) -> Tensor:
    """w_k, (K,): complexity relative to the mean, kept within [1/2, 2] so that no factor takes or loses everything."""
    return (complexities / complexities.mean().clamp(min=1e-6)).clamp(0.5, 2.0)


def capacity_target(weights: Tensor) -> Tensor:
    """(K+1,): the share of all KL nats meant for the nuisance group, then for each factor, in proportion to w_k."""
    shares = (1 - NUISANCE_SHARE) * weights / weights.sum()
    return torch.cat([torch.full_like(shares[:1], NUISANCE_SHARE), shares])
