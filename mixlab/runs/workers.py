"""The plans of a grid, handed out to whoever does the work: this process, this machine's cores, or a Dask cluster."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from mixlab import _check
from mixlab.data.dataset import Dataset, Split
from mixlab.machine import torch_threads
from mixlab.runs.grid import Planned

T = TypeVar("T")
Task = Callable[[int, Planned, Dataset, Path], T]
"""Does something with one plan, its place among the plans, the data and a folder: a function of a module."""
IDLE = 2.0  # seconds after which a process without work ends: each holds hundreds of MB
Arrays = list[Any]  # the images and labels of both splits, as joblib maps arrays and not tensors

in_turn = threading.Lock()  # a worker with several threads trains one run at a time: torch's state is the process's


def check_jobs(jobs: Any, cluster: Any, most: int) -> int:
    """How many of so many tasks are done at a time, by `jobs` processes of this machine or by a cluster's workers.

    Raises TypeError or ValueError for what is neither, ImportError if dask is not installed, and ConnectionError if no
    scheduler answers.
    """
    count = _check.integer("jobs", jobs, 1)
    if cluster is None:
        return min(count, most)
    if count > 1:
        raise ValueError(f"jobs must be left at 1 where cluster is given, whose workers count, got {count}")
    try:
        from mixlab.runs.cluster import connected
    except ImportError:
        raise ImportError('cluster needs dask and distributed: pip install "mixlab[cluster]"') from None
    with connected(cluster) as client:
        workers: int = len(client.ncores())  # type: ignore[no-untyped-call]
        return workers


def by_workers(
    task: Task[T], plans: list[Planned], data: Dataset, root: Path, jobs: int, cluster: Any
) -> Generator[T, None, None]:
    """What the task gives for each plan, as it comes: from this process if jobs is 1 and there is no cluster."""
    if cluster is None and jobs == 1:
        return (task(place, plan, data, root) for place, plan in enumerate(plans))
    return _elsewhere(task, plans, data, root, jobs, cluster)


def _elsewhere(
    task: Task[T], plans: list[Planned], data: Dataset, root: Path, jobs: int, cluster: Any
) -> Generator[T, None, None]:
    """By processes of this machine, each with its share of the threads, or by a cluster's workers."""
    from joblib import Parallel, delayed, parallel_config

    arrays = [part.cpu().numpy() for split in (data.train, data.test) for part in (split.images, split.labels)]
    parent = os.getpid() if cluster is None else None
    with ExitStack() as stack:
        if cluster is None:
            threads = max(1, torch_threads()[0] // jobs)
            config = parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads, idle_worker_timeout=IDLE)
        else:
            from mixlab.runs.cluster import WatchedCluster, connected

            config = parallel_config(WatchedCluster(stack.enter_context(connected(cluster)), arrays), n_jobs=-1)
        with config:  # not for longer, as it would be the caller's too
            parallel = Parallel(pre_dispatch="all", batch_size=1, return_as="generator_unordered")
        rest = (data.name, data.classes, arrays, root, parent, task)
        outcomes = parallel(delayed(_there)(*plan, *rest) for plan in enumerate(plans))
        try:
            for outcome in outcomes:  # noqa: UP028  # `yield from` would close it where joblib's warning is heard
                yield outcome
        finally:
            with warnings.catch_warnings():  # joblib warns of tasks that were given up, as they are on leaving the loop
                warnings.simplefilter("ignore")
                outcomes.close()


def _there(
    place: int,
    plan: Planned,
    name: str,
    classes: tuple[str, ...],
    arrays: Arrays,
    root: Path,
    parent: int | None,
    task: Task[T],
) -> T:
    """The task, in another process."""
    if parent is not None:
        _end_with(parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays that may only be read, as these are
        images, labels, test_images, test_labels = map(torch.from_numpy, arrays)
    data = Dataset(name, Split(images, labels), Split(test_images, test_labels), classes)
    return task(place, plan, data, root)


@cache
def _end_with(parent: int) -> None:
    """End this worker when the process that began the work is no more, killed as it may be: nothing stored is lost."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="mixlab sweep").start()
