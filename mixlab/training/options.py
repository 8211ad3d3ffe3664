"""What recipes set and a first training need not know: descent, learning-rate schedule, crops, test views."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mixlab import _check
from mixlab.training.adamw import AdamW
from mixlab.training.augment import BORDERS, FLIPS, check_views
from mixlab.training.schedules import TRIANGLE, Schedule
from mixlab.training.schedules import check as check_schedule
from mixlab.training.sgd import Descent

OPTIMIZERS = {"sgd": Descent, "adamw": AdamW}


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training beyond the arguments of `mixlab.fit`; the defaults are for a few epochs.

        mx.fit(model, data, epochs=200, learning_rate=0.1, options=TrainOptions(schedule=Cosine(), pad=4))

    Args:
        schedule: gives the learning rate's share of its peak; one of `mixlab.training.schedules`. The default is a
            triangle that starts and ends near 0.
        optimizer: is "sgd", or "adamw" for transformers, with a learning rate near 0.001 (`sgd.Descent`,
            `adamw.AdamW`).
        momentum: is the share of its velocity that a parameter keeps in each step, in [0, 1).
        nesterov: says whether the momentum is Nesterov's, which AdamW has not.
        weight_decay: decays weight matrices and filters, not biases and normalization.
        decay_biases: decays biases and normalization as well.
        bias_rate: multiplies the learning rate of normalization's biases and divides their weight decay.
        freeze: maps a parameter's name to the epochs after which it rests, as in {"whiten.bias": 3}. Some parameter
            must be trained in every epoch.
        lookahead: draws the model back to slow weights every five steps (`sgd.Lookahead`), resting parameters too, as
            airbench does.
        flip: is "random", or "alternating": drawn for the first epoch, the other way round in every second.
        pad: is the largest shift of a crop in pixels, cut to one less than an image's shorter side. Long runs use 4;
            2 gains more in a few epochs.
        border: fills what a crop shows of the outside, with a "mirror" of the image or with "black".
        cutout_side: is the side in pixels of a square hidden in each training image; 0 hides none.
        views: counts how each test image is shown: 1, as it is; 2, mirrored as well; 6, both also shifted by a pixel.
            Measured is the mean of the logits.
        compile: trains what torch.compile makes of the model. Evaluations, and batches that are mixed inside the model,
            run it as it is. It can pay in long trainings on CUDA; on two CPU cores the first step took 35 to 41 s
            longer, and later ones were no faster.

    Raises:
        TypeError, ValueError: an option has the wrong kind or is out of range; the message names it.
    """

    schedule: Schedule = TRIANGLE
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_biases: bool = False
    bias_rate: float = 1.0
    freeze: Mapping[str, int] = field(default_factory=dict)
    lookahead: bool = False
    flip: str = "random"
    pad: int = 2
    border: str = "mirror"
    cutout_side: int = 0
    views: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        checked = {
            "schedule": check_schedule(self.schedule),
            "optimizer": _check.choice("optimizer", self.optimizer, OPTIMIZERS),
            "momentum": _check.number("momentum", self.momentum, 0, 0.999999),
            "nesterov": _check.flag("nesterov", self.nesterov),
            "weight_decay": _check.number("weight_decay", self.weight_decay, 0, 1e6),
            "decay_biases": _check.flag("decay_biases", self.decay_biases),
            "bias_rate": _check.number("bias_rate", self.bias_rate, 1e-6, 1e6),
            "freeze": _check_freeze(self.freeze),
            "lookahead": _check.flag("lookahead", self.lookahead),
            "flip": _check.choice("flip", self.flip, FLIPS),
            "pad": _check.integer("pad", self.pad, 0),
            "border": _check.choice("border", self.border, BORDERS),
            "cutout_side": _check.integer("cutout_side", self.cutout_side, 0),
            "views": check_views(self.views),
            "compile": _check.flag("compile", self.compile),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def descent(self) -> dict[str, Any]:
        """The options of the optimizer."""
        names = ("momentum", "nesterov", "weight_decay", "decay_biases", "bias_rate")
        return {name: getattr(self, name) for name in names} | {"nesterov": self.nesterov and self.optimizer == "sgd"}


def gathered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of `mixlab.fit` from a flat mapping: the fields of TrainOptions become its one argument `options`."""
    names = {option.name for option in fields(TrainOptions)}
    options = {name: value for name, value in settings.items() if name in names}
    rest = {name: value for name, value in settings.items() if name not in names}
    return rest | {"options": TrainOptions(**options)} if options else rest


def check_options(options: TrainOptions | None) -> TrainOptions:
    """The options, or the default ones for None; TypeError for anything else."""
    if options is not None and not isinstance(options, TrainOptions):
        raise TypeError(f"options must be a mixlab.training.TrainOptions or None, got {_check.shown(options)}")
    return TrainOptions() if options is None else options


def _check_freeze(freeze: Any) -> dict[str, int]:
    if not isinstance(freeze, Mapping):
        raise TypeError(
            f"freeze must be a mapping from names of trained parameters to epochs, got {_check.shown(freeze)}"
        )
    return {name: _check.integer(f"freeze[{name!r}]", epochs, 0) for name, epochs in freeze.items()}
