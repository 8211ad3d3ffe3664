"""The labeling of least energy on a grid: the problem of Puzzle Mix's mask, for a whole batch at once.

The energy of labels l in {0, ..., L − 1} is the sum over cells of unary[l], and over edges of
weight (l − l′)²/(L − 1)². Where each cell's unary is convex in the label and no weight is negative, the energy is
L♮-convex (Murota, "Discrete Convex Analysis", 2003), and L − 1 exact binary problems find its global minimum:

    Start from l = 0. Raise some cells by one, the best set of cells. Do that L − 1 times.

After k steps l is the best labeling with labels up to k. For let p be such, and q the best with labels up to k + 1.
L♮-convexity gives f(p) + f(q) ≥ f(max(p, q)) + f(min(p, q)), and as min(p, q) is no better than p, max(p, q) is as
good as q: call that q. It gives too f(p) + f(q) ≥ f(max(p, q − 1)) + f(min(p + 1, q)), and as max(p, q − 1) is no
better than p, min(p + 1, q) is as good as q; and it is p with some cells raised by one.

Each binary problem has a price for raising a cell, and a price on each edge of which one end is raised. On grids up to
8 cells wide it is solved by a frontier dynamic programme: cell by cell, it keeps the least energy of all that is behind
for each of the 2^8 states of the last 8 cells. An accelerator, where each operation takes a launch, goes row by row
instead: 28 times the arithmetic in a twentieth of the operations. Wider grids are first solved in units of 2 by 2
cells, then cut by lines of cells that stand still for a moment; all else is then solved exactly, and the lines move.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check
from mixlab.mixing.constants import constant

WIDEST = 8  # of a grid solved in one piece; a wider one doubles the states with each column
_SPAN = 7  # columns between two lines that stand still: 7 + 1 + 7 + 1 = 16
_LINES = (_SPAN, _SPAN // 2)  # the first line's place, one round after the other
# How many numbers a CPU handles in one operation: torch shares more than these out to threads, which takes longer than
# the operation where other programs run. A GPU takes as many problems as keep what a row costs after each other in half
# a gigabyte: 256 of 8 by 8.
_CPU_NUMBERS, _GPU_BYTES = (1 << 15) - 1, 1 << 29


def least_energy(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Labels of least energy for every problem of a batch, on the batch's device.

    Up to 8 rows or columns the result is a global minimum, up to the rounding of its floating point. Beyond, it is near
    one: of 16 by 16 masks for images of CIFAR-10 with Puzzle Mix's settings, 96 to 97% were at the global minimum
    (found as a maximum flow), and the largest excess was 7e-3 of the energy. gco's α-β swap, which the official code
    calls, reached it for 46% of 120 random problems with 3 labels, and was up to 2e-2 above.

    Args:
        unary: is the cost of each label in each cell, float [N, L, height, width], convex in the label; L is at least
            2.
        down: holds weights of at least 0 between a cell and the one below, float [N, height − 1, width].
        right: holds those between a cell and its right neighbor, float [N, height, width − 1].

    Returns:
        [N, height, width] int64, labels from 0 to L − 1.

    Raises:
        TypeError, ValueError: tensors of the wrong kind or shape; and on CPU, where values are looked at: values that
        are not finite, negative weights, or a unary cost that is not convex.
    """
    _check_problem(unary, down, right)
    count, _, height, width = unary.shape
    narrow = min(height, width) <= WIDEST
    cells, strips = (min(height, width), 1) if narrow else (_SPAN, max(height, width) // _SPAN + 1)
    if unary.device.type == "cpu":
        most = max(1, _CPU_NUMBERS // ((1 << cells - 1) * strips))
    else:
        most = max(1, _GPU_BYTES // (unary.element_size() * 4**cells * max(height, width) * strips))
    chunk = max(1, math.ceil(count / max(1, math.ceil(count / most))))  # all of about one size
    label = torch.empty(count, height, width, dtype=torch.int64, device=unary.device)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        label[rows] = _climb(unary[rows], down[rows], right[rows])
    return label


def _climb(unary: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """One chunk's labels. Inside, the batch is the last axis, so that all of it takes each step together."""
    steps = unary.shape[1] - 1
    cost = unary.permute(1, 2, 3, 0).contiguous()
    down, right = (part.permute(1, 2, 0) / steps**2 for part in (down, right))
    level = torch.zeros(cost.shape[1:], dtype=torch.int64, device=cost.device)
    for _ in range(steps):
        raising = (cost.gather(0, level[None] + 1) - cost.gather(0, level[None]))[0]
        # (d + 1)² − d² = 2 d + 1 for an edge with one end raised, where d is that end's lead: 2 d goes to the cells.
        lead = 2 * down * (level[:-1] - level[1:])
        raising[:-1] += lead
        raising[1:] -= lead
        lead = 2 * right * (level[:, :-1] - level[:, 1:])
        raising[:, :-1] += lead
        raising[:, 1:] -= lead
        level += _raised(raising, down, right)
    return level.permute(2, 0, 1)


def _raised(cell: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """bool [height, width, N]: whom to raise, at `cell` each, and `down` and `right` on edges with one end raised."""
    height, width = cell.shape[:2]
    if width <= WIDEST:
        return _exact(cell, down, right)
    if height <= WIDEST:
        return _exact(cell.transpose(0, 1), right.transpose(0, 1), down.transpose(0, 1)).transpose(0, 1)
    chosen = _by_fours(cell, down, right)
    for first in _LINES:
        chosen = _between_lines(cell, down, right, chosen, first)
        cells, across, along, so_far = (part.transpose(0, 1) for part in (cell, right, down, chosen))
        chosen = _between_lines(cells, across, along, so_far, first).transpose(0, 1)
    return chosen


def _by_fours(cell: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The best where cells are raised by twos both ways: a start that has the large patches right."""
    height, width = cell.shape[:2]
    whole = functional.pad(cell, (0, 0, 0, width % 2, 0, height % 2))
    fours = whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]
    lower = functional.pad(down[1::2], (0, 0, 0, width % 2))
    across = functional.pad(right[:, 1::2], (0, 0, 0, 0, 0, height % 2))
    chosen = _raised(fours, lower[:, ::2] + lower[:, 1::2], across[::2] + across[1::2])
    return chosen.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]


def _exact(cell: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The exact binary problem, up to 8 columns wide."""
    return (_frontier if cell.device.type == "cpu" else _row_by_row)(cell, down, right)


def _frontier(cell: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The exact binary problem by dynamic programming over the 2^width states of the last `width` cells.

    The state has a bit for each column, column 0 the highest. Reading order takes the cells one by one; a cell's bit
    replaces that of the cell above it, whose best value for each state is kept in `choices` for the way back.
    """
    height, width, count = cell.shape
    # What raising a cell costs where its left neighbor is not raised, and where it is: [height, width − 1, 2, 1, N].
    alone = torch.stack([cell[:, 1:] + right, cell[:, 1:]], 2)[:, :, :, None]
    half = 1 << (width - 1)
    choices = torch.empty(height - 1, width, 2, half, count, dtype=torch.bool, device=cell.device)
    energy, spare = (cell.new_zeros(1 << width, count) for _ in range(2))
    for row in range(height):
        for column in range(width):
            before, after = 1 << column, half >> column
            if row > 0:
                old, new = (part.view(before, 2, after, count) for part in (energy, spare))
                picked = choices[row - 1, column].view(2, before, after, count)
                zero, one, weight = old[:, 0], old[:, 1], down[row - 1, column]
                fall, rise = one + weight, zero + weight  # from 1 above to 0 in the cell, and from 0 to 1
                torch.lt(fall, zero, out=picked[0])
                torch.minimum(fall, zero, out=new[:, 0])
                torch.lt(one, rise, out=picked[1])
                torch.minimum(one, rise, out=new[:, 1])
                energy, spare = spare, energy
            if column == 0:
                energy[half:] += cell[row, column]
                continue
            # A cell that is raised costs its price; and where the left neighbor differs, the edge's weight is due.
            states = energy.view(before // 2, 2, 2, after, count)
            states[:, :, 1] += alone[row, column - 1]
            states[:, 1, 0] += right[row, column - 1]
    return _way_back(energy.argmin(0), choices)


def _way_back(state: Tensor, choices: Tensor) -> Tensor:
    """bool [height, width, N] from the best last state [N] and the choices on the way to it."""
    above, width, _, half, count = choices.shape
    raised = torch.empty(above + 1, width, count, dtype=torch.bool, device=state.device)
    place = torch.arange(count, device=state.device)
    for row in range(above, -1, -1):
        for column in range(width - 1, -1, -1):
            bit = width - 1 - column
            own = (state >> bit) & 1
            raised[row, column] = own
            if row > 0:
                rest = (state >> (bit + 1) << bit) | (state & ((1 << bit) - 1))
                was = choices[row - 1, column].view(-1)[(own * half + rest) * count + place]
                state = (state & ~(1 << bit)) | (was.long() << bit)
    return raised


def _row_by_row(cell: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """The exact binary problem by dynamic programming over rows, each in one of 2^width states.

    Column 0 is the highest bit of a state. What a row costs in each state, and what each state costs below each other,
    are added up column by column, for all rows at once.
    """
    height, width, count = cell.shape
    nothing = torch.zeros_like(right)
    pairs = [nothing, cell[:, 1:] + right, right, cell[:, 1:]]  # left neighbor and cell: 00, 01, 10, 11
    step = torch.stack(pairs, 2).view(height, width - 1, 2, 2, count)
    own = torch.stack([torch.zeros_like(cell[:, 0]), cell[:, 0]], 1)
    unlike = torch.zeros_like(down)
    differ = torch.stack([unlike, down, down, unlike], 2).view(height - 1, width, 2, 2, count)
    after = differ[:, 0]
    for column in range(1, width):
        states = 1 << column
        so_far = own.view(height, states // 2, 2, 1, count)
        own = (so_far + step[:, None, column - 1]).view(height, 2 * states, count)
        so_far = after.view(height - 1, states, 1, states, 1, count)
        after = (so_far + differ[:, None, column, :, None]).view(height - 1, 2 * states, 2 * states, count)
    least, before = own[0], []
    for row in range(height - 1):
        least, best = (least[:, None] + after[row]).min(0)
        least = least + own[row + 1]
        before.append(best)
    states_down = [least.argmin(0)]
    for best in reversed(before):
        states_down.insert(0, best.gather(0, states_down[0][None])[0])
    bits = torch.arange(width - 1, -1, -1, device=cell.device)
    return ((torch.stack(states_down)[:, None] >> bits[:, None]) & 1).bool()


def _between_lines(cell: Tensor, down: Tensor, right: Tensor, chosen: Tensor, first: int) -> Tensor:
    """The exact best of all cells but columns first, first + 8, ...; these stand still and part the grid in strips."""
    height, width, count = cell.shape
    lines = list(range(first, width, _SPAN + 1))
    edges = [-1, *lines, width]
    strips = [range(left + 1, line) for left, line in pairwise(edges) if line > left + 1]
    still = constant(tuple(column in lines for column in range(width)), torch.bool, cell.device)
    # An edge to a line costs its weight where the cell differs from the line: weight, less 2 weight if the line is 1.
    pull = right * (1 - 2 * chosen.to(right.dtype))[:, 1:] * still[1:, None]
    push = right * (1 - 2 * chosen.to(right.dtype))[:, :-1] * still[:-1, None]
    cell = cell.clone()
    cell[:, :-1] += pull
    cell[:, 1:] += push
    # Short strips are filled up with column `width`, which is free of cost and joined to nothing.
    free = cell.new_zeros(height, 1, count)
    padded = torch.cat([cell, free], 1)
    lower = torch.cat([down, free[1:]], 1)
    joined = torch.cat([right * ~(still[1:] | still[:-1])[:, None], free, free], 1)
    filled = tuple((*strip, *[width] * (_SPAN - len(strip))) for strip in strips)
    columns = constant(filled, torch.int64, cell.device)

    def strip_by_strip(part: Tensor, wanted: Tensor) -> Tensor:
        return part[:, wanted].transpose(1, 2).flatten(2)

    best = _exact(
        strip_by_strip(padded, columns), strip_by_strip(lower, columns), strip_by_strip(joined, columns[:, :-1])
    )
    result = torch.cat([chosen, chosen[:, :1]], 1)
    result[:, columns] = best.view(height, _SPAN, len(strips), count).transpose(1, 2)
    return result[:, :width]


def _check_problem(unary: Tensor, down: Tensor, right: Tensor) -> None:
    wanted = "a float tensor of shape [N, labels, height, width], with two labels or more and no empty side"
    _check.tensor("unary", unary, wanted)
    if unary.ndim != 4 or not unary.is_floating_point() or unary.shape[1] < 2 or 0 in unary.shape[2:]:
        raise ValueError(f"unary must be {wanted}, got {_check.shown(unary)}")
    count, _, height, width = unary.shape
    for name, part, shape in (("down", down, [count, height - 1, width]), ("right", right, [count, height, width - 1])):
        kind = f"a {str(unary.dtype).removeprefix('torch.')} tensor of shape {shape}, as unary has it"
        _check.tensor(name, part, kind)
        if list(part.shape) != shape or part.dtype != unary.dtype:
            raise ValueError(f"{name} must be {kind}, got {_check.shown(part)}")
        _check.same_device(name, part, unary.device)
    if unary.device.type != "cpu" or count == 0:
        return
    for name, part in (("unary", unary), ("down", down), ("right", right)):
        if not bool(part.isfinite().all()):
            raise ValueError(f"{name} must hold finite numbers, got {int((~part.isfinite()).sum())} that are not")
        if name != "unary" and part.numel() and float(part.min()) < 0:
            raise ValueError(f"{name} must hold weights of at least 0, got {float(part.min()):g}")
    if unary.shape[1] > 2:
        bend = float((unary[:, 2:] - 2 * unary[:, 1:-1] + unary[:, :-2]).min())
        if bend < -8 * torch.finfo(unary.dtype).eps * float(unary.abs().max()):
            raise ValueError(f"unary must be convex in the label, got a second difference of {bend:g}")
