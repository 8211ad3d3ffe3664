"""What names a run: what changes the id, and what does not."""

import enum
import functools
import importlib
import inspect
import linecache
import logging
import os
import re
import subprocess
import sys
import textwrap
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_runs import Net, dataset, net, raising
from torch import nn

import mixlab as mx
from mixlab.keeping import fingerprint
from mixlab.keeping.describing import codes_behind
from mixlab.keeping.fingerprint import function_digest, modules_behind, tokens
from mixlab.keeping.identity import BEYOND, attributes, identity, name_of, settings_of
from mixlab.variants import KINDS

GIVEN = {"epochs": 2, "batch_size": 8, "dtype": torch.float32, "device": "cpu"}


def trainer(model=None, data=None, mixer=None, **changed):
    return mx.fit(model or net(), data or dataset(), mixer, **{**GIVEN, **changed})


def name(*given, **named):
    return name_of(identity(trainer(*given, **named)))


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
            cwd=Path(__file__).parent,
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
        lambda: name(data=normalised_otherwise()),
        lambda: name(mixer=mx.Mixer("mixup")),
    ],
)
def test_whatever_determines_a_run_changes_its_name(other):
    assert other() != name()


def normalised_otherwise():
    data = dataset()
    vars(data)["normalisation"] = ((0.0,) * 3, (1.0,) * 3)
    return data


OTHERS = {
    "epochs": 3,
    "seed": 1,
    "batch_size": 4,
    "learning_rate": 0.1,
    "schedule": mx.schedules.Cosine(),
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
    options = inspect.signature(mx.Trainer).parameters.keys() - {"model", "data", "mixer", "device"}
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


def test_settings_are_one_table_and_no_variant_has_a_setting_of_the_training():
    found = identity(trainer(mixer=mx.Mixer("mixup", alpha=0.4)))
    assert next(iter(settings_of(found))) == "variant"
    assert {"variant": "mixup", "alpha": 0.4, "k": 1, "epochs": 2, "seed": 0, "batch_size": 8}.items() <= settings_of(
        found
    ).items()
    for variant in KINDS:
        kind = {} if variant != "manifold" else {"layers": ("body",)}
        assert not ({"variant", *mx.Mixer(variant, **kind).settings} & set(found["training"])), variant


# Code.


def test_tokens_pass_over_comments_docstrings_and_empty_lines():
    plain = "def f(x):\n    if x:\n        return 'a'\n    return 1\n\nclass A:\n    b = 2\n"
    told = (
        '"""Module."""\n# Above.\ndef f(x):  # Beside.\n    """Says\n\n    much."""\n\n    if x:\n'
        "        return 'a'\n    # Before.\n    return 1\n\n\nclass A:\n    'One' ' two'\n    b = 2\n"
    )
    assert tokens(plain) == tokens(told)


@pytest.mark.parametrize(
    "changed",
    ["def f(x):\n    return x + 2\n", "def f(x):\n    y = 'text'\n    return x + 1\n", "def f(y):\n    return y + 1\n"],
)
def test_tokens_tell_code_apart(changed):
    assert tokens(changed) != tokens("def f(x):\n    return x + 1\n")


def test_tokens_tell_indentation_apart_and_keep_strings_that_are_no_docstrings():
    assert tokens("if a:\n    b\n    c\n") != tokens("if a:\n    b\nc\n")
    assert "'kept'" in tokens("def f():\n    'gone'\n    return 'kept'\n")
    assert "'gone'" not in tokens("def f():\n    'gone'\n    return 'kept'\n")


def test_fstring_is_one_token_on_every_python():
    assert tokens('a = f"x{b:{c}} {f(1)!r}" + "d"\n')[:5] == ["a", "=", 'f"x{b:{c}} {f(1)!r}"', "+", '"d"']
    assert tokens('a = f"""x\n{b}y"""\n')[2] == 'f"""x\n{b}y"""'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose modules are written by the test: `package(name=source)`; the digest of what is behind `one`, as
    a new process would find it.
    """
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "pathpack"
    folder.mkdir()
    (folder / "__init__.py").write_text("")

    def write(**sources):
        for module, source in sources.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(source))
        forget()
        found = modules_behind(["pathpack.one"], ["pathpack.beyond"])
        return {module: fingerprint.module_digest(module) for module in found}

    def forget():
        for module in [module for module in sys.modules if module.startswith("pathpack")]:
            del sys.modules[module]
        importlib.invalidate_caches()
        fingerprint._imports.cache_clear()
        fingerprint.module_digest.cache_clear()

    yield write
    forget()


def test_modules_behind_are_found_by_their_imports(package):
    found = package(
        one="import os\nfrom pathpack import two\nimport json as j\ndef f():\n    from pathpack.three import g\n",
        two="from typing import *\nif TYPE_CHECKING:\n    from pathpack import typed\nfrom pathpack.beyond import x",
        three="import pathpack.one",
        beyond="from pathpack import further",
        further="",
        typed="",
    )
    assert sorted(found) == ["pathpack.one", "pathpack.three", "pathpack.two"]


def test_comment_or_docstring_of_a_module_on_the_way_keeps_the_digest_and_code_changes_it(package):
    first = package(one="from pathpack import two\n", two="def f(x):\n    return x + 1\n")
    same = package(two='"""Told."""\ndef f(x):\n    """How."""\n    return x + 1  # so\n')
    other = package(two="def f(x):\n    return x + 2\n")
    assert first == same
    assert {module for module in first if first[module] != other[module]} == {"pathpack.two"}


def test_training_runs_through_what_it_should_and_not_through_more():
    found = {module.removeprefix("mixlab.") for module in modules_behind(["mixlab.training"], BEYOND)}
    assert {"training", "loop", "mixing", "plans", "augment", "descent", "losses", "hidden", "normalising"} <= found
    assert (
        not {"plots", "panels", "keeping.durable", "sources", "shapes", "models", "variants", "variants.puzzle"} & found
    )


def test_code_of_the_chosen_variant_names_a_run_and_that_of_others_does_not(monkeypatch):
    mixups, cutmixs = (identity(trainer(mixer=mx.Mixer(variant)))["code"] for variant in ("mixup", "cutmix"))
    real = fingerprint.module_digest
    changed = lambda module: "changed" if module == "mixlab.variants.cutmix" else real(module)  # noqa: E731
    monkeypatch.setattr("mixlab.keeping.identity.module_digest", changed)
    assert identity(trainer(mixer=mx.Mixer("mixup")))["code"] == mixups
    assert identity(trainer(mixer=mx.Mixer("cutmix")))["code"] != cutmixs


CELL = """
SCALE = {scale}

def helper(x):
    '''{doc}'''
    return x * SCALE  # {doc}

class Cell(nn.Module):
    '''{doc}'''

    def forward(self, x):
        return helper(x){after}
"""


def cell(number, *, with_source=True, **changed):
    """The class that a notebook's cell defines, whose source is in linecache alone, or nowhere."""
    source = CELL.format(**{"scale": 2, "doc": "Words", "after": "", **changed})
    file, scope = f"<cell {number}>", {"nn": nn, "__name__": "__main__"}
    if with_source:
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), scope)
    return scope["Cell"]


@pytest.mark.parametrize("with_source", [True, False])
def test_code_of_a_class_made_in_a_notebook(with_source):
    def digest(number, **changed):
        return codes_behind([cell(f"{number} {with_source}", with_source=with_source, **changed)])

    first = digest(1)
    assert digest(2) == first
    assert digest(3, doc="Other words") == first
    assert digest(4, after=" + 1") != first
    assert digest(5, scale=3) != first, "what a method finds by name counts"


def test_code_of_a_helper_that_a_class_calls_counts():
    scope = {"nn": nn, "__name__": "__main__"}
    exec("def helper(x): return x\nclass A(nn.Module):\n    def forward(self, x): return helper(x)\n", scope)
    first = codes_behind([scope["A"]])
    exec("def helper(x): return -x\n", scope)
    assert codes_behind([scope["A"]]) != first


def test_torchs_own_code_is_told_by_name():
    assert codes_behind([nn.Linear]) == codes_behind([nn.Linear])
    assert codes_behind([nn.Linear]) != codes_behind([nn.Conv2d])


def test_function_without_source_is_told_by_its_bytecode():
    scope = {}
    exec("def one(x): return x + 1\ndef two(x): return x + 1\ndef three(x): return x + 2\n", scope)
    one, two, three = (function_digest(scope[name]) for name in ("one", "two", "three"))
    assert one == two != three


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


def test_code_that_is_reached_through_modules_counts(package):
    package(one="from pathpack import two\ndef f(x):\n    return two.inner.g(x)\n", two="from pathpack import inner\n")
    package(inner="def g(x):\n    return x + K\nK = 1\n")
    from pathpack import inner, one

    first = codes_behind([one.f])
    inner.K = 2
    assert codes_behind([one.f]) != first


@pytest.mark.parametrize(
    "inside", ["from pathpack.two import g", "from pathpack import two; g = two.g", "import pathpack.two as t; g = t.g"]
)
def test_what_a_function_imports_counts(package, inside):
    package(one=f"def f(x):\n    {inside}\n    return g(x)\n", two="def g(x):\n    return x + 1\n")
    from pathpack import one

    first = codes_behind([one.f])
    assert codes_behind([one.f]) == first
    package(two="def g(x):\n    return x + 22\n")
    from pathpack import one

    assert codes_behind([one.f]) != first


def test_code_that_runs_names_a_run_and_not_what_its_file_says_since(package):
    package(one="def f(x):\n    return x + 1\n")
    from pathpack import one

    file = Path(one.__file__)
    file.write_text("def f(x):\n    return x + 22\n")
    stale = codes_behind([one.f])
    said = f"{file} has changed since pathpack.one was imported, so that no run can be named by its code: "
    fingerprint.module_digest.cache_clear()
    with raising(RuntimeError, said, "restart Python"):
        fingerprint.module_digest("pathpack.one")
    package()
    from pathpack import one

    assert one.f(0) == 22
    assert codes_behind([one.f]) != stale


class Extra(Net):
    def get_extra_state(self):
        return {"steps": 1}


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
