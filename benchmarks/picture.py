"""The picture of the benchmarks: for each group and peer the median of its ratios, and the least and the greatest."""

import hashlib
import json
import math
from pathlib import Path

import matplotlib as mpl
from cells import capital
from matplotlib.figure import Figure
from matplotlib.transforms import Transform, blended_transform_factory
from measured import CLEAR
from rows import Row
from summary import Line, lines

OURS, THEIRS, OPEN = "#0072b2", "#d55e00", "#767676"  # Okabe and Ito; told apart in gray by their side of 1 too
COUNTS = {"faster": THEIRS, "open": OPEN, "slower": OURS}
LEAST, GREATEST = 0.02, 30  # ratios beyond have an arrow
WIDTH, LEFT, RIGHT = 8.0, 0.21, 0.735  # inches, and shares of them where the axes begin and end
PLACES = {"faster": 0.785, "open": 0.87, "slower": 0.95}  # of the counts, in shares of the width
LINE, ABOVE, BELOW = 0.235, 1.25, 0.6  # inches for a line, for what is above the axes, and below


def draw(rows: list[Row], path: Path) -> None:
    """Write the picture as an SVG that is equal for equal rows."""
    found = lines(rows)
    groups = list(dict.fromkeys(line.group for line in found))
    inside = LINE * (len(found) + 1.2 * len(groups))
    height = ABOVE + inside + BELOW
    with mpl.rc_context({"svg.hashsalt": "mixlab", "font.size": 12, "svg.fonttype": "path"}):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")  # its own white: the page may be dark
        ax = figure.add_axes((LEFT, BELOW / height, RIGHT - LEFT, inside / height))
        beside = blended_transform_factory(figure.transFigure, ax.transData)
        y, places = 0.0, []
        for group in groups:
            ax.text(0.012, y, capital(group), transform=beside, weight="bold", va="center")
            for line in (line for line in found if line.group == group):
                y += 1
                _mark(ax, y, line)
                _counts(ax, y, line, beside)
                places.append((y, line.peer["name"]))
            y += 1.2
        ax.axvspan(LEAST, 1, color=THEIRS, alpha=0.07, linewidth=0)
        ax.axvspan(1, GREATEST, color=OURS, alpha=0.07, linewidth=0)
        ax.axvline(1, color="black", linewidth=1)
        ax.set(xscale="log", xlim=(LEAST, GREATEST), ylim=(y - 0.6, -0.6))
        ax.set_yticks([place for place, _ in places], [name for _, name in places])
        ax.set_xticks([1 / 30, 0.1, 1 / 3, 1, 3, 10, 30], ["1/30", "1/10", "1/3", "1", "3", "10", "30"])
        ax.minorticks_off()
        ax.set_xlabel("peer's time / mixlab's: dot, the median case; bar, all cases")
        ax.grid(axis="x", color="0.85")
        ax.set_axisbelow(True)
        ax.tick_params(axis="both", length=0)
        ax.spines[:].set_visible(False)
        _heads(figure, found, 1 - ABOVE / height, height)
        figure.savefig(path, metadata={"Date": None, "Description": digest(rows)})


def digest(rows: list[Row]) -> str:
    """What the picture is made from, as hex digits: it is in the file, so that a test finds an old picture."""
    parts = [
        (line.group, line.peer["name"], line.ratios(), [line.count(way) for way in COUNTS]) for line in lines(rows)
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _heads(figure: Figure, found: list[Line], top: float, height: float) -> None:
    """The picture in a sentence, and what the two sides and the three counts mean."""
    faster, unclear, slower = (sum(line.count(way) for line in found) for way in COUNTS)
    said = f"mixlab is faster in {slower} of {faster + unclear + slower} cases, another library in {faster}"
    figure.text(0.012, 1 - 0.1 / height, said, weight="bold", fontsize=14, va="top")
    least = f"{CLEAR - 1:.0%}"
    figure.text(0.012, 1 - 0.42 / height, f"{unclear} are open: within chance, or less than {least} apart", va="top")
    above = top + 0.08 / height
    middle = LEFT + (RIGHT - LEFT) * math.log(1 / LEAST) / math.log(GREATEST / LEAST)
    for place, text, color in (
        ((LEFT + middle) / 2, "← peer faster", THEIRS),
        ((middle + RIGHT) / 2, "mixlab faster →", OURS),
        (PLACES["faster"], "peer\nfaster", THEIRS),
        (PLACES["open"], "open", OPEN),
        (PLACES["slower"], "mixlab\nfaster", OURS),
    ):
        figure.text(place, above, text, color=color, ha="center", va="bottom", weight="bold")


def _mark(ax: mpl.axes.Axes, y: float, line: Line) -> None:
    """A bar over all ratios of a line, and at their median a dot in the color of what most cases say."""
    ratios = line.ratios()
    most = max(COUNTS, key=line.count)
    color = COUNTS[most] if 2 * line.count(most) > len(line.timed) else OPEN
    low, middle, high = (min(max(ratios[name], LEAST), GREATEST) for name in ("low", "median", "high"))
    ax.plot([low, high], [y, y], color=color, linewidth=3, alpha=0.45, solid_capstyle="butt")
    ax.plot(middle, y, "o", color=color, markersize=8, clip_on=False)
    for beyond, end, mark in ((ratios["low"] < LEAST, LEAST, "<"), (ratios["high"] > GREATEST, GREATEST, ">")):
        if beyond:
            ax.plot(end, y, mark, color=color, markersize=8, clip_on=False)


def _counts(ax: mpl.axes.Axes, y: float, line: Line, beside: Transform) -> None:
    """How many cases say what."""
    for way, color in COUNTS.items():
        count = line.count(way)
        style = {"color": color, "weight": "bold"} if count else {"color": "0.65"}
        ax.text(PLACES[way], y, str(count), transform=beside, ha="center", va="center", **style)
