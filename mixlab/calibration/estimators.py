"""Estimators of calibration on one prediction set, each with an interval.

All of them look at the top-1 answer and its confidence, but for `classwise_error`, `nll` and `brier`, which look at
every class. Binned ones are functions of the cells in `mixlab.calibration.bins`, computed where the predictions live.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check
from mixlab.calibration.bins import fill_cells, mass_edges, read_cells, width_edges
from mixlab.calibration.bootstrap import binned_intervals
from mixlab.calibration.classwise import block_interval, class_gaps
from mixlab.calibration.intervals import Interval, normal_interval, tails_of, wilson
from mixlab.calibration.predictions import Predictions, check_predictions, square_sums

NORMS = ("l1", "l2", "max")
BINS = ("width", "mass")
MAX_BINS = 10_000

ESTIMATORS = {
    "accuracy": "share of right answers",
    "ece": "mean |accuracy - confidence| over bins of equal width (Guo et al. 2017)",
    "ece_mass": "the same over bins of equal counts (Nixon et al. 2019)",
    "ece_l2": "root of the mean squared gap over bins of equal width (Kumar et al. 2019)",
    "mce": "largest gap of a bin (Guo et al. 2017)",
    "debiased": "the L2 error without the noise of the bins (Kumar et al. 2019)",
    "debiased_l1": "the L1 error without the noise of the bins (Roelofs et al. 2022, in closed form)",
    "classwise": "mean over classes of the binned |frequency - probability| (static error, Nixon et al. 2019)",
    "smooth": "kernel in place of bins, as wide as the error itself (Blasiok and Nakkiran 2024)",
    "ks": "largest gap of the cumulative sums, without bins (Gupta et al. 2021)",
    "overconfidence": "confidence-weighted gap where confidence is above accuracy (Thulasidasan et al. 2019)",
    "underconfidence": "its mirror, where confidence is below accuracy",
    "nll": "mean negative log likelihood, in nats",
    "brier": "mean squared distance of the probabilities from the label, summed over classes (Brier 1950)",
    "reliability": "Murphy's: mean squared gap of accuracy and confidence over bins (Murphy 1973)",
    "resolution": "Murphy's: how much the accuracies of the bins differ, more is better (Murphy 1973)",
    "aurc": "area under risk against coverage (Geifman and El-Yaniv 2017)",
}

# name -> (bins, metric of the cells)
_BINNED = {
    "ece": ("width", "l1"),
    "ece_mass": ("mass", "l1"),
    "ece_l2": ("width", "l2"),
    "mce": ("width", "max"),
    "debiased": ("width", "l2 debiased"),
    "debiased_l1": ("width", "l1 debiased"),
    "overconfidence": ("width", "overconfidence"),
    "underconfidence": ("width", "underconfidence"),
    "reliability": ("width", "reliability"),
    "resolution": ("width", "resolution"),
}


@dataclass(frozen=True)
class Murphy:
    """The mean squared error of the confidence, (1/N) sum (confidence - correct)^2, taken apart over bins.

    reliability - resolution + uncertainty + within is that mean exactly. With conf_b, acc_b the means of a bin:

    Attributes:
        reliability: sum_b n_b/N (conf_b - acc_b)^2; less is better.
        resolution: sum_b n_b/N (acc_b - acc)^2; more is better.
        uncertainty: acc (1 - acc), which is no doing of the model's confidence.
        within: (1/N) sum_i (conf_i - conf_b)^2 - 2 (conf_i - conf_b) (correct_i - acc_b), what binning leaves out; it
            is 0 if all confidences of a bin are equal, and negative where confidence orders the answers within bins.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float

    @property
    def brier(self) -> float:
        """The sum of the four: the Brier score of the top-1 answer."""
        return self.reliability - self.resolution + self.uncertainty + self.within


def calibration_error(
    p: Predictions, *, norm: str = "l1", bins: str = "width", n_bins: int = 15, debiased: bool = False
) -> float:
    """Binned calibration error of the top-1 answer.

    With gap_b = |accuracy - mean confidence| in bin b, holding n_b of N predictions:
    "l1": sum_b n_b/N gap_b (ECE, Guo et al. 2017, eq. 3); "l2": root of sum_b n_b/N gap_b^2; "max": the largest gap_b
    of a bin that is not empty (MCE).

    Noise in a bin counts as error whatever its sign, so that a calibrated model has an error above 0. `debiased`
    takes the noise off: for "l2" acc_b (1 - acc_b) / (n_b - 1) is taken from each gap_b^2, bins of one prediction count
    0, and a negative sum counts 0 (Kumar et al. 2019, "Verified Uncertainty Calibration", after Broecker 2012); for
    "l1" the result is 2 gap_b - E|N(gap_b, acc_b (1 - acc_b) / n_b)|, summed, and 0 if negative. The expectation is the
    closed form of the folded normal's mean, where the library uncertainty-calibration draws samples.

    Args:
        p: predictions.
        norm: "l1", "l2" or "max".
        bins: "width": bin i holds the confidences in (i/n_bins, (i+1)/n_bins], edges rounded to the dtype of the
            probabilities. "mass": equal counts (Nixon et al. 2019), but equal confidences never in different bins.
        n_bins: 1 to 10,000.
        debiased: for "l1" and "l2".

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; `debiased` with "max".
    """
    check_predictions(p, "p")
    _check.choice("norm", norm, NORMS)
    if _check.flag("debiased", debiased) and norm == "max":
        raise ValueError("norm must be 'l1' or 'l2' where debiased is True, got 'max'")
    return read_cells(f"{norm} debiased" if debiased else norm, _cells(p, bins, n_bins))


def classwise_error(p: Predictions, *, norm: str = "l1", bins: str = "width", n_bins: int = 15) -> float:
    """Static calibration error: the mean over classes k of the binned error of p_k against [label = k].

    All N rows count for each class, n_b of them in bin b: "l1" is (1/C) sum_k sum_b n_b/N |freq_b - mean p_b|, "l2" the
    mean over classes of the root of the squares, "max" the mean of the largest gaps.

    Args:
        p: predictions.
        norm: "l1", "l2" or "max".
        bins: "width" or "mass" as for `calibration_error`; with "mass", each class has edges of its own.
        n_bins: 1 to 10,000.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Nixon et al. 2019, "Measuring Calibration in Deep Learning", eq. 4.
    """
    check_predictions(p, "p")
    _check.choice("norm", norm, NORMS)
    _check.choice("bins", bins, BINS)
    _check.integer("n_bins", n_bins, 1, MAX_BINS)
    gap, size = (
        sums[0] for sums in class_gaps(p.probs, p.labels, bins, n_bins, beside="" if norm == "l1" else "count")
    )
    if norm == "l1":
        return float(gap.abs().sum(1).mean() / len(p))
    mean_gap = gap.abs() / size.clamp(min=1)
    if norm == "max":
        return float(mean_gap.amax(1).mean())
    return float(((size * mean_gap.square()).sum(1) / len(p)).sqrt().mean())


def overconfidence(p: Predictions, n_bins: int = 15) -> float:
    """Sum over bins of n_b/N conf_b max(conf_b - acc_b, 0) (Thulasidasan et al. 2019, "On Mixup Training")."""
    return read_cells("overconfidence", _cells(check_predictions(p, "p"), "width", n_bins))


def underconfidence(p: Predictions, n_bins: int = 15) -> float:
    """The mirror of `overconfidence`: sum over bins of n_b/N conf_b max(acc_b - conf_b, 0)."""
    return read_cells("underconfidence", _cells(check_predictions(p, "p"), "width", n_bins))


def nll(p: Predictions) -> float:
    """Mean negative log likelihood in nats; infinite if a true class was given the probability 0."""
    return float(_nll_rows(check_predictions(p, "p")).mean())


def brier(p: Predictions) -> float:
    """Mean over rows of the sum over classes of (p_k - y_k)^2 (Brier 1950), from 0 to 2."""
    return float(_brier_rows(check_predictions(p, "p")).mean())


def murphy(p: Predictions, *, bins: str = "width", n_bins: int = 15) -> Murphy:
    """Murphy's decomposition of the top-1 answer's Brier score, with what happens within bins.

    Args:
        p: predictions.
        bins: "width" or "mass" as for `calibration_error`.
        n_bins: 1 to 10,000.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Murphy 1973, "A new vector partition of the probability score"; the terms within bins are those of
    Stephenson et al. 2008, "Two extra components in the Brier score decomposition", eq. 5, here as one sum.
    """
    cells = _cells(check_predictions(p, "p"), bins, n_bins)
    size, conf, right = cells[..., 0].sum(1), cells[..., 1].sum(1), cells[:, 1, 0]
    filled, total = size.clamp(min=1), size.sum()
    spread = cells[..., 2].sum() - (conf.square() / filled).sum()
    together = cells[:, 1, 1].sum() - (conf * right / filled).sum()
    accuracy = right.sum() / total
    return Murphy(
        reliability=read_cells("reliability", cells),
        resolution=read_cells("resolution", cells),
        uncertainty=float(accuracy * (1 - accuracy)),
        within=float((spread - 2 * together) / total),
    )


@dataclass(frozen=True, repr=False, eq=False)
class Estimates(Mapping[str, Interval]):
    """Estimates by name, in the order asked for; renders as a table in a notebook and as text elsewhere."""

    intervals: Mapping[str, Interval]

    def __getitem__(self, name: str) -> Interval:
        return self.intervals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.intervals)

    def __len__(self) -> int:
        return len(self.intervals)

    def _title(self) -> str:
        first = next(iter(self.intervals.values()))
        return f"{first.n:,} predictions, with {100 * first.level:g}% intervals"

    def __repr__(self) -> str:
        wide = max(map(len, self))
        lines = [f"{name:{wide}}  {_number(e.value)}  {_span(e)}  {ESTIMATORS[name]}" for name, e in self.items()]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="text-align:left">{text}</th>' for text in _HEADS)
        left, right = 'style="text-align:left"', 'style="text-align:right"'
        rows = "".join(
            f'<tr><th scope="row" {left}>{html.escape(name)}</th><td {right}>{_number(e.value)}</td>'
            f"<td {right}>{_span(e)}</td><td {left}>{html.escape(ESTIMATORS[name])}</td></tr>"
            for name, e in self.items()
        )
        return f"<table><caption>{self._title()}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_HEADS = ("estimate", "value", "interval", "what it is")


def estimate(
    p: Predictions,
    name: str,
    *,
    n_bins: int = 15,
    n: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> Interval:
    """One of ESTIMATORS with its interval; arguments and intervals as for `estimates`."""
    _check.choice("name", name, ESTIMATORS)
    return estimates(p, (name,), n_bins=n_bins, n=n, level=level, generator=generator)[name]


def estimates(
    p: Predictions,
    names: Sequence[str] = tuple(ESTIMATORS),
    *,
    n_bins: int = 15,
    n: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> Estimates:
    """Several of ESTIMATORS with their intervals, the binned ones from the same resamples.

    What an interval of a binned estimate covers is the metric of the population in these bins, not the error without
    bins; for "debiased" and "debiased_l1" it is the L2 and the L1 error. Edges of equal mass are held fixed at the
    quantiles of the data. The low end inverts a test over worlds of smaller error, and the high end is the percentile
    one less the bootstrap's bias, as `Reliability.interval` tells. For "resolution" the worlds are those whose
    accuracies are nearer to their mean. "classwise" resamples 200 blocks of rows, so that classes vary together, which
    costs one more pass over the probabilities. "accuracy" takes Wilson's interval, "nll" and "brier" the normal law.

    Measured coverage by 95% intervals, 15 bins, 400 samples each, for n = 500, 2,000 and 10,000:

                          calibrated          over by 0.1         under by 0.05
        ece               0.97 0.97 0.96      0.97 0.94 0.95      0.97 0.98 0.95
        ece_mass          0.97 0.96 0.97      0.96 0.94 0.94      0.98 0.97 0.94
        ece_l2            0.97 0.96 0.96      0.98 0.96 0.97      0.96 0.98 0.97
        mce               0.99 0.99 0.96      1.00 0.96 0.95      0.98 0.97 0.96
        debiased          0.98 0.97 0.96      0.96 0.94 0.95      0.96 0.97 0.95
        debiased_l1       0.98 0.97 0.97      0.94 0.93 0.95      0.96 0.93 0.93
        overconfidence    0.98 0.97 0.98      0.95 0.93 0.94      1.00 1.00 1.00
        underconfidence   0.95 0.96 0.97      1.00 1.00 1.00      0.95 0.94 0.95
        reliability       0.97 0.96 0.96      0.98 0.96 0.97      0.96 0.98 0.97
        resolution        0.97 0.96 0.94      0.97 0.94 0.94      0.96 0.96 0.94

    "classwise" covers 92% to 99% with 2 or 10 classes at n = 500 and 2,000 (200 samples each), but with few rows a
    class it falls short: 81% for a calibrated model of 50 classes at n = 500, 95% at 2,000 (80 samples each).

    Args:
        p: predictions.
        names: of ESTIMATORS; by default all.
        n_bins: 1 to 10,000.
        n: resamples, 100 to 1,000,000.
        level: of confidence, 0.5 to 0.999.
        generator: on the CPU; by default the same fixed seed each time, so that asking twice gives the same.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, or an unknown name.
    """
    check_predictions(p, "p")
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise TypeError(f"names must be a sequence of at least one name of an estimator, got {_check.shown(names)}")
    for name in names:
        _check.choice("names", name, ESTIMATORS)
    _check.integer("n_bins", n_bins, 1, MAX_BINS)
    asked = generator
    n, level, generator = _check.resampling(n, level, asked)
    # The same stream for each, so that an interval does not depend on what else was asked for.
    seed = 0 if asked is None else int(torch.randint(2**62, (), generator=generator))

    def stream() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    found: dict[str, Interval] = {}
    for bins in BINS:
        metrics = {name: _BINNED[name][1] for name in names if _BINNED.get(name, ("",))[0] == bins}
        if metrics:
            cells = _cells(p, bins, n_bins)
            ends = binned_intervals(cells, metrics.values(), n, tails_of(level), stream())
            for name, metric in metrics.items():
                found[name] = Interval(read_cells(metric, cells), *ends[metric], len(p), level)
    for name in names:
        if name not in found:
            found[name] = _unbinned(p, name, n_bins, n, level, stream())
    return Estimates({name: found[name] for name in names})


def _unbinned(p: Predictions, name: str, n_bins: int, n: int, level: float, generator: torch.Generator) -> Interval:
    from mixlab.calibration import smooth
    from mixlab.calibration.ks import ks_interval
    from mixlab.calibration.rejection import aurc_interval

    given = {"smooth": smooth.interval, "ks": ks_interval, "aurc": aurc_interval}
    if name in given:
        return given[name](p, n, level, generator)
    if name == "accuracy":
        share, count = p.correct.double().mean().cpu(), torch.tensor(float(len(p)), dtype=torch.float64)
        low, high = wilson(share, count, level)
        return Interval(float(share), float(low), float(high), len(p), level)
    if name == "classwise":
        value = classwise_error(p, n_bins=n_bins)
        ends = block_interval(value, p.probs, p.labels, n_bins, n, tails_of(level), generator)
        return Interval(value, *ends, len(p), level)
    rows = _nll_rows(p) if name == "nll" else _brier_rows(p)
    count = torch.tensor(float(len(p)), dtype=torch.float64)
    ends = normal_interval(count, rows.sum().cpu(), rows.square().sum().cpu(), tails_of(level))
    return Interval(float(rows.mean()), *ends, len(p), level)


def _cells(p: Predictions, bins: str, n_bins: int) -> Tensor:
    """Cells of the top-1 answers, on the CPU."""
    _check.choice("bins", bins, BINS)
    n_bins = _check.integer("n_bins", n_bins, 1, MAX_BINS)
    conf = p.confidence
    edges = (
        width_edges(n_bins, p.given_dtype, conf.device)
        if bins == "width"
        else mass_edges(conf.to(p.probs.dtype), n_bins)
    )
    return fill_cells(conf, p.correct, edges).cpu()


def _nll_rows(p: Predictions) -> Tensor:
    if p.given_logits is None:
        return -p.probs.gather(1, p.labels[:, None])[:, 0].double().log()
    true = p.given_logits.gather(1, p.labels[:, None])[:, 0]  # finite where a probability rounds to 0
    return p.given_logits.logsumexp(1).double() - true.double()


def _brier_rows(p: Predictions) -> Tensor:
    p_true = p.probs.gather(1, p.labels[:, None])[:, 0].double()
    return (1 - p_true).square() + square_sums(p.probs) - p_true.square()


def _number(value: float) -> str:
    return f"{value:.4f}"


def _span(found: Interval) -> str:
    return f"[{_number(found.low)}, {_number(found.high)}]"
