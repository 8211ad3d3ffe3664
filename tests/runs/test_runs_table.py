"""Stored runs as a table, and what can be asked of those that are unfinished, damaged or unreadable."""

import errno
import json
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tiny_runs import (
    dataset,
    leave_after,
    raising,
    tiny_run,
)

import mixlab as mx
from mixlab.runs import Run
from mixlab.runs.store import RUN, Store, StoreError, _sealed


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store that has the tiny run."""
    root = tmp_path_factory.mktemp("runs")
    tiny_run(root)
    return root


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
    assert isinstance(runs[1:], mx.RunTable)
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
    (stale,) = [Run(Store(tmp_path), run.id, run._told, finished=False)]
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


def test_run_that_cannot_be_read_is_listed_and_says_so(tmp_path, root, monkeypatch):
    copies(root, tmp_path, 2)
    path, real = tmp_path / f"{0:016x}" / RUN, Path.read_bytes

    def refused(self):
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", refused)
    whole, run = mx.runs(tmp_path)
    assert whole.finished
    said = f"{path} cannot be read: Permission denied; name another folder by root= or the environment variable "
    assert repr(run) == f"Run(0000000000000000, unreadable: {said}MIXLAB_RUNS)"
    with raising(StoreError, said, "MIXLAB_RUNS"):
        _ = run.settings


def test_folder_that_cannot_be_listed(tmp_path, root, monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refused)
    said = f"{root} cannot be read: Permission denied; name another folder by root= or the environment variable "
    with raising(StoreError, said, "MIXLAB_RUNS"):
        mx.runs(root)


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
    assert len(mx.RunTable([run, run])) == 2
    with raising(TypeError, "runs must be Runs, as mx.run and mx.runs give them, got 3"):
        mx.RunTable([3])


@pytest.mark.parametrize("root", ["", "a\0b", "~nobody-of-this-name/x"])
def test_root_that_is_no_path(root):
    with pytest.raises(ValueError, match=r"^root must be a path, got "):
        mx.runs(root)


def test_file_is_no_folder_of_runs(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    said = f"{path} cannot be read: Not a directory; name another folder by root= or the environment variable "
    with raising(StoreError, said, "MIXLAB_RUNS"):
        mx.runs(path)
