"""What leaves the repository: the files for PyPI, and the workflows that test and publish."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
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
    user = lines.index("USER reader")
    assert user < next(place for place, line in enumerate(lines) if line.startswith("COPY"))
    assert "ENV MIXLAB_DATA=/data" in "\n".join(lines)
