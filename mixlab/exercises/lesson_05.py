"""The exercises of lesson 05, manifold mixup."""

from typing import Any

import torch

from mixlab.exercises.verdict import Verify, near, result_of


def _mix(answer: Any) -> str | None:
    """A function mix(hidden, partner, lam) that blends hidden states of any shape [B, ...] with those of partners."""
    g = torch.Generator().manual_seed(5)
    partner, lam = torch.tensor([2, 0, 3, 1]), torch.tensor([0.9, 0.6, 0.3, 0.2])
    for shape in ((4, 4, 4, 4), (4, 5)):  # in the first a λ of too few axes broadcasts along another axis of length 4
        hidden = torch.randn(shape, generator=g)
        value = torch.as_tensor(result_of(answer, "mix(hidden, partner, lam)", hidden, partner, lam))
        of = f"for hidden states {list(shape)}"
        if value.shape != hidden.shape:
            return f"{of} the mix must have the same shape, but yours has {list(value.shape)}."
        weight, *misplaced = (
            lam.view(-1, *[1] * axes) for axes in reversed(range(len(shape))) if shape[-1 - axes] == 4
        )
        slips = {
            None: [weight],
            "λ must weigh the example and 1 − λ its partner, but yours has them swapped.": [1 - weight],
            "each example has its own λ, but yours weighs all by their mean.": [lam.mean()],
            "yours weighs another axis than the first by λ: give λ an axis of length 1 for each axis after the first, "
            "as in lam.view(-1, *[1] * (hidden.ndim - 1)).": misplaced,
        }
        mixes = [(words, each * hidden + (1 - each) * hidden[partner]) for words, own in slips.items() for each in own]
        fits = [words for words, right in mixes if torch.allclose(value.float(), right, atol=1e-5)]
        if not fits:
            return f"{of} yours is something other than λ · hidden + (1 − λ) · hidden[partner]."
        if fits[0] is not None:
            return fits[0]
    return None


def _directions(answer: Any) -> str | None:
    """dim(H) − d + 1 at 96 hidden numbers and 10 classes."""
    slips: dict[str, float] = {
        "dim(H) − d; the read-out needs d − 1 directions, since the weights of a label sum to 1": 86.0,
        "what the read-out needs, d − 1; the class keeps the rest": 9.0,
        "all of them; the read-out needs some": 96.0,
        "the number of classes": 10.0,
    }
    return near(answer, 87, within=0.1, slips=slips)


def _rate(answer: Any) -> str | None:
    """The learning rate of cross entropy that equals 0.2 of a loss whose gradient is 2/d of its own, at d = 10."""
    slips = {
        "the wrong way around: gradients of cross entropy are larger, so its learning rate must be smaller": 1.0,
        "the same; but gradients of cross entropy are d/2 times as large": 0.2,
        "0.2 / d; the gradients differ by 2/d": 0.02,
        "0.2 / (d − 1), right at the start; with two classes left the gradients differ by 2/d": 0.2 / 9,
    }
    return near(answer, 0.04, within=2.5e-4, slips=slips)


EXERCISES: dict[str, Verify] = {
    "manifold/mix": _mix,
    "manifold/directions": _directions,
    "manifold/rate": _rate,
}
