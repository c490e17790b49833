"""What a training step gets, where training is, and the forms of version 0.2 that still work."""

import pytest
import torch
from pytorch_lightning import Trainer
from step_input import with_all_it_samples
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from disbench.baselines.alternating import Alternating, AlternatingVAE, Stage, StageResult
from disbench.baselines.method import Batch, Independent, Labelled, Method, Pairs, Step, as_batch
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS

SHAPE = (1, 8, 8)
SMALL = {"network": "mlp", "hidden_dim": 8}
OWN = {
    "mine_vae": {"latent_dim": 4, "num_factors": 2},
    "factor_vae": {"discriminator_dim": 8},
    "factor_qvae": {"discriminator_dim": 8},
}


def trainer(**options: object) -> Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(accelerator="cpu", **quiet, **options)


class Noting(VAE):
    """Keeps the steps that it is given."""

    def __init__(self) -> None:
        super().__init__(SHAPE, 32, **SMALL)
        self.seen: list[Step] = []

    def regulariser(self, z: Tensor, q: object, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen.append(step)
        return super().regulariser(z, q, step)


class TwoStages(AlternatingVAE):
    """Two optimizers, of which each steps once; it keeps the steps that it is given."""

    def __init__(self) -> None:
        super().__init__(SHAPE, 32, **SMALL)
        self.seen: list[Step] = []

    def stages(self, step: Step):
        self.seen.append(step)
        yield Stage("first", type(self).run, (0,))
        yield Stage("second", type(self).run, (1,))

    def run(self, batch: Batch, context: object) -> StageResult:
        loss = self.reconstruction_loss(batch.images, self.posterior(batch.images).sample())
        return StageResult((loss,), {"loss": loss}, context)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(self.encoder.parameters()), torch.optim.Adam(self.decoder.parameters())]


def loader(length: int = 32) -> DataLoader:
    return DataLoader(TensorDataset(torch.rand(length, *SHAPE)), batch_size=8)


@pytest.mark.parametrize("kind", [Noting, TwoStages])
@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_epochs": 2}, [(number, 8) for number in range(8)]),
        ({"max_steps": 6}, [(number, 6) for number in range(6)]),  # 4 batches are an epoch
        ({"max_epochs": 1, "max_steps": 100}, [(number, 4) for number in range(4)]),
    ],
)
def test_a_trainer_of_the_users_gives_the_number_of_calls_and_of_the_whole(
    kind: type, limits: dict, expected: list
) -> None:
    method = kind()
    trainer(**limits).fit(method, loader())
    assert method.seen == expected


def test_a_training_loop_sets_the_total_and_each_epochs_batches_are_no_matter() -> None:
    method = Noting()
    method.total_steps = 50
    assert method.current_step(7) == Step(7, 50)
    assert method.current_step(7).fraction == 0.14


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_under_a_plain_trainer(name: str) -> None:
    torch.manual_seed(0)
    method = METHODS[name](SHAPE, 64, **SMALL, **OWN.get(name, {}))
    method.audit_at = ()  # of mine_vae: an audit takes seconds
    before = method.encoder[1].weight.detach().clone()
    given = with_all_it_samples(method, torch.rand(64, *SHAPE))
    images = DataLoader(TensorDataset(*(each for each in given if each is not None)), batch_size=16)
    fit = trainer(max_steps=10)
    fit.fit(method, images)
    assert fit.global_step == 10  # training steps, however many optimizers a method has
    assert not torch.equal(method.encoder[1].weight, before)
    if name == "mine_vae":
        assert method.parts.attention.assignment().isfinite().all()


def test_a_tensor_a_tuple_and_bytes_become_a_batch() -> None:
    images, labels = torch.rand(4, *SHAPE), torch.arange(4)
    assert as_batch(images).images is images
    assert torch.equal(as_batch((images, labels)).labels, labels[:, None])
    assert as_batch([images, labels]).partner is None
    assert torch.equal(as_batch((images, 1 - images)).partner, 1 - images)
    whole = torch.randint(256, (4, *SHAPE), dtype=torch.uint8)
    assert torch.equal(as_batch(Batch(whole)).images, whole / 255)


@pytest.mark.parametrize("wrong", [{"images": 1}, (), ("a",), (torch.rand(4, *SHAPE), torch.rand(4, 2))])
def test_what_is_no_batch_is_refused_with_what_is_needed(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"images"):
        as_batch(wrong)


def test_a_step_that_was_written_for_a_tensor_is_told_where_the_images_are() -> None:
    with pytest.raises(AttributeError, match=r"use batch\.images"):
        Batch(torch.rand(4, *SHAPE)).chunk(2)


@pytest.mark.parametrize(("sampling", "needed"), [(Pairs(), "partner"), (Labelled(3), "labels")])
def test_a_loader_without_what_a_method_samples_is_refused(sampling: object, needed: str) -> None:
    method = Noting()
    method.sampling = sampling
    with pytest.raises(TypeError, match=f"yields no {needed}"):
        trainer(max_steps=1).fit(method, loader())


def test_a_loader_of_pairs_that_does_not_tell_what_changed_is_refused_where_that_is_needed() -> None:
    method = VAE(SHAPE, 100, network="mlp", hidden_dim=8)
    method.sampling = Pairs(known=True)
    images = torch.rand(4, *SHAPE)
    with pytest.raises(TypeError, match="yields no changed"):
        method.on_after_batch_transfer((images, images.flip(0)), 0)
    changed = torch.ones(4, 3, dtype=torch.bool)
    assert torch.equal(method.on_after_batch_transfer((images, images.flip(0), changed), 0).changed, changed)


@pytest.mark.parametrize("wrong", [lambda: Independent(0), lambda: Pairs(0), lambda: Labelled(3, 1.5)])
def test_sampling_refuses_numbers_that_mean_nothing(wrong: object) -> None:
    with pytest.raises(ValueError, match="got"):
        wrong()


def test_batches_per_step_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"sampling = Independent\(2\)"):

        class Old(VAE):
            batches_per_step = 2

    assert Old.sampling == Independent(2)
    with pytest.warns(DeprecationWarning):
        assert Old(SHAPE, 10, **SMALL).batches_per_step == 2


def test_a_regulariser_without_the_step_works_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"regulariser\(self, z, q, step\)"):

        class Old(VAE):
            def regulariser(self, z: Tensor, q: object) -> tuple[Tensor, dict[str, Tensor]]:
                penalty, terms = super().regulariser(z, q)
                return 0 * penalty, terms

    terms = Old(SHAPE, 10, **SMALL).training_step(torch.rand(4, *SHAPE), 0)
    assert terms["loss"] == terms["reconstruction"]
    assert terms["kl"] > 0


def test_stages_of_a_number_and_a_total_work_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"stages\(self, step\)"):

        class Old(TwoStages):
            def stages(self, batch_idx: int, steps: int):
                yield from super().stages(Step(batch_idx, steps))

    method = Old()
    trainer(max_steps=2).fit(method, loader())
    assert method.seen == [(0, 2), (1, 2)]


class Scheduled(Alternating):
    """No VAE: one optimizer as the only one that takes a turn, and a scheduler."""

    sampling = Independent(1)

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(64, 1)
        self.rates: list[float] = []

    def stages(self, step: Step):
        yield Stage("all", type(self).run, (0,))

    def run(self, batch: Batch, context: object) -> StageResult:
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        loss = self.network(batch.images.flatten(1)).square().mean()
        return StageResult((loss,), {"loss": loss}, context)

    def configure_optimizers(self) -> object:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


def test_a_method_that_is_no_vae_alternates_and_its_scheduler_steps_each_step() -> None:
    method = Scheduled()
    assert not isinstance(method, VAE)
    assert isinstance(method, Method)
    trainer(max_steps=4).fit(method, loader())
    assert method.rates == [1, 0.5, 0.25, 0.125]


def test_a_stage_of_an_optimizer_that_is_not_there_is_named() -> None:
    class Wrong(Scheduled):
        def stages(self, step: Step):
            yield Stage("all", type(self).run, (1,))

    with pytest.raises(
        ValueError, match="Wrong: the stage 'all' names optimizer 1, but configure_optimizers returns 1"
    ):
        trainer(max_steps=1).fit(Wrong(), loader())
