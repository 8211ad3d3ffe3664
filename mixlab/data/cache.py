"""The cache: one safetensors file a set, written whole or not at all, opened in milliseconds."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mixlab._files import first_line, write_whole
from mixlab.data.cifar import TENSORS, SetSpec

ELSEWHERE = "free some space, or name another folder with root= or the environment variable MIXLAB_DATA"


class DataError(RuntimeError):
    """A data set could not be loaded; the message says why and what to do."""


class FolderError(DataError):
    """The data folder cannot be written (no permission, no space), so no other source would help."""


def digest(tensors: dict[str, Tensor]) -> str:
    """The sha256 of the four tensors' bytes in the order of `TENSORS`, as hexadecimal digits."""
    total = hashlib.sha256()
    for name in TENSORS:
        total.update(tensors[name].contiguous().numpy().data)
    return total.hexdigest()


def read_cache(spec: SetSpec, path: Path, *, verify: bool = False) -> dict[str, Tensor]:
    """Map the four uint8 tensors of a cache file into memory; pages are read when they are first touched.

    The header must name the pinned digest and the right shapes, and the file must be as long as the header says; the
    bytes themselves are hashed only if `verify` is set (they were, before the file was written). What is written into
    the tensors stays in memory and never reaches the file.

    Raises DataError saying what is wrong with the file.
    """
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            sha256 = (file.metadata() or {}).get("sha256")
            if sorted(file.keys()) != sorted(TENSORS):
                raise DataError(f"it holds {', '.join(sorted(file.keys()))}, not {', '.join(sorted(TENSORS))}")
            for name, shape in spec.shapes.items():
                tensors[name] = file.get_tensor(name)
                if tensors[name].dtype != torch.uint8 or list(tensors[name].shape) != shape:
                    what = f"{tensors[name].dtype} {list(tensors[name].shape)}"
                    raise DataError(f"its {name} are {what}, not torch.uint8 {shape}")
    except (SafetensorError, OSError) as error:
        raise DataError(f"it cannot be read ({first_line(error)})") from None
    if verify and sha256 == spec.sha256:
        sha256 = digest(tensors)
    if sha256 != spec.sha256:
        raise DataError(f"its sha256 is {sha256}, not {spec.sha256}")
    return tensors


def write_cache(spec: SetSpec, tensors: dict[str, Tensor], path: Path) -> None:
    """Write a cache file, whole or not at all: a temporary file beside it is flushed to disk, then renamed.

    Raises FolderError if the file cannot be written; the temporary file is then removed, and an older file at `path`
    stays as it was.
    """
    metadata = {"classes": json.dumps(spec.classes), "sha256": digest(tensors)}
    try:
        write_whole(path, save(tensors, metadata))
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise FolderError(f"{path} cannot be written: {reason}. Nothing was left behind; {ELSEWHERE}") from None


def check_folder(folder: Path, needed: int) -> None:
    """Make `folder` if it is not there; raise FolderError unless it takes files and has `needed` bytes to spare."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise FolderError(f"the data folder {folder} cannot be written: {reason}; {ELSEWHERE}") from None
    free = shutil.disk_usage(folder).free
    if free < needed:
        room = f"{free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed"
        raise FolderError(f"the data folder {folder} has {room}; {ELSEWHERE}")
