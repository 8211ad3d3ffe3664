"""How far ours and every peer's measures of calibration are from float64 loops over the rows, in hard cases."""

import math
from typing import Any

import harness
import numpy as np
import torch
from calibration_tasks import BINS, OUT, draw, ours, theirs
from torch import Tensor

WIDEST, POINTS, HALVINGS = 1.0, 4000, 30  # of the smooth error's bandwidth; of its integral; of the search for it


def hard_cases() -> dict[str, tuple[Tensor, Tensor]]:
    """Float64 probabilities and labels: 0 or 1 exactly, ties, edges of bins, few rows, many classes, a NaN."""

    def two(conf: list[float], right: list[int]) -> tuple[Tensor, Tensor]:
        first = torch.tensor(conf, dtype=torch.float64)[:, None]
        return torch.cat([first, (1 - first).expand(-1, 20) / 20], 1), 1 - torch.tensor(right)

    many, some = draw(200, 1000), draw(1500, 10)
    broken = some[0].double()
    broken[7, 3] = math.nan
    return {
        "confidence 1, 0 for a true class": two([0.95, 1.0, 1.0, 0.4], [1, 0, 1, 0]),
        "ties on edges": two([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 1, 1]),
        "one bin": two([0.71, 0.72, 0.73, 0.715], [1, 0, 1, 1]),
        "one prediction": two([0.7], [0]),
        "1,000 classes": (many[0].double(), many[1]),
        "random": (some[0].double(), some[1]),
        "a NaN": (broken, some[1]),
    }


def reference(metric: str, probs: Tensor, labels: Tensor) -> float:
    """The metric by its definition, in float64."""
    p, truth = probs.numpy(), labels.numpy()
    conf, right = p.max(1), (p.argmax(1) == truth).astype(float)
    hot = np.eye(p.shape[1])[truth]
    if metric == "NLL":
        return float(np.mean([-math.log(value) if value else math.inf for value in p[np.arange(len(p)), truth]]))
    if metric == "Brier":
        return float(((p - hot) ** 2).sum(1).mean())
    if metric == "AURC":
        return _area(conf, right)
    if metric == "smooth":
        return _smooth(conf, right)
    if metric == "classwise":
        return float(np.mean([_binned("ECE", *pair) for pair in zip(p.T, hot.T, strict=True)]))
    return _binned(metric, conf, right)


def _binned(metric: str, conf: np.ndarray, right: np.ndarray) -> float:
    """ECE, L2, MCE or ECE of equal mass."""
    ordered, n = sorted(conf), len(conf)
    edges = [i / BINS for i in range(1, BINS)]
    if metric == "ECE, equal mass":
        edges = [ordered[max(-(-i * n // BINS) - 1, 0)] for i in range(1, BINS)]
    where = np.array([sum(bool(value > edge) for edge in edges) for value in conf])
    filled = [where == i for i in range(BINS) if (where == i).any()]
    gaps = [abs(conf[rows].mean() - right[rows].mean()) for rows in filled]
    if metric == "MCE":
        return float(max(gaps))
    power = 2 if metric == "L2" else 1
    return float(sum(rows.sum() / n * gap**power for rows, gap in zip(filled, gaps, strict=True)) ** (1 / power))


def _area(conf: np.ndarray, right: np.ndarray) -> float:
    """Mean over k of the share of errors among the k most confident, and over the orders of equal confidences."""
    wrong = [1 - right[conf == value].mean() for value in sorted(conf, reverse=True)]
    return float(np.mean([sum(wrong[: k + 1]) / (k + 1) for k in range(len(wrong))]))


def _smooth(conf: np.ndarray, right: np.ndarray) -> float:
    """The bandwidth that equals its error: Gaussian kernel reflected at 0 and 1, midpoint rule, halving."""
    t = (np.arange(POINTS) + 0.5) / POINTS

    def error(sigma: float) -> float:
        total = np.zeros(POINTS)
        for place, residual in zip(conf, right - conf, strict=True):
            for k in range(-math.ceil(4 * sigma), math.ceil(4 * sigma) + 1):
                for image in (2 * k + place, 2 * k - place):
                    total += residual * np.exp(-(((t - image) / sigma) ** 2) / 2)
        return float(np.abs(total).mean() / (len(conf) * sigma * math.sqrt(2 * math.pi)))

    low, high = 0.0, WIDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) > middle else (low, middle)
    return high


def errors_table() -> list[dict[str, Any]]:
    """The distance from the reference, on each hard case, of ours and of each peer; what a peer raises, by name."""
    rows: list[dict[str, Any]] = []
    for case, (probs, labels) in hard_cases().items():
        ground, peers = ours(probs, labels), theirs(probs, labels)
        for metric, tasks in peers.items():
            truth = math.nan if case == "a NaN" else reference(metric, probs, labels)
            rows += [
                harness.comparison(
                    "calibration, errors",
                    f"{metric}: {case}",
                    peer,
                    call=call,
                    error_ours=error(ground[metric], truth),
                    error_peer=error(task, truth),
                )
                for (peer, call), task in tasks.items()
                if OUT not in call  # the same number
            ]
    harness.show("errors on hard cases", rows)
    return rows


def error(task: harness.Task, truth: float) -> float | str:
    """The distance from the truth, or in words what is raised or given where one of the two is no finite number."""
    try:
        value = float(task())  # type: ignore[arg-type]
    except Exception as fault:  # noqa: BLE001 - whatever a peer raises is its result
        return f"raises {type(fault).__name__}"
    if value == truth:
        return 0.0
    if math.isfinite(value) and math.isfinite(truth):
        return abs(value - truth)
    return "gives NaN" if math.isnan(value) else f"gives {value:.3g}"
