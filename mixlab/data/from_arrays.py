"""Images and labels as users have them: tensors, arrays, data sets of torchvision or Hugging Face, to uint8 tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab._check import class_labels, integer, number, shown
from mixlab.data.parts import held_out
from mixlab.data.pictures import check_size, is_gray, pixels

Part = tuple[Tensor, Tensor]
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels", "fine_label")
_PAIR = "a pair (images, labels), or a data set of torchvision or Hugging Face"
_BYTES = "uint8 images [N, C, H, W], [N, H, W, C] or [N, H, W] with 1 or 3 channels"


def parts_from(
    train: Any,
    test: Any = None,
    *,
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    resize: str = "crop",
    columns: tuple[str, str] | None = None,
    test_share: float = 0.2,
    seed: int = 0,
) -> tuple[Part, Part, tuple[str, ...]]:
    """Training images and labels, test images and labels, and classes; see `Dataset.from_arrays`."""
    test_share = number("test_share", test_share, 0.01, 0.5)
    seed = integer("seed", seed, 0)
    side = None if image_size is None else check_size(image_size, resize)[0]
    given = {"train": train} | ({} if test is None else {"test": test})
    raw = {name: _read(name, part, columns) for name, part in given.items()}
    pictures = [picture for images, _ in raw.values() if _are_pictures(images) for picture in images]
    channels = 1 if all(map(is_gray, pictures)) else 3
    images = {name: _images(name, part[0], channels, side, resize) for name, part in raw.items()}
    if classes is None:
        classes = next((names for part in given.values() if (names := _class_names(part, columns))), None)
    labels, known = _labels({name: part[1] for name, part in raw.items()}, classes)
    for name, part in images.items():
        class_labels(f"the labels of {name}", labels[name], batch=len(part), classes=len(known))
    if test is not None:
        return (images["train"], labels["train"]), (images["test"], labels["test"]), known
    first, second = (
        (images["train"][part], labels["train"][part]) for part in held_out(labels["train"], test_share, seed=seed)
    )
    return first, second, known


def _read(name: str, part: Any, columns: tuple[str, str] | None) -> tuple[Any, Any]:
    """Images and labels of whatever was given, as they are: a tensor, an array, or a list of pictures."""
    if isinstance(part, tuple) and len(part) == 2:
        return part
    if isinstance(part, Mapping):  # a Hugging Face DatasetDict is one, too
        given = f"a {type(part).__name__} with the keys {list(part)}"
        raise TypeError(f"{name} must be {_PAIR}, got {given}: give one of its parts")
    if hasattr(part, "column_names"):
        image, label = _columns(name, part, columns)
        rows = [(row[image], row[label]) for row in part]
        return [row[0] for row in rows], [row[1] for row in rows]
    labels = getattr(part, "targets", getattr(part, "labels", None))
    if isinstance(getattr(part, "data", None), (Tensor, np.ndarray)) and labels is not None:
        return part.data, labels  # as MNIST, CIFAR and SVHN have them, before any transform
    if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")) or isinstance(part, (Tensor, np.ndarray, str)):
        raise TypeError(f"{name} must be {_PAIR}, got {shown(part)}")
    rows = [part[place] for place in range(len(part))]
    if not all(isinstance(row, (tuple, list)) and len(row) == 2 for row in rows):
        raise TypeError(f"{name} must be a data set of pairs (image, label), got items such as {shown(rows[0])}")
    return [row[0] for row in rows], [row[1] for row in rows]


def _columns(name: str, part: Any, columns: tuple[str, str] | None) -> tuple[str, str]:
    have = list(part.column_names)
    image, label = columns or (
        next((column for column in known if column in have), "") for known in (IMAGE_COLUMNS, LABEL_COLUMNS)
    )
    if image not in have or label not in have:
        raise ValueError(f"columns must be (images, labels) of {name}, two of {have}, got {columns}")
    return image, label


def _class_names(part: Any, columns: tuple[str, str] | None) -> Sequence[str] | None:
    """The names of the classes, where a data set knows them."""
    if hasattr(part, "column_names"):
        feature = (getattr(part, "features", None) or {}).get(_columns("train", part, columns)[1])
        return getattr(feature, "names", None)
    names = getattr(part, "classes", None)
    return list(names) if isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names) else None


def _are_pictures(images: Any) -> bool:
    """Whether these are Pillow's images, one at least."""
    return isinstance(images, (list, tuple)) and any(isinstance(getattr(image, "mode", None), str) for image in images)


def _images(name: str, raw: Any, channels: int, side: int | None, resize: str) -> Tensor:
    """uint8 [N, C, H, W] of pictures, of an array or tensor, or of a list of these."""
    if _are_pictures(raw):
        sizes = {picture.size for picture in raw}
        if side is None and len(sizes) > 1:
            raise ValueError(f"image_size must be given for images of different sizes, got {shown(sorted(sizes)[:2])}")
        return torch.stack([pixels(picture, channels, side, resize) for picture in raw])
    wanted = f"the images of {name} must be {_BYTES}, got "
    if side is not None:
        raise ValueError(f"image_size must be left out for arrays, which are not resized, got {side} for {name}")
    if isinstance(raw, (list, tuple)):
        raw = np.stack([np.asarray(image) for image in raw]) if raw else np.zeros(0)
    if not isinstance(raw, (Tensor, np.ndarray)):
        raise TypeError(wanted + shown(raw))
    images = raw if isinstance(raw, Tensor) else torch.from_numpy(np.require(raw, requirements=["C", "W"]))
    if images.is_floating_point():
        raise TypeError(f"{wanted}{shown(images)}: undo any normalization; from 0 to 1, (255 * images).round().byte()")
    if images.dtype != torch.uint8 or images.ndim not in (3, 4):
        raise TypeError(wanted + shown(images))
    images = images.unsqueeze(1) if images.ndim == 3 else images
    first, last = (images.shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        why = "both" if first else "neither"
        raise ValueError(f"{wanted}{shown(images)}, where {why} of the axes 1 and 3 can hold the channels")
    return images if first else images.movedim(3, 1)


def _labels(parts: dict[str, Any], classes: Sequence[str] | None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """int64 labels [N] of each part, and the classes: those given, or the sorted texts, or the numbers from 0 on."""
    arrays = {name: np.asarray(part.cpu() if isinstance(part, Tensor) else part) for name, part in parts.items()}
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in "iuUO" or (array.dtype.kind == "O" and not _texts(array)):
            kind = f"{array.dtype} {list(array.shape)}"
            raise TypeError(
                f"the labels of {name} must be integers or texts, one for each image, got {kind}; of one-hot rows give "
                "labels.argmax(1)"
            )
    kinds = {array.dtype.kind in "UO" for array in arrays.values()}
    if len(kinds) > 1:
        raise TypeError("labels must be integers in both parts, or texts in both, got one of each")
    values = sorted(set().union(*(array.tolist() for array in arrays.values())))
    if kinds == {True}:
        known = tuple(values) if classes is None else tuple(classes)
        if missing := [value for value in values if value not in known]:
            raise ValueError(f"classes must hold every label, got none of {shown(missing)}")
        index = {value: place for place, value in enumerate(known)}
        return {name: torch.tensor([index[text] for text in array.tolist()]) for name, array in arrays.items()}, known
    if classes is None and values != list(range(len(values))):
        raise ValueError(f"labels must be 0 to {len(values) - 1} where classes is not given, got {shown(values)}")
    known = tuple(map(str, values)) if classes is None else tuple(classes)
    return {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}, known


def _texts(array: Any) -> bool:
    return all(isinstance(value, str) for value in array)
