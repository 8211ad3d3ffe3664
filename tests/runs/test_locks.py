"""Runs that two processes, threads or panels want at once: one trains, and the others wait or get an error."""

import multiprocessing
import os
import sys
import threading
from types import SimpleNamespace

import pytest
from tiny_runs import GIVEN, MIXUP, contents, dataset, net, raising, tiny_run

from mixlab.runs import StoreError, opened


def tiny(root, **more):
    return opened(net(), dataset(), MIXUP, root=root, **GIVEN, **more)


def ask(root, said, answers):
    """In another process: ask for the tiny run, and pass on what stderr is told."""
    sys.stderr = SimpleNamespace(write=said.put, flush=lambda: None)
    run = tiny_run(root)
    answers.put((contents(run), run.sessions))


def test_two_processes_train_a_run_once_and_the_second_says_that_it_waits(tmp_path, wanted):
    context = multiprocessing.get_context("spawn")
    said, answers = context.Queue(), context.Queue()
    process = context.Process(target=ask, args=(tmp_path, said, answers))
    with tiny(tmp_path) as training:
        process.start()
        assert said.get(timeout=60) == f"mixlab: another process is training run {training.id}; waiting for it"
        list(training)
        mine = training.finish()
    theirs, sessions = answers.get(timeout=60)
    process.join()
    assert theirs == contents(mine) == wanted
    assert [(session["pid"], session["epochs"]) for session in sessions] == [(os.getpid(), [0, 3])]
    assert said.get(timeout=60) == "\n"
    assert said.empty()


def test_run_that_this_process_trains_already_is_an_error_and_no_deadlock(tmp_path):
    with tiny(tmp_path) as training:
        with raising(StoreError, "this process is training run", training.id):
            tiny_run(tmp_path)
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
    with tiny(root) as training:
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
    lines = []

    def wait(line):
        lines.append(line)
        if len(lines) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tiny(tmp_path, wait=wait):
        pass
    assert lines == [f"another process is training run {wanted['id']}; waiting for it"] * 3
    finish.set()
    assert finished.wait(60)
    with tiny(tmp_path, wait=wait) as training:
        assert contents(training.finish()) == wanted
    assert len(lines) == 3
    assert process.is_alive()
    leave.set()
    process.join()


def test_block_may_be_left_in_another_thread(tmp_path):
    """As a panel's generator is closed by whoever collects it."""
    block = tiny(tmp_path)
    block.__enter__()
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert tiny_run(tmp_path).finished
