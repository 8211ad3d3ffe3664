"""How often 95% intervals hold the truth: what the docstrings of KS, smooth and label errors and of the AURC say.

    python benchmarks/interval_coverage.py [SAMPLES]

Confidences are 0.5 + 0.5 Beta(4, 1.5), and an answer is right at a share of the confidence less a gap. A share of
SAMPLES (default 1,000) near 0.95 has a standard error of 0.007.
"""

import sys

import numpy as np
import torch
from scipy import stats

from mixlab.calibration.estimators import estimate
from mixlab.calibration.multilabel import LabelPredictions
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.smooth import GRID, _fixed_point, _waves

GAPS = {
    "calibrated": lambda conf: 0 * conf,
    "over by 0.02": lambda conf: 0 * conf + 0.02,
    "over by 0.05": lambda conf: 0 * conf + 0.05,
    "over by 0.1": lambda conf: 0 * conf + 0.1,
    "over and under by up to 0.05": lambda conf: 0.05 * np.sin(4 * np.pi * (conf - 0.5)),
}
SIZES = (500, 2000, 10_000)
POPULATION = 2_000_000


def draw(n, gap, random):
    """Predictions of n answers."""
    conf = 0.5 + 0.5 * random.beta(4, 1.5, n)
    wrong = random.random(n) >= conf - gap(conf)
    return Predictions.from_probs(np.stack([conf, 1 - conf], 1), wrong.astype(int))


def truths(gap):
    """KS error, smooth error and AURC of the population, from its quantiles."""
    conf = 0.5 + 0.5 * stats.beta.ppf((np.arange(POPULATION) + 0.5) / POPULATION, 4, 1.5)
    residual = -gap(conf)
    mass = np.bincount((conf * GRID).round().astype(int), residual, GRID + 1) / POPULATION
    risk = np.cumsum((1 - conf - residual)[::-1]) / np.arange(1, POPULATION + 1)
    return {
        "ks": np.abs(residual.cumsum()).max() / POPULATION,
        "smooth": _fixed_point(_waves(torch.from_numpy(mass))),
        "aurc": risk.mean(),
    }


def draw_labels(n, shift, generator):
    """Logits of eight labels that 1% to 50% of the rows have, too high by `shift`; the labels; and the true logits."""
    common, rare = torch.randn(n, 1, generator=generator), torch.tensor([0.0, -2, -4, -6, -3, -3, -3, -3])
    true = 1.5 * torch.randn(n, 8, generator=generator) + common + rare
    return true + shift, torch.rand(n, 8, generator=generator) < true.sigmoid(), true


def label_truths(shift, rounds=10, n_bins=15):
    """The errors [10] in bins of eight labels, their mean and the mean weighted by count, from 3,000,000 rows."""
    generator, gap, count = torch.Generator().manual_seed(99), torch.zeros(8 * n_bins).double(), torch.zeros(8).double()
    for _ in range(rounds):
        said, _, true = (each.sigmoid() for each in draw_labels(300_000, shift, generator))
        where = torch.bucketize(said, torch.arange(1, n_bins) / n_bins) + n_bins * torch.arange(8)
        gap += torch.bincount(where.view(-1), (said - true).double().view(-1), 8 * n_bins)
        count += true.double().sum(0)
    errors = gap.view(8, n_bins).abs().sum(1) / 300_000 / rounds
    return torch.stack([*errors, errors.mean(), errors @ count / count.sum()])


def main(samples):
    """Print the coverage of each interval in each world."""
    for shift in (0.0, 0.3, 1.0):
        truth = label_truths(shift)
        for n in SIZES[:2]:
            generator, held = torch.Generator().manual_seed(n), torch.zeros(10)
            for _ in range(samples):
                errors = LabelPredictions.from_logits(*draw_labels(n, shift, generator)[:2]).errors()
                low, high = (
                    torch.tensor([(each.low, each.high) for each in (*errors.values(), errors.macro, errors.weighted)])
                    .double()
                    .T
                )
                held += (low - 1e-6 <= truth) & (truth <= high + 1e-6)
            shares = (held / samples).tolist()
            print(
                f"logits too high by {shift}, n = {n:,}: labels {min(shares[:8]):.3f} to {max(shares[:8]):.3f}, "
                f"mean {shares[8]:.3f}, weighted {shares[9]:.3f}",
                flush=True,
            )
    for name, gap in GAPS.items():
        truth = truths(gap)
        for n in SIZES:
            random, held = np.random.default_rng(n), dict.fromkeys(truth, 0)
            for _ in range(samples):
                p = draw(n, gap, random)
                for what, value in truth.items():
                    interval = estimate(p, what)
                    held[what] += interval.low - 1e-6 <= value <= interval.high + 1e-6
            shares = "  ".join(f"{what} {count / samples:.3f}" for what, count in held.items())
            print(f"{name:30} n = {n:6,}  {shares}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
