"""Normalized images, against the formula in float64 and the same everywhere that images are normalized."""

import pytest
import torch
from torch import Tensor, nn

from mixlab import Mixer, mixed_logits, saliency
from mixlab.mixing.normalize import check_given, normalized
from mixlab.mixing.variants import KINDS

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
DTYPES = [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16]


def images(dtype: torch.dtype) -> Tensor:
    gray = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return gray if dtype == torch.uint8 else (gray.double() / 255).to(dtype)


class Watch(nn.Module):
    """Logits of two classes, and a list of what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach())
        return self.head(x.flatten(1)[:, :2] * 3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_formula_rounded_once_and_laid_out_like_x(dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = images(dtype).contiguous(memory_format=layout)
    before = x.clone()
    got = normalized(x, (MEAN, STD))
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (MEAN, STD))
    wanted = (x.double() / (255 if dtype == torch.uint8 else 1) - mean) / std
    kind = torch.float32 if dtype == torch.uint8 else dtype
    assert got.dtype == kind
    assert got.is_contiguous(memory_format=layout)
    # half a step of the type, and what float32 is off before it is rounded
    mixed_in = torch.promote_types(kind, torch.float32)
    step = wanted.abs() * torch.finfo(kind).eps / 2 + 8 * torch.finfo(mixed_in).eps
    assert bool(((got.double() - wanted).abs() <= step).all())
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_sees_the_same_wherever_images_are_normalized(dtype: torch.dtype) -> None:
    x, y, model = images(dtype), torch.tensor([0, 1, 1, 0]), Watch()
    saliency(model, x, y, normalize=(MEAN, STD))
    mixed_logits(model, x, Mixer("none").plan(x), normalize=(MEAN, STD))
    mixed_logits(model, x, Mixer("manifold", layers=["head"]).plan(x), normalize=(MEAN, STD))
    assert len(model.seen) == 3
    wanted = normalized(x, (MEAN, STD))
    for seen in (*model.seen, Mixer("none").plan(x).apply(x, normalize=(MEAN, STD))):
        assert seen.dtype == wanted.dtype
        assert torch.equal(seen, wanted)


def test_what_is_normalized_before_goes_in_as_it_is() -> None:
    x = images(torch.float32)
    assert normalized(x, None) is x
    torch.testing.assert_close(normalized(images(torch.uint8), (0, 1)), images(torch.uint8).float() / 255)


WATCHING = [name for name, kind in KINDS.items() if kind.needs_model]


@pytest.mark.parametrize(
    "call",
    [
        lambda x, _: check_given(x, None),
        lambda x, _: normalized(x, None),
        lambda x, y: saliency(Watch(), x, y),
        lambda x, _: mixed_logits(Watch(), x, Mixer().plan(x)),
        *(lambda x, y, name=name: Mixer(name).plan(x, y, model=Watch()) for name in WATCHING),
    ],
)
def test_uint8_images_need_it_wherever_a_model_sees_them(call) -> None:
    with pytest.raises(ValueError, match=r"^normalize must be \(mean, std\) for uint8 images, got None$"):
        call(images(torch.uint8), torch.tensor([0, 1, 1, 0]))
