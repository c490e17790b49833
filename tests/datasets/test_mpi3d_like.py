"""The arm and its objects against the documented geometry, projected here independently of the renderer."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon
from scipy.spatial import ConvexHull

from disbench.datasets.procedural import mpi3d_like as renderer
from disbench.datasets.procedural.mpi3d_like import MPI3DLike

SHAPES = ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")
CONE, CUBE, CYLINDER, HEXAGONAL, PYRAMID, SPHERE = range(6)
SMALL, LARGE = range(2)
TOP, CENTRE, BOTTOM = range(3)
WHITE, GREEN = range(2)
PURPLE = 0
STEPS = list(range(40))

DATASET = MPI3DLike()
TABLES = renderer.build_tables(torch.device("cpu"))
LINE = torch.arange(64) + 0.5


def draw(*factors: object) -> torch.Tensor:
    """Images (B, 3, 64, 64), int64, for factors given as values or lists that broadcast."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(values).reshape(-1) for values in factors))
    return DATASET.batch(DATASET.space.indices(torch.stack(columns, dim=1))).long()


def object_light(shape: object, size: object, camera: object, horizontal: object, vertical: object) -> torch.Tensor:
    """The object's own light (B, 64, 64), 0..255: what red there is in a white object and none in a green one's (0, 190, 60)."""
    white, green = (draw(colour, shape, size, camera, 0, horizontal, vertical)[:, 0] for colour in (WHITE, GREEN))
    return white - green


def centroid(light: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean column and row (B,)."""
    mass = light.double().sum((1, 2))
    return light.double().sum(1) @ LINE.double() / mass, light.double().sum(2) @ LINE.double() / mass


def grown(mask: torch.Tensor) -> torch.Tensor:
    """A mask (64, 64) and its neighbours."""
    return torch.nn.functional.max_pool2d(mask[None].float(), 3, 1, 1)[0] > 0


def core(mask: torch.Tensor) -> torch.Tensor:
    """The pixels of a mask (B, 64, 64) whose neighbours are in it, too: a convex outline that touches those covers these."""
    return torch.stack([~grown(~one) for one in mask])


def camera_axes(camera: int) -> tuple[np.ndarray, np.ndarray]:
    """The documented camera: its position and its right, up and forward (3, 3)."""
    distance, height = ((2.05, 1.50), (2.35, 1.00), (2.50, 0.50))[camera]
    drop = math.atan2(height - 0.31, distance)
    forward = (0, math.cos(drop), -math.sin(drop))
    return np.array((0, -distance, height)), np.array(((1, 0, 0), (0, math.sin(drop), math.cos(drop)), forward))


def in_pixels(points: np.ndarray, camera: int) -> np.ndarray:
    """World points (M, 3) to columns and rows (M, 2), in true perspective."""
    position, axes = camera_axes(camera)
    x, y, depth = axes @ (points - position).T
    return np.stack((32 + 32 * 2.75 * x / depth, 32 - 32 * 2.75 * y / depth), axis=1)


def object_points(shape: int, size: int, horizontal: int, vertical: int) -> np.ndarray:
    """Points (M, 3) in the world whose hull is the object: from the arm's end on, turned with the arm."""
    turn = np.arange(60) * math.tau / 60
    ring = np.stack((np.cos(turn), np.sin(turn), 0 * turn), axis=1)
    diagonal = (np.arange(4) + 0.5) * math.tau / 4
    square = math.sqrt(2) * np.stack((np.cos(diagonal + math.pi / 4), np.sin(diagonal + math.pi / 4), 0 * diagonal), 1)
    hexagon = ring[::10] / math.cos(math.pi / 6)
    up = np.array((0, 0, 1.0))
    if shape == SPHERE:
        tilt = np.linspace(-math.pi / 2, math.pi / 2, 31)[:, None, None]
        points = (0.95 * (np.cos(tilt) * ring + np.sin(tilt) * up)).reshape(-1, 3)
    elif shape in (CONE, PYRAMID):
        base = ring if shape == CONE else 0.85 * square
        points = np.concatenate((base - 0.95 * up, 0.95 * up[None]))
    else:
        base, half = {CUBE: (0.8 * square, 0.8), CYLINDER: (0.85 * ring, 0.85), HEXAGONAL: (0.8 * hexagon, 0.85)}[shape]
        points = np.concatenate((base - half * up, base + half * up))
    swing, lift = math.radians(-60 + 120 * horizontal / 39), math.radians(-16 + 72 * vertical / 39)
    axis = np.array((math.sin(swing) * math.cos(lift), -math.cos(swing) * math.cos(lift), math.sin(lift)))
    side = np.array((math.cos(swing), math.sin(swing), 0))
    scale = (0.095, 0.150)[size]
    middle = np.array((0, 0, 0.36)) + (0.40 + 0.8 * scale) * axis
    return middle + scale * points @ np.stack((side, np.cross(axis, side), axis))


def random_poses(count: int, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """Size, camera and joints."""
    high = torch.tensor((2, 3, 40, 40))
    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed))
    yield from (tuple(pose) for pose in (draws * high).long().tolist())


def test_factors_have_the_official_names_sizes_and_order() -> None:
    assert DATASET.factor_names == (
        "object_color",
        "object_shape",
        "object_size",
        "camera_height",
        "background_color",
        "horizontal_axis",
        "vertical_axis",
    )
    assert DATASET.factor_sizes == (6, 6, 2, 3, 3, 40, 40)
    assert len(DATASET) == 1_036_800
    strides = torch.tensor([1, 40, 1600, 4800, 14_400, 28_800, 172_800])
    assert DATASET.factors(strides).argmax(dim=1).tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_the_reduced_tier_is_every_second_joint_step_of_the_same_pictures() -> None:
    reduced = MPI3DLike(tier="reduced")
    assert reduced.factor_names == DATASET.factor_names
    assert reduced.factor_sizes == (6, 6, 2, 3, 3, 20, 20)
    assert len(reduced) == 259_200
    rows = torch.randint(len(reduced), (40,), generator=torch.Generator().manual_seed(0))
    factors = reduced.factors(rows)
    assert factors[:, 5:].max() == 19
    assert torch.equal(reduced.batch(rows).long(), draw(*factors[:, :5].T, *(2 * factors[:, 5:].T)))


def test_another_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="full, reduced, got 'half'"):
        MPI3DLike(tier="half")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", range(6), ids=SHAPES)
def test_objects_have_the_outline_of_their_solid_at_the_end_of_the_arm(shape: int) -> None:
    line = (np.arange(128) + 0.5) / 2
    samples = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)  # 2 x 2 a pixel, by rows
    touched, differing = 0, 0
    for size, camera, horizontal, vertical in random_poses(40, seed=shape):
        mask = object_light(shape, size, camera, horizontal, vertical)[0] > 0
        outline = in_pixels(object_points(shape, size, horizontal, vertical), camera)
        inside = Polygon(outline[ConvexHull(outline).vertices]).contains_points(samples)
        expected = torch.from_numpy(inside.reshape(64, 2, 64, 2).any(axis=(1, 3)))
        # Rays here are parallel and not the camera's: the outline may be off by a pixel, and only here and there.
        assert not (mask & ~grown(expected)).any()
        assert not (expected & ~grown(mask)).any()
        touched += int(expected.sum())
        differing += int((mask != expected).sum())
    assert differing < 0.08 * touched


def test_no_solid_shows_or_hides_more_faces_than_the_tables_hold() -> None:
    _, _, views, _ = renderer._poses()
    away = views[:, 2]
    for solid in renderer.SOLIDS:
        facing = away @ np.reshape(solid.faces, (-1, 4))[:, :3].T
        assert (facing < 0).sum(axis=1).max(initial=0) <= renderer.FACES
        assert (facing > 0).sum(axis=1).max(initial=0) <= renderer.FACES
    axial, _, _ = renderer.SOLIDS[CONE].quadric
    onto_the_apex = away[:, 0] ** 2 + away[:, 1] ** 2 + axial * away[:, 2] ** 2 < 0
    assert onto_the_apex.any()
    assert (away[onto_the_apex, 2] < 0).all(), "never from behind, through the base"


@pytest.mark.parametrize("shape", [CONE, CYLINDER, SPHERE])
def test_the_gradient_of_a_round_solid_is_as_long_as_its_steepness_says(shape: int) -> None:
    solid = renderer.SOLIDS[shape]
    axial, linear, constant = solid.quadric
    z = np.linspace(-0.8, 0.8, 9)
    x = np.sqrt(constant - axial * z**2 - linear * z)
    constant_part, z_part = solid.steepness
    assert np.allclose(np.hypot(x, axial * z + linear / 2), constant_part + z_part * z)


def test_the_windows_hold_the_largest_object_and_the_whole_arm() -> None:
    for shape in range(6):
        middle = np.array((0, 0, 0.36)) + 0.52 * np.array(
            (0, -math.cos(math.radians(-16)), math.sin(math.radians(-16)))
        )
        # 19.5 of 39 swings is straight ahead: a size of 0.150 puts the middle 0.52 from the shoulder.
        reach = np.linalg.norm(object_points(shape, LARGE, 19.5, 0) - middle, axis=1).max() / 0.150
        assert 0.9 < reach < 1.6
        assert reach * TABLES.places[:, :, 2].max() < (renderer.OBJECT_WINDOW - 1) / 2
    (shoulder, wrist), soft_edge, rounding = TABLES.arms.unbind(1), 0.5, 0.5
    half = (shoulder - wrist)[:, :2].abs().amax(dim=1) / 2 + shoulder[:, 2] + soft_edge + rounding
    assert half.max() < renderer.ARM_WINDOW / 2


@pytest.mark.parametrize("camera", [TOP, CENTRE, BOTTOM])
def test_objects_are_never_cut_off_or_hidden(camera: int) -> None:
    horizontal, vertical = torch.cartesian_prod(*(torch.tensor((0, 6, 13, 20, 26, 33, 39)),) * 2).T
    for shape in range(6):
        for size, smallest in ((SMALL, 30), (LARGE, 75)):
            mask = object_light(shape, size, camera, horizontal, vertical) > 0
            assert not mask[:, [0, -1]].any()
            assert not mask[:, :, [0, -1]].any()
            assert mask.sum((1, 2)).min() >= smallest


@pytest.mark.parametrize("camera", [TOP, CENTRE, BOTTOM])
@pytest.mark.parametrize("shape", range(6), ids=SHAPES)
def test_the_joints_move_the_object_to_the_right_and_up_only(shape: int, camera: int) -> None:
    for size in (SMALL, LARGE):
        for fixed in (0, 13, 26, 39):
            column, _ = centroid(object_light(shape, size, camera, STEPS, fixed))
            assert (column.diff() > 0.1).all()
            assert column[-1] - column[0] > 15
            _, row = centroid(object_light(shape, size, camera, fixed, STEPS))
            assert (row.diff() < -0.02).all()
            assert row[0] - row[-1] > 11


def test_every_step_of_every_factor_changes_the_picture() -> None:
    factors = DATASET.factors(torch.randint(len(DATASET), (10,), generator=torch.Generator().manual_seed(2)))
    for position, size in enumerate(DATASET.factor_sizes):
        steps = factors.repeat(size, 1, 1)
        steps[:, :, position] = torch.arange(size)[:, None]
        images = DATASET.batch(DATASET.space.indices(steps.flatten(0, 1))).view(size, 10, -1)
        for one in range(size):
            for other in range(one):
                changed = (images[one] != images[other]).sum(dim=1)
                assert (changed >= 30).all(), DATASET.factor_names[position]


def test_the_object_itself_moves_with_every_step_of_a_joint_and_is_never_twice_the_same() -> None:
    horizontal, vertical = torch.cartesian_prod(torch.arange(40), torch.arange(40)).T
    light = object_light(SPHERE, SMALL, BOTTOM, horizontal, vertical)
    assert len({image.numpy().tobytes() for image in light}) == 1600
    light = light.view(40, 40, -1)
    assert (light.diff(dim=0).abs().amax(dim=2) > 30).all()
    assert (light.diff(dim=1).abs().amax(dim=2) > 30).all()


def test_colours_are_the_palettes_under_the_light_that_a_white_object_shows() -> None:
    for shape in range(6):
        where = shape, LARGE, shape % 3, 2, 7 * shape, 39 - 7 * shape
        images = torch.cat([draw(colour, *where) for colour in range(6)])
        light, *coloured = images[:, :, core(images[:1, 0] != images[1:2, 0])[0]]  # (3, pixels) each
        assert light.shape[1] > 30
        assert (light == light[:1]).all()
        flat_face = light[0] == light[0].mode().values  # of the most frequent level
        for image, palette in zip(coloured, torch.tensor(renderer.OBJECT_COLOURS[1:])[:, :, None], strict=True):
            assert (image - light * palette / 255).abs().max() <= 1
            if shape == CUBE:
                assert torch.equal(image[:, flat_face], (2 * light * palette + 255)[:, flat_face] // 510)


def test_a_colour_changes_the_object_only_and_a_background_all_that_is_far_behind() -> None:
    for size, camera, horizontal, vertical in random_poses(10):
        images = draw(list(range(6)), CUBE, size, camera, 1, horizontal, vertical)
        thing = (images != images[:1]).any(dim=1).any(dim=0)
        assert thing.sum() < 230
        others = draw(3, CUBE, size, camera, [0, 1, 2], horizontal, vertical)
        changed = (others != others[:1]).any(dim=1).any(dim=0)
        assert changed.sum() > 700
        assert not (changed & core(thing[None])[0]).any()


def test_large_objects_are_larger_as_their_lengths_say() -> None:
    for shape in range(6):
        small, large = ((object_light(shape, size, CENTRE, 30, STEPS) > 0).sum((1, 2)) for size in (SMALL, LARGE))
        # (0.150 / 0.095)^2 = 2.5, nearer to the camera a little more, and a pixel's rim on both counts for less.
        assert ((large / small > 2) & (large / small < 3)).all()


def still_scene(camera: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images (3, 64, 64), on purple and on sea green, whose arm points to the upper right."""
    purple, sea_green = draw(WHITE, SPHERE, SMALL, camera, [0, 1], 39, 39)
    return purple, sea_green


@pytest.mark.parametrize("camera", [TOP, CENTRE, BOTTOM])
def test_the_table_is_a_grey_circle_in_perspective_on_the_background(camera: int) -> None:
    purple, sea_green = still_scene(camera)
    coloured = (purple != sea_green).any(dim=0)
    pixels = np.stack(np.meshgrid(LINE.numpy(), LINE.numpy()), axis=-1).reshape(-1, 2)
    turn = np.arange(360) * math.tau / 360
    circle = np.stack((np.cos(turn), np.sin(turn), 0 * turn), axis=1)
    on_table, in_front = (
        torch.from_numpy(Polygon(in_pixels(radius * circle, camera)).contains_points(pixels).reshape(64, 64))
        for radius in (0.84, 0.90)
    )
    grey = purple[:, core(on_table[None])[0]]
    assert torch.equal(grey, sea_green[:, core(on_table[None])[0]])
    assert (grey == grey[:1]).all()
    beside = ~in_front
    beside[:40] = False  # further behind are the pedestal and the fading
    assert coloured[beside].all()
    for image, palette in zip((purple, sea_green), renderer.BACKGROUND_COLOURS, strict=False):
        assert (image == torch.tensor(palette)[:, None, None]).all(dim=0)[beside].double().mean() > 0.9
        assert (image[:, 0] == 0).all(), "far away everything is black"
        fading = image[2, :, 20][: int(on_table[:, 20].nonzero()[0]) - 2]
        assert (fading.diff() >= 0).all()
        assert fading[-1] > 100


def test_the_table_looks_flatter_from_a_lower_camera() -> None:
    heights = []
    for camera in (TOP, CENTRE, BOTTOM):
        purple, sea_green = still_scene(camera)
        coloured = (purple != sea_green).any(dim=0)[:, 24]  # beside the pedestal
        heights.append(int((~coloured[int(coloured.nonzero()[0]) :]).sum()))
    assert heights == sorted(set(heights), reverse=True)
    assert heights[0] > 2 * heights[2]


def test_the_arm_reaches_from_the_pedestals_top_to_the_object() -> None:
    for _, camera, horizontal, vertical in random_poses(20):
        swing, lift = math.radians(-60 + 120 * horizontal / 39), math.radians(-16 + 72 * vertical / 39)
        axis = np.array((math.sin(swing) * math.cos(lift), -math.cos(swing) * math.cos(lift), math.sin(lift)))
        on_arm = np.array((0, 0, 0.36)) + np.linspace(0, 0.38, 6)[:, None] * axis
        image = draw(GREEN, SPHERE, SMALL, camera, PURPLE, horizontal, vertical)[0]
        for column, row in in_pixels(on_arm, camera).astype(int):
            red, green, blue = image[:, row, column].tolist()
            grey = max(red, green, blue) - min(red, green, blue) <= 12 and green > 70
            assert grey or green > red, (camera, horizontal, vertical)


def test_the_lamp_is_above_and_on_the_left() -> None:
    sphere = object_light(SPHERE, LARGE, CENTRE, [0, 20, 39], 20).double()
    outline = (sphere > 0).double()
    (bright_column, bright_row), (column, row) = centroid(sphere), centroid(outline)
    assert (bright_column < column - 0.1).all()
    assert (bright_row < row - 0.1).all()


@pytest.mark.parametrize(("size", "camera", "horizontal", "vertical"), [(1, 0, 5, 10), (1, 1, 20, 30), (0, 2, 35, 20)])
def test_a_sphere_is_as_bright_as_it_faces_the_lamp(size: int, camera: int, horizontal: int, vertical: int) -> None:
    light = object_light(SPHERE, size, camera, horizontal, vertical)[0]
    points = object_points(SPHERE, size, horizontal, vertical)
    middle, radius = (points.max(axis=0) + points.min(axis=0)) / 2, 0.95 * (0.095, 0.150)[size]
    position, axes = camera_axes(camera)
    rows, columns = core((light > 0)[None])[0].nonzero().T.double().numpy()
    rays = np.stack(((columns + 0.5 - 32) / (32 * 2.75), (32 - rows - 0.5) / (32 * 2.75), np.ones_like(rows)), 1) @ axes
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    offset = position - middle
    along = rays @ offset
    normals = (offset + (-along - np.sqrt(along**2 - offset @ offset + radius**2))[:, None] * rays) / radius
    lamp = np.array((-0.45, -0.60, 0.66)) / math.sqrt(0.45**2 + 0.60**2 + 0.66**2)
    expected = 255 * np.clip(0.56 + 0.54 * normals @ lamp, 0.25, 1)
    error = light[rows, columns].numpy() - expected
    assert np.abs(error).max() < 14
    assert np.abs(error).mean() < 5


def test_a_row_is_the_same_picture_in_every_batch_and_on_any_number_of_threads() -> None:
    rows = torch.randint(len(DATASET), (67,), generator=torch.Generator().manual_seed(5))
    expected = torch.cat([DATASET.batch(row[None]) for row in rows])
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(DATASET.batch(rows), expected)
            assert torch.equal(torch.cat([DATASET.batch(part) for part in rows.split(13)]), expected)
    finally:
        torch.set_num_threads(threads)


def test_images_are_drawn_on_the_device_of_the_rows() -> None:
    dataset = MPI3DLike()
    rows = torch.arange(5)
    expected = dataset.batch(rows)
    # On the meta device, mixing in a tensor of any real device raises.
    assert dataset.batch(rows.to("meta")).device.type == "meta"
    assert torch.equal(dataset.batch(rows), expected)


def test_little_is_held_and_nothing_before_it_is_asked_for() -> None:
    dataset = copy.deepcopy(MPI3DLike())
    assert dataset._tables == {}
    dataset.batch(torch.arange(2))
    assert sum(table.nbytes for tables in dataset._tables.values() for table in tables) < 10e6


def test_a_changed_picture_needs_a_changed_version() -> None:
    # Means of 16 x 16 blocks, not a hash: a sample on an edge may fall on either side on another processor.
    images = DATASET.batch(torch.tensor([0, 234_567, 456_789, 678_901, 1_036_799])).double()
    blocks = images.view(5, 3, 4, 16, 4, 16).mean(dim=(1, 3, 5)).view(5, 16)
    assert renderer.RENDERER_VERSION == "1"
    assert torch.allclose(blocks, torch.tensor(BLOCK_MEANS, dtype=torch.float64), atol=0.15)


BLOCK_MEANS = [
    [15.4, 22.2, 22.2, 15.4, 107.2, 104.5, 101.5, 107.2, 69.8, 94.2, 61.8, 65.2, 72.6, 46.9, 46.9, 72.6],
    [17.5, 25.2, 25.2, 17.5, 121.5, 114.2, 113.7, 121.5, 68.6, 66.3, 66.0, 68.6, 77.1, 46.9, 46.9, 77.1],
    [0.0, 10.7, 8.3, 0.0, 0.0, 20.9, 13.6, 0.0, 68.1, 73.0, 68.6, 68.1, 117.2, 106.9, 106.9, 117.2],
    [13.1, 18.9, 18.9, 13.1, 91.4, 98.7, 88.6, 91.4, 61.5, 77.1, 61.8, 61.5, 67.7, 46.9, 46.9, 67.7],
    [0.0, 0.0, 24.1, 0.0, 0.0, 4.9, 28.9, 0.0, 74.3, 76.7, 72.3, 74.3, 132.1, 119.7, 119.7, 132.1],
]
