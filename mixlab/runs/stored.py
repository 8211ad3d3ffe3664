"""Runs as they are stored: one to read, and many as a table."""

import html
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from mixlab import _check, models
from mixlab.calibration.predictions import Predictions
from mixlab.calibration.reliability import Reliability
from mixlab.runs.identity import FORMAT, settings_of
from mixlab.runs.store import PREDICTIONS, WEIGHTS, DamagedError, Document, Store, StoreError, Tensors
from mixlab.training.loop import fill
from mixlab.training.record import Record

T = TypeVar("T")
_MOST_ROWS = 100  # of a table that is shown
_COLUMNS = ("variant", "alpha", "k", "model", "data", "epochs", "seed", "accuracy", "ECE", "when", "id")
_NOT_TOLD = "–"
RELIABILITY = "reliability"  # the tensor of the records' states


class Run:
    """A stored run; what is large is read when it is asked for. Made by `mixlab.run` and `mixlab.runs`.

    Attributes:
        id: sixteen hexadecimal digits, of the sha256 of all that determines the run.
        finished: whether all its epochs are done.
        fault: the StoreError that says why it cannot be read, or None. Nothing else can be asked of such a run.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        document: Document,
        *,
        finished: bool,
        model: nn.Module | None = None,
        fault: StoreError | None = None,
    ) -> None:
        self.id, self.finished, self.fault = run, finished, fault
        self._store, self._told, self._model = store, document, model

    def __repr__(self) -> str:
        row = self._row()
        if self.fault is not None:
            return f"Run({self.id}, {row['variant']})"
        what = f"{row['model']} on {row['data']}, epochs {row['epochs']}, seed {row['seed']}"
        scores = f": accuracy {row['accuracy']}, ECE {row['ECE']}" if self._document["records"] else ""
        letters = [f"{letter}={row[name]}" for letter, name in (("α", "alpha"), ("k", "k")) if row[name] != _NOT_TOLD]
        mixing = " ".join([row["variant"], *letters])
        return f"Run({self.id}, {mixing}, {what}{scores})"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same run of the same store."""
        return isinstance(other, Run) and (self.id, self._store.root) == (other.id, other._store.root)

    def __hash__(self) -> int:
        return hash((self.id, self._store.root))

    def __getstate__(self) -> dict[str, Any]:
        """To another process go words alone: the store has the rest."""
        return {name: vars(self)[name] for name in ("id", "finished", "fault", "_store", "_told")} | {"_model": None}

    @property
    def settings(self) -> dict[str, Any]:
        """All settings in one table: model, data, variant, alpha, k, ..., epochs, seed, batch_size, ..."""
        document = self._document
        names = {"model": document["model"], "data": document["identity"]["data"]["name"]}
        return names | settings_of(document["identity"])

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the run, code and data by their digests: the ground of `id`."""
        found: dict[str, Any] = deepcopy(self._document["identity"])
        return found

    @property
    def format(self) -> int:
        """Of its identity; a run of an older format can be read, and is neither gone on with nor trained again."""
        return int(self._document["identity"].get("format", 1))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Who trained which epochs: pid, host, torch, threads, began (UTC), epochs [from, to)."""
        return [dict(session) for session in self._document["sessions"]]

    @cached_property
    def history(self) -> tuple[Record, ...]:
        """A Record for each epoch that was measured; numbers are equal to those of the training, to the bit.

        Raises StoreError if it can no longer be read.
        """
        document = self._document
        if self.finished:
            return self._read(lambda: records_from(document, self._store.tensors(self.id, PREDICTIONS, document)))
        found = self._read(lambda: self._store.checkpoint(self.id))
        if found is None:  # it was finished meanwhile, or taken away
            raise StoreError(f"run {self.id} has moved on since it was listed; list the runs again")
        return self._read(lambda: records_from(*found))

    @cached_property
    def predictions(self) -> Predictions:
        """What the trained model says of the test images.

        Raises StoreError if the run is not finished, or can no longer be read.
        """
        found = self._finished(PREDICTIONS)
        return Predictions.from_logits(found["logits"], found["labels"], self._document["classes"])

    def weights(self) -> dict[str, Tensor]:
        """The trained model's parameters and buffers by name, on the CPU; those too that `state_dict` leaves out.

        Raises StoreError if the run is not finished, or can no longer be read.
        """
        return self._finished(WEIGHTS)

    @property
    def model(self) -> nn.Module:
        """The trained module, in evaluation mode: the one that was given, or one built by its name and filled.

        Raises StoreError if the run is not finished or can no longer be read, or if its model has no name in
        `mixlab.models`.
        """
        if self._model is None:
            weights, name = self.weights(), self._document["model"]
            if name not in models.MODELS:
                raise StoreError(
                    f"run {self.id} has a model of your own, {name}: build one, and give it the weights by "
                    "mixlab.training.loop.fill(model, run.weights())"
                )
            model: nn.Module = getattr(models, name)(len(self._document["classes"]))
            fill(model, weights)
            self._model = model.eval()
        return self._model

    @property
    def _document(self) -> Document:
        if self.fault is not None:
            raise _told_of(self.id, self.fault)
        return self._told

    def _finished(self, name: str) -> Tensors:
        _ = self._document  # which tells of damage first
        if not self.finished:
            epochs = self._row()["epochs"]
            if self.format != FORMAT:
                raise StoreError(
                    f"run {self.id} is not finished: epoch {epochs}; it has format {self.format}, and this mixlab goes "
                    f"on with runs of format {FORMAT} only"
                )
            raise StoreError(f"run {self.id} is not finished: epoch {epochs}; mixlab.run with its arguments goes on")
        return self._read(lambda: self._store.tensors(self.id, name, self._document))

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DamagedError as error:
            raise _told_of(self.id, error) from None

    def _row(self) -> dict[str, str]:
        """Its cells, by column; the first says of a run that cannot be read why."""
        if self.fault is not None:
            what = "damaged" if isinstance(self.fault, DamagedError) else "unreadable"
            return dict.fromkeys(_COLUMNS, _NOT_TOLD) | {"variant": f"{what}: {self.fault}", "id": self.id}
        settings, records = self.settings, self._document["records"]
        epochs = str(settings["epochs"]) if self.finished else f"{self._document['epochs']} of {settings['epochs']}"
        accuracy, ece = (
            f"{float(records[-1][name]):.3f}" if records else _NOT_TOLD for name in ("test_accuracy", "test_ece")
        )
        age = f" (format {self.format}, by an older mixlab)" if self.format < FORMAT else ""
        when = datetime.fromisoformat(self._document["saved"]).astimezone()
        return {
            "variant": settings["variant"] + age,
            "alpha": f"{settings['alpha']:g}" if "alpha" in settings else _NOT_TOLD,
            "k": str(settings.get("k", _NOT_TOLD)),
            "model": settings["model"],
            "data": settings["data"],
            "epochs": epochs,
            "seed": str(settings["seed"]),
            "accuracy": accuracy,
            "ECE": ece,
            "when": f"{when:%Y-%m-%d %H:%M}",
            "id": self.id,
        }


def _told_of(run: str, fault: StoreError) -> StoreError:
    if not isinstance(fault, DamagedError):
        return fault
    return StoreError(f"run {run} is damaged ({fault}); mixlab.run with its arguments trains it again")


class RunTable(Sequence[Run]):
    """Runs in a row, shown as a table.

    Raises TypeError unless `runs` are Runs.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)
        for run in self._runs:
            if not isinstance(run, Run):
                raise TypeError(f"runs must be Runs, as mx.run and mx.runs give them, got {_check.shown(run)}")

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> "RunTable": ...
    def __getitem__(self, index: int | slice) -> "Run | RunTable":
        return RunTable(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        if not self._runs:
            return "no runs"
        rows = [list(_COLUMNS), *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        if not self._runs:
            return "<p>no runs</p>"
        head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
        rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._rows()]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        more = "".join(f"<p>{line}</p>" for line in self._more())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def _rows(self) -> list[list[str]]:
        rows = [run._row() for run in self._runs[:_MOST_ROWS]]
        return [[row[column] for column in _COLUMNS] for row in rows]

    def _more(self) -> list[str]:
        left = len(self._runs) - _MOST_ROWS
        return [f"and {left:,} more"] if left > 0 else []


def record_numbers(record: Record) -> dict[str, Any]:
    """A Record but its reliability, as values for JSON: equal when read, as Python writes floats to the last bit."""
    numbers = {field.name: getattr(record, field.name) for field in fields(record) if field.name != RELIABILITY}
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else str(value)
        for name, value in numbers.items()
    }


def reliability_table(records: Sequence[Record]) -> Tensor:
    """The records' reliability states, float64 [records, 6 * n_bins + 8]."""
    states = [record.reliability.state for record in records]
    return torch.stack(states) if states else torch.empty(0, dtype=torch.float64)


def records_from(document: Document, tensors: Tensors) -> tuple[Record, ...]:
    """The Records of a stored history.

    Raises DamagedError if the two do not fit each other, or this version of mixlab.
    """
    try:
        told, states = document["records"], tensors[RELIABILITY]
        numbers: list[dict[str, Any]] = [
            {name: float(value) if isinstance(value, str) else value for name, value in row.items()} for row in told
        ]
        return tuple(
            Record(**row, reliability=Reliability.from_state(state)) for row, state in zip(numbers, states, strict=True)
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"its history cannot be read: {error!r}") from None
