"""Cells against loops over rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeding import seeded

from mixlab.calibration.bins import fill_cells, mass_edges, width_edges

F64 = torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, F64])
@pytest.mark.parametrize("n_bins", [1, 2, 3, 5, 7, 10, 15, 20, 30])
def test_a_confidence_on_an_edge_is_in_the_bin_below_and_the_ends_are_in_a_bin(n_bins, dtype):
    edges = torch.tensor([i / n_bins for i in range(n_bins + 1)], dtype=dtype)
    above = torch.nextafter(edges[:-1], torch.tensor(2.0, dtype=dtype))
    for values, expected in ((edges[1:], range(n_bins)), (above, range(n_bins)), (edges[:1], [0])):
        for value, place in zip(values[:, None].double(), expected, strict=True):
            cells = fill_cells(value, torch.tensor([True]), width_edges(n_bins, dtype))
            assert cells[:, 1, 0].argmax() == place
            assert cells[..., 0].sum() == 1


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    n_bins=st.integers(1, 20),
    seed=st.integers(0, 1000),
    mass=st.booleans(),
)
def test_cells_are_what_a_loop_counts(steps, n_bins, seed, mass):
    conf = torch.tensor(steps, dtype=F64) / 12
    correct = torch.rand(len(steps), generator=seeded(seed)) < 0.5
    edges = mass_edges(conf, n_bins) if mass else width_edges(n_bins, F64)
    expected = np.zeros((n_bins, 2, 3))
    for c, right in zip(conf.tolist(), correct.tolist(), strict=True):
        i = sum(c > edge for edge in edges.tolist())
        expected[i, int(right)] += (1, c, c * c)
    np.testing.assert_allclose(fill_cells(conf, correct, edges), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "n_bins"), [(1500, 15), (1000, 15), (7, 15), (1, 4), (100, 1)])
def test_bins_of_equal_mass_hold_equal_counts(n, n_bins):
    conf = torch.rand(n, generator=seeded(n), dtype=F64)
    count = fill_cells(conf, conf > 2, mass_edges(conf, n_bins))[..., 0].sum(1)
    assert count.sum() == n
    assert set(count.tolist()) <= {n // n_bins, -(-n // n_bins)}


def test_equal_confidences_share_a_bin_and_leave_others_empty():
    conf = torch.tensor([0.3] * 7 + [0.9] * 2 + [0.95], dtype=F64)
    cells = fill_cells(conf, conf > 0.5, mass_edges(conf, 5))
    assert cells[..., 0].sum(1).tolist() == [7, 0, 0, 2, 1]
