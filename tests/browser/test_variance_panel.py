"""The variance panel in a browser: its law is Python's, and its slider moves along it."""

import re
from typing import Any

import pytest
from browsing import canvas_bytes, mount, violations
from playwright.sync_api import Page, expect

import mixlab as mx

pytestmark = pytest.mark.browser


def variance() -> Any:
    part = mx.Interval(0.65, 0.6, 0.72, 24, 0.95)
    return mx.panels.variance_panel({8: part}, {5: mx.Interval(0.21, 0.17, 0.25, 24, 0.95)})


def test_the_law_is_pythons(page: Page) -> None:
    panel = variance()
    mount(page, panel)
    ks = list(range(1, 17))
    here = page.evaluate("([floor, ks]) => ks.map((k) => panel.blends(floor, k))", [panel.floor.value, ks])
    assert here == pytest.approx([panel.law(k) for k in ks])


def test_the_slider_moves_k_by_keyboard(page: Page) -> None:
    root = mount(page, variance())
    canvas = root.locator("canvas")
    before = canvas_bytes(canvas)
    root.get_by_role("slider").focus()
    for key, k in (("ArrowRight", 6), ("End", 16), ("Home", 1)):
        page.keyboard.press(key)
        assert page.evaluate("saved.at(-1).k") == k
    words = "K = 1: blends leave 1.00 of the variance at K = 1, 0.60 from the pairs and 0.40 from λ. As many images"
    expect(canvas).to_have_attribute("aria-label", re.compile(f"^Variance against K. {words} .* leave 1.00. The floor"))
    assert (canvas_bytes(canvas) != before).any()
    assert violations(page) == []
