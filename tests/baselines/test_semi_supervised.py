"""Losses of labels by hand and against the authors' code, the unsupervised method as the limit, and what labels do to latents."""

import pytest
import torch
from step_input import SIZES, with_all_it_samples

from disbench.baselines import BASELINES
from disbench.baselines.method import Batch, Labelled, Step
from disbench.baselines.semi_supervised import S2BetaVAE, label_loss, label_targets
from disbench.baselines.supervised import Supervised

SMALL = {"network": "mlp", "hidden_dim": 16}
SHAPE = (1, 16, 16)
UNSUPERVISED = {"s2_beta_vae": "beta_vae", "s2_beta_tcvae": "beta_tcvae", "s2_dip_vae": "dip_vae_i"}


def test_targets_span_zero_to_one_and_what_is_unknown_or_constant_does_not_count() -> None:
    targets, known = label_targets(torch.tensor([[0, 4, 0], [1, -1, 0], [2, 2, 0]]), (3, 5, 1))
    assert targets.tolist() == [[0.0, 1.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.5, 0.0]]
    assert known.tolist() == [[True, True, False], [True, False, False], [True, True, False]]


def test_the_cross_entropy_is_that_of_the_authors_code() -> None:
    """disentanglement_lib 86a644d, `supervised_regularizer_xent` run in numpy: a sum over images of labels divided by n."""
    outputs = torch.arange(20.0, dtype=torch.float64).reshape(4, 5) % 7 / 3 - 1
    targets = torch.tensor([[0, 1, 1], [2, 3, 0], [1, 0, 1], [2, 2, 0]]) / torch.tensor([3, 4, 2])
    found = label_loss(outputs, targets.double(), torch.ones(4, 3, dtype=torch.bool))
    assert float(4 * found) == pytest.approx(7.687809828484406, rel=1e-7)


def test_distances_by_hand() -> None:
    outputs = torch.tensor([[0.0, 50.0, 9.0], [0.0, -50.0, -9.0]])
    targets, known = torch.tensor([[1.0, 1.0], [0.5, 1.0]]), torch.tensor([[True, True], [True, False]])
    # Of a sigmoid of 1/2: log 2 whatever the target. Of a certain one that is right: 0.
    assert float(label_loss(outputs, targets, known)) == pytest.approx(0.69314718)
    assert float(label_loss(outputs, targets, known, "squared_error")) == pytest.approx(0.125)
    assert float(label_loss(outputs, targets, known.logical_not())) == pytest.approx(
        25
    )  # half of the one that is wrong by 50


def step_terms(name: str, batch: Batch, **hparams: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    method = BASELINES[name](SHAPE, 100, **SMALL, **hparams)
    method.label_sizes, method.total_steps = SIZES, 10
    return method.training_step(batch, 0)


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_the_loss_is_the_unsupervised_one_and_the_weighted_distance_of_images_with_labels(name: str) -> None:
    torch.manual_seed(1)
    labelled, images = torch.rand(6, *SHAPE), torch.rand(6, *SHAPE)
    both = torch.cat([labelled, images])
    method = BASELINES[name](SHAPE, 100, **SMALL)
    batch = with_all_it_samples(method, both)
    plain = step_terms(UNSUPERVISED[name], Batch(images))
    nothing, found = (step_terms(name, batch, label_weight=weight) for weight in (0.0, 7.0))
    assert torch.equal(nothing["loss"], plain["loss"])  # to the bit, with the same noise
    assert torch.equal(found["loss"], plain["loss"] + 7 * found["labels"])
    assert set(found) == {*plain, "labels"}
    others = Batch(torch.cat([labelled, images.flip(0)]), labels=torch.cat([batch.labels[:6], -batch.labels[6:]]))
    assert torch.equal(step_terms(name, others)["labels"], found["labels"])
    moved = Batch(both, labels=torch.cat([batch.labels[:6].flip(0), batch.labels[6:]]))
    assert not torch.equal(step_terms(name, moved)["labels"], found["labels"])


def test_the_first_latents_learn_the_labels_and_the_others_see_none() -> None:
    torch.manual_seed(0)
    method = S2BetaVAE(SHAPE, 100, latent_dim=5, label_weight=1e4, labels=50, **SMALL)
    batch = with_all_it_samples(method, torch.rand(32, *SHAPE))
    distance = method.training_step(batch, 0)["labels"]
    weight = method.encoder[-1].weight
    (gradient,) = torch.autograd.grad(distance, weight)
    assert (gradient.abs().sum(1) > 0).tolist() == [True] * 3 + [
        False
    ] * 7  # 5 means, of which 3 have labels; 5 variances
    assert method.sampling == Labelled(50, own_minibatch=True)


def test_a_regression_predicts_and_its_decoder_teaches_the_encoder_nothing() -> None:
    torch.manual_seed(0)
    method = Supervised(SHAPE, 100, latent_dim=5, lr=0.01, **SMALL)
    images = torch.rand(12, *SHAPE)
    batch = with_all_it_samples(method, images)
    terms = method.training_step(batch, 0)
    of_pictures = torch.autograd.grad(
        terms["reconstruction"], list(method.encoder.parameters()), allow_unused=True, retain_graph=True
    )
    assert set(of_pictures) == {None}
    assert all(each is not None for each in torch.autograd.grad(terms["labels"], list(method.encoder.parameters())))
    optimizer = method.configure_optimizers()
    for _ in range(300):
        optimizer.zero_grad()
        method.training_step(batch, 0)["loss"].backward()
        optimizer.step()
    codes = method.encode(images).values
    assert codes[:, 3:].tolist() == [[0.0, 0.0]] * 12
    torch.testing.assert_close(codes[:, :3], batch.labels / (torch.tensor(SIZES) - 1), atol=0.1, rtol=0)


def test_what_a_regression_learned_is_kept_with_its_weights() -> None:
    one, other = (Supervised(SHAPE, 100, latent_dim=5, **SMALL) for _ in range(2))
    one.training_step(with_all_it_samples(one, torch.rand(4, *SHAPE)), 0)
    other.load_state_dict(one.state_dict())
    assert other.encode(torch.rand(2, *SHAPE)).values[:, 3:].abs().max() == 0


def test_a_trainer_without_labels_or_with_too_few_latents_is_refused() -> None:
    method = S2BetaVAE(SHAPE, 100, latent_dim=2, **SMALL)
    batch = with_all_it_samples(method, torch.rand(8, *SHAPE))
    with pytest.raises(ValueError, match="S2BetaVAE has 2 latents for the labels of 3 factors"):
        method.training_step(batch, 0)
    method.label_sizes = None
    with pytest.raises(ValueError, match="set label_sizes of the method"):
        method.training_step(batch, 0)
    with pytest.raises(ValueError, match="label_loss must be one of cross_entropy, squared_error, got 'l1'"):
        S2BetaVAE(SHAPE, 100, label_loss="l1", **SMALL)


def test_a_step_of_the_whole_training_is_known_to_the_unsupervised_part() -> None:
    seen: list[Step] = []

    class Noting(S2BetaVAE):
        def regulariser(self, z, q, step):
            seen.append(step)
            return super().regulariser(z, q, step)

    method = Noting(SHAPE, 100, **SMALL)
    method.total_steps = 9
    method.training_step(with_all_it_samples(method, torch.rand(4, *SHAPE)), 3)
    assert seen == [Step(3, 9)]
