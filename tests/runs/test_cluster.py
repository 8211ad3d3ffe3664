"""Sweeps on a real Dask cluster of two worker processes: workers that die, a scheduler that goes away."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pytest
import torch
from distributed import Client, LocalCluster
from sweeps import WAIT, at_work, held, trained_epochs, until
from tiny_runs import raising

import mixlab as mx
from mixlab.runs import Run, StoreError, SweepError, workers
from mixlab.runs import cluster as clusters

BATCH = {"batch_size": 20, "dtype": torch.float32}
pytestmark = pytest.mark.usefixtures("one_thread")


def local_cluster(folder: Path, count: int = 2) -> LocalCluster:
    where = {"dashboard_address": ":0", "local_directory": str(folder)}
    return LocalCluster(n_workers=count, threads_per_worker=1, processes=True, **where)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster.scheduler_address, set_as_default=False) as found:
        yield found


def in_thread(sweep: Iterator[Run]) -> tuple[list[Run], Future[None]]:
    """The runs of a sweep that may hang, as they come, and its end."""
    runs: list[Run] = []
    return runs, ThreadPoolExecutor(1).submit(runs.extend, sweep)


def test_a_worker_killed_in_the_middle_costs_nothing_that_was_stored(client, data, tmp_path, monkeypatch):
    root, gate, given = tmp_path / "runs", tmp_path / "gate", {"epochs": 3, **BATCH}
    monkeypatch.setattr(workers, "_there", held(gate))
    sweep = mx.sweep({"variant": ["none", "mixup"], "seed": [4]}, data, cluster=client, root=root, **given)
    runs, end = in_thread(sweep)
    killed, pid = until(lambda: at_work(root))[0]
    os.kill(pid, signal.SIGKILL)
    gate.unlink()
    end.result(WAIT)
    assert len({run.id for run in runs}) == len(runs) == len(mx.runs(root)) == 2
    for run in runs:
        assert run.finished
        assert trained_epochs(run) == list(range(3))  # every one, none twice
        assert os.getpid() not in {session["pid"] for session in run.sessions}
    (run,) = [run for run in runs if len(run.sessions) == 2]
    assert run.id == killed
    assert run.sessions[0]["pid"] == pid
    grid = {"variant": [run.settings["variant"]], "seed": [4]}
    (whole,) = mx.sweep(grid, data, root=tmp_path / "whole", progress=False, **given)
    assert whole.id == run.id
    assert [record.test_nll for record in whole.history] == [record.test_nll for record in run.history]
    for name, tensor in whole.weights().items():
        assert torch.equal(tensor, run.weights()[name])


def test_the_data_outlives_the_only_worker_that_holds_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate"))
    with local_cluster(tmp_path, count=1) as lone, Client(lone.scheduler_address, set_as_default=False) as client:
        runs, end = in_thread(mx.sweep({"seed": [0, 1]}, data, epochs=2, cluster=client, root=tmp_path, **BATCH))
        os.kill(until(lambda: at_work(tmp_path))[0][1], signal.SIGKILL)
        (tmp_path / "gate").unlink()
        end.result(WAIT)
    assert sorted(len(run.sessions) for run in runs) == [1, 2]


def test_a_scheduler_that_is_closed_ends_the_sweep_with_an_error_and_the_same_call_goes_on(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate", first=2))
    root = tmp_path / "runs"
    short: dict[str, Any] = {"learning_rate": [0.1], "epochs": [2], "seed": range(2)}
    cluster = local_cluster(tmp_path)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        runs, end = in_thread(mx.sweep([short, {"epochs": [4]}], data, cluster=client, root=root, **BATCH))
        until(lambda: len(runs) == 2 and at_work(root))
        cluster.close()
        with raising(SweepError, "2 of 3 runs are finished", "the cluster's scheduler was closed"):
            end.result(WAIT)
    (unfinished,) = [run for run in mx.runs(root) if not run.finished]
    assert len(unfinished.history) == 1
    first = {run.id: run.sessions for run in runs}
    assert {run.id: run.sessions for run in mx.sweep(short, data, root=root, progress=False, **BATCH)} == first


def test_leaving_the_loop_takes_back_what_no_worker_has_begun(client, data, tmp_path, monkeypatch):
    root, gate = tmp_path / "runs", tmp_path / "gate"
    monkeypatch.setattr(workers, "_there", held(gate, first=1))
    sweep = mx.sweep({"seed": range(12)}, data, epochs=3, cluster=client, root=root, progress=False, **BATCH)
    first = next(sweep)
    until(lambda: len(at_work(root)) == 2)
    begun = [run for run, _ in at_work(root)]
    sweep.close()
    until(lambda: client.run_on_scheduler(left_to_do) == 0)
    gate.unlink()
    until(lambda: not at_work(root))
    assert {run.id: run.finished for run in mx.runs(root)} == dict.fromkeys({first.id, *begun}, True)


def left_to_do(dask_scheduler: Any) -> int:
    """Tasks that the scheduler has still to see the end of."""
    return sum(task.state not in ("memory", "released", "forgotten") for task in dask_scheduler.tasks.values())


def test_a_cluster_without_workers_is_waited_for_and_not_for_ever(data, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 2.0)
    with local_cluster(tmp_path, count=0) as empty, Client(empty.scheduler_address, set_as_default=False) as client:
        _, end = in_thread(mx.sweep({"seed": [0]}, data, epochs=1, cluster=client, root=tmp_path, **BATCH))
        with raising(SweepError, "0 of 1 runs are finished", "workers arrived after 2"):
            end.result(WAIT)


def test_a_cluster_that_loses_its_workers_is_an_error(client, data, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 2.0)
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate"))
    _, end = in_thread(mx.sweep({"seed": [0]}, data, epochs=2, cluster=client, root=tmp_path / "runs", **BATCH))
    until(lambda: at_work(tmp_path / "runs"))
    monkeypatch.setattr(client, "ncores", dict)
    with raising(SweepError, "0 of 1 runs are finished", "no workers for 2 s"):
        end.result(WAIT)
    (tmp_path / "gate").unlink()


def test_a_run_that_dask_gives_up_is_an_error(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate"))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(tmp_path, count=1) as lone,
        Client(lone.scheduler_address, set_as_default=False) as client,
    ):
        _, end = in_thread(mx.sweep({"seed": [0]}, data, epochs=3, cluster=client, root=tmp_path, **BATCH))
        os.kill(until(lambda: at_work(tmp_path))[0][1], signal.SIGKILL)
        with raising(SweepError, "0 of 1 runs are finished"):
            end.result(WAIT)


def test_a_cluster_whose_workers_write_elsewhere_is_named(client, data, tmp_path, monkeypatch):
    def trained(place: int, *_: Any) -> Any:
        return place, "0" * 16, ""

    monkeypatch.setattr(workers, "_there", trained)
    with raising(StoreError, "0" * 16, str(tmp_path), "root must be a folder that all workers see"):
        list(mx.sweep({"seed": [0]}, data, epochs=1, cluster=client, root=tmp_path, progress=False, **BATCH))


def test_what_is_no_cluster_is_named(client, cluster, data, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "ANSWER", 0.2)
    closed = Client(cluster.scheduler_address, set_as_default=False)
    closed.close()
    for error, given, word in (
        (TypeError, {"cluster": 3}, "cluster must be a dask.distributed.Client or the address of a scheduler, got 3"),
        (ConnectionError, {"cluster": "tcp://127.0.0.1:1"}, "cluster must be a dask.distributed.Client or the address"),
        (ConnectionError, {"cluster": closed}, "got a Client that is closed"),
        (ValueError, {"cluster": client, "jobs": 2}, "jobs must be left at 1"),
    ):
        with raising(error, word):
            mx.sweep({"seed": [0]}, data, epochs=1, root=tmp_path / "runs", **given)
    assert not (tmp_path / "runs").exists()


def test_without_dask_the_error_says_what_to_install(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "mixlab.runs.cluster")
    with raising(ImportError, 'pip install "mixlab[cluster]"'):
        mx.sweep({"seed": [0]}, data, epochs=1, cluster="tcp://127.0.0.1:1", root=tmp_path)


def test_a_client_made_from_an_address_ends_with_the_sweep(cluster, data, tmp_path, monkeypatch):
    made: list[Client] = []

    class Noted(Client):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    monkeypatch.setattr(clusters, "Client", Noted)
    given = {"epochs": 1, "cluster": cluster.scheduler_address, "progress": False, **BATCH}
    runs = mx.sweep({"seed": range(2)}, data, root=tmp_path, **given)
    next(runs)
    assert [client.status for client in made] == ["closed", "running"]
    runs.close()
    assert made[1].status == "closed"
