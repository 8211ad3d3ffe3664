"""Intervals side by side: drawn where they are, with their numbers in one column."""

import pytest

from mixlab.calibration.intervals import Interval
from mixlab.plots import plot_intervals


def test_intervals_are_drawn_where_they_are_and_say_so() -> None:
    ratios = {"five": Interval(0.8, 0.7, 0.95, 9, 0.95), "one": Interval(1.1, 0.9, 1.3, 9, 0.95)}
    ax = plot_intervals(ratios, quantity="variance over mixup's", reference=1.0)
    lines = [(list(line.get_xdata()), line) for line in ax.get_lines()]
    assert [x for x, line in lines if len(x) == 2 and line.get_marker() == "None"][:2] == [[0.7, 0.95], [0.9, 1.3]]
    dots = [(x, line.get_markerfacecolor() == line.get_color()) for x, line in lines if line.get_marker() == "o"]
    assert dots == [([0.8], True), ([1.1], False)]  # hollow where the interval contains the reference
    assert [label.get_text() for label in ax.get_yticklabels()] == ["five", "one"]
    assert ax.get_xlabel() == "variance over mixup's; 95% intervals"
    assert ax.get_label() == "variance over mixup's: five 0.80 [0.70, 0.95]; one 1.10 [0.90, 1.30]."
    assert [text.get_text() for text in ax.texts] == ["0.80 [0.70, 0.95]", "1.10 [0.90, 1.30]"]


def test_their_numbers_stand_in_one_column_beside_the_axes() -> None:
    ax = plot_intervals(
        {"five": Interval(-4.25, -8.72, 0.22, 3, 0.95), "one": Interval(3.0, -1.57, 7.6, 3, 0.95)}, quantity="points"
    )
    assert [text.get_text() for text in ax.texts] == ["−4.25 [−8.72, 0.22]", "3.00 [−1.57, 7.60]"]
    ax.get_figure().canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert boxes[0].x1 == pytest.approx(boxes[1].x1)
    assert min(box.x0 for box in boxes) > ax.get_window_extent().x1


@pytest.mark.parametrize(("reach", "word"), [(2.0, "0.01"), (0.02, "0.012"), (0.002, "0.0123"), (2e-7, "0.0123")])
def test_narrow_intervals_are_written_with_more_digits(reach: float, word: str) -> None:
    wide, narrow = Interval(5.0, 0.0, 10.0, 3, 0.95), Interval(0.01234, 0.01234 - reach, 0.01234 + reach, 3, 0.95)
    ax = plot_intervals({"wide": wide, "narrow": narrow}, quantity="points")
    first, second = (text.get_text().split(" ")[0] for text in ax.texts)
    assert second == word
    assert len(first) == len(second)
