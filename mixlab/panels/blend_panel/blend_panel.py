"""The blend panel: λ moves between two examples that are no images: voices, time series, rows, sentences."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import traitlets
from matplotlib.colors import to_hex
from torch import Tensor

from mixlab import _check
from mixlab.domains.spectrogram import RATE
from mixlab.panels.blend_panel.sounds import STOPS, blended_spectrograms, blended_waves, check_waves, sounds
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import Checked, Panel
from mixlab.plots.style import BLUE, GRAY, HEAT, PAPER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WAVES, SPECTROGRAMS = "two voices, blended as waves", "two voices, blended as spectrograms"
Words: TypeAlias = Callable[[float], Mapping[str, str]]
"""Says in words what lies at a λ: a line for each part."""


class BlendPanel(Panel):
    """See `blend_panel`. The traits `lam` and `view` follow the controls, and move them."""

    _esm = module("blend_panel/blend_panel.js")
    _css = styles("mx-blend", "blend_panel/blend_panel.css")
    _heat = traitlets.List(traitlets.Unicode(), [to_hex(HEAT(i / 8)) for i in range(9)]).tag(sync=True)
    _views: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _pictures = traitlets.Bytes().tag(sync=True)  # heat of each view with sounds, uint8 [views, STOPS, bands, frames]
    _sounds = traitlets.Bytes().tag(sync=True)  # their waves, int16 little-endian [views, STOPS, T]
    lam = Checked(0.6, lambda name, value: round(_check.number(name, value, 0, 1), 1))

    view = Checked(None, lambda name, value: value)  # noqa: ARG005  # _named looks at it

    def __init__(self, views: list[dict[str, Any]], heard: list[Any], lam: float) -> None:
        self.heard = heard
        super().__init__(
            _views=views,
            _pictures=b"".join(each.heat.tobytes() for each in heard),
            _sounds=b"".join(each.waves.astype("<i2").tobytes() for each in heard),
            lam=lam,
            view=views[0]["name"],
        )

    @traitlets.validate("view")
    def _named(self, proposal: Any) -> str:
        return _check.choice("view", proposal["value"], [view["name"] for view in self._views])

    @property
    def stop(self) -> int:
        """λ in tenths."""
        return round(float(self.lam) * (STOPS - 1))

    @property
    def _shown(self) -> dict[str, Any]:
        return next(view for view in self._views if view["name"] == self.view)

    def describe(self) -> str:
        """λ and what lies there, as far as words can say it."""
        view = self._shown
        said = f"{view['name']}: {self.lam:.1f} of the first and {1 - self.lam:.1f} of the second."
        if view["kind"] != "words":
            return said
        return f"{said} {'; '.join(f'{part}: {words}' for part, words in view['rows'][self.stop])}."

    def figure(self) -> "Figure":
        """The spectrogram, the lines or the words at this λ."""
        from matplotlib.figure import Figure

        figure, view = Figure(figsize=(7, 2.8), layout="constrained", facecolor=PAPER), self._shown
        ax = figure.add_subplot()
        if view["kind"] == "sound":
            heat = self.heard[view["place"]].heat[self.stop]
            ax.imshow(
                heat,
                cmap=HEAT,
                vmin=0,
                vmax=255,
                origin="lower",
                aspect="auto",
                extent=(0, view["seconds"], 0, len(heat)),
            )
            ax.set(xlabel="seconds", ylabel="mel band")
        elif view["kind"] == "lines":
            a, b = view["lines"]
            ax.plot(a, ":", color=GRAY, label="the first")
            ax.plot(b, "--", color=GRAY, label="the second")
            ax.plot([self.lam * x + (1 - self.lam) * y for x, y in zip(a, b, strict=True)], color=BLUE, label="blend")
            ax.set(xlabel="time", ylabel="value")
            ax.legend()
        else:
            ax.axis("off")
            ax.table([list(row) for row in view["rows"][self.stop]], loc="center", cellLoc="left", edges="open")
        ax.set_label(self.describe())
        return figure


def blend_panel(
    *,
    waves: tuple[Tensor, Tensor] | None = None,
    lines: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    words: Mapping[str, Words] | None = None,
    lam: float = 0.6,
) -> BlendPanel:
    """A panel in which λ moves between two examples that are no images, in tenths.

        mx.panels.blend_panel(waves=(one, other), lines={"two bells": (early, late)})

    Voices are drawn as log-mel spectrograms and played, blended as waves and blended as spectrograms, for which a wave
    is looked for; each as loud as it can be. What is heard, drawn and read at each λ is computed before.

    Args:
        waves: are two recordings, float32 [T] at 8 kHz.
        lines: are two series [T] each, by name.
        words: are functions from λ to words, by name: a line for each part, such as a column of a table.
        lam: is where the slider stands at first, 0 to 1; it is the share of the first example.

    Returns:
        A widget. Its `lam` and `view` follow the controls.

    Raises:
        TypeError, ValueError: nothing to blend, or something else than two waves or two series; the message names it.
    """
    views: list[dict[str, Any]] = []
    heard = []
    if waves is not None:
        pair = check_waves(waves)
        heard = [sounds(blended(*pair)) for blended in (blended_waves, blended_spectrograms)]
        size: dict[str, float] = {
            "bands": heard[0].heat.shape[1],
            "frames": heard[0].heat.shape[2],
            "samples": len(pair[0]),
        }
        size |= {"seconds": len(pair[0]) / RATE, "rate": RATE}
        views += [{"name": name, "kind": "sound", "place": i} | size for i, name in enumerate((WAVES, SPECTROGRAMS))]
    for name, series in (lines or {}).items():
        views.append({"name": name, "kind": "lines", "lines": _check_lines(name, series)})
    for name, say in (words or {}).items():
        rows = [[list(row) for row in say(stop / (STOPS - 1)).items()] for stop in range(STOPS)]
        views.append({"name": name, "kind": "words", "rows": rows})
    if not views:
        raise ValueError("waves, lines or words must be given, got none of them")
    return BlendPanel(views, heard, lam)


def _check_lines(name: str, series: object) -> list[list[float]]:
    wanted = f"lines[{name!r}] must be two series [T] of one length, got "
    if not isinstance(series, tuple) or len(series) != 2 or not all(isinstance(part, Tensor) for part in series):
        raise TypeError(wanted + _check.shown(series))
    a, b = series
    if a.ndim != 1 or len(a) < 2 or a.shape != b.shape:
        raise ValueError(f"{wanted}{_check.shown(a)} and {_check.shown(b)}")
    return [a.tolist(), b.tolist()]
