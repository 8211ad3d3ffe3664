"""The training panel and the run store: at once what is stored, from the last epoch what was broken off."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from panel_runs import Counting, linear, phase, slow, threads, train_until, wait_until
from torch import Tensor

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.data.parts import stratified
from mixlab.panels.training_panel.training_panel import TRAINING
from mixlab.runs import StoreError
from mixlab.runs.store import Store
from mixlab.training.trainer import Trainer

Make = Callable[..., Any]


def numbers(panel: Any) -> list[tuple[float, ...]]:
    """The numbers of a panel's records that no clock makes."""
    names = ("epoch", "train_loss", "test_accuracy", "test_nll", "test_ece")
    return [tuple(getattr(record, name) for name in names) for record in panel.records[1:]]


def test_a_stored_run_is_shown_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainers, begin = [], Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", lambda own, *given, **kw: trainers.append(own) or begin(own, *given, **kw))
    first = make(images=150, seed=3)  # two batches an epoch
    first.run()
    again = make(images=150, seed=3, prediction=0.7)
    result = again.run()
    assert trainers == [first.trainer, again.trainer]  # one for each start
    assert again.trainer.step_count == 0  # nothing was trained
    assert (result.phase, result.step, result.steps, result.epoch) == ("finished", 4, 4, 2)
    assert numbers(again) == numbers(first)
    assert again.records[0].test_nll == first.records[0].test_nll
    assert result.losses == tuple((record.epoch - 0.5, record.train_loss) for record in first.records[1:])
    for ours, theirs in zip(again.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    origin = r"From the store: trained on \d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d\."
    assert re.fullmatch(
        rf"Finished: 2 epochs in \d+ s .*; trained at [\d,]+ images/s\. {origin}", again._view["status"]
    )
    assert "From the store" not in first._view["status"]
    assert again._view["verdict"].startswith("You said 0.70, it reached 0.")
    assert again._view["progress"] == 1


def test_it_is_the_run_of_mx_run(make: Make, data: Dataset) -> None:
    panel = make("quick", variant="cutmix", alpha=0.5, k=2, images=40, epochs=1, seed=4)
    panel.run()
    (stored,) = mx.runs()
    assert (stored.finished, stored.settings["model"], stored.settings["epochs"]) == (True, "quick", 1)
    part = Dataset("few", data.train.subset(stratified(data.train.labels, 40, seed=4)), data.test, data.classes)
    mixer = mx.Mixer("cutmix", alpha=0.5, k=2)
    run = mx.run("quick", part, mixer, epochs=1, seed=4, progress=False, **TRAINING)
    assert run.id == stored.id
    assert run.sessions == stored.sessions
    assert run.history[-1].test_nll == panel.records[-1].test_nll


@pytest.mark.parametrize("again", ["the same panel", "another panel"])
def test_a_run_that_was_broken_off_goes_on(make: Make, tmp_path: Path, again: str) -> None:
    whole = make(linear, images=150, epochs=6, root=tmp_path / "whole")
    whole.run()
    panel = make(slow, images=150, epochs=6)
    train_until(panel, 5)
    panel.stop()
    kept = int(panel.records[-1].epoch)
    assert panel.result.kept == kept >= 2
    assert panel.model.batches == panel.result.step >= 2 * kept  # not the first weights
    went_on = f"Start, with the same settings, resumes after epoch {kept}."
    assert panel._view["status"] == f"Stopped at epoch {panel.result.epoch:.2f} of 6; {went_on}"
    (stored,) = mx.runs()
    assert not stored.finished

    other = panel if again == "the same panel" else make(slow, images=150, epochs=6)
    other.step()
    wait_until(lambda: phase(other) == "paused" and other.result and other.result.step == 2 * kept + 1)
    assert other._view["status"].endswith(f"Taken up from the store at epoch {kept}.")
    assert other._view["progress"] == pytest.approx((2 * kept + 1) / 12)
    epochs = [epoch for epoch, _ in other._view["runs"][0]["loss"]]
    assert epochs == [*(epoch + 0.5 for epoch in range(kept)), kept + 0.25]  # the middles of epochs, then of a batch
    other.resume()
    wait_until(lambda: phase(other) == "finished")
    assert other.model.batches == 12
    assert [record.epoch for record in other.records] == list(range(7))
    assert other.previous is None  # it is the same run
    assert mx.runs()[0].finished
    # `wait` is an attribute, so the two nets have not one name; their numbers are the same, to the bit.
    assert numbers(other) == numbers(whole)


def test_a_second_panel_takes_the_run_over(make: Make) -> None:
    first, second = make(slow, images=150, epochs=6), make(slow, images=150, epochs=6)
    train_until(first, 3)
    second.start()
    assert len(threads()) == 1
    assert phase(first) == "stopped"
    wait_until(lambda: phase(second) == "finished")
    assert "Taken up from the store at epoch 1" in second._view["status"]


def test_what_another_process_trains_is_waited_for(make: Make, run_store: Path) -> None:
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


SPOILED = {  # how a store takes no run, and what the panel says of it
    "runs cannot be written: ": lambda store, _: store.write_text("a file"),
    ".lock cannot be written: ": lambda store, run: (store / f"{run}.lock").mkdir(parents=True),
}


@pytest.mark.parametrize("words", SPOILED)
def test_it_trains_where_nothing_can_be_stored(make: Make, run_store: Path, tmp_path: Path, words: str) -> None:
    whole = make(images=150, root=tmp_path / "whole")
    whole.run()
    (stored,) = mx.runs(tmp_path / "whole")
    SPOILED[words](run_store, stored.id)
    panel = make(images=150)
    result = panel.run()
    assert (result.phase, result.kept) == ("finished", 0)
    assert re.search(f"Not kept in the run store: .*{words}", panel._view["status"])
    assert numbers(panel) == numbers(whole)
    assert not (run_store / stored.id).exists()


def test_a_disk_that_fills_up_costs_no_record(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
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
        seen.append((panel.result.kept, "Not kept in the run store: the disk is full." in panel._view["status"]))
    assert seen == [(1, False), (1, True), (1, True)]
    full = False
    panel.resume()
    wait_until(lambda: phase(panel) == "finished")
    assert "Not kept" not in panel._view["status"]
    assert [record.epoch for record in panel.records] == [0, 1, 2, 3, 4]
    assert mx.runs()[0].finished


def test_a_disk_that_is_full_at_the_end_costs_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert numbers(again) == numbers(panel)


class Remembering(Counting):
    """Leaves its last answer lying about, as learners' nets do: no checkpoint holds that."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if self.training:
            self.last = logits
        return logits


def test_a_net_that_no_checkpoint_holds_is_trained_all_the_same(make: Make) -> None:
    panel, plain = make(partial(linear, kind=Remembering), images=150), make(images=150)
    panel.run()
    why = r"Not kept in the run store: model must keep .*, got a changed model\.last\.$"
    assert re.search(why, panel._view["status"])
    assert list(mx.runs()) == []
    plain.run()
    assert numbers(panel) == numbers(plain) != []


def test_stop_soon_after_a_start(make: Make) -> None:
    """While the images, the model and the store are looked at."""
    panel = make(slow, images=600, epochs=50)
    for pause in (0.0, 0.01, 0.03, 0.1):
        panel.start()
        time.sleep(pause)
        panel.stop()
        assert threads() == []
        assert phase(panel) == "stopped"
