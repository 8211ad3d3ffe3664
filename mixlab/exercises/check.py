"""Exercises that say what is wrong: mx.check("lambda/theta_bar", answer)."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from mixlab import _check, exercises
from mixlab.exercises.verdict import STILL_OPEN, Verdict, Verify, WrongAnswerError

LESSONS = [
    import_module(f"mixlab.exercises.{part.name}")
    for part in iter_modules(exercises.__path__)
    if part.name.startswith("lesson_")
]
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
    except WrongAnswerError as error:
        wrong = str(error)
    except Exception as error:  # noqa: BLE001  # a learner's function may fail in any way; the verdict says how
        wrong = f"your answer raised {type(error).__name__}: {error}"
    if wrong is None:
        return Verdict(True, "well done.")
    return Verdict(None if wrong == STILL_OPEN else False, wrong)
