"""Make the README's pictures: `make pictures`, in about two minutes.

docs/alpha.webp: the λ panel while α moves, with two pictures of Shapes; docs/alpha.png: one moment of it, for readers
who want no motion. docs/kit.png: the λ panel and the mixing panel, and the training panel after two runs with the
settings of lesson 00, without mixup and with it, on `mx.load("auto")`. All in a real Chromium.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

import mixlab as mx
from mixlab.panels.shared.panel import Panel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]  # the tests open panels in a browser, too

from browsing import mount  # noqa: E402
from conftest import CHROMIUM_ARGS, NO_CHROMIUM, find_chromium  # noqa: E402

TARGET = ROOT / "docs" / "kit.png"
MOVING, STILL = ROOT / "docs" / "alpha.webp", ROOT / "docs" / "alpha.png"
ALPHAS = [float(f"{10 ** (place / 10):.2g}") for place in range(-10, 11)]  # 0.1 to 10, even on the slider
MOVE, REST = 200, 2000  # milliseconds at an α, and at 0.1, 1 and 10
COLORS = 128  # of all frames together: a third of the size of full color
WIDTH = 860  # of one panel, in CSS pixels
GAP = 40


def photograph(page: Page, panel: Panel) -> Image.Image:
    """The panel as a reader of a lesson sees it."""
    page.set_content("<body style='margin: 16px; background: white; font-family: sans-serif'></body>")
    return picture(mount(page, panel))


def picture(place: Locator) -> Image.Image:
    """What is on the page there."""
    return Image.open(io.BytesIO(place.screenshot())).convert("RGB")


def trained() -> Panel:
    """The training panel after a run without mixup and one with it, trained here and now."""
    data = mx.load("auto", train_size=2000)
    with tempfile.TemporaryDirectory() as root:
        panel = mx.panels.training_panel(data, variant="none", epochs=12, prediction=0.6, root=root)
        panel.run()
        panel.variant = "mixup"
        panel.run()
    return panel


def shapes() -> mx.Dataset:
    """Images that mixlab draws, so that a picture may hold them."""
    return mx.load("shapes", train_size=100, difficulty=0)


def moving(page: Page) -> None:
    """Write docs/alpha.webp and docs/alpha.png: the λ panel while α goes from 0.1 to 10 and back."""
    photograph(page, mx.panels.lambda_panel(k=8, data=shapes()))
    there = []
    for alpha in ALPHAS:
        page.evaluate("(alpha) => model.set('alpha', alpha)", alpha)
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        there.append(picture(page.locator(".mixlab-panel")))
    sheet = Image.new("RGB", (there[0].width, len(there) * there[0].height))
    for place, frame in enumerate(there):
        sheet.paste(frame, (0, place * frame.height))
    palette = sheet.quantize(COLORS)
    there = [frame.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB") for frame in there]
    there[ALPHAS.index(0.4)].quantize(COLORS).save(STILL, optimize=True)
    rests = [REST if alpha in (0.1, 1, 10) else MOVE for alpha in ALPHAS]
    first, *rest = [*there, *there[-2:0:-1]]
    times = [*rests, *rests[-2:0:-1]]
    first.save(MOVING, save_all=True, append_images=rest, duration=times, loop=0, lossless=True, method=3)
    for path in (MOVING, STILL):
        print(f"wrote {path}, {path.stat().st_size / 1e3:.0f} kB")


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
    """Take the photographs; let α move; put the panels side by side and write docs/kit.png."""
    panels = [mx.panels.lambda_panel(alpha=0.4), mx.panels.mixing_panel(shapes()), trained()]
    with sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
        if path is None:
            sys.exit(NO_CHROMIUM)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        moving(browser.new_page(viewport={"width": WIDTH, "height": 1200}))
        context = browser.new_context(viewport={"width": WIDTH, "height": 1200}, device_scale_factor=2)
        law, mixing, training = (photograph(context.new_page(), panel) for panel in panels)
        browser.close()
    sheet = beside([law, mixing], training)
    TARGET.parent.mkdir(exist_ok=True)
    sheet.resize((1600, round(sheet.height * 1600 / sheet.width)), Image.Resampling.LANCZOS).save(TARGET, optimize=True)
    print(f"wrote {TARGET}, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
