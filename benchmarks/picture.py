"""The picture of the benchmarks: each ratio with its interval on a log axis, a line for each group and peer."""

import hashlib
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rows import Row, ahead, is_limit

OURS, THEIRS, OPEN = "#0072b2", "#d55e00", "#767676"  # Okabe and Ito; told apart in grey by their side of 1 too
LINE = 0.24  # inches for a line


def draw(rows: list[Row], path: Path) -> None:
    """Write the picture as an SVG that is equal for equal rows."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if not is_limit(row):
            groups.setdefault(row["group"], {}).setdefault(row["peer"]["name"], []).append(row)
    lines = sum(len(peers) + 1 for peers in groups.values())
    with mpl.rc_context({"svg.hashsalt": "mixlab", "font.size": 9, "svg.fonttype": "path"}):
        figure = Figure(figsize=(8, 1 + LINE * lines), layout="constrained", facecolor="white")
        ax = figure.subplots()
        places, labels, y = [], [], 0
        for group, peers in groups.items():
            ax.text(0.0, y, group, transform=ax.get_yaxis_transform(), weight="bold", va="center", ha="left")
            y += 1
            for peer, mine in peers.items():
                _line(ax, y, mine)
                places.append(y)
                labels.append(f"{peer} ({len(mine)})")
                y += 1
        ax.axvline(1, color="black", linewidth=0.8)
        ax.set(xscale="log", yticks=places, yticklabels=labels, ylim=(y - 0.4, -0.6))
        ax.set_xlabel("peer's time / mixlab's, with its 95% interval: right of 1 mixlab is faster")
        told = "A mark for each of (n) comparisons. Orange: the peer is faster; grey: the interval holds 1"
        ax.set_title(told, fontsize=9, loc="left")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None, "Description": digest(rows)})


def digest(rows: list[Row]) -> str:
    """What the picture is made from, as hex digits: it is in the file, so that a test finds an old picture."""
    parts = [(row["group"], row["peer"]["name"], *row["ratio"].values()) for row in rows]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _line(ax: mpl.axes.Axes, y: float, rows: list[Row]) -> None:
    """Marks of one peer, spread a little in height so that they do not hide each other."""
    for i, row in enumerate(rows):
        ratio, height = row["ratio"], y + 0.5 * ((i + 0.5) / len(rows) - 0.5)
        colour = THEIRS if "faster" in ahead(row) else OURS if ratio["low"] > 1 else OPEN
        ax.plot([ratio["low"], ratio["high"]], [height, height], color=colour, linewidth=1, alpha=0.6)
        ax.plot(ratio["median"], height, "o", color=colour, markersize=3)
