"""Random images, and what a plan does to them by the definition: pixel by pixel in float64, for autograd too."""

import math

import torch
from seeding import seeded
from torch import Tensor

from mixlab import MixPlan
from mixlab.mixing.ways import AsIs, Mask, Weights


def images(dtype: torch.dtype, shape: tuple[int, ...], seed: int = 1) -> Tensor:
    """Gray levels of uint8, else normal numbers."""
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=dtype, generator=seeded(seed))
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def noise_of(plan: MixPlan) -> Tensor | None:
    return plan.way.noise if isinstance(plan.way, Mask) else None


def by_definition(plan: MixPlan, x: Tensor) -> Tensor:
    """[K * B, ...] float64, with the last two axes of x as height and width."""
    if isinstance(plan.way, Weights):
        return torch.einsum("kij,j...->ki...", plan.way.weights.double(), x.double()).flatten(0, 1)
    noise = noise_of(plan)
    if noise is None or noise.shape[1:] != x.shape or plan.way.noise_for_uint8 != (x.dtype == torch.uint8):
        noise = torch.zeros(2, *x.shape)
    sides = [x.double() + part.double() for part in noise]
    height, width = x.shape[-2:]
    mixes = []
    for k in range(plan.k):
        for i in range(plan.batch):
            halves = sides[0][i], sides[1][int(plan.partner[i])]
            pixels = []
            for row in range(height):
                for column in range(width):
                    weight, places = _weight_and_places(plan, k, i, row, column, height, width)
                    own, other = (half[(..., *place)] for half, place in zip(halves, places, strict=True))
                    pixels.append(weight * own + (1 - weight) * other)
            mixes.append(torch.stack(pixels, dim=-1).view(*x.shape[1:]))
    return torch.stack(mixes)


def _weight_and_places(plan: MixPlan, k: int, i: int, row: int, column: int, height: int, width: int):
    """The weight of the example at a pixel of mix k, and which pixels of the example and of its partner go there."""
    places = [(row, column), (row, column)]
    weight = 1.0 if isinstance(plan.way, AsIs) else float(plan.lam[k, i])
    if plan.moves is not None:
        places = [_moved(plan.moves[side, k, i], row, column, height, width) for side in (0, 1)]
    if plan.mask is not None:
        rows, columns = plan.mask.shape[-2:]
        block = (2 * row + 1) * rows // (2 * height), (2 * column + 1) * columns // (2 * width)
        weight = float(plan.mask[k, i, block[0], block[1]])
    if plan.box is not None:
        scales = (height / plan.way.size[0], width / plan.way.size[1]) * 2
        edges = zip(plan.box[k, i].tolist(), scales, strict=True)
        top, left, bottom, right = (round(edge * scale) for edge, scale in edges)
        inside = top <= row < bottom and left <= column < right
        weight = 0.0 if inside else 1.0
        if inside and plan.way.shrunk:
            places[1] = (row - top) * height // (bottom - top), (column - left) * width // (right - left)
    return weight, places


def _moved(moves: Tensor, row: int, column: int, height: int, width: int) -> tuple[int, int]:
    side = math.isqrt(len(moves))
    high, wide = height // side, width // side
    source = divmod(int(moves[row // high * side + column // wide]), side)
    return source[0] * high + row % high, source[1] * wide + column % wide
