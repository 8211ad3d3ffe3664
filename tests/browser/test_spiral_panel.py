"""The spiral panel in a real JupyterLab: it trains and draws, keeps the run before, stops; axe."""

import re
from collections.abc import Iterator

import pytest
import torch
from browsing import SECONDS, button, drag_to, load_module, mount, opened, status, violations_in_both_themes
from laboratory import Lab
from playwright.sync_api import Browser, Locator, Page, expect

import mixlab as mx

CELL = """
import mixlab as mx
panel = mx.panels.spiral_panel(layer="none", epochs=3)
panel
"""
MIDDLE = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 3, 1, 1);
  return [...data.slice(0, 3)];
}"""

UNPACK = """() => panel.unpack(model.get("_pictures"), model.get("_view").runs).map((run) =>
  Object.fromEntries(Object.entries(run).map(([name, part]) => [name, [...part]])))"""


@pytest.fixture(scope="module")
def notebook(browser: Browser, jupyterlab: Lab) -> Iterator[Page]:
    """One notebook with one panel for every test of the module."""
    with opened(browser, jupyterlab, "spirals.ipynb", [CELL], tall=1000) as page:
        yield page


def test_two_runs_and_the_ghost(root: Locator, notebook: Page) -> None:
    expect(root.locator(".mx-ghost-run")).to_be_hidden()
    button(root, "Start").click()
    status(root, "Finished: 3 epochs")
    expect(root.locator(".mx-run-name")).to_have_text("This run: no mixing, seed 0.")
    plane = root.get_by_role("img", name=re.compile("^The plane with its points.* no mixing"))
    expect(plane).to_be_visible()
    assert len(set(plane.evaluate(MIDDLE))) > 1  # a color, not paper
    root.get_by_label("Mix", exact=True).select_option("at bottleneck")
    root.get_by_label("Classes").select_option("3, A to C")
    button(root, "Start").click()
    said = "This run: 3 classes, mixed at bottleneck, α = 2, K = 1, seed 0."
    expect(root.locator(".mx-run-name")).to_have_text(said, timeout=SECONDS)
    status(root, "Finished: 3 epochs")
    ghost = root.locator(".mx-ghost-run")
    expect(ghost).to_be_visible()
    expect(ghost).to_contain_text("no mixing, seed 0: test accuracy 0.")
    expect(root.get_by_role("img", name=re.compile("^Singular values")).locator("rect")).to_have_count(6)
    expect(root.locator(".mx-legend")).to_have_text("class Aclass Bclass C")
    picture = notebook.locator("figure[class^=mixlab-still] img")  # for a page without a kernel; hidden here
    expect(picture).to_have_attribute("alt", re.compile("^Finished: 3 epochs .* The run before, "), timeout=SECONDS)
    expect(picture).to_be_hidden()
    assert violations_in_both_themes(notebook) == []


def test_it_trains_while_a_slider_moves_and_stops(root: Locator, notebook: Page) -> None:
    alpha = root.get_by_label("α, log scale")
    expect(alpha).to_be_disabled()  # without mixing there is no α
    root.get_by_label("Mix", exact=True).select_option("at input")
    expect(alpha).to_be_enabled()
    root.get_by_label("Epochs").fill("400")
    button(root, "Start").click()
    status(root, "points/s")
    drag_to(notebook, alpha, 0.8)
    draws = int(root.get_attribute("data-draws") or 0)
    expect(root).not_to_have_attribute("data-draws", str(draws), timeout=SECONDS)
    expect(root.locator(".mx-run-name")).to_contain_text("α = 2,")  # as it was started
    expect(root.get_by_role("button")).to_have_text(["Start", "Pause", "Stop", "Reset"])
    button(root, "Stop").click()
    status(root, "Stopped at epoch")


def test_the_browser_reads_what_python_sent(page: Page) -> None:
    panel = mx.panels.spiral_panel(layer="none", epochs=1, classes=3)
    panel.run()
    panel.classes = 2
    panel.run()
    mount(page, panel)
    for run, sent in zip((panel.result, panel.previous), page.evaluate(UNPACK), strict=True):
        record, (x, y) = run.records[-1], panel._points(run.settings)
        for name, tensor in {"points": x, "hidden": record.hidden, "labels": y, "field": record.field}.items():
            assert sent[name] == tensor.flatten().tolist()
    square = page.evaluate("values => panel.square(values)", record.hidden.flatten().tolist())
    assert (record.hidden - torch.tensor([square["x"], square["y"]])).abs().max() < square["half"]


def test_how_sure_is_a_color(page: Page) -> None:
    load_module(page, mx.panels.spiral_panel())
    cell = "shares => panel.certainty(shares.flatMap((p) => Array(6400).fill(255 * p)), shares.length, 0)"
    assert page.evaluate(cell, [1.0, 0.0]) == [0, 1]
    assert page.evaluate(cell, [0.25, 0.75]) == [1, 0.5]
    assert page.evaluate(cell, [0.4, 0.4, 0.2])[1] == pytest.approx(0.1)
