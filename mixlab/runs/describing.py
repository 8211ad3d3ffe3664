"""Digests of values and code that are equal for what works equally: by content, however it hangs together.

Whatever is reached by name or reference becomes a note on what it is, with links to the notes on its parts; the digest
is of the notes. So loops end, sharing does not matter, and a set has no order.
"""

import contextlib
import copyreg
import enum
import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import torch
from torch import Tensor, nn

from mixlab._check import shown
from mixlab.runs.fingerprint import canonical, function_digest, module_digest, modules_behind, sha256, tensors_digest
from mixlab.runs.reaching import (
    DRAWING,
    draws_elsewhere,
    enclosed,
    file_of,
    imports_in,
    is_foreign,
    is_installed,
    named_by,
    root_of,
)

OF_EVERY_MODULE = frozenset({*vars(nn.Module()), "_compiled_call_impl"})
# What does no arithmetic, or whose code is told elsewhere: its class is enough.
_MACHINERY = (
    "logging",
    "threading",
    "_thread",
    "weakref",
    "_weakrefset",
    "_io",
    "_contextvars",
    "torch._dynamo",
    "torch.fx",
)
_DRAWING = ("Generator", "RandomState", "Random")
_DESCRIPTORS = (ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType)
_BUILT_IN = (BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType, *_DESCRIPTORS)

# What tells of an object whose copy does not, or cannot be made. A context that decorates makes its generator anew.
_OPENED: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    staticmethod: lambda value: (value.__func__,),
    classmethod: lambda value: (value.__func__,),
    property: lambda value: (value.fget, value.fset, value.fdel),
    functools.cached_property: lambda value: (value.func,),
    functools._lru_cache_wrapper: lambda value: (value.__wrapped__,),
    contextlib._GeneratorContextManager: lambda value: (value.func, value.args, value.kwds),
    torch.jit.ScriptFunction: lambda value: (value.code,),
    nn.Module: lambda value: (
        type(value),
        *(dict(part) for part in (value._parameters, value._buffers, value._modules)),
        parts_of(value),
    ),
}

Note = Any  # JSON, with links and bags in it


@dataclass(frozen=True)
class _Link:
    to: int


@dataclass(frozen=True)
class _Bag:
    notes: tuple[Note, ...]  # in no order


def codes_behind(things: Iterable[Any], known: Mapping[int, str] | None = None) -> str:
    """The sha256 of the code of classes and functions, and of all that they name which is neither torch's nor Python's.

    Followed are their bases, the functions, classes and data that they look up by name, and so on; installed packages
    only where one of the things is from there, else their names are enough. Works for what a notebook's cell defines.
    `known` and errors as for `digest_of`.
    """
    things = list(things)
    return _Walk(known or {}, roots_of(things)).digest(_Bag, things, "its code")


def digest_of(
    values: Iterable[Any], where: str, known: Mapping[int, str], roots: frozenset[str], *, argument: str = "model"
) -> str:
    """The sha256 of values: tensors by their bytes, functions and classes by their code, objects by what they hold.

    Args:
        values: in their order.
        where: they are, for messages.
        known: ids of objects that are told by a name.
        roots: packages to follow although they are installed, as `roots_of` gives them.
        argument: whose values they are, for messages.

    Raises:
        ValueError: something cannot be described, or is a generator of random numbers, whose state is in no checkpoint.
    """
    return _Walk(known, roots, argument).digest(tuple, values, where)


def roots_of(things: Iterable[Any]) -> frozenset[str]:
    """The packages that classes and functions are from."""
    return frozenset(root_of(thing.__module__) for thing in things)


def parts_of(module: nn.Module) -> dict[str, list[Any]]:
    """The plain attributes of a module, and its hooks."""
    if type(module).__module__.startswith("torch._dynamo"):  # what torch.compile made, around the module itself
        return {}
    found = {}
    for name, value in sorted(vars(module).items()):
        if name not in OF_EVERY_MODULE:
            found[name] = [value]
        elif name.endswith("_hooks") and value:
            found[name] = list(value.values())  # whose keys are numbers of this process
    return found


class _Walk:
    def __init__(self, known: Mapping[int, str], roots: frozenset[str], argument: str = "model") -> None:
        self._known, self._roots, self._argument = known, roots, argument
        self._notes: dict[int, Note] = {}
        self._met: list[tuple[Any, str]] = []  # all of them are kept, so that no id is used twice

    def digest(self, order: Any, values: Iterable[Any], where: str) -> str:
        told, done = order([self._told(value, where) for value in values]), 0
        while done < len(self._met):
            value, where = self._met[done]
            self._notes[id(value)] = self._note(value, where)
            done += 1
        # Each note gets the digest of itself and its links' last digests, until that tells no more of them apart.
        labels, distinct = dict.fromkeys(self._notes, ""), 0
        while True:
            labels = {
                key: sha256(canonical([labels[key], _resolved(note, labels)])) for key, note in self._notes.items()
            }
            if len(set(labels.values())) == distinct:
                return sha256(canonical([_resolved(told, labels), sorted(set(labels.values()))]))
            distinct = len(set(labels.values()))

    def _link(self, value: Any, where: str) -> _Link:
        if id(value) not in self._notes:
            self._notes[id(value)] = None
            self._met.append((value, where))
        return _Link(id(value))

    def _told(self, value: Any, where: str) -> Note:
        """What a value is, if that is short, or else a link."""
        kind = type(value)
        if id(value) in self._known:
            return ["known", self._known[id(value)]]
        if value is None or kind in (bool, int, str, float):
            return value if kind is not float or math.isfinite(value) else ["float", repr(value)]
        if (content := _content(value)) is not None:
            return [kind.__name__, content]
        if kind is tuple:
            return ["tuple", [self._told(part, where) for part in value]]
        if isinstance(value, enum.Enum):
            return ["enum", self._told(kind, where), value.name, self._told(value.value, where)]
        if isinstance(value, MethodType):
            return ["method", self._told(value.__func__, where), self._told(value.__self__, where)]
        if isinstance(value, _BUILT_IN):
            owner = getattr(value, "__self__", None)
            holder = None if isinstance(owner, (ModuleType, type)) else self._told(owner, where)
            return ["built-in", value.__qualname__, holder]
        if isinstance(value, type) and (is_foreign(value.__module__) or not self._is_followed(value.__module__)):
            return ["class", _named(value)]
        if _is_machinery(kind):
            return ["machinery", _named(kind)]
        return self._link(value, where)

    def _note(self, value: Any, where: str) -> Note:
        def told(part: Any) -> Note:
            return self._told(part, where)

        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if type(value) is list:
            return ["list", [told(part) for part in value]]
        if type(value) in (dict, MappingProxyType):
            return ["dict", _Bag(tuple([told(name), told(part)] for name, part in value.items()))]
        if type(value) in (set, frozenset):
            return ["set", _Bag(tuple(told(part) for part in value))]
        for kind, parts in _OPENED.items():
            if isinstance(value, kind):
                return [kind.__name__, *map(told, parts(value))]
        return ["object", *map(told, _reduced(value, where, self._argument))]

    def _class(self, kind: type) -> Note:
        members = []
        for name, value in sorted(vars(kind).items()):
            dunder = name.startswith("__") and name.endswith("__")
            code = isinstance(value, (FunctionType, staticmethod, classmethod, property))
            if code or not (dunder or name == "_abc_impl" or (issubclass(kind, enum.Enum) and name.startswith("_"))):
                members.append([name, self._told(value, f"{kind.__qualname__}.{name}")])
        above = (*kind.__mro__[1:], type(kind))
        return ["class", _named(kind), [self._told(base, kind.__qualname__) for base in above], members]

    def _function(self, function: FunctionType) -> Note:
        original = getattr(function, "_torchdynamo_orig_callable", None)
        if original is not None:
            return ["compiled", self._told(original, function.__qualname__)]
        module, parts, code = str(function.__globals__.get("__name__")), dict(enclosed(function)), ""
        if not is_foreign(module) and self._is_followed(module):
            code, named = function_digest(function), named_by(function) | self._imported_by(function)
            if is_installed(module):  # its tables are caches and registries too; as it wrote them they are in its file
                code += _file_digest(module)
                named = {name: part for name, part in named.items() if isinstance(part, (type, FunctionType))}
            parts |= named
            if function.__name__ != "__init__":  # whose weights are told by themselves
                self._refuse_drawing(function, named)
        told = [[name, self._told(part, f"{name}, which {function.__qualname__} uses")] for name, part in parts.items()]
        return ["function", _named(function), code, told]

    def _refuse_drawing(self, function: FunctionType, named: Mapping[str, Any]) -> None:
        for path, part in named.items():
            if draws_elsewhere(part):
                raise ValueError(
                    f"{self._argument} must draw from torch's global generator, for a run that can be taken up again, "
                    f"got {path} in {function.__qualname__}"
                )

    def _imported_by(self, function: FunctionType) -> dict[str, Any]:
        """What a function imports when it runs: things out of modules, and digests of modules that it takes whole."""
        found: dict[str, Any] = {}
        for module, names in imports_in(function):
            if is_foreign(module) or not self._is_followed(module):
                paths = (module, *(f"{module}.{name}" for name in names))
                found |= {path: import_module(path) for path in paths if path in DRAWING}
                continue
            try:
                home = import_module(module)  # as the function would do
                parts = {
                    name: getattr(home, name) if hasattr(home, name) else import_module(f"{module}.{name}")
                    for name in names
                }
            except ImportError:  # which the function may expect
                continue
            for name, part in parts.items():
                found[f"{module}.{name}"] = _module_digests(part.__name__) if isinstance(part, ModuleType) else part
            if not names:
                found[module] = _module_digests(module)
        return found

    def _is_followed(self, module: str) -> bool:
        return root_of(module) in self._roots or not is_installed(module)


def _content(value: Any) -> str | None:
    """What a value says, where that is a text or bytes."""
    if isinstance(value, (bytes, bytearray)):
        return sha256(value.hex())
    if isinstance(value, Tensor):
        return tensors_digest({"": value})
    if isinstance(value, ModuleType):
        return value.__name__
    listed = isinstance(value, (complex, torch.finfo, torch.iinfo)) or type(value).__module__ == "torch._ops"
    return repr(value) if listed else None


def _resolved(note: Note, labels: dict[int, str]) -> Any:
    if isinstance(note, _Link):
        return labels[note.to]
    if isinstance(note, _Bag):
        return sorted((_resolved(part, labels) for part in note.notes), key=canonical)
    return [_resolved(part, labels) for part in note] if isinstance(note, (list, tuple)) else note


def _reduced(value: Any, where: str, argument: str) -> list[Any]:
    """The class of an object and what a copy would be made of: its attributes, for most."""
    kind = type(value)
    if kind.__name__ in _DRAWING:
        raise ValueError(
            f"{argument} must draw from torch's global generator, for a run that can be taken up again, got "
            f"{shown(value)} in {where}"
        )
    try:
        own = copyreg.dispatch_table.get(kind)
        reduced = value.__reduce_ex__(4) if own is None else own(value)
    except Exception:  # noqa: BLE001  # an object may raise anything here
        raise ValueError(
            f"{argument} must be made of what can be told by its value, for a run that is named by it, got "
            f"{shown(value)} in {where}"
        ) from None
    if isinstance(reduced, str):
        return [kind, reduced]
    made, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    return [kind, made, arguments, state, *(None if part is None else list(part) for part in (items, pairs))]


def _module_digests(name: str) -> dict[str, str]:
    return {module: module_digest(module) for module in modules_behind([name], ())}


def _named(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


@functools.cache
def _file_digest(module: str) -> str:
    return hashlib.sha256(Path(file_of(module)).read_bytes()).hexdigest()


def _is_machinery(kind: type) -> bool:
    return any(f"{base.__module__}.".startswith(tuple(f"{name}." for name in _MACHINERY)) for base in kind.__mro__[:-1])
