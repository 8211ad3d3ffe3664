"""A data set from a folder of class folders, whose images may have any size and mode."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mixlab._check import integer, number
from mixlab._files import first_line
from mixlab.data.cache import DataError
from mixlab.data.dataset import Dataset, Split
from mixlab.data.fetch import say
from mixlab.data.parts import held_out, stratified
from mixlab.data.pictures import check_size, is_gray, pillow, pixels
from mixlab.machine import torch_threads

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TRAIN, TESTS = "train", ("test", "val", "valid", "validation")
_NAMED = 5  # unreadable files that an error names
_MANY = 2000  # files, from which on a bar shows how far their reading is

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """The images of class folders: their paths, and their labels, int64 [N]."""

    paths: list[Path]
    labels: Tensor


def load_folder(
    folder: Path,
    *,
    image_size: int = 32,
    resize: str = "crop",
    test_share: float = 0.2,
    train_size: int | None = None,
    test_size: int | None = None,
    seed: int = 0,
) -> Dataset:
    """A Dataset of the images in a folder; see `mixlab.load`, which documents arguments and errors."""
    side, resize = check_size(image_size, resize)
    test_share = number("test_share", test_share, 0.01, 0.5)
    if not folder.is_dir():
        raise ValueError(f"name must be a folder of class folders, got {str(folder)!r}, where there is no folder")
    train, test, classes, others = _parts(folder, test_share, seed)
    for name, size, part in (("train_size", train_size, train), ("test_size", test_size, test)):
        if size is not None:
            integer(name, size, int((part.labels.bincount() > 0).sum()), len(part.paths))
    # Whatever the seed of the training part, the test part stays.
    train, test = _cut(train, train_size, seed), _cut(test, test_size, 0)
    images = _read([*train.paths, *test.paths], side, resize)
    split = len(train.paths)
    data = Dataset(
        folder.resolve().name, Split(images[:split], train.labels), Split(images[split:], test.labels), classes
    )
    left_out = f"; {others:,} other files are left out" if others else ""
    say(f"{folder}: {data!r}, images of {'x'.join(map(str, images.shape[1:]))}{left_out}")
    return data


def _parts(folder: Path, test_share: float, seed: int) -> tuple[Files, Files, tuple[str, ...], int]:
    """The training and the test files, as two folders have them or drawn by `seed`; classes; how many other files."""
    given = next((folder / name for name in TESTS if (folder / name).is_dir()), None)
    if given is not None and (folder / TRAIN).is_dir():
        classes = _classes(folder / TRAIN)
        unknown = sorted(set(_classes(given)) - set(classes))
        if unknown:
            raise DataError(f"{given} must have class folders that {folder / TRAIN} has, got {', '.join(unknown)}")
        (train, others), (test, more) = _files(folder / TRAIN, classes), _files(given, classes)
        return train, test, classes, others + more
    classes = _classes(folder)
    if TRAIN in classes and _folders(folder / TRAIN):
        raise DataError(f"{folder} must hold test/ or val/ beside train/; name {folder / TRAIN} to draw the test part")
    files, others = _files(folder, classes)
    small = [name for name, count in zip(classes, files.labels.bincount().tolist(), strict=True) if count < 2]
    if small:
        raise DataError(f"{folder / small[0]} must hold at least 2 images, one of them to test, got 1")
    train, test = (_chosen(files, part) for part in held_out(files.labels, test_share, seed=seed))
    return train, test, classes, others


def _folders(folder: Path) -> list[str]:
    return sorted(part.name for part in folder.iterdir() if part.is_dir() and not part.name.startswith((".", "__")))


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(_folders(folder))
    if len(names) < 2:
        raise DataError(f"{folder} must hold a folder of images for each class, at least 2, got {list(names)}")
    return names


def _files(folder: Path, classes: tuple[str, ...]) -> tuple[Files, int]:
    """The images below each class folder, sorted by path, also in folders further down; how many other files."""
    paths: list[Path] = []
    labels: list[int] = []
    others = sum(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():  # a test part need not have every class
            continue
        every = sorted(_below(folder / name))
        images = [path for path in every if path.suffix.lower() in SUFFIXES]
        if not images:
            raise DataError(f"{folder / name} must hold images ({', '.join(SUFFIXES)}), got none")
        paths += images
        labels += [label] * len(images)
        others += len(every) - len(images)
    return Files(paths, torch.tensor(labels, device="cpu")), others


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _chosen(files: Files, indices: Tensor) -> Files:
    return Files([files.paths[index] for index in indices.tolist()], files.labels[indices])


def _cut(files: Files, size: int | None, seed: int) -> Files:
    return files if size is None else _chosen(files, stratified(files.labels, size, seed=seed))


def _read(paths: list[Path], side: int, resize: str) -> Tensor:
    """The images uint8 [N, 1 or 3, side, side]: gray if all files are.

    Raises DataError, which names the files that cannot be read.
    """
    from tqdm.auto import tqdm  # loads ipywidgets where it is installed

    image = pillow()

    def attempt(path: Path, act: Callable[[Any], T]) -> T | Exception:
        try:
            with image.open(path) as picture:
                return act(picture)
        except Exception as error:  # noqa: BLE001  # a damaged file may fail in any way
            return error

    channels = 3 if any(attempt(path, is_gray) is False for path in paths) else 1
    images, broken = torch.empty(len(paths), channels, side, side, dtype=torch.uint8, device="cpu"), []
    with ThreadPoolExecutor(torch_threads()[0]) as pool:
        results = pool.map(lambda path: attempt(path, lambda picture: pixels(picture, channels, side, resize)), paths)
        bar = tqdm(results, desc="reading", total=len(paths), unit=" images", disable=len(paths) < _MANY)
        for place, (path, result) in enumerate(zip(paths, bar, strict=True)):
            if isinstance(result, Tensor):
                images[place] = result
            else:
                broken.append(f"{path} ({first_line(result)})")
    if broken:
        more = f"\n  and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        listed = "\n  ".join(broken[:_NAMED])
        raise DataError(f"{len(broken)} of {len(paths)} images cannot be read:\n  {listed}{more}")
    return images
