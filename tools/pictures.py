"""Take the README's picture: `make pictures`. Real panels, a real training, a real Chromium.

The λ panel and the mixing panel are on the left. On the right is the training panel after two runs with the settings of
lesson 00, without mixup and with it, on the data of `mx.load("auto")`. It takes about two minutes.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import mixlab as mx
from mixlab.panels.shared.panel import Panel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]  # the tests open panels in a browser, too

from browsing import mount  # noqa: E402
from conftest import CHROMIUM_ARGS, NO_CHROMIUM, find_chromium  # noqa: E402

TARGET = ROOT / "docs" / "kit.png"
WIDTH = 860  # of one panel, in CSS pixels
GAP = 40


def photograph(page: Page, panel: Panel) -> Image.Image:
    """The panel as a reader of a lesson sees it, at twice the density."""
    page.set_content("<body style='margin: 16px; background: white; font-family: sans-serif'></body>")
    shot = mount(page, panel).screenshot()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def trained() -> Panel:
    """The training panel after a run without mixup and one with it, trained here and now."""
    data = mx.load("auto", train_size=2000)
    with tempfile.TemporaryDirectory() as root:
        panel = mx.panels.training_panel(data, variant="none", epochs=12, prediction=0.6, root=root)
        panel.run()
        panel.variant = "mixup"
        panel.run()
    return panel


def beside(left: list[Image.Image], right: Image.Image) -> Image.Image:
    """Two columns on white: `left` one below the other, `right` scaled to their height."""
    height = sum(image.height for image in left) + GAP * (len(left) - 1)
    right = right.resize((round(right.width * height / right.height), height), Image.Resampling.LANCZOS)
    width = max(image.width for image in left)
    sheet = Image.new("RGB", (width + GAP + right.width, height), "white")
    top = 0
    for image in left:
        sheet.paste(image, (0, top))
        top += image.height + GAP
    sheet.paste(right, (width + GAP, 0))
    return sheet


def main() -> None:
    """Take the photographs, put them side by side, write docs/kit.png."""
    panels = [mx.panels.lambda_panel(alpha=0.4), mx.panels.mixing_panel(mx.load("auto", train_size=500)), trained()]
    with sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
        if path is None:
            sys.exit(NO_CHROMIUM)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        context = browser.new_context(viewport={"width": WIDTH, "height": 1200}, device_scale_factor=2)
        law, mixing, training = (photograph(context.new_page(), panel) for panel in panels)
        browser.close()
    sheet = beside([law, mixing], training)
    TARGET.parent.mkdir(exist_ok=True)
    sheet.resize((1600, round(sheet.height * 1600 / sheet.width)), Image.Resampling.LANCZOS).save(TARGET, optimize=True)
    print(f"wrote {TARGET}, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
