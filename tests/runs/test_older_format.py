"""Runs that an older mixlab stored: listed as such, read, and left as they are."""

import pytest
import torch

import mixlab as mx
from mixlab.runs.identity import name_of
from mixlab.runs.store import PREDICTIONS, RUN, WEIGHTS, Store

GIVEN = {"epochs": 1, "dtype": torch.float32, "device": "cpu", "progress": False}


@pytest.fixture
def older(tmp_path):
    """A finished run, and the same one as format 1 stored it: under another id, and with no format in its identity."""
    run = mx.run("quick", mx.load("shapes", train_size=20, test_size=10), root=tmp_path, **GIVEN)
    store = Store(tmp_path)
    document, _ = store.head(run.id)
    identity = {name: value for name, value in document["identity"].items() if name not in ("format", "mixlab")}
    files = {name: store.tensors(run.id, name, document) for name in (WEIGHTS, PREDICTIONS)}
    name = name_of(identity)
    store.write_run(name, document | {"id": name, "identity": identity}, files)
    return run, name, store


def test_run_of_an_older_format_is_listed_as_such_and_can_be_read(older):
    run, name, store = older
    (read,) = (one for one in mx.runs(store.root) if one.id == name)
    assert (read.format, run.format) == (1, 2)
    assert "format 1, by an older mixlab" in repr(read)
    assert "older mixlab" not in repr(run)
    assert [record.test_accuracy for record in read.history] == [record.test_accuracy for record in run.history]
    assert torch.equal(read.predictions.logits, run.predictions.logits)
    assert all(torch.equal(value, run.weights()[part]) for part, value in read.weights().items())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(read.model(images), run.model(images))  # the two differ in memory layout


def test_run_of_an_older_format_is_never_written_over(older):
    run, name, store = older
    before = store.file(name, RUN).read_bytes()
    again = mx.run("quick", mx.load("shapes", train_size=20, test_size=10), root=store.root, **GIVEN)
    assert again.id == run.id != name
    assert store.file(name, RUN).read_bytes() == before
