"""The exercises of lesson 04, multi-mix."""

from typing import Any

import torch

from mixlab import _check
from mixlab.exercises.verdict import Verify, alike, near, result_of


def _blends(answer: Any) -> str | None:
    """A function blends(x, partner, lam) that gives the K blends of each pair, [K * B, ...] and k-major."""
    g = torch.Generator().manual_seed(3)
    x, partner = torch.rand(4, 2, 3, 3, generator=g), torch.tensor([1, 3, 0, 2])
    lam = torch.rand(3, 4, generator=g)
    value = result_of(answer, "blends(x, partner, lam)", x, partner, lam)
    if not isinstance(value, torch.Tensor):
        return f"yours must be one tensor [K * B, ...], but is {_check.shown(value)}: join the blends with torch.cat."
    weight = lam[:, :, None, None, None]
    blends = weight * x + (1 - weight) * x[partner]
    if value.shape == blends.shape:
        return "the values have shape [K, B, ...]; flatten the first two axes, for the network takes one batch."
    if value.shape != (12, 2, 3, 3):
        return f"3 blends of each of 4 pairs are 12 images, [12, 2, 3, 3], but yours are {list(value.shape)}."
    slips = {
        "λ must weigh the example and 1 − λ its partner, but yours has them swapped.": (
            (1 - weight) * x + weight * x[partner]
        ).flatten(0, 1),
        "the K blends of one pair lie side by side; k-major has all pairs of the first λ, then all of the second.": (
            blends.transpose(0, 1).flatten(0, 1)
        ),
    }
    otherwise = "yours is something other than λ_k · x + (1 − λ_k) · x[partner]."
    return alike(value, blends.flatten(0, 1), slips, otherwise)


def _plateau(answer: Any) -> str | None:
    """V(∞)/V(1) from V(1) = 1 and V(5) = 0.8."""
    slips = {
        "what five blends reach; more of them go lower": 0.8,
        "the part of λ; what stays is the part of the pairs": 0.25,
        "what five blends take away; the question is what stays": 0.2,
    }
    return near(answer, 0.75, within=0.004, slips=slips)


def _budget(answer: Any) -> str | None:
    """V(K = 5, 32 pairs) over V(K = 1, 160 pairs), at V_pairs = 0.75 and V_λ = 0.25 for 32 pairs."""
    slips = {
        "the wrong way around; the larger batch has the lower variance": 0.25,
        "five blends over one on the same pairs; here the other one has five times the pairs": 0.8,
        "as if five blends took nothing away": 5.0,
        "V(160 pairs, K = 1) alone; divide V(32 pairs, K = 5) by it": 0.2,
    }
    return near(answer, 4.0, within=0.02, slips=slips)


EXERCISES: dict[str, Verify] = {
    "multimix/blends": _blends,
    "multimix/plateau": _plateau,
    "multimix/budget": _budget,
}
