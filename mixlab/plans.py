"""A plan for mixing one batch: who with whom, and by how much. It mixes any tensor, always the same way.

A plan is drawn by a Mixer, applied to images, masks, features or targets, and travels as JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixlab import _check
from mixlab.blending import mix_into
from mixlab.losses import check_lam

VARIANTS = {
    "none": "every example as it is",
    "mixup": "all pixels blended: λ of the example, 1 − λ of its partner (Zhang et al., 2018)",
    "cutmix": "a box of the partner pasted in; λ is the share of pixels kept (Yun et al., 2019)",
}
FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

Statistics = Sequence[float] | Tensor


@dataclass(frozen=True, eq=False)
class MixPlan:
    """One batch's mixing, decided: partners, λs and boxes. Apply it to any tensor whose first axis is the batch.

    Attributes:
        variant: a key of VARIANTS.
        partner: [B] int64, whom each example is mixed with; the same for all K mixes.
        lam: [K, B] float32, the weight of the example itself; for CutMix the true share of pixels it keeps.
        nominal: [K, B] float32, λ as drawn; differs from `lam` where a CutMix box was clipped at the border.
        box: [K, B, 4] int64 (top, left, bottom, right) in pixels, or None.
        size: (height, width) that the boxes belong to, or None.
        rolled: partner[i] is (i − 1) mod B.
    """

    variant: str
    partner: Tensor
    lam: Tensor
    nominal: Tensor
    box: Tensor | None = None
    size: tuple[int, int] | None = None
    rolled: bool = False

    def __post_init__(self) -> None:
        _check.choice("variant", self.variant, VARIANTS)
        _check.class_labels("partner", self.partner, classes=len(self.partner))
        if self.lam.ndim != 2:
            raise ValueError(f"lam must be a float tensor of shape [K, batch], got {_check.shown(self.lam)}")
        check_lam("lam", self.lam, (len(self.lam), len(self.partner)))
        check_lam("nominal", self.nominal, tuple(self.lam.shape))
        if (self.box is None) != (self.variant != "cutmix") or (self.box is None) != (self.size is None):
            raise ValueError(f"box and size must be given for 'cutmix' and for nothing else, got {self!r}")
        if self.box is not None and self.box.shape != (*self.lam.shape, 4):
            raise ValueError(f"box must have shape {[*self.lam.shape, 4]}, got {_check.shown(self.box)}")

    def __repr__(self) -> str:
        return f"MixPlan({self.variant!r}, k={self.k}, batch={self.batch})"

    @property
    def k(self) -> int:
        """How many mixes each pair has."""
        return len(self.lam)

    @property
    def batch(self) -> int:
        """How many examples it was drawn for."""
        return len(self.partner)

    def apply(
        self,
        x: Tensor,
        *,
        normalise: tuple[Statistics, Statistics] | None = None,
        dtype: torch.dtype | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Mix `x` with its partners by this plan; `x` is not changed.

        Images and feature maps [B, C, H, W] and masks [B, H, W] are blended, or get the box, scaled to their own
        height and width. Targets [B] and [B, T] are always blended by λ. float32 and float64 are mixed in their own
        precision, other types in float32 and rounded once, so uint8 stays within half a grey level.

        Args:
            x: [B, ...] on the plan's device; float of any kind, uint8 images, or, for CutMix, any type of mask.
            normalise: (mean, std), a number per channel in units where black is 0 and white is 1: mixes
                (x/255 − mean)/std of uint8 images, or (x − mean)/std of float ones, in the same pass.
            dtype: type of the result (default: x's own; float32 if a uint8 x is normalised).
            out: a contiguous tensor to write into, of the result's shape, type and layout; saves the allocation.

        Returns:
            [K * B, ...], k-major: .view(K, B, ...) separates the K mixes. The memory layout is x's own.

        Raises:
            TypeError, ValueError: x of another batch size or device, class labels, or a kind that cannot be blended.
        """
        self._check_input(x)
        result = self._result_dtype(x, normalise, dtype)
        scale_shift = None if normalise is None else _scale_and_shift(x, *normalise)
        layout = torch.contiguous_format
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            layout = torch.channels_last
        shape = (self.k * self.batch, *x.shape[1:])
        if out is None:
            out = torch.empty(shape, dtype=result, device=x.device, memory_format=layout)
        elif out.shape != shape or out.dtype != result or out.device != x.device:
            wanted = f"a {_name(result)} tensor of shape {list(shape)} on {x.device}"
            raise ValueError(f"out must be {wanted}, got {_check.shown(out)} on {out.device}")
        elif not out.is_contiguous(memory_format=layout):
            raise ValueError(f"out must be laid out like x ({_name(layout)}), got strides {list(out.stride())}")

        weight = self._weight(x)
        source = x.contiguous(memory_format=layout)
        target = out
        if layout == torch.channels_last:  # the same bytes, seen in the order they lie in
            source, target = source.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1)
            weight = weight.permute(0, 1, 3, 4, 2)
            scale_shift = scale_shift and (scale_shift[0].movedim(1, -1), scale_shift[1].movedim(1, -1))
        scale, shift = scale_shift or (None, None)
        target = target.view(self.k, self.batch, *target.shape[1:])
        mix_into(target, source, self.partner, weight, rolled=self.rolled, scale=scale, shift=shift)
        return out

    def to_json(self) -> str:
        """The plan as JSON; `from_json` gives it back bit for bit."""
        fields = {
            "variant": self.variant,
            "partner": self.partner.tolist(),
            "lam": self.lam.tolist(),
            "nominal": self.nominal.tolist(),
            "box": None if self.box is None else self.box.tolist(),
            "size": self.size,
            "rolled": self.rolled,
        }
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str, *, device: torch.device | str | None = None) -> "MixPlan":
        """The plan that `to_json` wrote, on `device` (default: CPU)."""
        try:
            fields: dict[str, Any] = json.loads(text)
            box, size = fields["box"], fields["size"]
            return cls(
                variant=fields["variant"],
                partner=torch.tensor(fields["partner"], dtype=torch.int64, device=device),
                lam=torch.tensor(fields["lam"], dtype=torch.float32, device=device),
                nominal=torch.tensor(fields["nominal"], dtype=torch.float32, device=device),
                box=None if box is None else torch.tensor(box, dtype=torch.int64, device=device),
                size=None if size is None else (int(size[0]), int(size[1])),
                rolled=bool(fields["rolled"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            wanted = "JSON written by MixPlan.to_json"
            raise ValueError(f"text must be {wanted}, got {_check.shown(text)}: {error!r}") from None

    def _check_input(self, x: Tensor) -> None:
        _check.tensor("x", x, "a tensor whose first axis is the batch")
        if x.ndim == 0 or len(x) != self.batch:
            raise ValueError(f"x must hold the {self.batch} examples this plan was drawn for, got {_check.shown(x)}")
        if x.device != self.partner.device:
            raise ValueError(f"x must be on the plan's device, {self.partner.device}, got one on {x.device}")
        pasted = self._pastes(x)
        if not pasted and x.dtype not in FLOATS and not (x.dtype == torch.uint8 and x.ndim == 4):
            raise TypeError(
                "x must be float values or uint8 images [batch, channels, height, width] to be blended, got "
                f"{_check.shown(x)}; class labels are never blended: use the loss of both labels, or one-hot floats"
            )

    def _result_dtype(self, x: Tensor, normalise: object, dtype: torch.dtype | None) -> torch.dtype:
        if normalise is not None and (x.ndim != 4 or x.dtype not in (*FLOATS, torch.uint8)):
            raise ValueError(f"normalise needs images [batch, channels, height, width], got {_check.shown(x)}")
        natural = torch.float32 if normalise is not None and x.dtype == torch.uint8 else x.dtype
        if dtype is None or dtype == natural:
            return natural
        if dtype not in FLOATS:
            raise TypeError(f"dtype must be x's own or a float type, got {_check.shown(dtype)}")
        return dtype

    def _pastes(self, x: Tensor) -> bool:
        return self.box is not None and x.ndim >= 3

    def _weight(self, x: Tensor) -> Tensor:
        """λ, or where to keep the example's own pixels, shaped to broadcast over [K, B, ...]."""
        if not self._pastes(x) or self.box is None or self.size is None:
            return self.lam.view(*self.lam.shape, *[1] * (x.ndim - 1))
        height, width = x.shape[-2:]
        box = self.box
        if (height, width) != self.size:
            ratio = torch.tensor([height / self.size[0], width / self.size[1]] * 2, dtype=torch.float64)
            box = (box * ratio.to(box.device)).round().to(torch.int64)
        top, left, bottom, right = box[..., None].unbind(2)
        row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        rows = (row >= top) & (row < bottom)
        columns = (column >= left) & (column < right)
        keep = ~(rows[..., :, None] & columns[..., None, :])
        return keep.view(*keep.shape[:2], *[1] * (x.ndim - 3), height, width)


def _scale_and_shift(x: Tensor, mean: Statistics, std: Statistics) -> tuple[Tensor, Tensor]:
    """(v/unit − mean)/std as v * scale + shift, each [1, C, 1, 1]."""
    centre, spread = (torch.as_tensor(part, dtype=torch.float64).flatten().cpu() for part in (mean, std))
    for name, part in (("mean", centre), ("std", spread)):
        if len(part) not in (1, x.shape[1]) or not bool(part.isfinite().all()):
            raise ValueError(
                f"normalise must hold one finite {name} for each of the {x.shape[1]} channels, got {part.tolist()}"
            )
    if not bool((spread > 0).all()):
        raise ValueError(f"normalise must hold positive standard deviations, got {spread.tolist()}")
    unit = 255.0 if x.dtype == torch.uint8 else 1.0
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    scale, shift = 1 / (unit * spread), -centre / spread
    scale, shift = (part.to(x.device, kind).expand(x.shape[1]).view(1, -1, 1, 1) for part in (scale, shift))
    return scale, shift


def _name(value: object) -> str:
    return str(value).removeprefix("torch.")
