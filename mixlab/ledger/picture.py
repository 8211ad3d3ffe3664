"""The ledger as a picture: a line for each claim, its interval beside the claimed range, each on its own scale."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from mixlab.ledger.verdict import REFUTED, SPLIT, SUPPORTED, Verdict
from mixlab.plots.comparison import plot_intervals
from mixlab.plots.style import BLUE, GRAY, GREEN, INK, PALE_BLUE, PAPER, VERMILION, axes_and_ink, describe, plain

_LOOKS = {SUPPORTED: (BLUE, "o"), REFUTED: (VERMILION, "X"), SPLIT: (GREEN, "D")}
_REACH = 1.25  # the axis ends here; what is farther out is cut, with an arrow


def plot_claims(verdicts: Sequence[Verdict], ax: Axes | None = None) -> Axes:
    """A line for each verdict with an interval, from the top: the claimed range as a band, the interval upon it.

    Every line has its own scale, on which 0 is no difference and the farthest of its ends has length 1; the numbers
    with their unit stand at the right. The mark says the verdict: supported (●), refuted (×), holds only where (◆), or
    undecided (○).

    Raises:
        ValueError: no verdicts.
    """
    if not verdicts:
        raise ValueError("verdicts must hold at least one with an interval, got none")
    ax, ink = axes_and_ink(ax, (5.6, 1.1 + 0.29 * len(verdicts)))
    words = []
    for row, verdict in enumerate(verdicts):
        claim, part = verdict.claim, verdict.interval
        assert part is not None
        scale = max(abs(end) for end in (part.low, part.high, claim.low, claim.high) if math.isfinite(end)) or 1.0
        low, high = (max(-_REACH, min(end / scale, _REACH)) for end in (claim.low, claim.high))
        ax.barh(row, max(high - low, 0.02), left=low, height=0.72, color=PALE_BLUE, alpha=0.6, linewidth=0)
        color, mark = _LOOKS.get(verdict.word, (GRAY, "o"))
        ends = [part.low / scale, part.high / scale]
        ax.plot(ends, [row, row], color=color, linewidth=2.5, solid_capstyle="butt")
        face = color if verdict.word in _LOOKS else PAPER
        ax.plot(part.value / scale, row, mark, color=color, markerfacecolor=face, markersize=7)
        words.append(verdict.measured)
        place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5, "color": ink}
        ax.annotate(plain(words[-1]), (1, row), xycoords=ax.get_yaxis_transform(), annotation_clip=False, **place)
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_yticks(range(len(verdicts)), [plain(f"{verdict.claim.key}: {verdict.word}") for verdict in verdicts])
    ax.set_ylim(len(verdicts) - 0.5, -0.5)
    ax.set_xlim(-_REACH, _REACH)
    ax.set_xticks([0], ["no difference"])
    level = verdicts[0].interval.level if verdicts[0].interval else 0.95
    ax.set_xlabel(
        f"band: what is claimed; bar: what was measured, {100 * level:.1f}% intervals; each line its own scale"
    )
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    said = zip(verdicts, words, strict=True)
    return describe(ax, f"Claims: {'; '.join(f'{v.claim.key} {v.word}, {w}' for v, w in said)}.")


def plot_settings(verdict: Verdict, ax: Axes | None = None) -> Axes:
    """A verdict's interval and those of single settings, upon the claimed range.

    Raises:
        ValueError: a claim that is not measured.
    """
    claim, whole = verdict.claim, verdict.interval
    if whole is None:
        raise ValueError(f"verdict must have an interval, got {verdict.word!r} for {claim.key}")
    ax = plot_intervals({"all": whole, **verdict.groups}, ax, quantity=claim.quantity, reference=0.0)
    left, right = ax.get_xlim()
    low, high = max(claim.low, left), min(claim.high, right)
    if low < high:
        ax.axvspan(low, high, color=PALE_BLUE, alpha=0.5, linewidth=0, zorder=0)
    ax.set_xlim(left, right)
    ax.set_xlabel(f"{claim.quantity}; band: claimed; {100 * whole.level:.1f}% intervals, the settings' together")
    return describe(ax, f"{claim.text} Claimed: {claim.claimed}. {ax.get_label()}")
