"""Runs that two processes, threads or panels want at once: one trains, and the others wait or are told."""

import multiprocessing
import os
import platform
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from tiny_runs import GIVEN, MIXUP, contents, dataset, net, tiny_run

from mixlab.runs import locks as _locks
from mixlab.runs.run import opened
from mixlab.runs.store import Store, StoreError


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What the tiny run comes to."""
    return contents(tiny_run(tmp_path_factory.mktemp("never")))


def ask(root, said, answers):
    """In another process: ask for the tiny run, and pass on what stderr is told."""
    sys.stderr = SimpleNamespace(write=said.put, flush=lambda: None)
    run = tiny_run(root)
    answers.put((contents(run), run.sessions))


def test_two_processes_train_a_run_once_and_the_second_says_for_whom_it_waits(tmp_path, wanted):
    context = multiprocessing.get_context("spawn")
    said, answers = context.Queue(), context.Queue()
    process = context.Process(target=ask, args=(tmp_path, said, answers))
    with opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN) as training:
        process.start()
        line = said.get(timeout=60)
        assert (
            line == f"mixlab: process {os.getpid()} on {platform.node()} is training run {training.id}; waiting for it"
        )
        for _ in training:
            pass
        mine = training.finish()
    found, sessions = answers.get(timeout=60)
    process.join()
    assert found == contents(mine) == wanted
    assert [(session["pid"], session["epochs"]) for session in sessions] == [(os.getpid(), [0, 3])]
    assert said.get(timeout=60) == "\n"
    assert said.empty()


def test_run_that_this_process_trains_already_is_an_error_and_no_deadlock(tmp_path):
    with opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN) as training:
        with pytest.raises(StoreError) as caught:
            tiny_run(tmp_path)
        assert str(caught.value) == (
            f"run {training.id} is being trained in this process already, by thread 'MainThread': wait for it, or stop "
            "it there"
        )
        seen = []

        def elsewhere():
            with pytest.raises(StoreError):
                tiny_run(tmp_path)
            seen.append(1)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(30)
        assert seen
    assert tiny_run(tmp_path).finished


def hold(root, held, finish, finished, leave):
    """In another process: hold the tiny run, finish it when asked to, and leave it when asked to."""
    with opened(net(), dataset(), MIXUP, root=root, **GIVEN) as training:
        held.set()
        finish.wait(60)
        list(training)
        training.finish()
        finished.set()
        leave.wait(60)


def test_waiting_can_be_given_up_and_a_finished_run_waits_for_nobody(tmp_path, wanted):
    context = multiprocessing.get_context("spawn")
    held, finish, finished, leave = (context.Event() for _ in range(4))
    process = context.Process(target=hold, args=(tmp_path, held, finish, finished, leave))
    process.start()
    assert held.wait(60)
    said = []

    def wait(line):
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    def ask():
        return opened(net(), dataset(), MIXUP, root=tmp_path, wait=wait, **GIVEN)

    with pytest.raises(KeyboardInterrupt), ask():
        pass
    line = f"process {process.pid} on {platform.node()} is training run {wanted['id']}; waiting for it"
    assert said == [line] * 3
    finish.set()
    assert finished.wait(60)
    with ask() as training:
        assert contents(training.finish()) == wanted
    assert len(said) == 3
    assert process.is_alive()
    leave.set()
    process.join()


def test_block_may_be_left_in_another_thread(tmp_path):
    """As a panel's generator is closed by whoever collects it."""
    block = opened(net(), dataset(), MIXUP, root=tmp_path, **GIVEN)
    block.__enter__()
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert tiny_run(tmp_path).finished


def test_unknown_holder_is_another_process(tmp_path, capsys, monkeypatch):
    from filelock import FileLock

    store = Store(tmp_path)
    store.prepare()
    monkeypatch.setattr(_locks, "_PATIENCE", 0.1)
    other, taken = FileLock(tmp_path / "abc.lock", thread_local=False), threading.Event()

    def hold():
        with other:
            taken.set()
            time.sleep(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with _locks.held(store, "abc"):
        assert capsys.readouterr().err == "mixlab: another process is training run abc; waiting for it\n"
    thread.join()
