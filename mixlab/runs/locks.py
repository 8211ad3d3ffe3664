"""One at a time: between processes by a locked file, which a killed process lets go, and within one by a table."""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mixlab.runs.store import BusyError, Store, say

_POLL = 0.05  # seconds between two looks at a lock that somebody has
_PATIENCE = 2.0  # seconds in which whoever has just taken it will have written who it is
_here: dict[tuple[int, Path], str] = {}  # (process, lock file) -> thread
_guard = threading.Lock()


@contextmanager
def held(store: Store, run: str, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a run: nobody else trains it meanwhile. While another process has it, this one waits.

    `wait` is called with a line that says for whom, at every look at the lock, and whatever it raises ends the waiting;
    by default the line is printed once, on stderr.

    Raises:
        BusyError: another part of this process has it, or waits for it.
        StoreError: the store's folder takes no file.
    """
    path = store.root / f"{run}.lock"
    key = (os.getpid(), path)
    with _guard:
        if key in _here:
            raise BusyError(
                f"run {run} is being trained in this process already, by thread {_here[key]!r}: wait for it, or stop "
                "it there"
            )
        _here[key] = threading.current_thread().name
    lock, owner = FileLock(path, thread_local=False), store.owner(run)
    try:
        try:
            _acquire(lock, owner, run, wait)
            owner.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
        except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
            raise store.unwritable(path, error) from None
        try:
            yield
        finally:
            with suppress(OSError):
                owner.unlink(missing_ok=True)
    finally:
        lock.release()
        with _guard:
            del _here[key]


def _acquire(lock: FileLock, owner: Path, run: str, wait: Callable[[str], object] | None) -> None:
    began, told = time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            who = _read(owner)
        line = f"{who or 'another process'} is training run {run}; waiting for it"
        if wait is not None:
            wait(line)
        elif not told and (who or time.monotonic() - began > _PATIENCE):
            say(line)
            told = True
        time.sleep(_POLL)


def _read(owner: Path) -> str:
    """Who has it, or nothing, if that is not (or not yet wholly) written."""
    try:
        found = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {int(found['pid'])} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
