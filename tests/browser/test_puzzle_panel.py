"""The puzzle panel, and the mixing panel's third row, in a real Chromium: Python's pictures, drags, keyboard."""

import re
from typing import Any

import numpy as np
from browsing import canvas_bytes, choose_theme, drag_to, known, load_module, mount, open_panel, tab_through, violations
from matplotlib.colors import LinearSegmentedColormap
from playwright.sync_api import Page, expect

import mixlab as mx
from mixlab.panels.puzzle_panel.puzzle_panel import SHADES, PuzzlePanel
from mixlab.panels.shared.pairs import bytes_of

DATA = "import mixlab as mx\ndata = mx.load('shapes', train_size=40)"


def puzzle() -> PuzzlePanel:
    return mx.panels.puzzle_panel(mx.load("shapes", train_size=40), pairs=4)


def test_colors_are_those_of_the_still_picture(page: Page) -> None:
    load_module(page, puzzle())
    shares = np.linspace(0, 1, 9)
    there = LinearSegmentedColormap.from_list("mask", SHADES)(shares)[:, :3] * 255
    here = page.evaluate(
        "([scale, shares]) => shares.map((one) => panel.shadeOf(scale, one))", [SHADES, shares.tolist()]
    )
    np.testing.assert_allclose(here, there, atol=1.5)
    assert page.evaluate("Array.from(panel.heatBytes([0, 255]))") == [0x44, 0x01, 0x54, 0xFD, 0xE7, 0x25]


def test_what_is_on_the_canvases_is_what_python_solves(page: Page) -> None:
    panel = puzzle()
    panel.pair, panel.lam, panel.blocks, panel.cost = 2, 0.37, 8, 0.0
    root = mount(page, panel)
    board, solution = panel._board, panel.solution
    halves = bytes_of(board.halves(solution.exact))[2]
    exact, swap, cutmix = (
        bytes_of(board.mixes(plan))[2] for plan in (solution.exact.plan, solution.swap.plan, solution.cutmix)
    )
    x, other = board.pairs.pixels[2]
    expected = {0: x, 2: other, 5: halves[0], 6: halves[1], 7: exact, 8: exact, 9: swap, 10: cutmix}
    tiles = root.locator(".mx-tile canvas").all()
    for place, picture in expected.items():
        np.testing.assert_array_equal(canvas_bytes(tiles[place]), picture)
    moved = solution.exact.moved[2].tolist()
    assert sum(moved) > 0
    expect(root).to_contain_text(f"what x gives, {moved[0]} moved")
    rows = [" ".join(f"{share:g}" for share in row) for row in solution.exact.mask[2].tolist()]
    expect(tiles[4]).to_have_attribute(
        "aria-label", f"the mask, 8 by 8 blocks; the share of x, row by row: {'; '.join(rows)}"
    )
    expect(root.locator(".mx-compared")).to_have_text(panel._answer["compared"])
    expect(root.locator(".mx-rivals")).to_contain_text("exact mask")


def test_a_drag_asks_at_each_move_and_tells_at_its_end(page: Page) -> None:
    root = mount(page, puzzle())
    drag_to(page, root.get_by_label("λ, nominal"), 0.9, release=False)
    asked = page.evaluate("saved")
    assert len(asked) > 1
    assert all(one["lam"] == 0.5 for one in asked)
    assert asked[-1]["_wanted"]["lam"] > 0.8
    page.mouse.up()
    assert page.evaluate("saved")[-1]["lam"] == asked[-1]["_wanted"]["lam"]


def test_every_control_is_reached_by_the_keyboard(page: Page) -> None:
    assert tab_through(page, mount(page, puzzle())) == 10


def test_taken_down_it_stops_listening(page: Page) -> None:
    mount(page, puzzle())
    assert page.evaluate("model.count()") == 10
    page.evaluate("takeDown()")
    assert page.evaluate("model.count()") == 0


# In JupyterLab


def test_the_puzzle_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    root = open_panel(page, jupyterlab, "puzzle.ipynb", f"{DATA}\npanel = mx.panels.puzzle_panel(data, pairs=4)")
    assert violations(page) == []
    result = root.locator(".mx-tile canvas").nth(7)
    before = result.get_attribute("aria-label")
    drag_to(page, root.get_by_label("λ, nominal"), 0.99, release=False)
    expect(result).not_to_have_attribute("aria-label", str(before))  # Python answers under the drag
    expect(known(page)).to_contain_text("'lam': 0.5,")
    page.mouse.up()
    expect(known(page)).not_to_contain_text("'lam': 0.5,")

    root.get_by_label("b, blocks a side").focus()
    page.keyboard.press("End")
    expect(known(page)).to_contain_text("'blocks': 16")
    expect(root.locator(".mx-tile canvas").nth(4)).to_have_attribute("aria-label", re_mask(16))
    expect(root.locator(".mx-rivals .mx-heading").first).to_have_text("our mask")  # not proved exact
    page.keyboard.press("Home")
    expect(root.locator(".mx-tile canvas").nth(4)).to_have_attribute("aria-label", re_mask(2))
    expect(root.locator(".mx-rivals .mx-heading").first).to_have_text("exact mask")
    root.get_by_label("Move blocks").focus()
    page.keyboard.press("Space")
    expect(known(page)).to_contain_text("'transport': False")
    expect(root).to_contain_text("what x gives, 0 moved")
    expect(root.get_by_label("Cost of moving")).to_be_disabled()
    said = root.get_by_role("status").filter(has_text="Energy of the exact mask")
    expect(said).to_contain_text(str(root.locator(".mx-compared").text_content()))
    expect(page.locator("figure[class^=mixlab-still]")).to_be_hidden()
    choose_theme(page, "JupyterLab Dark")
    expect(root).to_have_attribute("data-dark", "true")
    assert violations(page) == []


def re_mask(blocks: int) -> Any:
    return re.compile(f"the mask, {blocks} by {blocks} blocks")


def test_the_third_row_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    root = open_panel(page, jupyterlab, "third.ipynb", f"{DATA}\npanel = mx.panels.mixing_panel(data, pairs=4)")
    strip = root.locator("canvas.mx-plot")
    root.get_by_label("Third row").select_option("resizemix")
    expect(known(page)).to_contain_text("'variant': 'resizemix'")
    expect(root.locator(".mx-answer")).to_contain_text("resizemix: the partner's whole image")
    label = "; by resizemix with λ = "
    expect(strip).to_have_attribute("aria-label", contains(label))
    before = str(strip.get_attribute("aria-label")).split(label)[1]
    root.get_by_label("K, mixes of this pair").focus()
    page.keyboard.press("End")
    expect(strip).not_to_have_attribute("aria-label", contains(f"{label}{before}"))
    expect(strip).to_have_attribute("aria-label", contains("8 mixes in order"))
    assert violations(page) == []


def contains(words: str) -> Any:
    return re.compile(re.escape(words) + "$" * (words[-1].isdigit()))
