"""Where CIFAR comes from: a menu of sources, each proven equal to the official data before the cache is written.

In this order: an archive or folder in the official layout that is already here; the Hugging Face hub's copy; the
official server. Torchvision downloads from that same server, but neither resumes nor times out, and the server has
been slow (55 kB/s, most of an hour): so its archive is fetched here, and broken downloads go on where they stopped.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from mixlab.data.cache import DataError, FolderError, check_folder, digest, write_cache
from mixlab.data.cifar import SetSpec
from mixlab.data.download import download
from mixlab.data.hub import download_hub, read_hub
from mixlab.data.official_layout import find_official, read_official

Tensors = dict[str, Tensor]


def say(line: str) -> None:
    """One visible line: where data comes from is nothing a reader should have to guess."""
    print(f"mixlab: {line}")  # noqa: T201


def fetch(spec: SetSpec, cache: Path, *, problem: str, source: Path | None = None) -> None:
    """Write the cache file `cache` from the first source that delivers the official data, telling what is done.

    `problem` says what was wrong with the cache, `source` names an archive or folder to look at first. What a broken
    download brought is kept in a hidden folder beside the cache and used by the next call.

    Raises FolderError if the folder of the cache takes no file, and DataError, with every source's reason, if none
    delivered. The cache is then as it was.
    """
    check_folder(cache.parent, spec.cache_bytes)
    workshop = cache.parent / f".{spec.name}.fetching"
    try:
        with FileLock(cache.parent / f".{spec.name}.lock", timeout=0):
            write_cache(spec, _first(spec, cache, workshop, problem, source), cache)
            shutil.rmtree(workshop, ignore_errors=True)
    except Timeout:
        raise DataError(f"{spec.title} is being fetched into {cache.parent} by another process; wait for it") from None
    say(f"{spec.title} is proven equal to the official data and kept in {cache}")


def _first(spec: SetSpec, cache: Path, workshop: Path, problem: str, source: Path | None) -> Tensors:
    """The tensors of the first source that delivers."""
    tried = [f"the cache {cache}: {problem}"]
    if cache.exists():
        say(f"{tried[0]}; it will be replaced")
    for label, get in _menu(spec, cache.parent, workshop, source):
        say(f"{spec.title} from {label}")
        try:
            return get()
        except FolderError:
            raise
        except DataError as error:
            say(str(error))
            tried.append(f"{label}: {error}")
    raise DataError(
        f"{spec.title} could not be had. Tried, in this order:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + f"What helps: a network and another try; or {spec.archive} (or the folder {spec.folder}) put into "
        f"{cache.parent} or named by source=. load('shapes') needs neither."
    )


def _menu(spec: SetSpec, root: Path, workshop: Path, source: Path | None) -> list[tuple[str, Callable[[], Tensors]]]:
    """Label and way of each source, in the order in which they are tried."""
    here = [path for place in (source, root) if place is not None for path in find_official(spec, place)]
    local = [(str(path), _reader(spec, path)) for path in dict.fromkeys(here)]
    return [
        *local,
        (f"the Hugging Face hub, {spec.hub_repo}", lambda: _from_hub(spec, root, workshop / "hub")),
        (spec.url, lambda: _from_server(spec, root, workshop)),
    ]


def _reader(spec: SetSpec, path: Path) -> Callable[[], Tensors]:
    return lambda: _proven(spec, read_official(spec, path))


def _from_hub(spec: SetSpec, root: Path, folder: Path) -> Tensors:
    check_folder(root, spec.cache_bytes + spec.archive_bytes)
    files = download_hub(spec, folder)
    try:
        return _proven(spec, read_hub(spec, *files))
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)  # damaged: the next try begins anew
        raise


def _from_server(spec: SetSpec, root: Path, workshop: Path) -> Tensors:
    check_folder(root, spec.cache_bytes + spec.archive_bytes)
    workshop.mkdir(exist_ok=True)
    archive = workshop / spec.archive
    download(spec.url, archive)
    try:
        return _proven(spec, read_official(spec, archive))
    except DataError:
        archive.unlink()  # damaged: the next try begins anew
        raise


def _proven(spec: SetSpec, tensors: Tensors) -> Tensors:
    """Return `tensors` if they are, byte for byte, the official data."""
    for name, shape in spec.shapes.items():
        if list(tensors[name].shape) != shape:
            raise DataError(f"its {name} have shape {list(tensors[name].shape)}, not {shape}")
    found = digest(tensors)
    if found != spec.sha256:
        raise DataError(f"its images or labels are not the official ones: sha256 {found}, not {spec.sha256}")
    return tensors
