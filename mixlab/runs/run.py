"""Runs that are never lost: each is named by what determines it, stored, and taken up again where it was broken off."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import torch
from torch import nn

from mixlab import _check, models
from mixlab._check import shown
from mixlab._files import first_line
from mixlab._torch_state import spared
from mixlab.data.dataset import Dataset
from mixlab.machine import release_memory, using_threads
from mixlab.mixing.mixer import Mixer
from mixlab.runs.attributes import attributes
from mixlab.runs.global_stream import GlobalStream
from mixlab.runs.identity import identity, name_of
from mixlab.runs.locks import held
from mixlab.runs.store import CHECKPOINT, PREDICTIONS, WEIGHTS, DamagedError, Document, Store, StoreError, Tensors
from mixlab.runs.stored import RELIABILITY, Run, RunTable, record_numbers, records_from, reliability_table
from mixlab.training.loop import State, copies_of, fill, tensors_of
from mixlab.training.record import Record
from mixlab.training.trainer import Trainer

__all__ = ["Run", "RunTable", "Training", "opened", "run", "runs"]


def run(
    model: nn.Module | str,
    data: Dataset,
    mixer: Mixer | None = None,
    *,
    epochs: int,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    name: str | None = None,
    **settings: Any,
) -> Run:
    """The stored run of these arguments, or else: train it, store it, and return it.

        run = mx.run("quick", data, mx.Mixer("mixup", alpha=0.4), epochs=3)

    A run that was broken off, by the stop button or by anything else, goes on from its last finished epoch and ends as
    if it had never been: on one machine's CPU, to the bit. While another process trains it, this one waits for it.
    torch's global generator, which dropout draws from, is the run's own meanwhile, begun by `seed`, and the caller's
    again afterwards. A run that is damaged on disk is set aside, and trained again.

    Args:
        model: a module in its initial state, which is trained in place, or filled with the stored weights; or a name
            of `mixlab.models`, such as "quick", built with `seed`. At the end it is in evaluation mode. If the training
            is broken off, a module gets its initial weights again, so that the same call goes on with it.
        data: a Dataset, as `mixlab.load` gives it.
        mixer: how to mix each batch (default: not at all).
        epochs: passes over the training images, at least 1.
        seed: seeds the order, the augmentation, the mixing, dropout, and a model built by name.
        settings: the rest of what `mixlab.fit` takes.
        root: the folder of the store (default: $MIXLAB_RUNS, else "runs" in the user's cache of mixlab).
        progress: whether to show a bar of epochs on stderr.
        name: says which model of `mixlab.models` the module is, so that the run can build it again.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, as `mixlab.fit` says it; or a model that
            keeps state elsewhere than in parameters and buffers, or has or uses what cannot be told by its value.
            Nothing has been written then.
        StoreError: the folder takes no file, or is of a newer mixlab; or this process trains this run already.
        FloatingPointError: the loss is no longer finite.
    """
    _check.flag("progress", progress)
    with opened(model, data, mixer, epochs=epochs, seed=seed, root=root, name=name, **settings) as training:
        if not training.done:
            _train(training, progress)
            release_memory()
        return training.finish()


def runs(root: str | os.PathLike[str] | None = None) -> RunTable:
    """The stored runs, newest first, as a table; unfinished ones too, and those that are damaged or cannot be read.

    Args:
        root: the folder of the store, as for `run`; it need not be there.

    Raises:
        TypeError: root is no path.
        StoreError: the folder cannot be read, or is of a newer mixlab.
    """
    store = Store(root)
    found = []
    for name in store.ids():
        try:
            if (head := store.head(name)) is not None:
                document, finished = head
                found.append((document["saved"], Run(store, name, document, finished=finished)))
        except StoreError as error:
            found.append(("", Run(store, name, {}, finished=False, fault=error)))
    return RunTable(run for _, run in sorted(found, key=lambda pair: pair[0], reverse=True))


@contextmanager
def opened(
    model: nn.Module | str,
    data: Dataset,
    mixer: Mixer | None = None,
    *,
    epochs: int,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    name: str | None = None,
    wait: Callable[[str], object] | None = None,
    **settings: Any,
) -> Iterator["Training"]:
    """The run of these arguments, to be trained a step or an epoch at a time; nobody else trains it meanwhile.

        with opened("quick", data, epochs=3) as training:
            for record in training:
                ...
            run = training.finish()

    Arguments and errors are those of `run`. Leave the block early, and what the last finished epoch has stored stays.
    While another process trains the run, `wait` is called again and again, with a line that says which, and whatever
    it raises ends the waiting; by default that line is printed once, on stderr.
    """
    store = Store(root)
    shown_as, module = _module(model, data, seed, name)
    with using_threads(torch.get_num_threads()):  # the Trainer sets its own
        with spared():  # for a model that draws when the Trainer looks at it
            trainer = Trainer(module, data, mixer, epochs=epochs, seed=seed, **settings)
        with resumed(trainer, shown_as, store, wait) as training:
            yield training


@contextmanager
def resumed(
    trainer: Trainer, name: str, store: Store, wait: Callable[[str], object] | None = None
) -> Iterator["Training"]:
    """The run of a Trainer that has taken no step, gone to where its last finished epoch left it; see `opened`.

    The name says which model it is, in the table of runs.
    """
    training = Training(store, trainer, name, identity(trainer))
    with ExitStack() as stack:
        store.check_format()
        if not training._look():
            store.prepare()
            stack.enter_context(held(store, training.id, wait))
            training._take_up()
        elif store.is_littered(training.id):
            with suppress(StoreError), held(store, training.id, _leave):  # one that may only be read stays as it is
                store.clean(training.id)
        try:
            yield training
        finally:
            training._let_go()


class Training:
    """A run at work, as `opened` gives it: a training whose every finished epoch is on disk before it is told.

    Attributes:
        id: identifies the run.
        trainer: the Trainer behind it. Ask it whatever you like, but let `step`, or the iteration, take the steps. Of a
            run that is stored already, it holds the trained model and has taken no step.
        records: a Record for each finished epoch, or for each `every` of them.
        epochs: how many are finished.
    """

    def __init__(self, store: Store, trainer: Trainer, model: str, found: dict[str, Any]) -> None:
        self.id, self.trainer = name_of(found), trainer
        self.records: tuple[Record, ...] = ()
        self._store, self._model, self._identity = store, model, found
        self._attributes, self._parts = attributes(trainer.model), tensors_of(trainer.model)
        self._global = GlobalStream(trainer.model, trainer.device, found["training"]["seed"])
        self._initial = copies_of(trainer.model)
        self._sessions: list[dict[str, Any]] = []
        self._began, self._first, self.epochs = _now(), 0, 0
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

        Raises:
            RuntimeError: all steps are taken.
            FloatingPointError: the loss is no longer finite.
            StoreError: the epoch cannot be stored. What was stored before is whole.
            ValueError: the model has changed a plain attribute of a module, which no checkpoint holds, or has another
                parameter or buffer than it had: the epoch is in `records`, and not on disk.
        """
        if self._stored is not None:
            raise RuntimeError(f"step must not be called of a run that is stored, {self.id}")
        trainer = self.trainer
        with self._global:
            trainer.step()
            if trainer.step_count % trainer.steps_per_epoch:
                return None
            record = trainer.evaluate() if trainer.due else None
            trainer.check_finite()  # on CUDA only `evaluate` has looked at the loss
        self.epochs += 1
        self.records += () if record is None else (record,)
        self._check_kept()
        state = trainer.state()
        tensors = state.tensors | self._global.state() | {RELIABILITY: reliability_table(self.records)}
        self._store.write_checkpoint(self.id, self._document() | {"numbers": state.numbers}, tensors)
        return record

    def finish(self) -> Run:
        """Store the trained model and what it says of the test images; the run, whole.

        Raises:
            RuntimeError: not all epochs are done.
            StoreError: it cannot be stored. The last epoch's checkpoint is whole.
        """
        if self._stored is None:
            trainer = self.trainer
            if not trainer.done:
                done = f"epoch {self.epochs} of {trainer.epochs}"
                raise RuntimeError(f"finish must not be called before the last epoch is done, got {done}")
            with self._global:
                test = (trainer.tested or trainer.predictions()).cpu()  # the latter if this sitting trained nothing
            table = {"logits": test.logits, "labels": test.labels, RELIABILITY: reliability_table(self.records)}
            files = {WEIGHTS: copies_of(trainer.model), PREDICTIONS: table}
            document = self._store.write_run(self.id, self._document(), files)
            self._stored = self._run(document)
        self.trainer.model.eval()
        return self._stored

    def _look(self) -> bool:
        """Whether the run is stored whole; then the model is filled with its weights."""
        try:
            return self._find()
        except DamagedError:
            return False

    def _take_up(self) -> None:
        """Go to where the run was broken off, setting aside what is damaged; for who holds the run."""
        self._store.clean(self.id)
        try:
            if not self._find() and (found := self._store.checkpoint(self.id)) is not None:
                self._restore(*found)
        except DamagedError as error:
            self._store.set_aside(self.id, str(error))

    def _let_go(self) -> None:
        """Give the model its initial weights again, unless the run is finished."""
        if self._stored is None:
            with suppress(ValueError):  # of a model that has other parts by now, which `step` has told of
                fill(self.trainer.model, self._initial)

    def _find(self) -> bool:
        head = self._store.head(self.id)
        if head is None or not head[1]:
            return False
        weights, table = (self._store.tensors(self.id, name, head[0]) for name in (WEIGHTS, PREDICTIONS))
        records = records_from(head[0], table)
        try:
            fill(self.trainer.model, weights)
        except ValueError as error:
            raise DamagedError(f"{WEIGHTS} is not of this run: {error}") from None
        self._stored, self.records, self.epochs = self._run(head[0]), records, self.trainer.epochs
        return True

    def _restore(self, document: Document, tensors: Tensors) -> None:
        try:
            records = records_from(document, tensors)
            own = {name: tensors.pop(name) for name in (*self._global.state(), RELIABILITY)}
            sessions = [dict(session) for session in document["sessions"]]
            stream = self._global.restored(own)
            self.trainer.restore(State(tensors, document["numbers"]))  # last, as it checks all before it changes any
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{CHECKPOINT} is not of this run: {first_line(error)}") from None
        self.records, self._sessions, self._global = records, sessions, stream
        self._first = self.epochs = self.trainer.step_count // self.trainer.steps_per_epoch

    def _run(self, document: Document) -> Run:
        name = {"model": self._model} if self._model in models.MODELS else {}  # another may have called it by its class
        return Run(self._store, self.id, document | name, finished=True, model=self.trainer.model)

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

    def _check_kept(self) -> None:
        """Raise if the model has changed what no checkpoint holds."""
        plain, first = attributes(self.trainer.model), self._attributes
        changed = sorted(name for name in {**plain, **first} if plain.get(name) != first.get(name))
        if changed:
            raise ValueError(
                "model must keep what changes while it is trained in parameters and buffers, for a run that can be "
                f"taken up again, got a changed {', '.join(changed)}"
            )
        now = tensors_of(self.trainer.model)
        changed = sorted(name for name in {**now, **self._parts} if now.get(name) is not self._parts.get(name))
        if changed:
            raise ValueError(
                "model must keep its parameters and buffers while it is trained, for a run that can be taken up again, "
                f"got another {', '.join(changed)}"
            )


def _train(training: Training, progress: bool) -> None:
    trainer = training.trainer
    if not progress:
        for _ in training:
            pass
        return
    from tqdm import tqdm  # not its notebook form, which complains where there is no ipywidgets

    with tqdm(total=trainer.epochs, initial=training.epochs, desc=str(trainer.mixer.variant), unit="epoch") as bar:
        while not training.done:
            record = training.step()
            if record is not None:
                bar.set_postfix_str(f"accuracy {record.test_accuracy:.3f}", refresh=False)
            bar.update(training.epochs - bar.n)


def _leave(line: str) -> None:
    raise StoreError(line)


def _module(model: nn.Module | str, data: Dataset, seed: int, name: str | None) -> tuple[str, nn.Module]:
    """The name to show of a model, and the module, built if it came by name."""
    if not isinstance(model, str):
        return type(model).__qualname__ if name is None else _named(model, data, name), model
    if name is not None:
        raise ValueError(f"name must be left out where model is a name itself, {model!r}, got {shown(name)}")
    build = getattr(models, _check.choice("model", model, models.MODELS))
    return model, build(len(data.classes) if isinstance(data, Dataset) else 2, seed=seed)


def _named(model: nn.Module, data: Dataset, name: str) -> str:
    """The name, once it is seen to build a model with the same parameters and buffers."""
    build = getattr(models, _check.choice("name", name, models.MODELS))
    theirs = tensors_of(build(len(data.classes))) if isinstance(data, Dataset) else {}
    same, other = ({part: shown(tensor.detach()) for part, tensor in of.items()} for of in (tensors_of(model), theirs))
    if theirs and same != other:
        raise ValueError(f"name must be that of a model with these parameters and buffers, got {name!r}")
    return name


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
