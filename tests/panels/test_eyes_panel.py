"""The eyes panel without a browser: its fit against SciPy, its blends, its answers and what becomes of them."""

from pathlib import Path

import numpy as np
import pytest
from panel_runs import few
from refusals import each_refused
from scipy import stats

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.panels.eyes_panel.log_odds import fit_log_odds

DRAW = np.random.default_rng(4)
LAM = DRAW.uniform(0.02, 0.98, 12)
SEEN = 1 / (1 + np.exp(-(0.3 + 1.4 * stats.logistic.ppf(LAM) + DRAW.normal(0, 0.5, 12))))


def test_the_line_is_that_of_linear_regression_on_log_odds() -> None:
    line = fit_log_odds(LAM.tolist(), SEEN.tolist())
    theirs = stats.linregress(stats.logistic.ppf(LAM), stats.logistic.ppf(SEEN))
    reach = stats.t(10).ppf(0.975)
    for ours, value, error in (
        (line.slope, theirs.slope, theirs.stderr),
        (line.offset, theirs.intercept, theirs.intercept_stderr),
    ):
        np.testing.assert_allclose([ours.value, ours.low, ours.high], value + error * np.array([0, -reach, reach]))
        assert (ours.n, ours.level) == (12, 0.95)


def test_the_band_is_that_of_the_covariance_of_the_coefficients() -> None:
    line, grid = fit_log_odds(LAM.tolist(), SEEN.tolist()), [0.05, 0.4, 0.9]
    design, there = (np.stack([np.ones(len(lam)), stats.logistic.ppf(lam)], 1) for lam in (LAM, grid))
    coefficients, (left,), *_ = np.linalg.lstsq(design, stats.logistic.ppf(SEEN))
    covariance = left / 10 * np.linalg.inv(design.T @ design)
    half = stats.t(10).ppf(0.975) * np.sqrt(np.einsum("ni,ij,nj->n", there, covariance, there))
    expected = stats.logistic.cdf(there @ coefficients + np.array([[-1], [0], [1]]) * half)
    np.testing.assert_allclose(line.curve(grid), expected)


def test_the_blends_are_the_images_weighed_by_lambdas_spread_over_the_unit_interval(data: Dataset) -> None:
    panel = mx.panels.eyes_panel(data, seed=3)
    assert panel.images.shape == (20, 32, 32, 3)
    assert sorted(int(20 * (lam - 0.01) / 0.98) for lam in panel.lam) == list(range(20))
    assert panel.lam != sorted(panel.lam)
    sources = mx.panels.mixing_panel(data, pairs=20, seed=3)
    lam = np.array(panel.lam)[:, None, None, None]
    exact = lam * sources.images[:, 0].astype(float) + (1 - lam) * sources.images[:, 1]
    assert np.abs(panel.images - exact).max() <= 0.5 + 1e-3
    assert panel._names == sources._names


def test_without_answers_it_shows_the_diagonal_and_says_so(data: Dataset) -> None:
    panel = mx.panels.eyes_panel(data)
    assert panel.fit is None
    assert panel.describe().startswith("No answers were given.")
    ax = panel.figure().axes[0]
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 1], []]
    assert panel.describe() in panel.still()
    panel.answers = [0.5, 0.4]
    assert panel.describe().startswith("2 of 20 answers; a curve takes 3.")


@pytest.mark.parametrize(
    ("power", "words"), [(2.0, "exaggerate"), (0.5, "even the two parts out"), (1.0, "containing 1")]
)
def test_answers_are_fitted_and_put_in_words(power: float, words: str, data: Dataset) -> None:
    panel = mx.panels.eyes_panel(data)
    noise = 0.1 * np.array([1, -1] * 10)
    panel.answers = stats.logistic.cdf(power * stats.logistic.ppf(panel.lam) + noise).clip(0.01, 0.99).tolist()
    assert words in panel.describe()
    assert panel.fit == fit_log_odds(panel.lam, panel.answers)


def test_answers_are_kept_in_a_file_and_read_again_for_the_same_blends(data: Dataset, tmp_path: Path) -> None:
    keep = tmp_path / "eyes.json"
    mx.panels.eyes_panel(data, keep=keep)
    assert not keep.exists()
    mx.panels.eyes_panel(data, keep=keep).answers = [0.3, 0.6]
    assert mx.panels.eyes_panel(data, keep=str(keep)).answers == [0.3, 0.6]
    assert mx.panels.eyes_panel(data, keep=keep, seed=1).answers == []


test_a_wrong_argument_is_named = each_refused(
    (lambda: mx.panels.eyes_panel("shapes"), "data must be .*'shapes'"),
    (lambda: mx.panels.eyes_panel(few(), pairs=2), "pairs must be .* 3 to 64, got 2"),
    (lambda: setattr(mx.panels.eyes_panel(few(), 3), "answers", [0.5] * 4), "answers must .* 3 blends, got 4"),
    (lambda: setattr(mx.panels.eyes_panel(few(), 3), "answers", [1.0]), "answers must .* 0.99, got 1"),
    (lambda: setattr(mx.panels.eyes_panel(few(), 3), "answers", 0.5), "answers must .* 0.99, got 0.5"),
    (lambda: fit_log_odds([0.1, 0.2], [0.1, 0.2]), "lam must .* 3 different shares .* got 2 shares"),
    (lambda: fit_log_odds([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]), "lam must .* 1 different"),
    (lambda: fit_log_odds([0.1, 0.2, 0.3], [0.1, 0.2, 1.0]), "seen must .* neither of them"),
)
