"""Runs: trained once, stored, read, taken up again, listed."""

import inspect
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
    PLAIN,
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
from mixlab.runs import run as durable
from mixlab.runs.run import opened
from mixlab.runs.store import CHECKPOINT, Store, StoreError
from mixlab.runs.stored import record_numbers, records_from, reliability_table
from mixlab.training import Trainer, TrainOptions, schedules


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that has the tiny run."""
    root = tmp_path_factory.mktemp("runs")
    tiny_run(root)
    return root


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


def test_stored_run_is_returned_and_the_given_model_filled(root, no_training):
    model = net()
    run = tiny_run(root, model=model)
    assert run.model is model
    assert flat(model.state_dict()) == contents(run)["weights"]
    told = mx.predict(model, dataset().test, dataset().normalization)
    assert torch.equal(run.predictions.probs, told.probs)
    assert run.predictions.classes == ("a", "b", "c")
    assert run.finished
    assert len(run.history) == 3


def test_history_comes_back_to_the_bit_clock_and_all(root):
    (listed,) = mx.runs(root)
    fresh = tiny_run(root)
    assert [{**vars(record), "reliability": None} for record in listed.history] == [
        {**vars(record), "reliability": None} for record in fresh.history
    ]
    assert listed.history[-1].reliability.interval("ece") == fresh.history[-1].reliability.interval("ece")


def test_numbers_that_are_not_finite_and_whole_ones_come_back():
    (record,) = mx.fit(net(), dataset(), **{**GIVEN, "epochs": 1})
    odd = replace(record, test_nll=math.inf, train_loss=math.nan, seconds_left=-0.0, images_per_second=0.1 + 0.2)
    told = json.loads(json.dumps(record_numbers(odd), allow_nan=False))
    (back,) = records_from({"records": [told]}, {"reliability": reliability_table([odd])})
    assert repr(replace(back, reliability=odd.reliability)) == repr(odd)
    assert torch.equal(back.reliability.state, odd.reliability.state)


def test_state_of_reliability_is_checked():
    with raising(
        ValueError,
        "state must be a float64 tensor of shape [6 * n_bins + 8], as Reliability.state gives ",
        "it, got a float64 tensor of shape [9]",
    ):
        mx.Reliability.from_state(torch.zeros(9, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"^state must be a float64 tensor .*, got 3$"):
        mx.Reliability.from_state(3)
    empty = mx.Reliability(4)
    assert mx.Reliability.from_state(empty.state).n_bins == 4
    assert mx.Reliability.from_state(empty.state).count == 0


def test_model_by_name_is_built_with_the_seed_and_rebuilt_from_the_store(tmp_path):
    data = mx.load("shapes", train_size=20, test_size=10)
    run = tiny_run(tmp_path, model="resnet8", data=data, epochs=1, seed=5)
    model = mx.models.resnet8(10, seed=5)
    list(mx.fit(model, data, MIXUP, seed=5, **{**GIVEN, "epochs": 1}))
    assert flat(model.state_dict()) == contents(run)["weights"]
    (listed,) = mx.runs(tmp_path)
    built = listed.model
    assert listed.model is built
    assert flat(built.state_dict()) == flat(model.state_dict())
    assert run.settings["model"] == "resnet8"


def test_names_of_models_are_those_that_build_one():
    assert {"quick", "resnet8", "resnet20"} <= set(mx.models.MODELS)
    assert all(inspect.signature(getattr(mx.models, name)).parameters["num_classes"] for name in mx.models.MODELS)


def test_settings_say_all_and_identity_grounds_the_id(root):
    (run,) = mx.runs(root)
    assert {
        "variant": "mixup",
        "alpha": 0.4,
        "epochs": 3,
        "seed": 0,
        "model": "Net",
        "data": "tiny",
    }.items() <= run.settings.items()
    assert run.identity["data"]["digest"] == dataset().digest
    (session,) = run.sessions
    assert session["epochs"] == [0, 3]
    assert session.keys() == {"pid", "host", "torch", "threads", "began", "epochs"}


def test_run_goes_to_another_process_without_its_model(root):
    run = tiny_run(root)
    assert len(run.history) == 3
    assert len(run.predictions.logits) == 12
    again = pickle.loads(pickle.dumps(run))
    assert not {"history", "predictions"} & set(vars(again)), "what was read stays here"
    assert contents(again) == contents(run)
    with raising(
        StoreError,
        f"run {run.id} has a model of your own, Net: build one, and give it the weights by ",
        "mixlab.training.loop.fill(model, run.weights())",
    ):
        _ = again.model


# Broken off.


@pytest.mark.parametrize("epochs", [1, 2])
def test_broken_off_run_goes_on_and_ends_the_same(epochs, tmp_path, root):
    leave_after(tmp_path, epochs)
    run = tiny_run(tmp_path)
    assert contents(run) == contents(tiny_run(root))
    assert [session["epochs"] for session in run.sessions] == [[0, epochs], [epochs, 3]]


@pytest.mark.parametrize(
    "changed",
    [
        {"mixer": mx.Mixer("cutmix")},
        {"seed": 7, "options": TrainOptions(cutout_side=2)},
        {"mixer": None, "label_smoothing": 0.1},
        {"batch_size": 5},
    ],
)
def test_any_training_goes_on_from_every_epoch(changed, tmp_path):
    wanted = contents(tiny_run(tmp_path / "never", **changed))
    changed = dict(changed)
    mixer = changed.pop("mixer", MIXUP)
    for _ in range(2):
        with opened(net(), dataset(), mixer, root=tmp_path / "b", **{**GIVEN, **changed}) as training:
            next(iter(training))
    assert contents(tiny_run(tmp_path / "b", mixer=mixer, **changed)) == wanted


def test_few_records_change_nothing_else_and_are_taken_up_between_two(tmp_path):
    often, seldom = (tiny_run(tmp_path / "never", epochs=5, every=every) for every in (1, 2))
    assert [record.epoch for record in seldom.history] == [2, 4, 5]
    assert flat(seldom.weights()) == flat(often.weights())
    assert torch.equal(seldom.predictions.logits, often.predictions.logits)
    assert [record.test_nll for record in seldom.history] == [often.history[epoch - 1].test_nll for epoch in (2, 4, 5)]
    assert seldom.id != often.id
    with opened(net(), dataset(), MIXUP, root=tmp_path / "b", **GIVEN | {"epochs": 5, "every": 2}) as training:
        while training.epochs < 1:
            assert training.step() is None
    (begun,) = mx.runs(tmp_path / "b")
    assert "epochs 1 of 5" in repr(begun)
    assert begun.history == ()
    again = tiny_run(tmp_path / "b", epochs=5, every=2)
    assert contents(again) == contents(seldom)
    assert [session["epochs"] for session in again.sessions] == [[0, 1], [1, 5]]


def test_interrupt_in_the_middle_of_an_epoch_gives_the_model_its_first_weights_again(tmp_path, monkeypatch, root):
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
    assert contents(run) == contents(tiny_run(root))
    assert [session["epochs"] for session in run.sessions] == [[0, 1], [1, 3]]


def test_run_that_was_broken_off_before_its_last_file_trains_no_step(tmp_path, no_training, monkeypatch, root):
    monkeypatch.undo()
    with opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN) as training:
        list(training)
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("a step was taken"))
    assert contents(tiny_run(tmp_path)) == contents(tiny_run(root))


def test_divergence_keeps_what_was_finished(tmp_path):
    late = schedules.Linear(((0, 0), (0.5, 0), (1, 1)))
    with pytest.raises(FloatingPointError, match=r"^the loss is no longer finite"):
        tiny_run(tmp_path, learning_rate=1e6, epochs=9, options=TrainOptions(schedule=late, weight_decay=1e3))
    (run,) = mx.runs(tmp_path)
    assert not run.finished
    assert 4 <= len(run.history) < 9, "half of the training stands still"
    assert [record.epoch for record in run.history] == list(range(1, len(run.history) + 1))


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


def test_step_tells_a_record_at_the_end_of_an_epoch_once_it_is_on_disk(tmp_path):
    with opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN) as training:
        assert [training.step() for _ in range(2)] == [None, None]
        assert not (tmp_path / training.id / CHECKPOINT).exists()
        record = training.step()
        assert record.epoch == 1
        assert training.records == (record,)
        assert len(Store(tmp_path).checkpoint(training.id)[0]["records"]) == 1
        with raising(RuntimeError, "finish must not be called before the last epoch is done, got epoch 1 of 3"):
            training.finish()
        assert len(list(training)) == 2
        assert training.done
        run = training.finish()
        assert training.finish() is run
        with raising(RuntimeError, f"step must not be called of a run that is stored, {run.id}"):
            training.step()


class Fading(Net):
    """Counts its batches in a buffer that state_dict leaves out, and divides by them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) / (1 + self.calls)


def fading():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Fading()


def test_buffers_that_state_dict_leaves_out_are_stored_filled_and_put_back(tmp_path):
    wanted, model = contents(tiny_run(tmp_path / "never", model=fading())), fading()
    training = leave_after(tmp_path / "b", 1, model)
    assert float(model.calls) == 0
    run = tiny_run(tmp_path / "b", model=model)
    assert run.id == training.id
    assert contents(run) == wanted
    assert len(run.sessions) == 2
    filled = fading()
    run = tiny_run(tmp_path / "b", model=filled)
    assert float(filled.calls) == float(run.weights()["calls"]) == 9
    told = mx.predict(filled, dataset().test, dataset().normalization)
    assert torch.equal(run.predictions.logits, told.logits)


class Noisy(Net):
    """Draws where it is only looked at, too."""

    def forward(self, x):
        return super().forward(x) + torch.rand(())


def test_model_that_draws_when_it_is_evaluated_depends_on_the_seed_alone(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = Noisy().state_dict()

    def noisy():
        model = Noisy()
        model.load_state_dict(first)
        return model

    one, other = noisy(), noisy()
    before = torch.get_rng_state()
    wanted = contents(tiny_run(tmp_path / "a", model=one))
    assert torch.equal(torch.get_rng_state(), before)
    with opened(other, dataset(), MIXUP, root=tmp_path / "b", **GIVEN) as training:
        list(training)
    torch.manual_seed(5)
    before, after = torch.get_rng_state(), contents(tiny_run(tmp_path / "b", model=other))
    assert torch.equal(torch.get_rng_state(), before)
    assert after["weights"] == wanted["weights"]
    torch.manual_seed(6)
    with opened(noisy(), dataset(), MIXUP, root=tmp_path / "c", **GIVEN) as training:
        list(training)
    assert contents(tiny_run(tmp_path / "c", model=noisy())) == after


def test_opened_stored_run_is_done(root, no_training):
    with opened(net(), dataset(), MIXUP, root=root, **GIVEN) as training:
        assert training.done
        assert list(training) == []
        assert len(training.records) == 3
        assert training.finish().finished


class Counter(Net):
    """Keeps a number where no checkpoint finds it."""

    calls = 0

    def forward(self, x):
        self.calls = self.calls + 1
        return super().forward(x)


def test_model_that_changes_a_plain_attribute_is_told_of_after_an_epoch(tmp_path):
    model = Counter()
    model.calls = 0
    with opened(model, dataset(), root=tmp_path, **GIVEN) as training:
        with raising(
            ValueError,
            "model must keep what changes while it is trained in parameters and buffers, for a ",
            "run that can be taken up again, got a changed model.calls",
        ):
            list(training)
        assert len(training.records) == 1
    assert len(mx.runs(tmp_path)) == 0


# Wrong arguments, and what is shown.


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"model": "quik"},
            ValueError,
            f"model must be one of {', '.join(map(repr, mx.models.MODELS))}, got 'quik'; did you mean 'quick'?",
        ),
        ({"model": 3}, TypeError, "model must be a torch.nn.Module, got 3"),
        ({"data": "cifar10"}, TypeError, "data must be a mixlab Dataset, as mx.load gives it, got 'cifar10'"),
        ({"model": "quick", "data": 3}, TypeError, "data must be a mixlab Dataset, as mx.load gives it, got 3"),
        ({"mixer": "mixup"}, TypeError, "mixer must be a Mixer or None, such as mx.Mixer(\"mixup\"), got 'mixup'"),
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1, got 0"),
        ({"seed": 0.5}, TypeError, "seed must be an integer from 0 to 9223372036854775807, got 0.5"),
        ({"model": "quick", "seed": 0.5}, TypeError, "seed must be an integer from 0 to 9223372036854775807, got 0.5"),
        (
            {"model": "quick", "name": "quick"},
            ValueError,
            "name must be left out where model is a name itself, 'quick', got 'quick'",
        ),
        ({"root": 3}, TypeError, "root must be a path, got 3"),
        ({"progress": 1}, TypeError, "progress must be True or False, got 1"),
        ({"learning_rat": 1}, TypeError, "Trainer.__init__() got an unexpected keyword argument 'learning_rat'"),
    ],
)
def test_wrong_argument_raises_at_once_and_writes_nothing(changed, error, message, tmp_path):
    given = {"model": net(), "data": dataset(), "mixer": MIXUP, "epochs": 1, "root": tmp_path / "runs", **PLAIN}
    with pytest.raises(error) as caught:
        mx.run(**(given | changed))
    assert str(caught.value) == message
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


def test_nothing_but_the_documented_names_is_public():
    assert durable.__all__ == ["Run", "RunTable", "Training", "opened", "run", "runs"]


class Replacing(Net):
    bias = True

    def forward(self, x):
        if self.training:
            self.head = nn.Linear(4, 3, bias=self.bias)
        return super().forward(x)


class ReplacingByAnother(Replacing):
    bias = False


@pytest.mark.parametrize("model", [Replacing, ReplacingByAnother])
def test_model_that_replaces_a_layer_is_told_of_after_an_epoch(tmp_path, model):
    with raising(
        ValueError,
        "model must keep its parameters and buffers while it is trained, for a run that can be taken up again, ",
        "got another head.bias, head.weight",
    ):
        tiny_run(tmp_path, model=model())


def test_name_that_builds_another_model_is_refused(tmp_path):
    with raising(ValueError, "name must be that of a model with these parameters and buffers, got 'resnet8'"):
        tiny_run(tmp_path, name="resnet8")
    assert not any(tmp_path.iterdir())


def test_run_leaves_threads_as_they_were_and_the_model_in_evaluation_mode(tmp_path):
    threads, model = torch.get_num_threads(), net()
    torch.set_num_threads(threads + 1)
    try:
        for _ in range(2):
            assert not tiny_run(tmp_path, model=model).model.training
            assert torch.get_num_threads() == threads + 1
            model = net()
    finally:
        torch.set_num_threads(threads)


def test_setting_that_a_variant_does_not_have_is_no_part_of_the_name(tmp_path):
    names = {tiny_run(tmp_path, mixer=mixer).id for mixer in (None, mx.Mixer("none"), mx.Mixer("none", alpha=0.2, k=1))}
    assert len(names) == 1
    (run,) = mx.runs(tmp_path)
    assert run == mx.runs(tmp_path)[0]
    assert run in mx.runs(tmp_path)
    assert len({run, mx.runs(tmp_path)[0]}) == 1
    assert repr(run).startswith(f"Run({run.id}, none, Net on tiny, ")
