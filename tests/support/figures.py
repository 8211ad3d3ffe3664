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


def kernel_weights(at: np.ndarray, confidence: np.ndarray, bandwidth: float) -> np.ndarray:
    """[at, rows]: shares in a kernel regression, by the images of a Gaussian reflected at 0 and 1."""
    turns = 2 * np.arange(-4, 5)[:, None]
    mirrored = np.concatenate([confidence + turns, turns - confidence])
    weight = np.exp(-(((at[:, None, None] - mirrored) / bandwidth) ** 2) / 2).sum(1)
    return weight / weight.sum(1, keepdims=True)


OVER, COOLED, MODEST = predictions(), predictions(1.0), predictions(0.5)
RUN = [record(1, OVER, 0.5, 1.5), record(2, COOLED, 0.625, 1.25)]
