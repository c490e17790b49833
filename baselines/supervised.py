"""Regress the factors with the encoder: an upper reference for the same network with all labels.

The code of an image is its K predictions, from 0 to 1. It is no method of learning representations but a ceiling: no row below it
is held back by the encoder alone.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from disbench.baselines.autoencoder import Autoencoder, ShellOptions
from disbench.baselines.method import Batch, Codes, Labelled, Sampling, as_batch
from disbench.baselines.semi_supervised import batch_targets, checked_label_loss, label_loss as distance


class Supervised(Autoencoder):
    """Train the encoder to predict the factors from labels.

    The first K latents are the predictions of the K factors; the others are 0. The decoder is trained on the predictions, without
    a gradient to the encoder, for pictures of what they hold.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    labels : int, optional
        Number of training images that have labels. By default all have.
    label_loss : {"squared_error", "cross_entropy"}, default "squared_error"
        Distance between predictions and labels.
    **shell
        Other parameters of `Autoencoder`.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.supervised import Supervised
    >>> method = Supervised((1, 64, 64), n_train=100, latent_dim=3)
    >>> method.encode(torch.zeros(2, 1, 64, 64)).values.shape
    torch.Size([2, 3])
    """

    data_parallel = True
    supervision = "all labels"
    sampling: Sampling = Labelled(None)
    predicted: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        labels: int | None = None,
        label_loss: str = "squared_error",
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.label_loss = checked_label_loss(label_loss)
        self.sampling = Labelled(None) if labels is None else Labelled(labels, share=1.0)
        self.register_buffer("predicted", torch.ones(self.latent_dim))  # 0 for latents without a factor

    def encode(self, x: Tensor) -> Codes:
        """Predict the factors of images (B, C, H, W): (B, D) from 0 to 1."""
        return Codes(torch.sigmoid(self.encoder(x)) * self.predicted)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the distance of predictions from labels, and the loss of reconstructions from predictions."""
        found = as_batch(batch)
        targets, known = batch_targets(self, found, self.latent_dim)
        self.predicted[targets.shape[1] :] = 0
        outputs = self.encoder(found.images)
        error = distance(outputs, targets, known, self.label_loss)
        predictions = (torch.sigmoid(outputs) * self.predicted).detach()
        reconstruction = self.reconstruction_loss(found.images, predictions)
        return {"loss": error + reconstruction, "labels": error, "reconstruction": reconstruction}
