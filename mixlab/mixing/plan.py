"""A plan for mixing one batch: who with whom, and by how much. It mixes any tensor, always the same way.

A plan is drawn by a Mixer, applied to images, masks, features or targets, and travels as JSON. How it mixes follows
from what it holds: λs alone blend; boxes are pasted; masks blend block by block; moves carry blocks elsewhere first;
weights mix the whole batch.
"""

import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab.mixing import geometry
from mixlab.mixing._plan_checks import check_fields, check_out, dtype_name, needs_gradient
from mixlab.mixing.beta import FLOATS
from mixlab.mixing.blend import chunks, combined, mix, mix_for_autograd, mix_into, store, values
from mixlab.mixing.normalize import Statistics, check_normalized, scale_and_shift

_FLOAT_FIELDS = ("lam", "nominal", "mask", "noise", "weights")
_INTEGER_FIELDS = ("partner", "box", "moves")
_NOT_IN_JSON = ("clean_loss",)
_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class MixPlan:
    """One batch's mixing, decided: partners, λs, boxes, masks. Apply it to any tensor whose first axis is the batch.

    Attributes:
        variant: the name of the variant that drew it; "none" leaves everything as it is.
        partner: [B] int64, whom each example is mixed with; the same for all K mixes.
        lam: [K, B] float32, the weight of the example itself in the label: λ, or the true share of pixels it keeps.
        nominal: [K, B] float32, λ as drawn; differs from `lam` where a box was clipped or a mask was solved for.
        box: [K, B, 4] int64 (top, left, bottom, right) in pixels, where the partner is pasted in; or None.
        size: (height, width) that the boxes belong to, or None.
        rolled: partner[i] is (i − 1) mod B.
        shrunk: the box shows the partner's whole image, shrunk, instead of what lay there (ResizeMix).
        mask: [K, B, rows, columns] float32, the share of the example in each block of the image; or None.
        moves: [2, K, B, t * t] int64 or None: block j of a t by t grid shows what was block moves[side, k, i, j]; side
            0 is the example and 1 its partner, before they are mixed.
        noise: [2, B, C, H, W] float32 or None, added to tensors of this shape, in their units: noise[0, i] to example
            i, noise[1, j] to example j where it is a partner.
        noise_for_uint8: the noise is in gray levels from 0 to 255 and added to uint8 images alone; otherwise to float
            ones alone.
        weights: [K, B, B] float32 or None: mix k of example i is the sum of weights[k, i, j] times example j, of any
            tensor, and neither λs nor partners have a part in it (Carratino et al.'s reading of mixup).
        decoupled: K is even, and mix k and mix K/2 + k are two of one pair, by their nominal λs; `mixed_logits` solves
            their logits for those of the example and of its partner, and `lam` is 1 and 0 (MIT).
        layer: None, "input", or the module whose output is to be mixed (see `mixlab.hidden_mixing`).
        clean_loss: None, or a scalar for the caller to add to the loss (Puzzle Mix, `clean`); it is left out of JSON.

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
    shrunk: bool = False
    mask: Tensor | None = None
    moves: Tensor | None = None
    noise: Tensor | None = None
    noise_for_uint8: bool = False
    weights: Tensor | None = None
    decoupled: bool = False
    layer: str | None = None
    clean_loss: Tensor | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def __repr__(self) -> str:
        where = "" if self.layer is None else f", layer={self.layer!r}"
        return f"MixPlan({self.variant!r}, k={self.k}, batch={self.batch}{where})"

    @property
    def k(self) -> int:
        """How many mixes each pair has."""
        return len(self.lam)

    @property
    def batch(self) -> int:
        """How many examples it was drawn for."""
        return len(self.partner)

    @property
    def inside(self) -> str | None:
        """The module whose output is to be mixed; None where the mixing comes before the model."""
        return None if self.layer == "input" else self.layer

    def labels(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `mixed_cross_entropy` takes: y_a and y_b [K * B], the labels of both, and λ [K * B], the weight of y_a.

        Args:
            y: [B] int64 class labels on the plan's device.

        Raises:
            TypeError, ValueError: labels of another kind; a plan with weights, which mixes the labels of all the batch.
        """
        if self.weights is not None:
            raise ValueError(
                f"labels must be two for each mix, got {self!r}, which mixes those of the whole batch: use "
                "plan.targets(y, num_classes), or mx.mixed_loss(model, x, y, plan)"
            )
        _check.class_labels("y", y, batch=self.batch, device=self.partner.device)
        other = y.index_select(0, self.partner).expand(self.k, self.batch).reshape(-1)
        return y.repeat(self.k), other, self.lam.flatten()

    def targets(self, y: Tensor, num_classes: int) -> Tensor:
        """Soft labels λ onehot(y_a) + (1 − λ) onehot(y_b): float32 [K * B, num_classes], k-major, for what needs them.

        A plan with weights gives the sums of one-hot labels by these, which may be negative.

        Args:
            y: [B] int64 class labels from 0 to num_classes − 1, on the plan's device.
            num_classes: how many classes, at least 1.
        """
        num_classes = _check.integer("num_classes", num_classes, 1)
        _check.class_labels("y", y, batch=self.batch, classes=num_classes, device=self.partner.device)
        return self.apply(functional.one_hot(y, num_classes).to(torch.float32))

    def apply(
        self,
        x: Tensor,
        *,
        normalize: Statistics | None = None,
        dtype: torch.dtype | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Mix `x` with its partners by this plan; `x` is not changed, and gradients flow back to it.

        Images and feature maps [B, C, H, W] and masks [B, H, W] are blended, or get the box or the mask, scaled to
        their own height and width. Targets [B] and [B, T] are always blended by λ; flatten targets of more axes,
        which boxes would take for masks. float32 and float64 are mixed in their own precision, other types in float32
        and rounded once, so uint8 stays within half a gray level. "none" repeats any tensor as it is.

        Args:
            x: [B, ...] on the plan's device; float of any kind, uint8 images, or any type of mask where nothing is
                blended (boxes, and masks of zeros and ones).
            normalize: (mean, std), a number per channel in units where black is 0 and white is 1: mixes
                (x/255 − mean)/std of uint8 images, or (x − mean)/std of float ones, in the same pass.
            dtype: type of the result (default: x's own; float32 if a uint8 x is normalized).
            out: a contiguous tensor to write into, of the result's shape, type and layout; saves the allocation. It
                shares no memory with x, and nothing needs a gradient.

        Returns:
            [K * B, ...], k-major: .view(K, B, ...) separates the K mixes. The memory layout is x's own.

        Raises:
            TypeError, ValueError: x of another batch size or device, class labels, a kind that cannot be blended, or
            a height and width that the grid of moves does not divide.
        """
        self._check_input(x)
        result = self._result_dtype(x, normalize, dtype)
        scale, shift = (None, None) if normalize is None else scale_and_shift(x, normalize)
        layout = torch.contiguous_format
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            layout = torch.channels_last
        shape = (self.k * self.batch, *x.shape[1:])
        if out is not None:
            check_out(out, x, result, shape, layout)
        followed = needs_gradient(x)
        if out is None and not followed:
            out = torch.empty(shape, dtype=result, device=x.device, memory_format=layout)
        if self._rearranges(x):
            if out is None:
                return torch.cat(list(self._mixes(x, scale, shift))).to(result).contiguous(memory_format=layout)
            target = out.view(self.k, self.batch, *x.shape[1:])
            if self.weights is not None:  # each chunk takes from the whole batch, which is made floats once
                x, scale, shift = values(x, scale, shift), None, None
            for rows in chunks(x):
                for k, mixed in enumerate(self._mixes(x, scale, shift, rows)):
                    store(mixed, target[k, rows])
            return out

        weight, source = self._weight(x), x.contiguous(memory_format=layout)
        if layout == torch.channels_last:  # the same bytes, seen in the order they lie in
            weight, source = weight.permute(0, 1, 3, 4, 2), source.permute(0, 2, 3, 1)
            scale, shift = (part if part is None else part.movedim(1, -1) for part in (scale, shift))
        if out is None:
            mixes = mix_for_autograd(source, self.partner, weight, result, scale=scale, shift=shift)
            return mixes.permute(0, 3, 1, 2) if layout == torch.channels_last else mixes
        target = out.permute(0, 2, 3, 1) if layout == torch.channels_last else out
        target = target.view(self.k, self.batch, *target.shape[1:])
        partner = None if self.variant == "none" else self.partner
        mix_into(target, source, partner, weight, rolled=self.rolled, scale=scale, shift=shift)
        return out

    def ordered(self) -> "MixPlan":
        """The same mixes, those of each pair sorted by λ from the example to its partner."""
        order = self.lam.argsort(dim=0, descending=True, stable=True)

        def sort(part: Tensor, first: int = 0) -> Tensor:
            places = order.view(*[1] * first, *order.shape, *[1] * (part.ndim - first - 2))
            return part.gather(first, places.expand_as(part))

        return replace(
            self,
            lam=sort(self.lam),
            nominal=sort(self.nominal),
            box=None if self.box is None else sort(self.box),
            mask=None if self.mask is None else sort(self.mask),
            moves=None if self.moves is None else sort(self.moves, 1),
            weights=None if self.weights is None else sort(self.weights),
        )

    def to_json(self) -> str:
        """The plan as JSON; `from_json` gives it back bit for bit."""
        held = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _NOT_IN_JSON}
        return json.dumps({name: part.tolist() if isinstance(part, Tensor) else part for name, part in held.items()})

    @classmethod
    def from_json(cls, text: str, *, device: torch.device | str = "cpu") -> "MixPlan":
        """The plan that `to_json` wrote, on `device`; a field that a former version did not have takes its default.

        Raises:
            TypeError, ValueError: anything else, such as a field that no plan has, or none of the first four; a device
                that is not here.
        """
        device = _check.device("device", device)
        try:
            held: dict[str, Any] = json.loads(text)
            known: dict[str, Any] = {
                field.name: field.default for field in fields(cls) if field.name not in _NOT_IN_JSON
            }
            needed = {name: held[name] for name, default in known.items() if default is MISSING}
            parts = known | needed | held
            if unknown := held.keys() - known.keys():
                raise ValueError(f"a plan has no {', '.join(map(repr, sorted(unknown)))}")
            for name in (*_INTEGER_FIELDS, *_FLOAT_FIELDS):
                if parts[name] is not None:
                    kind = torch.float32 if name in _FLOAT_FIELDS else None
                    parts[name] = torch.tensor(parts[name], dtype=kind, device=device)
            parts["size"] = None if parts["size"] is None else tuple(parts["size"])
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            wanted = "JSON written by MixPlan.to_json"
            raise ValueError(f"text must be {wanted}, got {_check.shown(text)}: {error!r}") from None
        return cls(**parts)

    def _check_input(self, x: Tensor) -> None:
        _check.tensor("x", x, "a tensor whose first axis is the batch")
        if x.ndim == 0 or len(x) != self.batch:
            raise ValueError(f"x must hold the {self.batch} examples this plan was drawn for, got {_check.shown(x)}")
        if x.device != self.partner.device:
            raise ValueError(f"x must be on the plan's device, {self.partner.device}, got one on {x.device}")
        if not self._pastes(x) and x.dtype not in FLOATS and not (x.dtype == torch.uint8 and x.ndim == 4):
            raise TypeError(
                "x must be float values or uint8 images [batch, channels, height, width] to be blended, got "
                f"{_check.shown(x)}; class labels are never blended: use the loss of both labels, or one-hot floats"
            )
        if self.moves is not None and x.ndim >= 3 and not geometry.fits(self.moves, (x.shape[-2], x.shape[-1])):
            side = round(self.moves.shape[-1] ** 0.5)
            raise ValueError(
                f"x must divide into {side} by {side} blocks, which this plan moves, got {_check.shown(x)}"
            )

    def _result_dtype(self, x: Tensor, normalize: object, dtype: torch.dtype | None) -> torch.dtype:
        if normalize is not None:
            check_normalized(x)
        natural = torch.float32 if normalize is not None and x.dtype == torch.uint8 else x.dtype
        if dtype is None or dtype == natural:
            return natural
        if dtype not in FLOATS:
            own = "" if natural in FLOATS else f"{dtype_name(natural)} or "
            raise TypeError(f"dtype must be {own}a float type, got {_check.shown(dtype)}")
        return dtype

    def _pastes(self, x: Tensor) -> bool:
        """Whether every element of the result is taken from one of the two as it is."""
        if self.variant == "none" or (self.box is not None and x.ndim >= 3):
            return True
        if self.mask is None or x.ndim < 3 or x.dtype in FLOATS or (x.dtype == torch.uint8 and x.ndim == 4):
            return False  # what can be blended is: the same result, and values of the mask need not be looked at
        return self._all_or_nothing

    @cached_property
    def _all_or_nothing(self) -> bool:
        """Whether the mask holds zeros and ones alone. On CUDA it is waited for, and only class masks need to know."""
        if self.mask is None or self.mask.device.type == "meta":
            return True
        return bool(((self.mask == 0) | (self.mask == 1)).all())

    def _rearranges(self, x: Tensor) -> bool:
        """Whether each of the K mixes needs more than one weight and the two examples as they lie."""
        blocks = self.mask is not None and self.mask.shape[2:] != (1, 1)
        apart = blocks or self.moves is not None or self.shrunk
        return (apart and x.ndim >= 3) or self.weights is not None or self._noise_for(x) is not None

    def _noise_for(self, x: Tensor) -> Tensor | None:
        fits = self.noise is not None and self.noise.shape[1:] == x.shape
        return self.noise if fits and x.dtype in ((torch.uint8,) if self.noise_for_uint8 else FLOATS) else None

    def _weight(self, x: Tensor, mixes: slice = _ALL, rows: slice = _ALL) -> Tensor:
        """λ, or where to keep the example's own pixels, for these mixes and examples; broadcasts over [K, B, ...]."""
        lam = self.lam[mixes, rows]
        if self.variant == "none":
            return torch.ones(*lam.shape, *[1] * (x.ndim - 1), dtype=torch.bool, device=x.device)
        size = (x.shape[-2], x.shape[-1]) if x.ndim >= 3 else None
        if size and self.box is not None and self.size is not None:
            share = geometry.outside(self.box[mixes, rows], self.size, size)
        elif size and self.mask is not None:
            share = self.mask[mixes, rows]
            if share.shape[2:] != (1, 1):
                share = geometry.spread(share, size)
            share = share > 0 if self._pastes(x) else share
        else:
            return lam.view(*lam.shape, *[1] * (x.ndim - 1))
        return share.view(*share.shape[:2], *[1] * (x.ndim - 3), *share.shape[2:])

    def _mixes(self, x: Tensor, scale: Tensor | None, shift: Tensor | None, rows: slice = _ALL) -> Iterator[Tensor]:
        """The K mixes of these examples, [rows, ...] each, one after the other, so that no more than one is at work."""
        if self.weights is not None:
            source = values(x, scale, shift)
            yield from (combined(source, weights) for weights in self.weights[:, rows])
            return
        partner, noise = self.partner[rows], self._noise_for(x)
        own, other = x[rows], x.index_select(0, partner)
        if noise is not None:
            own, other = values(own) + noise[0, rows], values(other) + noise[1].index_select(0, partner)
        if scale is not None or not self._pastes(x):
            own, other = values(own, scale, shift), values(other, scale, shift)
        for k in range(self.k):
            weight = self._weight(x, slice(k, k + 1), rows)[0]
            yield mix(self._moved(own, 0, k, rows), self._moved(other, 1, k, rows), weight)

    def _moved(self, half: Tensor, side: int, k: int, rows: slice) -> Tensor:
        """One side of these examples as it enters mix k."""
        if half.ndim < 3:
            return half
        if self.shrunk and side == 1 and self.box is not None and self.size is not None:
            return geometry.shrunk(half, self.box[k, rows], self.size)
        return half if self.moves is None else geometry.moved(half, self.moves[side, k, rows])
