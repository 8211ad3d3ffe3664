"""Mixing in a DataLoader: a `collate_fn` that mixes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import default_collate

from mixlab import _check
from mixlab.integrations.batch import DEFAULT, Getter, check_before_model, check_getter, draw_plan, take_apart
from mixlab.mixing.mixer import Mixer


@dataclass(frozen=True)
class MixCollate:
    """A `collate_fn` that makes a batch of examples as torch does, and mixes it: DataLoader(..., collate_fn=this).

    It draws from torch's global generator. A DataLoader seeds that one in each worker, differently and from its own
    `generator=`, so that workers do not repeat each other and a seed gives the same batches again.

    Args:
        mixer: is a Mixer of a variant that mixes before the model sees the batch.
        num_classes: is the number of classes, for soft targets; None gives both labels and λ of pairs (image, label).
        labels_getter, inputs_getter: say where the labels are in the batch that torch makes of the examples, and what
            is mixed, as for `mixlab.MixTransform`.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; a mixer that needs the model, or its logits (MIT); no
            num_classes for one that mixes more than two labels.
    """

    mixer: Mixer
    num_classes: int | None = None
    labels_getter: Getter = DEFAULT
    inputs_getter: Getter = DEFAULT

    def __post_init__(self) -> None:
        mixer = check_before_model(self.mixer)
        if self.num_classes is not None:
            _check.integer("num_classes", self.num_classes, 1)
        elif not mixer.kind.two_labels:
            raise ValueError(f"num_classes must be given for {mixer!r}, which mixes more labels than two, got None")
        check_getter("labels_getter", self.labels_getter)
        check_getter("inputs_getter", self.inputs_getter)

    def __call__(self, examples: Sequence[Any]) -> Any:
        """Make a batch, and mix it.

        Args:
            examples: are B pairs (image, label), or other tuples and dicts of one structure, the images tensors of one
                shape [...] and the labels integers, or floats [num_classes]: one-hot, soft or multi-label.

        Returns:
            x [K * B, ...] mixed, k-major, with y_a, y_b and lam [K * B] for `mixed_cross_entropy`; or, with
            num_classes, the batch with x in place of the images and targets [K * B, num_classes] in place of the
            labels, for torch's cross entropy; float32 for class labels. A lone example stays as it is, with K = 1.

        Raises:
            TypeError, ValueError: examples without labels, of different structures or shapes, or none; without
                num_classes, examples that are no pairs.
        """
        wanted = "examples must be (image, label) pairs, or dicts or tuples of one structure,"
        if not isinstance(examples, Sequence) or isinstance(examples, str):
            raise TypeError(f"{wanted} in a list, got {_check.shown(examples)}")
        if not examples:
            raise ValueError(f"{wanted} at least one of them, got none")
        try:
            whole = default_collate(list(examples))
        except (RuntimeError, TypeError, KeyError, AttributeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{wanted} images of one shape and labels integers, got what torch refuses: {error}") from None
        batch = take_apart(whole, self.labels_getter, self.inputs_getter)
        plan = draw_plan(self.mixer, batch.x, batch.y)
        if self.num_classes is not None:
            return batch.mixed(plan, self.num_classes)
        if not isinstance(whole, (tuple, list)) or len(whole) != 2 or whole[0] is not batch.inputs[0]:
            raise ValueError("num_classes must be given for examples that are no (image, label) pairs, got None")
        if not batch.y.is_floating_point():
            _check.class_labels("labels", batch.y)
        return plan.apply(batch.x), *plan.labels(batch.y)
