"""What a comparison comes to: numbers with intervals, tables, and the recommendation."""

import html
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mixlab.calibration.intervals import Interval
from mixlab.calibration.table import Table
from mixlab.comparison.contenders import BASELINE
from mixlab.comparison.page import write_page
from mixlab.comparison.recommendation import Recommendation, best_of, listed, recommended
from mixlab.comparison.scores import QUANTITIES, Difference, Scores, corrected_level, difference, means, scores_of
from mixlab.comparison.training import Trained
from mixlab.data.dataset import Dataset
from mixlab.mixing.mixer import Mixer
from mixlab.plots.comparison import numbers_of
from mixlab.plots.table import table
from mixlab.training.trainer import Trainer


class Comparison:
    """Mixers compared on one data set, as `mixlab.compare` gives it; it shows itself in a notebook.

    Attributes:
        data: is the Dataset.
        mixers: maps names to mixers, "none" first.
        seeds: are those that were asked for.
        runs: maps (name, seed) to the finished Run.
        left: maps (name, seed) of each run that is not finished to how far it is; the same call resumes it.
        failed: maps (name, seed) of each run that cannot be trained to why.
        by: is the quantity that decides.
        model, settings, picked: are the model's name, the settings of all runs, and the machine's part in them.
        given: are those of the settings that the call gave or that suit the data, as `compare` takes them.
    """

    def __init__(
        self,
        data: Dataset,
        mixers: Mapping[str, Mixer],
        seeds: Sequence[int],
        result: Trained,
        trainer: Trainer,
        *,
        model: str,
        given: Mapping[str, Any],
        by: str,
    ) -> None:
        self.data, self.mixers, self.seeds, self.by, self.model = data, dict(mixers), tuple(seeds), by, model
        self.given = dict(given)
        self.runs, self.left, self.failed = result.runs, result.left, result.failed
        self.settings = {name: value for name, value in trainer.settings.items() if name != "seed"}
        self.picked = trainer.picked
        self.level = corrected_level(len(mixers) - 1)

    @cached_property
    def scores(self) -> dict[str, dict[int, Scores]]:
        """The numbers of each finished run, by mixer and seed."""
        return {
            name: {seed: scores_of(self.runs[name, seed]) for seed in self.seeds if (name, seed) in self.runs}
            for name in self.mixers
        }

    @cached_property
    def means(self) -> dict[str, dict[str, Interval]]:
        """For each mixer with two finished runs or more, the mean of each quantity over its seeds, 95% intervals."""
        return {name: means([*scores.values()]) for name, scores in self.scores.items() if len(scores) > 1}

    @cached_property
    def differences(self) -> dict[str, dict[str, Difference]]:
        """For each quantity, each mixer's difference to no mixing, paired by seed."""
        return {quantity: self._differences(quantity, BASELINE) for quantity in QUANTITIES}

    def _differences(self, quantity: str, other: str) -> dict[str, Difference]:
        theirs, differences = self.scores[other], {}
        for name, mine in self.scores.items():
            seeds = [seed for seed in self.seeds if seed in mine and seed in theirs]
            if name != other and len(seeds) > 1:
                pair = [[scores[seed] for seed in seeds] for scores in (mine, theirs)]
                differences[name] = difference(quantity, pair[0], pair[1], self.level)
        return differences

    @cached_property
    def recommendation(self) -> Recommendation:
        """Which mixer to use. One whose training failed for some seed is not recommended."""
        broken = {name for name, _ in self.failed}
        to_none = {name: seen for name, seen in self.differences[self.by].items() if name not in broken}
        to_none = {} if BASELINE in broken else to_none
        to_best = self._differences(self.by, best_of(self.by, to_none)) if to_none else {}
        return recommended(self.by, to_none, {name: to_best[name] for name in to_none if name in to_best})

    def table(self) -> Table:
        """A row for each mixer with two finished runs or more: means and 95% intervals over its seeds.

        Raises ValueError if there is none.
        """
        return _table(self.means)

    def difference_table(self) -> Table:
        """A row for each mixer: its differences to no mixing, with intervals at the corrected level.

        Raises ValueError if none has two seeds in common with no mixing.
        """
        return _table(
            {
                name: {quantity: self.differences[quantity][name].interval for quantity in QUANTITIES}
                for name in self.differences[self.by]
            }
        )

    @property
    def remarks(self) -> list[str]:
        """What qualifies the recommendation, a sentence each."""
        sentences = [*self.recommendation.remarks]
        if self.left:
            done = [f"{sum((name, seed) in self.runs for seed in self.seeds)} of {name}" for name in self.mixers]
            sentences.append(
                f"The time ended first; the same call goes on from there. Of {len(self.seeds)} runs of each mixer are "
                f"finished: {listed(done)}."
            )
        sentences += [f"{name} with seed {seed} failed: {why}." for (name, seed), why in self.failed.items()]
        plain = sum(not one.scaled for scores in self.scores.values() for one in scores.values())
        if plain:
            sentences.append(
                f"{plain} of {len(self.runs)} runs have no best temperature (all answers of a half are right, or they "
                "are no better than chance): what is said after temperature is as before."
            )
        return sentences

    def page(self, path: str | os.PathLike[str], command: str | None = None) -> None:
        """Write all this as one HTML page that needs no network: for light, dark and narrow screens.

        Args:
            path: is the file to write.
            command: is what to type to repeat it, where that is not Python.

        Raises:
            TypeError, ValueError: path is none, or not in a folder that exists.
            OSError: the file cannot be written.
        """
        write_page(self, path, command)

    def __repr__(self) -> str:
        shown = [str(self.table())] if self.means else []
        return "\n".join([self.recommendation.sentence, *self.remarks, *shown])

    def _repr_html_(self) -> str:
        sentences = [f"<p><strong>{html.escape(self.recommendation.sentence)}</strong></p>"]
        sentences += [f"<p>{html.escape(line)}</p>" for line in self.remarks]
        return "".join([*sentences, self.table()._repr_html_() if self.means else ""])


def _table(intervals: Mapping[str, Mapping[str, Interval]]) -> Table:
    """A row for each mixer; the numbers of a column have the same digits."""
    columns = {}
    for name, quantity in QUANTITIES.items():
        column = [row[name] for row in intervals.values()]
        numbers = (f"{one:.1f}".replace("-", "−") for one in column)
        columns[quantity.heading] = [*numbers] if name == "seconds" or not column else numbers_of(*column)
    return table(
        {"mixer": name, "seeds": row["nll"].n} | {heading: column[place] for heading, column in columns.items()}
        for place, (name, row) in enumerate(intervals.items())
    )
