"""What a function reaches when it runs: by enclosing, by name, by importing; and where modules are from."""

import dis
import sys
from collections.abc import Iterator
from importlib.util import find_spec, resolve_name
from types import CodeType, FunctionType, ModuleType
from typing import Any

_INSTALLED = ("site-packages", "dist-packages")
_FOREIGN = {"torch", "numpy", *sys.stdlib_module_names} - {"__main__"}
DRAWING = ("random", "secrets", "numpy.random")  # modules whose streams no run can lend
_GLOBAL, _ATTRIBUTE = ("LOAD_GLOBAL", "LOAD_NAME"), ("LOAD_ATTR", "LOAD_METHOD")


def enclosed(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function closes over, its defaults, and its attributes."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            yield name, None
    for place, value in enumerate(function.__defaults__ or ()):
        yield f"default {place}", value
    yield from sorted((function.__kwdefaults__ or {}).items())
    yield from sorted((name, value) for name, value in vars(function).items() if not name.startswith("_"))


def named_by(function: FunctionType) -> dict[str, Any]:
    """What a function finds by name when it runs: globals, and through modules that are not foreign what is in them."""
    found: dict[str, Any] = {}
    for code in _codes(function.__code__):
        path, value = "", None
        for step in dis.get_instructions(code):
            if step.opname in _GLOBAL and step.argval in function.__globals__:
                path, value = step.argval, function.__globals__[step.argval]
            elif step.opname in _ATTRIBUTE and _leads_on(value, step.argval) and hasattr(value, step.argval):
                path, value = f"{path}.{step.argval}", getattr(value, step.argval)
            else:
                value = value if step.opname == "EXTENDED_ARG" else None
                continue
            if not path.startswith("__"):
                found[path] = value
    return dict(sorted(found.items()))


def imports_in(function: FunctionType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The modules that a function imports, and which names out of each; none where it takes the module itself."""
    package = str(function.__globals__.get("__package__") or "")
    for code in _codes(function.__code__):
        steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname == "IMPORT_NAME" and (package or not level.argval):
                yield resolve_name("." * level.argval + step.argval, package), names.argval or ()


def draws_elsewhere(part: Any) -> bool:
    """Whether what a function reaches is Python's or numpy's own source of random numbers."""
    home = part.__name__ if isinstance(part, ModuleType) else getattr(part, "__module__", None)
    homes = (home, type(getattr(part, "__self__", None)).__module__)
    return any(f"{home}.".startswith(f"{name}.") for home in homes for name in DRAWING)


def _leads_on(value: Any, to: str) -> bool:
    if not isinstance(value, ModuleType):
        return False
    return not is_foreign(value.__name__) or (value.__name__, to) == ("numpy", "random")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def root_of(module: Any) -> str:
    """The package that a module is in."""
    return str(module).partition(".")[0]


def is_foreign(module: str) -> bool:
    """Whether a module is torch's, numpy's or Python's own, of which the name says enough."""
    return root_of(module) in _FOREIGN


def is_installed(module: str) -> bool:
    """Whether a module is from a package that pip installed; mixlab counts as none, wherever it lies."""
    return root_of(module) not in ("mixlab", "__main__") and any(place in file_of(module) for place in _INSTALLED)


def file_of(module: str) -> str:
    """A module's file, of one that is not imported yet that of its package; "" where there is none."""
    if (found := sys.modules.get(module)) is not None:
        return getattr(found, "__file__", None) or ""
    spec = find_spec(root_of(module))
    return (spec and spec.origin) or ""
