"""The atlas panel without a browser: its numbers against the atlas, what it begins at, its words and its picture."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from recorded_runs import recorded_runs
from refusals import each_refused
from scipy import stats

import mixlab as mx
from mixlab.panels.atlas_panel.numbers import ROWS, front, words_of
from mixlab.runs.atlas import Atlas

ATLAS = recorded_runs()
NONE = {"variant": "none"}


def panel(**settings: Any) -> Any:
    return mx.panels.atlas_panel(ATLAS, **settings)


@pytest.mark.parametrize("n_bins", [5, 30])
def test_the_differences_are_those_of_the_atlas(n_bins: int) -> None:
    shown = panel(this={"alpha": 0.2, "k": 2}, that={"epochs": 30, **NONE}, n_bins=n_bins)
    assert shown.this == {"data": "cifar10", "images": 500, "model": "quick"} | {
        "variant": "mixup",
        "alpha": 0.2,
        "k": 2,
        "epochs": 10,
    }
    seen = shown.differences()
    for row, (metric, tempered, factor, digits, unit) in ROWS.items():
        theirs = ATLAS.difference(metric, shown.this, shown.that, tempered=tempered, n_bins=n_bins)
        ends = [factor * end for end in (theirs.value, theirs.low, theirs.high)]
        assert [seen[row].value, seen[row].low, seen[row].high] == pytest.approx(ends)
        words = f"{row} {ends[0]:+.{digits}f} [{ends[1]:+.{digits}f}, {ends[2]:+.{digits}f}] {unit}"
        assert words.replace("-", "−") in shown.describe()
    assert shown.describe().startswith(
        "mixup (α = 0.2, K = 2, 10 epochs) minus none (30 epochs), 500 images of cifar10"
    )
    assert shown.describe().endswith("95% intervals, n = 3.")
    assert [ax.get_xlabel() for ax in shown.figure().axes][1].startswith("this − that, points")


@pytest.mark.parametrize(("variant", "words"), [("cutmix", "one pair: no interval"), ("manifold", "no seed in common")])
def test_one_pair_or_none_has_no_interval(variant: str, words: str) -> None:
    shown = panel(this={"variant": variant})
    assert shown.describe().count(words) == 5
    assert shown.differences() == {}
    assert len(shown.figure().axes) == 1


def test_what_is_left_open_is_near_mixup_and_near_this() -> None:
    assert panel().this == panel(this={"alpha": 1.0, "k": 1, "epochs": 10}).this
    assert panel(this={"data": "shapes"}).that == {**panel(this={"data": "shapes"}).this, **NONE, "alpha": None}
    assert panel(this={"epochs": 30}).that["epochs"] == 30
    mixed = Atlas(run for run in ATLAS if run.variant != "none")
    assert mx.panels.atlas_panel(mixed).that == mx.panels.atlas_panel(mixed).this
    assert len(mx.panels.atlas_panel().settings) > 10  # the runs that come with mixlab


def test_nothing_beats_the_front_and_all_else_is_beaten() -> None:
    drawn = np.random.default_rng(0).integers(0, 8, (60, 2))  # with ties
    points: list[Any] = [SimpleNamespace(cost=cost, accuracy=float(accuracy)) for cost, accuracy in drawn]
    for cost in range(8):
        best = max((one.accuracy for one in points if one.cost <= cost), default=-1)
        here = {one.accuracy for one in front(points) if one.cost == cost}
        cheaper = max((one.accuracy for one in points if one.cost < cost), default=-1)
        assert here == ({best} if best > cheaper else set())
    assert panel().front()[0]["epochs"] == 10


def test_the_best_for_as_little_is_decided_by_paired_intervals() -> None:
    shown = panel(this={"k": 5})
    within = [one for one in shown.settings if one.axes["data"] == "cifar10" and one.cost <= 25_000]
    accuracy = {id(one): [run.value("accuracy") for _, run in sorted(one.runs.items())] for one in within}
    best = max(within, key=lambda one: np.mean(accuracy[id(one)]))
    mean = 100 * np.mean(accuracy[id(best)])
    assert f"of {len(within)} settings is {words_of(best.axes)}: {mean:.1f}%" in shown.best()
    behind = 0
    for one in within:
        if one is not best and len(one.runs) == len(best.runs) == 3:
            paired = stats.ttest_rel(accuracy[id(best)], accuracy[id(one)])
            behind += paired.confidence_interval(0.95).low > 0
    assert behind > 3
    assert f"above 0, over {behind} of {len(within) - 1} others" in shown.best()


def test_a_setting_without_runs_is_refused_and_the_panel_stays() -> None:
    shown = panel()
    before = shown.state
    with pytest.raises(ValueError, match=r"^this must be a setting that has runs, with data, .* epochs, got"):
        shown.this = {**shown.this, "k": 7}
    with pytest.raises(ValueError, match=r"^n_bins must be one of 5, 10, 15, 20, 30, got 7"):
        shown.n_bins = 7
    assert shown.state == before
    shown.this = {**shown.this, "k": 2}
    assert shown.describe() in shown.still()


test_a_wrong_argument_is_named = each_refused(
    (lambda: mx.panels.atlas_panel([1]), r"atlas must be an Atlas with runs, .*, got \[1\]"),
    (lambda: mx.panels.atlas_panel(ATLAS[:0]), "atlas must be an Atlas with runs"),
    (lambda: mx.panels.atlas_panel(Atlas([*ATLAS, ATLAS[0]])), "atlas must have one run for each setting and seed"),
    (lambda: panel(this="mixup"), "this must be settings by name, got 'mixup'"),
    (lambda: panel(that={"alpha": 0.2, "k": 5}), "that must be a setting that has runs, got .*'k': 5"),
    (lambda: panel(this={"k": 3}), "k must be one of 1, 2, 5"),
    (lambda: panel(picture="costs"), "picture must .* 'cost'?"),
    (lambda: panel(tempered=1), "tempered must be True or False, got 1"),
)
