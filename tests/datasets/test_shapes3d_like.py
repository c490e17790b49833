"""The room and its solids against the documented geometry."""

import colorsys
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from disbench.datasets import FactorDataset, load
from disbench.datasets.procedural import shapes3d_like as renderer

CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
MIDDLE = 7  # the orientation that looks straight ahead


@pytest.fixture(scope="module")
def layers(geometry_cache: Path, rooms: FactorDataset) -> np.ndarray:
    """What the cache holds (scale, shape, orientation, layer, row, column)."""
    rooms.batch(torch.tensor([0]))
    with np.load(geometry_cache / f"shapes3d_like-{renderer.RENDERER_VERSION}.npz") as archive:
        return archive["array"].reshape(8, 4, 15, 5, 64, 64)


def picture(rooms: FactorDataset, *factors: int) -> torch.Tensor:
    """One image (3, 64, 64), int64."""
    return rooms.batch(rooms.space.indices(torch.tensor([factors])))[0].long()


def object_mask(rooms: FactorDataset, scale: int, shape: int, orientation: int) -> torch.Tensor:
    """Pixels (64, 64) that change with the object's hue."""
    one, other = (picture(rooms, 1, 4, hue, scale, shape, orientation) for hue in (0, 5))
    return (one != other).any(dim=0)


def test_factors_have_the_official_names_sizes_and_order(rooms: FactorDataset) -> None:
    assert rooms.factor_names == ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    assert rooms.factor_sizes == (10, 10, 10, 8, 4, 15)
    assert len(rooms) == 480_000
    assert rooms.factors(torch.tensor([1, 15, 60, 480, 4800, 48000])).argmax(dim=1).tolist() == [5, 4, 3, 2, 1, 0]


def test_hues_recolour_their_own_surface_and_nothing_else(rooms: FactorDataset) -> None:
    base = [1, 4, 7, 5, CUBE, 3]
    masks = []
    for position in range(3):
        changed = []
        for hue in (0, 2, 6, 9):
            other = [*base[:position], hue, *base[position + 1 :]]
            changed.append((picture(rooms, *base) != picture(rooms, *other)).any(dim=0))
        surface = torch.stack(changed).any(dim=0)
        assert all((surface ^ mask).sum() < 0.02 * surface.sum() for mask in changed)
        masks.append(surface)
    floor, wall, thing = masks
    for one, other in ((floor, wall), (wall, thing), (thing, floor)):
        # Two surfaces share a pixel on their edge only.
        assert (one & other).sum() < 150
    rest = ~(floor | wall | thing)
    assert (picture(rooms, *base)[:, rest] == torch.tensor(renderer.SKY_COLOUR)[:, None]).all()
    assert rest[0].all(), "the top row is sky"
    assert floor[-1].all(), "the bottom row is floor"


def test_hues_are_ten_equal_steps_round_the_colour_circle(rooms: FactorDataset) -> None:
    for hue in range(10):
        colour = torch.tensor([round(255 * level) for level in colorsys.hsv_to_rgb(hue / 10, 1, 1)])
        floor = picture(rooms, hue, (hue + 3) % 10, (hue + 6) % 10, 0, SPHERE, MIDDLE)
        wall = picture(rooms, (hue + 3) % 10, hue, (hue + 6) % 10, 0, SPHERE, MIDDLE)
        thing = picture(rooms, (hue + 3) % 10, (hue + 6) % 10, hue, 7, CUBE, MIDDLE)
        assert (floor[:, 40:] == colour[:, None, None]).all(dim=0).sum() > 200
        assert (wall[:, :40] == colour[:, None, None]).all(dim=0).sum() > 200
        # The cube's front is in half light: the same hue at one lower brightness.
        front = thing[:, 40:44, 28:36].flatten(1).double()
        assert torch.allclose(front / front.max(), (colour[:, None] / 255).double(), atol=0.02)


def test_an_image_is_the_rounded_sum_of_coloured_layers(rooms: FactorDataset, layers: np.ndarray) -> None:
    indices = torch.randint(len(rooms), (50,), generator=torch.Generator().manual_seed(0))
    palette = np.array(renderer.PALETTE, dtype=np.int64)
    for image, (floor, wall, thing, *geometry) in zip(
        rooms.batch(indices).numpy(), rooms.factors(indices).tolist(), strict=True
    ):
        colours = np.array(
            [palette[floor], palette[wall], palette[thing], renderer.SKY_COLOUR, renderer.WHITE], dtype=np.int64
        )
        total = np.einsum("lc,lyx->cyx", colours, layers[tuple(geometry)].astype(np.int64))
        assert np.array_equal(image, np.minimum((2 * total + 255) // 510, 255))


def test_layers_never_add_up_to_more_than_full_light(layers: np.ndarray) -> None:
    assert layers[:, :, :, :4].sum(axis=3, dtype=np.int64).max() <= 255 + 2


def test_objects_grow_with_scale_as_their_distance_and_size_say(rooms: FactorDataset) -> None:
    for shape in range(4):
        areas = [int(object_mask(rooms, scale, shape, MIDDLE).sum()) for scale in range(8)]
        assert areas == sorted(set(areas))
        assert 2 < areas[-1] / areas[0] < 4, "(1.25 / .75)^2 = 2.8, and the larger object comes nearer"


@pytest.mark.parametrize("scale", range(8))
def test_the_spheres_outline_is_the_analytic_perspective_one(layers: np.ndarray, scale: int) -> None:
    radius = renderer.SPHERE_RADIUS * (0.75 + 0.5 * scale / 7)
    drop = renderer.CAMERA_HEIGHT - radius
    half_angle, off_axis = math.asin(radius / math.hypot(1, drop)), math.atan(abs(drop))
    long = (math.tan(off_axis + half_angle) - math.tan(off_axis - half_angle)) / 2
    short = math.sin(half_angle) / math.sqrt(math.cos(half_angle) ** 2 - math.sin(off_axis) ** 2)
    area = math.pi * long * short * (32 / math.tan(math.radians(22.5))) ** 2
    geometry = layers[scale, SPHERE, MIDDLE].astype(int)
    touched = geometry[renderer.OBJECT] > 0
    covered = touched & (geometry[[renderer.FLOOR, renderer.WALL, renderer.SKY]].sum(axis=0) == 0)
    assert covered.sum() < area < touched.sum()
    assert area == pytest.approx((covered.sum() + touched.sum()) / 2, rel=0.02)


@pytest.mark.parametrize(("shape", "ratio"), [(CUBE, 1), (CYLINDER, 1), (SPHERE, 1), (CAPSULE, 2)])
def test_objects_stand_in_the_middle_with_their_proportions(rooms: FactorDataset, shape: int, ratio: float) -> None:
    rows, columns = object_mask(rooms, 7, shape, MIDDLE).nonzero().T
    assert (rows.max() - rows.min() + 1) / (columns.max() - columns.min() + 1) == pytest.approx(ratio, rel=0.2)
    assert columns.float().mean() == pytest.approx(31.5, abs=0.3)


def test_all_solids_have_the_cubes_volume() -> None:
    volume = 0.24**3
    assert math.pi * renderer.CYLINDER_RADIUS**2 * 2 * renderer.CYLINDER_RADIUS == pytest.approx(volume)
    assert 4 / 3 * math.pi * renderer.SPHERE_RADIUS**3 == pytest.approx(volume)
    assert (4 / 3 + 2) * math.pi * renderer.CAPSULE_RADIUS**3 == pytest.approx(volume)


def test_orientation_turns_the_room_and_the_cube_but_not_the_round_solids(rooms: FactorDataset) -> None:
    for shape in (CYLINDER, SPHERE, CAPSULE):
        ahead = object_mask(rooms, 4, shape, MIDDLE)
        assert all((ahead ^ object_mask(rooms, 4, shape, turn)).sum() <= 2 for turn in (0, 3, 14))
    assert (object_mask(rooms, 4, CUBE, MIDDLE) ^ object_mask(rooms, 4, CUBE, 14)).sum() > 20


def test_opposite_orientations_are_mirror_images_of_the_room(layers: np.ndarray) -> None:
    for orientation in range(7):
        for layer in (renderer.SKY, renderer.WALL):
            left = layers[3, SPHERE, orientation, layer] > 0
            right = layers[3, SPHERE, 14 - orientation, layer] > 0
            assert (left != right[:, ::-1]).sum() <= 2


def test_the_first_orientation_shows_the_right_wall(layers: np.ndarray) -> None:
    first, last = (layers[0, SPHERE, orientation, renderer.WALL, 20:38].astype(int) for orientation in (0, 14))
    assert first[:, -8:].max() < 0.75 * 255 < first[:, :8].max()
    assert last[:, :8].max() < 0.80 * 255 < last[:, -8:].max()


def test_every_step_of_every_factor_changes_the_picture(rooms: FactorDataset) -> None:
    factors = rooms.factors(torch.randint(len(rooms), (20,), generator=torch.Generator().manual_seed(2)))
    for position, size in enumerate(rooms.factor_sizes):
        steps = factors.repeat(size, 1, 1)
        steps[:, :, position] = torch.arange(size)[:, None]
        images = rooms.batch(rooms.space.indices(steps.flatten(0, 1))).view(size, 20, -1)
        for one in range(size):
            for other in range(one):
                assert not (images[one] == images[other]).all(dim=1).any(), rooms.factor_names[position]


@pytest.mark.parametrize("shape", range(4))
def test_rays_end_on_the_surface_with_a_unit_normal_that_faces_them(shape: int) -> None:
    generator = np.random.default_rng(0)
    origin = generator.normal(size=(4000, 3)) * (0.1, 0.1, 0.1) + (0, -1, 0.5)
    direction = generator.normal(size=(4000, 3)) * 0.15 + (0, 0, 0.2) - origin
    distance, normal = renderer.SOLIDS[shape].hit(origin, direction)
    met = np.isfinite(distance)
    assert 200 < met.sum() < 4000
    points = origin[met] + distance[met, None] * direction[met]
    x, y, z = points.T
    radius = np.hypot(x, y)
    if shape == CUBE:
        error = np.abs(points - (0, 0, 0.12)).max(axis=1) - 0.12
    elif shape == CYLINDER:
        error = np.maximum(radius, np.abs(z - renderer.CYLINDER_RADIUS)) - renderer.CYLINDER_RADIUS
    elif shape == SPHERE:
        error = np.hypot(radius, z - renderer.SPHERE_RADIUS) - renderer.SPHERE_RADIUS
    else:
        low, high = renderer.CAPSULE_RADIUS, 3 * renderer.CAPSULE_RADIUS
        error = np.hypot(radius, z - np.clip(z, low, high)) - renderer.CAPSULE_RADIUS
    assert np.abs(error).max() < 1e-9
    assert np.allclose(np.linalg.norm(normal[met], axis=1), 1)
    assert ((normal[met] * direction[met]).sum(axis=1) < 0).all()


@pytest.mark.parametrize("shape", range(4))
def test_floor_beside_a_solid_is_in_its_shadow_and_sparing_rays_misses_none(shape: int) -> None:
    solid = renderer.SOLIDS[shape]
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 81), np.linspace(-0.5, 0.5, 81))
    points = np.stack((x.ravel(), y.ravel(), np.zeros(x.size)), axis=1)
    towards_light = np.broadcast_to(renderer.LIGHT, points.shape)
    shadowed, _ = renderer._trace(solid, 1.0, points, towards_light)
    every_ray, _ = solid.hit(points, towards_light)
    assert np.array_equal(shadowed, np.flatnonzero(np.isfinite(every_ray)))
    assert points[shadowed].mean(axis=0)[0] > 0.02, "the lamp is on the left"


def test_the_geometry_is_traced_once_and_then_read_from_the_cache(
    rooms: FactorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices = torch.arange(0, 480_000, 3_333)
    expected = rooms.batch(indices)

    def never() -> np.ndarray:
        raise AssertionError("traced again")

    monkeypatch.setattr(renderer, "build_layers", never)
    assert torch.equal(load("shapes3d_like").batch(indices), expected)


def test_a_damaged_cache_is_traced_again(
    rooms: FactorDataset, layers: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISBENCH_CACHE", str(tmp_path))
    path = tmp_path / f"shapes3d_like-{renderer.RENDERER_VERSION}.npz"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    indices = torch.arange(0, 480_000, 3_333)
    assert torch.equal(load("shapes3d_like").batch(indices), rooms.batch(indices))
    with np.load(path) as archive:
        assert np.array_equal(archive["array"].reshape(layers.shape), layers)


def test_the_images_never_exist_together(rooms: FactorDataset) -> None:
    rooms.batch(torch.arange(64))
    held = sum(value.nbytes for value in vars(rooms).values() if isinstance(value, torch.Tensor))
    assert held < 40e6, "the whole set would take 5.9 GB"


def test_a_changed_picture_needs_a_changed_version(rooms: FactorDataset) -> None:
    # Means of 16 x 16 blocks, not a hash: a sample on an edge may fall on either side on another processor.
    images = rooms.batch(torch.tensor([0, 123_456, 234_567, 345_678, 479_999])).double()
    blocks = images.view(5, 3, 4, 16, 4, 16).mean(dim=(1, 3, 5)).view(5, 16)
    assert renderer.RENDERER_VERSION == "1"
    assert torch.allclose(blocks, torch.tensor(BLOCK_MEANS, dtype=torch.float64), atol=0.15)


BLOCK_MEANS = [
    [211.0, 211.0, 211.0, 211.0, 90.1, 100.9, 105.4, 70.6, 84.4, 78.0, 74.9, 68.0, 84.2, 81.1, 76.7, 84.9],
    [211.0, 211.0, 211.0, 211.0, 173.6, 173.4, 173.5, 173.8, 161.6, 128.2, 123.7, 161.4, 151.4, 139.0, 123.1, 152.4],
    [211.0, 211.0, 211.0, 211.0, 134.1, 159.2, 154.9, 155.0, 120.3, 128.1, 128.1, 138.3, 117.4, 117.7, 98.2, 112.7],
    [211.0, 211.0, 211.0, 211.0, 155.4, 158.7, 160.5, 135.4, 132.4, 107.0, 103.9, 111.4, 101.0, 96.0, 86.3, 101.6],
    [211.0, 191.8, 189.5, 211.0, 112.4, 118.0, 120.7, 138.7, 116.8, 114.9, 118.6, 134.4, 134.0, 117.7, 81.4, 119.6],
]
