"""The Trainer's further options: each against what it says, and all of them together, put down and taken up."""

import copy
import inspect
import json
import math
from collections import OrderedDict
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from same_weights import differing
from seeding import seeded
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset
from mixlab.mixing.normalize import normalized
from mixlab.runs.digest import canonical
from mixlab.training import Trainer, TrainOptions
from mixlab.training.augment import alternated, crop_and_flip, cutout
from mixlab.training.loop import State
from mixlab.training.options import gathered
from mixlab.training.predict import predict
from mixlab.training.schedules import Cosine, Linear, Steps

ALL = {
    "schedule": Linear(((0, 0.2), (0.23, 1), (1, 0.07))),
    "momentum": 0.85,
    "nesterov": False,
    "decay_biases": True,
    "bias_rate": 8.0,
    "freeze": {"norm.bias": 2, "first.bias": 1},
    "lookahead": True,
    "flip": "alternating",
    "pad": 3,
    "border": "black",
    "views": 6,
    "every": 2,
    "mix_until": 2,
}


def net() -> nn.Sequential:
    """A first layer with a bias, normalization, and a head: small enough for a hundred trainings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = OrderedDict(first=nn.Conv2d(3, 6, 4, stride=4), norm=nn.BatchNorm2d(6), relu=nn.ReLU())
        return nn.Sequential(first | {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(6, 10)})


GIVEN = {*inspect.signature(Trainer).parameters, *(field.name for field in fields(TrainOptions))}
GIVEN -= {"model", "data", "mixer", "options"}
NAMES = [name for name, _ in net().named_parameters()]


def fit(data: Dataset, **settings: Any) -> Trainer:
    settings = {"epochs": 3, "batch_size": 50, "dtype": torch.float32, "device": "cpu"} | settings
    return mx.fit(net(), data, **gathered(settings))


def seen(trainer: Trainer) -> list[Tensor]:
    """What each step trained on."""
    batches: list[Tensor] = []
    trainer.model.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].clone()))
    while not trainer.done:
        trainer.step()
    return batches


def test_all_that_can_be_given_is_in_the_settings(data: Dataset) -> None:
    assert fit(data).settings.keys() == GIVEN - {"optimizer"}
    assert fit(data, optimizer="adamw").settings.keys() == GIVEN


def test_settings_say_what_was_asked_for_in_json(data: Dataset) -> None:
    settings = fit(data, **ALL).settings
    assert json.loads(json.dumps(settings)) == settings
    assert settings.items() >= (ALL | {"schedule": ALL["schedule"].settings}).items()
    numbers = dict.fromkeys(("pad", "cutout_side", "views", "epochs", "every"), 2)
    of_numpy = {name: np.int64(number) for name, number in numbers.items()}
    assert json.dumps(fit(data, **of_numpy).settings) == json.dumps(fit(data, **numbers).settings)
    assert fit(data, pad=1000).settings == fit(data, pad=31).settings != fit(data, pad=30).settings


def test_what_does_nothing_is_none_in_the_settings(data: Dataset) -> None:
    """So that two runs that train alike are one."""
    one = fit(data, augment=False, flip="random", pad=2).settings
    assert one == fit(data, augment=False, flip="alternating", pad=4).settings
    assert [one[name] for name in ("flip", "pad", "border")] == [None] * 3


@pytest.mark.parametrize("schedule", [Cosine(), Steps((1 / 3, 2 / 3), 0.1)])
def test_the_schedule_sets_the_learning_rate(data: Dataset, schedule: Any) -> None:
    trainer, rates = fit(data, schedule=schedule, learning_rate=0.2), []
    while not trainer.done:
        trainer.step()
        rates.append(trainer.optimizer.learning_rate)
    assert rates == [0.2 * schedule((step + 1) / 10) for step in range(9)]


def test_descent_gets_what_was_asked(data: Dataset) -> None:
    trainer = fit(data, momentum=0.5, nesterov=False, weight_decay=0.1, decay_biases=True, bias_rate=4.0)
    model, twin = trainer.model, copy.deepcopy(trainer.model)
    assert [group[1:] for group in trainer.optimizer.groups] == [(0.1, 1.0), (0.1, 1.0), (0.1 / 4, 4.0)]
    assert trainer.optimizer.groups[2].parameters == [model.norm.bias]
    faster = {"params": [twin.norm.bias], "weight_decay": 0.1 / 4}
    rest = {"params": [parameter for name, parameter in twin.named_parameters() if name != "norm.bias"]}
    theirs = torch.optim.SGD([faster, rest], lr=0.0, momentum=0.5, weight_decay=0.1)
    batches = []
    model.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].clone()))
    for place in range(3):
        trainer.step()
        chosen = trainer._order[place * 50 : (place + 1) * 50]
        for group, times in zip(theirs.param_groups, (4, 1), strict=True):
            group["lr"] = trainer.optimizer.learning_rate * times
        theirs.zero_grad()
        nn.functional.cross_entropy(twin(batches[-1]), data.train.labels[chosen]).backward()
        theirs.step()
    for ours, wanted in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=0)


def test_a_frozen_parameter_rests_when_its_epochs_are_over(data: Dataset) -> None:
    trainer = fit(data, freeze={"first.bias": 1, "head.bias": 0}, weight_decay=0.1, decay_biases=True)
    model, values = trainer.model, []
    head = model.head.bias.detach().clone()
    while not trainer.done:
        trainer.step()
        values.append(model.first.bias.detach().clone())
        assert torch.equal(model.head.bias, head)
        assert all(parameter.requires_grad for parameter in model.parameters())
    assert not torch.equal(values[0], values[2])
    assert all(torch.equal(value, values[2]) for value in values[3:])
    assert not torch.equal(model.first.weight, net().first.weight)
    list(fit(data, freeze=dict.fromkeys(NAMES, 1) | {"head.bias": 3}))  # all may rest after the last epoch


def test_lookahead_meets_the_weights_after_each_step(data: Dataset) -> None:
    """Its arithmetic is tested in test_sgd; here the training is seen to go by it."""
    with_it, without = fit(data, lookahead=True), fit(data)
    for step in range(1, 6):
        with_it.step()
        without.step()
        names = differing(with_it.model, without.model)
        assert bool(names) == (step == 5)
    list(with_it)
    state = with_it.model.state_dict()
    assert differing(with_it.lookahead.slow, {name: state[name] for name in with_it.lookahead.slow}) == []


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"augment": False}, lambda images, _: images),
        ({"cutout_side": 8}, lambda images, stream: cutout(crop_and_flip(images, 2, stream), 8, stream)),
        ({"pad": 4, "border": "black"}, lambda images, stream: crop_and_flip(images, 4, stream, border="black")),
    ],
)
def test_a_batch_is_drawn_cropped_and_cut(data: Dataset, options: dict[str, Any], wanted: Any) -> None:
    stream = seeded(6)
    images = wanted(data.train.images[torch.randperm(160, generator=stream)[:50]], stream)
    batch = seen(fit(data, seed=3, **options))[0]
    torch.testing.assert_close(batch, normalized(images, data.normalization), atol=1e-6, rtol=0)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_alternating_flips_show_every_image_both_ways(data: Dataset) -> None:
    """Without crops, an image of epoch 0 is that of epoch 1 mirrored, and is seen again in epoch 2."""
    stream = seeded()
    first = torch.rand(160, generator=stream) < 0.5
    for epoch, batch in enumerate(seen(fit(data, flip="alternating", pad=0, batch_size=160))):
        order = torch.randperm(160, generator=stream)
        images = crop_and_flip(data.train.images[order], 0, stream, flip=alternated(first[order], epoch))
        assert torch.allclose(batch, normalized(images, data.normalization), atol=1e-6)


def test_views_are_averaged(data: Dataset) -> None:
    """In float64: half on the image and its mirror, half on both moved up and left, and down and right."""
    trainer = fit(data, views=6)
    *_, last = trainer
    model, images = trainer.model.double().eval(), normalized(data.test.images, data.normalization).double()
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = ((0.5, images), (0.25, padded[:, :, :32, :32]), (0.25, padded[:, :, 2:, 2:]))
    with torch.no_grad():
        wanted = sum(weight * (model(view) + model(view.flip(3))) / 2 for weight, view in shifted)
    model.float()
    found = trainer.predictions()
    assert torch.allclose(found.logits.double(), wanted, atol=1e-5)
    assert torch.equal(found.logits, predict(model, data.test, data.normalization, views=6).logits)
    assert last.test_accuracy == float((found.logits.argmax(1) == data.test.labels).double().mean())
    assert not torch.equal(found.logits, predict(model, data.test, data.normalization).logits)


def test_all_options_are_taken_up_to_the_bit(data: Dataset) -> None:
    whole, before, after = (fit(data, **ALL) for _ in range(3))
    records = list(whole)
    for _ in range(5):
        before.step()
    state = before.state()
    after.restore(State(state.tensors, json.loads(canonical(state.numbers))))
    assert list(after)[-1].test_nll == records[-1].test_nll
    one, two = whole.state().tensors, after.state().tensors
    assert "slow.norm.running_var" in one
    assert differing(one, two) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *[({name: -1}, f"{name} must .*, got -1") for name in sorted(GIVEN)],
        ({"batch_size": 1}, "batch_size .* at least 2, got 1"),
        ({"dtype": torch.float16}, "dtype .* torch.bfloat16 or None, got torch.float16"),
        ({"momentum": 1}, "momentum .* to 0.999999, got 1"),
        ({"freeze": ["first.bias"]}, r"freeze .* mapping from names .* got \['first.bias'\]"),
        ({"freeze": {"first": 1}}, "freeze .* names of trained parameters .* got 'first'"),
        ({"freeze": {"first.bias": 1.5}}, r"freeze\['first.bias'\] .* integer .* got 1.5"),
        ({"freeze": dict.fromkeys(NAMES, 2)}, "freeze must leave a parameter .* each of the 3 epochs, .* after 2"),
        ({"cutout_side": 33}, "cutout_side .* from 0 to 32, got 33"),
        ({"views": 3}, "views must be 1, 2 or 6, got 3"),
    ],
)
def test_wrong_settings(data: Dataset, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        fit(data, **settings)


def test_training_does_not_ask_whether_gradients_are_on(data: Dataset) -> None:
    with torch.no_grad():
        (record,) = fit(data, epochs=1)
        assert not torch.is_grad_enabled()
    assert math.isfinite(record.train_loss)
