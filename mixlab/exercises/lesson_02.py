"""The exercises of lesson 02, two images, one label."""

from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, alike, near, result_of
from mixlab.mixing.losses import mixed_cross_entropy


def _soft_label(answer: Any) -> str | None:
    """The soft label of λ = 0.7, y_a = 2, y_b = 5, in 10 classes."""
    if isinstance(answer, (int, float)) or (isinstance(answer, Tensor) and answer.ndim == 0):
        return f"{float(answer):g} is one number; class numbers have no in-between. Blend the one-hot vectors."
    label = torch.as_tensor(answer, dtype=torch.float64)
    if label.shape != (10,):
        return f"a soft label has one number for each of the 10 classes, shape [10], but yours has {list(label.shape)}."
    total = float(label.sum())
    if abs(total - 1) > 1e-4:
        return f"the weights of a soft label sum to 1, but yours sum to {total:g}."
    right = torch.zeros(10, dtype=torch.float64)
    right[2], right[5] = 0.7, 0.3
    if torch.allclose(label, right, atol=1e-4):
        return None
    swapped = torch.zeros(10, dtype=torch.float64)
    swapped[2], swapped[5] = 0.3, 0.7
    if torch.allclose(label, swapped, atol=1e-4):
        return "the weights are swapped: λ = 0.7 belongs to y_a = 2, the example itself."
    held = ", ".join(f"{weight:g} at {place}" for place, weight in enumerate(label.tolist()) if abs(weight) > 1e-4)
    return f"class 2 must weigh 0.7 and class 5 the rest, but yours has {held}."


def _nothing(answer: Any) -> str | None:
    """P(CutMix pastes nothing) at α = 0.2 on 224 × 224 pixels."""
    from scipy.stats import beta

    def above(pixels: float) -> float:
        return float(beta.sf(1 - pixels**2, 0.2, 0.2))

    slips = {
        "right for 32 × 32 pixels; here the side is 224": above(2 / 32),
        "P(side < 1); a box of side 1 has half a side of 0 pixels, so it pastes nothing either": above(1 / 224),
        "P(λ > 1 − 2/224); the side is 224 · √(1 − λ), with a root": above((2 / 224) ** 0.5),
        "the share of mixes that do paste something; the rest is wanted": 1 - above(2 / 224),
    }
    return near(answer, above(2 / 224), within=0.004, slips=slips)


def _loss(answer: Any) -> str | None:
    """A function loss(logits, y_a, y_b, lam) that equals mixed_cross_entropy."""
    g = torch.Generator().manual_seed(7)
    logits = torch.randn(6, 10, generator=g)
    y_a, y_b = torch.randint(10, (2, 6), generator=g)
    lam = torch.rand(6, generator=g)
    value = torch.as_tensor(result_of(answer, "loss(logits, y_a, y_b, lam)", logits, y_a, y_b, lam))
    if value.ndim != 0:
        return f"the loss is one number for the batch, but yours has shape {list(value.shape)}: take the mean."
    each_a = mixed_cross_entropy(logits, y_a, y_a, lam, reduction="none")
    each_b = mixed_cross_entropy(logits, y_b, y_b, lam, reduction="none")
    right = mixed_cross_entropy(logits, y_a, y_b, lam)
    slips = {
        "λ must weigh y_a and 1 − λ must weigh y_b, but yours has them swapped.": (
            (1 - lam) * each_a + lam * each_b
        ).mean(),
        "yours is the sum over the batch: take the mean.": right * len(lam),
        "each example has its own λ, but yours averages before it weighs: take each example's loss with "
        "reduction='none', weigh it by its own λ, then average.": lam.mean() * each_a.mean()
        + (1 - lam.mean()) * each_b.mean(),
        "yours has forgotten y_b.": (lam * each_a).mean(),
        "yours is the plain loss of y_a: the partner's label is missing.": each_a.mean(),
    }
    otherwise = (
        f"on six examples yours gives {float(value):.4f}, and the soft-label cross entropy is {float(right):.4f}."
    )
    return alike(value, right, slips, otherwise)


EXERCISES: dict[str, Verify] = {
    "two_images/soft_label": _soft_label,
    "two_images/nothing": _nothing,
    "two_images/loss": _loss,
}
