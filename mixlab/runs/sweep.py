"""Sweeps: the runs of a grid, trained here, on this machine's cores or on a cluster, each stored as it finishes."""

import os
import threading
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mixlab import _check
from mixlab._files import first_line
from mixlab.data.dataset import Dataset, Split
from mixlab.machine import torch_threads
from mixlab.runs.grid import Planned, planned
from mixlab.runs.run import run
from mixlab.runs.run_table import listed
from mixlab.runs.store import BusyError, Store, StoreError
from mixlab.runs.stored_run import Run
from mixlab.training.options import gathered

Outcome = tuple[int, str, str]  # which run, its id, and why it failed: one of the two is empty
Outcomes = Generator[Outcome, None, None]
Arrays = list[Any]  # the images and labels of both splits, as joblib maps arrays and not tensors

_training = threading.Lock()  # a worker with several threads trains one run at a time: torch's state is the process's


class SweepError(RuntimeError):
    """A sweep ended without some of its runs: the message says which failed and why, or how many are finished."""


def sweep(
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    data: Dataset,
    *,
    model: str = "quick",
    jobs: int = 1,
    cluster: Any = None,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Iterator[Run]:
    """Yield the runs of a grid as they finish: the stored ones, and the rest as `mixlab.run` trains and stores them.

        grid = {"variant": ["none", "mixup"], "alpha": [0.2, 1.0], "seed": range(3)}
        table = mx.RunTable(mx.sweep(grid, data, epochs=5))

    Arguments are checked at the call; training begins with the first run that is asked for. Leaving the loop, the stop
    button and a crash lose nothing that is stored: the same call resumes. With jobs=1 nothing is trained once the loop
    is left; worker processes are ended then, and a cluster's worker finishes the run that it has begun.

    Equal runs are trained once. A setting counts for the variants that have it: with the grid above "none" is trained
    once for each seed, as without pairs there is no alpha. A run that fails (its loss is no longer finite, say, or a
    panel of this process trains it) does not stop the others; after them a SweepError lists those that failed.

    Workers share the machine's threads, whose number changes the last bits; with OMP_NUM_THREADS=1, as Dask sets it, a
    run has the same bits everywhere. Give device and dtype for a cluster whose machines are not of one kind.

    Args:
        grid: maps names to the values of each, for every combination of them; or is a list of such mappings. Names are
            "model", "variant", the settings of `mixlab.Mixer` and of its variants, and those of `mixlab.fit`. A Mixer
            may stand for a variant with its settings, such as a `mixlab.OneOf`.
        data: a Dataset. Worker processes map its images from one file; each worker of a cluster gets a copy.
        model: a name of `mixlab.models`, built with the run's seed.
        jobs: how many processes of this machine train at a time; 1 is this process itself.
        cluster: a dask.distributed.Client, or the address of a scheduler, in place of jobs. Its workers must have
            mixlab and see `root`. A worker that dies costs the epoch it was in; if none is left, the sweep breaks off.
        root: the folder of the store, as for `mixlab.run`.
        progress: whether to show a bar of runs (as in `run`), with what is under way.
        settings: what all runs have, by the same names, where the grid does not say otherwise (variant: "none").

    Raises:
        TypeError, ValueError: at the call: no grid, an unknown name, a setting that no variant of the grid has, or
            what `mixlab.Mixer` and `mixlab.fit` refuse, with the values of the run.
        StoreError: the folder cannot be written.
        ImportError: cluster is given, and dask is not installed.
        ConnectionError: at the call: no scheduler answers.
        SweepError: from the iterator: some runs failed, or the workers or the cluster went away.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {_check.shown(data)}")
    jobs = _check.integer("jobs", jobs, 1)
    if cluster is not None and jobs > 1:
        raise ValueError(f"jobs must be left at 1 where cluster is given, whose workers count, got {jobs}")
    _check.flag("progress", progress)
    plans = planned(grid, data, {"model": model} | settings)
    store = Store(root)
    at_once = min(jobs, len(plans)) if cluster is None else _workers(cluster)
    store.prepare()
    outcomes = _elsewhere(plans, data, store, at_once, cluster)
    if cluster is None and at_once == 1:
        outcomes = (_trained(place, plan, data, store.root) for place, plan in enumerate(plans))
    return _as_they_finish(plans, outcomes, store, at_once, progress)


def _as_they_finish(
    plans: list[Planned], outcomes: Outcomes, store: Store, at_once: int, progress: bool
) -> Iterator[Run]:
    """The finished runs, read from the store; what went wrong is raised when nothing more can come."""
    from mixlab.runs.progress import bar as bar_of  # loads tqdm

    left, failed, broken = {place: plan.label for place, plan in enumerate(plans)}, [], None
    with closing(outcomes), bar_of(desc="sweep", total=len(plans), unit="run", disable=not progress) as bar:
        bar.set_postfix_str(" | ".join([*left.values()][:at_once]))  # workers take the runs in their order
        try:
            for place, name, why in outcomes:
                label = left.pop(place)
                bar.update()
                bar.set_postfix_str(" | ".join([*left.values()][:at_once]))
                if why:
                    failed.append(f"{label}: {why}")
                elif (stored := listed(store, name)) is not None:
                    yield stored
                else:
                    raise StoreError(f"run {name} is not in {store.root}: root must be a folder that all workers see")
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # of joblib, of Dask, or of a worker that was killed
            broken = error
    if failed or broken is not None:
        done = f"{len(plans) - len(left) - len(failed)} of {len(plans)} runs are finished"
        why = "these failed:" if broken is None else f"the same call resumes, as this broke off ({first_line(broken)})"
        raise SweepError("\n  ".join([f"{done}; {why}", *failed])) from broken


def _trained(place: int, plan: Planned, data: Dataset, root: Path) -> Outcome:
    """Train one run, in whatever process this is; what concerns the store as a whole is raised."""
    with _training:
        try:
            name = run(plan.model, data, plan.mixer, root=root, progress=False, **gathered(plan.fitting)).id
        except Exception as error:  # the others go on, whatever it is
            if isinstance(error, StoreError) and not isinstance(error, BusyError):
                raise
            return place, "", f"{type(error).__name__}: {error}"
    return place, name, ""


def _trained_elsewhere(
    place: int, plan: Planned, name: str, classes: tuple[str, ...], arrays: Arrays, root: Path, parent: int | None
) -> Outcome:
    if parent is not None:
        _end_with(parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of arrays that may only be read, as these are
        images, labels, test_images, test_labels = map(torch.from_numpy, arrays)
    data = Dataset(name, Split(images, labels), Split(test_images, test_labels), classes)
    return _trained(place, plan, data, root)


@cache
def _end_with(parent: int) -> None:
    """End this worker when the process that began the sweep is no more, killed as it may be: nothing stored is lost."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="mixlab sweep").start()


def _elsewhere(plans: list[Planned], data: Dataset, store: Store, jobs: int, cluster: Any) -> Outcomes:
    """Hand out all runs to processes of this machine, each with its share of the threads, or to a cluster's workers."""
    from joblib import Parallel, delayed, parallel_config

    arrays = [part.cpu().numpy() for split in (data.train, data.test) for part in (split.images, split.labels)]
    parent = os.getpid() if cluster is None else None
    with ExitStack() as stack:
        if cluster is None:
            threads = max(1, torch_threads()[0] // jobs)
            config = parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads)
        else:
            from mixlab.runs.cluster import WatchedCluster, connected

            config = parallel_config(WatchedCluster(stack.enter_context(connected(cluster)), arrays), n_jobs=-1)
        with config:  # not for longer, as it would be the caller's too
            parallel = Parallel(pre_dispatch="all", batch_size=1, return_as="generator_unordered")
        rest = (data.name, data.classes, arrays, store.root, parent)
        outcomes = parallel(delayed(_trained_elsewhere)(*plan, *rest) for plan in enumerate(plans))
        try:
            for outcome in outcomes:  # noqa: UP028  # `yield from` would close it where joblib's warning is heard
                yield outcome
        finally:
            with warnings.catch_warnings():  # joblib warns of tasks that were given up, as they are on leaving the loop
                warnings.simplefilter("ignore")
                outcomes.close()


def _workers(cluster: Any) -> int:
    """How many workers the cluster has; raises if no scheduler answers, or dask is not installed."""
    try:
        from mixlab.runs.cluster import connected
    except ImportError:
        raise ImportError('cluster needs dask and distributed: pip install "mixlab[cluster]"') from None
    with connected(cluster) as client:
        return len(client.ncores())  # type: ignore[no-untyped-call]
