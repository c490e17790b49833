"""The MINE Disentangle VAE and its parts, which you can also use separately."""

from disbench.datasets.wording import needs_extra

with needs_extra():
    from disbench.mine_vae.attention import CrossAttention as CrossAttention
    from disbench.mine_vae.factor_encoder import FactorEncoder as FactorEncoder
    from disbench.mine_vae.gaussian_fit import GaussianFitEstimator as GaussianFitEstimator
    from disbench.mine_vae.group_model import MINEGroupVAE as MINEGroupVAE
    from disbench.mine_vae.mine import MutualInformationEstimator as MutualInformationEstimator
    from disbench.mine_vae.model import MINEDisentangleVAE as MINEDisentangleVAE
