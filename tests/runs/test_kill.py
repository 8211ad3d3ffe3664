"""Runs whose process is killed: at random moments, and at every step of every write."""

import itertools
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from paths import SUPPORT
from tiny_runs import contents, tiny_run

import mixlab as mx

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
EPOCHS, KILLS = 16, 10
# What a write does, in its order: half of the bytes, all of them, the new name, and that on disk.
POINTS = ("half", "flushed", "renamed", "flushed")


def train(root, epochs, writes):
    """What a victim does: it counts its writes, and half of its time, and so half of the kills, falls into them."""
    real, last = os.fsync, time.monotonic()

    def fsync(file):
        nonlocal last
        writes.value += 1
        time.sleep(min(time.monotonic() - last, 0.05))
        real(file)
        last = time.monotonic()

    os.fsync = fsync
    tiny_run(root, epochs=epochs)


def train_until(root, epochs, dying_at):
    """Train, and die at that step of all the steps of all writes."""
    from mixlab import _files

    step = 0

    def die(point):
        nonlocal step
        if step == dying_at:
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1

    def fsync(file):
        die("flushed")

    real_open, real_replace = Path.open, Path.replace

    class Halves:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            die("half")
            self.file.write(content[len(content) // 2 :])

        def __getattr__(self, name):
            return getattr(self.file, name)

    def opened(path, mode="r", *rest, **named):
        file = real_open(path, mode, *rest, **named)
        return Halves(file) if mode == "wb" else file

    def replace(path, target):
        result = real_replace(path, target)
        die("renamed")
        return result

    Path.open, Path.replace, _files.os.fsync = opened, replace, fsync
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


def test_run_that_is_killed_at_random_moments_is_bit_identical_to_one_that_is_not(processes, tmp_path):
    wanted, draw = contents(tiny_run(tmp_path / "never", epochs=EPOCHS)), random.Random(0)
    kills, resumed, root = 0, 0, tmp_path / "0"
    while kills < KILLS:
        writes = processes.Value("i", 0)
        process = processes.Process(target=train, args=(root, EPOCHS, writes))
        process.start()
        wait_for = draw.randrange(10)
        while writes.value < wait_for and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        kills += process.exitcode == -signal.SIGKILL
        found = mx.runs(root)
        if found and found[0].finished:
            assert contents(found[0]) == wanted
            resumed += len(found[0].sessions) - 1
            root = tmp_path / str(kills)
    run = tiny_run(root, epochs=EPOCHS)
    assert contents(run) == wanted
    whole(root, run)
    assert resumed + len(run.sessions) - 1 > 0
    # Each epoch was trained by one process, in their order.
    spans = [session["epochs"] for session in run.sessions]
    assert [0, *(end for _, end in spans)] == [*(start for start, _ in spans), EPOCHS]


def test_kill_at_every_step_of_every_write_loses_nothing(processes, tmp_path):
    wanted = contents(tiny_run(tmp_path / "never", epochs=2))
    for step in itertools.count():
        root = tmp_path / str(step)
        process = processes.Process(target=train_until, args=(root, 2, step))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        run = tiny_run(root, epochs=2)
        assert contents(run) == wanted
        whole(root, run)
    # two checkpoints, weights, predictions, run.json; each with its points; and two new folders
    assert step == 5 * len(POINTS) + 2
