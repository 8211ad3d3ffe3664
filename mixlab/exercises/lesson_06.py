"""The exercises of lesson 06, Puzzle Mix."""

from typing import Any

import torch
from torch import Tensor

from mixlab.exercises.verdict import Verify, near, result_of


def _label(answer: Any) -> str | None:
    """λ of a mask with nine blocks at 1, four at ½ and three at 0."""
    slips = {
        "right if a block at ½ were all of x; it shows half of it": 13 / 16,
        "right if a block at ½ showed nothing of x; it shows half of it": 9 / 16,
        "the weight of the label of x′; that of x is the rest": 5 / 16,
        "the sum of the mask; λ is its mean": 11.0,
    }
    return near(answer, 11 / 16, within=1e-4, slips=slips)


def _smoothness(answer: Any) -> str | None:
    """A function smoothness(m, beta): β/(16 b) · Σ (mᵢ − mⱼ)² over pairs of blocks that share a border."""
    # On this mask rows, columns, wrapped borders and |mᵢ − mⱼ| have sums of their own, so that no slip hides another.
    m = torch.tensor([[0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5], [0.5, 0, 0.5, 0], [0, 1, 0.5, 1]], dtype=torch.float64)
    given = result_of(answer, "smoothness(m, beta)", m, 1.2)
    if isinstance(given, Tensor) and given.ndim:
        return f"the smoothness is one number, but yours has shape {list(given.shape)}: take the sum."
    down, across = (float(m.diff(dim=axis).square().sum()) for axis in (0, 1))
    steps = float(m.diff(dim=0).abs().sum() + m.diff(dim=1).abs().sum())
    round_the_edge = sum(float((m - m.roll(1, axis)).square().sum()) for axis in (0, 1))
    price = 1.2 / 64
    slips = {
        "right without β/(16 b) in front": down + across,
        "right with β/16 in front; b = 4 is missing": 1.2 / 16 * (down + across),
        "multiplied by b = 4; divide by it": 1.2 / 16 * 4 * (down + across),
        "right with 16 blocks for b; b is the 4 blocks on a side": 1.2 / 16 / 16 * (down + across),
        "each border counted twice": 2 * price * (down + across),
        "the borders between rows alone; those between columns are missing": price * down,
        "the borders between columns alone; those between rows are missing": price * across,
        "the sum of |mᵢ − mⱼ|; square the differences": price * steps,
        "with the first row and column beside the last; they share no border": price * round_the_edge,
        "right with β = 1; β is an argument": (down + across) / 64,
    }
    wrong = near(given, price * (down + across), within=1e-6, slips=slips)
    return wrong and f"on a mask of 4 by 4 blocks with β = 1.2: {wrong}"


def _equal_seconds(answer: Any) -> str | None:
    """Epochs of 34 s in the time of 300 epochs of 50 s, exact or rounded down."""
    slips = {
        "the wrong way around: the plain epoch is the shorter one, so more of them fit": 300 * 34 / 50,
        "at equal epochs; the time is to be equal": 300.0,
        "rounded up, and the last epoch would end too late; give 300 · 50 / 34, exact or rounded down": 442.0,
        "how many more; give all of them": 300 * 50 / 34 - 300,
        "the seconds in all; divide by those of a plain epoch": 15000.0,
    }
    return near(answer, 300 * 50 / 34, within=0.5, slips=slips)


EXERCISES: dict[str, Verify] = {
    "puzzle/label": _label,
    "puzzle/smoothness": _smoothness,
    "puzzle/equal_seconds": _equal_seconds,
}
