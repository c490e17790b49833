"""All methods by name. `disbench.benchmarks.METHODS` imports this module on first use."""

from disbench.baselines import BASELINES
from disbench.baselines.method import Method
from disbench.mine_vae import MINEDisentangleVAE, MINEGroupVAE

METHODS: dict[str, type[Method]] = {**BASELINES, "mine_vae": MINEDisentangleVAE, "mine_groups": MINEGroupVAE}
BUILT_IN = dict(METHODS)  # without what a plugin adds
