"""The numbers of the puzzle panel: all pairs' masks, exact and by swap, what they cost, and the plans they make."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.mixing import geometry
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.saliency import saliency
from mixlab.mixing.variants.cutmix import clipped_boxes
from mixlab.mixing.variants.puzzle.energy import Seams, block_saliency, divisor, energy, seams
from mixlab.mixing.variants.puzzle.mincut import least_energy
from mixlab.mixing.variants.puzzle.transport import moves_of
from mixlab.mixing.ways import Boxes, Mask
from mixlab.panels.puzzle_panel.alpha_beta_swap import energy_of, swap_labels
from mixlab.panels.shared.law import uniforms
from mixlab.panels.shared.pairs import Pairs

_FINE = 4  # pixels: of what seams are measured in, and of the blocks that move; both as in Puzzle Mix's code for CIFAR


@dataclass(frozen=True)
class Setting:
    """What the panel's sliders stand at; see `Puzzle`. λ is the nominal one, the same for all pairs."""

    lam: float
    beta: float
    gamma: float
    eta: float
    blocks: int
    levels: int
    transport: bool
    cost: float


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks [pairs, b, b] of the share of x, their energies [pairs], and the plan that mixes x with x′ by them."""

    mask: Tensor
    energy: Tensor
    plan: MixPlan

    @property
    def moved(self) -> Tensor:
        """How many blocks of x and of x′ are not where they were, [pairs, 2]."""
        if self.plan.moves is None:
            return torch.zeros(len(self.mask), 2, dtype=torch.int64, device="cpu")
        home = torch.arange(self.plan.moves.shape[-1], device="cpu")
        return (self.plan.moves[:, 0, : len(self.mask)] != home).sum(-1).T


@dataclass(frozen=True, eq=False)
class Solution:
    """All pairs under one setting: the exact masks, those of the α–β swap, and CutMix."""

    exact: Masks
    swap: Masks
    cutmix: MixPlan


class Board:
    """Pairs and their saliency, [pairs, 2, H, W]: looked at once, solved for any setting.

    A plan takes all images in one batch, first each x, then each x′, so that each is the other's partner.
    """

    def __init__(self, pairs: Pairs, seed: int) -> None:
        self.pairs, self.seed = pairs, seed
        self.batch = pairs.images.transpose(0, 1).flatten(0, 1)
        labels = pairs.labels.transpose(0, 1).flatten()
        seen = saliency(pairs.model, self.batch, labels, normalize=pairs.normalize)
        self.saliency = seen.view(2, len(pairs.images), *pairs.size).transpose(0, 1)
        self._partner = torch.arange(len(self.batch), device="cpu").roll(len(pairs.images))

    def problem(self, setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
        """Unary costs, and weights down and right, of every pair's mask, as `least_energy` takes them; in float64."""
        count, blocks = len(self.pairs.images), setting.blocks
        own, other = (block_saliency(self.saliency[:, side].double(), blocks) for side in (0, 1))
        size = divisor(self.pairs.size[0] // blocks, _FINE)
        all_seams = seams(self.batch.double() / 255, self._partner, blocks, size)
        seam = Seams(all_seams.down[:, :, :count], all_seams.right[:, :, :count])
        lam = torch.full((1, count), setting.lam, dtype=torch.float64, device="cpu")
        weights = {"beta": setting.beta, "gamma": setting.gamma, "eta": setting.eta}
        return energy(own, other, seam, lam, levels=setting.levels, **weights)

    def solve(self, setting: Setting) -> Solution:
        """The masks of every pair, and the plans that they make."""
        problem = self.problem(setting)
        # Solved in float32, as the variant does: half the time on 16 by 16 blocks.
        exact = self._masks(least_energy(*(part.float() for part in problem)), problem, setting)
        swap = self._masks(swap_labels(*problem), problem, setting)
        return Solution(exact, swap, self._cutmix(setting.lam))

    def mixes(self, plan: MixPlan) -> Tensor:
        """The mix of every pair, uint8 [pairs, C, H, W]."""
        return plan.apply(self.batch)[: len(self.pairs.images)]

    def halves(self, masks: Masks) -> Tensor:
        """What x and what x′ give to the mix, uint8 [pairs, 2, C, H, W]: black elsewhere; the two add up to it."""
        moves, count = masks.plan.moves, len(self.pairs.images)
        shown = []
        for side, share in enumerate((masks.mask, 1 - masks.mask)):
            half = self.pairs.images[:, side]
            if moves is not None:
                half = geometry.moved(half, moves[side, 0, :count])
            shown.append((half * geometry.spread(share, self.pairs.size)[:, None]).round().to(torch.uint8))
        return torch.stack(shown, 1)

    def _masks(self, labels: Tensor, problem: tuple[Tensor, Tensor, Tensor], setting: Setting) -> Masks:
        share = labels.float() / (setting.levels - 1)
        return Masks(share, energy_of(labels, *problem), self._plan(share, setting))

    def _plan(self, share: Tensor, setting: Setting) -> MixPlan:
        mask = torch.cat([share, 1 - share])
        nominal = torch.tensor([setting.lam, 1 - setting.lam], dtype=torch.float32, device="cpu").repeat_interleave(
            len(share)
        )
        moves = None
        if setting.transport:
            own = moves_of(mask, self.saliency.transpose(0, 1).flatten(0, 1), setting.cost, most=_FINE)
            moves = torch.stack([own, own.roll(len(share), 0)])[:, None]
        lam = mask.mean((1, 2))[None]
        return MixPlan("puzzle", self._partner, lam, nominal[None], Mask(mask[None], moves))

    def _cutmix(self, lam: float) -> MixPlan:
        count, size = len(self.pairs.images), self.pairs.size
        centers = uniforms(self.seed, 2 * count).view(count, 2).repeat(2, 1)
        corners, true = clipped_boxes(
            torch.full((2 * count,), 1 - lam, dtype=torch.float64, device="cpu").sqrt(), centers, size
        )
        true_lam = true.float()[None]
        return MixPlan("cutmix", self._partner, true_lam, torch.full_like(true_lam, lam), Boxes(corners[None], size))
