"""The official layout of CIFAR: an archive, or the folder it unpacks to, of batches pickled by Python 2."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab._files import first_line
from mixlab.data.cache import DataError
from mixlab.data.cifar import SetSpec

# A pickle may name any function to be called while it is read. These are all that an array of bytes, a list and a
# dictionary need, under the names that old and new numpy and Python 2 and 3 write; anything else is refused.
_ALLOWED = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds arrays, lists, dictionaries, numbers and text, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")
        if name == "_reconstruct":
            return np.ndarray((0,)).__reduce__()[0]  # the one function, wherever this numpy keeps it
        return super().find_class(module, name)


def find_official(spec: SetSpec, place: Path) -> list[Path]:
    """The archives and folders in the official layout at `place`: the path itself, or what lies in that folder."""
    if place.is_file():
        return [place]
    if (place / spec.train_files[0]).is_file():
        return [place]
    folders = [place / spec.folder] if (place / spec.folder / spec.train_files[0]).is_file() else []
    return folders + [place / spec.archive] * (place / spec.archive).is_file()


def read_official(spec: SetSpec, path: Path) -> dict[str, Tensor]:
    """Read an archive or folder in the official layout into the four uint8 tensors; nothing is unpacked to disk.

    Raises DataError if the archive is cut short or damaged, or lacks a batch.
    """
    from tqdm.auto import tqdm  # loads ipywidgets where it is installed

    wanted = (*spec.train_files, *spec.test_files)
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    with tqdm(desc=f"reading {path.name}", total=len(wanted), unit="file", leave=False) as bar:
        try:
            for name, content in _archive(path, wanted) if path.is_file() else _folder(path, wanted):
                parts[name] = _batch(spec, name, content)
                bar.update()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise DataError(f"it is cut short or damaged ({first_line(error)})") from None
    if missing := [name for name in wanted if name not in parts]:
        raise DataError(f"it lacks {', '.join(missing)}")
    return {
        "train_images": torch.cat([parts[name][0] for name in spec.train_files]),
        "train_labels": torch.cat([parts[name][1] for name in spec.train_files]),
        "test_images": torch.cat([parts[name][0] for name in spec.test_files]),
        "test_labels": torch.cat([parts[name][1] for name in spec.test_files]),
    }


def _archive(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            if name in wanted and (file := tar.extractfile(member)) is not None:
                yield name, file.read()


def _folder(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name in wanted:
        if (path / name).is_file():
            yield name, (path / name).read_bytes()


def _batch(spec: SetSpec, name: str, content: bytes) -> tuple[Tensor, Tensor]:
    """One batch: images uint8 [N, 3, 32, 32] and labels uint8 [N]."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[spec.label_key.encode()], dtype=np.uint8)
    except Exception as error:  # noqa: BLE001 (a damaged pickle may fail in any way)
        raise DataError(f"its {name} is no CIFAR batch ({first_line(error)})") from None
    return torch.from_numpy(images.copy()), torch.from_numpy(labels)
