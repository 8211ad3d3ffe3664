"""Binned predictions in fixed-size cells: edges, cells, metrics of cells, and intervals from a bootstrap of cells.

A cell holds the predictions of one confidence bin that are wrong, or right: their count, the sum of their confidences
and the sum of the squares. Cells are [n_bins, 2 (wrong, right), 3 (count, sum, sum of squares)] in float64. Every
binned metric is a function of them; so is the bootstrap, which costs the same for a thousand rows as for a billion.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

WORLDS = 5  # worlds that the interval compares the data with: enough, as quantiles are nearly straight between them
EXACT_BELOW = 10  # binomials with fewer expected hits or misses are drawn exactly, others from their normal score

_Metric = Callable[[Tensor, Tensor, Tensor], Tensor]


def width_edges(n_bins: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """The inner edges i / n_bins, [n_bins - 1] float64, rounded to the dtype of the probabilities.

    0.2 given as float32 then lies on the edge 0.2 of five bins, not just above it.
    """
    return (torch.arange(1, n_bins, dtype=torch.float64, device=device) / n_bins).to(dtype).double()


def mass_edges(confidence: Tensor, n_bins: int) -> Tensor:
    """Inner edges [n_bins - 1] of bins with equal counts: confidences of the data at ranks i N / n_bins, rounded up.

    Equal confidences never fall into different bins: a value that holds more than its share of the rows fills one bin,
    and the bins that it would have shared stay empty.
    """
    ranks = torch.arange(1, n_bins, device=confidence.device).mul(len(confidence)).add(n_bins - 1) // n_bins - 1
    if confidence.device.type == "cpu":  # NumPy sorts with vector instructions, 3 to 4 times as fast
        ordered = torch.from_numpy(np.sort(confidence.numpy()))
    else:
        ordered = confidence.sort().values
    return ordered[ranks.clamp(min=0)].double()


def fill_cells(confidence: Tensor, correct: Tensor, edges: Tensor) -> Tensor:
    """Cells of confidence [N] float64 and correct [N] bool; bin i is (edges[i - 1], edges[i]], open at both ends."""
    cell = 2 * torch.bucketize(confidence, edges) + correct
    size = 2 * (len(edges) + 1)
    if confidence.device.type == "cpu":
        powers = (None, confidence, confidence.square())
        sums = [torch.bincount(cell, weights, minlength=size).double() for weights in powers]
        return torch.stack(sums, 1).view(-1, 2, 3)
    cells = torch.zeros(size, 3, dtype=torch.float64, device=confidence.device)  # bincount would wait for the device
    cells.index_add_(0, cell, torch.stack([torch.ones_like(confidence), confidence, confidence.square()], 1))
    return cells.view(-1, 2, 3)


def _accuracy(size: Tensor, _conf: Tensor, right: Tensor) -> Tensor:
    return right.sum(0) / size.sum(0)


def _l1(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    return (conf - right).abs().sum(0) / size.sum(0)


def _square(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    return ((conf - right).square() / size.clamp(min=1)).sum(0) / size.sum(0)


def _max(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    return ((conf - right).abs() / size.clamp(min=1)).amax(0)


def _over(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    return (conf / size.clamp(min=1) * (conf - right).clamp(min=0)).sum(0) / size.sum(0)


def _under(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    return (conf / size.clamp(min=1) * (right - conf).clamp(min=0)).sum(0) / size.sum(0)


def _resolution(size: Tensor, _conf: Tensor, right: Tensor) -> Tensor:
    total = size.sum(0)
    return (right.square() / size.clamp(min=1)).sum(0) / total - (right.sum(0) / total).square()


def _square_debiased(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    filled = size.clamp(min=1)
    noise = right * (size - right) / filled / (size - 1).clamp(min=1)  # n acc (1 - acc) / (n - 1)
    parts = (conf - right).square() / filled - noise
    return torch.where(size > 1, parts, 0).sum(0) / size.sum(0)


def _l1_debiased(size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    gap = (conf - right).abs()
    spread = (right * (size - right) / size.clamp(min=1)).sqrt()
    score = gap / spread.clamp(min=1e-12)
    noisy = spread * math.sqrt(2 / math.pi) * (-score.square() / 2).exp() + gap * (score / math.sqrt(2)).erf()
    return ((2 * gap - noisy).sum(0) / size.sum(0)).clamp(min=0)


# name -> (metric, the metric that it estimates, the worlds in which it is small)
_METRICS: dict[str, tuple[_Metric, _Metric, str]] = {
    "accuracy": (_accuracy, _accuracy, "gap"),
    "l1": (_l1, _l1, "gap"),
    "max": (_max, _max, "cut"),
    "overconfidence": (_over, _over, "gap"),
    "underconfidence": (_under, _under, "gap"),
    "reliability": (_square, _square, "gap"),
    "resolution": (_resolution, _resolution, "flat"),
    "reliability debiased": (_square_debiased, _square, "gap"),
    "l1 debiased": (_l1_debiased, _l1, "gap"),
}
# The root of a metric. Intervals are those of the square, whose spread does not shrink as the error nears 0.
_ROOTS = {"l2": "reliability", "l2 debiased": "reliability debiased"}


def binned(metric: str, size: Tensor, conf: Tensor, right: Tensor) -> Tensor:
    """A metric from each bin's count, sum of confidence and number of right answers: [n_bins, ...] -> [...]."""
    if metric in _ROOTS:
        return binned(_ROOTS[metric], size, conf, right).clamp(min=0).sqrt()
    measure = _METRICS[metric][0]
    return measure(size, conf, right)


def read_cells(metric: str, cells: Tensor) -> float:
    """A metric of cells."""
    return float(binned(metric, cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]))


def wilson(share: Tensor, count: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Interval of a share of `count` (Wilson, "Probable inference, the law of succession", JASA 1927)."""
    z2 = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64)).square()
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = (z2 * (share * (1 - share) + z2 / (4 * count)) / count).sqrt() / (1 + z2 / count)
    return (center - reach).clamp(min=0), (center + reach).clamp(max=1)


def square_root(values: Tensor) -> Tensor:
    """Roots on the CPU, 0 for what rounding has made negative; torch's own call up other threads from 2,048 on."""
    return torch.from_numpy(np.sqrt(np.maximum(values.numpy(), 0)))


def tails_of(level: float) -> Tensor:
    """The two shares [2] between which `level` lies."""
    return torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)


def normal_interval(count: Tensor, total: Tensor, squares: Tensor, tails: Tensor) -> tuple[float, float]:
    """What a bootstrap of a mean tends to: the normal law of its mean and spread. (inf, inf) for an infinite mean."""
    mean = total / count
    if mean.isinf():
        return float(mean), float(mean)
    spread = ((squares / count - mean.square()).clamp(min=0) / count).sqrt()
    low, high = (mean + spread * torch.special.ndtri(tails)).clamp(min=0).tolist()
    return low, high


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
        self.scores = torch.randn((3, len(cells), n), generator=generator).double()
        self.count = self._multinomial(generator)
        self.right = Binomials(self.count, self.scores[1], generator)
        self.seed = int(torch.randint(2**62, (), generator=generator))
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
        scale = torch.linspace(0, 1, WORLDS, dtype=torch.float64)[:, None]
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

    def truth(self, metric: _Metric, shares: Tensor) -> Tensor:
        """The metric [WORLDS] of worlds with these shares."""
        size = self.size[:, None].expand(-1, len(shares))
        right, wrong = self.mean[:, 1:], self.mean[:, :1]
        return metric(size, size * (wrong + shares.T * (right - wrong)), size * shares.T)


def binned_intervals(
    cells: Tensor, metrics: Iterable[str], n: int, tails: Tensor, generator: torch.Generator
) -> dict[str, tuple[float, float]]:
    """Intervals of metrics of one set of cells, all from the same draws, as `Reliability.interval` describes them."""
    wanted = tuple(metrics)
    metrics = {_ROOTS.get(metric, metric) for metric in wanted}
    sampler = Resampler(cells, n, generator)
    seen = sampler.answers(sampler.share)
    still: tuple[Tensor, Tensor, Tensor] | None = None  # the world without gaps, in which "gap" and "cut" begin
    found = {}
    for family in sorted({_METRICS[metric][2] for metric in metrics}):
        names = [metric for metric in sorted(metrics) if _METRICS[metric][2] == family]
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
            truth = sampler.truth(_METRICS[name][1], shares)
            low, high = invert(read_cells(name, cells), truth, torch.stack(draws[name]), tails)
            found[name] = low, max(high, 0.0)
    for root, square in _ROOTS.items():
        if square in found:
            low, high = found[square]
            found[root] = max(low, 0.0) ** 0.5, high**0.5
    return {metric: found[metric] for metric in wanted}


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
