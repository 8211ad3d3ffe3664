"""The vision transformer against torchvision's with the same weights, and against its formula in float64."""

import math

import pytest
import torch
from refusals import refuses
from seeding import seeded
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import mixlab as mx
from mixlab.models.vit import ViT


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(), dtype=torch.float64)


def drawn(model: nn.Module) -> nn.Module:
    """In float64, all of its numbers drawn anew: as they begin, some are 0 or 1 and would hide mistakes."""
    generator = seeded(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return model.double().eval()


def by_hand(rows: int, columns: int, width: int) -> Tensor:
    """Of patch (row, column): sines and cosines of the column, then of the row, at frequencies 10,000^(−i/(n − 1))."""
    n = width // 4
    waves = [10_000 ** (-i / (n - 1)) for i in range(n)]
    return torch.tensor(
        [
            [f(place * wave) for place in (column, row) for f in (math.sin, math.cos) for wave in waves]
            for row in range(rows)
            for column in range(columns)
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("sizes", [{}, {"patch": 4, "width": 48, "depth": 2, "heads": 3}])
def test_it_is_torchvisions(sizes: dict[str, int]) -> None:
    patch, width, depth, heads = ({"patch": 8, "width": 64, "depth": 4, "heads": 4} | sizes).values()
    model = drawn(ViT(10, **sizes))
    peer = VisionTransformer(32, patch, depth, heads, width, 4 * width, num_classes=10).double().eval()
    ours, theirs = dict(model.named_parameters()), dict(peer.named_parameters())
    kinds = {"norm1": "ln_1", "qkv": "self_attention.in_proj_", "project": "self_attention.out_proj", "norm2": "ln_2"}
    kinds |= {"mlp.0": "mlp.0", "mlp.2": "mlp.3"}
    names = {"embed": "conv_proj", "norm": "encoder.ln", "head": "heads.head"}
    names |= {
        f"stage{i + 1}.{a}": f"encoder.layers.encoder_layer_{i}.{b}" for i in range(depth) for a, b in kinds.items()
    }
    with torch.no_grad():
        theirs.pop("class_token").copy_(ours["token"])
        theirs.pop("encoder.pos_embedding")[0].copy_(
            torch.cat([torch.zeros(1, width), by_hand(32 // patch, 32 // patch, width)])
        )
        for name, other in names.items():
            for part in ("weight", "bias"):
                theirs.pop(f"{other}{part}" if other.endswith("_") else f"{other}.{part}").copy_(ours[f"{name}.{part}"])
    assert not theirs
    x = images(3, 3, 32, 32)
    torch.testing.assert_close(model(x), peer(x), rtol=0, atol=1e-6)  # positions are float32


def test_attention_is_its_formula_and_what_the_forward_uses() -> None:
    """Row by row, in the last block: the class token's output is built from `attention` and the values."""
    model, x = drawn(ViT(10, channels=1)), images(2, 1, 16, 24)
    attention = model.attention(x)
    assert attention.shape == (2, 4, 4, 7, 7)
    torch.testing.assert_close(attention.sum(4), torch.ones(2, 4, 4, 7).double())
    entered: list[Tensor] = []
    model.stage4.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    logits, block = model(x), model.stage4
    for place in range(2):
        tokens = entered[0][place]
        query, key, value = block.qkv(block.norm1(tokens)).split(64, 1)
        parts = []
        for head in range(4):
            of = slice(16 * head, 16 * (head + 1))
            scores = [(query[0, of] @ key[j, of]).item() / 4 for j in range(7)]
            total = sum(math.exp(score) for score in scores)
            shares = torch.tensor([math.exp(score) / total for score in scores], dtype=torch.float64)
            torch.testing.assert_close(attention[place, 3, head, 0], shares)
            parts.append(shares @ value[:, of])
        first = tokens[0] + block.project(torch.cat(parts))
        read = model.head(model.norm(first + block.mlp(block.norm2(first))))
        torch.testing.assert_close(logits[place], read)


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (64, 64)])
def test_any_multiple_of_the_patch_reaches_all_weights(size: tuple[int, int]) -> None:
    model = mx.models.vit_tiny(7, channels=1)
    logits = model(torch.randn(4, 1, *size, generator=seeded()))
    assert logits.shape == (4, 7)
    logits.logsumexp(1).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_wrong_input() -> None:
    model = mx.models.vit_tiny(10)
    for shape in ([2, 3, 33, 32], [2, 3, 32, 0], [3, 32, 32]):
        refuses(lambda shape=shape: model(torch.zeros(shape)), ValueError, "x", "multiples of 8 pixels", str(shape))
    refuses(lambda: ViT(10, width=66), ValueError, "width", "multiple of 4 and of heads=4", "got 66")
    refuses(lambda: ViT(10, depth=0), ValueError, "depth", "at least 1", "got 0")


@pytest.mark.parametrize("variant", mx.VARIANTS)
def test_it_is_run_with_every_variant(variant: str) -> None:
    """Manifold mixup too, in its default layers; K = 2."""
    data = mx.load("shapes", train_size=20, test_size=10)
    mixer = mx.Mixer(variant, k=2) if mx.Mixer(variant).kind.pairs else mx.Mixer(variant)
    run = mx.run("vit_tiny", data, mixer, epochs=1, batch_size=10, learning_rate=0.001, progress=False)
    assert math.isfinite(run.history[-1].train_loss)
    assert isinstance(run.model, ViT)


@pytest.mark.parametrize("wrong", [{"num_classes": 1}, {"num_classes": 3, "channels": 0}])
def test_sizes_are_whole_numbers_that_make_sense(wrong) -> None:
    with pytest.raises(ValueError, match=f"{[*wrong][-1]} must be an integer of at least"):
        ViT(**wrong)
