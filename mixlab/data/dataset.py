"""A data set in memory: a training and a test split of uint8 images and their labels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from mixlab._check import class_labels, shown, tensor
from mixlab.data.from_arrays import parts_from

T = TypeVar("T")
IMAGES = "a uint8 tensor of images with shape [N, channels, height, width]"


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images uint8 [N, C, H, W] and their labels int64 [N]; what is not contiguous is copied so that it is.

    Raises TypeError or ValueError unless they are so.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images = tensor("images", self.images, IMAGES)
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be {IMAGES}, got {shown(images)}")
        class_labels("labels", self.labels, batch=len(images))
        object.__setattr__(self, "images", self.images.contiguous())  # files, and NumPy's views of bytes, need it
        object.__setattr__(self, "labels", self.labels.contiguous())

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

    @classmethod
    def from_arrays(
        cls,
        train: Any,
        test: Any = None,
        *,
        name: str = "own",
        classes: Sequence[str] | None = None,
        image_size: int | None = None,
        resize: str = "crop",
        columns: tuple[str, str] | None = None,
        test_share: float = 0.2,
        seed: int = 0,
    ) -> "Dataset":
        """A Dataset of your own images and labels, gray or in color.

            data = mx.Dataset.from_arrays((images, labels), (test_images, test_labels), classes=["cat", "dog"])
            data = mx.Dataset.from_arrays(torchvision.datasets.SVHN("data", split="train"))
            data = mx.Dataset.from_arrays(hub["train"], hub["test"], image_size=64)

        Args:
            train: is a pair (images, labels); a data set of torchvision, whose stored images are taken before any
                transform, or any data set of pairs (image, label); or one of Hugging Face. Images are a uint8 tensor or
                array [N, C, H, W], [N, H, W, C] or [N, H, W] with 1 or 3 channels, or pictures of Pillow. Labels are
                integers from 0, or texts, which become classes in their order.
            test: is the same for the test split; without it `test_share` of the images is drawn, stratified, by `seed`.
            name: names the data set.
            classes: names the classes (default: as the data set does, or the labels themselves).
            image_size: is the side of the squares that pictures become, as in `mixlab.load`; needed if sizes differ.
            resize: is "crop" or "squash", as in `mixlab.load`.
            columns: names the columns of images and of labels of a Hugging Face data set (default: image or img, and
                label, labels or fine_label).
            test_share: is the share of test images where test is left out, at most 0.5.
            seed: draws them.

        Raises:
            TypeError, ValueError: images or labels of another kind, such as floats; the message says what to do.
        """
        first, second, known = parts_from(
            train,
            test,
            classes=classes,
            image_size=image_size,
            resize=resize,
            columns=columns,
            test_share=test_share,
            seed=seed,
        )
        return cls(name, Split(*first), Split(*second), known)

    def __repr__(self) -> str:
        sizes = f"train {len(self.train):,}, test {len(self.test):,}, {len(self.classes)} classes"
        return f'Dataset("{self.name}", {sizes})'

    @property
    def channels(self) -> int:
        """The number of channels of the training images, 1 for gray and 3 for color."""
        return self.train.images.shape[1]

    @property
    def digest(self) -> str:
        """The sha256 of all images and labels of both splits, and of their shapes, as hexadecimal digits.

        Computed once, and again after torch has written into a tensor.
        """
        return self._current("digest", self._digest)

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training pixels, in units where white is 1.

        Exact: the 256 values are counted, and the moments taken from the counts in float64. Computed once, and again
        after torch has written into the images.
        """
        return self._current("normalization", self._normalization)

    def _current(self, name: str, compute: Callable[[], T]) -> T:
        """Return the stored value, computed again if torch has written into a tensor since."""
        parts = [part for split in (self.train, self.test) for part in (split.images, split.labels)]
        # Torch counts the writes into a tensor, but not into one of inference mode.
        versions = [None if part.is_inference() else part._version for part in parts]
        stored_versions, value = self._computed.get(name, (None, None))
        if stored_versions != versions:
            self._computed[name] = (versions, value := compute())
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
        counts = torch.zeros(images.shape[1], 256, dtype=torch.float64, device="cpu")
        for start in range(0, len(images), 1000):
            for channel in range(images.shape[1]):
                values = images[start : start + 1000, channel].flatten()
                counts[channel] += torch.bincount(values, minlength=256).cpu()
        value = torch.arange(256, dtype=torch.float64, device="cpu") / 255
        share = counts / counts.sum(dim=1, keepdim=True)
        mean = share @ value
        variance = (share * (value - mean[:, None]).square()).sum(dim=1)
        return tuple(mean.tolist()), tuple(variance.sqrt().tolist())


def check_dataset(data: object) -> Dataset:
    """Return `data` if it is a Dataset."""
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a mixlab Dataset, as mx.load gives it, got {shown(data)}")
    return data
