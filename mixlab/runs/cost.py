"""What a grid of runs will cost: a probe run times a few steps of each kind, where the runs will be trained."""

import heapq
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from mixlab import _check
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.data.parts import stratified
from mixlab.runs.grid import Planned, key, labeled, planned
from mixlab.runs.run import opened
from mixlab.runs.store import Store
from mixlab.runs.workers import by_workers, check_jobs, in_turn
from mixlab.training.options import gathered
from mixlab.training.trainer import BATCH_SIZE

EPOCHS = 4  # of a probe, which evaluates after each second one, and whose first one warms up
FREE = ("seed", "epochs", "every", "mix_until", "learning_rate", "alpha")  # what changes no step's time


@dataclass(frozen=True)
class Kind:
    """Steps that cost the same, as the probe has timed them.

    Attributes:
        label: says what they are, where there are several kinds.
        step: is the mean time of a step in seconds, with Student's 95% interval over the steps timed.
        evaluating, storing, starting: are the seconds of an evaluation, of storing an epoch, and of a run's start.
        forwards: counts the times that the network runs for each image, as `Mixer.forwards`.
    """

    label: str
    step: Interval
    evaluating: float
    storing: float
    starting: float
    forwards: float


@dataclass(frozen=True)
class RunCost:
    """What one run will cost.

    Attributes:
        label: names it as the sweep does.
        steps: pairs each kind of step with how many of them the run takes; the first kind is that of its mixer.
        batch_size: counts the images of a step.
        others: are the seconds of evaluations, storing and starting.
    """

    label: str
    steps: tuple[tuple[Kind, int], ...]
    batch_size: int
    others: float

    @property
    def seconds(self) -> Interval:
        """From its start to its end, for an interval that holds the noise of the probe alone."""
        return _summed([self])

    @property
    def forwards(self) -> int:
        """How many images go through the network in training."""
        return round(sum(kind.forwards * count for kind, count in self.steps) * self.batch_size)


@dataclass(frozen=True)
class Cost:
    """What a grid will cost, as `cost_of` measures it.

    Attributes:
        runs: are the costs of its runs, in the order in which a sweep hands them out.
        at_once: counts the runs that are trained at a time.
        probing: is how long the probe took, in seconds.
    """

    runs: tuple[RunCost, ...]
    at_once: int
    probing: float

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of steps."""
        return tuple(dict.fromkeys(kind for run in self.runs for kind, _ in run.steps))

    @property
    def work(self) -> Interval:
        """The seconds of all runs together, one after the other or not."""
        return _summed(self.runs)

    @property
    def seconds(self) -> Interval:
        """The seconds until the last run ends, if each worker takes the next run as soon as it has ended one."""
        work, free = self.work, [0.0] * self.at_once
        for run in self.runs:
            heapq.heapreplace(free, free[0] + run.seconds.value)
        share = max(free) / work.value
        return Interval(max(free), work.low * share, work.high * share, work.n, work.level)

    @property
    def forwards(self) -> int:
        """How many images go through the networks in training."""
        return sum(run.forwards for run in self.runs)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each kind of step, for `mixlab.table`."""
        return [
            {
                "kind": kind.label,
                "ms a step": f"{1000 * kind.step.value:.1f}",
                "times the first": f"{kind.step.value / self.kinds[0].step.value:.2f}",
                "forwards an image": f"{kind.forwards:.3g}",
                "steps": f"{sum(count for run in self.runs for one, count in run.steps if one == kind):,}",
            }
            for kind in self.kinds
        ]

    def __repr__(self) -> str:
        count = f"{len(self.runs)} run{'s' * (len(self.runs) > 1)}, {self.at_once} at a time"
        span = f"{self.seconds.value:.1f} s [{self.seconds.low:.1f}, {self.seconds.high:.1f}]"
        return f"Cost({count}: {span}, {self.forwards:,} forwards)"


def cost_of(
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    data: Dataset,
    *,
    model: str = "quick",
    jobs: int = 1,
    cluster: Any = None,
    root: str | os.PathLike[str] | None = None,
    steps: int = 5,
    **settings: Any,
) -> Cost:
    """What `mixlab.sweep` of these arguments will cost, from a few timed steps of each kind that it has.

        cost = cost_of({"variant": ["mixup", "puzzle"], "k": [1, 5], "seed": range(3)}, data, epochs=30, jobs=2)
        cost.seconds, cost.forwards

    A Mixer may stand for a variant, so that this also says what `mixlab.compare` will take. The probe is a short run of
    each kind on a few of the images, with weights that stay as they are: four epochs of so many steps, the first of
    which warms up. It runs where the sweep will train, by as many processes at a time, or on the cluster, and nothing
    of it is kept. It is right as long as the machine stays as busy as it is.

    All runs count, also those that are stored already. The start of worker processes does not, as the sweep finds them
    running after the probe.

    Not probed apart are α, the learning rate, and what says how long or how often: they leave a step's time as it is.

    Args:
        grid: is a grid of `mixlab.sweep`, as are data, model, jobs and cluster.
        data: is the Dataset that it trains on.
        model: is a name of `mixlab.models`.
        jobs: counts the processes of this machine that train at a time.
        cluster: is a dask.distributed.Client, or the address of a scheduler, in place of jobs.
        root: is the folder of the store. The probe writes its checkpoints there, as their time counts, and removes
            them.
        steps: counts the steps of each of the probe's four epochs, at least 3. More make the interval narrower.
        settings: are what all runs have, where the grid does not say otherwise.

    Raises:
        TypeError, ValueError, StoreError, ImportError, ConnectionError: as `mixlab.sweep` says them.
    """
    check_dataset(data)
    steps = _check.integer("steps", steps, 3)
    plans = planned(grid, data, {"model": model} | settings)
    shares = [_shares(plan, data) for plan in plans]
    representatives = {_kind_of(plan): plan for share in shares for plan, _ in share}
    tried = labeled([_stripped(plan) for plan in representatives.values()])
    at_once = check_jobs(jobs, cluster, most=len(plans))
    tasks = [_short(plan) for plan in tried * math.ceil(at_once / len(tried))]  # so that as many are at work as will be
    store, began = Store(root), time.perf_counter()
    store.prepare()
    probes: dict[int, list[_Probe]] = {}
    for place, probe in by_workers(_Probing(steps), tasks, data, store.root, at_once, cluster):
        probes.setdefault(place % len(tried), []).append(probe)
    probing = time.perf_counter() - began
    kinds = {
        name: _kind(plan, probes[place]) for place, (name, plan) in enumerate(zip(representatives, tried, strict=True))
    }
    costs = [
        _run_cost(plan, data, tuple((kinds[_kind_of(part)], count) for part, count in share))
        for plan, share in zip(plans, shares, strict=True)
    ]
    return Cost(tuple(costs), at_once, probing)


@dataclass(frozen=True)
class _Probe:
    """Seconds of steps, of an evaluation, of storing an epoch, and of the start."""

    steps: tuple[float, ...]
    evaluating: float
    storing: float
    starting: float


@dataclass(frozen=True)
class _Probing:
    """The task of a worker: probe one kind of step, by epochs of so many steps."""

    steps: int

    def __call__(self, place: int, plan: Planned, data: Dataset, root: Path) -> tuple[int, _Probe]:
        few = _few(data, self.steps * _batch_size(plan, data))
        with in_turn, tempfile.TemporaryDirectory(dir=root, prefix="probe-") as folder:
            began = time.perf_counter()
            with opened(plan.model, few, plan.mixer, root=folder, **gathered(plan.fitting)) as training:
                starting = time.perf_counter() - began
                times = []
                for _ in range(EPOCHS * self.steps):
                    began = time.perf_counter()
                    training.step()
                    training.trainer.check_finite()  # on CUDA this waits for the step
                    times.append(time.perf_counter() - began)
        ends = [self.steps * epoch - 1 for epoch in range(1, EPOCHS + 1)]
        plain = [at for at in range(self.steps, len(times)) if at not in ends]
        step = fmean(times[at] for at in plain)
        storing = max(0.0, times[ends[2]] - step)
        evaluating = max(0.0, times[ends[3]] - step - storing)
        return place, _Probe(tuple(times[at] for at in plain), evaluating, storing, starting)


def _few(data: Dataset, size: int) -> Dataset:
    """So many training images of all classes, some of them twice where there are fewer."""
    labels = data.train.labels.cpu()
    some = stratified(labels, min(max(size, len(labels.bincount().nonzero())), len(labels)), seed=0)
    places = some[torch.arange(max(size, len(some))) % len(some)]
    return Dataset(data.name, data.train.subset(places.to(data.train.labels.device)), data.test, data.classes)


def _batch_size(plan: Planned, data: Dataset) -> int:
    return min(int(plan.fitting.get("batch_size", BATCH_SIZE)), len(data.train))


def _shares(plan: Planned, data: Dataset) -> list[tuple[Planned, int]]:
    """How many steps the run takes with its mixer, and how many without."""
    epochs, each = plan.fitting["epochs"], len(data.train) // _batch_size(plan, data)
    until = plan.fitting.get("mix_until")
    mixed = epochs if until is None else min(until, epochs)
    parts = [(plan, mixed * each), (replace(plan, mixing={"variant": "none"}), (epochs - mixed) * each)]
    return [(part, count) for part, count in parts if count]


def _stripped(plan: Planned) -> Planned:
    mixing, fitting = (
        {name: value for name, value in part.items() if name not in FREE} for part in (plan.mixing, plan.fitting)
    )
    return replace(plan, mixing=mixing, fitting=fitting, label="")


def _kind_of(plan: Planned) -> str:
    stripped = _stripped(plan)
    return key(stripped.model, stripped.mixing, stripped.fitting)


def _short(plan: Planned) -> Planned:
    """The run that probes this kind of step. With a rate of 0 it cannot diverge, and takes as long."""
    return replace(plan, fitting=plan.fitting | {"epochs": EPOCHS, "every": 2, "learning_rate": 0.0})


def _kind(plan: Planned, probes: list[_Probe]) -> Kind:
    step = mean_interval([seconds for probe in probes for seconds in probe.steps])
    step = replace(step, low=max(step.low, 0.0))
    evaluating, storing, starting = (
        fmean(getattr(probe, name) for probe in probes) for name in ("evaluating", "storing", "starting")
    )
    return Kind(plan.label, step, evaluating, storing, starting, plan.mixer.forwards)


def _run_cost(plan: Planned, data: Dataset, steps: tuple[tuple[Kind, int], ...]) -> RunCost:
    kind, epochs = steps[0][0], plan.fitting["epochs"]
    evaluations = math.ceil(epochs / plan.fitting.get("every", 1))
    others = kind.starting + evaluations * kind.evaluating + (epochs + 1) * kind.storing  # once more at the end
    return RunCost(plan.label, steps, _batch_size(plan, data), others)


def _summed(runs: Sequence[RunCost]) -> Interval:
    """The seconds of runs. The errors of one kind of step add up, and those of different kinds add as squares."""
    counts: dict[Kind, int] = {}
    for run in runs:
        for kind, count in run.steps:
            counts[kind] = counts.get(kind, 0) + count
    value = sum(kind.step.value * count for kind, count in counts.items()) + sum(run.others for run in runs)
    reach = math.hypot(*((kind.step.high - kind.step.value) * count for kind, count in counts.items()))
    few = min(kind.step.n for kind in counts)
    return Interval(value, max(value - reach, 0.0), value + reach, few, 0.95)
