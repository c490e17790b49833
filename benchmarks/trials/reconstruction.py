"""Reconstruction quality: PSNR and SSIM, and LPIPS and FID if the weights of their networks are on this machine.

PSNR is 10 log10(1 / mean squared error) of an image, in dB; SSIM is that of Wang et al. 2004 (doi:10.1109/TIP.2003.819861),
11 x 11 Gaussian windows of deviation 1.5. Both are means over images and higher is better. LPIPS (Zhang et al. 2018,
arXiv:1801.03924) with AlexNet and FID (Heusel et al. 2017, arXiv:1706.08500) compare features of trained networks; lower is
better. FID from so few images is biased upwards, so compare it only at equal numbers of images.

Weights are never downloaded here: put them where torch keeps its own, `checkpoints` in `torch.hub.get_dir()`, which
$TORCH_HOME moves.
"""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from disbench.baselines.method import Method
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.datasets import FactorDataset

if TYPE_CHECKING:
    from torchmetrics import Metric

RECONSTRUCTION = ("psnr", "ssim", "lpips", "fid")
IMAGES = 1000  # reconstructed at most
WINDOW_DEVIATION, REACH = 1.5, 5  # pixels, of SSIM's Gaussian windows, which are 11 pixels wide
STABILIZERS = (0.01**2, 0.03**2)  # C1 and C2 of SSIM for values in [0, 1]
CHUNK = 20  # images a call: on a CPU SSIM of 100 at once took twice as long an image
FID_FEATURES = 2048  # of Inception's last pooling, as published
ALEXNET = "alexnet-owt-7be5be79.pth"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
WHENCE = {
    ALEXNET: "https://download.pytorch.org/models/",
    INCEPTION: "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
}


def fixed_rows(rows: Tensor, count: int) -> Tensor:
    """`count` of the scored rows (N,), sorted, or all: the same for every trial on these rows."""
    order = torch.randperm(len(rows), generator=generator_for("rows to reconstruct", len(rows)))
    return rows[order[:count].sort().values]


def decoded(method: Method, images: int) -> int:
    """How many of `images` are decoded: all, or as many as the method's `decode_limit` allows."""
    return images if method.decode_limit is None else min(images, method.decode_limit)


def pixel_quality(images: Tensor, reconstructions: Tensor) -> dict[str, Tensor]:
    """PSNR in dB and SSIM of each of B images (B, C, H, W) in [0, 1], both (B,).

    Both agree with torchmetrics. Its SSIM filters with 11 x 11 windows and takes ten times as long on a CPU. Variances are
    differences of squares, so in float32 flat gray areas are right to 0.0002 only.
    """
    error = (reconstructions - images).square().mean((1, 2, 3))
    return {"psnr": -10 * error.log10(), "ssim": structural_similarity(images, reconstructions)}


def structural_similarity(images: Tensor, copies: Tensor) -> Tensor:
    """(B,): SSIM of two (B, C, H, W) in [0, 1], the mean over all windows and channels."""
    rows, columns = (_window(size, images) for size in images.shape[-2:])
    moments = torch.stack([images, copies, images * images, copies * copies, images * copies])
    mean, other, square, other_square, product = rows @ moments @ columns.T  # each (B, C, H, W)
    variances = (square - mean * mean).clamp(min=0) + (other_square - other * other).clamp(min=0)
    covariance = product - mean * other
    luminance = (2 * mean * other + STABILIZERS[0]) / (mean * mean + other * other + STABILIZERS[0])
    structure = (2 * covariance + STABILIZERS[1]) / (variances + STABILIZERS[1])
    similarity: Tensor = luminance * structure
    return similarity.mean((1, 2, 3))


def _window(size: int, like: Tensor) -> Tensor:
    """(size, size): row i weighs the pixels in the window around pixel i; the picture is mirrored at its edges."""
    offsets = torch.arange(-REACH, REACH + 1, dtype=like.dtype, device=like.device)
    weights = torch.exp(-0.5 * (offsets / WINDOW_DEVIATION).square())
    pixels = torch.eye(size, dtype=like.dtype, device=like.device)[:, None]  # (size, 1, size)
    mirrored = torch.nn.functional.pad(pixels, (REACH, REACH), mode="reflect")
    return torch.nn.functional.conv1d(mirrored, (weights / weights.sum())[None, None])[:, 0].T


def network_metrics(device: torch.device) -> "tuple[dict[str, Metric], dict[str, str]]":
    """LPIPS and FID as far as this machine has what they need, and the reason for each other one."""
    found: dict[str, Metric] = {}
    reasons = {}
    if (reason := _missing(ALEXNET)) is None:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        found["lpips"] = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)
    else:
        reasons["lpips"] = f"LPIPS needs {reason}"
    if find_spec("torch_fidelity") is None:
        reasons["fid"] = "FID needs the package torch-fidelity, which is not installed."
    elif (reason := _missing(INCEPTION)) is None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        weights = str(_place(INCEPTION))
        fid = FrechetInceptionDistance(FID_FEATURES, normalize=True, feature_extractor_weights_path=weights)
        found["fid"] = fid.to(device)
    else:
        reasons["fid"] = f"FID needs {reason}"
    return found, reasons


@torch.no_grad()
def reconstruction_quality(
    method: Method, dataset: FactorDataset, rows: Tensor, device: torch.device
) -> tuple[dict[str, float], dict[str, str]]:
    """Quality of the rows (N,) decoded from their posterior means, with the number of 'images'; a reason for what is missing."""
    method = method.to(device).eval()
    networks, reasons = network_metrics(device)
    parts: dict[str, list[Tensor]] = {"psnr": [], "ssim": []}
    for chunk in rows.to(dataset.preferred_device(device)).split(CHUNK):
        images = dataset.batch(chunk).to(device).float().div_(255)
        reconstructions = method(images)
        for name, values in pixel_quality(images, reconstructions).items():
            parts[name].append(values.cpu())
        # Networks read color: a gray picture is one with three equal channels.
        original, copy = (each.expand(-1, 3, -1, -1) for each in (images, reconstructions))
        if "lpips" in networks:
            networks["lpips"].update(original, copy)
        if "fid" in networks:
            networks["fid"].update(original, real=True)
            networks["fid"].update(copy, real=False)
    found = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    found |= {name: float(network.compute()) for name, network in networks.items()}
    return {**found, "images": float(len(rows))}, reasons


@torch.no_grad()
def selection_scores(method: Method, dataset: FactorDataset, rows: Tensor, device: torch.device) -> dict[str, float]:
    """Scores of the method that need no factors, on IMAGES of the scored rows (N,) at most."""
    method = method.to(device).eval()
    chosen = fixed_rows(rows, decoded(method, IMAGES)).to(dataset.preferred_device(device))
    found = method.selection_scores(dataset.batch(chunk).to(device).float().div_(255) for chunk in chosen.split(CHUNK))
    scores = {str(name): float(value) for name, value in found.items()}
    if infinite := [name for name, value in scores.items() if not math.isfinite(value)]:
        raise FloatingPointError(
            f"{type(method).__name__}.selection_scores needs finite numbers, got {scores[infinite[0]]}."
        )
    return scores


def _place(weights: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / weights


def _missing(weights: str) -> str | None:
    """What to do where a file of weights is not on this machine; None where it is."""
    if _place(weights).is_file():
        return None
    return (
        f"the weights {weights} in the folder 'checkpoints' of torch.hub.get_dir(), which lacks them; they are never downloaded "
        f"unasked ({WHENCE[weights]}{weights})."
    )
