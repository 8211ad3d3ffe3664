"""A data set for many processes: written once into a folder that all of them see, and mapped from there."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mixlab._files import first_line, write_whole
from mixlab.data.dataset import Dataset, Split
from mixlab.runs.store import Store, StoreError, say

_PARTS = ("train.images", "train.labels", "test.images", "test.labels")


@dataclass(frozen=True)
class Shared:
    """Where a data set is, in few words that travel to other processes."""

    path: Path
    digest: str
    name: str
    classes: tuple[str, ...]


def shared(data: Dataset, store: Store) -> Shared:
    """Write a data set into the store's folder, unless it is there; a damaged file is set aside with a message.

    Raises StoreError if it cannot be written.
    """
    where = Shared(store.root / "data" / f"{data.digest}.safetensors", data.digest, data.name, data.classes)
    try:
        where.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(where.path.with_suffix(".lock")):
            if where.path.exists() and not _is_whole(where):
                aside = where.path.with_name(f"{where.path.name}.damaged")
                where.path.replace(aside)
                say(f"{where.path} is damaged and set aside as {aside.name}; it is written anew")
            if not where.path.exists():
                parts = (data.train.images, data.train.labels, data.test.images, data.test.labels)
                content = {name: part.cpu().contiguous() for name, part in zip(_PARTS, parts, strict=True)}
                write_whole(where.path, save(content))
    except (OSError, NotImplementedError) as error:
        raise store.unwritable(where.path, error) from None
    return where


@lru_cache(maxsize=1)
def opened_data(where: Shared) -> Dataset:
    """The data set, mapped from its file and checked, once in a process.

    Raises StoreError if it is not there, or not what was written.
    """
    try:
        found = _mapped(where)
    except (SafetensorError, OSError) as error:
        raise StoreError(
            f"{where.path} cannot be read by this worker ({first_line(error)}): root must be a folder that all workers "
            "see"
        ) from None
    if found.digest != where.digest:
        raise StoreError(f"{where.path} is damaged: it does not hold the images that it is named by")
    return found


def _is_whole(where: Shared) -> bool:
    try:
        return _mapped(where).digest == where.digest
    except (SafetensorError, OSError, TypeError, ValueError):
        return False


def _mapped(where: Shared) -> Dataset:
    with safe_open(where.path, framework="pt") as file:
        train_images, train_labels, test_images, test_labels = (file.get_tensor(name) for name in _PARTS)
    return Dataset(where.name, Split(train_images, train_labels), Split(test_images, test_labels), where.classes)
