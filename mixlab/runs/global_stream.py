"""torch's global generators, seeded anew for each step of a run and put back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mixlab._torch_state import spared
from mixlab.runs.attributes import OF_EVERY_MODULE
from mixlab.runs.digest import sha256

_STEADY = ("torch.nn.", "mixlab.")  # modules of these draw nothing, unless their name or state says so
_DRAWING = ("Dropout", "RReLU", "FractionalMaxPool")


@contextmanager
def global_stream(model: nn.Module, seed: int, step: int) -> Iterator[None]:
    """Inside, what a model draws from torch's global generators depends on seed and step alone.

    The caller's generators go on afterwards. Other threads would draw from the run's, so only models that draw have it.
    """
    if not may_draw(model):
        yield
        return
    own = int(sha256(f"seed {seed}, step {step}")[:15], 16)
    with spared(own):
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(own)
        yield


def may_draw(model: nn.Module) -> bool:
    """Whether a model may draw from torch's global generators: by a dropout, a hook, or a module of unknown kind."""
    return any(_may_draw(module) for module in model.modules())


def _may_draw(module: nn.Module) -> bool:
    kind, own = type(module), vars(module)
    return (
        not kind.__module__.startswith(_STEADY)
        or any(name in kind.__name__ for name in _DRAWING)
        or bool(own.get("dropout"))  # as recurrent layers and attention have it
        or "forward" in own
        or any(own.get(name) for name in OF_EVERY_MODULE if name.endswith("_hooks"))
    )
