"""Load a data set: CIFAR-10 and CIFAR-100 from a local cache, Shapes, drawn without a network, and your own folder.

Images stay uint8 until they are batched; a full set is mapped from its file and read page by page.
"""

import os
from pathlib import Path
from typing import Any

import platformdirs

from mixlab._check import SEED_MAX, choice, integer, number, shown
from mixlab.data import shapes
from mixlab.data.cache import DataError, read_cache
from mixlab.data.cifar import CIFAR10, SETS, SetSpec
from mixlab.data.cifar_archive import find_official
from mixlab.data.dataset import Dataset, Split
from mixlab.data.fetch import fetch, say
from mixlab.data.folder import load_folder
from mixlab.data.parts import stratified

NAMES = (*SETS, "shapes", "auto")
SHAPES_TRAIN, SHAPES_TRAIN_MOST, SHAPES_TEST = 10_000, 50_000, 5_000


def load(
    name: str | os.PathLike[str] = "auto",
    train_size: int | None = None,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    test_size: int | None = None,
    difficulty: float | None = None,
    label_noise: float | None = None,
    image_size: int | None = None,
    resize: str | None = None,
    test_share: float | None = None,
) -> Dataset:
    """Load a data set: "cifar10", "cifar100", "shapes", "auto", or a folder of your own images.

    "auto" is CIFAR-10 if it is already cached, else Shapes; it prints which, and never waits for a network. A CIFAR
    set whose cache is missing or damaged is fetched once: from your own copy of the official archive or its unpacked
    folder, if it lies in `root` or `source` names it, else from the Hugging Face hub. It is checked against the
    digest of the official data and kept in `root` (default: `$MIXLAB_DATA`, else your cache folder).

    `train_size` takes a class-balanced part of the training set, chosen by `seed`: every class gets
    train_size // classes examples, some get one more, and a larger part holds the smaller ones of the same seed.
    `test_size` does the same with the test set, whatever the `seed`, for lessons that measure often.
    Shapes draws `train_size` training pictures (default 10,000, at most 50,000) and 5,000 test pictures, balanced in
    the same way; another `seed` draws other training pictures, while the test pictures stay the same. Only Shapes has
    `difficulty` (0 to 1, default 0.5) and `label_noise` (the chance that a training label is wrong, default 0; test
    labels are always right).

    A folder is given by its path (the names above go first; `Path("shapes")` is a folder). It holds a folder for each
    class, named as the class, with images of any size and mode in it, or in folders further down; or it holds train/
    and test/ (or val/), each with such class folders. Without those, `test_share` of the images (default 0.2, at most
    0.5) become the test split, drawn by `seed`, stratified. Images become squares of `image_size` pixels (default 32,
    8 to 224): `resize="crop"` (default) takes the largest square about the center, "squash" the whole image; both use
    Pillow's bilinear filter, averaging on the way down. EXIF orientation is applied, transparent parts show white,
    16-bit gray is divided by 257, of an animation the first frame counts. If no file has color, images have one
    channel, else three. Here `train_size` and `test_size` take stratified parts, in which every class keeps its share
    and has an image at least.

    Raises TypeError or ValueError for a wrong argument before doing anything; DataError, which lists each source and
    why it failed, if no source delivers, or which names the files of a folder that cannot be read; and ImportError if
    Pillow is needed and not installed.
    """
    folder = _folder(name)
    kind = repr(choice("name", name, NAMES)) if folder is None else "a folder"
    own = {"image_size": image_size, "resize": resize, "test_share": test_share}
    for owner, options in (("'shapes'", {"difficulty": difficulty, "label_noise": label_noise}), ("a folder", own)):
        for option, given in options.items():
            if given is not None and kind != owner:
                raise ValueError(
                    f"{option} is an option of {owner} alone, got {option}={shown(given)} with name={str(name)!r}"
                )
    seed = integer("seed", seed, 0, SEED_MAX)
    place = _source(str(name), source)
    if folder is not None:
        chosen: dict[str, Any] = {option: given for option, given in own.items() if given is not None}
        return load_folder(folder, train_size=train_size, test_size=test_size, seed=seed, **chosen)
    name = str(name)
    classes, most, most_tested = len(shapes.CLASSES), SHAPES_TRAIN_MOST, SHAPES_TEST
    if name in SETS:
        classes, most, most_tested = len(SETS[name].classes), SETS[name].train_count, SETS[name].test_count
    train_size = None if train_size is None else integer("train_size", train_size, classes, most)
    test_size = None if test_size is None else integer("test_size", test_size, classes, most_tested)
    difficulty = 0.5 if difficulty is None else number("difficulty", difficulty, 0, 1)
    label_noise = 0.0 if label_noise is None else number("label_noise", label_noise, 0, 1)
    if name == "auto":
        name = _choose(root)
    if name == "shapes":
        return _draw(train_size or SHAPES_TRAIN, test_size or SHAPES_TEST, seed, difficulty, label_noise)
    data = _open(SETS[name], cache_path(name, root), place, train_size, seed)
    if test_size is None:
        return data
    test = data.test.subset(stratified(data.test.labels, test_size, seed=0))
    return Dataset(data.name, data.train, test, data.classes)


def cache_path(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the cache file of "cifar10" or "cifar100", whether or not it exists."""
    return data_folder(root) / f"{choice('name', name, SETS)}.safetensors"


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder where data sets are kept: `root`, else `$MIXLAB_DATA`, else your cache folder."""
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise TypeError(f"root must be a path, got {shown(root)}")
    folder = root or os.environ.get("MIXLAB_DATA") or platformdirs.user_cache_path("mixlab")
    return Path(folder).expanduser()


def is_cached(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Say whether "cifar10" or "cifar100" is cached with an intact header; takes milliseconds."""
    try:
        read_cache(SETS[choice("name", name, SETS)], cache_path(name, root))
    except DataError:
        return False
    return True


def verify(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """Hash every byte of a cache file (half a second) and return its path.

    Raises DataError unless it holds the official data.
    """
    path = cache_path(name, root)
    try:
        read_cache(SETS[name], path, verify=True)
    except DataError as error:
        raise DataError(f"{path} is damaged: {error}. Delete it; the next load fetches it again") from None
    return path


def _folder(name: Any) -> Path | None:
    """The folder that `name` stands for: a path, or a text that is no name and looks like a path or is one."""
    if isinstance(name, os.PathLike):
        return Path(name).expanduser()
    if isinstance(name, str) and name not in NAMES and (os.sep in name or "/" in name or Path(name).is_dir()):
        return Path(name).expanduser()
    return None


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
    """Choose the set that "auto" stands for, and print which."""
    path = cache_path(CIFAR10.name, root)
    if is_cached(CIFAR10.name, root):
        say(f"CIFAR-10, from {path}")
        return CIFAR10.name
    state = "is damaged" if path.exists() else "does not exist"
    say(f"Shapes, drawn from a seed, because {path} {state}; load('cifar10') fetches CIFAR-10 once, about 150 MB")
    return "shapes"


def _open(spec: SetSpec, path: Path, source: Path | None, train_size: int | None, seed: int) -> Dataset:
    """Read a CIFAR set from its cache, fetching it first if the cache is missing or damaged."""
    try:
        tensors = read_cache(spec, path)
    except DataError as error:
        problem = str(error) if path.exists() else "it is not there"
        fetch(spec, path, problem=problem, source=source)
        tensors = read_cache(spec, path)
    train = Split(tensors["train_images"], tensors["train_labels"].long())
    test = Split(tensors["test_images"], tensors["test_labels"].long())
    if train_size is not None:
        train = train.subset(stratified(train.labels, train_size, seed=seed))
        # Choosing touched most of the mapped file: let that mapping go, and take the test images from a fresh one.
        test = Split(read_cache(spec, path)["test_images"], test.labels)
    return Dataset(spec.name, train, test, spec.classes)


def _draw(train_size: int, test_size: int, seed: int, difficulty: float, label_noise: float) -> Dataset:
    train = shapes.draw(train_size, seed=seed, difficulty=difficulty, label_noise=label_noise)
    test = shapes.draw(test_size, seed=0, stream=shapes.TEST, difficulty=difficulty)
    return Dataset("shapes", Split(*train), Split(*test), shapes.CLASSES)
