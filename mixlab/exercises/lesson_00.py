"""The exercises of lesson 00, start here."""

from typing import Any

import torch
from torch import Tensor

from mixlab.calibration.reliability import Reliability
from mixlab.exercises.verdict import Verify, near, result_of


def _partner_share(answer: Any) -> str | None:
    """The weight of the partner's label at λ = 0.7."""
    slips = {"λ itself, the weight of the cat; the dog gets the rest": 0.7, "an even split; λ decides": 0.5}
    return near(answer, 0.3, within=1e-6, slips=slips)


def _confidence_gap(answer: Any) -> str | None:
    """A function of a Reliability that gives mean confidence minus accuracy over all answers."""
    confidence = torch.tensor([0.95] * 8 + [0.65] * 2)
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 0, 0])  # 5 of 8 right where 0.95 was claimed, 2 of 2 at 0.65
    rel = Reliability().update(torch.stack([confidence, 1 - confidence], 1), labels)
    given = result_of(answer, "confidence_gap(rel)", rel)
    if isinstance(given, Tensor) and given.isnan().any():
        return "yours is NaN: an empty bin has no confidence. Keep the bins with a count."
    truth = 0.89 - 0.7
    slips = {
        "the mean over bins; weigh each bin by its count": ((0.95 - 5 / 8) + (0.65 - 1)) / 2,
        "accuracy minus confidence; swap the two": -truth,
        "the ECE: it drops the signs, and here errors of both directions must cancel": rel.ece(),
    }
    return near(given, truth, within=1e-6, slips=slips)


EXERCISES: dict[str, Verify] = {
    "start/partner_share": _partner_share,
    "start/confidence_gap": _confidence_gap,
}
