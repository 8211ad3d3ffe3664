"""What a grid costs: against the bill of the sweep itself, on a clock that only the work moves."""

import time
from typing import Any

import pytest
import torch
from tiny_runs import raising
from torch import nn

import mixlab as mx
from mixlab.mixing.variants import KINDS
from mixlab.runs import cost_of
from mixlab.runs.store import Store
from mixlab.runs.stored_training import StoredTraining
from mixlab.training.loop import Loop
from mixlab.training.trainer import Trainer

FLAT = {"batch_size": 10, "dtype": torch.float32}  # of 40 images: four steps an epoch


def answers(trainer: Trainer) -> mx.Predictions:
    return mx.Predictions.from_logits(torch.eye(10)[trainer.data.test.labels], trainer.data.test.labels)


class Clock:
    """Seconds that pass when a step, an evaluation, a file or a start takes them; nothing is computed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now, self.patch = 0.0, patch
        patch.setattr(time, "perf_counter", lambda: self.now)
        self.slow(Loop, "_differentiated", lambda trainer: trainer.mixer.forwards + 0.5, lambda *_: torch.zeros(()))
        self.slow(Trainer, "predictions", lambda _: 20.0, answers)
        self.slow(Store, "write_checkpoint", lambda _: 3.0)
        self.slow(Store, "write_run", lambda _: 3.0)
        self.slow(StoredTraining, "load", lambda _: 7.0)

    def slow(self, owner: type, name: str, seconds: Any, instead: Any = None) -> None:
        act = instead or getattr(owner, name)

        def slowly(one: Any, *given: Any, **named: Any) -> Any:
            self.now += seconds(one)
            return act(one, *given, **named)

        self.patch.setattr(owner, name, slowly)


@pytest.mark.parametrize(
    "grid",
    [
        {"variant": ["none", "cutmix"], "k": [3], "seed": range(2), "epochs": [1, 3]},
        {"variant": ["puzzle", "regmixup"], "k": [2], "every": [1, 2], "epochs": [3], "blocks": [2]},
        {"variant": ["mixup"], "alpha": [0.2, 1.0], "learning_rate": [0.1, 0.2], "epochs": [2], "batch_size": [10, 16]},
        {"variant": [mx.Mixer("mixup", k=4), mx.Mixer("none")], "epochs": [2], "model": ["quick"]},
    ],
)
def test_the_prediction_is_the_bill_where_every_step_of_a_kind_takes_as_long(grid, data, tmp_path, monkeypatch):
    settings = {"root": tmp_path, **FLAT}
    settings = {name: value for name, value in settings.items() if name not in grid}
    clock = Clock(monkeypatch)
    cost = cost_of(grid, data, **settings)
    before = clock.now
    bills = [run.history[-1] for run in mx.sweep(grid, data, progress=False, **settings)]
    assert cost.seconds.value == pytest.approx(clock.now - before)
    assert [sum(count for _, count in run.steps) for run in cost.runs] == [bill.steps for bill in bills]
    for part, bill in zip(cost.runs, bills, strict=True):
        assert part.seconds.value == pytest.approx(bill.seconds + 7 + 2 * 3)  # its start, and two files after its last
    assert list(tmp_path.glob("probe-*")) == []


def test_steps_after_mix_until_are_those_of_no_mixing(data, tmp_path, monkeypatch):
    Clock(monkeypatch)
    given = {"epochs": 5, "mix_until": 2, "root": tmp_path, **FLAT}
    (run,) = cost_of({"variant": ["mixup"], "k": [3]}, data, **given).runs
    assert [(kind.forwards, count) for kind, count in run.steps] == [(3, 8), (1, 12)]
    assert run.forwards == 10 * (3 * 8 + 12)


def test_workers_share_the_runs_as_they_become_free(data, tmp_path, monkeypatch):
    Clock(monkeypatch)
    cost = cost_of([{"epochs": [6]}, {"epochs": [2], "seed": range(3)}], data, root=tmp_path, **FLAT)
    long, *short = (run.seconds.value for run in cost.runs)
    assert cost.seconds.value == cost.work.value == pytest.approx(long + sum(short))
    shared = type(cost)(cost.runs, 2, cost.probing).seconds
    assert shared.value == pytest.approx(max(long, sum(short)))
    assert shared.low <= shared.value <= shared.high


def test_the_interval_is_that_of_the_mean_step(data, tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    noise = iter(torch.rand(200, generator=torch.Generator().manual_seed(1)).tolist())
    clock.slow(Loop, "_differentiated", lambda _: 1 + next(noise), lambda *_: torch.zeros(()))
    cost = cost_of({"variant": ["none"]}, data, epochs=3, steps=6, root=tmp_path, **FLAT)
    (kind,) = cost.kinds
    assert kind.step.n == 4 * 5 - 2  # but for the last of each epoch, and the first two
    assert 1 < kind.step.low < kind.step.value < kind.step.high < 2
    assert cost.seconds.high - cost.seconds.value == pytest.approx(12 * (kind.step.high - kind.step.value))
    assert cost.rows()[0]["steps"] == "12"
    assert "1 run, 1 at a time" in repr(cost)


def test_over_cores_it_is_probed_by_as_many_processes(data, tmp_path):
    cost = cost_of({"variant": ["mixup"], "seed": range(3)}, data, epochs=2, jobs=2, root=tmp_path, **FLAT)
    assert cost.at_once == 2
    assert [kind.step.n for kind in cost.kinds] == [2 * 6]  # of two probes
    assert 0 < cost.seconds.value < cost.work.value


@pytest.mark.parametrize("name", KINDS)
def test_forwards_are_what_the_model_is_given(name, data):
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.rows = mx.models.quick(10), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.net(x)
            self.rows += len(logits)
            return logits

    layers = {"layers": ["net.stage1"]} if name == "manifold" else {}
    for k in (1, 3):
        model, mixer = Counting(), mx.Mixer(name, k=k, **layers)
        trainer = Trainer(model, data, mixer, epochs=1, augment=False, **FLAT)
        before = model.rows
        while not trainer.done:
            trainer.step()
        assert model.rows - before == 40 * mixer.forwards


def test_forwards_of_mixers_that_do_not_always_mix_are_a_mean():
    soft, sometimes = mx.Mixer("mixup", k=3), mx.Mixer("puzzle", k=2, probability=0.25)
    assert (soft.forwards, sometimes.forwards) == (3, 0.25 * 3 + 0.75)
    assert mx.OneOf([soft, sometimes], weights=[3, 1]).forwards == (3 * 3 + 1.5) / 4
    assert mx.OneOf([soft, sometimes]).forwards == (3 + 1.5) / 2


@pytest.mark.parametrize(
    ("error", "given", "word"),
    [
        (TypeError, {"data": 3}, "data must be a mixlab Dataset"),
        (ValueError, {"steps": 2}, "steps must be an integer of at least 3"),
        (ValueError, {"jobs": 0}, "jobs must be"),
        (ValueError, {"variant": "mixop"}, "variant must be"),
    ],
)
def test_wrong_arguments_are_named(error, given, word, data, tmp_path):
    with raising(error, word):
        cost_of({"seed": [0]}, given.pop("data", data), epochs=1, root=tmp_path, **given)
