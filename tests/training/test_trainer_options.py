"""The Trainer's further options: each against what it says, and all of them together, put down and taken up."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.mixing.normalize import normalized
from mixlab.runs.digest import canonical
from mixlab.training import Trainer
from mixlab.training.augment import alternated, crop_and_flip
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
}


class Net(nn.Module):
    """A first layer with a bias, normalization, and a head: small enough for a hundred trainings."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 6, 4, stride=4)
            self.norm = nn.BatchNorm2d(6)
            self.head = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.first(x)).relu().mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def data() -> Dataset:
    return mx.load("shapes", 160, test_size=40)


def fit(data: Dataset, model: nn.Module | None = None, **settings: Any) -> Trainer:
    settings = {"epochs": 3, "batch_size": 50, "dtype": torch.float32, "device": "cpu"} | settings
    return mx.fit(model or Net(), data, **gathered(settings))


def seen(trainer: Trainer) -> list[Tensor]:
    """What each step trained on."""
    batches: list[Tensor] = []
    hook = trainer.model.register_forward_pre_hook(
        lambda module, inputs: batches.append(inputs[0].clone()) if module.training else None
    )
    for _ in trainer:
        pass
    hook.remove()
    return batches


def test_the_defaults_are_named_in_the_settings(data: Dataset) -> None:
    assert fit(data).settings == {
        "epochs": 3,
        "seed": 0,
        "batch_size": 50,
        "learning_rate": 0.3,
        "schedule": {"kind": "linear", "points": [[0.0, 0.0], [0.2, 1.0], [1.0, 0.0]]},
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "decay_biases": False,
        "bias_rate": 1.0,
        "freeze": {},
        "lookahead": False,
        "label_smoothing": 0.0,
        "augment": True,
        "flip": "random",
        "pad": 2,
        "border": "mirror",
        "cutout_side": 0,
        "views": 1,
        "every": 1,
        "dtype": "float32",
        "device": "cpu",
        "compile": False,
    }


def test_settings_say_what_was_asked_for_in_json(data: Dataset) -> None:
    settings = fit(data, **ALL).settings
    assert json.loads(json.dumps(settings)) == settings
    assert {name: settings[name] for name in ALL} == ALL | {"schedule": settings["schedule"]}
    assert settings["schedule"] == ALL["schedule"].settings  # type: ignore[attr-defined]


def test_what_does_nothing_is_none_in_the_settings(data: Dataset) -> None:
    """So that two runs that train alike are told to be one."""
    one, two = (
        fit(data, augment=False, flip=flip, pad=pad).settings for flip, pad in (("random", 2), ("alternating", 4))
    )
    assert one == two
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
    matrices, vectors, biases = trainer.optimizer.groups
    model = trainer.model
    assert [id(p) for p in matrices.parameters] == [id(model.first.weight), id(model.head.weight)]
    assert [id(p) for p in biases.parameters] == [id(model.norm.bias)]
    assert (matrices[1:], vectors[1:], biases[1:]) == ((0.1, 1.0), (0.1, 1.0), (0.1 / 4, 4.0))
    reference = Net().to(memory_format=torch.channels_last)
    theirs = torch.optim.SGD(
        [
            {"params": [reference.first.weight, reference.head.weight]},
            {"params": [reference.first.bias, reference.norm.weight, reference.head.bias]},
            {"params": [reference.norm.bias], "weight_decay": 0.1 / 4},
        ],
        lr=0.0,
        momentum=0.5,
        weight_decay=0.1,
    )
    steps = []
    model.register_forward_pre_hook(lambda _, inputs: steps.append(inputs[0].clone()))
    for step in range(4):
        labels = trainer._train.labels  # as the trainer draws them
        trainer.step()
        place = step % 3
        chosen = trainer._order[place * 50 : (place + 1) * 50]
        for group, times in zip(theirs.param_groups, (1, 1, 4), strict=True):
            group["lr"] = trainer.optimizer.learning_rate * times
        theirs.zero_grad()
        nn.functional.cross_entropy(reference(steps[-1]), labels[chosen]).backward()
        theirs.step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), reference.parameters(), strict=True))


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
    assert not torch.equal(model.first.weight, Net().first.weight)


def test_all_may_rest_that_do_so_after_the_last_epoch(data: Dataset) -> None:
    names = [name for name, _ in Net().named_parameters()]
    trainer = fit(data, freeze=dict.fromkeys(names, 1) | {"head.bias": 3})
    list(trainer)
    assert trainer.done


def test_lookahead_meets_the_weights_after_each_step(data: Dataset) -> None:
    """Its arithmetic is tested in test_descent: here it is that the training goes by it."""
    with_it, without = fit(data, lookahead=True), fit(data)
    for step in range(1, 6):
        with_it.step()
        without.step()
        same = all(
            torch.equal(a, b) for a, b in zip(with_it.model.parameters(), without.model.parameters(), strict=True)
        )
        assert same == (step < 5)
    for _ in with_it:
        pass
    assert with_it.lookahead is not None
    named = dict(with_it.model.named_parameters()) | dict(with_it.model.named_buffers())
    assert all(torch.equal(slow, named[name]) for name, slow in with_it.lookahead.slow.items())


def test_alternating_flips_show_every_image_both_ways(data: Dataset) -> None:
    """Without crops, an image of epoch 0 is that of epoch 1 mirrored, and is seen again in epoch 2."""
    trainer = fit(data, flip="alternating", pad=0, batch_size=160)
    epochs = seen(trainer)
    stream = torch.Generator().manual_seed(0)
    first = torch.rand(160, generator=stream) < 0.5
    for epoch, batch in enumerate(epochs):
        order = torch.randperm(160, generator=stream)
        images = crop_and_flip(data.train.images[order], 0, stream, flip=alternated(first[order], epoch))
        assert torch.allclose(batch, normalized(images, data.normalization), atol=1e-6)
    assert 40 < int(first.sum()) < 120


@pytest.mark.parametrize("options", [{"pad": 4, "border": "black"}, {"pad": 1}])
def test_crops_are_as_asked(data: Dataset, options: dict[str, Any]) -> None:
    stream = torch.Generator().manual_seed(0)
    images = data.train.images[torch.randperm(160, generator=stream)[:50]]
    wanted = crop_and_flip(images, options["pad"], stream, border=options.get("border", "mirror"))
    assert torch.allclose(seen(fit(data, **options))[0], normalized(wanted, data.normalization), atol=1e-6)


def test_views_are_averaged(data: Dataset) -> None:
    """In float64: half on the image and its mirror, half on both moved up and left, and down and right."""
    trainer = fit(data, views=6)
    for record in trainer:
        last = record
    model = trainer.model.double().eval()
    images = normalized(data.test.images, data.normalization).double()
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    wanted = torch.zeros(40, 10, dtype=torch.float64)
    with torch.no_grad():
        for weight, view in ((0.5, images), (0.25, padded[:, :, :32, :32]), (0.25, padded[:, :, 2:, 2:])):
            wanted += weight * (model(view) + model(view.flip(3))) / 2
    model.float()
    found = trainer.predictions()
    assert torch.allclose(found.logits.double(), wanted, atol=1e-5)
    assert torch.equal(found.logits, predict(model, data.test, data.normalization, views=6).logits)
    assert last.test_accuracy == float((found.logits.argmax(1) == data.test.labels).double().mean())
    assert not torch.equal(found.logits, predict(model, data.test, data.normalization).logits)


@pytest.mark.parametrize("at", [1, 5])
def test_all_options_are_taken_up_to_the_bit(data: Dataset, at: int) -> None:
    whole = fit(data, **ALL)
    records = list(whole)
    before = fit(data, **ALL)
    for _ in range(at):
        before.step()
    state = before.state()
    after = fit(data, **ALL)
    after.restore(State(state.tensors, json.loads(canonical(state.numbers))))
    rest = list(after)
    assert rest[-1].test_nll == records[-1].test_nll
    one, two = whole.state().tensors, after.state().tensors
    assert one.keys() == two.keys()
    assert "slow.norm.running_var" in one
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs .* at least 1, got 0"),
        ({"epochs": 1.5}, "epochs .* integer .* got 1.5"),
        ({"seed": -1}, "seed .* from 0 to 9223372036854775807, got -1"),
        ({"batch_size": 1}, "batch_size .* at least 2, got 1"),
        ({"learning_rate": math.nan}, "learning_rate .* from 0 .* got nan"),
        ({"label_smoothing": 1.5}, "label_smoothing .* from 0 to 1, got 1.5"),
        ({"augment": "yes"}, "augment must be True or False, got 'yes'"),
        ({"dtype": torch.float16}, "dtype .* torch.bfloat16 or None, got torch.float16"),
        *[({"device": device}, f"device .*, got {device!r}") for device in ("gpu", "", "cuda:99", "meta", 3, 1.5)],
        ({"schedule": "cosine"}, "schedule .* Cosine or Steps, got 'cosine'"),
        ({"momentum": 1}, "momentum .* to 0.999999, got 1"),
        ({"weight_decay": -1}, "weight_decay .* from 0 .* got -1"),
        ({"bias_rate": 0}, "bias_rate .* from 1e-06 .* got 0"),
        *[
            ({name: 1}, f"{name} .* True or False, got 1")
            for name in ("nesterov", "decay_biases", "lookahead", "compile")
        ],
        ({"freeze": ["first.bias"]}, r"freeze .* mapping from names .* got \['first.bias'\]"),
        ({"freeze": {"first": 1}}, "freeze .* names of trained parameters .* got 'first'"),
        ({"freeze": {"first.bias": 1.5}}, r"freeze\['first.bias'\] .* integer .* got 1.5"),
        (
            {"freeze": dict.fromkeys((name for name, _ in Net().named_parameters()), 2) | {"head.bias": 0}},
            "freeze must leave a parameter .* each of the 3 epochs, got all of them at rest after 2",
        ),
        ({"flip": "alternate"}, "flip .* 'random', 'alternating', got 'alternate'"),
        ({"pad": -1}, "pad .* at least 0, got -1"),
        ({"border": "zero"}, "border .* 'mirror', 'black', got 'zero'"),
        ({"cutout_side": 33}, "cutout_side .* from 0 to 32, got 33"),
        ({"views": 3}, "views must be 1, 2 or 6, got 3"),
        ({"views": 1.0}, "views .* integer .* got 1.0"),
    ],
)
def test_wrong_settings(data: Dataset, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        fit(data, **settings)


def test_numbers_of_numpy_are_settings_as_others_are(data: Dataset) -> None:
    numbers = {name: np.int64(2) for name in ("pad", "cutout_side", "views", "epochs", "every")}
    plain = {name: int(number) for name, number in numbers.items()}
    assert json.dumps(fit(data, **numbers).settings) == json.dumps(fit(data, **plain).settings)


def test_shift_is_cut_to_what_the_image_has(data: Dataset) -> None:
    assert fit(data, pad=1000).settings == fit(data, pad=31).settings
    assert fit(data, pad=31).settings != fit(data, pad=30).settings


def test_step_that_was_interrupted_is_taken_as_if_for_the_first_time(data: Dataset) -> None:
    plain = fit(data, mixer=mx.Mixer("mixup"))
    list(plain)

    class Stopping(Net):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Stopping.calls += self.training
            if Stopping.calls == 5:
                Stopping.calls += 1
                super().forward(x)  # running statistics have moved by then
                raise KeyboardInterrupt
            return super().forward(x)

    broken = fit(data, Stopping(), mixer=mx.Mixer("mixup"))
    with pytest.raises(KeyboardInterrupt):
        list(broken)
    list(broken)
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(broken.model.state_dict()[name], tensor), name


def test_training_does_not_ask_whether_gradients_are_on(data: Dataset) -> None:
    with torch.no_grad():
        (record,) = fit(data, epochs=1)
        assert not torch.is_grad_enabled()
    assert math.isfinite(record.train_loss)


def test_one_class_is_refused_at_the_call(data: Dataset) -> None:
    split = Split(data.train.images[:9], torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^data must have at least 2 classes, got Dataset\("):
        fit(Dataset("one", split, split, ("a",)))
