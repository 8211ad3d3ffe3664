"""Sweeps on a real Dask cluster of two worker processes: workers that die, a scheduler that goes away."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pytest
import torch
from distributed import Client, LocalCluster
from sweeps import WAIT, at_work, held, trained_epochs, until

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.runs import cluster as clusters
from mixlab.runs import sweep as sweeping
from mixlab.runs.shared_data import opened_data, shared
from mixlab.runs.store import Store, StoreError
from mixlab.runs.stored import Run
from mixlab.runs.sweep import SweepError

BATCH = {"batch_size": 20, "dtype": torch.float32}


def local_cluster(folder: Path, workers: int = 2) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        local_directory=str(folder),
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster.scheduler_address, set_as_default=False) as found:
        yield found


@pytest.fixture(scope="module")
def data() -> Dataset:
    return mx.load("shapes", train_size=40, test_size=20)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Dask sets it for its workers


class InThread(threading.Thread):
    """A sweep that may hang: its runs, or its error, after at most WAIT seconds."""

    def __init__(self, runs: Iterator[Run]) -> None:
        super().__init__(daemon=True)
        self.left, self.runs, self.error = runs, [], None
        self.start()

    def run(self) -> None:
        try:
            for found in self.left:
                self.runs.append(found)
        except SweepError as error:
            self.error = error

    def ended(self) -> "InThread":
        self.join(WAIT)
        assert not self.is_alive(), f"the sweep hangs after {len(self.runs)} runs"
        return self


def test_a_worker_killed_in_the_middle_costs_nothing_that_was_stored(client, data, tmp_path, monkeypatch):
    root, epochs, gate = tmp_path / "runs", 4, tmp_path / "gate"
    monkeypatch.setattr(sweeping, "_trained_elsewhere", held(gate))
    sweep = InThread(
        mx.sweep(
            {"variant": ["none", "mixup"], "seed": range(2)}, data, epochs=epochs, cluster=client, root=root, **BATCH
        )
    )
    killed, pid = until(lambda: at_work(root))[0]
    os.kill(pid, signal.SIGKILL)
    gate.unlink()
    runs = sweep.ended().runs
    assert sweep.error is None
    assert len({run.id for run in runs}) == len(runs) == len(mx.runs(root)) == 4
    for run in runs:
        assert run.finished
        assert trained_epochs(run) == list(range(epochs))  # every one, none twice
        assert len({session["pid"] for session in run.sessions}) == len(run.sessions)
        assert os.getpid() not in {session["pid"] for session in run.sessions}
    assert [run.id for run in runs if len(run.sessions) == 2] == [killed]
    (run,) = [run for run in runs if run.id == killed]
    assert run.sessions[0]["pid"] == pid
    whole = mx.run(
        "quick",
        data,
        mx.Mixer(run.settings["variant"]),
        epochs=epochs,
        seed=run.settings["seed"],
        root=tmp_path / "whole",
        progress=False,
        **BATCH,
    )
    assert whole.id == run.id
    assert len(whole.sessions) == 1
    assert [record.test_nll for record in whole.history] == [record.test_nll for record in run.history]
    for name, tensor in whole.weights().items():
        assert torch.equal(tensor, run.weights()[name])


def test_a_scheduler_that_is_closed_ends_the_sweep_with_an_error_and_the_same_call_goes_on(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "_trained_elsewhere", held(tmp_path / "gate", first=2))
    root = tmp_path / "runs"
    short: dict[str, Any] = {"learning_rate": [0.1], "epochs": [2], "seed": range(2)}
    cluster = local_cluster(tmp_path)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        sweep = InThread(mx.sweep([short, {"epochs": [4]}], data, cluster=client, root=root, **BATCH))
        until(lambda: len(sweep.runs) == 2 and at_work(root))
        cluster.close()
        assert sweep.ended().error is not None
    assert isinstance(sweep.error, SweepError)
    reason = "its scheduler was closed, or dropped what it was given"
    done = "2 of 3 runs are finished, and the same call goes on from there"
    assert str(sweep.error) == f"the cluster gave up ({reason}); {done}"
    (unfinished,) = [run for run in mx.runs(root) if not run.finished]
    assert len(unfinished.history) == 1
    first = {run.id: run.sessions for run in sweep.runs}
    assert {run.id: run.sessions for run in mx.sweep(short, data, root=root, progress=False, **BATCH)} == first


def test_what_concerns_the_workers_is_the_same_as_in_one_process(client, cluster, data, tmp_path):
    """The same runs to the bit, one failure among them, by the cluster's address."""
    grid = {"learning_rate": [0.1, 1e6], "variant": ["mixup"]}
    sweep = InThread(mx.sweep(grid, data, epochs=2, cluster=cluster.scheduler_address, root=tmp_path / "a", **BATCH))
    (run,) = sweep.ended().runs
    assert run.sessions[0]["pid"] != os.getpid()
    here = mx.sweep(grid, data, epochs=2, root=tmp_path / "b", progress=False, **BATCH)
    same = next(here)
    assert (same.id, same.history[-1].test_nll) == (run.id, run.history[-1].test_nll)
    with pytest.raises(SweepError) as raised:
        next(here)
    assert str(sweep.error) == str(raised.value)


def test_leaving_the_loop_takes_back_what_no_worker_has_begun(client, data, tmp_path, monkeypatch):
    root, gate = tmp_path / "runs", tmp_path / "gate"
    monkeypatch.setattr(sweeping, "_trained_elsewhere", held(gate, first=1))
    sweep = mx.sweep({"seed": range(12)}, data, epochs=3, cluster=client, root=root, progress=False, **BATCH)
    first = next(sweep)
    until(lambda: len(at_work(root)) == 2)
    begun = [run for run, _ in at_work(root)]
    sweep.close()
    until(lambda: client.run_on_scheduler(left_to_do) == 0)
    gate.unlink()
    until(lambda: not list(root.glob("*.owner")))
    assert {run.id: run.finished for run in mx.runs(root)} == dict.fromkeys({first.id, *begun}, True)


def left_to_do(dask_scheduler: Any) -> int:
    """Tasks that the scheduler has still to see the end of."""
    return sum(task.state not in ("memory", "released", "forgotten") for task in dask_scheduler.tasks.values())


def test_a_cluster_without_workers_is_waited_for_and_not_for_ever(data, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 2.0)
    with local_cluster(tmp_path, workers=0) as empty, Client(empty.scheduler_address, set_as_default=False) as client:
        sweep = InThread(mx.sweep({"seed": [0]}, data, epochs=1, cluster=client, root=tmp_path, **BATCH)).ended()
    done = "0 of 1 runs are finished, and the same call goes on from there"
    assert str(sweep.error) == f"the cluster gave up (it has had no workers for 2 s); {done}"


def test_a_run_that_dask_gives_up_is_an_error(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "_trained_elsewhere", held(tmp_path / "gate"))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(tmp_path, workers=1) as lone,
        Client(lone.scheduler_address, set_as_default=False) as client,
    ):
        sweep = InThread(mx.sweep({"seed": [0]}, data, epochs=3, cluster=client, root=tmp_path, **BATCH))
        os.kill(until(lambda: at_work(tmp_path))[0][1], signal.SIGKILL)
        sweep.ended()
    assert str(sweep.error).startswith("the cluster gave up (Attempted to run task ")
    assert str(sweep.error).endswith("; 0 of 1 runs are finished, and the same call goes on from there")


def test_a_worker_that_does_not_see_the_store_says_so(tmp_path, data):
    where = shared(data, Store(tmp_path))
    where.path.unlink()
    with pytest.raises(StoreError) as raised:
        opened_data(where)
    assert str(raised.value).startswith(f"{where.path} cannot be read by this worker (")
    assert str(raised.value).endswith("): root must be a folder that all workers see")


def test_what_is_no_cluster_is_named(client, cluster, data, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "ANSWER", 0.2)
    wanted = "cluster must be a dask.distributed.Client or the address of a scheduler, got "

    def said(error: type[Exception], **arguments: Any) -> str:
        with pytest.raises(error) as raised:
            mx.sweep({"seed": [0]}, data, epochs=1, root=tmp_path / "runs", **arguments)
        return str(raised.value)

    assert said(TypeError, cluster=3) == f"{wanted}3"
    assert said(ConnectionError, cluster="tcp://127.0.0.1:1").startswith(
        f"{wanted}'tcp://127.0.0.1:1', where none answers ("
    )
    assert said(ValueError, cluster=client, jobs=2) == (
        "jobs must be left at 1 where cluster is given, whose workers count, got 2"
    )

    async def awaited() -> str:
        async with Client(cluster.scheduler_address, set_as_default=False, asynchronous=True) as found:
            return said(TypeError, cluster=found)

    with ThreadPoolExecutor(1) as thread:  # as playwright's loop runs in this one once a browser was opened
        assert thread.submit(lambda: asyncio.run(awaited())).result() == f"{wanted}a Client with asynchronous=True"
    closed = Client(cluster.scheduler_address, set_as_default=False)
    closed.close()
    assert said(ConnectionError, cluster=closed) == f"{wanted}a Client that is closed"
    assert not (tmp_path / "runs").exists()


def test_without_dask_the_error_says_what_to_install(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "mixlab.runs.cluster")
    with pytest.raises(ImportError) as raised:
        mx.sweep({"seed": [0]}, data, epochs=1, cluster="tcp://127.0.0.1:1", root=tmp_path)
    assert str(raised.value) == 'cluster needs dask and distributed: pip install "mixlab[cluster]"'


def test_a_client_made_from_an_address_ends_with_the_sweep(cluster, data, tmp_path, monkeypatch):
    made: list[Client] = []

    def connected(address: Any) -> tuple[Client, bool]:
        found = clusters.connected(address)
        made.append(found[0])
        return found

    monkeypatch.setattr(sweeping, "_connected", connected)
    given = {"epochs": 1, "cluster": cluster.scheduler_address, "progress": False, **BATCH}
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        mx.sweep({"seed": [0]}, data, root=tmp_path / "file", **given)
    assert made[0].status == "closed"

    runs = mx.sweep({"seed": [0]}, data, root=tmp_path / "runs", **given)
    assert made[1].status == "running"
    del runs  # never begun
    gc.collect()
    assert made[1].status == "closed"

    runs = mx.sweep({"seed": [0]}, data, root=tmp_path / "runs", **given)
    assert len(list(runs)) == 1
    assert made[2].status == "closed"  # though the iterator is still here
