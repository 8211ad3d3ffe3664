"""What every figure shares: colors, axes that show themselves as a picture, and the words that stand for it."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mixlab import _check
from mixlab.machine import releasing_memory

# Colors of Okabe and Ito, which color-blind readers can tell apart; hatches and dashes say the same in gray.
BLUE, VERMILION, GREEN, GRAY, INK, PAPER = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#1A1A1A", "white"
PALE_BLUE, PALE_VERMILION = "#A6CEE4", "#F6D5BF"  # of areas
# The same where a panel stands on a dark page.
ON_DARK = {BLUE: "#7CC0F5", VERMILION: "#FF9455", GREEN: "#3FCF9F", PALE_BLUE: "#35587A"}
HEAT = colormaps["viridis"]  # told apart by the color-blind, and dark to light in print and on every theme
OVER, UNDER = VERMILION, GREEN  # gaps of over-confidence and of under-confidence, in every picture
SERIES = (BLUE, VERMILION, GREEN, "#A6599A")  # for lines of several runs; all read on white and on black
DPI = 200  # twice the size at which the picture is shown, so that it is sharp on dense screens


class Picture:
    """A figure that shows itself in a notebook as an image with a text alternative."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @releasing_memory()
    def png(self) -> bytes:
        """The image, at twice its displayed size."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor=self.figure.get_facecolor())
        # A text keeps what drew it, with 4 to 12 MB of pixels, for as long as a notebook keeps the figure.
        for text in self.figure.findobj(Text):
            text._renderer = None  # type: ignore[attr-defined]
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        png = self.png()
        width = int.from_bytes(png[16:20], "big") * 100 // DPI  # the header's width, in CSS pixels
        data = base64.b64encode(png).decode()
        alt = html.escape(self.alt, quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{data}" width="{width}" style="max-width: 100%">'

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


class PictureAxes(Axes):
    """Matplotlib axes that show their figure when a notebook cell ends on them."""

    def _repr_html_(self) -> str:
        return picture(self)._repr_html_()


def picture(ax: Axes) -> Picture:
    """The figure that `ax` belongs to, with the text alternative of all its plots.

    Raises TypeError if `ax` is no matplotlib Axes.
    """
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, got {_check.shown(ax)}")
    figure = ax.get_figure(root=True)
    assert figure is not None
    described = (str(each.get_label()) for each in figure.axes)
    return Picture(figure, " ".join(text for text in described if text.endswith(".")))


def axes_and_ink(ax: Axes | None, size: tuple[float, float]) -> tuple[Axes, Any]:
    """`ax`, or the axes of a new figure that stays readable in a dark theme; and the color to write in."""
    if ax is None:
        figure = Figure(figsize=size, facecolor=PAPER)
        made: Axes = figure.add_subplot(axes_class=PictureAxes, facecolor=PAPER)
        paint(made, INK)
        return made, INK
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {_check.shown(ax)}")
    return ax, ax.xaxis.label.get_color()


def paint(ax: Axes, ink: Any) -> None:
    """Draw the ticks, frame and labels of `ax` in the color `ink`, at a readable size."""
    ax.tick_params(colors=ink, labelsize=10)
    for spine in ax.spines.values():
        spine.set_color(ink)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(ink)
        axis.label.set_fontsize(10.5)


def legend(ax: Axes, ink: Any, **looks: Any) -> None:
    """Add a legend on the background of `ax`, written in the color `ink`."""
    ax.legend(fontsize=9.5, labelcolor=ink, facecolor=ax.get_facecolor(), **looks)


def plain(text: str) -> str:
    """`text` so that matplotlib shows its letters, and sets no formula between two dollar signs."""
    return text.replace("$", r"\$")


def describe(ax: Axes, alt: str) -> Axes:
    """Store with `ax` the sentences that stand for its picture, ending in a full stop; returns `ax`."""
    ax.set_label(alt)  # matplotlib's place for an artist's name; nothing draws it
    return ax


def titled(ax: Axes, ink: Any, kind: str, label: str, lines: Sequence[str], unsaid: Sequence[str] = ()) -> Axes:
    """Write `lines` over the axes, and store them as its words, with what stands elsewhere in it (`unsaid`)."""
    first = f"{label}: {lines[0][0].lower()}{lines[0][1:]}" if label else lines[0]
    ax.set_title(plain("\n".join([first, *lines[1:]])), loc="left", fontsize=10.5, color=ink)
    return describe(ax, f"{kind}. {'; '.join([first, *lines[1:], *unsaid]).replace('   ', ', ')}.")
