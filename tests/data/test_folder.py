"""Folders of class folders: images of every size and mode, given and drawn splits, and what is refused."""

import numpy as np
import pytest
from PIL import Image

import mixlab as mx
from mixlab.data import DataError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOR = np.stack([RAMP, RAMP.T, 255 - RAMP], 2)
HALF = np.where(np.arange(16)[:, None] < 8, 255, 0).repeat(16, 1).astype(np.uint8)  # opaque above, clear below
PAIRS = {f"{name}/{n}.png": RAMP for name in "ab" for n in range(2)}


def write(folder, files):
    """Files of a folder from a mapping of paths to arrays, pictures or bytes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            (Image.fromarray(content) if isinstance(content, np.ndarray) else content).save(path)
    return folder


def read(folder, *pictures, **options):
    """The training images of a folder whose class "a" trains on the pictures, in their order."""
    files = {f"train/a/{place:02}.png": picture for place, picture in enumerate(pictures)}
    rest = {f"{part}/b/x.png": Image.fromarray(RAMP) for part in ("train", "test")}
    data = mx.load(write(folder, files | rest | {"test/a/x.png": RAMP}), image_size=16, **options)
    return data.train.images[: len(pictures)].permute(0, 2, 3, 1).numpy()


def on_white(color):
    return np.where(HALF[..., None] > 0, color, 255)


@pytest.mark.parametrize(
    ("picture", "wanted"),
    [
        (Image.fromarray(COLOR), COLOR),
        (Image.fromarray(np.dstack([COLOR, HALF])), on_white(COLOR)),
        (Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(HALF)]), on_white(RAMP[..., None])),
        (Image.fromarray(RAMP), RAMP[..., None]),
        (Image.fromarray(HALF).convert("1"), HALF[..., None]),
        (Image.fromarray(RAMP.astype(np.uint16) * 257), RAMP[..., None]),
        (Image.fromarray(RAMP.astype(np.uint16) * 250 + 128), ((RAMP * 250.0 + 128) / 257).round()[..., None]),
        (Image.fromarray(COLOR).quantize(256), np.asarray(Image.fromarray(COLOR).quantize(256).convert("RGB"))),
    ],
    ids=["RGB", "RGBA", "LA", "L", "1", "16 bits", "16 bits rounded", "palette"],
)
def test_images_of_every_mode_show_what_they_hold(tmp_path, picture, wanted):
    images = read(tmp_path, picture)
    assert images.shape[-1] == wanted.shape[-1]
    assert np.array_equal(images[0], wanted)


def test_one_file_with_color_gives_all_three_channels(tmp_path):
    images = read(tmp_path, RAMP, COLOR)
    assert np.array_equal(images[0], RAMP[..., None].repeat(3, 2))
    assert np.array_equal(images[1], COLOR)


@pytest.mark.parametrize(("resize", "middle"), [("crop", (16, 48)), ("squash", (0, 64))])
def test_wide_images_are_cropped_about_the_center_or_squashed(tmp_path, resize, middle):
    wide = np.arange(64, dtype=np.uint8)[None].repeat(32, 0)
    low, high = middle
    wanted = wide[:, low:high].reshape(32, 16, -1).mean(2)  # a box mean; the bilinear filter's is its own on a ramp
    images = read(tmp_path, wide, resize=resize)[0, ..., 0].astype(float)
    assert np.abs(images - wanted[:16])[:, 1:-1].max() <= 0.5


@pytest.mark.parametrize("side", [8, 33, 224])
def test_photographs_of_any_size_stand_upright(tmp_path, side):
    photo = Image.fromarray(COLOR.repeat(16, 0).repeat(16, 1))
    turned = photo.getexif()
    turned[0x0112] = 6  # shot with the camera turned: shown rotated by 90 degrees clockwise
    for part in ("train", "test"):
        write(tmp_path, {f"{part}/{name}/x.jpg": photo.resize((9, 200)) for name in "ab"})
    photo.save(tmp_path / "train" / "a" / "x.jpg", exif=turned, quality=95)
    data = mx.load(tmp_path, image_size=side)
    assert list(data.train.images.shape) == [2, 3, side, side]
    upright = Image.fromarray(np.rot90(np.asarray(photo), -1)).resize((side, side), Image.Resampling.BILINEAR)
    assert np.abs(data.train.images[0].permute(1, 2, 0).numpy() - np.asarray(upright).astype(float)).mean() < 4


def test_the_test_part_is_drawn_stratified_by_the_seed(tmp_path, capsys):
    counts = {"cat": 40, "dog": 10, "emu": 2}
    files = {f"{k}/{n % 2}/{n}.png": np.full((9, 9), n, np.uint8) for k, count in counts.items() for n in range(count)}
    write(tmp_path, files | {"dog/notes.txt": b"x", ".hidden/x.png": b"", "README.md": b"x"})
    data, again, other = (mx.load(str(tmp_path), image_size=8, seed=seed) for seed in (0, 0, 1))
    assert data.classes == ("cat", "dog", "emu")
    assert data.name == tmp_path.name
    assert data.test.labels.bincount().tolist() == [7, 2, 1]
    assert data.train.labels.bincount().tolist() == [33, 8, 1]
    assert data.digest == again.digest != other.digest
    shown = [{int(image[0, 0, 0]) for image in part.images[part.labels == 0]} for part in (data.train, data.test)]
    assert shown[0] | shown[1] == set(range(40))
    assert not shown[0] & shown[1]
    said = capsys.readouterr().out.splitlines()[0]
    assert said == f"mixlab: {tmp_path}: {data!r}, images of 1x8x8; 2 other files are left out"
    few = mx.load(tmp_path, train_size=20, test_size=5, image_size=8)
    assert few.train.labels.bincount().tolist() == [15, 4, 1]  # of 33, 8 and 1
    assert len(few.test) == 5


@pytest.mark.parametrize(
    ("files", "options", "error", "message"),
    [
        ({}, {}, DataError, r"a folder of images for each class, at least 2, got \[\]"),
        ({"a/x.png": RAMP, "a/y.png": RAMP, "b/x.txt": b""}, {}, DataError, r"b must hold images \(.bmp, .*got none"),
        ({"a/x.png": RAMP, "a/y.png": RAMP, "b/x.png": RAMP}, {}, DataError, "b must hold at least 2 images, .* got 1"),
        ({"train/a/x.png": RAMP, "more/x.png": RAMP}, {}, DataError, "must hold test/ or val/ beside train/"),
        ({f"{place}/x.png": RAMP for place in ("train/a", "train/b", "val/a", "val/c")}, {}, DataError, "has, got c$"),
        (PAIRS | {"a/2.png": b"", "b/3.png": b""}, {}, DataError, r"(?s)2 of 6 images .*:\n.*2.png \(.*3.png \("),
        ({f"{n}/{n}{n}.tif": np.ones((9, 9), "f4") for n in "ab"} | PAIRS, {}, DataError, "8 or 16 bits, got mode 'F'"),
        ({}, {"image_size": 7}, ValueError, "image_size must be an integer from 8 to 224, got 7"),
        ({}, {"resize": "pad"}, ValueError, "resize must be one of 'crop', 'squash', got 'pad'"),
        ({}, {"test_share": 0.6}, ValueError, "test_share must be a number from 0.01 to 0.5, got 0.6"),
        ({}, {"difficulty": 0.5}, ValueError, "difficulty is an option of 'shapes' alone"),
        ({}, {"source": "here"}, ValueError, "source is for 'cifar10' and 'cifar100'"),
        (PAIRS, {"train_size": 3}, ValueError, "train_size .* from 2 to 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_named(tmp_path, files, options, error, message):
    with pytest.raises(error, match=message):
        mx.load(write(tmp_path, files), **options)
