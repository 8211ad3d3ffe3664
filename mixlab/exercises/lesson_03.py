"""The exercises of lesson 03, train it live."""

import math
from types import SimpleNamespace
from typing import Any

from mixlab.exercises.verdict import Verify, near, result_of


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
    records = (SimpleNamespace(images_per_second=speed) for speed in (1000.0, 800.0))
    given = result_of(answer, "slower_percent(plain, mixed)", *records)
    slips = {
        "the loss of speed; the growth of time is wanted": 20.0,
        "the wrong way around: slower is positive": -20.0,
        "a share; give percent": 0.25,
        "a ratio of times; subtract 1 and give percent": 1.25,
    }
    wrong = near(given, 25.0, within=1e-6, slips=slips)
    return wrong and f"from 1,000 down to 800 images a second: {wrong}"


EXERCISES: dict[str, Verify] = {
    "live/floor": _floor,
    "live/seeds": _seeds,
    "live/slower": _slower,
}
