"""The training on spirals: a step, its records and its threads, against formulas of our own."""

import math
from typing import Any

import pytest
import torch
from refusals import each_refused
from seeding import seeded
from torch import nn
from torch.nn.functional import cross_entropy

import mixlab as mx
from mixlab.data import spirals
from mixlab.machine import using_threads
from mixlab.models import SpiralNet
from mixlab.training import class_singular_values
from mixlab.training.spiral_trainer import GRID, REACH, SpiralTrainer


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
    (lambda: SpiralTrainer(nn.Linear(2, 2), (X, Y), (X, Y)), "model must be a SpiralNet, got Linear"),
    (lambda: SpiralTrainer(SpiralNet(2), X, (X, Y)), "train must be .*x, y"),
    (lambda: SpiralTrainer(SpiralNet(2), (X, Y), (X[:, :1], Y)), "the points of test .* got a float32"),
    (lambda: SpiralTrainer(SpiralNet(2), (X, Y + 1), (X, Y)), "the labels of train .* from 0 to 1, got labels from 1"),
    (lambda: trainer(mx.Mixer("cutmix")), "mixer must need no images, .* got Mixer.'cutmix'"),
)
