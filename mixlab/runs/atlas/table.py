"""The runs of the atlas as a table: choose some, compare two settings, see them listed."""

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from mixlab import _check
from mixlab.calibration.intervals import Interval, mean_interval
from mixlab.runs.atlas.atlas_run import SETTINGS, AtlasRun
from mixlab.runs.atlas.file import HERE, read

_MOST_ROWS = 20  # of a table that is shown
_PAIRED = ("data", "images", "model", "epochs", "seed")  # two runs that are alike in these make a pair


def atlas(path: str | os.PathLike[str] | None = None) -> "Atlas":
    """The runs that come with mixlab, or those of another file that `make atlas` has written.

        recorded = mx.atlas()
        few = recorded.where(data="cifar10", images=500, epochs=30)
        few.difference("ece", {"variant": "mixup", "alpha": 1.0, "k": 1}, {"variant": "none"})

    Args:
        path: names a file (default: the one that is installed with mixlab).

    Raises:
        TypeError: path is no path.
        FileNotFoundError: there is no such file.
        AtlasError: it is no atlas, or damaged.
    """
    try:
        return Atlas(read(HERE if path is None else Path(path)))
    except TypeError:
        raise TypeError(f"path must be a path, got {_check.shown(path)}") from None


class Atlas(Sequence[AtlasRun]):
    """Finished runs, which nothing changes; TypeError unless `runs` are AtlasRuns."""

    def __init__(self, runs: Iterable[AtlasRun]) -> None:
        self._runs = tuple(runs)
        for run in self._runs:
            if not isinstance(run, AtlasRun):
                raise TypeError(f"runs must be AtlasRuns, as mx.atlas gives them, got {_check.shown(run)}")

    @overload
    def __getitem__(self, index: int) -> AtlasRun: ...
    @overload
    def __getitem__(self, index: slice) -> "Atlas": ...
    def __getitem__(self, index: int | slice) -> "AtlasRun | Atlas":
        return Atlas(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def values(self, setting: str) -> list[Any]:
        """The values that a setting has among these runs, in order; α of runs that do not mix is left out."""
        _check.choice("setting", setting, SETTINGS)
        return sorted({getattr(run, setting) for run in self._runs} - {None})

    def where(self, **settings: Any) -> "Atlas":
        """The runs with these settings; a list or a range of values takes all of them.

        Raises ValueError for an unknown setting, and for a value that no run of the table has.
        """
        left = list(self._runs)
        for name, wanted in settings.items():
            _check.choice("a setting", name, SETTINGS)
            allowed = list(wanted) if isinstance(wanted, (list, tuple, range, set)) else [wanted]
            known = {getattr(run, name) for run in self._runs}
            if not allowed:
                raise ValueError(f"{name} must name a value or more, got {_check.shown(wanted)}")
            for value in allowed:
                if value not in known:
                    has = ", ".join(map(repr, sorted(known - {None})))
                    raise ValueError(f"{name} must be one of {has}, which the runs have, got {_check.shown(value)}")
            left = [run for run in left if getattr(run, name) in allowed]
        return Atlas(left)

    def interval(self, metric: str, *, tempered: bool = False, n_bins: int = 15, level: float = 0.95) -> Interval:
        """The mean of a metric over these runs with Student's interval: n is the number of runs, such as of seeds.

        Raises ValueError if there are fewer than two.
        """
        return mean_interval([run.value(metric, tempered=tempered, n_bins=n_bins) for run in self._runs], level)

    def difference(
        self,
        metric: str,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        *,
        tempered: bool = False,
        n_bins: int = 15,
        level: float = 0.95,
    ) -> Interval:
        """A metric of the runs `where(**first)` less that of `where(**second)`, with Student's interval over pairs.

        Two runs are a pair if data, images, model, epochs and seed are the same, so far as both sides leave them open.

        Raises:
            ValueError: settings as in `where`; ones that leave several runs for a pair; fewer than two pairs.
        """
        both = []
        for name, chosen in (("first", first), ("second", second)):
            paired = [setting for setting in _PAIRED if setting not in first or setting not in second]
            values: dict[Any, float] = {}
            for run in self.where(**chosen):
                key = tuple(getattr(run, setting) for setting in paired)
                if key in values:
                    raise ValueError(
                        f"{name} must name all settings but those of pairs ({', '.join(_PAIRED)}), got {dict(chosen)}, "
                        f"which has several runs for {dict(zip(paired, key, strict=True))}"
                    )
                values[key] = run.value(metric, tempered=tempered, n_bins=n_bins)
            both.append(values)
        shared = sorted(both[0].keys() & both[1].keys())
        if len(shared) < 2:
            raise ValueError(
                f"first and second must have two pairs of runs or more, got {len(shared)} of {dict(first)} and "
                f"{dict(second)}"
            )
        return mean_interval([both[0][key] - both[1][key] for key in shared], level)

    def __repr__(self) -> str:
        lines = [f"Atlas of {len(self):,} runs"]
        lines += [f"  {name}: {', '.join(map(str, self.values(name)))}" for name in SETTINGS]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        columns = (*SETTINGS, "accuracy", "NLL", "ECE", "ECE, tempered", "seconds", "forwards")
        head = "".join(f'<th scope="col">{name}</th>' for name in columns)
        body = ""
        for run in self._runs[:_MOST_ROWS]:
            cells = ["–" if value is None else str(value) for value in run.settings.values()]
            cells += [f"{run.value(name):.3f}" for name in ("accuracy", "nll", "ece")]
            cells += [f"{run.value('ece', tempered=True):.3f}", f"{run.seconds:.0f}", f"{run.forwards:,}"]
            body += f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        rest = f"<p>and {len(self) - _MOST_ROWS:,} more</p>" if len(self) > _MOST_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"
