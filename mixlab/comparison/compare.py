"""Compare mixers on your own data: train them over seeds within a time, and say which to use."""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from mixlab import _check
from mixlab.comparison.comparison import Comparison
from mixlab.comparison.contenders import contenders
from mixlab.comparison.page import page_path
from mixlab.comparison.scores import BY_ROW
from mixlab.comparison.training import Model, checked, suited, trained
from mixlab.data.dataset import Dataset, check_dataset
from mixlab.mixing.mixer import Mixer

_SEEDS = "seeds must be an integer of at least 2, or at least 2 different integers"


def compare(
    data: Dataset,
    mixers: Mapping[str, Mixer | str] | Iterable[Mixer | str] | None = None,
    seeds: int | Iterable[int] = 3,
    *,
    model: Model = "quick",
    epochs: int | None = None,
    minutes: float | None = 20,
    by: str = "nll",
    page: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Train mixers on a data set, each with several seeds, and recommend one, no mixing, or nothing.

        data = mx.load("pets")                            # a folder of class folders
        mx.compare(data, minutes=30, page="pets.html")

    Runs are stored as by `mixlab.run`: the same call loads what is there and resumes what was broken off, also where
    the minutes ended first. All mixers of a seed are trained before the next seed begins.

    Every number is of the test images; ECE is over 15 bins. Temperatures are fitted on one half of the test images and
    judged on the other, and the other way round. Means have Student's interval over seeds. Each mixer is compared with
    no mixing by paired differences, whose intervals hold for other seeds and, for accuracy and NLL, for other test
    images; their level is corrected for the number of mixers. A mixer is recommended only where its interval excludes
    0. Settle the number of seeds before: whoever adds seeds until something is decided is too often wrong. As the test
    images chose the mixer, its own accuracy there is a little too good to report.

    Args:
        data: a Dataset, as `mixlab.load` gives it.
        mixers: are mixers or names of variants, or map names for tables to them. No mixing, "none", is added as the
            first. Default: mixup with α = 0.2 and with α = 1, CutMix, and OneOf the first and CutMix.
        seeds: counts the seeds, from 0 on, or lists them; at least 2.
        model: is a name of `mixlab.models`, or a function from a seed to a new module that maps normalized float images
            [B, C, H, W] to logits [B, classes].
        epochs: counts the passes over the training images (default: about 1,000 steps, in 8 to 60 epochs).
        minutes: is the time for training in this call; the epoch under way is finished. 0 only loads what is stored,
            and None sets no limit. `mixlab.runs.cost_of`, with the mixers for variants, says what all of it takes.
        by: is the quantity that decides: "nll", "nll_after" a temperature, or "accuracy".
        page: is the HTML file to write; see `Comparison.page`.
        root: is the folder of the store, as for `mixlab.run`.
        progress: shows a bar of epochs.
        settings: are the rest of what `mixlab.fit` takes. Without batch_size and learning_rate, small training sets get
            smaller batches of at least 16, and a learning rate in proportion.

    Returns:
        A Comparison, which renders in a notebook.

    Raises:
        TypeError, ValueError: at the call: an argument of the wrong kind or out of range, or what `mixlab.fit` refuses
            of one of the mixers.
        StoreError: the folder of the store cannot be written, or this process trains one of the runs already.
        OSError: the page cannot be written.
    """
    check_dataset(data)
    named, listed = contenders(mixers), _seeds(seeds)
    if not isinstance(model, str) and not callable(model):
        raise TypeError(f"model must be a name of mx.models or a function from a seed to a module, got {model!r}")
    minutes = None if minutes is None else _check.number("minutes", minutes, 0, math.inf)
    by = _check.choice("by", by, BY_ROW)
    _check.flag("progress", progress)
    if "seed" in settings:
        raise TypeError(f"seed must be left out, as seeds has them, got {_check.shown(settings['seed'])}")
    target = None if page is None else page_path(page)
    settings = suited(data, epochs, settings)
    trainer = checked(model, data, named, settings)
    result = trained(model, data, named, listed, settings, minutes=minutes, root=root, progress=progress)
    comparison = Comparison(data, named, listed, result, trainer, model=_model_name(model), given=settings, by=by)
    if target is not None:
        comparison.page(target)
    return comparison


def _seeds(seeds: Any) -> tuple[int, ...]:
    if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)):
        listed = tuple(_check.integer("seeds", seed, 0, _check.SEED_MAX) for seed in seeds)
        if len(listed) < 2 or len(set(listed)) < len(listed):
            raise ValueError(f"{_SEEDS}, got {_check.shown(listed)}")
        return listed
    return tuple(range(_check.integer("seeds", seeds, 2)))


def _model_name(model: Model) -> str:
    return model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)
