"""What names a run: what changes the id, and what does not."""

import enum
import functools
import inspect
import logging
import os
import random
import re
import subprocess
import sys
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from paths import SUPPORT
from tiny_runs import Net, dataset, net, raising
from torch import nn

import mixlab as mx
from mixlab import _check
from mixlab.mixing.variants import KINDS
from mixlab.runs import fingerprint
from mixlab.runs.describing import codes_behind
from mixlab.runs.identity import _plain, attributes, identity, name_of, settings_of
from mixlab.training import Trainer, TrainOptions, schedules
from mixlab.training.options import gathered

GIVEN = {"epochs": 2, "batch_size": 8, "dtype": torch.float32, "device": "cpu"}


def trainer(model=None, data=None, mixer=None, **changed):
    return mx.fit(model or net(), data or dataset(), mixer, **{**GIVEN, **changed})


def name(*given, **named):
    return name_of(identity(trainer(*given, **gathered(named))))


def test_name_is_the_same_for_equal_arguments_and_sixteen_digits():
    assert name() == name()
    assert len(name()) == 16
    assert int(name(), 16) >= 0


def test_name_is_the_same_in_another_process():
    """Also of a model with a constant set, whose order is another in each."""
    code = "import test_identity as t; print(t.name(), t.name(t.with_sets()))"
    for seed in ("1", "2"):
        told = subprocess.check_output(
            [sys.executable, "-c", code],
            cwd=SUPPORT,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert told.split() == [name(), name(with_sets())]


def with_sets():
    model = net()
    model.chosen = lambda word: word in {"relu", "gelu", "tanh"}
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


@pytest.mark.parametrize(
    "other",
    [
        lambda: name(net(seed=1)),
        lambda: name(net(dropout=0.4)),
        lambda: name(frozen()),
        lambda: name(hooked()),
        lambda: name(data=dataset(seed=1)),
        lambda: name(data=normalized_otherwise()),
        lambda: name(mixer=mx.Mixer("mixup")),
    ],
)
def test_whatever_determines_a_run_changes_its_name(other):
    assert other() != name()


def normalized_otherwise():
    data = dataset()
    object.__setattr__(data, "_normalization", lambda: ((0.0,) * 3, (1.0,) * 3))
    return data


OTHERS = {
    "epochs": 3,
    "seed": 1,
    "batch_size": 4,
    "learning_rate": 0.1,
    "schedule": schedules.Cosine(),
    "momentum": 0.5,
    "nesterov": False,
    "weight_decay": 0.1,
    "decay_biases": True,
    "bias_rate": 2.0,
    "freeze": {"head.bias": 1},
    "lookahead": True,
    "label_smoothing": 0.1,
    "augment": False,
    "flip": "alternating",
    "pad": 1,
    "border": "black",
    "cutout_side": 2,
    "views": 2,
    "every": 2,
    "dtype": torch.bfloat16,
    "compile": True,
}


def test_every_option_of_a_training_changes_the_name():
    options = inspect.signature(Trainer).parameters.keys() | inspect.signature(TrainOptions).parameters.keys()
    options -= {"model", "data", "mixer", "device", "options"}
    assert OTHERS.keys() == options, "a new option needs a value here, and a place in Trainer.settings"
    names = [name(**{option: value}) for option, value in OTHERS.items()]
    assert len({name(), *names}) == 1 + len(OTHERS)


def test_one_changed_pixel_or_label_of_either_split_changes_the_digest_of_the_data():
    def changed(split, part):
        data = dataset()
        tensor = getattr(getattr(data, split), part)
        tensor[5] = (tensor[5] + 1) % 3
        return data.digest

    found = {changed(split, part) for split in ("train", "test") for part in ("images", "labels")}
    assert len({*found, dataset().digest}) == 5


def test_model_by_name_and_the_equal_module_are_one_run():
    data = mx.load("shapes", train_size=20, test_size=10)
    ids = {name(mx.models.quick(10, seed=seed), data, augment=False) for seed in (3, 3, 4)}
    assert len(ids) == 2


def test_setting_of_a_mixer_that_cannot_be_told_is_refused_by_its_name():
    unheard = (number for number in ())
    with raising(
        ValueError,
        "mixer must be made of what can be told by its value, for a run that is named by it, got ",
        f"{_check.shown(unheard)} in a setting of mixer",
    ):
        _plain(unheard)


def test_settings_are_one_table_and_no_variant_has_a_setting_of_the_training():
    found = identity(trainer(mixer=mx.Mixer("mixup", alpha=0.4)))
    assert next(iter(settings_of(found))) == "variant"
    assert {"variant": "mixup", "alpha": 0.4, "k": 1, "epochs": 2, "seed": 0, "batch_size": 8}.items() <= settings_of(
        found
    ).items()
    for variant in KINDS:
        kind = {} if variant != "manifold" else {"layers": ("body",)}
        assert not ({"variant", *mx.Mixer(variant, **kind).settings} & set(found["training"])), variant


def test_code_of_the_chosen_variant_names_a_run_and_that_of_others_does_not(monkeypatch):
    mixups, cutmixs = (identity(trainer(mixer=mx.Mixer(variant)))["code"] for variant in ("mixup", "cutmix"))
    real = fingerprint.module_digest
    changed = lambda module: "changed" if module == "mixlab.mixing.variants.cutmix" else real(module)  # noqa: E731
    monkeypatch.setattr("mixlab.runs.identity.module_digest", changed)
    assert identity(trainer(mixer=mx.Mixer("mixup")))["code"] == mixups
    assert identity(trainer(mixer=mx.Mixer("cutmix")))["code"] != cutmixs


# Attributes.


def test_plain_attributes_are_described_by_value():
    model = net()
    model.many = {"a": (1, 2.5, None), "b": {3}, "c": torch.float32}
    model.tensor, model.odd, model.act = torch.ones(2), object(), nn.functional.gelu
    first = attributes(model)
    assert attributes(model) == first
    model.many["a"] = (1, 2.5, 0)
    assert [name for name, value in attributes(model).items() if value != first[name]] == ["model.many"]
    model.many["a"] = (1, 2.5, None)
    model.tensor[0] = 2
    assert [name for name, value in attributes(model).items() if value != first[name]] == ["model.tensor"]
    assert attributes(net())["model.body.3.p"] != attributes(net(dropout=0.4))["model.body.3.p"]


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


def looped(value):
    found = {"value": value}
    found["self"] = [found]
    return found


def closing_over(value):
    return lambda x: x * value


def scaled(by):
    def around(function):
        @functools.wraps(function)
        def wrapper(x):
            return function(x) * by

        return wrapper

    return around


@pytest.mark.parametrize(
    "make",
    [
        lambda one: Act.RELU if one else Act.TANH,
        lambda one: SimpleNamespace(s=[1 if one else 2]),
        lambda one: np.array([1.0 if one else 2.0]),
        lambda one: np.float32(0.1 if one else 0.2),
        lambda one: b"a" if one else b"b",
        lambda one: range(2 if one else 3),
        lambda one: 1j if one else 2j,
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
        lambda one: scaled(1 if one else 2)(len),
        lambda one: Slotted(1 if one else 2).__init__,
        lambda one: [nn.Dropout(0.1 if one else 0.2)],
        lambda one: functools.lru_cache(torch.relu if one else torch.tanh),
        lambda one: torch.compile(lambda x: x + (1 if one else 2)) if one else torch.compile(lambda x: x),
        lambda one: frozenset([Slotted, Act] if one else [Slotted]),
    ],
)
def test_attributes_of_many_kinds_are_told_by_their_value(make):
    def told(one):
        model = net()
        model.odd = make(one)
        return attributes(model)["model.odd"]

    assert told(True) == told(True) != told(False)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_attributes_that_compute_nothing_are_taken_and_the_models_own_parts_are_told_by_name():
    model = net()
    model.log, model.my_hooks, model.script = logging.getLogger("net"), [1], torch.jit.script(torch.nn.functional.relu)
    model.again, model.method, model.out = (model.head,), model.forward, sys.stdout
    model.head.register_forward_hook(lambda _module, _given, out: out + model.head.bias)
    first = attributes(model)
    with torch.no_grad():
        model.head.bias += 1
    assert attributes(model) == first


@pytest.mark.parametrize("odd", [(part for part in "ab"), [memoryview(b"a")]])
def test_attribute_that_cannot_be_told_is_refused(odd):
    model = net()
    model.head.odd = odd
    came = odd[0] if isinstance(odd, list) else odd
    with pytest.raises(
        ValueError, match=r"^model must be made of what can be told by its value, for a run that is "
    ) as e:
        name(model)
    assert str(e.value).endswith(f"got {came!r} in model.head.odd")


TABLE = """
import functools
CFG = {{"slope": {slope}, "self": None}}
CFG["self"] = CFG
act = functools.partial(torch.relu, {slope})
class Options:
    slope = {slope}
    def __init__(self): self.scale = {slope}
options = Options()
def scaled(function): return lambda x: function(x) * {slope}
class Table(nn.Module):
    a = CFG
    def forward(self, x): return {use}
    @scaled
    def head(self, x): return x
"""


@pytest.mark.parametrize(
    "use", ["CFG['slope'] * x", "act(x)", "options.scale", "[CFG for _ in x]", "Options.slope", "x"]
)
def test_data_that_code_names_counts(use):
    def digest(slope):
        scope = {"nn": nn, "torch": torch, "__name__": "__main__"}
        exec(TABLE.format(slope=slope, use=use), scope)
        return codes_behind([scope["Table"]])

    assert digest(1) == digest(1) != digest(2)


def test_globals_that_only_have_the_name_of_an_attribute_do_not_count():
    def digest(value):
        scope = {"nn": nn, "__name__": "__main__", "scale": value}
        exec("class A(nn.Module):\n    def forward(self, x): return x * self.scale\n", scope)
        return codes_behind([scope["A"]])

    assert digest(1) == digest([2]) == digest(memoryview(b"a"))


class Extra(Net):
    def get_extra_state(self):
        return {"steps": 1}


def drawing(line):
    scope = {"nn": nn, "random": random, "np": np, "gauss": random.gauss, "Net": Net, "__name__": "__main__"}
    exec(
        f"class A(Net):\n    def forward(self, x):\n        {line}\n        return Net.forward(self, x) * share\n",
        scope,
    )
    return scope["A"]()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("share = random.random()", "random"),
        ("import random as r; share = r.random()", "random"),
        ("from numpy import random; share = random.rand()", "numpy.random"),
        ("share = np.random.rand()", "np.random"),
        ("share = gauss(0, 1)", "gauss"),
    ],
)
def test_model_that_draws_elsewhere_is_refused(line, what):
    with raising(
        ValueError,
        "model must draw from torch's global generator, for a run that can be taken up again, got ",
        f"{what} in A.forward",
    ):
        name(drawing(line))


def test_model_may_draw_its_first_weights_as_it_likes():
    class Drawn(Net):
        def __init__(self):
            super().__init__()
            with torch.no_grad():
                self.head.bias.fill_(random.random())

        def forward(self, x):
            return super().forward(x) * np.float32(0.5)

    assert len({name(Drawn()), name(Drawn())}) == 2


def test_model_whose_state_no_checkpoint_holds_is_refused():
    with raising(
        ValueError,
        "model must keep its state in parameters and buffers, for a run that can be taken up ",
        "again, got get_extra_state in model, a Extra",
    ):
        name(Extra())
    model = net()
    model.head.noise = torch.Generator()
    said = "model must draw from torch's global generator, for a run that can be taken up again, got "
    with raising(ValueError, said, f"{model.head.noise!r} in model.head.noise"):
        name(model)
