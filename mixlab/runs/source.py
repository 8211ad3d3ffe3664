"""The source of classes and functions that are neither torch's, Python's nor mixlab's."""

import inspect
import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Any

_KNOWN = {"torch", "mixlab", "builtins", *sys.stdlib_module_names} - {"__main__"}


def is_own(thing: Any) -> bool:
    """Whether a class or function is neither torch's, Python's nor mixlab's."""
    return str(getattr(thing, "__module__", None)).partition(".")[0] not in _KNOWN


def sources(kinds: Iterable[type], argument: str) -> list[list[str]]:
    """Name and source of each class and its bases, in the order of their names.

    Raises ValueError, naming the argument, where there is no source.
    """
    own = {base for kind in kinds for base in kind.__mro__ if is_own(base)}
    return sorted([kind.__qualname__, source(kind, argument)] for kind in own)


def source(thing: Any, argument: str) -> str:
    """The source of a class or function; of a notebook's class, which has no file, that of its methods.

    Raises ValueError, naming the argument, where there is none.
    """
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        methods = [value for _, value in sorted(vars(thing).items()) if isinstance(value, FunctionType)]
        if isinstance(thing, type) and methods:
            return "\n".join(source(method, argument) for method in methods)
        raise ValueError(
            f"{argument} must be made of classes and functions whose source is in a file or a notebook's cell, as it "
            f"names the run, got {thing.__qualname__}; define it there, or train with mixlab.fit, which stores nothing"
        ) from None
