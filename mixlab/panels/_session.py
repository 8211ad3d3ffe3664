"""One training at a time, in a thread of its own, which is told to pause and stop between batches. No display in it."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from torch import nn

TICK = 0.25  # seconds between two reports of a run at work

Phase = Literal["preparing", "training", "paused", "finished", "stopped", "failed"]


S = TypeVar("S")  # what a run is started with
R = TypeVar("R")  # what an evaluation gives
R_co = TypeVar("R_co", covariant=True)


class Training(Protocol[R_co]):
    """What a run needs of its trainer; see `mixlab.Trainer`, which is one."""

    picked: str
    batch_size: int
    steps: int
    steps_per_epoch: int
    step_count: int

    @property
    def model(self) -> nn.Module: ...

    @property
    def done(self) -> bool: ...

    @property
    def epoch(self) -> float: ...

    @property
    def loss_so_far(self) -> tuple[float, int]: ...

    def step(self) -> None: ...

    def evaluate(self) -> R_co: ...


@dataclass(frozen=True)
class Result(Generic[S, R]):
    """Where a run stands: a snapshot that never changes.

    Attributes:
        settings: what it was started with.
        phase: "preparing", "training", "paused", "finished", "stopped" or "failed".
        picked: what the trainer picked for this machine, and why.
        step, steps, epoch: batches done, batches in all, passes over the training images so far.
        records: the evaluations, at epoch 0 and after each epoch.
        losses: (epoch, mean training loss in nats since the point before), some four times a second.
        images_per_second: training images taken from the data, evaluations and pauses not counted; NaN at first.
        seconds_left: at the present rate, evaluations included; NaN at first.
        error: what went wrong, if it failed.
    """

    settings: S
    phase: Phase = "preparing"
    picked: str = ""
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    records: tuple[R, ...] = ()
    losses: tuple[tuple[float, float], ...] = ()
    images_per_second: float = math.nan
    seconds_left: float = math.nan
    error: str = ""

    @property
    def active(self) -> bool:
        """Whether it can still be paused, resumed and stopped."""
        return self.phase in ("preparing", "training", "paused")


class _Stopped(Exception):  # noqa: N818  # nothing is wrong
    """Raised in the training thread to leave a batch or an evaluation."""


class _Job(Generic[S, R]):
    """One run and its thread."""

    def __init__(self, settings: S, build: Callable[[S], Training[R]], changed: Callable[[], Any]) -> None:
        self.result: Result[S, R] = Result(settings)
        self.trainer: Training[R] | None = None
        self.exception: Exception | None = None
        self._build, self._changed = build, changed
        self._wake = threading.Condition()
        self._allowed = 0.0  # batches that it may take before it pauses
        self._stop = threading.Event()
        self._said = 0.0
        self._marked = (0.0, 0)
        self._training_seconds = self._evaluation_seconds = 0.0
        self._thread = threading.Thread(target=self._work, name="mixlab training", daemon=True)

    def begin(self, batches: float) -> None:
        self._allowed = batches
        self._changed()
        self._thread.start()

    def allow(self, batches: float) -> None:
        with self._wake:
            self._allowed = batches
            self._wake.notify()

    def stop(self) -> None:
        """Come back when the thread has ended: within a batch."""
        self._stop.set()
        with self._wake:
            self._wake.notify()
        self._thread.join()

    def join(self) -> None:
        self._thread.join()

    def _work(self) -> None:
        phase: Phase = "finished"
        try:
            self._train()
        except _Stopped:
            phase = "stopped"
        except Exception as error:  # noqa: BLE001  # whatever a learner's model raises belongs in the panel
            self.exception, phase = error, "failed"
        told = f"{type(self.exception).__name__}: {self.exception}" if self.exception else ""
        self._say(phase=phase, error=told)

    def _train(self) -> None:
        trainer = self.trainer = self._build(self.result.settings)
        self._say(phase="training", picked=trainer.picked, steps=trainer.steps)
        # Every batch passes through the model, those of an evaluation too: there the Event is looked at.
        hook = trainer.model.register_forward_pre_hook(lambda *_: self._leave_if_stopped())
        try:
            self._evaluate(trainer)
            while not trainer.done:
                self._wait_for_leave()
                began = time.perf_counter()
                trainer.step()
                self._training_seconds += time.perf_counter() - began
                if trainer.step_count % trainer.steps_per_epoch == 0:
                    self._evaluate(trainer)
                elif time.perf_counter() - self._said >= TICK:
                    self._mark_loss(trainer)
                    self._say(**self._progress(trainer))
        finally:
            hook.remove()
            self._mark_loss(trainer)
            self.result = replace(self.result, **self._progress(trainer))

    def _leave_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _wait_for_leave(self) -> None:
        """Wait until a batch may be taken."""
        if self._allowed < 1 and not self._stop.is_set():
            assert self.trainer is not None
            self._mark_loss(self.trainer)
            self._say(phase="paused", **self._progress(self.trainer))
        with self._wake:
            self._wake.wait_for(lambda: self._allowed >= 1 or self._stop.is_set())
            self._allowed -= 1
        self._leave_if_stopped()
        if self.result.phase == "paused":
            self._say(phase="training")

    def _evaluate(self, trainer: Training[R]) -> None:
        self._mark_loss(trainer)
        began = time.perf_counter()
        record = trainer.evaluate()
        self._evaluation_seconds = time.perf_counter() - began
        self._marked = (0.0, 0)
        self.result = replace(self.result, records=(*self.result.records, record))
        if time.perf_counter() - self._said >= TICK:
            self._say(**self._progress(trainer))

    def _mark_loss(self, trainer: Training[R]) -> None:
        """Add the mean loss since the last mark to the curve."""
        total, count = trainer.loss_so_far
        earlier, before = self._marked
        if count > before and math.isfinite(total):
            point = (trainer.epoch, (total - earlier) / (count - before))
            self.result = replace(self.result, losses=(*self.result.losses, point))
            self._marked = (total, count)

    def _progress(self, trainer: Training[R]) -> dict[str, Any]:
        done, left = trainer.step_count, trainer.steps - trainer.step_count
        progress: dict[str, Any] = {"step": done, "epoch": trainer.epoch}
        if done:
            seconds = self._training_seconds / done
            evaluations = math.ceil(left / trainer.steps_per_epoch)
            progress["images_per_second"] = trainer.batch_size / seconds
            progress["seconds_left"] = left * seconds + evaluations * self._evaluation_seconds
        return progress

    def _say(self, **news: Any) -> None:
        self.result = replace(self.result, **news)
        self._said = time.perf_counter()
        self._changed()


_commands = threading.RLock()  # widget callbacks may come on any thread; one command at a time


class Session(Generic[S, R]):
    """Start, pause, step, stop: the state machine behind the panels that train.

    At most one run is at work in the process: a start stops and joins the one before, of whichever session.

    Args:
        build: makes the trainer of a run; called in the training thread.
        changed: called whenever `result` is another one, in the training thread or the one that gave the command;
            at most every TICK seconds but for changes of phase.
    """

    _latest: ClassVar[_Job[Any, Any] | None] = None  # the run that was started last, whichever session's it is

    def __init__(self, build: Callable[[S], Training[R]], changed: Callable[[], Any] = lambda: None) -> None:
        self._build, self._changed = build, changed
        self._job: _Job[S, R] | None = None
        self.previous: Result[S, R] | None = None

    @property
    def result(self) -> Result[S, R] | None:
        """The latest run as it stands; None before the first."""
        return None if self._job is None else self._job.result

    @property
    def trainer(self) -> Training[R] | None:
        """The trainer of the latest run, with its model."""
        return None if self._job is None else self._job.trainer

    def start(self, settings: S, *, batches: float = math.inf) -> None:
        """Start a run, and pause it after so many batches. The run before, if it took a step, becomes `previous`."""
        with _commands:
            if Session._latest is not None:
                Session._latest.stop()
            if self.result is not None and self.result.step:
                self.previous = self.result
            self._job = Session._latest = _Job(settings, self._build, self._changed)
            self._job.begin(batches)

    def pause(self) -> None:
        """Take no further batch until `resume`, `step` or `stop`."""
        self._allow(0)

    def resume(self) -> None:
        """Go on after a pause."""
        self._allow(math.inf)

    def step(self, settings: S) -> None:
        """Take one batch of the paused run; where no run is at work, start one and take its first batch."""
        with _commands:
            if self.result is not None and self.result.active:
                self._allow(1)
            else:
                self.start(settings, batches=1)

    def stop(self) -> None:
        """End the run within a batch; its result, trainer and model stay."""
        with _commands:
            if self._job is not None:
                self._job.stop()
        self._changed()

    def reset(self) -> None:
        """Stop, and forget both runs."""
        with _commands:
            self.stop()
            self._job = self.previous = None
        self._changed()

    def run(self, settings: S) -> Result[S, R]:
        """Start a run and wait for its end. What it raised is raised again, with the partial result kept."""
        self.start(settings)
        job = self._job
        assert job is not None
        job.join()
        if job.exception is not None:
            raise job.exception
        return job.result

    def _allow(self, batches: float) -> None:
        with _commands:
            if self._job is not None:
                self._job.allow(batches)
