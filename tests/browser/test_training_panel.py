"""The training panel in a real JupyterLab: training, live sliders, Stop, keyboard, axe."""

import re
import time
from collections.abc import Iterator

import pytest
from browsing import SECONDS, button, drag_to, load_module, opened, status, violations_in_both_themes
from laboratory import Lab
from playwright.sync_api import Browser, Locator, Page, expect

import mixlab as mx

# A net that waits a little at each batch, so that a run is still at work when the test has done its clicks.
CELL = """
import time
import ipywidgets, torch
from IPython.display import display
import mixlab as mx

class Slow(torch.nn.Sequential):
    def forward(self, x):
        time.sleep(0.05 if self.training else 0)
        return super().forward(x)

data = mx.load("shapes", train_size=600)
data = mx.data.Dataset("few", data.train, data.test.subset(torch.arange(500)), data.classes)
panel = mx.panels.training_panel(
    data, model=lambda n, seed: Slow(torch.nn.Flatten(), torch.nn.Linear(3072, n)), images=20, epochs=50
)
echo = ipywidgets.HTML()
def hear(_=None):
    echo.value = f"alpha={panel.alpha} phase={panel.result and panel.result.phase}"
panel.observe(hear)
display(echo, panel)
"""


# The same with weights of the seed, so that the store knows the run again.
SEEDED = CELL.replace("lambda n, seed: ", "lambda n, seed: torch.manual_seed(seed) and ")


@pytest.fixture(scope="module")
def notebook(browser: Browser, jupyterlab: Lab) -> Iterator[Page]:
    """One notebook with one panel for every test of the module."""
    with opened(browser, jupyterlab, "training.ipynb", [CELL], tall=1300) as page:
        yield page


def test_it_trains_and_its_sliders_live(root: Locator, notebook: Page) -> None:
    button(root, "Start").click()
    status(root, "images/s")
    drag_to(notebook, root.get_by_label("α, log scale"), 0.8)
    alpha = root.get_by_label("α, log scale")
    said = alpha.get_attribute("aria-valuetext")
    expect(notebook.get_by_text(f"alpha={said} phase=training")).to_be_visible(timeout=SECONDS)
    expect(root.locator(".mx-runs")).to_contain_text("This run: mixup, α = 1, K = 1; 20 images, seed 0")
    status(root, "Training")
    expect(root.get_by_role("progressbar")).not_to_have_js_property("value", 0)
    button(root, "Stop").click()
    status(root, "Stopped at epoch")


def test_stop_acts_within_a_second(root: Locator) -> None:
    button(root, "Start").click()
    status(root, "images/s")
    began = time.perf_counter()
    button(root, "Stop").click()
    status(root, "Stopped at epoch")
    assert (
        time.perf_counter() - began < 2
    )  # the click, a batch of 50 ms, the answer; a busy machine gets twice the second
    expect(button(root, "Stop")).to_have_attribute("aria-disabled", "true")


def test_the_keyboard_does_it_all(root: Locator, notebook: Page) -> None:
    prediction = root.get_by_label("Predicted accuracy")
    expect(prediction).to_have_attribute("aria-valuetext", "none yet")
    root.get_by_label("Epochs").focus()
    notebook.keyboard.press("Tab")
    expect(root.get_by_label("Seed")).to_be_focused()
    notebook.keyboard.type("7")
    notebook.keyboard.press("Tab")
    expect(prediction).to_be_focused()
    notebook.keyboard.press("ArrowRight")
    expect(prediction).to_have_attribute("aria-valuetext", "0.51")
    notebook.keyboard.press("Tab")
    expect(button(root, "Start")).to_be_focused()
    notebook.keyboard.press("Enter")
    status(root, "images/s")
    notebook.keyboard.press("Tab")
    expect(button(root, "Pause")).to_be_focused()
    notebook.keyboard.press("Space")
    status(root, "Paused after batch")
    expect(button(root, "Resume")).to_be_focused()
    notebook.keyboard.press("Tab")
    batch = round(50 * root.get_by_role("progressbar").evaluate("bar => bar.value"))
    notebook.keyboard.press("Enter")  # one step
    status(root, f"Paused after batch {batch + 1} of 50")
    notebook.keyboard.press("Tab")
    expect(button(root, "Stop")).to_be_focused()
    notebook.keyboard.press("Enter")
    status(root, "Stopped at epoch")
    expect(button(root, "Stop")).to_be_focused()
    expect(root.locator(".mx-verdict")).to_contain_text("You said 0.51, it reached 0.")
    expect(root.locator(".mx-runs")).to_contain_text("seed 7")


def test_two_runs_stand_side_by_side(root: Locator, notebook: Page) -> None:
    root.get_by_label("Variant").select_option("none")
    mixing = [root.get_by_label(label) for label in ("α, log scale", "K, mixes a pair")]
    for slider in mixing:
        expect(slider).to_be_disabled()  # without mixing they do nothing
    epochs = root.get_by_label("Epochs")
    epochs.focus()
    notebook.keyboard.press("Home")
    notebook.keyboard.press("ArrowRight")
    button(root, "Start").click()
    status(root, "Finished: 2 epochs")
    root.get_by_label("Variant").select_option("mixup")
    for slider in mixing:
        expect(slider).to_be_enabled()
    button(root, "Start").click()
    expect(root.locator(".mx-runs")).to_contain_text("The run before: no mixing; 20 images", timeout=SECONDS)
    status(root, "Finished: 2 epochs")
    accuracy = root.get_by_role("img", name="Test accuracy by epoch. This run, mixup")
    expect(accuracy.locator("path.mx-current")).to_have_count(1)
    expect(accuracy.locator("path.mx-ghost")).to_have_count(1)
    expect(accuracy.locator(".mx-current-dot")).to_have_count(3)  # epochs 0, 1 and 2
    for name in ("this run: mixup", "the run before: no mixing"):
        diagram = root.get_by_role("img", name=f"Reliability diagram of {name}")
        expect(diagram).to_be_visible()
        assert diagram.locator(".mx-right").count() > 0
    picture = notebook.locator("figure[class^=mixlab-still] img")  # for a page without a kernel; hidden here
    expect(picture).to_have_attribute(
        "alt", re.compile("^Finished: 2 epochs .* The run before: says "), timeout=SECONDS
    )
    expect(picture).to_be_hidden()


def test_axe_finds_nothing(root: Locator, notebook: Page) -> None:
    button(root, "Step").click()
    status(root, "Paused after batch 1")
    assert violations_in_both_themes(notebook) == []


def test_a_run_outlives_its_kernel(browser: Browser, jupyterlab: Lab) -> None:
    with opened(browser, jupyterlab, "outlives.ipynb", [SEEDED], tall=1300) as page:
        root = page.locator(".mx-training")
        button(root, "Start").click()
        status(root, "images/s")
        button(root, "Stop").click()
        status(root, "Start, with the same settings, goes on from epoch")
        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_text("Restart Kernel and Run All Cells…", exact=True).click()
        page.locator(".jp-Dialog .jp-mod-accept").click()
        status(root, "Say what you expect")
        button(root, "Step").click()
        status(root, "Taken up from the store at epoch")
        root.get_by_role("button", name="Resume").click()
        status(root, "Finished: 50 epochs")
        button(root, "Reset").click()
        status(root, "Say what you expect")
        button(root, "Start").click()
        status(root, "From the store: trained on")


def test_the_image_slider_reaches_both_ends(page: Page) -> None:
    load_module(page, mx.panels.training_panel(mx.load("shapes", train_size=777)))
    ends = "(position) => panel.imagesAt(position, [10, 777])"
    assert [page.evaluate(ends, position) for position in (1, 2, 2.5, 2.89, 2.8904)] == [10, 100, 320, 777, 777]
    steps = [page.evaluate("most => panel.tickStep(most, 5)", most) for most in (0.5, 1, 2.3, 3, 50)]
    assert steps == [0.1, 0.2, 0.5, 1, 10]


def test_predictions_stand_apart_at_the_left_end(page: Page) -> None:
    load_module(page, mx.panels.training_panel(mx.load("shapes", train_size=20)))
    words = """(values) => {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const levels = values.map((value) => [value, String(value), "mx-level"]);
      panel.curves(svg, [[[0, 0.1]]], { epochs: 2, top: 1, levels, dots: true });
      const lines = [...svg.querySelectorAll(".mx-level")].map((line) => Number(line.getAttribute("y1")));
      return [...svg.querySelectorAll(".mx-said")].map((node, i) =>
        [node.getAttribute("text-anchor"), Number(node.getAttribute("y")) - lines[i]]);
    }"""
    assert page.evaluate(words, [0.39]) == [["start", -9]]
    assert page.evaluate(words, [1]) == [["start", 9]]  # no room above
    assert page.evaluate(words, [0.39, 0.5]) == [["start", 9], ["start", -9]]  # away from each other
    assert page.evaluate(words, [0.5, 0.39]) == [["start", -9], ["start", 9]]
