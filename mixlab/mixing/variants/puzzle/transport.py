"""Where the blocks of Puzzle Mix move, so that what is salient lands where the mask shows it.

Kim, Choo and Song, "Puzzle Mix", ICML 2020, section 4.2, and its official code.
"""

import torch
from torch import Tensor

from mixlab.mixing.variants.puzzle.energy import block_saliency, divisor

_CPU_BYTES, _GPU_BYTES = 1 << 23, 1 << 28  # of transport costs at a time


def transport(mask: Tensor, saliency: Tensor, cost: float) -> Tensor:
    """Where blocks move, so that what is salient is seen: an auction of t rounds, as in the official code.

    Block i at place j costs cost · |distance|²/(t − 1)² − saliency_i [mask_j > 0]. In each round each block bids for
    its cheapest place, and a place keeps its cheapest bidder; for the losers it then costs 1 more. Of equals the first
    in reading order wins. Bids are compared by what they cost; the official code counts those who do not bid as 0, so
    that there a place whose bidders all cost 0 or more goes to nobody. On 256 images of CIFAR-10 that left 25 of 64
    places empty, and 100 of 256, for costs above 0 all where the mask hides them: everything that was seen was the
    same as here. At cost 0 its holes can be seen.

    After the rounds some places are left empty, which the official code fills with zeros. Here blocks that are left
    over stay at home if their home is empty, and the rest fill the empty places in reading order: blocks are only
    rearranged.

    Args:
        mask: holds the share [N, t, t] of this image in each block, with t at least 2.
        saliency: is that of each block, [N, t, t].
        cost: is what moving a block across the whole image costs, at least 0.

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
        mask: holds the share [..., B, b, b] of these images in each block.
        saliency: is that of their pixels, [B, side, side]; b divides the side.
        cost: is what moving a block across the whole image costs.
        most: limits the pixels on a side of a block that moves, see `moved_pixels`.

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
