"""One training at a time, in a thread of its own, which is told to pause and stop between batches. No display in it."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

from torch import nn

from mixlab.panels.shared.course import Course, R, Training, looking

TICK = 0.25  # seconds between two reports of a run at work

Phase = Literal["preparing", "training", "paused", "finished", "stopped", "failed"]
S = TypeVar("S")  # what a run is started with
# Of a trainer, and a way to wait, which says a sentence meanwhile, makes the training as it is kept.
Keep = Callable[[Training[R], Callable[[str], None]], AbstractContextManager[Course[R]]]


@dataclass(frozen=True)
class Result(Generic[S, R]):
    """Where a run stands: a snapshot that never changes.

    Attributes:
        settings: what it was started with.
        phase: "preparing", "training", "paused", "finished", "stopped" or "failed".
        picked: what the trainer picked for this machine, and why.
        step, steps, epoch: batches done, batches in all, passes over the training images so far.
        records: the evaluations, at epoch 0 and after each epoch.
        losses: (epoch at the middle of some batches, their mean training loss in nats), from one point to the next,
            some four times a second; of epochs that were trained before, one each.
        images_per_second: training images taken from the data, evaluations and pauses not counted; NaN at first.
        seconds_left: at the present rate, evaluations included; NaN at first.
        origin: where it did not begin at its first batch, in a sentence: with epochs that were kept.
        kept: the epoch that a start with the same settings would go on from, or 0.
        unkept: why it is not kept although it should be, in a sentence.
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
    origin: str = ""
    kept: float = 0.0
    unkept: str = ""
    error: str = ""

    @property
    def active(self) -> bool:
        """Whether it can still be paused, resumed and stopped."""
        return self.phase in ("preparing", "training", "paused")


class _Stopped(Exception):  # noqa: N818  # nothing is wrong
    """Raised in the training thread to leave a batch or an evaluation."""


class _Job(Generic[S, R]):
    """One run and its thread."""

    def __init__(
        self, settings: S, build: Callable[[S], Training[R]], keep: Keep[R], changed: Callable[[], Any]
    ) -> None:
        self.result: Result[S, R] = Result(settings)
        self.trainer: Training[R] | None = None
        self.exception: Exception | None = None
        self._build, self._keep, self._changed = build, keep, changed
        self._wake = threading.Condition()
        self._allowed = 0.0  # batches that it may take before it pauses
        self._stop = threading.Event()
        self._said = 0.0
        self._marked = (0.0, 0)
        self._evaluation_seconds = 0.0
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

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        phase: Phase = "finished"
        try:
            with looking(self._look):
                self._train()
        except _Stopped:
            phase = "stopped"
        except Exception as error:  # noqa: BLE001  # whatever a learner's model raises belongs in the panel
            self.exception, phase = error, "failed"
        told = f"{type(self.exception).__name__}: {self.exception}" if self.exception else ""
        self._say(phase=phase, error=told)

    def _train(self) -> None:
        trainer = self.trainer = self._build(self.result.settings)
        self._say(picked=trainer.picked, steps=trainer.steps)
        began = time.perf_counter()
        untrained = trainer.evaluate()
        self._evaluation_seconds = time.perf_counter() - began
        self.result = replace(self.result, records=(untrained,))
        with self._keep(trainer, self._wait) as course:
            earlier = tuple((record.epoch - 0.5, record.train_loss) for record in course.records)
            news = {"records": (untrained, *course.records), "losses": earlier, "origin": course.origin}
            self._say(phase="training", **news, **self._progress(course))
            try:
                while not course.done:
                    self._wait_for_leave(course)
                    self._take(course)
            finally:
                self._mark_loss(course)
                self.result = replace(self.result, **self._progress(course))

    def _wait(self, words: str) -> None:
        """Let a moment pass in which nothing can be trained, and say why."""
        if self.result.origin != words:
            self._say(origin=words)
        if self._stop.wait(TICK):
            self.result = replace(self.result, origin="")
            raise _Stopped

    def _look(self, module: nn.Module) -> None:
        if self.trainer is not None and module is self.trainer.model:  # between two batches, not in the middle of one
            self._leave_if_stopped()

    def _leave_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _wait_for_leave(self, course: Course[R]) -> None:
        """Wait until a batch may be taken."""
        if self._allowed < 1 and not self._stop.is_set():
            self._mark_loss(course)
            self._say(phase="paused", **self._progress(course))
        with self._wake:
            self._wake.wait_for(lambda: self._allowed >= 1 or self._stop.is_set())
            self._allowed -= 1
        self._leave_if_stopped()
        if self.result.phase == "paused":
            self._say(phase="training")

    def _take(self, course: Course[R]) -> None:
        """Take a batch, and report it if it is time."""
        record = course.step()
        if record is not None:
            count = record.step - self.result.records[-1].step
            self._add_loss(course, record.train_loss * count, count)
            self._marked = (0.0, 0)
            self.result = replace(self.result, records=(*self.result.records, record))
        if time.perf_counter() - self._said >= TICK:
            self._mark_loss(course)
            self._say(**self._progress(course))

    def _mark_loss(self, course: Course[R]) -> None:
        self._add_loss(course, *course.trainer.loss_so_far)

    def _add_loss(self, course: Course[R], total: float, count: int) -> None:
        """Add the mean loss since the last mark to the curve, given the sum and the number since the last record."""
        earlier, before = self._marked
        if count > before and math.isfinite(total):
            middle = course.step_count - (count - before) / 2
            point = (middle / course.trainer.steps_per_epoch, (total - earlier) / (count - before))
            self.result = replace(self.result, losses=(*self.result.losses, point))
            self._marked = (total, count)

    def _progress(self, course: Course[R]) -> dict[str, Any]:
        trainer, done = course.trainer, course.step_count
        left = trainer.steps - done
        evaluations = math.ceil(left / trainer.steps_per_epoch)
        rate = course.images_per_second
        return {
            "step": done,
            "epoch": done / trainer.steps_per_epoch,
            "images_per_second": rate,
            "seconds_left": left * trainer.batch_size / rate + evaluations * self._evaluation_seconds,
            "kept": course.kept,
            "unkept": course.unkept,
        }

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
        keep: makes of it the training as it is kept, which may have begun before; a context, in the training thread.
        same: whether two starts are of one run that is kept.
        changed: called whenever `result` is another one, in the training thread or the one that gave the command;
            at most every TICK seconds but for changes of phase.
    """

    _latest: ClassVar[_Job[Any, Any] | None] = None  # the run that was started last, whichever session's it is

    def __init__(
        self,
        build: Callable[[S], Training[R]],
        keep: Keep[R],
        same: Callable[[S, S], bool],
        changed: Callable[[], Any] = lambda: None,
    ) -> None:
        self._build, self._keep, self._same, self._changed = build, keep, same, changed
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

    @property
    def alive(self) -> bool:
        """Whether the thread of the latest run is there still: past its last batch, it may be drawing."""
        return self._job is not None and self._job.alive

    def start(self, settings: S, *, batches: float = math.inf) -> None:
        """Start a run, and pause it after so many batches.

        The run before becomes `previous`, if it took a step and is another one.
        """
        with _commands:
            if Session._latest is not None:
                Session._latest.stop()
            before = self.result
            if before is not None and before.step and not self._same(before.settings, settings):
                self.previous = before
            self._job = Session._latest = _Job(settings, self._build, self._keep, self._changed)
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
