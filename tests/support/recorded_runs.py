"""A small atlas of runs that were never trained: their predictions are drawn; some settings are missing."""

import torch
from drawn_predictions import sample

import mixlab as mx
from mixlab.panels.atlas_panel.numbers import STEPS
from mixlab.runs.atlas import Atlas, AtlasRun
from mixlab.runs.atlas.atlas_run import BINS

CIFAR, SHAPES = ("cifar10", 500), ("shapes", 2000)
# data, variant, alpha, K, epochs, seeds; mixup with α = 0.2 and K = 5, and with K = 2 and 30 epochs, are left out
RECORDED = (
    (CIFAR, "none", None, 1, 10, (0, 1, 2)),
    (CIFAR, "none", None, 1, 30, (0, 1, 2)),
    *((CIFAR, "mixup", alpha, k, 10, (0, 1, 2)) for alpha, k in ((0.2, 1), (0.2, 2), (1.0, 1), (1.0, 2), (1.0, 5))),
    (CIFAR, "mixup", 1.0, 1, 30, (2, 1, 0)),
    (CIFAR, "cutmix", 1.0, 1, 10, (1,)),
    (CIFAR, "manifold", 1.0, 2, 10, (7,)),
    (SHAPES, "none", None, 1, 10, (0, 1)),
    (SHAPES, "mixup", 1.0, 1, 10, (0, 1, 2)),
)


def recorded_runs() -> Atlas:
    """The runs of RECORDED, of 300 predictions each."""
    runs = []
    for (data, images), variant, alpha, k, epochs, seeds in RECORDED:
        for seed in seeds:
            drawn = [sample(300, 4, sharpness, seed=len(runs)) for sharpness in (1.7 - 0.9 * (alpha or 0), 1.1)]
            raw, tempered = (_rounded(mx.Reliability(BINS).update(p.probs, _labels(p, k))) for p in drawn)
            share = torch.arange(1, 6) / 5
            columns = [raw.accuracy(), raw.nll(), raw.ece(), tempered.nll(), tempered.ece()]
            curve = torch.stack([epochs * share, 2 - share, *(value * share for value in columns)], 1)
            if variant == "cutmix":  # as of an older mixlab
                curve[:-1, 5:] = torch.nan
            cost = images * epochs * k
            made = {"id": f"{len(runs):016x}", "data": data, "images": images, "model": "quick", "variant": variant}
            made |= {"alpha": alpha, "k": k, "epochs": epochs, "seed": seed, "curve": curve.float(), "raw": raw}
            made |= {"tempered": tempered, "temperature": 1.5, "seconds": cost / 1000, "forwards": cost}
            runs.append(AtlasRun(**made))
    return Atlas(runs)


def _labels(p: mx.Predictions, k: int) -> torch.Tensor:
    """Those that were drawn; with K = 5 two answers of three are right, so that one setting is clearly ahead."""
    made_right = (torch.arange(len(p)) % 3 > 0) & (k == 5)
    return torch.where(made_right, p.probs.argmax(1), p.labels)


def _rounded(held: mx.Reliability) -> mx.Reliability:
    """With sums that a float32 and the panel can hold to the bit."""
    return mx.Reliability.from_state((held.state * STEPS).round() / STEPS)
