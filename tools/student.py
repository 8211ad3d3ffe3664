"""Copies of the lessons for students: `python tools/student.py`, run by `make student`.

A cell tagged "solution" is left out. A cell tagged "exercise" becomes an answer that nbgrader collects and a person
grades. A last cell writes the student's guesses to a file. Everything else stays as it is.
"""

from pathlib import Path
from typing import Any

import nbformat

from mixlab.exercises.guesses import PLACEHOLDER

ROOT = Path(__file__).resolve().parent.parent
COPIES = ROOT / "build" / "student"
# https://nbgrader.readthedocs.io, "nbgrader metadata": a manually graded answer.
ANSWER = {"grade": True, "solution": True, "task": False, "locked": False, "points": 1, "schema_version": 3}
HAND_IN = """from mixlab.exercises.guesses import hand_in

hand_in("{lesson}", student="{name}", names=globals())"""


def main() -> None:
    """Write a copy of each lesson."""
    COPIES.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nbformat.write(student_copy(nbformat.read(path, 4), path.stem), COPIES / path.name)
        print(COPIES / path.name)


def student_copy(notebook: Any, lesson: str) -> Any:
    """The notebook without its solutions, with its exercises marked for nbgrader; changed in place."""
    notebook.cells = [cell for cell in notebook.cells if "solution" not in tags(cell)]
    for cell in notebook.cells:
        if "exercise" in tags(cell):
            cell.metadata["nbgrader"] = ANSWER | {"grade_id": cell.id, "cell_type": cell.cell_type}
    text = f"**Hand in.** Put your name in place of `{PLACEHOLDER}` and run the cell: it writes your guesses to a file."
    asked = nbformat.v4.new_markdown_cell(text, id="hand-in-text")
    notebook.cells += [asked, nbformat.v4.new_code_cell(HAND_IN.format(lesson=lesson, name=PLACEHOLDER), id="hand-in")]
    return notebook


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    names: list[str] = cell.metadata.get("tags", [])
    return names


if __name__ == "__main__":
    main()
