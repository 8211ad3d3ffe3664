"""The exercises of lesson 01, the law of λ."""

import math
from typing import Any

import torch

from mixlab import _check
from mixlab.exercises.verdict import Verify, near, result_of
from mixlab.mixing.beta import ALPHA_MAX, ALPHA_MIN, lambda_moments


def _theta_bar(answer: Any) -> str | None:
    """The larger share of a mix, on average, at α = 0.4: from at least 100,000 draws, or by the formula."""
    truth = lambda_moments(0.4).theta_bar
    slips = {
        "the mean of λ itself, which is one half at every α; take the larger of λ and 1 − λ first": 0.5,
        "the smaller share; the larger one is wanted": 1 - truth,
        "the mean distance of λ from one half; add the one half": truth - 0.5,
        "θ̄ at α = 1; here α = 0.4": lambda_moments(1).theta_bar,
        "θ̄ at α = 0.2; here α = 0.4": lambda_moments(0.2).theta_bar,
    }
    return near(answer, truth, within=0.003, slips=slips)


def _half_visible(answer: Any) -> str | None:
    """The α at which P(0.1 < λ < 0.9) = 0.5."""
    try:
        alpha = _check.number("α", answer, ALPHA_MIN, ALPHA_MAX)
    except (TypeError, ValueError) as error:
        return f"{error}."
    visible = lambda_moments(alpha).mixed_mass
    if abs(visible - 0.5) <= 0.01:
        return None
    way = "larger" if visible < 0.5 else "smaller"
    return f"at α = {alpha:g}, {100 * visible:.1f} of 100 mixes are visible; a {way} α is wanted."


def _sampler(answer: Any) -> str | None:
    """A function draw(alpha, n) that gives n draws of Beta(alpha, alpha), at every α."""
    return next((wrong for alpha in (1.0, 0.2, 0.001) if (wrong := _draws(answer, alpha, 20_000))), None)


def _draws(draw: Any, alpha: float, n: int) -> str | None:
    lam = torch.as_tensor(result_of(draw, "draw(alpha, n)", alpha, n), dtype=torch.float64)
    call = f"draw({alpha:g}, {n})"
    if lam.shape != (n,):
        return f"{call} must give {n} numbers, shape [{n}], but its shape is {list(lam.shape)}."
    if lam.isnan().any():
        return f"{call} holds NaN: a number underflowed to 0. Draw log G, never G itself."
    if lam.min() < 0 or lam.max() > 1:
        return f"{call} must lie in [0, 1], but goes from {float(lam.min()):g} to {float(lam.max()):g}."
    halves = float((lam == 0.5).double().mean())
    if halves > 0.01:
        return (
            f"at α = {alpha:g}, {100 * halves:.0f} of 100 draws are exactly one half: both Gamma numbers fell to the "
            "smallest float. Draw log G, never G itself."
        )
    truth = lambda_moments(alpha).mixed_mass
    for words, hits, law in (
        ("lie between 0.1 and 0.9", (lam > 0.1) & (lam < 0.9), truth),
        ("lie below one half", lam < 0.5, 0.5),
    ):
        share = float(hits.double().mean())
        if abs(share - law) > 5 * math.sqrt(law * (1 - law) / n):
            return f"at α = {alpha:g}, {100 * share:.2f} of 100 draws {words}, where the law has {100 * law:.2f}."
    return None


EXERCISES: dict[str, Verify] = {
    "lambda/theta_bar": _theta_bar,
    "lambda/half_visible": _half_visible,
    "lambda/sampler": _sampler,
}
