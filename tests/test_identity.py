"""What names a run: what changes the id, and what does not."""

import importlib
import linecache
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from tiny_runs import Net, dataset, net, raising
from torch import nn

import mixlab as mx
from mixlab import fingerprint
from mixlab.fingerprint import codes_behind, function_digest, modules_behind, tokens
from mixlab.identity import BEYOND, attributes, described, identity, name_of, settings_of
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
    code = "import test_identity as t; print(t.name())"
    told = subprocess.check_output([sys.executable, "-c", code], cwd=Path(__file__).parent, text=True)
    assert told.strip() == name()


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
        lambda: name(mixer=mx.Mixer("mixup")),
        lambda: name(epochs=3),
        lambda: name(seed=1),
        lambda: name(batch_size=4),
        lambda: name(learning_rate=0.1),
        lambda: name(weight_decay=0.1),
        lambda: name(label_smoothing=0.1),
        lambda: name(augment=False),
        lambda: name(cutout_side=2),
        lambda: name(dtype=torch.bfloat16),
    ],
)
def test_whatever_determines_a_run_changes_its_name(other):
    assert other() != name()


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
    """A package whose modules are written by the test: `package(name=source)`; the digest of what is behind `one`."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "pathpack"
    folder.mkdir()
    (folder / "__init__.py").write_text("")

    def write(**sources):
        for module, source in sources.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        fingerprint._imports.cache_clear()
        fingerprint.module_digest.cache_clear()
        found = modules_behind(["pathpack.one"], ["pathpack.beyond"])
        return {module: fingerprint.module_digest(module) for module in found}

    yield write
    for module in [module for module in sys.modules if module.startswith("pathpack")]:
        del sys.modules[module]
    fingerprint._imports.cache_clear()
    fingerprint.module_digest.cache_clear()


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
        not {"plots", "panels", "durable", "sources", "shapes", "models", "doctor", "variants", "variants.puzzle"}
        & found
    )


def test_code_of_the_chosen_variant_names_a_run_and_that_of_others_does_not(monkeypatch):
    mixups, cutmixs = (identity(trainer(mixer=mx.Mixer(variant)))["code"] for variant in ("mixup", "cutmix"))
    real = fingerprint.module_digest
    changed = lambda module: "changed" if module == "mixlab.variants.cutmix" else real(module)  # noqa: E731
    monkeypatch.setattr("mixlab.identity.module_digest", changed)
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
    assert described(torch.relu) == "relu"
    assert described(nn.functional.relu)[0] == "relu"


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
    assert attributes(net())["model.body.3.p"] == [0.3]


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
