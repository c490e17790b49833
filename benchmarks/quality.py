"""How good reconstructions are: PSNR and SSIM always, LPIPS and FID where their networks' weights are on this machine.

PSNR is 10 log10(1 / mean squared error) of an image, in dB; SSIM is that of Wang et al. 2004 (doi:10.1109/TIP.2003.819861),
11 x 11 Gaussian windows of deviation 1.5. Both are means over images and higher is better. LPIPS (Zhang et al. 2018,
arXiv:1801.03924) with AlexNet and FID (Heusel et al. 2017, arXiv:1706.08500) compare features of trained networks; lower is
better. FID from so few images is biased upwards, so compare it only at equal numbers of images.

Weights are never downloaded here: put them where torch keeps its own, `checkpoints` in `torch.hub.get_dir()`, which
$TORCH_HOME moves.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from disbench.baselines.method import Method
from disbench.benchmarks.seeds import generator_for
from disbench.datasets import FactorDataset

RECONSTRUCTION = ("psnr", "ssim", "lpips", "fid")
IMAGES = 1000  # reconstructed at most
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


def pixel_quality(images: Tensor, reconstructions: Tensor) -> dict[str, Tensor]:
    """PSNR in dB and SSIM of each of B images (B, C, H, W) in [0, 1], both (B,).

    SSIM takes variances as differences of squares, so in float32 flat grey areas are right to .0002 only; float64 took 25 times
    as long.
    """
    psnr = peak_signal_noise_ratio(reconstructions, images, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(reconstructions, images, data_range=1.0, reduction="none")
    return {"psnr": psnr, "ssim": ssim}


def network_metrics(device: torch.device) -> tuple[dict[str, Metric], dict[str, str]]:
    """LPIPS and FID as far as this machine has what they need, and the reason for each other one."""
    found: dict[str, Metric] = {}
    reasons = {}
    if (reason := _missing(ALEXNET)) is None:
        found["lpips"] = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)
    else:
        reasons["lpips"] = f"LPIPS needs {reason}"
    if find_spec("torch_fidelity") is None:
        reasons["fid"] = "FID needs the package torch-fidelity, which is not installed."
    elif (reason := _missing(INCEPTION)) is None:
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
    for chunk in rows.to(dataset.place(device)).split(CHUNK):
        images = dataset.batch(chunk).to(device).float().div_(255)
        reconstructions = method(images)
        for name, values in pixel_quality(images, reconstructions).items():
            parts[name].append(values.cpu())
        # Networks read colour: a grey picture is one with three equal channels.
        original, copy = (each.expand(-1, 3, -1, -1) for each in (images, reconstructions))
        if "lpips" in networks:
            networks["lpips"].update(original, copy)
        if "fid" in networks:
            networks["fid"].update(original, real=True)
            networks["fid"].update(copy, real=False)
    found = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    found |= {name: float(network.compute()) for name, network in networks.items()}
    return {**found, "images": float(len(rows))}, reasons


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
