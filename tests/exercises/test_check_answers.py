"""mx.check: its verdicts, word by word."""

import pytest

import mixlab as mx
from mixlab.exercises import check as exercises
from mixlab.exercises.verdict import near


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
    assert str(mx.check("demo/two", float("nan"))) == "Not yet: the answer is a number, but you gave nan."
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
