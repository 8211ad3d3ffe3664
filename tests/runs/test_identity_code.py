"""Digests of code: of modules, of functions and classes, of what a notebook defines."""

import importlib
import linecache
import sys
import textwrap
from pathlib import Path

import pytest
from tiny_runs import raising
from torch import nn

from mixlab.runs import fingerprint
from mixlab.runs.describing import codes_behind
from mixlab.runs.fingerprint import function_digest, modules_behind, tokens
from mixlab.runs.identity import BEYOND


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
    found = {module.removeprefix("mixlab.") for module in modules_behind(["mixlab.training.trainer"], BEYOND)}
    assert {"training", "loop", "mixing", "plans", "augment", "descent", "losses", "hidden", "normalizing"} <= found
    assert (
        not {"plots", "panels", "keeping.durable", "sources", "shapes", "models", "variants", "variants.puzzle"} & found
    )


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


def test_torchs_own_code_is_told_by_name(monkeypatch):
    first = codes_behind([nn.Linear])
    monkeypatch.setattr(nn.Linear, "forward", lambda _, x: x)
    assert codes_behind([nn.Linear]) == first != codes_behind([nn.Conv2d])


def test_function_without_source_is_told_by_its_bytecode():
    scope = {}
    exec("def one(x): return x + 1\ndef two(x): return x + 1\ndef three(x): return x + 2\n", scope)
    one, two, three = (function_digest(scope[name]) for name in ("one", "two", "three"))
    assert one == two != three


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
