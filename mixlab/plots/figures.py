"""Ink: `plot_...(result, ax=None) -> ax`. Numbers are made elsewhere; nothing here touches pyplot or rcParams.

Without `ax` each function makes a figure of its own. Its axes show themselves as a picture when a notebook cell ends on
them, with a text alternative built from the numbers; an exported page keeps both. Axes of yours get the same sentence:
`picture(ax)` shows their figure in that way.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mixlab import _check
from mixlab.calibration.bins import FEW
from mixlab.calibration.intervals import Interval, wilson
from mixlab.calibration.reliability import Reliability, ReliabilityBins
from mixlab.mixing.beta import lambda_moments, lambda_pdf
from mixlab.mixing.mixer import Mixed
from mixlab.plots.style import (
    BLUE,
    GRAY,
    INK,
    OVER,
    PAPER,
    UNDER,
    VERMILION,
    Picture,
    PictureAxes,
    axes_and_ink,
    describe,
    legend,
    paint,
    picture,
)

if TYPE_CHECKING:  # the records only, not the training they come from
    from mixlab.training.record import Record

__all__ = [
    "Picture",
    "PictureAxes",
    "picture",
    "plot_history",
    "plot_intervals",
    "plot_lambda",
    "plot_mixed",
    "plot_reliability",
]


def plot_reliability(rel: Reliability, ax: Axes | None = None, *, label: str = "") -> Axes:
    """Reliability diagram: accuracy in each confidence bin, its gap to the confidence hatched, and the counts below.

    The thin whiskers are Wilson's 95% intervals of each bin's accuracy; the ECE's interval is `rel.interval("ece")`.
    Bins of fewer than 10 predictions are pale: their gaps say little.

    Args:
        rel: what has been measured; not empty.
        ax: where to draw; by default a figure of its own.
        label: name of the model, put before the headline.
    """
    if not isinstance(rel, Reliability):
        raise TypeError(f"rel must be a Reliability, got {_check.shown(rel)}")
    bins, ece = rel.bins(), rel.interval("ece")
    error = f"ECE {ece.value:.3f} (95%: {ece.low:.3f} to {ece.high:.3f})"
    headline = f"n = {rel.count:,}   accuracy {rel.accuracy():.1%}   {error}"
    words = verdict(rel, bins)
    title = f"{label}: {words[0].lower()}{words[1:]}" if label else words
    ax, ink = axes_and_ink(ax, (5.6, 5.8))

    filled = bins.count > 0
    left = bins.edges[:-1][filled].numpy()
    width = 1 / rel.n_bins
    conf, accuracy, count = (part[filled].numpy() for part in (bins.confidence, bins.accuracy, bins.count))
    for here, strength in ((count >= FEW, 1.0), (count < FEW, 0.2)):
        seen = here.any() and strength == 1  # only what is drawn at full strength enters the legend
        name = "accuracy in the bin" if seen else "_"
        ax.bar(left[here], accuracy[here], width, align="edge", color=BLUE, alpha=0.35 * strength, label=name)
        for color, hatch, side, name in (
            (OVER, "////", here & (conf > accuracy), "gap: over-confident"),
            (UNDER, "....", here & (conf < accuracy), "gap: under-confident"),
        ):
            gap = (conf - accuracy)[side]
            shapes = ax.bar(left[side], gap, width, accuracy[side], align="edge", fill=False, edgecolor=color)
            shapes.set_label(name if seen and side.any() else "_")
            for shape in shapes:
                shape.set(hatch=hatch, linewidth=1.2, alpha=strength)
    ax.plot([0, 1], [0, 1], color=ink, linestyle="--", linewidth=1.2, label="as right as confident")
    lower, upper = wilson(bins.accuracy[filled], bins.count[filled])
    whiskers = (bins.accuracy[filled] - lower, upper - bins.accuracy[filled])
    reach = torch.stack(whiskers).clamp(min=0).numpy()
    ax.errorbar(left + width / 2, accuracy, reach, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")
    ax.set_title(f"{title}\n{headline}", loc="left", fontsize=10.5, color=ink)
    legend(ax, ink, loc="lower right", framealpha=0.9)

    strip = ax.inset_axes((0, -0.24, 1, 0.17), facecolor=ax.get_facecolor())
    strip.bar(left, count, width, align="edge", color=GRAY, edgecolor=PAPER)
    strip.set(xlim=(0, 1), xlabel="confidence", ylabel="count", yticks=[0, int(count.max())])
    strip.set_yticklabels(["0", f"{int(count.max()):,}"])
    paint(strip, ink)
    ax.tick_params(labelbottom=False)

    most = int(bins.count.argmax())
    lean = f"the fullest bin is {float(bins.edges[most]):.2f} to {float(bins.edges[most + 1]):.2f}"
    return describe(ax, f"Reliability diagram. {title[0].upper()}{title[1:]}. {headline.replace('   ', ', ')}; {lean}.")


def plot_lambda(alpha: float, ax: Axes | None = None) -> Axes:
    """Density of λ ~ Beta(α, α), the part between 0.1 and 0.9 hatched, with its moments in words.

    Args:
        alpha: number from 1e-6 to 1e6.
        ax: where to draw; by default a figure of its own.
    """
    moments = lambda_moments(alpha)
    ax, ink = axes_and_ink(ax, (6.0, 3.6))
    spread = 8 * moments.variance**0.5  # a large α needs its grid where the mass is
    ends = torch.logspace(-6, -1, 100, dtype=torch.float64)
    middle = torch.linspace(max(0.1, 0.5 - spread), min(0.9, 0.5 + spread), 401, dtype=torch.float64)
    grid = torch.cat([ends, middle, 1 - ends]).sort().values
    density = lambda_pdf(alpha, grid)
    visible = (grid >= 0.1) & (grid <= 0.9)
    ax.plot(grid.numpy(), density.numpy(), color=BLUE, linewidth=2)
    ax.fill_between(
        grid[visible].numpy(),
        density[visible].numpy(),
        facecolor="#CFE3F1",
        edgecolor=BLUE,
        hatch="//",
        linewidth=0,
        alpha=0.8,
    )
    inside = density[(grid >= 0.02) & (grid <= 0.98)]
    ax.set(xlim=(0, 1), ylim=(0, 1.15 * max(1.0, float(inside.max()))), xlabel="λ, the share of x", ylabel="density")
    share = f"both images show in {_percent(moments.mixed_mass)} of mixes: P(0.1 < λ < 0.9), hatched"
    larger = f"the larger share is {_percent(moments.theta_bar)} on average: θ̄ = {moments.theta_bar:.3f}"
    ax.set_title(f"α = {alpha:g}\n{share}\n{larger}", loc="left", fontsize=10.5, color=ink)
    where = "highest at one half" if alpha > 1 else "flat" if alpha == 1 else "high at 0 and 1, lowest at one half"
    words = f"{share.removesuffix(', hatched')}; {larger}"
    return describe(ax, f"Density of λ for α = {alpha:g}: {where}. {words[0].upper()}{words[1:]}.")


def plot_mixed(
    mixed: Mixed,
    ax: Axes | None = None,
    *,
    x: Tensor | None = None,
    classes: Sequence[str] | None = None,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Axes:
    """The first mixed images (at most 8 pairs), one row for each pair, one column for each of the K mixes.

    uint8 images are shown as they are. Of float images `normalize` undoes a normalization; else they are stretched to
    the range they have together.

    Args:
        mixed: what a Mixer gave; mixed.x [K * B, C, H, W] with C = 1 or 3.
        ax: where to draw; by default a figure of its own.
        x: the batch [B, C, H, W] that was mixed, on the same scale; puts x and its partner x′ to the left and right.
        classes: names, so that the labels read "0.70 cat + 0.30 dog".
        normalize: (mean, std) of each channel, as given to `MixPlan.apply`.
    """
    if not isinstance(mixed, Mixed):
        raise TypeError(f"mixed must be a Mixed, what a Mixer returns, got {_check.shown(mixed)}")
    if mixed.x.ndim != 4 or mixed.x.shape[1] not in (1, 3):
        wanted = "images of shape [K * B, C, H, W] with 1 or 3 channels"
        raise ValueError(f"mixed.x must hold {wanted}, got {_check.shown(mixed.x)}")
    k, batch = mixed.plan.lam.shape
    rows = min(8, batch)
    tiles = list(mixed.x.view(k, batch, *mixed.x.shape[1:])[:, :rows])
    texts = [[_soft_label(mixed, j * batch + row, classes) for row in range(rows)] for j in range(k)]
    if x is not None:
        _check.tensor("x", x, "the batch that was mixed")
        if x.shape != (batch, *mixed.x.shape[1:]):
            raise ValueError(f"x must be the batch that was mixed, [{batch}, ...], got {_check.shown(x)}")
        if (x.dtype == torch.uint8) != (mixed.x.dtype == torch.uint8):
            raise ValueError(f"x must be on the scale of mixed.x, {_check.shown(mixed.x)}, got {_check.shown(x)}")
        tiles = [x[:rows], *tiles, x[mixed.plan.partner[:rows].to(x.device)]]
        a, b = mixed.y_a[:rows].tolist(), mixed.y_b[:rows].tolist()
        texts = [[f"x: {_name(i, classes)}" for i in a], *texts, [f"x′: {_name(i, classes)}" for i in b]]
    shown = _displayable([tile.detach().cpu() for tile in tiles], normalize)

    height, width = mixed.x.shape[2:]
    step_x, step_y = 1.14, height / width + (0.22 if classes is None else 0.36)
    ax, ink = axes_and_ink(ax, (1.5 * len(tiles) * step_x, 1.5 * rows * step_y))
    for column, images in enumerate(shown):
        for row, image in enumerate(images):
            left, top = column * step_x, row * step_y
            ax.imshow(image, extent=(left, left + 1, top + height / width, top), cmap="gray", vmin=0, vmax=1)
            words = texts[column][row].replace(" + ", "\n+ ") if len(texts[column][row]) > 17 else texts[column][row]
            ax.text(left, top - 0.03, words, fontsize=8.5, color=ink, va="bottom", linespacing=1.1)
    ax.set(xlim=(0, len(tiles) * step_x - 0.14), ylim=(rows * step_y - 0.2, 1 - step_y), aspect="equal")
    ax.axis("off")
    first = ", ".join(column[0].replace("\n", " ") for column in texts)
    counts = f"{rows} pair{'s' if rows > 1 else ''} of images, {k} mix{'es' if k > 1 else ''} of each"
    return describe(ax, f"{counts} by {mixed.plan.variant}. First row: {first}.")


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


def plot_intervals(
    intervals: Mapping[str, Interval], ax: Axes | None = None, *, quantity: str, reference: float | None = None
) -> Axes:
    """One row for each name: the mean as a dot, its interval as a bar, both written in a column at the right.

    Args:
        intervals: what `mean_interval` or `GradientVariance.ratio` gave, by name; drawn from the top.
        ax: where to draw; by default a figure of its own.
        quantity: what is measured, with its unit, for the axis.
        reference: a value to compare with, drawn as a dashed line.

    Raises:
        TypeError, ValueError: no intervals, or something else among them.
    """
    wanted = "intervals must hold at least one Interval by name, got "
    if not isinstance(intervals, Mapping) or not all(isinstance(part, Interval) for part in intervals.values()):
        raise TypeError(wanted + _check.shown(intervals))
    if not intervals:
        raise ValueError(wanted + "none")
    ax, ink = axes_and_ink(ax, (6.4, 0.9 + 0.36 * len(intervals)))
    numbers = [_numbers(part) for part in intervals.values()]
    # The column ends so many points right of the axes that its longest row begins there; characters take 5 on average.
    aside = (6 + 5.4 * max(map(len, numbers)), 0)
    place: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "xytext": aside, "textcoords": "offset points"}
    for row, (part, words) in enumerate(zip(intervals.values(), numbers, strict=True)):
        apart = reference is not None and not part.low <= reference <= part.high
        ax.plot([part.low, part.high], [row, row], color=BLUE, linewidth=2.5, solid_capstyle="butt")
        ax.plot(part.value, row, "o", color=BLUE, markersize=7, markerfacecolor=BLUE if apart else PAPER)
        ax.annotate(words, (1, row), ha="right", va="center", fontsize=9.5, color=ink, annotation_clip=False, **place)
    if reference is not None:
        ax.axvline(reference, color=GRAY, linestyle="--", linewidth=1)
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    first = next(iter(intervals.values()))
    ax.set_xlabel(f"{quantity}; {100 * first.level:g}% intervals")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    rows = "; ".join(f"{name} {words}" for name, words in zip(intervals, numbers, strict=True))
    return describe(ax, f"{quantity}: {rows}.")


def _numbers(part: Interval) -> str:
    """The mean and its interval, with the minus sign that the axes have."""
    return f"{part.value:.2f} [{part.low:.2f}, {part.high:.2f}]".replace("-", "−")


def _percent(share: float) -> str:
    if 0.001 <= share <= 0.999:
        return f"{share:.1%}"
    return "less than 0.1%" if share < 0.5 else "more than 99.9%"


def verdict(rel: Reliability, bins: ReliabilityBins) -> str:
    """Over- or under-confidence on the whole, in words."""
    confidence, lean = bins.mean_confidence_and_lean()
    whole = ", on the whole" if lean.startswith("as") else ""
    return f"{lean[0].upper()}{lean[1:]}{whole}: says {confidence:.1%}, is right in {rel.accuracy():.1%}"


def _name(label: int, classes: Sequence[str] | None) -> str:
    return str(classes[label]) if classes is not None else f"class {label}"


def _soft_label(mixed: Mixed, row: int, classes: Sequence[str] | None) -> str:
    lam, a, b = float(mixed.lam[row]), int(mixed.y_a[row]), int(mixed.y_b[row])
    if classes is None:
        return f"λ = {lam:.2f}"
    return f"{lam:.2f} {classes[a]} + {1 - lam:.2f} {classes[b]}" if a != b else f"1.00 {classes[a]}"


def _displayable(tiles: list[Tensor], normalize: tuple[Sequence[float], Sequence[float]] | None) -> list[list[Any]]:
    """Images [H, W, 3] or [H, W] from 0 to 1, for imshow; all on one scale."""
    if tiles[0].dtype == torch.uint8:
        images = [tile.double() / 255 for tile in tiles]
    else:
        images = [tile.double() for tile in tiles]
        if normalize is not None:
            mean, std = (torch.as_tensor(part, dtype=torch.float64).view(-1, 1, 1) for part in normalize)
            images = [image * std + mean for image in images]
        else:
            low = min(float(image.min()) for image in images)
            high = max(float(image.max()) for image in images)
            images = [(image - low) / ((high - low) or 1.0) for image in images]
    return [[image.clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy() for image in batch] for batch in images]
