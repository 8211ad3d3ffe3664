"""Sweeps: the runs of a grid, trained here, on this machine's cores or on a cluster, each stored as it finishes."""

import os
import threading
import time
import warnings
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

from mixlab import _check
from mixlab._files import first_line
from mixlab.data.dataset import Dataset
from mixlab.machine import torch_threads
from mixlab.runs.grid import Planned, planned
from mixlab.runs.run import run
from mixlab.runs.shared_data import Shared, opened_data, shared
from mixlab.runs.store import BusyError, Store, StoreError
from mixlab.runs.stored import Run
from mixlab.training.options import gathered

Grid = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Outcome = tuple[int, str, str]  # which run, its id, and why it failed: one of the two is empty
Outcomes = Generator[Outcome, None, None]

_ALL_AT_ONCE: dict[str, Any] = {"pre_dispatch": "all", "batch_size": 1, "return_as": "generator_unordered"}
_WIDTH = 80  # characters of the bar for what is under way
_training = threading.Lock()  # a worker with several threads trains one run at a time: torch's state is the process's


class _GoneError(Exception):
    """Whoever trains is no longer there: the message says who, and why."""


class SweepError(RuntimeError):
    """A sweep ended without some of its runs: the message says which failed and why, or how far it came."""


def sweep(
    grid: Grid,
    data: Dataset,
    *,
    model: str = "quick",
    jobs: int = 1,
    cluster: Any = None,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Iterator[Run]:
    """The runs of a grid as they finish: those that are stored, and the rest as `mixlab.run` trains and stores them.

        grid = {"variant": ["none", "mixup"], "alpha": [0.2, 1.0], "seed": range(3)}
        for run in mx.sweep(grid, data, epochs=5):
            print(run)
        mx.RunTable(mx.sweep(grid, data, epochs=5))

    All is checked at the call; training begins with the first run that is asked for. Nothing is lost by leaving the
    loop, by the stop button or by a crash: the same call goes on from there. With jobs=1 nothing is trained once the
    loop is left; worker processes are ended then, and a cluster's worker ends the run that it has begun.

    Equal runs are trained once. A setting counts for the variants that have it: with the grid above "none" is trained
    once for each seed, as without pairs there is no alpha; nor has "resizemix" one, whose law is its own. A run that
    fails (its loss is no longer finite, say, or a panel of this process is at work on it) does not stop the others;
    when they are done, a SweepError lists those that failed.

    Numbers depend in the last bits on how many threads torch has, as everywhere. With jobs the machine's threads are
    shared out among the workers, so that the same run can differ in its rounding from one trained with jobs=1; with
    OMP_NUM_THREADS=1, and on a cluster, where Dask sets that for its workers, it has the same bits at any number of
    jobs. Device and arithmetic are picked once for all jobs, but on a cluster by each worker: where these are not of
    one kind, give device and dtype.

    Args:
        grid: names and the values of each, for every combination of them; or a list of such mappings, for those of
            each. Names are "model", "variant", the settings of `mixlab.Mixer` and of its variants, and those of
            `mixlab.fit`, "seed" and "epochs" among them.
        data: a Dataset. Workers map its images from root/data, where they are written once.
        model: a name of `mixlab.models`, built with the run's seed.
        jobs: how many processes of this machine train at a time; 1 is this process itself.
        cluster: a dask.distributed.Client, or the address of a scheduler, in place of jobs. Its workers must have
            mixlab and see `root`, and each trains one run at a time, on as many threads as its OMP_NUM_THREADS says.
            A worker that dies costs the epoch it was in. The Client that is made for an address ends with the iterator.
        root: the folder of the store, as for `mixlab.run`.
        progress: whether to show a bar of runs on stderr, with what is under way.
        settings: what all runs have, by the same names, where the grid does not say otherwise. Without a variant
            nothing is mixed.

    Returns:
        An iterator of finished Runs, in the order in which they finish.

    Raises:
        TypeError, ValueError: at the call: no grid, an unknown name, a setting that no variant of the grid has, or
            what `mixlab.Mixer` and `mixlab.fit` refuse, with the values of the run.
        StoreError: the folder takes no file, or is of a newer mixlab; at the call, or from the iterator when it comes
            to that.
        ImportError: cluster is given, and dask is not installed.
        ConnectionError: at the call: no scheduler answers.
        SweepError: from the iterator: some runs failed, or the workers or the cluster went away. The message says how
            many of how many are finished.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {_check.shown(data)}")
    jobs = _check.integer("jobs", jobs, 1)
    if cluster is not None and jobs > 1:
        raise ValueError(f"jobs must be left at 1 where cluster is given, whose workers count, got {jobs}")
    _check.flag("progress", progress)
    plans = planned(grid, data, {"model": model} | settings, elsewhere=cluster is not None)
    store = Store(root)
    store.check_format()
    if cluster is None:
        store.prepare()
        at_once = min(jobs, len(plans))
        outcomes = _here(plans, data, store) if at_once == 1 else _on_cores(plans, data, store, at_once)
        return _as_they_finish(plans, outcomes, store, at_once, progress)
    with ExitStack() as stack:
        client, own = _connected(cluster)
        if own:
            stack.callback(client.close)
        store.prepare()
        at_once, lease = len(client.ncores()), stack.pop_all()
    runs = _as_they_finish(plans, _on_cluster(plans, data, store, client, lease), store, at_once, progress)
    weakref.finalize(runs, lease.close)  # the end of an iterator that was never begun
    return runs


def _as_they_finish(
    plans: list[Planned], outcomes: Outcomes, store: Store, at_once: int, progress: bool
) -> Iterator[Run]:
    """The finished runs, read from the store; what went wrong is raised when nothing more can come."""
    from tqdm import tqdm

    left, failed = dict(enumerate(plans)), []
    with closing(outcomes), tqdm(desc="sweep", total=len(plans), unit="run", disable=not progress) as bar:
        bar.set_postfix_str(_under_way(left, at_once))
        try:
            for place, found, why in outcomes:
                plan = left.pop(place)
                bar.update()
                bar.set_postfix_str(_under_way(left, at_once))
                if why:
                    failed.append(f"{plan.label}: {why}")
                else:
                    yield _stored(found, store)
        except _GoneError as error:
            done = len(plans) - len(left) - len(failed)
            message = f"{error}; {done} of {len(plans)} runs are finished, and the same call goes on from there"
            raise SweepError("\n  ".join([message + ("; failed have:" if failed else ""), *failed])) from error
    if failed:
        rest = "the others are finished" if len(failed) < len(plans) else "none is finished"
        raise SweepError("\n  ".join([f"{len(failed)} of {len(plans)} runs failed, {rest}:", *failed]))


def _under_way(left: dict[int, Planned], at_once: int) -> str:
    """What is trained now, as workers take the runs in their order."""
    labels = [plan.label for plan in left.values()][:at_once]
    text = " | ".join(labels)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _stored(found: str, store: Store) -> Run:
    head = store.head(found)
    if head is None or not head[1]:
        raise StoreError(
            f"run {found} was trained, and is not in {store.root}: root must be a folder that all workers see"
        )
    return Run(store, found, head[0], finished=True)


def _trained(place: int, plan: Planned, data: Dataset, root: Path) -> Outcome:
    """Train one run, in whatever process this is; what concerns the store as a whole is raised."""
    with _training:
        try:
            found = run(plan.model, data, plan.mixer, root=root, progress=False, **gathered(plan.fitting))
        except Exception as error:  # the others go on, whatever it is
            if isinstance(error, StoreError) and not isinstance(error, BusyError):
                raise
            return place, "", f"{type(error).__name__}: {error}"
    return place, found.id, ""


def _trained_elsewhere(place: int, plan: Planned, where: Shared, root: Path, parent: int | None) -> Outcome:
    if parent is not None:
        _end_with(parent)
    return _trained(place, plan, opened_data(where), root)


@cache
def _end_with(parent: int) -> None:
    """End this worker when the process that began the sweep is no more, killed as it may be: nothing stored is lost."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="mixlab sweep").start()


def _here(plans: list[Planned], data: Dataset, store: Store) -> Outcomes:
    for place, plan in enumerate(plans):
        yield _trained(place, plan, data, store.root)


def _on_cores(plans: list[Planned], data: Dataset, store: Store, jobs: int) -> Outcomes:
    """Worker processes of this machine, each with its share of the threads; they are ended when the loop is left."""
    from joblib import Parallel, parallel_config

    threads = max(1, torch_threads()[0] // jobs)
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads):
        parallel = Parallel(**_ALL_AT_ONCE)
    yield from _outcomes(parallel, plans, data, store, "the workers gave up", os.getpid())


def _on_cluster(plans: list[Planned], data: Dataset, store: Store, client: Any, lease: ExitStack) -> Outcomes:
    """A cluster's workers; the lease ends with the last outcome."""
    from joblib import Parallel

    from mixlab.runs.cluster import WatchedCluster

    with lease:
        parallel = Parallel(backend=WatchedCluster(client), n_jobs=-1, **_ALL_AT_ONCE)
        yield from _outcomes(parallel, plans, data, store, "the cluster gave up")


def _connected(cluster: Any) -> tuple[Any, bool]:
    """The Client, and whether it was made here."""
    try:
        from mixlab.runs.cluster import connected
    except ImportError:
        raise ImportError('cluster needs dask and distributed: pip install "mixlab[cluster]"') from None
    return connected(cluster)


def _outcomes(
    parallel: Any, plans: list[Planned], data: Dataset, store: Store, gone: str, parent: int | None = None
) -> Outcomes:
    """Hand out all runs; what came of each, as they finish. Workers end with the process `parent`, if there is one."""
    from joblib import delayed

    where = shared(data, store)
    tasks = (delayed(_trained_elsewhere)(place, plan, where, store.root, parent) for place, plan in enumerate(plans))
    outcomes = None
    try:
        outcomes = parallel(tasks)
        for outcome in outcomes:  # noqa: UP028  # `yield from` would close it where joblib's warning is heard
            yield outcome
    except StoreError:
        raise
    except Exception as error:
        raise _GoneError(f"{gone} ({first_line(error)})") from error
    finally:
        with warnings.catch_warnings():  # joblib warns of tasks that were given up; that is what leaving the loop means
            warnings.simplefilter("ignore")
            if outcomes is not None:
                outcomes.close()
