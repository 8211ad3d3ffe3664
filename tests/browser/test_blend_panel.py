"""The blend panel in a browser: it shows, plays and says what Python computed, by keyboard."""

from typing import Any

import numpy as np
import pytest
import torch
from browsing import button, canvas_bytes, mount, violations
from playwright.sync_api import Page, expect
from seeding import seeded

import mixlab as mx
from mixlab.panels.blend_panel.blend_panel import SPECTROGRAMS

pytestmark = pytest.mark.browser

WAVES = tuple(torch.randn(2, 2000, generator=seeded()).unbind())


def blend() -> Any:
    lines, words = {"two bells": (WAVES[0][:50], WAVES[1][:50])}, {"a row": lambda lam: {"home": f"{lam:.1f} married"}}
    return mx.panels.blend_panel(waves=WAVES, lines=lines, words=words)


def test_heat_and_sound_are_pythons(page: Page) -> None:
    panel = blend()
    mount(page, panel)
    script = """([place, lam]) => {
      const view = model.get("_views")[place];
      const pictures = panel.bytesOf(model.get("_pictures"));
      const sound = panel.soundAt(model.get("_sounds"), view, lam);
      return [panel.heatAt(pictures, view, lam), sound].map((it) => Array.from(it));
    }"""
    for place, lam in ((0, 0.0), (0, 0.7), (1, 0.3), (1, 1.0)):
        heat, sound = page.evaluate(script, [place, lam])
        assert heat == panel.heard[place].heat[round(10 * lam)].flatten().tolist()
        np.testing.assert_allclose(sound, panel.heard[place].waves[round(10 * lam)] / 32768, atol=1e-7)


def test_every_view_follows_the_slider(page: Page) -> None:
    panel = blend()
    root = mount(page, panel)
    menu, lam, canvas = root.get_by_role("combobox"), root.get_by_role("slider"), root.locator("canvas")
    for view in (each["name"] for each in panel._views):
        menu.select_option(view)
        lam.focus()
        page.keyboard.press("End")
        page.wait_for_timeout(100)
        before = None if view == "a row" else canvas_bytes(canvas)
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        assert page.evaluate("[saved.at(-1).view, saved.at(-1).lam]") == [view, 0.6]
        page.wait_for_timeout(100)
        if before is None:
            expect(root.locator("table")).to_contain_text("0.6 married")
        else:
            assert (canvas_bytes(canvas) != before).any()
        expect(button(root, "Play the blend")).to_be_visible(visible="voices" in view)
    panel.view, panel.lam = "a row", 0.6
    expect(root.locator('[role="status"]')).to_have_text(panel.describe())
    assert violations(page) == []


def test_what_is_played_is_the_blend(page: Page) -> None:
    page.add_init_script("""window.played = [];
      window.AudioContext = class {
        createBuffer(_, length, rate) { return { copyToChannel: (samples) => played.push([rate, ...samples]) }; }
        createBufferSource() { return { connect() {}, start() {}, stop() {} }; }
      };""")
    page.goto("about:blank")
    panel = blend()
    root = mount(page, panel)
    root.get_by_role("combobox").select_option(SPECTROGRAMS)
    for _ in range(2):
        button(root, "Play the blend").click()
    rate, *samples = page.evaluate("played.at(-1)")
    assert rate == 8000
    np.testing.assert_allclose(samples, panel.heard[1].waves[6] / 32768, atol=1e-7)
