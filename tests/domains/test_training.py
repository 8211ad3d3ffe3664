"""The loop and its optimizer against torch's own, and what a Problem refuses."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from refusals import each_refused
from same_weights import differing
from seeding import seeded
from torch import nn
from torch.nn import functional

import mixlab as mx
from mixlab.domains import Problem, divided, outputs, predict, train


def blobs(classes: int = 3, n: int = 60) -> Problem:
    y = torch.arange(n) % classes
    x = torch.eye(classes)[y] + 0.3 * torch.randn(n, classes, generator=seeded())
    return divided("blobs", "generated", x, y, tuple("abcdefgh"[:classes]))


def net(inputs: int = 3, classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, classes))


@pytest.mark.parametrize(
    "mixer",
    [None, mx.Mixer("mixup"), mx.Mixer("mixup", k=5), mx.Mixer("manifold", layers=["0"], k=2), mx.Mixer("regmixup")],
    ids=repr,
)
def test_training_learns_and_repeats_itself_to_the_bit(mixer) -> None:
    problem, models = blobs(), [net(), net()]
    for model in models:
        train(problem, model, mixer, epochs=30, batch_size=15, learning_rate=0.02)
    assert differing(*models) == []
    predictions = predict(problem, models[0])
    assert predictions.correct.double().mean() > 0.8
    torch.testing.assert_close(predictions.logits, models[0](problem.test[0]).detach())


def test_each_mixer_sees_the_same_batches() -> None:
    def seen(mixer):
        batches = []
        train(blobs(), net(), mixer, epochs=2, batch_size=15, augment=lambda x, _: batches.append(x) or x)
        return torch.stack(batches)

    assert torch.equal(seen(None), seen(mx.Mixer("mixup", k=3)))


def test_numbers_are_learned_by_squared_error() -> None:
    x = torch.randn(80, 3, generator=seeded())
    problem = divided("plane", "generated", x, x @ torch.tensor([1.0, -2.0, 0.5]), None)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    train(
        problem,
        model,
        mx.Mixer("mixup"),
        epochs=60,
        learning_rate=0.1,
        loss=partial(functional.mse_loss, reduction="none"),
    )
    assert (outputs(model, problem.test[0]) - problem.test[1]).abs().mean() < 0.1


def test_smaller_parts_are_nested_and_leave_the_test_examples() -> None:
    problem = blobs()
    small, large = problem.smaller(5, seed=3), problem.smaller(9, seed=3)
    assert torch.equal(small.train[0], large.train[0][:5])
    assert small.test is problem.test
    assert len(problem.train[1]) + len(problem.test[1]) == 60


ROW, LABEL = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
PLANE = Problem("p", "s", (ROW, LABEL.float()), (ROW, LABEL.float()), None)
test_refused = each_refused(
    (lambda: Problem("p", "s", (ROW, LABEL), (ROW, LABEL[:1]), ("a", "b")), "labels of test must hold one label"),
    (lambda: Problem("p", "s", (ROW, LABEL), (ROW, LABEL), None), "labels of train must be a float tensor"),
    (lambda: divided("p", "s", ROW, torch.tensor([0.0, float("nan")]), None), "labels of t.* must be finite, got NaN"),
    (lambda: divided("p", "s", ROW, LABEL, ("a", "b"), test_share=0.01), "test must hold at least one example"),
    (lambda: divided("p", "s", ROW.repeat(9, 1), LABEL.repeat(2), ("a", "b")), "y must .* 18 examples of x, got 4"),
    (
        lambda: train(
            replace(PLANE, train=(ROW / 0, LABEL.float())), net(), epochs=1, loss=lambda z, y: (z[:, 0] - y).square()
        ),
        "x of train must hold finite numbers, got NaN",
    ),
    (lambda: blobs().smaller(46), "size must be an integer from 2 to 45"),
    (lambda: train(ROW, net(), epochs=1), "problem must be a Problem"),
    (lambda: train(blobs(), net(), "mixup", epochs=1), "mixer must be a Mixer"),
    (lambda: train(blobs(), "net", epochs=1), "model must be a torch.nn.Module, got 'net'"),
    (lambda: predict(blobs(), "net"), "model must be a torch.nn.Module, got 'net'"),
    (lambda: train(blobs(), net(), epochs=1, augment=4), "augment must be None or a function of .*, got 4"),
    (lambda: train(PLANE, net(), epochs=1), "loss must be given"),
    (lambda: predict(PLANE, net()), "problem must have classes"),
)


def test_a_loss_that_explodes_is_said() -> None:
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        train(blobs(), net(), epochs=20, learning_rate=1000.0, weight_decay=1000.0)
