"""The exercises of lessons 00 to 03: a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

import torch
from answers import answered
from scipy.stats import beta
from seeding import seeded
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

import mixlab as mx
from mixlab.exercises import lesson_00, lesson_01, lesson_02, lesson_03
from mixlab.exercises.verdict import STILL_OPEN


def soft(*weights: tuple[int, float]) -> Tensor:
    label = torch.zeros(10)
    for place, weight in weights:
        label[place] = weight
    return label


def sampled(alpha: float, n: int) -> Tensor:
    return mx.sample_lambda(alpha, n, generator=seeded())


def piled_up(alpha: float, n: int) -> Tensor:
    """Draws as torch 2.14 makes them at a small α: a share m^(2α) of exact halves, the rest at the ends."""
    g = seeded()
    if alpha > 0.1:
        return sampled(alpha, n)
    pile = torch.rand(n, generator=g) < torch.finfo(torch.float64).tiny ** (2 * alpha)
    return torch.where(pile, 0.5, torch.rand(n, generator=g).round())


def underflowing(alpha: float, n: int) -> Tensor:
    """The Gamma numbers themselves, not their logarithms."""
    g = seeded()
    boosted, uniform = torch.distributions.Gamma(alpha + 1.0, 1.0).sample((2, n)), torch.rand(2, n, generator=g)
    gamma = boosted * uniform ** (1 / alpha)
    return gamma[0] / gamma.sum(0)


def each(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    a, b = cross_entropy(logits, y_a, reduction="none"), cross_entropy(logits, y_b, reduction="none")
    return lam * a + (1 - lam) * b


def averaged_first(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return (lam * cross_entropy(logits, y_a) + (1 - lam) * cross_entropy(logits, y_b)).mean()


def greedy(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return logits.zero_().sum() + lam.zero_().sum()


def bins_averaged(rel: mx.Reliability) -> Tensor:
    bins = rel.bins()
    full = bins.count > 0
    return (bins.confidence - bins.accuracy)[full].mean()


def with_empty_bins(rel: mx.Reliability) -> Tensor:
    bins = rel.bins()
    return (bins.count * (bins.confidence - bins.accuracy)).sum() / bins.count.sum()


def box_misses(pixels: float) -> float:
    return float(beta.sf(1 - pixels**2, 0.2, 0.2))


RIGHT: dict[str, list[Any]] = {
    "lambda/theta_bar": [0.8385],
    "lambda/half_visible": [torch.tensor(0.375)],
    "lambda/sampler": [
        lambda alpha, n: beta(alpha, alpha).rvs(n, random_state=3),
        lambda alpha, n: sampled(alpha, n).tolist(),
    ],
    "two_images/soft_label": [
        0.7 * one_hot(torch.tensor(2), 10) + 0.3 * one_hot(torch.tensor(5), 10),
        [0, 0, 0.7, 0, 0, 0.3, 0, 0, 0, 0],
    ],
    "two_images/nothing": [0.082],
    "two_images/loss": [mx.mixed_cross_entropy],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "start/partner_share": [
        (0.7, "0.7 is λ itself"),
        (0.5, "0.5 is an even split"),
    ],
    "start/confidence_gap": [
        (0.19, "a function confidence_gap(rel), but you gave 0.19"),
        (lambda _: ..., STILL_OPEN),
        (with_empty_bins, "yours is NaN"),
        (bins_averaged, "-0.0125 is the mean over bins"),
        (lambda _: -0.19, "-0.19 is accuracy minus confidence"),
        (lambda rel: rel.ece(), "0.33 is the ECE"),
        (lambda rel: rel.gap(), "your answer raised AttributeError: 'Reliability' object has no attribute 'gap'"),
    ],
    "live/floor": [
        (0.5, "0.5 is λ"),
        (1.0, "1 is in bits"),
        (math.log(2) / 2, "0.346574 is half of it"),
    ],
    "live/seeds": [
        (2 * math.sqrt(3 / 10), "1.09545 is right in 1/√n"),
        (2 * 2.26 / 4.30, "1.05116 is right in t"),
        (2 * 2.26 / 4.30 * 3 / 10, "0.315349 is as if the width fell like 1/n"),
    ],
    "live/slower": [
        (25, "a function slower_percent(plain, mixed), but you gave 25"),
        (lambda *_: ..., STILL_OPEN),
        (lambda plain, mixed: 100 * (1 - mixed.images_per_second / plain.images_per_second), "20 is the loss of speed"),
        (lambda plain, mixed: plain.images_per_second / mixed.images_per_second, "1.25 is a ratio of times"),
    ],
    "lambda/theta_bar": [
        (0.5, "0.5 is the mean of λ itself"),
        (torch.tensor(0.1602), "0.1602 is the smaller share"),
        (0.3398, "0.3398 is the mean distance of λ from one half"),
        (0.75, "0.75 is θ̄ at α = 1"),
        (0.8988, "0.8988 is θ̄ at α = 0.2"),
        ("0.84", "a number, but you gave '0.84'"),
        (torch.ones(9), "one number, but you gave a float32 tensor of shape [9]: take its mean?"),
        (torch.ones(9).numpy(), "one number, but you gave array("),
    ],
    "lambda/half_visible": [
        (0.2, "at α = 0.2, 32.7 of 100 mixes are visible; a larger α"),
        (1, "at α = 1, 80.0 of 100 mixes are visible; a smaller α"),
        (0, "α must be a number from 1e-06 to 1e+06, got 0"),
        ("small", "α must be a number from 1e-06 to 1e+06, got 'small'"),
    ],
    "lambda/sampler": [
        (0.5, "a function draw(alpha, n), but you gave 0.5"),
        (lambda *_: None, STILL_OPEN),
        (lambda _, n: torch.rand(2, n), "20000 numbers, shape [20000], but its shape is [2, 20000]"),
        (piled_up, "at α = 0.001, 24 of 100 draws are exactly one half"),
        (underflowing, "draw(0.001, 20000) holds NaN"),
        (lambda _, n: torch.linspace(0, 2, n), "draw(1, 20000) must lie in [0, 1], but goes from 0 to 2"),
        (lambda _, n: torch.linspace(0, 1, n), "at α = 0.2, 80.00 of 100 draws lie between 0.1 and 0.9"),
        (lambda alpha, n: sampled(alpha, n).sub(0.5).abs() + 0.5, "at α = 1, 0.00 of 100 draws lie below one half"),
    ],
    "two_images/soft_label": [
        (0.7 * 2 + 0.3 * 5, "2.9 is one number"),
        ([0.7, 0.3], "10 classes, shape [10], but yours has [2]"),
        (one_hot(torch.tensor(2), 10) + one_hot(torch.tensor(5), 10), "sum to 1, but yours sum to 2"),
        (soft((2, 0.3), (5, 0.7)), "the weights are swapped"),
        (soft((2, 1.0)), "yours has 1 at 2"),
        (soft((3, 0.7), (6, 0.3)), "yours has 0.7 at 3, 0.3 at 6"),
    ],
    "two_images/nothing": [
        (box_misses(2 / 32), "0.173683 is right for 32 × 32 pixels"),
        (box_misses(1 / 224), "0.0604059 is P(side < 1)"),
        (box_misses(math.sqrt(2 / 224)), "0.205047 is P(λ > 1 − 2/224)"),
        (1 - box_misses(2 / 224), "0.920293 is the share of mixes that do paste something"),
    ],
    "two_images/loss": [
        (1.0, "a function loss(logits, y_a, y_b, lam), but you gave 1.0"),
        (lambda *_: None, STILL_OPEN),
        (each, "yours has shape [6]: take the mean"),
        (lambda *given: each(*given).sum(), "the sum over the batch: take the mean"),
        (lambda z, a, b, lam: each(z, a, b, 1 - lam).mean(), "swapped"),
        (averaged_first, "reduction='none'"),
        (lambda z, a, _, lam: (lam * cross_entropy(z, a, reduction="none")).mean(), "yours has forgotten y_b"),
        (lambda z, a, *_: cross_entropy(z, a), "the plain loss of y_a"),
        (lambda z, *rest: each(z.softmax(1), *rest).mean(), "yours gives 2.2779"),
        (greedy, "yours gives 0.0000, and the soft-label cross entropy is 2.4923"),  # not of what it has changed
    ],
}
LESSONS = (lesson_00, lesson_01, lesson_02, lesson_03)


test_answers = answered([name for lesson in LESSONS for name in lesson.EXERCISES], RIGHT, WRONG)
