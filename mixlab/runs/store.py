"""A folder of runs in safetensors and JSON, read without running code. Each file is whole, absent or known as damaged.

ID/checkpoint.safetensors    while a run is trained: its last finished epoch
ID/weights.safetensors, ID/predictions.safetensors, ID/run.json    at its end; run.json last, so it says "whole"
ID.lock                      locked by whoever trains the run
ID.damaged-N                 what was set aside
"""

import hashlib
import itertools
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mixlab._check import shown
from mixlab._files import first_line, flush_folder, partial_of, write_whole
from mixlab.runs.digest import canonical, sha256, tensors_digest

FORMAT = 3  # of identities; those of format 1 held bytecode, and no number
CHECKPOINT, RUN = "checkpoint.safetensors", "run.json"
WEIGHTS, PREDICTIONS = "weights.safetensors", "predictions.safetensors"
_ELSEWHERE = "name another folder by root= or the environment variable MIXLAB_RUNS"
_ID = re.compile(r"[0-9a-f]{16}")
_FORM = {"model": str, "classes": list, "epochs": int, "records": list, "sessions": list, "saved": str}

Document = dict[str, Any]
Tensors = dict[str, Tensor]


class StoreError(RuntimeError):
    """A run cannot be stored or read: the message names the folder and the reason, and says what can be done."""


class BusyError(StoreError):
    """This process is training the run already."""


class DamagedError(StoreError):
    """A file of a run is not what was written."""


def say(line: str) -> None:
    """Print one line on stderr, where it does not mix with what a program prints."""
    print(f"mixlab: {line}", file=sys.stderr, flush=True)  # noqa: T201


class Store:
    """The runs in one folder: `root`, by default $MIXLAB_RUNS, else "runs" in the user's cache of mixlab.

    Its methods raise StoreError where something cannot be read or written; what was stored before is whole then. They
    raise DamagedError where a file is not what was written. Raises TypeError or ValueError if root is no path.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        default = os.environ.get("MIXLAB_RUNS") or platformdirs.user_cache_path("mixlab") / "runs"
        try:
            self.root = Path(default if root is None else root).expanduser().absolute()
        except (TypeError, RuntimeError) as error:  # the latter if there is no such user
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"root must be a path, got {shown(root)}") from None

    def file(self, run: str, name: str) -> Path:
        """The path of one of a run's files."""
        return self.root / run / name

    def ids(self) -> list[str]:
        """The ids of all runs, also of those with no whole file."""
        try:
            return sorted(entry.name for entry in self.root.iterdir() if _ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.root, error) from None

    def prepare(self, folder: str = "") -> None:
        """Make the store's folder, or one in it."""
        path = self.root / folder
        try:
            if not path.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                flush_folder(path.parent)
        except OSError as error:
            raise unwritable(path, error) from None

    def write_checkpoint(self, run: str, document: Document, tensors: Tensors) -> None:
        """Replace a run's checkpoint."""
        head = _sealed(document | {"tensors": tensors_digest(tensors)})
        self._write(run, CHECKPOINT, save(tensors, {"document": canonical(head)}))

    def write_run(self, run: str, document: Document, files: dict[str, Tensors]) -> Document:
        """Write a finished run, run.json last, and remove its checkpoint. Returns the content of run.json."""
        digests = {}
        for name, tensors in files.items():
            content = save(tensors)
            self._write(run, name, content)
            digests[name] = {"sha256": hashlib.sha256(content).hexdigest()}
        document |= {"files": digests}
        self._write(run, RUN, json.dumps(_sealed(document), indent=1, allow_nan=False).encode())
        self.clean(run)
        return document

    def finished(self, run: str) -> Document | None:
        """The content of run.json, or None if the run is not finished."""
        content = self._read(run, RUN)
        return None if content is None else _unsealed(content, RUN, run)

    def checkpoint(self, run: str) -> tuple[Document, Tensors] | None:
        """What `write_checkpoint` wrote last, or None."""
        if (content := self._read(run, CHECKPOINT)) is None:
            return None
        tensors = _loaded(content, CHECKPOINT)  # so the header is whole: its length in eight bytes, then JSON
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        document = _unsealed(header.get("__metadata__", {}).get("document", ""), CHECKPOINT, run)
        if tensors_digest(tensors) != document.get("tensors"):
            raise DamagedError(f"{CHECKPOINT} has other tensors than were written")
        return document, tensors

    def tensors(self, run: str, name: str, document: Document) -> Tensors:
        """The tensors in one of a finished run's files; `document` is that of `finished`."""
        if (content := self._read(run, name)) is None:
            raise DamagedError(f"{name} is missing")
        if hashlib.sha256(content).hexdigest() != document.get("files", {}).get(name, {}).get("sha256"):
            raise DamagedError(f"{name} does not have the sha256 in {RUN}")
        return _loaded(content, name)

    def clean(self, run: str) -> None:
        """Remove what a killed process left half-written, and the checkpoint of a finished run.

        Only for whoever holds the run, or once it is finished.
        """
        checkpoint, *others = (self.file(run, name) for name in (CHECKPOINT, WEIGHTS, PREDICTIONS, RUN))
        with suppress(OSError):  # a file that stays does no harm
            for path in (*map(partial_of, (checkpoint, *others)), *([checkpoint] if others[-1].exists() else [])):
                path.unlink(missing_ok=True)

    def set_aside(self, run: str, why: str) -> None:
        """Rename a damaged run's folder, and say so. Only for whoever holds the run."""
        folder = self.root / run
        names = (self.root / f"{run}.damaged-{number}" for number in itertools.count(1))
        aside = next(path for path in names if not path.exists())
        try:
            folder.rename(aside)
        except OSError as error:
            raise unwritable(folder, error) from None
        say(f"run {run} is damaged ({why}); it is set aside as {aside} and trained again")

    def _write(self, run: str, name: str, content: bytes) -> None:
        path = self.file(run, name)
        self.prepare(run)
        try:
            write_whole(path, content)
        except OSError as error:
            raise unwritable(path, error) from None

    def _read(self, run: str, name: str) -> bytes | None:
        path = self.file(run, name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None


def unwritable(path: Path, error: Exception) -> StoreError:
    """The StoreError for a file or folder that cannot be written."""
    reason = getattr(error, "strerror", None) or first_line(error)
    return StoreError(
        f"{path} cannot be written: {reason}. What was stored before is whole; make room there, or {_ELSEWHERE}"
    )


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror or first_line(error)}; {_ELSEWHERE}")


def _sealed(document: Document) -> Document:
    return document | {"sha256": sha256(canonical(document))}


def _unsealed(content: bytes | str, name: str, run: str) -> Document:
    """The document, once it is seen to be what was written for this run, with all that its readers rely on."""
    try:
        document: Document = json.loads(content)
        whole = document.pop("sha256") == sha256(canonical(document)) and document["id"] == run
        whole = whole and all(isinstance(document[part], kind) for part, kind in _FORM.items())
        format_ = document["identity"].get("format", 1)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedError(f"{name} is not what was written for this run")
    if format_ > FORMAT:
        raise StoreError(f"run {run} has format {format_}, and this mixlab reads formats up to {FORMAT}: update mixlab")
    return document


def _loaded(content: bytes, name: str) -> Tensors:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedError(f"{name} is no safetensors file ({first_line(error)})") from None
