"""Methods to compare with. Adding one: a module with a class derived from `VAE`, a line here, a test."""

from disbench.datasets.wording import needs_extra

with needs_extra():
    from disbench.baselines.beta_tcvae import BetaTCVAE
    from disbench.baselines.beta_vae import BetaVAE
    from disbench.baselines.factor_vae import FactorVAE
    from disbench.baselines.vae import VAE

BASELINES: dict[str, type[VAE]] = {
    "vae": VAE,
    "beta_vae": BetaVAE,
    "factor_vae": FactorVAE,
    "beta_tcvae": BetaTCVAE,
}
