"""The training panel and the run store: at once what is stored, from the last epoch what was broken off."""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from panel_runs import Counting, few, linear, panels_of, phase, slow, threads, wait_until
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.data.load import balanced
from mixlab.panels import spiral_panel
from mixlab.panels.training_panel.training_panel import TRAINING, TrainingPanel
from mixlab.runs import StoreError
from mixlab.runs.store import Store


@pytest.fixture(scope="module")
def data() -> Dataset:
    return few()


@pytest.fixture
def make(data: Dataset) -> Iterator[Callable[..., TrainingPanel]]:
    with panels_of(data) as build:
        yield build


def told(panel: TrainingPanel) -> list[tuple[float, ...]]:
    """The numbers of a panel's records that hang on no clock, to the bit."""
    return [
        (record.epoch, record.train_loss, record.test_accuracy, record.test_nll, record.test_ece)
        for record in panel.records[1:]
    ]


def train_until(panel: TrainingPanel, steps: int) -> None:
    panel.start()
    wait_until(lambda: panel.trainer and panel.trainer.step_count >= steps)


def test_a_stored_run_is_shown_at_once(make: Callable[..., TrainingPanel]) -> None:
    first = make(images=150, seed=3)  # two batches an epoch
    first.run()
    again = make(images=150, seed=3, prediction=0.7)
    result = again.run()
    assert again.trainer is not None
    assert again.trainer.step_count == 0  # nothing was trained
    assert (result.phase, result.step, result.steps, result.epoch) == ("finished", 4, 4, 2)
    assert told(again) == told(first)
    assert again.records[0].test_nll == first.records[0].test_nll
    assert result.losses == tuple((record.epoch, record.train_loss) for record in first.records[1:])
    assert first.model is not None
    assert again.model is not None
    for ours, theirs in zip(again.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    words = again._view["status"]
    assert re.fullmatch(
        r"Finished: 2 epochs in \d+ s with the measuring; trained at [\d,]+ images/s\. "
        r"From the store: trained on \d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d\.",
        words,
    )
    assert "From the store" not in first._view["status"]
    assert again._view["verdict"].startswith("You said 0.70, it reached 0.")
    assert again._view["progress"] == 1


def test_it_is_the_run_of_mx_run(make: Callable[..., TrainingPanel], data: Dataset) -> None:
    panel = make("quick", variant="cutmix", alpha=0.5, k=2, images=40, epochs=1, seed=4)
    panel.run()
    (stored,) = mx.runs()
    assert (stored.finished, stored.settings["model"], stored.settings["epochs"]) == (True, "quick", 1)
    part = Dataset("few", data.train.subset(balanced(data.train.labels, 40, 10, 4)), data.test, data.classes)
    mixer = mx.Mixer("cutmix", alpha=0.5, k=2)
    run = mx.run("quick", part, mixer, epochs=1, seed=4, progress=False, **TRAINING)
    assert run.id == stored.id
    assert run.sessions == stored.sessions
    assert run.history[-1].test_nll == panel.records[-1].test_nll


@pytest.mark.parametrize("again", ["the same panel", "another panel"])
def test_a_run_that_was_broken_off_goes_on(make: Callable[..., TrainingPanel], tmp_path: Path, again: str) -> None:
    whole = make(linear, images=150, epochs=6, root=tmp_path / "whole")
    whole.run()
    panel = make(slow, images=150, epochs=6)
    train_until(panel, 5)
    panel.stop()
    assert panel.result is not None
    assert isinstance(panel.model, Counting)
    kept = int(panel.records[-1].epoch)
    assert panel.result.kept == kept >= 2
    assert panel.model.batches == panel.result.step >= 2 * kept  # not the first weights
    went_on = f"Start, with the same settings, goes on from epoch {kept}."
    assert panel._view["status"] == f"Stopped at epoch {panel.result.epoch:.2f} of 6; {went_on}"
    (stored,) = mx.runs()
    assert not stored.finished

    other = panel if again == "the same panel" else make(slow, images=150, epochs=6)
    other.step()
    wait_until(lambda: phase(other) == "paused" and other.result and other.result.step == 2 * kept + 1)
    assert other._view["status"].endswith(f"Taken up from the store at epoch {kept}.")
    assert other._view["progress"] == pytest.approx((2 * kept + 1) / 12)
    assert [epoch for epoch, _ in other._view["runs"][0]["loss"]][:kept] == list(range(1, kept + 1))
    other.resume()
    wait_until(lambda: phase(other) == "finished")
    assert isinstance(other.model, Counting)
    assert other.model.batches == 12
    assert [record.epoch for record in other.records] == list(range(7))
    assert other.previous is None  # it is the same run
    assert mx.runs()[0].finished
    # `wait` is an attribute, so the two nets have not one name; their numbers are the same, to the bit.
    assert told(other) == told(whole)


def test_the_lock_is_free_after_a_stop(make: Callable[..., TrainingPanel], data: Dataset) -> None:
    panel = make(slow, images=600, epochs=4)
    train_until(panel, 10)
    panel.stop()
    run = mx.run(slow(10, seed=0), data, mx.Mixer("mixup"), epochs=4, progress=False, **TRAINING)
    assert [tuple(session["epochs"]) for session in run.sessions] == [(0, 1), (1, 4)]


def test_a_second_panel_takes_the_run_over(make: Callable[..., TrainingPanel]) -> None:
    first, second = make(slow, images=150, epochs=6), make(slow, images=150, epochs=6)
    train_until(first, 3)
    second.start()
    assert len(threads()) == 1
    assert phase(first) == "stopped"
    wait_until(lambda: phase(second) == "finished")
    assert "Taken up from the store at epoch 1" in second._view["status"]


def test_what_another_process_trains_is_waited_for(make: Callable[..., TrainingPanel], run_store: Path) -> None:
    panel = make(slow, images=20, epochs=3)
    train_until(panel, 2)
    panel.stop()
    (stored,) = mx.runs()
    with FileLock(run_store / f"{stored.id}.lock", thread_local=False):
        panel.start()
        wait_until(lambda: "Another process" in panel._view["status"])
        assert panel._view["status"].endswith("Another process is training this run: waiting for it.")
        panel.stop()  # which must not wait
        assert phase(panel) == "stopped"
        assert panel._view["status"] == "Stopped at epoch 0.00 of 3; what was measured until then is kept."
        panel.start()
        wait_until(lambda: "Another process" in panel._view["status"])
    wait_until(lambda: phase(panel) == "finished")
    assert "Taken up from the store at epoch " in panel._view["status"]


def test_it_trains_where_nothing_can_be_stored(make: Callable[..., TrainingPanel], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    panel = make(linear, root=tmp_path / "taken" / "runs", images=150)
    result = panel.run()
    assert [record.epoch for record in panel.records] == [0, 1, 2]
    why = f"Not kept in the run store: {tmp_path / 'taken' / 'runs'} cannot be written: Not a directory."
    assert why in panel._view["status"]
    assert result.kept == 0
    assert phase(panel) == "finished"
    stored = make(linear, images=150)
    stored.run()
    assert told(panel) == told(stored)


def test_a_disk_that_fills_up_costs_no_record(
    make: Callable[..., TrainingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = Store.write_checkpoint, True

    def write_if_there_is_room(store: Store, run: str, document: Any, tensors: Any) -> None:
        if full and len(document["records"]) > 1:
            raise StoreError("the disk is full.")
        write(store, run, document, tensors)

    monkeypatch.setattr(Store, "write_checkpoint", write_if_there_is_room)
    panel = make(epochs=4)
    seen = []
    for step in (1, 2, 3):
        panel.step()
        wait_until(lambda n=step: phase(panel) == "paused" and panel.result and panel.result.step == n)
        assert panel.result is not None
        seen.append((panel.result.kept, "Not kept in the run store: the disk is full." in panel._view["status"]))
    assert seen == [(1, False), (1, True), (1, True)]
    full = False
    panel.resume()
    wait_until(lambda: phase(panel) == "finished")
    assert "Not kept" not in panel._view["status"]
    assert [record.epoch for record in panel.records] == [0, 1, 2, 3, 4]
    assert mx.runs()[0].finished


def test_a_disk_that_is_full_at_the_end_costs_nothing(
    make: Callable[..., TrainingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_run", refuse)
        for words in ("", "Taken up from the store at epoch 2. "):
            panel = make()
            panel.run()
            assert panel._view["status"].endswith(f"images/s. {words}Not kept in the run store: the disk is full.")
    assert not mx.runs()[0].finished
    again = make()
    again.run()
    assert "From the store: trained on " in again._view["status"]
    assert mx.runs()[0].finished
    assert told(again) == told(panel)


def test_a_lock_that_cannot_be_taken(make: Callable[..., TrainingPanel], run_store: Path, tmp_path: Path) -> None:
    make(root=tmp_path / "elsewhere").run()
    (stored,) = mx.runs(tmp_path / "elsewhere")
    (run_store / f"{stored.id}.lock").mkdir(parents=True)
    panel = make()
    panel.run()
    assert f"Not kept in the run store: {run_store / stored.id}.lock cannot be written: " in panel._view["status"]
    assert [record.epoch for record in panel.records] == [0, 1, 2]


class Remembering(Counting):
    """Leaves its last answer lying about, as learners' nets do: no checkpoint holds that."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.last = super().forward(x)
            return self.last
        return super().forward(x)


def test_a_net_that_no_checkpoint_holds_is_trained_all_the_same(make: Callable[..., TrainingPanel]) -> None:
    panel = make(partial(linear, kind=Remembering), images=150, epochs=3)
    panel.run()
    assert [record.epoch for record in panel.records] == [0, 1, 2, 3]
    assert re.search(
        r"Not kept in the run store: model must keep .*, got a changed model.last\.$", panel._view["status"]
    )
    assert list(mx.runs()) == []
    plain = make(linear, images=150, epochs=3)
    plain.run()
    assert told(panel) == told(plain)


def test_the_spirals_are_not_stored(run_store: Path) -> None:
    panel = spiral_panel(epochs=1)
    panel.run()
    panel.close()
    assert not run_store.exists()


def test_stop_within_a_second_of_a_start(make: Callable[..., TrainingPanel]) -> None:
    """While the images, the model and the store are looked at, too."""
    panel = make(slow, images=600, epochs=50)
    for pause in (0.0, 0.01, 0.03, 0.1):
        panel.start()
        time.sleep(pause)
        panel.stop()
        assert threads() == []
        assert phase(panel) == "stopped"
    assert isinstance(panel.model, nn.Module)
