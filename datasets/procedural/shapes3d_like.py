"""A room with one solid, traced to the geometry of 3DShapes, so that no download is needed.

The grid and its order are those of 3DShapes (C. Burgess, H. Kim, 2018, https://github.com/google-deepmind/3d-shapes,
Apache-2.0). No pixel is copied. Results on it are `procedural` and are never averaged with results on the official file.

Hues only recolour, so 8 scales x 4 shapes x 15 orientations = 480 geometries make all 480,000 images. A geometry is five
layers: how much of the light that reaches a pixel has the floor's, wall's and object's color, the sky's, and white.
An image is those layers times five colors. `build_layers` traces them once, a camera ray per sample.

World frame: the floor is z = 0, the object stands on the origin, the walls are at x = -1, x = 1 and y = 1. The camera
goes round the object at distance 1 and looks horizontally at its axis.
"""

import colorsys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.datasets.factors import FactorDataset, FactorSpace
from disbench.datasets.storage.cache import cached_array

RENDERER_VERSION = "1"

SPACE = FactorSpace(
    ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
    (10, 10, 10, 8, 4, 15),
)
GEOMETRIES = 8 * 4 * 15
SIDE = 64
PIXELS = SIDE * SIDE
LAYERS = 5
FLOOR, WALL, OBJECT, SKY, HIGHLIGHT = range(LAYERS)

# Saturated hues 0, 0.1 .. 0.9, as 0..255 levels (10, 3).
PALETTE = tuple(tuple(round(255 * level) for level in colorsys.hsv_to_rgb(hue / 10, 1, 1)) for hue in range(10))
SKY_COLOUR = (155, 226, 252)
WHITE = (255, 255, 255)

SCALES = np.linspace(0.75, 1.25, 8)
# The sign is the official preview's: the first orientation is seen from the left, with the right wall in view.
AZIMUTHS = -np.radians(np.linspace(-30, 30, 15))

SAMPLES = 4  # rays a pixel along each axis
FOCAL_LENGTH = 1 / np.tan(np.radians(45 / 2))  # of an image that spans -1..1: 45 degrees of view
CAMERA_HEIGHT = 0.27
HORIZON_SHIFT = 0.046  # the horizon lies this far above the middle of the image
WALL_HEIGHT = 0.596

LIGHT = np.array([-0.40, 0.22, 0.95]) / np.linalg.norm([-0.40, 0.22, 0.95])  # towards the lamp, far away

# The solids at scale 1; all have the volume of the cube.
CUBE_HALF_SIDE = 0.12
_VOLUME = 8 * CUBE_HALF_SIDE**3
CYLINDER_RADIUS = (_VOLUME / (2 * np.pi)) ** (1 / 3)  # as high as wide
SPHERE_RADIUS = (_VOLUME / (4 / 3 * np.pi)) ** (1 / 3)
CAPSULE_RADIUS = (_VOLUME / (10 / 3 * np.pi)) ** (1 / 3)  # twice as high as wide

Array = NDArray[np.float64]
# Distance along the ray in units of its direction (M,), inf for a miss; outward normal (M, 3).
Hit = tuple[Array, Array]


def _nearest_root(a: Array, half_b: Array, c: Array | float) -> Array:
    """The smaller root of a t^2 + 2 half_b t + c, where it is real and positive; inf elsewhere."""
    discriminant = half_b**2 - a * c
    root = (-half_b - np.sqrt(np.maximum(discriminant, 0))) / a
    return np.where((discriminant > 0) & (root > 1e-6), root, np.inf)


def _points(origin: Array, direction: Array, distance: Array) -> Array:
    """Where the rays are after `distance`; the origin for those that never arrive."""
    return origin + np.where(np.isfinite(distance), distance, 0)[:, None] * direction


def _hit_ball(origin: Array, direction: Array, height: float, radius: float) -> Array:
    """Distances (M,) to a sphere whose center is on the z axis."""
    offset = origin - (0, 0, height)
    return _nearest_root((direction**2).sum(-1), (offset * direction).sum(-1), (offset**2).sum(-1) - radius**2)


def _hit_tube(origin: Array, direction: Array, low: float, high: float, radius: float) -> Array:
    """Distances (M,) to the mantle of an upright cylinder between two heights."""
    flat_origin, flat_direction = origin[..., :2], direction[..., :2]
    distance = _nearest_root(
        (flat_direction**2).sum(-1), (flat_origin * flat_direction).sum(-1), (flat_origin**2).sum(-1) - radius**2
    )
    height = _points(origin, direction, distance)[:, 2]
    return np.where((height >= low) & (height <= high), distance, np.inf)


def _hit_cube(origin: Array, direction: Array) -> Hit:
    low = np.array([-CUBE_HALF_SIDE, -CUBE_HALF_SIDE, 0])
    high = np.array([CUBE_HALF_SIDE, CUBE_HALF_SIDE, 2 * CUBE_HALF_SIDE])
    inverse = 1 / np.where(np.abs(direction) < 1e-12, 1e-12, direction)
    one, other = (low - origin) * inverse, (high - origin) * inverse
    entries = np.minimum(one, other)
    entry, leave = entries.max(-1), np.maximum(one, other).min(-1)
    facing = np.eye(3)[entries.argmax(-1)]  # (M, 3): the axis of the face that is entered
    return np.where((entry < leave) & (entry > 1e-6), entry, np.inf), -np.sign(direction) * facing


def _hit_cylinder(origin: Array, direction: Array) -> Hit:
    radius, height = CYLINDER_RADIUS, 2 * CYLINDER_RADIUS
    mantle = _hit_tube(origin, direction, 0, height, radius)
    rising = np.where(np.abs(direction[:, 2]) < 1e-12, 1e-12, direction[:, 2])
    lid = (height - origin[..., 2]) / rising
    on_lid = (lid > 1e-6) & ((_points(origin, direction, lid)[:, :2] ** 2).sum(-1) <= radius**2)
    lid = np.where(on_lid, lid, np.inf)
    distance = np.minimum(mantle, lid)
    normal = _points(origin, direction, distance) * (1 / radius, 1 / radius, 0)
    normal[lid < mantle] = (0, 0, 1)
    return distance, normal


def _hit_sphere(origin: Array, direction: Array) -> Hit:
    distance = _hit_ball(origin, direction, SPHERE_RADIUS, SPHERE_RADIUS)
    return distance, (_points(origin, direction, distance) - (0, 0, SPHERE_RADIUS)) / SPHERE_RADIUS


def _hit_capsule(origin: Array, direction: Array) -> Hit:
    # The caps' inner halves are inside the mantle, so the nearest of the three surfaces is always an outer one.
    radius = CAPSULE_RADIUS
    distance = np.minimum(
        _hit_tube(origin, direction, radius, 3 * radius, radius),
        np.minimum(_hit_ball(origin, direction, radius, radius), _hit_ball(origin, direction, 3 * radius, radius)),
    )
    points = _points(origin, direction, distance)
    points[:, 2] -= np.clip(points[:, 2], radius, 3 * radius)
    return distance, points / radius


class _Solid(NamedTuple):
    """A solid at scale 1 on the origin, and the ball around it that spares most rays the exact test."""

    hit: Callable[[Array, Array], Hit]
    ball_height: float
    ball_radius: float
    shines: bool


SOLIDS = (
    _Solid(_hit_cube, CUBE_HALF_SIDE, CUBE_HALF_SIDE * 3**0.5, shines=False),
    _Solid(_hit_cylinder, CYLINDER_RADIUS, CYLINDER_RADIUS * 2**0.5, shines=True),
    _Solid(_hit_sphere, SPHERE_RADIUS, SPHERE_RADIUS, shines=True),
    _Solid(_hit_capsule, 2 * CAPSULE_RADIUS, 2 * CAPSULE_RADIUS, shines=True),
)


def _trace(solid: _Solid, scale: float, origin: Array, direction: Array) -> tuple[NDArray[np.intp], Array]:
    """The rays that meet the solid at this scale, and the normals (M, 3) where they do.

    The solid grows about the origin, so a ray meets it where the ray from origin / scale meets the solid at scale 1.
    """
    origin = np.broadcast_to(origin / scale, direction.shape)
    # Lines, not rays, that pass the ball: floor under the solid is inside the ball and still in shadow.
    offset = origin - (0, 0, solid.ball_height)
    squared_length = (direction**2).sum(-1)
    squared_miss = (offset**2).sum(-1) - (offset * direction).sum(-1) ** 2 / squared_length
    near = np.flatnonzero(squared_miss <= (1.001 * solid.ball_radius) ** 2)
    distance, normal = solid.hit(origin[near], direction[near])
    met = np.isfinite(distance)
    return near[met], normal[met]


def _stains(u: Array, v: Array) -> Array:
    """A smooth pattern of blotches and dots, about 0..1.35, that gives the flat surfaces some texture."""
    waves = np.sin(4.1 * u + 1.3 * np.sin(3.3 * v)) * np.sin(5.7 * v + 1.1 * np.sin(3.1 * u))
    dots = np.sin(70 * u) * np.sin(70 * v) > 0.55
    return np.clip((waves - 0.72) / 0.2, 0, 1) + 0.35 * dots


class _Room:
    """The empty room from one orientation, as samples.

    Samples lie sample-major, (SAMPLES^2 x PIXELS): the mean over a pixel's samples is one sum of whole images.
    """

    def __init__(self, azimuth: float) -> None:
        self.forward = np.array([np.sin(azimuth), np.cos(azimuth), 0])
        right = np.array([np.cos(azimuth), -np.sin(azimuth), 0])
        self.camera = -self.forward + (0, 0, CAMERA_HEIGHT)
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
        positions = (np.arange(SIDE) + offsets[:, None]) * (2 / SIDE) - 1  # (SAMPLES, SIDE): -1..1
        across = np.broadcast_to(positions[None, :, None, :], (SAMPLES, SAMPLES, SIDE, SIDE)).reshape(-1, 1)
        up = np.broadcast_to(-positions[:, None, :, None], (SAMPLES, SAMPLES, SIDE, SIDE)).reshape(-1, 1)
        self.directions = (
            self.forward + across / FOCAL_LENGTH * right + (up - HORIZON_SHIFT) / FOCAL_LENGTH * np.array([0, 0, 1])
        )

        x, y, z = self.directions.T
        with np.errstate(divide="ignore"):
            to_side = (np.sign(x) - self.camera[0]) / x
            to_back = np.where(y > 0, (1 - self.camera[1]) / y, np.inf)
            to_floor = np.where(z < 0, -CAMERA_HEIGHT / z, np.inf)
        to_wall = np.minimum(to_side, to_back)
        on_floor = to_floor < to_wall
        points = self.camera + np.where(on_floor, to_floor, to_wall)[:, None] * self.directions
        on_wall = ~on_floor & (points[:, 2] <= WALL_HEIGHT)
        on_side = to_side < to_back

        self.floor = np.flatnonzero(on_floor)
        self.floor_points = points[self.floor]
        floor_stains = 0.05 * _stains(self.floor_points[:, 0], self.floor_points[:, 1])
        # Lit, the floor would be 2 % brighter than its hue; it is clipped as a camera would.
        self.floor_shadowed = 0.36 - floor_stains
        wall_brightness = np.where(on_side, np.where(points[:, 0] > 0, 0.66, 0.76), 1.0)
        along = np.where(on_side, points[:, 1], points[:, 0])
        wall = wall_brightness - 0.07 * _stains(2 * along, 2 * points[:, 2])

        self.layers = np.zeros((LAYERS, SAMPLES**2 * PIXELS))
        self.layers[FLOOR, self.floor] = np.minimum(1.02 - floor_stains, 1)
        self.layers[WALL] = np.where(on_wall, wall, 0)
        self.layers[SKY] = ~on_floor & ~on_wall

    def with_solid(self, solid: _Solid, scale: float) -> NDArray[np.uint8]:
        """Layers (LAYERS, PIXELS), 0..255, of the room with this solid in it."""
        layers = self.layers.copy()
        shadowed, _ = _trace(solid, scale, self.floor_points, np.broadcast_to(LIGHT, self.floor_points.shape))
        layers[FLOOR, self.floor[shadowed]] = self.floor_shadowed[shadowed]

        seen, normal = _trace(solid, scale, self.camera, self.directions)
        facing_camera = np.clip(normal @ -self.forward, 0, 1)
        facing_light = np.clip(normal @ LIGHT, 0, 1)
        layers[:, seen] = 0
        layers[OBJECT, seen] = np.minimum(0.38 + 0.52 * facing_camera + 0.42 * facing_light, 1)
        if solid.shines:
            halfway = LIGHT - self.directions[seen] / np.linalg.norm(self.directions[seen], axis=-1, keepdims=True)
            halfway /= np.linalg.norm(halfway, axis=-1, keepdims=True)
            layers[HIGHLIGHT, seen] = 0.12 * np.clip((normal * halfway).sum(-1), 0, 1) ** 40
        means = layers.reshape(LAYERS, SAMPLES**2, PIXELS).mean(axis=1)
        levels: NDArray[np.uint8] = np.rint(255 * means).astype(np.uint8)
        return levels


def build_layers() -> NDArray[np.uint8]:
    """Layers (GEOMETRIES, LAYERS, PIXELS), 0..255, with the geometries in C order over scale, shape and orientation."""
    layers = np.empty((len(SCALES), len(SOLIDS), len(AZIMUTHS), LAYERS, PIXELS), dtype=np.uint8)
    for orientation, azimuth in enumerate(AZIMUTHS):
        room = _Room(float(azimuth))
        for shape, solid in enumerate(SOLIDS):
            for step, scale in enumerate(SCALES):
                layers[step, shape, orientation] = room.with_solid(solid, float(scale))
    return layers.reshape(GEOMETRIES, LAYERS, PIXELS)


def compose(layers: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """Layers (B, LAYERS, PIXELS) and colors (B, 3, LAYERS), levels 0..255 as floats, to images (B, 3, 64, 64), uint8.

    Products and sums of whole levels are exact in float32 whatever the order of summation. 1/255 of one and the half that
    rounds keep at least 1/510 from every whole number, so that the same image comes out on every device and in every batch.
    What is behind the point falls off on the way to bytes.
    """
    rounding = torch.full((), 0.5, device=layers.device)
    levels = torch.baddbmm(rounding, colours, layers, alpha=1 / 255)
    return levels.clamp_(max=255).to(torch.uint8).view(-1, 3, SIDE, SIDE)


class Shapes3DLike(FactorDataset):
    """10 floor x 10 wall x 10 object hues x 8 scales x 4 shapes x 15 orientations; images (3, 64, 64).

    Shapes are cube, cylinder, sphere and capsule; scales 0.75 .. 1.25; orientations -30 .. 30 degrees of the camera about
    the object, which turns the room and the cube and leaves the outline of the other solids as it is.

    The first batch traces the 480 geometries in some seconds and keeps them for later processes (see `cache`).
    """

    name = "shapes3d_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    space = SPACE
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: object = None) -> None:
        """`root`, where files lie, is accepted as by every dataset and not needed: the images are drawn when asked."""
        self._layers: torch.Tensor | None = None
        self._palette = torch.tensor(PALETTE, dtype=torch.float32)
        self._fixed = torch.tensor((SKY_COLOUR, WHITE), dtype=torch.float32)

    def _layers_on(self, device: torch.device) -> torch.Tensor:
        """The layers, 10 MB, moved with the colors to where they were asked for last."""
        if self._layers is None:
            shape = (GEOMETRIES, LAYERS, PIXELS)
            stored = cached_array(f"shapes3d_like-{RENDERER_VERSION}", build_layers, shape, np.uint8)
            self._layers = torch.from_numpy(stored)
        if self._layers.device != device:
            self._layers = self._layers.to(device)
            self._palette, self._fixed = self._palette.to(device), self._fixed.to(device)
        return self._layers

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        hues = self.factors(indices)[:, :3]
        # An index in brackets takes two and a half times as long.
        layers = self._layers_on(indices.device).index_select(0, indices % GEOMETRIES)
        colours = torch.cat((self._palette[hues], self._fixed.expand(len(indices), -1, -1)), dim=1)  # (B, LAYERS, 3)
        return compose(layers.float(), colours.mT)
