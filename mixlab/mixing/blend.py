"""The arithmetic of mixing: x̃_k = λ_k x + (1 − λ_k) x′, or x with a box of x′ pasted in, for all K mixes in one pass.

On a CPU the work goes in chunks of examples that stay in cache, so that a partner is fetched once for all K mixes and
main memory sees each image about once on its way in and each mix once on its way out. An accelerator takes the whole
batch at once.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

_CHUNK_BYTES = 1 << 22  # 4 to 16 MB took the same time on two cores with 32 MB of cache, 2 MB a third more
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
    if next(chunks(x)).stop == len(x):  # all at once: what is both an example and a partner is normalized once
        x, scale, shift = _taken(x, weight, scale, shift), None, None
    for rows, mine, theirs in _pairs(x, partner, rolled):
        own = _taken(mine, weight, scale, shift)
        other = own if theirs is mine else _taken(theirs, weight, scale, shift)
        for k in range(len(out)):
            target = out[k, rows]
            direct = target if target.dtype == own.dtype else None
            mixed = mix(own, other, weight[k, rows], direct)
            if direct is None:
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
        return torch.where(weight, own, other, out=out)
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


def chunks(x: Tensor, first: int = 0) -> Iterator[slice]:
    """Rows of the batch from `first` on, as many at a time as are worked on together."""
    step = len(x)
    if x.device.type == "cpu":
        step = max(1, _CHUNK_BYTES // max(1, x[0].numel() * x.element_size()))
    for start in range(first, len(x), step):
        yield slice(start, min(start + step, len(x)))


def _weight(weight: Tensor, x: Tensor) -> Tensor:
    return weight if weight.dtype == torch.bool else weight.to(_precision(x))


def _precision(x: Tensor) -> torch.dtype:
    return x.dtype if x.dtype in _NATIVE else torch.float32


def _taken(half: Tensor, weight: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """What is mixed of one half of the pairs: pasted as it is, else in floating point and normalized."""
    return half if weight.dtype == torch.bool and scale is None else values(half, scale, shift)


def _pairs(x: Tensor, partner: Tensor | None, rolled: bool) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, examples, their partners), a chunk at a time."""
    if rolled:
        yield slice(0, 1), x[:1], x[-1:]
    for rows in chunks(x, int(rolled)):
        mine = x[rows]
        if partner is None:
            yield rows, mine, mine
        else:
            yield rows, mine, x[rows.start - 1 : rows.stop - 1] if rolled else x.index_select(0, partner[rows])
