"""Runs whose process is killed: at every batch, and at every step of every write."""

import io
import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
from paths import SUPPORT
from tiny_runs import contents, tiny_run

from mixlab.training import Trainer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
# What a write does, in its order: half of the bytes, all of them, the new name, and that on disk.
POINTS = ("half", "flushed", "renamed", "flushed")


def train_until(root, epochs, dying_at):
    """Train, and die at that one of all batches and steps of writes."""
    from mixlab import _files

    step = 0

    def die(_):
        nonlocal step
        if step == dying_at:
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1

    real_open, real_replace, real_step = Path.open, Path.replace, Trainer.step

    def take_step(trainer):
        real_step(trainer)
        die("batch")

    class Halves(io.BufferedWriter):
        def write(self, content):
            super().write(content[: len(content) // 2])
            self.flush()
            die("half")
            super().write(content[len(content) // 2 :])

    def opened(path, mode="r", *rest, **named):
        return Halves(io.FileIO(path, mode)) if mode == "wb" else real_open(path, mode, *rest, **named)

    def replace(path, target):
        result = real_replace(path, target)
        die("renamed")
        return result

    Path.open, Path.replace, _files.os.fsync, Trainer.step = opened, replace, lambda _: die("flushed"), take_step
    tiny_run(root, epochs=epochs)


@pytest.fixture(scope="module")
def processes():
    """Processes that start in milliseconds, as one with mixlab loaded is forked; one thread each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(SUPPORT))  # a fork server does not take over sys.path
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pytest", "tiny_runs"])
        yield context


def whole(root, run):
    """That nothing but a whole run and its lock is left."""
    names = ["predictions.safetensors", "run.json", "weights.safetensors"]
    assert sorted(path.name for path in (root / run.id).iterdir()) == names
    assert {path.name for path in root.iterdir()} == {run.id, f"{run.id}.lock"}


def killed(processes, root, epochs, step):
    """Whether a process that trains was killed at that step, and did not come to its end."""
    process = processes.Process(target=train_until, args=(root, epochs, step))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_kill_at_every_batch_and_every_step_of_every_write_loses_nothing(processes, tmp_path):
    wanted = contents(tiny_run(tmp_path / "never", epochs=2))
    for step in itertools.count():
        root = tmp_path / str(step)
        if not killed(processes, root, 2, step):
            break
        run = tiny_run(root, epochs=2)
        assert contents(run) == wanted
        whole(root, run)
    # three batches in each epoch; two checkpoints, weights, predictions, run.json, with their points; two new folders
    assert step == 2 * 3 + 5 * len(POINTS) + 2


def test_run_that_is_killed_again_and_again_is_bit_identical_to_one_that_is_not(processes, tmp_path):
    wanted, kills = contents(tiny_run(tmp_path / "never", epochs=6)), 0
    while killed(processes, tmp_path / "run", 6, 9 + kills):  # an epoch has three batches and a write of four steps
        kills += 1
    run = tiny_run(tmp_path / "run", epochs=6)
    assert contents(run) == wanted
    whole(tmp_path / "run", run)
    # Each epoch was trained by one process, in their order.
    spans = [session["epochs"] for session in run.sessions]
    assert [0, *(end for _, end in spans)] == [*(start for start, _ in spans), 6]
    assert len(spans) > 2
