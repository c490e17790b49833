"""QLAE: an autoencoder with a learned scalar codebook for each latent and strong weight decay.

Hsu et al. 2023, arXiv:2305.18378v4, section 3, as in the authors' code (kylehkhsu/latent_quantization, commit 9a420a3). With the
nearest value v_j of codebook j to the output z_j of the encoder, and sg an identity without a gradient, they minimize

    mean over pixels of -log p(x|v)  +  w_q mean_j (sg(z_j) - v_j)^2  +  w_c mean_j (z_j - sg(v_j))^2

Here the loss is summed over pixels, in nats. It is theirs times the number P of numbers in an image, and so are the limit of the
gradient and Adam's epsilon: the published settings then make the published steps.
"""

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from disbench.baselines.method import Batch, Grids, as_batch
from disbench.baselines.optim import EPSILON, adamw
from disbench.baselines.quantization import OptionsWithoutRate, QuantizedAutoencoder, straight_through


def nearest_values(z: Tensor, codebooks: Tensor) -> Tensor:
    """Look up the nearest value of each latent's codebook.

    Parameters
    ----------
    z : Tensor of shape (B, D)
        Any numbers.
    codebooks : Tensor of shape (D, V)
        The values of each latent, in any order.

    Returns
    -------
    Tensor of shape (B, D)
        With the gradient of `codebooks`, and none of `z`. Of two values at the same distance the first is taken.

    References
    ----------
    Hsu et al. 2023, arXiv:2305.18378v4, section 3

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.qlae import nearest_values
    >>> nearest_values(torch.tensor([[0.2, 0.2]]), torch.tensor([[0.0, 1.0], [-0.5, 0.5]]))
    tensor([[0.0000, 0.5000]])
    """
    chosen = (z[:, :, None] - codebooks).abs().argmin(2)  # (B, D)
    return codebooks.gather(1, chosen.T).T


class QLAE(QuantizedAutoencoder):
    """Train a quantized-latent autoencoder.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    values : int, default 10
        Number of values V of each codebook, at least 1. They start equally spaced from -0.5 to 0.5.
    quantization : float, default 0.01
        Weight of the loss that moves the chosen values to the encoder's outputs, for a reconstruction averaged over pixels.
    commitment : float, default 0.01
        Weight of the loss that moves the encoder's outputs to the chosen values, likewise.
    weight_decay : float, default 0.1
        Decoupled weight decay of encoder and decoder, without biases and codebooks.
    clip : float, default 1.0
        Largest absolute value of a number of the gradient, for a loss averaged over pixels.
    lr : float, default 1e-3
        Learning rate of AdamW.
    **shell
        Other parameters of `Autoencoder`.

    References
    ----------
    Hsu et al. 2023, arXiv:2305.18378v4
    """

    data_parallel = True
    published: ClassVar[Grids] = {
        "shapes3d": {"weight_decay": (0.1,), "latent_dim": (12,)},
        "mpi3d_complex": {"weight_decay": (0.001,), "latent_dim": (14,)},
    }

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        values: int = 10,
        quantization: float = 0.01,
        commitment: float = 0.01,
        weight_decay: float = 0.1,
        clip: float = 1.0,
        lr: float = 1e-3,
        **shell: Unpack[OptionsWithoutRate],
    ) -> None:
        super().__init__(image_shape, n_train, lr=lr, **shell)
        if values < 1:
            raise ValueError(f"values needs at least 1 value for each latent, got {values}.")
        if clip <= 0:
            raise ValueError(f"clip needs a limit above 0, got {clip}.")
        self.quantization = quantization
        self.commitment = commitment
        self.weight_decay = weight_decay
        self.clip = clip
        self.codebooks = nn.Parameter(torch.linspace(-0.5, 0.5, values).repeat(self.latent_dim, 1))

    def quantize(self, z: Tensor) -> Tensor:
        """Look up the nearest values (B, D), straight through: a reconstruction has no gradient for the codebooks."""
        return straight_through(nearest_values(z, self.codebooks), z)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms; see `VAE.training_step`."""
        x = as_batch(batch).images
        z = self.encoder(x)
        values = nearest_values(z, self.codebooks)
        reconstruction = self.reconstruction_loss(x, straight_through(values, z))
        quantization = (z.detach() - values).square().mean()
        commitment = (z - values.detach()).square().mean()
        penalty = self.pixels * (self.quantization * quantization + self.commitment * commitment)
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, "quantization_error": commitment}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make an AdamW whose weight decay leaves out biases and codebooks."""
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            undecayed = name == "codebooks" or name.endswith("bias")
            (others if undecayed else decayed).append(parameter)
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return adamw(groups, self.lr, eps=EPSILON * self.pixels)
