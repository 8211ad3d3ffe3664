"""Prediction sets drawn by a known law, and some that are hard."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from mixlab.calibration.predictions import Predictions


def sample(n: int, classes: int, sharpness: float, seed: int) -> tuple[Tensor, Tensor]:
    """Probabilities whose labels are drawn at sharpness 1: sharper ones are over-confident, others under-confident."""
    g = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=g, dtype=torch.float64)
    return (sharpness * logits).softmax(1), torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]


def drawn_at(n: int, classes: int = 5, spread: float = 3.0, true: float = 2.0, *, seed: int = 0) -> Predictions:
    """Logits that are right at temperature `true`."""
    stream = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n, classes, generator=stream, dtype=torch.float64)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=stream)[:, 0]
    return Predictions.from_logits(logits, labels)


def mean_nll(logits: np.ndarray, labels: Tensor) -> float:
    rows = np.arange(len(logits))
    return float(np.mean(logsumexp(logits, axis=1) - logits[rows, labels.numpy()]))


def drawn(rows: int, classes: int = 10, factor: float = 2.0, seed: int = 0) -> Predictions:
    """Labels drawn by a softmax, and its logits times `factor`: over-confident above 1, and best at T = factor."""
    g = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(rows, classes, generator=g)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    return Predictions.from_logits(factor * logits, labels)


def labeled(probs: list[list[float]], seed: int = 0) -> Predictions:
    """Given probabilities, with labels at random."""
    g = torch.Generator().manual_seed(seed)
    return Predictions.from_probs(torch.tensor(probs), torch.randint(len(probs[0]), (len(probs),), generator=g))


HARD = {
    "as drawn": drawn(1000),
    "thousand classes": drawn(40, 1000),
    "two classes": drawn(200, 2, 0.4),
    "on the edges": labeled([[0.2, 0.4, 0.4], [0.1, 0.3, 0.6], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25]] * 25),
    "all alike": labeled([[0.3, 0.3, 0.4]] * 30),
    "many ties": labeled([[0.9, 0.1]] * 70 + [[0.6, 0.4]] * 5 + [[0.55, 0.45]] * 20 + [[1.0, 0.0]] * 30),
    "equal logits": Predictions.from_logits(torch.zeros(12, 4), torch.arange(12) % 4),
    "far apart": Predictions.from_logits(
        1000 * torch.randn(50, 3, generator=torch.Generator().manual_seed(2)), torch.arange(50) % 3
    ),
    "a truth of probability 0": Predictions.from_probs(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0])),
    "one row": drawn(1),
    "fewer than bins": drawn(3),
}


KINDS = ("width", "mass")
