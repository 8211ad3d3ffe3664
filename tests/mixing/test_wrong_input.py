"""Wrong input: each call raises at once, with a message that names the argument, what is allowed and what came."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mixlab import VARIANTS, Mixer, MixPlan, lambda_moments, mixed_cross_entropy, sample_lambda
from mixlab.mixing import lambda_pdf

X = torch.arange(4 * 3 * 6 * 5, dtype=torch.float32).view(4, 3, 6, 5)
Y = torch.tensor([0, 1, 2, 1])
LOGITS = torch.linspace(-1, 1, 12).view(4, 3)
LAM = torch.tensor([0.0, 0.25, 0.5, 1.0])
ROLLED = torch.tensor([3, 0, 1, 2])
PLAN = MixPlan("mixup", ROLLED, LAM[None], LAM[None], rolled=True)
CUT = MixPlan("cutmix", ROLLED, LAM[None], LAM[None], torch.tensor([[[1, 1, 3, 4]] * 4]), (6, 5))
MASK = torch.tensor([0.0, 0.5, 1.0, 1.0]).view(1, 1, 2, 2).expand(1, 4, 2, 2).contiguous()
MOVES = torch.arange(4).expand(2, 1, 4, 4).contiguous()
STILL = torch.zeros(2, 4, 3, 6, 5)
PUZZLE = MixPlan("puzzle", ROLLED, LAM[None], LAM[None], mask=MASK, moves=MOVES)
SHARED = (X, Y, LOGITS, LAM, ROLLED, CUT.box, MASK, MOVES, STILL)
ALPHA = 'alpha must be a number from 1e-06 to 1e+06 (for no mixing use Mixer("none")), got '
VARIANT = f"variant must be one of {', '.join(map(repr, VARIANTS))}, got "
PAIRING = "partners must be one of 'random', 'roll', 'reversed', got "
LABELS = "must be a tensor of int64 class labels with shape [batch]"
FLOATS = " (mix float targets with plan.apply(y)), got "
IMAGES = "x must be images [batch, channels, height, width], got "
BLEND = "x must be float values or uint8 images [batch, channels, height, width] to be blended, got "
NEVER = "; class labels are never blended: use the loss of both labels, or one-hot floats"
LOGIT = "logits must be a float tensor of shape [examples, classes], both at least 1, got "
JSON = "text must be JSON written by MixPlan.to_json, got "
REDUCTION = "reduction must be one of 'mean', 'sum', 'none', got "
INSIDE_MODEL = (
    "variant must be one that mixes before the model, got 'manifold', which mixes hidden states: use plan = "
    "mixer.plan(x), logits = mx.mixed_logits(model, x, plan) and plan.labels(y)"
)
INSIDE = "box must hold (top, left, bottom, right) inside "
OUT = "out must be a float32 tensor of shape [4, 3, 6, 5] on cpu, got "
FIRST = "x must be a tensor whose first axis is the batch, got "
KS = "k must be an integer of at least 1, got "
DTYPE = "dtype must be float64, float32, bfloat16 or float16, got "
EXAMPLES = "x must hold the 4 examples this plan was drawn for, got "
PARTNER = "partner must be an int64 tensor of shape [batch], got "
PLACES = "partner must hold places in the batch, 0 to 3, got "
BOXES = "box must be an int64 tensor of shape [1, 4, 4], got "
STATISTICS = "normalize must be (mean, std), each a number per channel, got "
FINITE = "normalize must hold one finite "
POSITIVE = "normalize must hold positive standard deviations, got "
NORMAL = "x must be float or uint8 images [batch, channels, height, width] to be normalized, got "
OVERLAP = "out must share no memory with x, which is not changed; got memory that overlaps"
EVEN = (
    "distinct with partners 'reversed' must have an even batch, got 3 examples: the middle one would be its own partner"
)
TWO = "x must hold at least two examples to mix, got a batch of one; drop a short last batch"
KLAM = " must be a float32 tensor of shape [K, 4], got "
WEIGHTS = " must hold weights in [0, 1], got values from "
DEVICE = " must be on the same device as the rest, cpu, got a tensor on meta"
F32 = "a float32 tensor of shape "
ROLL = "rolled must be False unless partner[i] is (i − 1) mod batch, got True with partner "
GRID = "grid must hold values of λ in [0, 1], got "
TOGETHER = "box and size must be given together, got MixPlan('cutmix', k=1, batch=4) with one of them"
MASKED = "mask must be a float32 tensor of shape [1, 4, rows, columns], got "
MOVED = "moves must be an int64 tensor of shape [2, 1, 4, blocks], blocks a square number, got "
NOISE = "noise must be a float32 tensor of shape [2, 4, channels, height, width], got "
LAYER = "layer must be None, 'input' or the name of a module, got "
LAYERS = "layers must be a list of 'input' and names of modules, at least one and none twice, got "
LOSS = "clean_loss must be None or a tensor of no axes, got "
NAME = "variant must be the name of what drew the plan, got "

GENERATOR = torch.Generator().manual_seed(0)
MIXED = Mixer()(X, Y, generator=torch.Generator().manual_seed(1))
META = torch.zeros(4, dtype=torch.int64, device="meta")


def cell(**changes: Any) -> str:
    return json.dumps(json.loads(PLAN.to_json()) | changes)


def plan(*fields: Any, **options: Any) -> MixPlan:
    return MixPlan("mixup", *fields, **options)


def cut(**changes: Any) -> MixPlan:
    fields = {"partner": ROLLED, "lam": LAM[None], "nominal": LAM[None], "box": CUT.box, "size": (6, 5)}
    return MixPlan("cutmix", **(fields | changes))


def puzzle(**changes: Any) -> MixPlan:
    fields = {"partner": ROLLED, "lam": LAM[None], "nominal": LAM[None], "mask": MASK, "moves": MOVES, "noise": STILL}
    return MixPlan("puzzle", **(fields | changes))


def mix(x: Any = X, y: Any = Y, variant: str = "mixup", **options: Any) -> Any:
    return Mixer(variant, **options)(x, y, generator=GENERATOR)


def loss(logits: Any = LOGITS, y_a: Any = Y, y_b: Any = Y, lam: Any = LAM, **options: Any) -> Any:
    return mixed_cross_entropy(logits, y_a, y_b, lam, **options)


def draw(alpha: Any = 1.0, size: Any = 3, **options: Any) -> Any:
    return sample_lambda(alpha, size, **({"generator": GENERATOR} | options))


ROWS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # the law of λ
    (lambda: draw(-1), ValueError, f"{ALPHA}-1"),
    (lambda: draw(0), ValueError, f"{ALPHA}0"),
    (lambda: draw(1e-7), ValueError, f"{ALPHA}1e-07"),
    (lambda: draw(10**400), ValueError, f"{ALPHA}100000000000000000000000000000000000000000000000000000000..."),
    (lambda: draw(2e6), ValueError, f"{ALPHA}2000000.0"),
    (lambda: draw(math.nan), ValueError, f"{ALPHA}nan"),
    (lambda: draw(math.inf), ValueError, f"{ALPHA}inf"),
    (lambda: draw("0.2"), TypeError, "alpha must be a number from 1e-06 to 1e+06, got '0.2'"),
    (lambda: draw(True), TypeError, f"{ALPHA}True"),
    (lambda: draw(None), TypeError, f"{ALPHA}None"),
    (lambda: draw(1j), TypeError, f"{ALPHA}1j"),
    (lambda: draw([0.2]), TypeError, f"{ALPHA}[0.2]"),
    (lambda: draw(np.array([0.2, 0.4])), TypeError, f"{ALPHA}array([0.2, 0.4])"),
    (lambda: draw(torch.tensor([0.2, 0.4])), TypeError, f"{ALPHA}{F32}[2]"),
    (lambda: draw(torch.tensor(-0.5)), ValueError, f"{ALPHA}-0.5"),
    (lambda: draw(size=-1), ValueError, "size must be an integer of at least 0, got -1"),
    (lambda: draw(size=2.5), TypeError, "size must be an integer of at least 0, got 2.5"),
    (lambda: draw(size=(2, -3)), ValueError, "size must be an integer of at least 0, got -3"),
    (lambda: draw(size="ab"), TypeError, "size must be an integer of at least 0, got 'ab'"),
    (lambda: draw(size=None), TypeError, "size must be an integer of at least 0, got None"),
    (lambda: draw(dtype=torch.int64), TypeError, f"{DTYPE}torch.int64"),
    (lambda: draw(dtype="float32"), TypeError, f"{DTYPE}'float32'"),
    (lambda: draw(generator=7), TypeError, "generator must be a torch.Generator or None, got 7"),
    (lambda: draw(device="meta"), ValueError, "generator must live on meta, where it draws, got one on cpu"),
    (lambda: lambda_pdf(-1, [0.5]), ValueError, f"{ALPHA}-1"),
    (lambda: lambda_pdf(1, [0.5, 1.5]), ValueError, f"{GRID}values from 0.5 to 1.5"),
    (lambda: lambda_pdf(1, [math.nan]), ValueError, f"{GRID}values from nan to nan"),
    (lambda: lambda_pdf(1, "half"), TypeError, f"{GRID}'half'"),
    (lambda: lambda_pdf(1, None), TypeError, f"{GRID}None"),
    (lambda: lambda_moments(math.nan), ValueError, f"{ALPHA}nan"),
    # settings of a mixer
    (lambda: Mixer("cutmx"), ValueError, f"{VARIANT}'cutmx'; did you mean 'cutmix'?"),
    (lambda: Mixer("MixUp"), ValueError, f"{VARIANT}'MixUp'; did you mean 'mixup'?"),
    (lambda: Mixer("xyz"), ValueError, f"{VARIANT}'xyz'"),
    (lambda: Mixer(0.2), ValueError, f"{VARIANT}0.2"),
    (lambda: Mixer(None), ValueError, f"{VARIANT}None; did you mean 'none'?"),
    (lambda: Mixer(alpha=-1), ValueError, f"{ALPHA}-1"),
    (lambda: Mixer(alpha=0), ValueError, f"{ALPHA}0"),
    (lambda: Mixer(alpha="big"), TypeError, "alpha must be a number from 1e-06 to 1e+06, got 'big'"),
    (lambda: Mixer(k=0), ValueError, f"{KS}0"),
    (lambda: Mixer(k=2.5), TypeError, f"{KS}2.5"),
    (lambda: Mixer(k=2.0), TypeError, f"{KS}2.0"),
    (lambda: Mixer(k=True), TypeError, f"{KS}True"),
    (lambda: Mixer(k="3"), TypeError, f"{KS}'3'"),
    (lambda: Mixer(k=torch.tensor(2.5)), TypeError, f"{KS}{F32}[]"),
    (lambda: Mixer(k=None), TypeError, f"{KS}None"),
    (lambda: Mixer(shared_lam=1), TypeError, "shared_lam must be True or False, got 1"),
    (lambda: Mixer(ordered="yes"), TypeError, "ordered must be True or False, got 'yes'"),
    (lambda: Mixer(distinct=None), TypeError, "distinct must be True or False, got None"),
    (lambda: Mixer(partners="rol"), ValueError, f"{PAIRING}'rol'; did you mean 'roll'?"),
    (lambda: Mixer(partners=None), ValueError, f"{PAIRING}None"),
    (lambda: Mixer("manifold", layers="stage1"), TypeError, f"{LAYERS}'stage1'"),
    (lambda: Mixer("manifold", layers=None), TypeError, f"{LAYERS}None"),
    (lambda: Mixer("manifold", layers=[]), ValueError, f"{LAYERS}[]"),
    (lambda: Mixer("manifold", layers=["input", "input"]), ValueError, f"{LAYERS}['input', 'input']"),
    (lambda: Mixer("manifold", layers=["input", 1]), TypeError, f"{LAYERS}['input', 1]"),
    (lambda: Mixer("manifold", layers=["input", ""]), TypeError, f"{LAYERS}['input', '']"),
    (
        lambda: Mixer("manifold", layer=["input"]),
        TypeError,
        "settings of 'manifold' must be one of 'layers', got 'layer'; did you mean 'layers'?",
    ),
    (
        lambda: Mixer("mixup", layers=["input"]),
        TypeError,
        "settings of 'mixup' must be none at all, got 'layers'",
    ),
    (
        lambda: Mixer("cutmix", shared_lambda=True),
        TypeError,
        "settings of 'cutmix' must be none at all, got 'shared_lambda'; did you mean 'shared_lam'?",
    ),
    # batches
    (lambda: mix(variant="manifold"), TypeError, INSIDE_MODEL),
    (lambda: mix(X.numpy()), TypeError, f"{FIRST}array([[[[ 0., 1., 2., 3., 4.], [ 5., 6., 7., 8., 9.], [ ..."),
    (lambda: mix(None), TypeError, f"{FIRST}None"),
    (lambda: mix([1, 2]), TypeError, f"{FIRST}[1, 2]"),
    (lambda: mix(X[:1], Y[:1]), ValueError, TWO),
    (lambda: mix(X[:0], Y[:0]), ValueError, f"x must not be empty, got {F32}[0, 3, 6, 5]"),
    (lambda: mix(X[:, :0]), ValueError, f"x must not be empty, got {F32}[4, 0, 6, 5]"),
    (lambda: mix(torch.tensor(1.0)), ValueError, f"{FIRST}{F32}[]"),
    (lambda: mix(X.to(torch.int32)), TypeError, "x must be uint8 or float, got an int32 tensor of shape [4, 3, 6, 5]"),
    (
        lambda: mix(X.to(torch.complex64)),
        TypeError,
        "x must be uint8 or float, got a complex64 tensor of shape [4, 3, 6, 5]",
    ),
    (lambda: mix(X > 1), TypeError, "x must be uint8 or float, got a bool tensor of shape [4, 3, 6, 5]"),
    (lambda: mix(X[:, 0].to(torch.uint8)), ValueError, f"{IMAGES}a uint8 tensor of shape [4, 6, 5]"),
    (lambda: mix(X[:, 0], variant="cutmix"), ValueError, f"{IMAGES}{F32}[4, 6, 5]"),
    (lambda: mix(X[:, 0, 0], variant="cutmix"), ValueError, f"{IMAGES}{F32}[4, 5]"),
    (lambda: mix(X[:3], Y[:3], partners="reversed", distinct=True), ValueError, EVEN),
    (lambda: mix(y=None), TypeError, f"y {LABELS}, got None"),
    (lambda: mix(y=[0, 1, 2, 1]), TypeError, f"y {LABELS}, got [0, 1, 2, 1]"),
    (lambda: mix(y=Y.float()), TypeError, f"y {LABELS}{FLOATS}{F32}[4]"),
    (lambda: mix(y=Y.to(torch.uint8)), TypeError, f"y {LABELS}{FLOATS}a uint8 tensor of shape [4]"),
    (lambda: mix(y=Y.to(torch.int32)), TypeError, f"y {LABELS}{FLOATS}an int32 tensor of shape [4]"),
    (lambda: mix(y=Y[:, None]), TypeError, f"y {LABELS}{FLOATS}an int64 tensor of shape [4, 1]"),
    (lambda: mix(y=Y[:3]), ValueError, "y must hold one label for each of the 4 examples, got 3 labels"),
    (lambda: mix(y=Y - 1), ValueError, "y must hold class labels of at least 0, got labels from -1 to 1"),
    (lambda: mix(y=META), ValueError, f"y{DEVICE}"),
    (lambda: Mixer()(X, Y, generator=7), TypeError, "generator must be a torch.Generator or None, got 7"),
    (lambda: MIXED.targets(2), ValueError, "y must hold class labels from 0 to 1, got labels from 0 to 2"),
    (lambda: MIXED.targets(0), ValueError, "num_classes must be an integer of at least 1, got 0"),
    (lambda: MIXED.targets(2.5), TypeError, "num_classes must be an integer of at least 1, got 2.5"),
    (lambda: PLAN.targets(Y[:3], 9), ValueError, "y must hold one label for each of the 4 examples, got 3 labels"),
    (lambda: MIXED.plan.targets(META, 3), ValueError, f"y{DEVICE}"),
    # plans
    (lambda: MixPlan(7, ROLLED, LAM[None], LAM[None]), TypeError, f"{NAME}7"),
    (lambda: MixPlan("", ROLLED, LAM[None], LAM[None]), TypeError, f"{NAME}''"),
    (lambda: plan([3, 0, 1, 2], LAM[None], LAM[None]), TypeError, f"{PARTNER}[3, 0, 1, 2]"),
    (lambda: plan(ROLLED.int(), LAM[None], LAM[None]), TypeError, f"{PARTNER}an int32 tensor of shape [4]"),
    (lambda: plan(ROLLED + 1, LAM[None], LAM[None]), ValueError, f"{PLACES}1 to 4"),
    (lambda: plan(ROLLED.flip(0), LAM[None], LAM[None], rolled=True), ValueError, f"{ROLL}[2, 1, 0, 3]"),
    (lambda: plan(ROLLED, 0.5, LAM[None]), TypeError, f"lam{KLAM}0.5"),
    (lambda: plan(ROLLED, LAM, LAM), ValueError, f"lam{KLAM}{F32}[4]"),
    (lambda: plan(ROLLED, LAM[None].double(), LAM[None]), ValueError, f"lam{KLAM}a float64 tensor of shape [1, 4]"),
    (lambda: plan(ROLLED, LAM[None] + 0.5, LAM[None]), ValueError, f"lam{WEIGHTS}0.5 to 1.5"),
    (lambda: plan(ROLLED, LAM[None], LAM[None] * math.nan), ValueError, f"nominal{WEIGHTS}nan to nan"),
    (
        lambda: plan(ROLLED, LAM[None], LAM[None, :3]),
        ValueError,
        f"nominal must be a float tensor of shape [1, 4], got {F32}[1, 3]",
    ),
    (lambda: plan(ROLLED, LAM[None], LAM[None].to("meta")), ValueError, f"nominal{DEVICE}"),
    (lambda: cut(box=None), ValueError, TOGETHER),
    (lambda: cut(size=None), ValueError, TOGETHER),
    (lambda: cut(rolled=1), TypeError, "rolled must be True or False, got 1"),
    (lambda: cut(shrunk=1), TypeError, "shrunk must be True or False, got 1"),
    (lambda: cut(noise_for_uint8=1), TypeError, "noise_for_uint8 must be True or False, got 1"),
    (lambda: cut(shrunk="yes"), TypeError, "shrunk must be True or False, got 'yes'"),
    (
        lambda: cut(box=None, size=None, shrunk=True),
        ValueError,
        "shrunk must be False without a box to shrink into, got True in MixPlan('cutmix', k=1, batch=4)",
    ),
    (
        lambda: cut(mask=MASK),
        ValueError,
        "mask and box must not be given together, got both in MixPlan('cutmix', k=1, batch=4)",
    ),
    (
        lambda: cut(shrunk=True, moves=MOVES),
        ValueError,
        "moves and shrunk must not be given together, got both in MixPlan('cutmix', k=1, batch=4)",
    ),
    (lambda: cut(size=6), TypeError, "size must be (height, width), got 6"),
    (lambda: cut(size=(6, 0)), ValueError, "width must be an integer of at least 1, got 0"),
    (lambda: cut(box=CUT.box.float()), ValueError, f"{BOXES}{F32}[1, 4, 4]"),
    (lambda: cut(box=CUT.box[:, :3]), ValueError, f"{BOXES}an int64 tensor of shape [1, 3, 4]"),
    (lambda: cut(size=(2, 5)), ValueError, f"{INSIDE}2 by 5 pixels, got [1, 1, 3, 4]"),
    (lambda: cut(box=CUT.box.flip(-1)), ValueError, f"{INSIDE}6 by 5 pixels, got [4, 3, 1, 1]"),
    (lambda: cut(box=CUT.box - 2), ValueError, f"{INSIDE}6 by 5 pixels, got [-1, -1, 1, 2]"),
    (lambda: cut(size=[6, 5]), TypeError, "size must be (height, width), got [6, 5]"),
    (lambda: cut(size=(6, 5.0)), TypeError, "width must be an integer of at least 1, got 5.0"),
    (lambda: cut(box=CUT.box.to("meta")), ValueError, f"box{DEVICE}"),
    (lambda: puzzle(mask=0.5), TypeError, f"{MASKED}0.5"),
    (lambda: puzzle(mask=MASK.double()), ValueError, f"{MASKED}a float64 tensor of shape [1, 4, 2, 2]"),
    (lambda: puzzle(mask=MASK > 0), ValueError, f"{MASKED}a bool tensor of shape [1, 4, 2, 2]"),
    (lambda: puzzle(mask=MASK[0]), ValueError, f"{MASKED}{F32}[4, 2, 2]"),
    (lambda: puzzle(mask=MASK[:, :3]), ValueError, f"{MASKED}{F32}[1, 3, 2, 2]"),
    (lambda: puzzle(mask=MASK[..., :0]), ValueError, f"{MASKED}{F32}[1, 4, 2, 0]"),
    (lambda: puzzle(mask=MASK + 1), ValueError, f"mask{WEIGHTS}1 to 2"),
    (lambda: puzzle(mask=MASK - 1), ValueError, f"mask{WEIGHTS}-1 to 0"),
    (lambda: puzzle(mask=MASK * math.nan), ValueError, f"mask{WEIGHTS}nan to nan"),
    (lambda: puzzle(mask=MASK.to("meta")), ValueError, f"mask{DEVICE}"),
    (lambda: puzzle(moves=[0, 1, 2, 3]), TypeError, f"{MOVED}[0, 1, 2, 3]"),
    (lambda: puzzle(moves=MOVES.int()), ValueError, f"{MOVED}an int32 tensor of shape [2, 1, 4, 4]"),
    (lambda: puzzle(moves=MOVES.float()), ValueError, f"{MOVED}{F32}[2, 1, 4, 4]"),
    (lambda: puzzle(moves=MOVES[:1]), ValueError, f"{MOVED}an int64 tensor of shape [1, 1, 4, 4]"),
    (lambda: puzzle(moves=MOVES[:, 0]), ValueError, f"{MOVED}an int64 tensor of shape [2, 4, 4]"),
    (lambda: puzzle(moves=MOVES[..., :3]), ValueError, f"{MOVED}an int64 tensor of shape [2, 1, 4, 3]"),
    (lambda: puzzle(moves=MOVES[..., :0]), ValueError, f"{MOVED}an int64 tensor of shape [2, 1, 4, 0]"),
    (lambda: puzzle(moves=MOVES + 1), ValueError, "moves must hold places from 0 to 3, got 1 to 4"),
    (lambda: puzzle(moves=MOVES - 1), ValueError, "moves must hold places from 0 to 3, got -1 to 2"),
    (lambda: puzzle(moves=MOVES.to("meta")), ValueError, f"moves{DEVICE}"),
    (lambda: puzzle(noise=0.1), TypeError, f"{NOISE}0.1"),
    (lambda: puzzle(noise=STILL.double()), ValueError, f"{NOISE}a float64 tensor of shape [2, 4, 3, 6, 5]"),
    (lambda: puzzle(noise=STILL[0]), ValueError, f"{NOISE}{F32}[4, 3, 6, 5]"),
    (lambda: puzzle(noise=STILL[:, :3]), ValueError, f"{NOISE}{F32}[2, 3, 3, 6, 5]"),
    (lambda: puzzle(noise=STILL / 0), ValueError, "noise must hold finite numbers, got NaN or infinity"),
    (lambda: puzzle(noise=STILL.to("meta")), ValueError, f"noise{DEVICE}"),
    (lambda: puzzle(layer=3), TypeError, f"{LAYER}3"),
    (lambda: puzzle(layer=""), TypeError, f"{LAYER}''"),
    (lambda: puzzle(layer=["input"]), TypeError, f"{LAYER}['input']"),
    (lambda: puzzle(clean_loss=0.5), TypeError, f"{LOSS}0.5"),
    (lambda: puzzle(clean_loss=LAM), TypeError, f"{LOSS}{F32}[4]"),
    (lambda: PLAN.labels([0, 1, 2, 1]), TypeError, f"y {LABELS}, got [0, 1, 2, 1]"),
    (lambda: PLAN.labels(Y.float()), TypeError, f"y {LABELS}, got {F32}[4]"),
    (lambda: PLAN.labels(Y[:3]), ValueError, "y must hold one label for each of the 4 examples, got 3 labels"),
    (lambda: PLAN.labels(Y - 1), ValueError, "y must hold class labels of at least 0, got labels from -1 to 1"),
    (lambda: PLAN.labels(META), ValueError, f"y{DEVICE}"),
    # applying a plan
    (
        lambda: PUZZLE.apply(X),
        ValueError,
        f"x must divide into 2 by 2 blocks, which this plan moves, got {F32}{[*X.shape]}",
    ),
    (
        lambda: PUZZLE.apply(X[:, 0]),
        ValueError,
        f"x must divide into 2 by 2 blocks, which this plan moves, got {F32}[4, 6, 5]",
    ),
    (lambda: PUZZLE.apply(Y), TypeError, f"{BLEND}an int64 tensor of shape [4]{NEVER}"),
    (
        lambda: PUZZLE.apply(X[:, 0].long()),
        TypeError,
        f"{BLEND}an int64 tensor of shape [4, 6, 5]{NEVER}",
    ),
    (
        lambda: PUZZLE.apply(X[..., :4], out=X[..., :4]),
        ValueError,
        "out must be laid out like x (contiguous_format), got strides [90, 30, 5, 1]",
    ),
    (lambda: PLAN.apply(X[:3]), ValueError, f"{EXAMPLES}{F32}[3, 3, 6, 5]"),
    (lambda: PLAN.apply(torch.tensor(1.0)), ValueError, f"{EXAMPLES}{F32}[]"),
    (lambda: PLAN.apply([1.0] * 4), TypeError, f"{FIRST}[1.0, 1.0, 1.0, 1.0]"),
    (lambda: PLAN.apply(Y), TypeError, f"{BLEND}an int64 tensor of shape [4]{NEVER}"),
    (lambda: PLAN.apply(X[:, 0].to(torch.uint8)), TypeError, f"{BLEND}a uint8 tensor of shape [4, 6, 5]{NEVER}"),
    (lambda: PLAN.apply(X[:, 0] > 3), TypeError, f"{BLEND}a bool tensor of shape [4, 6, 5]{NEVER}"),
    (lambda: CUT.apply(Y), TypeError, f"{BLEND}an int64 tensor of shape [4]{NEVER}"),
    (lambda: PLAN.apply(X.to("meta")), ValueError, "x must be on the plan's device, cpu, got one on meta"),
    (lambda: PLAN.apply(X, normalize=0.5), TypeError, f"{STATISTICS}0.5"),
    (lambda: PLAN.apply(X, normalize=(0.5,)), TypeError, f"{STATISTICS}(0.5,)"),
    (lambda: PLAN.apply(X, normalize=("a", "b")), TypeError, f"{STATISTICS}('a', 'b')"),
    (
        lambda: PLAN.apply(X, normalize=((0.5, 0.5), (1, 1, 1))),
        ValueError,
        f"{FINITE}mean for each of the 3 channels, got [0.5, 0.5]",
    ),
    (
        lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, 1))),
        ValueError,
        f"{FINITE}std for each of the 3 channels, got [1.0, 1.0]",
    ),
    (lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, 0, 1))), ValueError, f"{POSITIVE}[1.0, 0.0, 1.0]"),
    (lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, -1, 1))), ValueError, f"{POSITIVE}[1.0, -1.0, 1.0]"),
    (
        lambda: PLAN.apply(X, normalize=((0.5, math.nan, 0.5), (1, 1, 1))),
        ValueError,
        f"{FINITE}mean for each of the 3 channels, got [0.5, nan, 0.5]",
    ),
    (
        lambda: PLAN.apply(X, normalize=((0.5,) * 3, (1, math.inf, 1))),
        ValueError,
        f"{FINITE}std for each of the 3 channels, got [1.0, inf, 1.0]",
    ),
    (lambda: PLAN.apply(X[:, 0], normalize=((0.5,) * 3, (1, 1, 1))), ValueError, f"{NORMAL}{F32}[4, 6, 5]"),
    (
        lambda: CUT.apply(X.long(), normalize=((0.5,) * 3, (1, 1, 1))),
        ValueError,
        f"{NORMAL}an int64 tensor of shape [4, 3, 6, 5]",
    ),
    (lambda: PLAN.apply(X, dtype=torch.int64), TypeError, "dtype must be a float type, got torch.int64"),
    (lambda: PLAN.apply(X, dtype="float32"), TypeError, "dtype must be a float type, got 'float32'"),
    (
        lambda: PLAN.apply(X.byte(), normalize=(0.5, 0.5), dtype=torch.uint8),
        TypeError,
        "dtype must be a float type, got torch.uint8",
    ),
    (lambda: PLAN.apply(X, out=[]), TypeError, f"{OUT}[]"),
    (lambda: PLAN.apply(X, out=torch.empty(4, 3, 6, 6)), ValueError, f"{OUT}{F32}[4, 3, 6, 6] on cpu"),
    (
        lambda: PLAN.apply(X, out=torch.empty(4, 3, 6, 5, dtype=torch.float64)),
        ValueError,
        f"{OUT}a float64 tensor of shape [4, 3, 6, 5] on cpu",
    ),
    (lambda: PLAN.apply(X, out=torch.empty(4, 3, 6, 5, device="meta")), ValueError, f"{OUT}{F32}[4, 3, 6, 5] on meta"),
    (
        lambda: PLAN.apply(X, out=torch.empty(4, 6, 5, 3).permute(0, 3, 1, 2)),
        ValueError,
        "out must be laid out like x (contiguous_format), got strides [90, 1, 15, 3]",
    ),
    (lambda: PLAN.apply(X, out=X), ValueError, OVERLAP),
    (lambda: PLAN.apply(X[:, :, ::2], out=X.view(-1)[:180].view(4, 3, 3, 5)), ValueError, OVERLAP),
    (
        lambda: PLAN.apply(X.clone().requires_grad_(), out=torch.empty(4, 3, 6, 5)),
        ValueError,
        "out must be None where x or out needs a gradient, got a tensor",
    ),
    (
        lambda: MixPlan.from_json("rubbish"),
        ValueError,
        f"{JSON}'rubbish': JSONDecodeError('Expecting value: line 1 column 1 (char 0)')",
    ),
    (
        lambda: MixPlan.from_json("[]"),
        ValueError,
        f"{JSON}'[]': TypeError('list indices must be integers or slices, not str')",
    ),
    (
        lambda: MixPlan.from_json(cell(), device="gpu"),
        ValueError,
        'device must be a device of this machine, such as "cpu" or "cuda", got \'gpu\'',
    ),
    (lambda: MixPlan.from_json("{}"), ValueError, f"{JSON}'{{}}': KeyError('variant')"),
    (
        lambda: MixPlan.from_json(7),
        ValueError,
        f"{JSON}7: TypeError('the JSON object must be str, bytes or bytearray, not int')",
    ),
    (
        lambda: MixPlan.from_json('{"partner": [0]}'),
        ValueError,
        f"{JSON}'{{\"partner\": [0]}}': KeyError('variant')",
    ),
    (lambda: MixPlan.from_json(cell(lam=[[0.5, 0.5, 0.5, 1.5]])), ValueError, f"lam{WEIGHTS}0.5 to 1.5"),
    (lambda: MixPlan.from_json(cell(lam=[[0.5, 0.5, 0.5, math.nan]])), ValueError, f"lam{WEIGHTS}nan to nan"),
    (lambda: MixPlan.from_json(cell(partner=[0, 1, 2, 9])), ValueError, f"{PLACES}0 to 9"),
    (lambda: MixPlan.from_json(cell(partner=[0.5, 1, 2, 3])), TypeError, f"{PARTNER}{F32}[4]"),
    (lambda: MixPlan.from_json(cell(partner=[], lam=[[]], nominal=[[]])), TypeError, f"{PARTNER}{F32}[0]"),
    (lambda: MixPlan.from_json(cell(variant=None)), TypeError, f"{NAME}None"),
    (lambda: MixPlan.from_json(cell(shrunk=1)), TypeError, "shrunk must be True or False, got 1"),
    (lambda: MixPlan.from_json(cell(mask=[[[[0.5]]]])), ValueError, f"{MASKED}{F32}[1, 1, 1, 1]"),
    (lambda: MixPlan.from_json(cell(moves=[0])), ValueError, f"{MOVED}an int64 tensor of shape [1]"),
    (lambda: MixPlan.from_json(cell(layer=7)), TypeError, f"{LAYER}7"),
    (lambda: MixPlan.from_json(cell(rolled=1)), TypeError, "rolled must be True or False, got 1"),
    # the loss
    (lambda: loss(LOGITS.tolist()), TypeError, f"{LOGIT}[[-1.0, -0.8181818127632141, -0.6363636255264282], [-0.45..."),
    (lambda: loss(LOGITS[0]), ValueError, f"{LOGIT}{F32}[3]"),
    (lambda: loss(LOGITS.long()), ValueError, f"{LOGIT}an int64 tensor of shape [4, 3]"),
    (lambda: loss(LOGITS[:0]), ValueError, f"{LOGIT}{F32}[0, 3]"),
    (lambda: loss(LOGITS[:, :2]), ValueError, "y_a must hold class labels from 0 to 1, got labels from 0 to 2"),
    (lambda: loss(y_a=Y.float()), TypeError, f"y_a {LABELS}, got {F32}[4]"),
    (lambda: loss(y_a=Y.to(torch.uint8)), TypeError, f"y_a {LABELS}, got a uint8 tensor of shape [4]"),
    (lambda: loss(y_b=Y - 1), ValueError, "y_b must hold class labels from 0 to 2, got labels from -1 to 1"),
    (lambda: loss(y_b=Y[:2]), ValueError, "y_b must hold one label for each of the 4 examples, got 2 labels"),
    (lambda: loss(y_a=META), ValueError, f"y_a{DEVICE}"),
    (lambda: loss(lam=0.5), TypeError, "lam must be a float tensor of shape [4], got 0.5"),
    (lambda: loss(lam=LAM[:2]), ValueError, f"lam must be a float tensor of shape [4], got {F32}[2]"),
    (lambda: loss(lam=Y), ValueError, "lam must be a float tensor of shape [4], got an int64 tensor of shape [4]"),
    (lambda: loss(lam=LAM + 0.25), ValueError, f"lam{WEIGHTS}0.25 to 1.25"),
    (lambda: loss(lam=LAM - 0.25), ValueError, f"lam{WEIGHTS}-0.25 to 0.75"),
    (lambda: loss(lam=LAM * math.nan), ValueError, f"lam{WEIGHTS}nan to nan"),
    (lambda: loss(lam=LAM.to("meta")), ValueError, f"lam{DEVICE}"),
    (lambda: loss(label_smoothing=1.5), ValueError, "label_smoothing must be a number from 0 to 1, got 1.5"),
    (lambda: loss(label_smoothing="some"), TypeError, "label_smoothing must be a number from 0 to 1, got 'some'"),
    (lambda: loss(reduction="avg"), ValueError, f"{REDUCTION}'avg'"),
    (lambda: loss(reduction="sums"), ValueError, f"{REDUCTION}'sums'; did you mean 'sum'?"),
    (lambda: loss(reduction=None), ValueError, f"{REDUCTION}None; did you mean 'none'?"),
]


LINES = [f"line {call.__code__.co_firstlineno}" for call, _, _ in ROWS]


@pytest.mark.parametrize(("call", "kind", "message"), ROWS, ids=LINES)
def test_wrong_input_raises_at_once_and_leaves_nothing_half_done(call, kind, message):
    before = [(part.clone(), part._version) for part in SHARED]
    drawn, drawn_globally = GENERATOR.get_state(), torch.random.get_rng_state()
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
    assert type(caught.value) is kind
    for part, (content, version) in zip(SHARED, before, strict=True):
        assert torch.equal(part, content)
        assert part._version == version
    assert torch.equal(GENERATOR.get_state(), drawn)
    assert torch.equal(torch.random.get_rng_state(), drawn_globally)


def test_out_is_not_written_to_when_the_call_is_wrong():
    out = torch.full((4, 3, 6, 5), 7.0)
    for wrong in ({"normalize": (0.5, 0)}, {"dtype": torch.int64}):
        with pytest.raises((TypeError, ValueError)):
            PLAN.apply(X, out=out, **wrong)
    with pytest.raises(ValueError, match="this plan was drawn for"):
        PLAN.apply(X[:3], out=out)
    assert torch.all(out == 7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cpu_generator_for_a_batch_on_cuda():
    with pytest.raises(ValueError, match=r"^generator must live on cuda:0, where it draws, got one on cpu$"):
        Mixer()(X.cuda(), Y.cuda(), generator=GENERATOR)
