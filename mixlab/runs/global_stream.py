"""torch's global generators, lent to a run while it takes a step."""

from copy import copy
from types import TracebackType

import torch
from torch import Tensor, nn

from mixlab._torch_state import one_at_a_time
from mixlab.runs.attributes import OF_EVERY_MODULE
from mixlab.runs.digest import sha256
from mixlab.training.loop import check_stream

_STEADY = ("torch.nn.", "mixlab.")  # whose modules draw only where one of these is among them, or a dropout
_DRAWING = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


class GlobalStream:
    """A stream of a run's own that torch's global generators draw from inside `with`; the caller's goes on afterwards.

    What another thread draws or seeds meanwhile is lost to it. So nothing is lent to a model that cannot draw.

    Args:
        model: what is trained.
        device: where; on CUDA that device's global generator is lent too.
        seed: the stream's. Another stream than that of `torch.Generator().manual_seed(seed)`.
    """

    def __init__(self, model: nn.Module, device: torch.device, seed: int) -> None:
        places = [torch.device("cpu"), *([device] if device.type == "cuda" else [])]
        self._devices = places if may_draw(model) else []
        own = int(sha256(f"torch's global generator, seed {seed}")[:15], 16)
        self._states = [torch.Generator(place).manual_seed(own).get_state() for place in self._devices]
        self._callers: list[Tensor] = []

    def __enter__(self) -> None:
        if self._devices:
            one_at_a_time.acquire()
            self._callers = self._swapped(self._states)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._devices:
            self._states = self._swapped(self._callers)
            one_at_a_time.release()

    def state(self) -> dict[str, Tensor]:
        """Where the stream stands, by names for a checkpoint."""
        return {f"global_{place.type}": state for place, state in zip(self._devices, self._states, strict=True)}

    def restored(self, state: dict[str, Tensor]) -> "GlobalStream":
        """The stream that stands there.

        Raises ValueError if it is no state of such a stream, KeyError if one is missing.
        """
        found = copy(self)
        found._states = [state[name] for name in self.state()]
        for place, came in zip(self._devices, found._states, strict=True):
            check_stream("torch's global generator", came, place)
        return found

    def _swapped(self, states: list[Tensor]) -> list[Tensor]:
        """The global generators' states, once these are put in their place."""
        before = []
        for place, state in zip(self._devices, states, strict=True):
            cuda = place.type == "cuda"
            before.append(torch.cuda.get_rng_state(place) if cuda else torch.get_rng_state())
            if cuda:
                torch.cuda.set_rng_state(state, place)
            else:
                torch.set_rng_state(state)
        return before


def may_draw(model: nn.Module) -> bool:
    """Whether a model may draw from torch's global generators: by a dropout, a hook, or a module of unknown kind."""
    return any(_may_draw(module) for module in model.modules())


def _may_draw(module: nn.Module) -> bool:
    kind = type(module)
    if not kind.__module__.startswith(_STEADY) or "Dropout" in kind.__name__ or isinstance(module, _DRAWING):
        return True
    own = vars(module)
    if any(own[name] for name in OF_EVERY_MODULE if name.endswith("_hooks") and name in own):
        return True
    if any(callable(value) for name, value in own.items() if name not in OF_EVERY_MODULE):  # a `forward` of its own
        return True
    return bool(getattr(module, "dropout", 0))  # as recurrent layers and attention have it
