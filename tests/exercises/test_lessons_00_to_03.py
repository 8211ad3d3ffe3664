"""The exercises: the folded solution passes, and a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

import lessons
import pytest
import torch
from scipy.stats import beta
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

import mixlab as mx
from mixlab.exercises import lesson_00, lesson_01, lesson_02, lesson_03
from mixlab.exercises.check import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN, Verdict, near

FROM_1000 = "from 1,000 down to 800 images a second: "
A_MEAN = ": take its mean?"
NOTHING_YET = "your function returns nothing yet: write its body, ending in return."


def soft(*weights: tuple[int, float]) -> Tensor:
    label = torch.zeros(10)
    for place, weight in weights:
        label[place] = weight
    return label


def piled_up(alpha: float, n: int) -> Tensor:
    """Draws as torch 2.14 makes them at a small α: a share m^(2α) of exact halves, the rest at the ends."""
    g = torch.Generator().manual_seed(0)
    if alpha > 0.1:
        return mx.sample_lambda(alpha, n, generator=g)
    pile = torch.rand(n, generator=g) < torch.finfo(torch.float64).tiny ** (2 * alpha)
    return torch.where(pile, 0.5, torch.rand(n, generator=g).round())


def underflowing(alpha: float, n: int) -> Tensor:
    """The Gamma numbers themselves, not their logarithms."""
    g = torch.Generator().manual_seed(0)
    boosted, uniform = torch.distributions.Gamma(alpha + 1.0, 1.0).sample((2, n)), torch.rand(2, n, generator=g)
    gamma = boosted * uniform ** (1 / alpha)
    return gamma[0] / gamma.sum(0)


def one_sided(alpha: float, n: int) -> Tensor:
    lam = mx.sample_lambda(alpha, n, generator=torch.Generator().manual_seed(0))
    return torch.maximum(lam, 1 - lam)


def each(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    a, b = cross_entropy(logits, y_a, reduction="none"), cross_entropy(logits, y_b, reduction="none")
    return lam * a + (1 - lam) * b


def no_mean(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return each(logits, y_a, y_b, lam)


def summed(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return each(logits, y_a, y_b, lam).sum()


def swapped(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return each(logits, y_a, y_b, 1 - lam).mean()


def averaged_first(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return (lam * cross_entropy(logits, y_a) + (1 - lam) * cross_entropy(logits, y_b)).mean()


def half_forgotten(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return (lam * cross_entropy(logits, y_a, reduction="none")).mean()


def unmixed(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return cross_entropy(logits, y_a)


def probabilities(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
    return each(logits.softmax(1), y_a, y_b, lam).mean()


def bins_averaged(rel: mx.Reliability) -> Tensor:
    bins = rel.bins()
    full = bins.count > 0
    return (bins.confidence - bins.accuracy)[full].mean()


def with_empty_bins(rel: mx.Reliability) -> Tensor:
    bins = rel.bins()
    return (bins.count * (bins.confidence - bins.accuracy)).sum() / bins.count.sum()


def box_misses(pixels: float) -> float:
    return float(beta.sf(1 - pixels**2, 0.2, 0.2))


WRONG: dict[str, list[tuple[Any, str]]] = {
    "start/partner_share": [
        (0.7, "0.7 is λ itself, the weight of the cat; the dog gets the rest."),
        (0.5, "0.5 is an even split; λ decides."),
        (0.2, "0.2 is too small."),
    ],
    "start/confidence_gap": [
        (0.19, "the answer is a function confidence_gap(rel), but you gave 0.19."),
        (lambda _: ..., NOTHING_YET),
        (with_empty_bins, "yours is NaN: an empty bin has no confidence. Keep the bins with a count."),
        (bins_averaged, "-0.0125 is the mean over bins; weigh each bin by its count."),
        (lambda _: -0.19, "-0.19 is accuracy minus confidence; turn it round."),
        (lambda rel: rel.ece(), "0.33 is the ECE: it drops the signs, and here errors of both directions must cancel."),
        (lambda rel: rel.gap(), "your answer raised AttributeError: 'Reliability' object has no attribute 'gap'"),
    ],
    "live/floor": [
        (0.5, "0.5 is λ; the loss there is wanted."),
        (1.0, "1 is in bits; give nats."),
        (math.log(2) / 2, "0.346574 is half of it: both labels count."),
        (2, "2 is too large."),
    ],
    "live/seeds": [
        (2 * math.sqrt(3 / 10), "1.09545 is right in 1/√n, but t falls too, from 4.30 to 2.26."),
        (2 * 2.26 / 4.30, "1.05116 is right in t, but √n grows too."),
        (2 * 2.26 / 4.30 * 3 / 10, "0.315349 is as if the width fell like 1/n; it falls like 1/√n."),
        (0.1, "0.1 is too small."),
    ],
    "live/slower": [
        (25, "the answer is a function slower_percent(plain, mixed), but you gave 25."),
        (lambda *_: ..., NOTHING_YET),
        (
            lambda plain, mixed: 100 * (1 - mixed.images_per_second / plain.images_per_second),
            FROM_1000 + "20 is the loss of speed; the growth of time is wanted.",
        ),
        (
            lambda plain, mixed: plain.images_per_second / mixed.images_per_second,
            FROM_1000 + "1.25 is a ratio of times; subtract 1 and give percent.",
        ),
    ],
    "lambda/theta_bar": [
        (0.5, "0.5 is the mean of λ itself, which is one half at every α; take the larger of λ and 1 − λ first."),
        (torch.tensor(0.1602), "0.1602 is the smaller share; the larger one is wanted."),
        (0.3398, "0.3398 is the mean distance of λ from one half; add the one half."),
        (0.75, "0.75 is θ̄ at α = 1; here α = 0.4."),
        (0.8988, "0.8988 is θ̄ at α = 0.2; here α = 0.4."),
        (0.8, "0.8 is too small."),
        ("0.84", "the answer is a number, but you gave '0.84'."),
        (torch.ones(9), f"the answer is one number, but you gave a float32 tensor of shape [9]{A_MEAN}"),
        (torch.ones(9).numpy(), f"the answer is one number, but you gave {torch.ones(9).numpy()!r}{A_MEAN}"),
    ],
    "lambda/half_visible": [
        (0.2, "at α = 0.2, 32.7 of 100 mixes are visible; a larger α is wanted."),
        (1, "at α = 1, 80.0 of 100 mixes are visible; a smaller α is wanted."),
        (0, "α must be a number from 1e-06 to 1e+06, got 0."),
        ("small", "α must be a number from 1e-06 to 1e+06, got 'small'."),
    ],
    "lambda/sampler": [
        (0.5, "the answer is a function draw(alpha, n), but you gave 0.5."),
        (lambda *_: None, NOTHING_YET),
        (
            lambda _, n: torch.rand(2, n),
            "draw(1, 20000) must give 20000 numbers, shape [20000], but its shape is [2, 20000].",
        ),
        (
            piled_up,
            (
                "at α = 0.001, 24 of 100 draws are exactly one half: both Gamma numbers fell to the smallest float. "
                "Draw log G, never G itself."
            ),
        ),
        (underflowing, "draw(0.001, 20000) holds NaN: a number underflowed to 0. Draw log G, never G itself."),
        (lambda _, n: torch.linspace(0, 2, n), "draw(1, 20000) must lie in [0, 1], but goes from 0 to 2."),
        (
            lambda _, n: torch.linspace(0, 1, n),
            "at α = 0.2, 80.00 of 100 draws lie between 0.1 and 0.9, where the law has 32.66.",
        ),
        (one_sided, "at α = 1, 0.00 of 100 draws lie below one half, where the law has 50.00."),
    ],
    "two_images/soft_label": [
        (0.7 * 2 + 0.3 * 5, "2.9 is one number; class numbers have no in-between. Blend the one-hot vectors."),
        ([0.7, 0.3], "a soft label has one number for each of the 10 classes, shape [10], but yours has [2]."),
        (
            one_hot(torch.tensor(2), 10) + one_hot(torch.tensor(5), 10),
            "the weights of a soft label sum to 1, but yours sum to 2.",
        ),
        (soft((2, 0.3), (5, 0.7)), "the weights are swapped: λ = 0.7 belongs to y_a = 2, the example itself."),
        (soft((2, 1.0)), "class 2 must weigh 0.7 and class 5 the rest, but yours has 1 at 2."),
        (soft((3, 0.7), (6, 0.3)), "class 2 must weigh 0.7 and class 5 the rest, but yours has 0.7 at 3, 0.3 at 6."),
    ],
    "two_images/nothing": [
        (box_misses(2 / 32), "0.173683 is right for 32 × 32 pixels; here the side is 224."),
        (
            box_misses(1 / 224),
            "0.0604059 is P(side < 1); a box of side 1 has half a side of 0 pixels, so it pastes nothing either.",
        ),
        (box_misses(math.sqrt(2 / 224)), "0.205047 is P(λ > 1 − 2/224); the side is 224 · √(1 − λ), with a root."),
        (1 - box_misses(2 / 224), "0.920293 is the share of mixes that do paste something; the rest is wanted."),
        (8, "8 is too large."),
    ],
    "two_images/loss": [
        (1.0, "the answer is a function loss(logits, y_a, y_b, lam), but you gave 1.0."),
        (lambda *_: None, NOTHING_YET),
        (no_mean, "the loss is one number for the batch, but yours has shape [6]: take the mean."),
        (summed, "yours is the sum over the batch: take the mean."),
        (swapped, "λ must weigh y_a and 1 − λ must weigh y_b, but yours has them swapped."),
        (
            averaged_first,
            (
                "each example has its own λ, but yours averages before it weighs: take each example's loss with "
                "reduction='none', weigh it by its own λ, then average."
            ),
        ),
        (half_forgotten, "yours has forgotten y_b."),
        (unmixed, "yours is the plain loss of y_a: the partner's label is missing."),
        (probabilities, "on six examples yours gives 2.2779, and the soft-label cross entropy is 2.4923."),
    ],
}
ROWS = [
    pytest.param(name, answer, message, id=f"{name}-{i}")
    for name, rows in WRONG.items()
    for i, (answer, message) in enumerate(rows)
]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_folded_solution_passes(name: str) -> None:
    exercise = lessons.exercises()[name]
    assert exercise.solution, f"{exercise.lesson} has no folded solution of {name}"
    verdict = lessons.value_of(exercise.solution, lessons.run_first_cell(exercise.lesson))
    assert verdict == Verdict(True, "well done.")


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_is_open_until_it_is_answered(name: str) -> None:
    exercise = lessons.exercises()[name]
    verdict = lessons.value_of(exercise.cell, lessons.run_first_cell(exercise.lesson))
    assert verdict.passed is None or verdict.message == NOTHING_YET


@pytest.mark.parametrize(("name", "answer", "message"), ROWS)
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Any, message: str) -> None:
    assert mx.check(name, answer) == Verdict(None if message == STILL_OPEN else False, message)


def test_every_exercise_has_wrong_answers_here() -> None:
    lessons_here = (lesson_00, lesson_01, lesson_02, lesson_03)
    assert set(WRONG) == {name for lesson in lessons_here for name in lesson.EXERCISES}


RIGHT: list[tuple[str, Any]] = [
    ("lambda/theta_bar", 0.8385),
    ("lambda/half_visible", torch.tensor(0.375)),
    ("lambda/sampler", lambda alpha, n: beta(alpha, alpha).rvs(n, random_state=3)),
    (
        "lambda/sampler",
        lambda alpha, n: mx.sample_lambda(alpha, n, generator=torch.Generator().manual_seed(0)).tolist(),
    ),
    ("two_images/soft_label", 0.7 * one_hot(torch.tensor(2), 10) + 0.3 * one_hot(torch.tensor(5), 10)),
    ("two_images/soft_label", [0, 0, 0.7, 0, 0, 0.3, 0, 0, 0, 0]),
    ("two_images/nothing", 0.082),
    ("two_images/loss", mx.mixed_cross_entropy),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_other_right_answers_pass_too(name: str, answer: Any) -> None:
    assert mx.check(name, answer).passed is True


def test_a_loss_may_not_spoil_the_next_attempt() -> None:
    def greedy(logits: Tensor, y_a: Tensor, y_b: Tensor, lam: Tensor) -> Tensor:
        return logits.zero_().sum() + lam.zero_().sum()

    mx.check("two_images/loss", greedy)
    assert mx.check("two_images/loss", mx.mixed_cross_entropy).passed is True


def test_an_unknown_exercise_names_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"^exercise must be one of .*, got 'lambda/thetabar'; did you mean 'lambda/theta_bar'\?$"
    ):
        mx.check("lambda/thetabar", 0.5)


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict(True, "well done."), "Right: well done."),
        (Verdict(False, "1 < 2."), "Not yet: 1 < 2."),
        (Verdict(None, "go on."), "Open: go on."),
    ],
)
def test_a_verdict_reads_the_same_everywhere(verdict: Verdict, text: str) -> None:
    assert str(verdict) == repr(verdict) == text
    assert f'">{text.replace("<", "&lt;")}</div>' in verdict._repr_html_()
    assert 'role="status"' in verdict._repr_html_()


def test_an_error_in_the_answer_is_shown_not_raised() -> None:
    def broken(alpha: float, n: int) -> Tensor:
        raise RuntimeError("no such luck")

    assert mx.check("lambda/sampler", broken).message == "your answer raised RuntimeError: no such luck"


@pytest.mark.parametrize(("answer", "message"), [(0.1, "0.1 is too small."), (0.9, "0.9 is too large."), (True, None)])
def test_a_number_is_compared(answer: Any, message: str | None) -> None:
    assert near(answer, 0.5, within=0.01) == (message or "the answer is a number, but you gave True.")
    assert near(0.505, 0.5, within=0.01) is None
