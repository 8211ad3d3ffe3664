"""The atlas panel: recorded runs on sliders that stop where there are runs, two settings of them side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import traitlets
from scipy.special import stdtrit

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.panels.atlas_panel import numbers
from mixlab.panels.atlas_panel.numbers import AXES, ROWS, Setting
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import Checked, Panel
from mixlab.plots.style import BLUE, GRAY, PAPER, VERMILION
from mixlab.runs.atlas import Atlas
from mixlab.runs.atlas import atlas as recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BIN_COUNTS = (5, 10, 15, 20, 30)
PICTURES = ("all", "curves", "reliability", "cost")
# What the panel begins at, if it is there.
_FIRST = {"data": "cifar10", "model": "quick", "variant": "mixup", "alpha": 1.0, "k": 1}
_SHARED = ("data", "model", "images")


def _bins(name: str, value: Any) -> int:
    if value not in BIN_COUNTS:
        raise ValueError(f"{name} must be one of {', '.join(map(str, BIN_COUNTS))}, got {_check.shown(value)}")
    return int(value)


class AtlasPanel(Panel):
    """See `atlas_panel`. Its traits follow the controls, at release, and move them."""

    _esm = module("atlas_panel/atlas_panel.js")
    _css = styles("mx-atlas", "shared/charts.css", "atlas_panel/atlas_panel.css")
    _settings: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _numbers = traitlets.Bytes().tag(sync=True)  # of all runs, see numbers.packed
    _rows = traitlets.Dict({name: list(row) for name, row in ROWS.items()}).tag(sync=True)
    _student: traitlets.List[float] = traitlets.List().tag(sync=True)  # the 97.5% quantiles for 2, 3, ... pairs
    this = Checked({}, lambda name, value: value)  # noqa: ARG005  # _recorded looks at it
    that = Checked({}, lambda name, value: value)  # noqa: ARG005
    n_bins = Checked(15, _bins)
    tempered = Checked(False, _check.flag)
    picture = Checked("all", lambda name, value: _check.choice(name, value, PICTURES))

    def __init__(self, atlas: Atlas, **traits: Any) -> None:
        self.atlas = atlas
        self.settings = numbers.settings_of(atlas)
        rows, data = numbers.packed(self.settings)
        most = max(len(one.runs) for one in self.settings)
        student = [float(stdtrit(pairs - 1, 0.975)) for pairs in range(2, most + 1)]
        super().__init__(_settings=rows, _numbers=data, _student=student, **traits)

    @traitlets.validate("this", "that")
    def _recorded(self, proposal: Any) -> dict[str, Any]:
        return dict(self._setting(proposal["trait"].name, proposal["value"]).axes)

    def _setting(self, name: str, axes: Any) -> Setting:
        for one in self.settings:
            if one.axes == axes:
                return one
        raise ValueError(f"{name} must be a setting that has runs, with {', '.join(AXES)}, got {_check.shown(axes)}")

    @property
    def _pair(self) -> tuple[Setting, Setting]:
        return self._setting("this", self.this), self._setting("that", self.that)

    def differences(self) -> dict[str, Interval]:
        """This less that, in points or nats, over the seeds that both have, at least two; else an empty dict."""
        parts = {row: numbers.difference(*self._pair, row, self.n_bins) for row in ROWS}
        return {row: part for row, part in parts.items() if isinstance(part, Interval)}

    def front(self) -> list[dict[str, Any]]:
        """The settings on the Pareto front of accuracy and cost, cheapest first, among those with the data of this."""
        return [one.axes for one in numbers.front(self._alike())]

    def _alike(self) -> list[Setting]:
        return [one for one in self.settings if all(one.axes[name] == self.this[name] for name in _SHARED)]

    def describe(self) -> str:
        """The differences of the two settings, in words."""
        return numbers.describe(*self._pair, self.n_bins)

    def best(self) -> str:
        """Which setting is the most accurate for at most the cost of this, and whether that is decided, in words."""
        return numbers.best_for(self._alike(), self._pair[0].cost)

    def figure(self) -> "Figure":
        """Accuracy against cost of all settings with the same data, and the intervals of the differences."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        from mixlab.plots.comparison import plot_intervals

        intervals = {row: part for row, part in self.differences().items() if ROWS[row][-1] == "points"}
        figure = Figure(figsize=(10, 3.8) if intervals else (5, 3.8), layout="constrained", facecolor=PAPER)
        ax = figure.add_subplot(1, 2 if intervals else 1, 1)
        alike = self._alike()
        front = numbers.front(alike)
        ax.plot([one.cost for one in alike], [100 * one.accuracy for one in alike], "o", color=GRAY, mfc=PAPER)
        heights = [100 * one.accuracy for one in front]
        ax.step([one.cost for one in front], heights, where="post", color=GRAY, label="Pareto front")
        for one, color, mark, name in zip(self._pair, (BLUE, VERMILION), "os", ("this", "that"), strict=True):
            words = f"{name}: {numbers.words_of(one.axes)}"
            ax.plot(one.cost, 100 * one.accuracy, mark, color=color, markersize=9, label=words)
        ax.set(xscale="log", xlabel="images through the network", ylabel="accuracy, %, mean of the seeds")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:,.0f}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        figure.legend(loc="outside lower center", ncols=3 if intervals else 1, fontsize=9)
        if intervals:
            plot_intervals(intervals, figure.add_subplot(1, 2, 2), quantity="this − that, points", reference=0)
        return figure


def atlas_panel(
    atlas: Atlas | None = None,
    *,
    this: Mapping[str, Any] | None = None,
    that: Mapping[str, Any] | None = None,
    n_bins: int = 15,
    tempered: bool = False,
    picture: str = "all",
) -> AtlasPanel:
    """A panel in which sliders go through recorded runs: two settings with their curves, reliability and cost.

    Nothing is trained. A slider stops only where there are runs; what the others have to give up for it is said. The
    comparison pairs runs by seed, with Student's 95% intervals. The Pareto front is that of the means, so that chance
    has a part in it.

    Args:
        atlas: the runs (default: those that come with mixlab, `mixlab.atlas()`); one for each setting and seed.
        this: the setting to begin with: some of data, model, images, variant, alpha, k and epochs, as
            `Atlas.where` takes them; what is left open is as near as can be to mixup with α = 1 of the quick net.
        that: likewise, as near as can be to `this`; by default a setting that does not mix.
        n_bins: of equal width, for ECE and the diagram: 5, 10, 15, 20 or 30.
        tempered: whether the diagram and the curves of ECE are those after a temperature.
        picture: "all", or only the "curves", "reliability" or "cost".

    Returns:
        A widget. Its `this` and `that` are whole settings for `Atlas.where` and `Atlas.difference`; `.differences()`
        gives the intervals, `.front()` the settings on the Pareto front, and `.best()` the best for as little.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, or settings that no run has; the message names it.
    """
    atlas = recorded() if atlas is None else atlas
    if not isinstance(atlas, Atlas) or not len(atlas):
        raise TypeError(f"atlas must be an Atlas with runs, as mixlab.atlas gives it, got {_check.shown(atlas)}")
    one = _near(atlas, "this", {} if this is None else this, _FIRST)
    other = _near(atlas, "that", {"variant": "none"} if that is None and _mixes_not(atlas) else that or {}, one)
    return AtlasPanel(atlas, this=one, that=other, n_bins=n_bins, tempered=tempered, picture=picture)


def _mixes_not(atlas: Atlas) -> bool:
    return "none" in atlas.values("variant")


def _near(atlas: Atlas, name: str, asked: Mapping[str, Any], near: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of a run that has what is asked, and most of what stands in `near`."""
    if not isinstance(asked, Mapping):
        raise TypeError(f"{name} must be settings by name, got {_check.shown(asked)}")
    runs = atlas.where(**asked)
    if not len(runs):
        raise ValueError(f"{name} must be a setting that has runs, got {dict(asked)}")
    best = max(runs, key=lambda run: [getattr(run, axis) == near.get(axis) for axis in AXES])
    return {axis: getattr(best, axis) for axis in AXES}
