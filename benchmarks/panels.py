"""How often the panels are redrawn under a 60 Hz drag in Chromium: median of five drags of two seconds each.

python benchmarks/panels.py
"""

import os
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
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
    """Drag every slider that moves smoothly, and the box, and print the updates a second."""
    data = mx.load("shapes", train_size=40)
    cases = [
        ("λ panel, mixup", mx.panels.lambda_panel(), "α, on a log scale"),
        ("λ panel, CutMix", mx.panels.lambda_panel(variant="cutmix"), "α, on a log scale"),
        ("mixing panel", mx.panels.mixing_panel(data), "λ, share of x"),
        ("mixing panel", mx.panels.mixing_panel(data), "α, on a log scale"),
        ("mixing panel", mx.panels.mixing_panel(data), "box"),
        ("calibration", calibration(), T),
        ("calibration", calibration(other="mixup", bins="mass"), T),
        ("calibration", calibration(other="mixup", overlaid=True), T),
        ("calibration", calibration(other="mixup", n_bins=100), T),
        ("calibration", calibration(other="mixup"), "Number of bins"),
    ]
    with sync_playwright() as driver:
        path = find_chromium(driver.chromium.executable_path)
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        print(f"Chromium {browser.version}, {os.cpu_count()} CPUs; target: {TARGET} updates a second")
        for name, panel, handle in cases:
            rates = measure(browser.new_page(), panel, handle)
            low, high = min(rates), max(rates)
            print(f"{name:16} {handle:20} p50 {statistics.median(rates):5.1f}  ({low:.1f} to {high:.1f})")
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


def measure(page: Page, panel: Panel, handle: str) -> list[float]:
    """Updates a second of each drag of one handle of a panel."""
    root = mount(page, panel)
    place = page.locator(".mx-drag") if handle == "box" else page.get_by_label(handle)
    return [updates_per_second(page, root, place) for _ in range(DRAGS)]


if __name__ == "__main__":
    main()
