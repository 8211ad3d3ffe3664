"""What the tests of figures draw: predictions, records, and their numbers by numpy."""

import numpy as np
import torch
from drawn_predictions import sample

from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.training.record import Record


def predictions(sharpness: float = 2.0, n: int = 2000, seed: int = 0) -> Predictions:
    return sample(n, 10, sharpness, seed, torch.float32)


def same(confidence: float, right: int, n: int) -> Predictions:
    """n predictions of one confidence, `right` of them right."""
    probs = torch.tensor([confidence, 1 - confidence], dtype=torch.float64).expand(n, 2)
    return Predictions.from_probs(probs, (torch.arange(n) >= right).long())


def sums(p: Predictions) -> Reliability:
    return Reliability().update(p.probs.to(p.given_dtype), p.labels)


def record(epoch: float, p: Predictions, accuracy: float = 0.0, loss: float = 0.0) -> Record:
    given = {"epoch": epoch, "reliability": sums(p), "test_accuracy": accuracy, "train_loss": loss}
    return Record(**(dict.fromkeys(Record.__dataclass_fields__, 0.0) | given))  # type: ignore[arg-type]


def numpy_of(p: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and whether the answer is right."""
    probs = p.probs.numpy()
    return probs.max(1).astype(np.float64), probs.argmax(1) == p.labels.numpy()


OVER, COOLED, MODEST = predictions(), predictions(1.0), predictions(0.5)
