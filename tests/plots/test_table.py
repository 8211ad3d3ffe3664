"""The table: its cells, its two renderings, and what it refuses."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import mixlab as mx

ROWS = [
    {"way": "a < b", "n": 12_000, "value": 0.123456, "change": mx.Interval(-1.2345, -1.3, -1.2, 5, 0.95)},
    {"way": "c", "n": 1, "value": -2.0, "change": mx.Interval(4, 4, 4, 5, 0.95)},
]
CELLS = [
    ["way", "n", "value", "change"],
    ["a < b", "12,000", "0.1235", "−1.23 [−1.30, −1.20]"],
    ["c", "1", "−2", "4.00 [4.00, 4.00]"],
]


def test_it_renders_the_same_cells_as_html_and_as_text() -> None:
    shown = mx.table(iter(ROWS))
    page = shown._repr_html_()
    assert "−1.23 [−1.30,\N{NO-BREAK SPACE}−1.20]" in page, "a narrow page may break the line before an interval"
    root = ET.fromstring(page.replace("\N{NO-BREAK SPACE}", " "))
    assert [[cell.text for cell in row] for row in root.iter("tr")] == CELLS
    assert [cell.get("style") for cell in next(root.iter("tr"))] == ["text-align: left"] + 3 * ["text-align: right"]
    assert [re.split(r"  +", line.strip()) for line in repr(shown).splitlines()] == CELLS
    assert len({len(line) for line in repr(shown).splitlines()}) == 1


@pytest.mark.parametrize(
    ("rows", "got"), [([], "none"), ([1], r"\[1\]"), ([{"a": 1}, {"b": 2}], r"\['a'\], got \['b'\]")]
)
def test_it_refuses_what_is_no_table(rows: Any, got: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^rows must .*{got}$"):
        mx.table(rows)
