"""Mixing in a DataLoader's collate, and as a transform beside torchvision's."""

from collections import namedtuple
from operator import itemgetter

import pytest
import torch
from refusals import refuses
from seeding import seeded
from take_home import CLASSES, images
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

import mixlab as mx


def from_workers(start, seed):
    """Six batches, made by two workers; images and labels say the same."""
    draw = seeded(seed)
    collate = mx.MixCollate(mx.Mixer("mixup", k=2))
    loader = DataLoader(images(48), 8, num_workers=2, generator=draw, collate_fn=collate, multiprocessing_context=start)
    return list(loader)


def test_workers_draw_differently_and_a_seed_gives_the_same_again():
    first, again, spawned = from_workers("fork", 0), from_workers("fork", 0), from_workers("spawn", 0)
    for parts in zip(first, again, spawned, strict=True):
        for one, other, third in zip(*parts, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, third)
    lams = torch.stack([lam for *_, lam in first])
    assert lams.unique().numel() == lams.numel()  # no worker repeats the other, nor itself
    assert not torch.equal(torch.stack([lam for *_, lam in from_workers("fork", 1)]), lams)
    for x, y_a, y_b, lam in first:
        expected = (lam * y_a + (1 - lam) * y_b) / CLASSES
        torch.testing.assert_close(x, expected.view(-1, 1, 1, 1).expand_as(x))


def test_same_as_torchvision_cutmix():
    x, y = torch.rand(6, 3, 9, 7), torch.randint(CLASSES, (6,))
    mixer = mx.Mixer("cutmix", shared_lam=True, partners="roll")
    torch.manual_seed(4)
    ours = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(4)
    plan = mixer.plan(x)
    top, left, bottom, right = plan.box[0, 0].tolist()
    assert 0 < plan.lam[0, 0] < 1
    torchvisions = v2.CutMix(num_classes=CLASSES)
    torchvisions.make_params = lambda _: {"box": (left, top, right, bottom), "lam_adjusted": float(plan.lam[0, 0])}
    theirs = torchvisions(x, y)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1].dtype == theirs[1].dtype
    torch.testing.assert_close(ours[1], theirs[1])


def test_tv_tensors_stay_what_they_are_and_masks_are_cut_alike():
    y = torch.arange(6)
    field = (y + 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    image, mask = tv_tensors.Image(field.float()), tv_tensors.Mask(field[:, 0].clone())
    transform = v2.Compose([v2.Identity(), mx.MixTransform(mx.Mixer("cutmix", k=3), CLASSES)])
    mixed, targets, masks = transform(image, y, mask)
    assert (type(mixed), type(masks), type(targets)) == (tv_tensors.Image, tv_tensors.Mask, torch.Tensor)
    assert mixed.shape == (18, 1, 8, 8)
    assert masks.dtype == torch.int64
    assert torch.equal(mixed[:, 0].as_subclass(torch.Tensor).long(), masks.as_subclass(torch.Tensor))
    for seen, target in zip(masks.as_subclass(torch.Tensor), targets, strict=True):
        share = torch.bincount(seen.flatten() - 1, minlength=CLASSES) / 64
        torch.testing.assert_close(target, share)


@pytest.mark.parametrize("make", [mx.MixCollate, mx.MixTransform])
def test_weights_mix_images_and_soft_targets_alike(make):
    data = images(6)
    made = make(mx.Mixer("perturbed", k=2), CLASSES)
    x, targets = made(list(data)) if make is mx.MixCollate else made(*data.tensors)
    assert x.shape == (12, 3, 4, 4)
    torch.testing.assert_close(x.mean((1, 2, 3)), targets @ (torch.arange(CLASSES).float() / CLASSES))
    torch.testing.assert_close(targets.sum(1), torch.ones(12))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (4, 6, 6)])
def test_masks_of_integers_are_pasted_and_never_blended(shape, dtype):
    x, y = torch.rand(4, 3, 6, 6), torch.arange(4) % 3
    mask = tv_tensors.Mask(torch.randint(0, 2 if dtype == torch.bool else 200, shape).to(dtype))
    with pytest.raises(TypeError, match=r"^masks of integers must be mixed by pasting, .*would blend class labels; "):
        mx.MixTransform(mx.Mixer("mixup", k=2), 3)(x, y, mask)

    torch.manual_seed(0)
    _, _, mixed = mx.MixTransform(mx.Mixer("cutmix", k=2), 3)(x, y, mask)
    torch.manual_seed(0)
    plan = mx.Mixer("cutmix", k=2).plan(x, y)
    assert type(mixed) is type(mask)
    assert mixed.dtype == dtype
    assert torch.equal(mixed.as_subclass(torch.Tensor).double(), plan.apply(mask.as_subclass(torch.Tensor).double()))


ONLY_X = {"inputs_getter": "x"}
DEEP = {"labels_getter": lambda batch: batch[1][1][1], "inputs_getter": lambda batch: batch[0][0]}
Pair = namedtuple("Pair", "x y")
STRUCTURES = {  # how an example or a batch holds image and label; what it says of that; where they are again
    "a list": (lambda x, y: [x, y], {}, tuple),
    "a dict": (lambda x, y: {"label": y, "image": x}, {}, itemgetter("image", "label")),
    "its key in other case": (lambda x, y: {"x": x, "Z_LABEL": 1 - y, "LABELS": y}, ONLY_X, itemgetter("x", "LABELS")),
    "another key": (lambda x, y: {"x": x, "target": y}, {"labels_getter": "target"}, itemgetter("x", "target")),
    "a dict in a tuple": (lambda x, y: (x, {"name": "cat", "label": y}), {}, lambda b: (b[0], b[1]["label"])),
    "deep": (lambda x, y: [[x], ("cat", (1, y))], DEEP, lambda b: (b[0][0], b[1][1][1])),
    "a named tuple": (Pair, {}, lambda b: (b.x, b.y)),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_batch_of_any_structure_is_mixed_in_its_places(structure):
    hold, getters, find = STRUCTURES[structure]
    x, y = images(6).tensors
    was, mixer, whole = x.clone(), mx.Mixer("cutmix", k=2), hold(x, y)
    torch.manual_seed(0)
    expected = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(0)
    mixed = mx.MixTransform(mixer, CLASSES, **getters)(whole)
    torch.manual_seed(0)
    collated = mx.MixCollate(mixer, CLASSES, **getters)([hold(image, int(label)) for image, label in images(6)])
    assert type(mixed) is type(whole)
    for result in (mixed, collated):
        assert all(map(torch.equal, find(result), expected))
    assert find(whole)[0] is x  # the batch given is not changed
    assert torch.equal(x, was)


@pytest.mark.parametrize("name", ["one-hot", "soft", "multi-label"])
def test_float_targets_are_mixed_as_torchvision_mixes_them(name):
    x, y, draw = torch.rand(6, 3, 8, 8), torch.arange(6) % 4, torch.rand(6, 4)
    labels = {"one-hot": torch.eye(4)[y], "soft": draw / draw.sum(1, keepdim=True), "multi-label": draw.round()}[name]
    mixer = mx.Mixer("mixup", shared_lam=True, partners="roll")
    torch.manual_seed(4)
    ours = mx.MixTransform(mixer)(x, labels)
    torch.manual_seed(4)
    torchvisions = v2.MixUp(num_classes=4)
    lam = float(mixer.plan(x).lam[0, 0])
    torchvisions.make_params = lambda _: {"lam": lam}
    torch.testing.assert_close(ours, torchvisions(x, labels))
    for classes in (4, None):
        torch.manual_seed(4)
        mixed, first, *rest = mx.MixCollate(mixer, classes)(list(zip(x, labels, strict=True)))
        targets = first if classes else rest[1][:, None] * first + (1 - rest[1][:, None]) * rest[0]
        torch.testing.assert_close((mixed, targets), ours)


OFTEN = [mx.Mixer("cutmix", k=2, probability=0.5), mx.OneOf([mx.Mixer("mixup", k=3), mx.Mixer("perturbed")], [1, 2])]


@pytest.mark.parametrize("mixer", OFTEN)
def test_batches_are_mixed_as_often_as_the_mixer_says(mixer):
    x, y = images(6).tensors
    collate, transform, seen = mx.MixCollate(mixer, CLASSES), mx.MixTransform(mixer, CLASSES), set()
    for seed in range(12):
        results = []
        for take in (lambda: mixer.plan(x), lambda: transform(x, y), lambda: collate(list(images(6)))):
            torch.manual_seed(seed)
            results.append(take())
        plan, *mixed = results
        seen.add(plan.variant)
        for result in mixed:
            assert torch.equal(result[0], plan.apply(x))
            assert torch.equal(result[1], plan.targets(y, CLASSES))
    assert len(seen) == 2


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_masks_for_labels_are_cut_as_the_images_are(dtype):
    masks = torch.randint(0, 200, (6, 8, 8)).to(dtype)
    x = masks[:, None].expand(-1, 3, -1, -1).float()
    mixed, labels = mx.MixTransform(mx.Mixer("cutmix", k=2))({"x": x, "label": masks}).values()
    assert labels.dtype == dtype
    assert torch.equal(mixed[:, 0], labels.float())
    with pytest.raises(TypeError, match="masks of integers must be mixed by pasting"):
        mx.MixTransform(mx.Mixer("mixup"))(x, masks)


def test_two_views_of_an_image_are_mixed_alike_and_strings_stay():
    x, y = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8), torch.arange(4)
    (one, other), targets, names = mx.MixTransform(mx.Mixer("mixup", k=2), 4)(((x, x.clone()), y, ["a", "b", "c", "d"]))
    assert torch.equal(one, other)
    assert (one.dtype, targets.shape, names) == (torch.uint8, (8, 4), ["a", "b", "c", "d"])


@pytest.mark.parametrize("variant", ["mixup", "cutmix", "resizemix", "regmixup", "perturbed", "inputonly"])
def test_a_last_batch_of_one_is_left_as_it_is(variant):
    mixer = mx.Mixer(variant, k=3)
    batches = list(DataLoader(images(5), 2, collate_fn=mx.MixCollate(mixer, CLASSES)))
    for x, targets in (batches[-1], mx.MixTransform(mixer, CLASSES)(images(5).tensors[0][4:], torch.tensor([4]))):
        assert torch.equal(x, images(5).tensors[0][4:])
        assert torch.equal(targets, torch.eye(CLASSES)[4:5])
    if variant != "perturbed":
        x, *labels = mx.MixCollate(mixer)([images(5)[4]])
        assert [part.tolist() for part in labels] == [[4], [4], [1.0]]


IMAGE, X, Y = torch.zeros(3, 4, 4), torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 2, 2])


BOXES = tv_tensors.BoundingBoxes(torch.rand(4, 4), format="XYXY", canvas_size=(5, 5))
COLLATE, TRANSFORM = mx.MixCollate(mx.Mixer("mixup"), 3), mx.MixTransform(mx.Mixer("mixup"), 3)


def getter(labels_getter="default", inputs_getter="default"):
    return mx.MixTransform(mx.Mixer(), 3, labels_getter=labels_getter, inputs_getter=inputs_getter)


@pytest.mark.parametrize(
    ("take", "given", "error", "words"),
    [
        (COLLATE, [[(IMAGE, 0), (IMAGE, 3)]], ValueError, ["labels", "from 0 to 2", "from 0 to 3"]),
        (COLLATE, [[{"image": 1}, {"image": 1}]], TypeError, ["batch", "got {'image': Tensor}"]),
        (COLLATE, [[(IMAGE, 0), (IMAGE, 1, 2)]], ValueError, ["examples", "one structure", "equal size"]),
        (COLLATE, [[{"x": 1, "label": 0}, {"y": 1, "label": 0}]], ValueError, ["examples", "one structure", "'x'"]),
        (COLLATE, [[{"label": 1}, {"label": 1}]], TypeError, ["batch", "inputs", "got {'label': Tensor}"]),
        (mx.MixCollate(mx.Mixer()), [[(IMAGE, 0, 1), (IMAGE, 0, 1)]], ValueError, ["num_classes", "pairs", "got None"]),
        (COLLATE, [None], TypeError, ["examples", "got None"]),
        (COLLATE, [[]], ValueError, ["examples", "got none"]),
        (COLLATE, [[(IMAGE, 0), (IMAGE[:, 1:], 1)]], ValueError, ["examples", "images of one shape", "equal size"]),
        (TRANSFORM, [X, torch.arange(4)], ValueError, ["labels", "from 0 to 2", "from 0 to 3"]),
        (TRANSFORM, [X[0], Y[:3]], ValueError, ["images", "batch", "got a float32 tensor"]),  # channels are no batch
        (TRANSFORM, [X], TypeError, ["batch", "got a value of type Tensor"]),
        (TRANSFORM, [{"image": X, "target": Y}], TypeError, ["batch", "labels_getter", "got {'image': Tensor,"]),
        (mx.MixTransform(mx.Mixer()), [X, Y], ValueError, ["num_classes", "got None for an int64 tensor"]),
        (TRANSFORM, [X, torch.rand(4, 5)], ValueError, ["y", "float targets [batch, 3]", "[4, 5]"]),
        (TRANSFORM, [X, torch.eye(4, 3).long()], TypeError, ["labels", "floats", "multi-label", "int64", "[4, 3]"]),
        (TRANSFORM, [X, [0, 1, 2, 2]], TypeError, ["batch", "labels", "got (Tensor, list)"]),
        (TRANSFORM, [{"x": X, "labels": Y[:3]}], ValueError, ["batch", "as many rows", "labels of 3", "[4, 3, 5, 5]"]),
        (TRANSFORM, [{"x": X, "labels": Y, "id": Y}], ValueError, ["labels_getter", "holds once", "int64"]),
        (TRANSFORM, [{"x": X, "labels": Y, "id": Y.clone()}], TypeError, ["masks of integers", "inputs_getter"]),
        (getter(lambda batch: batch[1] + 0), [X, Y], ValueError, ["labels_getter", "holds once", "int64"]),
        (getter("target"), [{"x": X, "labels": Y}], ValueError, ["labels_getter", "a key", "got 'target'"]),
        (getter(inputs_getter=lambda batch: batch[1]), [X, Y], ValueError, ["inputs_getter", "not its labels"]),
        (TRANSFORM, [X, Y, BOXES], TypeError, ["batch", "tensors", "got (Tensor, Tensor, BoundingBoxes)"]),
    ],
)
def test_wrong_batches(take, given, error, words):
    refuses(lambda: take(*given), error, *words)
