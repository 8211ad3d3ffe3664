"""Where the pixels of a mix come from: boxes and masks scaled to a tensor, blocks moved, an image shrunk into a box."""

import math

import torch
from torch import Tensor


def scaled(box: Tensor, size: tuple[int, int], shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Edges (top, left, bottom, right), each [...], of boxes [..., 4] in `size` pixels, for a tensor of `shape`."""
    edges = box.unbind(-1)
    if shape == size:
        return edges
    down, across = shape[0] / size[0], shape[1] / size[1]
    ratios = (down, across, down, across)
    return tuple((edge.double() * ratio).round().long() for edge, ratio in zip(edges, ratios, strict=True))


def outside(box: Tensor, size: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """bool [..., height, width]: true where no box covers the pixel, and the example keeps its own."""
    top, left, bottom, right = (edge[..., None] for edge in scaled(box, size, shape))
    row, column = (torch.arange(side, device=box.device) for side in shape)
    rows = (row >= top) & (row < bottom)
    columns = (column >= left) & (column < right)
    return ~rows[..., :, None] | ~columns[..., None, :]


def shrunk(x: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Each x[i], whole, shrunk into its box to the nearest pixels; what lies around the box is meaningless.

    Args:
        x: is [B, ..., height, width].
        box: is [B, 4], in pixels of `size`.
        size: is the (height, width) that the boxes belong to.
    """
    height, width = x.shape[-2:]
    top, left, bottom, right = (edge[:, None] for edge in scaled(box, size, (height, width)))
    sources = []
    for first, last, side in ((top, bottom, height), (left, right, width)):
        place = torch.arange(side, device=x.device) - first
        sources.append((place * side // (last - first).clamp(min=1)).clamp(0, side - 1))
    rows, columns = sources
    flat = x.reshape(len(x), -1, height, width)
    flat = flat.gather(2, rows[:, None, :, None].expand_as(flat))
    return flat.gather(3, columns[:, None, None, :].expand_as(flat)).view(x.shape)


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
