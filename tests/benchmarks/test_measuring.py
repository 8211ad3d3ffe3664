"""How the benchmarks measure: the order, the ratio and its control, what is beside what, and what an error is."""

import itertools
import math
from typing import Any

import bench_blend
import bench_gradient_variance
import bench_lambda
import bench_train
import calibration_errors
import calibration_tasks
import harness
import numpy as np
import peer_conventions
import pytest
import torch
from peers import Peer
from scipy.stats import binom
from torch import Tensor

import mixlab as mx


def test_no_task_has_one_neighbor_for_ever() -> None:
    names = ["a", "b", "c", "d"]
    found = list(harness.orders(names, 60))
    assert all(sorted(order) == names for order in found)
    before = {pair for order in found for pair in itertools.pairwise(order)}
    assert before == set(itertools.permutations(names, 2))
    assert found == list(harness.orders(names, 60)), "alike in every run"


def test_each_task_is_timed_once_a_round_after_the_warm_up() -> None:
    called: list[str] = []
    seconds = harness.interleaved({name: lambda name=name: called.append(name) for name in "ab"}, 5)
    assert [*map(len, seconds.values()), called.count("a"), called.count("b")] == [5, 5, 7, 7]


@pytest.mark.parametrize("n", [6, 11, 15, 41])
def test_a_ratio_has_the_median_and_the_tightest_interval_of_95_percent(n: int) -> None:
    ratios = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    base = np.random.default_rng(0).uniform(1, 2, n)
    found = harness.ratio_interval(list(ratios * base), list(base))
    low, high = round(found["low"]), round(found["high"])  # the ratios are their own ranks
    assert found["median"] == pytest.approx(np.median(ratios))
    assert low + high == n + 1
    covered = [binom.cdf(n - j, n, 0.5) - binom.cdf(j - 1, n, 0.5) for j in (low, low + 1)]
    assert covered[0] >= 0.95 > covered[1]


def test_a_comparison_has_the_ratio_of_our_first_task_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def timed(tasks: dict[Any, harness.Task], rounds: int) -> dict[Any, list[float]]:
        for task in tasks.values():
            task()
        return {name: [place + 1.0] * rounds for place, name in enumerate(tasks)}

    monkeypatch.setattr(harness, "interleaved", timed)
    ours = {"one": lambda: calls.append(1), "two": lambda: None}
    peers = dict.fromkeys((("timm", "a"), ("timm", "b")), lambda: None)
    rows = harness.compare("group", "case", ours, peers, 3, pairs=[("one", ("timm", "b")), ("two", ("timm", "a"))])
    assert len(calls) == 2
    ratios = [(row["ours"], row["peer"]["call"], row["ratio"]["median"]) for row in rows]
    assert ratios == [("one", "b", 4.0), ("two", "a", 1.5)]
    assert [row["control"] for row in rows] == [{"median": 5.0, "low": 5.0, "high": 5.0}] * 2
    assert len(harness.compare("group", "case", ours, peers, 3)) == 4
    assert "control" not in harness.compare("group", "case", ours, {}, 3)[0]


def reversed_in_place(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """One λ for the batch, mixed with the batch reversed, as timm does it."""
    lam = float(torch.rand(()))
    x.mul_(lam).add_(x.flip(0) / lam * (1 - lam))
    return x, y


def shuffled(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    lam = torch.rand(len(x), 1, 1, 1)
    return lam * x + (1 - lam) * x[torch.randperm(len(x))], y


DEFAULT = "mixup, random, own λ"
TIMM = Peer("timm", "Mixup", "mixup", reversed_in_place, in_place=True)


def test_a_peer_is_beside_what_does_the_same() -> None:
    assert bench_blend.alike(TIMM) == ["mixup, roll, one λ", DEFAULT]
    assert bench_blend.alike(Peer("kornia", "RandomMixUpV2", "mixup", shuffled)) == [DEFAULT]
    assert bench_blend.FIRST == next(iter(bench_blend.our_mixers(1))) == DEFAULT, "what the control is of"


def test_a_peer_that_changes_its_input_must_be_known_to() -> None:
    with pytest.raises(ValueError, match="timm Mixup changes its input"):
        peer_conventions.convention(Peer("timm", "Mixup", "mixup", reversed_in_place))
    x, y = torch.rand(8, 3, 4, 4), torch.arange(8)
    before = x.clone()
    bench_train.theirs(TIMM)(x, y)
    assert torch.equal(x, before)


def test_laws_are_told_in_a_word() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.beta(0.1, 0.1, 20_000)
    halves = np.where(generator.random(20_000) < 0.2, 0.5, drawn)
    kinds = [drawn, np.maximum(drawn, 1 - drawn), generator.random(20_000), halves, generator.beta(0.2, 0.2, 20_000)]
    rows = bench_lambda.judged([bench_lambda.law("numpy", "", 0.1, lam) for lam in kinds])
    words = [row["verdict"] for row in rows]
    assert words[:3] == ["as Beta", "folded", "uniform"]
    assert words[3].endswith("% at ½")
    assert float(words[3].split("%")[0]) == pytest.approx(20, abs=1)
    assert words[4].startswith("off by ")
    assert rows[0]["distance_of_chance"] > 1.5 / 20_000**0.5, "for one cell alone it is 1.36 / √n"


HARD = {name: case for name, case in calibration_errors.hard_cases().items() if name != "a NaN"}


@pytest.mark.parametrize("case", HARD)
def test_our_estimators_are_at_the_definition(case: str) -> None:
    probs, labels = HARD[case]
    for metric, task in calibration_tasks.ours(probs, labels).items():
        if metric != "smooth" or len(probs) < 100:  # the direct sum is slow
            found = calibration_errors.error(task, calibration_errors.reference(metric, probs, labels))
            assert isinstance(found, float), (metric, found)
            assert found < 1e-7, metric


def test_an_error_is_a_distance_or_said_in_words() -> None:
    pairs = [(0.5, 0.25), (math.inf, math.inf), (9.87654, math.inf), (math.nan, 0.1), (0.2, math.nan)]
    said = [calibration_errors.error(lambda value=value: value, truth) for value, truth in pairs]
    assert said == [0.25, 0.0, "gives 9.88", "gives NaN", "gives 0.2"]
    assert calibration_errors.error(lambda: 1 / 0, 0.5) == "raises ZeroDivisionError"


def test_ratios_of_gradient_variances_are_those_of_their_traces(capsys: pytest.CaptureFixture[str]) -> None:
    data, schemes = mx.load("shapes", train_size=60, test_size=10), bench_gradient_variance.SCHEMES
    chosen = {name: schemes[name] for name in ("mixup", "K = 8", "batch x 5")}
    model = mx.models.quick(len(data.classes))
    row, (limit,), traces = bench_gradient_variance.measure(model, data, chosen, step=0, batch_size=8, draws=3)
    ratio = row["over"]["K = 8"]["mixup"][0]
    assert ratio == pytest.approx(traces["K = 8"] / traces["mixup"], rel=1e-3)
    assert limit["ratio"][0] == pytest.approx((8 * ratio - 1) / 7, abs=1e-3), "what no K takes away"
    assert f"{traces['mixup']:.4f}" in capsys.readouterr().out
