"""Boxes, masks and moved blocks, against loops over pixels in whole numbers and against torch's own resizing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from mixlab.mixing import geometry

SIZES = [(6, 7), (8, 8), (5, 12), (1, 9), (16, 4)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_outside_takes_any_axes_before_the_edges():
    box = torch.tensor([[[0, 0, 2, 3], [1, 1, 1, 4]], [[5, 0, 6, 7], [0, 0, 6, 7]]])
    keep = geometry.outside(box, (6, 7), (6, 7))
    assert keep.shape == (2, 2, 6, 7)
    assert (~keep).sum((-1, -2)).tolist() == [[6, 0], [7, 42]]


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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.bfloat16, torch.float64])
def test_shrunk_takes_any_type_and_any_axes(dtype):
    box, size = torch.tensor([[1, 2, 4, 7], [0, 0, 6, 7]]), (6, 7)
    x = (torch.rand(2, 2, 3, 6, 7, generator=seeded()) * 9).to(dtype)
    small = geometry.shrunk(x, box, size)
    assert small.dtype == dtype
    for c in range(2):
        assert torch.equal(small[:, c], geometry.shrunk(x[:, c], box, size))
    assert torch.equal(geometry.shrunk(x[:, 0, 0], box, size), small[:, 0, 0])
    assert torch.equal(small[1], x[1])  # a box of the whole image changes nothing


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (16, 4)])
@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("repeats", [False, True])
def test_moved_takes_each_block_from_where_it_says(size, side, repeats):
    height, width = size[0] // side, size[1] // side
    x = pixels(5, 3, *size)
    before, blocks = x.clone(), side * side
    moves = torch.stack([torch.randperm(blocks, generator=seeded(i)) for i in range(5)])
    if repeats:
        moves = torch.randint(0, blocks, (5, blocks), generator=seeded())
    carried = geometry.moved(x, moves)
    assert torch.equal(x, before)
    for i in range(5):
        for j in range(blocks):
            row, column = divmod(j, side)
            source_row, source_column = divmod(int(moves[i, j]), side)
            here = carried[i, :, row * height : (row + 1) * height, column * width : (column + 1) * width]
            there = x[i, :, source_row * height :, source_column * width :][:, :height, :width]
            assert torch.equal(here, there)


def test_moved_there_and_back_is_where_it_was():
    x = torch.rand(6, 2, 3, 8, 12, generator=seeded())
    moves = torch.stack([torch.randperm(16, generator=seeded(i)) for i in range(6)])
    assert torch.equal(geometry.moved(geometry.moved(x, moves), moves.argsort(-1)), x)
    assert torch.equal(geometry.moved(x, torch.arange(16).expand(6, 16)), x)
    assert torch.equal(geometry.moved(x[:, 0, 0], moves), geometry.moved(x, moves)[:, 0, 0])


def test_moved_and_shrunk_pass_gradients_to_the_pixels_that_are_shown():
    x = torch.rand(2, 2, 4, 4, dtype=torch.float64, generator=seeded(), requires_grad=True)
    moves = torch.tensor([[0, 0, 3, 3], [3, 2, 1, 0]])
    assert torch.autograd.gradcheck(lambda image: geometry.moved(image, moves), x)
    box = torch.tensor([[0, 1, 3, 3], [0, 0, 4, 4]])
    assert torch.autograd.gradcheck(lambda image: geometry.shrunk(image, box, (4, 4)), x)


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


@pytest.mark.parametrize("times", [1, 2, 8])
def test_spread_over_whole_blocks_is_interpolation_and_keeps_the_mean(times):
    mask = torch.rand(2, 3, 4, 5, generator=seeded(), dtype=torch.float64)
    wide = geometry.spread(mask, (4 * times, 5 * times))
    assert torch.equal(wide, interpolate(mask, size=(4 * times, 5 * times), mode="nearest"))
    torch.testing.assert_close(wide.mean((-1, -2)), mask.mean((-1, -2)))


@pytest.mark.parametrize(("shape", "side", "whole"), [((8, 8), 4, True), ((8, 6), 4, False), ((6, 8), 4, False)])
def test_a_grid_fits_where_it_leaves_whole_blocks(shape, side, whole):
    moves = torch.zeros(2, 1, 3, side * side, dtype=torch.int64)
    assert geometry.fits(moves, shape) is whole
    assert geometry.fits(moves[..., :1], shape) is True
