"""Puzzle Mix's parts: what a mask costs, and where the blocks move.

Kim, Choo and Song, "Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup", ICML 2020, and its
official code. A mask m in {0, 1/(L − 1), ..., 1} on b by b blocks says how much of the example each block shows; label
l of the energy is m = l/(L − 1). The cost of a mask is the saliency that it hides, the wish for a mean near λ, the wish
for whole pieces, and the seams in the picture.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlab.mixing.constants import constant
from mixlab.mixing.variants.puzzle.mincut import least_energy

_NEAREST = 1e-6  # how near λ comes to 0 and 1 in the prior; the official code adds 1e-8 to each probability instead,
# which is not convex near the ends and differs from this only there
_CPU_BYTES, _GPU_BYTES = 1 << 23, 1 << 28  # of transport costs at a time


@dataclass(frozen=True, eq=False)
class Seams:
    """Mean |difference| of neighboring pixels across block borders, for each choice of images on both sides.

    Attributes:
        down: [2, 2, B, b − 1, b]; down[m, n] where the upper block shows the example (m = 1) or its partner (m = 0),
            and the lower one the example (n = 1) or its partner (n = 0).
        right: [2, 2, B, b, b − 1]; the same for left and right.
    """

    down: Tensor
    right: Tensor


def block_saliency(saliency: Tensor, blocks: int) -> Tensor:
    """Mean saliency of each block of [B, H, W], made to sum to 1: [B, blocks, blocks]; an image of zeros is uniform."""
    batch, height, width = saliency.shape
    mean = saliency.reshape(batch, blocks, height // blocks, blocks, width // blocks).mean((2, 4))
    total = mean.sum((1, 2), keepdim=True)
    return torch.where(total > 0, mean / total.where(total > 0, 1), 1 / blocks**2)


def divisor(side: int, most: int) -> int:
    """The largest divisor of a side that is at most `most`: how many pixels of a block are pooled to one for seams."""
    return next(pixels for pixels in range(min(most, side), 0, -1) if side % pixels == 0)


def seams(pixels: Tensor, partner: Tensor, blocks: int, size: int) -> Seams:
    """The seams that a mask can make, seen in images pooled by `size` pixels.

    Args:
        pixels: [B, C, side, side] float, with black at c and white at c + 1 for any c.
        partner: [B] int64.
        blocks: a side; it divides the image's.
        size: pixels pooled to one before they are compared; it divides a block's side.
    """
    pooled = functional.avg_pool2d(pixels, size)
    each = pooled.shape[-1] // blocks
    down = _rows_apart(pooled, partner, each)
    right = _rows_apart(pooled.transpose(2, 3), partner, each).transpose(3, 4)
    return Seams(down, right)


def _rows_apart(pooled: Tensor, partner: Tensor, each: int) -> Tensor:
    above, below = pooled[:, :, each - 1 : -1 : each], pooled[:, :, each::each]
    own, cross = above - below, above - below.index_select(0, partner)
    back = above.index_select(0, partner) - below
    whole, to_other, from_other = (functional.avg_pool2d(part.abs().mean(1), (1, each)) for part in (own, cross, back))
    other = whole.index_select(0, partner)
    return torch.stack([torch.stack([other, from_other]), torch.stack([to_other, whole])])


def energy(
    own: Tensor, other: Tensor, seam: Seams, lam: Tensor, *, levels: int, beta: float, gamma: float, eta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What `least_energy` takes: (unary [N, L, b, b], down [N, b − 1, b], right [N, b, b − 1]), with N = K · B.

    With two levels the energy of a mask is the saliency that it hides, (1 − m) own + m other, the prior, and for every
    border β′ where the sides differ and β′γ times the seam that is made, with β′ = beta/(16 b). Between the two levels
    the labels of more interpolate: linearly in each cell, by (m − n)² on each edge. The prior of m = l/(L − 1) is
    −(eta/b²) log Binomial(l; L − 1, λ). Weights that would be negative, as they can be for gamma above 1, are 0.

    Args:
        own: [B, b, b] saliency of the examples, each summing to 1.
        other: [B, b, b] of their partners.
        seam: of each pair.
        lam: [K, B] in [0, 1], the nominal λ.
        levels: L, how many labels.
        beta: weight of all smoothness.
        gamma: weight of the seams in it.
        eta: weight of the prior.
    """
    blocks = own.shape[-1]
    smooth = beta / (16 * blocks)
    hides = {0: own.clone(), 1: other.clone()}
    weights = []
    for seam_part, axis in ((seam.down, 1), (seam.right, 2)):
        part = smooth * gamma * seam_part
        skew = (part[1, 0] - part[0, 1]) / 4  # so that both ends sum to the seam, with no constant left over
        for m, sign in ((0, -1), (1, 1)):
            hides[m].narrow(axis, 0, blocks - 1).add_(part[m, m] / 2 + sign * skew)
            hides[m].narrow(axis, 1, blocks - 1).add_(part[m, m] / 2 - sign * skew)
        weights.append((smooth + (part[1, 0] + part[0, 1] - part[1, 1] - part[0, 0]) / 2).clamp(min=0))
    share = torch.linspace(0, 1, levels, dtype=own.dtype, device=own.device).view(-1, 1, 1)
    hidden = (1 - share) * hides[0][:, None] + share * hides[1][:, None]
    unary = hidden + (eta / blocks**2 * _surprise(lam.to(own.dtype), levels))[..., None, None]
    down, right = (weight.expand(len(lam), *weight.shape).flatten(0, 1) for weight in weights)
    return unary.flatten(0, 1), down, right


def _surprise(lam: Tensor, levels: int) -> Tensor:
    """−log Binomial(l; L − 1, λ) for every label: [K, B, L], finite at every λ and convex in the label."""
    lam = lam.clamp(_NEAREST, 1 - _NEAREST)
    heads = torch.arange(levels, dtype=lam.dtype, device=lam.device)
    ways = constant(tuple(math.log(math.comb(levels - 1, label)) for label in range(levels)), lam.dtype, lam.device)
    return -(ways + heads * lam.log()[..., None] + (levels - 1 - heads) * torch.log1p(-lam)[..., None])


def best_masks(
    own: Tensor, other: Tensor, seam: Seams, lam: Tensor, *, levels: int, beta: float, gamma: float, eta: float
) -> Tensor:
    """Masks of least energy, [K, B, b, b] of own's type: the share of the example in each block. See `energy`."""
    labels = least_energy(*energy(own, other, seam, lam, levels=levels, beta=beta, gamma=gamma, eta=eta))
    return (labels.to(own.dtype) / (levels - 1)).view(*lam.shape, *own.shape[1:])


def transport(mask: Tensor, saliency: Tensor, cost: float) -> Tensor:
    """Where blocks move, so that what is salient is seen: an auction of t rounds, as in the official code.

    Block i at place j costs cost · |distance|²/(t − 1)² − saliency_i [mask_j > 0]. In each round each block bids for
    its cheapest place, and a place keeps its cheapest bidder; for the losers it then costs 1 more. Of equals the first
    in reading order wins. Bids are compared by what they cost; the official code counts those who do not bid as 0, so
    that there a place whose bidders all cost 0 or more goes to nobody. On 256 images of CIFAR-10 that left 25 of 64
    places empty, and 100 of 256, all where the mask hides them; everything that was seen was the same as here.

    After the rounds some places are left empty, which the official code fills with zeros. Here blocks that are left
    over stay at home if their home is empty, and the rest fill the empty places in reading order: blocks are only
    rearranged.

    Args:
        mask: [N, t, t], the share of this image in each block, t at least 2.
        saliency: [N, t, t].
        cost: of distance, at least 0.

    Returns:
        [N, t²] int64: place j shows block moves[n, j]; a permutation of 0 to t² − 1.
    """
    side = mask.shape[-1]
    place = torch.arange(side, dtype=saliency.dtype, device=saliency.device)
    apart = (place[:, None] - place) ** 2
    distance = (apart[:, None, :, None] + apart[None, :, None, :]).view(side**2, side**2)
    distance = cost * distance / (side - 1) ** 2
    seen, value = (mask > 0).to(saliency.dtype).flatten(1), saliency.flatten(1)
    most = _CPU_BYTES if mask.device.type == "cpu" else _GPU_BYTES
    chunk = max(1, most // (distance.numel() * distance.element_size()))
    moves = torch.empty(seen.shape, dtype=torch.int64, device=seen.device)
    for start in range(0, len(seen), chunk):
        rows = slice(start, start + chunk)
        moves[rows] = fill_holes(auction(seen[rows], value[rows], distance, rounds=side))
    return moves


def moved_pixels(side: int, most: int | None) -> int:
    """Pixels on a side of the blocks that move, for a mask's block of `side` pixels: `divisor`, but never single pixels
    for want of another one, as those make no picture and take seconds; the whole block then, and for None.
    """
    pixels = side if most is None else divisor(side, most)
    return side if pixels == 1 and most != 1 else pixels


def moves_of(mask: Tensor, saliency: Tensor, cost: float, *, most: int | None) -> Tensor:
    """`transport` for images and their masks, on the mask's blocks or finer ones.

    Args:
        mask: [..., B, b, b], the share of these images in each block.
        saliency: [B, side, side] of their pixels; b divides the side.
        cost: of distance.
        most: pixels of a block that moves, see `moved_pixels`.

    Returns:
        [..., B, t²] int64, with t blocks on a side.
    """
    block = saliency.shape[-1] // mask.shape[-1]
    finer = block // moved_pixels(block, most)
    fine = mask.repeat_interleave(finer, -2).repeat_interleave(finer, -1)
    worth = block_saliency(saliency, fine.shape[-1]).expand_as(fine)
    return transport(fine.flatten(0, -3), worth.flatten(0, -3), cost).view(*fine.shape[:-2], -1)


def auction(seen: Tensor, value: Tensor, distance: Tensor, *, rounds: int) -> Tensor:
    """The block that keeps each place after the rounds, [N, c] int64; c where a place is empty. See `transport`."""
    blocks = seen.shape[1]
    cost = distance - value[:, :, None] * seen[:, None, :]
    index = torch.arange(blocks, device=seen.device).expand_as(seen)
    # A CPU asks only those who may have changed their minds; an accelerator asks all rather than wait to hear who.
    ask_few = cost.device.type == "cpu"
    if ask_few:
        bid = index.clone()
        away = distance.masked_fill(torch.eye(blocks, dtype=torch.bool, device=seen.device), torch.inf).amin()
        able = value - away >= value * seen  # to gain by leaving home
        bid[able] = cost[able].argmin(1)
    else:
        bid = cost.argmin(2)
    for round_ in range(rounds):
        price = cost.gather(2, bid[..., None])[..., 0]
        cheapest = torch.full_like(price, torch.inf).scatter_reduce(1, bid, price, "amin")
        first = torch.where(price == cheapest.gather(1, bid), index, blocks)
        keeper = torch.full_like(bid, blocks).scatter_reduce(1, bid, first, "amin")
        lost = keeper.gather(1, bid) != index
        if round_ == rounds - 1:
            break
        cost.scatter_add_(2, bid[..., None], lost[..., None].to(cost.dtype))
        if ask_few:
            bid[lost] = cost[lost].argmin(1)
        else:
            bid = cost.argmin(2)
    return keeper


def fill_holes(keeper: Tensor) -> Tensor:
    """The places of [N, c] that hold c get the blocks left over: at home if they can, the rest in reading order."""
    blocks = keeper.shape[1]
    index = torch.arange(blocks, device=keeper.device).expand_as(keeper)
    left = torch.ones(len(keeper), blocks + 1, dtype=torch.bool, device=keeper.device).scatter_(1, keeper, False)
    left = left[:, :blocks]
    keeper = torch.where(left & (keeper == blocks), index, keeper)
    left = left & (keeper != index)
    hole = keeper == blocks
    waiting = (~left).to(torch.uint8).argsort(dim=1, stable=True)  # first those left over, in reading order
    turn = (hole.cumsum(1) - 1).clamp(min=0)
    return torch.where(hole, waiting.gather(1, turn), keeper)
