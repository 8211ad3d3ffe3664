"""Where the pixels of a mix come from: boxes and masks scaled to a tensor, blocks moved, an image shrunk into a box.

A box has an edge of each kind for each axis: those of an image [height, width], a signal [time], or a volume [depth,
height, width].
"""

import math
from functools import reduce
from typing import TypeAlias

import torch
from torch import Tensor

Size: TypeAlias = tuple[int, ...]  # of each axis: (time,), (height, width) or (depth, height, width)


def scaled(box: Tensor, size: Size, shape: Size) -> list[tuple[Tensor, Tensor]]:
    """The (first, last) edges, each [...], along every axis of boxes [..., 2 D] in `size` pixels, for this shape."""
    edges = box.unbind(-1)
    axes = list(zip(edges[: len(size)], edges[len(size) :], strict=True))
    if shape == size:
        return axes
    ratios = [new / old for new, old in zip(shape, size, strict=True)]
    fitted = [
        [(edge.double() * ratio).round().long() for edge in axis] for axis, ratio in zip(axes, ratios, strict=True)
    ]
    return [(first, last) for first, last in fitted]


def outside(box: Tensor, size: Size, shape: Size, channels: int = 1) -> Tensor:
    """bool [..., *shape]: true where no box covers the pixel, and the example keeps its own.

    With channels it is [..., *shape, channels], as a pixel's channels lie beside each other in channels_last.
    """
    parts = []
    for axis, ((first, last), side) in enumerate(zip(scaled(box, size, shape), shape, strict=True)):
        times = channels if axis == len(shape) - 1 else 1
        place = torch.arange(side * times, device=box.device)
        off = (place < (first * times)[..., None]) | (place >= (last * times)[..., None])
        off = off.view(*off.shape[:-1], *[1] * axis, side * times, *[1] * (len(shape) - axis - 1))
        parts.append(off.view(torch.uint8))  # bool is joined six times as slowly
    joined = reduce(torch.bitwise_or, parts).view(torch.bool)
    return joined if channels == 1 else joined.view(*joined.shape[:-1], shape[-1], channels)


def shrunk(x: Tensor, box: Tensor, size: Size) -> Tensor:
    """Each x[i], whole, shrunk into its box to the nearest pixels; what lies around the box is meaningless.

    Args:
        x: is [B, ..., *shape], of as many axes of pixels as `size` has.
        box: is [B, 2 D], in pixels of `size`.
        size: is the length of each axis that the boxes belong to.
    """
    shape = tuple(x.shape[-len(size) :])
    flat = x.reshape(len(x), -1, *shape)
    for axis, ((first, last), side) in enumerate(zip(scaled(box, size, shape), shape, strict=True)):
        place = torch.arange(side, device=x.device) - first[:, None]
        source = (place * side // (last - first)[:, None].clamp(min=1)).clamp(0, side - 1)
        source = source.view(len(x), 1, *[1] * axis, side, *[1] * (len(shape) - axis - 1))
        flat = flat.gather(axis + 2, source.expand_as(flat))
    return flat.view(x.shape)


def moved(x: Tensor, moves: Tensor) -> Tensor:
    """Blocks of x [B, ..., height, width] rearranged: block j of image i is what moves[i, j] was, on a t by t grid."""
    side = _grid(moves)
    height, width = (length // side for length in x.shape[-2:])
    blocks = x.reshape(len(x), -1, side, height, side, width).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    blocks = blocks.gather(1, moves[:, :, None, None, None].expand_as(blocks))  # one name: each copy goes once used
    return blocks.view(len(x), side, side, -1, height, width).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def fits(moves: Tensor, shape: tuple[int, int]) -> bool:
    """Whether the grid of `moves` divides a tensor's (height, width) into whole blocks."""
    return all(length % _grid(moves) == 0 for length in shape)


def spread(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """A mask [..., h, w] of blocks, as pixels [..., height, width], each taking the block its place falls into."""
    # In whole numbers: interpolate(mode="nearest-exact") rounds in float32, and takes the wrong block at some borders.
    rows, columns = (
        (2 * torch.arange(side, device=mask.device) + 1) * blocks // (2 * side)
        for side, blocks in zip(shape, mask.shape[-2:], strict=True)
    )
    return mask.index_select(-2, rows).index_select(-1, columns)


def _grid(moves: Tensor) -> int:
    return math.isqrt(moves.shape[-1])
