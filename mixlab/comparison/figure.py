"""Figures of a page: SVG images that take the colors of the reader's screen, light or dark."""

import base64
import html
import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mixlab.plots.style import BLUE, INK, OVER, PALE_BLUE, PAPER, UNDER, paint, picture

_POINTS = 96 / 72  # CSS pixels
# An SVG image has colors of its own, by the same rule as the page.
_STYLE = """<style>
svg { color: #1a1a1a; --paper: #f5f5f3; --blue: #0072b2; --pale-blue: #a6cee4; --over: #d55e00; --under: #009e73; }
@media (prefers-color-scheme: dark) {
  svg { color: #ececec; --paper: #202328; --blue: #6cb6e4; --pale-blue: #2f5f80; --over: #ff9a4d; --under: #3ccf9f; }
}
</style>"""
_NAMES = {
    INK: "currentColor",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    PALE_BLUE: "var(--pale-blue)",
    OVER: "var(--over)",
    UNDER: "var(--under)",
}
_COLORS = {to_hex(color): name for color, name in _NAMES.items()}  # as matplotlib writes them


def canvas(width: float, height: float) -> Axes:
    """Axes of a new figure of this size in inches."""
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1), facecolor=PAPER)  # what lies outside is added around them
    paint(ax, INK)
    return ax


def image(ax: Axes) -> str:
    """The figure of `ax` as an <img> that holds its SVG, with its text alternative."""
    shown, buffer = picture(ax), io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mixlab"}):
        shown.figure.savefig(
            buffer, format="svg", bbox_inches="tight", pad_inches=0.05, facecolor=PAPER, metadata={"Date": None}
        )
    svg = buffer.getvalue().decode()
    width, height = (round(float(size) * _POINTS) for size in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    svg = re.sub("|".join(_COLORS), lambda color: _COLORS[color[0]], svg[svg.index("<svg") :])
    svg = re.sub(r' d="[^"]*"', _rounded, svg)
    svg = re.sub(r"(<svg[^>]*>)", lambda head: head[0] + _STYLE, svg, count=1)
    data = base64.b64encode(svg.encode()).decode()
    alt = html.escape(shown.alt, quote=True)
    return f'<img alt="{alt}" width="{width}" height="{height}" src="data:image/svg+xml;base64,{data}">'


def _rounded(path: re.Match[str]) -> str:
    """A path to a hundredth of a point: hatches, whose dots have many curves, take half the bytes."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0].replace("\n", ""))
