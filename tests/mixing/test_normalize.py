"""Normalized images, against the formula in float64 and the same everywhere that images are normalized."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from mixlab import Mixer, mixed_logits, saliency
from mixlab.mixing.normalize import normalized

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
DTYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16]


def images(dtype: torch.dtype) -> Tensor:
    gray = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return gray if dtype == torch.uint8 else (gray.double() / 255).to(dtype)


class Watch(nn.Module):
    """Logits of two classes, and a list of the images that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return self.head(x.flatten(1)[:, :2] * 3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_sees_the_formula_rounded_once_wherever_images_are_normalized(dtype: torch.dtype, layout) -> None:
    x, y, model = images(dtype).contiguous(memory_format=layout), torch.tensor([0, 1, 1, 0]), Watch()
    before = x.clone()
    normalize = (MEAN, torch.tensor(STD, dtype=torch.float64))
    saliency(model, x, y, normalize=normalize)
    for plan in (Mixer("none").plan(x), Mixer("manifold", layers=["head"]).plan(x)):
        mixed_logits(model, x, plan, normalize=normalize)
    assert len(model.seen) == 3
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (MEAN, STD))
    wanted = (x.double() / (255 if dtype == torch.uint8 else 1) - mean) / std
    kind = torch.float32 if dtype == torch.uint8 else dtype
    # half a step of the type, and what float32 is off before it is rounded
    step = wanted.abs() * torch.finfo(kind).eps / 2 + 8 * torch.finfo(torch.promote_types(kind, torch.float32)).eps
    for seen in (*model.seen, normalized(x, normalize), Mixer("none").plan(x).apply(x, normalize=normalize)):
        assert seen.dtype == kind
        assert seen.is_contiguous(memory_format=layout)
        assert bool(((seen.double() - wanted).abs() <= step).all())
        assert torch.equal(seen, model.seen[0])
    assert torch.equal(x, before)


def test_it_agrees_with_torchvision() -> None:
    x = images(torch.uint8)
    theirs = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(x)
    torch.testing.assert_close(normalized(x, (MEAN, STD)), theirs, rtol=1e-6, atol=1e-6)


def test_what_is_normalized_before_goes_in_as_it_is() -> None:
    x = images(torch.float32)
    assert normalized(x, None) is x
    torch.testing.assert_close(normalized(images(torch.uint8), (0, 1)), images(torch.uint8).float() / 255)
