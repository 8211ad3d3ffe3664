"""The small nets: shapes, sizes, seeds, mixing points."""

import re

import pytest
import torch

from mixlab import models

NETS = {"quick": (models.quick, 201_304), "resnet8": (models.resnet8, 75_290), "resnet20": (models.resnet20, 269_722)}


@pytest.mark.parametrize("name", NETS)
def test_logits_and_mixing_points(name: str) -> None:
    build, weights = NETS[name]
    model = build(10)
    assert sum(p.numel() for p in model.parameters()) == weights
    shapes = {}
    for point in model.mixing_points[1:]:
        module = model.get_submodule(point)
        module.register_forward_hook(lambda _, __, out, point=point: shapes.__setitem__(point, out.shape))
    assert model(torch.randn(4, 3, 32, 32)).shape == (4, 10)
    assert list(shapes) == ["stage1", "stage2", "stage3"]
    heights = [shape[2] for shape in shapes.values()]
    assert heights == sorted(heights, reverse=True)


def test_resnet_sizes_are_the_papers() -> None:
    """He et al. (2016), table 6: ResNet-20 has 0.27 M weights; with n = 1, 6n + 2 = 8 layers."""
    for build, layers in ((models.resnet8, 8), (models.resnet20, 20)):
        kinds = (torch.nn.Conv2d, torch.nn.Linear)
        assert sum(isinstance(module, kinds) for module in build(10).modules()) == layers
    assert round(sum(p.numel() for p in models.resnet20(10).parameters()) / 1e6, 2) == 0.27


@pytest.mark.parametrize("name", NETS)
def test_seed_decides_and_the_global_state_is_left_alone(name: str) -> None:
    build, _ = NETS[name]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, two, other = build(10, seed=1), build(10, seed=1), build(10, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_whitening_whitens_the_model_of_a_photograph() -> None:
    """Patches of the assumed covariance come out uncorrelated, with variance 1, or less where there is hardly any."""
    distance = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]])
    covariance = torch.kron(torch.full((3, 3), 0.94) + 0.06 * torch.eye(3), 0.95**distance).double()
    filters = models.quick(10).whiten.weight[:12].double().flatten(1)
    out = filters @ covariance @ filters.T
    assert torch.allclose(out, torch.diag(out.diag()), atol=1e-3)
    assert 0.2 < out.diag().min() < out.diag().max() < 1.001
    assert torch.equal(models.quick(10).whiten.weight[12:], -models.quick(10).whiten.weight[:12])
    assert not models.quick(10).whiten.weight.requires_grad


def test_quick_begins_by_passing_the_channels_on() -> None:
    model = models.quick(10)
    stages = [model.get_submodule(point) for point in model.mixing_points[1:]]
    convolutions = [module for stage in stages for module in stage if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 6
    for conv in convolutions:
        x = torch.rand(2, conv.in_channels, 5, 5)
        assert torch.allclose(conv(x)[:, : conv.in_channels], x, atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (1, "num_classes must be an integer of at least 2, got 1"),
        (2.5, "num_classes must be an integer of at least 2, got 2.5"),
    ],
)
def test_wrong_number_of_classes(classes: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        models.quick(classes)  # type: ignore[arg-type]
