"""The exercises of lesson 13: a typical wrong answer is told what is wrong with it."""

from typing import Any

from answers import answered
from scipy.stats import false_discovery_control

from mixlab.exercises import lesson_13
from mixlab.exercises.verdict import STILL_OPEN


def by_scipy(p: list[float], rate: float) -> list[bool]:
    return (false_discovery_control(p) <= rate).tolist()


RIGHT: dict[str, list[Any]] = {"claims/decided": [by_scipy], "claims/cost": [60], "claims/worth": [1.25]}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "claims/decided": [
        (3, "a function decided(p, rate), but you gave 3"),
        (lambda *_: None, STILL_OPEN),
        (lambda *_: [True], "yours has shape [1]"),
        (lambda p, rate: [each <= rate / len(p) for each in p], "Bonferroni's choice"),
        (lambda p, _: [each in (0.001, 0.0235, 0.024) for each in p], "a p-value above its own limit"),
        (lambda p, rate: [not each for each in by_scipy(p, rate)], "that stay undecided"),
        (lambda p, _: [True for _ in p], "something other than all p-values"),
    ],
    "claims/cost": [(12, "12 is at equal steps"), (2.4, "2.4 is 12 divided by 5"), (72, "72 is as if a pair counted")],
    "claims/worth": [
        (0.8, "0.8 is the share that the pairs make up"),
        (0.2, "0.2 is the share that λ makes up"),
        (5, "5 is what a batch would need"),
    ],
}
test_answers = answered(lesson_13.EXERCISES, RIGHT, WRONG)
