"""A robot arm that holds a colored object over a round table, in the factors of MPI3D, so that no download is needed.

The grid and its order are those of MPI3D (M. W. Gondal et al., 2019, arXiv:1906.03292, CC-BY-4.0,
https://github.com/rr-learning/disentanglement_dataset). The scene is made up after its description and no pixel is
copied. Results on it are `procedural` and are never averaged with results on the official files.

A picture is painted from back to front: one of nine still scenes (backdrop, table, pedestal), the arm, the object, the
last two in small windows. Rays through an object's window are parallel, so along u to the right and v up all that they
meet is linear in u and v or the root of a quadratic in them. The coefficients are worked out once for the 3 x 40 x 40
poses of camera and joints (`build_tables`, a tenth of a second); the 57,600 geometries that colors leave never exist
together. Drawing (`render`) is then +, -, *, / and square roots of single numbers, which round equally whatever the
batch, and sums of whole numbers: a row is always the same picture.

World frame: the table is z = 0, the pedestal stands on the origin, the cameras look along y from y < 0.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, FactorSpace
from disbench.datasets.wording import shown

RENDERER_VERSION = "1"

JOINT_STEPS = 40
SPACE = FactorSpace(
    (
        "object_color",
        "object_shape",
        "object_size",
        "camera_height",
        "background_color",
        "horizontal_axis",
        "vertical_axis",
    ),
    (6, 6, 2, 3, 3, JOINT_STEPS, JOINT_STEPS),
)
TIERS = {"full": 1, "reduced": 2}  # every how many steps of both joints are in the tier

SIDE = 64
PIXELS = SIDE * SIDE

# White, green, red, blue, brown, olive.
OBJECT_COLOURS = ((255, 255, 255), (0, 190, 60), (230, 20, 25), (25, 85, 235), (150, 85, 40), (150, 155, 30))
# Purple, sea green, salmon.
BACKGROUND_COLOURS = ((110, 75, 185), (50, 150, 115), (215, 110, 95))

# Top, center, bottom: distance from the z axis and height. All look at one point of the axis.
CAMERAS = ((2.05, 1.50), (2.35, 1.00), (2.50, 0.50))
TARGET_HEIGHT = 0.31
FOCAL_LENGTH = 2.75  # of an image that spans -1..1

LAMP = np.array((-0.45, -0.60, 0.66)) / math.hypot(-0.45, -0.60, 0.66)  # the direction towards it, far away
AMBIENT, DIFFUSE, DARKEST = 0.56, 0.54, 0.25  # brightness of a surface across to the lamp, more when facing it, least

TABLE_RADIUS, TABLE_RIM = 0.86, 0.02
TABLE_LEVELS = (62, 40)  # in the middle and at the rim
RIM_LEVEL = 95
GLOW, GLOW_FADING = 1.25, 0.45  # the background's color fades into black with the distance from the table
FLANGE = (0.15, 0.05, 120)  # the pedestal's foot: radius, height, level
COLUMN = (0.075, 0.36, 150)
SHOULDER = (0, 0, COLUMN[1])
ARM_LENGTH = 0.40
ARM_RADII = (0.045, 0.028)  # at the shoulder and at the wrist
ARM_LEVEL, ARM_SHADING = 165, 0.22

# The arm swings from left to right, and from a little below level to steeply up; it always points at the viewer's side,
# so that neither the pedestal nor the arm comes before the object.
HORIZONTAL_ANGLES = np.radians(np.linspace(-60, 60, JOINT_STEPS))
VERTICAL_ANGLES = np.radians(np.linspace(-16, 56, JOINT_STEPS))

# Objects are modeled about as large as the cube -1..1; their size is the length of this 1 in the world.
OBJECT_SIZES = (0.095, 0.150)
OBJECT_OFFSET = 0.8  # of an object's middle from the wrist

OBJECT_WINDOW = 24  # pixels; the largest object reaches less than 11.5 from its middle
ARM_WINDOW = 20
SCENE_SAMPLES = 4  # rays a pixel along each axis
OBJECT_SAMPLES = 2

FAR = 100.0  # in object units: beyond every object
FACES = 4  # the most that a solid here turns to the viewer or away
EDGE_ON = 1e-4  # a face or mantle along the rays is taken to be off them by so much: they cross it, far away

Array = NDArray[np.float64]
Solids = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # rows of `fronts`, `backs` and `quadrics` of the tables


class Solid(NamedTuple):
    """A convex solid about the z axis, which is the arm's: what lies behind some faces and inside a quadric.

    A point p is behind the face (normal x, y, z; offset) where normal . p <= offset. It is inside the quadric (a, b, c)
    where x^2 + y^2 + a z^2 + b z <= c. On this surface the gradient's half (x, y, a z + b / 2) has the length g + h z,
    with `steepness` = (g, h). The quadric of a solid with flat faces only is a ball far outside.
    """

    faces: tuple[tuple[float, float, float, float], ...]
    quadric: tuple[float, float, float] = (1, 0, FAR**2)
    steepness: tuple[float, float] = (FAR, 0)


def _lids(half_height: float) -> tuple[tuple[float, float, float, float], ...]:
    return (0, 0, -1, half_height), (0, 0, 1, half_height)


def cone(radius: float, half_height: float) -> Solid:
    """With its apex at z = half_height, away from the arm; the upper lid cuts off the quadric's other half."""
    slope = radius / (2 * half_height)
    steepness = slope * math.hypot(1, slope)
    return Solid(
        _lids(half_height),
        (-(slope**2), 2 * slope**2 * half_height, (slope * half_height) ** 2),
        (steepness * half_height, -steepness),
    )


def cylinder(radius: float, half_height: float) -> Solid:
    return Solid(_lids(half_height), (0, 0, radius**2), (radius, 0))


def sphere(radius: float) -> Solid:
    return Solid((), (1, 0, radius**2), (radius, 0))


def _around(sides: int) -> list[tuple[float, float]]:
    """Unit vectors x, y at equal angles; opposite ones are so to the last bit."""
    angles = [2 * math.pi * (side + 0.5) / sides for side in range(sides // 2)]
    half = [(math.cos(angle), math.sin(angle)) for angle in angles]
    return half + [(-x, -y) for x, y in half]


def prism(sides: int, inner_radius: float, half_height: float) -> Solid:
    return Solid((*((x, y, 0, inner_radius) for x, y in _around(sides)), *_lids(half_height)))


def pyramid(sides: int, inner_radius: float, half_height: float) -> Solid:
    """With its apex at z = half_height, away from the arm."""
    edge = math.hypot(inner_radius, 2 * half_height)
    flat, up = 2 * half_height / edge, inner_radius / edge
    return Solid((*((flat * x, flat * y, up, up * half_height) for x, y in _around(sides)), _lids(half_height)[0]))


SOLIDS = (
    cone(1.0, 0.95),
    prism(4, 0.80, 0.80),
    cylinder(0.85, 0.85),
    prism(6, 0.80, 0.85),
    pyramid(4, 0.85, 0.95),
    sphere(0.95),
)


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _brightness(facing_lamp: Array) -> Array:
    """0..1, of surfaces with this cosine between the outward normal and the direction of the lamp."""
    return np.clip(AMBIENT + DIFFUSE * facing_lamp, DARKEST, 1)


class Camera:
    """A pinhole camera: its place and axes in the world."""

    def __init__(self, distance: float, height: float) -> None:
        self.position = np.array((0, -distance, height))
        self.forward = _unit(np.array((0, distance, TARGET_HEIGHT - height)))
        self.right = np.array((1.0, 0, 0))
        self.up = np.cross(self.right, self.forward)

    def project(self, points: Array, length: float) -> Array:
        """World points (M, 3) to column and row, in pixels from the upper left corner, and the pixels of a `length` (M, 3)."""
        offset = points - self.position
        scale = SIDE / 2 * FOCAL_LENGTH / (offset @ self.forward)
        column, row = SIDE / 2 + scale * (offset @ self.right), SIDE / 2 - scale * (offset @ self.up)
        return np.stack((column, row, length * scale), axis=-1)

    def rays(self) -> Array:
        """Directions (3, M) through SCENE_SAMPLES x SCENE_SAMPLES points of every pixel, M = (SCENE_SAMPLES SIDE)^2, by rows."""
        line = (np.arange(SIDE * SCENE_SAMPLES) + 0.5) * 2 / (SIDE * SCENE_SAMPLES) - 1
        up, right = np.meshgrid(-line, line, indexing="ij")
        rays = FOCAL_LENGTH * self.forward + right[..., None] * self.right + up[..., None] * self.up
        columns: Array = rays.reshape(-1, 3).T
        return columns


def _still_scene(camera: Camera) -> tuple[Array, Array]:
    """What never moves: gray levels 0..255 and weights 0..1 of the background's color, (PIXELS,) each."""
    x, y, z = rays = camera.rays()
    _, eye_y, eye_z = camera.position
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.where(z < 0, -eye_z / z, np.inf)  # distances in units of the ray's direction
        radius = np.where(z < 0, np.hypot(nearest * x, eye_y + nearest * y), np.inf)
    middle, edge = TABLE_LEVELS
    grey = np.where(radius < TABLE_RADIUS, middle + (edge - middle) * np.minimum(radius / TABLE_RADIUS, 1), 0)
    grey[np.abs(radius - TABLE_RADIUS) < TABLE_RIM] = RIM_LEVEL
    weight = np.clip(GLOW - GLOW_FADING * (radius - TABLE_RADIUS), 0, 1) * (radius >= TABLE_RADIUS + TABLE_RIM)

    for part_radius, part_height, level in (FLANGE, COLUMN):
        a, half_b, c = x**2 + y**2, eye_y * y, eye_y**2 - part_radius**2
        with np.errstate(divide="ignore", invalid="ignore"):
            mantle = (-half_b - np.sqrt(half_b**2 - a * c)) / a
            height = eye_z + mantle * z
            lid = (part_height - eye_z) / z
            on_lid = np.hypot(lid * x, eye_y + lid * y) < part_radius
        normal = (rays[:2] * mantle + ((0,), (eye_y,))) / part_radius
        for distance, met, facing_lamp in (
            (mantle, (height > 0) & (height < part_height), normal.T @ LAMP[:2]),
            (lid, on_lid & (lid > 0), LAMP[2]),
        ):
            seen = met & (distance < nearest)
            nearest = np.where(seen, distance, nearest)
            grey = np.where(seen, level * _brightness(facing_lamp), grey)
            weight = np.where(seen, 0, weight)

    shape = (SIDE, SCENE_SAMPLES, SIDE, SCENE_SAMPLES)
    return grey.reshape(shape).mean((1, 3)).ravel(), weight.reshape(shape).mean((1, 3)).ravel()


def build_scenes() -> NDArray[np.uint8]:
    """The still scenes (3 cameras, 3 backgrounds, 3 channels, PIXELS), 0..255."""
    scenes = []
    for camera in CAMERAS:
        grey, weight = _still_scene(Camera(*camera))
        scenes.append(grey + weight * np.array(BACKGROUND_COLOURS)[:, :, None])
    levels: NDArray[np.uint8] = np.rint(scenes).astype(np.uint8)
    return levels


def _poses() -> tuple[Array, Array, Array, Array]:
    """Over cameras and joints in C order: arms (P, 2, 3), places (P, 2, 3), views (P, 3, 3) and lamps (P, 3).

    Arms and places are those of `Tables`. A view is the directions right, up and away from a viewer who looks at the
    wrist, and a lamp the direction towards the lamp, both in the object's frame.
    """
    horizontal, vertical = (grid.ravel() for grid in np.meshgrid(HORIZONTAL_ANGLES, VERTICAL_ANGLES, indexing="ij"))
    flat = np.cos(vertical)
    axis = np.stack((np.sin(horizontal) * flat, -np.cos(horizontal) * flat, np.sin(vertical)), axis=-1)
    side = np.stack((np.cos(horizontal), np.sin(horizontal), np.zeros_like(flat)), axis=-1)
    frame = np.stack((side, np.cross(axis, side), axis), axis=1)  # (joints, 3, 3): the object's x, y, z in the world
    shoulder = np.broadcast_to(SHOULDER, axis.shape)
    wrist = shoulder + ARM_LENGTH * axis

    arms, places, views = [], [], []
    for camera in (Camera(*numbers) for numbers in CAMERAS):
        ends = zip((shoulder, wrist), ARM_RADII, strict=True)
        arms.append(np.stack([camera.project(end, radius) for end, radius in ends], axis=1))
        middles = ((wrist + OBJECT_OFFSET * size * axis, size) for size in OBJECT_SIZES)
        places.append(np.stack([camera.project(middle, size) for middle, size in middles], axis=1))
        away = _unit(wrist - camera.position)
        right = _unit(np.cross(away, camera.up))
        view = np.stack((right, np.cross(right, away), away), axis=1)
        views.append(view @ frame.transpose(0, 2, 1))
    lamps = np.tile(frame @ LAMP, (len(CAMERAS), 1))
    return np.concatenate(arms), np.concatenate(places), np.concatenate(views), lamps


def _face_tables(solid: Solid, views: Array, lamps: Array) -> tuple[Array, Array]:
    """Fronts (P, FACES, 4) and backs (P, FACES, 3) of a solid, see `Tables`."""
    faces = np.zeros((2 * FACES, 4))
    faces[:, 3] = FAR  # a face without a normal, which everything is behind
    faces[: len(solid.faces)] = np.reshape(solid.faces, (-1, 4))
    normals, offsets = faces[:, :3], faces[:, 3]
    right, up, away = np.moveaxis(views @ normals.T, 1, 0)  # (P, 2 FACES) each
    order = np.argsort(away, axis=1, kind="stable")  # from those that face the viewer most
    away = np.copysign(np.maximum(np.abs(away), EDGE_ON), away)
    levels = 255 * _brightness(lamps @ normals.T)
    columns = np.stack((offsets / away, -right / away, -up / away, levels, away), axis=-1)
    columns = np.take_along_axis(columns, order[:, :, None], axis=1)
    first, last = columns[:, :FACES], columns[:, FACES:]
    fronts = np.where(first[:, :, 4:] < 0, first[:, :, :4], (-FAR, 0, 0, 0))
    backs = np.where(last[:, :, 4:] > 0, last[:, :, :3], (FAR, 0, 0))
    return fronts, backs


def _quadric_table(solid: Solid, views: Array, lamps: Array) -> Array:
    """The quadric of a solid (P, sum(QUADRIC_PARTS)).

    On a ray p = u right + v up + t away the quadric is a t^2 + 2 half_b t + c, where half_b is linear and c quadratic in
    u and v. So is the discriminant half_b^2 - a c.
    """
    axial, linear, constant = solid.quadric
    stretch, shift = np.array((1, 1, axial)), np.array((0, 0, linear / 2))  # the gradient's half is stretch p + shift
    right, up, away = np.moveaxis(views, 1, 0)  # (P, 3) each

    def form(one: Array, other: Array) -> Array:
        product: Array = (one * stretch * other).sum(-1)
        return product

    a = form(away, away)
    a = np.copysign(np.maximum(np.abs(a), EDGE_ON), a)
    b, b_u, b_v = away @ shift, form(away, right), form(away, up)
    discriminant = (
        b**2 + a * constant,
        2 * (b * b_u - a * (right @ shift)),
        2 * (b * b_v - a * (up @ shift)),
        b_u**2 - a * form(right, right),
        2 * (b_u * b_v - a * form(right, up)),
        b_v**2 - a * form(up, up),
    )
    # A viewer of a cone who looks more steeply than its mantle falls, onto its apex, sees it enter at the larger root
    # and leave through the base. No camera is behind the arm.
    steeper = a < 0
    steepness, steepness_z = solid.steepness
    columns = (
        *(-term / a for term in (b, b_u, b_v)),
        *(term / a**2 for term in discriminant),
        np.where(steeper, 1, -1),
        np.where(steeper, FAR, 0),
        *(255 * DIFFUSE * term for term in (lamps @ shift, form(lamps, right), form(lamps, up), form(lamps, away))),
        np.full_like(a, steepness),
        *(steepness_z * direction[:, 2] for direction in (right, up, away)),
    )
    return np.stack(columns, axis=-1)


# The columns of `Tables.quadrics`. A ray is t = middle -+ root on the surface: the middle (1, u, v); the root's square
# (1, u, v, uu, uv, vv); the root's sign at the entry; an addition to t at the exit; there at the entry the gradient's half
# times the lamp, in levels (1, u, v, t), and its length (1, u, v, t).
QUADRIC_PARTS = [3, 6, 1, 1, 4, 4]


class Tables(NamedTuple):
    """What drawing looks up. P is the 3 x 40 x 40 poses of camera and joints in C order; all but the scenes is float32.

    The lengths u, v and t, to the right, up and away from the object's middle, are in object units. A table says which
    terms its columns belong to: (1, u, v) is a constant, a factor of u and a factor of v.
    """

    scenes: torch.Tensor  # (3 cameras, 3 backgrounds, 3 channels, PIXELS), uint8
    colours: torch.Tensor  # (6, 3)
    arms: torch.Tensor  # (P, 2, 3): column, row and radius in pixels at the shoulder and at the wrist
    places: torch.Tensor  # (P, 2 sizes, 3): column and row of an object's middle, pixels an object unit
    # (P, 6 shapes, FACES, 4): t where a ray gets behind the face (1, u, v); the face's level 0..255
    fronts: torch.Tensor
    backs: torch.Tensor  # (P, 6 shapes, FACES, 3): t where a ray comes out of the face (1, u, v)
    quadrics: torch.Tensor  # (P, 6 shapes, sum(QUADRIC_PARTS))


def build_tables(device: torch.device) -> Tables:
    """All tables, 6 MB, on `device`."""
    arms, places, views, lamps = _poses()
    faces = [_face_tables(solid, views, lamps) for solid in SOLIDS]
    tables = (
        np.array(OBJECT_COLOURS),
        arms,
        places,
        np.stack([fronts for fronts, _ in faces], axis=1),
        np.stack([backs for _, backs in faces], axis=1),
        np.stack([_quadric_table(solid, views, lamps) for solid in SOLIDS], axis=1),
    )
    return Tables(
        torch.tensor(build_scenes(), device=device),
        *(torch.tensor(table, dtype=torch.float32, device=device) for table in tables),
    )


class _Window:
    """A square of pixels in every image of a batch, each at its own place."""

    def __init__(self, middle: torch.Tensor, side: int) -> None:
        """`middle` (B, 2): column and row in pixels. Where the window would stick out of the image it is moved inside."""
        self._side = side
        self._corner = (middle - side / 2).round().clamp(0, SIDE - side)[:, :, None]  # (B, 2, 1)
        columns, rows = (self._corner + torch.arange(side, device=middle.device)).long().unbind(1)
        pixels = rows[:, :, None] * SIDE + columns[:, None, :]
        self._pixels = pixels.flatten(1)[:, None].expand(-1, 3, -1)  # (B, 3, side^2)

    def points(self, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Columns (B, 1, n) and rows (B, n, 1) in pixels of samples x samples points a pixel."""
        steps = torch.arange(self._side * samples, device=self._corner.device)
        columns, rows = (self._corner + (steps + 0.5) / samples).unbind(1)
        return columns[:, None, :], rows[:, :, None]

    def read(self, images: torch.Tensor) -> torch.Tensor:
        """The window's pixels (B, 3, side, side), float32, of images (B, 3, PIXELS), uint8."""
        return images.gather(2, self._pixels).float().view(-1, 3, self._side, self._side)

    def write(self, images: torch.Tensor, levels: torch.Tensor) -> None:
        images.scatter_(2, self._pixels, levels.to(torch.uint8).flatten(2))


def _draw_arms(images: torch.Tensor, arms: torch.Tensor) -> None:
    """Paint arms (B, 2, 3) on images (B, 3, PIXELS): all points within a radius of a line, the edge one pixel soft."""
    shoulder_x, shoulder_y, shoulder_radius = arms[:, 0, :, None, None].unbind(1)  # (B, 1, 1) each
    wrist_x, wrist_y, wrist_radius = arms[:, 1, :, None, None].unbind(1)
    window = _Window((arms[:, 0, :2] + arms[:, 1, :2]) / 2, ARM_WINDOW)
    columns, rows = window.points(1)
    dx, dy = columns - shoulder_x, rows - shoulder_y
    along_x, along_y = wrist_x - shoulder_x, wrist_y - shoulder_y
    # Pointed straight at the camera the arm has no length in the image.
    squared_length = (along_x * along_x + along_y * along_y).clamp(min=1e-3)
    way = (along_x / squared_length * dx + along_y / squared_length * dy).clamp(0, 1)  # from shoulder, 0, to wrist, 1
    dx, dy = dx - along_x * way, dy - along_y * way
    radius = shoulder_radius + (wrist_radius - shoulder_radius) * way
    cover = (radius + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0, 1)[:, None]
    level = ARM_LEVEL * (1 - ARM_SHADING * (dx + dy) / radius)[:, None]  # lighter above and on the left
    behind = window.read(images)
    window.write(images, (behind + cover * (level - behind) + 0.5).floor())


def _linear(terms: Sequence[torch.Tensor], u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """A constant and factors of u and v, (B, 1, 1) each, at u (B, 1, n) and v (B, n, 1): (B, n, n)."""
    one, along_u, along_v = terms
    return (one + along_u * u) + along_v * v


def trace(
    fronts: torch.Tensor, backs: torch.Tensor, quadrics: torch.Tensor, u: torch.Tensor, v: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What rays at u (B, 1, n) and v (B, n, 1) meet of B solids, which are rows of the tables.

    Returns (B, n, n) twice: whether they meet it, and the level, a whole number 0..255, of the surface where they do.
    """
    *terms, level = fronts[:, 0, :, None, None].unbind(1)
    entry = _linear(terms, u, v)
    leave = _linear(backs[:, 0, :, None, None].unbind(1), u, v)
    for face in range(1, FACES):
        *terms, face_level = fronts[:, face, :, None, None].unbind(1)
        distance = _linear(terms, u, v)
        level = torch.where(distance > entry, face_level, level)
        entry = torch.maximum(entry, distance)
        leave = torch.minimum(leave, _linear(backs[:, face, :, None, None].unbind(1), u, v))

    middle_terms, square_terms, (sign,), (addition,), lamp_terms, length_terms = (
        part.unbind(1) for part in torch.split(quadrics[:, :, None, None], QUADRIC_PARTS, dim=1)
    )
    middle = _linear(middle_terms, u, v)
    one, along_u, along_v, along_uu, along_uv, along_vv = square_terms
    square = ((one + (along_u + along_uu * u) * u) + (along_v + along_vv * v) * v) + (along_uv * u) * v
    # Beside the quadric this is the root of a negative number, NaN, and no comparison with NaN holds.
    root = square.sqrt()
    bend = middle + sign * root
    leave = torch.minimum(leave, (middle + root) + addition)
    facing_lamp = _linear(lamp_terms[:3], u, v) + lamp_terms[3] * bend
    length = _linear(length_terms[:3], u, v) + length_terms[3] * bend
    bend_level = (facing_lamp / length + 255 * AMBIENT).clamp(255 * DARKEST, 255)
    level = torch.where(bend > entry, bend_level, level).floor()
    return torch.maximum(entry, bend) < leave, level


def _pixel_sums(samples: torch.Tensor) -> torch.Tensor:
    """(B, n, n) to sums over each pixel's samples (B, n / OBJECT_SAMPLES, n / OBJECT_SAMPLES)."""
    rows = reduce(torch.add, [samples[:, offset::OBJECT_SAMPLES] for offset in range(OBJECT_SAMPLES)])
    return reduce(torch.add, [rows[:, :, offset::OBJECT_SAMPLES] for offset in range(OBJECT_SAMPLES)])


def _draw_objects(images: torch.Tensor, colours: torch.Tensor, places: torch.Tensor, solids: Solids) -> None:
    """Paint objects, rows of the tables, on images (B, 3, PIXELS).

    All sums are of whole numbers below 2^24 and so exact, and the half that rounds keeps them off the multiples of the
    divisor.
    """
    column, row, scale = places[:, :, None, None].unbind(1)
    window = _Window(places[:, :2], OBJECT_WINDOW)
    columns, rows = window.points(OBJECT_SAMPLES)
    hit, level = trace(*solids, (columns - column) / scale, (row - rows) / scale)
    covered = _pixel_sums(hit.float())[:, None]
    light = _pixel_sums(torch.where(hit, level, 0))[:, None]
    samples = OBJECT_SAMPLES**2
    total = 255 * (samples - covered) * window.read(images) + colours[:, :, None, None] * light
    window.write(images, ((total + 127.5 * samples) * (1 / (255 * samples))).floor())


def render(factors: torch.Tensor, tables: Tables) -> torch.Tensor:
    """Factor values (B, 7), int64, of the full grid to images (B, 3, 64, 64), uint8, on the device of both."""
    colour, shape, size, camera, background, horizontal, vertical = factors.unbind(dim=1)
    pose = (camera * JOINT_STEPS + horizontal) * JOINT_STEPS + vertical
    images = tables.scenes[camera, background]
    _draw_arms(images, tables.arms[pose])
    solids = tables.fronts[pose, shape], tables.backs[pose, shape], tables.quadrics[pose, shape]
    _draw_objects(images, tables.colours[colour], tables.places[pose, size], solids)
    return images.view(-1, 3, SIDE, SIDE)


class MPI3DLike(FactorDataset):
    """6 object colors x 6 shapes x 2 sizes x 3 camera heights x 3 backgrounds x 40 x 40 joint steps; images (3, 64, 64).

    Colors are white, green, red, blue, brown, olive; shapes cone, cube, cylinder, hexagonal (prism), pyramid, sphere;
    sizes small, large; cameras top, center, bottom; backgrounds purple, sea green, salmon. The horizontal joint swings the
    arm from left to right, the vertical one lifts it. All 1,036,800 pictures differ.

    The tier "reduced" has every second step of both joints, 20 x 20, and so 259,200 of these pictures.
    """

    name = "mpi3d_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: object = None, *, tier: Literal["full", "reduced"] = "full") -> None:
        """`root`, where files lie, is accepted as by every dataset and not needed: the images are drawn when asked.

        Raises ValueError for another tier.
        """
        if tier not in list(TIERS):  # a list, as a tier from the command line need not be hashable
            raise ValueError(f"tier needs to be one of {', '.join(TIERS)}, got {shown(tier)}.")
        joint_step = TIERS[tier]
        self.space = FactorSpace(SPACE.names, (*SPACE.sizes[:5], *(size // joint_step for size in SPACE.sizes[5:])))
        self._joint_step = joint_step
        self._tables: dict[torch.device, Tables] = {}

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        factors = self.factors(indices)
        factors[:, 5:] *= self._joint_step
        if indices.device not in self._tables:
            self._tables[indices.device] = build_tables(indices.device)
        return render(factors, self._tables[indices.device])
