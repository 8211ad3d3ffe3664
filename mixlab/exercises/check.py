"""Exercises that say what is wrong: mx.check("lambda/theta_bar", answer)."""

from typing import Any

from mixlab import _check
from mixlab.exercises import (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
    lesson_12,
    lesson_13,
)
from mixlab.exercises.verdict import STILL_OPEN, Verdict, Verify

LESSONS = (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
    lesson_12,
    lesson_13,
)
EXERCISES: dict[str, Verify] = {name: verify for lesson in LESSONS for name, verify in lesson.EXERCISES.items()}


def check(exercise: str, answer: Any) -> Verdict:
    """Check an answer to one of the lessons' exercises.

    Args:
        exercise: names it, "lesson/exercise".
        answer: is a number, a tensor, a function or an object, as the exercise asks; `...` while it is open.

    Returns:
        A Verdict that renders in a notebook: right, or what is wrong and where to look.

    Raises:
        ValueError: no exercise has this name.
    """
    verify = EXERCISES[_check.choice("exercise", exercise, EXERCISES)]
    if answer is ...:
        return Verdict(None, "replace the ... by your answer and run the cell again.")
    try:
        wrong = verify(answer)
    except Exception as error:  # noqa: BLE001  # a learner's function may fail in any way; the verdict says how
        wrong = f"your answer raised {type(error).__name__}: {error}"
    if wrong is None:
        return Verdict(True, "well done.")
    return Verdict(None if wrong == STILL_OPEN else False, wrong)
