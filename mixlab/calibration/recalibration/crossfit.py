"""Every row calibrated by a fit that has not seen it."""

from collections.abc import Callable

import torch

from mixlab import _check
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.recalibration.temperature import fit_temperature


def crossfit(
    predictions: Predictions,
    fit: Callable[[Predictions], Callable[[Predictions], Predictions]],
    folds: int = 2,
    seed: int = 0,
) -> Predictions:
    """Every row calibrated by a fit on the other folds, so that all N can be measured though none were held out.

        before, after = p, mx.crossfit(p, mx.fit_temperature)

    Args:
        predictions: predictions.
        fit: such as fit_temperature: from Predictions to what calibrates Predictions, row by row.
        folds: in how many parts, of nearly equal size, from 2 to N.
        seed: seeds the parts.

    Returns:
        Predictions: the rows in their old order.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or range, or what `fit` raises.
    """
    check_predictions(predictions)
    if not callable(fit):
        raise TypeError(f"fit must be a function of Predictions, such as fit_temperature, got {_check.shown(fit)}")
    folds = _check.integer("folds", folds, 2, len(predictions))
    order = torch.randperm(
        len(predictions),
        generator=torch.Generator().manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX)),
        device="cpu",
    )
    parts = order.to(predictions.labels.device).tensor_split(folds)
    fitted = [
        fit(predictions[torch.cat(parts[:i] + parts[i + 1 :])])(predictions[part]) for i, part in enumerate(parts)
    ]
    back = torch.cat(parts).argsort()
    if any(part.given_logits is None for part in fitted):
        return Predictions.from_probs(
            torch.cat([part.probs for part in fitted])[back], predictions.labels, predictions.classes
        )
    return Predictions.from_logits(
        torch.cat([part.logits for part in fitted])[back], predictions.labels, predictions.classes
    )


def tempered(predictions: Predictions) -> Predictions:
    """Each half at the temperature of the other half; unchanged if all answers are right, or no better than chance."""
    try:
        return crossfit(predictions, fit_temperature)
    except ValueError:
        return predictions
