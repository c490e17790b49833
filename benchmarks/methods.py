"""Every method by its name: `METHODS` of `disbench.benchmarks`, which imports this when it is first asked for it."""

from disbench.baselines import BASELINES
from disbench.baselines.method import Method
from disbench.mine_vae import MINEDisentangleVAE, MINEGroupVAE

METHODS: dict[str, type[Method]] = {**BASELINES, "mine_vae": MINEDisentangleVAE, "mine_groups": MINEGroupVAE}
BUILT_IN = dict(METHODS)  # without what a plugin adds
