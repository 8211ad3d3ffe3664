"""Forecasts of numbers against scipy in float64; mixing of near and far labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import each_refused
from scipy import optimize, stats
from seeding import seeded

import mixlab as mx
from mixlab.domains import Problem, regression, train
from mixlab.domains.regression import ForecastNet, Forecasts, forecast, gaussian_loss
from mixlab.mixing import Near


def some(n: int = 200) -> Forecasts:
    stream = seeded()
    mean, noise = (torch.randn(n, dtype=torch.float64, generator=stream) for _ in range(2))
    deviation = 0.5 + torch.rand(n, dtype=torch.float64, generator=stream)
    return Forecasts(mean, deviation, mean + 0.8 * deviation * noise)


def test_scores_are_scipys() -> None:
    said = some()
    mean, deviation, y = (part.numpy() for part in (said.mean, said.deviation, said.y))
    law = stats.norm(mean, deviation)
    assert np.isclose(said.nll, -law.logpdf(y).mean())
    assert np.isclose(said.rmse, np.sqrt(np.mean((y - mean) ** 2)))
    covered = {}
    for level in [*np.arange(1, 20) / 20, 0.683]:
        low, high = law.interval(level)
        covered[level] = np.mean((low <= y) & (y <= high))
        assert np.isclose(said.coverage(level), covered[level])
        assert np.isclose(said.width(level), np.mean(high - low))
    del covered[0.683]
    assert np.isclose(said.coverage_error, np.mean([abs(share - level) for level, share in covered.items()]))


@pytest.mark.parametrize(("lam", "one", "two"), [(0.3, -1.0, 2.0), (0.5, 0.0, 0.5), (0.9, 1.0, -3.0)])
def test_the_best_variance_for_two_labels_holds_their_spread(lam, one, two) -> None:
    def loss(forecast: np.ndarray) -> float:
        rows, labels = torch.tensor(np.array([forecast] * 2)), torch.tensor([one, two], dtype=torch.float64)
        return float(torch.tensor([lam, 1 - lam]).double() @ gaussian_loss(rows, labels))

    best = optimize.minimize(loss, [0.0, 0.0], method="BFGS", tol=1e-10).x
    np.testing.assert_allclose(best[0], lam * one + (1 - lam) * two, atol=1e-4)
    np.testing.assert_allclose(np.exp(best[1]), lam * (1 - lam) * (one - two) ** 2, rtol=1e-3)


@pytest.mark.parametrize("name", regression.SETS)
def test_problems_are_scaled_by_their_training_part(name) -> None:
    problem, other = (regression.load(name, seed=seed) for seed in (0, 1))
    for part in problem.train:
        torch.testing.assert_close(part.mean(0), torch.zeros(part.shape[1:]), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.std(0), torch.ones(part.shape[1:]))
    assert problem.test[0].mean(0).abs().max() > 1e-3
    assert not torch.equal(problem.test[1], other.test[1])
    assert torch.equal(problem.test[1], regression.load(name).test[1])


@pytest.mark.parametrize(
    "mixer",
    [
        None,
        mx.Mixer("mixup", partners=Near(0.3), distinct=True),
        mx.Mixer("mixup", k=5),
        mx.Mixer("manifold", layers=["block1"], k=2, partners=Near(0.3)),
        mx.Mixer("regmixup"),
    ],
    ids=str,
)
def test_numbers_are_learned_with_every_mixer(mixer) -> None:
    problem = regression.load("friedman")
    model = ForecastNet(10)
    train(problem, model, mixer, epochs=10, loss=gaussian_loss, learning_rate=0.01)
    assert forecast(problem, model).rmse < 0.6  # of 1 where the mean is forecast for all


def test_far_partners_widen_intervals() -> None:
    problem, widths = regression.load("friedman"), []
    for partners in ("random", Near(0.2)):
        model = ForecastNet(10)
        train(problem, model, mx.Mixer(partners=partners), epochs=15, loss=gaussian_loss, learning_rate=0.01)
        widths.append(forecast(problem, model).width())
    assert widths[0] > 1.3 * widths[1]


PAIR = (torch.zeros(2, 3), torch.tensor([0, 1]))
test_refused = each_refused(
    (lambda: regression.load("diabetis"), "name must be one of 'diabetes'.*did you mean 'diabetes'"),
    (lambda: regression.load(test_share=1), "test_share must be a number from 0.01 to 0.99"),
    (
        lambda: gaussian_loss(torch.zeros(4, 2), torch.zeros(4, 1)),
        r"forecasts must be .* y \[N\], got .* y of \[4, 1\]",
    ),
    (lambda: replace(some(), y=some().y[:, None]), r"y must have the shape \[N\] of mean, got .* \[200, 1\]"),
    (lambda: replace(some(), mean=some().mean / 0), "mean must be finite, got 200 with NaN or infinity"),
    (lambda: replace(some(), deviation=-some().deviation), "deviation must be above 0, got -"),
    (lambda: ForecastNet(3)(torch.zeros(4, 2)), r"x must be \[batch, 3\], got .* \[4, 2\]"),
    (lambda: some().coverage(0), "level must be a number from 0.001"),
    (lambda: forecast(Problem("p", "s", PAIR, PAIR, ("a", "b")), ForecastNet(3)), "problem must be a Problem with num"),
)
