"""The rendered table: every number is there once, in HTML as in text, and what does not fit is refused."""

import re

import pytest

from mixlab.calibration.intervals import Interval
from mixlab.plots import table

ROWS = {
    "plain <a>": {"change": Interval(-1.25, -2, 0.5, 3, 0.95), "n": 1200, "note": "fell"},
    "b": {"change": 2.0, "n": 3, "note": "&"},
}


def test_html_and_text_hold_the_same_cells() -> None:
    shown = table(ROWS, digits=1)
    cells = [["−1.2 [−2.0, 0.5]", "1,200", "fell"], ["2.0", "3", "&amp;"]]
    for row, wanted in zip(re.findall(r"<tr>(.*?)</tr>", shown._repr_html_())[1:], cells, strict=True):
        assert re.findall(r"<td>(.*?)</td>", row) == wanted
    assert 'scope="row" style="text-align: left">plain &lt;a&gt;<' in shown._repr_html_()
    first, second, third = repr(shown).splitlines()
    assert first.split() == ["change", "n", "note"]
    assert (second.index("1,200"), third.index("&")) == (first.index(" n ") + 1, first.index("note"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([1], ["rows", "map", "[1]"]),
        ({}, ["rows", "at least one", "none"]),
        ({"a": {"x": 1}, "b": {"y": 1}}, ["rows", "['x']", "['y']", "'b'"]),
        ({"a": {"x": None}}, ["rows", "Interval", "None"]),
    ],
)
def test_what_is_no_table_is_refused(rows: object, words: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        table(rows)  # type: ignore[arg-type]
    assert all(word in str(raised.value) for word in words)
