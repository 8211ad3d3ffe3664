"""A training that is stored after every epoch, and resumes where an earlier one was broken off."""

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import torch
from torch import nn

from mixlab import models
from mixlab._files import first_line
from mixlab.runs.attributes import attributes
from mixlab.runs.global_stream import global_stream
from mixlab.runs.history import RELIABILITY, record_numbers, records_from, reliability_table
from mixlab.runs.identity import identity, name_of
from mixlab.runs.store import CHECKPOINT, PREDICTIONS, WEIGHTS, DamagedError, Document, Store, Tensors
from mixlab.runs.stored_run import Run
from mixlab.training.loop import State, copies_of, fill, tensors_of
from mixlab.training.record import Record
from mixlab.training.trainer import Trainer


class StoredTraining:
    """A run at work, as `opened` gives it: an epoch is on disk before its record is returned.

    Attributes:
        id: identifies the run.
        trainer: the Trainer behind it. Ask it whatever you like, but let `step`, or the iteration, take the steps. Of a
            run that is stored already, it holds the trained model and has taken no step.
        records: a Record for each finished epoch, or for each `every` of them.
        epochs: how many are finished.
    """

    def __init__(self, store: Store, trainer: Trainer, model: str) -> None:
        self._identity = identity(trainer)
        self.id, self.trainer = name_of(self._identity), trainer
        self.records: tuple[Record, ...] = ()
        self.epochs = 0
        self._store, self._model, self._seed = store, model, trainer.settings["seed"]
        self._tensors, self._initial = tensors_of(trainer.model), copies_of(trainer.model)
        self._parts = _parts(trainer.model)
        self._sessions: list[dict[str, Any]] = []
        self._began, self._first = _now(), 0
        self._stored: Run | None = None

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, now or before."""
        return self._stored is not None or self.trainer.done

    def __iter__(self) -> Iterator[Record]:
        while not self.done:
            record = self.step()
            if record is not None:
                yield record

    def step(self) -> Record | None:
        """Train on the next batch; after the last of an epoch evaluate if that is due, store, and return the Record.

        Raises RuntimeError if all steps are taken; FloatingPointError if the loss is not finite; and, with the epoch in
        `records` and not on disk, StoreError if it cannot be stored, ValueError if what no checkpoint holds changed.
        """
        if self._stored is not None:
            raise RuntimeError(f"step must not be called of a run that is stored, {self.id}")
        trainer = self.trainer
        with global_stream(trainer.model, self._seed, trainer.step_count):
            trainer.step()
        if trainer.step_count % trainer.steps_per_epoch:
            return None
        with global_stream(trainer.model, self._seed, -trainer.step_count):  # as `finish` draws
            record = trainer.evaluate() if trainer.due else None
            trainer.check_finite()  # on CUDA only `evaluate` has looked at the loss
        self.epochs += 1
        self.records += () if record is None else (record,)
        self._check_parts()
        state = trainer.state()
        tensors = state.tensors | {RELIABILITY: reliability_table(self.records)}
        self._store.write_checkpoint(self.id, self._document() | {"numbers": state.numbers}, tensors)
        return record

    def finish(self) -> Run:
        """Store the trained model and what it says of the test images, and return the finished run.

        Raises RuntimeError if not all epochs are done, StoreError if it cannot be stored.
        """
        if self._stored is None:
            trainer = self.trainer
            if not trainer.done:
                raise RuntimeError(f"finish must be called after epoch {trainer.epochs}, got epoch {self.epochs}")
            with global_stream(trainer.model, self._seed, -trainer.steps):
                test = (trainer.tested or trainer.predictions()).cpu()  # the latter if no step was taken since resuming
            table = {"logits": test.logits, "labels": test.labels, RELIABILITY: reliability_table(self.records)}
            files = {WEIGHTS: copies_of(trainer.model), PREDICTIONS: table}
            self._keep(self._store.write_run(self.id, self._document(), files))
        assert self._stored is not None
        self.trainer.model.eval()
        return self._stored

    def load(self) -> bool:
        """Fill the model with the weights of the finished run; return whether there is one that is whole."""
        with suppress(DamagedError):
            self._load()
        return self._stored is not None

    def resume(self) -> None:
        """Go to where the run was broken off, and set aside what is damaged. Only for whoever holds the run."""
        self._store.clean(self.id)
        try:
            self._load()
            if self._stored is None and (checkpoint := self._store.checkpoint(self.id)) is not None:
                self._restore(*checkpoint)
        except DamagedError as error:
            self._store.set_aside(self.id, str(error))

    def leave(self) -> None:
        """Give the model its initial weights again, unless the run is finished."""
        if self._stored is None:
            with suppress(ValueError):  # the model has other parts by now, as `step` has said
                fill(self.trainer.model, self._initial)

    def _load(self) -> None:
        if (document := self._store.finished(self.id)) is None:
            return
        weights, table = (self._store.tensors(self.id, name, document) for name in (WEIGHTS, PREDICTIONS))
        records = records_from(document, table)
        try:
            fill(self.trainer.model, weights)
        except ValueError as error:
            raise DamagedError(f"{WEIGHTS} is not of this run: {error}") from None
        self.records, self.epochs = records, self.trainer.epochs
        self._keep(document)
        self._store.clean(self.id)

    def _restore(self, document: Document, tensors: Tensors) -> None:
        try:
            records = records_from(document, tensors)
            del tensors[RELIABILITY]
            self.trainer.restore(State(tensors, document["numbers"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{CHECKPOINT} is not of this run: {first_line(error)}") from None
        self.records, self._sessions = records, document["sessions"]
        self._first = self.epochs = self.trainer.step_count // self.trainer.steps_per_epoch

    def _keep(self, document: Document) -> None:
        if self._model in models.MODELS:  # the run may have been stored under the name of the model's class
            document = document | {"model": self._model}
        model, history = self.trainer.model, self.records
        self._stored = Run(self._store, self.id, document, finished=True, history=history, model=model)

    def _document(self) -> Document:
        session = {
            "pid": os.getpid(),
            "host": platform.node(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "began": self._began,
            "epochs": [self._first, self.epochs],
        }
        return {
            "id": self.id,
            "identity": self._identity,
            "model": self._model,
            "classes": list(self.trainer.data.classes),
            "epochs": self.epochs,
            "records": [record_numbers(record) for record in self.records],
            "sessions": [*self._sessions, *([session] if self._first < self.epochs else [])],
            "saved": _now(),
        }

    def _check_parts(self) -> None:
        """Raise if a plain attribute has changed, which no checkpoint holds, or a parameter or buffer was replaced."""
        changed = self._parts.items() ^ _parts(self.trainer.model).items()
        if changed:
            raise ValueError(
                "model must keep its parameters and buffers, and in them all that changes while it is trained, so that "
                f"its run can resume, got a changed {', '.join(sorted({name for name, _ in changed}))}"
            )


def _parts(model: nn.Module) -> dict[str, str]:
    """The digests of a model's plain attributes, and which objects its parameters and buffers are."""
    return attributes(model) | {f"model.{name}": str(id(tensor)) for name, tensor in tensors_of(model).items()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
