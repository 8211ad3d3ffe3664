"""The puzzle panel in a real Chromium: Python's pictures, drags, keyboard."""

import re
from typing import Any

import numpy as np
from browsing import canvas_bytes, drag_to, known, load_module, mount, open_panel, violations_in_both_themes
from matplotlib.colors import LinearSegmentedColormap
from playwright.sync_api import Page, expect

import mixlab as mx
from mixlab.panels.puzzle_panel.puzzle_panel import SHADES, PuzzlePanel
from mixlab.panels.shared.pairs import bytes_of
from mixlab.plots.style import HEAT

MAKE = "import mixlab as mx\npanel = mx.panels.puzzle_panel(mx.load('shapes', train_size=40), pairs=4)"


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
    heat = page.evaluate("(scale) => Array.from(panel.heatBytes(scale, [0, 100, 255]))", puzzle()._heat)
    np.testing.assert_allclose(heat, HEAT(np.array([0, 100, 255]))[:, :3].ravel() * 255, atol=3)


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


# In JupyterLab


def test_the_puzzle_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    root = open_panel(page, jupyterlab, "puzzle.ipynb", MAKE)
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
    mask = root.locator(".mx-tile canvas").nth(4)
    expect(mask).to_have_attribute("aria-label", re.compile("the mask, 16 by 16 blocks"))
    expect(root.locator(".mx-rivals .mx-heading").first).to_have_text("our mask")  # not proved exact
    page.keyboard.press("Home")
    expect(mask).to_have_attribute("aria-label", re.compile("the mask, 2 by 2 blocks"))
    expect(root.locator(".mx-rivals .mx-heading").first).to_have_text("exact mask")
    root.get_by_label("Move blocks").focus()
    page.keyboard.press("Space")
    expect(known(page)).to_contain_text("'transport': False")
    expect(root).to_contain_text("what x gives, 0 moved")
    expect(root.get_by_label("Cost of moving")).to_be_disabled()
    said = root.get_by_role("status").filter(has_text="Energy of the exact mask")
    expect(said).to_contain_text(str(root.locator(".mx-compared").text_content()))
    expect(page.locator("figure[class^=mixlab-still]")).to_be_hidden()
    assert violations_in_both_themes(page) == []
