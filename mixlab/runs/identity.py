"""What names a run: everything that determines its numbers, as JSON, and sixteen digits of its digest."""

import json
from typing import Any

from torch import nn

import mixlab
from mixlab.mixing.mixer import Mixer, setting_matters
from mixlab.runs.attributes import attributes, described
from mixlab.runs.digest import canonical, sha256, tensors_digest
from mixlab.runs.source import sources
from mixlab.runs.store import FORMAT
from mixlab.training.loop import tensors_of
from mixlab.training.trainer import Trainer


def identity(trainer: Trainer) -> dict[str, Any]:
    """What determines the run of a Trainer that has not begun, as values for JSON.

    The version of mixlab stands for its code. A model of the user's own is described by the source of its classes, its
    modules' plain attributes and its initial weights, and not by functions and data that the classes look up elsewhere.

    Raises ValueError if the model has no source, or keeps state that no checkpoint holds.
    """
    mixer, data, model = trainer.mixer, trainer.data, trainer.model
    parts = {
        "format": FORMAT,
        "mixlab": mixlab.__version__,
        "model": {
            "class": type(model).__qualname__,
            "source": sha256(canonical(sources({type(module) for module in model.modules()}, "model"))),
            "attributes": sha256(canonical(attributes(model))),
            "weights": weights_digest(model),
        },
        "data": {"name": data.name, "digest": data.digest, "normalization": data.normalization},
        "mixer": mixing_of(mixer),
        "training": trainer.settings,
        "source": sources({type(mixer.kind), type(trainer)}, "mixer"),
    }
    settled: dict[str, Any] = json.loads(canonical(parts))  # tuples are lists now, as they will be when read
    return settled


def mixing_of(mixer: Mixer) -> dict[str, Any]:
    """What determines how a mixer mixes; of one that draws among mixers, that of each."""
    settings: dict[str, Any] = {"variant": mixer.variant}
    for name, value in mixer.settings.items():
        if name == "mixers":
            settings[name] = [mixing_of(one) for one in value]
        elif setting_matters(name, mixer.kind):
            settings[name] = described(value, "mixer")
    return settings


def name_of(identity: dict[str, Any]) -> str:
    """The id of a run: the first sixteen hexadecimal digits of the sha256 of its identity."""
    return sha256(canonical(identity))[:16]


def weights_digest(model: nn.Module) -> str:
    """The sha256 of all parameters and buffers, and of which ones are trained."""
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    return sha256(canonical([tensors_digest(tensors_of(model)), trained]))
