"""What names a run: everything that determines its numbers, as JSON, and sixteen digits of its digest."""

import json
from typing import TYPE_CHECKING, Any

from torch import nn

from mixlab.mixing.mixer import setting_matters
from mixlab.runs.describing import codes_behind, digest_of, parts_of, roots_of
from mixlab.runs.fingerprint import canonical, module_digest, modules_behind, sha256, tensors_digest
from mixlab.training.loop import tensors_of

if TYPE_CHECKING:
    from mixlab.mixing.mixer import Mixer
    from mixlab.training.trainer import Trainer

DIGITS = 16
# Where the way into the code ends, since what is beyond enters by itself: images by their digest, the variant that was
# chosen by its own module, what a machine picks by the settings; and a check lets a number through or does not, as
# what a batch that does not fit into memory is answered by.
BEYOND = ("mixlab.data.load", "mixlab.mixing.variants", "mixlab.machine", "mixlab.training.memory", "mixlab._check")


def identity(trainer: "Trainer") -> dict[str, Any]:
    """What determines the run of a Trainer that has not begun, as values for JSON.

    Of the model: its classes' code and the data that this names, its modules' plain attributes, its initial weights.
    Of the data: every byte, and what it is normalized by. Of the mixer and the training: their settings. Of mixlab: the
    code of the modules that this training runs through, without comments and docstrings.

    Raises:
        ValueError: the model keeps state where no checkpoint finds it, or holds or names what cannot be told by its
            value.
    """
    mixer, data = trainer.mixer, trainer.data
    settings = [(name, value) for name, value in mixer.settings.items() if setting_matters(name, mixer.kind)]
    found = {
        "model": {
            "class": type(trainer.model).__qualname__,
            "code": codes_behind({type(module) for module in trainer.model.modules()}, known_of(trainer.model)),
            "attributes": sha256(canonical(attributes(trainer.model))),
            "weights": weights_digest(trainer.model),
        },
        "data": {"name": data.name, "digest": data.digest, "normalization": data.normalization},
        "mixer": {"variant": mixer.variant, **{name: _plain(value) for name, value in settings}},
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
    return sha256(canonical([tensors_digest(tensors_of(model)), trained]))


def attributes(model: nn.Module) -> dict[str, Any]:
    """Digests of the plain attributes of every module of a model, such as the share of a dropout, and of its hooks.

    A training that changes one of them could not be taken up again, as a checkpoint holds parameters and buffers.

    Raises:
        ValueError: a module keeps state elsewhere: by get_extra_state, or in a generator of random numbers; or an
            attribute cannot be told by its value.
    """
    found: dict[str, Any] = {}
    known, roots = known_of(model), roots_of({type(module) for module in model.modules()})
    for name, module in model.named_modules():
        place = f"model.{name}" if name else "model"
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise ValueError(
                f"model must keep its state in parameters and buffers, for a run that can be taken up again, got "
                f"get_extra_state in {place}, a {type(module).__qualname__}"
            )
        for attribute, values in parts_of(module).items():
            where = f"{place}.{attribute}"
            found[where] = digest_of(values, where, known, roots)
    return found


def _plain(value: Any) -> Any:
    """A setting for JSON: itself, or where it is of another kind its digest."""
    try:
        canonical(value)
    except (TypeError, ValueError):
        return digest_of([value], "a setting of mixer", {}, frozenset(), argument="mixer")
    return value


def known_of(model: nn.Module) -> dict[int, str]:
    """What the identity tells of elsewhere, by id: the model's modules, parameters and buffers."""
    return {id(part): name for name, part in (*model.named_modules(), *tensors_of(model).items())}


def training_code(trainer: "Trainer", mixer: "Mixer") -> str:
    """The sha256 of the modules that this training runs through, and of a variant or trainer from elsewhere."""
    objects = (type(trainer), type(mixer.kind))
    ours = [thing.__module__ for thing in objects if thing.__module__.startswith("mixlab.")]
    others = [thing for thing in objects if not thing.__module__.startswith("mixlab.")]
    modules = {name: module_digest(name) for name in modules_behind(ours, BEYOND)}
    return sha256(canonical([modules, codes_behind(others)]))
