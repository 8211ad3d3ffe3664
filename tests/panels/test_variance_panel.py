"""The variance panel without a browser: its law against a simulation, its picture and what it refuses."""

import numpy as np
import pytest
from refusals import each_refused

import mixlab as mx

BLENDS = {2: mx.Interval(0.85, 0.8, 0.9, 24, 0.95), 8: mx.Interval(0.65, 0.6, 0.72, 24, 0.95)}
PAIRS = {5: mx.Interval(0.21, 0.17, 0.25, 24, 0.95)}


def test_the_law_is_that_of_a_mean_over_pairs_and_over_blends_of_each() -> None:
    draw = np.random.default_rng(0)

    def variance(k: int, pairs: int = 4) -> float:
        of_pairs = draw.normal(0, 1.0, (100_000, pairs, 1))
        return float((of_pairs + draw.normal(0, 0.7, (100_000, pairs, k))).mean((1, 2)).var())

    one, ratio = variance(1), {k: variance(k) for k in (2, 3, 8)}
    panel = mx.panels.variance_panel({8: mx.Interval(ratio[8] / one, 0, 1, 9, 0.95)})
    assert panel.floor.value == pytest.approx(1 / 1.49, rel=0.03)
    for k in (2, 3):
        assert panel.law(k) == pytest.approx(ratio[k] / one, rel=0.03)
    assert variance(1, pairs=20) / one == pytest.approx(1 / 5, rel=0.03)


def test_it_says_what_is_left_at_its_k() -> None:
    panel = mx.panels.variance_panel(BLENDS, PAIRS)
    np.testing.assert_allclose([panel.floor.low, panel.floor.value, panel.floor.high], [3.8 / 7, 0.6, 4.76 / 7])
    assert panel.law(8) == pytest.approx(0.65)
    assert "K = 5 leaves 0.68 of the variance at K = 1: 0.60 from the pairs and 0.08 from λ" in panel.describe()
    panel.k = 10
    assert "K = 10 leaves 0.64" in panel.describe()
    assert panel.describe() in panel.still()
    few = mx.panels.variance_panel({8: mx.Interval(0.7, 0.0, float("inf"), 2, 0.95)})
    assert few._blends == [[8, 0.7, 0.0, 2.0]]
    assert "[-0.14, inf]" in few.describe()


test_a_wrong_argument_is_named = each_refused(
    (lambda: mx.panels.variance_panel({}), "blends must .* none"),
    (lambda: mx.panels.variance_panel({5: 0.8}), "blends must map K to an Interval"),
    (lambda: mx.panels.variance_panel({1: BLENDS[2]}), "K in blends must .* 2 to 16, got 1"),
    (lambda: mx.panels.variance_panel(BLENDS, {17: BLENDS[2]}), "K in pairs must .* 2 to 16, got 17"),
    (lambda: mx.panels.variance_panel(BLENDS, PAIRS, 0), "k must .* 1 to 16, got 0"),
)
