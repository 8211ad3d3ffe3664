"""A figure of a training: accuracy and loss against epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mixlab.plots.style import BLUE, VERMILION, axes_and_ink, describe, legend, paint

if TYPE_CHECKING:  # the records only, not the training they come from
    from mixlab.training.record import Record


def plot_history(
    records: Sequence["Record"], ax: Axes | None = None, *, ghost: Sequence["Record"] | None = None
) -> Axes:
    """Test accuracy (left axis, solid) and training loss (right axis, dotted) against epochs.

    Args:
        records: what `fit` gave, at least one.
        ax: where to draw; by default a figure of its own.
        ghost: records of an earlier run, drawn pale and dashed behind.
    """
    records, earlier = list(records), list(ghost or [])
    if not records:
        raise ValueError("records must hold at least one record, got none")
    ax, ink = axes_and_ink(ax, (6.0, 3.6))
    loss_ax = ax.twinx()
    paint(loss_ax, ink)
    for run, colors, styles, name in (
        (earlier, ("#9DB7C9", "#D9B59C"), ("--", (0, (1, 4))), "previous run"),
        (records, (BLUE, VERMILION), ("-", ":"), "this run"),
    ):
        if run:
            epochs = [record.epoch for record in run]
            accuracy, loss = [100 * record.test_accuracy for record in run], [record.train_loss for record in run]
            for where, values, what, color, style, marker in zip(
                (ax, loss_ax), (accuracy, loss), ("accuracy", "loss"), colors, styles, "os", strict=True
            ):
                label = f"{what}, {name}"
                where.plot(epochs, values, color=color, linestyle=style, marker=marker, markersize=4, label=label)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss_ax.set_ylim(bottom=0)
    loss_ax.set_ylabel("training loss (nats)", color=ink)
    lines = [*ax.get_lines(), *loss_ax.get_lines()]
    below = (0.5, -0.16)
    legend(ax, ink, loc="upper center", handles=lines, bbox_to_anchor=below, ncols=len(lines) // 2)
    last = records[-1]
    reached = f"Test accuracy {last.test_accuracy:.1%}, training loss {last.train_loss:.2f}, after epoch {last.epoch:g}"
    before = f"The previous run ended at {earlier[-1].test_accuracy:.1%}" if earlier else ""
    ax.set_title(f"{reached}\n{before}".strip(), loc="left", fontsize=10.5, color=ink)
    return describe(ax, f"{reached}. {before}{'.' if before else ''}".strip())
