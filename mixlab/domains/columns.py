"""The columns of a table: their names, one-hot form, and words for a row that was blended."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlab import _check

FORMS = ("one_hot", "codes")  # how the categories of a row are written


@dataclass(frozen=True)
class Columns:
    """The columns of a table: numbers first, then categories.

    Attributes:
        numbers: are the names of the columns of numbers.
        categories: are (name, values) of each column of categories.
    """

    numbers: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def one_hot(self, x: Tensor) -> Tensor:
        """Rows of numbers and codes [N, columns] with each code as a one-hot row: [N, numbers + values].

        Raises as `check` does.
        """
        self.check("x", x, "codes")
        count = len(self.numbers)
        codes = [
            functional.one_hot(x[:, count + place].long(), len(values)).to(x.dtype)
            for place, (_, values) in enumerate(self.categories)
        ]
        return torch.cat([x[:, :count], *codes], 1)

    def check(self, name: str, x: object, form: str) -> None:
        """Raise unless these are rows [N, ...] of this table in one of the FORMS.

        Raises:
            TypeError, ValueError: rows of another width; codes that are no whole numbers, such as those of blended
                rows or of missing values; codes that stand for no value, such as that of a new category.
        """
        first = len(self.numbers)
        sizes = [1 if form == "codes" else len(values) for _, values in self.categories]
        wanted = f"rows [batch, {first + sum(sizes)}] in form {form!r}"
        rows = _check.tensor(name, x, wanted)
        if rows.ndim != 2 or rows.shape[1] != first + sum(sizes):
            raise ValueError(f"{name} must be {wanted}, got {_check.shown(rows)}")
        if form != "codes":
            return
        codes = rows[:, first:]
        whole = codes == codes.round()
        if not bool(whole.all()):
            raise ValueError(
                f"{name} must hold whole codes of categories, got {float(codes[~whole][0]):g}. Codes cannot be mixed: "
                "mix what the embedding makes of them, as by Mixer('manifold', layers=['embedding']), or rows in form "
                "'one_hot'"
            )
        for (column, values), own in zip(self.categories, codes.T, strict=True):
            _check.below(name, own, len(values), f"codes of {column!r}")

    def describe(self, row: Tensor) -> dict[str, str]:
        """A row in one-hot form in words, such as {"age": "+0.31", "home": "0.6 married, 0.4 single"}."""
        self.check("row", row[None], "one_hot")
        words = {name: f"{float(value):+.2f}".replace("-", "−") for name, value in zip(self.numbers, row, strict=False)}
        first = len(self.numbers)
        for name, values in self.categories:
            shares = row[first : first + len(values)].tolist()
            words[name] = ", ".join(
                value if share > 0.995 else f"{share:.2g} {value}"
                for value, share in zip(values, shares, strict=True)
                if share > 0.005
            )
            first += len(values)
        return words
