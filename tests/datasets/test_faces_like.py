"""The drawn faces: what they have, how often, and that it can be seen."""

import contextlib
import hashlib

import numpy as np
import pytest
import torch
from accelerator import on_an_accelerator
from sklearn.linear_model import RidgeClassifier

from disbench.datasets.procedural import face_attributes, faces_like
from disbench.datasets.procedural.face_attributes import (
    ATTRIBUTES,
    NUISANCES,
    ROWS,
    attributes_of,
    nuisances_of,
    possible,
)
from disbench.datasets.procedural.faces_like import RENDERER_VERSION, FacesLike, render

RARE = {"Bald", "Double_Chin", "Gray_Hair", "Mustache", "Pale_Skin", "Wearing_Hat"}
SOME_ROWS = np.arange(0, ROWS, 1_999)  # 102


@pytest.fixture(scope="module")
def faces() -> FacesLike:
    return FacesLike(attributes="all")


def drawn(attributes: np.ndarray, nuisances: np.ndarray) -> torch.Tensor:
    """Images (B, 3, 64, 64), int64."""
    return render(torch.from_numpy(attributes), torch.from_numpy(nuisances)).long()


def column(faces: FacesLike, name: str) -> np.ndarray:
    assert faces.labels is not None
    return faces.labels[:, faces.factor_names.index(name)].numpy().astype(bool)


def test_there_are_as_many_rows_and_attributes_as_in_celeba_and_each_has_two_values(faces: FacesLike) -> None:
    assert len(faces) == 202_599
    assert not faces.is_grid
    assert faces.factor_sizes == (2,) * 40
    assert faces.factor_names[:2] == ("5_o_Clock_Shadow", "Arched_Eyebrows")
    assert faces.factor_names[20] == "Male"
    assert faces.factor_names[-1] == "Young"
    assert list(faces.factor_names) == sorted(faces.factor_names)  # the official order is the alphabet's
    assert faces.labels is not None
    assert faces.labels.dtype == torch.uint8
    assert faces.labels.unique().tolist() == [0, 1]


def test_by_default_the_attributes_are_those_that_5_to_95_percent_have(faces: FacesLike) -> None:
    usual = FacesLike()
    assert usual.factor_names == tuple(name for name in ATTRIBUTES if name not in RARE)
    rows = torch.arange(0, ROWS, 9_999)
    kept = [ATTRIBUTES.index(name) for name in usual.factor_names]
    assert torch.equal(usual.factors(rows), faces.factors(rows)[:, kept])
    assert torch.equal(usual.batch(rows), faces.batch(rows)), "the pictures do not depend on what is asked of them"


def test_attributes_can_be_named_and_come_in_that_order(faces: FacesLike) -> None:
    few = FacesLike(attributes=["Young", "Bald"])
    assert few.factor_names == ("Young", "Bald")
    rows = torch.arange(1_000)
    assert torch.equal(few.factors(rows), faces.factors(rows)[:, [39, 4]])


@pytest.mark.parametrize("attributes", [[], ["Male", "Handsome"], ["Male", "Male"], "Male", ""])
def test_unknown_repeated_and_no_attributes_are_refused(attributes: object) -> None:
    with pytest.raises(ValueError, match=r"distinct names in a list, got .* Known: 5_o_Clock_Shadow, "):
        FacesLike(attributes=attributes)  # type: ignore[arg-type]


def test_attributes_are_as_frequent_as_in_celeba(faces: FacesLike) -> None:
    for name, (rate, _) in face_attributes.TABLE.items():
        assert column(faces, name).mean() == pytest.approx(rate, abs=0.006), name
    for name, published in (("Male", 0.417), ("Smiling", 0.482), ("No_Beard", 0.835), ("Bald", 0.022)):
        assert column(faces, name).mean() == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("Male", "Wearing_Lipstick", -0.9, -0.7),
        ("Male", "Heavy_Makeup", -0.75, -0.55),
        ("Male", "No_Beard", -0.6, -0.45),
        ("Heavy_Makeup", "Wearing_Lipstick", 0.7, 0.9),
        ("Smiling", "High_Cheekbones", 0.55, 0.8),
        ("Smiling", "Mouth_Slightly_Open", 0.4, 0.65),
        ("Young", "Gray_Hair", -0.45, -0.25),
        ("Young", "Attractive", 0.3, 0.5),
        ("Male", "Attractive", -0.5, -0.3),
        ("Chubby", "Double_Chin", 0.4, 0.65),
        ("Goatee", "No_Beard", -0.7, -0.4),
        ("Goatee", "Sideburns", 0.35, 0.65),
        ("5_o_Clock_Shadow", "No_Beard", -0.7, -0.4),
        ("Male", "Blond_Hair", -0.45, -0.2),
        ("Male", "Big_Nose", 0.25, 0.5),
        ("Male", "Wearing_Necktie", 0.2, 0.45),
        ("Wavy_Hair", "Straight_Hair", -0.45, -0.25),
        ("Blurry", "Male", -0.02, 0.02),
    ],
)
def test_attributes_are_about_as_correlated_as_in_celeba(
    faces: FacesLike, one: str, other: str, low: float, high: float
) -> None:
    assert low < np.corrcoef(column(faces, one), column(faces, other))[0, 1] < high


def test_attributes_that_exclude_each_other_never_meet(faces: FacesLike) -> None:
    has = {name: column(faces, name) for name in ATTRIBUTES}
    colours = sum(has[name].astype(int) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"))
    assert set(colours) == {0, 1}
    assert not (has["Straight_Hair"] & has["Wavy_Hair"]).any()
    for name in ("Straight_Hair", "Wavy_Hair", "Bangs", "Receding_Hairline"):
        assert not (has["Bald"] & has[name]).any(), name
    assert not (has["Receding_Hairline"] & (has["Bangs"] | has["Wearing_Hat"])).any()
    for name in ("Goatee", "Mustache", "Sideburns"):
        assert not (has["No_Beard"] & has[name]).any(), name
    assert has["No_Beard"][~has["Male"]].all()
    for name in ("Bald", "5_o_Clock_Shadow"):
        assert not (has[name] & ~has["Male"]).any(), name
    for name in ("Heavy_Makeup", "Wearing_Lipstick"):
        assert not (has[name] & has["Male"]).any(), name


def test_possible_faces_are_all_that_occur_and_not_more(faces: FacesLike) -> None:
    assert faces.labels is not None
    attributes = faces.labels[::7].numpy()
    assert possible(attributes).all()
    for name in ("Male", "Bald", "No_Beard", "Gray_Hair", "Bangs"):
        changed = attributes.copy()
        changed[:, ATTRIBUTES.index(name)] ^= 1
        assert not possible(changed).all(), name
        assert possible(changed).any(), name


def test_random_words_are_those_of_splitmix64() -> None:
    words = face_attributes._words(np.array([0]), 0, 3)
    assert words.tolist() == [[0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]]
    assert face_attributes._words(np.array([1]), 0, 1) == face_attributes._words(np.array([0]), 49, 1)


def test_rows_share_no_random_word() -> None:
    words = face_attributes._words(np.arange(3_000), 0, face_attributes._WORDS_A_ROW)
    assert len(np.unique(words)) == words.size


def test_a_rows_attributes_and_nuisances_are_a_function_of_its_number() -> None:
    rows = np.array([202_598, 0, 65_536, 7, 7])
    everything = np.arange(ROWS)
    assert np.array_equal(attributes_of(rows), attributes_of(everything)[rows])
    assert np.array_equal(nuisances_of(rows), nuisances_of(everything)[rows])


def test_a_picture_is_the_same_in_every_batch_and_with_any_number_of_threads(faces: FacesLike) -> None:
    rows = torch.from_numpy(SOME_ROWS)
    expected = faces.batch(rows)
    threads = torch.get_num_threads()
    try:
        for count, size in ((1, 7), (2, 102), (3, 33)):
            torch.set_num_threads(count)
            assert torch.equal(torch.cat([faces.batch(part) for part in rows.split(size)]), expected)
    finally:
        torch.set_num_threads(threads)


def test_random_states_are_neither_read_nor_changed(faces: FacesLike) -> None:
    rows = torch.arange(5)
    torch.manual_seed(0)
    expected, state = faces.batch(rows), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(FacesLike().batch(rows), expected)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("rows", [[-1], [0, ROWS]])
def test_rows_outside_are_an_index_error(faces: FacesLike, rows: list[int]) -> None:
    for read in (faces.batch, faces.factors):
        with pytest.raises(IndexError, match=r"0\.\.202598"):
            read(torch.tensor(rows))


@pytest.fixture(scope="module")
def sharp() -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Attributes, nuisances and images of some rows, none of them blurry."""
    attributes, nuisances = attributes_of(SOME_ROWS), nuisances_of(SOME_ROWS)
    attributes[:, ATTRIBUTES.index("Blurry")] = 0
    return attributes, nuisances, drawn(attributes, nuisances)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_can_be_seen_wherever_it_is_possible(
    name: str, sharp: tuple[np.ndarray, np.ndarray, torch.Tensor]
) -> None:
    attributes, nuisances, images = sharp
    changed = attributes.copy()
    changed[:, ATTRIBUTES.index(name)] ^= 1
    kept = possible(changed)
    assert kept.sum() >= 5
    difference = (drawn(changed[kept], nuisances[kept]) - images[kept]).abs().amax(dim=1)
    seen = (difference >= 12).sum(dim=(1, 2))
    assert (seen >= 5).all(), f"{name} changes only {seen.min()} pixels of row {SOME_ROWS[kept][seen.argmin()]}"


def test_blurred_faces_show_their_attributes_too() -> None:
    attributes, nuisances = attributes_of(SOME_ROWS[:20]), nuisances_of(SOME_ROWS[:20])
    attributes[:, ATTRIBUTES.index("Blurry")] = 1
    images = drawn(attributes, nuisances)
    for position in range(len(ATTRIBUTES)):
        changed = attributes.copy()
        changed[:, position] ^= 1
        kept = possible(changed)
        other = (drawn(changed[kept], nuisances[kept]) != images[kept]).flatten(1)
        assert other.any(dim=1).all(), ATTRIBUTES[position]


def test_every_nuisance_changes_pictures() -> None:
    attributes, nuisances = attributes_of(SOME_ROWS[:40]), nuisances_of(SOME_ROWS[:40])
    for position, name in enumerate(NUISANCES):
        low, high = nuisances.copy(), nuisances.copy()
        low[:, position], high[:, position] = 0, 255
        other = (drawn(attributes, low) != drawn(attributes, high)).flatten(1).any(dim=1)
        assert other.float().mean() > 0.05, name


def test_nuisances_are_uniform_bytes_that_say_nothing_about_attributes(faces: FacesLike) -> None:
    nuisances = nuisances_of(np.arange(ROWS))
    for values in nuisances.T:
        assert np.bincount(values, minlength=256) == pytest.approx(ROWS / 256, rel=0.2)
    assert faces.labels is not None
    both = np.concatenate((faces.labels.numpy(), nuisances), axis=1).astype(np.float32)
    across = np.corrcoef(both.T)[:40, 40:]
    assert np.abs(across).max() < 0.012


def test_windows_hold_their_shapes_wherever_a_face_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    attributes = generator.integers(0, 2, (200, len(ATTRIBUTES)), dtype=np.uint8)
    nuisances = generator.integers(0, 2, (200, len(NUISANCES)), dtype=np.uint8) * 255  # the corners of what may happen
    expected = drawn(attributes, nuisances)
    monkeypatch.setattr(faces_like, "_pixel", lambda position, shift: 0)  # every window is the whole picture
    whole = drawn(attributes, nuisances)
    assert torch.equal(whole, expected)


def test_ellipses_and_strokes_are_distances() -> None:
    x, y = torch.tensor([[[0.0, 3.0, 6.0]]]), torch.tensor([[[0.0], [4.0]]])
    circle = [-5, -2, 1, -1, 0, 52**0.5 - 5]
    assert faces_like.ellipse(x, y, 5.0, 5.0).flatten().tolist() == pytest.approx(circle, abs=1e-5)
    assert faces_like.ellipse(x, y, torch.tensor(5.0), 5.0).flatten().tolist() == pytest.approx(circle, abs=1e-5)
    assert faces_like.ellipse(x, y, 3.0, 4.0)[0, 0].tolist() == pytest.approx([-3, 0, 3], abs=1e-5)
    assert faces_like.stroke(x, y, 4.0, 1.0).tolist() == [[[-1, -1, 2], [3, 3, 3]]]
    assert faces_like.scallops(torch.tensor([-1.0, -0.5, 0.25, 0.5, 3.0])).tolist() == [0, 1, 0.75, 1, 0]


def test_blur_is_a_filter_of_five_pixels_that_keeps_flat_colours() -> None:
    images = torch.zeros(2, 3, 9, 9, dtype=torch.uint8)
    images[0, 0, 4, 4] = 64
    images[1] = 255
    weights = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0, 0])
    blurred = faces_like.blurred(images)
    assert torch.equal(blurred[0, 0], (weights[:, None] * weights).to(torch.uint8))
    assert not blurred[0, 1:].any()
    assert (blurred[1] == 255).all()


def test_pixels_tell_the_attributes(faces: FacesLike) -> None:
    rows = torch.arange(0, ROWS, 135)  # 1,501
    attributes = faces.factors(rows).numpy()
    images = torch.cat([torch.nn.functional.avg_pool2d(faces.batch(part) / 255, 4) for part in rows.split(64)])
    small = images.flatten(1).numpy()  # 16 x 16 pixels
    for name in ("Male", "Smiling", "Eyeglasses", "Blond_Hair", "Young", "Wearing_Earrings"):
        values = attributes[:, ATTRIBUTES.index(name)]
        right = RidgeClassifier(alpha=3).fit(small[:1_000], values[:1_000]).score(small[1_000:], values[1_000:])
        majority = max(values[1_000:].mean(), 1 - values[1_000:].mean())
        assert right > majority + 0.3 * (1 - majority), name


@pytest.mark.parametrize("device", ["cuda:0", "meta"])
def test_images_are_drawn_where_the_attributes_are(device: str) -> None:
    with on_an_accelerator() if device == "cuda:0" else contextlib.nullcontext():
        attributes = torch.zeros(3, 40, dtype=torch.uint8, device=device)
        nuisances = torch.zeros(3, 24, dtype=torch.uint8, device=device)
        images = render(attributes, nuisances)
    assert images.device == torch.device(device)
    assert images.shape == (3, 3, 64, 64)
    assert images.dtype == torch.uint8


def test_images_come_on_the_device_of_the_indices(faces: FacesLike) -> None:
    rows = torch.arange(4)
    expected = faces.batch(rows)
    assert faces.batch(rows.to("meta")).device == torch.device("meta")
    assert torch.equal(faces.batch(rows), expected), "what was moved elsewhere is still here"


def test_a_changed_picture_or_label_needs_a_changed_version(faces: FacesLike) -> None:
    assert faces.labels is not None
    labels = hashlib.sha256(faces.labels.numpy().tobytes()).hexdigest()[:16]
    assert (RENDERER_VERSION, labels) == ("1", "88dc31b71419453a")
    # Means of 16 x 16 blocks, not a hash: a sample on an edge may fall on either side on another processor.
    images = faces.batch(torch.tensor([0, 45_678, 98_765, 150_123, ROWS - 1])).double()
    blocks = images.view(5, 3, 4, 16, 4, 16).mean(dim=(1, 3, 5)).view(5, 16)
    assert torch.allclose(blocks, torch.tensor(BLOCK_MEANS, dtype=torch.float64), atol=0.15)


BLOCK_MEANS = [
    [86.0, 85.4, 85.3, 86.0, 93.2, 101.7, 101.5, 92.9, 100.6, 109.4, 107.0, 100.5, 106.9, 119.4, 116.8, 106.7],
    [88.5, 84.4, 82.6, 88.5, 79.0, 72.9, 76.4, 76.3, 69.7, 91.4, 99.7, 67.9, 63.1, 98.5, 103.6, 67.3],
    [131.3, 103.2, 105.3, 131.3, 115.9, 84.0, 84.1, 120.5, 110.4, 87.9, 84.0, 115.3, 132.3, 126.6, 127.8, 132.2],
    [55.8, 58.5, 58.1, 55.8, 74.6, 136.2, 137.7, 74.9, 95.9, 135.9, 127.3, 97.2, 121.4, 141.4, 140.9, 121.4],
    [156.5, 129.9, 129.3, 156.5, 160.8, 68.9, 69.0, 159.6, 165.0, 88.8, 89.6, 163.2, 168.0, 132.4, 131.4, 167.6],
]
