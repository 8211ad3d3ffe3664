"""Stored runs as a table, and what can be asked of those that are unfinished, damaged, unreadable or older."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
from tiny_runs import contents, dataset, leave_after, raising, tiny_run

import mixlab as mx
from mixlab.runs.identity import name_of
from mixlab.runs.store import FORMAT, PREDICTIONS, RUN, WEIGHTS, Store, StoreError, _sealed


@pytest.fixture
def copies(root, tmp_path):
    """Two runs of other ids with the files of the tiny run, an hour apart, the last the newest."""
    (run,) = mx.runs(root)
    for number in range(2):
        folder = tmp_path / f"{number:016x}"
        folder.mkdir()
        for file in (root / run.id).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        document = json.loads((folder / RUN).read_text())
        document.pop("sha256")
        saved = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number)
        (folder / RUN).write_text(json.dumps(_sealed(document | {"id": folder.name, "saved": saved.isoformat()})))
    return tmp_path


def test_runs_are_a_table_newest_first_with_unfinished_and_damaged_ones(copies, monkeypatch):
    leave_after(copies, 1)
    (copies / f"{0:016x}" / RUN).write_text("nonsense")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "tensors", lambda *_: pytest.fail("tensors of a finished run were read"))
        runs = mx.runs(copies)
        head, *rows = repr(runs).splitlines()
    unfinished, finished, damaged = runs
    assert (unfinished.finished, finished.finished, damaged.finished) == (False, True, False)
    assert head.split() == ["variant", "alpha", "k", "model", "data", "epochs", "seed", "accuracy", "ECE", "when", "id"]
    assert rows[0].split()[:8] == ["mixup", "0.4", "1", "Net", "tiny", "1", "of", "3"]
    score, when = finished.history[-1], datetime(2026, 1, 1, 1, tzinfo=timezone.utc).astimezone()
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
    assert len({*runs, *mx.runs(copies)}) == 3


def test_what_is_not_there_yet_cannot_be_asked(tmp_path):
    leave_after(tmp_path, 1)
    (run,) = mx.runs(tmp_path)
    assert len(run.history) == 1
    assert repr(run).startswith(f"Run({run.id}, mixup α=0.4 k=1, Net on tiny, epochs 1 of 3, seed 0: accuracy ")
    for ask in (lambda: run.predictions, run.weights, lambda: run.model):
        with raising(StoreError, run.id, "is not finished: epoch 1 of 3"):
            ask()


def test_damaged_run_says_so_whatever_is_asked(copies):
    path = copies / f"{0:016x}"
    (path / WEIGHTS).unlink()
    *_, run = mx.runs(copies)
    with raising(StoreError, run.id, "is damaged (weights.safetensors is missing)"):
        run.weights()
    (path / RUN).write_text("nonsense")
    *_, run = mx.runs(copies)
    assert repr(run).startswith(f"Run({run.id}, damaged: run.json is not")
    for ask in (lambda: run.settings, lambda: run.history, lambda: run.predictions, run.weights, lambda: run.sessions):
        with raising(StoreError, run.id, "is damaged (run.json is not"):
            ask()


def test_run_that_cannot_be_read_is_listed_and_says_so(copies, monkeypatch):
    path, real = copies / f"{0:016x}" / RUN, Path.read_bytes

    def read(self):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    whole, run = mx.runs(copies)
    assert whole.finished
    assert repr(run).startswith(f"Run({run.id}, unreadable: {path} cannot be read: Permission denied")
    with raising(StoreError, f"{path} cannot be read: Permission denied", "MIXLAB_RUNS"):
        _ = run.settings


def test_no_runs(tmp_path):
    runs = mx.runs(tmp_path / "nowhere")
    assert (len(runs), repr(runs), runs._repr_html_()) == (0, "no runs", "<p>no runs</p>")
    assert not (tmp_path / "nowhere").exists()


def test_long_table_is_cut(root):
    runs = mx.RunTable(list(mx.runs(root)) * 103)
    assert len(repr(runs).splitlines()) == 102
    assert repr(runs).splitlines()[-1] == "and 3 more"
    assert "<p>and 3 more</p>" in runs._repr_html_()
    with raising(TypeError, "runs must be Runs", "got 3"):
        mx.RunTable([3])


def test_what_is_shown_is_escaped(tmp_path):
    tiny_run(tmp_path, data=replace(dataset(), name="<b>tiny</b>"), mixer=None)
    assert "<td>&lt;b&gt;tiny&lt;/b&gt;</td>" in mx.runs(tmp_path)._repr_html_()
    assert "<td>–</td><td>–</td>" in mx.runs(tmp_path)._repr_html_(), "none has no alpha and no k"


def test_run_of_an_older_format_is_listed_and_read_and_never_written_over(tmp_path):
    """The same run as format 1 stored it: under another id, and with no format in its identity."""
    given = {"model": "quick", "data": mx.load("shapes", train_size=20, test_size=10), "epochs": 1}
    run, store = tiny_run(tmp_path, **given), Store(tmp_path)
    document = store.finished(run.id)
    identity = {name: value for name, value in document["identity"].items() if name not in ("format", "mixlab")}
    files = {name: store.tensors(run.id, name, document) for name in (WEIGHTS, PREDICTIONS)}
    older = name_of(identity)
    store.write_run(older, document | {"id": older, "identity": identity}, files)
    before = store.file(older, RUN).read_bytes()

    (read,) = (one for one in mx.runs(tmp_path) if one.id == older)
    assert (read.format, run.format) == (1, FORMAT)
    assert "format 1, by an older mixlab" in repr(read)
    assert "older mixlab" not in repr(run)
    assert contents(read) | {"id": run.id} == contents(run)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(read.model(images), run.model(images))  # the two differ in memory layout
    assert tiny_run(tmp_path, **given).id == run.id != older
    assert store.file(older, RUN).read_bytes() == before
    store.file(older, RUN).unlink()
    store.write_checkpoint(older, document | {"id": older, "identity": identity}, files[PREDICTIONS])
    with raising(StoreError, older, "is not finished", "format 1"):
        next(one for one in mx.runs(tmp_path) if one.id == older).weights()
