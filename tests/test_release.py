"""What leaves the repository: the files for PyPI, and the workflows that test and publish."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from addresses import HOSTED, PUBLIC_SITE, REPOSITORY, hosts
from hosted import hosted_copy
from IPython.core.inputtransformer2 import TransformerManager
from packaging.specifiers import SpecifierSet
from paths import ROOT

import mixlab

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", folder], cwd=ROOT, check=True)
    return folder


def test_the_files_for_pypi_are_whole_and_nothing_more(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wheel.name == f"mixlab-{mixlab.__version__}-py3-none-any.whl"
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mixlab").rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    assert held == package
    with tarfile.open(source) as file:
        names = {name.split("/", 1)[1] for name in file.getnames()}
    assert package <= names
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)
    check = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel, source], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_only_call_make(path):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    calls = [step["run"].split() for step in steps if "run" in step]
    assert calls
    assert all(call[0] == "make" and call[1] in targets for call in calls), calls
    allowed = SpecifierSet(re.search(r'requires-python = "(.*)"', PROJECT)[1])
    versions = [step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")]
    matrix = [
        version for job in jobs.values() for version in job.get("strategy", {}).get("matrix", {}).get("python", ())
    ]
    assert all(version in allowed for version in [*versions, *matrix] if "matrix" not in version)


def test_the_change_log_begins_with_this_version():
    first = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first[1] == mixlab.__version__


def test_the_image_for_hubs_has_a_python_that_is_allowed_and_no_root():
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    (base,) = (line for line in lines if line.startswith("FROM"))
    version = re.search(r"python:(\d+\.\d+)", base)[1]
    assert version in SpecifierSet(re.search(r'requires-python = "(.*)"', PROJECT)[1])
    user = lines.index("USER 1000")
    assert user < next(place for place, line in enumerate(lines) if line.startswith("COPY"))
    assert "ENV MIXLAB_DATA=/data" in "\n".join(lines)


def test_every_file_says_the_same_of_where_the_project_is():
    readme = (ROOT / "README.md").read_text("utf-8")
    for address in (PUBLIC_SITE, *hosts("00_start_here").values()):
        assert f"({address})" in readme or f"({address}/)" in readme, f"README.md must link to {address}"
    owner = REPOSITORY.removeprefix("https://github.com/")
    text = readme + "".join(path.read_text("utf-8") for path in WORKFLOWS) + (ROOT / "CITATION.cff").read_text("utf-8")
    assert set(re.findall(r"(?:github\.com|gh|github)/([\w-]+/mixlab)\b", text + PROJECT)) == {owner}
    assert PUBLIC_SITE in PROJECT
    site = (ROOT / ".github" / "workflows" / "site.yml").read_text("utf-8")
    assert f"publish_branch: {HOSTED}\n" in site


@pytest.mark.parametrize(("there", "calls"), [(True, 0), (False, 1)])
def test_a_hosted_lesson_installs_mixlab_only_where_it_is_missing(there, calls, monkeypatch):
    lesson = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A lesson")])
    first, *rest = hosted_copy(lesson).cells
    nbformat.validate(lesson)
    assert [cell.source for cell in rest] == ["# A lesson"]
    said = []
    shell = SimpleNamespace(run_line_magic=lambda name, words: said.append((name, words)))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object() if there else None)
    exec(TransformerManager().transform_cell(first.source), {"get_ipython": lambda: shell})
    assert said == calls * [("pip", f'install -q "mixlab[hub,cluster] @ git+{REPOSITORY}" anywidget relplot')]
