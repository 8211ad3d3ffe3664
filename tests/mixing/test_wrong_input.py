"""Wrong input: each call raises at once, with a message that names the argument and says what was given instead."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mixlab import Mixer, MixPlan, lambda_moments, mixed_cross_entropy, sample_lambda
from mixlab.mixing import lambda_pdf
from mixlab.mixing.ways import Boxes, Mask, Weights

X = torch.arange(4 * 3 * 6 * 5, dtype=torch.float32).view(4, 3, 6, 5)
Y = torch.tensor([0, 1, 2, 1])
LOGITS = torch.linspace(-1, 1, 12).view(4, 3)
LAM = torch.tensor([0.0, 0.25, 0.5, 1.0])
ROLLED = torch.tensor([3, 0, 1, 2])
BOX = torch.tensor([[[1, 1, 3, 4]] * 4])
MASK = torch.tensor([0.0, 0.5, 1.0, 1.0]).view(1, 1, 2, 2).expand(1, 4, 2, 2).contiguous()
MOVES = torch.arange(4).expand(2, 1, 4, 4).contiguous()
STILL = torch.zeros(2, 4, 3, 6, 5)
EYE = torch.eye(4)[None]
META = torch.zeros(4, dtype=torch.int64, device="meta")
GENERATOR = torch.Generator().manual_seed(0)
SHARED = (X, Y, LOGITS, LAM, ROLLED, BOX, MASK, MOVES, STILL, EYE)
THIRD = ((0.5,) * 3, (1, 1, 1))


def plan(way: Any = None, **changes: Any) -> MixPlan:
    fields = {"variant": "mixup", "partner": ROLLED, "lam": LAM[None], "nominal": LAM[None]}
    return MixPlan(**(fields | ({} if way is None else {"way": way}) | changes))


def mask(**changes: Any) -> MixPlan:
    return plan(Mask(**({"mask": MASK, "moves": MOVES, "noise": STILL} | changes)))


def mix(x: Any = X, y: Any = Y, variant: str = "mixup", **options: Any) -> Any:
    return Mixer(variant, **options)(x, y, generator=GENERATOR)


def loss(logits: Any = LOGITS, y_a: Any = Y, y_b: Any = Y, lam: Any = LAM, **options: Any) -> Any:
    return mixed_cross_entropy(logits, y_a, y_b, lam, **options)


def draw(alpha: Any = 1.0, size: Any = 3, **options: Any) -> Any:
    return sample_lambda(alpha, size, **({"generator": GENERATOR} | options))


PLAN, CUT, PUZZLE = plan(rolled=True), plan(Boxes(BOX, (6, 5))), plan(Mask(MASK, MOVES))
ROWS: list[tuple[Any, type[Exception], str, str]] = [  # what to call, what is raised, the argument, what was given
    # the law of λ
    (lambda: draw(0), ValueError, "alpha", "0"),
    (lambda: draw(10**400), ValueError, "alpha", "100000000000000000000000000000000000000000000000000000000..."),
    (lambda: draw(np.array([0.2, 0.4])), TypeError, "alpha", "array([0.2, 0.4])"),
    (lambda: draw(size=(2, -3)), ValueError, "size", "-3"),
    (lambda: draw(dtype=torch.int64), TypeError, "dtype", "torch.int64"),
    (lambda: draw(generator=7), TypeError, "generator", "7"),
    (lambda: draw(device="meta"), ValueError, "generator", "one on cpu"),
    (lambda: lambda_pdf(1, [0.5, 1.5]), ValueError, "grid", "values from 0.5 to 1.5"),
    (lambda: lambda_pdf(1, "half"), TypeError, "grid", "'half'"),
    (lambda: lambda_moments(math.nan), ValueError, "alpha", "nan"),
    # settings of a mixer
    (lambda: Mixer("cutmx"), ValueError, "variant", "'cutmx'; did you mean 'cutmix'?"),
    (lambda: Mixer(k=0), ValueError, "k", "0"),
    (lambda: Mixer(k=2.0), TypeError, "k", "2.0"),
    (lambda: Mixer(shared_lam=1), TypeError, "shared_lam", "1"),
    (lambda: Mixer(partners="rol"), ValueError, "partners", "'rol'; did you mean 'roll'?"),
    (lambda: Mixer("manifold", layers="stage1"), TypeError, "layers", "'stage1'"),
    (lambda: Mixer("manifold", layers=["input", "input"]), ValueError, "layers", "['input', 'input']"),
    (lambda: Mixer("manifold", layer=["input"]), TypeError, "settings", "'layer'; did you mean 'layers'?"),
    (lambda: Mixer("cutmix", shared_lambda=1), TypeError, "settings", "'shared_lambda'; did you mean 'shared_lam'?"),
    # batches
    (lambda: mix(X[:1], Y[:1]), ValueError, "x", "a batch of one; drop a short last batch"),
    (lambda: mix(X[:, :0]), ValueError, "x", "a float32 tensor of shape [4, 0, 6, 5]"),
    (lambda: mix(X.to(torch.int32)), TypeError, "x", "an int32 tensor of shape [4, 3, 6, 5]"),
    (lambda: mix(X[:, 0].to(torch.uint8)), ValueError, "x", "a uint8 tensor of shape [4, 6, 5]"),
    (lambda: mix(X[:, 0], variant="cutmix"), ValueError, "x", "a float32 tensor of shape [4, 6, 5]"),
    (lambda: mix(y=None), TypeError, "y", "None"),
    (lambda: mix(y=Y.float()), TypeError, "y", "a float32 tensor of shape [4]"),
    (lambda: mix(y=Y[:3]), ValueError, "y", "3 labels"),
    (lambda: mix(y=Y - 1), ValueError, "y", "labels from -1 to 1"),
    (lambda: mix(y=META), ValueError, "y", "a tensor on meta"),
    (lambda: mix().targets(2), ValueError, "y", "labels from 0 to 2"),
    (lambda: PLAN.targets(Y, 2.5), TypeError, "num_classes", "2.5"),
    (lambda: PLAN.labels(Y[:3]), ValueError, "y", "3 labels"),
    # plans
    (lambda: plan(partner=ROLLED.int()), TypeError, "partner", "an int32 tensor of shape [4]"),
    (lambda: plan(partner=ROLLED + 1), ValueError, "partner", "1 to 4"),
    (lambda: plan(partner=ROLLED.flip(0), rolled=True), ValueError, "rolled", "True with partner [2, 1, 0, 3]"),
    (lambda: plan(rolled=1), TypeError, "rolled", "1"),
    (lambda: plan(lam=LAM), ValueError, "lam", "a float32 tensor of shape [4]"),
    (lambda: plan(lam=LAM[None] + 0.5), ValueError, "lam", "values from 0.5 to 1.5"),
    (lambda: plan(nominal=LAM[None] * math.nan), ValueError, "nominal", "values from nan to nan"),
    (lambda: plan(nominal=LAM[None, :3]), ValueError, "nominal", "a float32 tensor of shape [1, 3]"),
    (lambda: plan(nominal=LAM[None].to("meta")), ValueError, "nominal", "a tensor on meta"),
    (lambda: plan(clean_loss=LAM), TypeError, "clean_loss", "a float32 tensor of shape [4]"),
    (lambda: plan("boxes"), TypeError, "way", "'boxes'"),
    (lambda: plan(decoupled=1), TypeError, "decoupled", "1"),
    (lambda: plan(decoupled=True), ValueError, "decoupled", "MixPlan('mixup', k=1, batch=4)"),
    (lambda: plan(Boxes(BOX, 6)), TypeError, "size", "6"),
    (lambda: plan(Boxes(BOX, (6, 0))), ValueError, "width", "0"),
    (lambda: plan(Boxes(BOX[:, :3], (6, 5))), ValueError, "box", "an int64 tensor of shape [1, 3, 4]"),
    (lambda: plan(Boxes(BOX, (2, 5))), ValueError, "box", "[1, 1, 3, 4]"),
    (lambda: plan(Boxes(BOX.flip(-1), (6, 5))), ValueError, "box", "[4, 3, 1, 1]"),
    (lambda: plan(Boxes(BOX - 2, (6, 5))), ValueError, "box", "[-1, -1, 1, 2]"),
    (lambda: plan(Boxes(BOX.to("meta"), (6, 5))), ValueError, "box", "a tensor on meta"),
    (lambda: mask(mask=0.5), TypeError, "mask", "0.5"),
    (lambda: mask(mask=MASK[:, :3]), ValueError, "mask", "a float32 tensor of shape [1, 3, 2, 2]"),
    (lambda: mask(mask=MASK[..., :0]), ValueError, "mask", "a float32 tensor of shape [1, 4, 2, 0]"),
    (lambda: mask(mask=MASK - 1), ValueError, "mask", "values from -1 to 0"),
    (lambda: mask(mask=MASK * math.nan), ValueError, "mask", "values from nan to nan"),
    (lambda: mask(mask=MASK.to("meta")), ValueError, "mask", "a tensor on meta"),
    (lambda: mask(moves=MOVES.int()), ValueError, "moves", "an int32 tensor of shape [2, 1, 4, 4]"),
    (lambda: mask(moves=MOVES[..., :3]), ValueError, "moves", "3"),
    (lambda: mask(moves=MOVES[..., :0]), ValueError, "moves", "an int64 tensor of shape [2, 1, 4, 0]"),
    (lambda: mask(moves=MOVES + 1), ValueError, "moves", "1 to 4"),
    (lambda: mask(moves=MOVES.to("meta")), ValueError, "moves", "a tensor on meta"),
    (lambda: mask(noise=STILL[:, :3]), ValueError, "noise", "a float32 tensor of shape [2, 3, 3, 6, 5]"),
    (lambda: mask(noise=STILL / 0), ValueError, "noise", "NaN or infinity"),
    (lambda: plan(Weights(EYE[..., :3])), ValueError, "weights", "a float32 tensor of shape [1, 4, 3]"),
    (lambda: plan(Weights(EYE / 0)), ValueError, "weights", "NaN or infinity"),
    (lambda: plan(Weights(EYE)).labels(Y), ValueError, "labels", "mx.mixed_loss(model, x, y, plan)"),
    # applying a plan
    (lambda: PUZZLE.apply(X), ValueError, "x", "a float32 tensor of shape [4, 3, 6, 5]"),
    (lambda: PUZZLE.apply(X[:, 0].long()), TypeError, "x", "use the loss of both labels, or one-hot floats"),
    (lambda: PLAN.apply(X[:3]), ValueError, "x", "a float32 tensor of shape [3, 3, 6, 5]"),
    (lambda: PLAN.apply(Y), TypeError, "x", "use the loss of both labels, or one-hot floats"),
    (lambda: CUT.apply(Y), TypeError, "x", "use the loss of both labels, or one-hot floats"),
    (lambda: PLAN.apply(X.to("meta")), ValueError, "x", "one on meta"),
    (lambda: PLAN.apply(X, normalize=0.5), TypeError, "normalize", "0.5"),
    (lambda: PLAN.apply(X, normalize=((0.5, 0.5), (1, 1, 1))), ValueError, "normalize", "[0.5, 0.5]"),
    (lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, 0, 1))), ValueError, "normalize", "[1.0, 0.0, 1.0]"),
    (lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, math.inf, 1))), ValueError, "normalize", "[1.0, inf, 1.0]"),
    (lambda: PLAN.apply(X[:, 0], normalize=THIRD), ValueError, "x", "a float32 tensor of shape [4, 6, 5]"),
    (lambda: CUT.apply(X.long(), normalize=THIRD), ValueError, "x", "an int64 tensor of shape [4, 3, 6, 5]"),
    (lambda: PLAN.apply(X, dtype=torch.int64), TypeError, "dtype", "torch.int64"),
    (lambda: PLAN.apply(X, out=[]), TypeError, "out", "[]"),
    (lambda: PLAN.apply(X, out=X[..., :4]), ValueError, "out", "a float32 tensor of shape [4, 3, 6, 4] on cpu"),
    (lambda: PLAN.apply(X, out=X.double()), ValueError, "out", "a float64 tensor of shape [4, 3, 6, 5] on cpu"),
    (lambda: PLAN.apply(X, out=X.to("meta")), ValueError, "out", "a float32 tensor of shape [4, 3, 6, 5] on meta"),
    (lambda: PUZZLE.apply(X[..., :4], out=X[..., :4]), ValueError, "out", "strides [90, 30, 5, 1]"),
    (lambda: PLAN.apply(X, out=X), ValueError, "out", "memory that overlaps"),
    (lambda: PLAN.apply(X[:, :, ::2], out=X.view(-1)[:180].view(4, 3, 3, 5)), ValueError, "out", "that overlaps"),
    (lambda: PLAN.apply(X.clone().requires_grad_(), out=X.clone()), ValueError, "out", "a tensor"),
    (lambda: MixPlan.from_json(PLAN.to_json(), device="gpu"), ValueError, "device", "'gpu'"),
    # the loss
    (lambda: loss(LOGITS[0]), ValueError, "logits", "a float32 tensor of shape [3]"),
    (lambda: loss(LOGITS.long()), ValueError, "logits", "an int64 tensor of shape [4, 3]"),
    (lambda: loss(LOGITS[:, :2]), ValueError, "y_a", "labels from 0 to 2"),
    (lambda: loss(y_b=Y - 1), ValueError, "y_b", "labels from -1 to 1"),
    (lambda: loss(lam=Y), ValueError, "lam", "an int64 tensor of shape [4]"),
    (lambda: loss(lam=LAM + 0.25), ValueError, "lam", "values from 0.25 to 1.25"),
    (lambda: loss(lam=LAM * math.nan), ValueError, "lam", "values from nan to nan"),
    (lambda: loss(lam=LAM.to("meta")), ValueError, "lam", "a tensor on meta"),
    (lambda: loss(label_smoothing=1.5), ValueError, "label_smoothing", "1.5"),
    (lambda: loss(reduction="sums"), ValueError, "reduction", "'sums'; did you mean 'sum'?"),
]


@pytest.mark.parametrize(
    ("call", "kind", "name", "given"), ROWS, ids=[f"line {call.__code__.co_firstlineno}" for call, *_ in ROWS]
)
def test_wrong_input_raises_at_once_and_leaves_nothing_half_done(call, kind, name, given):
    before = [(part.clone(), part._version) for part in SHARED]
    drawn_globally = torch.random.get_rng_state()
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is kind
    assert message.startswith(f"{name} ")
    assert " must " in message
    assert message.endswith(given)
    for part, (content, version) in zip(SHARED, before, strict=True):
        assert torch.equal(part, content)
        assert part._version == version
    assert torch.equal(torch.random.get_rng_state(), drawn_globally)


def test_nothing_is_drawn_from_the_generator_by_a_wrong_call():
    state = GENERATOR.get_state()
    for wrong in ({"x": X[:1], "y": Y[:1]}, {"y": Y - 1}, {"x": X.int()}):
        with pytest.raises((TypeError, ValueError)):
            mix(**wrong)
    assert torch.equal(GENERATOR.get_state(), state)


def test_messages_say_what_to_do_instead():
    with pytest.raises(TypeError, match=r"manifold.*use plan = mixer\.plan\(x\).*mx\.mixed_logits\(model, x, plan\)"):
        mix(variant="manifold")
    with pytest.raises(ValueError, match=r"partners 'reversed' must have an even batch, got 3 examples"):
        mix(X[:3], Y[:3], partners="reversed", distinct=True)
    with pytest.raises(TypeError, match=r"mix float targets with plan\.apply\(y\)"):
        mix(y=Y.float())


def test_out_is_not_written_to_when_the_call_is_wrong():
    out = torch.full((4, 3, 6, 5), 7.0)
    for wrong in ({"normalize": (0.5, 0)}, {"dtype": torch.int64}):
        with pytest.raises((TypeError, ValueError)):
            PLAN.apply(X, out=out, **wrong)
    assert torch.all(out == 7)
