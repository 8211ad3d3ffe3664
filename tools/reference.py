"""The reference of the site: a page for each package of mixlab, from its docstrings; `tools/website.py` calls it."""

import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mixlab as mx

STUB = Path(mx.__file__).with_suffix(".pyi")
# In the order of the pages: the packages, and those of their files whose names are imported from the file itself.
PACKAGES = {
    "mixing": ("ways", "variants"),
    "calibration": ("bins", "multilabel", "bootstrap"),
    "training": ("schedules",),
    "data": (),
    "models": (),
    "runs": (),
    "probes": (),
    "plots": (),
    "panels": (),
    "comparison": (),
    "domains": ("public_data",),
    "integrations": ("lightning", "huggingface"),
    "exercises": ("guesses",),
}
WORDS = (
    "After ``import mixlab as mx``, names under ``mixlab`` are ``mx.name``; import the others from where they stand."
)


def write(folder: Path) -> None:
    """Write a page for each package, with the names that are public there, and those of `mx` that live in it."""
    folder.mkdir()
    packages = [name for name in PACKAGES if (STUB.parent / name).is_dir()]
    for package in packages:
        (folder / f"{package}.rst").write_text("\n".join(page(package)), "utf-8")
    listed = "\n".join(f"   {package}" for package in packages)
    text = [*heading("Reference", "="), WORDS, "", ".. toctree::", "", listed, ""]
    (folder / "index.rst").write_text("\n".join(text), "utf-8")


def page(package: str) -> list[str]:
    """The lines of one package's page."""
    title = f"mixlab.{package}"
    module = import_module(title)
    names = [name for name in mx.__all__ if home(name).split(".")[:2] == ["mixlab", package]]
    further = [name for name in public(module) if name not in names]
    parts = [name for name in further if inspect.ismodule(getattr(module, name))]
    lines = [*heading(title, "="), *about(module)]
    lines += directives("mixlab", mx, names) + directives(title, module, further)
    shown = {*names, *further}
    for name in (*parts, *PACKAGES[package]):
        part = import_module(f"{title}.{name}")
        own = [one for one in public(part) if one not in shown]
        lines += [*heading(part.__name__, "-"), *about(part), *directives(part.__name__, part, own)]
    return lines


def home(name: str) -> str:
    """The module that a name of `mx` lives in, as the stub has it."""
    for line in STUB.read_text("utf-8").splitlines():
        if line.endswith(f"as {name}"):
            return "mixlab" + line.split()[1]
    return ""


def public(module: ModuleType) -> list[str]:
    """The names that a module gives: those it lists, else functions, classes and constants of its own."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(module.__name__)
    ]


def heading(title: str, line: str) -> list[str]:
    """A title, underlined."""
    return [title, len(title) * line, ""]


def about(module: ModuleType) -> list[str]:
    """What a module says of itself; code in it stays code."""
    return [re.sub(r"`([^`]+)`", r"``\1``", inspect.getdoc(module) or ""), ""]


def directives(place: str, module: Any, names: Iterable[str]) -> list[str]:
    """An autodoc directive for each name that has documentation."""
    lines = []
    for name in names:
        value = getattr(module, name)
        if inspect.ismodule(value) or not inspect.getdoc(value):
            continue
        kind = "autoclass" if inspect.isclass(value) else "autofunction" if callable(value) else "autodata"
        lines += [f".. {kind}:: {place}.{name}", ""]
    return lines
