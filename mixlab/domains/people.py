"""Generated people: numbers and categories, and whether each bought something, by a rule and chance."""

import numpy as np
import torch
from torch import Tensor

from mixlab.domains.columns import Columns

_HOME = ("single", "married", "divorced")
_WORK = ("office", "workshop", "school", "farm", "none")
_REGION = ("north", "east", "south", "west")
_URGE = np.array([[1.2, -1.0, 0.2, 0.8], [-1.2, 1.4, 0.6, -0.4], [0.2, 0.4, -1.4, 0.6]])  # of home and region
_PEOPLE = 2000


def people() -> tuple[Tensor, Tensor, Columns, tuple[str, ...]]:
    """2,000 rows, float64 [N, 6]: age in years, income in thousands, hours of work a week; codes of home, work, region.

    Whether somebody bought depends on age and income together, on home and region together, and on chance: about a
    tenth of the labels are not what the rule says.

    Returns:
        The rows; int64 [N], 1 for those who bought; the columns; the names of the classes.
    """
    stream = np.random.default_rng(0)
    age = stream.uniform(18, 80, _PEOPLE)
    home = np.where(stream.random(_PEOPLE) < 0.8, (age > 30) + stream.integers(0, 2, _PEOPLE), 0)
    work, region = stream.integers(0, len(_WORK), _PEOPLE), stream.integers(0, len(_REGION), _PEOPLE)
    hours = np.where(work == 4, 0, stream.normal(38, 6, _PEOPLE))
    pay = np.array([9, 4, 5, 0, 0])[work]
    income = (12 + 0.5 * hours + 0.2 * age + pay) * stream.lognormal(0, 0.35, _PEOPLE)
    score = 1.5 * np.sin(age / 9) + 0.06 * (income - 40) + 1.5 * _URGE[home, region]
    bought = stream.random(_PEOPLE) < 1 / (1 + np.exp(-2.5 * score))
    columns = Columns(("age", "income", "hours"), (("home", _HOME), ("work", _WORK), ("region", _REGION)))
    rows = torch.from_numpy(np.stack([age, income, hours, home, work, region], 1))
    return rows, torch.from_numpy(bought.astype(np.int64)), columns, ("did not buy", "bought")
