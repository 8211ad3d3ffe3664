"""What tests of sweeps watch, and how they hold a worker at a place where it can be killed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import mixlab as mx
from mixlab.runs import Run

T = TypeVar("T")
WAIT = 60.0  # seconds after which something hangs


def until(look: Callable[[], T]) -> T:
    """What `look` sees, as soon as it is something."""
    deadline = time.monotonic() + WAIT
    while not (found := look()):
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)
    return found


def at_work(root: Path) -> list[tuple[str, int]]:
    """Unfinished runs of which an epoch is stored, and the process that trained it."""
    return [(run.id, run.sessions[-1]["pid"]) for run in mx.runs(root) if not run.finished]


def trained_epochs(run: Run) -> list[int]:
    """The epochs that its sessions trained, in their order."""
    return [epoch for session in run.sessions for epoch in range(*session["epochs"])]


def held(gate: Path, first: int = 0) -> Callable[..., Any]:
    """In place of `mixlab.runs.workers._there`: the runs from number `first` on go no further than
    their first checkpoint while the file `gate` is there. What a test does meanwhile can take as long as it likes.

    A function within one, as these travel to other processes by value: workers need not find this file.
    """
    gate.touch()

    def trained(place: int, *arguments: Any) -> Any:
        from mixlab.runs import workers
        from mixlab.runs.store import Store

        write = Store.write_checkpoint

        def write_and_wait(*given: Any) -> None:
            write(*given)
            end = time.monotonic() + 2 * WAIT  # only so that no process stays for ever
            while place >= first and gate.exists() and time.monotonic() < end:
                time.sleep(0.01)

        Store.write_checkpoint = write_and_wait  # type: ignore[method-assign]
        try:
            return workers._there(place, *arguments)
        finally:
            Store.write_checkpoint = write  # type: ignore[method-assign]

    return trained
