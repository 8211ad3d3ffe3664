"""Intervals of binned metrics, from a row bootstrap of cells and worlds of smaller error."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from mixlab.calibration.bins import METRICS, ROOTS, Metric, binned, read_cells

WORLDS = 5  # worlds that the interval compares the data with: enough, as quantiles are nearly straight between them
EXACT_BELOW = 10  # binomials with fewer expected hits or misses are drawn exactly, others from their normal score


def square_root(values: Tensor) -> Tensor:
    """Square roots on the CPU, 0 for what rounding made negative; torch's own starts threads for 2,048 or more."""
    return torch.from_numpy(np.sqrt(np.maximum(values.numpy(), 0)))


class Binomials:
    """Binomial draws [bins, n] of fixed counts [bins, n], for one share after the other.

    Where fewer than EXACT_BELOW hits or misses are expected they are exact; elsewhere normal scores [bins, n], the same
    each time, are taken through the Cornish-Fisher expansion and rounded, which moves no probability by more than 0.002
    and is many times as fast.
    """

    def __init__(self, count: Tensor, scores: Tensor, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator
        self.expected = count.mean(1)
        self.root = square_root(count) * scores
        self.bend = (scores.square() - 1) / 6

    def draw(self, share: Tensor) -> Tensor:
        """Hits [bins, n] at shares [bins]."""
        p = share[:, None]
        hits = (self.count * p).addcmul_(self.root, (p * (1 - p)).sqrt()).addcmul_(self.bend, 1 - 2 * p)
        hits = torch.minimum(hits.round_().clamp_(min=0), self.count)
        few = self.expected * torch.minimum(share, 1 - share) < EXACT_BELOW
        if few.any():
            hits[few] = torch.binomial(self.count[few], p[few].expand_as(self.count[few]), generator=self.generator)
        return hits


class Resampler:
    """Row bootstrap from cells: bin counts and right answers, sums of confidence by their conditional normal.

    `answers(share)` draws with the share of right answers in each bin changed to `share`, all else as observed: the
    same bin counts and normal scores each time, so that neighboring worlds differ little.
    """

    def __init__(self, cells: Tensor, n: int, generator: torch.Generator) -> None:
        cells = cells[cells[..., 0].sum(1) > 0]
        count = cells[..., 0]  # [bins, 2]
        self.size = count.sum(1)
        self.share = count[:, 1] / self.size
        mean = cells[..., 1] / count.clamp(min=1)
        # where a bin holds no right (or no wrong) answer, such answers borrow the confidence of the others
        self.mean = torch.where(count > 0, mean, mean.flip(1))
        self.var = (cells[..., 2] / count.clamp(min=1) - mean.square()).clamp(min=0)
        # drawn in float32, which is several times as fast
        self.scores = torch.randn((3, len(cells), n), generator=generator, dtype=torch.float32, device="cpu").double()
        self.count = self._multinomial(generator)
        self.right = Binomials(self.count, self.scores[1], generator)
        self.seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
        self.base, self.base_var = self.count * self.mean[:, :1], self.count * self.var[:, :1]

    def _multinomial(self, generator: torch.Generator) -> Tensor:
        """Bin counts of n resamples [bins, n], one bin after the other from what is left."""
        left = self.size.sum().expand_as(self.scores[0, :1])
        beyond = self.size.flip(0).cumsum(0).flip(0)
        drawn = []
        for part, scores in zip((self.size / beyond)[:, None], self.scores[0][:, None], strict=True):
            drawn.append(Binomials(left, scores, generator).draw(part))
            left = left - drawn[-1]
        return torch.cat(drawn)

    def answers(self, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, sums of confidence and right answers, each [bins, n], where share is [bins]."""
        self.right.generator = torch.Generator().manual_seed(self.seed)  # so that no world depends on another
        right = self.right.draw(share)
        spread = square_root(torch.addcmul(self.base_var, right, self.var[:, 1:] - self.var[:, :1]))
        conf = torch.addcmul(self.base, right, self.mean[:, 1:] - self.mean[:, :1])
        return self.count, conf.addcmul_(spread, self.scores[2]), right

    def worlds(self, family: str) -> Tensor:
        """Shares of right answers [WORLDS, bins], from a world in which the metric is 0 to the world as seen.

        "gap": all gaps of confidence and accuracy are a fraction of those seen. "cut": they are cut at a fraction of
        the largest, which is the nearest world with a smaller maximum. "flat": the accuracies come nearer to their
        mean.
        """
        scale = torch.linspace(0, 1, WORLDS, dtype=torch.float64, device="cpu")[:, None]
        if family == "flat":
            mean = (self.share * self.size).sum() / self.size.sum()
            return mean + scale * (self.share - mean)
        right, wrong = self.mean[:, 1], self.mean[:, 0]
        gap = wrong + self.share * (right - wrong) - self.share
        if family == "cut":
            scale = (scale * gap.abs().max() / gap.abs()).nan_to_num(1.0).clamp(max=1)
        # gap = wrong - share * slope; slope is 0 only if right answers always have confidence 1 and wrong ones 0
        slope = (1 + wrong - right).clamp(min=1e-12)
        return (self.share + (1 - scale) * gap / slope).clamp(0, 1)

    def truth(self, metric: Metric, shares: Tensor) -> Tensor:
        """The metric [WORLDS] of worlds with these shares."""
        size = self.size[:, None].expand(-1, len(shares))
        right, wrong = self.mean[:, 1:], self.mean[:, :1]
        return metric(size, size * (wrong + shares.T * (right - wrong)), size * shares.T)


def binned_intervals(
    cells: Tensor, metrics: Iterable[str], n: int, tails: Tensor, generator: torch.Generator
) -> dict[str, tuple[float, float]]:
    """Intervals of metrics of one set of cells, all from the same draws, as `Reliability.interval` describes them."""
    wanted = tuple(metrics)
    metrics = {ROOTS.get(metric, metric) for metric in wanted}
    sampler = Resampler(cells, n, generator)
    seen = sampler.answers(sampler.share)
    still: tuple[Tensor, Tensor, Tensor] | None = None  # the world without gaps, in which "gap" and "cut" begin
    intervals: dict[str, tuple[float, float]] = {}
    for family in sorted({METRICS[metric][2] for metric in metrics}):
        names = [metric for metric in sorted(metrics) if METRICS[metric][2] == family]
        shares = sampler.worlds(family)
        draws: dict[str, list[Tensor]] = {name: [] for name in names}
        # One world at a time stays below the size at which torch calls up other threads: while a training keeps the
        # cores busy, waiting for these takes longer than all the rest.
        for number, world in enumerate(shares):
            if number == len(shares) - 1:
                drawn = seen
            elif number == 0 and family != "flat":
                drawn = still = still or sampler.answers(world)
            else:
                drawn = sampler.answers(world)
            for name in names:
                draws[name].append(binned(name, *drawn))
        for name in names:
            truth = sampler.truth(METRICS[name][1], shares)
            low, high = invert(read_cells(name, cells), truth, torch.stack(draws[name]), tails)
            intervals[name] = low, max(high, 0.0)
    for root, square in ROOTS.items():
        if square in intervals:
            low, high = intervals[square]
            intervals[root] = max(low, 0.0) ** 0.5, high**0.5
    return {metric: intervals[metric] for metric in wanted}


def _quantile(draws: Tensor, share: float) -> Tensor:
    """Quantile of each row of [W, n], linear between ranks, by selection in place of sorting."""
    rank = share * (draws.shape[1] - 1)
    below = int(rank)
    ranks = [below, min(below + 1, draws.shape[1] - 1)]
    one, other = torch.from_numpy(np.partition(draws.numpy(), ranks, axis=1)[:, ranks]).unbind(1)
    return one.lerp(other, rank - below)


def invert(estimate: float, truth: Tensor, draws: Tensor, tails: Tensor) -> tuple[float, float]:
    """Interval (low, high) from worlds with truth [W], from 0 up to the one seen, and draws [W, n] of the estimate.

    The low end is the truth of the first world that reaches the estimate in a share tails[0] of its draws (a test
    inverted, in the manner of Hansen 1999, "The grid bootstrap"), the high end the percentile of the world as seen,
    less the bias of its draws.
    """
    reach = _quantile(draws, float(tails[1])).cummax(0).values
    high = min(1.0, estimate + float(reach[-1] - draws[-1].mean()))
    if reach[0] >= estimate:
        return 0.0, max(high, estimate)
    last = len(truth) - 1
    above = min(int(torch.searchsorted(reach, estimate)), last)
    weight = float((estimate - reach[above - 1]) / (reach[above] - reach[above - 1]))
    low = float(truth[above - 1] + min(weight, 1.0) * (truth[above] - truth[above - 1]))
    return min(low, estimate), max(high, estimate)
