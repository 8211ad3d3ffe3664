"""A plan for mixing one batch: who with whom, and by how much. It mixes any tensor, always the same way.

A plan is drawn by a Mixer, applied to images, masks, features or targets, and travels as JSON. Its `way` says how the
two are put together; see `mixlab.mixing.ways`.
"""

import json
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab.mixing.beta import FLOATS, check_lam
from mixlab.mixing.blend import mix_for_autograd, mix_into
from mixlab.mixing.labels import check_labels
from mixlab.mixing.normalize import Statistics, check_normalized, scale_and_shift
from mixlab.mixing.output import check_out, layout_of, needs_gradient, result_dtype
from mixlab.mixing.ways import WAYS, AsIs, Blend, Boxes, Mask, Way

_FLOAT_PARTS = ("lam", "nominal", "mask", "noise", "weights")
_INTEGER_PARTS = ("partner", "box", "moves")
_NOT_IN_JSON = ("way", "clean_loss")


@dataclass(frozen=True, eq=False)
class MixPlan:
    """One batch's mixing, decided: partners, λs, and the way to mix. Apply it to tensors whose first axis is the batch.

    Attributes:
        variant: is the name of the variant that drew it.
        partner: says in int64 [B] whom each example is mixed with; it is the same for all K mixes.
        lam: is the weight of the example itself in the label, float32 [K, B]: λ, or the true share of pixels it keeps.
        nominal: is λ as drawn, float32 [K, B]; it differs from `lam` where a box was clipped or a mask was solved for.
        way: says how the two are mixed: Blend(), or AsIs, Boxes, Mask or Weights of `mixlab.mixing.ways`.
        rolled: says that partner[i] is (i − 1) mod B.
        decoupled: says that K is even, and mix k and mix K/2 + k are two of one pair, by their nominal λs;
            `mixed_logits` solves their logits for those of the example and of its partner, and `lam` is 1 and 0 (MIT).
        layer: is None, "input", or the module whose output is to be mixed (see `mixlab.hidden_mixing`).
        clean_loss: is None, or a scalar for the caller to add to the loss (Puzzle Mix, `clean`); it is left out of
            JSON.
        channels: is the number of channels of the images it was drawn for, by which uint8 images are told from uint8
            masks; None takes all uint8 [B, C, H, W] for images.

    Raises:
        TypeError, ValueError: a field of the wrong kind, shape or range. Values are looked at on CPU only.
    """

    variant: str
    partner: Tensor
    lam: Tensor
    nominal: Tensor
    way: Way = field(default_factory=Blend)
    rolled: bool = False
    decoupled: bool = False
    layer: str | None = None
    clean_loss: Tensor | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.variant, str) or not self.variant:
            raise TypeError(f"variant must be the name of what drew the plan, got {_check.shown(self.variant)}")
        _check_partner(self.partner, rolled=_check.flag("rolled", self.rolled))
        for name, lam in (("lam", self.lam), ("nominal", self.nominal)):
            wanted = f"a float32 tensor of shape [K, {self.batch}]"
            _check.tensor(name, lam, wanted)
            if lam.dtype != torch.float32 or lam.ndim != 2 or len(lam) == 0:
                raise ValueError(f"{name} must be {wanted}, got {_check.shown(lam)}")
            check_lam(name, lam, (self.k, self.batch), self.partner.device)
        if not isinstance(self.way, Way):
            raise TypeError(f"way must be one of {', '.join(WAYS)}, as in Blend(), got {_check.shown(self.way)}")
        self.way.check(self.lam)
        if self.clean_loss is not None and (not isinstance(self.clean_loss, Tensor) or self.clean_loss.ndim != 0):
            raise TypeError(f"clean_loss must be None or a tensor of no axes, got {_check.shown(self.clean_loss)}")
        if self.layer is not None and (not isinstance(self.layer, str) or not self.layer):
            raise TypeError(f"layer must be None, 'input' or the name of a module, got {_check.shown(self.layer)}")
        if self.channels is not None:
            _check.integer("channels", self.channels, 1)
        if _check.flag("decoupled", self.decoupled):
            self._check_decoupled()

    @classmethod
    def drawn(cls, **parts: Any) -> "MixPlan":
        """The plan of parts that are right by construction, as variants draw them; looking at them takes as long."""
        plan = cls.__new__(cls)
        plan.__dict__.update(_PLAIN, **parts)
        return plan

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

    @property
    def box(self) -> Tensor | None:
        """[K, B, 4] int64 (top, left, bottom, right), where the partner is pasted in; None for other ways."""
        return self.way.box if isinstance(self.way, Boxes) else None

    @property
    def mask(self) -> Tensor | None:
        """[K, B, rows, columns], the share of the example in each block; None for other ways."""
        return self.way.mask if isinstance(self.way, Mask) else None

    @property
    def moves(self) -> Tensor | None:
        """[2, K, B, t * t], where the blocks of a mask's two sides come from; None where none moves."""
        return self.way.moves if isinstance(self.way, Mask) else None

    def labels(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `mixed_cross_entropy` takes: y_a and y_b [K * B, ...], the labels of both, and λ [K * B] of y_a.

        Maps, such as masks, are cut as the images are where a plan cuts boxes or blocks: then y_a and y_b are both the
        cut map, and λ is 1. Where a plan blends they are the maps of both.

        Args:
            y: is on the plan's device: int64 class labels [B]; float targets [B] or [B, C], such as one-hot, soft,
                multi-label or regression ones; or maps, integer masks [B, H, W] or [B, 1, H, W], which become int64, or
                floats [B, C, H, W]. Of signals [B, C, T], integers [B, T] are maps, too; of another length than T
                they count as several labels, and are those of both.

        Raises:
            TypeError, ValueError: labels of another kind; masks for a plan whose blocks have shares between 0 and 1; a
                plan with weights, which mixes the labels of all the batch.
        """
        if not self.way.two_labels:
            raise ValueError(
                f"labels must be two for each mix, got {self!r}, which mixes those of the whole batch: use "
                "plan.targets(y, num_classes), or mx.mixed_loss(model, x, y, plan)"
            )
        check_labels("y", y, self.batch, self.partner.device)
        own = y if y.is_floating_point() else y.long()
        if self._cuts(own):
            cut = self._cut(own)
            return cut, cut, torch.ones_like(self.lam).flatten()
        other = own.index_select(0, self.partner).expand(self.k, *y.shape).reshape(-1, *y.shape[1:])
        return own.repeat(self.k, *[1] * (y.ndim - 1)), other, self.lam.flatten()

    def targets(self, y: Tensor, num_classes: int | None = None) -> Tensor:
        """Soft labels λ y_a + (1 − λ) y_b [K * B, ...], k-major, with class labels as one-hot rows.

        A plan with weights gives the sums of the labels by these, which may be negative.

        Args:
            y: is on the plan's device: int64 class labels [B] from 0 to num_classes − 1, or float targets [B, C] or
                [B], which keep their type.
            num_classes: is the number of classes, at least 1. Class labels need it.

        Returns:
            float32 [K * B, num_classes] of class labels, [K * B, C] or [K * B] of float targets.

        Raises:
            TypeError, ValueError: labels of another kind, class labels without their number, or float targets that
                have another number of classes.
        """
        check_labels("y", y, self.batch, self.partner.device)
        if num_classes is not None:
            num_classes = _check.integer("num_classes", num_classes, 1)
        if y.is_floating_point():
            if y.ndim > 2 or (num_classes is not None and y.shape[1:] != (num_classes,)):
                classes = "classes" if num_classes is None else num_classes
                raise ValueError(
                    f"y must be float targets [batch, {classes}], got {_check.shown(y)} (plan.apply(y) mixes maps)"
                )
            return self.apply(y)
        if num_classes is None:
            raise TypeError("num_classes must be given for class labels, which become one-hot rows, got None")
        _check.class_labels("y", y, classes=num_classes)
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

        Masks are never blended. uint8 [B, C, H, W] counts as images if C is that of the images that the plan was drawn
        for, or with `normalize`; all other integers and bools are masks. So masks of gray images must be int64, or
        [B, H, W]. Boxes, and blocks that are taken whole, cut masks of any type and shape.

        Args:
            x: is [B, ...] on the plan's device; floats of any kind, uint8 images, or masks of any type where nothing is
                blended (boxes, and blocks that are taken whole).
            normalize: is (mean, std), a number per channel in units where black is 0 and white is 1; it mixes
                (x/255 − mean)/std of uint8 images, or (x − mean)/std of float ones, in the same pass.
            dtype: is the type of the result, by default x's own, or float32 if a uint8 x is normalized.
            out: is a contiguous tensor to write into, of the result's shape, type and layout; it saves the allocation.
                It shares no memory with x, and nothing needs a gradient.

        Returns:
            [K * B, ...], k-major: .view(K, B, ...) separates the K mixes. The memory layout is x's own.

        Raises:
            TypeError, ValueError: x of another batch size or device; class labels, masks or token ids that would be
            blended; a height and width that the grid of moves does not divide.
        """
        self._check_input(x, is_image=normalize is not None)
        if normalize is not None:
            check_normalized(x)
        result = result_dtype(x, is_normalized=normalize is not None, dtype=dtype)
        scale, shift = (None, None) if normalize is None else scale_and_shift(x, normalize)
        layout = layout_of(x)
        shape = (self.k * self.batch, *x.shape[1:])
        if out is not None:
            check_out(out, x, result, shape, layout)
        if out is None and not needs_gradient(x):
            out = torch.empty(shape, dtype=result, device=x.device, memory_format=layout)
        if not self.way.is_weight(x):
            if out is None:
                mixes = list(self.way.mixes(x, self.partner, self.lam, scale, shift))
                return torch.cat(mixes).to(result).contiguous(memory_format=layout)
            target = out.view(self.k, self.batch, *x.shape[1:])
            self.way.mix_into(target, x, self.partner, self.lam, scale, shift, rolled=self.rolled)
            return out

        source, last = x.contiguous(memory_format=layout), layout != torch.contiguous_format
        weight = self.way.weight_last(x, self.lam) if last else self.way.weight(x, self.lam)
        if last:  # the same bytes, seen in the order they lie in
            source = source.movedim(1, -1)
            scale, shift = (part if part is None else part.movedim(1, -1) for part in (scale, shift))
        if out is None:
            mixed = mix_for_autograd(source, self.partner, weight, result, scale=scale, shift=shift)
            return mixed.movedim(-1, 1) if last else mixed
        target = out.movedim(1, -1) if last else out
        target = target.view(self.k, self.batch, *target.shape[1:])
        partner = None if isinstance(self.way, AsIs) else self.partner
        mix_into(target, source, partner, weight, rolled=self.rolled, scale=scale, shift=shift)
        return out

    def ordered(self) -> "MixPlan":
        """The same mixes, those of each pair sorted by λ from the example to its partner."""
        order = self.lam.argsort(dim=0, descending=True, stable=True)

        def sort(part: Tensor, axis: int = 0) -> Tensor:
            places = order.view(*[1] * axis, *order.shape, *[1] * (part.ndim - axis - 2))
            return part.gather(axis, places.expand_as(part))

        return replace(self, lam=sort(self.lam), nominal=sort(self.nominal), way=self.way.reordered(sort))

    def to_json(self) -> str:
        """The plan as JSON; `from_json` gives it back bit for bit."""
        held = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in _NOT_IN_JSON}
        way = {part.name: getattr(self.way, part.name) for part in fields(self.way)}
        held["way"] = {"kind": type(self.way).__name__} | way
        return json.dumps(held, default=Tensor.tolist)

    @classmethod
    def from_json(cls, text: str, *, device: torch.device | str = "cpu") -> "MixPlan":
        """The plan that `to_json` wrote, on `device`.

        Raises:
            ValueError: anything else, such as a field that no plan has, or one missing; a device that is not here.
        """
        device = _check.device("device", device)
        try:
            held: dict[str, Any] = json.loads(text)
            written = held.pop("way")
            way = WAYS[written.pop("kind")](**_read(written, device))
            return cls(way=way, **_read(held, device))
        except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            wanted = "JSON written by MixPlan.to_json"
            raise ValueError(f"text must be {wanted}, got {_check.shown(text)}: {error!r}") from None

    def _check_input(self, x: Tensor, *, is_image: bool) -> None:
        _check.tensor("x", x, "a tensor whose first axis is the batch")
        if x.ndim == 0 or len(x) != self.batch:
            raise ValueError(f"x must hold the {self.batch} examples this plan was drawn for, got {_check.shown(x)}")
        if x.device != self.partner.device:
            raise ValueError(f"x must be on the plan's device, {self.partner.device}, got one on {x.device}")
        is_image |= x.dtype == torch.uint8 and x.ndim == 4 and self.channels in (None, x.shape[1])
        blends = is_image or x.dtype in FLOATS
        if not (blends or self.way.pastes(x) or (x.dtype == torch.uint8 and self.way.pastes(x.flatten(0, 1)))):
            images = "[batch, channels, height, width]" if self.channels is None else f"of {self.channels} channels"
            raise TypeError(
                f"x must be float values or uint8 images {images} to be blended, got {_check.shown(x)}; class labels, "
                "masks and token ids are never blended: take both labels by plan.labels(y) and the loss of each, as "
                "mx.mixed_loss does, or one-hot floats"
            )
        self.way.check_input(x)

    def _cuts(self, y: Tensor) -> bool:
        """Whether these labels have a place for each that the images have, and those are mixed place by place."""
        if isinstance(self.way, Boxes):
            return y.ndim > 2 or (not y.is_floating_point() and y.shape[1:] == self.way.size)  # of signals
        return self.mask is not None and y.ndim > 2 and not self.way.is_weight(y)

    def _cut(self, y: Tensor) -> Tensor:
        if y.ndim == 2:
            return self.apply(y[:, None])[:, 0]
        if not y.is_floating_point() and not self.way.pastes(y):
            wanted = "class labels or float targets for a plan whose blocks have shares between 0 and 1"
            raise ValueError(f"y must be {wanted}, got {_check.shown(y)}")
        return self.apply(y)

    def _check_decoupled(self) -> None:
        if self.k % 2 or self.inside is not None or not self.way.two_labels:
            raise ValueError(
                "decoupled must be False unless K is even, the mixing before the model, and a mix has two labels, got "
                f"{self!r}"
            )
        first, second = self.nominal.chunk(2)
        if self.partner.device.type == "cpu" and not bool((first != second).all()):
            raise ValueError("decoupled must be False where both mixes of a pair have one nominal λ, got True")


_PLAIN = {part.name: part.default for part in fields(MixPlan) if part.default is not MISSING}


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
        order = _check.shown(partner.tolist())
        raise ValueError(f"rolled must be False unless partner[i] is (i − 1) mod batch, got True with partner {order}")


def _read(held: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """What JSON holds, with lists of numbers as tensors and a size as a tuple."""
    parts = dict(held)
    for name, value in held.items():
        if value is not None and name in (*_FLOAT_PARTS, *_INTEGER_PARTS):
            parts[name] = torch.tensor(value, dtype=torch.float32 if name in _FLOAT_PARTS else None, device=device)
    if "size" in held:
        parts["size"] = tuple(held["size"])
    return parts
