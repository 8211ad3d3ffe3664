"""Random mask problems of Puzzle Mix's kind, and independent ways to solve them and to weigh a solution."""

import itertools
import math

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow


def problem(side: int, labels: int, rng: np.random.Generator, *, beta=None, gamma=None, eta=None, lam=None):
    """(unary [L, side, side], down, right) in float64, from two saliency maps and random seams, by the formulas.

    Saliency has a heavy tail, and in half of the problems large patches.
    """
    beta = rng.uniform(0, 4) if beta is None else beta
    gamma = rng.uniform(0, 1) if gamma is None else gamma
    eta = rng.uniform(0, 1) if eta is None else eta
    lam = rng.uniform(0.001, 0.999) if lam is None else lam
    own, other = (_saliency(side, rng) for _ in range(2))
    smooth = beta / (16 * side)
    unary = np.empty((labels, side, side))
    for label in range(labels):
        m = label / (labels - 1)
        chance = math.comb(labels - 1, label) * lam**label * (1 - lam) ** (labels - 1 - label)
        unary[label] = (1 - m) * own + m * other - eta / side**2 * math.log(chance)
    down, right = (smooth * (1 + gamma * rng.uniform(-1, 1, shape)) for shape in ((side - 1, side), (side, side - 1)))
    return unary, down, right


def _saliency(side, rng):
    values = rng.uniform(0, 1, (side, side)) ** rng.choice([1, 4])
    if side >= 4 and rng.random() < 0.5:
        values *= np.kron(rng.uniform(0, 1, (2, 2)), np.ones((side // 2, side // 2)))
    return values / values.sum()


def energy(unary, down, right, labels) -> float:
    """What labels [height, width] cost, added up cell by cell."""
    steps = len(unary) - 1
    height, width = labels.shape
    total = 0.0
    for row, column in itertools.product(range(height), range(width)):
        label = int(labels[row, column])
        total += unary[label, row, column]
        if row + 1 < height:
            total += down[row, column] * (label - int(labels[row + 1, column])) ** 2 / steps**2
        if column + 1 < width:
            total += right[row, column] * (label - int(labels[row, column + 1])) ** 2 / steps**2
    return total


def swap(unary, down, right) -> np.ndarray:
    """gco's α-β swap on costs in fine integers: labels [height, width]. It has no wheels for Python 3.12 and later."""
    gco = pytest.importorskip("gco")
    steps = len(unary) - 1
    scale = 5e6 / max(np.abs(part).max() for part in (unary, down, right))
    costs = np.ascontiguousarray(np.round(unary * scale).astype(np.int32).transpose(1, 2, 0))
    apart = np.array([[(i - j) ** 2 for j in range(steps + 1)] for i in range(steps + 1)], dtype=np.int32)
    weights = (np.round(part * scale / steps**2).astype(np.int32) for part in (down, right))
    return gco.cut_grid_graph(costs, apart, *weights, algorithm="swap").reshape(unary.shape[1:])


def least(unary, down, right) -> float:
    """The global minimum, to about a millionth of the sum of all unary costs, as a maximum flow.

    One node for each cell and threshold k, on the source's side where label ≥ k (Ishikawa, 2003). For d = l − l′ > 0,
    d² = d + 2 · d (d − 1)/2 counts the thresholds between the labels once, and their pairs twice.
    """
    steps, height, width = len(unary) - 1, *unary.shape[1:]
    scale = 1e9 / np.abs(unary).sum()
    node = np.arange(height * width * steps).reshape(height, width, steps)
    source, sink = node.size, node.size + 1
    edges, constant = [], float(unary[0].sum())
    for row, column in itertools.product(range(height), range(width)):
        for k in range(steps):
            rise = unary[k + 1, row, column] - unary[k, row, column]
            constant += min(rise, 0)
            cell = node[row, column, k]
            edges.append((cell, sink, rise) if rise > 0 else (source, cell, -rise))
            if k:
                edges.append((cell, node[row, column, k - 1], np.inf))
        for weights, next_to in ((down, (row + 1, column)), (right, (row, column + 1))):
            if next_to[0] == height or next_to[1] == width:
                continue
            weight = weights[row, column] / steps**2
            for one, other in ((node[row, column], node[next_to]), (node[next_to], node[row, column])):
                edges += [(one[k], other[j], weight * (1 if j == k else 2)) for k in range(steps) for j in range(k + 1)]
    tails, heads, capacities = (np.array(part) for part in zip(*edges, strict=True))
    whole = np.minimum(np.round(capacities * scale), 2**31 - 1).astype(np.int32)
    graph = coo_array((whole, (tails, heads)), shape=(sink + 1, sink + 1)).tocsr()
    return constant + maximum_flow(graph, source, sink).flow_value / scale
