"""Answers to the exercises of a lesson, and what is said of them."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import mixlab as mx
from mixlab.exercises.verdict import STILL_OPEN


def answered(
    exercises: Iterable[str], right: dict[str, list[Any]], wrong: dict[str, list[tuple[Any, str]]]
) -> Callable[..., None]:
    """A test for each answer to these exercises: a wrong one comes with some words of the verdict."""
    assert set(right) <= set(wrong) == set(exercises)
    rows = [(name, (answer, None)) for name, answers in right.items() for answer in answers]
    rows += [(name, row) for name, answers in wrong.items() for row in answers]

    @pytest.mark.parametrize(
        ("name", "answer", "words"), [pytest.param(name, *row, id=f"{name}-{i}") for i, (name, row) in enumerate(rows)]
    )
    def test(name: str, answer: Any, words: str | None) -> None:
        verdict = mx.check(name, answer)
        assert verdict.passed is (True if words is None else None if words == STILL_OPEN else False), verdict
        assert words is None or words in verdict.message

    return test
