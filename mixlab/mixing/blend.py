"""The arithmetic of mixing: x̃_k = λ_k x + (1 − λ_k) x′, or x with a box of x′ pasted in, for all K mixes in one pass.

On a CPU the work goes in chunks of examples that stay in cache, so that a partner is fetched once for all K mixes and
main memory sees each image about once on its way in and each mix once on its way out. An accelerator takes the whole
batch at once.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

_CHUNK_BYTES = 1 << 22  # 1 to 4 MB took the same time on two cores with 1 MB of cache each and 32 MB for both
WIDE = 8  # bytes of a value that is made float32, on each of both sides, to be mixed
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
    weight, room = _weight(weight, x), Room()
    lam = _one_for_all(weight) if out.dtype == x.dtype else None
    as_is = scale is None and (_goes_as_is(x, weight) or (lam is not None and x.is_floating_point()))
    if x.device.type != "cpu" and not as_is:  # all at once: an example and a partner in one is normalized once
        x, scale, shift, as_is = values(x, scale, shift), None, None, True
    for rows, mine, theirs in pairs(x, partner, rolled=rolled, value=x.element_size() if as_is else WIDE, room=room):
        own = mine if as_is else room.values("own", mine, scale, shift)
        other = own if theirs is mine else theirs if as_is else room.values("other", theirs, scale, shift)
        for k in range(len(out)):
            target = out[k, rows]
            direct = target.dtype == own.dtype
            share = weight[k, rows] if lam is None else lam[k]
            mixed = mix(own, other, share, target if direct else room.like("mixed", own, own.dtype))
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
    own, other = x, x.index_select(0, partner)
    if scale is not None or not _goes_as_is(x, weight):
        own, other = values(own, scale, shift), values(other, scale, shift)
    return torch.cat([mix(own, other, weight_k) for weight_k in weight]).to(dtype)


def mix(own: Tensor, other: Tensor, weight: Tensor | float, out: Tensor | None = None) -> Tensor:
    """weight · own + (1 − weight) · other; a bool weight takes own where it is true."""
    if isinstance(weight, float):
        return torch.lerp(other, own, weight, out=out)
    if weight.dtype == torch.bool:
        bits = _BITS.get(own.element_size())
        if out is None or bits is None or own.device.type != "cpu":
            return torch.where(weight, own, other, out=out)
        taken, kept, result = other.view(bits), weight.to(bits).neg_(), out.view(bits)  # all bits of what is kept
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


def chunks(x: Tensor, value: int = WIDE) -> Iterator[slice]:
    """Rows of the batch, as many at a time as are worked on together, each value so many bytes."""
    step = len(x)
    if x.device.type == "cpu":
        step = max(1, _CHUNK_BYTES // max(1, x[0].numel() * value))
    for start in range(0, len(x), step):
        yield slice(start, min(start + step, len(x)))


def _weight(weight: Tensor, x: Tensor) -> Tensor:
    return weight if weight.dtype == torch.bool else weight.to(_precision(x))


def _goes_as_is(x: Tensor, weight: Tensor) -> bool:
    """Whether x is pasted, or mixed in its own type."""
    return weight.dtype == torch.bool or x.dtype in _NATIVE


def _one_for_all(weight: Tensor) -> list[float] | None:
    """λ of each mix where it lies in memory once for the whole batch, as `shared_lam` has it; on a CPU.

    By a number torch mixes half types in one pass, in float32, and rounds once.
    """
    single = weight[:, :1].expand_as(weight)
    if weight.dtype == torch.bool or weight.device.type != "cpu" or weight.stride() != single.stride():
        return None
    return single[:, 0].flatten().tolist() if single[0].numel() == single.shape[1] else None


def _precision(x: Tensor) -> torch.dtype:
    return x.dtype if x.dtype in _NATIVE else torch.float32


class Room:
    """Memory by name that one chunk after the other is worked on in: new memory costs more than the work itself."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def like(self, name: str, part: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory of this name, of the shape of `part`; what it held is lost."""
        held = self._held.get(name)
        if held is None or len(held) < len(part):
            self._held[name] = held = torch.empty(part.shape, dtype=dtype, device=part.device)
        return held[: len(part)]

    def values(self, name: str, half: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        """What `values` gives of one half of the pairs, in the memory of this name."""
        wide = self.like(name, half, _precision(half)).copy_(half)
        return wide if scale is None or shift is None else torch.addcmul(shift, wide, scale, out=wide)


def pairs(
    x: Tensor, partner: Tensor | None, *, rolled: bool, value: int, room: Room | None = None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, examples, their partners), a chunk at a time, each value so many bytes."""
    room = room or Room()
    for rows in chunks(x, value):
        if partner is None:
            yield rows, x[rows], x[rows]
        for part, theirs in () if partner is None else partners(x, partner, rows, rolled=rolled, room=room):
            yield part, x[part], theirs


def partners(x: Tensor, partner: Tensor, rows: slice, *, rolled: bool, room: Room) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows, their partners) of these rows, in two parts where the last example is the first one's neighbor."""
    if not rolled:
        yield rows, torch.index_select(x, 0, partner[rows], out=room.like("partners", x[rows], x.dtype))
        return
    if rows.start == 0:
        yield slice(0, 1), x[-1:]
    if rows.stop > 1:
        rest = slice(max(1, rows.start), rows.stop)
        yield rest, x[rest.start - 1 : rest.stop - 1]
