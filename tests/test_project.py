"""The project's own files agree: pyproject.toml, constraints.txt, both environment.yml, CITATION.cff, and the code."""

import ast
import json
import os
import pkgutil
import re
import subprocess
import sys
from functools import reduce
from itertools import chain
from operator import getitem

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from paths import ROOT

import mixlab

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
CONDA_NAMES = {"matplotlib-base": "matplotlib", "dask-core": "dask"}
FROM_PIP = {"torch", "torchvision", "relplot"}  # the first two from PyTorch's CPU index
IMPORTED_AS = {
    "lazy-loader": {"lazy_loader"},
    "pillow": {"PIL"},
    "scikit-learn": {"sklearn"},
    "ipywidgets": {"ipywidgets", "traitlets", "IPython"},  # with what it brings
    "matplotlib": {"matplotlib", "mpl_toolkits"},
}


def toml(*table):
    """A table of pyproject.toml. Python 3.10 has no tomllib, but coverage and pytest bring tomli there."""
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return reduce(getitem, table, tomllib.loads((ROOT / "pyproject.toml").read_text()))


def requirements(*extras):
    """The direct requirements of mixlab with these extras, by name."""
    project = toml("project")
    lines = chain(project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras))
    return {canonicalize_name(item.name): item for item in map(Requirement, lines) if item.name != "mixlab"}


def constraints(python):
    """The pins in force on one Python, by name."""
    lines = re.findall(r"^[^#\s].*", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pins = [pin for pin in map(Requirement, lines) if not pin.marker or pin.marker.evaluate({"python_version": python})]
    by_name = {canonicalize_name(pin.name): pin for pin in pins}
    assert len(by_name) == len(pins), f"something is pinned twice for Python {python}"
    versions = {name: re.fullmatch(r"==(.+)", str(pin.specifier)) for name, pin in by_name.items()}
    return {name: Version(version[1]) for name, version in versions.items()}


def conda(path):
    """The conda requirements of an environment file by the names of PyPI, and its pip lines."""
    *lines, last = yaml.safe_load((ROOT / path).read_text())["dependencies"]
    ranges = {}
    for line in lines:
        name, relation = re.fullmatch(r"([\w-]+)(.*)", line).groups()
        ranges[canonicalize_name(CONDA_NAMES.get(name, name))] = relation
    return ranges, last["pip"]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_requirement_has_a_tested_version_in_its_range(python):
    pins = constraints(python)
    for name, requirement in requirements(
        "lab", "hub", "lightning", "huggingface", "series", "cluster", "test"
    ).items():
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        assert name in pins, f"{name} is not in constraints.txt for Python {python}"
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]} is outside {requirement.specifier}"


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_name_what_the_lessons_need(path):
    ranges, pip = conda(path)
    assert ranges.pop("python") == "=3.12"
    assert ranges.pop("pip") == ""
    lessons = requirements("lab", "hub", "cluster")
    assert ranges == {name: str(item.specifier) for name, item in lessons.items() if name not in FROM_PIP}
    pins = constraints("3.12")
    local = "+cpu" if path.startswith("binder") else ""
    assert pip[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert pip[1:3] == [f"torch=={pins['torch']}{local}", f"torchvision=={pins['torchvision']}{local}"]
    assert pip[3:] == [f"relplot=={pins['relplot']}", *([] if local else ["--editable ."])]


def test_the_citation_has_the_version_and_the_license_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"title", "message", "abstract"} <= set(citation)
    assert [citation[key] for key in ("cff-version", "type", "version")] == ["1.2.0", "software", mixlab.__version__]
    assert toml("project")["license"] == f"{citation['license']} AND CC-BY-4.0" == "BSD-3-Clause AND CC-BY-4.0"
    (author,) = citation["authors"]
    code, lessons = ((ROOT / path).read_text() for path in toml("project")["license-files"])
    assert code.startswith("BSD 3-Clause License")
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in lessons
    assert all(author["name"] in notice for notice in (code, lessons))


def test_the_lessons_kernel_answers_widgets_on_its_main_thread():
    overrides = json.loads((ROOT / "binder" / "overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:kernels-settings"] == {"commsOverSubshells": "disabled"}


def test_what_docstrings_name_is_there():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mixlab").rglob("*.py"))
    names = set(re.findall(r"`(mixlab(?:\.\w+)+)`", text))
    assert len(names) > 20
    for name in sorted(names):
        pkgutil.resolve_name(name)


def test_every_import_of_the_package_is_a_declared_requirement():
    names = (item.name for item in requirements("lab", "hub", "lightning", "huggingface", "series", "cluster").values())
    names = (*names, "mixlab", "_typeshed")  # the last is there for mypy alone
    declared = set().union(*(IMPORTED_AS.get(name, {name}) for name in names))
    for path in (ROOT / "mixlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            roots = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
            assert roots <= declared, f"{path.name} imports {roots - declared}, which pyproject.toml does not name"


def test_contributing_shows_every_package_from_the_top_layer_down():
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("```\nmixlab/\n")[2].partition("\nnotebooks/")[0]
    shown = re.findall(r"^  ([\w.]+)", tree, re.MULTILINE)
    packages = {path.parent.name for path in (ROOT / "mixlab").glob("*/__init__.py")}
    assert {name for name in shown if not name.endswith(".py")} == packages
    assert all((ROOT / "mixlab" / name).exists() for name in shown)
    layers = toml("tool", "importlinter", "contracts")[0]["layers"]
    height = {name.split(".")[-1]: -level for level, names in enumerate(layers) for name in names.split(" | ")}
    heights = [height[name.removesuffix(".py")] for name in shown]
    assert heights == sorted(heights, reverse=True)


def test_a_few_files_lie_beside_the_packages_and_none_is_long():
    assert len(list((ROOT / "mixlab").glob("*.py"))) <= 8
    long = {path.name for path in (ROOT / "mixlab").rglob("*.py") if path.read_text("utf-8").count("\n") > 400}
    assert long == set()


@pytest.mark.skipif(sys.platform != "linux", reason="Binder's containers are Linux")
def test_binder_start_sets_threads_and_data_and_hands_over():
    shown = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.environ['MIXLAB_DATA'], *sys.argv[1:])"
    command = [ROOT / "binder" / "start", sys.executable, "-c", shown, "a b"]
    answer = subprocess.check_output(command, env=os.environ | {"NB_PYTHON_PREFIX": "/srv/conda"}, text=True)
    assert re.fullmatch(r"[1-9]\d* /srv/conda/share/mixlab a b\n", answer)


@pytest.mark.parametrize("path", ["binder/start", "binder/postBuild", ".ci/run"])
def test_scripts_may_be_run_and_parse(path):
    assert os.access(ROOT / path, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / path], check=True)
