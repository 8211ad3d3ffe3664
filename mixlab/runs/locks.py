"""One training of a run at a time: between processes by a locked file, which a killed process lets go."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from mixlab.runs.store import BusyError, Store, say, unwritable

_POLL = 0.05  # seconds between two attempts to take the lock
_held: set[Path] = set()  # the lock files that this process holds or waits for
_guard = threading.Lock()


@contextmanager
def held(store: Store, run: str, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a run, so that nobody else trains it. While another process holds it, this one waits.

    At every attempt `wait` is called with a line that says so, and whatever it raises ends the waiting; by default the
    line is printed once, on stderr. Raises BusyError if another part of this process holds the run, or waits for it.
    """
    store.prepare()
    path = store.root / f"{run}.lock"
    with _guard:
        if path in _held:
            raise BusyError(f"this process is training run {run} already: wait for it, or stop it there")
        _held.add(path)
    lock = FileLock(path, thread_local=False)
    try:
        _acquire(lock, wait or cache(say), f"another process is training run {run}; waiting for it")
        yield
    finally:
        lock.release()
        with _guard:
            _held.remove(path)


def _acquire(lock: FileLock, wait: Callable[[str], object], line: str) -> None:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            wait(line)
            time.sleep(_POLL)
        except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
            raise unwritable(Path(lock.lock_file), error) from None
