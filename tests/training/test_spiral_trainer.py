"""Spirals, the net with a bottleneck, singular values of classes, and the training: against formulas of our own."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from refusals import each_refused
from same_weights import differing
from seeding import seeded
from torch import nn
from torch.nn.functional import cross_entropy

import mixlab as mx
from mixlab.data import spirals
from mixlab.machine import using_threads
from mixlab.models import SpiralNet
from mixlab.training import class_singular_values
from mixlab.training.spiral_trainer import GRID, REACH, SpiralTrainer


@pytest.mark.parametrize("classes", [2, 3])
def test_without_noise_the_points_lie_on_the_arms(classes: int) -> None:
    x, y = spirals(301, noise=0, turns=1.5, classes=classes, generator=seeded(1))
    assert (x.shape, x.dtype, y.dtype) == ((301, 2), torch.float32, torch.int64)
    for (a, b), label in zip(x.double().tolist(), y.tolist(), strict=True):
        radius = math.hypot(a, b)
        turn = math.atan2(b, a) / (2 * math.pi) - 1.5 * radius - label / classes
        assert abs(turn - round(turn)) < 1e-4 / max(radius, 1e-3)
        assert radius <= 1 + 1e-6
    assert torch.bincount(y).tolist() == [301 // classes + (label < 301 % classes) for label in range(classes)]


def test_points_fill_the_disc_evenly_and_noise_is_as_asked() -> None:
    x, _ = spirals(20_000, noise=0, generator=seeded(2))
    inner = float((x.norm(dim=1) < 0.5).double().mean())
    assert inner == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 20_000))
    straight, y = spirals(20_000, noise=0.2, turns=0, generator=seeded(2))  # arms along the first axis
    assert float(straight[:, 1].std()) == pytest.approx(0.2, rel=0.03)
    assert float(straight[y == 0, 0].mean()) == pytest.approx(2 / 3, abs=0.02)


def test_the_net_names_its_mixing_points_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    net = SpiralNet(3, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert set(net.mixing_points) - {"input"} <= {name for name, _ in net.named_modules()}
    assert differing(net, SpiralNet(3, seed=5)) == []
    x, seen = torch.randn(7, 2), []
    net.bottleneck.register_forward_hook(lambda *args: seen.append(args[-1]))
    assert net(x).shape == (7, 3)
    assert torch.equal(seen[0], net.hidden(x))


@pytest.mark.parametrize("shape", [(90, 2), (90, 5), (90, 3, 2, 2)])
def test_singular_values_are_the_roots_of_the_covariance(shape: tuple[int, ...]) -> None:
    """The eigenvalues of each class's covariance matrix, in float64; a class of two has one that is not zero."""
    hidden = torch.randn(shape, generator=seeded(6)) * torch.linspace(0.1, 2, shape[-1])
    labels = torch.cat([torch.arange(88) % 3, torch.tensor([3, 3])])
    hidden = hidden + labels.view(-1, *[1] * (len(shape) - 1))
    states, ours = hidden.flatten(1).double().numpy(), class_singular_values(hidden, labels)
    spread = np.trace(np.cov(states.T, bias=True)) ** 0.5
    for label, values in enumerate(ours):
        wanted = np.linalg.eigvalsh(np.cov(states[labels.numpy() == label].T, bias=True))[::-1]
        assert values.tolist() == pytest.approx((np.sqrt(wanted.clip(0)) / spread).tolist(), abs=1e-5)
    assert torch.allclose(ours, class_singular_values(100 * hidden + 7, labels), atol=1e-5)


def trainer(mixer: mx.Mixer | None = None, **settings: Any) -> SpiralTrainer:
    train, test = (spirals(n, generator=seeded(n)) for n in (60, 80))
    return SpiralTrainer(SpiralNet(2), train, test, mixer, **{"epochs": 2, "batch_size": 20} | settings)


def test_a_step_descends_the_loss_of_the_hidden_mix() -> None:
    mixer = mx.Mixer("manifold", alpha=2.0, layers=["bottleneck"])
    ours = trainer(mixer, seed=3)
    twin = SpiralNet(2)
    chosen = torch.randperm(60, generator=seeded(6))[:20]
    x, y = (part[chosen] for part in ours.train)
    plan = mixer.plan(x, generator=seeded(7))
    lam = plan.lam[0]
    mixed = lam[:, None] * twin.hidden(x) + (1 - lam)[:, None] * twin.hidden(x)[plan.partner]
    logits = twin.head(twin.block5(twin.block4(mixed)))
    each = lam * cross_entropy(logits, y, reduction="none")
    loss = (each + (1 - lam) * cross_entropy(logits, y[plan.partner], reduction="none")).mean()
    slopes = torch.autograd.grad(loss, list(twin.parameters()))
    rate = 0.05 * (6 / 7) / 0.9  # step 1 of 6, on the way down
    ours.step()
    assert ours.loss_so_far == (pytest.approx(loss.item(), rel=1e-5), 1)
    for moved, start, slope in zip(ours.model.parameters(), twin.parameters(), slopes, strict=True):
        torch.testing.assert_close(moved, start - rate * 1.9 * slope, rtol=1e-4, atol=1e-6)  # 1 + momentum: Nesterov


def test_runs_repeat_bit_for_bit_and_every_mixer_sees_one_order() -> None:
    orders = set()
    for mixer in (mx.Mixer("manifold", layers=["input", "bottleneck"]), mx.Mixer("none"), mx.Mixer("mixup")):
        one, two = trainer(mixer), trainer(mixer)
        first, second = list(one)[-1], list(two)[-1]
        orders.add(tuple(one._order.tolist()))
        assert torch.equal(first.hidden, second.hidden)
        assert first.test_nll == second.test_nll
    assert len(orders) == 1


def test_a_record_is_what_the_net_says() -> None:
    one = trainer(epochs=3)
    *_, record = one
    assert (one.done, one.steps, record.step, record.epoch) == (True, 9, 9, 3)
    x, y = one.test
    p = one.model(x).detach().double().softmax(1)
    assert record.test_accuracy == pytest.approx(float((p.argmax(1) == y).double().mean()))
    assert record.test_nll == pytest.approx(float(-p[torch.arange(80), y].log().mean()), rel=1e-5)
    assert record.test_confidence == pytest.approx(float(p.max(1).values.mean()), rel=1e-5)
    assert torch.equal(record.singular_values, class_singular_values(one.model.hidden(one.train[0]), one.train[1]))
    assert (record.field.shape, record.field.dtype) == ((2, GRID, GRID), torch.uint8)
    for row, column in ((0, 0), (5, 60), (GRID - 1, 3)):
        middle = [REACH * ((2 * place + 1) / GRID - 1) for place in (column, row)]
        share = one.model(torch.tensor([middle])).softmax(1)[0, 1].item()
        assert int(record.field[1, row, column]) == pytest.approx(255 * share, abs=0.51)
    assert math.isnan(trainer().evaluate().train_loss)


def test_one_thread_inside_and_as_many_as_before_outside() -> None:
    one, seen = trainer(mx.Mixer("manifold", layers=["bottleneck"])), []
    one.model.head.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    one.model.head.weight.register_hook(lambda _: seen.append(torch.get_num_threads()))
    with using_threads(3):
        one.step()
        one.evaluate()
        assert torch.get_num_threads() == 3
        with torch.no_grad():
            one.model.head.weight.fill_(math.nan)
        with pytest.raises(FloatingPointError):
            one.step()
        assert torch.get_num_threads() == 3
    assert len(seen) == 2 + 2 + 2  # forward and backward; test points and the plane; forward and backward
    assert set(seen) == {1}
    assert one.picked == "cpu, 1 thread (a second gains nothing on a net this small)"


X, Y = spirals(10, generator=seeded(0))
test_wrong_input_names_the_argument = each_refused(
    (lambda: class_singular_values(Y, Y), "hidden must be float states .* got an int64"),
    (lambda: class_singular_values(X, Y[:9]), "labels must hold one label for each of the 10 examples, got 9"),
    (lambda: class_singular_values(0 * X, Y), "hidden must hold states that differ"),
    (lambda: class_singular_values(X, 2 * Y), "labels must have every class up to the largest, but has no 1"),
    (lambda: SpiralTrainer(nn.Linear(2, 2), (X, Y), (X, Y)), "model must be a SpiralNet, got Linear"),
    (lambda: SpiralTrainer(SpiralNet(2), X, (X, Y)), "train must be .*x, y"),
    (lambda: SpiralTrainer(SpiralNet(2), (X, Y), (X[:, :1], Y)), "the points of test .* got a float32"),
    (lambda: SpiralTrainer(SpiralNet(2), (X, Y + 1), (X, Y)), "the labels of train .* from 0 to 1, got labels from 1"),
    (lambda: trainer(mx.Mixer("cutmix")), "mixer must need no images, .* got Mixer.'cutmix'"),
)
