"""Walks the arrows from datasets to reports: train, encode, score, record."""

from disbench.baselines import BASELINES
from disbench.baselines.vae import VAE
from disbench.mine_vae import MINEDisentangleVAE

METHODS: dict[str, type[VAE]] = {**BASELINES, "mine_vae": MINEDisentangleVAE}
