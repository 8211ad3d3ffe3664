"""How often the panels are redrawn under a 60 Hz drag in Chromium, and how long after the mouse.

make bench, or: python benchmarks/bench_panels.py [--quick]
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import results
import torch
from harness import median_of, reading
from playwright.sync_api import Locator, Page, sync_playwright

import mixlab as mx
from mixlab.calibration.predictions import Predictions
from mixlab.data.dataset import Dataset
from mixlab.panels.shared.panel import Panel
from mixlab.runs.atlas import Atlas

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "support")]
from browsing import box_of, mount  # noqa: E402
from conftest import CHROMIUM_ARGS, find_chromium  # noqa: E402

DRAGS, DRAG = 5, 2.0  # how many, and the seconds of each
TARGET = 50
METHOD = f"""Each panel stands alone in a page of headless Chromium, without Jupyter and without a kernel. A mouse moves
at 60 Hz and drags one handle to and fro for {DRAG:g} seconds, {DRAGS} times; the median of the drags, with the smallest
and the largest. An update is a drawing of the whole panel, at most one a frame. The delay is from the mouse's event to
the end of the drawing that follows it, before the screen shows it: of each drag the 95th percentile. The puzzle panel
draws Python's last answer again, so that what Python takes is not in these figures; the spiral and the training panel
show two finished runs. Mouse and browser share the cores, as on a learner's machine."""
T = "Temperature T, log scale"
ALPHA = "α, log scale"
# An input event tells when it was handled, the pointer's own when the mouse moved. The box knows no input events.
WATCH = """(root) => {
  window.delays = [];
  let [moved, began] = [0, null];
  const begin = () => { began ??= moved; };
  document.addEventListener("pointermove", (event) => {
    moved = event.timeStamp;
    if (event.buttons && event.target.closest(".mx-drag")) begin();
  }, true);
  root.addEventListener("input", begin, true);
  new MutationObserver(() => {
    if (began !== null) window.delays.push(performance.now() - began);
    began = null;
  }).observe(root, { attributeFilter: ["data-draws"] });
}"""


def main() -> None:
    """Drag every slider that moves smoothly, and the box; print and save the updates a second and the delays."""
    quick = harness.parser(__doc__, METHOD, quick="one drag each, nothing saved").parse_args().quick
    rows, drags = [], 1 if quick else DRAGS
    with tempfile.TemporaryDirectory() as store, sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        print(f"Chromium {browser.version}, {os.cpu_count()} CPUs")
        for name, panel, handle in cases(store):
            rates, delays = measure(browser.new_page(), panel, handle, drags)
            rows.append(reading("panels", f"{name}: {handle}", "updates/s", median_of(rates), n=drags, least=TARGET))
            rows.append(reading("panels, delay", f"{name}: {handle}", "ms", median_of(delays), n=drags))
        if not quick:
            packages = ("mixlab", "torch", "ipywidgets", "anywidget", "playwright")
            results.save("panels", packages, readings=rows, chromium=browser.version)
        browser.close()


def cases(store: str) -> list[tuple[str, Panel, str]]:
    """Name, panel, and the handle that is dragged."""
    data = mx.load("shapes", train_size=40)
    return [
        ("λ panel, mixup", mx.panels.lambda_panel(), "α, on a log scale"),
        ("λ panel, CutMix", mx.panels.lambda_panel(variant="cutmix"), "α, on a log scale"),
        ("mixing panel", mx.panels.mixing_panel(data), "λ, share of x"),
        ("mixing panel", mx.panels.mixing_panel(data), "α, on a log scale"),
        ("mixing panel", mx.panels.mixing_panel(data), "box"),
        ("calibration panel", calibration(), T),
        ("calibration panel, two runs, equal mass", calibration(other="mixup", bins="mass"), T),
        ("calibration panel, two runs overlaid", calibration(other="mixup", overlaid=True), T),
        ("calibration panel, two runs, 100 bins", calibration(other="mixup", n_bins=100), T),
        ("calibration panel, two runs", calibration(other="mixup"), "Number of bins"),
        ("puzzle panel", mx.panels.puzzle_panel(data), "λ, nominal"),
        ("spiral panel", trained(mx.panels.spiral_panel(epochs=5)), ALPHA),
        ("surface panel", surfaces(data), "surfaces"),
        ("training panel", trained(training(data, store)), ALPHA),
        ("atlas panel, 1,000 runs of 100 α", recorded(), "α"),
    ]


def calibration(**state: Any) -> Panel:
    """The calibration panel with 2 runs of 10,000 predictions of 10 classes, one too sure and one not sure enough."""
    runs = {}
    for name, factor in (("none", 2.0), ("mixup", 0.5)):
        g = torch.Generator().manual_seed(0)
        logits = 6 * torch.randn(10_000, 10, generator=g)
        labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
        runs[name] = Predictions.from_logits(factor * logits, labels)
    return mx.panels.calibration_panel(runs, **state)


def surfaces(data: Dataset) -> Panel:
    """The surface panel with two nets, untrained, and a measured plane around each."""
    nets = {name: mx.models.resnet8(10, seed=seed) for seed, name in enumerate(("none", "mixup"))}
    panel = mx.panels.surface_panel(nets, data, images=10)
    panel.run()
    return panel


def training(data: Dataset, store: str) -> Any:
    """The training panel, with a store of its own."""
    few = Dataset(data.name, data.train, data.test.subset(torch.arange(40)), data.classes)
    return mx.panels.training_panel(few, images=40, epochs=5, root=store)


def recorded() -> Panel:
    """The atlas panel with 100 α, each of 10 seeds: recorded runs of mixup, one K and length after another."""
    kinds = list(mx.atlas().where(data="cifar10", images=1000, model="quick", variant="mixup", seed=0))
    grid = [(place, seed) for place in range(100) for seed in range(10)]
    runs = [
        replace(kinds[place % len(kinds)], id=f"{i:016x}", alpha=(place + 1) / 50, seed=seed)
        for i, (place, seed) in enumerate(grid)
    ]
    return mx.panels.atlas_panel(Atlas(runs))


def trained(panel: Any) -> Panel:
    """A panel that trains, with two finished runs on show."""
    panel.run()
    panel.alpha *= 2
    panel.run()
    return panel


def updates_per_second(page: Page, root: Locator, handle: Locator, seconds: float = DRAG) -> float:
    """Drawings a second while a 60 Hz mouse drags `handle` to and fro at a constant speed, at most one a frame."""
    box = box_of(handle)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    before = int(root.get_attribute("data-draws") or 0)
    start = time.perf_counter()
    ticks = 0
    while (now := time.perf_counter() - start) < seconds:
        page.mouse.move(box["x"] + box["width"] * (0.1 + 0.8 * abs((now + 0.5) % 2 - 1)), middle)
        ticks += 1
        time.sleep(max(0.0, start + ticks / 60 - time.perf_counter()))
    drawn = int(root.get_attribute("data-draws") or 0) - before
    elapsed = time.perf_counter() - start
    page.mouse.up()
    return drawn / elapsed


def measure(page: Page, panel: Panel, handle: str, drags: int) -> tuple[list[float], list[float]]:
    """Updates a second of each drag of one handle of a panel, and the 95th percentile of its delays, in ms."""
    root = mount(page, panel)
    place = page.locator(".mx-drag") if handle in ("box", "surfaces") else page.get_by_label(handle).first
    rates = [updates_per_second(page, root, place) for _ in range(drags)]
    root.evaluate(WATCH)  # only now, as what looks at each event and drawing takes time of its own
    delays = []
    for _ in range(drags):
        updates_per_second(page, root, place)
        found = torch.tensor(page.evaluate("delays.splice(0)"), dtype=torch.float64)
        delays.append(float(found.quantile(0.95)))
    return rates, delays


if __name__ == "__main__":
    main()
