"""Cross-attention from latents to factors: a soft partition of the D latents over K factors and a nuisance group.

Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762v7, Eq. 1) with the latents as queries and the factors as
keys. The softmax runs over *groups*, and the matrix belongs to the dataset, not to an image: so each latent is assigned,
and the assignment is a partition. Group 0 is nuisance: what fits no factor may stay there, entangled.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING_RATE = 0.05  # of the moving average of embeddings that the keys are made of


class CrossAttention(nn.Module):
    """logits[d, k] = q_d . (t_k + W mean e_k) / sqrt(attention_dim), e_k factor k's embedding; t_0 alone for nuisance.

    learned=False: no logits; the latents are cut, in their order, into K blocks of equal size, and nuisance is empty.
    """

    mean_embedding: Tensor
    blocks: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        num_factors: int = 10,
        factor_dim: int = 32,
        attention_dim: int = 128,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.learned = learned
        if learned:
            self.queries = nn.Parameter(torch.randn(latent_dim, attention_dim))
            self.tokens = nn.Parameter(torch.randn(num_factors + 1, attention_dim))
            self.key = nn.Linear(factor_dim, attention_dim, bias=False)
        else:
            block = 1 + torch.arange(latent_dim) * num_factors // latent_dim
            self.register_buffer("blocks", functional.one_hot(block, num_factors + 1).float())
        self.value = nn.Linear(factor_dim, latent_dim, bias=False)
        nn.init.zeros_(self.value.weight)  # the decoder starts with z alone
        self.register_buffer("mean_embedding", torch.zeros(num_factors, factor_dim))

    @torch.no_grad()
    def track(self, embeddings: Tensor) -> None:
        """Move the keys' mean embeddings towards a batch of embeddings (K, B, F)."""
        self.mean_embedding.lerp_(embeddings.mean(1), EMBEDDING_RATE)

    def assigning_parameters(self) -> list[nn.Parameter]:
        """Those that the assignment depends on: none if it is fixed."""
        return [self.queries, self.tokens, *self.key.parameters()] if self.learned else []

    def logits(self) -> Tensor:
        """(D, K+1), column 0 the nuisance group."""
        keys = self.tokens + functional.pad(self.key(self.mean_embedding), (0, 0, 1, 0))
        return self.queries @ keys.T / math.sqrt(self.queries.shape[1])

    def assignment(self) -> Tensor:
        """(D, K+1): A[d, k], the share of latent d that belongs to group k; rows sum to 1."""
        if not self.learned:
            return self.blocks
        return self.logits().softmax(dim=1)

    def sampled_partition(self) -> Tensor:
        """(D, K+1): one group per latent drawn from A, with the gradient of A (straight-through Gumbel-softmax)."""
        if not self.learned:
            return self.blocks
        logits = self.logits()
        uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        relaxed = (logits - (-uniform.log()).log()).softmax(dim=1)
        return one_hot_largest(relaxed) + relaxed - relaxed.detach()

    def refine(self, z: Tensor, embeddings: Tensor) -> Tensor:
        """Compute what the decoder reads, (B, D): z_d plus each factor's value, weighted by how much latent d belongs to it.

        The assignment has no gradient from here: what moves it is the partition's own loss, jointly or in turns.
        """
        return z + torch.einsum("dk,kbd->bd", self.assignment()[:, 1:].detach(), self.value(embeddings))


def one_hot_largest(weights: Tensor) -> Tensor:
    """(D, K) -> (D, K): 1 at each row's largest entry."""
    return functional.one_hot(weights.argmax(1), weights.shape[1]).to(weights.dtype)


def entropy(assignment: Tensor) -> Tensor:
    """Mean entropy of the rows of A, in nats: 0 when every latent has one group."""
    return -(assignment * assignment.clamp(min=1e-12).log()).sum(1).mean()


def capacity_mismatch(target: Tensor, assignment: Tensor, kl_per_latent: Tensor) -> Tensor:
    """Pearson's chi-square, sum_k (use_k - target_k)^2 / target_k, in expectation over partitions drawn from the assignment.

    use_k is the share of all KL nats that lies in group k: counted in nats and not in latents, or else dead latents fill the
    groups. target is (K+1,), kl_per_latent (D,). Latents are drawn apart from each other, so the expectation is the square
    at the mean plus the variance, exactly. Thus a soft assignment cannot meet the target by sharing every latent out, and
    along the row of one latent the loss is linear: where moving one whole latent would help, there is no minimum.
    """
    share = kl_per_latent / kl_per_latent.sum().clamp(min=1e-6)
    variance = share.square() @ (assignment * (1 - assignment))
    return (((share @ assignment - target).square() + variance) / target).sum()


def split_by_factor(z: Tensor, partition: Tensor) -> tuple[Tensor, Tensor]:
    """Split z (B, D) by a hard partition (D, K+1) into what is outside and inside each factor's group: both (K, B, D)."""
    inside = z * partition[:, 1:].T[:, None]
    return z - inside, inside
