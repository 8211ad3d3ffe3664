"""Mixing as a transform of batches, to stand beside torchvision's own."""

from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab.integrations.dataloader import check_before_model, kinds
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.plan import MixPlan


class MixTransform(nn.Module):
    """A transform of batches, to stand where torchvision's `v2.MixUp` or `v2.CutMix` stands, alone or in a v2.Compose.

    It draws from torch's global generator, as theirs do. torchvision is not needed.

    Args:
        mixer: is a Mixer of a variant that mixes before the model sees the batch. With shared_lam=True and
            partners="roll" its law is theirs.
        num_classes: is the number of classes, at least 1.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; a mixer that needs the model, or its logits (MIT).
    """

    def __init__(self, mixer: Mixer, num_classes: int) -> None:
        super().__init__()
        self.mixer = check_before_model(mixer)
        self.num_classes = _check.integer("num_classes", num_classes, 1)

    def extra_repr(self) -> str:
        """What torch shows of a module."""
        return f"{self.mixer!r}, num_classes={self.num_classes}"

    def forward(self, *batch: Any) -> tuple[Tensor, ...]:
        """Mix images, their labels, and masks.

        Args:
            batch: is images [B, C, H, W], labels [B] int64, then any number of masks [B, ...]; as arguments, or as one
                tuple or list. Images and masks may be tv_tensors or plain; masks of integers are pasted, never blended.

        Returns:
            Images [K * B, C, H, W], k-major, targets [K * B, num_classes] float32, and masks [K * B, ...]; images and
            masks keep their type.

        Raises:
            TypeError, ValueError: images that are no batch, or a batch of one; labels of another kind, or not from 0 to
                num_classes − 1; masks of integers where the mixer blends, which would invent classes; boxes or key
                points, which cannot be mixed; see also `MixPlan.apply`.
        """
        parts = batch[0] if len(batch) == 1 else batch
        if not isinstance(parts, (tuple, list)) or len(parts) < 2:
            raise TypeError(f"batch must be images and labels, then any masks, got {kinds(parts)}")
        for part in parts:
            if not isinstance(part, Tensor) or hasattr(part, "canvas_size"):  # what boxes and key points carry
                raise TypeError(f"batch must hold tensors of images, labels and masks, got {kinds(parts)}")
        images, labels, *masks = parts
        if images.ndim != 4:
            raise ValueError(f"images must be a batch [batch, channels, height, width], got {_check.shown(images)}")
        plain = labels.as_subclass(torch.Tensor)
        _check.class_labels("labels", plain, batch=len(images), classes=self.num_classes)
        plan = self.mixer.plan(images.as_subclass(torch.Tensor), plain)
        mixed_masks = (self._mixed_mask(plan, mask) for mask in masks)
        return _mixed(plan, images), plan.targets(plain, self.num_classes), *mixed_masks

    def _mixed_mask(self, plan: MixPlan, mask: Tensor) -> Tensor:
        """A mask mixed; bytes go as another kind of integer, since a plan blends bytes of four axes, as images."""
        integers = mask.to(torch.int16) if mask.dtype == torch.uint8 else mask
        try:
            return _mixed(plan, integers).to(mask.dtype)
        except TypeError:
            raise TypeError(
                f"masks of integers must be mixed by pasting, as in Mixer('cutmix'), got {_check.shown(mask)} for "
                f"{self.mixer!r}, which would blend class labels"
            ) from None


def _mixed(plan: MixPlan, part: Tensor) -> Tensor:
    """Mixed as a plain tensor, and given back in its own class, which for images and masks carries nothing more."""
    return plan.apply(part.as_subclass(torch.Tensor)).as_subclass(type(part))
