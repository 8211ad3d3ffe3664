"""The spiral panel: train a net with a hidden layer of two numbers, and watch the plane and that layer meanwhile."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from mixlab import Mixer, _check
from mixlab.data.spiral_points import spirals
from mixlab.models.spiral_net import SpiralNet
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import Checked, alpha_trait, k_trait, seed_trait
from mixlab.panels.shared.running import RunPanel
from mixlab.panels.shared.session import Result
from mixlab.panels.training_panel.report import status
from mixlab.plots.style import SERIES
from mixlab.training.spiral_trainer import GRID, REACH, SpiralRecord, SpiralTrainer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANDOM = ("input", "block2", "bottleneck")
LAYERS = {
    "none": "nowhere: no mixing",
    **{layer: f"at {layer}" for layer in SpiralNet.mixing_points},
    "random": f"drawn anew: {', '.join(RANDOM)}",
}
NAMES = "ABC"  # of the classes
MARKERS = "os^"
EPOCHS_HIGH = 400
POINTS, _TESTED = 600, 2000  # points to train and to test on


@dataclass(frozen=True)
class SpiralSettings:
    """What a run is started with."""

    layer: str
    alpha: float
    k: int
    classes: int
    epochs: int
    seed: int

    @property
    def mixing(self) -> str:
        """The mixing in words, and how many classes if not two: "3 classes, mixed at bottleneck, α = 2, K = 1"."""
        many = "" if self.classes == 2 else f"{self.classes} classes, "
        if self.layer == "none":
            return f"{many}no mixing"
        drawn = f"at {', '.join(RANDOM[:-1])} or {RANDOM[-1]}, drawn anew"
        return (
            f"{many}mixed {drawn if self.layer == 'random' else LAYERS[self.layer]}, α = {self.alpha:.3g}, K = {self.k}"
        )


Run = Result[SpiralSettings, SpiralRecord]


class SpiralPanel(RunPanel[SpiralSettings, SpiralRecord]):
    """See `spiral_panel`. The traits named there follow the controls, at release, and move them."""

    _esm = module("spiral_panel/spiral_panel.js")
    _css = styles("mx-spirals", "shared/charts.css", "spiral_panel/spiral_panel.css")
    _needs_kernel = traitlets.Bool(False).tag(sync=True)  # spiral_training.js trains where there is none
    _layers = traitlets.Dict(LAYERS).tag(sync=True)
    _plane = traitlets.Dict().tag(sync=True)  # how points are drawn, and how many
    _pictures = traitlets.Bytes().tag(sync=True)  # of each run: points, hidden states, labels, field
    layer = Checked("bottleneck", lambda name, value: _check.choice(name, value, LAYERS))
    alpha = alpha_trait()
    k = k_trait()
    classes = Checked(2, lambda name, value: _check.integer(name, value, 2, 3))
    epochs = Checked(150, lambda name, value: _check.integer(name, value, 1, EPOCHS_HIGH))
    seed = seed_trait()

    def __init__(self, noise: float, turns: float, settings: SpiralSettings) -> None:
        self._shape = {"noise": noise, "turns": turns}
        super().__init__(settings, _plane=self._shape | {"count": POINTS, "tested": _TESTED})

    @property
    def trainer(self) -> SpiralTrainer | None:
        """The trainer of the latest run, with its model; None before the first."""
        trainer = self._session.trainer
        assert trainer is None or isinstance(trainer, SpiralTrainer)
        return trainer

    def describe(self) -> str:
        """Where the run stands, and what both runs reached: accuracy, confidence and the spread of each class."""
        if self.result is None:
            return "A panel to train a small net on spirals; nothing has been trained yet."
        words = [status(self.result, "points"), self.result.error]
        for name, run in (("This run", self.result), ("The run before", self.previous)):
            if run and run.records:
                words.append(f"{name}, {run.settings.mixing}: {_reached(run.records[-1])}")
        return " ".join(word for word in words if word)

    def figure(self) -> "Figure":
        """The plane, the bottleneck and the singular values of both runs."""
        from matplotlib.figure import Figure

        runs = [run for run in (self.result, self.previous) if run and run.records]
        if not runs:
            figure = Figure(figsize=(8, 1))
            figure.text(0.5, 0.5, "Nothing has been trained yet.", ha="center", va="center")
            return figure
        figure = Figure(figsize=(11.5, 4.3 * len(runs)), layout="constrained")
        for run, part in zip(runs, figure.subfigures(len(runs), 1, squeeze=False)[:, 0], strict=True):
            name = "This run" if run is self.result else "The run before"
            part.suptitle(f"{name}: {run.settings.mixing}", weight="bold")
            plane, hidden, bars = part.subplots(1, 3)
            record, (x, y) = run.records[-1], self._points(run.settings)
            _draw_field(plane, record, x, y)
            _draw_hidden(hidden, record, y)
            _draw_values(bars, record)
        return figure

    def _points(self, settings: SpiralSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """The training points of a run."""
        g = torch.Generator().manual_seed(settings.seed)
        return spirals(POINTS, classes=settings.classes, generator=g, **self._shape)

    def _build(self, settings: SpiralSettings) -> SpiralTrainer:
        seed, alpha = settings.seed, settings.alpha
        g = torch.Generator().manual_seed(seed)
        train, test = (spirals(n, classes=settings.classes, generator=g, **self._shape) for n in (POINTS, _TESTED))
        layers = RANDOM if settings.layer == "random" else (settings.layer,)
        mixer = (
            Mixer("none") if settings.layer == "none" else Mixer("manifold", alpha=alpha, k=settings.k, layers=layers)
        )
        return SpiralTrainer(
            SpiralNet(settings.classes, seed=seed), train, test, mixer, epochs=settings.epochs, seed=seed
        )

    def _say(self) -> None:
        result, previous = self.result, self.previous
        runs = [run for run in (result, previous) if run is not None]
        shown = [(run.settings, run.records[-1] if run.records else None) for run in runs]
        shown = shown or [(self._settings(), None)]  # before the first run: its points
        view = {
            "phase": result.phase if result else "idle",
            "settings": vars(result.settings) if result else {},
            "status": status(result, "points"),
            "alert": self._trouble or (result.error if result else ""),
            "progress": result.step / result.steps if result and result.steps else 0,
            "runs": [_numbers(settings, record) for settings, record in shown],
        }
        with self.hold_sync():  # one message, so that the browser never sees the one without the other
            self._view = view
            self._pictures = b"".join(self._bytes(settings, record) for settings, record in shown)

    def _bytes(self, settings: SpiralSettings, record: SpiralRecord | None) -> bytes:
        """Points float32 [n, 2], then hidden float32 [n, 2], labels uint8 [n], field uint8 [classes, GRID, GRID]."""
        x, y = self._points(settings)
        hidden = torch.zeros_like(x) if record is None else record.hidden
        field = (
            torch.zeros(settings.classes, GRID, GRID, dtype=torch.uint8, device="cpu")
            if record is None
            else record.field
        )
        return b"".join(part.numpy().tobytes() for part in (x, hidden, y.to(torch.uint8), field))


def _numbers(settings: SpiralSettings, record: SpiralRecord | None) -> dict[str, Any]:
    return {
        "name": settings.mixing,
        "seed": settings.seed,
        "classes": settings.classes,
        "count": POINTS,
        "reached": _reached(record) if record else "nothing measured yet",
        "values": record.singular_values.tolist() if record else None,
    }


def _reached(record: SpiralRecord) -> str:
    spread = "; ".join(
        f"{name} {first:.2f} and {second:.2f}"
        for name, (first, second) in zip(NAMES, record.singular_values.tolist(), strict=False)
    )
    return (
        f"test accuracy {record.test_accuracy:.3f}, mean confidence {record.test_confidence:.3f}; "
        f"singular values of class {spread}."
    )


def _draw_field(ax: "Axes", record: SpiralRecord, x: torch.Tensor, y: torch.Tensor) -> None:
    import numpy as np
    from matplotlib.colors import to_rgb

    p = record.field.permute(1, 2, 0).numpy() / 255
    colors = np.array([to_rgb(color) for color in SERIES[: p.shape[-1]]])
    sure = ((p.max(-1) * len(colors) - 1) / (len(colors) - 1)).clip(0, 1)[..., None]
    ax.imshow(1 + 0.6 * sure * (colors[p.argmax(-1)] - 1), origin="lower", extent=(-REACH, REACH, -REACH, REACH))
    _scatter(ax, x, y)
    ax.set(title="The plane: white where it is undecided", xlabel="x₁", ylabel="x₂")


def _draw_hidden(ax: "Axes", record: SpiralRecord, y: torch.Tensor) -> None:
    _scatter(ax, record.hidden, y)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(title="The bottleneck: each point's two numbers", xlabel="h₁", ylabel="h₂")


def _scatter(ax: "Axes", points: torch.Tensor, y: torch.Tensor) -> None:
    for label in range(int(y.max()) + 1):
        own = points[y == label]
        ax.scatter(own[:, 0], own[:, 1], 9, color=SERIES[label], marker=MARKERS[label])


def _draw_values(ax: "Axes", record: SpiralRecord) -> None:
    for label, values in enumerate(record.singular_values.tolist()):
        for place, value in enumerate(values):
            at = 2.6 * label + place
            ax.barh(at, value, color=SERIES[label], alpha=1 - 0.45 * place)
            ax.text(value, at, f" {value:.2f}", va="center")
    classes = len(record.singular_values)
    rows = [f"{NAMES[label]}, {order}" for label in range(classes) for order in ("largest", "second")]
    ax.set_yticks([2.6 * label + place for label in range(classes) for place in (0, 1)], rows)
    ax.set_xlim(0, max(1.15, 1.2 * float(record.singular_values.max())))
    ax.invert_yaxis()
    ax.set(title="Singular values of each class", xlabel="in units of the layer's spread")


def spiral_panel(
    *,
    layer: str = "bottleneck",
    alpha: float = 2.0,
    k: int = 1,
    classes: int = 2,
    epochs: int = 150,
    seed: int = 0,
    noise: float = 0.03,
    turns: float = 1.0,
) -> SpiralPanel:
    """A panel that trains a net with a bottleneck of two numbers on spirals, and shows what mixing does inside.

    A run is a `mixlab.training.SpiralTrainer` on 600 points, some seconds on one core. On show: the decision field over
    the plane, the bottleneck's states of the training points, the singular values of each class there
    (`mixlab.training.class_singular_values`), and the same of the run before.

    Args:
        layer: where to mix: "none", "input", a module of the net, or "random": "input", "block2" or "bottleneck", drawn
            anew for each batch.
        alpha: number from 0.01 to 100, on a log slider.
        k: mixes of each pair, 1 to 8; an epoch takes longer with more.
        classes: 2 or 3 arms.
        epochs: passes over the points, 1 to 400.
        seed: seeds the points, the net and the training.
        noise: standard deviation of the points about their arm.
        turns: how often an arm winds round the center.

    Returns:
        A widget. Its layer, alpha, k, classes, epochs and seed follow the controls; start(), pause(), resume(),
        stop() and reset() are its buttons, and run() trains before it returns. `.result` and `.previous` are the latest
        run and the one before, `.records` and `.trainer` the latest run's. One training is at work at a time,
        whichever panel started it.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    noise, turns = _check.number("noise", noise, 0, 1), _check.number("turns", turns, 0, 4)
    return SpiralPanel(noise, turns, SpiralSettings(layer, alpha, k, classes, epochs, seed))
