"""The arithmetic of mixing: x̃_k = λ_k x + (1 − λ_k) x′, or x with a box of x′ pasted in, for all K mixes in one pass.

On a CPU the work goes in chunks of examples that stay in cache, so that a partner is fetched once for all K mixes and
main memory sees each image about once on its way in and each mix once on its way out. An accelerator takes the whole
batch at once.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

_CHUNK_BYTES = 1 << 21  # 1 to 4 MB took the same time on two cores with 1 MB of cache each and 32 MB for both
_WIDE = 8  # bytes of a value that is made float32, on each of both sides, to be mixed
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NATIVE = (torch.float32, torch.float64)  # mixed as they are; other types in float32, rounded once at the end


def mix_into(
    out: Tensor,
    x: Tensor,
    partner: Tensor | None,
    weight: Tensor,
    *,
    rolled: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
) -> None:
    """Fill out[k, i] with x[i] and x[partner[i]], mixed by weight[k, i].

    Args:
        out: is [K, B, ...], where the mixes go.
        x: holds the examples [B, ...]; it is not changed.
        partner: is int64 [B], or None where everyone stays as they are.
        weight: is [K, B, ...] and broadcastable to `out`: a float λ blends, a bool takes x[i] where it is true.
        rolled: says that partner[i] is (i − 1) mod B, so that partners lie next to each other and need no gathering.
        scale: maps, with shift, every value v to v * scale + shift first; it is broadcastable to x.
        shift: is added to v * scale.
    """
    weight = _weight(weight, x)
    if x.device.type != "cpu":  # all at once: what is both an example and a partner is normalized once
        x, scale, shift = _taken(x, weight, scale, shift), None, None
    room, as_is = _Room(), scale is None and (weight.dtype == torch.bool or x.dtype in _NATIVE)
    for rows, mine, theirs in _pairs(x, partner, rolled, room, x.element_size() if as_is else _WIDE):
        own = _taken(mine, weight, scale, shift, room, "own")
        other = own if theirs is mine else _taken(theirs, weight, scale, shift, room, "other")
        for k in range(len(out)):
            target = out[k, rows]
            direct = target.dtype == own.dtype
            mixed = mix(own, other, weight[k, rows], target if direct else room.like("mixed", own, own.dtype))
            if not direct:
                store(mixed, target)


def mix_for_autograd(
    x: Tensor,
    partner: Tensor,
    weight: Tensor,
    dtype: torch.dtype,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
) -> Tensor:
    """The same mixes as a new [K * B, ...] tensor of `dtype`, whose gradient flows back to x and to the partners."""
    weight = _weight(weight, x)
    own, other = (_taken(half, weight, scale, shift) for half in (x, x.index_select(0, partner)))
    return torch.cat([mix(own, other, weight_k) for weight_k in weight]).to(dtype)


def mix(own: Tensor, other: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """weight · own + (1 − weight) · other; a bool weight takes own where it is true."""
    if weight.dtype == torch.bool:
        bits = _BITS.get(own.element_size())
        if out is None or bits is None or own.device.type != "cpu":
            return torch.where(weight, own, other, out=out)
        shared = weight[:1] if weight.stride(0) == 0 else weight
        taken, kept, result = other.view(bits), shared.to(bits).neg_(), out.view(bits)  # all bits of what is kept
        torch.bitwise_xor(own.view(bits), taken, out=result).bitwise_and_(kept).bitwise_xor_(taken)
        return out
    return torch.lerp(other, own, weight.to(own.dtype), out=out)


def combined(x: Tensor, weights: Tensor) -> Tensor:
    """Sums of the examples x [B, ...] by weights [N, B], as [N, ...]; in x's precision even under autocast."""
    automatic = torch.amp.is_autocast_available(x.device.type)  # not so on the meta device
    with torch.autocast(x.device.type, enabled=False) if automatic else nullcontext():
        return (weights.to(x.dtype) @ x.reshape(len(x), -1)).view(len(weights), *x.shape[1:])


def values(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """x in the floating point it is mixed in, as x * scale + shift if these are given."""
    x = x.to(_precision(x))
    return x if scale is None or shift is None else torch.addcmul(shift, x, scale)


def store(mixed: Tensor, target: Tensor) -> None:
    """Copy; to the nearest gray level, 0 to 255, where the target is uint8 and the mix is not."""
    fraction = mixed.is_floating_point() and not target.is_floating_point()
    target.copy_(mixed.round().clamp_(0, 255) if fraction else mixed)  # noise may leave the range of gray


def chunks(x: Tensor, first: int = 0, value: int = _WIDE) -> Iterator[slice]:
    """Rows of the batch from `first` on, as many at a time as are worked on together, each value so many bytes."""
    step = len(x)
    if x.device.type == "cpu":
        step = max(1, _CHUNK_BYTES // max(1, x[0].numel() * value))
    for start in range(first, len(x), step):
        yield slice(start, min(start + step, len(x)))


def _weight(weight: Tensor, x: Tensor) -> Tensor:
    return weight if weight.dtype == torch.bool else weight.to(_precision(x))


def _precision(x: Tensor) -> torch.dtype:
    return x.dtype if x.dtype in _NATIVE else torch.float32


class _Room:
    """Memory by name that one chunk after the other is worked on in: new memory costs more than the work itself."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def like(self, name: str, part: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory of this name, of the shape of `part`; what it held is lost."""
        held = self._held.get(name)
        if held is None or len(held) < len(part):
            self._held[name] = held = torch.empty(part.shape, dtype=dtype, device=part.device)
        return held[: len(part)]


def _taken(
    half: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    room: _Room | None = None,
    name: str = "",
) -> Tensor:
    """What is mixed of one half of the pairs: pasted as it is, else in floating point and normalized."""
    precision = _precision(half)
    if scale is None and (weight.dtype == torch.bool or half.dtype == precision):
        return half
    if room is None:
        return values(half, scale, shift)
    wide = room.like(name, half, precision).copy_(half)
    return wide if scale is None or shift is None else torch.addcmul(shift, wide, scale, out=wide)


def _pairs(
    x: Tensor, partner: Tensor | None, rolled: bool, room: _Room, value: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, examples, their partners), a chunk at a time."""
    if rolled:
        yield slice(0, 1), x[:1], x[-1:]
    for rows in chunks(x, int(rolled), value):
        mine = x[rows]
        if partner is None:
            yield rows, mine, mine
        elif rolled:
            yield rows, mine, x[rows.start - 1 : rows.stop - 1]
        else:
            yield rows, mine, torch.index_select(x, 0, partner[rows], out=room.like("partners", mine, x.dtype))
