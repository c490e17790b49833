import pytest
import torch

from disbench.baselines import BASELINES
from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.gaussian import Posterior
from disbench.baselines.networks import count_parameters
from disbench.baselines.vae import VAE


def test_the_convolutional_network_has_the_size_of_locatello_2019() -> None:
    assert count_parameters(VAE((1, 64, 64), 1000)) == 764_245


def test_beta_one_is_the_vae_and_beta_scales_the_kl() -> None:
    q = Posterior(torch.randn(4, 10), torch.randn(4, 10))
    z = q.sample()
    options = {"network": "mlp", "hidden_dim": 8}
    plain, _ = VAE((1, 8, 8), 100, **options).regulariser(z, q)
    one, _ = BetaVAE((1, 8, 8), 100, beta=1.0, **options).regulariser(z, q)
    eight, terms = BetaVAE((1, 8, 8), 100, beta=8.0, **options).regulariser(z, q)
    torch.testing.assert_close(one, plain)
    torch.testing.assert_close(eight, 8 * terms["kl"])


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("channels", [1, 3])
def test_encoding_is_deterministic_and_decoding_gives_pictures(name: str, channels: int) -> None:
    method = BASELINES[name]((channels, 64, 64), 1000)
    x = torch.rand(3, channels, 64, 64)
    codes = method.encode(x)
    assert codes.values.shape == (3, method.latent_dim)
    assert (codes.std is not None and codes.std.shape == (3, 10)) == isinstance(method, VAE)
    torch.testing.assert_close(codes, method.encode(x), rtol=0, atol=0)
    images = method.decode(codes.values)
    assert images.shape == x.shape
    assert 0 <= images.min() <= images.max() <= 1


def test_the_perceptron_takes_any_size_and_the_convolution_says_what_it_takes() -> None:
    assert VAE((3, 8, 9), 100, network="mlp", hidden_dim=8)(torch.rand(2, 3, 8, 9)).shape == (2, 3, 8, 9)
    with pytest.raises(ValueError, match=r"\(C, 64, 64\).*mlp"):
        VAE((3, 8, 9), 100)
    with pytest.raises(ValueError, match="conv, mlp"):
        VAE((1, 64, 64), 100, network="resnet")


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="betta"):
        BetaVAE((1, 64, 64), 100, betta=3.0)
