"""Make the README's pictures: `make pictures`, in about two minutes.

docs/alpha.png: what α does to blends of one pair, by the law of λ. docs/kit.png: the λ panel and the mixing panel, and
the training panel after two runs with the settings of lesson 00, without mixup and with it, in a real Chromium. Images
are those of `mx.load("auto")`.
"""

import io
import sys
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from scipy.stats import beta

import mixlab as mx
from mixlab.panels.shared.panel import Panel
from mixlab.plots.style import BLUE, INK, PALE_BLUE

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]  # the tests open panels in a browser, too

from browsing import mount  # noqa: E402
from conftest import CHROMIUM_ARGS, NO_CHROMIUM, find_chromium  # noqa: E402

TARGET = ROOT / "docs" / "kit.png"
STRIP = ROOT / "docs" / "alpha.png"
ALPHAS, BLENDS = (0.1, 0.4, 1, 8), 9
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


def strip() -> None:
    """Write docs/alpha.png: a row for each α, with its density and one pair at λs of even ranks."""
    data = mx.load("auto", train_size=500)
    x, partner = (data.train.images[(data.train.labels == label).nonzero()[0, 0]].double() for label in (1, 7))
    figure = Figure(figsize=(10, 5.2), facecolor="white", layout="constrained")
    axes = figure.subplots(len(ALPHAS), BLENDS + 1, width_ratios=[1.9, *[1] * BLENDS])
    grid = torch.linspace(0.002, 0.998, 500).numpy()
    for (density, *tiles), alpha in zip(axes, ALPHAS, strict=True):
        density.fill_between(grid, beta.pdf(grid, alpha, alpha), color=PALE_BLUE)
        density.plot(grid, beta.pdf(grid, alpha, alpha), color=BLUE)
        density.set(ylim=(0, 3.4), xlim=(0, 1), yticks=[], xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"])
        density.set_title(f"α = {alpha:g}", fontsize=13, color=INK, loc="left")
        density.spines[["left", "right", "top"]].set_visible(False)
        for rank, tile in enumerate(tiles):
            lam = beta.ppf((rank + 0.5) / BLENDS, alpha, alpha)
            tile.imshow((lam * x + (1 - lam) * partner).permute(1, 2, 0) / 255)
            tile.set_title(f"λ = {lam:.2f}", fontsize=10, color=INK)
            tile.axis("off")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.03, wspace=0, hspace=0)
    axes[-1, 0].set_xlabel("λ, the share of one image", color=INK)
    figure.savefig(STRIP, dpi=120)
    with Image.open(STRIP) as picture:  # to a palette: a third of the size
        picture.convert("RGB").quantize(256).save(STRIP, optimize=True)
    print(f"wrote {STRIP}, {STRIP.stat().st_size / 1e3:.0f} kB")


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
    """Draw the strip; take the photographs, put them side by side, write docs/kit.png."""
    strip()
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
