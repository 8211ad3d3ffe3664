"""`mx.compare`: its numbers against scipy, what it trains and loads within its time, and what it refuses."""

import itertools

import numpy as np
import pytest
import torch
from refusals import refuses
from scipy import optimize, stats
from tiny_runs import PLAIN, dataset, net, raising
from torch.nn import functional

import mixlab as mx
from mixlab.comparison import training
from mixlab.comparison.contenders import contenders
from mixlab.training import Trainer


def test_runs_are_those_of_run_and_rows_are_their_means_over_seeds(comparison):
    data = comparison.data
    for name, mixer in comparison.mixers.items():
        accuracies, losses = [], []
        for seed in (0, 1):
            settings = {"epochs": 3, "seed": seed, **PLAIN, "root": comparison.runs[name, seed]._store.root}
            run = mx.run(net(seed), data, mixer, **settings)
            assert run.id == comparison.runs[name, seed].id
            logits, labels = run.predictions.logits.double(), run.predictions.labels
            accuracies.append(float((logits.argmax(1) == labels).double().mean()))
            losses.append(float(functional.cross_entropy(logits, labels)))
        for quantity, values in (("accuracy", accuracies), ("nll", losses)):
            seen = comparison.means[name][quantity]
            spans = stats.t.interval(0.95, 1, np.mean(values), stats.sem(values))
            low, high = np.clip(spans, 0, 1 if quantity == "accuracy" else np.inf)
            assert (seen.value, seen.low, seen.high) == pytest.approx((np.mean(values), low, high), abs=1e-6)
            assert (seen.n, seen.level) == (2, 0.95)
        assert comparison.means[name]["seconds"].value > 0


def test_the_temperature_of_a_row_is_fitted_on_the_other_half(comparison):
    scores = comparison.scores["none"][0]
    logits, labels = scores.before.logits.double(), scores.before.labels
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    for mine, other in itertools.permutations(order.tensor_split(2)):

        def loss(log_t, rows=other):
            return float(functional.cross_entropy(logits[rows] / np.exp(log_t), labels[rows]))

        best = np.exp(optimize.minimize_scalar(loss, bounds=(-6, 6), options={"xatol": 1e-9}, method="bounded").x)
        assert scores.scaled
        torch.testing.assert_close(scores.after.logits[mine].double(), logits[mine] / best, rtol=1e-4, atol=1e-4)
    assert scores.values["nll_after"] == pytest.approx(float(scores.rows["nll_after"].mean()))


def test_differences_are_paired_by_seed_and_hold_for_other_images_too(comparison):
    assert comparison.level == 0.975  # 95% for both mixers together
    for quantity in ("accuracy", "nll", "nll_after", "ece", "seconds"):
        for name, seen in comparison.differences[quantity].items():
            mine, theirs = (
                [scores.values[quantity] for scores in comparison.scores[of].values()] for of in (name, "none")
            )
            by_seed = stats.ttest_rel(mine, theirs).confidence_interval(0.975)
            reach = (by_seed.high - by_seed.low) / 2
            if quantity not in ("ece", "seconds"):
                mine, theirs = (
                    torch.stack([scores.rows[quantity] for scores in comparison.scores[of].values()]).mean(0)
                    for of in (name, "none")
                )
                reach = np.hypot(reach, stats.norm.ppf(0.9875) * stats.sem((mine - theirs).numpy()))
            middle = (by_seed.high + by_seed.low) / 2
            assert (seen.interval.low, seen.interval.high) == pytest.approx((middle - reach, middle + reach))


def test_time_that_ends_leaves_runs_that_the_same_call_takes_up(tiny, comparison, tmp_path, monkeypatch):
    nothing = tiny(tmp_path, minutes=0)
    assert nothing.runs == {}
    assert set(nothing.left.values()) == {"0 of 3 epochs"}
    assert "Nothing was decided" in repr(nothing)

    clock = itertools.count()
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock) * 1.0)
    part = tiny(tmp_path, minutes=11 / 60)  # the clock is read before each epoch
    assert [*part.runs] == [("none", 0), ("soft", 0), ("cut", 0)]
    assert part.left["none", 1] != part.left["cut", 1] == "0 of 3 epochs"
    assert "2 runs of each mixer" in " ".join(part.remarks)
    monkeypatch.undo()

    whole = tiny(tmp_path, page=tmp_path / "page.html")
    assert len(whole.runs["none", 1].sessions) == 2
    assert {place: run.id for place, run in whole.runs.items()} == {p: run.id for p, run in comparison.runs.items()}
    for place, run in whole.runs.items():
        assert torch.equal(run.predictions.logits, comparison.runs[place].predictions.logits)
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("trained again"))
    assert tiny(tmp_path, minutes=0).recommendation == whole.recommendation
    assert "<h1>" in (tmp_path / "page.html").read_text()


def test_a_run_that_fails_is_named_and_its_mixer_not_recommended(tiny, tmp_path):
    seen = tiny(tmp_path, learning_rate=1e6, epochs=20)
    assert set(seen.failed) == {(name, seed) for name in ("none", "soft", "cut") for seed in (0, 1)}
    assert not seen.recommendation.decided
    assert "cut with seed 1 failed: the loss is no longer finite" in " ".join(seen.remarks)
    with raising(ValueError, "rows must hold at least one mapping"):
        seen.table()


def test_names_of_mixers():
    given = ["mixup", mx.Mixer("mixup", alpha=0.2, k=3), "manifold", mx.Mixer("cutmix", shared_lam=True)]
    names = ["none", "mixup α=1", "mixup α=0.2, k=3", "manifold α=1", "cutmix α=1, shared_lam=True"]
    assert [*contenders(given)] == names
    assert [*contenders()] == ["none", "mixup α=0.2", "mixup α=1", "cutmix α=1"]


@pytest.mark.parametrize(
    ("given", "error", "argument", "words"),
    [
        ({"mixers": "mixup"}, TypeError, "mixers", "'mixup'"),
        ({"mixers": {1: "mixup"}}, TypeError, "mixers", "name 1"),
        ({"mixers": []}, ValueError, "mixers", "got 0"),
        ({"mixers": ["mixup", mx.Mixer("mixup")]}, ValueError, "mixers", "twice"),
        ({"mixers": {"none": "mixup"}}, ValueError, "mixers", "'none'"),
        ({"mixers": ["mixupp"]}, ValueError, "variant", "did you mean 'mixup'"),
        ({"seeds": 1}, ValueError, "seeds", "at least 2, got 1"),
        ({"seeds": [4, 4]}, ValueError, "seeds", "different"),
        ({"seeds": 2.0}, TypeError, "seeds", "2.0"),
        ({"model": "quik"}, ValueError, "model", "did you mean 'quick'"),
        ({"minutes": -1}, ValueError, "minutes", "-1"),
        ({"by": "ece"}, ValueError, "by", "'ece'"),
        ({"page": "missing/page.html"}, ValueError, "page", "missing"),
        ({"mixers": [mx.Mixer("manifold", layers=["nowhere"])]}, ValueError, "layer", "nowhere"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_trained(tiny, tmp_path, given, error, argument, words):
    refuses(lambda: tiny(tmp_path / "runs", **given), error, argument, words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("size", "given", "suited"),
    [
        (300, {}, {"batch_size": 16, "learning_rate": 0.3 / 8, "epochs": 56}),
        (50_000, {}, {"batch_size": 128, "learning_rate": 0.3, "epochs": 8}),
        (2_500, {"batch_size": 125}, {"batch_size": 125, "epochs": 50}),
    ],
)
def test_small_training_sets_get_small_batches_and_more_epochs(size, given, suited):
    assert training.suited(dataset(train=size), None, given) == suited
