"""A problem of any domain: training and test examples with their labels, and where they come from."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from mixlab import _check

P = TypeVar("P", bound="Problem")


@dataclass(frozen=True, eq=False)
class Problem:
    """Examples to learn from and to be tested on; yours, too.

        Problem("birds", "our own recordings", (x, y), (test_x, test_y), ("crow", "owl"))

    `divided` makes one of examples without a test set, `text.from_sentences` of sentences. `graphs.packed` makes x of
    graphs, and `tabular.TableProblem` holds tables that have categories.

    Attributes:
        name: is short, for pictures and tables.
        source: says who collected the data, with its terms; or that it is a generated stand-in.
        train, test: are (x, y) each. x is a tensor whose first axis is the examples, or anything else with a length for
            which x[rows], rows int64 [B], is such a tensor [B, ...]: what a network takes. y is int64 [N] class labels,
            or finite float [N] numbers to be predicted.
        classes: are the names of the classes; None where y is numbers.

    Raises:
        TypeError, ValueError: labels that do not fit the examples, or the classes; no examples.
    """

    name: str
    source: str
    train: tuple[Any, Tensor]
    test: tuple[Any, Tensor]
    classes: tuple[str, ...] | None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = getattr(self, part)
            name = f"labels of {part}"
            if len(x) == 0:
                raise ValueError(f"{part} must hold at least one example, got none")
            if self.classes is not None:
                _check.class_labels(name, y, batch=len(x), classes=len(self.classes))
            elif not isinstance(y, Tensor) or not y.is_floating_point() or y.shape != (len(x),):
                raise TypeError(f"{name} must be a float tensor of shape [{len(x)}], got {_check.shown(y)}")
            elif not bool(y.isfinite().all()):
                raise ValueError(f"{name} must be finite, got NaN or infinity")

    def __repr__(self) -> str:
        what = "numbers" if self.classes is None else f"{len(self.classes)} classes"
        return (
            f"Problem({self.name!r}, {len(self.train[1]):,} training and {len(self.test[1]):,} test examples, {what})"
        )

    def smaller(self: P, size: int, seed: int = 0) -> P:
        """The problem with `size` of its training examples, drawn by `seed`; the test examples stay.

        A larger part of the same seed holds the smaller ones.
        """
        x, y = self.train
        size = _check.integer("size", size, 2, len(y))
        rows = shuffled(len(y), seed)[:size]
        return replace(self, train=(x[rows], y[rows]))


def divided(
    name: str,
    source: str,
    x: Any,
    y: Tensor,
    classes: tuple[str, ...] | None,
    *,
    test_share: float = 0.25,
    seed: int = 0,
) -> Problem:
    """A problem of examples without an official test set: `test_share` of them, drawn by `seed`, are for tests.

    Raises ValueError if x and y have different lengths, and what `Problem` raises.
    """
    if len(x) != len(y):
        raise ValueError(f"y must hold one label for each of the {len(x)} examples of x, got {len(y)} labels")
    share = _check.number("test_share", test_share, 0.01, 0.99)
    rows = shuffled(len(y), seed)
    count = round(share * len(y))
    train, test = rows[count:], rows[:count]
    return Problem(name, source, (x[train], y[train]), (x[test], y[test]), classes)


def shuffled(count: int, seed: int) -> Tensor:
    """The numbers from 0 to `count` - 1 in an order drawn by `seed`, int64 [count] on the CPU."""
    stream = torch.Generator("cpu").manual_seed(_check.integer("seed", seed, 0, _check.SEED_MAX))
    return torch.randperm(count, generator=stream, device="cpu")
