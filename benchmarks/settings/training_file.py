"""Training files for `disbench train -c`: a trial's own names, or the five blocks of the original method's configuration.

The blocks (model_params, data_params, exp_params, trainer_params, logging_params) are the layout of PyTorch-VAE
(https://github.com/AntixK/PyTorch-VAE, configs/*.yaml). What has a counterpart here is mapped; the rest is ignored, with a
reason that the command prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.trial_settings import TrialSettings, check_fits, checked_trial
from disbench.benchmarks.settings.yaml_file import read_yaml
from disbench.datasets.wording import did_you_mean, listed, shown

HPARAM = "hparams."  # before the name of a hyperparameter, in MAPPED
MAPPED = {
    "data_params": {
        "dataset": "dataset",
        "dataset_name": "dataset",
        "name": "dataset",
        "train_batch_size": "batch_size",
        "batch_size": "batch_size",
    },
    "exp_params": {
        "LR": f"{HPARAM}lr",
        "lr": f"{HPARAM}lr",
        "learning_rate": f"{HPARAM}lr",
        "manual_seed": "seed",
        "seed": "seed",
        "batch_size": "batch_size",
    },
    "trainer_params": {"max_steps": "steps", "max_epochs": "epochs", "precision": "precision"},
    "logging_params": {"manual_seed": "seed"},
}
DEVICE = "a trial uses one device: an accelerator where there is one, else the CPU"
IGNORED = {
    "model_params": {
        "loss_type": "the loss is the method's own",
        "kld_weight": "the loss is summed over pixels, so the KL term needs no rescaling; use beta",
        "hidden_dims": "the network is chosen with network and hidden_dim",
        "img_size": "images have the size of the dataset",
    },
    "data_params": {
        "data_path": "the folder of datasets is set with --data-dir",
        "val_batch_size": "no split is held out; rows sets how many images are scored",
        "patch_size": "images have the size of the dataset",
        "num_workers": "minibatches are read in the training process",
        "pin_memory": "minibatches are read in the training process",
    },
    "exp_params": {
        "weight_decay": "Adam trains without weight decay",
        "scheduler_gamma": "the learning rate is constant",
        "scheduler_gamma_2": "the learning rate is constant",
        "kld_weight": "the loss is summed over pixels, so the KL term needs no rescaling; use beta",
        "LR_2": "optimizers of a second network have hyperparameters of the method",
    },
    "trainer_params": {
        "gpus": DEVICE,
        "devices": DEVICE,
        "accelerator": DEVICE,
        "strategy": DEVICE,
        "num_nodes": DEVICE,
        "gradient_clip_val": "gradients are not clipped",
        "deterministic": "use --deterministic of disbench run",
    },
    "logging_params": {
        "save_dir": "the folder of the results is set with --out",
        "log_dir": "the folder of the results is set with --out",
        "name": "a trial's folder is named after its settings",
        "version": "a trial's folder is named after its settings",
    },
}
BLOCKS = tuple(IGNORED)


EPOCHS = "trainer_params.max_epochs"
NO_LIMIT = (None, -1)  # of max_steps and max_epochs, as Lightning reads them


@dataclass
class TrainingFile:
    """What a training file says.

    `settings` are those of a trial; `epochs` stands in the place of steps. `mapped` and `ignored` tell a reader what became of
    each name in a block.
    """

    settings: dict[str, Any] = field(default_factory=lambda: {"hparams": {}})
    epochs: int | None = None
    mapped: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def put(self, target: str, value: Any, source: str) -> None:
        """Set a setting. Raises ValueError where another name of the file has set it to another value."""
        name = target.removeprefix(HPARAM)
        place = self.settings["hparams"] if target.startswith(HPARAM) else self.settings
        if target in self.sources and place[name] != value:
            raise ValueError(
                f"{self.sources[target]} and {source} both set {name}: {shown(place[name])} and {shown(value)}."
            )
        place[name] = value
        self.sources[target] = source

    def take(self, block: str, name: str, value: Any) -> None:
        """Map or ignore one line of a block. Raises ValueError for a name that looks like a misspelled one."""
        source = f"{block}.{name}"
        if block == "model_params" and name not in IGNORED[block]:
            if name == "name":
                self.map(source, "method", method_of(value))
            else:
                self.map(source, f"{HPARAM}{name}", value)
        elif name in MAPPED.get(block, {}):
            self.map(source, MAPPED[block][name], value)
        elif name in IGNORED[block]:
            self.ignored[source] = IGNORED[block][name]
        else:
            known = [*MAPPED.get(block, {}), *IGNORED[block]]
            if meant := did_you_mean(name, known):
                raise ValueError(f"unknown key {source}.{meant}")
            self.ignored[source] = "it has no counterpart in disbench"

    def map(self, source: str, target: str, value: Any) -> None:
        if target in ("steps", "epochs") and value in NO_LIMIT:
            self.ignored[source] = f"{value} sets no limit"
        elif target == "epochs":
            if type(value) is not int or not 1 <= value <= 10**6:
                raise ValueError(f"{source} needs a whole number from 1 to 1,000,000, got {shown(value)}.")
            self.epochs = value
        else:
            self.put(target, value, source)
            self.mapped[source] = f"{target.removeprefix(HPARAM)} = {shown(value)}"

    def complete(self, given: Mapping[str, Any], root: str | None) -> dict[str, Any]:
        """The trial's settings, those that are `given` as flags first. Raises ValueError for what is missing or wrong.

        Where the file has epochs, the steps are epochs * floor(N / B): N images, B of them in a step.
        """
        settings = {**self.settings, **{name: value for name, value in given.items() if value is not None}}
        for name in ("hparams", "dataset_options"):
            settings[name] = {**(self.settings.get(name) or {}), **(given.get(name) or {})}
        for target, source in self.sources.items():
            flags = given.get("hparams") or {} if target.startswith(HPARAM) else given
            if flags.get(target.removeprefix(HPARAM)) is not None and self.mapped.pop(source, ""):
                self.ignored[source] = f"{target.removeprefix(HPARAM)} is given as a flag"
        lists = {"method": "disbench list methods", "dataset": "disbench list datasets"}
        if missing := [name for name in lists if name not in settings]:
            needed = " and ".join(f"--{name} (see `{lists[name]}`)" for name in missing)
            raise ValueError(f"{needed} must be given, here or in the training file.")
        if self.epochs is not None and "steps" in settings:
            self.ignored[EPOCHS] = f"steps = {shown(settings['steps'])} is given"
        elif self.epochs is not None:
            trial, dataset = checked_trial({**settings, "steps": 0}, root)
            check_fits(trial.model_copy(update={"steps": 1}), dataset)
            size = trial.batch_size * METHODS[trial.method].sampling.rows
            images = len(dataset.training)
            settings["steps"] = self.epochs * (images // size)
            self.mapped[EPOCHS] = (
                f"steps = {settings['steps']}: {self.epochs} epochs of floor({images} images / {size} a step) steps"
            )
        if "steps" not in settings:
            raise ValueError("--steps must be given, here or in the training file (as steps, max_steps or max_epochs).")
        return settings


def method_of(name: Any) -> Any:
    """A method's key for its class name, such as beta_vae for BetaVAE; any other name stays as it is."""
    classes = {method.__name__: key for key, method in METHODS.items()} | {"VanillaVAE": "vae"}
    return classes.get(name, name) if isinstance(name, str) else name


def read_training_file(path: Path) -> TrainingFile:
    """The settings in a YAML file. Raises ValueError that names the file and what is wrong."""
    content = read_yaml(path)
    try:
        return training_file(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def training_file(content: Mapping[str, Any]) -> TrainingFile:
    """A training file's content. Raises ValueError for unknown names and for a setting that has two values."""
    own = [*TrialSettings.model_fields, *BLOCKS]
    if strange := [name for name in content if name not in own]:
        raise ValueError(f"unknown key {listed(strange)}; allowed are {listed(own)}.{did_you_mean(strange[0], own)}")
    for name in ("dataset_options", "hparams", *BLOCKS):
        if not isinstance(content.get(name), Mapping | None):
            raise ValueError(f"{name} needs a mapping (`name: value` lines), got {shown(content[name])}.")
    found = TrainingFile()
    for name in TrialSettings.model_fields:
        if name in content and name != "hparams":
            found.put(name, content[name], name)
    for name, value in (content.get("hparams") or {}).items():
        found.put(f"{HPARAM}{name}", value, f"hparams.{name}")
    for block in BLOCKS:
        for name, value in (content.get(block) or {}).items():
            found.take(block, name, value)
    return found
