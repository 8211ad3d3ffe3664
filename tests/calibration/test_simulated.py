"""Known truth: closed forms against quadrature, posteriors against densities, the true error where chances scatter."""

import math
import re

import numpy as np
import pytest
import torch
from refusals import each_refused
from scipy import integrate, special, stats
from seeding import seeded

from mixlab.calibration.bias_table import bias_table
from mixlab.calibration.calibration_error import calibration_error
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.simulated import ambiguous_shapes, blobs, true_error, warped
from mixlab.calibration.smooth import smooth_error
from mixlab.data import shapes


@pytest.mark.parametrize(
    ("factor", "spread"), [(1.0, 2.0), (2.0, 2.0), (0.5, 1.0), (1.3, 4.0), (100.0, 100.0), (0.01, 3.0), (3.0, 0.01)]
)
def test_the_true_error_of_warped_is_the_integral(factor, spread):
    def moment(power):
        def gap(t):
            return abs(special.expit(factor * spread * t) - special.expit(spread * t)) ** power

        value = integrate.quad(lambda t: 2 * stats.norm.pdf(t) * gap(t), 0, np.inf, epsabs=1e-14, epsrel=1e-13)
        return value[0]

    drawn = warped(10, factor=factor, spread=spread)
    assert drawn.true_l1 == pytest.approx(moment(1), abs=1e-12)
    assert drawn.true_l2 == pytest.approx(math.sqrt(moment(2)), abs=1e-12)


def test_warped_says_factor_times_the_log_odds_and_labels_follow_the_posterior():
    drawn = warped(200_000, factor=3.0, spread=1.5, seed=4)
    z = drawn.posterior[:, 1].logit()
    assert drawn.predictions.probs.dtype == torch.float64
    assert torch.allclose(drawn.predictions.probs[:, 1], (3 * z).sigmoid(), rtol=0, atol=1e-12)
    assert stats.kstest(z.numpy() / 1.5, "norm").pvalue > 1e-3
    labels = drawn.predictions.labels.double()
    for low, high in ((-9, -2), (-2, -0.5), (-0.5, 0.5), (0.5, 2), (2, 9)):
        mine = (z > low) & (z <= high)
        chance = drawn.posterior[mine, 1]
        error = (chance * (1 - chance)).sum().sqrt()
        assert abs((labels[mine] - chance).sum()) < 4.5 * error
    assert repr(drawn) == "Warped(200,000 predictions, true L1 0.1498, L2 0.1635)"


def test_equal_seeds_repeat_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    first, again, other = (warped(50, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.predictions.probs, again.predictions.probs)
    assert torch.equal(first.predictions.labels, again.predictions.labels)
    assert not torch.equal(first.predictions.probs, other.predictions.probs)
    assert torch.equal(blobs(50, seed=3).points, blobs(50, seed=3).points)
    assert torch.equal(ambiguous_shapes(50, 10).data.train.images, ambiguous_shapes(50, 10).data.train.images)
    bias_table(("ece",), (10,), (5,), repeats=2)
    assert torch.equal(state, torch.get_rng_state())


def scattered(n, factor, seed):
    """Warped, and a posterior whose chances scatter by up to 0.2 about the same mean given the confidence."""
    drawn = warped(n, factor=factor, seed=seed)
    sign = torch.rand(n, generator=seeded(seed)).round() * 2 - 1
    shift = sign * drawn.posterior.amin(1).clamp(max=0.2)
    return drawn, drawn.posterior + torch.stack([shift, -shift], 1)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("factor", [0.7, 2.0])
def test_true_error_agrees_with_the_closed_form(factor, norm):
    truth = {"l1": "true_l1", "l2": "true_l2"}[norm]
    plain, noisy = [], []
    for seed in range(40):
        drawn, posterior = scattered(2_000, factor, seed)
        plain.append(true_error(drawn.predictions, drawn.posterior, norm=norm) - getattr(drawn, truth))
        noisy.append(true_error(drawn.predictions, posterior, norm=norm) - getattr(drawn, truth))
    for values, lean in ((plain, 0.0001), (noisy, 0.002)):  # about twice the largest lean measured over 200 sets
        assert abs(np.mean(values)) < lean + 4 * np.std(values) / 40**0.5


def test_true_error_of_scattered_chances_is_below_the_error_in_bins():
    """A calibrated model: bins with the exact chances still take their scatter for error, 15 of them more than this."""
    mine, binned = [], []
    for seed in range(40):
        drawn, posterior = scattered(500, 1.0, seed)
        mine.append(true_error(drawn.predictions, posterior))
        gap = posterior.gather(1, drawn.predictions.answer[:, None])[:, 0] - drawn.predictions.confidence
        parts = gap[drawn.predictions.confidence.argsort()].tensor_split(15)
        binned.append(sum(abs(float(part.sum())) for part in parts) / 500)
    assert np.mean(mine) < 0.007 < 0.011 < np.mean(binned)


def test_true_error_against_loops():
    cloud = blobs(60, classes=4, seed=2)
    logits = 2 * cloud.posterior.log() + torch.randn(60, 4, generator=seeded())
    p = Predictions.from_logits(logits, cloud.labels)
    rows = sorted(range(60), key=lambda row: float(p.confidence[row]))
    gap = [float(cloud.posterior[row, p.answer[row]] - p.confidence[row]) for row in rows]
    reach = math.ceil(60 ** (2 / 3) / 4)
    others = [np.mean([gap[j] for j in range(max(0, i - reach), min(60, i + reach + 1)) if j != i]) for i in range(60)]
    l1 = np.mean([g * math.copysign(1, other) for g, other in zip(gap, others, strict=True)])
    l2 = math.sqrt(np.mean([g * other for g, other in zip(gap, others, strict=True)]))
    assert true_error(p, cloud.posterior) == pytest.approx(l1, abs=1e-12)
    assert true_error(p, cloud.posterior.numpy(), norm="l2") == pytest.approx(l2, abs=1e-12)
    shuffled = torch.randperm(60, generator=seeded(1))
    relabeled = Predictions.from_logits(logits[shuffled], cloud.labels)  # labels play no part
    assert true_error(relabeled, cloud.posterior[shuffled]) == pytest.approx(l1, abs=1e-12)


def test_true_error_where_all_confidences_are_equal():
    """One confidence of 0.9; answers right with chance 0 or 1, in blocks that the order of rows must not show."""
    p = Predictions.from_probs(torch.tensor([[0.9, 0.1]]).double().repeat(1000, 1), torch.zeros(1000).long())
    posterior = torch.eye(2).repeat_interleave(500, 0)
    assert true_error(p, posterior) == pytest.approx(0.4, abs=0.03)
    assert true_error(p, posterior, norm="l2") == pytest.approx(0.4, abs=0.03)
    certain = Predictions.from_probs(torch.eye(2)[[0, 0, 0]], torch.tensor([0, 0, 1]))
    assert true_error(certain, torch.eye(2)[[0, 0, 0]]) == 0


@pytest.mark.parametrize(("classes", "spread"), [(2, 1.0), (3, 0.7), (7, 2.0)])
def test_the_posterior_of_blobs_is_bayes_rule(classes, spread):
    cloud = blobs(200, classes=classes, spread=spread, seed=1)
    points = cloud.points.double().numpy()
    density = np.stack([stats.multivariate_normal(mean, spread**2).pdf(points) for mean in cloud.means.numpy()], 1)
    assert np.allclose(cloud.posterior.numpy(), density / density.sum(1, keepdims=True), rtol=0, atol=1e-12)
    assert torch.equal(cloud.posterior_at(cloud.points.numpy()), cloud.posterior)
    assert torch.allclose(cloud.posterior_at(cloud.means).argmax(1), torch.arange(classes))
    neighbors = (cloud.means - cloud.means.roll(1, 0)).norm(dim=1)
    assert torch.allclose(neighbors, torch.full((classes,), 2.5, dtype=torch.float64))


def test_labels_of_blobs_follow_the_posterior_and_leave_the_bayes_error_promised():
    for classes, accuracy in ((2, stats.norm.cdf(1.25)), (3, 0.824), (50, 0.789)):
        cloud = blobs(50_000, classes=classes, seed=5)
        assert float(cloud.posterior.amax(1).mean()) == pytest.approx(accuracy, abs=0.004)
        right = cloud.posterior.argmax(1) == cloud.labels
        assert float(right.double().mean()) == pytest.approx(accuracy, abs=0.009)
    p = Predictions.from_probs(cloud.posterior, cloud.labels)
    assert true_error(p, cloud.posterior) < 1e-12
    assert smooth_error(p) < 0.01
    assert repr(cloud).startswith("Blobs(50,000 points, 50 classes, best accuracy 0.7")


def test_figure_and_gauge_tell_the_posterior():
    drawn = ambiguous_shapes(600, 40, seed=3)
    plain, figure = shapes.draw(600, seed=3, difficulty=0)
    images = drawn.data.train.images
    assert torch.equal(images[:, :, :-3], plain[:, :, :-3])
    bar = images[:, :, -3:]
    assert set(bar.unique().tolist()) == {0, 255}
    width = (bar[:, 0, 0] == 255).sum(1)
    assert torch.equal(bar, bar[:, :1, :1].expand_as(bar))
    assert torch.equal(bar, bar.flip(3))
    assert set(width.tolist()) == set(range(2, 33, 2))
    wanted = torch.zeros(600, 10, dtype=torch.float64)
    for row, (label, pixels) in enumerate(zip(figure.tolist(), width.tolist(), strict=True)):
        wanted[row, label] = 0.5 + (pixels - 2) / 60
        wanted[row, (label + 1) % 10] = 0.5 - (pixels - 2) / 60
    assert torch.allclose(drawn.train_posterior, wanted, rtol=0, atol=1e-15)
    assert (drawn.train_posterior.sum(1) == 1).all()


def test_labels_of_ambiguous_shapes_follow_the_posterior():
    drawn = ambiguous_shapes(5_000, 10)
    chance, figure = drawn.train_posterior.max(1)
    own = drawn.data.train.labels == figure
    assert drawn.train_posterior.gather(1, drawn.data.train.labels[:, None]).min() > 0
    for low, high in ((0.53, 0.7), (0.7, 0.85), (0.85, 0.99)):  # not the shortest bar, where both classes tie
        mine = (chance > low) & (chance <= high)
        error = (chance * (1 - chance))[mine].sum().sqrt()
        assert abs((own[mine].double() - chance[mine]).sum()) < 4.5 * error
    assert own[chance == 1].all()
    assert abs(chance.mean() - 0.75) < 0.01


def test_the_test_pictures_are_always_the_same_and_fewer_are_the_first_of_more():
    one, other = ambiguous_shapes(40, 30, seed=1), ambiguous_shapes(20, 60, seed=2)
    assert torch.equal(one.data.test.images, other.data.test.images[:30])
    assert torch.equal(one.data.test.labels, other.data.test.labels[:30])
    assert torch.equal(one.test_posterior, other.test_posterior[:30])
    fewer = ambiguous_shapes(20, 30, seed=1)
    assert torch.equal(one.data.train.labels[:20], fewer.data.train.labels)
    assert not torch.equal(fewer.data.train.images, other.data.train.images)
    assert repr(one.data) == 'Dataset("ambiguous shapes", train 40, test 30, 10 classes)'


def test_bias_table_is_the_estimators_on_sets_of_warped():
    table = bias_table(("ece", "debiased", "smooth"), (50, 300), (5, 20), factor=1.5, repeats=30, seed=2)
    kinds = [(row.estimator, row.n, row.bins) for row in table]
    binned = [(name, n, bins) for name in ("ece", "debiased") for bins in (5, 20) for n in (50, 300)]
    assert kinds == [*binned, ("smooth", 50, None), ("smooth", 300, None)]
    assert len(table) == 10
    generator = seeded(2)
    values = []
    for _ in range(30):
        z = 2.0 * torch.randn(300, generator=generator, dtype=torch.float64)
        labels = (torch.rand(300, generator=generator, dtype=torch.float64) < z.sigmoid()).long()
        p = Predictions.from_logits(torch.stack([-0.75 * z, 0.75 * z], 1), labels)
        values.append(calibration_error(p, norm="l2", n_bins=20, debiased=True))
    row = table.rows[7]
    assert row.estimate.value == pytest.approx(np.mean(values), abs=1e-12)
    assert row.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    low, high = stats.t.interval(0.95, 29, np.mean(values), stats.sem(values))
    assert (row.estimate.low, row.estimate.high) == pytest.approx((low, high))
    assert row.truth == warped(1, factor=1.5).true_l2
    assert row.bias.value == pytest.approx(row.estimate.value - row.truth, abs=1e-12)
    assert table.rows[0].truth == table.rows[-1].truth == warped(1, factor=1.5).true_l1


def test_bins_bias_a_calibrated_model_upward_and_more_so_with_more_bins():
    names = ("ece", "ece_mass", "ece_l2", "debiased_l1", "classwise", "ks")
    table = bias_table(names, (200,), (5, 50), factor=1.0, repeats=30)
    bias = {(row.estimator, row.bins): row.bias for row in table}
    assert all(row.truth == 0 and row.bias.low > 0 for row in table)
    for name in names[:5]:
        assert bias[name, 50].low > bias[name, 5].high
    assert bias["debiased_l1", 5].value < bias["ece", 5].value


def test_a_bias_table_shows_itself():
    table = bias_table(("ece", "smooth"), (1000,), (5,), repeats=2)
    row = table.rows[0]
    lines = repr(table).splitlines()
    assert lines[0].split() == ["estimator", "n", "bins", "mean", "estimate", "true", "value", "bias", "sd"]
    assert lines[1].startswith(f"ece        1,000  5     {row.estimate.value:.4f} [{row.estimate.low:.4f}, ")
    assert len(lines) == 3
    page = table._repr_html_()
    assert page.startswith('<table><thead><tr><th scope="col" style="text-align: left">estimator</th>')
    assert page.count("<tr>") == 3
    assert re.search("smooth</th><td[^>]*>1,000</td><td[^>]*>none</td>", page)


def two(n=4):
    return Predictions.from_probs(torch.full((n, 2), 0.5), torch.zeros(n, dtype=torch.int64))


HALF = torch.full((4, 2), 0.5)


test_wrong_arguments_are_named = each_refused(
    (lambda: warped(0), ValueError, "n", "1 to 10000000", "got 0"),
    (lambda: warped(5, factor=0), ValueError, "factor", "0.01 to 100", "got 0"),
    (lambda: blobs(5, classes=1), ValueError, "classes", "2 to 100", "got 1"),
    (lambda: blobs(5).posterior_at(torch.zeros(3)), TypeError, "points", "[points, 2]", "shape [3]"),
    (lambda: blobs(5).posterior_at([0.0, 1.0]), TypeError, "points", "[points, 2]", "[0.0, 1.0]"),
    (lambda: ambiguous_shapes(5), ValueError, "train_size", "10 to 50000", "got 5"),
    (lambda: true_error(HALF, HALF), TypeError, "predictions", "Predictions", "[4, 2]"),
    (lambda: true_error(two(), HALF[:3]), TypeError, "posterior", "shape [4, 2]", "shape [3, 2]"),
    (lambda: true_error(two(), 2 * HALF), ValueError, "posterior", "sum to 1", "4 wrong rows"),
    (lambda: true_error(two(1), HALF[:1]), ValueError, "predictions", "at least 2", "got 1"),
    (lambda: bias_table("ece"), TypeError, "names", "at least one", "'ece'"),
    (lambda: bias_table(n_values=()), ValueError, "n_values", "at least one", "()"),
    (lambda: bias_table(("mce",)), ValueError, "names", "'ks'", "'mce'; did you mean 'ece'?"),
)
