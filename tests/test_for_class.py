"""What a teacher hands out: copies without solutions, and pages that live without a kernel or a network."""

import re
from pathlib import Path

import handout
import nbformat
import pytest
from ipywidgets import Widget
from playwright.sync_api import Page, expect
from refusals import refuses
from student import student_copy

import mixlab as mx
from mixlab import panels
from mixlab.exercises.guesses import collected, hand_in
from mixlab.panels.shared.alone import alone

OWN = """import torch, mixlab as mx
data = mx.load("shapes", train_size=40, test_size=10)
said = mx.Predictions.from_logits(torch.tensor([[6.0, 0.0]] * 20), torch.tensor([0] * 15 + [1] * 5))"""


def notebook(*cells):
    """A notebook of (type, source, tags)."""
    made = []
    for kind, source, tags in cells:
        cell = getattr(nbformat.v4, f"new_{kind}_cell")(source)
        cell.metadata["tags"] = tags
        made.append(cell)
    return nbformat.v4.new_notebook(cells=made)


def test_a_student_gets_no_solutions_and_nbgrader_a_valid_answer(tmp_path, monkeypatch):
    copy = student_copy(
        notebook(("code", "guess = 0.5", []), ("code", "a = ...", ["exercise"]), ("markdown", "a = 1", ["solution"])),
        lesson="01_lambda",
    )
    nbformat.validate(copy)
    assert [cell.source for cell in copy.cells[:2]] == ["guess = 0.5", "a = ..."]
    assert "a = 1" not in str(copy)
    answer = copy.cells[1].metadata["nbgrader"]
    assert (answer["grade_id"], answer["grade"], answer["solution"]) == (copy.cells[1].id, True, True)
    assert "nbgrader" not in copy.cells[0].metadata
    monkeypatch.chdir(tmp_path)
    cells = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "code")
    refuses(lambda: exec(cells, {}), ValueError, "student", "own name", "your-name")
    exec(cells.replace("your-name", "ana"), {})
    assert collected(tmp_path) == {"01_lambda": {"ana": {"guess": 0.5}}}


def test_guesses_of_a_class_are_collected(tmp_path):
    variables = {"guess": 3, "guess_best": "mixup", "guesses": [1, 2], "guess_tensor": object(), "other": 1}
    hand_in("03_train_it_live", "ana", variables, tmp_path)
    path = hand_in("03_train_it_live", "ana", variables | {"guess": 4}, tmp_path)
    hand_in("03_train_it_live", "böb-2", {"guess": 5}, tmp_path)
    for name, text in (("settings.of", "{}"), ("list.of", "[{}]"), ("half.written", '{"lesson"')):
        (tmp_path / f"{name}.json").write_text(text)
    assert path == tmp_path / "03_train_it_live.ana.json"
    ana = {"guess": 4, "guess_best": "mixup", "guesses": [1, 2]}
    assert collected(tmp_path) == {"03_train_it_live": {"ana": ana, "böb-2": {"guess": 5}}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("03", "a/b", {"guess": 1}), ["student", "letters", "'a/b'"]),
        (("../03", "ana", {"guess": 1}), ["lesson", "letters", "'../03'"]),
        (("03", "ana", {"other": 1}), ["names", "guess", "none"]),
    ],
)
def test_nothing_is_handed_in_under_a_wrong_name(tmp_path, arguments, words):
    refuses(lambda: hand_in(*arguments, tmp_path), ValueError, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
def test_a_page_lives_without_a_kernel_and_asks_no_network(page: Page, tmp_path: Path) -> None:
    cells = notebook(
        ("markdown", r"Its mean is $\frac{\alpha}{2}$, and `$HOME` is code.", []),
        ("code", f"from mixlab import panels\n{OWN}\npanels.lambda_panel(alpha=1.0, k=2)", []),
        *(("code", code, []) for code in ("panels.mixing_panel(data)", "panels.calibration_panel(said)")),
        *(("code", code, []) for code in ("panels.eyes_panel(data, pairs=3)", "panels.puzzle_panel(data)")),
        ("code", "live = panels.training_panel(data, epochs=2)\nlive", []),
    )
    path = tmp_path / "lesson.ipynb"
    nbformat.write(cells, path)
    (tmp_path / "lesson.html").write_text(handout.html_of(handout.executed(path)), "utf-8")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "lesson.html").as_uri())
    expect(page.locator("math mfrac")).to_have_count(1)
    expect(page.get_by_text("$HOME")).to_be_visible()
    slider = page.get_by_label("K, mixes of each pair")
    panel = page.locator(".mixlab-panel").first
    expect(panel).to_contain_text("0.750 on average")
    page.keyboard.press("Tab")
    expect(panel.locator(":focus")).to_have_count(1)  # no cell is a stop on the way
    slider.press("ArrowRight")
    expect(panel).to_contain_text("the 3 λs of one pair")
    mixing = page.get_by_role("group", name="Two images, one label")
    expect(mixing.get_by_label("Third row")).to_have_count(0)
    mixing.get_by_label("λ, share of x").press("Home")
    expect(mixing.get_by_role("img", name="mixup of both images: 1.00")).to_have_count(1)
    calibration = page.get_by_role("group", name="Calibration")
    expect(calibration).to_contain_text(" to ")  # the interval that Python gave
    calibration.get_by_label("Temperature T").press("End")
    expect(calibration).to_contain_text("at T = 4.00 it says 0.82")
    expect(calibration.locator(".mx-reach").first).to_be_empty()
    eyes = page.get_by_role("group", name="Your own eyes")
    for _ in range(3):
        eyes.get_by_role("button", name="Answer", exact=True).click()
    expect(eyes.get_by_role("img", name="What you saw against λ. 3 of 3 answers")).to_have_count(1)
    replay = page.get_by_role("group", name="A recorded training")
    expect(replay).to_contain_text("This run: mixup, α = 1, K = 1; 40 images")
    expect(replay).to_contain_text("The run before: no mixing")
    accuracy = replay.get_by_role("img", name="Test accuracy by epoch")
    diagram = replay.get_by_role("img", name="Reliability diagram of this run")
    for epoch in range(3):  # as Python tells the living panel
        expect(accuracy.locator(".mx-current-dot")).to_have_count(epoch + 1)
        expect(diagram).to_have_attribute("aria-label", re.compile(r"says 0\.\d\d, is right in 0\.\d\d"))
        replay.get_by_label("Epoch", exact=True).press("ArrowRight")
    replay.get_by_role("button", name="Play").click()
    expect(replay.get_by_role("button", name="Pause")).to_be_visible()
    expect(replay.get_by_role("button", name="Play")).to_be_visible()
    dead = page.locator("figure[class^=mixlab-still]")
    expect(dead).to_have_count(1)
    expect(dead).to_contain_text(handout.NEEDS_KERNEL)
    assert {url.split(":")[0] for url in asked} <= {"file", "blob", "data"}


def test_a_panel_that_python_answers_is_not_shown_alone() -> None:
    panel = panels.puzzle_panel(mx.load("shapes", train_size=20, test_size=10))
    saved = Widget.get_manager_state(widgets=[panel])["state"][panel.model_id]
    with pytest.raises(ValueError, match=r"saved must be .* no kernel, got mixlab\S*PuzzlePanel"):
        alone(saved)
    panel.close()
