"""`mx.compare`: its numbers against scipy, what it trains and loads within its time, and what it refuses."""

import itertools

import numpy as np
import pytest
import torch
from refusals import refuses
from scipy import optimize, stats
from seeding import seeded
from tiny_runs import PLAIN, dataset, net, raising
from torch.nn import functional

import mixlab as mx
from mixlab.comparison import training
from mixlab.comparison.contenders import contenders
from mixlab.training import Trainer


def test_runs_are_those_of_run_and_rows_are_their_means_over_seeds(comparison, tiny, tmp_path):
    root = comparison.runs["cut", 0]._store.root
    for name, mixer in comparison.mixers.items():
        runs = [mx.run(net(seed), comparison.data, mixer, epochs=3, seed=seed, root=root, **PLAIN) for seed in (0, 1)]
        assert runs == [comparison.runs[name, seed] for seed in (0, 1)]
        said = [(run.predictions.logits.double(), run.predictions.labels) for run in runs]
        right = [float((logits.argmax(1) == labels).double().mean()) for logits, labels in said]
        losses = [float(functional.cross_entropy(*one)) for one in said]
        for quantity, values, most in (("accuracy", right, 1), ("nll", losses, np.inf)):
            seen, span = comparison.means[name][quantity], stats.t.interval(0.95, 1, np.mean(values), stats.sem(values))
            assert (seen.value, seen.low, seen.high) == pytest.approx((np.mean(values), *np.clip(span, 0, most)))
            assert (seen.n, seen.level) == (2, 0.95)


def test_the_temperature_of_a_row_is_fitted_on_the_other_half(comparison):
    scores = comparison.scores["none"][0]
    logits, labels = scores.before.logits.double(), scores.before.labels
    order = torch.randperm(60, generator=seeded())
    for mine, other in itertools.permutations(order.tensor_split(2)):

        def loss(log_t, rows=other):
            return float(functional.cross_entropy(logits[rows] / np.exp(log_t), labels[rows]))

        best = np.exp(optimize.minimize_scalar(loss, bounds=(-6, 6), options={"xatol": 1e-9}, method="bounded").x)
        torch.testing.assert_close(scores.after.logits[mine].double(), logits[mine] / best, rtol=1e-4, atol=1e-4)
    assert scores.scaled


def test_differences_are_paired_by_seed_and_hold_for_other_images_too(comparison):
    assert comparison.level == 0.975  # 95% for both mixers together
    for quantity, name in itertools.product(("accuracy", "nll", "nll_after", "ece", "seconds"), ("soft", "cut")):
        pair = [[*comparison.scores[of].values()] for of in (name, "none")]
        gaps = np.subtract(*[[one.values[quantity] for one in scores] for scores in pair])
        reach = stats.t.ppf(0.9875, 1) * stats.sem(gaps)
        if quantity not in ("ece", "seconds"):
            rows = np.subtract(*[np.mean([one.rows[quantity].numpy() for one in scores], 0) for scores in pair])
            reach = np.hypot(reach, stats.norm.ppf(0.9875) * stats.sem(rows))
        seen = comparison.differences[quantity][name].interval
        assert (seen.low, seen.high) == pytest.approx((gaps.mean() - reach, gaps.mean() + reach))


def test_time_that_ends_leaves_runs_that_the_same_call_takes_up(tiny, comparison, tmp_path, monkeypatch):
    nothing = tiny(tmp_path, minutes=0)
    assert (nothing.runs, set(nothing.left.values())) == ({}, {"0 of 3 epochs"})
    assert "No mixer is recommended" in repr(nothing)
    clock = itertools.count()
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock) * 1.0)
    part = tiny(tmp_path, minutes=11 / 60)  # the clock is read before each epoch
    assert [*part.runs] == [("none", 0), ("soft", 0), ("cut", 0)]
    assert part.left["none", 1] != part.left["cut", 1] == "0 of 3 epochs"
    assert "Of 2 runs of each mixer are finished: 1 of none, 1 of soft and 1 of cut." in " ".join(part.remarks)
    monkeypatch.undo()

    whole = tiny(tmp_path, page=tmp_path / "page.html")
    assert len(whole.runs["none", 1].sessions) == 2
    for place, run in comparison.runs.items():
        assert whole.runs[place].id == run.id
        assert torch.equal(whole.runs[place].predictions.logits, run.predictions.logits)
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("trained again"))
    assert tiny(tmp_path, minutes=0).recommendation == whole.recommendation
    assert whole.recommendation.sentence in (tmp_path / "page.html").read_text()


def test_a_run_that_fails_is_named_and_its_mixer_not_recommended(tiny, tmp_path):
    seen = tiny(tmp_path, learning_rate=1e6, epochs=20)
    assert set(seen.failed) == {(name, seed) for name in ("none", "soft", "cut") for seed in (0, 1)}
    assert not seen.recommendation.decided
    assert "cut with seed 1 failed: the loss is no longer finite" in " ".join(seen.remarks)
    with raising(ValueError, "rows must hold at least one mapping"):
        seen.table()


def test_names_of_mixers():
    given = ["mixup", mx.Mixer("mixup", alpha=0.2, k=3), mx.Mixer("manifold", layers=["a", "b"])]
    given += [mx.Mixer("cutmix", shared_lam=True), mx.OneOf(given[1:3], [1, 2.5])]
    names = ["none", "mixup α=1", "mixup α=0.2, k=3", "manifold α=1, layers=('a', 'b')", "cutmix α=1, shared_lam=True"]
    names += ["mixup α=0.2, k=3 (1) or manifold α=1, layers=('a', 'b') (2.5)"]
    assert [*contenders(given)] == names
    assert [*contenders()] == ["none", "mixup α=0.2", "mixup α=1", "cutmix α=1", "mixup α=0.2 or cutmix α=1"]


@pytest.mark.parametrize(
    ("argument", "given", "error", "words"),
    [
        ("mixers", "mixup", TypeError, "'mixup'"),
        ("mixers", {1: "mixup"}, TypeError, "name 1"),
        ("mixers", [], ValueError, "got 0"),
        ("mixers", ["mixup", mx.Mixer("mixup")], ValueError, "twice"),
        ("mixers", {"none": "mixup"}, ValueError, "'none'"),
        ("seeds", 1, ValueError, "at least 2, got 1"),
        ("seeds", [4, 4], ValueError, "different"),
        ("seed", 4, TypeError, "got 4"),
        ("model", "quik", ValueError, "did you mean 'quick'"),
        ("minutes", -1, ValueError, "-1"),
        ("by", "ece", ValueError, "'ece'"),
        ("page", "missing/page.html", ValueError, "missing"),
        ("batch_size", 1, ValueError, "1"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_trained(tiny, tmp_path, argument, given, error, words):
    refuses(lambda: tiny(tmp_path / "runs", **{argument: given}), error, argument, words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("size", "batch", "epochs"), [(10, 16, 60), (300, 16, 56), (2_500, 64, 26), (50_000, 128, 8)])
def test_small_training_sets_get_small_batches_and_more_epochs(size, batch, epochs):
    wanted = {"batch_size": batch, "learning_rate": 0.3 * batch / 128, "epochs": epochs}
    assert training.suited(dataset(train=size), None, {}) == wanted
    assert training.suited(dataset(train=size), 5, {"batch_size": 9}) == {"batch_size": 9, "epochs": 5}
