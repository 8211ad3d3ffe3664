"""A comparison as one HTML page, which needs no network."""

import html
import os
import platform
import re
import textwrap
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.ticker import MaxNLocator

import mixlab
from mixlab import _check, models
from mixlab._files import write_whole
from mixlab.calibration.intervals import Interval
from mixlab.calibration.table import Table
from mixlab.comparison.figure import canvas, image
from mixlab.comparison.scores import QUANTITIES
from mixlab.plots.comparison import plot_intervals
from mixlab.plots.reliability_diagram import plot_reliability

if TYPE_CHECKING:
    from mixlab.comparison.comparison import Comparison


def page_path(page: Any) -> Path:
    """The path of an HTML file in a folder that exists."""
    if not isinstance(page, (str, os.PathLike)):
        raise TypeError(f"page must be the path of an HTML file, got {_check.shown(page)}")
    path = Path(page).expanduser()
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"page must be a file in a folder that exists, got {str(path)!r}")
    return path


def write_page(comparison: "Comparison", path: str | os.PathLike[str], command: str | None = None) -> None:
    """See `Comparison.page`."""
    write_whole(page_path(path), page_of(comparison, command).encode())


def page_of(comparison: "Comparison", command: str | None = None) -> str:
    """The HTML of the page."""
    data, headline = comparison.data, comparison.recommendation.sentence
    title = f"Mixing on {data.name}: {len(data.classes)} classes, {len(data.train):,} training and "
    title += f"{len(data.test):,} test images"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="headline">{html.escape(headline)}</p>',
        _list(comparison.remarks),
        _differences(comparison),
        _means(comparison),
        _reliability(comparison),
        _cost(comparison),
        _settings(comparison),
        _repeat(comparison, command),
    ]
    style = files("mixlab.comparison").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _list(lines: list[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="remarks">{items}</ul>' if lines else ""


def _section(heading: str, text: str, figures: list[str], table: str = "") -> str:
    return f'<h2>{heading}</h2><p>{text}</p><div class="figures">{"".join(figures)}</div>{table}'


def _differences(comparison: "Comparison") -> str:
    differences = comparison.differences
    if not differences[comparison.by]:
        return ""
    order = [comparison.by, *(name for name in QUANTITIES if name not in (comparison.by, "seconds"))]
    figures = [
        _intervals(
            {mixer: part.interval for mixer, part in differences[name].items()},
            f"difference in {QUANTITIES[name].heading}",
            0.0,
        )
        for name in order
    ]
    heading, mixers = QUANTITIES[comparison.by].heading, len(comparison.mixers) - 1
    corrected = (
        f" Levels are corrected, so that those of all {mixers} mixers hold together with 95%." if mixers > 1 else ""
    )
    text = (
        f"{heading[0].upper()}{heading[1:]} decides. Shown is each mixer minus no mixing, paired by seed; a filled dot "
        f"says that the interval excludes 0.{corrected} Intervals say what other seeds would give; those of accuracy "
        "and NLL also what other test images would."
    )
    table = _wide("differences to no mixing", comparison.difference_table())
    return _section("Against no mixing", text, figures, table)


def _means(comparison: "Comparison") -> str:
    if not comparison.means:
        return ""
    figures = [
        _intervals({mixer: row[name] for mixer, row in comparison.means.items()}, part.heading, None)
        for name, part in QUANTITIES.items()
        if name != "seconds"
    ]
    text = (
        "Means over seeds, of the test images. NLL is the mean of −log of the probability that the true class was "
        "given, in nats. ECE is how far confidence and accuracy are apart, over 15 bins; a calibrated model, too, has "
        "some by chance. “After temperature”, the logits are divided by a number that is fitted on the other half of "
        "the test images."
    )
    return _section("Each mixer", text, figures, _wide("means of each mixer", comparison.table()))


def _wide(name: str, shown: Table) -> str:
    """A table that a narrow screen scrolls, by touch or by keyboard."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{name}">{shown._repr_html_()}</div>'


def _intervals(intervals: dict[str, Interval], quantity: str, reference: float | None) -> str:
    named = {textwrap.fill(name, 17): part for name, part in intervals.items()}
    height = 0.15 + 0.3 * len(named) + 0.1 * sum("\n" in name for name in named)
    ax = plot_intervals(named, canvas(1.7, height), quantity=quantity, reference=reference)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    return f"<figure>{image(ax)}</figure>"


def _reliability(comparison: "Comparison") -> str:
    figures = []
    for name, scores in comparison.scores.items():
        for seed, one in [*scores.items()][:1]:
            ax = plot_reliability(one.before, canvas(3.4, 3.4), after=one.after if one.scaled else None)
            figures.append(f"<figure><h3>{html.escape(name)}, seed {seed}</h3>{image(ax)}</figure>")
    if not figures:
        return ""
    text = (
        "One run of each mixer. Bars are as trained, diamonds after temperature. Gray boxes hold 95% of what a "
        "calibrated model with these confidences would show."
    )
    return _section("Confidence and accuracy", text, figures)


def _cost(comparison: "Comparison") -> str:
    if not comparison.means:
        return ""
    figure = _intervals({mixer: row["seconds"] for mixer, row in comparison.means.items()}, "seconds a run", None)
    total = sum(one.values["seconds"] for scores in comparison.scores.values() for one in scores.values())
    text = (
        f"{len(comparison.runs)} runs took {_duration(total)} of training, evaluations not counted. Times are of this "
        "machine, with whatever else it did."
    )
    return _section("Cost", text, [figure])


def _settings(comparison: "Comparison") -> str:
    data = comparison.data
    shape = "×".join(map(str, data.train.images.shape[1:]))
    facts = {
        "data": f"{data.name}, images of {shape}, classes {', '.join(data.classes)}",
        "digest of the data": data.digest,
        "model": comparison.model,
        "seeds": ", ".join(map(str, comparison.seeds)),
        "machine": f"{platform.platform()}, {comparison.picked}",
        "versions": f"mixlab {mixlab.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "written": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    }
    mixers = {name: repr(mixer) for name, mixer in comparison.mixers.items()}
    return (
        f"<h2>Settings and versions</h2>{_facts(facts)}"
        f"<details><summary>The mixers</summary>{_facts(mixers)}</details>"
        f"<details><summary>All settings of the training</summary>{_facts(comparison.settings)}</details>"
    )


def _facts(facts: dict[str, Any]) -> str:
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _repeat(comparison: "Comparison", command: str | None) -> str:
    calls = {name: re.sub(r"\b(Mixer|OneOf)\(", r"mx.\1(", repr(mixer)) for name, mixer in comparison.mixers.items()}
    mixers = ", ".join(f"{name!r}: {call}" for name, call in calls.items())
    model = repr(comparison.model) if comparison.model in models.MODELS else comparison.model
    given = ", ".join(f"{name}={value!r}" for name, value in comparison.given.items())
    python = (
        "import torch\n" * ("torch." in given) + "import mixlab as mx\n\n"
        "data = mx.load(...)  # the data with the digest above\n"
        f"mixers = {{{mixers}}}\n"
        f"mx.compare(data, mixers, seeds={list(comparison.seeds)}, model={model}, by={comparison.by!r},\n"
        f'           {given}, page="page.html")'
    )
    first = f"<pre>{html.escape(command)}</pre><p>Or in Python:</p>" if command else ""
    return (
        "<h2>To repeat it</h2><p>Runs are stored: the same call loads them, and resumes those that are not finished. "
        "On one machine's CPU the numbers are the same to the bit.</p>"
        f"{first}<pre>{html.escape(python)}</pre>"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
