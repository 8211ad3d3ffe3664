"""Panels on one page: no rule of one panel's stylesheet reaches another, whichever came first."""

import pytest
import torch
from browsing import mount
from playwright.sync_api import Page
from small_pictures import small_data

import mixlab as mx
from mixlab.panels.dashboard import _TITLES, _Parts

# What changes in the looks of a panel when stylesheets are added to its page: [element, property] pairs.
CHANGES = """(root, added) => {
  const looks = () => [root, ...root.querySelectorAll("*")].map((node) => {
    const style = getComputedStyle(node);
    return [node, [...style].map((name) => [name, style[name]])];
  });
  const before = looks();
  document.head.append(Object.assign(document.createElement("style"), { textContent: added }));
  return looks().flatMap(([node, now], place) =>
    now.filter(([, value], i) => value !== before[place][1][i][1]).map(([name]) => [node.getAttribute("class"), name]));
}"""


@pytest.fixture(scope="module")
def panels():
    """Every kind of panel, by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mx, "load", lambda *_, **__: small_data(side=32))
        parts = _Parts()
        made = {name: parts.panel(name) for name in _TITLES}
    lines = {"two": (torch.zeros(5), torch.ones(5))}
    yield made | {"blend": mx.panels.blend_panel(lines=lines)}
    for panel in made.values():
        panel.close()


def test_no_panel_changes_the_looks_of_another_that_came_first(panels, page: Page) -> None:
    for name, panel in panels.items():
        page.set_content("<body></body>")
        root = mount(page, panel)
        later = "\n".join(other._css for other in panels.values() if other is not panel)
        changed = root.evaluate(CHANGES, later)
        assert changed == [], (name, changed[:9])
