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
from mixlab.blending import mix_for_autograd, mix_into
from mixlab.losses import check_lam
from mixlab.sampling import FLOATS

VARIANTS = {
    "none": "every example as it is",
    "mixup": "all pixels blended: λ of the example, 1 − λ of its partner (Zhang et al., 2018)",
    "cutmix": "a box of the partner pasted in; λ is the share of pixels kept (Yun et al., 2019)",
}

Statistics = Sequence[float] | Tensor


@dataclass(frozen=True, eq=False)
class MixPlan:
    """One batch's mixing, decided: partners, λs and boxes. Apply it to any tensor whose first axis is the batch.

    Attributes:
        variant: a key of VARIANTS.
        partner: [B] int64, whom each example is mixed with; the same for all K mixes.
        lam: [K, B] float32, the weight of the example itself; for CutMix the true share of pixels it keeps.
        nominal: [K, B] float32, λ as drawn; differs from `lam` where a CutMix box was clipped at the border.
        box: [K, B, 4] int64 (top, left, bottom, right) in pixels for CutMix, else None.
        size: (height, width) that the boxes belong to, or None.
        rolled: partner[i] is (i − 1) mod B.

    Raises:
        TypeError, ValueError: a field of the wrong kind, shape or range. Values are looked at on CPU only.
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
        _check_partner(self.partner, rolled=self.rolled)
        for name, lam in (("lam", self.lam), ("nominal", self.nominal)):
            wanted = f"a float32 tensor of shape [K, {self.batch}]"
            _check.tensor(name, lam, wanted)
            if lam.dtype != torch.float32 or lam.ndim != 2 or len(lam) == 0:
                raise ValueError(f"{name} must be {wanted}, got {_check.shown(lam)}")
            check_lam(name, lam, (self.k, self.batch), self.partner.device)
        if (self.box is None) != (self.variant != "cutmix") or (self.box is None) != (self.size is None):
            raise ValueError(f"box and size must be given for 'cutmix' and for nothing else, got {self!r}")
        if self.box is not None and self.size is not None:
            _check_box(self.box, self.size, self.lam)

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
        """Mix `x` with its partners by this plan; `x` is not changed, and gradients flow back to it.

        Images and feature maps [B, C, H, W] and masks [B, H, W] are blended, or get the box, scaled to their own
        height and width. Targets [B] and [B, T] are always blended by λ; flatten
        targets of more axes, which CutMix would take for masks. float32 and float64 are mixed in their own
        precision, other types in float32 and rounded once, so uint8 stays within half a grey level. "none" repeats
        any tensor as it is.

        Args:
            x: [B, ...] on the plan's device; float of any kind, uint8 images, or any type of mask for CutMix.
            normalise: (mean, std), a number per channel in units where black is 0 and white is 1: mixes
                (x/255 − mean)/std of uint8 images, or (x − mean)/std of float ones, in the same pass.
            dtype: type of the result (default: x's own; float32 if a uint8 x is normalised).
            out: a contiguous tensor to write into, of the result's shape, type and layout; saves the allocation. It
                shares no memory with x, and nothing needs a gradient.

        Returns:
            [K * B, ...], k-major: .view(K, B, ...) separates the K mixes. The memory layout is x's own.

        Raises:
            TypeError, ValueError: x of another batch size or device, class labels, or a kind that cannot be blended.
        """
        self._check_input(x)
        result = self._result_dtype(x, normalise, dtype)
        scale, shift = (None, None) if normalise is None else _scale_and_shift(x, normalise)
        layout = torch.contiguous_format
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            layout = torch.channels_last
        shape = (self.k * self.batch, *x.shape[1:])
        if out is not None:
            _check_out(out, x, result, shape, layout)

        weight, source = self._weight(x), x.contiguous(memory_format=layout)
        if layout == torch.channels_last:  # the same bytes, seen in the order they lie in
            weight, source = weight.permute(0, 1, 3, 4, 2), source.permute(0, 2, 3, 1)
            scale, shift = (part if part is None else part.movedim(1, -1) for part in (scale, shift))
        if _needs_gradient(x):
            mixes = mix_for_autograd(source, self.partner, weight, result, scale=scale, shift=shift)
            return mixes.permute(0, 3, 1, 2) if layout == torch.channels_last else mixes
        if out is None:
            out = torch.empty(shape, dtype=result, device=x.device, memory_format=layout)
        target = out.permute(0, 2, 3, 1) if layout == torch.channels_last else out
        target = target.view(self.k, self.batch, *target.shape[1:])
        partner = None if self.variant == "none" else self.partner
        mix_into(target, source, partner, weight, rolled=self.rolled, scale=scale, shift=shift)
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
    def from_json(cls, text: str, *, device: torch.device | str = "cpu") -> "MixPlan":
        """The plan that `to_json` wrote, on `device`. Anything else raises ValueError or TypeError."""
        try:
            fields: dict[str, Any] = json.loads(text)
            box, size = fields["box"], fields["size"]
            partner = torch.tensor(fields["partner"], device=device)
            lam = torch.tensor(fields["lam"], dtype=torch.float32, device=device)
            nominal = torch.tensor(fields["nominal"], dtype=torch.float32, device=device)
            box = None if box is None else torch.tensor(box, device=device)
            size = None if size is None else tuple(size)
            variant, rolled = fields["variant"], fields["rolled"]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            wanted = "JSON written by MixPlan.to_json"
            raise ValueError(f"text must be {wanted}, got {_check.shown(text)}: {error!r}") from None
        return cls(variant, partner, lam, nominal, box, size, _check.flag("rolled", rolled))

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
            wanted = "float or uint8 images [batch, channels, height, width] to be normalised"
            raise ValueError(f"x must be {wanted}, got {_check.shown(x)}")
        natural = torch.float32 if normalise is not None and x.dtype == torch.uint8 else x.dtype
        if dtype is None or dtype == natural:
            return natural
        if dtype not in FLOATS:
            own = "" if natural in FLOATS else f"{_name(natural)} or "
            raise TypeError(f"dtype must be {own}a float type, got {_check.shown(dtype)}")
        return dtype

    def _pastes(self, x: Tensor) -> bool:
        return self.variant == "none" or (self.box is not None and x.ndim >= 3)

    def _weight(self, x: Tensor) -> Tensor:
        """λ, or where to keep the example's own pixels, shaped to broadcast over [K, B, ...]."""
        if self.variant == "none":
            return torch.ones(*self.lam.shape, *[1] * (x.ndim - 1), dtype=torch.bool, device=x.device)
        if not self._pastes(x) or self.box is None or self.size is None:
            return self.lam.view(*self.lam.shape, *[1] * (x.ndim - 1))
        height, width = x.shape[-2:]
        edges = self.box.unbind(-1)
        if (height, width) != self.size:
            down, across = height / self.size[0], width / self.size[1]
            ratios = (down, across, down, across)
            edges = tuple((edge.double() * ratio).round().long() for edge, ratio in zip(edges, ratios, strict=True))
        top, left, bottom, right = (edge[..., None] for edge in edges)
        row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        rows = (row >= top) & (row < bottom)
        columns = (column >= left) & (column < right)
        keep = ~rows[..., :, None] | ~columns[..., None, :]
        return keep.view(*keep.shape[:2], *[1] * (x.ndim - 3), height, width)


def _check_partner(partner: Tensor, *, rolled: bool) -> None:
    wanted = "an int64 tensor of shape [batch]"
    _check.tensor("partner", partner, wanted)
    if partner.dtype != torch.int64 or partner.ndim != 1 or len(partner) == 0:
        raise TypeError(f"partner must be {wanted}, got {_check.shown(partner)}")
    if partner.device.type != "cpu":
        return
    low, high = (int(edge) for edge in torch.aminmax(partner))
    if low < 0 or high >= len(partner):
        raise ValueError(f"partner must hold places in the batch, 0 to {len(partner) - 1}, got {low} to {high}")
    if rolled and not torch.equal(partner, torch.arange(len(partner), device="cpu").roll(1)):
        came = _check.shown(partner.tolist())
        raise ValueError(f"rolled must be False unless partner[i] is (i − 1) mod batch, got True with partner {came}")


def _check_box(box: Tensor, size: tuple[int, int], lam: Tensor) -> None:
    if not isinstance(size, tuple) or len(size) != 2:
        raise TypeError(f"size must be (height, width), got {_check.shown(size)}")
    height, width = (_check.integer(name, side, 1) for name, side in zip(("height", "width"), size, strict=True))
    wanted = f"an int64 tensor of shape {[*lam.shape, 4]}"
    _check.tensor("box", box, wanted)
    if box.dtype != torch.int64 or box.shape != (*lam.shape, 4):
        raise ValueError(f"box must be {wanted}, got {_check.shown(box)}")
    _check.same_device("box", box, lam.device)
    if box.device.type == "cpu":
        top, left, bottom, right = box.unbind(-1)
        inside = (top >= 0) & (left >= 0) & (bottom <= height) & (right <= width) & (top <= bottom) & (left <= right)
        if not bool(inside.all()):
            wrong = box[~inside][0].tolist()
            raise ValueError(f"box must hold (top, left, bottom, right) inside {height} by {width} pixels, got {wrong}")


def _check_out(out: Tensor, x: Tensor, dtype: torch.dtype, shape: tuple[int, ...], layout: torch.memory_format) -> None:
    wanted = f"a {_name(dtype)} tensor of shape {list(shape)} on {x.device}"
    _check.tensor("out", out, wanted)
    if out.shape != shape or out.dtype != dtype or out.device != x.device:
        raise ValueError(f"out must be {wanted}, got {_check.shown(out)} on {out.device}")
    if not out.is_contiguous(memory_format=layout):
        raise ValueError(f"out must be laid out like x ({_name(layout)}), got strides {list(out.stride())}")
    if out.requires_grad or _needs_gradient(x):
        raise ValueError("out must be None where x or out needs a gradient, got a tensor")
    (first, last), (x_first, x_last) = _span(out), _span(x)
    if x.device.type != "meta" and first < x_last and x_first < last:
        raise ValueError("out must share no memory with x, which is not changed; got memory that overlaps")


def _needs_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


def _span(x: Tensor) -> tuple[int, int]:
    """Addresses of a tensor's first byte and of the one after its last."""
    elements = 1 + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + elements * x.element_size()


def _scale_and_shift(x: Tensor, normalise: tuple[Statistics, Statistics]) -> tuple[Tensor, Tensor]:
    """(v/unit − mean)/std as v * scale + shift, each [1, C, 1, 1]."""
    try:
        mean, std = normalise
        centre, spread = (torch.as_tensor(part, dtype=torch.float64).flatten().cpu() for part in (mean, std))
    except (TypeError, ValueError, RuntimeError):
        wanted = "(mean, std), each a number per channel"
        raise TypeError(f"normalise must be {wanted}, got {_check.shown(normalise)}") from None
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
