"""What a model says of every image of a split."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.calibration.predictions import Predictions
from mixlab.data.dataset import Split
from mixlab.machine import releasing_memory
from mixlab.mixing.normalize import Statistics, normalized
from mixlab.training.augment import check_views, views_of
from mixlab.training.checks import check_dtype, check_module, check_output

_TEST_BATCH = 100  # images: more would only raise the peak of memory


@releasing_memory()
def predict(
    model: nn.Module,
    split: Split,
    normalize: Statistics,
    *,
    classes: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float32,
    views: int = 1,
) -> Predictions:
    """What `model` says of every image of a split, on the split's device; the model's mode is left as it was.

        test = mx.predict(model, data.test, data.normalization)

    Args:
        model: maps normalized float images [B, C, H, W] to logits [B, classes], on the split's device.
        split: holds uint8 images and their labels.
        normalize: gives the (mean, std) of the images the model takes, as `data.normalization` does.
        classes: names the classes, for pictures and tables.
        dtype: is the arithmetic, torch.float32 or torch.bfloat16; the logits are float32.
        views: counts how each image is shown, 1, 2 or 6 (see `TrainOptions`); the logits are the mean over views.

    Raises:
        TypeError, ValueError: the model is no torch.nn.Module or returns no logits [B, classes], the split is no
            Split, or another dtype or number of views.
        FloatingPointError: a logit is NaN or infinite.
    """
    check_module(model)
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, such as data.test, got {_check.shown(split)}")
    check_dtype(dtype, "torch.float32 or torch.bfloat16")
    views = check_views(views)
    tables = []
    with evaluating(model), torch.no_grad():
        for start in range(0, len(split), _TEST_BATCH):
            images = split.images[start : start + _TEST_BATCH]
            tables.append(_mean_logits(model, images, normalize, dtype, views))
    logits = torch.cat(tables)
    if not bool(logits.isfinite().all()):  # once, as CUDA waits for it
        raise FloatingPointError("the model's logits are no longer finite")
    return Predictions.from_logits(logits, split.labels, classes)


def _mean_logits(model: nn.Module, images: Tensor, normalize: Statistics, dtype: torch.dtype, views: int) -> Tensor:
    """The weighted mean of the logits of all views, float32."""
    parts = []
    for weight, view in views_of(images, views):
        inputs = normalized(view.contiguous(memory_format=torch.channels_last), normalize)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            parts.append(weight * check_output(model(inputs), len(inputs)).float())
    return torch.stack(parts).sum(0)
