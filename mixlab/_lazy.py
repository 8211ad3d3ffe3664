"""Public names that load on first use; a typo raises an error that names the nearest one."""

import copyreg
import difflib
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import lazy_loader


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the `.pyi` file beside its `__init__.py`."""
    load, names, public = lazy_loader.attach_stub(package, file)
    kind = type(sys.modules[package])
    if kind is not ModuleType:  # a class of lazy_loader's, which cloudpickle does not take for a module
        copyreg.pickle(kind, _by_name)

    def get(name: str) -> Any:
        if name in public:
            return load(name)
        near = difflib.get_close_matches(name, public, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return get, names, public


def _by_name(module: ModuleType) -> tuple[Callable[[str], ModuleType], tuple[str]]:
    """A module for another process, as in a function of a notebook that joblib or Dask sends to a worker."""
    return importlib.import_module, (module.__name__,)
