"""mx.check and the interval of a mean, against scipy and word by word."""

import re

import numpy as np
import pytest
from scipy import stats

import mixlab as mx
from mixlab import exercises
from mixlab.checking import near


def test_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        exercises.EXERCISES, "demo/two", lambda answer: near(answer, 2, within=0.1, slips={"a half": 0.5})
    )
    right, wrong, unanswered = (mx.check("demo/two", answer) for answer in (2.05, 0.5, ...))
    assert (right.passed, str(right)) == (True, "Right: well done.")
    assert (wrong.passed, str(wrong)) == (False, "Not yet: 0.5 is a half.")
    assert (unanswered.passed, repr(unanswered)) == (
        None,
        "Open: replace the ... by your answer and run the cell again.",
    )
    assert str(mx.check("demo/two", 3)) == "Not yet: 3 is too large."
    assert str(mx.check("demo/two", -3)) == "Not yet: -3 is too small."
    assert str(mx.check("demo/two", "two")) == "Not yet: the answer is a number, but you gave 'two'."
    assert 'role="status"' in wrong._repr_html_()


def test_what_an_answer_raises_is_part_of_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exercises.EXERCISES, "demo/call", lambda answer: answer(0))
    verdict = mx.check("demo/call", lambda n: 1 / n)
    assert str(verdict) == "Not yet: your answer raised ZeroDivisionError: division by zero"
    monkeypatch.setitem(exercises.EXERCISES, "demo/html", lambda _: "1 < 2 & more")
    assert "1 &lt; 2 &amp; more" in mx.check("demo/html", 0)._repr_html_()


def test_unknown_exercise_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^exercise must be one of .*, got 'lambda/tetha_bar'; did you mean"):
        mx.check("lambda/tetha_bar", 1)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_mean_interval_is_scipys(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    found = mx.mean_interval(values.tolist(), level)
    low, high = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert (found.n, found.level) == (n, level)


def test_mean_interval_covers_as_often_as_it_says() -> None:
    """n = 4,000 intervals of 3 normal values: 95% within 4.5 standard errors."""
    draws = np.random.default_rng(0).normal(0, 1, (4000, 3))
    hits = sum(found.low <= 0 <= found.high for found in (mx.mean_interval(row) for row in draws.tolist()))
    assert abs(hits / 4000 - 0.95) < 4.5 * (0.95 * 0.05 / 4000) ** 0.5


def test_mean_interval_reads_as_a_sentence() -> None:
    assert str(mx.mean_interval([1, 2, 3])) == "2.000 [-0.484, 4.484] (95%, n = 3)"


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([1.0], 0.95, "values must hold at least two numbers, got 1"),
        ([1.0, float("nan")], 0.95, "values must be a number from -1e+300 to 1e+300, got nan"),
        (["a", 1], 0.95, "values must be a number from -1e+300 to 1e+300, got 'a'"),
        ([1, 2], 95, "level must be a number from 0.5 to 0.999, got 95"),
    ],
)
def test_mean_interval_refuses(values: list[float], level: float, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        mx.mean_interval(values, level)
