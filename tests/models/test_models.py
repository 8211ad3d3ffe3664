"""The small nets: shapes, sizes, seeds, mixing points."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from refusals import refuses
from seeding import seeded
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

import mixlab as mx
from mixlab import models
from mixlab.runs.identity import weights_digest

# Of the last two these are the counts that are given for them everywhere, as by torchinfo; airbench's paper has 1.97 M.
WEIGHTS = {"quick": 201_304, "airbench": 1_972_792, "resnet8": 75_290, "resnet20": 269_722}
WEIGHTS |= {"resnet18": 11_173_962, "preact_resnet18": 11_171_146}
# A token's 64 from 8×8×3, the class token, four blocks of 12·64² + 13·64, the last normalization, the read-out.
WEIGHTS |= {"vit_tiny": 64 * 193 + 64 + 4 * (12 * 64**2 + 13 * 64) + 128 + 650}


def build(name: str, seed: int = 0) -> nn.Module:
    return getattr(models, name)(10, seed=seed)


@pytest.mark.parametrize("name", WEIGHTS)
def test_logits_and_mixing_points(name: str) -> None:
    model = build(name)
    assert sum(p.numel() for p in model.parameters()) == WEIGHTS[name]
    assert len(dict(model.named_parameters(remove_duplicate=False))) == len(dict(model.named_parameters()))
    heights = {}
    for point in model.mixing_points[1:]:
        module = model.get_submodule(point)
        module.register_forward_hook(lambda _, __, out, point=point: heights.__setitem__(point, out.shape[2]))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert list(heights) == [f"stage{i + 1}" for i in range(len(heights))]
    assert list(heights.values()) == sorted(heights.values(), reverse=True)


@pytest.mark.parametrize("side", [8, 33])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted({*WEIGHTS} - {"vit_tiny"}))
def test_images_of_any_side_gray_or_color_reach_all_weights(name: str, channels: int, side: int) -> None:
    model = getattr(models, name)(150, channels=channels)
    logits = model(torch.randn(4, channels, side, side, generator=seeded()))
    assert logits.shape == (4, 150)
    logits.logsumexp(1).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", WEIGHTS)
def test_seed_decides_and_the_global_state_is_left_alone(name: str) -> None:
    before = torch.get_rng_state()
    one, two, other = (weights_digest(build(name, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one == two != other


def test_whitening_whitens_the_model_of_a_photograph() -> None:
    """Patches of the assumed covariance come out uncorrelated, with variance 1, or less where there is hardly any."""
    distance = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]])
    covariance = torch.kron(torch.full((3, 3), 0.94) + 0.06 * torch.eye(3), 0.95**distance).double()
    weight = models.quick(10).whiten.weight
    filters = weight[:12].double().flatten(1)
    out = filters @ covariance @ filters.T
    assert torch.allclose(out, torch.diag(out.diag()), atol=1e-3)
    assert 0.2 < out.diag().min() < out.diag().max() < 1.001
    assert torch.equal(weight[12:], -weight[:12])
    assert not weight.requires_grad


def test_quick_begins_by_passing_the_channels_on() -> None:
    model = models.quick(10)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d) and part is not model.whiten]
    assert len(convolutions) == 6
    for part in convolutions:
        x = torch.rand(2, part.in_channels, 5, 5)
        assert torch.allclose(part(x)[:, : part.in_channels], x, atol=1e-6)


def test_wrong_input() -> None:
    refuses(lambda: models.quick(1), ValueError, "num_classes", "at least 2", "got 1")
    refuses(lambda: models.resnet18(10, channels=0), ValueError, "channels", "at least 1", "got 0")
    bytes_, gray = torch.zeros(4, 3, 8, 8).byte(), torch.zeros(4, 1, 8, 8)
    refuses(lambda: models.airbench(10, images=bytes_), TypeError, "images", "got a uint8")
    refuses(lambda: models.airbench(10, images=gray), ValueError, "images", "[4, 1, 8, 8]")


def weights(model: nn.Module) -> dict[str, Tensor]:
    """All of a model's numbers, drawn anew, in float64: as they begin, some are 0 or 1 and would hide mistakes."""
    generator = seeded()
    with torch.no_grad():
        for least, values in ((-0.5, model.parameters()), (0.5, model.buffers())):
            for value in values:
                value.copy_(torch.rand(value.shape, generator=generator) + least)
    return {name: value.double() for name, value in model.state_dict().items()}


def norm(x: Tensor, w: dict[str, Tensor], name: str, eps: float) -> Tensor:
    parts = ("weight", "bias", "running_mean", "running_var")
    scale, shift, mean, variance = (w[f"{name}.{part}"][:, None, None] for part in parts)
    return (x - mean) / (variance + eps).sqrt() * scale + shift


def conv(x: Tensor, w: dict[str, Tensor], name: str, stride: int = 1, padding: int = 1) -> Tensor:
    return functional.conv2d(x, w[f"{name}.weight"], stride=stride, padding=padding)


def test_airbench_is_its_formula() -> None:
    model = models.airbench(10).eval()
    w = weights(model)
    images = torch.randn(3, 3, 32, 32, generator=seeded(1))
    x = functional.gelu(functional.conv2d(images.double(), w["whiten.weight"], w["whiten.bias"]))
    assert x.shape == (3, 24, 31, 31)
    for stage in ("stage1", "stage2", "stage3"):
        x = functional.max_pool2d(conv(x, w, f"{stage}.0"), 2)
        x = functional.gelu(norm(x, w, f"{stage}.2", 1e-12))
        x = functional.gelu(norm(conv(x, w, f"{stage}.4"), w, f"{stage}.5", 1e-12))
    assert x.shape == (3, 256, 3, 3)
    wanted = functional.max_pool2d(x, 3).flatten(1) @ w["head.weight"].T / 9
    assert torch.allclose(model.double()(images.double()), wanted, rtol=1e-9)


def test_resnet18_is_torchvisions_behind_a_first_layer_for_small_images() -> None:
    model, peer = models.resnet18(10).eval(), resnet18(num_classes=10).double().eval()
    peer.conv1, peer.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False).double(), nn.Identity()
    peer.load_state_dict(dict(zip(peer.state_dict(), weights(model).values(), strict=True)))
    images = torch.randn(2, 3, 32, 32, generator=seeded(1)).double()
    assert torch.allclose(model.double()(images), peer(images), rtol=1e-9)


def test_preact_resnet18_is_its_formula() -> None:
    """y = x' + F(relu(norm(x))), of two blocks a stage."""
    model = models.preact_resnet18(10).eval()
    w = weights(model)
    images = torch.randn(2, 3, 32, 32, generator=seeded(1)).double()

    def rectified(x: Tensor, part: str) -> Tensor:
        return norm(x, w, part, 1e-5).clamp(min=0)

    x = conv(images, w, "stem")
    for stage, block in itertools.product(range(1, 5), range(2)):
        part, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        before = rectified(x, f"{part}.first.0")
        hidden = rectified(conv(before, w, f"{part}.body.0", stride), f"{part}.body.1")
        x = conv(hidden, w, f"{part}.body.3") + (x if stride == 1 else conv(before, w, f"{part}.short", 2, padding=0))
    assert x.shape == (2, 512, 4, 4)
    wanted = x.mean((2, 3)) @ w["head.weight"].T + w["head.bias"]
    assert torch.allclose(model.double()(images), wanted, rtol=1e-9)


def test_resnet18_begins_as_its_short_cuts_with_filters_of_the_right_size() -> None:
    """He et al. (2015): deviation √(2/(9·channels out)); within 3% where there are 36,864 weights or more."""
    model = models.resnet18(10)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() >= 36_864:
            wanted = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            assert abs(float(module.weight.detach().std()) / wanted - 1) < 0.03
    x = torch.rand(2, 64, 8, 8)
    assert torch.equal(model.eval().stage1(x), x)


def test_airbench_whitens_the_images_that_are_given() -> None:
    """Patches come out uncorrelated, with variance v/(v + 5e-4) for each of their principal variances v."""
    images = mx.load("shapes", 40, test_size=10).train.images.double() / 255
    images = (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)
    before = images.clone()
    model = models.airbench(10, images=images)
    assert torch.equal(images, before)
    patches = torch.stack([images[:, :, r : r + 31, c : c + 31] for r in (0, 1) for c in (0, 1)], dim=2)
    rows = patches.permute(0, 3, 4, 1, 2).reshape(-1, 12)
    out = rows @ model.whiten.weight[:12].double().flatten(1).T
    variances = torch.linalg.eigvalsh(rows.T @ rows / len(rows))
    assert torch.allclose(out.T @ out / len(out), torch.diag(variances / (variances + 5e-4)), atol=1e-4)
    plain = models.airbench(10)
    plain.whiten.weight = model.whiten.weight
    assert weights_digest(plain) == weights_digest(model), "nothing else is changed"


def test_models_built_in_several_threads_have_the_weights_of_their_seeds() -> None:
    before, seeds = torch.get_rng_state(), list(range(8)) * 4
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(lambda seed: weights_digest(build("quick", seed)), seeds))
    assert digests == [weights_digest(build("quick", seed)) for seed in seeds]
    assert torch.equal(torch.get_rng_state(), before)
