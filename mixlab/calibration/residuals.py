"""Residuals, and intervals of errors without bins, from worlds in which residuals are smaller."""

from collections.abc import Callable

import torch
from torch import Tensor

from mixlab.calibration.bootstrap import WORLDS, invert
from mixlab.calibration.intervals import tails_of
from mixlab.calibration.predictions import Predictions


def residuals(predictions: Predictions) -> Tensor:
    """1 or 0 for right or wrong, less the confidence: [N] float64."""
    return predictions.correct.double() - predictions.confidence


def residual_interval(
    predictions: Predictions,
    value: float,
    level: float,
    *,
    field: Tensor,
    noise: Callable[[Tensor], Tensor],
    norm: Callable[[Tensor], Tensor],
    truth: Callable[[float], float],
) -> tuple[float, float]:
    """Interval of the error `value`, a norm of a field of residuals, its low end by `bootstrap.invert`.

    The worlds go from a calibrated one to the one seen. With right answers at the share
    conf + fraction (correct - conf), a residual's second moment is the mix, at that fraction, of conf (1 - conf) and of
    its square seen; and so is the noise a mix of two independent ones.

    A norm is the largest of some sums of residuals, each with a weight from -1 to 1. The sum that is largest for the
    truth is at most `value` for the field seen, and its noise has at most the spread of the mean residual: so the high
    end is the normal one of the value with that spread.

    Args:
        predictions: predictions of N examples.
        value: is the error seen.
        level: is the level of confidence, 0.5 to 0.999.
        field: [T], what residuals add up to at each of T places.
        noise: draws [n, T] of the field, given what each example [N] adds to the variance of the mean residual.
        norm: turns fields [n, T] into errors [n].
        truth: is the error where residuals are a fraction of those seen.
    """
    conf = predictions.confidence
    calibrated = noise(conf * (1 - conf) / len(predictions) ** 2)
    seen = noise((residuals(predictions) / len(predictions)).square())
    fractions = [world / (WORLDS - 1) for world in range(WORLDS)]
    draws = [norm(s * field + (1 - s) ** 0.5 * calibrated + s**0.5 * seen) for s in fractions]
    truths = torch.tensor([truth(s) for s in fractions], dtype=torch.float64, device="cpu")
    tails = tails_of(level)
    low, _ = invert(value, truths, torch.stack(draws).double(), tails)
    spread = float(residuals(predictions).square().sum()) ** 0.5 / len(predictions)
    return low, min(value + float(torch.special.ndtri(tails[1])) * spread, 1.0)
