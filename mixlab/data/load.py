"""Data sets as uint8 tensors: CIFAR-10 and CIFAR-100 from a local cache, and Shapes, drawn here without a network.

Images stay uint8 until a batch is made of them; a full set is mapped from its file and read as it is touched.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import platformdirs
import torch
from torch import Tensor

from mixlab._check import SEED_MAX, choice, class_labels, integer, number, shown, tensor
from mixlab.data import shapes
from mixlab.data.cache import DataError, read_cache
from mixlab.data.cifar import CIFAR10, SETS, SetSpec
from mixlab.data.fetch import fetch, say
from mixlab.data.official_layout import find_official

T = TypeVar("T")
NAMES = (*SETS, "shapes", "auto")
SHAPES_TRAIN, SHAPES_TRAIN_MOST, SHAPES_TEST = 10_000, 50_000, 5_000
IMAGES = "a uint8 tensor of images with shape [N, channels, height, width]"


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images uint8 [N, C, H, W] and their labels int64 [N].

    Raises TypeError or ValueError unless they are so.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images = tensor("images", self.images, IMAGES)
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be {IMAGES}, got {shown(images)}")
        class_labels("labels", self.labels, batch=len(images))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images of {'x'.join(map(str, self.images.shape[1:]))})"

    def subset(self, indices: Tensor) -> "Split":
        """A copy of the examples at `indices`, int64 [M]; nothing of the rest is kept alive."""
        return Split(self.images[indices], self.labels[indices])

    def to(self, device: torch.device | str) -> "Split":
        """The same examples on `device`, still uint8."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A training and a test split of the same classes; labels are indices into `classes`.

    Raises TypeError or ValueError unless name is a text, train and test are Splits, classes are different texts, and
    every label has a class.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    _computed: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a text, got {shown(self.name)}")
        for name, split in (("train", self.train), ("test", self.test)):
            if not isinstance(split, Split):
                raise TypeError(f"{name} must be a Split, got {shown(split)}")
        named = isinstance(self.classes, (tuple, list)) and all(isinstance(name, str) for name in self.classes)
        if not named or len(set(self.classes)) < len(self.classes):
            raise TypeError(f"classes must be a tuple of different texts, got {shown(self.classes)}")
        object.__setattr__(self, "classes", tuple(self.classes))
        for name, split in (("train.labels", self.train), ("test.labels", self.test)):
            class_labels(name, split.labels, classes=len(self.classes))

    def __repr__(self) -> str:
        sizes = f"train {len(self.train):,}, test {len(self.test):,}, {len(self.classes)} classes"
        return f'Dataset("{self.name}", {sizes})'

    @property
    def digest(self) -> str:
        """The sha256 of all images and labels of both splits, and of their shapes, as hexadecimal digits.

        Computed once, and again after torch has written into a tensor.
        """
        return self._as_they_are("digest", self._digest)

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training pixels, in units where white is 1.

        Exact: the 256 values are counted, and the moments taken from the counts in float64. Computed once, and again
        after torch has written into the images.
        """
        return self._as_they_are("normalization", self._normalization)

    def _as_they_are(self, name: str, compute: Callable[[], T]) -> T:
        """What was computed of the tensors, unless one of them has been written into since."""
        parts = [part for split in (self.train, self.test) for part in (split.images, split.labels)]
        now = [None if part.is_inference() else part._version for part in parts]  # of the former torch keeps no count
        then, value = self._computed.get(name, (None, None))
        if then != now:
            self._computed[name] = (now, value := compute())
        return cast("T", value)

    def _digest(self) -> str:
        total = hashlib.sha256()
        for split in (self.train, self.test):
            for part in (split.images, split.labels):
                total.update(f"{part.dtype} {list(part.shape)}".encode())
                for start in range(0, len(part), 1000):  # so that a mapped file is not copied as a whole
                    total.update(part[start : start + 1000].cpu().contiguous().numpy().data)
        return total.hexdigest()

    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        images = self.train.images
        counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
        for start in range(0, len(images), 1000):
            for channel in range(images.shape[1]):
                values = images[start : start + 1000, channel].flatten()
                counts[channel] += torch.bincount(values, minlength=256).cpu()
        value = torch.arange(256, dtype=torch.float64) / 255
        share = counts / counts.sum(dim=1, keepdim=True)
        mean = share @ value
        variance = (share * (value - mean[:, None]).square()).sum(dim=1)
        return tuple(mean.tolist()), tuple(variance.sqrt().tolist())


def load(
    name: str = "auto",
    train_size: int | None = None,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    test_size: int | None = None,
    difficulty: float | None = None,
    label_noise: float | None = None,
) -> Dataset:
    """Load a data set: "cifar10", "cifar100", "shapes", or "auto".

    "auto" is CIFAR-10 if its cache is here, else Shapes, and prints which; it never waits for a network. A CIFAR set
    whose cache is missing or damaged is fetched once (`mixlab.data.fetch` has the menu), proven equal to the official
    data by its digest, and kept in `root` (default: `$MIXLAB_DATA`, else the user's cache folder). `source` names an
    archive or folder in the official layout to take it from.

    `train_size` takes a class-balanced part of the training set, chosen by `seed`: every class gets
    train_size // classes examples, some get one more, and a larger part holds the smaller ones of the same seed.
    `test_size` does the same with the test set, whatever the `seed`, for lessons that measure often.
    Shapes draws as many as are asked for (10,000 unless told, at most 50,000), by the same rule, and 5,000 for the
    test; `seed` draws other training pictures, the test pictures are always the same. Only Shapes has `difficulty`
    (0 to 1, default 0.5) and `label_noise` (the chance that a training label is wrong, default 0; test labels are
    right).

    Raises TypeError or ValueError for a wrong argument before anything is done, and DataError, which lists each
    source and its reason, if the images cannot be had.
    """
    name = choice("name", name, NAMES)
    classes = len(SETS[name].classes) if name in SETS else len(shapes.CLASSES)
    most = SETS[name].train_count if name in SETS else SHAPES_TRAIN_MOST
    if train_size is not None:
        train_size = integer("train_size", train_size, classes, most)
    if test_size is not None:
        test_size = integer("test_size", test_size, classes, SETS[name].test_count if name in SETS else SHAPES_TEST)
    seed = integer("seed", seed, 0, SEED_MAX)
    for option, given in (("difficulty", difficulty), ("label_noise", label_noise)):
        if given is not None and name != "shapes":
            raise ValueError(f"{option} is an option of 'shapes' alone, got {option}={shown(given)} with name={name!r}")
    difficulty = 0.5 if difficulty is None else number("difficulty", difficulty, 0, 1)
    label_noise = 0.0 if label_noise is None else number("label_noise", label_noise, 0, 1)
    place = _source(name, source)
    if name == "auto":
        name = _choose(root)
    if name == "shapes":
        return _draw(train_size or SHAPES_TRAIN, test_size or SHAPES_TEST, seed, difficulty, label_noise)
    data = _open(SETS[name], cache_path(name, root), place, train_size, seed)
    if test_size is None:
        return data
    test = data.test.subset(balanced(data.test.labels, test_size, classes, seed=0))
    return Dataset(data.name, data.train, test, data.classes)


def cache_path(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Where the cache file of "cifar10" or "cifar100" lies, or would."""
    name = choice("name", name, SETS)
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise TypeError(f"root must be a path, got {shown(root)}")
    folder = root or os.environ.get("MIXLAB_DATA") or platformdirs.user_cache_path("mixlab")
    return Path(folder).expanduser() / f"{name}.safetensors"


def is_cached(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether the cache file of "cifar10" or "cifar100" is here and its header in order; takes milliseconds."""
    try:
        read_cache(SETS[choice("name", name, SETS)], cache_path(name, root))
    except DataError:
        return False
    return True


def verify(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Hash every byte of a cache file (half a second); its path if it holds the official data, else DataError."""
    path = cache_path(name, root)
    try:
        read_cache(SETS[name], path, verify=True)
    except DataError as error:
        raise DataError(f"{path} is damaged: {error}. Delete it; the next load fetches it again") from None
    return path


def _source(name: str, source: Any) -> Path | None:
    if source is None:
        return None
    if name not in SETS:
        raise ValueError(f"source is for 'cifar10' and 'cifar100', got source={shown(source)} with name={name!r}")
    spec = SETS[name]
    allowed = f"{spec.archive}, the folder {spec.folder}, or a folder that holds one of them"
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source must be the path of {allowed}, got {shown(source)}")
    place = Path(source).expanduser()
    if not find_official(spec, place):
        raise ValueError(f"source must be the path of {allowed}, got {str(place)!r}")
    return place


def _choose(root: str | os.PathLike[str] | None) -> str:
    """Choose for "auto", and say so."""
    path = cache_path(CIFAR10.name, root)
    if is_cached(CIFAR10.name, root):
        say(f"CIFAR-10, from {path}")
        return CIFAR10.name
    state = "is damaged" if path.exists() else "is not here"
    say(f"Shapes, drawn here, because {path} {state}; load('cifar10') fetches it once, about 150 MB")
    return "shapes"


def _open(spec: SetSpec, path: Path, source: Path | None, train_size: int | None, seed: int) -> Dataset:
    """A CIFAR set from its cache, fetched first if there is none that is whole."""
    try:
        tensors = read_cache(spec, path)
    except DataError as error:
        problem = str(error) if path.exists() else "it is not there"
        fetch(spec, path, problem=problem, source=source)
        tensors = read_cache(spec, path)
    train = Split(tensors["train_images"], tensors["train_labels"].long())
    test = Split(tensors["test_images"], tensors["test_labels"].long())
    if train_size is not None:
        train = train.subset(balanced(train.labels, train_size, len(spec.classes), seed))
        # Choosing touched most of the mapped file: let that mapping go, and take the test images from a fresh one.
        test = Split(read_cache(spec, path)["test_images"], test.labels)
    return Dataset(spec.name, train, test, spec.classes)


def balanced(labels: Tensor, size: int, classes: int, seed: int) -> Tensor:
    """Indices, int64 [size] and rising, of a class-balanced part chosen by `seed`; larger parts hold smaller ones.

    Every class gets size // classes; the first size % classes of the classes in a seeded order get one more.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    quota = torch.full((classes,), size // classes)
    quota[torch.randperm(classes, generator=generator)[: size % classes]] += 1
    grouped, counts = order[labels[order].argsort(stable=True)], torch.bincount(labels, minlength=classes).tolist()
    chosen = [members[:count] for members, count in zip(torch.split(grouped, counts), quota.tolist(), strict=True)]
    return torch.cat(chosen).sort().values


def _draw(train_size: int, test_size: int, seed: int, difficulty: float, label_noise: float) -> Dataset:
    train = shapes.draw(train_size, seed=seed, difficulty=difficulty, label_noise=label_noise)
    test = shapes.draw(test_size, seed=0, stream=shapes.TEST, difficulty=difficulty)
    return Dataset("shapes", Split(*train), Split(*test), shapes.CLASSES)
