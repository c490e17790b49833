"""Records of schema 1, which version 0.1 wrote, in the terms of schema 2.

A trial of schema 1 holds only the hyperparameters and dataset options that the user set, and no version of its method. The
tables below are the defaults of version 0.1. They are history and never change.
"""

from collections.abc import Mapping
from typing import Any

LARGEST = 2**53  # above, a float has no digit after the point at all
_SHELL: dict[str, Any] = {"latent_dim": 10, "lr": 1e-4, "network": "conv", "hidden_dim": 1200}
HPARAMS: dict[str, dict[str, Any]] = {
    "vae": _SHELL,
    "beta_vae": {"beta": 4.0, **_SHELL},
    "factor_vae": {
        "gamma": 35.0,
        "discriminator_layers": 6,
        "discriminator_dim": 1000,
        "discriminator_lr": 1e-4,
        **_SHELL,
    },
    "beta_tcvae": {"beta": 6.0, "estimator": "mss", **_SHELL},
    "mine_vae": {
        "num_factors": 10,
        "factor_dim": 32,
        "attention_dim": 128,
        "mine_hidden_dim": 128,
        "disentanglement_weight": 1.0,
        "attention_reg_weight": 0.1,
        "entropy_reg_weight": 0.05,
        "bi_level_outer_steps": 5,
        "bi_level_inner_steps": 3,
        "gaussian_fit_samples": 1000,
        "beta": 1.0,
        "tc_weight": 20.0,
        "handover": 0.6,
        "mine": True,
        "pair_weight": 1.0,
        "refine": True,
        "attention": "learned",
        "gaussian_fit": True,
        "bi_level": True,
        "critic": "mine",
        "cross_weight": 10.0,
        "critic_lr": 3e-3,
        "assignment_lr": 1e-2,
        "recent_posteriors": 512,
        **_SHELL,
        "latent_dim": 128,
    },
}
DATASET_OPTIONS: dict[str, dict[str, Any]] = {"mpi3d_like": {"tier": "full"}, "celeba": {"split": "train"}}


# Hyperparameters that have another name today: {method: {earlier name: name}}. A trial's id is made of the earlier names.
RENAMED = {"mine_vae": {"handover": "mine_start"}}


# Hyperparameters that a method got later, with the values that all earlier trials had. Before them stand some that identify the
# method: here every autoencoder, then mine_vae. The values are no part of an id.
ADDED: tuple[tuple[set[str], dict[str, Any]], ...] = (
    ({"lr", "network", "hidden_dim"}, {"likelihood": "bernoulli", "width_multiplier": 1}),
    ({"tc_weight", "mine_hidden_dim"}, {"tc_estimator": "marginal"}),
)


# What methods see besides images whose first records do not have it.
SUPERVISION = {
    **dict.fromkeys(("s2_beta_vae", "s2_beta_tcvae", "s2_dip_vae"), "labels"),
    "supervised": "all labels",
}


# Hyperparameters of `ADDED` that a younger method had from the start, with another default.
FROM_THE_START = {"factor_qvae": {"likelihood"}}


def with_added(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the hyperparameters of `ADDED` in a trial that has the first ones of its method; any other stays as it is."""
    return {**hparams, **{name: value for name, value in _added_to(method, hparams).items() if name not in hparams}}


def without_added(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the hyperparameters that `with_added` fills in."""
    added = _added_to(method, hparams)
    return {name: value for name, value in hparams.items() if name not in added or value != added[name]}


def _added_to(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    added = {name: value for first, later in ADDED if hparams.keys() >= first for name, value in later.items()}
    return {name: value for name, value in added.items() if name not in FROM_THE_START.get(method, ())}


def with_names_of_today(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the hyperparameters of a method to their present names."""
    renamed = RENAMED.get(method, {})
    return {
        name if renamed.get(name, name) in hparams else renamed.get(name, name): value
        for name, value in hparams.items()
    }


def with_earlier_names(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the hyperparameters of a method to their first names, which decide the ids of its trials."""
    earlier = {today: name for name, today in RENAMED.get(method, {}).items()}
    return {earlier.get(name, name): value for name, value in hparams.items()}


def migrated_trial(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the fields of a trial of schema 1 to schema 2.

    A method that disbench does not come with keeps the hyperparameters that were set, for its defaults are unknown here.
    """
    hparams, options = dict(trial.get("hparams", {})), dict(trial.get("dataset_options", {}))
    defaults = with_names_of_today(trial["method"], HPARAMS.get(trial["method"], {}))
    filled = {**defaults, **with_names_of_today(trial["method"], hparams)}
    return {
        **trial,
        "method_version": 1,
        "hparams": plain(filled),
        "dataset_options": {**DATASET_OPTIONS.get(trial["dataset"], {}), **options},
    }


def set_in_version_1(trial: Mapping[str, Any]) -> list[str]:
    """List the hyperparameters of a trial of schema 1 that differ from the defaults of version 0.1."""
    defaults = with_names_of_today(trial["method"], HPARAMS.get(trial["method"], {}))
    hparams = without_added(trial["method"], with_names_of_today(trial["method"], trial.get("hparams", {})))
    return [name for name, value in hparams.items() if name not in defaults or value != defaults[name]]


def plain(value: Any) -> Any:
    """Write a value of a trial in one spelling: a whole number is an int, so that 4 and 4.0 are one trial."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST:
        return int(value)
    return value
