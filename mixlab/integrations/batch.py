"""A batch as other libraries hand it over: a nest of dicts, tuples and lists that holds inputs and labels somewhere."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.mixer import Mixer, check_mixer, unmixed
from mixlab.mixing.plan import MixPlan

Getter: TypeAlias = str | Callable[[Any], Any]
DEFAULT = "default"


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch taken apart.

    Attributes:
        whole: is the batch itself, which is not changed.
        inputs: are the tensors to be mixed, [B, ...] each; plans are drawn for the first.
        labels: is the tensor whose place the targets take: class labels [B], float targets [B] or [B, C], or masks.
    """

    whole: Any
    inputs: tuple[Tensor, ...]
    labels: Tensor

    @property
    def x(self) -> Tensor:
        """The first input, as a plain tensor."""
        return self.inputs[0].as_subclass(Tensor)

    @property
    def y(self) -> Tensor:
        """The labels, as a plain tensor."""
        return self.labels.as_subclass(Tensor)

    def mixed(self, plan: MixPlan, num_classes: int | None) -> Any:
        """The same nest with mixed inputs, and targets in place of the labels; the rest stays as it is.

        Inputs keep their class (tv_tensors). They stay as they are too where the plan mixes inside the model. Labels
        that are masks of integers are cut as the inputs are.
        """
        new = {id(self.labels): self._targets(plan, num_classes)}
        if plan.inside is None:
            new |= {id(part): self._mixed(plan, part) for part in self.inputs}
        elif len(self.inputs) > 1:
            raise ValueError(
                f"batch must hold one input to be mixed inside the model, at layer {plan.inside!r}, got "
                f"{kinds(self.inputs)}"
            )
        return _exchanged(self.whole, lambda part: new.get(id(part), part))

    def _targets(self, plan: MixPlan, num_classes: int | None) -> Tensor:
        if self.y.is_floating_point():
            return plan.targets(self.y, num_classes)
        if self.y.ndim == 2 and not plan.way.pastes(self.y):
            raise TypeError(
                "labels must be floats where each example has several, such as multi-label rows, got "
                f"{_check.shown(self.y)} (plan.labels cuts the classes of a signal's frames, in the training loop)"
            )
        if self.y.ndim > 1 and plan.inside is None:
            return self._mixed(plan, self.labels)
        if num_classes is None:
            raise ValueError(f"num_classes must be given for class labels, got None for {_check.shown(self.y)}")
        return plan.targets(_check.class_labels("labels", self.y, classes=num_classes), num_classes)

    def _mixed(self, plan: MixPlan, part: Tensor) -> Tensor:
        """Mixed as a plain tensor, and given back in its own class, which for images and masks carries no more.

        Bytes are images in the first input, and in others of its class and its channels, if these are several. Else
        they are masks, and go as another kind of integer, since a plan blends bytes of as many channels as images.
        """
        first, plain = self.inputs[0], part.as_subclass(Tensor)
        several = part.ndim == 4 and part.shape[1] > 1
        is_image = part is first or (type(part) is type(first) and several and part.shape[:2] == first.shape[:2])
        is_mask = plain.dtype == torch.uint8 and not is_image
        try:
            return plan.apply(plain.to(torch.int16) if is_mask else plain).to(plain.dtype).as_subclass(type(part))
        except TypeError:
            raise TypeError(
                f"masks of integers must be mixed by pasting, as in Mixer('cutmix'), got {_check.shown(part)} for "
                f"{plan!r}, which would blend class labels; name by inputs_getter what else is to be mixed"
            ) from None


def take_apart(batch: Any, labels_getter: Getter = DEFAULT, inputs_getter: Getter = DEFAULT) -> Batch:
    """Say which tensors of a batch are its inputs, and which its labels.

    Args:
        batch: is a nest of dicts, tuples and lists.
        labels_getter: says where the labels are: "default" for torchvision's rule, which takes the second item of a
            tuple or list, and in a dict the key "labels", or else the first with "label" in it; another text for a key;
            or a function of the batch.
        inputs_getter: says what is mixed: "default" for all tensors but the labels; another text for a key; or a
            function of the batch that gives a tensor or a tuple of them.

    Raises:
        TypeError, ValueError: labels or inputs that are not there, are no tensors of this batch, or differ in rows.
    """
    parts = list(tensors(batch))
    labels = _labels(batch, labels_getter)
    if sum(part is labels for part in parts) != 1:
        raise ValueError(f"labels_getter must return a tensor that the batch holds once, got {_check.shown(labels)}")
    inputs = tuple(part for part in parts if part is not labels)
    if inputs_getter != DEFAULT:
        got = inputs_getter(batch) if callable(inputs_getter) else _at(batch, inputs_getter, "inputs_getter")
        inputs = tuple(got) if isinstance(got, (tuple, list)) else (got,)
        if any(all(wanted is not part for part in parts) or wanted is labels for wanted in inputs):
            raise ValueError(f"inputs_getter must return tensors of the batch, and not its labels, got {kinds(got)}")
    if not inputs or any(hasattr(part, "canvas_size") for part in inputs):  # what boxes and key points carry
        raise TypeError(f"batch must hold tensors of inputs that can be mixed, and of labels, got {kinds(batch)}")
    rows = [len(part) if part.ndim else None for part in (labels, *inputs)]
    if any(count != rows[0] for count in rows):
        shown = ", ".join(_check.shown(part) for part in inputs)
        raise ValueError(
            f"batch must have labels and inputs of as many rows, got labels of {rows[0]} and {shown}; name by "
            "inputs_getter what is to be mixed"
        )
    return Batch(batch, inputs, labels)


def check_getter(name: str, value: Getter) -> Getter:
    """Return `value` if it says where something lies in a batch."""
    if not isinstance(value, str) and not callable(value):
        raise TypeError(f"{name} must be 'default', a key or a function of the batch, got {_check.shown(value)}")
    return value


def draw_plan(mixer: Mixer, x: Tensor, y: Tensor, **more: Any) -> MixPlan:
    """`mixer.plan` for a batch of any size: a lone example, as a last batch may hold, is left as it is, one row."""
    return unmixed(x) if len(x) == 1 else mixer.plan(x, y, **more)


def check_before_model(value: object) -> Mixer:
    """Return `value` if it is a Mixer that mixes where there is no model yet."""
    mixer = check_mixer(value)
    if mixer.kind.mixes_inside or mixer.kind.needs_model:
        does = "mixes inside the model" if mixer.kind.mixes_inside else "looks at the model"
        raise ValueError(
            f"mixer must mix before the model sees the batch, got {mixer!r}, which {does}: mix in the training loop, "
            "by plan = mixer.plan(x, y, model=model) and mx.mixed_logits(model, x, plan)"
        )
    check_coupled(mixer)
    return mixer


def check_coupled(mixer: Mixer) -> None:
    """Raise if mixed images and their labels are not all that the loss needs."""
    if mixer.kind.decouples:
        raise ValueError(
            f"mixer must be one whose logits go to the loss as they are, got {mixer!r}, which decouples them: mix in "
            "the training loop, by plan = mixer.plan(x) and mx.mixed_loss(model, x, y, plan)"
        )


def kinds(parts: Any) -> str:
    """The types of the parts of a batch, as the values may be long."""
    if isinstance(parts, Mapping):
        return f"{{{', '.join(f'{key!r}: {type(part).__name__}' for key, part in parts.items())}}}"
    if not isinstance(parts, (tuple, list)):
        return f"a value of type {type(parts).__name__}"
    return f"({', '.join(type(part).__name__ for part in parts)})"


def tensors(batch: Any) -> Iterator[Tensor]:
    """The tensors of a nest, from the first to the last."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (Mapping, tuple, list)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from tensors(part)


def _exchanged(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The nest, of the same classes, with each of its tensors changed."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        twin: Any = copy.copy(batch)
        for key, part in batch.items():
            twin[key] = _exchanged(part, change)
        return twin
    if isinstance(batch, (tuple, list)):
        parts = [_exchanged(part, change) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _labels(batch: Any, getter: Getter) -> Any:
    if callable(getter):
        return getter(batch)
    if getter != DEFAULT:
        return _at(batch, getter, "labels_getter")
    place = batch[1] if isinstance(batch, (tuple, list)) and len(batch) > 1 else batch
    if isinstance(place, Tensor) and place is not batch:
        return place
    keys = [key for key in place if isinstance(key, str)] if isinstance(place, Mapping) else []
    matching = [key for key in keys if key.lower() == "labels"] or [key for key in keys if "label" in key.lower()]
    if not matching:
        raise TypeError(
            "batch must be (inputs, labels), or a dict with the key 'labels', unless labels_getter says where labels "
            f"are; got {kinds(batch)}"
        )
    return place[matching[0]]


def _at(batch: Any, key: str, name: str) -> Any:
    if not isinstance(batch, Mapping) or key not in batch:
        raise ValueError(f"{name} must be a key of the batch, got {key!r} for {kinds(batch)}")
    return batch[key]
