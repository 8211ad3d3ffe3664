"""What a mask of Puzzle Mix costs, and the masks that cost least.

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


@dataclass(frozen=True, eq=False)
class Seams:
    """Mean |difference| of neighboring pixels across block borders, for each choice of images on both sides.

    Attributes:
        down: is [2, 2, B, b − 1, b]; down[m, n] belongs to borders where the upper block shows the example (m = 1) or
            its partner (m = 0), and the lower one the example (n = 1) or its partner (n = 0).
        right: is [2, 2, B, b, b − 1]; the same for left and right.
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
        pixels: holds floats [B, C, side, side], with black at c and white at c + 1 for any c.
        partner: says in int64 [B] whom each example is mixed with.
        blocks: is the number of blocks on a side; it divides the image's side.
        size: says how many pixels are pooled to one before they are compared; it divides a block's side.
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
        own: is the saliency [B, b, b] of the examples, each summing to 1.
        other: is that of their partners.
        seam: holds the seams of each pair.
        lam: is the nominal λ [K, B], in [0, 1].
        levels: is L, the number of labels.
        beta: weighs all smoothness.
        gamma: weighs the seams in it.
        eta: weighs the prior.
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
