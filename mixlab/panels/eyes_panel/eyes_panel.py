"""The eyes panel: a person says how much of each image is in a blend; the answers against λ, with a fitted curve."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets

from mixlab import _check
from mixlab.data.dataset import Dataset
from mixlab.mixing.plan import MixPlan
from mixlab.panels.eyes_panel.log_odds import FEWEST, LogOddsLine, fit_log_odds, student
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.law import SEED_HIGH
from mixlab.panels.shared.pairs import Pairs, bytes_of, choose_pairs
from mixlab.panels.shared.panel import Checked, Panel
from mixlab.plots.style import BLUE, INK, PALE_BLUE, PAPER, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 0.01, 0.99  # what the slider can say: log-odds have no 0 and no 1
_GRID = np.linspace(0.01, 0.99, 99)


def _answers(name: str, value: Any) -> list[float]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list of shares from {LOWEST} to {HIGHEST}, got {_check.shown(value)}")
    return [_check.number(name, share, LOWEST, HIGHEST) for share in value]


class EyesPanel(Panel):
    """See `eyes_panel`. The trait answers follows the person, and sets the panel."""

    _esm = module("eyes_panel/eyes_panel.js")
    _css = styles("mx-eyes", "eyes_panel/eyes_panel.css")
    _images = traitlets.Bytes().tag(sync=True)  # [pairs, H, W, 3]
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # H, W
    _names: traitlets.List[list[str]] = traitlets.List().tag(sync=True)  # for each blend, the classes of x and x′
    _lam: traitlets.List[float] = traitlets.List().tag(sync=True)  # the true shares of x
    _student: traitlets.List[float] = traitlets.List().tag(sync=True)  # the 97.5% quantiles for 3, 4, ... answers
    answers = Checked([], _answers)

    def __init__(self, pairs: Pairs, lam: list[float], keep: Path | None, whose: str) -> None:
        self.lam = lam
        self.images = blends(pairs, lam)
        self._keep, self._whose = keep, whose
        names = [list(pair) for pair in pairs.names]
        sent = {"_images": self.images.tobytes(), "_size": list(pairs.size), "_names": names, "_lam": lam}
        quantiles = [student(answers) for answers in range(FEWEST, len(lam) + 1)]
        super().__init__(**sent, _student=quantiles, answers=self._kept())
        self.observe(lambda _: self._write(), names="answers")

    @traitlets.validate("answers")
    def _not_too_many(self, proposal: Any) -> list[float]:
        answers: list[float] = proposal["value"]
        if len(answers) > len(self.lam):
            raise ValueError(f"answers must hold at most one for each of {len(self.lam)} blends, got {len(answers)}")
        return answers

    @property
    def fit(self) -> LogOddsLine | None:
        """The line through the answers in log-odds, or None while there are fewer than three."""
        seen = self.answers
        return fit_log_odds(self.lam[: len(seen)], seen) if len(seen) >= FEWEST else None

    def describe(self) -> str:
        """The answers and what they say, in words."""
        given, line = len(self.answers), self.fit
        if not given:
            return "No answers were given. The dashed diagonal is what mixup assumes: eyes see the share λ."
        if line is None:
            return f"{given} of {len(self.lam)} answers; a curve takes {FEWEST}. The diagonal is what mixup assumes."
        off = 100 * np.abs(np.subtract(self.answers, self.lam[:given])).mean()
        slope = f"{line.slope.value:.2f} [{line.slope.low:.2f}, {line.slope.high:.2f}]"
        if line.slope.low > 1:
            lean = "above 1: these eyes exaggerate the larger part"
        elif line.slope.high < 1:
            lean = "below 1: these eyes even the two parts out"
        else:
            lean = "an interval containing 1, which is what mixup assumes"
        return (
            f"{given} of {len(self.lam)} answers, {off:.0f} points from λ on average. "
            f"The slope in log-odds is {slope}, {lean}."
        )

    def figure(self) -> "Figure":
        """The answers against λ, the fitted curve with its interval, and the diagonal."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.2, 4.6), layout="constrained", facecolor=PAPER)
        ax = figure.add_subplot()
        ax.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1.2, label="what mixup assumes")
        line = self.fit
        if line is not None:
            low, middle, high = line.curve(_GRID.tolist())
            ax.fill_between(_GRID, low, high, color=PALE_BLUE, label="95% interval of the curve")
            ax.plot(_GRID, middle, color=BLUE, linewidth=2, label="fitted curve")
        ax.plot(self.lam[: len(self.answers)], self.answers, "o", color=VERMILION, clip_on=False, label="your answers")
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="λ, the share of x", ylabel="the share of x you saw")
        ax.legend(loc="upper left", fontsize=9)
        ax.set_label(self.describe())
        return figure

    def _write(self) -> None:
        if self._keep is not None:
            self._keep.write_text(json.dumps({"of": self._whose, "lam": self.lam, "answers": self.answers}), "utf-8")

    def _kept(self) -> list[float]:
        """The answers in the file, if they are to these blends."""
        if self._keep is None or not self._keep.exists():
            return []
        kept = json.loads(self._keep.read_text("utf-8"))
        return _answers("answers", kept["answers"]) if (kept["of"], kept["lam"]) == (self._whose, self.lam) else []


def blends(pairs: Pairs, lam: list[float]) -> np.ndarray:
    """Each pair's λ x + (1 − λ) x′ as the mixer rounds it, uint8 [pairs, H, W, 3]."""
    n = len(lam)
    both = pairs.images.transpose(0, 1).flatten(0, 1)  # every x, then every x′
    weights = torch.tensor([*lam, *lam], dtype=torch.float32, device="cpu")[None]
    plan = MixPlan("mixup", torch.arange(2 * n, device="cpu").roll(n), weights, weights)
    return bytes_of(plan.apply(both)[:n])


def eyes_panel(data: Dataset, pairs: int = 20, seed: int = 0, *, keep: str | Path | None = None) -> EyesPanel:
    """A panel that asks how much of each image a person sees in a blend, and compares the answers with λ.

    mixup's label says that a blend is as much of each class as λ says. Collins et al. ("Human-in-the-Loop Mixup", UAI
    2023) asked 159 people, and found that what they see does not consistently agree with it.

    Args:
        data: what `mixlab.load` returns; the blends are of training images of two classes where there are two.
        pairs: how many blends are shown, 3 to 64, their λs spread evenly over (0, 1) and shuffled.
        seed: which pairs, λs and order.
        keep: a JSON file for the answers, read again when the same panel is made; nothing is sent anywhere. By default
            the answers live as long as the widget.

    Returns:
        A widget. Its `answers` are the shares of x given so far, each from 0.01 to 0.99; `.lam` are the true shares,
        `.fit` the LogOddsLine through the answers, `.figure()` their picture.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    seed = _check.integer("seed", seed, 0, SEED_HIGH)
    chosen = choose_pairs(data, _check.integer("pairs", pairs, FEWEST, 64), seed, None)
    g = torch.Generator().manual_seed(seed)
    places = torch.randperm(pairs, generator=g, device="cpu") + torch.rand(
        pairs, generator=g, dtype=torch.float64, device="cpu"
    )
    lam = (LOWEST + (HIGHEST - LOWEST) * places / pairs).tolist()
    return EyesPanel(chosen, lam, None if keep is None else Path(keep), f"{data.name}, seed {seed}")
