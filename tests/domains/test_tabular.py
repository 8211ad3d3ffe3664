"""Tables against scikit-learn's own encoding and scaling; what of a category can be mixed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import each_refused
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mixlab as mx
from mixlab.domains import predict, tabular, train
from mixlab.domains.people import people

CODES, ONE_HOT = tabular.load(form="codes"), tabular.load()


def test_one_hot_rows_are_scikit_learns() -> None:
    (codes, y), (rows, same_y) = CODES.train, ONE_HOT.train
    sizes = [range(len(values)) for _, values in CODES.columns.categories]
    theirs = OneHotEncoder(categories=[[*size] for size in sizes], sparse_output=False).fit_transform(codes[:, 3:])
    np.testing.assert_array_equal(rows[:, 3:], theirs)
    assert torch.equal(rows[:, :3], codes[:, :3])
    assert repr(CODES) == "Problem('table', 1,400 training and 600 test examples, 2 classes)"
    assert torch.equal(y, same_y)


def test_numbers_are_scaled_by_the_training_rows() -> None:
    problem, raw = tabular.load("digits"), people()[0][:, :3]
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    scaler = StandardScaler().fit(raw[order[600:]])
    np.testing.assert_allclose(ONE_HOT.test[0][:, :3], scaler.transform(raw[order[:600]]), atol=1e-2)
    assert float(problem.train[0].abs().max()) < 40  # pixels that are always white stay numbers
    torch.testing.assert_close(problem.train[0].mean(0), torch.zeros(64), atol=1e-5, rtol=0)


def test_mixing_embedded_codes_is_mixing_one_hot_rows() -> None:
    """0.6 of one and 0.4 of another category: the same vector either way."""
    nets = [tabular.TableNet(CODES.columns, 2, form=form).double() for form in tabular.FORMS]
    rows, codes = (problem.train[0][:8].double() for problem in (ONE_HOT, CODES))
    plan = mx.Mixer("mixup", k=3).plan(rows)
    embedded = mx.mixed_logits(nets[1], codes, replace(plan, layer="embedding"))
    torch.testing.assert_close(embedded, mx.mixed_logits(nets[0], rows, plan))


def test_codes_that_were_mixed_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x must hold whole codes .* layers=\['embedding'\]"):
        train(CODES, tabular.TableNet(CODES.columns, 2, form="codes"), mx.Mixer("mixup"), epochs=1)


@pytest.mark.parametrize("name", tabular.SETS)
def test_networks_and_trees_learn_every_table(name) -> None:
    problem = tabular.load(name).smaller(100)
    model = tabular.TableNet(problem.columns, len(problem.classes))
    train(problem, model, mx.Mixer("mixup", k=5), epochs=25)
    chance = float(torch.bincount(problem.test[1]).max()) / len(problem.test[1])
    for predictions in (predict(problem, model), tabular.boosted_trees(problem)):
        assert predictions.correct.double().mean() > chance + 0.05


def test_a_table_is_shown_in_a_line() -> None:
    assert repr(CODES) == "Problem('table', 1,400 training and 600 test examples, 2 classes)"


def test_trees_take_codes_as_categories() -> None:
    assert tabular.boosted_trees(CODES).correct.double().mean() > 0.7


def test_trees_know_classes_that_their_rows_lack() -> None:
    digits = tabular.load("digits")
    odd = digits.train[1] % 2 == 1
    some = replace(digits, train=tuple(part[odd] for part in digits.train))
    seen = tabular.boosted_trees(some)
    assert seen.num_classes == 10
    assert not seen.probs[:, ::2].any()
    assert seen[digits.test[1] % 2 == 1].correct.double().mean() > 0.9


def test_a_blended_row_in_words() -> None:
    columns = tabular.Columns(("age",), (("home", ("single", "married")), ("work", ("farm", "none"))))
    rows = columns.one_hot(torch.tensor([[1.0, 1, 0], [0.0, 0, 0]]))
    words = columns.describe(0.6 * rows[0] + 0.4 * rows[1])
    assert words == {"age": "+0.60", "home": "0.4 single, 0.6 married", "work": "farm"}


HOME = tabular.Columns(("age",), (("home", ("single", "married")),))
TWO = torch.tensor([0, 1])


def table(*rows: list[float], form: str = "codes", y: torch.Tensor = TWO) -> tabular.TableProblem:
    """Of its training rows; the test rows are good ones."""
    return tabular.TableProblem(
        "t", "s", (torch.tensor(rows), y), (torch.zeros(2, 2), TWO), ("a", "b"), columns=HOME, form=form
    )


test_refused = each_refused(
    (lambda: table([0.5, 1.0], [0.0, 2.0]), "x of train must hold codes of 'home' from 0 to 1, got 1 to 2"),
    (lambda: table([0.5, 1.0], [0.0, -1.0]), "x of train must hold codes of 'home' from 0 to 1, got -1 to 1"),
    (lambda: table([0.5, 1.0], [0.0, float("nan")]), "x of train must hold whole codes of categories, got nan"),
    (lambda: table([0.5, 1.0], [0.0, 0.0], form="one_hot"), r"x of train must be rows \[batch, 3\] in form 'one_hot'"),
    (lambda: table([0.5, 1.0], [0.0, 0.0], form="code"), "form must be one of 'one_hot', 'codes'"),
    (lambda: tabular.boosted_trees(table([0.5, 1.0], [0.0, 0.0], y=0 * TWO)), "problem must have two classes among"),
    (lambda: HOME.describe(torch.tensor([0.5, 1.0])), r"row must be rows \[batch, 3\] in form 'one_hot'"),
    (lambda: tabular.load("adult"), "name must be one of 'people', 'wine'"),
    (lambda: tabular.load(form="embedded"), "form must be one of 'one_hot', 'codes'"),
    (lambda: tabular.load(test_share=1), "test_share must be"),
    (
        lambda: tabular.TableNet(CODES.columns, 2, form="codes")(ONE_HOT.test[0]),
        r"x must be rows \[batch, 6\] in form 'codes', got",
    ),
    (lambda: tabular.TableNet(CODES.columns, 2)(CODES.test[0]), r"x must be rows \[batch, 15\] in form 'one_hot', got"),
    (lambda: tabular.boosted_trees(CODES.train), "problem must be a TableProblem"),
)
