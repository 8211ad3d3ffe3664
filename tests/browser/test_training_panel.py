"""The training panel in a real JupyterLab: training, live sliders, Stop, keyboard, axe."""

import operator
import re
from collections.abc import Iterator

import pytest
from browsing import SECONDS, button, drag_to, load_module, mount, opened, status, violations_in_both_themes
from laboratory import Lab
from playwright.sync_api import Browser, Locator, Page, expect

import mixlab as mx
from mixlab.panels.training_panel.report import calibration

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
    expect(button(root, "Stop")).to_have_attribute("aria-disabled", "true")


def test_the_keyboard_does_it_all(root: Locator, notebook: Page) -> None:
    prediction, press = root.get_by_label("Predicted accuracy"), notebook.keyboard.press
    expect(prediction).to_have_attribute("aria-valuetext", "none yet")
    root.get_by_label("Seed").fill("7")
    press("Tab")
    press("ArrowRight")
    expect(prediction).to_have_attribute("aria-valuetext", "0.51")
    for name, key, words in (
        ("Start", "Enter", "images/s"),
        ("Pause", "Space", "Paused after batch"),
        ("Step", "Enter", "Paused after batch"),
        ("Stop", "Enter", "Stopped at epoch"),
    ):
        press("Tab")
        expect(button(root, name)).to_be_focused()
        press(key)
        status(root, words)
        expect(root.locator(":focus")).to_have_count(1)  # a button that is disabled now is not lost to the keyboard
    expect(root.locator(".mx-verdict")).to_contain_text("You said 0.51, it reached 0.")
    expect(root.locator(".mx-runs")).to_contain_text("seed 7")


def test_two_runs_stand_side_by_side(root: Locator, notebook: Page) -> None:
    mixing = [root.get_by_label(label) for label in ("α, log scale", "K, mixes a pair")]
    root.get_by_label("Epochs").fill("2")
    root.get_by_label("Variant").select_option("none")
    for slider in mixing:
        expect(slider).to_be_disabled()  # without mixing they do nothing
    button(root, "Start").click()
    status(root, "Finished: 2 epochs")
    root.get_by_label("Variant").select_option("mixup")
    for slider in mixing:
        expect(slider).to_be_enabled()
    button(root, "Start").click()
    expect(root.locator(".mx-runs")).to_contain_text("The run before: no mixing; 20 images", timeout=SECONDS)
    status(root, "Finished: 2 epochs")
    accuracy = root.get_by_role("img", name="Test accuracy by epoch. This run, mixup")
    for parts, count in (("path.mx-current", 1), ("path.mx-ghost", 1), (".mx-current-dot", 3)):  # epochs 0, 1 and 2
        expect(accuracy.locator(parts)).to_have_count(count)
    for name in ("this run: mixup", "the run before: no mixing"):
        diagram = root.get_by_role("img", name=f"Reliability diagram of {name}")
        expect(diagram.locator(".mx-big")).to_have_text(re.compile(r"^ECE 0\.\d{3}$"))
        assert "Z" in str(diagram.locator(".mx-right").first.get_attribute("d"))  # a bar at least
    picture = notebook.locator("figure[class^=mixlab-still] img")  # for a page without a kernel; hidden here
    expect(picture).to_have_attribute(
        "alt", re.compile("^Finished: 2 epochs .* The run before: says "), timeout=SECONDS
    )
    expect(picture).to_be_hidden()
    assert violations_in_both_themes(notebook) == []


def test_a_run_outlives_its_kernel(browser: Browser, jupyterlab: Lab) -> None:
    with opened(browser, jupyterlab, "outlives.ipynb", [SEEDED], tall=1300) as page:
        root = page.locator(".mx-training")
        button(root, "Start").click()
        status(root, "images/s")
        button(root, "Stop").click()
        status(root, "Start, with the same settings, resumes after epoch")
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


def test_the_image_slider_leaves_every_count_by_keys_and_reaches_both_ends(page: Page) -> None:
    panel = mx.panels.training_panel(mx.load("shapes", train_size=777), images=123)
    root = mount(page, panel)
    images = root.get_by_label("Images")
    images.focus()
    assert images.get_attribute("aria-valuetext") == "123"
    for key, end, ordered in (("ArrowRight", "777", operator.lt), ("ArrowLeft", "10", operator.gt)):
        while (before := str(images.get_attribute("aria-valuetext"))) != end:
            page.keyboard.press(key)
            after = str(images.get_attribute("aria-valuetext"))
            assert ordered(int(before), int(after))
            assert page.evaluate("saved.at(-1).images") == int(after)  # shown is what Python hears
    page.keyboard.press("End")
    assert images.get_attribute("aria-valuetext") == "777"


def test_a_click_that_python_does_not_hear_says_that_it_waits(page: Page) -> None:
    root = mount(page, mx.panels.training_panel(mx.load("shapes", train_size=40)))
    page.evaluate("model.send = (content) => { window.sent = content; }")
    alert = root.get_by_role("alert")
    button(root, "Start").click()
    assert page.evaluate("[sent.command, sent.number]") == ["start", 1]
    expect(alert).to_have_text("The kernel is busy; your click waits.")
    page.evaluate("model.say('msg:custom', { heard: 1 })")
    expect(alert).to_be_hidden()


def test_what_is_changed_during_a_training_says_for_when(page: Page) -> None:
    panel = mx.panels.training_panel(mx.load("shapes", train_size=40), epochs=4)
    root = mount(page, panel)
    later = root.locator(".mx-later")
    view = {**panel._view, "settings": vars(panel._settings())}
    for phase, count in (("training", 1), ("finished", 0), ("paused", 1)):
        page.evaluate("(view) => model.set('_view', view)", {**view, "phase": phase})
        root.get_by_label("Epochs").fill("7")
        expect(later).to_have_count(count)
    expect(later).to_contain_text("Epochs")
    assert "next start" in later.evaluate("(it) => getComputedStyle(it, '::after').content")
    root.get_by_label("Epochs").fill("4")
    expect(later).to_have_count(0)


def test_a_replay_shows_what_python_measured_after_each_epoch(page: Page) -> None:
    panel = mx.panels.training_panel(mx.load("shapes", train_size=40, test_size=30), epochs=2)
    panel.record()
    load_module(page, panel)
    assert [run.settings.variant for run in (panel.result, panel.previous)] == ["mixup", "none"]
    for place, record in enumerate(panel.records):
        both = page.evaluate("given => panel.viewAt(...given).runs", [panel._view, panel._recorded, record.epoch])
        assert both[0]["accuracy"][-1] == [record.epoch, record.test_accuracy]
        assert both[0]["diagram"]["words"] == calibration(record.reliability)
        assert both[1]["diagram"]["ece"] == panel.previous.records[place].reliability.ece()
        assert all(at <= record.epoch for run in both for at, _ in run["loss"])


def test_round_ticks(page: Page) -> None:
    load_module(page, mx.panels.training_panel(mx.load("shapes", train_size=20)))
    steps = [page.evaluate("most => panel.tickStep(most, 5)", most) for most in (0.5, 1, 2.3, 3, 50)]
    assert steps == [0.1, 0.2, 0.5, 1, 10]


def test_predictions_stand_apart_at_the_left_end(page: Page) -> None:
    load_module(page, mx.panels.training_panel(mx.load("shapes", train_size=20)))
    above = """(values) => {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const levels = values.map((value) => [value, String(value), "mx-level"]);
      panel.curves(svg, [[[0, 0.1]]], { epochs: 2, top: 1, levels, dots: true });
      const [lines, words] = [".mx-level", ".mx-said"].map((kind) => [...svg.querySelectorAll(kind)]);
      return words.map((word, i) => Number(word.getAttribute("y")) < Number(lines[i].getAttribute("y1")));
    }"""
    assert page.evaluate(above, [0.39]) == [True]
    assert page.evaluate(above, [1]) == [False]  # no room
    assert page.evaluate(above, [0.39, 0.5]) == [False, True]  # away from each other
    assert page.evaluate(above, [0.5, 0.39]) == [True, False]
