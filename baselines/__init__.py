"""Methods to compare with. Adding one: a module with a class derived from `VAE` or `Autoencoder`, a line here, a test."""

from disbench.datasets.wording import needs_extra

with needs_extra():
    from disbench.baselines.annealed_vae import AnnealedVAE
    from disbench.baselines.autoencoder import Autoencoder
    from disbench.baselines.beta_tcvae import BetaTCVAE
    from disbench.baselines.beta_vae import BetaVAE
    from disbench.baselines.categorical_vae import CategoricalVAE
    from disbench.baselines.control_vae import ControlVAE
    from disbench.baselines.dip_vae import DIPVAEI, DIPVAEII
    from disbench.baselines.factor_qvae import FactorQVAE
    from disbench.baselines.factor_vae import FactorVAE
    from disbench.baselines.fsq import FSQ
    from disbench.baselines.hf_vae import HFVAE
    from disbench.baselines.hfs import HFS
    from disbench.baselines.info_vae import InfoVAE
    from disbench.baselines.pair_vae import GVAE, MLVAE, AdaGVAE, AdaMLVAE
    from disbench.baselines.qlae import QLAE
    from disbench.baselines.semi_supervised import S2DIPVAE, S2BetaTCVAE, S2BetaVAE
    from disbench.baselines.slow_vae import SlowVAE
    from disbench.baselines.supervised import Supervised
    from disbench.baselines.tripod import Tripod
    from disbench.baselines.vae import VAE

BASELINES: dict[str, type[Autoencoder]] = {
    "vae": VAE,
    "beta_vae": BetaVAE,
    "factor_vae": FactorVAE,
    "beta_tcvae": BetaTCVAE,
    "annealed_vae": AnnealedVAE,
    "dip_vae_i": DIPVAEI,
    "dip_vae_ii": DIPVAEII,
    "info_vae": InfoVAE,
    "control_vae": ControlVAE,
    "hf_vae": HFVAE,
    "hfs": HFS,
    "fsq": FSQ,
    "qlae": QLAE,
    "tripod": Tripod,
    "categorical_vae": CategoricalVAE,
    "factor_qvae": FactorQVAE,
    "ada_gvae": AdaGVAE,
    "ada_ml_vae": AdaMLVAE,
    "gvae": GVAE,
    "ml_vae": MLVAE,
    "slow_vae": SlowVAE,
    "s2_beta_vae": S2BetaVAE,
    "s2_beta_tcvae": S2BetaTCVAE,
    "s2_dip_vae": S2DIPVAE,
    "supervised": Supervised,
}
