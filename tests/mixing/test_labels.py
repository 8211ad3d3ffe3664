"""Labels of every kind, mixed and in the loss: one-hot, soft, multi-label, regression, masks, weighed, ignored."""

from functools import partial

import pytest
import torch
from mixable import batch, net
from seeding import seeded
from torch import Tensor, nn
from torch.nn import functional

from mixlab import Mixer, mixed_cross_entropy, mixed_logits, mixed_loss, saliency
from mixlab.mixing.variants import KINDS

WEIGHT = torch.tensor([0.2, 1.0, 3.0, 0.0, 2.0], dtype=torch.float64)
bce = partial(functional.binary_cross_entropy_with_logits, reduction="none")
squared = partial(functional.mse_loss, reduction="none")


def soft(rows: int = 6, classes: int = 4, seed: int = 5) -> Tensor:
    return torch.rand(rows, classes, generator=seeded(seed), dtype=torch.float64)


def draw(variant: str, x: Tensor, y: Tensor, model: nn.Module, **settings):
    settings |= {"layers": ["1"]} if variant == "manifold" else {}
    return Mixer(variant, 1.0, 2, **settings).plan(x, y, model=model, generator=seeded(3))


def same(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("ignored", [None, 2, 255, "all"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("pixels", [(), (4, 3)])
def test_cross_entropy_has_the_weights_and_ignored_labels_of_torch(pixels, weight, ignored, smoothing, reduction):
    generator = seeded()
    logits = torch.randn(7, 5, *pixels, dtype=torch.float64, generator=generator)
    y_a, y_b = torch.randint(0, 5, (2, 7, *pixels), generator=generator)
    if ignored == 255:
        y_a[::2], y_b[1:3] = 255, 255
    if ignored == "all":
        ignored, y_a, y_b = -100, torch.full_like(y_a, -100), torch.full_like(y_b, -100)
    lam = torch.rand(7, dtype=torch.float64, generator=generator)
    options = {"weight": weight, "label_smoothing": smoothing}
    theirs = partial(functional.cross_entropy, logits, ignore_index=-7 if ignored is None else ignored, **options)
    ours = partial(mixed_cross_entropy, logits, ignore_index=ignored, reduction=reduction, **options)
    same(ours(y_a, y_b, torch.ones_like(lam)), theirs(y_a, reduction=reduction))
    same(ours(y_a, y_b, torch.zeros_like(lam)), theirs(y_b, reduction=reduction))

    share = lam.view(7, *[1] * len(pixels)).expand(y_a.shape)
    rows = share * theirs(y_a, reduction="none") + (1 - share) * theirs(y_b, reduction="none")
    table = torch.ones(256, dtype=torch.float64)  # of the weight of each label, ignored ones too
    table[:5] = 1 if weight is None else weight
    if ignored is not None:
        table[ignored] = 0
    total = (share * table[y_a] + (1 - share) * table[y_b]).sum()
    expected = {"none": rows, "sum": rows.sum(), "mean": rows.sum() / total}[reduction]
    same(ours(y_a, y_b, lam), expected)
    same(ours(y_a, y_b, share), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("pixels", [(), (4, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_cross_entropy_of_soft_labels_is_that_of_the_mixed_one(dtype, pixels, weight, reduction):
    logits, y_a, y_b = torch.randn(3, 7, 5, *pixels, generator=seeded()).to(dtype).abs()
    lam = torch.rand(7, generator=seeded())
    share = lam.double().view(7, 1, *[1] * len(pixels))
    target = y_b.double() + share * (y_a.double() - y_b.double())  # not rounded to the labels' type
    precise = logits.to(torch.promote_types(dtype, torch.float32))
    weight = weight if weight is None else weight.to(precise.dtype)
    options = {"weight": weight, "reduction": reduction, "label_smoothing": 0.1}
    expected = functional.cross_entropy(precise, target.to(precise.dtype), **options)
    ours = mixed_cross_entropy(logits, y_a, y_b, lam, **options)
    torch.testing.assert_close(ours, expected, rtol=1e-10 if dtype == torch.float64 else 1e-5, atol=0)


def test_a_class_that_no_logit_allows_may_be_ignored():
    logits = torch.tensor([[-torch.inf, 0.0, 1.0]])
    y, none = torch.tensor([1]), torch.tensor([-100])
    loss = mixed_cross_entropy(logits, none, y, torch.tensor([0.4]), ignore_index=-100)
    same(loss, functional.cross_entropy(logits, y))


@pytest.mark.parametrize("variant", KINDS)
def test_one_hot_rows_are_class_labels(variant):
    (x, y), model = batch(), net()
    rows = functional.one_hot(y, 4).double()
    plans = [draw(variant, x, labels, model) for labels in (y, rows)]
    losses = [mixed_loss(model, x, labels, plan) for labels, plan in zip((y, rows), plans, strict=True)]
    assert plans[0].to_json() == plans[1].to_json()
    torch.testing.assert_close(*losses, rtol=1e-7, atol=0)
    torch.testing.assert_close(plans[1].targets(rows), plans[0].targets(y, 4).double(), rtol=0, atol=1e-6)
    if KINDS[variant].needs_model:
        same(saliency(model, x, rows), saliency(model, x, y))
    if KINDS[variant].mixes_inside or KINDS[variant].decouples or not KINDS[variant].two_labels:
        return
    mixed = Mixer(variant, 1.0, 2)(x, rows, model=model, generator=seeded(3))
    assert mixed.y_a.shape == mixed.y_b.shape == (6 * mixed.plan.k, 4)
    lam = mixed.lam.double()[:, None]
    same(mixed.targets(), lam * mixed.y_a + (1 - lam) * mixed.y_b)


@pytest.mark.parametrize("variant", KINDS)
def test_a_loss_that_is_linear_in_its_target_is_that_of_the_mixed_target(variant):
    (x, _), model, y = batch(), net(), soft()
    plan = draw(variant, x, y, model)
    if variant == "perturbed":
        expected = bce(model(plan.apply(x)), plan.targets(y)).mean()
    else:
        partner, lam = plan.partner.repeat(plan.k), plan.lam.flatten().double()[:, None]
        logits = mixed_logits(model, x, plan)
        expected = bce(logits, lam * y.repeat(plan.k, 1) + (1 - lam) * y[partner]).mean()
    same(mixed_loss(model, x, y, plan, loss=bce), expected)


@pytest.mark.parametrize("shape", [(6, 4), (6,)])
def test_squared_error_has_the_gradient_of_the_mixed_target(shape):
    (x, _), model, y = batch(), net(), soft()[..., 0] if len(shape) == 1 else soft()
    head = model if len(shape) == 2 else nn.Sequential(model, nn.Linear(4, 1).double(), nn.Flatten(0))
    plan = Mixer("mixup", k=3).plan(x, y, generator=seeded())
    y_a, y_b, lam = plan.labels(y)
    lam = lam.double().view(-1, *[1] * (len(shape) - 1))
    both = mixed_loss(head, x, y, plan, loss=squared)
    one = squared(head(plan.apply(x)), plan.targets(y)).mean()
    same(plan.targets(y), lam * y_a + (1 - lam) * y_b)
    same(both, one + (lam * (1 - lam) * (y_a - y_b).square()).mean())
    for first, second in zip(*(torch.autograd.grad(loss, [*head.parameters()]) for loss in (both, one)), strict=True):
        same(first, second)


@pytest.mark.parametrize(("outputs", "labels"), [((-1, 1), (6,)), ((-1,), (6, 1))])
def test_a_loss_of_each_example_with_every_other_is_refused(outputs, labels):
    (x, _), head = batch(), nn.Sequential(net(), nn.Linear(4, 1).double(), Shaped(*outputs))
    y, plan = soft()[:, 0], Mixer("mixup", k=2).plan(x, generator=seeded())
    with pytest.raises(ValueError, match=r"^y must be .* broadcast .* and a loss of \[12, 12\]$"):
        mixed_loss(head, x, y.view(labels), plan, loss=lambda logits, y: (logits - y) ** 2)
    mixed_loss(head, x, y.view(6, *outputs[1:]), plan, loss=lambda logits, y: (logits - y) ** 2)


class Shaped(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.view(self.shape)


MASKS = torch.randint(0, 3, (6, 8, 8), generator=seeded(8))
MASKS[:, 0] = 255  # not counted
SEGMENTER = nn.Conv2d(3, 3, 3, padding=1).double()


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
@pytest.mark.parametrize("variant", ["mixup", "cutmix", "resizemix", "none"])
def test_segmentation_by_loops(variant, dtype):
    x = batch()[0]
    plan = Mixer(variant, k=2).plan(x, generator=seeded())
    loss = mixed_loss(SEGMENTER, x, MASKS.to(dtype), plan, ignore_index=255)
    log_p, total, count = SEGMENTER(plan.apply(x)).log_softmax(1), 0.0, 0.0
    # float64 images of one channel that are the mask: what is cut shows where each pixel's class is from
    shown = None if variant == "mixup" else plan.apply(MASKS.double()[:, None])[:, 0].long()
    for row in range(12):
        i, share = row % 6, float(plan.lam.flatten()[row])
        for place in [(r, c) for r in range(8) for c in range(8)]:
            pairs = [(int(MASKS[(i, *place)]), share), (int(MASKS[(int(plan.partner[i]), *place)]), 1 - share)]
            for label, weight in pairs if shown is None else [(int(shown[(row, *place)]), 1.0)]:
                if label != 255:
                    total, count = total - weight * log_p[(row, label, *place)], count + weight
    torch.testing.assert_close(loss, total / count, rtol=1e-6, atol=0)
    cross_entropy = partial(functional.cross_entropy, reduction="none", ignore_index=255)
    by_hand = mixed_loss(SEGMENTER, x, MASKS.to(dtype).long(), plan, loss=cross_entropy)
    torch.testing.assert_close(by_hand, total / (12 * 64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("variant", ["cutmix", "resizemix"])
@pytest.mark.parametrize("shape", [(9,), (1, 9), (8, 7), (1, 8, 7), (3, 8, 7)])
def test_maps_of_classes_are_cut_with_signals_images_and_volumes(variant, shape):
    sides = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    maps = torch.randint(0, 5, (6, *shape), generator=seeded())
    x = maps.double().view(6, 1, *sides)  # what is cut shows its own classes
    mixed = Mixer(variant, k=2)(x, maps, generator=seeded())
    assert torch.equal(mixed.y_a, mixed.x.long().view(12, *shape))
    assert torch.equal(mixed.y_b, mixed.y_a)
    assert torch.equal(mixed.lam, torch.ones(12))
    assert not torch.equal(mixed.y_a, maps.repeat(2, *[1] * len(shape)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mask", [MASKS, MASKS.byte(), MASKS.byte()[:, None], MASKS[:, None], MASKS > 1, MASKS.int()])
def test_masks_are_cut_and_never_blended(mask, channels):
    x = torch.rand(6, channels, 8, 8, generator=seeded())
    cut = Mixer("cutmix", k=2).plan(x, generator=seeded())
    for plan in (cut, Mixer("puzzle", k=2, levels=2, blocks=2).plan(x, MASKS[:, 1, 1] % 2, model=Looks(channels))):
        result = plan.apply(mask)
        assert result.dtype == mask.dtype
        assert torch.equal(result.double(), plan.apply(mask.double()))
    blend = Mixer("mixup").plan(x, generator=seeded())
    if channels == 1 and mask.dtype == torch.uint8 and mask.ndim == 4:  # gray images look so, too
        assert blend.apply(mask).shape == mask.shape
        mask = mask.long()
    with pytest.raises(TypeError, match=r"never blended: take both labels by plan.labels\(y\)"):
        blend.apply(mask)
    if mask.dtype != torch.bool:
        y_a, y_b, lam = blend.labels(mask)
        assert torch.equal(y_a, mask.long())
        assert torch.equal(y_b, mask[blend.partner].long())
        assert lam.shape == (6,)


class Looks(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.read = nn.Linear(channels * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x.flatten(1))


def test_one_output_has_no_cross_entropy():
    plan = Mixer("mixup").plan(torch.rand(4, 3), generator=seeded())
    with pytest.raises(ValueError, match="loss must be given for a model of one output"):
        mixed_loss(nn.Linear(3, 1), torch.rand(4, 3), torch.rand(4, 1), plan)
