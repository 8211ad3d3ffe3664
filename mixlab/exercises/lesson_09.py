"""The exercises of lesson 09, why it works."""

from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, near, result_of


def _step(answer: Any) -> str | None:
    """The distance of (1, 0) from (0.6, 0.4)."""
    slips = {
        "one class alone; the norm has both": 0.4,
        "the sum of both differences; the norm takes the root of the sum of their squares": 0.8,
        "the square of the norm; take its root": 0.32,
        "the distance to the other answer, (0, 1)": 0.72**0.5,
        "the gap at λ = ½": 0.5**0.5,
        "right in size; a norm is not negative": -(0.32**0.5),
    }
    return near(answer, 0.32**0.5, within=6e-3, slips=slips)  # two digits will do


def _gap(answer: Any) -> str | None:
    """A function mean_gap(f, x, x_prime, lam): the mean over pairs of the norm over classes."""
    g = torch.Generator().manual_seed(9)
    x, x_prime = torch.randn(2, 6, 3, 4, generator=g)
    weight = 2 * torch.randn(12, 5, generator=g)

    def f(inputs: Tensor) -> Tensor:
        return (inputs.flatten(1) @ weight).softmax(1)

    given = result_of(answer, "mean_gap(f, x, x_prime, lam)", f, x, x_prime, 0.3)
    if isinstance(given, Tensor) and given.ndim:
        return f"the mean gap is one number, but yours has shape {list(given.shape)}."

    def apart(value: Tensor, share: float = 0.3) -> Tensor:
        return value - (share * f(x) + (1 - share) * f(x_prime))

    gaps = apart(f(0.3 * x + 0.7 * x_prime))
    slips = {
        "the norm of the mean over pairs, in which pairs cancel; take the norm of each pair first": gaps.mean(0).norm(),
        "the norm over all pairs at once; take it over classes, dim=1, and then the mean": gaps.norm(),
        "the sum over pairs; take the mean": gaps.norm(dim=1).sum(),
        "with absolute differences summed; the norm takes squares": gaps.abs().sum(1).mean(),
        "with λ and 1 − λ swapped in the chord": apart(f(0.3 * x + 0.7 * x_prime), 0.7).norm(dim=1).mean(),
        "with λ and 1 − λ swapped in the blend": apart(f(0.7 * x + 0.3 * x_prime)).norm(dim=1).mean(),
        "the squared norm; take its root": gaps.square().sum(1).mean(),
    }
    wrong = near(given, float(gaps.norm(dim=1).mean()), within=1e-4, slips={k: float(v) for k, v in slips.items()})
    return wrong and f"on six pairs at λ = 0.3: {wrong}"


def _rescale(answer: Any) -> str | None:
    """The second derivative with respect to a weight ten times as large, where it was 8."""
    slips: dict[str, float] = {
        "what holds for v, which became smaller": 800.0,
        "how the first derivative changes; the second takes the factor twice": 0.8,
        "what it was; the loss is the same, but a step of the larger weight counts less": 8.0,
        "the first derivative's factor the wrong way around": 80.0,
        "the factor alone": 0.01,
    }
    return near(answer, 0.08, within=1e-3, slips=slips)


EXERCISES: dict[str, Verify] = {
    "why/step": _step,
    "why/gap": _gap,
    "why/rescale": _rescale,
}
