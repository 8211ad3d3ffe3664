"""The atlas panel in a real Chromium: Python's numbers, what sliders skip, clicks, the address."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsing import mount, violations
from ipywidgets import Widget
from playwright.sync_api import Locator, Page, expect
from recorded_runs import recorded_runs

import mixlab as mx
from mixlab.calibration.intervals import Interval
from mixlab.panels.atlas_panel.numbers import ROWS, STEPS, difference, front
from mixlab.panels.shared.alone import alone
from mixlab.runs.atlas.atlas_run import COLUMNS

pytestmark = pytest.mark.browser
ATLAS = recorded_runs()
COMPUTE = """async ([counts]) => {
  const settings = await panel.readSettings(model.get("_settings"), model.get("_numbers"));
  const rows = Object.values(model.get("_rows"));
  const differences = counts.flatMap((n) => settings.flatMap((one) => settings.flatMap((other) => rows.map(
    (row) => panel.difference(one, other, row, n, model.get("_student"))))));
  const values = settings.map((one) => [one.cost, one.accuracy]);
  const diagrams = settings.map((one) => panel.scoresOf(one, true, 20));
  return [differences, values, panel.frontOf(settings).map(({ axes }) => axes), diagrams];
}"""

VALUES = """async () => {
  const settings = await panel.readSettings(model.get("_settings"), model.get("_numbers"));
  const values = ([metric, tempered]) =>
    settings.flatMap((one) => [...panel.valuesOf(one, metric, tempered, 15).values()]);
  const curves = settings.flatMap(({ runs }) => [...runs.values()].flatMap(({ curve }) => curve));
  return [Object.values(model.get("_rows")).map(values), curves.map((row) => [...row])];
}"""


def numbers(part: Interval | float | None) -> list[float | None]:
    if isinstance(part, Interval):
        return [part.value, part.low, part.high, part.n]
    return [part, None, None, None if part is None else 1]


def test_all_numbers_are_pythons(page: Page) -> None:
    panel = mx.panels.atlas_panel(ATLAS)
    mount(page, panel)
    counts = [5, 15, 30]
    here, values, kept, diagrams = page.evaluate(COMPUTE, [counts])
    theirs = [
        numbers(difference(one, other, row, n_bins))
        for n_bins, one, other, row in itertools.product(counts, panel.settings, panel.settings, ROWS)
    ]
    keys = ("value", "low", "high", "n")
    mine = [[(part or {}).get(key) for key in keys] for part in here]
    np.testing.assert_allclose(np.array(mine, float), np.array(theirs, float), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(values, [[one.cost, one.accuracy] for one in panel.settings], rtol=1e-12)
    assert kept == [one.axes for one in front(panel.settings)]
    for setting, diagram in zip(panel.settings, diagrams, strict=True):
        held = mx.Reliability(60)
        for run in setting.runs.values():
            held.merge(run.tempered)
        bins = held.rebinned(20).bins()
        shown = [[one[key] for key in ("low", "high", "count", "confidence", "accuracy")] for one in diagram["bins"]]
        columns = [bins.edges[:-1], bins.edges[1:], bins.count, bins.confidence, bins.accuracy]
        np.testing.assert_allclose(shown, torch.stack(columns, 1)[bins.count > 0], rtol=1e-9)
        assert sum(diagram["counts"]) == held.count


def test_what_is_rounded_on_its_way_to_the_browser_stays_near(page: Page) -> None:
    panel = mx.panels.atlas_panel()  # the runs that come with mixlab
    mount(page, panel)
    here, curves = page.evaluate(VALUES)
    runs = [run for one in panel.settings for run in one.runs.values()]
    theirs = [[run.value(metric, tempered=when) for run in runs] for metric, when, *_ in ROWS.values()]
    least = min(run.raw.count for run in runs)
    np.testing.assert_allclose(here, theirs, rtol=0, atol=60 / STEPS / least)
    np.testing.assert_allclose(curves, torch.cat([run.curve[:, [0, 2, 4, 6]] for run in runs]), rtol=0, atol=1e-5)


def test_the_curve_of_ece_is_raw_or_after_a_temperature(page: Page) -> None:
    panel = mx.panels.atlas_panel(ATLAS)
    root = mount(page, panel)
    chart = root.locator(".mx-curves .mx-chart").nth(1)
    name, picture = chart.locator(".mx-chart-name"), chart.get_by_role("img")

    def ends(column: str) -> str:
        runs = ATLAS.where(**panel.this)
        return ", ".join(f"{100 * run.curve[-1, COLUMNS.index(column)]:.1f}" for run in runs)

    expect(name).to_have_text("Test ECE in points, raw, 15 bins")
    expect(picture).to_have_accessible_name(re.compile(re.escape(f": {ends('ece')};")))
    root.get_by_label("Calibration").select_option("true")
    expect(name).to_have_text("Test ECE in points, after T, 15 bins")
    expect(picture).to_have_accessible_name(re.compile(re.escape(f": {ends('tempered_ece')};")))
    side(root, "This").get_by_label("Variant").select_option("cutmix")
    expect(picture).to_contain_text("Mark: recorded at the end only")
    expect(picture.locator(".mx-seed")).to_have_count(3)  # that has curves
    expect(picture.locator(".mx-mark")).to_have_count(1)


def test_no_interval_leaves_the_picture_of_cost(page: Page) -> None:
    this, that = ({"variant": name, "images": 20_000} for name in ("mixup", "none"))
    panel = mx.panels.atlas_panel(this=this, that=that, picture="cost")  # of the runs that come with mixlab
    bars = mount(page, panel).locator(".mx-cost .mx-reaches")
    heights = bars.evaluate_all("bars => bars.map((bar) => bar.getBBox().height)")
    accuracies = [[run.value("accuracy") for run in mx.atlas().where(**side)] for side in (panel.that, panel.this)]
    lengths = [part.high - part.low for part in map(mx.mean_interval, accuracies)]
    assert heights[0] / heights[1] == pytest.approx(lengths[0] / lengths[1], rel=1e-3)


def test_what_explains_the_reliability_diagram_goes_with_it(page: Page) -> None:
    root = mount(page, mx.panels.atlas_panel(ATLAS, picture="cost"))
    note = root.get_by_text("below the diagonal over-confident")
    expect(note).to_be_hidden()
    root.get_by_label("Pictures").select_option("reliability")
    expect(note).to_be_visible()


@pytest.mark.parametrize(
    "this", [{}, {"variant": "cutmix"}, {"variant": "manifold"}, {"epochs": 30}, {"data": "shapes"}]
)
def test_the_page_says_what_python_says(page: Page, this: dict[str, Any]) -> None:
    panel = mx.panels.atlas_panel(ATLAS, this=this, n_bins=20)
    root = mount(page, panel)
    expect(root.get_by_role("status")).to_have_text(panel.describe())
    expect(root.locator(".mx-best")).to_have_text(panel.best())


def side(root: Locator, name: str) -> Locator:
    return root.get_by_role("group", name=name, exact=True)


def test_sliders_stop_where_runs_are_and_say_what_they_skip(page: Page) -> None:
    root = mount(page, mx.panels.atlas_panel(ATLAS))
    this, said = side(root, "This"), side(root, "This").locator(".mx-said-of")
    alpha, k = this.get_by_label("α"), this.get_by_label("K")
    k.press("End")
    expect(k).to_have_attribute("aria-valuetext", "5")
    expect(said).to_have_text("3 runs, a seed each; 25k images through the network. ")
    alpha.press("Home")
    expect(k).to_have_attribute("aria-valuetext", "2")
    expect(said).to_contain_text("Not recorded: K = 5. The nearest has K = 2.")
    assert page.evaluate("saved.at(-1).this") == {**ATLAS_MIXUP, "alpha": 0.2, "k": 2}
    alpha.press("End")
    expect(k).to_have_attribute("aria-valuetext", "5")  # what was asked for is there again
    root.get_by_label("Data").select_option("shapes")
    expect(said).to_contain_text("Not recorded: images = 500, K = 5. The nearest has images = 2000, K = 1.")
    expect(side(root, "That").locator(".mx-said-of")).to_contain_text("2 runs")
    expect(root.get_by_label("Training images")).to_have_attribute("aria-valuetext", "2,000")
    root.get_by_label("Data").select_option("cifar10")
    expect(root.get_by_label("Training images")).to_have_attribute("aria-valuetext", "500")
    expect(k).to_have_attribute("aria-valuetext", "5")
    root.get_by_role("button", name="Swap").click()
    assert page.evaluate("[saved.at(-1).this.variant, saved.at(-1).that.variant]") == ["none", "mixup"]
    assert violations(page) == []


ATLAS_MIXUP = {"data": "cifar10", "images": 500, "model": "quick", "variant": "mixup", "alpha": 1, "k": 1, "epochs": 10}


def test_a_click_on_a_point_chooses_it(page: Page) -> None:
    panel = mx.panels.atlas_panel(ATLAS)
    root = mount(page, panel)
    most = max(panel.settings, key=lambda one: one.cost)
    dot = root.locator(".mx-cost circle.mx-dot-any, .mx-cost circle.mx-dot-front")
    places = [(one.bounding_box() or {"x": 0.0})["x"] for one in dot.all()]
    dot.nth(int(np.argmax(places))).click()
    assert page.evaluate("saved.at(-1).this") == most.axes
    for name, shown in (("curves", ".mx-curves"), ("reliability", ".mx-reliability"), ("cost", ".mx-cost")):
        root.get_by_label("Pictures").select_option(name)
        for one in (".mx-curves", ".mx-reliability", ".mx-cost"):
            expect(root.locator(one)).to_be_visible(visible=one == shown)


def test_alone_on_a_page_the_address_keeps_the_state(page: Page, tmp_path: Path) -> None:
    panel = mx.panels.atlas_panel(ATLAS)
    saved = Widget.get_manager_state(widgets=[panel])["state"][panel.model_id]
    path = tmp_path / "atlas.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'>{alone(saved, address=True)}", "utf-8")
    page.goto(f"{path.as_uri()}#variant=mixup&alpha=0.3&k=2&that.epochs=30&n_bins=5&picture=junk")
    this = side(page.locator(".mixlab-panel"), "This")
    expect(this.get_by_label("α")).to_have_attribute("aria-valuetext", "0.2")  # the nearest there is
    expect(this.get_by_label("K")).to_have_attribute("aria-valuetext", "2")
    this.get_by_label("K").press("Home")
    page.wait_for_function("window.location.hash.includes('&k=1&')")
    assert "that.epochs=30" in page.url
    this.get_by_label("α").press("End")
    this.get_by_label("K").press("End")
    this.get_by_label("α").press("Home")
    page.wait_for_function("window.location.hash.includes('alpha=0.2&k=2&')")
    page.wait_for_timeout(100)  # in which the page hears of its own address
    expect(this).to_contain_text("Not recorded: K = 5. The nearest has K = 2.")
    page.goto(page.url.replace("alpha=0.2", "alpha=1"))  # a change of the address alone loads no page
    expect(this.get_by_label("α")).to_have_attribute("aria-valuetext", "1")
