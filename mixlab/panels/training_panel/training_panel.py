"""The training panel: predict, train live, compare with the run before; stop at any batch, and go on another day."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets
from torch import nn

from mixlab import VARIANTS, Mixer, _check, models
from mixlab.data.dataset import Dataset
from mixlab.data.load import load
from mixlab.data.parts import stratified
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.course import Course, Training
from mixlab.panels.shared.panel import Checked, alpha_trait, k_trait, seed_trait
from mixlab.panels.shared.running import RunPanel
from mixlab.panels.training_panel.report import Settings, calibration, diagrams, outcome, status, view
from mixlab.panels.training_panel.stored_course import kept
from mixlab.runs.store import Store
from mixlab.training.record import Record
from mixlab.training.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("quick", "resnet8", "resnet20")
EPOCHS_HIGH = 50
# Small batches give few images many steps; without augmentation a net learns them by heart, which is the lesson.
TRAINING: dict[str, Any] = {"batch_size": 64, "augment": False}


def _prediction(name: str, value: Any) -> float | None:
    return None if value is None else _check.number(name, value, 0, 1, note=" or None")


class TrainingPanel(RunPanel[Settings, Record]):
    """See `training_panel`. The traits named there follow the controls, at release, and move them."""

    _esm = module("training_panel/training_panel.js")
    _css = styles("mx-live", "shared/charts.css")
    _variants = traitlets.Dict(VARIANTS).tag(sync=True)
    _limits = traitlets.Dict().tag(sync=True)
    _recorded = traitlets.List(traitlets.List()).tag(
        sync=True
    )  # of each run of `record`, the diagrams of all its evaluations
    variant = Checked("mixup", lambda name, value: _check.choice(name, value, VARIANTS))
    alpha = alpha_trait()
    k = k_trait()
    images = Checked(2000, lambda name, value: _check.integer(name, value, 2))
    epochs = Checked(5, lambda name, value: _check.integer(name, value, 1, EPOCHS_HIGH))
    seed = seed_trait()
    prediction = Checked(None, _prediction)

    def __init__(
        self,
        data: Dataset,
        model: str | Callable[..., nn.Module],
        root: str | os.PathLike[str] | None,
        settings: Settings,
    ) -> None:
        self._data, self._model, self._root = data, model, root
        limits = {"images": [len(data.classes), len(data.train)], "epochs": [1, EPOCHS_HIGH]}
        super().__init__(settings, _limits=limits)

    @traitlets.validate("images")
    def _within(self, proposal: Any) -> int:
        return _check.integer("images", proposal["value"], len(self._data.classes), len(self._data.train))

    @property
    def trainer(self) -> Trainer | None:
        """The trainer of the latest run; None before the first."""
        trainer = self._session.trainer
        assert trainer is None or isinstance(trainer, Trainer)
        return trainer

    @property
    def model(self) -> nn.Module | None:
        """The model of the latest run, as far as it is trained; None before the first."""
        return self.trainer.model if self.trainer else None

    def describe(self) -> str:
        """Where the run stands, what was predicted and reached, and the calibration of both runs."""
        if self.result is None:
            return "A panel to train a small net live; nothing has been trained yet."
        words = [
            status(self.result),
            self.result.error,
            f"Trained with {self.result.settings.mixing}.",
            outcome(self.result),
        ]
        for name, run in (("This run", self.result), ("The run before", self.previous)):
            if run and run.records:
                words.append(f"{name}: {calibration(run.records[-1].reliability)}")
        return " ".join(word for word in words if word)

    def figure(self) -> "Figure":
        """The curves and the reliability diagrams of both runs."""
        from matplotlib.figure import Figure

        from mixlab.plots.reliability_diagram import plot_reliability
        from mixlab.plots.training import plot_history

        figure = Figure(figsize=(11.5, 9.2))
        runs = [run for run in (self.result, self.previous) if run and run.records]
        if not runs or runs[0] is not self.result:
            figure.set_size_inches(8, 1)
            figure.text(0.5, 0.5, "Nothing has been trained yet.", ha="center", va="center")
            return figure
        history = figure.add_axes((0.07, 0.67, 0.86, 0.27))
        plot_history(self.records, history, ghost=runs[1].records if len(runs) > 1 else None)
        history.set_ylim(0, 100)
        said = runs[0].settings.prediction
        if said is not None:
            history.axhline(100 * said, color="black", linestyle="-.", linewidth=1)
            history.text(0, 100 * said, f" you said {said:.2f}", va="bottom" if said < 0.9 else "top")
        for run, left, name in zip(runs, (0.07, 0.57), ("This run", "The run before"), strict=False):
            figure.text(left, 0.525, f"{name}: {run.settings.mixing}", weight="bold")
            plot_reliability(run.records[-1].reliability, figure.add_axes((left, 0.13, 0.4, 0.34)))
        return figure

    def record(self) -> None:
        """Train without mixing and with the controls' mixing, unless a run is there, for a page that replays both."""
        if self.result is None and self.variant != "none":
            self._session.run(replace(self._settings(), variant="none"))
            self.run()
        super().record()
        self._recorded = [diagrams(run) for run in (self.result, self.previous) if run]

    def _build(self, settings: Settings) -> Trainer:
        data, count = self._data, len(self._data.classes)
        if settings.images < len(data.train):
            chosen = stratified(data.train.labels, settings.images, seed=settings.seed)
            data = Dataset(data.name, data.train.subset(chosen), data.test, data.classes)
        none = settings.variant == "none"
        mixer = Mixer("none") if none else Mixer(settings.variant, alpha=settings.alpha, k=settings.k)
        if callable(self._model):
            net = self._model(count, seed=settings.seed)
        else:
            net = getattr(models, self._model)(count, channels=data.channels, seed=settings.seed)
        return Trainer(net, data, mixer, epochs=settings.epochs, seed=settings.seed, **TRAINING)

    def _keep(self, trainer: Training[Record], wait: Callable[[str], None]) -> AbstractContextManager[Course[Record]]:
        assert isinstance(trainer, Trainer)
        name = self._model if isinstance(self._model, str) else type(trainer.model).__qualname__
        return kept(trainer, name, self._root, wait)

    def _same(self, one: Settings, other: Settings) -> bool:
        return replace(one, prediction=None) == replace(other, prediction=None)

    def _say(self) -> None:
        self._view = view(self.result, self.previous, self._trouble)


def training_panel(
    data: Dataset | None = None,
    *,
    model: str | Callable[..., nn.Module] = "quick",
    variant: str = "mixup",
    alpha: float = 1.0,
    k: int = 1,
    images: int | None = None,
    epochs: int = 5,
    seed: int = 0,
    prediction: float | None = None,
    root: str | os.PathLike[str] | None = None,
) -> TrainingPanel:
    """A panel that trains a small net live, beside the run before, against the learner's own prediction.

    A run is what `mixlab.run` does with the same numbers, in batches of 64 and without augmentation: the model made
    with `seed`, on the stratified part of the training images that `seed` chooses; measured on all test images,
    also before the first batch. Each finished epoch is kept in the run store. A start with the settings of a run that
    is stored shows it at once, and one that was broken off, by Stop or with the kernel, goes on from its last finished
    epoch. Where the store takes no file the panel trains nevertheless, and says why nothing is kept.

    Args:
        data: what `mixlab.load` returns (default: its "auto").
        model: "quick", "resnet8" or "resnet20", or a function (num_classes, seed=) -> nn.Module.
        variant: one of `mixlab.VARIANTS`.
        alpha: number from 0.01 to 100, on a log slider.
        k: mixes of each pair, 1 to 8; an epoch takes k times as long.
        images: how many training images, at least one for each class (default: 2,000, or all if there are fewer).
        epochs: passes over them, 1 to 50.
        seed: seeds the images, the model and the training.
        prediction: the test accuracy that the learner expects, 0 to 1, or None before one is made. It counts as it
            stands at the start of a run.
        root: the folder of the store (default: $MIXLAB_RUNS, else "runs" in the user's cache of mixlab).

    Returns:
        A widget. Its variant, alpha, k, images, epochs, seed and prediction follow the controls; start(), pause(),
        resume(), step(), stop() and reset() are its buttons, and run() trains before it returns. `.result` and
        `.previous` are the latest run and the one before, `.records`, `.model` and `.trainer` the latest run's;
        they stay after a stop or a failure. The trainer of a run that came whole from the store has taken no step.
        One training is at work at a time, whichever panel started it.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    if data is not None and not isinstance(data, Dataset):
        raise TypeError(f"data must be a data set from mixlab.load, got {_check.shown(data)}")
    model = model if callable(model) else _check.choice("model", model, MODELS)
    Store(root)  # which says so if root is no path
    data = load() if data is None else data
    images = min(2000, len(data.train)) if images is None else images
    return TrainingPanel(data, model, root, Settings(variant, alpha, k, images, epochs, seed, prediction))
