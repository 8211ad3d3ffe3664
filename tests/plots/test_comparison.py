"""Intervals side by side: drawn where they are, with their numbers in one column."""

import pytest
import torch
from seeding import seeded

from mixlab.calibration.intervals import Interval
from mixlab.calibration.multilabel import LabelPredictions
from mixlab.plots import plot_heat, plot_intervals, plot_label_errors, plot_lines


def test_intervals_are_drawn_where_they_are_and_say_so() -> None:
    ratios = {"five": Interval(0.8, 0.7, 0.95, 9, 0.95), "one": Interval(1.1, 0.9, 1.3, 9, 0.95)}
    ax = plot_intervals(ratios, quantity="variance over mixup's", reference=1.0)
    lines = [(list(line.get_xdata()), line) for line in ax.get_lines()]
    assert [x for x, line in lines if len(x) == 2 and line.get_marker() == "None"][:2] == [[0.7, 0.95], [0.9, 1.3]]
    dots = [(x, line.get_markerfacecolor() == line.get_color()) for x, line in lines if line.get_marker() == "o"]
    assert dots == [([0.8], True), ([1.1], False)]  # hollow where the interval contains the reference
    assert [label.get_text() for label in ax.get_yticklabels()] == ["five", "one"]
    assert ax.get_xlabel() == "variance over mixup's; 95% intervals, n = 9"
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


def test_labels_stand_by_error_with_their_counts_and_rare_ones_pale() -> None:
    g = seeded()
    p = LabelPredictions.from_probs(
        torch.rand(300, 3, generator=g), torch.rand(300, 3, generator=g) < torch.tensor([0.5, 0.2, 0.01])
    )
    errors = p.errors(n=100)
    ax = plot_label_errors(errors, most=2)
    largest = sorted(errors, key=lambda name: errors[name].value)[:0:-1]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == [
        *(f"{name} (n = {errors.count[name]})" for name in largest),
        "mean of all labels",
        "mean weighted by n",
    ]
    dots = [(line.get_xdata()[0], line.get_alpha()) for line in ax.get_lines() if line.get_marker() == "o"]
    assert dots == [
        *((errors[name].value, 0.35 if name == "2" else 1.0) for name in largest),
        (errors.macro.value, 1.0),
        (errors.weighted.value, 1.0),
    ]
    assert errors.few == ("2",)


def test_lines_stand_at_their_values_with_their_bars() -> None:
    parts = {0: Interval(1.0, 0.5, 2.0, 3, 0.95), 5: Interval(3.0, 2.0, 4.5, 3, 0.95)}
    ax = plot_lines({"none": parts, "mixup": parts}, across="severity", quantity="ECE, points")
    assert [list(part.lines[0].get_ydata()) for part in ax.containers] == [[1.0, 3.0]] * 2
    bars = [[end[1] for end in bar] for bar in ax.containers[0].lines[2][0].get_segments()]
    assert bars == [[0.5, 2.0], [2.0, 4.5]]
    assert abs(ax.containers[0].lines[0].get_xdata() - ax.containers[1].lines[0].get_xdata()).max() < 0.1
    assert "severity: none 0: 1.00 [0.50, 2.00]; 5: 3.00 [2.00, 4.50], mixup 0: " in ax.get_label()


def test_a_heat_map_stars_what_its_intervals_decide() -> None:
    rows = {("none", "a"): (0, 0, 0), ("none", "b"): (-2, -3, -1), ("8", "a"): (1, -1, 3), ("8", "b"): (4, 3, 5)}
    cells = {key: Interval(*ends, 3, 0.95) for key, ends in rows.items()}
    ax = plot_heat(cells, down="α", across="brake", quantity="accuracy, points")
    assert ax.images[0].get_array().tolist() == [[0, -2], [1, 4]]
    assert [text.get_text() for text in ax.texts] == ["+0.0", "−2.0*", "+1.0", "+4.0*"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["none", "8"]
