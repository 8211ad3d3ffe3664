"""Mixing as a transform of batches, to stand beside torchvision's own."""

from typing import Any

from torch import nn

from mixlab import _check
from mixlab.integrations.batch import DEFAULT, Getter, check_before_model, check_getter, draw_plan, take_apart
from mixlab.mixing.mixer import Mixer


class MixTransform(nn.Module):
    """A transform of batches, to stand where torchvision's `v2.MixUp` or `v2.CutMix` stands, alone or in a v2.Compose.

    It draws from torch's global generator, as theirs do. torchvision is not needed.

    Args:
        mixer: is a Mixer of a variant that mixes before the model sees the batch. With shared_lam=True and
            partners="roll" its law is theirs.
        num_classes: is the number of classes, at least 1; None is for batches with float targets.
        labels_getter: says where the labels are, as theirs does: "default" for the second item of a tuple or list, or
            the key of a dict that has "label" in it; another text for a key; or a function of the batch.
        inputs_getter: says what is mixed: "default" for all tensors but the labels, another text for a key, or a
            function of the batch that gives a tensor or a tuple of them.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; a mixer that needs the model, or its logits (MIT).
    """

    def __init__(
        self,
        mixer: Mixer,
        num_classes: int | None = None,
        *,
        labels_getter: Getter = DEFAULT,
        inputs_getter: Getter = DEFAULT,
    ) -> None:
        super().__init__()
        self.mixer = check_before_model(mixer)
        self.num_classes = None if num_classes is None else _check.integer("num_classes", num_classes, 1)
        self.labels_getter = check_getter("labels_getter", labels_getter)
        self.inputs_getter = check_getter("inputs_getter", inputs_getter)

    def extra_repr(self) -> str:
        """What torch shows of a module."""
        return f"{self.mixer!r}, num_classes={self.num_classes}"

    def forward(self, *batch: Any) -> Any:
        """Mix images, their labels, and masks.

        Args:
            batch: is images [B, C, H, W], labels, then any number of masks [B, ...]; as arguments, as one tuple or
                list, or in a dict or any nest of these. Labels are int64 [B], or one-hot, soft or multi-label floats
                [B, num_classes]. Images and masks may be tv_tensors or plain; masks of integers are pasted, never
                blended.

        Returns:
            The same nest, a tuple of several arguments, of images [K * B, C, H, W], k-major, targets
            [K * B, num_classes], float32 for class labels, and masks [K * B, ...]. Images and masks keep their type;
            other things stay as they are. A batch of one is left as it is, with K = 1, but for its targets.

        Raises:
            TypeError, ValueError: images that are no batch; labels that are not there, of another kind, or not from 0
                to num_classes − 1; masks of integers where the mixer blends, which would invent classes; boxes or key
                points, which cannot be mixed; see also `MixPlan.apply`.
        """
        taken = take_apart(batch[0] if len(batch) == 1 else batch, self.labels_getter, self.inputs_getter)
        if taken.x.ndim < 4:
            raise ValueError(f"images must be a batch [batch, channels, height, width], got {_check.shown(taken.x)}")
        return taken.mixed(draw_plan(self.mixer, taken.x, taken.y), self.num_classes)
