"""Every claim that runs decide, beside loops over a hand-made atlas; and each of them moved to both sides."""

import re
from itertools import combinations
from statistics import fmean

import lessons
import pytest
from made_runs import ALPHAS, KS, VARIANTS, made_runs
from scipy import stats

from mixlab.ledger import CLAIMS, Ledger
from mixlab.runs.atlas.atlas_run import SETTINGS

PLACES = ("data", "images", "model", "epochs", "seed")
RUNS = made_runs(model=("quick", "vit_tiny"))
HELD = {tuple(run.settings.items()): run for run in RUNS}
LEDGER = Ledger(RUNS)
BY_RUNS = [claim.key for claim in CLAIMS if claim.effects]


def places(**only):
    """The settings of the places of the grid, as a run without mixing has them."""
    for run in RUNS:
        here = {name: getattr(run, name) for name in PLACES}
        if run.variant == "none" and all(here[name] == value for name, value in only.items()):
            yield here


def value(metric, variant, alpha, k, tempered=False, **place):
    """100 times a metric of the one run with these settings."""
    wanted = place | {"variant": variant, "alpha": alpha, "k": k}
    return 100 * HELD[tuple((name, wanted[name]) for name in SETTINGS)].value(metric, tempered=tempered)


def pairs(metric, first, second, tempered=False, **only):
    return [value(metric, *first, tempered, **p) - value(metric, *second, tempered, **p) for p in places(**only)]


def over_alphas(variant, per_alpha, **only):
    """A number a place: the mean over the αs of what the function gives."""
    return [fmean(per_alpha(variant, alpha, p) for alpha in ALPHAS) for p in places(**only)]


def steps(variant, alpha, p):
    low, middle, high = (value("accuracy", variant, alpha, k, **p) for k in (1, 2, 5))
    return (high - middle) - (middle - low)


def k5(variant, alpha, p, longer=1):
    other = p | {"epochs": p["epochs"] * longer}
    return value("accuracy", variant, alpha, 5, **p) - value("accuracy", variant, alpha, 1, **other)


def tau(one, other):
    """Of the orders at two places, over all pairs of ways."""
    ways = [("none", None, 1), *((variant, 1.0, 1) for variant in VARIANTS)]
    first, second = ([value("accuracy", *way, **place) for way in ways] for place in (one, other))
    signs = [
        ((a > b) - (a < b)) * ((c > d) - (c < d))
        for (a, b), (c, d) in zip(combinations(first, 2), combinations(second, 2), strict=True)
    ]
    return fmean(signs)


def of_models():
    for here in places(model="vit_tiny"):
        there = here | {"model": "quick"}
        gains = [
            value("accuracy", variant, alpha, k, **p) - value("accuracy", "none", None, 1, **p)
            for p in (here, there)
            for variant in VARIANTS
            for alpha in ALPHAS
            for k in KS
        ]
        half = len(gains) // 2
        yield fmean(vit - cnn for vit, cnn in zip(gains[:half], gains[half:], strict=True))


def repaired(p):
    return fmean(
        value("ece", "mixup", alpha, k, tempered=True, **p) - value("ece", "mixup", alpha, k, **p)
        for alpha in ALPHAS
        for k in KS
    )


NONE, ONE = ("none", None, 1), ("mixup", 1.0, 1)
BRUTE = {
    "top1": lambda: pairs("accuracy", ONE, NONE),
    "ece": lambda: pairs("ece", ONE, NONE),
    "small-alpha": lambda: pairs("accuracy", ("mixup", 0.2, 1), ONE),
    "large-alpha": lambda: pairs("accuracy", ("mixup", 8.0, 1), NONE),
    "small-data": lambda: pairs("accuracy", ONE, NONE, images=500),
    "cutmix": lambda: pairs("accuracy", ("cutmix", 1.0, 1), ONE),
    "manifold": lambda: pairs("accuracy", ("manifold", 1.0, 1), ONE),
    "less-calibratable": lambda: pairs("ece", ONE, NONE, tempered=True),
    "temperature": lambda: [repaired(p) for p in places()],
    "order": lambda: [tau(p, p | {"images": 2000}) for p in places(images=500)],
    "order-seeds": lambda: [tau(p, p | {"seed": 1}) for p in places(seed=0)],
    "vit": lambda: list(of_models()),
    "saturation": lambda: [fmean(steps(v, a, p) for v in VARIANTS for a in ALPHAS) for p in places()],
    **{f"k5-{v}": lambda v=v: over_alphas(v, k5) for v in VARIANTS},
    **{f"k5-{v}-cost": lambda v=v: over_alphas(v, lambda *p: k5(*p, 5), epochs=10) for v in VARIANTS},
}


def test_each_claim_has_its_brute_force_and_words_that_tell_it_apart():
    assert sorted(BRUTE) == sorted(BY_RUNS)
    assert len({claim.key for claim in CLAIMS}) == len({claim.text for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.low <= claim.high
        assert re.fullmatch(r"[a-z0-9-]+", claim.key)
        assert all(text.strip() for text in (claim.text, claim.source, claim.quantity, claim.experiment))
        assert claim.text.endswith(".")
        assert claim.experiment.rstrip(")").endswith(".")
        assert claim.lesson in lessons.lesson_names()


@pytest.mark.parametrize("key", BY_RUNS)
def test_the_interval_is_that_of_the_loops(key):
    expected = BRUTE[key]()
    seen = LEDGER[key].interval
    low, high = stats.t.interval(LEDGER.level, len(expected) - 1, loc=fmean(expected), scale=stats.sem(expected))
    assert seen.n == len(expected)
    assert (seen.value, seen.low, seen.high) == pytest.approx((fmean(expected), low, high), abs=1e-4)


SIDES = {"top1": ONE, "small-alpha": ("mixup", 0.2, 1), "cutmix": ("cutmix", 1.0, 1), "k5-mixup": ("mixup", 1.0, 5)}
SIDES |= {"manifold": ("manifold", 1.0, 1), "large-alpha": ("mixup", 8.0, 1), "small-data": ONE}


@pytest.mark.parametrize(("key", "mixing"), SIDES.items())
def test_each_can_be_supported_and_refuted(key, mixing):
    moved = {sign: Ledger(made_runs(1, {mixing: 60 * sign}))[key] for sign in (1, -1)}
    for sign, verdict in moved.items():
        right = verdict.claim.low if sign < 0 else verdict.claim.high
        supported = abs(right) == float("inf")
        assert verdict.word == ("supported" if supported else "refuted"), (verdict.interval, sign)


def test_equal_cost_can_refute_and_not_support_where_the_other_side_costs_less():
    def verdict(shift, longer):
        return Ledger(made_runs(2, {("mixup", a, 5): shift for a in ALPHAS}, epochs=(10, longer)))["k5-mixup-cost"]

    seen = {longer: verdict(45, longer) for longer in (30, 50)}
    assert [each.word for each in seen.values()] == ["undecided", "supported"]
    assert "favors the claim" in seen[30].why
    assert verdict(-45, 30).word == "refuted"
