"""Data sets from the user's own tensors, arrays, pictures, and data sets of torchvision and Hugging Face."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import each_refused
from seeding import seeded
from torch.utils.data import TensorDataset
from torchvision import datasets

import mixlab as mx

from_arrays = mx.Dataset.from_arrays
COLOR = torch.randint(0, 256, (20, 3, 9, 9), dtype=torch.uint8, generator=seeded())
GRAY = COLOR[:, :1].contiguous()
LABELS = torch.arange(20) % 2
PICTURES = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in COLOR]


class Rows(list):
    """A Hugging Face data set, as far as its columns show."""

    def __init__(self, rows, **features):
        super().__init__(rows)
        self.column_names, self.features = list(rows[0]), features


def hub(image="image", label="label", names=("cat", "dog")):
    rows = [{"id": 0, image: picture, label: int(k)} for picture, k in zip(PICTURES, LABELS, strict=True)]
    return Rows(rows, **{label: SimpleNamespace(names=list(names))})


def cifar():
    """As torchvision's CIFAR10 is, once it is downloaded; its transform would give floats."""
    made = object.__new__(datasets.CIFAR10)
    made.data, made.targets, made.classes = COLOR.permute(0, 2, 3, 1).numpy(), LABELS.tolist(), ["cat", "dog"]
    made.transform = made.target_transform = None
    return made


TEXTS = np.array(["cat", "dog"])[LABELS]


@pytest.mark.parametrize(
    ("part", "images", "classes"),
    [
        ((COLOR, LABELS), COLOR, ("0", "1")),
        ((COLOR.permute(0, 2, 3, 1), LABELS.int()), COLOR, ("0", "1")),
        ((COLOR.flip(0).numpy()[::-1], LABELS.numpy().astype(np.uint8)), COLOR, ("0", "1")),
        ((COLOR.permute(0, 2, 3, 1).numpy(), TEXTS), COLOR, ("cat", "dog")),
        ((GRAY, TEXTS.tolist()), GRAY, ("cat", "dog")),
        ((GRAY[:, 0].numpy(), TEXTS.astype(object)), GRAY, ("cat", "dog")),
        ((list(COLOR), torch.stack([LABELS, LABELS], 1)[:, 1]), COLOR, ("0", "1")),
        ((PICTURES, TEXTS), COLOR, ("cat", "dog")),
        (([picture.getchannel(0) for picture in PICTURES], LABELS), GRAY, ("0", "1")),
        (list(zip(PICTURES, LABELS.tolist(), strict=True)), COLOR, ("0", "1")),
        (TensorDataset(COLOR, LABELS), COLOR, ("0", "1")),
        (cifar(), COLOR, ("cat", "dog")),
        (hub(), COLOR, ("cat", "dog")),
        (hub("img", "fine_label"), COLOR, ("cat", "dog")),
    ],
)  # fmt: skip
def test_every_kind_of_source_gives_the_images_and_labels(part, images, classes):
    data = from_arrays(part, part)
    assert torch.equal(data.train.images, images)
    assert torch.equal(data.test.images, images)
    assert torch.equal(data.train.labels, LABELS)
    assert data.classes == classes
    assert data.train.images.is_contiguous()


def test_a_hub_data_set_with_columns_of_its_own_and_a_drawn_test_part():
    data = from_arrays(hub("photo", "kind"), columns=("photo", "kind"), image_size=12, name="mine", seed=3)
    assert repr(data) == 'Dataset("mine", train 16, test 4, 2 classes)'
    assert data.train.labels.bincount().tolist() == [8, 8]
    assert list(data.train.images.shape) == [16, 3, 12, 12]
    other = from_arrays((COLOR, LABELS), seed=3)
    rows = {tuple(image.flatten().tolist()) for part in (other.train, other.test) for image in part.images}
    assert rows == {tuple(image.flatten().tolist()) for image in COLOR}


def test_it_trains_and_is_stored(tmp_path):
    data = from_arrays((GRAY, TEXTS), test_share=0.5)
    runs = list(mx.sweep({"variant": ["none", "cutmix"]}, data, epochs=1, root=tmp_path, progress=False, batch_size=5))
    assert len(runs) == 2
    assert all(run.predictions.classes == ("cat", "dog") for run in runs)
    fresh = mx.runs(tmp_path)[0]
    assert next(fresh.model.parameters()).shape[1] == 1


test_what_cannot_be_taken_is_named_with_the_way_out = each_refused(
    (lambda: from_arrays((COLOR / 255, LABELS)), r"the images of train .*undo any .*\(255 \* images\)"),
    (lambda: from_arrays((COLOR.int(), LABELS)), "the images of train must be uint8 .* got an int32 tensor"),
    (lambda: from_arrays((COLOR[:, :2], LABELS)), "the images of train must .* neither of the axes 1 and 3"),
    (lambda: from_arrays((COLOR[..., :3], LABELS)), "the images of train must .* both of the axes 1 and 3"),
    (lambda: from_arrays((COLOR, LABELS.float())), r"the labels of train must be .*float32 \[20\]"),
    (lambda: from_arrays((COLOR, LABELS > 0)), r"the labels of train must be integers or texts, .* got bool"),
    (lambda: from_arrays((COLOR, torch.eye(20).long())), r"the labels .* got int64 \[20, 20\]; .*argmax"),
    (lambda: from_arrays((COLOR, LABELS + 1)), r"labels must be 0 to 1 where classes is not given, got \[1, 2\]"),
    (lambda: from_arrays((COLOR, LABELS[:9])), "the labels of train must hold one label for each of the 20"),
    (lambda: from_arrays((COLOR, TEXTS), (COLOR, LABELS)), "labels must be integers in both parts, or texts"),
    (lambda: from_arrays((COLOR, TEXTS), classes=["cat"]), r"classes must hold every label, got none of \['dog'\]"),
    (lambda: from_arrays(COLOR), "train must be a pair .* got a uint8 tensor"),
    (lambda: from_arrays({"train": hub()}), r"train must be a pair .* with the keys \['train'\]: give one"),
    (lambda: from_arrays(hub("x")), r"columns must be \(images, labels\) of train, two of \['id', 'x', 'label'\]"),
    (lambda: from_arrays((COLOR, LABELS), image_size=16), "image_size must be left out for arrays"),
    (lambda: from_arrays(([PICTURES[0].resize((4, 4)), *PICTURES], [0, *LABELS])), "image_size must be given"),
    (lambda: from_arrays((COLOR[:3], LABELS[:3])), "every class must have at least 2 images"),
)
