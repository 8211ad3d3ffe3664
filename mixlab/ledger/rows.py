"""Claims on rows in place of images: tables, and a task whose answer depends on every bit of a row."""

import statistics
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.domains import predict, train
from mixlab.domains.columns import Columns
from mixlab.domains.problem import shuffled
from mixlab.domains.tabular import SETS, TableNet, TableProblem, load
from mixlab.mixing.mixer import Mixer

BITS, COUNTED = 10, 6  # as many as the net still learns without mixing
FEW = 100  # rows of a table that are learned


def parity(seeds: int = 3, steps: int = 300) -> list[float]:
    """Test error with mixup (α = 1) less that without, in points: one number for each seed.

    The inputs are all rows of ten bits, as ±1; the label is the parity of the first six. Half of them, drawn by the
    seed, are learned, in full batches; the other half tests. A blend of two rows with different bits lies between the
    corners of the cube, where parity says nothing.
    """
    steps = _check.integer("steps", steps, 1)
    settings = {"epochs": steps, "batch_size": 2**BITS, "learning_rate": 0.01, "weight_decay": 0}
    return [_change(_halves(seed), seed, **settings) for seed in range(_check.integer("seeds", seeds, 1))]


def tables(seeds: int = 3, epochs: int = 30) -> list[float]:
    """Test error with mixup (α = 1) less that without, in points: for each seed the mean over `tabular.SETS`.

    The seed draws the hundred rows that are learned, and all else. Raises ImportError if scikit-learn, which has three
    of the tables, is not installed.
    """
    loaded = [load(name) for name in SETS]
    return [
        statistics.fmean(_change(table.smaller(FEW, seed), seed, epochs=epochs) for table in loaded)
        for seed in range(_check.integer("seeds", seeds, 1))
    ]


def _change(problem: TableProblem, seed: int, **settings: Any) -> float:
    mixed, plain = (_error(problem, Mixer(name), seed, **settings) for name in ("mixup", "none"))
    return mixed - plain


def _error(problem: TableProblem, mixer: Mixer, seed: int, **settings: Any) -> float:
    """Test error of a small net after a training, in points."""
    net = TableNet(problem.columns, len(problem.classes or ()), seed=seed)
    train(problem, net, mixer, seed=seed, **settings)
    return 100 * (1 - predict(problem, net).correct.double().mean().item())


def _halves(seed: int) -> TableProblem:
    x, y = _all_rows()
    train, test = ((x[rows], y[rows]) for rows in shuffled(len(x), seed).chunk(2))
    columns = Columns(tuple(f"bit {place}" for place in range(BITS)))
    return TableProblem("parity", "calculated", train, test, ("even", "odd"), columns, "one_hot")


def _all_rows() -> tuple[Tensor, Tensor]:
    numbers = torch.arange(2**BITS, device="cpu")
    bits = numbers[:, None] >> numbers[:BITS] & 1
    return (2 * bits - 1).float(), bits[:, :COUNTED].sum(1) % 2
