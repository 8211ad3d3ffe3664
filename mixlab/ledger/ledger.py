"""The ledger: every claim with its verdict, and one level for all intervals that allows for their number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from matplotlib.axes import Axes

from mixlab import _check
from mixlab.ledger.claim import Claim, Effect
from mixlab.ledger.claims import CLAIMS
from mixlab.ledger.own_runs import comparable
from mixlab.ledger.picture import plot_claims, plot_settings
from mixlab.ledger.verdict import WORDS, Verdict, is_decided, judged, mean_of
from mixlab.runs import Run
from mixlab.runs.atlas import Atlas

Measured = Sequence[float] | Mapping[int, Sequence[float]]


class Ledger(Mapping[str, Verdict]):
    """The verdicts on all claims, by their keys.

        ledger = Ledger(mx.atlas(), mx.runs())
        ledger["ece"].why
        ledger.plot()

    With so many claims, some intervals miss the truth by chance. So of all claims that are decided, one in twenty on
    average, at most, is decided wrongly: if R of the m that are measured are decided, all intervals have the level
    1 − 0.05 R/m, for the largest R for which that comes out (Benjamini and Hochberg, JRSS B 1995; for intervals
    Benjamini and Yekutieli, JASA 2005; proved for claims that do not depend on each other, and for some that do). Exact
    claims do not count. "Holds only where" comes from the settings of a claim, which share its level among them; the
    share above does not promise for it.

    Args:
        runs: are recorded runs, such as those of `mixlab.atlas`.
        own: are runs of your own, such as those of `mixlab.runs`, which are taken up as `comparable` says.
        measured: has, by the key of a claim, what was measured without a table of runs: a number for each pair, or such
            numbers by how many epochs were trained.
        rate: is the share of wrong decisions that is allowed, at least 0.01.

    Attributes:
        runs: are all runs that it rests on.
        level: is that of the intervals.

    Raises:
        TypeError, ValueError: no Atlas, no runs, or measurements of a claim that is not in the ledger.
    """

    def __init__(
        self,
        runs: Atlas,
        own: Iterable[Run] = (),
        measured: Mapping[str, Measured] | None = None,
        *,
        rate: float = 0.05,
    ) -> None:
        if not isinstance(runs, Atlas):
            raise TypeError(f"runs must be an Atlas, as mx.atlas gives it, got {_check.shown(runs)}")
        claims = {claim.key: claim for claim in CLAIMS}
        for key in measured or {}:
            _check.choice("a key of measured", key, claims)
        held = {run.id for run in runs}
        self.runs = Atlas([*runs, *(run for run in comparable(own) if run.id not in held)])
        effects = {key: _effects(claim, self.runs, (measured or {}).get(key)) for key, claim in claims.items()}
        self.level = _level(claims, effects, _check.number("rate", rate, 0.01, 0.5))
        self._verdicts = {key: judged(claim, effects[key], self.level) for key, claim in claims.items()}

    def __getitem__(self, key: str) -> Verdict:
        """The verdict on a claim; KeyError, which names the nearest, if there is none of this name."""
        try:
            return self._verdicts[_check.choice("a claim", key, self._verdicts)]
        except ValueError as error:
            raise KeyError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._verdicts)

    def __len__(self) -> int:
        return len(self._verdicts)

    def counts(self) -> dict[str, int]:
        """How many claims have each verdict."""
        words = [verdict.word for verdict in self._verdicts.values()]
        return {word: words.count(word) for word in dict.fromkeys(words)}

    def plot(self, keys: Iterable[str] | None = None, ax: Axes | None = None) -> Axes:
        """A line for each claim that is measured, or for some, by verdict: its interval beside the claimed range."""
        wanted = [self[key] for key in (self if keys is None else keys)]
        measured = [verdict for verdict in wanted if verdict.interval is not None]
        return plot_claims(sorted(measured, key=lambda verdict: WORDS.index(verdict.word)), ax)

    def plot_settings(self, key: str, ax: Axes | None = None) -> Axes:
        """One claim, for each value of each setting by itself, upon the claimed range."""
        return plot_settings(self[key], ax)

    def __repr__(self) -> str:
        return f"Ledger of {len(self)} claims: " + ", ".join(f"{n} {word}" for word, n in self.counts().items())

    def _repr_html_(self) -> str:
        return "".join(verdict.entry() for verdict in self._verdicts.values())


def _effects(claim: Claim, runs: Atlas, measured: Measured | None) -> list[Effect]:
    lengths = measured if isinstance(measured, Mapping) else {None: measured or ()}
    alone = [
        Effect(float(value), {"seed": place, "epochs": epochs})
        for epochs, values in lengths.items()
        for place, value in enumerate(values)
    ]
    return alone + (claim.effects(runs) if claim.effects else [])


def _level(claims: Mapping[str, Claim], effects: Mapping[str, Sequence[Effect]], rate: float) -> float:
    tested = [key for key, claim in claims.items() if not claim.exact and mean_of(effects[key], 0.95) is not None]
    for count in range(len(tested), 0, -1):
        level = 1 - rate * count / len(tested)
        if sum(is_decided(claims[key], effects[key], level) for key in tested) >= count:
            return level
    return 1 - rate / max(len(tested), 1)
