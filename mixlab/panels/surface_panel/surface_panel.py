"""The surface panel: the loss around one network or two, in a random plane of weights, as surfaces that turn."""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.data.parts import stratified
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.normalize import normalized
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import Checked, seed_trait
from mixlab.panels.shared.running import RunPanel
from mixlab.panels.shared.session import Result
from mixlab.panels.surface_panel.planes import HEIGHTS, RADII, Planes, PlaneWalk
from mixlab.plots.style import GRAY, HEAT, INK, PAPER, plain
from mixlab.probes.curvature import weights_of
from mixlab.training.checks import check_logits, check_measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ON = {"clean": "clean images", "mixed": "images mixed by mixup"}
PARTS = ("train", "test")
NETWORKS_HIGH = 2
IMAGES = 100
CUT_LOW, CUT_HIGH = 0.1, 20.0  # nats
FLOOR, LEVELS = -0.6, 8  # where the contour lines lie under a surface from 0 to 1, and how many
NOTE = (
    "What this shows: the loss along two random directions, a and b, of {count:,} (Li et al., 2018). A step of 1 moves "
    "each filter by its own length, so large weights do not flatten the surface; biases and batch norms stay. A rise "
    "here is real; where it is flat here it may be steep in another direction. A network that is less sure has a lower "
    "loss where it is wrong, so look at the error too."
)


@dataclass(frozen=True)
class SurfaceSettings:
    """The values of the controls; see `surface_panel`."""

    on: str
    seed: int
    height: str
    cut: float
    azimuth: float
    elevation: float


Point = tuple[float, float, float]  # a, b, height
Run = Result[SurfaceSettings, Planes]


class SurfacePanel(RunPanel[SurfaceSettings, Planes]):
    """See `surface_panel`. The traits named there follow the controls, at release, and move them."""

    _esm = module("surface_panel/surface_panel.js")
    _css = styles("mx-surfaces", "shared/charts.css", "surface_panel/surface_panel.css")
    _on = traitlets.Dict(ON).tag(sync=True)
    _kinds = traitlets.Dict(HEIGHTS).tag(sync=True)
    _names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _axis = traitlets.List(traitlets.Float()).tag(sync=True)
    _note = traitlets.Unicode().tag(sync=True)
    _heat = traitlets.List(traitlets.Unicode(), [to_hex(HEAT(i / 31)) for i in range(32)]).tag(sync=True)
    _heights = traitlets.Bytes().tag(sync=True)  # float32 [networks, 2, side, side], NaN where nothing is measured
    on = Checked("clean", lambda name, value: _check.choice(name, value, ON))
    seed = seed_trait()
    height = Checked("loss", lambda name, value: _check.choice(name, value, HEIGHTS))
    cut = Checked(1.0, lambda name, value: _check.number(name, value, CUT_LOW, CUT_HIGH))
    azimuth = Checked(0.0, lambda name, value: _check.number(name, value, -180, 180))
    elevation = Checked(0.0, lambda name, value: _check.number(name, value, 0, 90))

    def __init__(
        self,
        networks: dict[str, nn.Module],
        inputs: dict[str, tuple[Tensor, Tensor]],
        axis: list[float],
        settings: SurfaceSettings,
    ) -> None:
        self._networks, self._inputs = networks, inputs
        self._rises: dict[tuple[str, int], list[list[float]]] = {}  # of whole planes, by on and seed
        count = sum(weight.numel() for weight in weights_of(next(iter(networks.values()))))
        super().__init__(settings, _names=list(networks), _axis=axis, _note=NOTE.format(count=count))

    @property
    def planes(self) -> Planes | None:
        """What the latest run has measured so far; None before the first."""
        return self.records[-1] if self.records else None

    def reset(self) -> None:
        """Stop, forget what was measured, and put the controls back."""
        super().reset()
        self._rises.clear()  # only now, as a run that is stopped is said once more

    def describe(self) -> str:
        """Where the measuring stands, what the plane shows and what all planes so far say together."""
        if self.result is None:
            return f"A panel to measure the loss around {' and '.join(self._names)}; nothing has been measured yet."
        head, *rows = self._table() or [[]]
        numbers = " ".join(
            f"{name}: {', '.join(f'{what} {value}' for what, value in zip(head[1:], values, strict=True))}."
            for name, *values in rows
        )
        return " ".join(words for words in (_status(self.result), self.result.error, numbers, self._said()) if words)

    def figure(self) -> "Figure":
        """The surfaces side by side, from where they are looked at, with contour lines underneath."""
        from matplotlib.figure import Figure

        if self.planes is None or not self.planes.done:
            figure = Figure(figsize=(8, 1))
            figure.text(0.5, 0.5, "No plane has been measured yet.", ha="center", va="center")
            return figure
        figure = Figure(figsize=(5 * len(self._names), 4.6), layout="constrained", facecolor=PAPER)
        for place, name in enumerate(self._names):
            ax = figure.add_subplot(1, len(self._names), place + 1, projection="3d")
            self._draw(ax, place)
            ax.set_title(plain(name), color=INK)
        return figure

    def _draw(self, ax: "Axes", place: int) -> None:
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

        planes = self.planes
        assert planes is not None
        top = self.cut if self.height == "loss" else 1.0
        heights = planes.heights[place, list(HEIGHTS).index(self.height)].numpy()
        cells = [cut_at(cell, top) for cell in corners(planes.axis, heights)]
        cells = [cell for cell in cells if len(cell) > 2]
        colors = [HEAT(sum(height for *_, height in cell) / len(cell) / top) for cell in cells]
        surface: Any = ax  # matplotlib has no types for axes of three dimensions
        surface.add_collection3d(Poly3DCollection(cells, facecolors=colors, edgecolor=INK, linewidth=0.3))
        levels = [top * (i + 1) / LEVELS for i in range(LEVELS)]
        surface.contour(planes.axis, planes.axis, heights.T, levels=levels, offset=FLOOR * top, colors=GRAY)
        ticks = [-1, 0, 1]
        surface.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(FLOOR * top, top), xticks=ticks, yticks=ticks)
        surface.set_zticks([0, top / 2, top], [f"{share * top:.2g}" for share in (0, 0.5, 1)])
        surface.set(xlabel="a", ylabel="b", zlabel=HEIGHTS[self.height])
        surface.view_init(self.elevation, self.azimuth)

    def _build(self, settings: SurfaceSettings) -> PlaneWalk:
        return PlaneWalk(list(self._networks.values()), *self._inputs[settings.on], self._axis, seed=settings.seed)

    def _say(self) -> None:
        result, planes = self.result, self.planes
        if result is not None and result.phase == "finished" and planes is not None:
            self._rises[result.settings.on, result.settings.seed] = planes.rises("loss")
        view = {
            "phase": result.phase if result else "idle",
            "settings": vars(result.settings) if result else {},
            "status": _status(result),
            "alert": self._trouble or (result.error if result else ""),
            "progress": result.step / result.steps if result and result.steps else 0,
            "table": self._table(),
            "said": self._said(),
        }
        with self.hold_sync():  # one message, so that the browser never sees the one without the other
            self._view = view
            self._heights = b"" if planes is None else planes.heights.float().numpy().tobytes()

    def _table(self) -> list[list[str]]:
        """The numbers of the plane in words, a row for each network below the head; empty until it is measured."""
        planes = self.planes
        if planes is None or not planes.done:
            return []
        columns = zip(self._names, planes.centers("loss"), planes.centers("error"), planes.rises("loss"), strict=True)
        head = ["network", "loss (nats)", "error", *(f"rise within {radius:g}" for radius in RADII)]
        return [head, *([name, *(f"{value:.2f}" for value in (*at, *rises))] for name, *at, rises in columns)]

    def _said(self) -> str:
        """The differences between two networks over all planes that were measured, with their intervals."""
        if self.result is None or len(self._names) < 2:
            return ""
        measured = [rises for (kind, _), rises in self._rises.items() if kind == self.result.settings.on]
        if len(measured) < 2:
            return "This is one plane: other seeds show whether the difference stays." if measured else ""
        first, second = self._names
        spans = [mean_interval([one[i] - other[i] for one, other in measured]) for i in range(len(RADII))]
        each = "; ".join(
            f"within {radius:g} {_signed(span.value)} [{_signed(span.low)}, {_signed(span.high)}], "
            f"{_verdict(span, first, second)}"
            for radius, span in zip(RADII, spans, strict=True)
        )
        return f"Over {len(measured)} planes, the rise of {first} minus that of {second}, in nats: {each}."


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _verdict(span: Interval, first: str, second: str) -> str:
    steeper = first if span.low > 0 else second if span.high < 0 else ""
    return f"{steeper} rises more" if steeper else "undecided"


def corners(axis: Sequence[float], heights: np.ndarray) -> Iterator[list[Point]]:
    """The four corners of each cell."""
    for i, j in itertools.product(range(len(axis) - 1), repeat=2):
        yield [(axis[p], axis[q], float(heights[p, q])) for p, q in ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))]


def cut_at(polygon: list[Point], top: float) -> list[Point]:
    """The part of a polygon that is not above `top`."""
    kept: list[Point] = []
    for point, following in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if point[2] <= top:
            kept.append(point)
        if (point[2] <= top) != (following[2] <= top):
            share = (top - point[2]) / (following[2] - point[2])
            a, b = (one + share * (other - one) for one, other in zip(point[:2], following[:2], strict=True))
            kept.append((a, b, top))
    return kept


def _status(result: Run | None) -> str:
    if result is None:
        return "Say which surface will be flatter, and press Start."
    share = f"{result.step} of {result.steps} rows"
    if result.phase == "preparing":
        return "Preparing the plane."
    if result.phase == "training":
        left = f", {result.seconds_left:.0f} s left" if math.isfinite(result.seconds_left) else ""
        return f"Measuring: {share}{left}."
    if result.phase == "finished":
        return f"Measured on {ON[result.settings.on]}, plane of seed {result.settings.seed}."
    return f"{result.phase.capitalize()} after {share}."


def _check_networks(networks: object, data: Dataset) -> dict[str, nn.Module]:
    """A copy of each network by its name, once it is seen to fit the data."""
    if isinstance(networks, nn.Module):
        networks = {"network": networks}
    if not isinstance(networks, Mapping) or not all(isinstance(name, str) and name for name in networks):
        wanted = "a torch.nn.Module, or a mapping of names to them"
        raise TypeError(f"networks must be {wanted}, got {_check.shown(networks)}")
    if not 1 <= len(networks) <= NETWORKS_HIGH:
        raise ValueError(f"networks must hold 1 or {NETWORKS_HIGH} networks, got {len(networks)}")
    for network in networks.values():
        check_logits(network, check_measured(network, data), data)
        weights_of(network)
    return {name: copy.deepcopy(network) for name, network in networks.items()}


def surface_panel(
    networks: nn.Module | Mapping[str, nn.Module],
    data: Dataset,
    *,
    part: str = "train",
    images: int | None = None,
    side: int = 17,
    alpha: float = 1.0,
    on: str = "clean",
    seed: int = 0,
    height: str = "loss",
    cut: float | None = None,
    azimuth: float = -60.0,
    elevation: float = 30.0,
) -> SurfacePanel:
    """A panel that measures the loss in a random plane around one network or two, and turns it as surfaces.

        mx.panels.surface_panel({"none": plain_net, "mixup": mixed_net}, data)

    The plane is w + a·d₁ + b·d₂ for a and b from −1 to 1, in random directions with each filter as long as the
    network's own (`mixlab.probes.filter_normalized`). Networks of one architecture get the same random numbers, and
    both surfaces are drawn at one scale. Networks are read in evaluation mode, with the statistics that their
    BatchNorms have stored. Two `quick` nets take some 12 seconds on two cores, by the defaults.

    Args:
        networks: one network, or one or two by name; copies of them are measured, as they are at the call.
        data: holds the images.
        part: "train", as in the paper, or "test".
        images: counts the images, at least one for each class, in the shares of `part`; by default 100, or all if there
            are fewer.
        side: counts the points of a side of the plane, odd, 5 to 41.
        alpha: of the mixup of `on="mixed"`, 0.01 to 100; pairs and λ are drawn once.
        on: which images, "clean" or "mixed" ones.
        seed: draws the plane.
        height: what is drawn, "loss" (in nats) or "error" (the share of answers that are not the largest label).
        cut: nats above which the loss is not drawn, 0.1 to 20; ln(classes), the loss of guessing, by default.
        azimuth: degrees round the vertical from which the surfaces are seen, −180 to 180.
        elevation: degrees above the plane from which they are seen, 0 to 90.

    Returns:
        A widget. Its on, seed, height, cut, azimuth and elevation follow the controls; start(), pause(), resume(),
        stop() and reset() are its buttons, and run() measures before it returns. `.planes` holds the numbers.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.

    Source: Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018.
    """
    check_dataset(data)
    split = getattr(data, _check.choice("part", part, PARTS))
    images = min(IMAGES, len(split)) if images is None else images
    images = _check.integer("images", images, len(data.classes), len(split))
    side = _check.integer("side", side, 5, 41)
    if side % 2 == 0:
        raise ValueError(f"side must be odd, so that the weights themselves are a point, got {side}")
    mixer = Mixer("mixup", alpha=_check.number("alpha", alpha, 0.01, 100))
    copies = _check_networks(networks, data)
    device = next(next(iter(copies.values())).parameters()).device
    chosen = split.subset(stratified(split.labels, images, seed=0)).to(device)
    x = normalized(chosen.images, data.normalization).contiguous(memory_format=torch.channels_last)
    plan = mixer.plan(x, generator=torch.Generator(device).manual_seed(0))
    classes = len(data.classes)
    inputs = {
        "clean": (x, functional.one_hot(chosen.labels, classes).float()),
        "mixed": (plan.apply(x), plan.targets(chosen.labels, classes)),
    }
    cut = math.log(classes) if cut is None else cut
    axis = np.linspace(-1, 1, side).tolist()
    return SurfacePanel(copies, inputs, axis, SurfaceSettings(on, seed, height, cut, azimuth, elevation))
