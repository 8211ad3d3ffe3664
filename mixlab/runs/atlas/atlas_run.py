"""One run of the atlas: what was trained, its curve, its calibration in fine bins, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.recalibration.crossfit import tempered
from mixlab.calibration.recalibration.temperature import fit_temperature
from mixlab.calibration.reliability import METRICS, Reliability
from mixlab.mixing.variants import KINDS
from mixlab.runs.stored_run import Run

BINS = 60  # divided by 5, 10, 15, 20 and 30, the numbers of bins that a diagram may have
SETTINGS = ("data", "images", "model", "variant", "alpha", "k", "epochs", "seed")
COLUMNS = ("epoch", "train_loss", "accuracy", "nll", "ece", "tempered_nll", "tempered_ece")


@dataclass(frozen=True, eq=False, repr=False)
class AtlasRun:
    """A finished run, without its weights.

    Attributes:
        id: is that of the stored run it was made of, which `mixlab.run` gives to equal arguments.
        data, images, model, variant, alpha, k, epochs, seed: are what it was trained with; `images` counts the training
            images. alpha is None and k is 1 where nothing is mixed. Of a `OneOf` the variant is such as "mixup or
            cutmix".
        curve: is float32 [records, 7], a row for each evaluation: epoch, mean training loss in nats, and accuracy, NLL
            in nats and ECE (15 bins) on the test images, NLL and ECE once more after a temperature. The last two are
            NaN before the end of a run that an older mixlab has trained.
        raw: holds the calibration at the end, in 60 bins; `Reliability.rebinned` makes them 5, 10, 15, 20 or 30.
        tempered: is the same after a temperature, each half of the test images by that of the other half.
        temperature: is that of all test images; 1 if none can be fitted, as answers are no better than chance or all
            right. `tempered` is as `raw` then.
        seconds: is the time of training, without evaluations, on this machine and so many threads.
        forwards: counts the images that went through the network in training, mixed or not: what it cost anywhere.
        made: says on which machine and by which versions.
    """

    id: str
    data: str
    images: int
    model: str
    variant: str
    alpha: float | None
    k: int
    epochs: int
    seed: int
    curve: Tensor
    raw: Reliability
    tempered: Reliability
    temperature: float
    seconds: float
    forwards: int
    made: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        mixing = "" if self.alpha is None else f" α={self.alpha:g} k={self.k}"
        size = f"{self.images:,} images of {self.data}, {self.epochs} epochs, seed {self.seed}"
        return f"AtlasRun({self.variant}{mixing}, {size}: accuracy {self.raw.accuracy():.3f})"

    @property
    def settings(self) -> dict[str, Any]:
        """What it was trained with, by name."""
        return {name: getattr(self, name) for name in SETTINGS}

    def value(self, metric: str, *, tempered: bool = False, n_bins: int = 15) -> float:
        """One of `mixlab.calibration.reliability.METRICS` at the end of training, ECE and its kin in `n_bins` bins."""
        _check.choice("metric", metric, METRICS)
        held = self.tempered if tempered else self.raw
        return float(getattr(held.rebinned(n_bins), metric)())

    def along(self, metric: str, *, tempered: bool = False) -> dict[float, float]:
        """Accuracy, NLL or ECE (15 bins) by the epochs at which it was measured; a temperature changes no accuracy."""
        _check.choice("metric", metric, ("accuracy", "nll", "ece"))
        column = f"tempered_{metric}" if tempered and metric != "accuracy" else metric
        return dict(self.curve[:, [0, COLUMNS.index(column)]].tolist())


def of_run(run: Run, images: int, made: Mapping[str, Any]) -> AtlasRun:
    """The atlas's run of a finished one that was trained on so many images.

    Raises ValueError for a `OneOf` of mixers that differ in alpha or in k.
    """
    settings, history, predictions = run.settings, run.history, run.predictions
    mixers = settings.get("mixers", [settings])  # those of a OneOf
    kinds = [KINDS[mixer["variant"]] for mixer in mixers]
    alike = {
        (mixer["alpha"] if kind.pairs else None, mixer.get("k", 1)) for mixer, kind in zip(mixers, kinds, strict=True)
    }
    if len(alike) > 1:
        raise ValueError(f"run must have mixers with one alpha and one k, got {run}")
    ((alpha, k),) = alike
    last, epochs, mixed = history[-1], settings["epochs"], settings["mix_until"]
    passes = mixed * max(kind.forwards(k) for kind in kinds) + epochs - mixed  # of each image
    curve = [
        [r.epoch, r.train_loss, r.test_accuracy, r.test_nll, r.test_ece, r.tempered_nll, r.tempered_ece]
        for r in history
    ]
    after = tempered(predictions)
    return AtlasRun(
        id=run.id,
        data=settings["data"],
        images=images,
        model=settings["model"],
        variant=" or ".join(kind.name for kind in kinds),
        alpha=alpha,
        k=k,
        epochs=epochs,
        seed=settings["seed"],
        curve=torch.tensor(curve, dtype=torch.float32, device="cpu"),
        raw=Reliability(BINS).update(predictions.probs, predictions.labels),
        tempered=Reliability(BINS).update(after.probs, after.labels),
        temperature=1.0 if after is predictions else fit_temperature(predictions).value,
        seconds=last.training_seconds,
        forwards=last.steps // epochs * settings["batch_size"] * passes,
        made=dict(made),
    )
