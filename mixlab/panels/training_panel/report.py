"""What the training panel says of its runs: sentences, and the numbers that the browser draws."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mixlab.calibration.reliability import Reliability
from mixlab.panels.shared.session import Result
from mixlab.training.record import Record

_POINTS = 300  # of the loss curve, sent to the browser


@dataclass(frozen=True)
class Settings:
    """What a run is started with; `prediction` is the test accuracy that the learner expects, if any."""

    variant: str
    alpha: float
    k: int
    images: int
    epochs: int
    seed: int
    prediction: float | None = None

    @property
    def mixing(self) -> str:
        """The mixing in words: "mixup, α = 0.4, K = 1"."""
        return "no mixing" if self.variant == "none" else f"{self.variant}, α = {self.alpha:.3g}, K = {self.k}"


Run = Result[Settings, Record]


def status(result: Result[Any, Any] | None, examples: str = "images") -> str:
    """Where a run stands, and what the store has to do with it; `examples` is what it trains on."""
    if result is None:
        return "Say what you expect, choose, and press Start."
    return " ".join(words for words in (_stand(result, examples), result.origin, result.unkept) if words)


def _stand(result: Result[Any, Any], examples: str) -> str:
    if result.phase == "preparing":
        return f"Preparing the {examples} and the model."
    of = f"epoch {result.epoch:.2f} of {result.settings.epochs}" if result.steps else "the first batch"
    if result.phase == "training":
        pace = (
            f", {result.images_per_second:,.0f} {examples}/s, {_duration(result.seconds_left)} left"
            if result.step
            else ""
        )
        return f"Training: {of}{pace}."
    if result.phase == "paused":
        return f"Paused after batch {result.step:,} of {result.steps:,}, {of}."
    if result.phase == "finished":
        epochs = f"{result.settings.epochs} epoch{'s' if result.settings.epochs > 1 else ''}"
        seconds = _duration(result.records[-1].seconds)
        pace = f"trained at {result.images_per_second:,.0f} {examples}/s"
        return f"Finished: {epochs} in {seconds} with the measuring; {pace}."
    if result.phase == "stopped" and result.kept:
        return f"Stopped at {of}; Start, with the same settings, resumes after epoch {result.kept:g}."
    end = "Stopped" if result.phase == "stopped" else "Failed"
    return f"{end} at {of}; what was measured until then is kept."


def outcome(result: Run) -> str:
    """The learner's prediction beside the test accuracy that a run at rest reached."""
    if result.active or not result.records:
        return ""
    record = result.records[-1]
    (low, high), said = _interval(record.reliability, "accuracy"), result.settings.prediction
    when = "" if result.phase == "finished" else f" by epoch {record.epoch:g}"
    reached = f"it reached {record.test_accuracy:.2f}{when} (95% interval {low:.3f} to {high:.3f})"
    if said is None:
        return f"You made no prediction; {reached}."
    gap = record.test_accuracy - said
    if low <= said <= high:
        return f"You said {said:.2f}, {reached}: as you said."
    return f"You said {said:.2f}, {reached}: {abs(gap):.2f} {'higher' if gap > 0 else 'lower'} than you said."


def calibration(rel: Reliability) -> str:
    """Confidence beside accuracy, and the ECE with its interval, in words."""
    low, high = _interval(rel, "ece")
    says, lean = rel.bins().mean_confidence_and_lean()
    return f"says {says:.2f}, is right in {rel.accuracy():.2f} ({lean}); ECE {rel.ece():.3f} ({low:.3f} to {high:.3f})."


def view(result: Run | None, previous: Run | None, trouble: str = "") -> dict[str, Any]:
    """All that the browser shows of a session, as JSON."""
    words, verdict, news = status(result), outcome(result) if result else "", ""
    if result is not None and result.phase == "training":
        news = (
            f"Epoch {result.records[-1].epoch:g}: test accuracy {result.records[-1].test_accuracy:.2f}."
            if result.records
            else ""
        )
    return {
        "phase": result.phase if result else "idle",
        "settings": vars(result.settings) if result else {},
        "status": words,
        "verdict": verdict,
        "news": news,
        "alert": trouble or (result.error if result else ""),
        "picked": f"Picked: {result.picked}" if result and result.picked else "",
        "progress": result.step / result.steps if result and result.steps else 0,
        "runs": [_curves(run) for run in (result, previous) if run],
    }


def diagrams(run: Run) -> list[dict[str, Any]]:
    """The reliability diagrams of all evaluations of a run, as JSON."""
    return [_diagram(record.reliability) for record in run.records]


def _curves(run: Run) -> dict[str, Any]:
    every = 1 + len(run.losses) // _POINTS
    return {
        "name": run.settings.mixing,
        "size": f"{run.settings.images:,} images, seed {run.settings.seed}",
        "epochs": run.settings.epochs,
        "prediction": run.settings.prediction,
        "accuracy": [[record.epoch, record.test_accuracy] for record in run.records],
        "loss": [*run.losses[:-1:every], *run.losses[-1:]],
        "diagram": _diagram(run.records[-1].reliability) if run.records else None,
    }


@lru_cache(maxsize=4)
def _diagram(rel: Reliability) -> dict[str, Any]:
    """What reliability_diagram.js draws, and the words below it."""
    bins = rel.bins()
    edges, counts = bins.edges.tolist(), bins.count.tolist()
    rows = zip(edges, edges[1:], counts, bins.confidence.tolist(), bins.accuracy.tolist(), strict=False)
    names = ("low", "high", "count", "confidence", "accuracy")
    confidence, lean = bins.mean_confidence_and_lean()
    return {
        "bins": [dict(zip(names, row, strict=True)) for row in rows if row[2]],
        "counts": counts,
        "confidence": confidence,
        "accuracy": rel.accuracy(),
        "lean": lean,
        "ece": rel.ece(),
        "words": calibration(rel),
    }


@lru_cache(maxsize=8)
def _interval(rel: Reliability, metric: str) -> tuple[float, float]:
    interval = rel.interval(metric)
    return interval.low, interval.high


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
