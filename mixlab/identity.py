"""What names a run: everything that determines its numbers, as JSON, and sixteen digits of its digest."""

import dataclasses
import json
import math
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.fingerprint import canonical, codes_behind, module_digest, modules_behind, sha256, tensors_digest

if TYPE_CHECKING:
    from mixlab.mixing import Mixer
    from mixlab.training import Trainer

DIGITS = 16
# Where the way into the code ends, since what is beyond enters by itself: images by their digest, the variant that was
# chosen by its own module, what a machine picks by the settings; and a check lets a number through or does not.
BEYOND = ("mixlab.data", "mixlab.variants", "mixlab.machine", "mixlab._check")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def identity(trainer: "Trainer") -> dict[str, Any]:
    """What determines the run of a Trainer that has not begun, as values for JSON.

    Of the model: its classes' code, its modules' plain attributes, its initial weights. Of the data: every byte. Of
    the mixer and the training: their settings. Of mixlab: the code of the modules that this training runs through,
    without comments and docstrings.

    Raises:
        ValueError: the model keeps state where no checkpoint finds it.
    """
    mixer = trainer.mixer
    found = {
        "model": {
            "class": type(trainer.model).__qualname__,
            "code": codes_behind({type(module) for module in trainer.model.modules()}),
            "attributes": sha256(canonical(attributes(trainer.model))),
            "weights": weights_digest(trainer.model),
        },
        "data": {"name": trainer.data.name, "digest": trainer.data.digest},
        "mixer": {"variant": mixer.variant, **{name: described(value) for name, value in mixer.settings.items()}},
        "training": trainer.settings,
        "code": training_code(trainer, mixer),
    }
    settled: dict[str, Any] = json.loads(canonical(found))  # tuples are lists now, as they will be when read
    return settled


def name_of(found: dict[str, Any]) -> str:
    """The id of a run: the first hexadecimal digits of the sha256 of its identity."""
    return sha256(canonical(found))[:DIGITS]


def settings_of(found: dict[str, Any]) -> dict[str, Any]:
    """An identity as one flat table: variant, alpha, k, ..., epochs, seed, batch_size, ..."""
    return {"variant": found["mixer"]["variant"], **found["mixer"], **found["training"]}


def weights_digest(model: nn.Module) -> str:
    """The sha256 of all parameters and buffers, and of which ones are trained."""
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    flags = torch.tensor(list(trained.values()), dtype=torch.bool)
    return sha256(canonical([tensors_digest(_tensors(model)), sorted(trained), tensors_digest({"flags": flags})]))


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    parts = (model.named_parameters, model.named_buffers)
    return {name: tensor for part in parts for name, tensor in part(remove_duplicate=False)}


def attributes(model: nn.Module) -> dict[str, Any]:
    """The plain attributes of every module of a model, such as the share of a dropout, as values for JSON.

    A training that changes one of them could not be taken up again, as a checkpoint holds parameters and buffers.

    Raises:
        ValueError: a module keeps state elsewhere: by get_extra_state, or in a generator of random numbers.
    """
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        place = f"model.{name}" if name else "model"
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise ValueError(
                f"model must keep its state in parameters and buffers, for a run that can be taken up again, got "
                f"get_extra_state in {place}, a {type(module).__qualname__}"
            )
        for attribute, value in sorted(vars(module).items()):
            if attribute in _OF_EVERY_MODULE and not attribute.endswith("_hooks"):
                continue
            kept = value.values() if attribute.endswith("_hooks") else [value]  # hooks are numbered by process
            for part in kept:
                if (generator := _generator_in(part)) is not None:
                    raise ValueError(
                        f"model must draw from torch's global generator, for a run that can be taken up again, got "
                        f"{_check.shown(generator)} in {place}.{attribute}"
                    )
            found[f"{place}.{attribute}"] = [described(part) for part in kept]
    return found


def _generator_in(value: Any) -> Any:
    parts = value if isinstance(value, (list, tuple)) else [value]
    return next((part for part in parts if type(part).__name__ in ("Generator", "RandomState", "Random")), None)


def described(value: Any) -> Any:
    """A value for JSON that is equal for what works equally: tensors by digest, functions and classes by their code.

    Of any other object only its class is told, and its fields where it is a dataclass.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Tensor):
        return tensors_digest({"": value})
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    if isinstance(value, (dict, set, frozenset)):
        return sorted(
            (described(part) for part in (value.items() if isinstance(value, dict) else value)), key=canonical
        )
    if isinstance(value, (torch.dtype, torch.device, torch.memory_format, PurePath)):
        return str(value)
    if isinstance(value, partial):
        return [described(value.func), described(value.args), described(value.keywords)]
    return _described_object(value.__func__ if isinstance(value, MethodType) else value)


def _described_object(value: Any) -> Any:
    if isinstance(value, (type, FunctionType)):
        return [value.__qualname__, codes_behind([value])]
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return [described(type(value)), described(parts)]
    if type(value).__module__ == "builtins":  # such as torch.relu
        return str(getattr(value, "__name__", type(value).__qualname__))
    return described(type(value))


def training_code(trainer: "Trainer", mixer: "Mixer") -> str:
    """The sha256 of the modules that this training runs through, and of a variant or trainer from elsewhere."""
    objects = (type(trainer), type(mixer.kind))
    ours = [thing.__module__ for thing in objects if thing.__module__.startswith("mixlab.")]
    others = [thing for thing in objects if not thing.__module__.startswith("mixlab.")]
    modules = {name: module_digest(name) for name in modules_behind(ours, BEYOND)}
    return sha256(canonical([modules, codes_behind(others)]))
