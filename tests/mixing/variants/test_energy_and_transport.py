"""Puzzle Mix's parts against loops in float64: what masks cost, and where blocks go."""

import itertools
import math

import numpy as np
import pytest
import torch
from puzzles import energy as weigh
from seeding import seeded
from torch import Tensor

from mixlab.mixing.variants.puzzle.energy import best_masks, block_saliency, divisor, energy, seams
from mixlab.mixing.variants.puzzle.transport import auction, moved_pixels, moves_of, transport

SETTINGS = {"beta": 1.2, "gamma": 0.5, "eta": 0.2}


def pairs(batch: int, blocks: int, side: int = 16, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, partners and block saliency, in float64."""
    pixels = torch.rand(batch, 3, side, side, generator=seeded(seed), dtype=torch.float64)
    own = block_saliency(torch.rand(batch, side, side, generator=seeded(seed + 1), dtype=torch.float64) ** 3, blocks)
    return pixels, torch.arange(batch).roll(1), own


def seam_by_hand(first: Tensor, second: Tensor, size: int) -> float:
    """Mean |difference| of pooled pixels where the last rows of one block meet the first rows of the next."""
    apart = []
    for channel, left in itertools.product(range(len(first)), range(0, first.shape[2], size)):
        above = first[channel, -size:, left : left + size].mean()
        below = second[channel, :size, left : left + size].mean()
        apart.append(abs(float(above - below)))
    return sum(apart) / len(apart)


def cost_by_hand(pixels, partner, own, mask, i, lam, *, size, beta, gamma, eta) -> float:
    """What a mask of zeros and ones costs example i, border by border."""
    blocks, block = len(mask), pixels.shape[-1] // len(mask)
    images = {1: pixels[i], 0: pixels[partner[i]]}
    salient = {1: own[i], 0: own[partner[i]]}
    smooth = beta / 16 / blocks
    total = 0.0
    for row, column in itertools.product(range(blocks), range(blocks)):
        m = mask[row][column]
        total += float(salient[1 - m][row, column]) - eta / blocks**2 * math.log(lam if m else 1 - lam)
        for down, across in ((1, 0), (0, 1)):
            if row + down == blocks or column + across == blocks:
                continue
            n = mask[row + down][column + across]
            first, second = (
                images[value][:, r * block : (r + 1) * block, c * block : (c + 1) * block]
                for value, r, c in ((m, row, column), (n, row + down, column + across))
            )
            if across:
                first, second = first.transpose(1, 2), second.transpose(1, 2)
            total += smooth * gamma * seam_by_hand(first, second, size) + smooth * (m != n)
    return total


@pytest.mark.parametrize(("blocks", "size"), [(2, 4), (2, 8), (4, 1), (4, 2), (8, 2)])
def test_with_two_levels_the_energy_is_the_saliency_hidden_the_prior_the_changes_and_the_seams(blocks, size) -> None:
    pixels, partner, own = pairs(3, blocks)
    lam = torch.tensor([[0.3, 0.9, 0.5], [0.1, 0.2, 0.7]], dtype=torch.float64)
    parts = energy(own, own[partner], seams(pixels, partner, blocks, size), lam, levels=2, **SETTINGS)
    masks = torch.randint(0, 2, (6, blocks, blocks), generator=seeded(2))
    masks[0], masks[1] = 0, 1
    for n, (k, i) in enumerate(itertools.product(range(2), range(3))):
        cost = weigh(*(part[n].numpy() for part in parts), masks[n].numpy())
        wanted = cost_by_hand(pixels, partner, own, masks[n].tolist(), i, float(lam[k, i]), size=size, **SETTINGS)
        assert cost == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("levels", [3, 4])
def test_more_levels_interpolate_and_the_prior_is_binomial(levels: int) -> None:
    pixels, partner, own = pairs(2, 4)
    seam, lam = seams(pixels, partner, 4, 2), torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    two = energy(own, own[partner], seam, lam, levels=2, **(SETTINGS | {"eta": 0}))
    many = energy(own, own[partner], seam, lam, levels=levels, **SETTINGS)
    for label, i in itertools.product(range(levels), range(2)):
        share, p = label / (levels - 1), float(lam[0, i])
        chance = math.comb(levels - 1, label) * p**label * (1 - p) ** (levels - 1 - label)
        wanted = (1 - share) * two[0][i, 0] + share * two[0][i, 1] - 0.2 / 16 * math.log(chance)
        assert torch.allclose(many[0][i, label], wanted, rtol=0, atol=1e-14)
    assert torch.equal(many[1], two[1])
    assert torch.equal(many[2], two[2])


@pytest.mark.parametrize("lam", [0.0, 1e-9, 1 - 1e-9, 1.0])
def test_the_prior_stays_finite_and_convex_at_the_ends(lam: float) -> None:
    pixels, partner, own = (part.float() if part.is_floating_point() else part for part in pairs(2, 4))
    seam, ends = seams(pixels, partner, 4, 2), torch.full((1, 2), lam)
    for levels in (2, 3, 4):
        mask = best_masks(own, own[partner], seam, ends, levels=levels, **SETTINGS)
        assert torch.equal(mask, torch.full((1, 2, 4, 4), float(round(lam))))


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_block_saliency_is_the_mean_of_each_block_made_to_sum_to_1(scale: float) -> None:
    saliency = torch.rand(3, 8, 8, generator=seeded(), dtype=torch.float64)
    ours = block_saliency((scale * saliency).float(), 4)
    for n, row, column in itertools.product(range(3), range(4), range(4)):
        block = saliency[n, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert float(ours[n, row, column]) == pytest.approx(float(block.sum() / saliency[n].sum()), rel=1e-5)


def puzzle_pieces(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Masks with patches, and saliency of a heavy tail."""
    generator = seeded(seed)
    coarse = torch.randint(0, 3, (count, patches := max(2, side // 2), patches), generator=generator) / 2
    mask = coarse.repeat_interleave(side // patches, 1).repeat_interleave(side // patches, 2)
    saliency = torch.rand(count, side, side, generator=generator) ** 6
    return mask, saliency / saliency.sum((1, 2), keepdim=True)


def costs(mask: Tensor, saliency: Tensor, cost: float) -> np.ndarray:
    """[blocks, places] float32, as the solver weighs them."""
    side = len(mask)
    row, column = np.divmod(np.arange(side**2), side)
    far = ((row[:, None] - row) ** 2 + (column[:, None] - column) ** 2).astype(np.float32)
    hidden = saliency.flatten().numpy()[:, None] * (mask.flatten().numpy() > 0)
    return np.float32(cost) * far / np.float32((side - 1) ** 2) - hidden


def auction_by_hand(table: np.ndarray, rounds: int) -> list[int]:
    """Who keeps each place: the number of places for nobody."""
    table, blocks = table.copy(), len(table)
    for _ in range(rounds):
        bids = [min(range(blocks), key=lambda j, i=i: (table[i, j], j)) for i in range(blocks)]
        keeper = [blocks] * blocks
        for i, j in enumerate(bids):
            if keeper[j] == blocks or table[i, j] < table[keeper[j], j]:
                keeper[j] = i
        for i, j in enumerate(bids):
            if keeper[j] != i:
                table[i, j] += 1
    return keeper


def filled_by_hand(keeper: list[int]) -> list[int]:
    blocks = len(keeper)
    waiting = [i for i in range(blocks) if i not in keeper]
    moves = [i if keeper[i] == blocks and i in waiting else keeper[i] for i in range(blocks)]
    rest = iter(i for i in waiting if i not in moves)
    return [next(rest) if i == blocks else i for i in moves]


@pytest.mark.parametrize(("side", "cost"), [(2, 0.8), (2, 0.01), (4, 0.8), (4, 0.02), (8, 0.8), (8, 0.1), (8, 0.0)])
def test_transport_is_the_auction_written_out_in_loops(side: int, cost: float) -> None:
    mask, saliency = puzzle_pieces(12, side, seed=side)
    distance = torch.tensor(costs(torch.zeros(side, side), torch.zeros(side, side), cost))
    kept = auction((mask > 0).float().flatten(1), saliency.flatten(1), distance, rounds=side)
    moves = transport(mask, saliency, cost)
    for n in range(len(mask)):
        keeper = auction_by_hand(costs(mask[n], saliency[n], cost), side)
        assert kept[n].tolist() == keeper
        assert moves[n].tolist() == filled_by_hand(keeper)


def official_auction(table: np.ndarray, rounds: int) -> np.ndarray:
    """Who keeps each place by the rule of the official code: those who do not bid count as 0, and may keep a place."""
    table, blocks = table.copy(), len(table)
    for _ in range(rounds):
        bids = np.zeros_like(table)
        bids[np.arange(blocks), table.argmin(1)] = 1
        cheapest = (bids * table).argmin(0)
        won = np.zeros_like(table)
        won[cheapest, np.arange(blocks)] = bids[cheapest, np.arange(blocks)]
        table += bids - won
    return np.where(won.any(0), won.argmax(0), blocks)


@pytest.mark.parametrize(("side", "cost"), [(4, 0.8), (4, 0.1), (8, 0.8), (8, 0.4)])
def test_where_the_image_is_seen_its_blocks_are_those_of_the_official_code(side: int, cost: float) -> None:
    mask, saliency = puzzle_pieces(30, side, seed=side + 7)
    moves = transport(mask, saliency, cost).numpy()
    official = np.stack([official_auction(costs(mask[n], saliency[n], cost), side) for n in range(30)])
    alike, seen = official == moves, mask.flatten(1).numpy() > 0
    assert alike[seen].mean() > 0.99
    assert alike[~seen].mean() < 0.9  # where nothing is seen, the official code leaves most places empty


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, saliency = puzzle_pieces(9, 8, seed=4)
    whole = transport(mask, saliency, 0.1)
    monkeypatch.setattr("mixlab.mixing.variants.puzzle.transport._CPU_BYTES", 1 << 15)
    assert torch.equal(transport(mask, saliency, 0.1), whole)


def test_pixels_of_seams_and_moves_divide_the_block() -> None:
    for side, most in itertools.product(range(1, 40), range(1, 40)):
        fits = [pixels for pixels in range(1, side + 1) if side % pixels == 0 and pixels <= most]
        assert divisor(side, most) == max(fits)
        assert moved_pixels(side, most) == (side if max(fits) == 1 and most > 1 else max(fits))
    assert moved_pixels(12, None) == 12


@pytest.mark.parametrize(("most", "side"), [(4, 8), (None, 4), (8, 4), (2, 16), (3, 16)])
def test_moves_of_masks_are_those_of_the_finer_blocks(most: int | None, side: int) -> None:
    masks = torch.randint(0, 3, (3, 5, 4, 4), generator=seeded()) / 2
    saliency = torch.rand(5, 32, 32, generator=seeded(1)) ** 4
    moves = moves_of(masks, saliency, 0.05, most=most)
    assert moves.shape == (3, 5, side**2)
    worth = block_saliency(saliency, side)
    for k in range(3):
        fine = masks[k].repeat_interleave(side // 4, 1).repeat_interleave(side // 4, 2)
        assert torch.equal(moves[k], transport(fine, worth, 0.05))
    assert torch.equal(moves_of(masks[0], saliency, 0.05, most=most), moves[0])
