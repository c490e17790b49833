"""One trainer in a process of its own, which `against_peers.py` starts with the Python that has its package.

    python worker.py IMPLEMENTATION METHOD PRECISION

Prints "ready"; then reads numbers of steps from standard input, trains for so many and prints the process's CPU seconds for
them. Trainers that own their loop are one training throughout, whose data wait for the next number, so that start and
end are no part of a step. The network is Locatello et al.'s (2019) at one channel with ten latents, minibatches hold 64
images, and the images are the same random ones for all. FactorVAE's step takes two minibatches.

plain    a loop of one's own: everything in memory as floats, layers and Adam as torch has them
ours     a step of disbench's training loop, images as bytes in memory; ours-default-allocator: as it is when `train` is called
         from Python, without what the command `disbench` does first
pythae, pythae-trainer     its model's step on minibatches that are ready; its trainer with its loader
disent, disent-trainer     its framework's step on minibatches that are ready; under Lightning with a DataLoader, as it tells to
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH, D, N = 64, 10, 4096
IMPLEMENTATIONS = ("plain", "ours", "ours-default-allocator", "pythae", "pythae-trainer", "disent", "disent-trainer")
METHODS = ("beta_vae", "beta_tcvae", "factor_vae")
Run = Callable[[int], None]  # trains for a number of steps
Fit = Callable[[Callable[[Iterator[Any]], Iterator[Any]]], None]  # trains once, its data passed through a function


def bytes_in_memory() -> Tensor:
    return torch.randint(256, (N, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def floats_in_memory() -> Tensor:
    return bytes_in_memory().float() / 255


def plain_encoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide_in, wide_out in ((1, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(wide_in, wide_out, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 2 * D))


def plain_decoder() -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Linear(D, 256),
        nn.ReLU(),
        nn.Linear(256, 1024),
        nn.ReLU(),
        nn.Unflatten(1, (64, 4, 4)),
    ]
    for wide_in, wide_out in ((64, 64), (64, 32), (32, 32), (32, 1)):
        layers += [nn.ConvTranspose2d(wide_in, wide_out, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def plain_discriminator() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(D, 1000), nn.LeakyReLU(0.2)]
    for _ in range(4):
        layers += [nn.Linear(1000, 1000), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(1000, 2))


def log_normal(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * (1.8378770664093453 + logvar + (z - mean) ** 2 / logvar.exp())


def tc_penalty(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """KL with its total correlation six times, by weighted sampling, which is the cheapest estimator."""
    table = log_normal(z[:, None], mean[None], logvar[None])
    log_q = torch.logsumexp(table.sum(2), dim=1)
    log_product = torch.logsumexp(table, dim=1).sum(1)
    log_prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    sampled_kl = log_normal(z, mean, logvar).sum(1) - log_prior
    return (sampled_kl + 5 * (log_q - log_product)).mean()


def plain(method: str, precision: str) -> Run:
    images, encoder, decoder = floats_in_memory(), plain_encoder(), plain_decoder()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-4)
    discriminator = plain_discriminator()
    second_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.5, 0.9))

    def minibatch() -> Tensor:
        return images[torch.randint(N, (BATCH,))]

    def sample(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = encoder(x).chunk(2, dim=1)
        return mean + (logvar / 2).exp() * torch.randn_like(mean), mean, logvar

    def step() -> None:
        x = minibatch()
        z, mean, logvar = sample(x)
        loss = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum") / BATCH
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()
        if method == "beta_tcvae":
            loss = loss + tc_penalty(z, mean, logvar)
        elif method == "beta_vae":
            loss = loss + 4 * kl
        else:
            logits = discriminator(z)
            loss = loss + kl + 35 * (logits[:, 0] - logits[:, 1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if method == "factor_vae":
            with torch.no_grad():
                other = sample(minibatch())[0]
            permuted = torch.stack([column[torch.randperm(BATCH)] for column in other.T], dim=1)
            joint_label, permuted_label = torch.zeros(BATCH).long(), torch.ones(BATCH).long()
            second = functional.cross_entropy(discriminator(z.detach()), joint_label)
            second = 0.5 * (second + functional.cross_entropy(discriminator(permuted), permuted_label))
            second_optimizer.zero_grad()
            second.backward()
            second_optimizer.step()

    return steps_of(step)


def steps_of(step: Callable[[], object]) -> Run:
    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return run


def ours(method: str, precision: str) -> Fit:
    from disbench.benchmarks import METHODS as REGISTERED
    from disbench.benchmarks.training.steps import Loop
    from disbench.datasets.storage.store import ImageStore

    images = ImageStore(bytes_in_memory().numpy())
    model = REGISTERED[method]((1, 64, 64), N)
    size = BATCH * model.sampling.rows

    def minibatches() -> Iterator[Tensor]:
        while True:
            order = torch.randperm(N)
            for rows in order[: N // size * size].split(size):
                yield images.take(rows).float().div_(255)

    def fit(through: Callable[[Iterator[Any]], Iterator[Any]]) -> None:
        full = "bf16-mixed" if precision == "bf16" else "32-true"
        Loop(ENDLESS, precision=full).fit(model, through(minibatches()))

    return fit


def ours_with_its_allocator(method: str, precision: str) -> Fit:
    from disbench.benchmarks.runtime.allocator import keep_memory

    if not keep_memory():
        raise RuntimeError(
            "The allocator cannot be set here: this is not glibc, or the environment has settings of its own."
        )
    return ours(method, precision)


def pythae_model(method: str) -> Any:
    from pythae.models import VAE, BetaTCVAE, BetaTCVAEConfig, BetaVAE, BetaVAEConfig, FactorVAE, FactorVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = plain_encoder()

        def forward(self, x: Tensor) -> ModelOutput:
            mean, logvar = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = plain_decoder()

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    shared = {"input_dim": (1, 64, 64), "latent_dim": D, "reconstruction_loss": "bce"}
    kinds: dict[str, tuple[type[VAE], Any]] = {
        "beta_vae": (BetaVAE, lambda: BetaVAEConfig(beta=4.0, **shared)),
        "beta_tcvae": (BetaTCVAE, lambda: BetaTCVAEConfig(beta=6.0, **shared)),
        "factor_vae": (FactorVAE, lambda: FactorVAEConfig(gamma=35.0, **shared)),
    }
    model, config = kinds[method]
    return model(config(), Encoder(), Decoder())


def pythae_trainer(method: str, rows: int) -> Any:
    """Its trainer on so many images; an epoch is the smallest run that it knows."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import AdversarialTrainer, AdversarialTrainerConfig, BaseTrainer, BaseTrainerConfig

    two = method == "factor_vae"
    size = BATCH * (2 if two else 1)
    shared = {"output_dir": tempfile.mkdtemp(), "num_epochs": 1, "no_cuda": True, "per_device_train_batch_size": size}
    data = floats_in_memory().repeat(-(-rows * size // N), 1, 1, 1)[: rows * size]
    dataset = BaseDataset(data, torch.zeros(len(data)))
    if two:
        rates = {"autoencoder_learning_rate": 1e-4, "discriminator_learning_rate": 1e-4}
        trainer = AdversarialTrainer(
            pythae_model(method), dataset, training_config=AdversarialTrainerConfig(**shared, **rates)
        )
    else:
        trainer = BaseTrainer(
            pythae_model(method), dataset, training_config=BaseTrainerConfig(**shared, learning_rate=1e-4)
        )
    trainer.prepare_training()
    return trainer


def pythae_with_its_trainer(method: str, precision: str) -> Run:
    trainers: dict[int, Any] = {}

    def run(steps: int) -> None:
        if steps not in trainers:
            trainers[steps] = pythae_trainer(method, steps)
        trainers[steps].train_step(1)

    run(1)
    run(STEPS)
    return run


def pythae(method: str, precision: str) -> Run:
    trainer = pythae_trainer(method, 1)
    images, size = floats_in_memory(), BATCH * (2 if method == "factor_vae" else 1)

    def step() -> None:
        inputs = {"data": images[torch.randint(N, (size,))]}
        trainer._optimizers_step(trainer.model(inputs, epoch=1, dataset_size=N, uses_ddp=False))

    return steps_of(step)


def disent_framework(method: str) -> Any:
    from disent.frameworks.vae import BetaTcVae, BetaVae
    from disent.model import AutoEncoder, DisentDecoder, DisentEncoder

    class Encoder(DisentEncoder):
        def __init__(self) -> None:
            super().__init__(x_shape=(1, 64, 64), z_size=D, z_multiplier=2)
            self.layers = plain_encoder()

        def encode(self, x: Tensor) -> Tensor:
            return self.layers(x)

    class Decoder(DisentDecoder):
        def __init__(self) -> None:
            super().__init__(x_shape=(1, 64, 64), z_size=D)
            self.layers = plain_decoder()

        def decode(self, z: Tensor) -> Tensor:
            return self.layers(z)

    kind = {"beta_vae": BetaVae, "beta_tcvae": BetaTcVae}[method]
    config = kind.cfg(
        optimizer="adam", optimizer_kwargs={"lr": 1e-4}, loss_reduction="mean_sum", recon_loss="bce", beta=4.0
    )
    return kind(model=AutoEncoder(encoder=Encoder(), decoder=Decoder()), cfg=config)


def disent(method: str, precision: str) -> Run:
    framework, images = disent_framework(method), floats_in_memory()
    optimizer = torch.optim.Adam(framework.parameters(), lr=1e-4)
    framework.log_dict = lambda *arguments, **keywords: None  # which only a trainer can answer

    def step() -> None:
        x = images[torch.randint(N, (BATCH,))]
        optimizer.zero_grad()
        framework.do_training_step({"x_targ": (x,)}, 0).backward()
        optimizer.step()

    return steps_of(step)


class DisentItems(torch.utils.data.Dataset[dict[str, tuple[Tensor]]]):
    """Single items, as its own `DisentDataset` gives them."""

    def __init__(self) -> None:
        self.images = floats_in_memory()

    def __len__(self) -> int:
        return N

    def __getitem__(self, row: int) -> dict[str, tuple[Tensor]]:
        return {"x_targ": (self.images[row],)}


def disent_with_lightning(method: str, precision: str) -> Fit:
    import lightning

    framework = disent_framework(method)
    loader = torch.utils.data.DataLoader(DisentItems(), batch_size=BATCH, shuffle=True)

    def fit(through: Callable[[Iterator[Any]], Iterator[Any]]) -> None:
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet)
        trainer.fit(framework, through(batch for _ in range(ENDLESS) for batch in loader))

    return fit


WARM_UP = 3
STEPS = 10  # between two readings
ENDLESS = 10**9
OWNS_ITS_LOOP = ("ours", "ours-default-allocator", "disent-trainer")
MAKERS = dict(
    zip(
        IMPLEMENTATIONS,
        (plain, ours_with_its_allocator, ours, pythae, pythae_with_its_trainer, disent, disent_with_lightning),
        strict=True,
    )
)


def main(implementation: str, method: str, precision: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    replies, sys.stdout = sys.stdout, sys.stderr  # whatever the packages print is no reply

    def readings() -> Iterator[int]:
        """The numbers of steps that are asked for; the time between two goes out as the reply to the first."""
        yield WARM_UP
        print("ready", file=replies, flush=True)
        for line in sys.stdin:
            started = time.process_time()
            yield int(line)
            print(time.process_time() - started, file=replies, flush=True)

    def as_asked(source: Iterator[Any]) -> Iterator[Any]:
        for steps in readings():
            yield from itertools.islice(source, steps)

    made = MAKERS[implementation](method, precision)
    if implementation in OWNS_ITS_LOOP:
        made(as_asked)
    else:
        for steps in readings():
            made(steps)


if __name__ == "__main__":
    main(*sys.argv[1:4])
