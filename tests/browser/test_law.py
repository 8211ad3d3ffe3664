"""law.js in a real Chromium: the law of λ is scipy's, and what a seed draws is Python's."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from browsing import load_module
from playwright.sync_api import Browser, Page
from scipy import special, stats

import mixlab as mx
from mixlab.panels.shared.law import cut_box, uniforms

ALPHAS = [0.01, 0.03, 0.1, 0.2, 0.4, 0.999, 1, 2, 8, 33, 100]
LAMS = [1e-12, 1e-9, 1e-5, 0.05, 0.1, 0.4, 0.5, 0.6, 0.72, 0.9, 0.9999]
SHARES = [1e-6, 0.001, 0.03, 0.2, 0.4999, 0.5, 0.7, 0.99, 0.99999]


@pytest.fixture(scope="module")
def law(browser: Browser) -> Iterator[Page]:
    """A page with the functions of the λ panel's files as `panel`."""
    context = browser.new_context()
    page = context.new_page()
    load_module(page, mx.panels.lambda_panel())
    yield page
    context.close()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_density_distribution_quantiles_and_moments_are_scipys(law: Page, alpha: float) -> None:
    density, cdf, quantile, moments = law.evaluate(
        """([alpha, lams, shares]) => [
          lams.map((lam) => panel.density(alpha, lam)), lams.map((lam) => panel.cdf(alpha, lam)),
          shares.map((share) => panel.quantile(alpha, share)), [panel.thetaBar(alpha), panel.mixedMass(alpha)],
        ]""",
        [alpha, LAMS, SHARES],
    )
    beta = stats.beta(alpha, alpha)
    np.testing.assert_allclose(density, beta.pdf(LAMS), rtol=1e-10)
    np.testing.assert_allclose(cdf, beta.cdf(LAMS), rtol=1e-10)
    np.testing.assert_allclose(quantile, special.betaincinv(alpha, alpha, SHARES), rtol=1e-8, atol=1e-300)
    exact = [1 - special.betainc(alpha + 1, alpha, 0.5), np.diff(beta.cdf([0.1, 0.9]))[0]]
    np.testing.assert_allclose(moments, exact, rtol=1e-10)


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


def test_every_one_digit_alpha_has_a_stop_on_the_slider(law: Page) -> None:
    stops = law.evaluate("Array.from({ length: 401 }, (_, i) => panel.alphaAt(-2 + i / 100))")
    assert (stops[0], stops[-1]) == (0.01, 100)
    assert all(low < high for low, high in pairwise(stops))
    assert {float(f"{digit}e{power}") for power in (-2, -1, 0, 1) for digit in range(1, 10)} <= set(stops)


@pytest.mark.parametrize("variant", ["none", "mixup", "cutmix"])
def test_the_images_below_the_dots_are_pythons(law: Page, variant: str) -> None:
    panel = mx.panels.lambda_panel(0.8, 6, variant, seed=4, data=mx.load("shapes", train_size=20))
    assert panel.images is not None
    here = law.evaluate(
        """([state, a, b]) => panel.pairMixes(state, panel.drawings(state.seed)).map((mix) =>
          Array.from(panel.imageOf([Uint8Array.from(a), Uint8Array.from(b)], mix)))""",
        [panel.state, *panel.images.reshape(2, -1).tolist()],
    )
    assert here == panel.mixes.reshape(6, -1).tolist()
