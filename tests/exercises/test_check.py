"""mx.check: its verdicts, the folded solutions, and the numbers that it compares."""

from typing import Any

import lessons
import pytest

import mixlab as mx
from mixlab.exercises.check import EXERCISES
from mixlab.exercises.verdict import STILL_OPEN, Verdict, near


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
    assert verdict.passed is None or verdict.message == STILL_OPEN


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (2.05, "Right: well done."),
        (0.5, "Not yet: 0.5 is a half."),
        (3, "Not yet: 3 is too large."),
        (-3, "Not yet: -3 is too small."),
        ("two", "Not yet: the answer is a number, but you gave 'two'."),
        (True, "Not yet: the answer is a number, but you gave True."),
        (float("nan"), "Not yet: the answer is a number, but you gave nan."),
        (..., "Open: replace the ... by your answer and run the cell again."),
    ],
)
def test_verdicts(monkeypatch: pytest.MonkeyPatch, answer: Any, text: str) -> None:
    monkeypatch.setitem(EXERCISES, "demo/two", lambda given: near(given, 2, within=0.1, slips={"a half": 0.5}))
    verdict = mx.check("demo/two", answer)
    assert str(verdict) == repr(verdict) == text
    assert verdict.passed is {"R": True, "N": False, "O": None}[text[0]]
    assert 'role="status"' in verdict._repr_html_()


def test_what_an_answer_raises_is_part_of_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXERCISES, "demo/call", lambda answer: answer(0))
    verdict = mx.check("demo/call", lambda n: 1 / n)
    assert str(verdict) == "Not yet: your answer raised ZeroDivisionError: division by zero"
    assert "1 &lt; 2 &amp; more" in Verdict(False, "1 < 2 & more")._repr_html_()


def test_unknown_exercise_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^exercise must be one of .*, got 'lambda/tetha_bar'; did you mean"):
        mx.check("lambda/tetha_bar", 1)
