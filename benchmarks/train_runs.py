"""Whole runs of `mx.fit` with its defaults: what accuracy after how many seconds."""

import time
from typing import Any

from harness import reading

import mixlab as mx
from mixlab.data.dataset import Dataset

CLASSES = 10
TARGETS = {1: {"test_accuracy": 0.80, "seconds": 30}, 4: {"test_accuracy": 0.85, "seconds": 120}}  # by epochs


def accuracy(data: Dataset, minutes: float) -> list[dict[str, Any]]:
    """Whole runs with the defaults: for each number of epochs the accuracy and the seconds with their intervals."""
    runs: list[dict[str, Any]] = []
    began = time.perf_counter()
    for epochs, seed in [(epochs, seed) for pair in ((1, 4), (2, 3)) for seed in range(3) for epochs in pair]:
        if time.perf_counter() - began > 60 * minutes:
            break
        start = time.perf_counter()
        trainer = mx.fit(mx.models.quick(CLASSES, seed=seed), data, epochs=epochs, seed=seed)
        *_, record = trainer
        seconds = round(time.perf_counter() - start, 2)
        runs.append(
            {
                "epochs": epochs,
                "seed": seed,
                "images_seen": trainer.steps * trainer.batch_size,
                "seconds": seconds,
                "test_accuracy": record.test_accuracy,
                "images_per_second": round(record.images_per_second),
            }
        )
        print("  {epochs} epochs, seed {seed}: {test_accuracy:.4f} in {seconds} s".format(**runs[-1]), flush=True)
    rows = []
    for epochs in sorted({run["epochs"] for run in runs}):
        mine = [run for run in runs if run["epochs"] == epochs]
        what = f"{epochs} epoch{'s' * (epochs > 1)}, {mine[0]['images_seen']:,} images seen"
        for part, unit, bound in (("test_accuracy", "", "least"), ("seconds", "s", "most")):
            rows.append(
                reading(
                    "accuracy",
                    f"{what}: {part.replace('_', ' ')}",
                    unit,
                    mean_with_interval([run[part] for run in mine]),
                    **({bound: TARGETS[epochs][part]} if epochs in TARGETS else {}),
                    n=len(mine),
                )
            )
    return rows


def mean_with_interval(values: list[float]) -> dict[str, float]:
    """Student's 95% interval; the value alone where there is one."""
    if len(values) == 1:
        return {"mean": values[0], "low": values[0], "high": values[0]}
    found = mx.mean_interval(values)
    return {"mean": found.value, "low": found.low, "high": found.high}
