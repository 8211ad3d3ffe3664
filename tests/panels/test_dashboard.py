"""The dashboard: every tab has its panel, made when the tab is opened, and one command serves it."""

from pathlib import Path

import nbformat
import pytest
from small_pictures import small_data

import mixlab as mx
from mixlab import __main__ as commands
from mixlab.panels import app
from mixlab.panels.dashboard import _TITLES, _Parts, dashboard
from mixlab.panels.shared.panel import Panel


def test_each_tab_has_a_panel_once_it_is_opened(monkeypatch):
    made = []
    monkeypatch.setattr(mx, "load", lambda *_, **__: small_data(side=32))
    make = _Parts.panel
    monkeypatch.setattr(_Parts, "panel", lambda self, name: made.append(name) or make(self, name))
    tab = dashboard()
    assert made == ["law"]
    for place, name in enumerate(_TITLES):
        tab.selected_index = place
        (panel,) = tab.children[place].children
        assert isinstance(panel, Panel), name
    tab.selected_index = 0
    assert made == list(_TITLES)  # each once


@pytest.mark.parametrize(("words", "last"), [([], "--template=mixlab"), (["--no-browser"], "--no-browser")])
def test_the_command_serves_a_notebook_of_one_line(monkeypatch, words, last):
    seen = {}

    def run(command, *, check, env):
        seen.update(command=command, notebook=nbformat.read(command[3], 4))
        assert env["JUPYTER_PATH"].startswith(str(Path(command[3]).parent))
        return type("Done", (), {"returncode": 7})

    monkeypatch.setattr(app.subprocess, "run", run)
    assert commands.main(["app", "--port", "9000", *words]) == 7
    assert seen["command"][1:3] == ["-m", "voila"]
    assert "--port=9000" in seen["command"]
    assert seen["command"][-1] == last
    nbformat.validate(seen["notebook"])
    assert "dashboard()" in seen["notebook"].cells[0].source
