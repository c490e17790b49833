"""A mixture whose factors have known dimensions, for methods with groups of latents: train, score, and print the table.

    python docs/subspace_mixture.py --out results/mixture                    # every method, seeds 0 to 4; done ones are kept
    python docs/subspace_mixture.py --out results/mixture --only mine_groups --seeds 0
    python docs/subspace_mixture.py --out results/mixture --table            # print the table of what is there

Five independent factors: values of dimension 4, 2 and 3 are uniform on spheres, those of two more are uniform on an interval.
Coordinates of one factor are uncorrelated but depend on each other, so no rotation makes them independent. All eleven, each with
variance 1, are rotated into 40 dimensions, and a Gaussian with deviation 0.1 is their likelihood. A method has 11 latents,
perceptrons with two hidden layers of 128, and 6,000 steps of 64 draws. With --nonlinear the observation is
x + 0.5 tanh(2 roll(x)).

Scores, on 6,000 fresh draws:

    gap     mean over factors of R2 from the factor's best group less R2 from the second best; R2 by 15 nearest neighbors
    nats    KL divergence from the prior, summed over latents
    error   squared error of the mean, in units of twice the noise's variance
    sizes   number of latents of the group that has most of each factor, in the order 4, 2, 1, 1, 3

Groups of methods without groups are found afterwards by `find_groups` with the right number, which
mine_groups is not told.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor, nn

from disbench.baselines.gaussian import kl_to_prior
from disbench.baselines.networks import perceptron
from disbench.benchmarks import METHODS
from disbench.benchmarks.training.steps import Loop
from disbench.metrics import find_groups

DIMENSIONS = (4, 2, 1, 1, 3)
LATENTS, OBSERVED, NOISE, VALUES, BATCH = sum(DIMENSIONS), 40, 0.1, 20_000, 64
ROWS, FITTED, NEIGHBORS = 6_000, 4_000, 15
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {}),
    "beta_tcvae, weight 4": ("beta_tcvae", {"beta": 5.0}),
    "beta_tcvae, weight 8": ("beta_tcvae", {"beta": 9.0}),
    "hf_vae, groups found": ("hf_vae", {"blocks": "found", "between_weight": 9.0, "find_at": (0.4,)}),
    "hf_vae, right sizes given": ("hf_vae", {"blocks": DIMENSIONS, "between_weight": 9.0}),
    "mine_groups": ("mine_groups", {}),
    "mine_groups, Monte Carlo": ("mine_groups", {"mine": False}),
    "mine_groups, weight 4": ("mine_groups", {"tc_weight": 4.0}),
    "mine_groups, no null model": ("mine_groups", {"resolution": 0.0}),
    "mine_groups, joint": ("mine_groups", {"bi_level": False}),
    "mine_groups, fixed blocks": ("mine_groups", {"attention": "fixed", "num_factors": 5}),
}


class Mixture:
    """The five factors' values, which are the same in every run, and the observations of them."""

    def __init__(self, nonlinear: bool = False) -> None:
        generator = torch.Generator().manual_seed(3)
        self.values = [self.on_a_sphere(dimension, generator) for dimension in DIMENSIONS]
        self.rotation = torch.linalg.qr(torch.randn(OBSERVED, OBSERVED, generator=generator))[0][:, :LATENTS]
        self.nonlinear = nonlinear

    @staticmethod
    def on_a_sphere(dimension: int, generator: torch.Generator) -> Tensor:
        """Draw values (VALUES, dimension) with the variance 1 in each coordinate."""
        if dimension == 1:
            return (2 * torch.rand(VALUES, 1, generator=generator) - 1) * math.sqrt(3)
        points = torch.randn(VALUES, dimension, generator=generator)
        return math.sqrt(dimension) * points / points.norm(dim=1, keepdim=True)

    def observe(self, factors: Tensor) -> Tensor:
        """Compute observations (B, 1, 1, 40) of factor values (B, 5)."""
        x = torch.cat([values[row] for values, row in zip(self.values, factors.T, strict=True)], 1) @ self.rotation.T
        if self.nonlinear:
            x = x + 0.5 * torch.tanh(2 * x.roll(1, 1))
        return x[:, None, None]

    @staticmethod
    def draw(rows: int) -> Tensor:
        """Draw factor values (rows, 5)."""
        return torch.randint(0, VALUES, (rows, len(DIMENSIONS)))


def make(name: str, hparams: dict[str, Any], steps: int) -> Any:
    """Make a method for observations in the place of images: a Gaussian likelihood and perceptrons."""

    class OnMixture(METHODS[name]):  # type: ignore[misc]
        def image_loss(self, logits: Tensor, x: Tensor) -> Tensor:
            return (logits - x).square().flatten(1).sum(1).mean() / (2 * NOISE**2)

        def configure_optimizers(self) -> Any:
            made = super().configure_optimizers()
            optimizers = made if isinstance(made, list) else [made]
            return optimizers, [torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[0], steps, 1e-4)]

    method = OnMixture(
        (1, 1, OBSERVED),
        VALUES ** len(DIMENSIONS),
        latent_dim=LATENTS,
        network="mlp",
        hidden_dim=16,
        lr=1e-3,
        **hparams,
    )
    method.encoder = nn.Sequential(nn.Flatten(), perceptron((OBSERVED, 128, 128, 2 * LATENTS), 0.2))
    method.decoder = nn.Sequential(perceptron((LATENTS, 128, 128, OBSERVED), 0.2), nn.Unflatten(1, (1, 1, OBSERVED)))
    return method


def scores(method: Any, mixture: Mixture) -> dict[str, Any]:
    """Score a trained method."""
    torch.manual_seed(99)
    factors = mixture.draw(ROWS)
    x = mixture.observe(factors)
    with torch.no_grad():
        q = method.eval().posterior(x)
        z = q.sample().numpy()
        error = method.image_loss(method.logits(q.mean), x).item()
    groups = method.groups()
    if groups is None:
        groups = find_groups(q.mean.numpy(), std=np.exp(0.5 * q.logvar.numpy()), count=len(DIMENSIONS))
    groups = np.asarray(groups)
    present = np.unique(groups)
    r2 = np.zeros((max(len(present), 2), len(DIMENSIONS)))  # a single group has no second best: R2 0
    for row, group in enumerate(present):
        codes = z[:, groups == group]
        for factor, values in enumerate(mixture.values):
            target = values[factors[:, factor]].numpy()
            fitted = KNeighborsRegressor(NEIGHBORS).fit(codes[:FITTED], target[:FITTED])
            r2[row, factor] = max(0.0, fitted.score(codes[FITTED:], target[FITTED:]))
    ranked = np.sort(r2, axis=0)
    return {
        "gap": float((ranked[-1] - ranked[-2]).mean()),
        "nats": kl_to_prior(q).mean(0).sum().item(),
        "error": error,
        "sizes": [int((groups == present[row]).sum()) for row in r2.argmax(0)],
        "groups": groups.tolist(),
        "r2": r2.round(4).tolist(),
        "remarks": list(method.remarks),
    }


def train(name: str, hparams: dict[str, Any], seed: int, nonlinear: bool, steps: int) -> dict[str, Any]:
    """Train and score one run."""
    torch.manual_seed(seed)
    mixture = Mixture(nonlinear)
    method = make(name, hparams, steps)
    start = time.process_time()
    Loop(steps, accelerator="cpu").fit(method, (mixture.observe(mixture.draw(BATCH)) for _ in range(steps)))
    seconds = time.process_time() - start
    settings = {"method": name, "hparams": hparams, "seed": seed, "nonlinear": nonlinear, "steps": steps}
    return {**settings, **scores(method, mixture), "cpu_seconds": round(seconds, 1), "torch": torch.__version__}


def path_of(out: Path, label: str, seed: int, nonlinear: bool) -> Path:
    """Name the record of a run."""
    return out / f"{label.replace(', ', '-').replace(' ', '_')}{'-nonlinear' if nonlinear else ''}-{seed}.json"


def table(out: Path, nonlinear: bool) -> str:
    """Make a table of the records, a row for each kind of run."""
    lines = ["| run | gap of each seed | nats | error | right sizes |", "|---|---|---|---|---|"]
    for label in RUNS:
        paths = [path for seed in range(100) if (path := path_of(out, label, seed, nonlinear)).exists()]
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        if found:
            gaps = " ".join(f"{each['gap']:.3f}" for each in found)
            nats, error = (np.mean([each[name] for each in found]) for name in ("nats", "error"))
            right = sum(each["sizes"] == list(DIMENSIONS) for each in found)
            lines.append(f"| {label} | {gaps} | {nats:.1f} | {error:.2f} | {right} of {len(found)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/mixture"), help="Folder of the records.")
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS), help="Which runs.")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--nonlinear", action="store_true")
    parser.add_argument("--table", action="store_true", help="Only print the table of the records.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for label in [] if given.table else given.only:
        for seed in given.seeds:
            path = path_of(given.out, label, seed, given.nonlinear)
            if path.exists():
                continue
            found = train(*RUNS[label], seed, given.nonlinear, given.steps)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            partial.replace(path)
            told = f"gap {found['gap']:.3f}, {found['nats']:.1f} nats, sizes {found['sizes']}"
            sys.stdout.write(f"{label}, seed {seed}: {told}\n")
            sys.stdout.flush()
    sys.stdout.write(table(given.out, given.nonlinear) + "\n")


if __name__ == "__main__":
    main()
