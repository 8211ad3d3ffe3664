"""What code says, as a digest: tokens without comments and docstrings, of modules and of functions."""

import ast
import functools
import hashlib
import importlib.util
import inspect
import io
import json
import sys
import textwrap
import tokenize
from collections.abc import Iterable, Iterator
from importlib.abc import InspectLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor

_LAYOUT = ("NEWLINE", "INDENT", "DEDENT")  # counted as such, however they are written
_PASSED_OVER = ("COMMENT", "NL", "ENCODING", "ENDMARKER")


def canonical(value: Any) -> str:
    """JSON in one form only: sorted keys, no spaces, no number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(text: str) -> str:
    """Of the text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """The sha256 of names, types, shapes and values, whatever the layout in memory or the device."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def tokens(source: str) -> list[str]:
    """The tokens of Python source but comments, docstrings and empty lines; equal on every version of Python.

    Raises SyntaxError or tokenize.TokenError for what is not Python.
    """
    docstrings, in_docstring = _docstrings(ast.parse(source)), False
    lines = io.StringIO(source).readlines()  # as tokenize counts them; splitlines() ends lines at a form feed too
    found: list[str] = []
    open_at: list[tuple[int, int]] = []  # f-strings under way; from Python 3.12 on they come in pieces
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        in_docstring = in_docstring or (token.start in docstrings and kind == "STRING")
        if in_docstring:
            in_docstring = kind != "NEWLINE"
        elif kind in ("FSTRING_START", "TSTRING_START"):
            open_at.append(token.start)
        elif kind in ("FSTRING_END", "TSTRING_END"):
            start = open_at.pop()
            if not open_at:
                found.append(_between(lines, start, token.end))
        elif not open_at and kind not in _PASSED_OVER:
            found.append(kind if kind in _LAYOUT else token.string)
    return found


def _docstrings(tree: ast.Module) -> set[tuple[int, int]]:
    """Where each docstring begins: line, and place in it."""
    places = set()
    for node in (tree, *_statements(tree)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                places.add((first.lineno, first.col_offset))
    return places


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement inside, but what only a type checker reads; expressions, which take long, are not walked."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, part, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            if not (isinstance(inner, ast.If) and ast.unparse(inner.test) == "TYPE_CHECKING"):
                yield from _statements(inner)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def modules_behind(roots: Iterable[str], beyond: Iterable[str]) -> tuple[str, ...]:
    """The modules of the roots' package that are run when the roots are: roots, their imports, and so on.

    Imports inside functions count, those for type checkers do not. What `beyond` names is not looked into.
    """
    waiting, seen = sorted(set(roots)), set(beyond)
    found = []
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            found.append(name)
            waiting.extend(_imports(name))
    return tuple(sorted(found))


@functools.cache
def module_digest(name: str) -> str:
    """The sha256 of a module's tokens.

    Raises RuntimeError if its source is not here, or no longer the one that was imported.
    """
    source = _source(name)
    if (module := sys.modules.get(name)) is not None:
        file = str(module.__file__)
        if not _codes_in(source, file).issuperset(_running(module, file)):
            raise RuntimeError(
                f"{file} has changed since {name} was imported, so that no run can be named by its code: restart Python"
            )
    return sha256(canonical(tokens(source)))


@functools.cache
def _codes_in(source: str, file: str) -> frozenset[CodeType]:
    """All code that a source compiles to; equal codes stand in the same lines and do the same."""
    waiting, found = [InspectLoader.source_to_code(source, file)], set()
    while waiting:
        found.add(code := waiting.pop())
        waiting.extend(part for part in code.co_consts if isinstance(part, CodeType))
    return frozenset(found)


def _running(module: ModuleType, file: str) -> Iterator[CodeType]:
    """The code of a module's functions and methods, as they were imported."""
    for value in vars(module).values():
        for member in vars(value).values() if isinstance(value, type) else (value,):
            inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
            function = inspect.unwrap(inner) if callable(inner) else inner
            if isinstance(function, FunctionType) and function.__code__.co_filename == file:
                yield function.__code__


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    package = name.partition(".")[0]
    found: list[str] = []
    for node in _statements(ast.parse(_source(name))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *_submodules(node, package)]
    return tuple(module for module in found if module.startswith(f"{package}."))


def _submodules(node: ast.ImportFrom, package: str) -> list[str]:
    """Which of the names that an import takes out of a package of ours are modules."""
    assert node.module is not None
    if node.module.partition(".")[0] != package:
        return []
    spec = importlib.util.find_spec(node.module)
    if spec is None or spec.submodule_search_locations is None:
        return []
    inner = [f"{node.module}.{alias.name}" for alias in node.names]
    return [module for module in inner if importlib.util.find_spec(module)]


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    source = getattr(spec.loader, "get_source", lambda _: None)(name) if spec is not None else None
    if source is None:
        raise RuntimeError(f"the source of {name} is not here, and without it no run can be named by its code")
    return str(source)


def function_digest(function: FunctionType) -> str:
    """The sha256 of a function's tokens or, where its source is not to be had or has changed since, of its bytecode."""
    code = function.__code__
    return _code_digest(code, function.__doc__, code.co_filename)


@functools.cache
def _code_digest(code: CodeType, doc: str | None, _file: str) -> str:
    """The file tells apart what is equal but for its source."""
    try:
        if code.co_name == "<lambda>":  # whose source is the whole line, others' code included
            raise OSError("no source of its own")
        lines, _ = inspect.findsource(code)
        if code not in _codes_in("".join(lines), code.co_filename):
            raise OSError("its file has changed since it was imported")
        return sha256(canonical(tokens(textwrap.dedent(inspect.getsource(code)))))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        return sha256(canonical(_bytecode(code, doc)))


def _bytecode(code: CodeType, doc: str | None = None) -> list[Any]:
    parts = [_constant(part) for part in code.co_consts if part != doc]
    return [code.co_code.hex(), parts, list(code.co_names), list(code.co_varnames)]


def _constant(value: Any) -> Any:
    """A constant of bytecode; the order of a set is another in each process."""
    if isinstance(value, CodeType):
        return _bytecode(value)
    if isinstance(value, tuple):
        return [_constant(part) for part in value]
    if isinstance(value, frozenset):
        return ["set", *sorted((_constant(part) for part in value), key=canonical)]
    return repr(value)
