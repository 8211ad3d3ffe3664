"""The plain attributes of a model's modules, such as the share of a dropout, told by value."""

import copyreg
import enum
import functools
import math
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from mixlab._check import shown
from mixlab.runs.digest import canonical, sha256, tensors_digest
from mixlab.runs.source import is_own, source
from mixlab.training.loop import tensors_of

OF_EVERY_MODULE = frozenset({*vars(nn.Module()), "_compiled_call_impl"})


def attributes(model: nn.Module) -> dict[str, Any]:
    """Digests of the plain attributes of every module of a model, and of its hooks.

    A training that changes one of them could not be taken up again, as a checkpoint holds parameters and buffers.

    Raises ValueError if a module keeps state elsewhere, by get_extra_state or in a generator of random numbers; or if
    an attribute cannot be told by its value.
    """
    known = {id(part): name for name, part in (*model.named_modules(), *tensors_of(model).items())}
    digests: dict[str, Any] = {}
    for name, module in model.named_modules():
        place = f"model.{name}" if name else "model"
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise ValueError(
                f"model must keep its state in parameters and buffers, for a run that can be taken up again, got "
                f"get_extra_state in {place}, a {type(module).__qualname__}"
            )
        for attribute, value in _plain_of(module).items():
            where = f"{place}.{attribute}"
            digests[where] = sha256(canonical(described(value, "model", where, known)))
    return digests


def described(value: Any, argument: str, where: str = "a setting", known: Mapping[int, str] | None = None) -> Any:
    """A value for JSON that is equal for what works equally: tensors by their bytes, functions by their source.

    Args:
        value: what an attribute or a setting is.
        argument: names the argument of `mixlab.run` in errors.
        where: says in errors where the value is.
        known: gives the names of the model's own parts by their ids.

    Raises ValueError for what cannot be told by its value, and for a generator of random numbers.
    """

    def tell(part: Any, above: tuple[int, ...]) -> Any:
        if known and id(part) in known:
            return ["part", known[id(part)]]
        if part is None or type(part) in (bool, int, str):
            return part
        if type(part) is float:
            return part if math.isfinite(part) else ["float", repr(part)]
        if id(part) in above:
            return ["above", len(above) - above.index(id(part))]
        inside = (*above, id(part))
        if isinstance(part, (list, tuple)):
            return [tell(item, inside) for item in part]
        if isinstance(part, (set, frozenset)):
            return ["set", *sorted((tell(item, inside) for item in part), key=canonical)]
        if isinstance(part, Mapping):
            pairs = [[tell(key, inside), tell(item, inside)] for key, item in part.items()]
            return ["mapping", *sorted(pairs, key=canonical)]
        short = _told_shortly(part)
        return (
            short
            if short is not None
            else [type(part).__name__, *(tell(item, inside) for item in _opened(part, argument, where))]
        )

    return tell(value, ())


def _plain_of(module: nn.Module) -> dict[str, Any]:
    """A module's attributes beyond those of every module, and its hooks."""
    if type(module).__module__.startswith("torch._dynamo"):  # what torch.compile made, around the module itself
        return {}
    own = {name: value for name, value in sorted(vars(module).items()) if name not in OF_EVERY_MODULE}
    hooks = {name: vars(module)[name] for name in sorted(OF_EVERY_MODULE & vars(module).keys()) if "_hooks" in name}
    return own | {name: list(value.values()) for name, value in hooks.items() if value}  # keys count in this process


def _told_shortly(part: Any) -> Any:
    """What needs no look inside: a tensor, an array, a constant of torch, a function that is not the user's own."""
    if hasattr(part, "__array__") and hasattr(part, "dtype") and str(part.dtype) != "object":
        return ["tensor", tensors_digest({"": torch.as_tensor(part)})]
    if isinstance(part, (complex, bytes, range, torch.dtype, torch.device)):
        return [type(part).__name__, repr(part)]
    if isinstance(part, enum.Enum):
        return ["enum", type(part).__qualname__, part.name]
    if callable(part) and hasattr(part, "__qualname__") and not is_own(part) and "<" not in part.__qualname__:
        return ["named", f"{part.__module__}.{part.__qualname__}"]
    return None


def _opened(part: Any, argument: str, where: str) -> list[Any]:
    """What a function or an object is made of."""
    if isinstance(part, FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or ()]
        return [source(part, argument), part.__defaults__, part.__kwdefaults__, cells]
    if isinstance(part, MethodType):
        return [part.__func__, part.__self__]
    if isinstance(part, functools.partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, type):
        return [source(part, argument)]
    if type(part).__name__ in ("Generator", "RandomState", "Random"):
        raise ValueError(
            f"{argument} must draw from torch's global generator, for a run that can be taken up again, got "
            f"{shown(part)} in {where}"
        )
    try:
        own: Any = copyreg.dispatch_table.get(type(part))
        reduced = part.__reduce_ex__(4) if own is None else own(part)
    except Exception:  # noqa: BLE001  # an object may raise anything here
        raise ValueError(
            f"{argument} must be made of what can be told by its value, for a run that is named by it, got "
            f"{shown(part)} in {where}"
        ) from None
    if isinstance(reduced, str):
        return [reduced]
    made, given, *rest = reduced
    return [made, given, *(list(item) if isinstance(item, Iterator) else item for item in rest)]
