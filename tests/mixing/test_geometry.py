"""Blocks spread and images shrunk, at sizes where float32 goes wrong; boxes and moved blocks are in test_ways.py."""

import pytest
import torch
from definition import images
from seeding import seeded
from torch.nn.functional import interpolate

from mixlab.mixing import geometry


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (9, 4), (25, 25)])
def test_an_image_is_shrunk_as_interpolate_does_it(size):
    # below 26 pixels a side; from there on float32 takes interpolate one pixel off here and there
    x, (height, width) = images(torch.float32, (1, 3, 25, 25)), size
    small = geometry.shrunk(x, torch.tensor([[0, 0, height, width]]), (25, 25))
    assert torch.equal(small[..., :height, :width], interpolate(x, size=size, mode="nearest"))


@pytest.mark.parametrize("shape", [(6, 7), (1, 9), (32, 32), (14, 23), (26, 11)])
@pytest.mark.parametrize("blocks", [(1, 1), (4, 4), (3, 5), (14, 26)])
def test_spread_takes_the_block_that_the_middle_of_a_pixel_lies_in(blocks, shape):
    mask = torch.rand(2, 3, *blocks, generator=seeded())
    wide = geometry.spread(mask, shape)
    assert (wide.shape, wide.dtype) == ((2, 3, *shape), torch.float32)
    rows, columns = (
        [(2 * i + 1) * count // (2 * side) for i in range(side)] for count, side in zip(blocks, shape, strict=True)
    )
    assert torch.equal(wide, mask[:, :, rows][..., columns])
