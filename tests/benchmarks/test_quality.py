"""Reconstruction quality: exact on pictures whose answer is known, and never fetched from elsewhere."""

from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import alexnet

from disbench.baselines.vae import VAE
from disbench.benchmarks.trials import reconstruction as quality
from disbench.benchmarks.trials.reconstruction import (
    ALEXNET,
    INCEPTION,
    fixed_rows,
    network_metrics,
    pixel_quality,
    reconstruction_quality,
)
from disbench.datasets import load

CPU = torch.device("cpu")
SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for torch's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


def test_psnr_is_ten_times_the_decimal_logarithm_of_the_inverse_squared_error_of_each_image() -> None:
    images = torch.zeros(2, 1, 64, 64)
    copies = torch.stack([torch.full((1, 64, 64), 0.1), torch.full((1, 64, 64), 0.01)])
    # Of the mean squared error over both images it would be 22.97 dB for either.
    assert pixel_quality(images, copies)["psnr"].tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_ssim_of_two_flat_pictures_is_that_of_their_brightness() -> None:
    flat = torch.full((1, 1, 64, 64), 0.3)
    found = pixel_quality(flat, 2 * flat)["ssim"]
    stabiliser = 0.01**2
    expected = (2 * 0.3 * 0.6 + stabiliser) / (0.3**2 + 0.6**2 + stabiliser)
    assert found.item() == pytest.approx(expected, abs=3e-4)  # float32 variances of a flat picture


def test_ssim_of_a_picture_with_itself_is_one_and_falls_with_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    noise = torch.rand(1, 3, 64, 64, generator=generator) - 0.5
    scores = [pixel_quality(image, (image + level * noise).clamp(0, 1))["ssim"].item() for level in (0, 0.2, 1.0)]
    assert scores[0] == pytest.approx(1.0)
    assert scores[0] > scores[1] > scores[2]


def test_a_methods_quality_is_the_mean_over_all_images_however_they_are_split(hub: Path) -> None:
    dataset = load("dsprites_like", select=SELECT)
    method = VAE((1, 64, 64), 100, latent_dim=3, network="mlp", hidden_dim=8)
    rows = torch.arange(50)  # two whole chunks and a part of one
    found, reasons = reconstruction_quality(method, dataset, rows, CPU)
    images = dataset.batch(rows).float() / 255
    with torch.no_grad():
        expected = pixel_quality(images, method(images))
    assert found["images"] == 50
    for name, values in expected.items():
        assert found[name] == pytest.approx(values.mean().item(), rel=1e-5)
    assert set(reasons) == {"lpips", "fid"}


def test_the_rows_are_the_same_each_time_sorted_and_all_where_they_fit() -> None:
    rows = torch.arange(1000) * 3
    chosen = fixed_rows(rows, 40)
    assert torch.equal(chosen, fixed_rows(rows, 40))
    assert torch.equal(chosen, chosen.unique())
    assert len(chosen) == 40
    assert set(chosen.tolist()) <= set(rows.tolist())
    assert torch.equal(fixed_rows(rows, 5000), rows)


def test_without_weights_there_is_a_reason_and_no_download(hub: Path) -> None:
    found, reasons = network_metrics(CPU)
    assert not found
    assert ALEXNET in reasons["lpips"]
    assert "https://download.pytorch.org/models/alexnet" in reasons["lpips"]
    assert reasons["fid"].startswith("FID needs")
    assert not list(hub.iterdir())


def test_with_weights_on_this_machine_lpips_is_measured(hub: Path) -> None:
    torch.manual_seed(0)
    # The classifier's 58 million weights are not read by LPIPS: one number stands for all of each tensor.
    weights = {
        name: value if name.startswith("features") else torch.zeros(()).expand(value.shape)
        for name, value in alexnet(weights=None).state_dict().items()
    }
    torch.save(weights, hub / ALEXNET)
    found, reasons = network_metrics(CPU)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found["lpips"].update(images, images)
    assert found["lpips"].compute() == pytest.approx(0.0, abs=1e-6)
    found["lpips"].update(images, 1 - images)
    assert found["lpips"].compute() > 0
    assert "lpips" not in reasons


def test_lpips_reads_images_from_zero_to_one(hub: Path) -> None:
    """The published networks want them from -1 to 1; given as they are, they would be grey and half as far apart."""
    torch.manual_seed(0)
    weights = {
        name: value if name.startswith("features") else torch.zeros(()).expand(value.shape)
        for name, value in alexnet(weights=None).state_dict().items()
    }
    torch.save(weights, hub / ALEXNET)
    lpips = network_metrics(CPU)[0]["lpips"]
    one, other = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    lpips.update(one, other)
    published = LearnedPerceptualImagePatchSimilarity("alex", normalize=False)
    published.update(2 * one - 1, 2 * other - 1)
    assert lpips.compute().item() == pytest.approx(published.compute().item(), rel=1e-4)
    published.reset()
    published.update(one, other)
    assert lpips.compute().item() != pytest.approx(published.compute().item(), rel=0.05)


class UntrainedInception(FeatureExtractorInceptionV3):
    def load_state_dict(self, *args: object, **options: object) -> None:
        """Keep the initial weights, whatever file was read."""


def test_with_weights_on_this_machine_fid_is_measured(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "FID_FEATURES", 64)  # of the first layers: a covariance of 2,048 takes half a minute
    torch.save({}, hub / "none")
    torch.manual_seed(0)
    inception = UntrainedInception("untrained", ["64"], feature_extractor_weights_path=str(hub / "none"))
    weights = {name: value if value.dim() < 4 else value * 5 for name, value in inception.state_dict().items()}
    torch.save(weights, hub / INCEPTION)
    fid = network_metrics(CPU)[0]["fid"]
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    def distance(copies: torch.Tensor) -> float:
        fid.reset()
        fid.update(images, real=True)
        fid.update(copies, real=False)
        return fid.compute().item()

    assert distance(images) == pytest.approx(0.0, abs=1e-3)
    assert 0.01 < distance(0.9 * images + 0.1 * images.mean()) < distance(images.mean().expand_as(images))


@pytest.mark.parametrize("shape", [(4, 1, 64, 64), (3, 3, 64, 48)])
def test_psnr_and_ssim_are_those_of_torchmetrics(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(shape, generator=generator)
    images[0] = images[0].round()  # hard edges
    copies = (images + 0.3 * torch.randn(shape, generator=generator)).clamp(0, 1)
    found = pixel_quality(images, copies)
    ssim = structural_similarity_index_measure(copies, images, data_range=1.0, reduction="none")
    psnr = peak_signal_noise_ratio(copies, images, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert torch.allclose(found["ssim"], ssim, atol=1e-5)
    assert torch.allclose(found["psnr"], psnr, atol=1e-4)
