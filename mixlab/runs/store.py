"""A folder of runs: safetensors and JSON, each file whole or absent, and each told from a damaged one.

    store.json                   {"format": 1}
    ID/checkpoint.safetensors    while a run is at work, of its last finished epoch
    ID/weights.safetensors, ID/predictions.safetensors, ID/run.json    at its end; run.json last, so it says "whole"
    ID.lock, ID.owner            who is training it
    store.lock                   held while store.json is written
    data/DIGEST.safetensors      images that a sweep's workers map, and DIGEST.lock, held while they are written
    ID.damaged                   what was set aside

Nothing that is read here can run code.
"""

import hashlib
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mixlab._check import shown
from mixlab._files import first_line, flush_folder, partial_of, write_whole
from mixlab.runs.digest import canonical, sha256, tensors_digest

FORMAT = 1
CHECKPOINT, WEIGHTS, PREDICTIONS, RUN = (
    "checkpoint.safetensors",
    "weights.safetensors",
    "predictions.safetensors",
    "run.json",
)
ELSEWHERE = "name another folder by root= or the environment variable MIXLAB_RUNS"
_ID = re.compile(r"[0-9a-f]{16}")
_FORM = {"model": str, "classes": list, "epochs": int, "records": list, "sessions": list, "saved": str}
_HEADER_MOST = 100_000_000  # bytes, as safetensors itself allows

Document = dict[str, Any]
Tensors = dict[str, Tensor]


class StoreError(RuntimeError):
    """A run cannot be stored or read: the message names the folder and the reason, and says what can be done."""


class BusyError(StoreError):
    """A run is being trained in this process already: the message says by which thread."""


class DamagedError(StoreError):
    """A file of a run is not what was written."""


def say(line: str) -> None:
    """One line on stderr, where it does not mix with what a program prints."""
    print(f"mixlab: {line}", file=sys.stderr, flush=True)  # noqa: T201


class Store:
    """The runs in one folder: `root`, by default $MIXLAB_RUNS, else "runs" in the user's cache of mixlab.

    Raises TypeError or ValueError if root is no path; nothing is read or written before a method is called.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        if root is not None and not isinstance(root, (str, os.PathLike)):
            raise TypeError(f"root must be a path, got {shown(root)}")
        if root is not None and (not os.fspath(root) or "\0" in os.fspath(root)):
            raise ValueError(f"root must be a path, got {shown(root)}")
        chosen = root or os.environ.get("MIXLAB_RUNS") or platformdirs.user_cache_path("mixlab") / "runs"
        try:
            self.root = Path(chosen).expanduser().absolute()
        except RuntimeError as error:  # the home of nobody
            raise ValueError(f"root must be a path, got {shown(chosen)}: {first_line(error)}") from None

    def file(self, run: str, name: str) -> Path:
        """The path of one of a run's files."""
        return self.root / run / name

    def ids(self) -> list[str]:
        """The runs that are here, also half-made ones."""
        self.check_format()
        try:
            return sorted(entry.name for entry in self.root.iterdir() if _ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(self.root, error) from None

    def check_format(self) -> None:
        """Raise StoreError if the folder is of a newer mixlab."""
        found = self._format()
        if found is not None and found > FORMAT:
            raise StoreError(
                f"the run store {self.root} has format {found}, and this mixlab reads formats up to {FORMAT}: update "
                f"mixlab, or {ELSEWHERE}"
            )

    def prepare(self) -> None:
        """Make the folder and its store.json, if they are not there; a store.json that is no such file is set aside.

        Raises StoreError if nothing can be written there.
        """
        path = self._made(self.root) / "store.json"
        try:
            if self._format() is None:
                with FileLock(self.root / "store.lock"):
                    if self._format() is None:
                        if path.exists():
                            aside = path.replace(path.with_name("store.json.damaged"))
                            say(f"{path} is damaged and set aside as {aside.name}; it is written anew")
                        write_whole(path, canonical({"format": FORMAT}).encode())
        except (OSError, NotImplementedError) as error:
            raise self.unwritable(self.root, error) from None

    def _format(self) -> int | None:
        """What store.json says, or None where it is not there or is no such file."""
        path = self.root / "store.json"
        try:
            found = json.loads(path.read_bytes())["format"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return found if isinstance(found, int) else None

    def _made(self, folder: Path) -> Path:
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                flush_folder(folder.parent)
        except OSError as error:
            raise self.unwritable(folder, error) from None
        return folder

    def write_checkpoint(self, run: str, document: Document, tensors: Tensors) -> None:
        """Write how far a run has come, in place of what was there.

        Raises StoreError if it cannot be written; what was there is then whole.
        """
        head = _sealed(document | {"tensors": tensors_digest(tensors)})
        self._write(run, CHECKPOINT, save(tensors, {"document": canonical(head)}))

    def write_run(self, run: str, document: Document, files: dict[str, Tensors]) -> Document:
        """Write a finished run, run.json last, and remove its checkpoint; what run.json says.

        Raises StoreError if it cannot be written; the checkpoint is then whole.
        """
        found = {}
        for name, tensors in files.items():
            content = save(tensors)
            self._write(run, name, content)
            found[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        whole = document | {"files": found}
        self._write(run, RUN, json.dumps(_sealed(whole), indent=1, allow_nan=False).encode())
        self.clean(run)
        return whole

    def head(self, run: str) -> tuple[Document, bool] | None:
        """What is known of a run without reading its tensors, and whether it is finished; None if nothing is.

        Raises DamagedError if what is there is not what was written.
        """
        if (content := self._read(run, RUN)) is not None:
            document = _unsealed(content, RUN, run)
            self._check_sizes(run, document)
            return document, True
        try:
            with self.file(run, CHECKPOINT).open("rb") as file:
                return _checkpoint_head(file.read(8), file.read, os.fstat(file.fileno()).st_size, run), False
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(self.file(run, CHECKPOINT), error) from None

    def checkpoint(self, run: str) -> tuple[Document, Tensors] | None:
        """What `write_checkpoint` wrote last, or None.

        Raises DamagedError if what is there is not what was written.
        """
        if (content := self._read(run, CHECKPOINT)) is None:
            return None
        document = _checkpoint_head(content[:8], lambda size: content[8 : 8 + size], len(content), run)
        tensors = _loaded(content, CHECKPOINT)
        if tensors_digest(tensors) != document["tensors"]:
            raise DamagedError(f"{CHECKPOINT} has other tensors than were written")
        return document, tensors

    def tensors(self, run: str, name: str, document: Document) -> Tensors:
        """The tensors of one of a finished run's files.

        Raises DamagedError if they are not those that were written.
        """
        content = self._read(run, name)
        if content is None:
            raise DamagedError(f"{name} is not there")
        if hashlib.sha256(content).hexdigest() != _sizes(document, name)["sha256"]:
            raise DamagedError(f"{name} does not have the sha256 that {RUN} tells")
        return _loaded(content, name)

    def is_littered(self, run: str) -> bool:
        """Whether a finished run has still what a process that was killed at its end left behind."""
        return any(path.exists() for path in (*self._litter(run), self.owner(run)))

    def clean(self, run: str) -> None:
        """Remove what a killed process left half-written, and the checkpoint of a run that is finished.

        Only who holds the run may ask for this.
        """
        with suppress(OSError):  # what cannot be removed does no harm
            for path in self._litter(run):
                path.unlink(missing_ok=True)

    def _litter(self, run: str) -> list[Path]:
        files = [self.file(run, name) for name in (CHECKPOINT, WEIGHTS, PREDICTIONS, RUN)]
        return [*map(partial_of, files), *([files[0]] if files[-1].exists() else [])]

    def owner(self, run: str) -> Path:
        """Where whoever trains a run says who it is."""
        return self.root / f"{run}.owner"

    def set_aside(self, run: str, why: str) -> None:
        """Rename a damaged run's folder, and say so. Only who holds the run may ask for this."""
        folder = self.root / run
        aside = self.root / f"{run}.damaged"
        number = 1
        while aside.exists():
            number += 1
            aside = self.root / f"{run}.damaged-{number}"
        try:
            folder.rename(aside)
        except OSError as error:
            raise self.unwritable(folder, error) from None
        say(f"run {run} is damaged ({why}); it is set aside as {aside} and trained again")

    def unwritable(self, path: Path, error: Exception) -> StoreError:
        """The StoreError for a file or folder that cannot be written."""
        reason = getattr(error, "strerror", None) or first_line(error)
        return StoreError(
            f"{path} cannot be written: {reason}. What was stored before is whole; make room there, or {ELSEWHERE}"
        )

    def _write(self, run: str, name: str, content: bytes) -> None:
        path = self._made(self.root / run) / name
        try:
            write_whole(path, content)
        except OSError as error:
            raise self.unwritable(path, error) from None

    def _read(self, run: str, name: str) -> bytes | None:
        path = self.file(run, name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None

    def _unreadable(self, path: Path, error: OSError) -> StoreError:
        return StoreError(f"{path} cannot be read: {error.strerror or first_line(error)}; {ELSEWHERE}")

    def _check_sizes(self, run: str, document: Document) -> None:
        for name in (WEIGHTS, PREDICTIONS):
            try:
                size = self.file(run, name).stat().st_size
            except FileNotFoundError:
                raise DamagedError(f"{name} is not there") from None
            except OSError as error:
                raise self._unreadable(self.file(run, name), error) from None
            if size != _sizes(document, name)["bytes"]:
                raise DamagedError(f"{name} has {size:,} bytes, not the {_sizes(document, name)['bytes']:,} of {RUN}")


def _sealed(document: Document) -> Document:
    return document | {"sha256": sha256(canonical(document))}


def _unsealed(content: bytes | str, name: str, run: str) -> Document:
    """A document as it was written, of this run."""
    try:
        document = json.loads(content)
        seal = document.pop("sha256")
        whole = seal == sha256(canonical(document)) and document["id"] == run and _has_form(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedError(f"{name} is not what was written for this run")
    return dict(document)


def _has_form(document: Document) -> bool:
    """Whether what every reader relies on is there."""
    parts = [document["identity"][part] for part in ("data", "mixer", "training")]
    return all(isinstance(document[name], kind) for name, kind in _FORM.items()) and all(
        isinstance(part, dict) for part in (*parts, *document["records"], *document["sessions"])
    )


def _sizes(document: Document, name: str) -> Document:
    try:
        found: Document = document["files"][name]
        return {"bytes": int(found["bytes"]), "sha256": str(found["sha256"])}
    except (KeyError, TypeError, ValueError):
        raise DamagedError(f"{RUN} does not tell of {name}") from None


def _checkpoint_head(first: bytes, read: Any, size: int, run: str) -> Document:
    """The document in a safetensors header: eight bytes of length, JSON, and the tensors, which end with the file."""
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(size - 8, _HEADER_MOST):
        raise DamagedError(f"{CHECKPOINT} is cut short, or no safetensors file")
    try:
        header = json.loads(read(length))
        text = header.pop("__metadata__")["document"]
        end = max((part["data_offsets"][1] for part in header.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise DamagedError(f"{CHECKPOINT} has no header of a run") from None
    if 8 + length + end != size:
        raise DamagedError(f"{CHECKPOINT} has {size:,} bytes, not the {8 + length + end:,} of its header")
    document = _unsealed(text, CHECKPOINT, run)
    if not isinstance(document.get("tensors"), str):
        raise DamagedError(f"{CHECKPOINT} does not tell of its tensors")
    return document


def _loaded(content: bytes, name: str) -> Tensors:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedError(f"{name} is no safetensors file ({first_line(error)})") from None
