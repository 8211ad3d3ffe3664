"""Wrong input: each call raises at once, with a message that names the argument and says what was given instead."""

import json
import math
from typing import Any

import pytest
import torch
from hidden_nets import Gives, hooks, small
from seeding import seeded
from torch import nn
from torch.nn import functional

from mixlab import Mixer, MixPlan, OneOf, hidden_mixing, mixed_cross_entropy, mixed_logits, mixed_loss, sample_lambda
from mixlab.mixing import lambda_pdf
from mixlab.mixing.saliency import saliency
from mixlab.mixing.variants.puzzle.mincut import least_energy
from mixlab.mixing.ways import Boxes, Mask, Weights

X = torch.arange(4 * 3 * 6 * 6, dtype=torch.float32).view(4, 3, 6, 6)
GRAY = X.to(torch.uint8)
Y = torch.tensor([0, 1, 2, 1])
LOGITS = torch.linspace(-1, 1, 12).view(4, 3)
LAM = torch.tensor([0.0, 0.25, 0.5, 1.0])
ROLLED = torch.tensor([3, 0, 1, 2])
BOX = torch.tensor([[[1, 1, 3, 4]] * 4])
MASK = torch.tensor([0.0, 0.5, 1.0, 1.0]).view(1, 1, 2, 2).expand(1, 4, 2, 2).contiguous()
MOVES = torch.arange(9).expand(2, 1, 4, 9).contiguous()
STILL = torch.zeros(2, 4, 3, 6, 6)
EYE = torch.eye(4)[None]
UNARY, DOWN, RIGHT = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4), torch.zeros(2, 4, 3)
BENT = torch.tensor([0.0, 1, 1]).view(1, 3, 1, 1)
GENERATOR = seeded()
SHARED = (X, GRAY, Y, LOGITS, LAM, ROLLED, BOX, MASK, MOVES, STILL, EYE, UNARY, DOWN, RIGHT)
THIRD = ((0.5,) * 3, (1, 1, 1))
MODEL = small().float().eval()


def plan(way: Any = None, **changes: Any) -> MixPlan:
    fields = {"variant": "mixup", "partner": ROLLED, "lam": LAM[None], "nominal": LAM[None]}
    return MixPlan(**(fields | ({} if way is None else {"way": way}) | changes))


def mask(**changes: Any) -> MixPlan:
    return plan(Mask(**({"mask": MASK, "moves": MOVES, "noise": STILL} | changes)))


def mix(x: Any = X, y: Any = Y, variant: str = "mixup", *, model: Any = None, **options: Any) -> Any:
    return Mixer(variant, **options)(x, y, model=model, generator=GENERATOR)


def look(x: Any = X, y: Any = Y, *, model: Any = MODEL, **options: Any) -> MixPlan:
    return Mixer("puzzle", **options).plan(x, y, model=model, generator=GENERATOR)


def loss(logits: Any = LOGITS, y_a: Any = Y, y_b: Any = Y, lam: Any = LAM, **options: Any) -> Any:
    return mixed_cross_entropy(logits, y_a, y_b, lam, **options)


def draw(alpha: Any = 1.0, size: Any = 3, **options: Any) -> Any:
    return sample_lambda(alpha, size, **({"generator": GENERATOR} | options))


def inside(layer: Any, x: Any = X, *, model: Any = MODEL, by: Any = None) -> None:
    with hidden_mixing(model, layer, by or PLAN):
        model(x)


def logits(model: Any = MODEL, x: Any = X, *, layer: str = "stage1", normalize: Any = None) -> Any:
    return mixed_logits(model, x, plan(layer=layer), normalize=normalize)


def cut(**changes: Any) -> Any:
    return least_energy(**({"unary": UNARY, "down": DOWN, "right": RIGHT} | changes))


def train(y: Any = LOGITS, *, by: Any = None, **options: Any) -> Any:
    return mixed_loss(Gives(lambda x: x[:, :, 0, 0]), X, y, PLAN, loss=by, **options)


PLAN, CUT, PUZZLE = plan(rolled=True), plan(Boxes(BOX, (6, 6))), plan(Mask(MASK, MOVES))
MIXED, TWICE, HALF = mix(), Mixer("mit").plan(X), torch.tensor([[0.5] * 4] * 2)
TUPLE, SUM, PROBABILITIES = Gives(lambda x: (x, x)), Gives(torch.sum), Gives(lambda x: x.flatten(1).softmax(1))
FLAT, UNMOVED = Gives(lambda x: x.flatten(1).detach() - 1), Gives(lambda _: 2 * torch.ones(4, 3, requires_grad=True))
ROWS: list[tuple[Any, type[Exception], str, str]] = [  # what to call, what is raised, the argument, what was given
    # the law of λ
    (lambda: draw(0), ValueError, "alpha", "0"),
    (lambda: draw(dtype=torch.int64), TypeError, "dtype", "torch.int64"),
    (lambda: draw(device="meta"), ValueError, "generator", "one on cpu"),
    (lambda: lambda_pdf(1, [0.5, 1.5]), ValueError, "grid", "values from 0.5 to 1.5"),
    (lambda: lambda_pdf(1, "half"), TypeError, "grid", "'half'"),
    # settings of a mixer
    (lambda: Mixer("cutmx"), ValueError, "variant", "'cutmx'; did you mean 'cutmix'?"),
    (lambda: Mixer(partners="rol"), ValueError, "partners", "'rol'; did you mean 'roll'?"),
    (lambda: Mixer("manifold", layers="stage1"), TypeError, "layers", "'stage1'"),
    (lambda: Mixer("manifold", layers=["input", 3]), TypeError, "layers", "['input', 3]"),
    (lambda: Mixer("manifold", layers=["input", "input"]), ValueError, "layers", "['input', 'input']"),
    (lambda: Mixer("manifold", layer=["input"]), TypeError, "settings", "'layer'; did you mean 'layers'?"),
    (lambda: Mixer("cutmix", shared_lambda=1), TypeError, "settings", "'shared_lambda'; did you mean 'shared_lam'?"),
    (lambda: Mixer("perturbed", transform=False, perturb=False), ValueError, "transform", 'Mixer("none"))'),
    (lambda: Mixer("puzzle", blocks=()), ValueError, "blocks", "()"),
    (lambda: Mixer("puzzle", blocks="four"), TypeError, "blocks", "'four'"),
    (lambda: Mixer(probability=1.5), ValueError, "probability", "1.5"),
    (lambda: OneOf(Mixer()), TypeError, "mixers", "Mixer('mixup', alpha=1, k=1)"),
    (lambda: OneOf([]), ValueError, "mixers", "[]"),
    (lambda: OneOf(["mixup"]), TypeError, "mixer", "'mixup'"),
    (lambda: OneOf([Mixer()], 1), TypeError, "weights", "1"),
    (lambda: OneOf([Mixer()], [-1]), ValueError, "weights", "-1"),
    (lambda: OneOf([Mixer()], [1, 1]), ValueError, "weights", "[1, 1]"),
    (lambda: OneOf([Mixer(), Mixer()], [0, 0.0]), ValueError, "weights", "[0, 0.0]"),
    (lambda: OneOf([Mixer(), Mixer("puzzle")]).plan(X), TypeError, "model", "None"),
    (lambda: OneOf([Mixer(), Mixer("cutmix")]).plan(X[:, 0, 0]), ValueError, "x", "a float32 tensor of shape [4, 6]"),
    (lambda: OneOf([Mixer(), Mixer("manifold")])(X, Y), TypeError, "variant", "plan.labels(y)"),
    # batches
    (lambda: mix(X[:1], Y[:1]), ValueError, "x", "a batch of one; drop a short last batch"),
    (lambda: mix(X[:, :0]), ValueError, "x", "a float32 tensor of shape [4, 0, 6, 6]"),
    (lambda: mix(X.int()), TypeError, "x", "an int32 tensor of shape [4, 3, 6, 6]"),
    (lambda: mix(X.bool(), variant="none"), TypeError, "x", "a bool tensor of shape [4, 3, 6, 6]"),
    (lambda: Mixer("manifold", layers=["input"]).plan(Y), ValueError, "layers", "layers=('input',))"),
    (lambda: mix(GRAY[:, 0]), ValueError, "x", "a uint8 tensor of shape [4, 6, 6]"),
    (lambda: mix(X[:, 0, 0], variant="cutmix"), ValueError, "x", "a float32 tensor of shape [4, 6]"),
    (lambda: mix(X[:3], Y[:3], partners="reversed", distinct=True), ValueError, "distinct", "its own partner"),
    (lambda: mix(y=None), TypeError, "y", "None"),
    (lambda: mix(y=Y.bool()), TypeError, "y", "a bool tensor of shape [4]"),
    (lambda: mix(y=Y.int()), TypeError, "y", "an int32 tensor of shape [4]"),
    (lambda: mix(y=Y[:3].float()), ValueError, "y", "3 labels"),
    (lambda: MIXED.targets(2), ValueError, "y", "labels from 0 to 2"),
    (lambda: MIXED.targets(), TypeError, "num_classes", "None"),
    (lambda: PLAN.targets(LOGITS, 4), ValueError, "y", "a float32 tensor of shape [4, 3] (plan.apply(y) mixes maps)"),
    (lambda: PLAN.targets(X), ValueError, "y", "a float32 tensor of shape [4, 3, 6, 6] (plan.apply(y) mixes maps)"),
    (lambda: plan(Mask(MASK)).labels(GRAY), ValueError, "y", "an int64 tensor of shape [4, 3, 6, 6]"),
    (lambda: PLAN.labels(Y[:3]), ValueError, "y", "3 labels"),
    # what a variant cannot do by itself
    (lambda: mix(variant="manifold"), TypeError, "variant", "mx.mixed_logits(model, x, plan) and plan.labels(y)"),
    (lambda: mix(variant="mit"), TypeError, "variant", "mx.mixed_loss(model, x, y, plan)"),
    (lambda: mix(variant="perturbed"), TypeError, "variant", "mx.mixed_loss(model, x, y, plan)"),
    (lambda: mix(variant="saliencymix"), TypeError, "model", "None"),
    (lambda: mix(GRAY, variant="puzzle", model=MODEL), TypeError, "x", "normalize=(mean, std))"),
    (lambda: look(GRAY), ValueError, "normalize", "None"),
    # images that Puzzle Mix's blocks do not fit
    (lambda: look(X[:, :, :5]), ValueError, "x", "a float32 tensor of shape [4, 3, 5, 6]"),
    (lambda: look(blocks=(3, 4)), ValueError, "blocks", "6 pixels (2, 3 or 6 would fit), got 4"),
    (lambda: look(X[:, :, :5, :5]), ValueError, "blocks", "5 pixels (5 would fit), got 2"),
    (lambda: look(blocks=2, neighbor_size=2), ValueError, "neighbor_size", "2 for 2 by 2 blocks"),
    (lambda: look(blocks=2, transport_size=2), ValueError, "transport_size", "2 for 2 by 2 blocks"),
    # the energy of masks
    (lambda: cut(unary=UNARY[:, :1]), ValueError, "unary", "a float32 tensor of shape [2, 1, 4, 4]"),
    (lambda: cut(down=RIGHT), ValueError, "down", "a float32 tensor of shape [2, 4, 3]"),
    (lambda: cut(right=RIGHT.double()), ValueError, "right", "a float64 tensor of shape [2, 4, 3]"),
    (lambda: cut(down=DOWN - 0.5), ValueError, "down", "-0.5"),
    (lambda: cut(unary=UNARY + math.nan), ValueError, "unary", "96 that are not"),
    (lambda: cut(unary=UNARY + BENT), ValueError, "unary", "a second difference of -1"),
    # plans
    (lambda: plan(partner=ROLLED.int()), TypeError, "partner", "an int32 tensor of shape [4]"),
    (lambda: plan(partner=ROLLED + 1), ValueError, "partner", "1 to 4"),
    (lambda: plan(partner=ROLLED.flip(0), rolled=True), ValueError, "rolled", "True with partner [2, 1, 0, 3]"),
    (lambda: plan(lam=LAM), ValueError, "lam", "a float32 tensor of shape [4]"),
    (lambda: plan(lam=LAM[None] + 0.5), ValueError, "lam", "values from 0.5 to 1.5"),
    (lambda: plan(nominal=LAM[None] * math.nan), ValueError, "nominal", "values from nan to nan"),
    (lambda: plan(clean_loss=LAM), TypeError, "clean_loss", "a float32 tensor of shape [4]"),
    (lambda: plan("boxes"), TypeError, "way", "'boxes'"),
    (lambda: plan(decoupled=True), ValueError, "decoupled", "MixPlan('mixup', k=1, batch=4)"),
    (lambda: plan(lam=HALF, nominal=HALF, decoupled=True), ValueError, "decoupled", "True"),
    (lambda: plan(Boxes(BOX, 6)), TypeError, "size", "6"),
    (lambda: plan(Boxes(BOX, (6, 0))), ValueError, "size", "0"),
    (lambda: plan(Boxes(BOX[:, :3], (6, 6))), ValueError, "box", "an int64 tensor of shape [1, 3, 4]"),
    (lambda: plan(Boxes(BOX, (2, 6))), ValueError, "box", "[1, 1, 3, 4]"),
    (lambda: plan(Boxes(BOX.flip(-1), (6, 6))), ValueError, "box", "[4, 3, 1, 1]"),
    (lambda: plan(Boxes(BOX - 2, (6, 6))), ValueError, "box", "[-1, -1, 1, 2]"),
    (lambda: plan(Boxes(BOX.to("meta"), (6, 6))), ValueError, "box", "a tensor on meta"),
    (lambda: mask(mask=MASK[..., :0]), ValueError, "mask", "a float32 tensor of shape [1, 4, 2, 0]"),
    (lambda: mask(mask=MASK - 1), ValueError, "mask", "values from -1 to 0"),
    (lambda: mask(moves=MOVES.int()), ValueError, "moves", "an int32 tensor of shape [2, 1, 4, 9]"),
    (lambda: mask(moves=MOVES[..., :3]), ValueError, "moves", "3"),
    (lambda: mask(moves=MOVES + 1), ValueError, "moves", "1 to 9"),
    (lambda: mask(noise=STILL[:, :3]), ValueError, "noise", "a float32 tensor of shape [2, 3, 3, 6, 6]"),
    (lambda: mask(noise=STILL / 0), ValueError, "noise", "NaN or infinity"),
    (lambda: plan(Weights(EYE[..., :3])), ValueError, "weights", "a float32 tensor of shape [1, 4, 3]"),
    (lambda: plan(Weights(EYE / 0)), ValueError, "weights", "NaN or infinity"),
    (lambda: plan(Weights(EYE)).labels(Y), ValueError, "labels", "mx.mixed_loss(model, x, y, plan)"),
    # applying a plan
    (lambda: PUZZLE.apply(X[..., :4]), ValueError, "x", "a float32 tensor of shape [4, 3, 6, 4]"),
    (lambda: PUZZLE.apply(X[:, 0].long()), TypeError, "x", "mx.mixed_loss does, or one-hot floats"),
    (lambda: PLAN.apply(X[:3]), ValueError, "x", "a float32 tensor of shape [3, 3, 6, 6]"),
    (lambda: CUT.apply(Y), TypeError, "x", "mx.mixed_loss does, or one-hot floats"),
    (lambda: PLAN.apply(X.to("meta")), ValueError, "x", "one on meta"),
    (lambda: PLAN.apply(X, normalize=0.5), TypeError, "normalize", "0.5"),
    (lambda: PLAN.apply(X, normalize=((0.5, 0.5), (1, 1, 1))), ValueError, "normalize", "[0.5, 0.5]"),
    (lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, 0, 1))), ValueError, "normalize", "[1.0, 0.0, 1.0]"),
    (lambda: PLAN.apply(X[:, 0], normalize=THIRD), ValueError, "x", "a float32 tensor of shape [4, 6, 6]"),
    (lambda: PLAN.apply(X, dtype=torch.int64), TypeError, "dtype", "torch.int64"),
    (lambda: PLAN.apply(X, out=X[..., :4]), ValueError, "out", "a float32 tensor of shape [4, 3, 6, 4] on cpu"),
    (lambda: PLAN.apply(X, out=X.double()), ValueError, "out", "a float64 tensor of shape [4, 3, 6, 6] on cpu"),
    (lambda: CUT.apply(X[..., :4], out=X[..., :4]), ValueError, "out", "strides [108, 36, 6, 1]"),
    (lambda: PLAN.apply(X, out=X), ValueError, "out", "memory that overlaps"),
    (lambda: PLAN.apply(X[:, :, ::2], out=X.view(-1)[:216].view(4, 3, 3, 6)), ValueError, "out", "that overlaps"),
    (lambda: PLAN.apply(X.clone().requires_grad_(), out=X.clone()), ValueError, "out", "a tensor"),
    # mixing inside a model, and its logits
    (lambda: inside("stage1", model=len), TypeError, "model", "<built-in function len>"),
    (lambda: inside("stage1", by=Mixer()), TypeError, "plan", "Mixer('mixup', alpha=1, k=1)"),
    (lambda: inside("input", by=TWICE), ValueError, "plan", "mx.mixed_logits(model, x, plan)"),
    (lambda: inside(2), TypeError, "layer", "2"),
    (lambda: inside("stge2"), ValueError, "layer", "'stge2'; did you mean 'stage2' or 'stage1'?"),
    (lambda: inside("Input"), ValueError, "layer", "'Input'; did you mean 'input'?"),
    (lambda: inside("body", model=nn.Sequential(FLAT)), ValueError, "layer", "'body'; did you mean '0.body'?"),
    (lambda: inside("xyzzy"), ValueError, "layer", "'xyzzy'; model.named_modules() has them all"),
    (lambda: inside("stage1.0.weight"), ValueError, "layer", "'stage1.0', 'stage2.0' or 'stage1.2'?"),
    (lambda: inside("0", model=nn.Sequential(TUPLE)), TypeError, "layer '0' (Gives)", "a value of type tuple"),
    (lambda: inside("input", None, model=TUPLE), TypeError, "layer 'input' (Gives)", "to be mixed"),
    (lambda: inside("stage1", X[:3]), ValueError, "layer 'stage1' gives", "a float32 tensor of shape [3, 4, 6, 6]"),
    (lambda: inside("input", X.long()), TypeError, "layer 'input' gives", "or one-hot floats"),
    (lambda: logits(x=X[:3]), ValueError, "x", "a float32 tensor of shape [3, 3, 6, 6]"),
    (lambda: logits(x=X.flatten(1), normalize=THIRD), ValueError, "x", "a float32 tensor of shape [4, 108]"),
    (lambda: logits(x=GRAY), ValueError, "normalize", "None"),
    (lambda: logits(x=GRAY, layer="input"), ValueError, "normalize", "None"),
    (lambda: logits(TUPLE, layer="body"), TypeError, "model", "a value of type tuple"),
    (lambda: logits(SUM, layer="input"), ValueError, "model", "a float32 tensor of shape []"),
    # saliency
    (lambda: saliency(MODEL, X[0], Y), ValueError, "x", "a float32 tensor of shape [3, 6, 6]"),
    (lambda: saliency(MODEL, X.long(), Y), ValueError, "x", "an int64 tensor of shape [4, 3, 6, 6]"),
    (lambda: saliency(Gives(lambda x: x[:, :, 0, 0]), X, Y + 3), ValueError, "y", "labels from 3 to 5"),
    (lambda: saliency(MODEL, GRAY, Y), ValueError, "normalize", "None"),
    (lambda: saliency(TUPLE, X, Y), TypeError, "model", "..."),
    (lambda: saliency(PROBABILITIES, X, Y), ValueError, "model", "leave the softmax out"),
    (lambda: saliency(FLAT, X, Y), ValueError, "model", "is there a detach() or a no_grad() in it?"),
    (lambda: saliency(UNMOVED, X, Y), ValueError, "model", "is there a detach() or a no_grad() in it?"),
    (lambda: saliency(Gives(lambda x: x.flatten(1) / LAM[:, None]), X, Y), ValueError, "saliency", "in its output"),
    # the loss
    (lambda: loss(LOGITS[0]), ValueError, "logits", "a float32 tensor of shape [3]"),
    (lambda: loss(LOGITS.long()), ValueError, "logits", "an int64 tensor of shape [4, 3]"),
    (lambda: loss(y_b=Y - 1), ValueError, "y_b", "labels from -1 to 1"),
    (lambda: loss(lam=Y), ValueError, "lam", "an int64 tensor of shape [4]"),
    (lambda: loss(lam=LAM + 0.25), ValueError, "lam", "values from 0.25 to 1.25"),
    (lambda: loss(y_a=LOGITS), ValueError, "y_b", "an int64 tensor of shape [4]"),
    (lambda: loss(y_b=LOGITS), TypeError, "y_b", "a float32 tensor of shape [4, 3]"),
    (lambda: loss(X, LOGITS), ValueError, "y_a", "a float32 tensor of shape [4, 3]"),
    (lambda: loss(X), ValueError, "y_a", "an int64 tensor of shape [4]"),
    (lambda: loss(weight=LAM), ValueError, "weight", "a float32 tensor of shape [4]"),
    (lambda: loss(y_a=Y + 3, ignore_index=3), ValueError, "y_a", "labels from 4 to 5"),
    (lambda: loss(y_a=LOGITS, y_b=LOGITS, ignore_index=0), ValueError, "ignore_index", "0"),
    (lambda: train(by=functional.mse_loss), ValueError, "loss", "a float32 tensor of shape []"),
    (lambda: train(by=lambda z, _: z.sum(0)), ValueError, "loss", "a float32 tensor of shape [3]"),
    (lambda: train(by="bce"), TypeError, "loss", "'bce'"),
    (lambda: train(by=len, ignore_index=0), TypeError, "loss", "<built-in function len>"),
]


@pytest.mark.parametrize(
    ("call", "kind", "name", "given"), ROWS, ids=[f"line {call.__code__.co_firstlineno}" for call, *_ in ROWS]
)
def test_wrong_input_raises_at_once_and_leaves_nothing_half_done(call, kind, name, given):
    before, drawn = [(part.clone(), part._version) for part in SHARED], GENERATOR.get_state()
    weights, drawn_globally = {name: value.clone() for name, value in MODEL.state_dict().items()}, torch.get_rng_state()
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
    assert torch.equal(GENERATOR.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), drawn_globally)
    assert all(torch.equal(value, weights[name]) for name, value in MODEL.state_dict().items())
    assert hooks(MODEL) == 0


def test_out_is_not_written_to_when_the_call_is_wrong():
    out = torch.full((4, 3, 6, 6), 7.0)
    for wrong in ({"normalize": (0.5, 0)}, {"dtype": torch.int64}):
        with pytest.raises((TypeError, ValueError)):
            PLAN.apply(X, out=out, **wrong)
    assert torch.all(out == 7)


@pytest.mark.parametrize(
    "change",
    [
        lambda written: written.update(color=1),
        lambda written: written.pop("lam"),
        lambda written: written.pop("way"),
        lambda written: written["way"].update(kind="Blends"),
        lambda written: written["way"].update(mask=1),
        lambda written: written["way"].update(box=[1]),
        lambda written: written.update(clean_loss=1),
        lambda written: written.update(partner=[0, 1, 2, 9]),
        lambda written: written.update(lam=[[0.5, 0.5, 0.5, math.nan]]),
    ],
)
def test_json_of_anything_but_a_plan_is_refused(change):
    written = json.loads(CUT.to_json())
    change(written)
    with pytest.raises(ValueError, match=r"^text must be JSON written by MixPlan.to_json, got "):
        MixPlan.from_json(json.dumps(written))
