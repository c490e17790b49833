"""FSQ: an autoencoder whose latents are bounded and rounded to equally spaced values, without a penalty.

Mentzer et al. 2023, arXiv:2309.15505v2, section 3.1 and appendix A.1. As an autoencoder for disentanglement it is the base of
Tripod (Hsu et al. 2024, arXiv:2404.10282v2), whose number of levels is the default.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from disbench.baselines.autoencoder import ShellOptions
from disbench.baselines.quantization import QuantizedAutoencoder, finite_scalar


class FSQ(QuantizedAutoencoder):
    """Train an autoencoder with finite scalar quantization.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    levels : int, default 12
        Number of values of each latent, L of the paper; at least 1.
    **shell
        Other parameters of `Autoencoder`.

    Raises
    ------
    ValueError
        If there is no level.

    References
    ----------
    Mentzer et al. 2023, arXiv:2309.15505v2, appendix A.1
    """

    data_parallel = True

    def __init__(
        self, image_shape: Sequence[int], n_train: int, *, levels: int = 12, **shell: Unpack[ShellOptions]
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        if levels < 1:
            raise ValueError(f"levels needs at least 1 value for each latent, got {levels}.")
        self.levels = levels

    def quantize(self, z: Tensor) -> Tensor:
        """Bound and round the outputs of the encoder (B, D), straight through."""
        return finite_scalar(z, self.levels)
