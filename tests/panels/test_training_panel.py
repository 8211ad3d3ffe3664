"""The training panel without a browser: the state machine, the thread, the words, the picture."""

import base64
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from panel_runs import Counting, linear, phase, slow, threads, train_until, wait_until
from seeding import seeded
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.data.parts import stratified
from mixlab.panels.shared import running, session
from mixlab.panels.training_panel.training_panel import TRAINING

Make = Callable[..., Any]


class Breaking(Counting):
    """Raises `error`, or without one gives NaN, at its fourth training batch."""

    def __init__(self, classes: int, error: type[Exception] | None) -> None:
        super().__init__(classes)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if not self.training or self.batches < 4:
            return logits
        if self.error:
            raise self.error("no more")
        return logits * torch.nan


def test_a_run_is_what_fit_does(make: Make, data: Dataset) -> None:
    panel = make(variant="cutmix", alpha=0.5, k=2, images=300, seed=3)
    result = panel.run()
    part = Dataset("few", data.train.subset(stratified(data.train.labels, 300, seed=3)), data.test, data.classes)
    model = linear(10, seed=3)
    expected = mx.fit(model, part, mx.Mixer("cutmix", alpha=0.5, k=2), epochs=2, seed=3, **TRAINING)
    assert [record.epoch for record in panel.records] == [0, 1, 2]
    for record, other in zip(panel.records[1:], expected, strict=True):
        for number in ("train_loss", "test_accuracy", "test_nll"):
            assert getattr(record, number) == getattr(other, number)
    for ours, theirs in zip(panel.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    steps = 2 * (300 // panel.trainer.batch_size)
    assert (result.phase, result.step, result.steps, result.error) == ("finished", steps, steps, "")
    assert result is panel.result
    assert result.losses[-1][0] < 2


def test_the_number_shown_is_the_number_trained_on_however_rare_a_class_is(open_panel: Make, data: Dataset) -> None:
    labels = torch.arange(3).repeat_interleave(torch.tensor([500, 50, 6]))
    train, test = Split(data.train.images[: len(labels)], labels), Split(data.test.images[:9], torch.arange(9) % 3)
    skewed = Dataset("skewed", train, test, data.classes[:3])
    panel = open_panel(mx.panels.training_panel, skewed, model=linear, images=278, epochs=1)
    panel.run()
    assert panel._view["runs"][0]["size"] == "278 images, seed 0"
    assert panel.trainer.data.train.labels.bincount().tolist() == [250, 25, 3]


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (20, 3), (33, 1)])
def test_images_of_any_side_gray_or_color_train(open_panel: Make, side: int, channels: int) -> None:
    images = torch.randint(0, 256, (24, channels, side, side), dtype=torch.uint8, generator=seeded())
    split = Split(images, torch.arange(24) % 4)
    panel = open_panel(mx.panels.training_panel, Dataset("own", split, split, tuple("abcd")), images=24, epochs=1)
    assert panel.run().phase == "finished"
    if side % 2 == 0:
        words = open_panel(mx.panels.puzzle_panel, panel.trainer.data, panel.model.cpu(), pairs=2).describe()
        assert "Puzzle Mix on 4 × 4 blocks" in words


def test_losses_between_records_average_to_the_record(make: Make, data: Dataset) -> None:
    panel = make(images=600, epochs=1)
    points = 0
    while phase(panel) != "finished":  # a pause marks a point, so that each batch has its own
        panel.step()
        points += 1
        wait_until(lambda n=points: phase(panel) == "finished" or (phase(panel) == "paused" and panel.result.step == n))
    losses = dict(panel.result.losses)
    assert len(losses) == points == panel.result.steps > 1
    assert list(losses) == pytest.approx([(i + 0.5) / points for i in range(points)])  # each at its batch's middle
    assert panel.trainer.data.train is data.train  # all the images, as they are
    assert sum(losses.values()) / points == pytest.approx(panel.records[-1].train_loss, rel=1e-6)


def test_pause_step_resume(make: Make) -> None:
    panel = make(slow, epochs=30)

    def paused_at(step: int) -> None:
        wait_until(lambda: phase(panel) == "paused" and panel.result.step == step)
        assert panel.model.batches == panel.trainer.step_count == step

    panel.step()  # when idle: the first batch
    paused_at(1)
    panel.resume()
    wait_until(lambda: panel.trainer.step_count > 3)
    panel.pause()
    wait_until(lambda: phase(panel) == "paused" and panel.result.step > 1)
    at = panel.result.step
    assert panel._view["status"].startswith(f"Paused after batch {at} of 30, epoch {at}.00 of 30")
    for further in (0, 1, 2):
        paused_at(at + further)
        panel.step()
    panel.resume()
    wait_until(lambda: phase(panel) == "finished")
    assert panel.result.step == 30
    assert panel.previous is None


def test_stop_acts_within_one_batch(make: Make) -> None:
    panel = make(slow, epochs=50, prediction=0.9)
    train_until(panel, 3)
    model, before = panel.model, panel.model.batches
    assert panel._view["verdict"] == ""
    panel.stop()
    after = model.batches
    assert after - before <= 1
    assert threads() == []
    assert phase(panel) == "stopped"
    assert panel.model is model
    assert panel.result.step == panel.trainer.step_count < 50
    assert panel.result.records == tuple(panel.records) != ()
    assert not model._forward_pre_hooks
    assert panel._view["status"].startswith("Stopped at epoch ")
    assert f" by epoch {panel.records[-1].epoch:g} (95% interval " in panel._view["verdict"]
    panel.stop()  # again does nothing
    assert (phase(panel), model.batches) == ("stopped", after)


def test_stop_leaves_an_evaluation_within_one_batch(make: Make, data: Dataset) -> None:
    class Waiting(Counting):
        def forward(self, x: Tensor) -> Tensor:
            looks.append(len(x))
            if len(x) > 2:  # not the trainer's look at two zeros
                held.wait(20)
            return super().forward(x)

    held, looks = threading.Event(), []
    panel = make(lambda classes, **_: Waiting(classes))
    test = Split(data.test.images.repeat(7, 1, 1, 1), data.test.labels.repeat(7))
    panel._data = Dataset("many", data.train, test, data.classes)
    panel.start()
    wait_until(lambda: len(looks) == 2)  # the first of several test batches
    panel._session._job._stop.set()  # as stop() does, which would wait here for the batch that is held
    held.set()
    panel.stop()
    assert len(looks) == 2
    assert panel.records == []
    assert panel._view["status"] == "Stopped at epoch 0.00 of 2; what was measured until then is kept."


def test_a_second_start_replaces_the_first(make: Make) -> None:
    panel = make(slow, epochs=50, alpha=0.5)
    train_until(panel, 2)
    first, model = panel.trainer, panel.model
    panel.alpha, panel.epochs = 2.0, 2
    panel.start()
    assert len(threads()) == 1
    done = first.step_count
    wait_until(lambda: phase(panel) == "finished")
    assert first.step_count == done < 50
    assert panel.model is not model
    assert (panel.result.settings.alpha, panel.result.step) == (2.0, 2)
    assert (panel.previous.settings.alpha, panel.previous.step, panel.previous.phase) == (0.5, done, "stopped")


def test_a_cell_that_is_run_again_ends_the_training_of_its_last_panel(make: Make, monkeypatch) -> None:
    at_work = {"metadata": {"cellId": "a"}, "header": {"msg_id": "1"}}
    monkeypatch.setattr(running, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: at_work))
    panel = make(slow, epochs=50)
    train_until(panel, 2)
    make()  # in the same run of the cell
    at_work = {"metadata": {"cellId": "b"}, "header": {"msg_id": "2"}}
    make()  # in another cell
    assert len(threads()) == 1
    at_work = {"metadata": {"cellId": "a"}, "header": {"msg_id": "3"}}
    make()
    assert threads() == []
    assert phase(panel) == "stopped"


def test_starts_from_many_threads_leave_one_at_work(make: Make) -> None:
    panel = make(slow, epochs=50)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(panel.start)
    assert len(threads()) <= 1
    panel.stop()
    assert threads() == []


def test_the_previous_run_is_a_ghost(make: Make) -> None:
    panel = make(variant="none", prediction=0.5)
    first = panel.run()
    panel.variant = "mixup"
    second = panel.run()
    assert panel.previous is first
    runs = panel._view["runs"]
    assert [run["name"] for run in runs] == ["mixup, α = 1, K = 1", "no mixing"]
    assert runs[1]["accuracy"] == [[record.epoch, record.test_accuracy] for record in first.records]
    assert runs[0]["loss"] == list(second.losses)
    calibration = r"says 0\.\d\d, is right in 0\.\d\d \((over|under)-confident\); ECE 0\.\d{3} \(.*\)\."
    assert re.fullmatch(
        r"Finished: 2 epochs in \d+ s with the measuring; trained at [\d,]+ images/s\. Trained with mixup, α = 1, "
        rf"K = 1\. You said 0\.50, .* This run: {calibration} The run before: {calibration}",
        panel.describe(),
    )
    panel.seed = 2
    panel._session.start(panel._settings(), batches=0)  # takes no step, and so becomes no ghost
    wait_until(lambda: phase(panel) == "paused")
    panel.run()
    assert panel.previous is second


def test_the_diagram_is_that_of_the_last_record(make: Make) -> None:
    panel = make(epochs=1)
    panel.run()
    rel = panel.records[-1].reliability
    diagram, bins = panel._view["runs"][0]["diagram"], rel.bins()
    assert diagram["counts"] == bins.count.tolist()
    assert (diagram["ece"], diagram["accuracy"]) == (rel.ece(), rel.accuracy())
    for shown in diagram["bins"]:
        i = bins.edges.tolist().index(shown["low"])
        assert shown["high"] == bins.edges[i + 1]
        assert all(shown[name] == getattr(bins, name)[i] for name in ("count", "confidence", "accuracy"))
    assert sum(shown["count"] for shown in diagram["bins"]) == rel.count


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RuntimeError, RuntimeError, "no more"),
        (ValueError, ValueError, "no more"),  # which says nothing of the store
        (None, FloatingPointError, "the loss is no longer finite at step 4 of 5"),
    ],
)
def test_an_exception_is_shown_and_the_partial_run_kept(make: Make, error: Any, raised: Any, words: str) -> None:
    panel = make(lambda classes, **_: Breaking(classes, error), epochs=5)
    with pytest.raises(raised) as caught:
        panel.run()
    message = f"{raised.__name__}: {caught.value}"
    assert message.startswith(f"{raised.__name__}: {words}")
    assert (phase(panel), panel._view["alert"]) == ("failed", message)
    assert re.match(r"Failed at epoch [34]\.00 of 5; what was measured until then is kept\.", panel._view["status"])
    assert message in panel.describe()
    assert [record.epoch for record in panel.records] == [0, 1, 2, 3]
    assert isinstance(panel.model, Breaking)
    panel.epochs = 2  # the same panel goes on
    panel.run()
    assert panel._view["alert"] == ""
    assert panel.previous.error == message


def test_a_model_that_cannot_be_made_is_shown(make: Make) -> None:
    panel = make(lambda *_, **__: nn.Sequential(nn.Flatten(), nn.Linear(3072, 3)))
    panel.start()
    wait_until(lambda: phase(panel) == "failed")
    assert panel._view["alert"].startswith("ValueError: model must give 10 logits")
    assert panel._view["status"] == "Failed at the first batch; what was measured until then is kept."
    assert panel.model is None


def test_controls_count_from_the_next_start_and_reset_puts_them_back(make: Make) -> None:
    panel = make(slow, epochs=50, alpha=0.5, prediction=0.3)
    panel.start()
    panel.set_state({"alpha": 7.0, "prediction": 0.9, "epochs": 3})
    assert (panel.alpha, panel.prediction, panel.epochs) == (7.0, 0.9, 3)
    assert (panel.result.settings.alpha, panel.result.settings.epochs) == (0.5, 50)
    panel.reset()
    assert threads() == []
    assert (panel.alpha, panel.prediction, panel.epochs) == (0.5, 0.3, 50)
    assert (panel.result, panel.previous, panel.records, panel.model, panel.trainer) == (None, None, [], None, None)
    assert (panel._view["phase"], panel._view["runs"]) == ("idle", [])


def test_the_prediction_in_words(make: Make) -> None:
    panel = make(epochs=1)
    reached = panel.run().records[-1].test_accuracy
    for said, words in (
        (0.0, f"You said 0.00, it reached {reached:.2f} (95% interval X): {reached:.2f} higher than you said."),
        (1.0, f"You said 1.00, it reached {reached:.2f} (95% interval X): {1 - reached:.2f} lower than you said."),
        (reached, f"You said {reached:.2f}, it reached {reached:.2f} (95% interval X): as you said."),
        (None, f"You made no prediction; it reached {reached:.2f} (95% interval X)."),
    ):
        panel.prediction = said
        panel.run()
        panel.prediction = 0.5  # too late: it counts as it stood at the start
        assert re.sub(r"0\.\d{3} to 0\.\d{3}", "X", panel._view["verdict"]) == words
        assert panel._view["runs"][0]["prediction"] == said


def test_an_observer_may_start_and_stop(make: Make) -> None:
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


def test_a_panel_may_be_collected_in_the_training_thread(make: Make) -> None:
    """Collection closes a widget in whatever thread it happens, also while another thread gives a command."""
    old = make()
    old.run()
    with session._commands:
        closing = threading.Thread(target=old.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()


def test_buttons_bring_the_state_along(make: Make) -> None:
    panel = make()
    press = panel._handle_custom_msg
    press({"command": "start", "state": {"alpha": 0.7, "epochs": 1}}, [])
    wait_until(lambda: phase(panel) == "finished")
    assert (panel.result.settings.alpha, panel.result.settings.epochs) == (0.7, 1)
    for content, words in [
        ({"command": "begin"}, ("command must be", "'start', 'pause'", "got 'begin'")),
        ({"command": "start", "state": {"images": 5}}, ("images must be", "10 to 600", "got 5")),
        ({"command": "start", "state": {"size": 5}}, ("control must be", "'alpha'", "got 'size'")),
    ]:
        press(content, [])
        assert all(word in panel._view["alert"] for word in words)
        assert phase(panel) == "finished"
    press({"command": "reset"}, [])
    assert panel._view["alert"] == ""


def test_the_picture_is_drawn_when_a_run_ends(make: Make, shown: SimpleNamespace) -> None:
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
    assert base64.b64decode(re.search(r"base64,([^\"]+)", html)[1]).startswith(b"\x89PNG")
    assert plt.get_fignums() == []
