"""Reads a lesson: its cells, its exercises and their folded solutions."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FOLDED = re.compile(r"<details><summary>Solution</summary>\n\n(.*?)\n</details>", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
CHECKED = re.compile(r'mx\.check\("([^"]+)"')


class Exercise(NamedTuple):
    """An exercise: the file name of its lesson, the cell to fill in, and the folded solution."""

    lesson: str
    cell: str
    solution: str


def lesson_names() -> list[str]:
    """The file names of all lessons, in reading order."""
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


@cache
def read(lesson: str) -> Any:
    """The notebook, validated."""
    notebook = nbformat.read(NOTEBOOKS / lesson, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(lesson: str) -> list[Any]:
    """The code cells in order."""
    return [cell for cell in read(lesson).cells if cell.cell_type == "code"]


def markdown(lesson: str) -> str:
    """All text of the lesson, without its code and its outputs."""
    return "\n\n".join(cell.source for cell in read(lesson).cells if cell.cell_type == "markdown")


def checked(code: str) -> list[str]:
    """The names of the exercises that this code checks."""
    return CHECKED.findall(code)


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise of every lesson, by name; `solution` is empty where none is folded."""
    by_name = {}
    for lesson in lesson_names():
        solutions = [code for fold in FOLDED.findall(markdown(lesson)) for code in PYTHON.findall(fold)]
        for cell in code_cells(lesson):
            for name in checked(cell.source):
                solution = next((code for code in solutions if checked(code) == [name]), "")
                by_name[name] = Exercise(lesson, cell.source, solution)
    return by_name


def run_first_cell(lesson: str) -> dict[str, Any]:
    """The names that the lesson's first code cell defines: imports, FAST, settings."""
    names: dict[str, Any] = {}
    exec(code_cells(lesson)[0].source, names)
    return names


def value_of(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, as a notebook shows it."""
    tree = ast.parse(code)
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        pytest.fail(f"the code does not end on an expression:\n{code}")
    exec(compile(tree, "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
