"""A ring buffer of the most recent rows, as a module, so that checkpoints include it."""

import torch
from torch import Tensor, nn


class ReplayBuffer(nn.Module):
    """Keeps the last `size` rows of shape `item`. No call waits for the device."""

    rows: Tensor
    seen: Tensor

    def __init__(self, size: int, *item: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, *item))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def add(self, batch: Tensor) -> None:
        """Store (B, *item) over the oldest rows; of a batch larger than the ring, its last rows are kept."""
        size = len(self.rows)
        batch = batch[-size:].to(self.rows.dtype)
        slots = (self.seen + torch.arange(len(batch), device=self.seen.device)) % size
        self.rows.index_copy_(0, slots, batch)
        self.seen += len(batch)

    def count(self) -> Tensor:
        """How many rows are filled, a scalar."""
        return self.seen.clamp(max=len(self.rows))

    def sample(self, n: int) -> Tensor:
        """(n, *item): rows drawn with replacement from the filled ones."""
        unit = torch.rand(n, device=self.rows.device)
        return self.rows[(unit * self.count()).long().clamp(max=len(self.rows) - 1)]
