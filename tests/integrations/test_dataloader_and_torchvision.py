"""Mixing in a DataLoader's collate, and as a transform beside torchvision's."""

import pickle
import re
import subprocess
import sys

import pytest
import torch
from take_home import CLASSES, LABELS, ONE, RANGE, ROOT, exactly, images, one_hot_mix
from torch.utils.data import DataLoader

import mixlab as mx


@pytest.fixture(scope="module")
def v2():
    from torchvision.transforms import v2

    return v2


@pytest.fixture(scope="module")
def tv_tensors():
    from torchvision import tv_tensors

    return tv_tensors


# DataLoader


def from_workers(start, seed):
    """Six batches, made by two workers; images and labels say the same."""
    draw = torch.Generator().manual_seed(seed)
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


def test_collate_gives_soft_targets():
    torch.manual_seed(0)
    x, y_a, y_b, lam = mx.MixCollate(mx.Mixer("cutmix", k=3))(list(images(6)))
    torch.manual_seed(0)
    again, targets = mx.MixCollate(mx.Mixer("cutmix", k=3), CLASSES)(list(images(6)))
    assert torch.equal(x, again)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets, one_hot_mix(y_a, y_b, lam).float())


def test_collate_takes_labels_that_are_python_integers():
    x, y_a, _, _ = mx.MixCollate(mx.Mixer("none"))([(torch.ones(3, 4, 4), 7), (torch.zeros(3, 4, 4), 2)])
    assert y_a.tolist() == [7, 2]
    assert x.amax((1, 2, 3)).tolist() == [1, 0]


def test_collate_travels_to_workers():
    collate = mx.MixCollate(mx.Mixer("mixup", k=2), 10)
    assert repr(pickle.loads(pickle.dumps(collate))) == repr(collate)


# torchvision


def force(transform, **params):
    """torchvision's transform, with these parameters instead of drawn ones."""
    transform.make_params = lambda _: params
    return transform


def test_same_as_torchvision_mixup(v2):
    x, y = torch.rand(6, 3, 5, 7), torch.randint(CLASSES, (6,))
    mixer = mx.Mixer("mixup", shared_lam=True, partners="roll")
    torch.manual_seed(3)
    ours = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(3)
    theirs = force(v2.MixUp(num_classes=CLASSES), lam=float(mixer.plan(x).lam[0, 0]))(x, y)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.shape, our.dtype) == (their.shape, their.dtype)
        torch.testing.assert_close(our, their)


def test_same_as_torchvision_cutmix(v2):
    x, y = torch.rand(6, 3, 9, 7), torch.randint(CLASSES, (6,))
    mixer = mx.Mixer("cutmix", shared_lam=True, partners="roll")
    torch.manual_seed(4)
    ours = mx.MixTransform(mixer, CLASSES)(x, y)
    torch.manual_seed(4)
    plan = mixer.plan(x)
    top, left, bottom, right = plan.box[0, 0].tolist()
    assert 0 < plan.lam[0, 0] < 1
    forced = {"box": (left, top, right, bottom), "lam_adjusted": float(plan.lam[0, 0])}
    theirs = force(v2.CutMix(num_classes=CLASSES), **forced)(x, y)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1].dtype == theirs[1].dtype
    torch.testing.assert_close(ours[1], theirs[1])


def test_tv_tensors_stay_what_they_are_and_masks_are_cut_alike(v2, tv_tensors):
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


def test_transform_leaves_its_input_and_takes_one_pair(v2):
    x, y = images(6).tensors
    was = x.clone()
    torch.manual_seed(0)
    apart = mx.MixTransform(mx.Mixer("mixup"), CLASSES)(x, y)
    torch.manual_seed(0)
    together = v2.Compose([mx.MixTransform(mx.Mixer("mixup"), CLASSES)])([x, y])
    assert all(map(torch.equal, apart, together))
    assert torch.equal(x, was)
    assert apart[0].shape == x.shape


def test_transform_shows_its_settings():
    shown = "MixTransform(Mixer('cutmix', alpha=0.5, k=2), num_classes=10)"
    assert repr(mx.MixTransform(mx.Mixer("cutmix", 0.5, 2), 10)) == shown


def test_collate_and_transform_do_without_torchvision():
    code = "import sys, torch, mixlab.integrations.dataloader as b, mixlab; "
    code += "b.MixTransform(mixlab.Mixer('mixup'), 3)(torch.rand(3, 1, 2, 2), torch.arange(3)); "
    code += "print({'torchvision', 'lightning', 'transformers'} & {name.split('.')[0] for name in sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"


# Wrong input


MANIFOLD = "Mixer('manifold', alpha=1, k=1), which mixes inside the model"
INSTEAD = "mix in the training loop, by plan = mixer.plan(x, y, model=model) and mx.mixed_logits(model, x, plan)"


@pytest.mark.parametrize("make", [mx.MixCollate, lambda mixer: mx.MixTransform(mixer, 10)])
def test_mixers_that_need_the_model_are_refused(make):
    message = f"mixer must mix before the model sees the batch, got {MANIFOLD}: {INSTEAD}"
    with pytest.raises(ValueError, match=exactly(message)):
        make(mx.Mixer("manifold"))
    for variant in ("puzzle", "saliencymix"):
        mixer = mx.Mixer(variant)
        message = f"mixer must mix before the model sees the batch, got {mixer!r}, which looks at the model: {INSTEAD}"
        with pytest.raises(ValueError, match=exactly(message)):
            make(mixer)


@pytest.mark.parametrize("make", [mx.MixCollate, mx.MixTransform])
def test_weights_mix_images_and_soft_targets_alike(make):
    data = images(6)
    made = make(mx.Mixer("perturbed", k=2), CLASSES)
    x, targets = made(list(data)) if make is mx.MixCollate else made(*data.tensors)
    assert x.shape == (12, 3, 4, 4)
    torch.testing.assert_close(x.mean((1, 2, 3)), targets @ (torch.arange(CLASSES).float() / CLASSES))
    torch.testing.assert_close(targets.sum(1), torch.ones(12))


def test_wrong_examples_for_collate():
    collate = mx.MixCollate(mx.Mixer("mixup"), 3)
    image = torch.zeros(3, 4, 4)
    with pytest.raises(TypeError, match=exactly("labels " + LABELS)):
        collate([(image, torch.tensor(float(i))) for i in range(4)])
    with pytest.raises(ValueError, match=exactly("labels " + RANGE)):
        collate([(image, i) for i in range(4)])
    with pytest.raises(ValueError, match=exactly(ONE)):
        collate([(image, 0)])
    with pytest.raises(TypeError, match=exactly("examples must be (image, label) pairs, got {'image': 1}")):
        collate([{"image": 1}, {"image": 1}])
    wanted = "examples must be (image, label) pairs"
    with pytest.raises(TypeError, match=exactly(wanted + ", got (1, 2, 3)")):
        collate([(1, 2, 3)])
    with pytest.raises(TypeError, match=exactly(wanted + ", got (1, 2, 3)")):
        collate([(image, 0), (1, 2, 3)])
    with pytest.raises(TypeError, match=exactly(wanted + " in a list, got None")):
        collate(None)
    with pytest.raises(ValueError, match=exactly(wanted + ", at least two of them, got none")):
        collate([])
    wanted += ", images of one shape and labels integers, got what torch refuses: "
    with pytest.raises(ValueError, match="^" + re.escape(wanted) + "stack expects each tensor to be equal size"):
        collate([(image, 0), (image[:, 1:], 1)])
    with pytest.raises(TypeError, match="^" + re.escape(wanted) + "default_collate: batch must contain"):
        collate([(image, None), (image, None)])


def test_wrong_batches_for_the_transform(tv_tensors):
    transform = mx.MixTransform(mx.Mixer("mixup"), 3)
    x, y = torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 2, 2])
    with pytest.raises(TypeError, match=exactly("labels " + LABELS)):
        transform(x, y.float())
    with pytest.raises(ValueError, match=exactly("labels " + RANGE)):
        transform(x, torch.arange(4))
    with pytest.raises(
        ValueError, match=exactly("labels must hold one label for each of the 4 examples, got 3 labels")
    ):
        transform(x, y[:3])
    with pytest.raises(ValueError, match=exactly(ONE)):
        transform(x[:1], y[:1])
    wanted = "images must be a batch [batch, channels, height, width], got a float32 tensor of shape [3, 5, 5]"
    with pytest.raises(ValueError, match=exactly(wanted)):
        transform(x[0], y[:3])  # one image, whose channels would be taken for a batch
    wanted = "batch must be images and labels, then any masks, got "
    with pytest.raises(TypeError, match=exactly(wanted + "a value of type Tensor")):
        transform(x)
    with pytest.raises(TypeError, match=exactly(wanted + "a value of type dict")):
        transform({"image": x, "label": y})
    boxes = tv_tensors.BoundingBoxes(torch.rand(4, 4), format="XYXY", canvas_size=(5, 5))
    wanted = "batch must hold tensors of images, labels and masks, got "
    with pytest.raises(TypeError, match=exactly(wanted + "(Tensor, Tensor, BoundingBoxes)")):
        transform(x, y, boxes)
    with pytest.raises(TypeError, match=exactly(wanted + "(Tensor, list)")):
        transform(x, [0, 1, 2, 2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (4, 6, 6)])
def test_masks_of_integers_are_pasted_and_never_blended(tv_tensors, shape, dtype):
    x, y = torch.rand(4, 3, 6, 6), torch.arange(4) % 3
    mask = tv_tensors.Mask(torch.randint(0, 2 if dtype == torch.bool else 200, shape).to(dtype))
    settings = "which would blend class labels"
    kind = str(dtype).removeprefix("torch.")
    message = (
        f"masks of integers must be mixed by pasting, as in Mixer('cutmix'), got {'an' if kind[0] == 'i' else 'a'} "
        f"{kind} tensor of shape {list(shape)} for Mixer('mixup', alpha=1, k=2), {settings}"
    )
    with pytest.raises(TypeError, match=exactly(message)):
        mx.MixTransform(mx.Mixer("mixup", k=2), 3)(x, y, mask)

    torch.manual_seed(0)
    _, _, mixed = mx.MixTransform(mx.Mixer("cutmix", k=2), 3)(x, y, mask)
    torch.manual_seed(0)
    plan = mx.Mixer("cutmix", k=2).plan(x, y)
    assert type(mixed) is type(mask)
    assert mixed.dtype == dtype
    assert torch.equal(mixed.as_subclass(torch.Tensor).double(), plan.apply(mask.as_subclass(torch.Tensor).double()))
