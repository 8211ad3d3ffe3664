"""Boxes, masks and moved blocks, against loops over pixels in whole numbers and against torch's own resizing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeding import seeded
from torch import Tensor
from torch.nn.functional import interpolate

from mixlab.mixing import geometry

SIZES = [(6, 7), (8, 8), (5, 12), (1, 9), (16, 4)]


def pixels(batch: int, channels: int, height: int, width: int) -> Tensor:
    """A different number in every place, so that a pixel says where it came from."""
    return torch.arange(float(batch * channels * height * width)).view(batch, channels, height, width)


def rescaled(box: list[int], size: tuple[int, int], shape: tuple[int, int]) -> list[int]:
    return [round(edge * shape[axis % 2] / size[axis % 2]) for axis, edge in enumerate(box)]


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Tensor, tuple[int, int]]:
    """Up to four boxes [N, 4] of any place and extent, empty ones and the whole image included, and their size."""
    size = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    edges = [sorted(draw(st.tuples(st.integers(0, side), st.integers(0, side)))) for side in size * 4]
    count = draw(st.integers(1, 4))
    rows = [[edges[2 * i][0], edges[2 * i + 1][0], edges[2 * i][1], edges[2 * i + 1][1]] for i in range(count)]
    return torch.tensor(rows), size


shapes = st.tuples(st.integers(1, 14), st.integers(1, 14))


@given(held=boxes(), shape=st.one_of(st.none(), shapes))
@settings(max_examples=60, deadline=None)
def test_outside_is_true_where_no_box_is(held, shape):
    box, size = held
    shape = shape or size
    keep = geometry.outside(box, size, shape)
    assert (keep.shape, keep.dtype) == ((len(box), *shape), torch.bool)
    for i, edges in enumerate(box.tolist()):
        top, left, bottom, right = rescaled(edges, size, shape)
        for row in range(shape[0]):
            for column in range(shape[1]):
                assert bool(keep[i, row, column]) == (not (top <= row < bottom and left <= column < right))


@given(held=boxes(), shape=st.one_of(st.none(), shapes), channels=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_shrunk_shows_the_whole_image_in_its_box(held, shape, channels):
    box, size = held
    height, width = shape or size
    x = pixels(len(box), channels, height, width)
    before, small = x.clone(), geometry.shrunk(x, box, size)
    assert small.shape == x.shape
    assert torch.equal(x, before)
    for i, edges in enumerate(box.tolist()):
        top, left, bottom, right = rescaled(edges, size, (height, width))
        for row in range(top, bottom):
            for column in range(left, right):
                source = (row - top) * height // (bottom - top), (column - left) * width // (right - left)
                assert torch.equal(small[i, :, row, column], x[i, :, source[0], source[1]])
        if bottom > top and right > left:
            # below 26 pixels a side; from there on float32 takes interpolate one pixel off here and there
            theirs = interpolate(x[i : i + 1], size=(bottom - top, right - left), mode="nearest")[0]
            assert torch.equal(small[i, :, top:bottom, left:right], theirs)


@pytest.mark.parametrize("shape", [*SIZES, (32, 32), (14, 23), (26, 11)])
@pytest.mark.parametrize("blocks", [(1, 1), (2, 2), (4, 4), (3, 5), (14, 26)])
def test_spread_takes_the_block_that_the_middle_of_a_pixel_lies_in(blocks, shape):
    mask = torch.rand(2, 3, *blocks, generator=seeded())
    wide = geometry.spread(mask, shape)
    assert (wide.shape, wide.dtype) == ((2, 3, *shape), torch.float32)
    for row in range(shape[0]):
        for column in range(shape[1]):
            place = (2 * row + 1) * blocks[0] // (2 * shape[0]), (2 * column + 1) * blocks[1] // (2 * shape[1])
            assert torch.equal(wide[..., row, column], mask[..., place[0], place[1]])
