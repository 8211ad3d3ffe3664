"""Fetch CIFAR: from the user's archive or folder, else from the Hugging Face hub, and write the cache.

Whatever the source, every byte is proven equal to the official data first.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from mixlab.data.cache import DataError, FolderError, check_folder, digest, write_cache
from mixlab.data.cifar import SetSpec
from mixlab.data.cifar_archive import find_official, read_official
from mixlab.data.cifar_hub import download_hub, read_hub

Tensors = dict[str, Tensor]


def say(line: str) -> None:
    """Print one line, so that nobody has to guess where the data comes from."""
    print(f"mixlab: {line}")  # noqa: T201


def fetch(spec: SetSpec, cache: Path, *, problem: str, source: Path | None = None) -> None:
    """Write the cache file `cache` from the first source that delivers the official data, and print what happens.

    `problem` says what was wrong with the cache; `source` names an archive or folder to try first. An interrupted
    download stays in a hidden folder beside the cache, and the next call goes on from it.

    Raises FolderError if the folder takes no file, and DataError, with the reason of every source, if none delivers;
    the cache is then left as it was.
    """
    check_folder(cache.parent, spec.cache_bytes)
    partial = cache.parent / f".{spec.name}.fetching"
    try:
        with FileLock(cache.parent / f".{spec.name}.lock", timeout=0):
            write_cache(spec, _first(spec, cache, partial, problem, source), cache)
            shutil.rmtree(partial, ignore_errors=True)
    except Timeout:
        raise DataError(f"{spec.title} is being fetched into {cache.parent} by another process; wait for it") from None
    say(f"{spec.title} is proven equal to the official data and kept in {cache}")


def _first(spec: SetSpec, cache: Path, partial: Path, problem: str, source: Path | None) -> Tensors:
    """Return the tensors of the first source that delivers."""
    tried = [f"the cache {cache}: {problem}"]
    if cache.exists():
        say(f"{tried[0]}; it will be replaced")
    for label, get in _sources(spec, cache.parent, partial, source):
        say(f"{spec.title} from {label}")
        try:
            return get()
        except FolderError:
            raise
        except DataError as error:
            say(str(error))
            tried.append(f"{label}: {error}")
    raise DataError(
        f"{spec.title} could not be loaded. Tried, in this order:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + f"Ways out: try again with a network; or download {spec.url} by hand and put it (or the folder "
        f"{spec.folder} that it unpacks to) into {cache.parent}, or pass its path as source=. "
        "load('shapes') needs neither."
    )


def _sources(spec: SetSpec, root: Path, partial: Path, source: Path | None) -> list[tuple[str, Callable[[], Tensors]]]:
    """The label and the reader of each source, in the order in which they are tried."""
    official = [path for place in (source, root) if place is not None for path in find_official(spec, place)]
    local = [(str(path), _reader(spec, path)) for path in dict.fromkeys(official)]
    return [*local, (f"the Hugging Face hub, {spec.hub_repo}", lambda: _from_hub(spec, root, partial))]


def _reader(spec: SetSpec, path: Path) -> Callable[[], Tensors]:
    return lambda: _proven(spec, read_official(spec, path))


def _from_hub(spec: SetSpec, root: Path, folder: Path) -> Tensors:
    check_folder(root, spec.cache_bytes + spec.download_bytes)
    files = download_hub(spec, folder)
    try:
        return _proven(spec, read_hub(spec, *files))
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)  # damaged: the next try starts over
        raise


def _proven(spec: SetSpec, tensors: Tensors) -> Tensors:
    """Return `tensors` if they are, byte for byte, the official data."""
    for name, shape in spec.shapes.items():
        if list(tensors[name].shape) != shape:
            raise DataError(f"its {name} have shape {list(tensors[name].shape)}, not {shape}")
    sha256 = digest(tensors)
    if sha256 != spec.sha256:
        raise DataError(f"its images or labels are not the official ones: sha256 {sha256}, not {spec.sha256}")
    return tensors
