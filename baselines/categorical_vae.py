"""Categorical VAE: each latent is one of K categories, which lie on a line.

Friede et al. 2023, arXiv:2307.14151v1, as in the authors' code (david-friede/lddr, commit d12d04c). The loss of one image is

    -log p(x|z) + sum_d KL(q(k_d|x) || uniform),    z_d = sum_k y_dk e_k,    y_d = softmax(logits_d + s(t) Gumbel noise)

with the fixed places e = linspace(-1, 1, K). The scale s(t) of the noise rises during training; the temperature of the relaxation
stays 1. The code of an image is the expectation of the place, E_q[e_k], without noise.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Unpack

import torch
from torch import Tensor

from disbench.baselines.autoencoder import Autoencoder, ShellOptions
from disbench.baselines.categorical import kl_to_uniform, relaxed_one_hot
from disbench.baselines.method import Batch, Codes, Step, as_batch


def cosine_schedule(step: Step, start: float, end: float) -> float:
    """Compute the value at a step: `start` at first, and half a cosine to `end` at the end of training."""
    return 0.5 * (start + end) + 0.5 * (start - end) * math.cos(math.pi * step.fraction)


class CategoricalVAE(Autoencoder):
    """Train a VAE with categorical latents by the Gumbel-softmax relaxation.

    Its `selection_scores` has the straight-through gap, in nats per image: by how much the loss changes when each latent is at
    its most probable category instead of the expectation over categories. The paper chooses models of small gap.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    categories : int, default 64
        Number of categories of each latent, at least 2.
    noise_scale_start, noise_scale_end : float, default 0.5 and 2.0
        Factor of the Gumbel noise at the first step and at the end of training, greater than 0.
    **shell
        Other parameters of `Autoencoder`.

    References
    ----------
    Friede et al. 2023, arXiv:2307.14151v1

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.categorical_vae import CategoricalVAE
    >>> method = CategoricalVAE((1, 64, 64), n_train=100, latent_dim=3)
    >>> codes = method.encode(torch.zeros(2, 1, 64, 64))
    >>> codes.values.shape, bool((codes.values.abs() <= 1).all())
    (torch.Size([2, 3]), True)
    """

    data_parallel = True
    places: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        categories: int = 64,
        noise_scale_start: float = 0.5,
        noise_scale_end: float = 2.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        if categories < 2:
            raise ValueError(f"categories needs at least 2 categories for each latent, got {categories}.")
        if not (noise_scale_start > 0 and noise_scale_end > 0):
            raise ValueError(
                f"noise_scale_start and noise_scale_end need to be greater than 0, got {noise_scale_start} and "
                f"{noise_scale_end}. Without noise nothing is learned about the other categories."
            )
        self.outputs_per_latent = categories
        super().__init__(image_shape, n_train, **shell)
        self.noise_scale = (noise_scale_start, noise_scale_end)
        self.register_buffer("places", torch.linspace(-1, 1, categories))

    def category_logits(self, x: Tensor) -> Tensor:
        """Compute unnormalized log-probabilities of the categories: (B, C, H, W) to (B, D, K)."""
        logits: Tensor = self.encoder(x).unflatten(1, (self.latent_dim, -1))
        return logits

    def place(self, weights: Tensor) -> Tensor:
        """Average the places of the categories: weights (B, D, K) to (B, D), from -1 to 1."""
        return (weights * self.places).sum(-1)

    def encode(self, x: Tensor) -> Codes:
        """Compute the expectation of each latent's place, (B, D), from -1 to 1."""
        return Codes(self.place(torch.softmax(self.category_logits(x), dim=-1)))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms on one minibatch, in nats per image."""
        x = as_batch(batch).images
        logits = self.category_logits(x)
        scale = cosine_schedule(self.current_step(batch_idx), *self.noise_scale)
        reconstruction = self.reconstruction_loss(x, self.place(relaxed_one_hot(logits, scale)))
        kl = kl_to_uniform(logits).sum(1).mean()
        terms = {"reconstruction": reconstruction, "kl": kl, "noise_scale": kl.new_full((), scale)}
        return {"loss": reconstruction + kl, **terms}

    @torch.no_grad()
    def selection_scores(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """Measure the straight-through gap in nats per image; see `Method.selection_scores`.

        The KL divergence is the same with both codes, so that the gap is a difference of reconstruction losses, without noise.
        """
        total, images = torch.zeros((), dtype=torch.float64), 0
        for x in batches:
            logits = self.category_logits(x)
            certain = self.places[logits.argmax(-1)]
            expected = self.place(torch.softmax(logits, dim=-1))
            change = self.reconstruction_loss(x, certain) - self.reconstruction_loss(x, expected)
            total += len(x) * change.cpu()
            images += len(x)
        return {"straight_through_gap": abs(float(total) / images)}
