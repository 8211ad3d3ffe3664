"""Prediction sets drawn by a known law, and some that are hard."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from seeding import seeded
from torch import Tensor

from mixlab.calibration.predictions import Predictions


def sample(n: int, classes: int, sharpness: float, seed: int, dtype: torch.dtype = torch.float64) -> Predictions:
    """Labels are drawn at sharpness 1: sharper predictions are over-confident, others under-confident."""
    g = seeded(seed)
    logits = 2 * torch.randn(n, classes, generator=g, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    return Predictions.from_probs((sharpness * logits).softmax(1).to(dtype), labels)


def confident(conf: ArrayLike, right: ArrayLike, dtype: torch.dtype = torch.float64) -> Predictions:
    """Predictions with these confidences, in 51 classes so that even 0.02 is the largest; label 0 is right."""
    top = torch.as_tensor(np.asarray(conf), dtype=dtype)[:, None]
    rest = ((1 - top.double()) / 50).to(dtype).expand(-1, 50)
    return Predictions.from_probs(torch.cat([top, rest], 1), 1 - torch.as_tensor(np.asarray(right)).long())


def half_confident(n: int, gap: float = 0.0, seed: int = 0, digits: int | None = None) -> Predictions:
    """Confidences from 0.5 to 1, rounded for ties; answers are right at a share of the confidence less `gap`."""
    rng = np.random.default_rng(seed)
    conf = 0.5 + 0.5 * rng.beta(4, 1.5, n)
    conf = conf if digits is None else conf.round(digits)
    return confident(conf, rng.random(n) < conf - gap)


def answers(p: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and 1 or 0 for right or wrong."""
    return p.confidence.numpy(), p.correct.numpy().astype(float)


def drawn_at(n: int, classes: int = 5, spread: float = 3.0, true: float = 2.0, *, seed: int = 0) -> Predictions:
    """Logits that are right at temperature `true`."""
    stream = seeded(seed)
    logits = spread * torch.randn(n, classes, generator=stream, dtype=torch.float64)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=stream)[:, 0]
    return Predictions.from_logits(logits, labels)


def mean_nll(logits: np.ndarray, labels: Tensor) -> float:
    rows = np.arange(len(logits))
    return float(np.mean(logsumexp(logits, axis=1) - logits[rows, labels.numpy()]))


def drawn(rows: int, classes: int = 10, factor: float = 2.0, seed: int = 0) -> Predictions:
    """Labels drawn by a softmax, and its logits times `factor`: over-confident above 1, and best at T = factor."""
    g = seeded(seed)
    logits = 4 * torch.randn(rows, classes, generator=g)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    return Predictions.from_logits(factor * logits, labels)


def labeled(probs: list[list[float]], seed: int = 0) -> Predictions:
    """Given probabilities, with labels at random."""
    g = seeded(seed)
    return Predictions.from_probs(torch.tensor(probs), torch.randint(len(probs[0]), (len(probs),), generator=g))


# Few predictions, with ties and at the ends
CORNERS = {
    "one right": confident([0.7], [1]),
    "one wrong": confident([0.7], [0]),
    "all equal": confident([0.8] * 5, [1, 1, 0, 1, 0]),
    "ends": confident([1.0, 1.0, 1.0, 0.02, 0.02, 0.6], [1, 0, 0, 1, 0, 0]),
    "few, far apart": confident([0.1, 0.5, 0.9], [1, 0, 1]),
    "two that cancel": confident([0.4, 0.6], [1, 0]),
    "ties": confident([0.25, 0.25, 0.5, 0.5, 0.5, 0.75, 1.0], [1, 0, 1, 1, 0, 0, 1]),
    "all wrong": confident([0.3, 0.9, 0.9], [0, 0, 0]),
    "random": half_confident(40, 0.1),
    "random with ties": half_confident(60, 0.05, digits=1),
}
EXTREMES = CORNERS | {
    "confidence 1, right and wrong": confident([1.0, 1.0, 0.95, 0.3], [1, 0, 1, 0]),
    "all certain and right": confident([1.0] * 5, [1] * 5),
    "certain and wrong": confident([1.0] * 21, [0] * 21),
    "all equal, a multiple of 13": confident([0.7] * 13, [1] * 13),
    "no resolution": confident([0.7] * 5, [1, 0, 1, 1, 0]),
    "on edges": confident([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 1, 0]),
    "on edges, float32": confident([0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 1.0], [1, 0, 1, 0, 1, 0, 1], torch.float32),
    "all in one bin": confident([0.71, 0.72, 0.73, 0.715], [1, 0, 1, 1]),
    "two classes, all tied": Predictions.from_probs(torch.full((6, 2), 0.5), torch.tensor([0, 1, 0, 0, 1, 1])),
    "two classes": sample(300, 2, 2.0, 1),
    "1,000 classes, float32": sample(100, 1000, 3.0, 3, torch.float32),
    "exact zeros and ones": sample(200, 5, 400.0, 4),
    "many": sample(1500, 10, 1.5, 5),
    "many, float32": sample(1500, 3, 0.5, 6, torch.float32),
}


HARD = {
    "as drawn": drawn(1000),
    "thousand classes": drawn(40, 1000),
    "two classes": drawn(200, 2, 0.4),
    "on the edges": labeled([[0.2, 0.4, 0.4], [0.1, 0.3, 0.6], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25]] * 25),
    "all alike": labeled([[0.3, 0.3, 0.4]] * 30),
    "many ties": labeled([[0.9, 0.1]] * 70 + [[0.6, 0.4]] * 5 + [[0.55, 0.45]] * 20 + [[1.0, 0.0]] * 30),
    "equal logits": Predictions.from_logits(torch.zeros(12, 4), torch.arange(12) % 4),
    "far apart": Predictions.from_logits(1000 * torch.randn(50, 3, generator=seeded(2)), torch.arange(50) % 3),
    "a truth of probability 0": Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0])),
    "one row": drawn(1),
    "fewer than bins": drawn(3),
}

KINDS = ("width", "mass")
