"""Tables: columns of numbers and of categories, a small network, and gradient-boosted trees as its peer.

What may be mixed: numbers, and categories as one-hot columns, where a blend is 0.6 of one and 0.4 of another, which
nobody is; or what an embedding makes of categories, and hidden states. Codes of categories cannot be mixed: code 1 is
not between codes 0 and 2.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.calibration.predictions import Predictions
from mixlab.domains.columns import FORMS, Columns
from mixlab.domains.people import people
from mixlab.domains.problem import Problem, divided

SETS = {
    "people": "2,000 people who bought or did not: numbers and categories, generated",
    "wine": "178 wines of three growers, 13 numbers (UCI, in scikit-learn)",
    "cancer": "569 tumors, 30 numbers (Wisconsin, in scikit-learn)",
    "digits": "1,797 digits of 64 gray values (UCI, in scikit-learn)",
}


@dataclass(frozen=True, eq=False, repr=False)
class TableProblem(Problem):
    """A Problem of rows, float32 [N, ...] in `form`: "one_hot", or "codes", where categories are whole numbers.

    Numbers have a mean of 0 and a deviation of 1 over the whole table's training rows.
    """

    columns: Columns
    form: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.choice("form", self.form, FORMS)
        for part in ("train", "test"):
            self.columns.check(f"x of {part}", getattr(self, part)[0], self.form)


def load(name: str = "people", *, form: str = "one_hot", test_share: float = 0.3, seed: int = 0) -> TableProblem:
    """A table that ships with scikit-learn, or a generated one of numbers and categories.

    Args:
        name: is a key of SETS.
        form: is one of FORMS, and says how categories are written.
        test_share: is the share of the rows that become the test set.
        seed: draws which.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
        ImportError: scikit-learn is needed and not installed.
    """
    _check.choice("name", name, SETS)
    _check.choice("form", form, FORMS)
    if name == "people":
        rows, y, columns, classes = people()
        source = "generated, as no table of people may be shipped"
    else:
        rows, y, columns, classes = _of_scikit_learn(name)
        source = f"scikit-learn's load_{name}, from the UCI repository (CC BY 4.0)"
    plain = divided("table", source, rows, y, classes, test_share=test_share, seed=seed)
    middle, spread = plain.train[0].mean(0), plain.train[0].std(0)
    spread[spread == 0] = 1  # a pixel may always be white
    middle[len(columns.numbers) :], spread[len(columns.numbers) :] = 0, 1
    scaled = [((part - middle) / spread).float() for part, _ in (plain.train, plain.test)]
    train, test = (columns.one_hot(part) if form == "one_hot" else part for part in scaled)
    return TableProblem("table", source, (train, plain.train[1]), (test, plain.test[1]), classes, columns, form)


def _of_scikit_learn(name: str) -> tuple[Tensor, Tensor, Columns, tuple[str, ...]]:
    from sklearn import datasets

    data = {"wine": datasets.load_wine, "cancer": datasets.load_breast_cancer, "digits": datasets.load_digits}[name]()
    rows, y = torch.from_numpy(data.data).double(), torch.from_numpy(data.target).long()
    return rows, y, Columns(tuple(map(str, data.feature_names))), tuple(map(str, data.target_names))


class TableNet(nn.Module):
    """An embedding of the categories, two hidden layers of 64, and a read-out.

    Args:
        columns: are those of the table.
        num_classes: is the number of logits.
        form: is that of the rows. In "one_hot" the layer "embedding" is linear without a bias; in "codes" it looks up
            the same vectors.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("input", "embedding", "block1", "block2")

    def __init__(self, columns: Columns, num_classes: int, *, form: str = "one_hot", seed: int = 0) -> None:
        super().__init__()
        num_classes = _check.integer("num_classes", num_classes, 2)
        with spared(_check.integer("seed", seed, 0, _check.SEED_MAX)), usual_defaults():
            self.embedding = Embedding(columns, form)
            self.block1 = nn.Sequential(nn.Linear(self.embedding.width, 64), nn.ReLU())
            self.block2 = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of rows [B, ...] of its form."""
        logits: Tensor = self.head(self.block2(self.block1(self.embedding(x))))
        return logits


class Embedding(nn.Module):
    """Rows of either form as numbers alone: those of the row, and a vector of `SIZE` for each column of categories."""

    SIZE = 4

    def __init__(self, columns: Columns, form: str) -> None:
        super().__init__()
        self.columns, self.form = columns, _check.choice("form", form, FORMS)
        self.vectors = nn.ParameterList(torch.randn(len(values), self.SIZE) for _, values in columns.categories)
        self.width = len(columns.numbers) + self.SIZE * len(columns.categories)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] of rows [B, ...].

        Raises:
            ValueError: rows of the other form, or codes that `Columns.check` refuses, such as those of mixed rows.
        """
        if self.form == "codes":
            x = self.columns.one_hot(x)
        else:
            self.columns.check("x", x, self.form)
        parts, first = [x[:, : len(self.columns.numbers)]], len(self.columns.numbers)
        for vectors in self.vectors:
            parts.append(x[:, first : first + len(vectors)] @ vectors)
            first += len(vectors)
        return torch.cat(parts, 1)


def boosted_trees(problem: TableProblem, seed: int = 0) -> Predictions:
    """What gradient-boosted trees say of the test rows: scikit-learn's HistGradientBoostingClassifier, as it comes.

    On most tables of this size trees are ahead of networks (Grinsztajn et al., "Why do tree-based models still
    outperform deep learning on typical tabular data?", NeurIPS 2022).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not isinstance(problem, TableProblem) or problem.classes is None:
        raise TypeError(f"problem must be a TableProblem with classes, as load gives it, got {_check.shown(problem)}")
    (x, y), (test_x, test_y) = problem.train, problem.test
    if bool((y == y[0]).all()):
        raise ValueError(f"problem must have two classes among its training rows, got {problem.classes[y[0]]!r} alone")
    first = len(problem.columns.numbers) if problem.form == "codes" else x.shape[1]
    categorical: Any = list(range(first, x.shape[1]))
    trees = HistGradientBoostingClassifier(categorical_features=categorical, random_state=seed)
    trees.fit(x.numpy(), y.numpy())
    probs = torch.zeros(len(test_y), len(problem.classes), dtype=torch.float64, device="cpu")
    probs[:, trees.classes_] = torch.from_numpy(trees.predict_proba(test_x.numpy()))  # 0 for classes not in training
    return Predictions.from_probs(probs, test_y, problem.classes)
