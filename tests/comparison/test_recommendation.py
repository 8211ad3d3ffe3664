"""What is recommended of which differences, and in which words."""

import math

import pytest
import torch
from scipy import stats

from mixlab.comparison.recommendation import recommended
from mixlab.comparison.scores import Difference, corrected_level

ROWS = torch.Generator().manual_seed(0)


def seen(*values: float, error: float = 0.0) -> Difference:
    return Difference(values, error, 0.975)


BETTER, BEST, WORSE = seen(-0.2, -0.21, -0.19), seen(-0.3, -0.31, -0.29), seen(0.2, 0.21, 0.19)
MAYBE, WORSE_MAYBE = seen(-0.5, 0.1, -0.2), seen(0.5, -0.1, 0.2)


@pytest.mark.parametrize(
    ("by", "to_none", "to_best", "best", "words"),
    [
        (
            "nll",
            {"a": BETTER, "b": BEST},
            {"none": WORSE, "a": WORSE},
            "b",
            ["Train with b", "lowers the NLL by 0.300", "b also beats"],
        ),
        ("nll", {"a": BETTER, "b": BEST}, {"a": MAYBE}, "b", ["Not told apart from b: a."]),
        (
            "nll",
            {"a": BETTER},
            {},
            "a",
            ["Train with a: it lowers the NLL by 0.200 (97.5% interval 0.164 to 0.236; 3 seeds)"],
        ),
        ("nll", {"a": MAYBE, "b": WORSE}, {"b": WORSE}, None, ["Nothing was decided: a", "may be chance"]),
        ("nll", {"a": WORSE_MAYBE}, {}, None, ["Nothing was decided: no mixer lowers the mean NLL"]),
        ("nll", {"a": WORSE, "b": WORSE_MAYBE}, {}, None, ["Nothing was decided"]),
        ("nll", {"a": WORSE}, {}, "none", ["Train without mixing: a raises the NLL, by 0.200"]),
        ("nll", {"a": WORSE, "b": seen(0.3, 0.31, 0.29)}, {}, "none", ["every mixer raises the NLL, a the least"]),
        ("nll", {"a": seen(-0.2, -0.21, -0.19, error=0.2)}, {}, None, ["give more test images"]),
        ("nll", {}, {}, None, ["Nothing was decided: no mixer has two seeds"]),
        ("accuracy", {"a": WORSE, "b": BETTER}, {"b": BETTER}, "a", ["it raises the accuracy by 20.0 points (97.5%"]),
        ("accuracy", {"a": BETTER}, {}, "none", ["a lowers the accuracy"]),
    ],
)
def test_a_mixer_is_recommended_only_where_its_interval_excludes_0(by, to_none, to_best, best, words):
    said = recommended(by, to_none, to_best)
    assert (said.best, said.by, said.decided) == (best, by, best is not None)
    text = " ".join([said.sentence, *said.remarks])
    assert [word for word in words if word not in text] == [], text


def test_seeds_that_would_decide_are_the_fewest():
    needed = MAYBE.seeds_needed()

    def reach(seeds: int) -> float:
        return stats.t.ppf(0.9875, seeds - 1) * stats.tstd(MAYBE.values) / math.sqrt(seeds)

    assert reach(needed) < 0.2 <= reach(needed - 1)
    assert seen(-0.2, -0.21, error=0.2).seeds_needed() is None


@pytest.mark.parametrize(("mixers", "level"), [(1, 0.95), (2, 0.975), (3, 0.984), (6, 0.992), (49, 0.999)])
def test_the_level_is_at_least_that_of_bonferroni(mixers, level):
    assert corrected_level(mixers) == level >= 1 - 0.05 / mixers


def test_intervals_hold_where_seeds_and_images_are_drawn_anew():
    """Of a table of 3 seeds × 200 images whose mean is 0, by the spread of images, of seeds, and noise of each cell."""
    for images, seeds, noise in ((1, 0, 0.01), (0.01, 0.1, 0.1), (1, 0.05, 1)):
        held = 0
        for _ in range(300):
            parts = [torch.randn(shape, generator=ROWS, dtype=torch.float64) for shape in ((1, 200), (3, 1), (3, 200))]
            table = images * parts[0] + seeds * parts[1] + noise * parts[2]
            error = float(table.mean(0).std()) / 200**0.5
            held += not Difference(tuple(table.mean(1).tolist()), error, 0.95).decided
        assert held / 300 > 0.91  # four standard errors below 0.95 are 0.90
