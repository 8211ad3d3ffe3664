"""The exercises of the lessons: for each a function that says what is wrong with an answer, or None."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.reliability import Reliability
from mixlab.exercises.check import STILL_OPEN, Verify, near
from mixlab.exercises.lesson_04 import EXERCISES_04
from mixlab.exercises.lesson_05 import EXERCISES_05
from mixlab.exercises.lesson_06 import EXERCISES_06
from mixlab.exercises.lesson_07 import EXERCISES_07
from mixlab.exercises.lesson_08 import EXERCISES_08
from mixlab.mixing.beta import ALPHA_MAX, ALPHA_MIN, lambda_moments
from mixlab.mixing.losses import mixed_cross_entropy


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
    if not callable(answer):
        return f"the answer is a function draw(alpha, n), but you gave {_check.shown(answer)}."
    return next((wrong for alpha in (1.0, 0.2, 0.001) if (wrong := _draws(answer, alpha, 20_000))), None)


def _draws(draw: Callable[[float, int], Any], alpha: float, n: int) -> str | None:
    given = draw(alpha, n)
    if given is None or given is ...:
        return STILL_OPEN
    call = f"draw({alpha:g}, {n})"
    lam = torch.as_tensor(given, dtype=torch.float64)
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
    if not callable(answer):
        return f"the answer is a function loss(logits, y_a, y_b, lam), but you gave {_check.shown(answer)}."
    g = torch.Generator().manual_seed(7)
    logits = torch.randn(6, 10, generator=g)
    y_a, y_b = torch.randint(10, (2, 6), generator=g)
    lam = torch.rand(6, generator=g)
    given = answer(logits.clone(), y_a.clone(), y_b.clone(), lam.clone())
    if given is None or given is ...:
        return STILL_OPEN
    value = torch.as_tensor(given)
    if value.ndim != 0:
        return f"the loss is one number for the batch, but yours has shape {list(value.shape)}: take the mean."
    each_a = mixed_cross_entropy(logits, y_a, y_a, lam, reduction="none")
    each_b = mixed_cross_entropy(logits, y_b, y_b, lam, reduction="none")
    right = mixed_cross_entropy(logits, y_a, y_b, lam)
    if torch.allclose(value.float(), right, atol=1e-5):
        return None
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
    for words, slip in slips.items():
        if torch.allclose(value.float(), slip, atol=1e-5):
            return words
    return f"on six examples yours gives {float(value):.4f}, and the soft-label cross entropy is {float(right):.4f}."


def _partner_share(answer: Any) -> str | None:
    """The weight of the partner's label at λ = 0.7."""
    slips = {"λ itself, the weight of the cat; the dog gets the rest": 0.7, "an even split; λ decides": 0.5}
    return near(answer, 0.3, within=1e-6, slips=slips)


def _confidence_gap(answer: Any) -> str | None:
    """A function of a Reliability that gives mean confidence minus accuracy over all answers."""
    if not callable(answer):
        return f"the answer is a function confidence_gap(rel), but you gave {_check.shown(answer)}."
    confidence = torch.tensor([0.95] * 8 + [0.65] * 2)
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 0, 0])  # 5 of 8 right where 0.95 was claimed, 2 of 2 at 0.65
    rel = Reliability().update(torch.stack([confidence, 1 - confidence], 1), labels)
    given = answer(rel)
    if given is None or given is ...:
        return STILL_OPEN
    if isinstance(given, Tensor) and given.isnan().any():
        return "yours is NaN: an empty bin has no confidence. Keep the bins with a count."
    truth = 0.89 - 0.7
    slips = {
        "the mean over bins; weigh each bin by its count": ((0.95 - 5 / 8) + (0.65 - 1)) / 2,
        "accuracy minus confidence; turn it round": -truth,
        "the ECE: it drops the signs, and here errors of both directions must cancel": rel.ece(),
    }
    return near(given, truth, within=1e-6, slips=slips)


def _floor(answer: Any) -> str | None:
    """The highest entropy of a two-class label, in nats."""
    slips = {
        "λ; the loss there is wanted": 0.5,
        "in bits; give nats": 1.0,
        "half of it: both labels count": math.log(2) / 2,
    }
    return near(answer, math.log(2), within=0.005, slips=slips)


def _seeds(answer: Any) -> str | None:
    """The half-width of a t interval at n = 10, if it is 2.0 at n = 3 and the standard deviation stays."""
    slips = {
        "right in 1/√n, but t falls too, from 4.30 to 2.26": 2 * (3 / 10) ** 0.5,
        "right in t, but √n grows too": 2 * 2.26 / 4.30,
        "as if the width fell like 1/n; it falls like 1/√n": 2 * 2.26 / 4.30 * 0.3,
    }
    return near(answer, 2 * (2.26 / 10**0.5) / (4.30 / 3**0.5), within=0.02, slips=slips)


def _slower(answer: Any) -> str | None:
    """A function of two records that gives how many percent slower the second trained."""
    if not callable(answer):
        return f"the answer is a function slower_percent(plain, mixed), but you gave {_check.shown(answer)}."
    given = answer(SimpleNamespace(images_per_second=1000.0), SimpleNamespace(images_per_second=800.0))
    if given is None or given is ...:
        return STILL_OPEN
    slips = {
        "the loss of speed; the growth of time is wanted": 20.0,
        "turned round: slower is positive": -20.0,
        "a share; give percent": 0.25,
        "a ratio of times; subtract 1 and give percent": 1.25,
    }
    wrong = near(given, 25.0, within=1e-6, slips=slips)
    return wrong and f"from 1,000 down to 800 images a second: {wrong}"


EXERCISES: dict[str, Verify] = {
    "start/partner_share": _partner_share,
    "start/confidence_gap": _confidence_gap,
    "live/floor": _floor,
    "live/seeds": _seeds,
    "live/slower": _slower,
    "lambda/theta_bar": _theta_bar,
    "lambda/half_visible": _half_visible,
    "lambda/sampler": _sampler,
    "two_images/soft_label": _soft_label,
    "two_images/nothing": _nothing,
    "two_images/loss": _loss,
    **EXERCISES_04,
    **EXERCISES_05,
    **EXERCISES_06,
    **EXERCISES_07,
    **EXERCISES_08,
}
