"""The calibration panel in a real Chromium: Python's numbers at every setting, drags, keyboard, themes, Voila."""

import re
from typing import Any

import numpy as np
import pytest
from browsing import SECONDS, cut_words, drag_to, known, mount, open_panel, violations, violations_in_both_themes
from drawn_predictions import HARD, KINDS, drawn
from playwright.sync_api import Page, expect

import mixlab as mx
from mixlab.calibration.bins import FEW, read_cells
from mixlab.panels.calibration_panel.calibration_panel import CalibrationPanel
from mixlab.panels.calibration_panel.numbers import ESTIMATORS, Run

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
logits = 6 * torch.randn(5000, 10, generator=torch.Generator().manual_seed(0))
labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
runs = {name: mx.Predictions.from_logits(t * logits, labels) for name, t in {"none": 2.0, "mixup": 0.5}.items()}
panel = mx.panels.calibration_panel(runs)
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
                rows += [[*same, read_cells(one.metric, cells)] for one in ESTIMATORS.values()]
    return np.array(rows)


@pytest.mark.parametrize("name", HARD)
def test_the_numbers_are_pythons(name: str, page: Page) -> None:
    panel = mx.panels.calibration_panel(HARD[name])
    mount(page, panel)
    assert page.evaluate("panel.FEW") == FEW
    here = page.evaluate(COMPUTE, [TEMPERATURES, BINS, KINDS, list(ESTIMATORS)])
    np.testing.assert_allclose(here, oracle(panel._tables["predictions"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("state", [{}, {"scaling": "fit", "bins": "mass"}, {"scaling": "alpha", "overlaid": True}])
def test_what_is_on_the_page_is_what_python_says(state: dict[str, Any], page: Page) -> None:
    panel = two(alpha=0.4, n_bins=20, estimator="debiased_l1", **state)
    root = mount(page, panel)
    numbers = panel.numbers()
    sentences = [panel._sentence(name, *pair) for name, pair in numbers.items()]
    expect(root.locator(".mx-verdict")).to_have_text("".join(sentences))
    columns = [one for pair in numbers.values() for one in pair]
    rows = root.locator("tbody tr")
    for row, key in enumerate(("accuracy", "confidence", "nll", "brier")):
        assert rows.nth(row).locator("td").all_inner_texts() == [f"{getattr(one, key):.3f}" for one in columns]
    values = [f"{one.estimate.value:.3f}" for one in columns]
    intervals = [f"{one.estimate.low:.3f} to {one.estimate.high:.3f}" for one in columns]
    assert rows.nth(4).locator("td").all_text_contents() == [a + b for a, b in zip(values, intervals, strict=True)]
    titles, big = root.locator(".mx-chart-name").all_inner_texts(), root.locator("svg .mx-big").all_text_contents()
    after = [f"T = {panel.temperature_of(name):.2f}" for name in numbers]
    if panel.overlaid:
        assert titles == ["none and mixup, before: T = 1.00", f"none and mixup, after: {after[0]}"]
        assert big[2:] == [f"none: ECE, debiased {values[1]}", f"mixup: ECE, debiased {values[3]}"]
    else:
        before = [f"{name}, before: T = 1.00" for name in numbers]
        assert titles == [*before, f"none, after: {after[0]}", f"mixup, after: {after[1]}"]
        assert big == [f"ECE, debiased {values[i]}" for i in (0, 2, 1, 3)]


@pytest.mark.parametrize("position", [0, 1])
def test_hatched_bars_are_as_tall_as_the_gaps(page: Page, position: int) -> None:
    panel = mx.panels.calibration_panel(drawn(5000))
    root = mount(page, panel)
    root.get_by_label(T).fill(str(position))
    expect(root.locator(".mx-chart-name").nth(1)).to_contain_text(f"T = {2**position:.2f}")
    path = str(root.locator("svg .mx-gap-over[opacity='1']").nth(1).get_attribute("d"))
    tops = re.findall(r"M[\d.]+ ([\d.]+)H[\d.]+V([\d.]+)", path)
    _, bins = panel._tables["predictions"].bins(2**position, "width", 15)
    gaps = (bins.confidence - bins.accuracy)[bins.count >= 10].clamp(min=0)
    tall = 330 - 40 - 62 - 8 - 12  # as in reliability_diagram.js
    assert sum(float(low) - float(top) for top, low in tops) == pytest.approx(tall * float(gaps.sum()), abs=2)


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


def test_a_phone_shows_all_words_of_the_diagrams(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    root = mount(page, two())
    assert cut_words(root) == []
    names = root.locator(".mx-chart-name")
    assert names.evaluate_all("(all) => all.every((one) => one.scrollWidth <= one.clientWidth)")


def test_one_run_has_no_menu_of_runs(page: Page) -> None:
    root = mount(page, mx.panels.calibration_panel(HARD["equal logits"]))
    expect(root.get_by_label("Run", exact=True)).to_have_count(0)
    expect(root).to_contain_text("no T has the least NLL")
    expect(root.get_by_role("button", name="Fit T")).to_be_disabled()


def test_the_panel_in_jupyterlab(page: Page, jupyterlab: Any) -> None:
    root = open_panel(page, jupyterlab, "calibration.ipynb", MAKE)
    assert violations(page) == []
    reaches = root.locator(".mx-reach")
    expect(reaches.nth(1)).to_contain_text(" to ")
    drag_to(page, root.get_by_label(T), 0.75, release=False)
    expect(reaches.nth(1)).to_have_text("")
    expect(known(page)).to_contain_text("'temperature': 1.0}", timeout=SECONDS)
    page.mouse.up()
    expect(known(page)).not_to_contain_text("'temperature': 1.0}", timeout=SECONDS)
    expect(reaches.nth(1)).to_contain_text(" to ", timeout=SECONDS)  # Python's answer to the release

    root.get_by_label("Compare with").select_option("mixup")
    expect(known(page)).to_contain_text("'other': 'mixup'", timeout=SECONDS)
    expect(root.locator("svg.mx-figure")).to_have_count(4)
    root.get_by_role("button", name="Fit T").press("Enter")
    expect(known(page)).to_contain_text("'scaling': 'fit'", timeout=SECONDS)
    expect(root.get_by_role("status").filter(has_text="mixup: right in")).to_contain_text("as confident as right")
    root.get_by_label("Number of bins").focus()
    page.keyboard.press("End")
    expect(known(page)).to_contain_text("'n_bins': 100", timeout=SECONDS)
    page.keyboard.press("Home")
    expect(known(page)).to_contain_text("'n_bins': 1,", timeout=SECONDS)
    root.get_by_label("Number of bins").fill("15")
    expect(page.locator("figure[class^=mixlab-still]")).to_be_hidden()

    root.get_by_label("Two runs").select_option("overlaid")
    expect(root.locator("svg.mx-figure")).to_have_count(2)
    assert violations_in_both_themes(page) == []


def test_the_panel_works_in_voila(page: Page, jupyterlab: Any) -> None:
    jupyterlab.write_notebook("calibrated.ipynb", [MAKE, "panel"])
    page.goto(f"{jupyterlab.url}voila/render/calibrated.ipynb?token={jupyterlab.token}")
    root = page.locator(".mixlab-panel[data-draws]")
    root.wait_for(timeout=SECONDS)
    before = root.locator(".mx-reach").nth(1).inner_text()
    drag_to(page, root.get_by_label(T), 0.75)
    expect(root.locator(".mx-reach").nth(1)).not_to_have_text(before)
    expect(root.locator(".mx-reach").nth(1)).to_contain_text(" to ", timeout=SECONDS)
