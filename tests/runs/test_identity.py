"""What names a run: what changes the id, and what does not."""

import enum
import functools
import inspect
import itertools
import linecache
import math
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from paths import SUPPORT
from tiny_runs import Net, dataset, net, raising
from torch import nn

import mixlab as mx
from mixlab.mixing.variants import KINDS
from mixlab.runs.attributes import attributes
from mixlab.runs.identity import identity, name_of
from mixlab.runs.source import sources
from mixlab.training import Trainer, TrainOptions, schedules
from mixlab.training.options import gathered

GIVEN = {"epochs": 2, "batch_size": 8, "dtype": torch.float32, "device": "cpu"}


def trainer(model=None, data=None, mixer=None, **changed):
    return mx.fit(model or net(), data or dataset(), mixer, **{**GIVEN, **changed})


def name(*given, **named):
    return name_of(identity(trainer(*given, **gathered(named))))


def test_name_is_the_same_in_another_process():
    """Also of a model with a constant set, whose order is another in each."""
    code = "import test_identity as t; print(t.name(), t.name(t.with_sets()))"
    path = os.pathsep.join(map(str, (SUPPORT, Path(mx.__file__).parent.parent)))
    env = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": path}
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=Path(__file__).parent, text=True, env=env)
    assert printed.split() == [name(), name(with_sets())]
    assert re.fullmatch("[0-9a-f]{16}", name())


def with_sets():
    model = net()
    model.many = {"a", ("b", 1), Act.RELU, nn.ReLU, None}
    return model


class Act(enum.Enum):
    RELU = 1
    TANH = 2


def frozen():
    model = net()
    model.head.bias.requires_grad = False
    return model


def hooked():
    model = net()
    model.body.register_forward_hook(lambda _module, _given, out: out * 2)
    return model


def test_whatever_determines_a_run_changes_its_name():
    models = [net(), net(seed=1), net(dropout=0.4), frozen(), hooked()]
    data = [dataset(seed=1), normalized_otherwise()]
    names = [*map(name, models), *(name(data=other) for other in data), name(mixer=mx.Mixer("mixup"))]
    assert len(set(names)) == len(names)


def normalized_otherwise():
    data = dataset()
    object.__setattr__(data, "_normalization", lambda: ((0.0,) * 3, (1.0,) * 3))
    return data


OTHERS = {"epochs": 3, "seed": 1, "batch_size": 4, "every": 2, "dtype": torch.bfloat16, "compile": True}
OTHERS |= {"optimizer": "adamw"}
OTHERS |= {"learning_rate": 0.1, "schedule": schedules.Cosine(), "momentum": 0.5, "nesterov": False}
OTHERS |= {"weight_decay": 0.1, "decay_biases": True, "bias_rate": 2.0, "freeze": {"head.bias": 1}, "lookahead": True}
OTHERS |= {"augment": False, "flip": "alternating", "pad": 1, "border": "black", "cutout_side": 2, "views": 2}
OTHERS |= {"label_smoothing": 0.1, "mix_until": 1}


def test_every_option_of_a_training_changes_the_name():
    options = inspect.signature(Trainer).parameters.keys() | inspect.signature(TrainOptions).parameters.keys()
    options -= {"model", "data", "mixer", "device", "options"}
    assert OTHERS.keys() == options, "a new option needs a value here, and a place in Trainer.settings"
    names = [name(**{option: value}) for option, value in OTHERS.items()]
    assert len({name(), *names}) == 1 + len(OTHERS)


def test_one_changed_pixel_or_label_of_either_split_changes_the_digest_of_the_data():
    digests = {dataset().digest}
    for split, part in itertools.product(("train", "test"), ("images", "labels")):
        data = dataset()
        tensor = getattr(getattr(data, split), part)
        tensor[5] = (tensor[5] + 1) % 3
        digests.add(data.digest)
    assert len(digests) == 5


def test_settings_are_one_table_and_no_variant_has_a_setting_of_the_training():
    found = identity(trainer(mixer=mx.Mixer("mixup", alpha=0.4)))
    known = {"variant": "mixup", "alpha": 0.4, "k": 1, "epochs": 2, "seed": 0, "batch_size": 8}
    assert known.items() <= (found["mixer"] | found["training"]).items()
    for variant in KINDS:
        kind = {} if variant != "manifold" else {"layers": ("body",)}
        assert not ({"variant", *mx.Mixer(variant, **kind).settings} & set(found["training"])), variant


# The source of the user's own model.

MODEL = """
from torch import nn
class Inner(nn.Module):
    def forward(self, x): return x * {inner}
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = Inner(), nn.LazyLinear(3)
    def forward(self, x): return self.head(self.inner(x).flatten(1)) * {outer}
"""


cells = itertools.count()


def cell(**values):
    """The sources of a notebook's classes: they have no file, and the source of their methods is in linecache."""
    text, file, scope = MODEL.format(**values), f"<cell {next(cells)}>", {"__name__": "a_notebook"}
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), scope)
    return sources({scope["Mine"], scope["Inner"]}, "model")


def test_source_of_the_users_classes_counts_and_that_of_torch_and_mixlab_does_not():
    first = cell(inner=1, outer=1)
    assert [name for name, _ in first] == ["Inner", "Mine"]
    assert first == cell(inner=1, outer=1)
    assert first != cell(inner=2, outer=1)
    assert first != cell(inner=1, outer=2)
    assert sources({type(part) for part in mx.models.quick(10).modules()}, "model") == []


def test_wording_of_mixlab_does_not_rename_a_run_and_its_version_does(monkeypatch):
    before = name()
    monkeypatch.setattr(Trainer, "__repr__", lambda _: "another wording")
    monkeypatch.setattr(mx.Mixer, "__doc__", "Another wording.")
    assert name() == before
    monkeypatch.setattr(mx, "__version__", "99.0")
    assert name() != before


def test_class_without_source_is_refused_with_the_way_out():
    scope = {"nn": nn, "Net": Net, "__name__": "__main__"}
    exec("class Typed(Net):\n    def forward(self, x): return Net.forward(self, x)\n", scope)
    with raising(ValueError, "model must be made of", "source", "got Typed.forward", "mixlab.fit"):
        name(scope["Typed"]())


# Attributes.


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a

    def method(self):
        return self.a


def looped(value):
    loop = {"value": value}
    loop["self"] = [loop]
    return loop


def closing_over(value):
    return lambda x: x * value


@pytest.mark.parametrize(
    "make",
    [
        lambda one: Act.RELU if one else Act.TANH,
        lambda one: math.inf if one else -math.inf,
        lambda one: b"one" if one else b"two",
        lambda one: range(1 if one else 2),
        lambda one: Slotted(1 if one else 2).method,
        lambda one: SimpleNamespace(s=[1 if one else 2]),
        lambda one: np.array([1.0 if one else 2.0]),
        lambda one: np.float32(0.1 if one else 0.2),
        lambda one: torch.ones(2) if one else torch.zeros(2),
        lambda one: {(1, "a"): {"x": deque([1 if one else 2])}},
        lambda one: Slotted(1 if one else 2),
        lambda one: looped(1 if one else 2),
        lambda one: re.compile("a" if one else "b"),
        lambda one: torch.device("cpu" if one else "meta"),
        lambda one: torch.Size([1 if one else 2]),
        lambda one: torch.float32 if one else torch.bfloat16,
        lambda one: torch.distributions.Normal(0.0, 1.0 if one else 2.0),
        lambda one: functools.partial(torch.relu, 1 if one else 2),
        lambda one: torch.relu if one else torch.tanh,
        lambda one: nn.functional.relu if one else nn.functional.gelu,
        lambda one: closing_over(1 if one else 2),
        lambda one: frozenset([Slotted, Act] if one else [Slotted]),
    ],
)
def test_attributes_of_many_kinds_are_described_by_their_value(make):
    def digest(one):
        model = net()
        model.odd = make(one)
        return attributes(model)["model.odd"]

    assert digest(True) == digest(True) != digest(False)


def test_the_models_own_parts_are_described_by_name():
    model = net()
    model.again, model.method = (model.head,), model.forward
    first = attributes(model)
    with torch.no_grad():
        model.head.bias += 1
    assert attributes(model) == first


def test_attribute_that_cannot_be_described_is_refused():
    model = net()
    model.head.odd = (part for part in "ab")
    with raising(ValueError, "model must be made of", "generator object", "in model.head.odd"):
        name(model)
