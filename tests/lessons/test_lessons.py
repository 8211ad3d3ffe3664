"""The lessons as written: their structure, their cells, and that what they derive agrees with the package.

`make test` also runs them all from top to bottom, with nbval and MIXLAB_FAST=1.
"""

import re
import statistics
from itertools import pairwise, takewhile
from typing import Any

import lessons
import pytest
import torch

import mixlab as mx
from mixlab.exercises.check import EXERCISES
from mixlab.panels.puzzle_panel.alpha_beta_swap import energy_of, swap_labels

LONGEST_CELL, MEDIAN_CELL = 15, 4
CELLS, WORDS = 60, 2000  # before an appendix
# The British spellings that slip in most easily. Code, links and formulas are not searched.
BRITISH = (
    r"\b(behaviour|cent(re|res|red)|colours?|favour\w*|grey|labelled|modelling|neighbours?|"
    r"(normal|optim|minim|maxim|regular|summar|recogn|real|general)is(e|es|ed|ing))\b"
)
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|\$\$.*?\$\$|\$[^$\n]+\$|<[^>]+>", re.DOTALL)
TAGS = ("solution", "exercise")
COMPARED = "# NBVAL_CHECK_OUTPUT"


@pytest.fixture(params=lessons.lesson_names())
def lesson(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def headings(lesson: str) -> list[tuple[int, str]]:
    text = re.sub(r"```.*?```", "", lessons.markdown(lesson), flags=re.DOTALL)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, re.MULTILINE)]


def test_the_file_is_a_clean_notebook(lesson: str) -> None:
    notebook = lessons.read(lesson)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all("attachments" not in cell for cell in notebook.cells)
    assert not re.search(r"!\[|<img", lessons.markdown(lesson)), "no picture is stored"


def test_one_title_and_no_level_left_out(lesson: str) -> None:
    levels = [level for level, _ in headings(lesson)]
    assert lessons.read(lesson).cells[0].cell_type == "markdown"
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_predict_move_measure_explain(lesson: str) -> None:
    titles = [title for level, title in headings(lesson) if level == 2]
    for word in ("Predict", "Move", "Measure", "Explain", "Exercises", "Summary"):
        assert titles.count(word) == 1, word
    assert titles.index("Predict") < titles.index("Measure") < titles.index("Explain") < titles.index("Exercises")
    text = lessons.markdown(lesson)
    for words in ("At the end you can say", "**Time**", "minutes", "**You need**"):
        assert words in text.split("## ")[0], words
    assert re.search(r"\*\*Next\*\*|^## Next", text, re.MULTILINE)


def test_links_between_lessons_lead_somewhere(lesson: str) -> None:
    targets = set(re.findall(r"\]\(([^)#]+\.ipynb)\)", lessons.markdown(lesson)))
    assert targets <= set(lessons.lesson_names())


def test_it_is_short_before_its_appendix(lesson: str) -> None:
    before = list(takewhile(lambda cell: not cell.source.startswith("## Appendix"), lessons.read(lesson).cells))
    words = sum(len(cell.source.split()) for cell in before if cell.cell_type == "markdown")
    assert len(before) <= CELLS
    assert words <= WORDS


def test_cells_are_short(lesson: str) -> None:
    lengths = {cell.id: len(re.findall(r"^\s*\S", cell.source, re.MULTILINE)) for cell in lessons.code_cells(lesson)}
    assert {cell: length for cell, length in lengths.items() if length > LONGEST_CELL} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_CELL


def test_a_sentence_stands_before_each_code_cell(lesson: str) -> None:
    cells = lessons.read(lesson).cells
    unexplained = [
        cell.id
        for before, cell in pairwise(cells)
        if cell.cell_type == "code"
        and not (before.cell_type == "markdown" and before.source.rstrip()[-1] in ".:?!|*$)")
    ]
    assert unexplained == []


def test_nothing_is_stored_but_what_is_compared(lesson: str) -> None:
    for cell in lessons.code_cells(lesson):
        if cell.source.startswith(COMPARED):
            assert cell.execution_count is not None, f"{cell.id}: without a count nbval compares nothing"
            assert all(output.output_type in ("stream", "execute_result") for output in cell.outputs), cell.id
        else:
            assert cell.outputs == [], cell.id
            assert cell.execution_count is None, cell.id


def test_spelling_is_american(lesson: str) -> None:
    prose = NOT_PROSE.sub(" ", lessons.markdown(lesson))
    assert {match[0].lower() for match in re.finditer(BRITISH, prose, re.IGNORECASE)} == set()


def test_it_has_a_fast_mode_and_exercises(lesson: str) -> None:
    assert 'FAST = bool(os.environ.get("MIXLAB_FAST"))' in lessons.code_cells(lesson)[0].source
    own = [name for name, exercise in lessons.exercises().items() if exercise.lesson == lesson]
    assert len(own) >= 2


def test_exercises_and_solutions_are_tagged_for_copies_without_them(lesson: str) -> None:
    tagged = {tag: {c.id for c in lessons.read(lesson).cells if tag in c.metadata.get("tags", [])} for tag in TAGS}
    text = {cell.id: cell.source for cell in lessons.read(lesson).cells}
    assert tagged["solution"] == {cell for cell, source in text.items() if "<summary>Solution" in source}
    assert tagged["exercise"] == {cell.id for cell in lessons.code_cells(lesson) if lessons.checked(cell.source)}
    assert all(text[cell].startswith("<details>") and text[cell].endswith("</details>") for cell in tagged["solution"])


def test_every_exercise_is_set_once_and_every_name_exists() -> None:
    code = "\n".join(cell.source for lesson in lessons.lesson_names() for cell in lessons.code_cells(lesson))
    assert sorted(lessons.checked(code)) == sorted(EXERCISES)


def derived(lesson: str, *cells: str) -> dict[str, Any]:
    """The names that these cells of a lesson define, after its first."""
    names = lessons.run_first_cell(lesson)
    for cell in cells:
        exec(next(each.source for each in lessons.code_cells(lesson) if each.id == cell), names)
    return names


def test_the_larger_share_derived_in_01_is_the_package_s() -> None:
    theta_bar = derived("01_lambda.ipynb", "theta-bar")["theta_bar"]
    for alpha in (0.001, 0.05, 0.4, 1, 3, 50):
        assert theta_bar(alpha) == pytest.approx(mx.lambda_moments(alpha).theta_bar, rel=1e-9)


def test_the_sampler_derived_in_01_is_the_package_s() -> None:
    draw = derived("01_lambda.ipynb", "inverse-draw")["draw"]
    for alpha in (0.01, 0.2, 1.0, 30.0):
        numbers = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        ours = mx.sample_lambda(alpha, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(ours, draw(alpha, numbers), rtol=1e-5, atol=1e-9)


def test_the_box_derived_in_02_is_the_package_s() -> None:
    cut = derived("02_two_images_one_label.ipynb", "cutmix-box")["cut"]
    height, width = 20, 36
    x = torch.zeros(24, 3, height, width)
    plan = mx.Mixer("cutmix", alpha=1.0).plan(x, generator=torch.Generator().manual_seed(2))
    assert plan.box is not None
    for nominal, lam, box in zip(plan.nominal[0].tolist(), plan.lam[0].tolist(), plan.box[0].tolist(), strict=True):
        centers = ((row, column) for row in range(height) for column in range(width))
        boxes = {cut(nominal, row, column, height, width) for row, column in centers}
        assert any(corners == tuple(box) and true_lam == pytest.approx(lam, abs=1e-7) for corners, true_lam in boxes)


def test_the_hidden_mix_derived_in_05_is_the_package_s() -> None:
    mixing_at = derived("05_manifold_mixup.ipynb", "mixing-at")["mixing_at"]
    model, x = mx.models.quick(10).eval(), torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    for layer in ("stage1", "stage3", "head"):
        plan = mx.Mixer("manifold", layers=[layer]).plan(x, generator=torch.Generator().manual_seed(2))
        with mixing_at(model.get_submodule(layer), plan.partner, plan.lam[0]):
            ours = model(x)
        with mx.hidden_mixing(model, layer, plan):
            theirs = model(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(ours, model(x), atol=1e-3)


def test_what_06_derives_is_the_package_s() -> None:
    names = derived("06_puzzle_mix.ipynb", "saliency-derived", "mask-energy", "beside-fixed", "swap")
    g = torch.Generator().manual_seed(3)
    x, y = torch.randn(5, 3, 32, 32, generator=g), torch.randint(10, (5,), generator=g)
    model = mx.models.quick(10)
    torch.testing.assert_close(names["saliency"](model, x, y), mx.saliency(model, x, y), rtol=1e-4, atol=1e-7)

    cost = torch.rand(20, 3, 5, 5, dtype=torch.float64, generator=g)
    cost[:, 1] = cost[:, ::2].mean(1) - 0.1  # convex in the label
    down, right = (torch.rand(20, *shape, dtype=torch.float64, generator=g) for shape in ((4, 5), (5, 4)))
    problem = (cost, down, right)
    labels = names["swap"](*problem)
    assert torch.equal(labels, swap_labels(*problem))
    torch.testing.assert_close(names["energy_of"](labels, *problem), energy_of(labels, *problem))


def test_the_blends_derived_in_04_are_the_package_s() -> None:
    multi_mix = derived("04_multi_mix.ipynb", "multi-mix")["multi_mix"]
    for shape in ((6, 3, 8, 8), (6, 5)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        plan = mx.Mixer("mixup", k=4).plan(x, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(multi_mix(x, plan.partner, plan.lam), plan.apply(x), rtol=1e-6, atol=1e-6)
