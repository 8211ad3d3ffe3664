"""Checks before a training: the data set, the network that fits it, the arithmetic, the parameters that rest."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.data.dataset import Dataset, check_dataset


def check_module(model: Any) -> None:
    """Raise TypeError unless it is a torch.nn.Module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {_check.shown(model)}")


def check_data(data: Dataset) -> Dataset:
    """The data, once it is seen that a network can be trained on it and tested.

    Raises TypeError unless it is a Dataset, ValueError unless it has images of one size that vary, of every class, two
    or more.
    """
    check_dataset(data)
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
        missing = [name for name, shown in zip(data.classes, present.tolist(), strict=True) if not shown]
        raise ValueError(f"data must hold a training image of every class, got none of {', '.join(missing)}")
    return data


def check_model(model: nn.Module, device: torch.device, data: Dataset) -> nn.Module:
    """The model, moved to its device and to channels_last, and then seen to give one logit for each class.

    Expanded buffers get memory of their own, as a checkpoint could not be copied into them.

    Raises TypeError unless it is a Module, ValueError if it does not take the images, gives another number of logits,
    or has nothing to be trained.
    """
    check_module(model)
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if any(stride == 0 and size > 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True)):
                setattr(module, name, buffer.contiguous())
    check_logits(model, device, data)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model must have parameters that require gradients, got none")
    return model


def check_logits(model: nn.Module, device: torch.device, data: Dataset) -> None:
    """Raise ValueError unless the model, on this device, gives one logit for each class.

    It is run once, in evaluation mode.
    """
    shape = [2, *data.train.images.shape[1:]]
    look = torch.zeros(shape, dtype=torch.float32, device=device).contiguous(memory_format=torch.channels_last)
    try:
        with evaluating(model), torch.no_grad():  # so that the look does not touch running statistics
            logits = model(look)
    except torch.OutOfMemoryError:
        raise  # says what it is
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"model must take float32 images {shape} in channels_last layout, got {error!r}") from error
    if check_output(logits, 2).shape[1] != len(data.classes):
        raise ValueError(
            f"model must give {len(data.classes)} logits, one for each class of {data.name}, got "
            f"{_check.shown(logits)} for 2 images"
        )


def check_output(output: Any, batch: int) -> Tensor:
    """What a model returned for a batch, if it is logits [batch, classes].

    Raises TypeError for what is no tensor, such as the dict or tuple of many libraries' models, and ValueError for
    another shape.
    """
    wanted = f"model must return logits, a tensor [{batch}, classes] for {batch} images"
    if isinstance(output, (Mapping, tuple, list)):
        parts = f"the keys {list(output)}" if isinstance(output, Mapping) else f"{len(output)} parts"
        wrap = "wrap it in a module that returns the logits alone"
        raise TypeError(f"{wanted}, got a {type(output).__name__} with {parts}: {wrap}")
    if not isinstance(output, Tensor):
        raise TypeError(f"{wanted}, got {_check.shown(output)}")
    if output.ndim != 2 or len(output) != batch:
        raise ValueError(f"{wanted}, got {_check.shown(output)}")
    return output


def check_measured(model: Any, data: Any) -> torch.device:
    """The device that the model is on, once model and data are what they should be."""
    check_module(model)
    check_dataset(data)
    if len(data.train) == 0:
        raise ValueError(f"data must hold training images, got {data!r}")
    tensor = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def check_dtype(dtype: torch.dtype, allowed: str) -> None:
    """Raise TypeError unless it is one of the two kinds of arithmetic; `allowed` words what the caller takes."""
    if dtype not in (torch.float32, torch.bfloat16):
        raise TypeError(f"dtype must be {allowed}, got {_check.shown(dtype)}")


def check_freeze(freeze: Mapping[str, int], model: nn.Module, epochs: int) -> None:
    """Raise ValueError unless freeze names trained parameters, and leaves one to be trained in every epoch."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name in freeze:
        if name not in trained:
            raise ValueError(
                f"freeze must be a mapping from names of trained parameters to epochs, got {_check.shown(name)}"
            )
    last = max(freeze.values(), default=epochs)
    if freeze.keys() == trained and last < epochs:
        raise ValueError(
            f"freeze must leave a parameter to be trained in each of the {epochs} epochs, got all of them at rest "
            f"after {last}"
        )
