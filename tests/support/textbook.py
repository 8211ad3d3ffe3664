"""Binned metrics as textbooks write them, in plain float64 loops."""

import math

import numpy as np

from mixlab.calibration.predictions import Predictions


def mean_of(values: np.ndarray) -> float:
    return math.fsum(values.tolist()) / len(values)


def means_of(values: np.ndarray, hits: np.ndarray, bins: str, n_bins: int) -> list[tuple[float, float, float, int]]:
    """Share, mean, share of hits and count of each filled bin (low, high]; edges are in the dtype of the values."""
    if bins == "width":
        edges = [values.dtype.type(i / n_bins) for i in range(1, n_bins)]
    else:
        ordered = sorted(values)
        edges = [ordered[max(math.ceil(i * len(values) / n_bins) - 1, 0)] for i in range(1, n_bins)]
    where = np.array([sum(bool(value > edge) for edge in edges) for value in values])
    rows = [where == i for i in range(n_bins) if (where == i).any()]
    return [(row.mean(), mean_of(values[row].astype(float)), mean_of(hits[row]), row.sum()) for row in rows]


def top(p: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the dtype of the probabilities, and 1 or 0 for right or wrong."""
    probs = p.probs.numpy()
    answer = [int(row.argmax()) for row in probs]
    return probs.max(1), (np.array(answer) == p.labels.numpy()).astype(float)


def error_of(means: list[tuple[float, float, float, int]], norm: str) -> float:
    if norm == "max":
        return max(abs(conf - acc) for _, conf, acc, _ in means)
    power = int(norm[1])
    return sum(share * abs(conf - acc) ** power for share, conf, acc, _ in means) ** (1 / power)


def textbook(p: Predictions, n_bins: int) -> dict[str, float]:
    """Every metric of a Reliability."""
    means, onehot = means_of(*top(p), "width", n_bins), np.eye(p.num_classes)[p.labels.numpy()]
    probs = p.probs.double().numpy()
    with np.errstate(divide="ignore"):
        nll = -np.log(probs[onehot == 1]).mean()
    return {
        "accuracy": sum(share * acc for share, _, acc, _ in means),
        "ece": error_of(means, "l1"),
        "mce": error_of(means, "max"),
        "overconfidence": sum(share * conf * max(conf - acc, 0) for share, conf, acc, _ in means),
        "underconfidence": sum(share * conf * max(acc - conf, 0) for share, conf, acc, _ in means),
        "nll": nll,
        "brier": ((probs - onehot) ** 2).sum(1).mean(),
    }
