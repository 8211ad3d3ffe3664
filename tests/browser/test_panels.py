"""The panels in a real Chromium: the same numbers as Python, then drag, keyboard, themes and pictures in JupyterLab."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from browsing import (
    SECONDS,
    canvas_bytes,
    drag_to,
    known,
    load_module,
    mount,
    open_panel,
    tab_through,
    violations,
    violations_in_both_themes,
)
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect
from scipy import special, stats

import mixlab as mx
from mixlab.mixing import lambda_pdf
from mixlab.panels.mixing_panel.mixing_panel import MixingPanel, mix_bytes, paste
from mixlab.panels.shared.law import cut_box, uniforms

ALPHAS = [0.01, 0.03, 0.1, 0.2, 0.4, 0.999, 1, 2, 8, 33, 100]


def mixing() -> MixingPanel:
    return mx.panels.mixing_panel(mx.load("shapes", train_size=40), pairs=4)


@pytest.fixture(scope="module")
def open_page(browser: Browser) -> Iterator[Page]:
    """One page for every test of the module that only calls functions or opens its own notebook."""
    context = browser.new_context(viewport={"width": 1280, "height": 1200})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def law(open_page: Page) -> Page:
    """A page with the panels' functions as `panel`."""
    load_module(open_page, mx.panels.lambda_panel())
    return open_page


# The numbers


def test_density_matches_python(law: Page) -> None:
    grid = [1e-9, 1e-4, 0.05, 0.1, 0.3, 0.5, 0.72, 0.95, 0.9999]
    for alpha in ALPHAS:
        here = law.evaluate("([alpha, grid]) => grid.map((lam) => panel.density(alpha, lam))", [alpha, grid])
        np.testing.assert_allclose(here, lambda_pdf(alpha, grid), rtol=1e-10)
        np.testing.assert_allclose(here, stats.beta(alpha, alpha).pdf(grid), rtol=1e-10)


def test_distribution_and_quantiles_match_scipy(law: Page) -> None:
    lams = [1e-12, 1e-5, 0.05, 0.1, 0.4, 0.5, 0.6, 0.9, 0.999]
    shares = [1e-6, 0.001, 0.03, 0.2, 0.4999, 0.5, 0.7, 0.99, 0.99999]
    for alpha in ALPHAS:
        cdf, quantile = law.evaluate(
            """([alpha, lams, shares]) =>
              [lams.map((lam) => panel.cdf(alpha, lam)), shares.map((share) => panel.quantile(alpha, share))]""",
            [alpha, lams, shares],
        )
        np.testing.assert_allclose(cdf, stats.beta(alpha, alpha).cdf(lams), rtol=1e-10)
        np.testing.assert_allclose(quantile, special.betaincinv(alpha, alpha, shares), rtol=1e-8, atol=1e-300)


def test_quantiles_are_what_sample_lambda_draws(law: Page) -> None:
    for alpha in ALPHAS:
        drawn = mx.sample_lambda(alpha, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        shares = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).tolist()
        here = law.evaluate("([alpha, us]) => us.map((u) => panel.quantile(alpha, u))", [alpha, shares])
        np.testing.assert_allclose(here, drawn, rtol=1e-6, atol=1e-300)


def test_moments_match_python(law: Page) -> None:
    for alpha in ALPHAS:
        moments = mx.lambda_moments(alpha)
        here = law.evaluate("(alpha) => [panel.thetaBar(alpha), panel.mixedMass(alpha)]", alpha)
        np.testing.assert_allclose(here, [moments.theta_bar, moments.mixed_mass], rtol=1e-6)
        exact = [1 - special.betainc(alpha + 1, alpha, 0.5), np.diff(stats.beta(alpha, alpha).cdf([0.1, 0.9]))[0]]
        np.testing.assert_allclose(here, exact, rtol=1e-10)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_uniforms_are_the_same_numbers(law: Page, seed: int) -> None:
    assert law.evaluate("(seed) => Array.from(panel.uniforms(seed, 500))", seed) == uniforms(seed, 500).tolist()


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
def test_the_histogram_and_the_pair_are_pythons(law: Page, variant: str) -> None:
    for alpha in (0.1, 1.0, 20.0):
        panel = mx.panels.lambda_panel(alpha=alpha, k=8, variant=variant, seed=11)
        counts, pair, mean = law.evaluate(
            """(state) => {
              const drawn = panel.drawings(state.seed);
              const { counts, mean } = panel.summary(state, drawn);
              return [counts, panel.pairLambdas(state, drawn), mean ?? null];
            }""",
            panel.state,
        )
        assert counts == np.histogram(panel.drawn, 20, (0, 1))[0].tolist()
        np.testing.assert_allclose(pair, panel.pair, rtol=2e-6)
        if variant == "cutmix":
            assert mean == pytest.approx(panel.drawn.mean(), rel=1e-12)


def test_boxes_are_pythons(law: Page) -> None:
    numbers = np.random.default_rng(0)
    for height, width in ((32, 32), (7, 20)):
        cases = [
            [lam, height, width, int(numbers.integers(height)), int(numbers.integers(width))]
            for lam in [0.0, 0.1, 0.5, 0.9, 0.999, 1.0, *numbers.random(200).tolist()]
        ]
        here = law.evaluate("(cases) => cases.map((one) => panel.cutBox(...one))", cases)
        for (lam, _, _, row, column), box in zip(cases, here, strict=True):
            corners, true_lam = cut_box(lam, (height, width), row, column)
            assert (box["top"], box["left"], box["bottom"], box["right"]) == corners
            assert box["lam"] == pytest.approx(true_lam, abs=1e-12)


def test_bytes_are_mixed_as_in_python(page: Page) -> None:
    load_module(page, mixing())
    numbers = np.random.default_rng(1)
    a, b = numbers.integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    for lam in (0.0, 0.5, 1 / 3, 0.7, 1.0):
        here = page.evaluate(
            "([a, b, lam]) => Array.from(panel.mixBytes(a, b, lam))", [a.ravel().tolist(), b.ravel().tolist(), lam]
        )
        assert here == mix_bytes(a, b, lam).ravel().tolist()
    for box in ((0, 0, 6, 5), (1, 2, 4, 3), (2, 2, 2, 4), (5, 0, 6, 1)):
        here = page.evaluate(
            """([a, b, [top, left, bottom, right]]) =>
              Array.from(panel.pasteBytes(Uint8Array.from(a), Uint8Array.from(b), { top, left, bottom, right }, 5))""",
            [a.ravel().tolist(), b.ravel().tolist(), list(box)],
        )
        assert here == paste(a, b, box).ravel().tolist()


# One panel on a plain page


def test_every_one_digit_alpha_has_a_stop_on_the_slider(law: Page) -> None:
    stops = law.evaluate("Array.from({ length: 401 }, (_, i) => panel.alphaAt(-2 + i / 100))")
    assert stops[0] == 0.01
    assert stops[-1] == 100
    assert all(low < high for low, high in pairwise(stops))
    round_ones = {float(f"{digit}e{power}") for power in (-2, -1, 0, 1) for digit in range(1, 10)}
    assert round_ones <= set(stops)


def test_what_is_on_the_canvases_is_what_python_mixes(page: Page) -> None:
    panel = mixing()
    panel.pair, panel.lam, panel.row, panel.column = 2, 0.37, 30, 4
    root = mount(page, panel)
    shown = [canvas_bytes(canvas) for canvas in root.locator(".mx-tile canvas").all()]
    a, b = panel.images[2]
    box, _ = cut_box(0.37, (32, 32), 30, 4)
    for here, there in zip(shown, (a, b, mix_bytes(a, b, 0.37), paste(a, b, box)), strict=True):
        np.testing.assert_array_equal(here, there)


def test_fine_screens_get_fine_canvases(browser: Browser) -> None:
    context = browser.new_context(device_scale_factor=2)
    root = mount(context.new_page(), mx.panels.lambda_panel())
    assert root.locator("canvas").evaluate("(it) => it.width / it.clientWidth") == pytest.approx(2, abs=0.01)
    context.close()


def test_a_panel_taken_down_stops_listening(page: Page) -> None:
    mount(page, mixing())
    assert page.evaluate("model.count()") == 9
    page.evaluate("takeDown()")
    assert page.evaluate("model.count()") == 0


def test_drawing_again_draws_other_lambdas_and_another_box(page: Page) -> None:
    panel = mixing()
    root = mount(page, panel)
    root.get_by_role("button", name="Draw λ and boxes").click()
    sent = page.evaluate("saved")[-1]
    panel.seed = sent["seed"]
    assert sent["seed"] == 1
    assert sent["lam"] == pytest.approx(uniforms(1, 1)[0])  # at α = 1 a quantile is its own λ
    assert [sent["row"], sent["column"]] == (32 * uniforms(1, 3)[1:]).int().tolist()
    lams = ", ".join(f"{mix.lam:.2f}" for mix in panel.strip[0])
    assert f"by mixup with λ = {lams}" in str(root.locator("canvas.mx-plot").get_attribute("aria-label"))


@pytest.mark.parametrize("make", [mx.panels.lambda_panel, mixing])
def test_every_control_is_reached_by_the_keyboard(page: Page, make: Any) -> None:
    assert tab_through(page, mount(page, make())) > 3


def test_nothing_moves_by_itself(page: Page) -> None:
    root = mount(page, mixing())
    drawn = root.get_attribute("data-draws")
    page.wait_for_timeout(300)
    assert root.get_attribute("data-draws") == drawn
    assert page.evaluate("document.getAnimations().length") == 0


# In JupyterLab


@pytest.fixture(scope="module")
def lambda_page(open_page: Page, jupyterlab: Any) -> Page:
    """The λ panel in a notebook, with what Python knows of it in `.widget-html`."""
    open_panel(open_page, jupyterlab, "lambda.ipynb", "import mixlab as mx\npanel = mx.panels.lambda_panel()")
    return open_page


@pytest.fixture
def mixing_page(page: Page, jupyterlab: Any) -> Page:
    """The mixing panel in a notebook, likewise."""
    make = "import mixlab as mx\npanel = mx.panels.mixing_panel(mx.load('shapes', train_size=40), pairs=4)"
    open_panel(page, jupyterlab, "mixing.ipynb", make)
    return page


def test_python_hears_of_a_drag_at_its_end(lambda_page: Page) -> None:
    alpha = lambda_page.get_by_label("α, on a log scale")
    drag_to(lambda_page, alpha, 0.8, release=False)
    words = lambda_page.locator(".mx-words")
    expect(words).not_to_contain_text("θ̄ = 0.750")
    status = lambda_page.get_by_role("status").filter(has_text="θ̄")
    expect(status).to_contain_text("θ̄ = 0.750")
    expect(known(lambda_page)).to_contain_text("'alpha': 1.0")
    lambda_page.mouse.up()
    value = str(alpha.get_attribute("aria-valuetext"))
    assert float(value) > 8
    expect(known(lambda_page)).to_contain_text(f"'alpha': {float(value)}")
    theta_bar = mx.lambda_moments(float(value)).theta_bar
    for sentence in (words, status):
        expect(sentence).to_contain_text(f"θ̄ = {theta_bar:.3f}")


def test_the_panel_is_worked_by_keyboard(lambda_page: Page) -> None:
    lambda_page.get_by_label("K, mixes of each pair").focus()
    lambda_page.keyboard.press("Home")
    expect(known(lambda_page)).to_contain_text("'k': 1")
    for key, k in (("ArrowRight", 2), ("ArrowUp", 3), ("ArrowDown", 2), ("ArrowLeft", 1), ("End", 8)):
        lambda_page.keyboard.press(key)  # not taken by JupyterLab, which has uses of its own for arrows
        expect(known(lambda_page)).to_contain_text(f"'k': {k}")
    lambda_page.get_by_label("Variant").focus()
    lambda_page.keyboard.press("ArrowDown")
    expect(known(lambda_page)).to_contain_text("'variant': 'cutmix'")
    expect(lambda_page.locator(".mx-words")).to_contain_text("The box is clipped at the edge")
    lambda_page.keyboard.press("ArrowUp")
    lambda_page.get_by_role("button", name="Draw again").focus()
    lambda_page.keyboard.press("Enter")
    expect(known(lambda_page)).to_contain_text("'seed': 1")


def test_the_living_panel_hides_its_picture(lambda_page: Page) -> None:
    picture = lambda_page.locator("figure[class^=mixlab-still]")
    expect(picture).to_have_count(1)
    expect(picture).to_be_hidden()
    expect(lambda_page.locator(".mixlab-panel canvas")).to_be_visible()


def test_axe_finds_nothing_in_the_lambda_panel_in_light_or_dark(lambda_page: Page) -> None:
    assert violations_in_both_themes(lambda_page) == []


def test_the_mixing_panel_in_jupyterlab(mixing_page: Page) -> None:
    page = mixing_page
    assert violations(page) == []

    page.get_by_label("λ, share of x").focus()
    page.keyboard.press("Home")
    expect(known(page)).to_contain_text("'lam': 0.0")
    page.get_by_label("λ, share of x").fill("0.6")
    expect(known(page)).to_contain_text("'lam': 0.6")
    page.get_by_role("button", name="Next pair").press("Enter")
    expect(known(page)).to_contain_text("'pair': 1")

    box = page.locator(".mx-drag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20.5 / 32 * box["width"], box["y"] + 10.5 / 32 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 / 32 * box["width"], box["y"] + 31.5 / 32 * box["height"], steps=4)
    page.mouse.up()
    expect(known(page)).to_contain_text("'row': 31")
    expect(known(page)).to_contain_text("'column': 0")
    share = round(cut_box(0.6, (32, 32), 31, 0)[1], 2)
    expect(page.locator(".mx-soft").nth(2)).to_contain_text("0.60 ")
    expect(page.locator(".mx-soft").nth(3)).to_contain_text(f"{share:.2f} ")


def test_the_panel_works_in_voila(page: Page, jupyterlab: Any) -> None:
    jupyterlab.write_notebook("dashboard.ipynb", ["import mixlab as mx\nmx.panels.lambda_panel()"])
    page.goto(f"{jupyterlab.url}voila/render/dashboard.ipynb?token={jupyterlab.token}")
    root = page.locator(".mixlab-panel")
    root.wait_for(timeout=SECONDS)
    expect(page.locator("figure[class^=mixlab-still]")).to_be_hidden()
    drag_to(page, root.get_by_label("α, on a log scale"), 0.2)
    expect(root.locator(".mx-words")).not_to_contain_text("θ̄ = 0.750")


@pytest.mark.parametrize("store_widget_state", [True, False])
def test_exported_html_shows_the_last_state_as_a_picture(store_widget_state: bool, page: Page, tmp_path: Path) -> None:
    cells = ["import mixlab as mx\npanel = mx.panels.lambda_panel()\npanel", "panel.alpha, panel.k = 0.2, 3"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, store_widget_state=store_widget_state).execute()
    html, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "export.html").write_text(html, "utf-8")
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.goto((tmp_path / "export.html").as_uri())
    picture = page.get_by_role("img", name="at α = 0.2")
    expect(picture).to_be_visible()
    expect(picture).to_have_attribute("alt", mx.panels.lambda_panel(alpha=0.2, k=3).describe())
    assert picture.evaluate("(it) => it.naturalWidth") > 500
