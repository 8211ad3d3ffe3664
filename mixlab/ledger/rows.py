"""Claims on rows in place of images: tables, and a task whose answer depends on every bit of a row."""

import statistics
from typing import Any

import torch
from torch import Tensor

from mixlab.domains import predict, train
from mixlab.domains.columns import Columns
from mixlab.domains.problem import Problem, shuffled
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
    columns = Columns(tuple(f"bit {place}" for place in range(BITS)))
    settings = {"epochs": steps, "batch_size": 2**BITS, "learning_rate": 0.01, "weight_decay": 0}
    return [_change(_halves(seed), columns, seed, **settings) for seed in range(seeds)]


def tables(seeds: int = 3, epochs: int = 30) -> list[float]:
    """Test error with mixup (α = 1) less that without, in points: for each seed the mean over `tabular.SETS`.

    The seed draws the hundred rows that are learned, and all else. Raises ImportError if scikit-learn, which has three
    of the tables, is not installed.
    """
    loaded = [load(name) for name in SETS]

    def change(table: TableProblem, seed: int) -> float:
        return _change(table.smaller(FEW, seed), table.columns, seed, epochs=epochs)

    return [statistics.fmean(change(table, seed) for table in loaded) for seed in range(seeds)]


def _change(problem: Problem, columns: Columns, seed: int, **settings: Any) -> float:
    mixed, plain = (_error(problem, columns, Mixer(name), seed, **settings) for name in ("mixup", "none"))
    return mixed - plain


def _error(problem: Problem, columns: Columns, mixer: Mixer, seed: int, **settings: Any) -> float:
    """Test error of a small net after a training, in points."""
    net = TableNet(columns, len(problem.classes or ()), seed=seed)
    train(problem, net, mixer, seed=seed, **settings)
    return 100 * (1 - predict(problem, net).correct.double().mean().item())


def _halves(seed: int) -> Problem:
    x, y = _all_rows()
    learned, test = shuffled(len(x), seed).chunk(2)
    return Problem("parity", "calculated", (x[learned], y[learned]), (x[test], y[test]), ("even", "odd"))


def _all_rows() -> tuple[Tensor, Tensor]:
    bits = torch.arange(2**BITS).unsqueeze(1) >> torch.arange(BITS) & 1
    return 2.0 * bits - 1, bits[:, :COUNTED].sum(1) % 2
