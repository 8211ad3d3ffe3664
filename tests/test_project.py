"""The project's own files agree: pyproject.toml, constraints.txt, both environment.yml, and what the code imports."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
CONDA_NAMES = {"matplotlib-base": "matplotlib"}
FROM_PIP = {"torch", "torchvision", "relplot"}  # the first two from PyTorch's CPU index
IMPORTED_AS = {
    "lazy-loader": {"lazy_loader"},
    "pillow": {"PIL"},
    "scikit-learn": {"sklearn"},
    "ipywidgets": {"ipywidgets", "traitlets", "IPython"},
}  # and what is one with it


def toml():
    """pyproject.toml's [project] table; Python 3.10 has no tomllib, but coverage and pytest bring tomli there."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras):
    """The direct requirements of mixlab with these extras, by name."""
    project = toml()
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(item.name): item for item in found if item.name != "mixlab"}


def constraints(python):
    """The pins in force on one Python, by name."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    found = {}
    for pin in map(Requirement, lines):
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            name = canonicalize_name(pin.name)
            assert name not in found, f"{name} is pinned twice for Python {python}"
            (equal,) = pin.specifier
            assert equal.operator == "==", f"{pin} is no pin"
            found[name] = Version(equal.version)
    return found


def conda(path):
    """The conda requirements of an environment file by the names of PyPI, and its pip lines."""
    *lines, last = yaml.safe_load((ROOT / path).read_text())["dependencies"]
    found = {}
    for line in lines:
        name, relation = re.fullmatch(r"([\w-]+)(.*)", line).groups()
        found[canonicalize_name(CONDA_NAMES.get(name, name))] = relation
    return found, last["pip"]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_requirement_has_a_tested_version_in_its_range(python):
    pins = constraints(python)
    for name, requirement in requirements("lab", "hub", "lightning", "cluster", "test").items():
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        assert name in pins, f"{name} is not in constraints.txt for Python {python}"
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]} is outside {requirement.specifier}"


@pytest.mark.parametrize("path", ["environment.yml", "binder/environment.yml"])
def test_conda_environments_name_what_the_lessons_need(path):
    found, pip = conda(path)
    assert found.pop("python") == "=3.12"
    assert found.pop("pip") == ""
    wanted = {name: str(item.specifier) for name, item in requirements("lab", "hub").items() if name not in FROM_PIP}
    assert found == wanted
    pins = constraints("3.12")
    local = "+cpu" if path.startswith("binder") else ""
    assert pip[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert pip[1:3] == [f"torch=={pins['torch']}{local}", f"torchvision=={pins['torchvision']}{local}"]
    assert pip[3:] == [f"relplot=={pins['relplot']}", *([] if local else ["--editable ."])]


def test_the_lessons_kernel_answers_widgets_on_its_main_thread():
    assert requirements("lab")["ipykernel"].specifier == Requirement("ipykernel>=7.4").specifier
    overrides = json.loads((ROOT / "binder" / "overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:kernels-settings"] == {"commsOverSubshells": "disabled"}


def test_jupyterlab_takes_the_overrides(jupyterlab):
    """In the schema that the page reads: made by `make lab`'s set-up, which wrote the file into this environment."""
    for name, changed in json.loads((ROOT / "binder" / "overrides.json").read_text()).items():
        schema = json.loads(jupyterlab.get(f"lab/api/settings/{name}"))["schema"]["properties"]
        assert {key: schema[key]["default"] for key in changed} == changed


def test_every_import_of_the_package_is_a_declared_requirement():
    declared = {"mixlab"}
    for item in requirements("lab", "hub", "lightning", "cluster").values():
        declared |= IMPORTED_AS.get(item.name, {item.name})
    for path in (ROOT / "mixlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            roots = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
            assert roots <= declared, f"{path.name} imports {roots - declared}, which pyproject.toml does not name"


def test_imports_keep_the_layers_of_pyproject():
    """The contracts stand in pyproject.toml, under [tool.importlinter]."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    assert "4 kept, 0 broken" in answer.stdout


def test_a_few_files_lie_beside_the_packages_and_none_is_long():
    assert len(list((ROOT / "mixlab").glob("*.py"))) <= 8
    long = {path.name for path in (ROOT / "mixlab").rglob("*.py") if path.read_text("utf-8").count("\n") > 400}
    assert long == set()


def script(name):
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LESSON = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"


@pytest.mark.parametrize(
    ("environment", "platform", "root", "told"),
    [
        ({"DISPLAY": ":0"}, "linux", False, []),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", False, []),
        ({}, "linux", False, ["--no-browser"]),
        ({}, "linux", True, ["--no-browser", "--allow-root"]),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "1 2 3 4"}, "linux", False, ["--no-browser"]),
        ({}, "darwin", False, []),
        ({"SSH_TTY": "/dev/ttys000"}, "darwin", False, ["--no-browser"]),
    ],
)
def test_lab_opens_a_browser_where_there_is_a_screen(environment, platform, root, told):
    assert script("lab").arguments(environment, platform, root) == ["-m", "jupyterlab", LESSON, *told]


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    """The set-up script in an empty folder with a space in its name; `commands` holds what it would have run."""
    module = script("set_up")
    root = tmp_path / "mix lab"
    for name in ("binder", "benchmarks"):
        (root / name).mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "binder/overrides.json"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(module, "ROOT", root)
    for name in ("VENV", "BENCH_VENV", "CONSTRAINTS", "PEERS", "OVERRIDES"):
        monkeypatch.setattr(module, name, root / getattr(module, name).relative_to(ROOT))
    made_from = {what: [root / path.relative_to(ROOT) for path in paths] for what, paths in module.MADE_FROM.items()}
    monkeypatch.setattr(module, "MADE_FROM", made_from)
    monkeypatch.setattr(module, "answers", lambda *_: False)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    module.commands, module.failing = [], ""

    def worked(command):
        module.commands.append(command)
        if "venv" in command:
            module.python(Path(command[-1])).parent.mkdir(parents=True, exist_ok=True)
            module.python(Path(command[-1])).touch()
        return not (module.failing and module.failing in command)

    monkeypatch.setattr(module, "worked", worked)
    return module


def steps(module):
    """What was run since the last look: "venv", "pip" or "pairing"."""
    found = ["venv" if "venv" in line else "pip" if "pip" in line else "pairing" for line in module.commands]
    module.commands.clear()
    return found


def test_second_set_up_runs_nothing(set_up):
    set_up.main("lab")
    assert steps(set_up) == ["venv", "pip", "pairing"]
    set_up.main("lab")
    assert steps(set_up) == []
    settings = set_up.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert settings.read_bytes() == (ROOT / "binder" / "overrides.json").read_bytes()


def test_tests_are_added_to_the_lessons_environment_and_serve_both(set_up):
    set_up.main("lab")
    steps(set_up)
    set_up.main("test")
    assert steps(set_up) == ["pip", "pairing"]
    set_up.main("lab")
    assert steps(set_up) == []


def test_changed_pins_are_installed_over_what_is_there(set_up):
    set_up.main("test")
    set_up.CONSTRAINTS.write_text(set_up.CONSTRAINTS.read_text() + "# changed\n")
    steps(set_up)
    set_up.main("test")
    assert steps(set_up) == ["pip", "pairing"]


def interrupt():
    raise KeyboardInterrupt


def test_interrupted_set_up_begins_anew(set_up, monkeypatch):
    set_up.main("lab")
    steps(set_up)
    with monkeypatch.context() as patch:
        patch.setattr(set_up, "torch_choice", interrupt)
        with pytest.raises(KeyboardInterrupt):
            set_up.main("test")
    set_up.main("lab")
    assert steps(set_up) == ["venv", "pip", "pairing"]


def test_failed_install_says_so_and_leaves_the_lessons_usable(set_up):
    set_up.main("lab")
    set_up.failing = "pip"
    with pytest.raises(SystemExit, match=r"^The set-up did not finish\. Run the same command again"):
        set_up.main("test")
    steps(set_up)
    set_up.main("lab")
    assert steps(set_up) == []


def test_moved_environment_is_made_anew(set_up):
    set_up.main("lab")
    stamp = set_up.stamp(set_up.VENV, "lab")
    stamp.write_text("/elsewhere/.venv\n" + stamp.read_text().split("\n", 1)[1])
    steps(set_up)
    set_up.main("lab")
    assert steps(set_up) == ["venv", "pip", "pairing"]


def test_torch_and_torchvision_come_as_a_pair(set_up, monkeypatch, capsys):
    torch, torchvision = (f"{name}=={constraints('3.12')[name]}" for name in ("torch", "torchvision"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(set_up, "Path", lambda *_: ROOT / "no such file")  # no NVIDIA driver
    assert set_up.torch_choice() == [torch, torchvision]
    assert "did not answer within 4 s,\nso the ordinary wheels with CUDA (3 GB to download" in capsys.readouterr().out

    monkeypatch.setattr(
        set_up, "answers", lambda url, wanted: url.endswith("/cpu/torch/") and wanted == torch.replace("==", "-")
    )
    assert set_up.torch_choice() == ["--extra-index-url", set_up.CPU_INDEX, f"{torch}+cpu", f"{torchvision}+cpu"]
    assert "the CPU builds (200 MB to download)" in capsys.readouterr().out

    monkeypatch.setattr(set_up.shutil, "which", lambda name: name)
    assert set_up.torch_choice() == [torch, torchvision]
    assert "an NVIDIA driver is here" in capsys.readouterr().out

    monkeypatch.setattr(sys, "platform", "darwin")
    assert set_up.torch_choice() == [torch, torchvision]


def test_old_python_gets_a_sentence(set_up, monkeypatch):
    monkeypatch.setattr(set_up.sys, "version_info", (3, 9, 0))
    with pytest.raises(SystemExit, match=r"^mixlab needs Python 3\.10 or newer, and .* is .*\n.*PYTHON=python3\.12$"):
        set_up.main("lab")
    assert steps(set_up) == []


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
