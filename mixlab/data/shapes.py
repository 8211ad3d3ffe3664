"""Shapes: ten classes of 32 x 32 color pictures drawn here from a seed, for the minute before CIFAR is at hand.

Every picture is one figure on a background: its outline is a signed distance (pixels, negative inside) on the pixel
grid, and half a pixel on both sides of distance 0 is blended, so that edges are smooth. `difficulty` turns up at once
what makes a figure hard to tell: turning, shifting, stretching, size, low contrast, clutter behind it, bars before it
and noise. Neighboring classes share an outline over much of it (disc, ring, crescent; square, frame; pentagon, star,
cross), so that mistakes are confusions a reader can see.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mixlab._check import SEED_MAX, integer, number
from mixlab._torch_state import usual_defaults

CLASSES = ("disc", "ring", "crescent", "square", "frame", "triangle", "pentagon", "star", "cross", "heart")
SIDE = 32
CHUNK = 500  # pictures drawn at a time: 6 MB as floats
CLUTTER, BARS = 4, 2  # the most blobs behind a figure and bars before it
LEVELS, GAUGE = 16, 3  # of the gauge: its lengths, and its height in pixels
TRAIN, TEST = 0, 1  # the two streams of pictures, independent of each other at every seed

Outline = Callable[[Tensor, Tensor], Tensor]


@usual_defaults()
def draw(
    count: int, *, seed: int = 0, stream: int = TRAIN, difficulty: float = 0.5, label_noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Draw `count` pictures: images uint8 [count, 3, 32, 32] and labels int64 [count], indices into `CLASSES`.

    Of every ten pictures in a row each shows another class. Picture i depends on `seed`, `stream`, `difficulty` and i
    alone: fewer pictures are the first of more. `stream` (0 train, 1 test) makes another, independent set of the same
    seed. `difficulty` in [0, 1] leaves figures, places and colors as drawn and moves each picture gradually.
    `label_noise` in [0, 1] is the chance that a label is replaced by one of the nine other classes, each as likely;
    the picture stays as it is.

    Raises TypeError or ValueError for a count below 1, a negative seed, or a dial outside [0, 1].
    """
    count = integer("count", count, 1)
    seed = integer("seed", seed, 0, SEED_MAX)
    stream = integer("stream", stream, 0)
    difficulty = number("difficulty", difficulty, 0, 1)
    label_noise = number("label_noise", label_noise, 0, 1)
    images = torch.empty(count, 3, SIDE, SIDE, dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    for number_of_chunk, start in enumerate(range(0, count, CHUNK)):
        generator = torch.Generator().manual_seed(derived_seed(seed, stream, number_of_chunk))
        picture, label = _draw_chunk(difficulty, label_noise, generator)
        stop = min(start + CHUNK, count)
        images[start:stop] = picture[: stop - start]
        labels[start:stop] = label[: stop - start]
    return images, labels


def derived_seed(*words: int) -> int:
    """One 64-bit seed for each tuple of words, by numpy's documented hash (the same on every platform)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def with_gauge(images: Tensor, level: Tensor) -> Tensor:
    """A copy of images [N, 3, 32, 32] with a white bar on black along the lower edge, for levels [N] from 0 to 15.

    It is centered and 2 (level + 1) pixels wide, so that flipping the picture keeps it.
    """
    white = (torch.arange(SIDE) - (SIDE - 1) / 2).abs() < level[:, None] + 1
    images = images.clone()
    images[:, :, -GAUGE:] = (255 * white).to(torch.uint8)[:, None, None]
    return images


def _draw_chunk(difficulty: float, label_noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`CHUNK` pictures and their labels. Only `torch.rand` is drawn from: its values are the same on every CPU."""

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    classes = len(CLASSES)
    # Random order within every ten, so that any prefix is balanced.
    truth = uniform(CHUNK // classes, classes).argsort(dim=1).flatten()
    labels = truth.clone()
    wrong = uniform(CHUNK) < label_noise
    other = (truth + 1 + (uniform(CHUNK) * (classes - 1)).long()) % classes
    labels[wrong] = other[wrong]

    image, paint = _background(uniform, difficulty)
    # Clutter takes part of its color from the figure, so that color alone does not tell which blob matters.
    for present, place in zip(uniform(CLUTTER, CHUNK), uniform(CLUTTER, 6, CHUNK), strict=True):
        blob = 0.5 * (paint + _muted(uniform(CHUNK, 3)))
        _cover(image, _blob(place), blob, 0.9 * (present < 0.6 * difficulty).float())
    _cover(image, _figure(truth, uniform(7, CHUNK), difficulty), paint, torch.ones(CHUNK))
    for present, place in zip(uniform(BARS, CHUNK), uniform(BARS, 3, CHUNK), strict=True):
        _cover(image, _bar(place), _muted(uniform(CHUNK, 3)), (present < 0.5 * difficulty).float())
    grain = uniform(CHUNK, 1, SIDE, SIDE).sub_(0.5).mul_(0.03 + 0.2 * difficulty)
    pixels = image.add_(grain).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    return pixels, labels


def _background(uniform: Callable[..., Tensor], difficulty: float) -> tuple[Tensor, Tensor]:
    """A color gradient with soft patches [CHUNK, 3, 32, 32], and a paint [CHUNK, 3] that stands out against it."""
    ground = uniform(CHUNK, 3)
    # Paint lies on the far side of the color cube; difficulty brings it nearer, never onto the ground color.
    far = (ground + 0.5 + 0.3 * (uniform(CHUNK, 3) - 0.5)) % 1.0
    ground, far = _muted(ground), _muted(far)
    paint = ground + (far - ground) * (1.0 - 0.4 * difficulty)
    column, row = _grid()
    angle = 2 * math.pi * uniform(CHUNK, 1, 1)
    slope = (column * angle.cos() + row * angle.sin()) / SIDE
    tilt = (uniform(CHUNK, 3) - 0.5) * (0.3 + 0.2 * difficulty)
    image = ground[:, :, None, None] + tilt[:, :, None, None] * slope[:, None]
    patches = (uniform(CHUNK, 3, 6, 6) - 0.5) * (0.1 + 0.25 * difficulty)
    image += torch.nn.functional.interpolate(patches, size=(SIDE, SIDE), mode="bilinear", align_corners=True)
    return image, paint


def _muted(color: Tensor) -> Tensor:
    """Colors [CHUNK, 3] drawn toward their own gray, so that a sheet of pictures is not glaring."""
    return 0.08 + 0.84 * torch.lerp(color, color.mean(dim=1, keepdim=True), 0.35)


def _grid() -> tuple[Tensor, Tensor]:
    """Column and row of each pixel center, measured from the middle of the picture: [1, 1, 32] and [1, 32, 1]."""
    axis = torch.arange(SIDE, dtype=torch.float32) - (SIDE - 1) / 2
    return axis.view(1, 1, SIDE), axis.view(1, SIDE, 1)


def _cover(image: Tensor, distance: Tensor, paint: Tensor, opacity: Tensor) -> None:
    """Paint the inside of a figure over `image`, in place; its edge is blended over one pixel."""
    coverage = (0.5 - distance).clamp_(0, 1).mul_(opacity[:, None, None])
    image.lerp_(paint[:, :, None, None], coverage[:, None])


def _figure(truth: Tensor, place: Tensor, difficulty: float) -> Tensor:
    """Signed distance [CHUNK, 32, 32] to each picture's own figure, from seven uniform numbers a picture."""
    turn, size, right, down, stretch, axis, weight = place[:, :, None, None].unbind()
    radius = 12.0 - (2.0 + 3.5 * difficulty) * size
    shift = 1.0 + 6.0 * difficulty
    column, row = _grid()
    column = column - shift * (right - 0.5)
    row = row - shift * (down - 0.5)
    # Stretch along one random direction, then turn: the distance is off by the stretch, which an edge hides.
    direction = math.pi * axis
    factor = 1.0 + 0.4 * difficulty * stretch
    along = column * direction.cos() + row * direction.sin()
    across = row * direction.cos() - column * direction.sin()
    along, across = along / factor, across * factor.sqrt()
    angle = direction + 2 * math.pi * min(1.0, 0.1 + 1.6 * difficulty) * (turn - 0.5)
    u = (along * angle.cos() - across * angle.sin()) / radius
    v = (along * angle.sin() + across * angle.cos()) / radius
    distance = torch.empty_like(u)
    for index, outline in enumerate(_OUTLINES):
        mine = (truth == index).nonzero().squeeze(1)
        distance[mine] = outline(torch.stack((u[mine], v[mine])), weight[mine])
    return distance * radius


def _blob(place: Tensor) -> Tensor:
    """Signed distance to a small ellipse or rectangle anywhere in the picture."""
    x, y, width, height, turn, kind = place[:, :, None, None].unbind()
    column, row = _grid()
    column, row = column - SIDE * (x - 0.5), row - SIDE * (y - 0.5)
    angle = math.pi * turn
    u = (column * angle.cos() + row * angle.sin()) / (1.5 + 4.0 * width)
    v = (row * angle.cos() - column * angle.sin()) / (1.5 + 4.0 * height)
    length = torch.where(kind < 0.5, _length(u, v), torch.maximum(u.abs(), v.abs()))
    distance: Tensor = (length - 1.0) * (1.5 + 4.0 * torch.minimum(width, height))
    return distance


def _bar(place: Tensor) -> Tensor:
    """Signed distance to an endless bar, one to three pixels wide, that passes near the middle."""
    offset, turn, width = place[:, :, None, None].unbind()
    column, row = _grid()
    angle = math.pi * turn
    return (column * angle.cos() + row * angle.sin() - 16.0 * (offset - 0.5)).abs() - (0.5 + width)


# Outlines: from coordinates p = (u, v), about one unit to a figure's rim (v points down), and a number `weight` in
# [0, 1] that varies the figure within its class, to a distance in the same unit.


def _length(u: Tensor, v: Tensor) -> Tensor:
    return (u.square() + v.square()).sqrt()


def _disc(p: Tensor, _weight: Tensor) -> Tensor:
    return _length(p[0], p[1]) - 0.95


def _ring(p: Tensor, weight: Tensor) -> Tensor:
    width = 0.15 + 0.12 * weight
    return (_length(p[0], p[1]) - (0.95 - width)).abs() - width


def _crescent(p: Tensor, weight: Tensor) -> Tensor:
    bite = _length(p[0] - (0.5 + 0.2 * weight), p[1])
    return torch.maximum(_length(p[0], p[1]) - 1.0, 0.8 - bite)


def _square(p: Tensor, _weight: Tensor) -> Tensor:
    return p.abs().amax(dim=0) - 0.8


def _frame(p: Tensor, weight: Tensor) -> Tensor:
    width = 0.13 + 0.1 * weight
    return (p.abs().amax(dim=0) - (0.85 - width)).abs() - width


def _polygon(p: Tensor, sides: int, rim: float) -> Tensor:
    """A regular polygon about the origin: the largest of the distances to its sides; `rim` is the inner radius."""
    angles = [2 * math.pi * (side + 0.5) / sides + math.pi / 2 for side in range(sides)]
    distances = [p[0] * math.cos(angle) - p[1] * math.sin(angle) for angle in angles]
    return torch.stack(distances).amax(dim=0) - rim


def _triangle(p: Tensor, _weight: Tensor) -> Tensor:
    return _polygon(p, 3, 0.55)


def _pentagon(p: Tensor, _weight: Tensor) -> Tensor:
    return _polygon(p, 5, 0.82)


def _star(p: Tensor, weight: Tensor) -> Tensor:
    """Five points: one tenth of the turn holds half a point, a straight edge from the tip (1.1, 0) to the notch."""
    turn = torch.atan2(p[0], -p[1])
    sector = 2 * math.pi / 5
    folded = ((turn + sector / 2) % sector - sector / 2).abs()
    length = _length(p[0], p[1])
    along, across = length * folded.cos(), length * folded.sin()
    notch = 0.42 + 0.1 * weight
    edge_along, edge_across = notch * math.cos(sector / 2) - 1.1, notch * math.sin(sector / 2)
    return ((along - 1.1) * edge_across - across * edge_along) / _length(edge_along, edge_across)


def _cross(p: Tensor, weight: Tensor) -> Tensor:
    far, near = p.abs().amax(dim=0), p.abs().amin(dim=0)
    return torch.maximum(far - 1.0, near - (0.24 + 0.12 * weight))


def _heart(p: Tensor, _weight: Tensor) -> Tensor:
    """A square on its tip, with a half disc on each of its two upper sides."""
    half = 0.55
    v = p[1] - 0.12
    right, left = (p[0] + v) / math.sqrt(2), (v - p[0]) / math.sqrt(2)
    tip = torch.maximum(right.abs(), left.abs()) - half
    lobe_right = _length(right, left + half) - half
    lobe_left = _length(right + half, left) - half
    return torch.minimum(tip, torch.minimum(lobe_right, lobe_left))


_OUTLINES: tuple[Outline, ...] = (
    _disc, _ring, _crescent, _square, _frame, _triangle, _pentagon, _star, _cross, _heart
)  # fmt: skip
