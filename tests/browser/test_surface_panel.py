"""The surface panel in a browser: its geometry against NumPy, Matplotlib and Python, its drag, its keys, its words."""

import re
from itertools import pairwise
from typing import Any

import matplotlib.tri
import numpy as np
import pytest
from browsing import (
    SECONDS,
    box_of,
    button,
    load_module,
    mount,
    opened,
    status,
    violations,
    violations_in_both_themes,
)
from laboratory import Lab
from matplotlib.figure import Figure
from playwright.sync_api import Browser, Locator, Page, expect

import mixlab as mx
from mixlab.panels.shared.alone import alone
from mixlab.panels.surface_panel.surface_panel import corners, cut_at

pytestmark = pytest.mark.browser
CELL = """
import mixlab as mx
nets = {"none": mx.models.resnet8(10), "mixup": mx.models.resnet8(10, seed=1)}
mx.panels.surface_panel(nets, mx.load("shapes", train_size=40), images=10, side=5)
"""
SIDE = 7
DRAW = np.random.default_rng(2)
AXIS = np.linspace(-1, 1, SIDE)
HEIGHTS = DRAW.uniform(0, 3, (SIDE, SIDE))


@pytest.fixture(scope="module")
def surfaces() -> Any:
    """A panel with a plane measured around each of two networks."""
    nets = {"none": mx.models.resnet8(10), "mixup": mx.models.resnet8(10, seed=1)}
    panel = mx.panels.surface_panel(nets, mx.load("shapes", train_size=40), side=SIDE, cut=20)
    panel.run()
    return panel


def call(page: Page, function: str, *arguments: Any) -> Any:
    return page.evaluate(f"(given) => panel.{function}(...given)", list(arguments))


def in_order(segments: Any) -> list[Any]:
    """Segments to six digits, whatever their order and direction."""
    return sorted(sorted(map(tuple, np.round(pair, 6) + 0.0)) for pair in segments)


def halves(canvas: Locator) -> list[float]:
    """A sum over the colors of each half of a canvas, once it is drawn, which differs where a picture differs."""
    canvas.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    sums = canvas.evaluate(
        """(it) => [0, it.width / 2].map((left) => it.getContext("2d").getImageData(left, 0, it.width / 2, it.height)
          .data.reduce((sum, value, i) => sum + value * ((i * 31) % 1009), 0))"""
    )
    return list(sums)


def test_the_projection_is_that_of_rotation_matrices(page: Page, surfaces: Any) -> None:
    load_module(page, surfaces)
    points = DRAW.normal(size=(20, 3))
    for azimuth, elevation in ((-60, 30), (0, 90), (135, 0), (-180, 71)):
        turn, tilt = np.radians([azimuth, elevation])
        about_z = [[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
        about_b = [[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]]
        near, right, up = np.array(about_b) @ np.array(about_z) @ points.T
        projected = page.evaluate(
            "([points, azimuth, elevation]) => points.map(panel.projection(azimuth, elevation))",
            [points.tolist(), azimuth, elevation],
        )
        np.testing.assert_allclose(projected, np.stack([right, up, near], 1), atol=1e-12)
        cells = call(page, "backToFront", SIDE, azimuth)
        assert sorted(map(tuple, cells)) == [(i, j) for i in range(SIDE - 1) for j in range(SIDE - 1)]
        depth = {(i, j): i * np.cos(turn) + j * np.sin(turn) for i, j in cells}
        order = {tuple(cell): place for place, cell in enumerate(cells)}
        for (i, j), place in order.items():
            for neighbor in ((i + 1, j), (i, j + 1)):
                if neighbor in order and abs(depth[neighbor] - depth[i, j]) > 1e-9:
                    assert (depth[neighbor] > depth[i, j]) == (order[neighbor] > place)


def test_contour_lines_are_matplotlibs_on_the_same_triangles(page: Page, surfaces: Any) -> None:
    load_module(page, surfaces)
    a, b = (part.ravel() for part in np.meshgrid(AXIS, AXIS, indexing="ij"))
    corner = [i * SIDE + j for i in range(SIDE - 1) for j in range(SIDE - 1)]
    triangles = [t for c in corner for t in ((c, c + 1, c + SIDE + 1), (c, c + SIDE + 1, c + SIDE))]
    theirs = Figure().add_subplot().tricontour(matplotlib.tri.Triangulation(a, b, triangles), HEIGHTS.ravel(), [1.3])
    expected = [pair for line in theirs.allsegs[0] for pair in pairwise(line)]
    ours = call(page, "contour", AXIS.tolist(), HEIGHTS.ravel().tolist(), 1.3)
    assert in_order(ours) == in_order(expected)


def test_cells_are_cut_as_python_cuts_them(page: Page, surfaces: Any) -> None:
    load_module(page, surfaces)
    for cell in corners(AXIS.tolist(), HEIGHTS):
        here = call(page, "cutAt", [list(point) for point in cell], 1.3)
        assert [tuple(point) for point in here] == [pytest.approx(point) for point in cut_at(cell, 1.3)]


@pytest.mark.parametrize(
    ("view", "turn", "after"),
    [((-60, 30), (10, 5), (-70, 35)), ((-175, 85), (10, 10), (175, 90)), ((175, 3), (-10, -5), (-175, 0))],
)
def test_a_turn_goes_round_and_ends_at_the_top(page: Page, surfaces: Any, view: Any, turn: Any, after: Any) -> None:
    load_module(page, surfaces)
    azimuth, elevation = view
    turned = call(page, "turned", {"azimuth": azimuth, "elevation": elevation}, *turn)
    assert (turned["azimuth"], turned["elevation"]) == pytest.approx(after)


def test_a_drag_turns_both_surfaces_and_python_hears_of_it_at_release(page: Page, surfaces: Any) -> None:
    root = mount(page, surfaces)
    canvas = root.locator("canvas")
    sent = page.evaluate(
        f"panel.unpack(model.get('_heights'), ['none', 'mixup'], ['loss', 'error'], {SIDE})"
        ".map(({ loss, error }) => [[...loss], [...error]])"
    )
    np.testing.assert_array_equal(np.array(sent).reshape(2, 2, SIDE, SIDE), surfaces.planes.heights.float())
    before, box = halves(canvas), box_of(canvas)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 100, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, middle + 20, steps=8)
    assert page.evaluate("saved.length") == 0
    page.mouse.up()
    assert page.evaluate("[saved.at(-1).azimuth, saved.at(-1).elevation]") == [-100, 40]
    page.wait_for_function("(draws) => document.querySelector('.mixlab-panel').dataset.draws > draws", arg=1)
    assert all(one != other for one, other in zip(before, halves(canvas), strict=True))


def test_keys_turn_and_move_the_point_that_is_read_out(page: Page, surfaces: Any) -> None:
    root = mount(page, surfaces)
    canvas, readout = root.locator("canvas"), root.locator(".mx-readout")
    heights, center = surfaces.planes.heights, SIDE // 2

    def words(i: int, j: int) -> str:
        each = "; ".join(
            f"{name} {float(loss):.2f} nats, error {float(error):.2f}"
            for name, (loss, error) in zip(("none", "mixup"), heights[:, :, i, j], strict=True)
        )
        return f"At a = {AXIS[i]:.2f}, b = {AXIS[j]:.2f}: {each}.".replace("-", "−")

    expect(readout).to_have_text(words(center, center))
    canvas.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    expect(readout).to_have_text(words(center - 1, center + 1))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("[saved.at(-1).azimuth, saved.at(-1).elevation]") == [-65, 35]
    box = box_of(canvas)
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    expect(readout).not_to_have_text(words(center - 1, center + 1))


def test_the_height_and_the_cut(page: Page, surfaces: Any) -> None:
    root = mount(page, surfaces)
    canvas, cut = root.locator("canvas"), root.get_by_label("Cut, log scale")
    whole = halves(canvas)
    cut.press("Home")
    assert page.evaluate("saved.at(-1).cut") == 0.1
    assert halves(canvas) != whole
    root.get_by_label("Height").select_option("error")
    expect(cut).to_be_disabled()
    expect(root.get_by_role("application", name="The share of wrong answers around none and mixup.")).to_be_visible()
    expect(root.locator("table tr")).to_have_count(3)
    assert violations(page) == []


def test_in_jupyterlab_it_is_measured_and_drawn(browser: Browser, jupyterlab: Lab) -> None:
    with opened(browser, jupyterlab, "surfaces.ipynb", [CELL], tall=1200) as page:
        root = page.locator(".mixlab-panel")
        expect(root.locator(".mx-readout")).to_contain_text("none not measured yet")
        button(root, "Start").click()
        status(root, "Measured on clean images, plane of seed 0.")
        expect(root.locator("tbody tr")).to_have_count(2)
        root.get_by_label("Images").select_option("images mixed by mixup")
        button(root, "Start").click()
        status(root, "Measured on images mixed by mixup")
        picture = page.locator("figure[class^=mixlab-still] img")
        expect(picture).to_have_attribute("alt", re.compile("^Measured on images mixed by mixup"), timeout=SECONDS)
        assert violations_in_both_themes(page) == []


def test_a_page_without_a_kernel_turns_what_was_recorded(page: Page, surfaces: Any) -> None:
    surfaces.record()
    page.set_content(alone(surfaces.get_manager_state()["state"][surfaces.model_id]))
    root = page.locator(".mixlab-panel[data-draws]")
    expect(root.locator(".mx-status")).to_contain_text("Recorded when this page was made.")
    expect(root.get_by_role("button")).to_have_count(0)
    expect(root.locator(".mx-numbers")).to_contain_text("mixup")
    canvas = root.locator("canvas")
    before = halves(canvas)
    canvas.focus()
    for _ in range(5):
        canvas.press("ArrowRight")
    assert halves(canvas) != before
