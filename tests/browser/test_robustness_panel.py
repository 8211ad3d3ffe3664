"""The robustness panel in a browser: a drag shows what Python measured, and a new kind is Python's to measure."""

from typing import Any

import numpy as np
import pytest
from browsing import canvas_bytes, drag_to, mount, violations
from playwright.sync_api import Locator, Page, expect

import mixlab as mx

pytestmark = pytest.mark.browser


def robustness(kind: str = "snow") -> Any:
    nets = {"a": mx.models.quick(10, seed=1), "b": mx.models.quick(10, seed=2)}
    return mx.panels.robustness_panel(nets, mx.load("shapes", train_size=40, test_size=30), kind, level=1, image=2)


def agrees(root: Locator, panel: Any) -> None:
    """What is on the page is what Python has at the panel's level and image."""
    root.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    for tile, (name, part) in zip(root.locator(".mx-net").all(), panel.levels().items(), strict=True):
        np.testing.assert_array_equal(canvas_bytes(tile.locator("canvas")), part.pictures[panel.level, panel.image])
        said = panel._data.classes[part.said[panel.level, panel.image]]
        sure = round(100 * part.sure[panel.level, panel.image].item())
        expect(tile).to_contain_text(f"{name}says {said}, {sure}% sure")
        accuracy = part.accuracy[panel.level]
        words = f"{name}: accuracy {accuracy.value:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]"
        expect(root.locator(".mx-words")).to_contain_text(words)


def test_under_a_drag_it_shows_what_python_measured(page: Page) -> None:
    panel = robustness()
    root = mount(page, panel)
    agrees(root, panel)
    drag_to(page, root.get_by_label("How bad"), 0.99, release=False)
    expect(root.locator(".mx-words")).to_contain_text("Level 5, severity 5, over 30 images")
    panel.level = 5
    agrees(root, panel)
    assert page.evaluate("saved.length") == 0
    page.mouse.up()
    assert page.evaluate("saved.at(-1).level") == 5
    root.get_by_label("Test image").focus()
    page.keyboard.press("End")
    panel.image = page.evaluate("saved.at(-1).image")
    assert panel.image == 11
    agrees(root, panel)
    assert violations(page) == []


def test_a_new_kind_is_pale_until_python_has_measured_it(page: Page) -> None:
    panel = robustness()
    root = mount(page, panel)
    root.get_by_label("Kind").select_option("center")
    expect(root).to_have_attribute("data-stale", "true")
    expect(root.locator(".mx-words")).to_have_text("Python measures both networks under occlusion: center …")
    panel.kind = page.evaluate("saved.at(-1).kind")
    page.evaluate(
        "([answer, bytes]) => { model.set('_pictures', new DataView(Uint8Array.from(bytes).buffer)); "
        "model.set('_answer', answer); }",
        [panel._answer, list(panel._pictures)],
    )
    expect(root).to_have_attribute("data-stale", "false")
    agrees(root, panel)
