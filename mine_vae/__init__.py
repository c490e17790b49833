"""The MINE Disentangle VAE and its parts, each usable alone."""

from disbench.datasets.wording import needs_extra

with needs_extra():
    from disbench.mine_vae.attention import CrossAttention
    from disbench.mine_vae.factor_encoder import FactorEncoder
    from disbench.mine_vae.gaussian_fit import GaussianFitEstimator
    from disbench.mine_vae.mine import MutualInformationEstimator
    from disbench.mine_vae.model import MINEDisentangleVAE

__all__ = [
    "CrossAttention",
    "FactorEncoder",
    "GaussianFitEstimator",
    "MINEDisentangleVAE",
    "MutualInformationEstimator",
]
