"""Sweeps: the runs of a grid, trained here, on this machine's cores or on a cluster, each stored as it finishes."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mixlab import _check
from mixlab._files import first_line
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.runs.grid import Planned, planned
from mixlab.runs.run import run
from mixlab.runs.run_table import listed
from mixlab.runs.store import BusyError, Store, StoreError
from mixlab.runs.stored_run import Run
from mixlab.runs.workers import by_workers, check_jobs, in_turn
from mixlab.training.options import gathered

Outcome = tuple[int, str, str]  # which run, its id, and why it failed: one of the two is empty
Outcomes = Generator[Outcome, None, None]


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

    `mixlab.runs.cost_of` takes the same arguments and says beforehand what the grid will cost.

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
    check_dataset(data)
    _check.flag("progress", progress)
    plans = planned(grid, data, {"model": model} | settings)
    store = Store(root)
    at_once = check_jobs(jobs, cluster, most=len(plans))
    store.prepare()
    outcomes = by_workers(_trained, plans, data, store.root, at_once, cluster)
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
    with in_turn:
        try:
            name = run(plan.model, data, plan.mixer, root=root, progress=False, **gathered(plan.fitting)).id
        except Exception as error:  # the others go on, whatever it is
            if isinstance(error, StoreError) and not isinstance(error, BusyError):
                raise
            return place, "", f"{type(error).__name__}: {error}"
    return place, name, ""
