"""The guesses of a class, one small file for each student and lesson."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mixlab
from mixlab import _check
from mixlab._files import write_whole

PLACEHOLDER = "your-name"  # what the last cell of a student's copy has in place of a name


def hand_in(lesson: str, student: str, names: Mapping[str, Any], folder: str | os.PathLike[str] = ".") -> Path:
    """Write the guesses of a lesson to the file LESSON.STUDENT.json; a second call replaces it.

    Args:
        lesson: names the lesson, such as "03_train_it_live".
        student: is a name or a number, letters, digits, "-" and "_", at most 40.
        names: are the notebook's variables, `globals()`; those that begin with "guess" and hold a number, a text or a
            list of them are written.
        folder: is where the file goes; it exists.

    Returns:
        The file's path.

    Raises:
        ValueError: `lesson` or `student` cannot be part of a file name, or there is no guess in `names`.
    """
    for argument, text in (("lesson", lesson), ("student", student)):
        if not isinstance(text, str) or not re.fullmatch(r"[\w-]{1,40}", text):
            raise ValueError(f"{argument} must be 1 to 40 letters, digits, - or _, got {_check.shown(text)}")
    if student == PLACEHOLDER:
        raise ValueError(f"student must be your own name or number, got {student!r}, which stands in its place")
    guesses = {name: value for name, value in names.items() if name.startswith("guess") and _plain(value)}
    if not guesses:
        raise ValueError("names must hold a variable that begins with 'guess', got none; run the Predict cell first")
    path = Path(folder) / f"{lesson}.{student}.json"
    answers = {"lesson": lesson, "student": student, "mixlab": mixlab.__version__, "guesses": guesses}
    write_whole(path, json.dumps(answers, ensure_ascii=False, indent=1).encode() + b"\n")
    return path


def collected(folder: str | os.PathLike[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The guesses in the files of a folder: by lesson, then by student, then by name.

    Args:
        folder: holds what `hand_in` has written; other files are passed over.
    """
    lessons: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(Path(folder).glob("*.*.json")):
        try:
            answers = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue
        if isinstance(answers, dict) and {"lesson", "student", "guesses"} <= set(answers):
            lessons.setdefault(answers["lesson"], {})[answers["student"]] = answers["guesses"]
    return lessons


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, bool | int | float | str)
