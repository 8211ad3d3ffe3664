"""What can be trained: a data set, a network that fits it, and names of what it learns."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.data.dataset import Dataset


def check_data(data: Dataset) -> Dataset:
    """The data, once it is seen that a network can be trained on it and tested.

    Raises TypeError unless it is a Dataset, ValueError unless it has images of one size that vary, of every class, two
    or more.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {_check.shown(data)}")
    if len(data.train) < 2 or len(data.test) == 0:
        raise ValueError(f"data must hold at least 2 training images and 1 test image, got {data!r}")
    if len(data.classes) < 2:
        raise ValueError(f"data must have at least 2 classes, got {data!r}")
    if data.test.images.shape[1:] != data.train.images.shape[1:]:
        sizes = [list(split.images.shape[1:]) for split in (data.train, data.test)]
        raise ValueError(f"data must hold images of one size, got {sizes[0]} in train and {sizes[1]} in test")
    if min(data.normalization[1]) == 0:
        raise ValueError(f"data must vary in every channel, got deviations {data.normalization[1]} over train")
    present = torch.bincount(data.train.labels, minlength=len(data.classes)) > 0
    if not bool(present.all()):
        missing = [name for name, there in zip(data.classes, present.tolist(), strict=True) if not there]
        raise ValueError(f"data must hold a training image of every class, got none of {', '.join(missing)}")
    return data


def check_model(model: nn.Module, device: torch.device, data: Dataset) -> nn.Module:
    """The model, moved to its device and to channels_last, and then seen to give one logit for each class.

    Raises TypeError unless it is a Module, ValueError if it does not take the images, gives another number of logits,
    or has nothing to be trained.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_logits(model, device, data)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model must have parameters that require gradients, got none")
    return model


def check_logits(model: nn.Module, device: torch.device, data: Dataset) -> None:
    """Raise ValueError unless the model, on this device, gives one logit for each class.

    It is run once, in evaluation mode.
    """
    shape = [2, *data.train.images.shape[1:]]
    look = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
    try:
        with evaluating(model), torch.no_grad():  # so that the look does not touch running statistics
            logits = model(look)
    except torch.OutOfMemoryError:
        raise  # says what it is
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"model must take float32 images {shape} in channels_last layout, got {error!r}") from error
    wanted = (2, len(data.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        came = _check.shown(logits)
        raise ValueError(
            f"model must give {wanted[1]} logits, one for each class of {data.name}, got {came} for 2 images"
        )


def check_freeze(freeze: Mapping[str, int] | None, model: nn.Module, epochs: int) -> dict[str, int]:
    """After how many epochs parameters rest, by name.

    Raises TypeError unless it is a mapping to integers, ValueError unless all are trained, and one is in every epoch.
    """
    wanted = "freeze must be a mapping from names of trained parameters to epochs"
    if not isinstance(freeze, Mapping | None):
        raise TypeError(f"{wanted}, got {_check.shown(freeze)}")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name in freeze or {}:
        if name not in trained:
            raise ValueError(f"{wanted}, got {_check.shown(name)}")
    found = {name: _check.integer(f"freeze[{name!r}]", after, 0) for name, after in (freeze or {}).items()}
    last = max(found.values(), default=epochs)
    if found.keys() == trained and last < epochs:
        raise ValueError(
            f"freeze must leave a parameter to be trained in each of the {epochs} epochs, got all of them at rest "
            f"after {last}"
        )
    return found
