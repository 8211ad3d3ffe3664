"""The ways in which a plan puts two examples together: blend them, paste boxes, mask blocks, weigh the whole batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing import geometry
from mixlab.mixing.beta import FLOATS, check_lam
from mixlab.mixing.blend import WIDE, Room, chunks, combined, mix, partners, store, values
from mixlab.mixing.constants import constant
from mixlab.mixing.output import layout_of

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Way:
    """How a plan mixes. It holds what it needs besides partners and λs, all of it by K mixes and B examples.

    This class itself blends by λ, as every way does where there is nothing to cut, with targets for one.

    Attributes:
        two_labels: says that a mix has no labels but the example's and its partner's.
    """

    two_labels: ClassVar[bool] = True

    def check(self, lam: Tensor) -> None:
        """Raise unless its fields are of the right kind, shape and range for λs [K, B]; values on CPU only."""

    def check_input(self, x: Tensor) -> None:
        """Raise if the shape of `x` does not allow what it does."""

    def pastes(self, x: Tensor) -> bool:  # noqa: ARG002
        """Whether every element of the result is taken from one of the two as it is."""
        return False

    def is_weight(self, x: Tensor) -> bool:  # noqa: ARG002
        """Whether each mix is one weight on the two examples as they lie, so that all K are mixed in one pass."""
        return True

    def weight(self, x: Tensor, lam: Tensor, mixes: slice = _ALL, rows: slice = _ALL) -> Tensor:
        """λ, or where to keep the example's own pixels, for these mixes and examples; broadcasts over [K, B, ...]."""
        return _broadcast(lam[mixes, rows], x)

    def weight_last(self, x: Tensor, lam: Tensor) -> Tensor:
        """The weight of x where the axis of its channels is moved to the end, as channels_last has it in memory."""
        return self.weight(x, lam).movedim(2, -1)

    def mixes(
        self, x: Tensor, partner: Tensor, lam: Tensor, scale: Tensor | None, shift: Tensor | None, rows: slice = _ALL
    ) -> Iterator[Tensor]:
        """The K mixes of these examples, [rows, ...] each, one after the other, so that no more than one is at work."""
        own, other = self._halves(x, partner[rows], rows)
        if scale is not None or not self.pastes(x):
            own, other = values(own, scale, shift), values(other, scale, shift)
        for k in range(len(lam)):
            weight = self.weight(x, lam, slice(k, k + 1), rows)[0]
            yield mix(self._moved(own, 0, k, rows), self._moved(other, 1, k, rows), weight)

    def mix_into(
        self,
        target: Tensor,
        x: Tensor,
        partner: Tensor,
        lam: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        *,
        rolled: bool = False,  # noqa: ARG002
    ) -> None:
        """Fill target [K, B, ...] with the `mixes`; `rolled` is the plan's."""
        for rows in chunks(x):
            for k, mixed in enumerate(self.mixes(x, partner, lam, scale, shift, rows)):
                store(mixed, target[k, rows])

    def reordered(self, sort: Callable[..., Tensor]) -> "Way":  # noqa: ARG002
        """The same with the K mixes of each pair in another order: sort(part, axis), where axis is that of the K."""
        return self

    def _halves(self, x: Tensor, partner: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """These examples and their partners, as all K mixes take them."""
        return x[rows], x.index_select(0, partner)

    def _moved(self, half: Tensor, side: int, k: int, rows: slice) -> Tensor:  # noqa: ARG002
        """The examples (side 0), or the partners (side 1), as they enter mix k."""
        return half


@dataclass(frozen=True, eq=False)
class Blend(Way):
    """λ of the example and 1 − λ of its partner, everywhere."""


@dataclass(frozen=True, eq=False)
class AsIs(Way):
    """Every example stays as it is, K times."""

    def pastes(self, x: Tensor) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def weight(self, x: Tensor, lam: Tensor, mixes: slice = _ALL, rows: slice = _ALL) -> Tensor:
        """True."""
        return torch.ones_like(_broadcast(lam[mixes, rows], x), dtype=torch.bool)


@dataclass(frozen=True, eq=False)
class Boxes(Way):
    """The partner is pasted into a box, the example keeps what lies around it.

    Attributes:
        box: holds (top, left, bottom, right) in pixels, int64 [K, B, 4]; for signals (first, last), [K, B, 2], for
            volumes the three first edges and the three last ones, [K, B, 6].
        size: is the (height, width), (time,) or (depth, height, width) that the boxes belong to; they are scaled to a
            tensor of another size.
        shrunk: says that the box shows the partner's whole image, shrunk, not what lay there (ResizeMix).
    """

    box: Tensor
    size: geometry.Size
    shrunk: bool = False

    def check(self, lam: Tensor) -> None:
        """Boxes inside the size."""
        _check.flag("shrunk", self.shrunk)
        axes = {1: "(time,)", 2: "(height, width)", 3: "(depth, height, width)"}
        if not isinstance(self.size, tuple) or len(self.size) not in axes:
            raise TypeError(f"size must be {', '.join(axes.values())}, got {_check.shown(self.size)}")
        for side in self.size:
            _check.integer("size", side, 1)
        _check_part("box", self.box, torch.int64, [*lam.shape, 2 * len(self.size)], lam)
        if self.box.device.type != "cpu":
            return
        first, last = self.box.chunk(2, -1)
        inside = ((first >= 0) & (first <= last) & (last <= constant(self.size, torch.int64, self.box.device))).all(-1)
        if not bool(inside.all()):
            pixels, wrong = " by ".join(map(str, self.size)), self.box[~inside][0].tolist()
            edges = "(top, left, bottom, right)" if len(self.size) == 2 else "the first edges and the last ones"
            raise ValueError(f"box must hold {edges} inside {pixels} pixels, got {wrong}")

    def pastes(self, x: Tensor) -> bool:
        """All that has these axes of pixels; of two axes it is always targets, [B, T], which are blended."""
        return x.ndim > max(2, len(self.size))

    def is_weight(self, x: Tensor) -> bool:
        """Unless images are to be shrunk, or one slice pastes into all of them."""
        return not (self.shrunk or self._shared) or not self.pastes(x)

    def weight(self, x: Tensor, lam: Tensor, mixes: slice = _ALL, rows: slice = _ALL) -> Tensor:
        """True around the box."""
        if not self.pastes(x):
            return super().weight(x, lam, mixes, rows)
        return _over_pixels(geometry.outside(self.box[mixes, rows], self.size, tuple(x.shape[-len(self.size) :])), x)

    def weight_last(self, x: Tensor, lam: Tensor) -> Tensor:
        """True around the box, for every channel: what has an axis of its own for one value is read slowly."""
        if x.ndim != len(self.size) + 2:
            return super().weight_last(x, lam)
        return geometry.outside(self.box, self.size, tuple(x.shape[2:]), x.shape[1])

    def mix_into(
        self,
        target: Tensor,
        x: Tensor,
        partner: Tensor,
        lam: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        *,
        rolled: bool = False,
    ) -> None:
        """Where the whole batch has one box, a slice of the partners is laid over copies of the examples."""
        if self.shrunk or not self._shared:
            return super().mix_into(target, x, partner, lam, scale, shift)
        shape, last = tuple(x.shape[-len(self.size) :]), layout_of(x) != torch.contiguous_format
        if last:  # the same bytes, seen in the order they lie in
            x, target = x.movedim(1, -1), target.movedim(2, -1)
            scale, shift = (part if part is None else part.movedim(1, -1) for part in (scale, shift))

        def taken(half: Tensor) -> Tensor:
            return half if scale is None else values(half, scale, shift)

        value = x.element_size() if scale is None else WIDE
        for k in range(len(lam)):
            edges = geometry.scaled(self.box[k, 0], self.size, shape)
            box: tuple[Any, ...] = (..., *(slice(int(first), int(end)) for first, end in edges), *[_ALL] * last)
            inside, place, room = x[box], target[k][box], Room()
            for rows in chunks(x, value):
                store(taken(x[rows]), target[k, rows])
                for part, theirs in partners(inside, partner, rows, rolled=rolled, room=room):
                    store(taken(theirs), place[part])
        return None

    def reordered(self, sort: Callable[..., Tensor]) -> "Boxes":
        """Boxes in another order."""
        return replace(self, box=sort(self.box))

    @cached_property
    def _shared(self) -> bool:
        """Whether all examples have the same boxes; on a CPU, as CUDA would have to be waited for."""
        first = self.box[:, :1].expand_as(self.box)
        return self.box.device.type == "cpu" and (self.box.stride() == first.stride() or torch.equal(self.box, first))

    def _moved(self, half: Tensor, side: int, k: int, rows: slice) -> Tensor:
        if side == 0 or not self.pastes(half) or not self.shrunk:
            return half
        return geometry.shrunk(half, self.box[k, rows], self.size)


@dataclass(frozen=True, eq=False)
class Mask(Way):
    """Each block of the image has a share of its own; blocks may have been moved, and noise added, before.

    Attributes:
        mask: is the share of the example in each block, float32 [K, B, rows, columns]; one block blends the whole image
            by another weight than the label's λ.
        moves: is int64 [2, K, B, t * t] or None: block j of a t by t grid shows what was block moves[side, k, i, j];
            side 0 is the example and 1 its partner, before they are mixed.
        noise: is float32 [2, B, C, H, W] or None, and added to tensors of this shape, in their units: noise[0, i] to
            example i, noise[1, j] to example j where it is a partner.
        noise_for_uint8: says that the noise is in gray levels from 0 to 255 and added to uint8 images alone; otherwise
            to float ones alone.
    """

    mask: Tensor
    moves: Tensor | None = None
    noise: Tensor | None = None
    noise_for_uint8: bool = False

    def check(self, lam: Tensor) -> None:
        """Shares in [0, 1], moves on a square grid, finite noise."""
        k, batch = lam.shape
        _check_part("mask", self.mask, torch.float32, [k, batch, "rows", "columns"], lam)
        check_lam("mask", self.mask, tuple(self.mask.shape), lam.device)
        _check.flag("noise_for_uint8", self.noise_for_uint8)
        if self.noise is not None:
            _check_part("noise", self.noise, torch.float32, [2, batch, "channels", "height", "width"], lam)
            _check_finite("noise", self.noise)
        if self.moves is None:
            return
        _check_part("moves", self.moves, torch.int64, [2, k, batch, "blocks"], lam)
        blocks = self.moves.shape[-1]
        if round(blocks**0.5) ** 2 != blocks:
            raise ValueError(f"moves must hold a square number of blocks, got {blocks}")
        if self.moves.device.type == "cpu":
            low, high = (int(edge) for edge in torch.aminmax(self.moves))
            if low < 0 or high >= blocks:
                raise ValueError(f"moves must hold places from 0 to {blocks - 1}, got {low} to {high}")

    def check_input(self, x: Tensor) -> None:
        """A height and width that the grid of moves divides."""
        if self.moves is not None and x.ndim >= 3 and not geometry.fits(self.moves, (x.shape[-2], x.shape[-1])):
            side = round(self.moves.shape[-1] ** 0.5)
            raise ValueError(
                f"x must divide into {side} by {side} blocks, which this plan moves, got {_check.shown(x)}"
            )

    def pastes(self, x: Tensor) -> bool:
        """What cannot be blended, if the mask holds zeros and ones alone.

        Where it can be blended the result is the same, and the values of the mask need not be looked at.
        """
        return not (x.ndim < 3 or x.dtype in FLOATS or (x.dtype == torch.uint8 and x.ndim == 4)) and self._whole

    def is_weight(self, x: Tensor) -> bool:
        """One block that stays, without noise."""
        still = self.mask.shape[2:] == (1, 1) and self.moves is None
        return (still or x.ndim < 3) and self._noise_for(x) is None

    def weight(self, x: Tensor, lam: Tensor, mixes: slice = _ALL, rows: slice = _ALL) -> Tensor:
        """The share of each pixel's block."""
        if x.ndim < 3:
            return super().weight(x, lam, mixes, rows)
        share = self.mask[mixes, rows]
        if share.shape[2:] != (1, 1):
            share = geometry.spread(share, (x.shape[-2], x.shape[-1]))
        return _over_pixels(share > 0 if self.pastes(x) else share, x)

    def reordered(self, sort: Callable[..., Tensor]) -> "Mask":
        """Masks and moves in another order."""
        return replace(self, mask=sort(self.mask), moves=None if self.moves is None else sort(self.moves, 1))

    @cached_property
    def _whole(self) -> bool:
        """Whether the mask holds zeros and ones alone. On CUDA it is waited for, and only class masks need to know."""
        return self.mask.device.type == "meta" or bool(((self.mask == 0) | (self.mask == 1)).all())

    def _noise_for(self, x: Tensor) -> Tensor | None:
        fits = self.noise is not None and self.noise.shape[1:] == x.shape
        return self.noise if fits and x.dtype in ((torch.uint8,) if self.noise_for_uint8 else FLOATS) else None

    def _halves(self, x: Tensor, partner: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        own, other = super()._halves(x, partner, rows)
        noise = self._noise_for(x)
        if noise is None:
            return own, other
        return values(own) + noise[0, rows], values(other) + noise[1].index_select(0, partner)

    def _moved(self, half: Tensor, side: int, k: int, rows: slice) -> Tensor:
        if self.moves is None or half.ndim < 3:
            return half
        return geometry.moved(half, self.moves[side, k, rows])


@dataclass(frozen=True, eq=False)
class Weights(Way):
    """Every mix is a weighted sum of the whole batch, and so are its labels (Carratino et al.'s reading of mixup).

    Neither λs nor partners have a part in it.

    Attributes:
        weights: is float32 [K, B, B]: mix k of example i is the sum of weights[k, i, j] times example j, of any tensor.
    """

    weights: Tensor

    two_labels = False

    def check(self, lam: Tensor) -> None:
        """A finite number for each mix and two examples."""
        _check_part("weights", self.weights, torch.float32, [*lam.shape, lam.shape[1]], lam)
        _check_finite("weights", self.weights)

    def is_weight(self, x: Tensor) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def mixes(
        self,
        x: Tensor,
        partner: Tensor,  # noqa: ARG002
        lam: Tensor,  # noqa: ARG002
        scale: Tensor | None,
        shift: Tensor | None,
        rows: slice = _ALL,
    ) -> Iterator[Tensor]:
        """Sums over the batch."""
        source = values(x, scale, shift)
        yield from (combined(source, weights) for weights in self.weights[:, rows])

    def mix_into(
        self,
        target: Tensor,
        x: Tensor,
        partner: Tensor,
        lam: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        *,
        rolled: bool = False,
    ) -> None:
        """Each chunk takes from the whole batch, which is made floats once."""
        super().mix_into(target, values(x, scale, shift), partner, lam, None, None, rolled=rolled)

    def reordered(self, sort: Callable[..., Tensor]) -> "Weights":
        """Weights in another order."""
        return replace(self, weights=sort(self.weights))


WAYS: dict[str, type[Way]] = {way.__name__: way for way in (Blend, AsIs, Boxes, Mask, Weights)}


def _broadcast(lam: Tensor, x: Tensor) -> Tensor:
    return lam.view(*lam.shape, *[1] * (x.ndim - 1))


def _over_pixels(share: Tensor, x: Tensor) -> Tensor:
    """[K, B, *pixels] with the axes between the batch and the pixels of x."""
    return share.view(*share.shape[:2], *[1] * (x.ndim + 1 - share.ndim), *share.shape[2:])


def _check_part(name: str, part: Tensor, dtype: torch.dtype, shape: list[int | str], lam: Tensor) -> None:
    """Raise unless `part` has this type, a shape in which words stand for any number but 0, and λ's device."""
    kind = str(dtype).removeprefix("torch.")
    wanted = f"{'an' if kind[0] == 'i' else 'a'} {kind} tensor of shape [{', '.join(map(str, shape))}]"
    _check.tensor(name, part, wanted)
    sides = zip(part.shape, shape, strict=False)
    fits = part.ndim == len(shape) and part.numel() > 0 and all(side in (n, str(side)) for n, side in sides)
    if part.dtype != dtype or not fits:
        raise ValueError(f"{name} must be {wanted}, got {_check.shown(part)}")
    _check.same_device(name, part, lam.device)


def _check_finite(name: str, part: Tensor) -> None:
    if part.device.type == "cpu" and not bool(part.isfinite().all()):
        raise ValueError(f"{name} must hold finite numbers, got NaN or infinity")
