"""What browser tests and benchmarks of the panels share: mounting a panel, opening a notebook, and their parts."""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from laboratory import Lab
from playwright.sync_api import Browser, Locator, Page, expect

SECONDS = 60_000  # how long the slowest machine may take, in Playwright's milliseconds
# Shows `panel`, and what Python knows of its state: see `known`.
ECHO = """
import ipywidgets, IPython.display
echo = ipywidgets.HTML()
def hear(_=None):
    echo.value = repr(panel.state)
panel.observe(hear)
hear()
IPython.display.display(echo, panel)
"""

LOAD = """async (source) => {
  const { default: shown, every } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  window.panel = { ...every, default: shown };
}"""
# A model as a widget's view sees it, without a kernel: what is saved is kept in `saved`, one entry for each release.
MOUNT = """async ([state, bytes, css]) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  const unpack = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const values = { ...state };
  for (const [name, text] of Object.entries(bytes)) values[name] = unpack(text);
  const listeners = {};
  window.saved = [];
  window.model = {
    get: (name) => values[name],
    set: (name, value) => {
      if (values[name] === value) return;
      values[name] = value;
      for (const listener of listeners[`change:${name}`] ?? []) listener();
    },
    save_changes: () => window.saved.push({ ...values, ...bytes }),
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    say: (event, content) => { for (const listener of listeners[event] ?? []) listener(content); },
    off: (event, listener) => { listeners[event] = listeners[event].filter((other) => other !== listener); },
    count: () => Object.values(listeners).flat().length,
  };
  const el = document.body.appendChild(document.createElement("div"));
  window.takeDown = await window.panel.default.render({ model: window.model, el });
}"""


def load_module(page: Page, panel: Any) -> None:
    """Import a panel's module in the page, as `window.panel`, with what each of its files exports."""
    source = str(panel._esm)
    scopes = ", ".join(f"...{scope}" for scope in re.findall(r"^const (\$\w+) = \(\(\) => \{$", source, re.MULTILINE))
    page.evaluate(LOAD, f"{source}export const every = {{ {scopes} }};\n")


def mount(page: Page, panel: Any) -> Locator:
    """Show a panel in the page without Jupyter; `window.saved` holds what it sends to Python."""
    load_module(page, panel)
    state = {name: value for name, value in panel.get_state().items() if name not in ("_esm", "layout")}
    raw = {name: bytes(value) for name, value in state.items() if isinstance(value, (bytes, memoryview))}
    packed = {name: base64.b64encode(value).decode() for name, value in raw.items()}
    plain = {name: value for name, value in state.items() if name not in raw}
    page.evaluate(MOUNT, [plain, packed, panel._css])
    root = page.locator(".mixlab-panel").last
    page.wait_for_function("[...document.querySelectorAll('.mixlab-panel')].at(-1).dataset.draws > 0")
    return root


def open_notebook(page: Page, lab: Lab, name: str, cells: Sequence[str]) -> None:
    """Open a notebook with these cells in JupyterLab and run them all."""
    page.goto(lab.write_notebook(name, cells))
    # Run before the kernel is there, and JupyterLab asks which kernel to take.
    page.get_by_text("(ipykernel) | Idle").wait_for(timeout=SECONDS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


@contextmanager
def opened(browser: Browser, lab: Lab, name: str, cells: Sequence[str], *, tall: int) -> Iterator[Page]:
    """A page of its own, so many pixels tall, with a notebook whose cells have shown a panel."""
    context = browser.new_context(viewport={"width": 1280, "height": tall})
    page = context.new_page()
    open_notebook(page, lab, name, cells)
    page.locator(".mixlab-panel").wait_for(timeout=SECONDS)
    yield page
    context.close()


def open_panel(page: Page, lab: Lab, name: str, make: str) -> Locator:
    """The panel that the code `make` calls `panel`, in a notebook that also echoes its state; see `known`."""
    open_notebook(page, lab, name, [make, ECHO])
    root = page.locator(".mixlab-panel[data-draws]")
    root.wait_for(timeout=SECONDS)
    return root


def known(page: Page) -> Locator:
    """What Python knows of the state of the panel in a notebook that `open_panel` opened."""
    return page.locator(".widget-html-content")


def button(root: Locator, name: str) -> Locator:
    """The panel's button of this name."""
    return root.get_by_role("button", name=name, exact=True)


def status(root: Locator, words: str) -> None:
    """Wait until a panel that trains says these words of its run."""
    expect(root.locator(".mx-status")).to_contain_text(words, timeout=SECONDS)


def canvas_bytes(canvas: Locator) -> np.ndarray:
    """The colors on a canvas, uint8 [height, width, 3]."""
    pixels = canvas.evaluate("(it) => Array.from(it.getContext('2d').getImageData(0, 0, it.width, it.height).data)")
    height, width = canvas.evaluate("(it) => [it.height, it.width]")
    return np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]


def cut_words(root: Locator) -> list[str]:
    """The words of the panel's SVG pictures that stick out of their picture, where they cannot be read."""
    found: list[str] = root.locator("svg[role=img] text").evaluate_all(
        """(words) => words.filter((one) => {
          const [inner, outer] = [one, one.ownerSVGElement].map((it) => it.getBoundingClientRect());
          return inner.width > 0 && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
        }).map((one) => one.textContent)"""
    )
    return found


def tab_through(page: Page, root: Locator) -> int:
    """Reach every control by the Tab key, each with a visible outline; return how many there are."""
    controls = root.locator("input, select, button")
    for i in range(controls.count()):
        page.keyboard.press("Tab")
        expect(controls.nth(i)).to_be_focused()
        assert controls.nth(i).evaluate("(it) => getComputedStyle(it).outlineStyle") == "solid"
    return controls.count()


def violations(page: Page) -> list[tuple[str, Any]]:
    """What axe finds wrong with the panel."""
    found = Axe().run(page, context=".mixlab-panel").response
    assert len(found["passes"]) > 5
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


def violations_in_both_themes(page: Page) -> list[tuple[str, Any]]:
    """What axe finds wrong in JupyterLab's dark theme and in the light one, which stays."""
    found = []
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        choose_theme(page, theme)
        expect(page.locator(".mixlab-panel")).to_have_attribute("data-dark", str(theme.endswith("Dark")).lower())
        found += violations(page)
    return found


def choose_theme(page: Page, name: str) -> None:
    """Switch JupyterLab to a theme by its menu, and wait until it is in force."""
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text(name, exact=True).click()
    page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")


def box_of(locator: Locator) -> Any:
    """Where it is, in view."""
    locator.scroll_into_view_if_needed()
    return locator.bounding_box()


def drag_to(page: Page, slider: Locator, share: float, *, release: bool = True) -> None:
    """Take a slider's handle to a share of its width with the mouse."""
    box = box_of(slider)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=8)
    if release:
        page.mouse.up()
