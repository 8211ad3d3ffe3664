"""A stored run: its settings at once, and its history, predictions and weights when they are asked for."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor, nn

from mixlab import models
from mixlab.calibration.predictions import Predictions
from mixlab.runs.history import records_from
from mixlab.runs.store import FORMAT, PREDICTIONS, WEIGHTS, DamagedError, Document, Store, StoreError, Tensors
from mixlab.training.loop import fill
from mixlab.training.record import Record

T = TypeVar("T")
COLUMNS = ("variant", "alpha", "k", "model", "data", "epochs", "seed", "accuracy", "ECE", "when", "id")
_NONE = "–"


class Run:
    """A stored run; what is large is read when it is asked for. Made by `mixlab.run` and `mixlab.runs`.

    All raise StoreError if the run can no longer be read; predictions, weights and model also if it is not finished.

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
        history: tuple[Record, ...] | None = None,
        model: nn.Module | None = None,
        fault: StoreError | None = None,
    ) -> None:
        self.id, self.finished, self.fault = run, finished, fault
        self._store, self._whole, self._history, self._model = store, document, history, model

    def __repr__(self) -> str:
        row = self.row()
        if self.fault is not None:
            return f"Run({self.id}, {row['variant']})"
        what = f"{row['model']} on {row['data']}, epochs {row['epochs']}, seed {row['seed']}"
        scores = f": accuracy {row['accuracy']}, ECE {row['ECE']}" if self._document["records"] else ""
        letters = {"α": row["alpha"], "k": row["k"]}
        mixing = "".join(f" {letter}={value}" for letter, value in letters.items() if value != _NONE)
        return f"Run({self.id}, {row['variant']}{mixing}, {what}{scores})"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same run of the same store."""
        return isinstance(other, Run) and (self.id, self._store.root) == (other.id, other._store.root)

    def __hash__(self) -> int:
        return hash((self.id, self._store.root))

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: not the model, which the store has."""
        return vars(self) | {"_model": None}

    @property
    def settings(self) -> dict[str, Any]:
        """All settings in one table: model, data, variant, alpha, k, ..., epochs, seed, batch_size, ..."""
        model, identity = self._document["model"], self._document["identity"]
        return {"model": model, "data": identity["data"]["name"], **identity["mixer"], **identity["training"]}

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the run, code and data by their digests. `id` is made of it."""
        return deepcopy(dict(self._document["identity"]))

    @property
    def format(self) -> int:
        """The format of its identity. A run of an older format can be read, and is never resumed or overwritten."""
        return int(self._document["identity"].get("format", 1))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Who trained which epochs: pid, host, torch, threads, began (UTC), epochs [from, to)."""
        return [dict(session) for session in self._document["sessions"]]

    @property
    def saved(self) -> str:
        """When it was stored last (UTC); nothing for a run that cannot be read."""
        return str(self._whole.get("saved", ""))

    @property
    def history(self) -> tuple[Record, ...]:
        """A Record for each epoch that was measured; numbers are equal to those of the training, to the bit."""
        if self._history is None:
            self._history = self._read(lambda: records_from(self._document, self._tensors(PREDICTIONS)))
        return self._history

    @cached_property
    def predictions(self) -> Predictions:
        """What the trained model says of the test images."""
        table = self._tensors(PREDICTIONS)
        return Predictions.from_logits(table["logits"], table["labels"], self._document["classes"])

    def weights(self) -> dict[str, Tensor]:
        """The trained model's parameters and buffers by name, on the CPU; those too that `state_dict` leaves out."""
        return self._tensors(WEIGHTS)

    @property
    def model(self) -> nn.Module:
        """The trained module, in evaluation mode: the one that was given, or one built by its name and filled.

        Raises StoreError also if its model has no name in `mixlab.models`.
        """
        if self._model is None:
            weights, name = self.weights(), self._document["model"]
            if name not in models.MODELS:
                raise StoreError(
                    f"run {self.id} has a model of your own, {name}: build one, and give it the weights by "
                    "mixlab.training.loop.fill(model, run.weights())"
                )
            channels = len(self._document["identity"]["data"]["normalization"][0])
            model: nn.Module = getattr(models, name)(len(self._document["classes"]), channels=channels)
            fill(model, weights)
            self._model = model.eval()
        return self._model

    def row(self) -> dict[str, str]:
        """Its cells in a table, by column; the first cell of a run that cannot be read says why."""
        if self.fault is not None:
            what = "damaged" if isinstance(self.fault, DamagedError) else "unreadable"
            return dict.fromkeys(COLUMNS, _NONE) | {"variant": f"{what}: {self.fault}", "id": self.id}
        settings, records = self.settings, self._document["records"]
        epochs = str(settings["epochs"])
        scores = [f"{float(records[-1][name]):.3f}" if records else _NONE for name in ("test_accuracy", "test_ece")]
        cells = [
            settings["variant"] + ("" if self.format == FORMAT else f" (format {self.format}, by an older mixlab)"),
            f"{settings['alpha']:g}" if "alpha" in settings else _NONE,
            settings.get("k", _NONE),
            *(settings["model"], settings["data"]),
            epochs if self.finished else f"{self._document['epochs']} of {epochs}",
            settings["seed"],
            *scores,
            f"{datetime.fromisoformat(self.saved).astimezone():%Y-%m-%d %H:%M}",
            self.id,
        ]
        return dict(zip(COLUMNS, map(str, cells), strict=True))

    @property
    def _document(self) -> Document:
        if self.fault is not None:
            raise self._explained(self.fault)
        return self._whole

    def _tensors(self, name: str) -> Tensors:
        document = self._document
        if not self.finished:
            further = f"it has format {self.format}, and only runs of format {FORMAT} are resumed"
            if self.format == FORMAT:
                further = "mixlab.run with its arguments resumes it"
            raise StoreError(f"run {self.id} is not finished: epoch {self.row()['epochs']}; {further}")
        return self._read(lambda: self._store.tensors(self.id, name, document))

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DamagedError as error:
            raise self._explained(error) from None

    def _explained(self, error: StoreError) -> StoreError:
        if not isinstance(error, DamagedError):
            return error
        return StoreError(f"run {self.id} is damaged ({error}); mixlab.run with its arguments trains it again")
