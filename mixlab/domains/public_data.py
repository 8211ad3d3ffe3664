"""Public data, fetched once: downloaded, unpacked to arrays, proven by digest, and kept in one npz file."""

import hashlib
import http.client
import io
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mixlab import _check
from mixlab._files import first_line, write_whole
from mixlab.data.cache import DataError, FolderError, check_folder
from mixlab.data.fetch import say
from mixlab.data.load import data_folder

Arrays: TypeAlias = dict[str, "np.ndarray[Any, Any]"]
WHICH = ("auto", "public", "generated")

_SECONDS = 30.0  # how long a server may be silent


@dataclass(frozen=True)
class PublicData:
    """One public set.

    Attributes:
        title: names it, with its authors and terms.
        file: is that of the cache, without a suffix.
        urls: are what is downloaded.
        unpack: makes arrays of the downloaded files, in the order of `urls`.
        sha256: is `digest` of these arrays.
    """

    title: str
    file: str
    urls: tuple[str, ...]
    unpack: Callable[[list[bytes]], Arrays]
    sha256: str

    def path(self, root: str | os.PathLike[str] | None = None) -> Path:
        """Its file in the cache: in `beyond/` of `root` (default: where `mx.load` keeps its sets)."""
        return data_folder(root) / "beyond" / f"{self.file}.npz"

    def read(self, root: str | os.PathLike[str] | None = None) -> Arrays:
        """The arrays in the cache; DataError if it holds others, or none."""
        path = self.path(root)
        if not path.exists():
            raise DataError(f"{path} does not exist")
        try:
            with path.open("rb") as opened, np.load(opened) as file:
                arrays = dict(file)
        except Exception as error:  # noqa: BLE001 (a damaged file may fail in any way)
            raise DataError(f"{path} cannot be read ({first_line(error)})") from None
        return self._proven(arrays, str(path))

    def fetch(self, root: str | os.PathLike[str] | None = None) -> Arrays:
        """The arrays from the public source, kept in the cache; DataError if a source does not deliver them."""
        path = self.path(root)
        check_folder(path.parent, 0)
        say(f"{self.title}, from {', '.join(self.urls)}")
        files = [_downloaded(url) for url in self.urls]
        try:
            arrays = self.unpack(files)
        except Exception as error:  # noqa: BLE001 (a damaged file, or a page of the network's, may fail in any way)
            raise DataError(f"what was downloaded is not {self.title} ({first_line(error)})") from None
        self._proven(arrays, "what was downloaded")
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        try:
            write_whole(path, content.getvalue())
        except OSError as error:
            raise FolderError(f"{path} cannot be written: {first_line(error)}") from None
        return arrays

    def load(self, which: str, root: str | os.PathLike[str] | None = None) -> Arrays | None:
        """The arrays, or None where a stand-in is to be generated.

        Args:
            which: is "public" (from the cache, else fetched), "generated" (None), or "auto": from the cache, else
                None; it prints which, and never waits for a network.
            root: is the folder of the cache.
        """
        if _check.choice("which", which, WHICH) == "generated":
            return None
        try:
            return self.read(root)
        except DataError as error:
            if which == "public":
                return self.fetch(root)
            _say_once(f"a generated stand-in, because {error}; load('public') fetches {self.title} once")
            return None

    def _proven(self, arrays: Arrays, place: str) -> Arrays:
        if digest(arrays) != self.sha256:
            raise DataError(f"{place} is not {self.title}: sha256 {digest(arrays)}, not {self.sha256}")
        return arrays


@cache
def _say_once(message: str) -> None:
    """A notebook loads a set for each seed."""
    say(message)


def digest(arrays: Arrays) -> str:
    """The sha256 over names, types, shapes and bytes, in the order of names, as hexadecimal digits."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def _downloaded(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content
    except (OSError, http.client.HTTPException) as error:  # the latter also of a download that was cut short
        raise DataError(f"{url} cannot be downloaded ({first_line(error)})") from None
