"""The calibration panel: runs before and after a change of temperature; bins and estimators follow the drag.

numbers.js computes all of it in the browser, from logits that are sent once; numbers.py is its oracle.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import traitlets

from mixlab import _check
from mixlab.calibration.calibration_error import BINS
from mixlab.calibration.predictions import Predictions, check_predictions
from mixlab.calibration.recalibration import fit_temperature
from mixlab.mixing.beta import lambda_moments
from mixlab.panels.calibration_panel.numbers import ESTIMATORS, Numbers, Run
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import AnsweringPanel, Checked, alpha_trait

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUNS_HIGH = 6
ROWS_HIGH = 20_000
NUMBERS_HIGH = 4_000_000  # logits of all runs together: 16 MB
SCALINGS = ("temperature", "fit", "alpha")
WORDS = {name: estimator.label for name, estimator in ESTIMATORS.items()}


@dataclass(frozen=True)
class Settings:
    """The values of the controls; see `calibration_panel`."""

    run: str
    other: str | None = None
    overlaid: bool = False
    n_bins: int = 15
    bins: str = "width"
    estimator: str = "ece"
    scaling: str = "temperature"
    temperature: float = 1.0
    alpha: float = 1.0


class CalibrationPanel(AnsweringPanel):
    """See `calibration_panel`. Its traits follow the controls, at release, and move them."""

    _esm = module("calibration_panel/calibration_panel.js")
    _css = styles("mx-calibration", "shared/charts.css", "calibration_panel/calibration_panel.css")
    _needs_kernel = traitlets.Bool(False).tag(sync=True)  # without one the intervals are those of the first settings
    asks = ("run", "other", "n_bins", "bins", "estimator", "scaling", "temperature", "alpha")
    _runs: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _logits = traitlets.Bytes().tag(sync=True)  # of all runs, one after the other, float32
    _labels = traitlets.Bytes().tag(sync=True)  # likewise, int32
    _estimators = traitlets.Dict(WORDS).tag(sync=True)
    run = Checked(None, lambda name, value: value)  # noqa: ARG005  # _named looks at it
    other = Checked(None, lambda name, value: value)  # noqa: ARG005
    overlaid = Checked(False, _check.flag)
    n_bins = Checked(15, lambda name, value: _check.integer(name, value, 1, 100))
    bins = Checked("width", lambda name, value: _check.choice(name, value, BINS))
    estimator = Checked("ece", lambda name, value: _check.choice(name, value, ESTIMATORS))
    scaling = Checked("temperature", lambda name, value: _check.choice(name, value, SCALINGS))
    temperature = Checked(1.0, lambda name, value: _check.number(name, value, 0.25, 4))
    alpha = alpha_trait()

    def __init__(self, runs: list[Run], settings: Settings) -> None:
        self._tables = {run.name: run for run in runs}
        self._last: tuple[Settings | None, dict[str, tuple[Numbers, Numbers]]] = (None, {})
        meta = [
            {"name": run.name, "rows": len(run.table), "classes": run.table.shape[1]}
            | {"probs": run.probs, "fitted": run.fitted}
            for run in runs
        ]
        super().__init__(
            _runs=meta,
            _logits=b"".join(run.table.numpy().tobytes() for run in runs),
            _labels=b"".join(run.labels.int().numpy().tobytes() for run in runs),
            **vars(settings),
        )

    @traitlets.validate("run", "other")
    def _named(self, proposal: Any) -> str | None:
        name, value = proposal["trait"].name, proposal["value"]
        return None if name == "other" and value is None else _check.choice(name, value, self._tables)

    def temperature_of(self, run: str) -> float:
        """The temperature in force for a run, by `scaling`: the slider's, the fitted one (1 without), or θ̄(alpha)."""
        return self._temperature(self._tables[_check.choice("run", run, self._tables)], Settings(**self.state))

    def numbers(self) -> dict[str, tuple[Numbers, Numbers]]:
        """For each run on show the numbers before (T = 1) and after, float64, with 95% intervals of the estimate."""
        return self._measure(Settings(**self.state))

    def answer(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The intervals of the estimate, before and after, of one run on show after the other."""
        both = [numbers.estimate for pair in self._measure(Settings(**wanted)).values() for numbers in pair]
        return {"intervals": [[interval.low, interval.high] for interval in both]}, b""

    def describe(self) -> str:
        """The runs on show, before and after, in words."""
        kind = f"{self.n_bins} bins of equal {self.bins}" if self.n_bins > 1 else "one bin"
        return " ".join([*(self._sentence(name, *pair) for name, pair in self.numbers().items()), f"In {kind}."])

    def figure(self) -> "Figure":
        """The reliability diagrams: before and after, a row for each run on show."""
        from matplotlib.figure import Figure

        from mixlab.plots.reliability_diagram import draw_bins
        from mixlab.plots.style import INK, plain

        numbers = self.numbers()
        figure = Figure(figsize=(8.5, 0.4 + 3.7 * len(numbers)), layout="constrained")
        axes = figure.subplots(len(numbers), 2, squeeze=False)
        for row, (name, pair) in zip(axes, numbers.items(), strict=True):
            for place, when, one in zip(row, ("before", "after"), pair, strict=True):
                _, bins = self._tables[name].bins(one.temperature, self.bins, self.n_bins)
                draw_bins(place, bins, INK)
                place.set_xlabel("confidence")
                words = f"{name}, {when}: T = {one.temperature:.2f}\n{WORDS[self.estimator]} {one.estimate.value:.3f}"
                place.set_title(plain(words), loc="left", fontsize=10)
        return figure

    def _measure(self, settings: Settings) -> dict[str, tuple[Numbers, Numbers]]:
        settings = replace(settings, overlaid=False)  # which changes no number
        if self._last[0] != settings:  # words, picture and answer all ask
            how = (settings.bins, settings.n_bins, settings.estimator)
            names = dict.fromkeys(name for name in (settings.run, settings.other) if name is not None)
            runs = [self._tables[name] for name in names]
            pairs = [(run.measure(1.0, *how), run.measure(self._temperature(run, settings), *how)) for run in runs]
            self._last = (settings, dict(zip(names, pairs, strict=True)))
        return dict(self._last[1])

    def _temperature(self, run: Run, settings: Settings) -> float:
        if settings.scaling == "fit":
            return 1.0 if run.fitted is None else run.fitted
        return lambda_moments(settings.alpha).theta_bar if settings.scaling == "alpha" else settings.temperature

    def _sentence(self, name: str, before: Numbers, after: Numbers) -> str:
        return (
            f"{name}: right in {before.accuracy:.2f}, says {before.confidence:.2f} ({before.lean}); "
            f"at T = {after.temperature:.2f} it says {after.confidence:.2f} ({after.lean}). "
            f"{WORDS[self.estimator]}: {before.estimate.value:.3f} → {after.estimate.value:.3f}."
        )


def _prepare(name: str, predictions: Predictions) -> Run:
    p = predictions.cpu()
    if len(p) > ROWS_HIGH:
        raise ValueError(
            f"runs must hold at most {ROWS_HIGH:,} predictions each, to follow a drag in the browser, got {len(p):,} "
            f"in {name!r}; take some of the rows, as p[:{ROWS_HIGH}] does"
        )
    table = p.probs if p.given_logits is None else p.given_logits
    try:
        fitted = fit_temperature(p).value
    except ValueError:  # the best temperature is 0 or infinite
        fitted = None
    return Run(name, table.float().contiguous(), p.labels, p.given_logits is None, fitted)


def _named_runs(runs: Any) -> dict[str, Predictions]:
    if isinstance(runs, Predictions):
        return {"predictions": runs}
    if not isinstance(runs, Mapping):
        raise TypeError(f"runs must be Predictions, or a mapping of names to Predictions, got {_check.shown(runs)}")
    if not 1 <= len(runs) <= RUNS_HIGH:
        raise ValueError(f"runs must hold 1 to {RUNS_HIGH} prediction sets, got {len(runs)}")
    for name, value in runs.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"runs must have words as names, got {_check.shown(name)}")
        check_predictions(value, f"runs[{name!r}]")
    return dict(runs)


def calibration_panel(
    runs: Predictions | Mapping[str, Predictions],
    *,
    run: str | None = None,
    other: str | None = None,
    overlaid: bool = False,
    n_bins: int = 15,
    bins: str = "width",
    estimator: str = "ece",
    scaling: str = "temperature",
    temperature: float = 1.0,
    alpha: float = 1.0,
) -> CalibrationPanel:
    """A panel in which predictions are calibrated by hand: reliability diagrams and numbers before and after.

    Bins are (low, high], and 0 belongs to the first; confidences are rounded to float32. The fitted temperature is the
    one of least NLL on these same predictions (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        runs: Predictions, or 1 to 6 of them by name; at most 20,000 rows each, and together at most 4,000,000 numbers
            (rows times classes).
        run: which is shown (default: the first).
        other: a second one to compare, or None.
        overlaid: two runs in one diagram, instead of side by side.
        n_bins: 1 to 100.
        bins: have equal "width" or equal "mass".
        estimator: one of "ece", "ece_l2", "mce", "debiased", "debiased_l1", "overconfidence", "underconfidence" and
            "reliability", as `mixlab.calibration.ESTIMATORS` describes them.
        scaling: what sets the temperature: the slider ("temperature"), the fit of each run ("fit"), or θ̄(alpha), the
            output half of test-time rescaling ("alpha"; Carratino et al. 2022, "On Mixup Regularization").
        temperature: 0.25 to 4, on a log slider.
        alpha: 0.01 to 100, on a log slider.

    Returns:
        A widget. Its traits, named as the arguments, follow the controls; `.numbers()` and `.temperature_of(run)` give
        what is on show.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    named = _named_runs(runs)
    total = sum(p.probs.numel() for p in named.values())
    if total > NUMBERS_HIGH:
        share = max(map(len, named.values())) * NUMBERS_HIGH // total
        raise ValueError(
            f"runs must hold at most {NUMBERS_HIGH:,} numbers (rows times classes, all runs), to follow a drag in the "
            f"browser, got {total:,}; take some of the rows of each, as p[:{share}] does"
        )
    prepared = [_prepare(name, p) for name, p in named.items()]
    run = next(iter(named)) if run is None else run
    settings = Settings(run, other, overlaid, n_bins, bins, estimator, scaling, temperature, alpha)
    return CalibrationPanel(prepared, settings)
