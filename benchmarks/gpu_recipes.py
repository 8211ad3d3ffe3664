"""The recipes on a GPU: the speed run over seeds, and as much of the papers' table as the hours allow."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import harness
from gpu_scene import Row, Scene
from harness import rate, reading

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.training import Record, recipes

PUBLISHED = {  # error in % after 200 epochs, ResNet-18, by OpenMixup
    ("cifar10", "none"): 5.13,
    ("cifar10", "mixup"): 4.30,
    ("cifar10", "cutmix"): 3.89,
    ("cifar100", "none"): 23.58,
    ("cifar100", "mixup"): 21.48,
    ("cifar100", "cutmix"): 20.55,
}


def cifar(scene: Scene, name: str) -> Dataset:
    """CIFAR; noise in a rehearsal."""
    return scene.noise if scene.rehearsed else mx.load(name)


def training_seconds(record: Record, batch_size: int) -> float:
    """Seconds in training steps alone, of all sittings: without evaluations and pauses."""
    return record.step * batch_size / record.images_per_second


def speedrun(scene: Scene) -> list[Row]:
    """`recipes.speedrun()`, plain and with mixup, for as many seeds as the time allows, 10 at the most."""
    recipe, data = recipes.speedrun(), cifar(scene, "cifar10")
    mixers = {"none": None, "mixup": mx.Mixer("mixup")}
    runs: list[Row] = []

    def trained(name: str, seed: int) -> Row:
        trainer = recipe.fit(data, mixers[name], seed=seed)
        *_, record = trainer
        seconds = training_seconds(record, trainer.batch_size)
        row = {"group": "runs of the speed run", "mixer": name, "seed": seed, "epochs": record.epoch}
        row |= {"test_accuracy": record.test_accuracy, "training_seconds": round(seconds, 3)}
        print("  {mixer:8} seed {seed}: {test_accuracy:.4f} in {training_seconds} s".format(**row), flush=True)
        return row

    began = time.monotonic()
    trained("mixup", 1000)  # thrown away: the first run of a process chooses kernels
    each, most = time.monotonic() - began, scene.left * 0.6
    for seed in range(scene.pick(10, 2)):
        if scene.rehearsed or time.monotonic() - began + 2 * each < most:
            runs += [trained(name, seed) for name in mixers]
    if len(runs) < 2 * len(mixers):
        raise TimeoutError(f"no time was left for two seeds, whose {2 * len(mixers)} runs take {each:.0f} s each")
    rows: list[Row] = []
    by = {name: [run for run in runs if run["mixer"] == name] for name in mixers}
    for name, mine in by.items():
        accuracy = mx.mean_interval([run["test_accuracy"] for run in mine])
        value = {"mean": accuracy.value, "low": accuracy.low, "high": accuracy.high}
        rows.append(
            reading("speed run", f"{name}: accuracy", "", value, n=len(mine), least=0.94 if name == "none" else None)
        )
        seconds = rate(1, [1 / run["training_seconds"] for run in mine])
        rows.append(reading("speed run", f"{name}: training", "s", seconds, n=len(mine), most=4))
    both = ([run["training_seconds"] for run in by[name]] for name in ("mixup", "none"))
    ratio = harness.ratio_interval(*both)
    rows.append(reading("speed run", "training with mixup over plain", "", ratio, n=len(by["none"]), most=1.03))
    return rows + runs


class _TimeOverError(KeyboardInterrupt):
    """The hours are over."""


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """Break off what runs inside, as the stop button would."""

    def stop(*_: object) -> None:
        raise _TimeOverError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def reproduce(scene: Scene, hours: float, root: str | None) -> list[Row]:
    """As much of the published table as the hours allow; what is unfinished is said to be."""
    recipe, end = recipes.standard(), time.monotonic() + 3600 * hours
    rows: list[Row] = []
    for (name, variant), error in PUBLISHED.items():
        left = end - time.monotonic()
        row: Row = {"group": "published table", "data": name, "mixer": variant, "published_error_percent": error}
        try:
            if left > 0:
                with stopped_after(left):
                    data = cifar(scene, name)
                    settings = recipe.settings | {"seed": 0, "root": root, "name": recipe.model}
                    run = mx.run(recipe.build(data), data, mx.Mixer(variant), **settings)
                last = run.history[-1]
                row |= {"error_percent": round(100 * (1 - last.test_accuracy), 2), "epochs": last.epoch, "run": run.id}
                row["training_seconds"] = round(training_seconds(last, run.settings["batch_size"]))
        except _TimeOverError:
            print("  the hours are over; the same command goes on from the last epoch")
        rows.append(row)
        print(f"  {row}", flush=True)
    return rows
