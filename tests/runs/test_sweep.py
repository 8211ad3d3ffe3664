"""Sweeps in this process and over its cores."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import SUPPORT
from sweeps import WAIT, at_work, held, trained_epochs, until
from tiny_runs import raising

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.runs import StoreError, SweepError, opened, workers
from mixlab.training import Trainer

FLAT = {"batch_size": 20, "dtype": torch.float32}
SWEEP = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a suite in the background ignores
import torch, mixlab as mx
from mixlab.runs import workers
sys.path.append(sys.argv[2])
from sweeps import held
workers._there = held(pathlib.Path(sys.argv[3]))
data = mx.load("shapes", train_size=40, test_size=20)
list(mx.sweep({"seed": range(3)}, data, epochs=3, batch_size=20, dtype=torch.float32, jobs=2, root=sys.argv[1]))
"""


pytestmark = pytest.mark.usefixtures("one_thread")


def sweep(grid: Any, data: Dataset, root: Path, **given: Any) -> Any:
    return mx.sweep(grid, data, root=root, **FLAT | {"progress": False, "epochs": 2} | given)


def test_each_run_is_what_fit_trains_and_is_found_again(data, tmp_path, monkeypatch):
    grid = {"variant": ["none", "mixup"], "alpha": [0.3], "seed": [5]}
    runs = list(sweep(grid, data, tmp_path))
    assert [run.settings["variant"] for run in runs] == ["none", "mixup"]
    for run, mixer in zip(runs, [mx.Mixer("none"), mx.Mixer("mixup", alpha=0.3)], strict=True):
        model = mx.models.quick(10, seed=5)
        for mine, record in zip(mx.fit(model, data, mixer, epochs=2, seed=5, **FLAT), run.history, strict=True):
            assert (mine.test_nll, mine.train_loss) == (record.test_nll, record.train_loss)
        assert all(torch.equal(tensor, run.weights()[name]) for name, tensor in model.state_dict().items())

    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("trained again"))
    again = list(sweep(grid, data, tmp_path))
    assert [(run.id, run.sessions) for run in again] == [(run.id, run.sessions) for run in runs]


def test_nothing_is_trained_before_it_is_asked_for_or_after_the_loop_is_left(data, tmp_path):
    runs = sweep({"seed": range(3)}, data, tmp_path)
    assert len(mx.runs(tmp_path)) == 0
    first = next(runs)
    runs.close()
    assert [run.id for run in mx.runs(tmp_path)] == [first.id]
    again = {run.id: run.sessions for run in sweep({"seed": range(3)}, data, tmp_path)}
    assert len(again) == 3
    assert again[first.id] == first.sessions


def test_a_run_that_fails_does_not_stop_the_others(data, tmp_path):
    grid = {"learning_rate": [1e6, 0.1, 0.2]}
    runs = sweep(grid, data, tmp_path, variant="mixup")
    assert [next(runs).settings["learning_rate"] for _ in range(2)] == [0.1, 0.2]
    with raising(SweepError, "2 of 3 runs", "mixup, learning_rate=1000000.0: FloatingPointError: ", "no longer finite"):
        next(runs)


def test_what_is_wrong_with_the_store_ends_the_sweep_at_once(data, tmp_path):
    root = tmp_path / "runs"
    runs = sweep({"seed": range(2)}, data, root)
    root.rmdir()
    root.write_text("")
    with raising(StoreError, str(root)):
        next(runs)
    with raising(StoreError, f"{root} cannot be written"):  # and of another sweep at the call
        sweep({"seed": [0]}, data, root)


def test_a_run_that_a_panel_is_at_work_on_does_not_stop_the_others(data, tmp_path):
    with opened("quick", data, epochs=2, root=tmp_path, **FLAT) as panel:
        runs = sweep({"seed": range(3)}, data, tmp_path)
        assert [next(runs).settings["seed"] for _ in range(2)] == [1, 2]
        with raising(SweepError, "2 of 3 runs", "none, seed=0: BusyError: ", panel.id):
            next(runs)
    assert [run.settings["seed"] for run in sweep({"seed": range(3)}, data, tmp_path)] == [0, 1, 2]


def test_the_bar_counts_runs_and_says_what_is_under_way(data, tmp_path, capsys):
    list(sweep({"seed": range(2)}, data, tmp_path, progress=True))
    said = capsys.readouterr().err
    assert "0/2" in said
    assert "seed=0" in said
    assert "2/2" in said
    list(sweep({"seed": range(2)}, data, tmp_path))
    assert capsys.readouterr() == ("", "")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_large_images_are_mapped_by_the_workers_and_not_sent(tmp_path, monkeypatch):
    """A file of joblib's, of which a worker's pages are the machine's."""

    def trained(place: int, plan: Any, name: str, classes: Any, arrays: Any, root: Path, *_: Any) -> Any:
        return place, "", f"{[type(array).__name__ for array in arrays]}"

    monkeypatch.setattr(workers, "_there", trained)
    large = mx.load("shapes", train_size=400, test_size=20)  # 1.2 MB of training images
    with raising(SweepError, "none, seed=0: ['memmap', 'ndarray', 'ndarray', 'ndarray']"):
        list(sweep({"seed": range(2)}, large, tmp_path, jobs=2))


def test_over_cores_runs_have_the_same_bits_where_threads_are_the_same(data, tmp_path, monkeypatch):
    """Two threads for two workers are one each; a run that fails there stops no other; idle workers end."""
    monkeypatch.setattr(workers, "IDLE", 1.0)
    grid = {"variant": ["none", "mixup"], "seed": [3]}
    here = {run.id: run for run in sweep(grid, data, tmp_path / "here")}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    failing = {"learning_rate": [1e6], "variant": ["mixup"]}
    runs, there = sweep([grid, failing], data, tmp_path / "there", jobs=2), {}
    with raising(SweepError, "2 of 3 runs are finished", "learning_rate=1000000.0: FloatingPoint"):
        for run in runs:
            there[run.id] = run
    assert there.keys() == here.keys()
    for found, run in there.items():
        assert [session["threads"] for session in run.sessions] == [1]
        assert run.sessions[0]["pid"] != os.getpid()
        assert [record.test_nll for record in run.history] == [record.test_nll for record in here[found].history]
        assert all(torch.equal(tensor, run.weights()[name]) for name, tensor in here[found].weights().items())
    until(lambda: not any(alive(run.sessions[0]["pid"]) for run in there.values()))


def test_leaving_the_loop_ends_the_workers_and_keeps_what_is_stored(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate", first=1))
    grid = [{"epochs": [1]}, {"epochs": [3], "seed": range(3)}]
    runs = sweep(grid, data, tmp_path, jobs=2)
    first = next(runs)
    found = until(lambda: at_work(tmp_path))
    runs.close()
    until(lambda: not any(alive(pid) for _, pid in found))
    stored = {run.id: run for run in mx.runs(tmp_path)}
    assert stored.pop(first.id).finished
    assert 1 <= len(stored) <= 2  # the last was never begun
    assert all(not run.finished and len(run.history) <= 1 for run in stored.values())


def test_a_worker_that_is_killed_is_an_error_and_the_same_call_goes_on(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_there", held(tmp_path / "gate"))
    grid = {"epochs": [3], "seed": range(2)}

    def kill() -> str:
        run, pid = until(lambda: at_work(tmp_path))[0]
        os.kill(pid, signal.SIGKILL)
        return run

    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(kill)
        with raising(SweepError, "0 of 2 runs are finished", "A worker process", "unexpectedly terminated"):
            list(sweep(grid, data, tmp_path, jobs=2))
    again = list(sweep(grid, data, tmp_path))
    assert all(trained_epochs(run) == list(range(3)) for run in again)
    assert {run.id: len(run.sessions) for run in again}[killed.result()] == 2


@pytest.mark.parametrize("end", ["Ctrl-C, as a terminal sends it to all", "kill -9 of the program alone"])
def test_workers_end_with_the_program_and_the_store_stays_whole(tmp_path, end):
    command = [sys.executable, "-c", SWEEP, str(tmp_path), str(SUPPORT), str(tmp_path / "gate")]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def begun() -> list[tuple[str, int]]:
        assert program.poll() is None, program.communicate()[1]
        return at_work(tmp_path)

    found = until(begun)
    if end.startswith("Ctrl-C"):
        os.killpg(program.pid, signal.SIGINT)
    else:
        program.kill()
    _, said = program.communicate(timeout=WAIT)  # until the last worker has closed its end
    assert program.returncode != 0
    assert ("KeyboardInterrupt" in said) is end.startswith("Ctrl-C")
    until(lambda: not any(alive(pid) for _, pid in found))
    stored = mx.runs(tmp_path)
    assert 1 <= len(stored) <= 2
    assert all(not run.finished and run.fault is None and run.history for run in stored)
