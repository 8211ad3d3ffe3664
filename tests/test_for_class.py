"""What a teacher hands out: copies without solutions, and pages that live without a kernel or a network."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from ipywidgets import Widget
from paths import ROOT
from playwright.sync_api import Page, expect

from mixlab import panels
from mixlab.panels.shared.alone import alone


def script(name):
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebook(*cells):
    """A notebook of (type, source, tags)."""
    made = []
    for kind, source, tags in cells:
        cell = getattr(nbformat.v4, f"new_{kind}_cell")(source)
        cell.metadata["tags"] = tags
        made.append(cell)
    return nbformat.v4.new_notebook(cells=made)


def test_a_student_gets_no_solutions_and_nbgrader_a_valid_answer():
    copy = script("student").without_solutions(
        notebook(("markdown", "**1.**", []), ("code", "a = ...", ["exercise"]), ("markdown", "a = 1", ["solution"]))
    )
    assert [cell.source for cell in copy.cells] == ["**1.**", "a = ..."]
    answer = copy.cells[1].metadata["nbgrader"]
    assert (answer["grade_id"], answer["grade"], answer["solution"]) == (copy.cells[1].id, True, True)
    assert "nbgrader" not in copy.cells[0].metadata
    nbformat.validate(copy)


@pytest.mark.browser
def test_a_page_lives_without_a_kernel_and_asks_no_network(page: Page, tmp_path: Path) -> None:
    cells = notebook(
        ("markdown", r"Its mean is $\frac{\alpha}{2}$, and `$HOME` is code.", []),
        ("code", "from mixlab import panels\npanels.lambda_panel(alpha=1.0, k=2)", []),
    )
    path = tmp_path / "lesson.ipynb"
    nbformat.write(cells, path)
    handout = script("handout")
    (tmp_path / "lesson.html").write_text(handout.html_of(handout.executed(path)), "utf-8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "lesson.html").as_uri())
    expect(page.locator("math mfrac")).to_have_count(1)
    expect(page.get_by_text("$HOME")).to_be_visible()
    slider = page.get_by_label("K, mixes of each pair")
    expect(page.locator(".mixlab-panel")).to_contain_text("0.750 on average")
    expect(page.locator("figure[class^=mixlab-still]")).to_have_count(0)  # the picture of a living panel
    slider.press("ArrowRight")
    expect(page.locator(".mixlab-panel")).to_contain_text("the 3 λs of one pair")
    assert {url.split(":")[0] for url in asked} <= {"file", "blob", "data"}


def test_a_panel_that_python_answers_is_not_shown_alone() -> None:
    panel = panels.spiral_panel()
    saved = Widget.get_manager_state(widgets=[panel])["state"][panel.model_id]
    with pytest.raises(ValueError, match=r"saved must be .* no kernel, got mixlab\S*SpiralPanel"):
        alone(saved)
    panel.close()
