"""The calibration panel in a real Chromium: Python's numbers at every setting, drags, keyboard, themes, Voila."""

import re
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import ECHO, choose_theme, drag_to, load_module, mount, open_notebook
from drawn_predictions import HARD, KINDS, drawn
from playwright.sync_api import Locator, Page, expect
from scipy import special

import mixlab as mx
from mixlab.calibration.bins import read_cells
from mixlab.panels.calibration_panel.calibration_panel import CalibrationPanel
from mixlab.panels.calibration_panel.numbers import ESTIMATORS, Run

ANSWER = 20_000  # milliseconds; at the first release Python imports matplotlib
T = "Temperature T, log scale"
TEMPERATURES = (0.25, 0.61, 1.0, 1.9, 4.0)
BINS = (1, 2, 5, 10, 15, 100)
COMPUTE = """([temperatures, bins, kinds, estimators]) => {
  const view = ({ buffer, byteOffset, byteLength }) => buffer.slice(byteOffset, byteOffset + byteLength);
  const [run] = panel.readRuns(model.get("_runs"), view(model.get("_logits")), view(model.get("_labels")));
  const found = [];
  for (const temperature of temperatures) for (const n_bins of bins) for (const kind of kinds) {
    for (const estimator of estimators) {
      const one = panel.numbersAt(run, temperature, { n_bins, bins: kind, estimator });
      found.push([one.accuracy, one.confidence, one.nll, one.brier, one.estimate]);
    }
  }
  return found;
}"""
MAKE = """
import torch, mixlab as mx
from mixlab.calibration.predictions import Predictions
def drawn(factor):
    g = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(10_000, 10, generator=g)
    labels = torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    return Predictions.from_logits(factor * logits, labels)
panel = mx.panels.calibration_panel({"none": drawn(2.0), "mixup": drawn(0.5)})
"""


def two(**state: Any) -> CalibrationPanel:
    runs = {"none": drawn(2000), "mixup": drawn(2000, factor=0.5, seed=1)}
    return mx.panels.calibration_panel(runs, **{"other": "mixup", **state})


def oracle(run: Run) -> np.ndarray:
    """What COMPUTE should find."""
    rows = []
    for temperature in TEMPERATURES:
        numbers = run.measure(temperature, "width", 15, "ece")
        same = [numbers.accuracy, numbers.confidence, numbers.nll, numbers.brier]
        for n_bins in BINS:
            for kind in KINDS:
                cells, _ = run.bins(temperature, kind, n_bins)
                rows += [[*same, read_cells(metric, cells)] for _, metric in ESTIMATORS.values()]
    return np.array(rows)


@pytest.mark.parametrize("name", HARD)
def test_the_numbers_are_pythons(name: str, page: Page) -> None:
    panel = mx.panels.calibration_panel(HARD[name])
    mount(page, panel)
    here = page.evaluate(COMPUTE, [TEMPERATURES, BINS, KINDS, list(ESTIMATORS)])
    np.testing.assert_allclose(here, oracle(panel._tables["predictions"]), rtol=1e-9, atol=1e-9)


def test_the_error_function_is_scipys(page: Page) -> None:
    load_module(page, two())
    xs = [0.0, 1e-9, 0.1, 0.5, 1.0, 2.0, 3.5, 5.9, 6.1, 40.0, -0.7]
    here = page.evaluate("(xs) => xs.map(panel.erf)", xs)
    np.testing.assert_allclose(here, special.erf(xs), rtol=1e-13)


@pytest.mark.parametrize("state", [{}, {"scaling": "fit", "bins": "mass"}, {"scaling": "alpha", "overlaid": True}])
def test_what_is_on_the_page_is_what_python_says(state: dict[str, Any], page: Page) -> None:
    panel = two(alpha=0.4, n_bins=20, estimator="debiased_l1", **state)
    root = mount(page, panel)
    expect(root.locator(".mx-verdict")).to_have_text(
        "".join(panel._sentence(name, *pair) for name, pair in panel.numbers().items())
    )
    columns = [one for pair in panel.numbers().values() for one in pair]
    rows = root.locator("tbody tr")
    for row, key in enumerate(("accuracy", "confidence", "nll", "brier")):
        assert rows.nth(row).locator("td").all_inner_texts() == [f"{getattr(one, key):.3f}" for one in columns]
    estimates = [one.estimate for one in columns]
    shown = rows.nth(4).locator("td").all_text_contents()
    assert shown == [f"{one.value:.3f}{one.low:.3f} to {one.high:.3f}" for one in estimates]
    titles = root.locator(".mx-chart-name").all_inner_texts()
    after = [f"T = {panel.temperature_of(name):.2f}" for name in ("none", "mixup")]
    if panel.overlaid:
        assert titles == ["none and mixup, before: T = 1.00", f"none and mixup, after: {after[0]}"]
        labels = [f"{name}: ECE, debiased {one.estimate.value:.3f}" for name, (_, one) in panel.numbers().items()]
        assert root.locator("svg .mx-big").all_text_contents()[2:] == labels
    else:
        before = [f"{name}, before: T = 1.00" for name in ("none", "mixup")]
        assert titles == [*before, f"none, after: {after[0]}", f"mixup, after: {after[1]}"]
        big = [f"ECE, debiased {columns[i].estimate.value:.3f}" for i in (0, 2, 1, 3)]
        assert root.locator("svg .mx-big").all_text_contents() == big


def test_the_gaps_shrink_as_the_temperature_rises(page: Page) -> None:
    """The height of the hatched bars in the right diagram is each bin's gap."""
    panel = mx.panels.calibration_panel(drawn(5000))
    root = mount(page, panel)
    heights = []
    for position in (0, 0.5, 1):
        root.get_by_label(T).fill(str(position))
        expect(root.locator(".mx-chart-name").nth(1)).to_contain_text(f"T = {2**position:.2f}")
        d = str(root.locator("svg .mx-gap-over[opacity='1']").nth(1).get_attribute("d"))
        blocks = re.findall(r"M[\d.]+ ([\d.]+)H[\d.]+V([\d.]+)", d)
        heights.append(sum(float(low) - float(top) for top, low in blocks))
        panel.temperature = page.evaluate("saved.at(-1).temperature")
        _, bins = panel._tables["predictions"].bins(panel.temperature, "width", 15)
        gaps = (bins.confidence - bins.accuracy)[bins.count >= 10].clamp(min=0)
        tall = 330 - 40 - 62 - 8 - 12  # as in reliability_diagram.js
        assert heights[-1] == pytest.approx(tall * float(gaps.sum()), abs=0.1 * len(gaps))
    assert heights[0] > 1.5 * heights[1] > 5 * heights[2]


def test_a_drag_is_followed_on_the_page_and_told_at_its_end(page: Page) -> None:
    root = mount(page, two())
    estimates = root.locator(".mx-chosen td")
    reaches = root.locator(".mx-reach")
    before = estimates.nth(1).inner_text()
    drag_to(page, root.get_by_label(T), 0.75, release=False)
    expect(estimates.nth(1)).not_to_have_text(before)
    expect(reaches.nth(1)).to_have_text("")  # Python has not said it yet
    assert page.evaluate("saved") == []
    page.mouse.up()
    sent = page.evaluate("saved")
    assert len(sent) == 1
    assert sent[0]["temperature"] == pytest.approx(2, rel=0.05)
    rescaling = root.get_by_label("Rescale by θ̄(α)")
    expect(rescaling).to_have_attribute("aria-valuetext", "α = 1: θ̄ = 0.75 (not in use)")
    drag_to(page, rescaling, 0.9)
    assert page.evaluate("saved.at(-1).scaling") == "alpha"
    alpha = page.evaluate("saved.at(-1).alpha")
    words = f"T = {mx.lambda_moments(alpha).theta_bar:.2f}"
    expect(root.locator(".mx-chart-name").nth(2)).to_have_text(f"none, after: {words}")
    expect(rescaling).to_have_attribute("aria-valuetext", re.compile(r"^α = [\d.]+: T = θ̄ = [\d.]+$"))
    root.get_by_role("button", name="T = 1").click()
    expect(rescaling).to_have_attribute("aria-valuetext", re.compile(r" \(not in use\)$"))
    expect(estimates.nth(1)).to_contain_text(before[:5])


def test_one_run_has_no_menu_of_runs(page: Page) -> None:
    root = mount(page, mx.panels.calibration_panel(HARD["equal logits"]))
    expect(root.get_by_label("Run", exact=True)).to_have_count(0)
    expect(root).to_contain_text("no T has the least NLL")
    expect(root.get_by_role("button", name="Fit T")).to_be_disabled()


def test_every_control_is_reached_by_the_keyboard(page: Page) -> None:
    root = mount(page, two())
    controls = root.locator("input, select, button")
    assert controls.count() == 10
    for i in range(controls.count()):
        page.keyboard.press("Tab")
        expect(controls.nth(i)).to_be_focused()
        assert controls.nth(i).evaluate("(it) => getComputedStyle(it).outlineStyle") == "solid"


def test_taken_down_it_stops_listening(page: Page) -> None:
    mount(page, two())
    assert page.evaluate("model.count()") == 10
    page.evaluate("takeDown()")
    assert page.evaluate("model.count()") == 0


# In JupyterLab


def known(page: Page) -> Locator:
    """What Python knows of the panel's state."""
    return page.locator(".widget-html-content")


def violations(page: Page) -> list[tuple[str, Any]]:
    found = Axe().run(page, context=".mixlab-panel").response
    assert len(found["passes"]) > 5
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


def test_the_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    open_notebook(page, jupyterlab, "calibration.ipynb", [MAKE, ECHO])
    root = page.locator(".mixlab-panel[data-draws]")
    root.wait_for(timeout=60_000)
    assert violations(page) == []
    reaches = root.locator(".mx-reach")
    expect(reaches.nth(1)).to_contain_text(" to ")
    drag_to(page, root.get_by_label(T), 0.75, release=False)
    expect(reaches.nth(1)).to_have_text("")
    expect(known(page)).to_contain_text("'temperature': 1.0}")
    page.mouse.up()
    expect(known(page)).not_to_contain_text("'temperature': 1.0}")
    expect(reaches.nth(1)).to_contain_text(" to ", timeout=ANSWER)  # Python's answer to the release

    root.get_by_label("Compare with").select_option("mixup")
    expect(known(page)).to_contain_text("'other': 'mixup'")
    expect(root.locator("svg.mx-figure")).to_have_count(4)
    root.get_by_role("button", name="Fit T").press("Enter")
    expect(known(page)).to_contain_text("'scaling': 'fit'")
    expect(root.get_by_role("status").filter(has_text="mixup: right in")).to_contain_text("as confident as right")
    root.get_by_label("Number of bins").focus()
    page.keyboard.press("End")
    expect(known(page)).to_contain_text("'n_bins': 100")
    page.keyboard.press("Home")
    expect(known(page)).to_contain_text("'n_bins': 1,")
    root.get_by_label("Number of bins").fill("15")
    expect(page.locator("figure[class^=mixlab-still]")).to_be_hidden()

    choose_theme(page, "JupyterLab Dark")
    expect(root).to_have_attribute("data-dark", "true")
    assert violations(page) == []
    root.get_by_label("Two runs").select_option("overlaid")
    expect(root.locator("svg.mx-figure")).to_have_count(2)
    assert violations(page) == []


def test_the_panel_works_in_voila(page: Page, jupyterlab: Any) -> None:
    jupyterlab.write_notebook("calibrated.ipynb", [MAKE, "panel"])
    page.goto(f"{jupyterlab.url}voila/render/calibrated.ipynb?token={jupyterlab.token}")
    root = page.locator(".mixlab-panel[data-draws]")
    root.wait_for(timeout=60_000)
    before = root.locator(".mx-reach").nth(1).inner_text()
    drag_to(page, root.get_by_label(T), 0.75)
    expect(root.locator(".mx-reach").nth(1)).not_to_have_text(before)
    expect(root.locator(".mx-reach").nth(1)).to_contain_text(" to ", timeout=ANSWER)
