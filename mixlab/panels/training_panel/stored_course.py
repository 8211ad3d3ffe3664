"""What makes a training in a panel a stored run: begun where it was broken off, each finished epoch kept."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from mixlab.panels.shared.course import Course
from mixlab.runs import Run, StoreError
from mixlab.runs.run import resumed
from mixlab.runs.store import Store
from mixlab.runs.stored_training import StoredTraining
from mixlab.training.loop import copies_of, fill
from mixlab.training.record import Record
from mixlab.training.trainer import Trainer

_BUSY = "Another process is training this run: waiting for it."


class Kept(Course[Record]):
    """A training whose finished epochs are in the run store, those of earlier sittings too."""

    def __init__(self, training: StoredTraining) -> None:
        super().__init__(training.trainer)
        self._training, self.records = training, training.records
        run = self._finish() if training.done else None
        if run:
            began = datetime.fromisoformat(run.sessions[-1]["began"]).astimezone()
            self.origin = f"From the store: trained on {began.day} {began:%B %Y, %H:%M}."
        elif self.records:
            self.origin = f"Taken up from the store at epoch {self.records[-1].epoch:g}."
        if self.records:
            self.kept, self._seconds = self.records[-1].epoch, self.records[-1].training_seconds

    @property
    def done(self) -> bool:
        """Whether there is nothing left to train."""
        return self._training.done

    @property
    def step_count(self) -> int:
        """Batches done, those of earlier sittings too."""
        return self.trainer.steps if self.done else self.trainer.step_count

    def step(self) -> Record | None:
        """Take a batch; the evaluation, if it ended an epoch, which is stored then, or `unkept` says why it is not."""
        began, before = time.perf_counter(), len(self._training.records)
        why = ""
        try:
            self._training.step()
        except (StoreError, ValueError) as error:
            if len(self._training.records) == before:  # it was no question of storing
                raise
            why = _why(error)
        if len(self._training.records) == before:
            self._seconds += time.perf_counter() - began
            return None
        record, self.unkept = self._training.records[-1], why
        if not why:
            self.kept = record.epoch
        self._seconds = record.training_seconds
        if self.done and not why:
            self._finish()
        return record

    def _finish(self) -> Run | None:
        try:
            return self._training.finish()
        except StoreError as error:
            self.unkept = _why(error)
            return None


@contextmanager
def kept(
    trainer: Trainer, name: str, root: str | os.PathLike[str] | None, wait: Callable[[str], None]
) -> Iterator[Course[Record]]:
    """The stored run of a trainer, gone to its last finished epoch; where nothing can be stored, the trainer's own.

    The model stays as far trained as it is when the block is left.

    Args:
        trainer: has taken no step.
        name: says which model it is, in the table of runs.
        root: the folder of the store.
        wait: called while another process trains the run.
    """
    unkept = ""
    with ExitStack() as stack:
        try:
            training = stack.enter_context(resumed(trainer, name, Store(root), lambda _: wait(_BUSY)))
        except (StoreError, ValueError) as error:  # the latter from a model that no checkpoint holds
            unkept = _why(error)
        if unkept:
            yield Course(trainer, unkept=unkept)
            return
        try:
            yield Kept(training)
        finally:
            trained = copies_of(trainer.model)
            stack.close()  # which gives the net of an unfinished run its first weights again
            fill(trainer.model, trained)


def _why(error: Exception) -> str:
    return f"Not kept in the run store: {str(error).rstrip('.')}."
