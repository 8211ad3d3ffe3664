"""The columns of a table: their names, one-hot form, and words for a row that was blended."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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
        """Rows of numbers and codes [N, columns] with each code as a one-hot row: [N, numbers + values]."""
        count = len(self.numbers)
        codes = [
            functional.one_hot(x[:, count + place].long(), len(values)).to(x.dtype)
            for place, (_, values) in enumerate(self.categories)
        ]
        return torch.cat([x[:, :count], *codes], 1)

    def describe(self, row: Tensor) -> dict[str, str]:
        """A row in one-hot form in words, such as {"age": "+0.31", "home": "0.6 married, 0.4 single"}."""
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
