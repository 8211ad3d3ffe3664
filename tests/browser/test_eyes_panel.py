"""The eyes panel in a browser: questions answered by keyboard, what is shown when, and to whom."""

from typing import Any

import numpy as np
import pytest
from browsing import button, canvas_bytes, known, load_module, mount, open_panel, violations_in_both_themes
from playwright.sync_api import Page, expect
from scipy import stats

import mixlab as mx

pytestmark = pytest.mark.browser


def eyes() -> Any:
    return mx.panels.eyes_panel(mx.load("shapes", train_size=40), pairs=4)


def test_a_blend_is_answered_by_arrow_keys_and_enter(page: Page) -> None:
    panel = eyes()
    root = mount(page, panel)
    slider = root.get_by_role("slider")
    first, second = panel._names[0]
    expect(slider).to_have_attribute("aria-valuetext", f"50% {first}, 50% {second}")
    np.testing.assert_array_equal(canvas_bytes(root.locator(".mx-look")), panel.images[0])
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("saved.at(-1).answers") == [0.53]
    expect(slider).to_be_focused()
    expect(root.locator("strong").first).to_have_text("Picture 2 of 4")
    expect(slider).to_have_attribute("aria-valuetext", f"50% {panel._names[1][0]}, 50% {panel._names[1][1]}")
    np.testing.assert_array_equal(canvas_bytes(root.locator(".mx-look")), panel.images[1])
    button(root, "Back").click()
    assert page.evaluate("saved.at(-1).answers") == []


def test_the_answers_are_shown_when_all_are_given(page: Page) -> None:
    panel = eyes()
    root = mount(page, panel)
    found = root.locator(".mx-found canvas")
    for given in range(4):
        expect(found).to_have_attribute(
            "aria-label",
            f"What you saw against λ. Your answers appear here, beside mixup's assumption, after {4 - given} more.",
        )
        before = canvas_bytes(found)
        root.get_by_role("slider").fill(str(20 + 17 * given))
        button(root, "Answer").click()
    panel.answers = page.evaluate("saved.at(-1).answers")
    expect(found).to_have_attribute("aria-label", f"What you saw against λ. {panel.describe()}")
    assert (canvas_bytes(found) != before).any()
    expect(root.get_by_role("slider")).to_be_disabled()
    button(root, "Start again").click()
    assert page.evaluate("saved.at(-1).answers") == []


def test_three_answers_can_be_looked_at_early(page: Page) -> None:
    panel = eyes()
    root = mount(page, panel)
    button(root, "Show my answers").press("Enter")  # too early: nothing happens
    for _ in range(3):
        button(root, "Answer").click()
    expect(root.locator(".mx-words")).to_contain_text("after 1 more")
    button(root, "Show my answers").click()
    panel.answers = page.evaluate("saved.at(-1).answers")
    expect(root.locator(".mx-words")).to_have_text(panel.describe())
    button(root, "Hide my answers").click()
    expect(root.locator(".mx-words")).to_contain_text("after 1 more")


@pytest.mark.parametrize(("given", "power"), [(3, 1.0), (12, 2.0), (20, 0.5)])
def test_the_curve_and_its_words_are_pythons(given: int, power: float, page: Page) -> None:
    panel = mx.panels.eyes_panel(mx.load("shapes", train_size=40))
    load_module(page, panel)
    odds = power * stats.logistic.ppf(panel.lam[:given]) + np.random.default_rng(given).normal(0, 0.3, given)
    panel.answers = stats.logistic.cdf(odds).clip(0.01, 0.99).tolist()
    line, words = page.evaluate(
        "([lams, seen, student]) => { const line = panel.fitLogOdds(lams, seen, student);"
        " return [line, panel.describe(lams, seen, line)]; }",
        [panel.lam, panel.answers, panel._student],
    )
    slope, curve = panel.fit.slope, np.array(line["curve"])
    np.testing.assert_allclose(line["slope"], [slope.value, slope.low, slope.high])
    np.testing.assert_allclose(curve[:, 1:].T, panel.fit.curve(curve[:, 0].tolist()))
    assert words == panel.describe()


def test_in_jupyterlab_python_fits_the_answers(page: Page, jupyterlab: Any) -> None:
    make = "import mixlab as mx\npanel = mx.panels.eyes_panel(mx.load('shapes', train_size=40), pairs=4)"
    root = open_panel(page, jupyterlab, "eyes.ipynb", make)
    root.get_by_role("slider").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
    expect(known(page)).to_contain_text("'answers': [0.49, 0.49, 0.49, 0.49]")
    expect(root.locator(".mx-words")).to_contain_text("4 of 4 answers")
    assert violations_in_both_themes(page) == []
