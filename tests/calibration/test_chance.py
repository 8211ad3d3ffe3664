"""Bands of chance against the binomial, the normal law and weighted coins."""

import math

import numpy as np
import pytest
import torch
from figures import OVER, kernel_weights, numpy_of, predictions, same, sums
from scipy.stats import binom
from seeding import seeded

from mixlab.calibration.chance import chance_bins, chance_of_sums, smooth_band


@pytest.mark.parametrize(("confidence", "n"), [(0.9, 7), (0.7, 50), (0.6, 1000), (1.0, 30)])
def test_the_band_of_equal_confidences_is_the_binomial(confidence, n):
    p = same(confidence, n // 2, n)
    slack = max(1, 0.3 * math.sqrt(n * confidence * (1 - confidence)))  # of 1,000 draws
    for seen in (chance_bins(p, "width", 15, seeded(1)), chance_of_sums(sums(p).bins(), seeded(1))):
        assert int((seen.bins.count > 0).sum()) == 1
        for end, tail in ((seen.low, 0.025), (seen.high, 0.975)):
            assert abs(float(end.nansum()) * n - binom.ppf(tail, n, confidence)) <= slack


def test_the_band_of_unequal_confidences_is_narrower_than_a_binomials():
    p = predictions(n=5000)
    confidence, _ = numpy_of(p)
    seen = chance_bins(p, "width", 1, seeded(1))
    spread = math.sqrt((confidence * (1 - confidence)).sum()) / len(p)
    assert float(seen.bins.confidence) == pytest.approx(confidence.mean())
    assert float(seen.high - seen.low) == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert float(seen.high + seen.low) / 2 == pytest.approx(confidence.mean(), abs=0.3 * spread)


def test_one_bin_in_twenty_of_a_calibrated_model_lies_beyond_the_band():
    drawn = [chance_bins(predictions(1.0, seed=seed), "mass", 15, seeded(seed)) for seed in range(40)]
    assert 0.01 < float(torch.stack([seen.beyond for seen in drawn]).double().mean()) < 0.08  # 5%, or a little less


def test_smooth_band_is_that_of_weighted_coins():
    p = OVER[:400]
    middle, low, high = smooth_band(p, 0.1, seeded(3))
    confidence, _ = numpy_of(p)
    weight = kernel_weights(np.array([0.4, 0.7, 1.0]), confidence, 0.1)
    spread = np.sqrt(weight**2 @ (confidence * (1 - confidence)))
    here = [80, 140, 200]
    np.testing.assert_allclose(middle[here], weight @ confidence, atol=0.3 * spread.max())
    np.testing.assert_allclose((high - low)[here], 3.92 * spread, rtol=0.25)
