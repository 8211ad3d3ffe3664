"""How often the panels are redrawn under a 60 Hz drag in Chromium: median of five drags of two seconds each.

make bench, or: python benchmarks/panels.py [--quick]
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import harness
import torch
from measured import median_of, reading
from playwright.sync_api import Page, sync_playwright

import mixlab as mx
from mixlab.panels.panel import Panel
from mixlab.predictions import Predictions

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browsing import mount, updates_per_second
from conftest import CHROMIUM_ARGS, find_chromium

DRAGS = 5
TARGET = 50
T = "Temperature T, log scale"


def main() -> None:
    """Drag every slider that moves smoothly, and the box; print and save the updates a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one drag each, nothing saved")
    quick = parser.parse_args().quick
    data = mx.load("shapes", train_size=40)
    cases = [
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
    ]
    with sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        print(f"Chromium {browser.version}, {os.cpu_count()} CPUs")
        rows = [
            reading(
                "panels",
                f"{name}: {handle}",
                "updates/s",
                median_of(measure(browser.new_page(), panel, handle, 1 if quick else DRAGS)),
                target=f"at least {TARGET}",
                note="smallest and largest of the drags",
            )
            for name, panel, handle in cases
        ]
        if not quick:
            packages = ("mixlab", "torch", "ipywidgets", "anywidget", "playwright")
            harness.save("panels", packages, chromium=browser.version, readings=rows)
        browser.close()


def calibration(**state: Any) -> Panel:
    """The calibration panel with 2 runs of 10,000 predictions of 10 classes, one too sure and one not sure enough."""
    runs = {}
    for name, factor in (("none", 2.0), ("mixup", 0.5)):
        g = torch.Generator().manual_seed(0)
        logits = 6 * torch.randn(10_000, 10, generator=g)
        labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
        runs[name] = Predictions.from_logits(factor * logits, labels)
    return mx.panels.calibration_panel(runs, **state)


def measure(page: Page, panel: Panel, handle: str, drags: int) -> list[float]:
    """Updates a second of each drag of one handle of a panel."""
    root = mount(page, panel)
    place = page.locator(".mx-drag") if handle == "box" else page.get_by_label(handle)
    return [updates_per_second(page, root, place) for _ in range(drags)]


if __name__ == "__main__":
    main()
