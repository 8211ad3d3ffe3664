"""Mixing in a DataLoader: a `collate_fn` that mixes, and what every place outside a training loop asks of a mixer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from mixlab import _check
from mixlab.mixing.mixer import Mixer, check_mixer


@dataclass(frozen=True)
class MixCollate:
    """A `collate_fn` that makes a batch of examples as torch does, and mixes it: DataLoader(..., collate_fn=this).

    It draws from torch's global generator. A DataLoader seeds that one in each worker, differently and from its own
    `generator=`, so that workers do not repeat each other and a seed gives the same batches again.

    Args:
        mixer: is a Mixer of a variant that mixes before the model sees the batch.
        num_classes: is the number of classes, for soft targets; None gives both labels and λ.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; a mixer that needs the model, or its logits (MIT); no
            num_classes for one that mixes more than two labels.
    """

    mixer: Mixer
    num_classes: int | None = None

    def __post_init__(self) -> None:
        mixer = check_before_model(self.mixer)
        if self.num_classes is not None:
            _check.integer("num_classes", self.num_classes, 1)
        elif not mixer.kind.two_labels:
            raise ValueError(f"num_classes must be given for {mixer!r}, which mixes more labels than two, got None")

    def __call__(self, examples: Sequence[Any]) -> tuple[Tensor, ...]:
        """Make a batch, and mix it.

        Args:
            examples: are B pairs (image, label), the images tensors of one shape [...] and the labels integers.

        Returns:
            x [K * B, ...] mixed, k-major, with y_a, y_b and lam [K * B] for `mixed_cross_entropy`; or, with
            num_classes, x with targets [K * B, num_classes] float32 for torch's cross entropy.

        Raises:
            TypeError, ValueError: examples that are not such pairs, or images of different shapes; none, or only one
                of them, as there may be in the last batch without drop_last=True.
        """
        wanted = "examples must be (image, label) pairs"
        if not isinstance(examples, Sequence) or isinstance(examples, str):
            raise TypeError(f"{wanted} in a list, got {_check.shown(examples)}")
        if not examples:
            raise ValueError(f"{wanted}, at least two of them, got none")
        for example in examples:
            if not isinstance(example, (tuple, list)) or len(example) != 2:
                raise TypeError(f"{wanted}, got {_check.shown(example)}")
        try:
            x, y = default_collate(list(examples))
        except (RuntimeError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{wanted}, images of one shape and labels integers, got what torch refuses: {error}") from None
        _check.class_labels("labels", y, classes=self.num_classes)
        plan = self.mixer.plan(x, y)
        if self.num_classes is None:
            return plan.apply(x), *plan.labels(y)
        return plan.apply(x), plan.targets(y, self.num_classes)


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
    if not isinstance(parts, (tuple, list)):
        return f"a value of type {type(parts).__name__}"
    return f"({', '.join(type(part).__name__ for part in parts)})"
