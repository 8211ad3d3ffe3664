"""The variance panel: V_pairs + V_λ/K on a slider, with what was measured, beside K times as many pairs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import traitlets

from mixlab import _check
from mixlab.calibration.intervals import Interval
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import Checked, Panel
from mixlab.plots.style import BLUE, GRAY, INK, PALE_BLUE, PAPER, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

K_MOST = 16
_TOP = 2.0  # of the picture; the intervals of few draws reach far beyond


class VariancePanel(Panel):
    """See `variance_panel`. The trait k follows the slider, and moves it."""

    _esm = module("variance_panel/variance_panel.js")
    _css = styles("mx-variance")
    _floor = traitlets.Float().tag(sync=True)
    _blends: traitlets.List[list[float]] = traitlets.List().tag(
        sync=True
    )  # K, value, low, high of what was measured, at most 2
    _pairs: traitlets.List[list[float]] = traitlets.List().tag(sync=True)  # likewise for so many times the pairs
    k = Checked(5, lambda name, value: _check.integer(name, value, 1, K_MOST))

    def __init__(self, blends: Mapping[int, Interval], pairs: Mapping[int, Interval], k: int) -> None:
        self.floor = floor_of(blends)
        measured, larger = (
            [[k, *(min(end, _TOP) for end in (part.value, part.low, part.high))] for k, part in found.items()]
            for found in (blends, pairs)
        )
        super().__init__(_floor=self.floor.value, _blends=measured, _pairs=larger, k=k)

    def law(self, k: float) -> float:
        """What K blends of each pair leave of the variance with one: V_pairs + V_λ/K, with V(1) = 1."""
        return self.floor.value + (1 - self.floor.value) / k

    def describe(self) -> str:
        """The parts of the variance at this K, and what as many more pairs would leave."""
        floor, of_lam = self.floor.value, (1 - self.floor.value) / self.k
        return (
            f"K = {self.k} leaves {self.law(self.k):.2f} of the variance at K = 1: {floor:.2f} from the pairs and "
            f"{of_lam:.2f} from λ. As many images through the network, all of different pairs, leave "
            f"{1 / self.k:.2f}. The floor is {floor:.2f} [{self.floor.low:.2f}, {self.floor.high:.2f}]."
        )

    def figure(self) -> "Figure":
        """Both laws against K, with what was measured."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.8), layout="constrained", facecolor=PAPER)
        ax = figure.add_subplot()
        grid = np.linspace(1, K_MOST, 200)
        ax.axhline(self.floor.value, color=GRAY, linestyle=":", label="the floor, V_pairs")
        ax.plot(grid, [self.law(k) for k in grid], color=BLUE, linewidth=2, label="K blends: V_pairs + V_λ/K")
        ax.plot(grid, 1 / grid, color=INK, linestyle="--", linewidth=2, label="K times the pairs: V/K")
        for rows, shape in ((self._blends, "o"), (self._pairs, "s")):
            for k, value, low, high in rows:
                ax.errorbar(k, value, [[value - low], [high - value]], fmt=shape, color=VERMILION, capsize=3)
        parts = [self.floor.value, self.law(self.k) - self.floor.value]
        ax.bar([self.k] * 2, parts, 0.3, [0, parts[0]], color=[PALE_BLUE, BLUE])
        ax.set(xlim=(0.5, K_MOST), ylim=(0, None), xlabel="K", ylabel="variance over that at K = 1")
        ax.legend(loc="upper right", fontsize=9)
        ax.set_label(self.describe())
        return figure


def floor_of(blends: Mapping[int, Interval]) -> Interval:
    """V_pairs/V(1), what stays however large K is, from V(K)/V(1) at the largest K: (K V(K)/V(1) − 1)/(K − 1)."""
    k = max(blends)
    part = blends[k]
    value, low, high = ((k * end - 1) / (k - 1) for end in (part.value, part.low, part.high))
    return Interval(value, low, high, part.n, part.level)


def variance_panel(
    blends: Mapping[int, Interval], pairs: Mapping[int, Interval] | None = None, k: int = 5
) -> VariancePanel:
    """A panel in which K moves along V(K) = V_pairs + V_λ/K, the variance of a gradient from K blends of each pair.

    Given the pairs, the K blends are independent, so K divides what λ adds and nothing else (the law of total
    variance). K times as many pairs cost as much and divide both parts.

    Args:
        blends: the variance with K blends over that with one, for each K > 1 measured, as `GradientVariance.ratio`
            gives it; the largest K fixes the two parts, and the others test the law.
        pairs: likewise for so many times as many pairs with one blend each.
        k: where the slider stands at first, 1 to 16.

    Returns:
        A widget. Its `k` follows the slider; `.floor` is V_pairs/V(1) with its interval, `.law(k)` the curve.

    Raises:
        TypeError, ValueError: something else than Intervals by K, or a K that is out of range; the message names it.
    """
    given = {"blends": blends, "pairs": {} if pairs is None else pairs}
    for name, found in given.items():
        if not isinstance(found, Mapping) or not all(isinstance(part, Interval) for part in found.values()):
            raise TypeError(f"{name} must map K to an Interval, got {_check.shown(found)}")
        for number in found:
            _check.integer(f"K in {name}", number, 2, K_MOST)
    if not blends:
        raise ValueError("blends must hold at least one measured K, got none")
    return VariancePanel(blends, given["pairs"], k)
