"""What is recommended of which differences, and in which words."""

import pytest
import torch
from scipy import stats
from seeding import seeded

from mixlab.comparison.recommendation import recommended
from mixlab.comparison.scores import Difference, corrected_level


def seen(mean: float, spread: float = 0.01, error: float = 0.0) -> Difference:
    return Difference((mean, mean - spread, mean + spread), error, 0.975)


LESS, LEAST, MORE, MOST, MAYBE_LESS, MAYBE_MORE = map(seen, (-0.2, -0.3, 0.2, 0.3, -0.2, 0.2), [0.01] * 4 + [0.3] * 2)


@pytest.mark.parametrize(
    ("by", "to_none", "to_best", "best", "words"),
    [
        ("nll", {"a": LESS, "b": LEAST}, {"none": MORE, "a": MORE}, "b", "b: it lowers the NLL by 0.300"),
        ("nll", {"a": LESS, "b": LEAST}, {"a": MORE}, "b", "b also beats a."),
        ("nll", {"a": LESS, "b": LEAST}, {"a": MAYBE_MORE}, "b", "Not told apart from b: a."),
        (
            "nll",
            {"a": LESS},
            {},
            "a",
            "Train with a: it lowers the NLL by 0.200 (97.5% interval 0.164 to 0.236; 3 seeds).",
        ),
        ("nll", {"a": MAYBE_LESS, "b": MORE}, {"b": MORE}, None, "No mixer is recommended: a lowers the NLL"),
        ("nll", {"a": MAYBE_MORE}, {}, None, "No mixer is recommended: no mixer lowers the mean NLL"),
        ("nll", {"a": MOST, "b": MAYBE_MORE}, {}, None, "It is decided, though, that a raises the NLL."),
        ("nll", {"a": MORE}, {}, "none", "Train without mixing: a raises the NLL, by 0.200"),
        ("nll", {"a": MORE, "b": MOST}, {}, "none", "every mixer raises the NLL, a the least, by 0.200"),
        ("nll", {"a": seen(-0.2, error=0.2)}, {}, None, "or more test images, to tell a from"),
        ("nll", {"a": seen(-0.5, 0.9), "b": LESS}, {"a": MAYBE_LESS}, "b", "Not told apart from b: a."),
        ("nll", {}, {}, None, "No mixer is recommended: no mixer has two seeds"),
        ("accuracy", {"a": MORE, "b": LESS}, {"b": LESS}, "a", "it raises the accuracy by 20.0 points (97.5%"),
        ("accuracy", {"a": LESS}, {}, "none", "a lowers the accuracy"),
    ],
)
def test_a_mixer_is_recommended_only_where_its_interval_excludes_0(by, to_none, to_best, best, words):
    said = recommended(by, to_none, to_best)
    assert (said.best, said.by, said.decided) == (best, by, best is not None)
    assert words in " ".join([said.sentence, *said.remarks])


def test_seeds_that_would_decide_are_the_fewest():
    needed = MAYBE_LESS.seeds_needed()
    few, enough = (stats.t.ppf(0.9875, n - 1) * 0.3 / n**0.5 for n in (needed - 1, needed))
    assert enough < 0.2 <= few
    assert seen(-0.2, error=0.2).seeds_needed() is None


def test_the_level_is_at_least_that_of_bonferroni():
    for mixers, level in ((1, 0.95), (2, 0.975), (3, 0.984), (6, 0.992), (49, 0.999)):
        assert corrected_level(mixers) == level >= 1 - 0.05 / mixers


@pytest.mark.parametrize(("images", "seeds", "noise"), [(1, 0, 0.01), (0.01, 0.1, 0.1), (1, 0.05, 1)])
def test_intervals_hold_where_seeds_and_images_are_drawn_anew(images, seeds, noise):
    generator, held = seeded(), 0
    for _ in range(300):  # tables of 3 seeds × 200 images whose mean is 0
        draws = [torch.randn(shape, generator=generator).double() for shape in ((1, 200), (3, 1), (3, 200))]
        table = images * draws[0] + seeds * draws[1] + noise * draws[2]
        error = float(table.mean(0).std()) / 200**0.5
        held += not Difference(tuple(table.mean(1).tolist()), error, 0.95).decided
    assert held / 300 > 0.9  # four standard errors below 0.95
