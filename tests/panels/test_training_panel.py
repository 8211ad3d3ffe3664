"""The training panel without a browser: the state machine, the thread, the words, the picture."""

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from panel_runs import Counting, few, linear, panels_of, phase, slow, threads, wait_until
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.data.load import balanced
from mixlab.panels.shared import panel as shared
from mixlab.panels.shared import running, session
from mixlab.panels.training_panel.training_panel import TRAINING, TrainingPanel


class Breaking(Counting):
    """Raises, or gives NaN, at its fourth training batch."""

    nan = False
    error: type[Exception] = RuntimeError

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if self.training and self.batches == 4:
            if not self.nan:
                raise self.error("no more")
            return logits * torch.nan
        return logits


class BreakingByNaN(Breaking):
    nan = True


class BreakingByValue(Breaking):
    error = ValueError


@pytest.fixture(scope="module")
def data() -> Dataset:
    return few()


@pytest.fixture
def make(data: Dataset) -> Iterator[Callable[..., TrainingPanel]]:
    with panels_of(data) as build:
        yield build


def test_a_run_is_what_fit_does(make: Callable[..., TrainingPanel], data: Dataset) -> None:
    panel = make(variant="cutmix", alpha=0.5, k=2, images=300, seed=3)
    result = panel.run()
    part = data.train.subset(balanced(data.train.labels, 300, 10, 3))
    mixer = mx.Mixer("cutmix", alpha=0.5, k=2)
    model = linear(10, seed=3)
    expected = list(mx.fit(model, Dataset("few", part, data.test, data.classes), mixer, epochs=2, seed=3, **TRAINING))
    assert [record.epoch for record in panel.records] == [0, 1, 2]
    for record, other in zip(panel.records[1:], expected, strict=True):
        assert (record.train_loss, record.test_accuracy, record.test_nll) == (
            other.train_loss,
            other.test_accuracy,
            other.test_nll,
        )
    assert panel.model is not None
    for ours, theirs in zip(panel.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert panel.trainer is not None
    steps = 2 * (300 // panel.trainer.batch_size)
    assert (result.phase, result.step, result.steps, result.error) == ("finished", steps, steps, "")
    assert result is panel.result
    assert result.losses[-1][0] == 2


def test_losses_between_records_average_to_the_record(make: Callable[..., TrainingPanel]) -> None:
    panel = make(images=600, epochs=1)
    points = 0
    while phase(panel) != "finished":  # a pause marks a point, so that each batch has its own
        panel.step()
        points += 1
        wait_until(lambda n=points: phase(panel) == "finished" or (phase(panel) == "paused" and panel.result.step == n))
    assert panel.result is not None
    losses = dict(panel.result.losses)
    assert len(losses) == points == panel.result.steps > 1
    assert sum(losses.values()) / points == pytest.approx(panel.records[-1].train_loss, rel=1e-6)


def test_all_the_training_images_are_used_as_they_are(make: Callable[..., TrainingPanel], data: Dataset) -> None:
    panel = make(images=600, epochs=1)
    panel.run()
    assert panel.trainer is not None
    assert panel.trainer.data.train is data.train


def test_pause_step_resume(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50)
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count > 2)
    panel.pause()
    wait_until(lambda: phase(panel) == "paused")
    assert panel.result is not None
    assert panel.trainer is not None
    assert isinstance(panel.model, Counting)
    at = panel.result.step
    assert panel.model.batches == panel.trainer.step_count == at
    assert panel._view["status"].startswith(f"Paused after batch {at} of 50, epoch {at}.00 of 50")
    for further in (1, 2, 3):
        panel.step()
        wait_until(lambda n=at + further: panel.result and panel.result.step == n and phase(panel) == "paused")
    assert panel.model.batches == at + 3
    panel.resume()
    wait_until(lambda: phase(panel) == "finished")
    assert panel.result.step == 50
    assert panel.previous is None


def test_step_when_idle_takes_the_first_batch(make: Callable[..., TrainingPanel]) -> None:
    panel = make()
    panel.step()
    wait_until(lambda: phase(panel) == "paused" and panel.result and panel.result.step)
    assert isinstance(panel.model, Counting)
    assert panel.model.batches == 1
    panel.stop()
    assert phase(panel) == "stopped"


def test_stop_acts_within_one_batch(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50)
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count > 2)
    model = panel.model
    assert isinstance(model, Counting)
    before = model.batches
    panel.stop()
    after = model.batches
    assert after - before <= 1
    assert threads() == []
    assert phase(panel) == "stopped"
    assert panel.model is model
    assert panel.trainer is not None
    assert panel.result is not None
    assert panel.result.step == panel.trainer.step_count < 50
    assert panel.result.records == tuple(panel.records) != ()
    assert not model._forward_pre_hooks
    assert panel._view["status"].startswith("Stopped at epoch ")
    panel.stop()  # again does nothing
    assert phase(panel) == "stopped"
    assert model.batches == after


def test_stop_leaves_an_evaluation_within_one_batch(make: Callable[..., TrainingPanel], data: Dataset) -> None:
    class Waiting(Counting):
        def forward(self, x: Tensor) -> Tensor:
            looks.append(len(x))
            if len(x) > 2:  # not the trainer's look at two zeros
                held.wait(20)
            return super().forward(x)

    held, looks = threading.Event(), []
    many = Dataset(
        "many", data.train, Split(data.test.images.repeat(7, 1, 1, 1), data.test.labels.repeat(7)), data.classes
    )
    panel = make(lambda classes, **_: Waiting(classes))
    panel._data = many
    panel.start()
    wait_until(lambda: len(looks) == 2)  # the first of several test batches
    panel._session._job._stop.set()  # as stop() does, which would wait here for the batch that is held
    held.set()
    panel.stop()
    assert len(looks) == 2
    assert panel.records == []
    assert panel._view["status"] == "Stopped at epoch 0.00 of 2; what was measured until then is kept."


def test_stop_while_paused(make: Callable[..., TrainingPanel]) -> None:
    panel = make()
    panel.step()
    wait_until(lambda: phase(panel) == "paused")
    panel.stop()
    assert threads() == []


def test_a_second_start_replaces_the_first(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50, alpha=0.5)
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count > 1)
    first, model = panel.trainer, panel.model
    panel.alpha, panel.epochs = 2.0, 2
    panel.start()
    assert len(threads()) == 1
    assert first is not None
    done = first.step_count
    wait_until(lambda: phase(panel) == "finished")
    assert first.step_count == done < 50
    assert panel.model is not model
    assert panel.result is not None
    assert panel.previous is not None
    assert (panel.result.settings.alpha, panel.previous.settings.alpha) == (2.0, 0.5)
    assert (panel.result.step, panel.previous.step, panel.previous.phase) == (2, done, "stopped")


def test_a_start_in_another_panel_stops_this_one(make: Callable[..., TrainingPanel]) -> None:
    first, second = make(slow, epochs=50), make(slow, epochs=50)
    first.start()
    wait_until(lambda: first.trainer and first.trainer.step_count > 1)
    second.start()
    assert len(threads()) == 1
    assert (phase(first), first._view["phase"]) == ("stopped", "stopped")
    second.stop()


def test_starts_from_many_threads_leave_one_at_work(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50)
    pressing = [threading.Thread(target=panel.start) for _ in range(8)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()
    assert len(threads()) <= 1
    panel.stop()
    assert threads() == []


def test_the_previous_run_is_a_ghost(make: Callable[..., TrainingPanel]) -> None:
    panel = make(variant="none")
    first = panel.run()
    panel.variant = "mixup"
    second = panel.run()
    assert panel.previous is first
    runs = panel._view["runs"]
    assert [run["name"] for run in runs] == ["mixup, α = 1, K = 1", "no mixing"]
    assert runs[1]["accuracy"] == [[record.epoch, record.test_accuracy] for record in first.records]
    assert runs[0]["loss"] == list(second.losses)


def test_a_run_without_a_step_is_no_ghost(make: Callable[..., TrainingPanel]) -> None:
    panel = make(seed=0)
    panel.run()
    panel.seed = 1
    trained = panel.run()
    panel.seed = 2
    panel._session.start(panel._settings(), batches=0)
    wait_until(lambda: phase(panel) == "paused")
    assert panel.previous is trained
    panel.run()
    assert panel.previous is trained


@pytest.mark.parametrize(
    ("model", "kind", "start"),
    [
        (Breaking, RuntimeError, "RuntimeError: no more"),
        (BreakingByValue, ValueError, "ValueError: no more"),  # which says nothing of the store
        (BreakingByNaN, FloatingPointError, "FloatingPointError: the loss is no longer finite at step 4 of 5"),
    ],
)
def test_an_exception_is_shown_and_the_partial_run_kept(
    make: Callable[..., TrainingPanel], model: type[Counting], kind: type[Exception], start: str
) -> None:
    panel = make(lambda classes, **_: model(classes), epochs=5)
    with pytest.raises(kind) as caught:
        panel.run()
    assert phase(panel) == "failed"
    message = f"{kind.__name__}: {caught.value}"
    assert message.startswith(start)
    assert panel._view["alert"] == message
    assert re.match(r"Failed at epoch [34]\.00 of 5; what was measured until then is kept\.", panel._view["status"])
    assert message in panel.describe()
    assert [record.epoch for record in panel.records] == [0, 1, 2, 3]
    assert isinstance(panel.model, model)
    assert threads() == []
    panel.epochs = 2  # the same panel goes on
    panel.run()
    assert panel._view["alert"] == ""
    assert panel.previous is not None
    assert panel.previous.error == message


def test_a_model_that_cannot_be_made_is_shown(make: Callable[..., TrainingPanel]) -> None:
    panel = make(lambda *_, **__: nn.Sequential(nn.Flatten(), nn.Linear(3072, 3)))
    panel.start()
    wait_until(lambda: phase(panel) == "failed")
    expected = "ValueError: model must give 10 logits, one for each class of few, got a"
    assert panel._view["alert"].startswith(expected)
    assert panel._view["status"] == "Failed at the first batch; what was measured until then is kept."
    assert panel.model is None


def test_reset_forgets_and_puts_the_controls_back(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50, alpha=0.5, prediction=0.3)
    panel.start()
    panel.alpha, panel.prediction, panel.epochs = 7.0, 0.9, 3
    panel.reset()
    assert threads() == []
    assert (panel.alpha, panel.prediction, panel.epochs) == (0.5, 0.3, 50)
    assert (panel.result, panel.previous, panel.records, panel.model, panel.trainer) == (None, None, [], None, None)
    assert panel._view["phase"] == "idle"
    assert panel._view["runs"] == []


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        (
            0.0,
            r"^You said 0\.00, it reached (0\.\d\d) \(95% interval 0\.\d{3} to 0\.\d{3}\): \1 higher than you said\.$",
        ),
        (1.0, r"^You said 1\.00, it reached 0\.\d\d \(95% interval .*\): 0\.\d\d lower than you said\.$"),
        (None, r"^You made no prediction; it reached 0\.\d\d \(95% interval .*\)\.$"),
    ],
)
def test_the_prediction_in_words(make: Callable[..., TrainingPanel], said: float | None, pattern: str) -> None:
    panel = make(prediction=said, epochs=1)
    panel.run()
    panel.prediction = 0.5  # too late: it counts as it stood at the start
    assert re.match(pattern, panel._view["verdict"])
    assert panel._view["runs"][0]["prediction"] == said


def test_a_prediction_within_the_interval(make: Callable[..., TrainingPanel]) -> None:
    panel = make(epochs=1)
    panel.prediction = panel.run().records[-1].test_accuracy
    panel.run()
    assert panel._view["verdict"].endswith("): as you said.")


def test_what_a_stopped_run_reached_says_by_when(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50, prediction=0.9)
    panel.start()
    assert panel._view["verdict"] == ""
    wait_until(lambda: panel.trainer and panel.trainer.step_count > 2)
    panel.stop()
    at = panel.records[-1].epoch
    assert f" by epoch {at:g} (95% interval " in panel._view["verdict"]


def test_controls_stay_alive_and_count_from_the_next_start(make: Callable[..., TrainingPanel]) -> None:
    panel = make(slow, epochs=50, alpha=0.5)
    panel.start()
    wait_until(lambda: phase(panel) == "training")
    panel.set_state({"alpha": 3.0, "k": 4})
    assert (panel.alpha, panel.k) == (3.0, 4)
    assert panel.result is not None
    assert (panel.result.settings.alpha, panel.result.settings.k) == (0.5, 1)
    panel.stop()


def test_an_observer_may_start_and_stop(make: Callable[..., TrainingPanel]) -> None:
    """A lesson that restarts at every release: the callback waits for a thread that reports to the same widget."""
    panel = make(slow, epochs=50)
    panel.observe(lambda _: panel.start(), "alpha")
    panel.observe(lambda _: panel.stop(), "k")
    for alpha in (0.3, 0.4, 0.5):
        panel.set_state({"alpha": alpha})
    assert len(threads()) == 1
    panel.set_state({"k": 3})
    assert threads() == []
    assert panel._view["phase"] == "stopped"


def test_a_panel_may_be_collected_in_the_training_thread(make: Callable[..., TrainingPanel]) -> None:
    """Collection closes a widget in whatever thread it happens, also while another thread gives a command."""
    old = make()
    old.run()
    with session._commands:
        closing = threading.Thread(target=old.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()


def test_buttons_bring_the_state_along(make: Callable[..., TrainingPanel]) -> None:
    panel = make()
    press = panel._handle_custom_msg
    press({"command": "start", "state": {"alpha": 0.7, "epochs": 1}}, [])
    wait_until(lambda: phase(panel) == "finished")
    assert panel.result is not None
    assert (panel.result.settings.alpha, panel.result.settings.epochs) == (0.7, 1)
    for content, message in [
        (
            {"command": "begin"},
            "command must be one of 'start', 'pause', 'resume', 'step', 'stop', 'reset', got 'begin'",
        ),
        ({"command": "start", "state": {"images": 5}}, "images must be an integer from 10 to 600, got 5"),
        ({"command": "start", "state": {"size": 5}}, "control must be one of 'alpha', "),
    ]:
        press(content, [])
        assert panel._view["alert"].startswith(message)
        assert phase(panel) == "finished"
    press({"command": "reset"}, [])
    assert panel._view["alert"] == ""


def test_reports_come_some_times_a_second(make: Callable[..., TrainingPanel]) -> None:
    """What is sent hangs on the clock, not on the batch."""
    panel = make(epochs=50)
    views: list[Any] = []
    panel.observe(lambda change: views.append(change.new), "_view")
    began = time.perf_counter()
    panel.run()
    assert len(views) <= 5 + 4 * (time.perf_counter() - began)
    assert len(panel.records) == 51


def test_the_picture_is_drawn_when_a_run_ends(
    make: Callable[..., TrainingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = SimpleNamespace(first=[], updates=[])
    monkeypatch.setattr(shared, "display", lambda data, **_: shown.first.append(data))
    monkeypatch.setattr(running, "update_display", lambda data, **_: shown.updates.append(data))
    panel = make(prediction=0.5)
    panel.run()
    assert shown.updates == []
    panel.reset()
    panel._ipython_display_()
    assert "Nothing has been trained yet" not in shown.first[1]["text/html"]
    assert panel.describe() == "A panel to train a small net live; nothing has been trained yet."
    panel.run()
    panel.alpha = 3.0
    assert len(shown.updates) == 1
    html = shown.updates[0]["text/html"]
    assert f'alt="{panel.describe()}"' in html
    assert f'class="{panel._still}"' in html
    found = re.search(r"base64,([^\"]+)", html)
    assert found is not None
    assert base64.b64decode(found[1]).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_describe_gives_both_runs(make: Callable[..., TrainingPanel]) -> None:
    panel = make(variant="none", prediction=0.5)
    panel.run()
    panel.variant = "mixup"
    panel.run()
    words = panel.describe()
    assert re.match(
        r"Finished: 2 epochs in \d+ s with the measuring; trained at [\d,]+ images/s\. "
        r"Trained with mixup, α = 1, K = 1\. You said 0\.50, ",
        words,
    )
    calibration = r"says 0\.\d\d, is right in 0\.\d\d \((over|under)-confident\); ECE 0\.\d{3} \(.*\)\."
    assert re.search(f"This run: {calibration} The run before: {calibration}$", words)


BAD = [
    ({"data": "cifar10"}, "data must be a data set from mixlab.load, got 'cifar10'"),
    ({"model": "quik"}, "model must be one of 'quick', 'resnet8', 'resnet20', got 'quik'; did you mean 'quick'?"),
    (
        {"variant": "mixip"},
        f"variant must be one of {', '.join(map(repr, mx.VARIANTS))}, got 'mixip'; did you mean 'mixup'?",
    ),
    ({"alpha": 0}, "alpha must be a number from 0.01 to 100, got 0"),
    ({"k": 2.5}, "k must be an integer from 1 to 8, got 2.5"),
    ({"images": 9}, "images must be an integer from 10 to 600, got 9"),
    ({"images": 601}, "images must be an integer from 10 to 600, got 601"),
    ({"epochs": 0}, "epochs must be an integer from 1 to 50, got 0"),
    ({"seed": -1}, "seed must be an integer from 0 to 2147483647, got -1"),
    ({"root": 3}, "root must be a path, got 3"),
    ({"prediction": 67}, "prediction must be a number from 0 to 1 or None, got 67"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_wrong_input_names_the_argument(data: Dataset, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        mx.panels.training_panel(**{"data": data} | settings)
    assert str(caught.value) == message
