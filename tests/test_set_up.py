"""`make lab` and `make test` set an environment up once, say what they take, and open JupyterLab where a screen is."""

import importlib
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import lab
import pytest
import set_up as module
from paths import ROOT

ANEW = ["venv", "pip", "pairing"]
LESSON = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"


@pytest.mark.parametrize(
    ("environment", "platform", "root", "options"),
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
def test_lab_opens_a_browser_where_there_is_a_screen(environment, platform, root, options):
    assert lab.arguments(environment, platform, root) == ["-m", "jupyterlab", LESSON, *options]


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    """The set-up script in an empty folder with a space in its name; `commands` holds what it would have run."""
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
    monkeypatch.setattr(module, "commands", [], raising=False)
    monkeypatch.setattr(module, "failing", "", raising=False)

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
    kinds = ["venv" if "venv" in line else "pip" if "pip" in line else "pairing" for line in module.commands]
    module.commands.clear()
    return kinds


def test_second_set_up_runs_nothing_and_tests_are_added_to_the_lessons_environment(set_up):
    set_up.main("lab")
    assert steps(set_up) == ANEW
    set_up.main("lab")
    assert steps(set_up) == []
    settings = set_up.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert settings.read_bytes() == (ROOT / "binder" / "overrides.json").read_bytes()
    set_up.main("test")
    assert steps(set_up) == ["pip", "pairing"]
    set_up.main("lab")
    assert steps(set_up) == []
    set_up.CONSTRAINTS.write_text(set_up.CONSTRAINTS.read_text() + "# changed\n")
    set_up.main("test")
    assert steps(set_up) == ["pip", "pairing"]


def interrupted(set_up):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_up, "torch_choice", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            set_up.main("test")


def failed(set_up):
    set_up.failing = "pip"
    with pytest.raises(SystemExit, match=r"did not finish.*same command again"):
        set_up.main("test")


def moved(set_up):
    stamp = set_up.stamp(set_up.VENV, "lab")
    stamp.write_text("/elsewhere/.venv\n" + stamp.read_text().split("\n", 1)[1])


@pytest.mark.parametrize(("happened", "then"), [(interrupted, ANEW), (failed, []), (moved, ANEW)])
def test_the_lessons_are_usable_after_whatever_happened(set_up, happened, then):
    set_up.main("lab")
    happened(set_up)
    steps(set_up)
    set_up.main("lab")
    assert steps(set_up) == then


def test_torch_and_torchvision_come_as_a_pair(set_up, monkeypatch, capsys):
    pins = set_up.CONSTRAINTS.read_text()
    torch, torchvision = (re.search(rf"^{name}==\S+", pins, re.MULTILINE)[0] for name in ("torch", "torchvision"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(set_up, "Path", lambda *_: ROOT / "no such file")  # no NVIDIA driver
    assert set_up.torch_choice() == [torch, torchvision]
    assert re.search(r"did not answer within 4 s.*\n.*ordinary wheels with CUDA .3 GB", capsys.readouterr().out)

    wheel = torch.replace("==", "-")
    monkeypatch.setattr(set_up, "answers", lambda url, wanted: url.endswith("/cpu/torch/") and wanted == wheel)
    assert set_up.torch_choice() == ["--extra-index-url", set_up.CPU_INDEX, f"{torch}+cpu", f"{torchvision}+cpu"]
    assert "the CPU builds (200 MB to download)" in capsys.readouterr().out

    monkeypatch.setattr(set_up.shutil, "which", lambda name: name)
    assert set_up.torch_choice() == [torch, torchvision]
    assert "an NVIDIA driver is here" in capsys.readouterr().out

    monkeypatch.setattr(sys, "platform", "darwin")
    assert set_up.torch_choice() == [torch, torchvision]


def test_old_python_gets_a_sentence(set_up, monkeypatch):
    monkeypatch.setattr(set_up.sys, "version_info", (3, 9, 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.10 or newer, and .* is .*\n.*PYTHON="):
        set_up.main("lab")
    assert steps(set_up) == []


def test_the_script_of_the_readmes_picture_finds_what_it_imports():
    assert importlib.import_module("pictures").TARGET == ROOT / "docs" / "kit.png"
