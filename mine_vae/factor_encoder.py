"""The factor encoder: K embeddings of a latent vector, one for each factor that the model may discover.

It reads z and never x: an embedding of the image would carry information to the decoder round the KL term.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.mine_vae.mine import BatchedLinear

NOISE = (
    0.3  # standard deviation of the noise on embeddings that information is measured through; without it I is infinite
)


class FactorEncoder(nn.Module):
    """e_k = LayerNorm(g_k(z)) with g_k a perceptron with one hidden layer; the K perceptrons are one batched network."""

    def __init__(self, latent_dim: int, *, num_factors: int = 10, factor_dim: int = 32, hidden_dim: int = 64) -> None:
        super().__init__()
        self.num_factors = num_factors
        self.hidden = BatchedLinear(num_factors, latent_dim, hidden_dim)
        self.embedding = BatchedLinear(num_factors, hidden_dim, factor_dim)
        self.norm = nn.LayerNorm(factor_dim)

    def forward(self, z: Tensor) -> Tensor:
        """(B, D) -> (K, B, F)."""
        hidden = functional.relu(self.hidden(z.expand(self.num_factors, -1, -1)))
        embeddings: Tensor = self.norm(self.embedding(hidden))
        return embeddings


def with_noise(embeddings: Tensor) -> Tensor:
    """Add the noise of the channel through which information about an embedding is counted."""
    return embeddings + NOISE * torch.randn_like(embeddings)
