"""How the benchmarks measure: in which order, with which control, with what beside what, and what an error is."""

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from paths import ROOT
from torch import Tensor

sys.path.append(str(ROOT / "benchmarks"))
import blend
import calibration_errors
import calibration_tasks
import conventions
import harness
import laws
import train
from peers import Peer


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
    assert {name: len(times) for name, times in seconds.items()} == {"a": 5, "b": 5}
    assert (called.count("a"), called.count("b")) == (7, 7)


def test_a_comparison_has_the_ratio_of_our_first_task_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"mine": 0}

    def mine() -> None:
        calls["mine"] += 1

    def timed(tasks: dict[Any, harness.Task], rounds: int) -> dict[Any, list[float]]:
        for task in tasks.values():
            task()
        return {name: [place + 1.0] * rounds for place, name in enumerate(tasks)}

    monkeypatch.setattr(harness, "interleaved", timed)
    ours, peers = {"one": mine, "two": lambda: None}, {("timm", "a"): lambda: None, ("timm", "b"): lambda: None}
    rows = harness.compare("group", "case", ours, peers, 3, pairs=[("one", ("timm", "b")), ("two", ("timm", "a"))])
    assert calls["mine"] == 2
    assert [(row["ours"], row["peer"]["call"], row["ratio"]["median"]) for row in rows] == [
        ("one", "b", 4.0),
        ("two", "a", 1.5),
    ]
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


DEFAULT = "mixup, random partners, own λ: mixer(x, y)"


def test_a_peer_is_beside_what_does_the_same() -> None:
    peer = Peer("timm", "Mixup", "mixup", reversed_in_place, in_place=True)
    assert blend.alike(peer) == ["mixup, roll partners, one λ: mixer(x, y)", DEFAULT]
    assert blend.alike(Peer("kornia", "RandomMixUpV2", "mixup", shuffled)) == [DEFAULT]
    assert blend.FIRST == DEFAULT
    assert next(iter(blend.our_mixers(1))) == DEFAULT.removesuffix(": mixer(x, y)"), "what the control is of"


def test_a_peer_that_changes_its_input_must_be_known_to() -> None:
    with pytest.raises(ValueError, match="timm Mixup changes its input"):
        conventions.convention(Peer("timm", "Mixup", "mixup", reversed_in_place))
    x, y = torch.rand(8, 3, 4, 4), torch.arange(8)
    before = x.clone()
    peer = Peer("timm", "Mixup", "mixup", reversed_in_place, in_place=True)
    train.theirs(peer)(x, y)
    assert torch.equal(x, before)
    peer.mix(x, y)
    assert not torch.equal(x, before)


def test_laws_are_told_in_a_word() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.beta(0.1, 0.1, 20_000)
    halves = np.where(generator.random(20_000) < 0.2, 0.5, drawn)
    kinds = [drawn, np.maximum(drawn, 1 - drawn), generator.random(20_000), halves, generator.beta(0.2, 0.2, 20_000)]
    rows = laws.judged([laws.law("numpy", "", 0.1, lam) for lam in kinds])
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


@pytest.mark.parametrize(
    ("value", "truth", "said"),
    [
        (0.5, 0.25, 0.25),
        (math.inf, math.inf, 0.0),
        (9.87654, math.inf, "gives 9.88"),
        (math.nan, 0.1, "gives NaN"),
        (0.2, math.nan, "gives 0.2"),
    ],
)
def test_an_error_is_a_distance_or_said_in_words(value: float, truth: float, said: float | str) -> None:
    assert calibration_errors.error(lambda: value, truth) == said


def test_what_a_peer_raises_is_its_error() -> None:
    assert calibration_errors.error(lambda: 1 / 0, 0.5) == "raises ZeroDivisionError"
