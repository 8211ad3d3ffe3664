"""The panels in a real Chromium: what holds for each of them, then the λ and the mixing panel in JupyterLab."""

import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from browsing import (
    SECONDS,
    canvas_bytes,
    drag_to,
    known,
    load_module,
    mount,
    open_panel,
    tab_through,
    violations,
    violations_in_both_themes,
)
from drawn_predictions import drawn
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect
from recorded_runs import recorded_runs

import mixlab as mx
from mixlab.panels.mixing_panel.mixing_panel import MixingPanel, mix_bytes, paste
from mixlab.panels.shared.law import cut_box, uniforms


def mixing() -> MixingPanel:
    return mx.panels.mixing_panel(mx.load("shapes", train_size=40), pairs=4)


def robustness() -> Any:
    nets = {name: mx.models.quick(10) for name in ("none", "mixup")}
    return mx.panels.robustness_panel(nets, mx.load("shapes", train_size=40, test_size=30))


INTERVAL = mx.Interval(0.65, 0.6, 0.72, 24, 0.95)
PANELS = {  # each with the number of its controls, and of its synced traits that the browser listens to
    "blend": (lambda: mx.panels.blend_panel(waves=(torch.ones(500), torch.zeros(500))), 3, 2),
    "lambda": (mx.panels.lambda_panel, 4, 4),
    "mixing": (mixing, 9, 9),
    "path": (lambda: mx.panels.path_panel({"a": mx.models.quick(10)}, mx.load("shapes", train_size=40), 3), 3, 3),
    "puzzle": (lambda: mx.panels.puzzle_panel(mx.load("shapes", train_size=40), pairs=4), 10, 10),
    "calibration": (lambda: mx.panels.calibration_panel({"a": drawn(50), "b": drawn(50)}, other="b"), 10, 10),
    "eyes": (lambda: mx.panels.eyes_panel(mx.load("shapes", train_size=40), pairs=4), 5, 1),
    "robustness": (robustness, 3, 4),
    "spiral": (mx.panels.spiral_panel, 10, 8),
    "surface": (lambda: mx.panels.surface_panel(mx.models.quick(10), mx.load("shapes", train_size=40)), 8, 8),
    "training": (lambda: mx.panels.training_panel(mx.load("shapes", train_size=40)), 12, 9),
    "atlas": (lambda: mx.panels.atlas_panel(recorded_runs()), 14, 5),
    "variance": (lambda: mx.panels.variance_panel({8: INTERVAL}, {5: INTERVAL}), 1, 1),
}


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_reached_by_keyboard_keeps_still_and_can_be_taken_down(page: Page, name: str) -> None:
    make, controls, heard = PANELS[name]
    root = mount(page, make())
    assert tab_through(page, root) == controls
    draws = root.get_attribute("data-draws")
    page.wait_for_timeout(300)
    assert root.get_attribute("data-draws") == draws
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("model.count()") == heard
    page.evaluate("takeDown()")
    assert page.evaluate("model.count()") == 0


def test_two_panels_on_a_page_share_no_id(page: Page) -> None:
    for name in ("calibration", "training"):  # each brings sliders with labels, and hatched bars
        mount(page, PANELS[name][0]())
    assert page.locator(".mixlab-panel").count() == 2
    ids = page.evaluate("[...document.querySelectorAll('.mixlab-panel [id]')].map(({ id }) => id)")
    assert len(ids) > 20
    assert len(set(ids)) == len(ids)
    assert violations(page) == []


@pytest.mark.parametrize(("width", "zoom"), [(900, 1), (1280, 2)])
@pytest.mark.parametrize("name", PANELS)
def test_nothing_is_cut_off_in_a_narrow_window(page: Page, name: str, width: int, zoom: int) -> None:
    page.set_viewport_size({"width": width // zoom - 180, "height": 900})  # a notebook's own margins
    root = mount(page, PANELS[name][0]())
    over = """(root) => [root, ...root.querySelectorAll(".mx-label, .mx-controls, button")].map(
      (it) => it.scrollWidth - it.clientWidth)"""
    assert max(root.evaluate(over)) <= 0


def test_fine_screens_get_fine_canvases(browser: Browser) -> None:
    context = browser.new_context(device_scale_factor=2)
    root = mount(context.new_page(), mx.panels.lambda_panel())
    assert root.locator("canvas").evaluate("(it) => it.width / it.clientWidth") == pytest.approx(2, abs=0.01)
    context.close()


# The mixing panel's pictures


def test_bytes_are_mixed_as_in_python(page: Page) -> None:
    load_module(page, mixing())
    a, b = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    flat = [a.ravel().tolist(), b.ravel().tolist()]
    for lam in (0.0, 0.5, 1 / 3, 0.7, 1.0):
        here = page.evaluate("([a, b, lam]) => Array.from(panel.mixBytes(a, b, lam))", [*flat, lam])
        assert here == mix_bytes(a, b, lam).ravel().tolist()
    for box in ((0, 0, 6, 5), (1, 2, 4, 3), (2, 2, 2, 4), (5, 0, 6, 1)):
        here = page.evaluate(
            """([a, b, [top, left, bottom, right]]) =>
              Array.from(panel.pasteBytes(Uint8Array.from(a), Uint8Array.from(b), { top, left, bottom, right }, 5))""",
            [*flat, list(box)],
        )
        assert here == paste(a, b, box).ravel().tolist()


def test_what_is_on_the_canvases_is_what_python_mixes(page: Page) -> None:
    panel = mixing()
    panel.pair, panel.lam, panel.row, panel.column = 2, 0.37, 30, 4
    root = mount(page, panel)
    a, b = panel.images[2]
    box, _ = cut_box(0.37, (32, 32), 30, 4)
    canvases = root.locator(".mx-tile canvas").all()
    for canvas, picture in zip(canvases, (a, b, mix_bytes(a, b, 0.37), paste(a, b, box)), strict=True):
        np.testing.assert_array_equal(canvas_bytes(canvas), picture)
    root.get_by_role("button", name="Draw λ and boxes").click()
    sent = page.evaluate("saved")[-1]
    panel.seed = sent["seed"]
    assert sent["seed"] == 1
    assert sent["lam"] == pytest.approx(uniforms(1, 1)[0])  # at α = 1 a quantile is its own λ
    assert [sent["row"], sent["column"]] == (32 * uniforms(1, 3)[1:]).int().tolist()
    lams = ", ".join(f"{mix.lam:.2f}" for mix in panel.strip[0])
    said = re.compile(re.escape(f"by mixup with λ = {lams}"))
    expect(root.locator("canvas.mx-plot")).to_have_attribute("aria-label", said)  # drawn with the next frame


# In JupyterLab


def test_the_lambda_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    open_panel(page, jupyterlab, "lambda.ipynb", "import mixlab as mx\npanel = mx.panels.lambda_panel()")
    picture = page.locator("figure[class^=mixlab-still]")
    expect(picture).to_have_count(1)
    expect(picture).to_be_hidden()  # beside the living panel

    alpha, words = page.get_by_label("α, on a log scale"), page.locator(".mx-words")
    status = page.get_by_role("status").filter(has_text="θ̄")
    drag_to(page, alpha, 0.8, release=False)
    expect(words).not_to_contain_text("θ̄ = 0.750")
    expect(status).to_contain_text("θ̄ = 0.750")
    expect(known(page)).to_contain_text("'alpha': 1.0")
    page.mouse.up()
    value = float(str(alpha.get_attribute("aria-valuetext")))
    assert value > 8
    expect(known(page)).to_contain_text(f"'alpha': {value}")
    for sentence in (words, status):
        expect(sentence).to_contain_text(f"θ̄ = {mx.lambda_moments(value).theta_bar:.3f}")

    page.get_by_label("K, mixes of each pair").focus()
    keys = (("Home", 1), ("ArrowRight", 2), ("ArrowUp", 3), ("ArrowDown", 2), ("ArrowLeft", 1), ("End", 8))
    for key, k in keys:  # not taken by JupyterLab, which has uses of its own for arrows
        page.keyboard.press(key)
        expect(known(page)).to_contain_text(f"'k': {k}")
    page.get_by_label("Variant").focus()
    page.keyboard.press("ArrowDown")
    expect(known(page)).to_contain_text("'variant': 'cutmix'")
    expect(words).to_contain_text("The box is clipped at the edge")
    page.get_by_role("button", name="Draw again").press("Enter")
    expect(known(page)).to_contain_text("'seed': 1")
    assert violations_in_both_themes(page) == []


def test_the_mixing_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    make = "import mixlab as mx\npanel = mx.panels.mixing_panel(mx.load('shapes', train_size=40), pairs=4)"
    root = open_panel(page, jupyterlab, "mixing.ipynb", make)
    assert violations(page) == []
    page.get_by_label("λ, share of x").focus()
    page.keyboard.press("Home")
    expect(known(page)).to_contain_text("'lam': 0.0")
    page.get_by_label("λ, share of x").fill("0.6")
    expect(known(page)).to_contain_text("'lam': 0.6")
    page.get_by_role("button", name="Next pair").press("Enter")
    expect(known(page)).to_contain_text("'pair': 1")

    frame = root.locator(".mx-drag")
    start, end = (
        {axis: (pixel + 0.5) / 32 * frame.bounding_box()["width"] for axis, pixel in zip("yx", place, strict=True)}
        for place in ((10, 20), (31, 0))
    )
    frame.drag_to(frame, source_position=start, target_position=end)
    expect(known(page)).to_contain_text("'row': 31")
    expect(known(page)).to_contain_text("'column': 0")
    share = round(cut_box(0.6, (32, 32), 31, 0)[1], 2)
    expect(page.locator(".mx-soft").nth(2)).to_contain_text("0.60 ")
    expect(page.locator(".mx-soft").nth(3)).to_contain_text(f"{share:.2f} ")

    strip = root.locator("canvas.mx-plot")
    root.get_by_label("Third row").select_option("resizemix")
    expect(root.locator(".mx-answer")).to_contain_text("resizemix: the partner's whole image")
    for k in (5, 8):
        root.get_by_label("K, mixes of this pair").fill(str(k))
        words = rf"^{k} mixes in order.*; by resizemix with λ = (0\.\d\d, ){{{k - 1}}}0\.\d\d$"
        expect(strip).to_have_attribute("aria-label", re.compile(words))


def test_a_reopened_notebook_says_how_to_wake_the_panel(page: Page, jupyterlab: Any) -> None:
    open_panel(page, jupyterlab, "reopened.ipynb", "import mixlab as mx\npanel = mx.panels.lambda_panel()")
    page.locator("figure[class^=mixlab-still]").wait_for(state="attached", timeout=SECONDS)  # drawn after the widget
    page.keyboard.press("Control+s")
    expect(page.locator(".jp-mod-current.jp-mod-dirty")).to_have_count(0, timeout=SECONDS)
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Shut Down Kernel", exact=True).click()
    page.get_by_text("| Unknown").or_(page.get_by_text("No Kernel")).first.wait_for(timeout=SECONDS)
    page.reload()
    expect(page.get_by_text("Run this cell to bring the panel to life.")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text("model not found").last).to_be_hidden(timeout=SECONDS)


def test_exported_html_shows_the_last_state_as_a_picture(page: Page, tmp_path: Path) -> None:
    cells = ["import mixlab as mx\npanel = mx.panels.lambda_panel()\npanel", "panel.alpha, panel.k = 0.2, 3"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, store_widget_state=True).execute()
    html, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "export.html").write_text(html, "utf-8")
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.goto((tmp_path / "export.html").as_uri())
    picture = page.get_by_role("img", name="at α = 0.2")
    expect(picture).to_be_visible()
    expect(picture).to_have_attribute("alt", mx.panels.lambda_panel(alpha=0.2, k=3).describe())
    assert picture.evaluate("(it) => it.naturalWidth") > 500
