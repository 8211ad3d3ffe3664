"""Corrupted, occluded and attacked images, and what is memorized: against formulas, scipy and brute force."""

import itertools

import numpy as np
import pytest
import torch
from refusals import refuses
from scipy import ndimage
from seeding import seeded
from small_pictures import small_data
from torch import nn

import mixlab as mx
from mixlab.data import with_wrong_labels
from mixlab.data.dataset import Split
from mixlab.probes import CORRUPTIONS, corrupt, fgsm, load_cifar10c, memorized, occluded, pgd

IMAGES = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=seeded(0))
SMOOTH = mx.load("shapes", train_size=50, test_size=200).test
HALF = ((0.5,) * 3, (0.5,) * 3)


def distance(kind: str, severity: int) -> float:
    return float((corrupt(SMOOTH.images, kind, severity).float() - SMOOTH.images.float()).abs().mean())


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_kind_is_repeatable_and_worse_with_severity(kind):
    changed = [corrupt(IMAGES, kind, severity, seed=3) for severity in (1, 5)]
    assert all(torch.equal(one, corrupt(IMAGES, kind, s, seed=3)) for one, s in zip(changed, (1, 5), strict=True))
    assert changed[0].dtype == torch.uint8
    assert changed[0].shape == IMAGES.shape
    assert not torch.equal(changed[0], IMAGES)
    assert distance(kind, 1) > 0
    if kind not in ("saturate", "elastic", "pixelate"):  # which change their manner on the way
        assert distance(kind, 1) < distance(kind, 5)
    for shape in ((2, 1, 8, 8), (2, 3, 20, 33)):
        other = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(1))
        assert corrupt(other, kind, 5).shape == shape


def test_families():
    families = [chosen.family for chosen in CORRUPTIONS.values()]
    assert len(families) >= 15
    assert set(families) == {"noise", "blur", "weather", "digital"}


def test_noise_has_the_moments_of_its_law():
    gray = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    value = 128 / 255
    for kind, sigma in (("gaussian_noise", 0.06), ("speckle_noise", value * 0.1), ("shot_noise", (value / 250) ** 0.5)):
        changed = corrupt(gray, kind, 2).double() / 255
        assert float(changed.mean()) == pytest.approx(value, abs=2e-3)
        assert float(changed.std()) == pytest.approx(sigma, rel=0.02)
    spoiled = corrupt(gray, "impulse_noise", 5)
    for extreme in (0, 255):
        assert float((spoiled == extreme).double().mean()) == pytest.approx(0.035, abs=3e-3)


def test_a_blur_is_scipys():
    blurred = corrupt(IMAGES, "gaussian_blur", 5)
    by_scipy = ndimage.gaussian_filter(IMAGES.numpy().astype(float), (0, 0, 1.0, 1.0), mode="mirror", truncate=4.0)
    assert np.abs(blurred.numpy() - by_scipy).max() <= 0.51


@pytest.mark.parametrize("kind", ["gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur", "elastic", "fog"])
def test_what_only_moves_light_keeps_a_uniform_image(kind):
    gray = torch.full((3, 3, 32, 32), 90, dtype=torch.uint8)
    changed = corrupt(gray, kind, 4).float()
    if kind != "fog":
        assert float((changed - 90).abs().max()) <= 1
    assert float(changed.min()) > 0


def test_colors_by_hand():
    pixel = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4).contiguous()
    brighter = corrupt(pixel, "brightness", 2)[0, :, 0, 0].tolist()
    assert brighter == pytest.approx([v * (200 / 255 + 0.1) / (200 / 255) for v in (200, 100, 50)], abs=0.51)
    fuller = corrupt(pixel, "saturate", 3)[0, :, 0, 0].tolist()  # S = 0.75 becomes 1: the least becomes 0
    assert fuller == [200, 67, 0]
    flat = corrupt(torch.cat([pixel, 255 - pixel], 3), "contrast", 2)
    assert flat[0, :, 0, 0].tolist() == [round(127.5 + (v - 127.5) / 2 + 1e-9) for v in (200, 100, 50)]


@pytest.mark.filterwarnings("ignore:.*TorchVision are deprecated:DeprecationWarning")
def test_jpeg_is_nearly_torchvisions():
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

    for severity, quality in ((1, 80), (5, 40)):
        theirs = decode_jpeg(encode_jpeg(SMOOTH.images[0], quality), ImageReadMode.RGB)
        gap = (corrupt(SMOOTH.images[:1], "jpeg", severity)[0].int() - theirs.int()).abs()
        assert float(gap.float().mean()) < 2


def test_the_users_own_cifar10c(tmp_path):
    whole = np.zeros((50_000, 32, 32, 3), np.uint8)
    whole[20_000:30_000, :, :, 1] = 7
    np.save(tmp_path / "fog.npy", whole)
    np.save(tmp_path / "labels.npy", np.tile(np.arange(10_000) % 10, 5))
    split = load_cifar10c("fog", 3, root=tmp_path)
    assert len(split) == 10_000
    assert split.images.amax((0, 2, 3)).tolist() == [0, 7, 0]
    assert split.labels[:12].tolist() == [*range(10), 0, 1]
    refuses(lambda: load_cifar10c("frost", 3, root=tmp_path), ValueError, "kind", "['fog']", "'frost'")
    np.save(tmp_path / "snow.npy", whole[:10])
    refuses(lambda: load_cifar10c("snow", 1, root=tmp_path), ValueError, "root", "50000", "(10, 32, 32, 3)")


@pytest.mark.parametrize("place", ["center", "square", "patches"])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_occlusion_hides_its_share(place, share):
    hidden = (occluded(IMAGES, share, place, seed=1) != IMAGES).any(1)
    gray = IMAGES.float().mean((0, 2, 3)).round().to(torch.uint8)[:, None]
    assert torch.equal(
        occluded(IMAGES, share, place, seed=1).movedim(1, 0)[:, hidden], gray.expand(3, int(hidden.sum()))
    )
    assert hidden.double().mean((1, 2)).numpy() == pytest.approx(np.full(40, share), abs=2e-3)
    if place != "square" and share == 0.25:
        assert bool((occluded(IMAGES, 0.5, place, seed=1) != IMAGES).any(1)[hidden].all())
    if place == "center":
        assert bool(hidden[:, 8:24, 8:24].all()) == (share > 0)


class Linear(nn.Module):
    """Logits ±wᵀx of pixels: the worst change in a ball is known."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 32, 32, generator=seeded(2)) / 50)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.w).flatten(1).sum(1)
        return torch.stack([-score, score], 1)


def linear_split() -> tuple[Linear, Split]:
    model = Linear()
    middle = (IMAGES // 2 + 64).clone()
    return model, Split(middle, model((middle.float() / 255 - 0.5) / 0.5).argmax(1))


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_an_attack_on_a_linear_network_finds_the_worst(ball):
    model, split = linear_split()
    clean = split.images.double() / 255
    score = ((clean - 0.5) / 0.5 * model.w.detach().double()).flatten(1).sum(1).abs()
    reach = model.w.abs().sum() if ball == "linf" else model.w.norm()
    reach = float(reach.detach())
    radius = float(score.quantile(0.45)) * 0.5 / reach  # between two scores
    safe = score > radius / 0.5 * reach  # no pixel leaves [0, 1]
    for attack in (fgsm(model, split, HALF, radius, ball=ball), pgd(model, split, HALF, radius, ball=ball, steps=8)):
        assert torch.equal(attack.robust, safe)
        change = attack.pixels.double() - clean
        length = change.abs().amax((1, 2, 3)) if ball == "linf" else change.flatten(1).norm(dim=1)
        assert float(length.max()) <= radius * (1 + 1e-4)
        assert 0 <= float(attack.pixels.min()) <= float(attack.pixels.max()) <= 1
        assert list(attack.losses) == sorted(attack.losses)
    share = attack.accuracy()
    assert share.value == float(safe.double().mean())
    assert share.low < share.value < share.high


def test_accuracy_only_falls_with_steps_restarts_and_radius():
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(392, 10))
    for number, part in enumerate(net.parameters()):
        part.data = torch.randn(part.shape, generator=seeded(number)) / 5
    split = Split(IMAGES, net((IMAGES.float() / 255 - 0.5) / 0.5).argmax(1))
    stands = [
        pgd(net, split, HALF, 0.01, steps=steps, restarts=restarts).robust
        for steps, restarts in ((1, 1), (3, 1), (6, 1), (6, 2), (6, 4))
    ]
    for before, after in itertools.pairwise(stands):
        assert bool((before | ~after).all())
    shares = [float(pgd(net, split, HALF, radius).robust.double().mean()) for radius in (0.0, 0.005, 0.01, 0.05)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[-1] < 1


class Says(nn.Module):
    """Answers with fixed classes, in order."""

    def __init__(self, classes: torch.Tensor) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(self.classes[: len(x)], 4).float()


def test_what_is_memorized_by_counting():
    noisy = with_wrong_labels(small_data((25,) * 4), 0.4)
    wrong = noisy.wrong
    said = noisy.true.clone()
    heart = wrong.nonzero()[:10, 0]
    said[heart] = noisy.data.train.labels[heart]
    found = memorized(Says(said), noisy, HALF)
    means = {name: float(part.values.mean()) for name, part in found.items()}
    assert means == {"learned": 1.0, "memorized": 0.25, "corrected": 0.75}
    assert set(memorized(Says(said), with_wrong_labels(noisy.data, 0), HALF)) == {"learned"}


def test_wrong_arguments():
    model, split = linear_split()
    refuses(lambda: corrupt(IMAGES.float(), "fog", 1), TypeError, "images", "uint8", "float32")
    refuses(lambda: corrupt(IMAGES, "frog", 1), ValueError, "kind", "'fog'", "'frog'")
    refuses(lambda: corrupt(IMAGES, "fog", 6), ValueError, "severity", "5", "6")
    refuses(lambda: occluded(IMAGES, 1.5), ValueError, "share", "1", "1.5")
    refuses(lambda: pgd(model, split, HALF, -1.0), ValueError, "radius", "0", "-1")
    refuses(lambda: fgsm(model, split.images, HALF, 0.1), TypeError, "split", "Split", "uint8")
    refuses(lambda: pgd(model, split, HALF, 0.1, ball="l1"), ValueError, "ball", "linf", "l1")
    refuses(lambda: memorized(model, split, HALF), TypeError, "noisy", "Noisy", "Split")
