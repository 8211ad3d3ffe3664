"""Runs: trained once, stored, read, resumed."""

import json
import math
import pickle
import warnings
from dataclasses import replace

import pytest
import torch
from tiny_runs import (
    GIVEN,
    MIXUP,
    Fading,
    Net,
    contents,
    dataset,
    flat,
    leave_after,
    net,
    plain_records,
    raising,
    tiny_run,
)
from torch import nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.machine import using_threads
from mixlab.runs import StoreError, opened
from mixlab.runs.history import record_numbers, records_from, reliability_table
from mixlab.runs.store import CHECKPOINT, Store
from mixlab.training import Trainer, TrainOptions


@pytest.fixture
def no_training(monkeypatch):
    """Where taking a step is an error."""
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("a step was taken"))


# Equal to mx.fit, and stored.


def test_run_has_the_numbers_of_fit(tmp_path):
    model, other = net(dropout=0), net(dropout=0)
    run = tiny_run(tmp_path, model=model)
    records = list(mx.fit(other, dataset(), MIXUP, **GIVEN))
    assert plain_records(run.history) == plain_records(records)
    assert flat(model.state_dict()) == flat(other.state_dict())
    assert contents(run)["weights"] == flat(other.state_dict())


class Expanded(Net):
    """Has a buffer of one number, seen eight times, and trains a scale."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1).expand(3))

    def forward(self, x):
        return super().forward(x) * self.scale


def test_strided_labels_and_expanded_buffers_are_stored_and_taken_up(tmp_path):
    plain = dataset()
    parts = [
        Split(part.images.flip(3).transpose(2, 3), torch.stack([part.labels] * 2, 1)[:, 1])
        for part in (plain.train, plain.test)
    ]
    dense = [Split(part.images.flip(3).transpose(2, 3).contiguous(), part.labels) for part in (plain.train, plain.test)]
    strided, same = (Dataset("tiny", *both, plain.classes) for both in (parts, dense))
    with opened(net(kind=Expanded), strided, MIXUP, root=tmp_path / "a", **GIVEN) as training:
        next(iter(training))
    runs = [
        tiny_run(tmp_path / name, model=net(kind=Expanded), data=data) for name, data in (("a", strided), ("b", same))
    ]
    assert [session["epochs"] for session in runs[0].sessions] == [[0, 1], [1, 3]]
    assert contents(runs[0]) == contents(runs[1])
    assert contents(tiny_run(tmp_path / "a", model=net(kind=Expanded), data=same)) == contents(runs[0])


def test_stored_run_is_done_and_fills_the_given_model(root, wanted, no_training):
    model = net()
    with opened(model, dataset(), MIXUP, root=root, **GIVEN) as training:
        assert training.done
        assert list(training) == []
        run = training.finish()
    assert run.finished
    assert run.model is model
    assert contents(run) == wanted
    assert flat(model.state_dict()) == wanted["weights"]
    assert torch.equal(run.predictions.probs, mx.predict(model, dataset().test, dataset().normalization).probs)
    assert run.predictions.classes == ("a", "b", "c")


def test_numbers_that_are_not_finite_and_whole_ones_come_back():
    (record,) = mx.fit(net(), dataset(), **{**GIVEN, "epochs": 1})
    odd = replace(record, test_nll=math.inf, train_loss=math.nan, seconds_left=-0.0, images_per_second=0.1 + 0.2)
    numbers = json.loads(json.dumps(record_numbers(odd), allow_nan=False))
    (back,) = records_from({"records": [numbers]}, {"reliability": reliability_table([odd])})
    assert repr(replace(back, reliability=odd.reliability)) == repr(odd)
    assert torch.equal(back.reliability.state, odd.reliability.state)


@pytest.mark.parametrize("named", [{"model": "resnet8"}, {"model": mx.models.resnet8(10, seed=5), "name": "resnet8"}])
def test_model_by_name_is_built_with_the_seed_and_rebuilt_from_the_store(named, tmp_path):
    data = mx.load("shapes", train_size=20, test_size=10)
    run = tiny_run(tmp_path, data=data, epochs=1, seed=5, **named)
    model = mx.models.resnet8(10, seed=5)
    list(mx.fit(model, data, MIXUP, seed=5, **{**GIVEN, "epochs": 1}))
    (listed,) = mx.runs(tmp_path)
    assert flat(listed.model.state_dict()) == flat(model.state_dict()) == contents(run)["weights"]
    assert listed.settings["model"] == "resnet8"


def test_settings_say_all_and_identity_grounds_the_id(root):
    (run,) = mx.runs(root)
    known = {"variant": "mixup", "alpha": 0.4, "epochs": 3, "seed": 0, "model": "Net", "data": "tiny"}
    assert known.items() <= run.settings.items()
    assert run.identity["data"]["digest"] == dataset().digest
    (session,) = run.sessions
    assert session["epochs"] == [0, 3]
    assert session.keys() == {"pid", "host", "torch", "threads", "began", "epochs"}


def test_run_goes_to_another_process_without_its_model(root):
    run = tiny_run(root)
    again = pickle.loads(pickle.dumps(run))
    assert contents(again) == contents(run)
    with raising(StoreError, run.id, "a model of your own, Net", "fill(model, run.weights())"):
        _ = again.model


# Broken off.


@pytest.mark.parametrize(
    ("mixer", "changed"),
    [
        (mx.Mixer("cutmix"), {"batch_size": 5}),
        (MIXUP, {"seed": 7, "options": TrainOptions(cutout_side=2)}),
        (None, {"label_smoothing": 0.1}),
    ],
)
def test_any_training_resumes_from_every_epoch(mixer, changed, tmp_path):
    wanted = contents(tiny_run(tmp_path / "never", mixer=mixer, **changed))
    for _ in range(2):
        with opened(net(), dataset(), mixer, root=tmp_path / "b", **{**GIVEN, **changed}) as training:
            next(iter(training))
    run = tiny_run(tmp_path / "b", mixer=mixer, **changed)
    assert contents(run) == wanted
    assert [session["epochs"] for session in run.sessions] == [[0, 1], [1, 2], [2, 3]]


def test_few_records_change_nothing_else_and_a_run_resumes_between_two(tmp_path):
    often, seldom = (contents(tiny_run(tmp_path / "never", epochs=5, every=every)) for every in (1, 2))
    assert [record["epoch"] for record in seldom["history"]] == [2, 4, 5]
    assert [record["test_nll"] for record in seldom["history"]] == [often["history"][n]["test_nll"] for n in (1, 3, 4)]
    assert [name for name in often if often[name] == seldom[name]] == ["weights", "logits", "labels"]
    with opened(net(), dataset(), MIXUP, root=tmp_path / "b", **GIVEN | {"epochs": 5, "every": 2}) as training:
        while training.epochs < 1:
            assert training.step() is None
    (begun,) = mx.runs(tmp_path / "b")
    assert "epochs 1 of 5" in repr(begun)
    assert begun.history == ()
    again = tiny_run(tmp_path / "b", epochs=5, every=2)
    assert contents(again) == seldom
    assert [session["epochs"] for session in again.sessions] == [[0, 1], [1, 5]]


def test_interrupt_in_the_middle_of_an_epoch_gives_the_model_its_first_weights_again(tmp_path, monkeypatch, wanted):
    model, steps, real = net(), [], Trainer.step

    def step(trainer):
        real(trainer)
        steps.append(trainer.step_count)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        with pytest.raises(KeyboardInterrupt):
            tiny_run(tmp_path, model=model)
    assert flat(model.state_dict()) == flat(net().state_dict())
    run = tiny_run(tmp_path, model=model)
    assert contents(run) == wanted
    assert [session["epochs"] for session in run.sessions] == [[0, 1], [1, 3]]


def test_divergence_that_a_step_does_not_see_ends_the_run_before_it_is_stored(tmp_path, monkeypatch):
    """As on CUDA, where no step waits for its loss, in an epoch that is not evaluated."""
    with opened(net(), dataset(), MIXUP, root=tmp_path, learning_rate=1e6, every=3, **GIVEN) as training:
        real = training.trainer.step

        def step():
            with monkeypatch.context() as patch:
                patch.setattr(training.trainer, "check_finite", lambda: None)
                patch.setattr(training.trainer, "_loss_sum", float("nan"))
                real()

        monkeypatch.setattr(training.trainer, "step", step)
        training.trainer._loss_sum = float("nan")
        with pytest.raises(FloatingPointError, match=r"^the loss is no longer finite at step 3 of 9"):
            list(training)
    assert not (tmp_path / training.id / CHECKPOINT).exists()


# Step by step.


def test_step_returns_a_record_at_the_end_of_an_epoch_once_it_is_on_disk(tmp_path):
    with opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN) as training:
        assert [training.step() for _ in range(2)] == [None, None]
        assert not (tmp_path / training.id / CHECKPOINT).exists()
        record = training.step()
        assert record.epoch == 1
        assert training.records == (record,)
        assert len(Store(tmp_path).checkpoint(training.id)[0]["records"]) == 1
        with raising(RuntimeError, "finish must be called after epoch 3, got epoch 1"):
            training.finish()
        assert len(list(training)) == 2
        assert training.done
        run = training.finish()
        assert training.finish() is run
        with raising(RuntimeError, "step must not be called", run.id):
            training.step()


def test_buffers_that_state_dict_leaves_out_are_stored_filled_and_put_back(tmp_path):
    model, filled = net(kind=Fading), net(kind=Fading)
    wanted = contents(tiny_run(tmp_path / "never", model=net(kind=Fading)))
    training = leave_after(tmp_path / "b", 1, model)
    assert float(model.calls) == 0
    run = tiny_run(tmp_path / "b", model=model)
    assert run.id == training.id
    assert contents(run) == wanted
    assert len(run.sessions) == 2
    run = tiny_run(tmp_path / "b", model=filled)
    assert float(filled.calls) == float(run.weights()["calls"]) == 9
    assert torch.equal(run.predictions.logits, mx.predict(filled, dataset().test, dataset().normalization).logits)


class Noisy(Net):
    """Draws where it is only looked at, too."""

    def forward(self, x):
        return super().forward(x) + torch.rand(())


def test_model_that_draws_when_it_is_evaluated_depends_on_the_seed_alone(tmp_path, request):
    def trained(root):
        before = torch.get_rng_state()
        run = tiny_run(root, model=net(kind=Noisy))
        assert torch.equal(torch.get_rng_state(), before)
        return contents(run)

    wanted = trained(tmp_path / "a")
    torch.manual_seed(5)
    assert trained(tmp_path / "b") == wanted
    assert leave_after(tmp_path / "c", 2, net(kind=Noisy)).id == wanted["id"]
    assert trained(tmp_path / "c") == wanted
    with opened(net(kind=Noisy), dataset(), MIXUP, root=tmp_path / "d", **GIVEN) as training:
        list(training)  # and left before the last file
    request.getfixturevalue("no_training")
    assert trained(tmp_path / "d") == wanted


class Counter(Net):
    """Keeps a number where no checkpoint holds it."""

    calls = 0

    def forward(self, x):
        self.calls = self.calls + 1
        return super().forward(x)


class Replacing(Net):
    def forward(self, x):
        if self.training:
            self.head = nn.Linear(4, 3)
        return super().forward(x)


class Drawing(Net):
    """Draws from a generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator()

    def forward(self, x):
        return super().forward(x) + torch.rand((), generator=self.generator)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (Counter, "got a changed model.calls"),
        (Replacing, "got a changed model.head.bias, model.head.weight"),
        (Drawing, "got a changed model.generator"),
    ],
)
def test_model_that_changes_what_no_checkpoint_holds_is_an_error_after_an_epoch(tmp_path, kind, changed):
    with opened(kind(), dataset(), root=tmp_path, **GIVEN) as training:
        with raising(ValueError, "model must keep its parameters and buffers", changed):
            list(training)
        assert len(training.records) == 1
    assert len(mx.runs(tmp_path)) == 0


# Wrong arguments, and what is shown.


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"model": "quik"}, ValueError, ["model", "got 'quik'", "did you mean 'quick'"]),
        ({"model": 3}, TypeError, ["model must be a torch.nn.Module", "got 3"]),
        ({"model": "quick", "name": "quick"}, ValueError, ["name must be left out", "got 'quick'"]),
        ({"name": "resnet8"}, ValueError, ["name must be that of a model", "got 'resnet8'"]),
        ({"progress": 1}, TypeError, ["progress must be True or False", "got 1"]),
        ({"learning_rat": 1}, TypeError, ["learning_rat"]),
    ],
)
def test_wrong_argument_raises_at_once_and_writes_nothing(changed, error, words, tmp_path):
    with raising(error, *words):
        tiny_run(**({"root": tmp_path / "runs"} | changed))
    assert not list(tmp_path.iterdir())


def test_bar_counts_epochs_on_stderr_and_silence_is_silent(tmp_path, capsys):
    leave_after(tmp_path, 1)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = tiny_run(tmp_path, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.replace("\n", "\r").rstrip("\r").split("\r")[-1]
    assert last.startswith("mixup: 100%|")
    assert "3/3 [" in last
    assert f"accuracy {run.history[-1].test_accuracy:.3f}]" in last
    tiny_run(tmp_path, progress=True)
    tiny_run(tmp_path / "other")
    assert capsys.readouterr() == ("", "")


def test_run_leaves_threads_as_they_were_and_the_model_in_evaluation_mode(tmp_path):
    threads = torch.get_num_threads() + 1
    with using_threads(threads):
        for _ in range(2):
            assert not tiny_run(tmp_path, model=net()).model.training
            assert torch.get_num_threads() == threads


def test_setting_that_a_variant_does_not_have_is_no_part_of_the_name(tmp_path):
    names = {tiny_run(tmp_path, mixer=mixer).id for mixer in (None, mx.Mixer("none"), mx.Mixer("none", alpha=0.2, k=1))}
    assert len(names) == 1
    (run,) = mx.runs(tmp_path)
    assert repr(run).startswith(f"Run({run.id}, none, Net on tiny, ")
