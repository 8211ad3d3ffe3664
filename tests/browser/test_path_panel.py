"""The path panel in a browser: a drag shows the numbers that Python sent, by pointer and by keyboard."""

import numpy as np
import pytest
from browsing import canvas_bytes, drag_to, known, mount, open_panel, violations_in_both_themes
from panel_runs import linear
from playwright.sync_api import Page, expect

import mixlab as mx
from mixlab.panels.path_panel.path_panel import PathPanel
from mixlab.panels.shared.pairs import mix_bytes

pytestmark = pytest.mark.browser


def path() -> PathPanel:
    nets = {name: linear(10, seed=seed) for seed, name in enumerate(("none", "mixup"))}
    return mx.panels.path_panel(nets, mx.load("shapes", train_size=40), images=12)


def test_what_is_dragged_is_what_python_computed(page: Page) -> None:
    panel = path()
    root = mount(page, panel)
    pairs = [(4, 7), (11, panel._labels.index(panel._labels[11]))]  # of two classes, and of one
    for pair, share in zip(pairs, (0.2, 0.9), strict=True):
        root.get_by_label("x, at λ = 1").select_option(str(pair[0]))
        root.get_by_label("x′, at λ = 0").select_option(str(pair[1]))
        slider = root.get_by_role("slider")
        drag_to(page, slider, share, release=False)
        panel.first, panel.second = pair
        panel.lam = float(slider.input_value())
        assert abs(panel.lam - share) < 0.05
        for words, answer in zip(root.locator(".mx-said").all(), panel.answers.values(), strict=True):
            expect(words).to_have_text(answer)
        x, x_prime = panel.images[list(pair)]
        blend = root.locator(".mx-tile canvas").nth(1)
        np.testing.assert_array_equal(canvas_bytes(blend), mix_bytes(x, x_prime, panel.lam))
        assert page.evaluate("saved.at(-1).lam") != panel.lam  # Python hears at release
        page.mouse.up()
        sent = page.evaluate("saved.at(-1)")
        assert {name: sent[name] for name in panel.state} == panel.state
    numbers = np.frombuffer(panel._paths, np.float32).tolist()
    rows = page.evaluate(
        "([numbers, i, j]) => panel.pathOf(Float32Array.from(numbers), 12, 1, i, j)", [numbers, *pairs[0]]
    )
    panel.first, panel.second = pairs[0]
    np.testing.assert_array_equal(np.array(rows, np.float32), panel.path("mixup"))


def test_the_two_ends_swap_where_one_is_chosen_for_both(page: Page) -> None:
    root = mount(page, path())
    root.get_by_label("x, at λ = 1").select_option("1")
    expect(root.get_by_label("x′, at λ = 0")).to_have_value("0")
    assert page.evaluate("[saved.at(-1).first, saved.at(-1).second]") == [1, 0]


def test_in_jupyterlab_by_arrow_keys(page: Page, jupyterlab: object) -> None:
    make = """
import mixlab as mx
nets = {name: mx.models.quick(10, seed=seed) for seed, name in enumerate(("none", "mixup"))}
panel = mx.panels.path_panel(nets, mx.load("shapes", train_size=40), images=3)"""
    root = open_panel(page, jupyterlab, "path.ipynb", make)
    root.get_by_role("slider").focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    expect(known(page)).to_contain_text("'lam': 0.75")
    expect(root.get_by_role("slider")).to_have_attribute("aria-valuetext", "0.75")
    assert violations_in_both_themes(page) == []
