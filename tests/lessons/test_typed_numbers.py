"""No measured number is typed into a lesson's prose.

A decimal, or a number with a unit, in a Markdown cell is part of a formula, a setting, an exercise, or one of the
figures that docs/figures.md lists with their sources. Everything else is for a cell to compute on the reader's machine.
"""

import re
from collections.abc import Iterator

import lessons
import pytest
from paths import ROOT

NUMBER = r"(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
UNIT = r"%|(?:points?|seconds?|m?s|[KMG]i?B|nats?|bits?|times|percent|per cent)\b"
TYPED = re.compile(rf"(?<![\w.,/])({NUMBER})(?: ?({UNIT}))?(?!\w)")
CODE_AND_FORMULAS = (
    r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|\$\$.*?\$\$|\$[^$\n]+\$|<[^>]+>|arXiv \S+|95%|[Ss]ection [\d.]+"
)
LETTER = r"\b[αβγηλKkBbcdn]\b"  # what is set, unlike T or V, which are measured
SETTINGS = (
    rf"{NUMBER} [<≤] {LETTER} [<≤] {NUMBER}|"
    rf"{LETTER}(?: ?[=<>≤≥] ?| (?:to|at|near|of|between|from) ){NUMBER}(?:,? (?:to|or) {NUMBER})*"
)
NOT_PROSE = re.compile(f"{CODE_AND_FORMULAS}|{SETTINGS}", re.DOTALL)


def typed(text: str) -> Iterator[str]:
    """The decimals and the numbers with a unit in a text, as written, but for formulas, code and settings."""
    for number, unit in TYPED.findall(NOT_PROSE.sub(" ", text)):
        if "." in number or unit:
            yield f"{number}%" if unit == "%" else f"{number} {unit}".rstrip()


def listed(lesson: str) -> set[str]:
    """The figures of this lesson in docs/figures.md, each row with its source."""
    section = (
        (ROOT / "docs" / "figures.md").read_text("utf-8").partition(f"\n## {lesson[:2]} ")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {figure for figures, _ in rows for figure in typed(figures)}


def in_prose(lesson: str) -> Iterator[tuple[str, str]]:
    """The cell and the number of all that is typed outside the exercises, whose numbers are given and checked."""
    section = ""
    for cell in lessons.read(lesson).cells:
        for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE) if cell.cell_type == "markdown" else []:
            section = part.splitlines()[0] if part.startswith("## ") else section
            if section != "## Exercises":
                yield from ((cell.id, number) for number in typed(part))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("At α = 0.2 or 1, K = 3 and P(0.1 < λ < 0.9), drag λ to 0.5.", []),
        ("ECE 0.125 at α = 1 and 0.148 at α = 8.", ["0.125", "0.148"]),
        ("It rose by 0.33 [0.15, 0.52], −4.3 points, and took 54 s.", ["0.33", "0.15", "0.52", "4.3 points", "54 s"]),
        ("ECE .032 with T = 0.77: 2,560 images, 9% of them, in lesson 03 (arXiv 2406.01417).", [".032", "0.77", "9%"]),
        ("A 95% interval of `0.5`, $0.3$ and [a link](0.4%).", []),
    ],
)
def test_what_counts_as_typed(text: str, numbers: list[str]) -> None:
    assert list(typed(text)) == numbers


@pytest.mark.parametrize("lesson", lessons.lesson_names())
def test_no_measured_number_is_typed(lesson: str) -> None:
    figures, numbers = listed(lesson), list(in_prose(lesson))
    typed_in = [f"{cell}: {number}" for cell, number in numbers if number not in figures]
    assert not typed_in, "\n".join(typed_in)
    assert figures <= {number for _, number in numbers}, "listed, but not in the lesson"
