"""Runs: trained once, stored, read, taken up again, listed."""

import inspect
import json
import math
import pickle
import warnings
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import torch
from tiny_runs import PLAIN, Net, contents, dataset, flat, net, plain_records, raising, tiny_run
from torch import nn

import mixlab as mx
from mixlab.keeping import durable
from mixlab.keeping._globals import GlobalStream, may_draw
from mixlab.keeping.durable import opened
from mixlab.keeping.store import CHECKPOINT, RUN, Store, StoreError, _sealed
from mixlab.keeping.stored import record_numbers, records_from, reliability_table

GIVEN = {"epochs": 3, "dtype": torch.float32, "device": "cpu", "batch_size": 8}
MIXUP = mx.Mixer("mixup", alpha=0.4)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that has the tiny run."""
    root = tmp_path_factory.mktemp("runs")
    tiny_run(root)
    return root


@pytest.fixture
def no_training(monkeypatch):
    """Where taking a step is an error."""
    monkeypatch.setattr(mx.Trainer, "step", lambda _: pytest.fail("a step was taken"))


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
    told = mx.predict(model, dataset().test, dataset().normalisation)
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
        "model.load_state_dict(run.weights())",
    ):
        _ = again.model


# Broken off.


def leave_after(root, epochs, model=None, **changed):
    with opened(model or net(), dataset(), MIXUP, root=root, **{**GIVEN, **changed}) as training:
        for record in training:
            if record.epoch == epochs:
                break
    return training


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
        {"seed": 7, "cutout_side": 2},
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
    model, steps, real = net(), [], mx.Trainer.step

    def step(trainer):
        real(trainer)
        steps.append(trainer.step_count)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mx.Trainer, "step", step)
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
    monkeypatch.setattr(mx.Trainer, "step", lambda _: pytest.fail("a step was taken"))
    assert contents(tiny_run(tmp_path)) == contents(tiny_run(root))


def test_divergence_keeps_what_was_finished(tmp_path):
    late = mx.schedules.Linear(((0, 0), (0.5, 0), (1, 1)))
    with pytest.raises(FloatingPointError, match=r"^the loss is no longer finite"):
        tiny_run(tmp_path, learning_rate=1e6, epochs=9, schedule=late, weight_decay=1e3)
    (run,) = mx.runs(tmp_path)
    assert not run.finished
    assert 4 <= len(run.history) < 9, "half of the training stands still"
    assert [record.epoch for record in run.history] == list(range(1, len(run.history) + 1))


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
    told = mx.predict(filled, dataset().test, dataset().normalisation)
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


# torch's global generator.


def test_callers_generator_goes_on_as_if_nothing_had_been(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    tiny_run(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_depends_on_the_seed_alone(tmp_path):
    torch.manual_seed(1)
    one = contents(tiny_run(tmp_path / "a"))
    torch.manual_seed(2)
    two = contents(tiny_run(tmp_path / "b"))
    assert one == two
    generator = GlobalStream(net(), torch.device("cpu"), 0)
    with generator:
        first = torch.rand(3)
    with generator:
        second = torch.rand(3)
    again = GlobalStream(net(), torch.device("cpu"), 0)
    with again:
        assert torch.equal(torch.rand(6), torch.cat([first, second]))
    with GlobalStream(net(), torch.device("cpu"), 1):
        assert not torch.equal(torch.rand(3), first)


def test_generator_is_put_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(TypeError), GlobalStream(net(), torch.device("cpu"), 0):
        torch.rand("three")
    assert torch.equal(torch.get_rng_state(), before)


def with_hook(module):
    module.register_forward_hook(lambda _module, _given, out: out + torch.rand(()))
    return module


@pytest.mark.parametrize(
    ("model", "draws"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout2d(0.1)), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.LSTM(2, 2), False),
        (nn.RReLU(), True),
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), True),
        (nn.FractionalMaxPool3d(2, output_ratio=0.5), True),
        (with_hook(nn.Linear(2, 2)), True),
        (torch.fx.symbolic_trace(nn.Linear(2, 2)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), False),
        (net(), True),
        (mx.models.quick(10), False),
    ],
)
def test_who_may_draw(model, draws):
    assert may_draw(model) is draws


@pytest.mark.parametrize("name", mx.models.MODELS)
def test_mixlabs_own_nets_leave_the_global_generator_alone(name):
    model = getattr(mx.models, name)(3)
    before = torch.get_rng_state()
    model.train()(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before) or may_draw(model)


# The table.


def copies(root, target, count):
    """Runs of other ids with the files of one, an hour apart, the last the newest."""
    (run,) = mx.runs(root)
    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for number in range(count):
        folder = target / f"{number:016x}"
        folder.mkdir(parents=True)
        for file in (root / run.id).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        document = json.loads((folder / RUN).read_text())
        document.pop("sha256")
        document |= {"id": folder.name, "saved": (began + timedelta(hours=number)).isoformat()}
        (folder / RUN).write_text(json.dumps(_sealed(document)))


def test_runs_are_a_table_newest_first_with_unfinished_and_damaged_ones(tmp_path, root):
    copies(root, tmp_path, 2)
    leave_after(tmp_path, 1)
    (tmp_path / f"{0:016x}" / RUN).write_text("nonsense")
    runs = mx.runs(tmp_path)
    unfinished, finished, damaged = runs
    assert (unfinished.finished, finished.finished, damaged.finished) == (False, True, False)
    head, *rows = repr(runs).splitlines()
    assert head.split() == ["variant", "alpha", "k", "model", "data", "epochs", "seed", "accuracy", "ECE", "when", "id"]
    score = finished.history[-1]
    assert rows[0].split()[:8] == ["mixup", "0.4", "1", "Net", "tiny", "1", "of", "3"]
    when = datetime(2026, 1, 1, 1, tzinfo=timezone.utc).astimezone()
    assert rows[1].split() == [
        *("mixup", "0.4", "1", "Net", "tiny", "3", "0"),
        *(f"{score.test_accuracy:.3f}", f"{score.test_ece:.3f}", f"{when:%Y-%m-%d}", f"{when:%H:%M}", f"{1:016x}"),
    ]
    assert rows[2].startswith("damaged: run.json is not what was written for this run")
    page = runs._repr_html_()
    assert page.count("<tr>") == 4
    assert '<th scope="col">variant</th>' in page
    assert "<td>1 of 3</td>" in page
    assert isinstance(runs[1:], mx.Runs)
    assert runs[-1] is damaged


def test_what_is_not_there_yet_cannot_be_asked(tmp_path):
    leave_after(tmp_path, 1)
    (run,) = mx.runs(tmp_path)
    assert len(run.history) == 1
    assert repr(run).startswith(f"Run({run.id}, mixup α=0.4 k=1, Net on tiny, epochs 1 of 3, seed 0: accuracy ")
    for ask in (lambda: run.predictions, run.weights, lambda: run.model):
        with raising(StoreError, f"run {run.id} is not finished: epoch 1 of 3; mixlab.run with its arguments goes on"):
            ask()
    tiny_run(tmp_path)
    (stale,) = [mx.Run(Store(tmp_path), run.id, run._told, finished=False)]
    with raising(StoreError, f"run {run.id} has moved on since it was listed; list the runs again"):
        _ = stale.history


def test_damaged_run_says_so_whatever_is_asked(tmp_path, root):
    copies(root, tmp_path, 1)
    (tmp_path / f"{0:016x}" / "weights.safetensors").unlink()
    (run,) = mx.runs(tmp_path)
    assert repr(run) == "Run(0000000000000000, damaged: weights.safetensors is not there)"
    for ask in (lambda: run.settings, lambda: run.history, lambda: run.predictions, run.weights, lambda: run.sessions):
        with raising(
            StoreError,
            "run 0000000000000000 is damaged (weights.safetensors is not there); mixlab.run with ",
            "its arguments trains it again",
        ):
            ask()


def test_file_that_is_damaged_after_listing_says_so_when_it_is_read(tmp_path, root):
    copies(root, tmp_path, 1)
    (run,) = mx.runs(tmp_path)
    path = tmp_path / run.id / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(
        StoreError, match=r"^run 0+ is damaged \(weights\.safetensors does not have the sha256 that run\.json tells\); "
    ):
        run.weights()


def test_no_runs(tmp_path):
    runs = mx.runs(tmp_path / "nowhere")
    assert (len(runs), repr(runs), runs._repr_html_()) == (0, "no runs", "<p>no runs</p>")
    assert not (tmp_path / "nowhere").exists()


def test_long_table_is_cut_and_reads_no_tensors(tmp_path, root, monkeypatch):
    copies(root, tmp_path, 103)
    monkeypatch.setattr(Store, "tensors", lambda *_: pytest.fail("tensors were read"))
    runs = mx.runs(tmp_path)
    assert len(runs) == 103
    assert len(repr(runs).splitlines()) == 102
    assert repr(runs).splitlines()[-1] == "and 3 more"
    assert "<p>and 3 more</p>" in runs._repr_html_()
    assert [run.id for run in runs] == [f"{number:016x}" for number in reversed(range(103))]


def test_what_is_shown_is_escaped(tmp_path):
    tiny_run(tmp_path, data=replace(dataset(), name="<b>tiny</b>"), mixer=None)
    assert "<td>&lt;b&gt;tiny&lt;/b&gt;</td>" in mx.runs(tmp_path)._repr_html_()
    assert "<td>–</td><td>–</td>" in mx.runs(tmp_path)._repr_html_(), "none has no alpha and no k"


def test_runs_are_made_of_runs_alone(root):
    (run,) = mx.runs(root)
    assert len(mx.Runs([run, run])) == 2
    with raising(TypeError, "runs must be Runs, as mx.run and mx.runs give them, got 3"):
        mx.Runs([3])


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
    assert durable.__all__ == ["Run", "Runs", "Training", "opened", "run", "runs"]
