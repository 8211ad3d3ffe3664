"""The plain attributes of a model's modules, such as the share of a dropout, described by their values."""

import copyreg
import math
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import nn

from mixlab._check import shown
from mixlab.runs.digest import canonical, sha256, tensors_digest
from mixlab.runs.source import is_own, source
from mixlab.training.loop import tensors_of

OF_EVERY_MODULE = frozenset({*vars(nn.Module()), "_compiled_call_impl"})


def attributes(model: nn.Module) -> dict[str, str]:
    """Digests of the plain attributes of every module of a model, and of its hooks, none of which a checkpoint holds.

    Raises ValueError if one cannot be described.
    """
    known = {id(part): name for name, part in (*model.named_modules(), *tensors_of(model).items())}
    digests = {}
    for name, module in model.named_modules():
        place = f"model.{name}" if name else "model"
        for attribute, value in _plain(module).items():
            where = f"{place}.{attribute}"
            digests[where] = sha256(canonical(described(value, "model", where, known)))
    return digests


def described(value: Any, argument: str, where: str = "a setting", known: Mapping[int, str] | None = None) -> Any:
    """A value for JSON that is equal for what works equally: tensors by their bytes, functions by their source.

    `known` maps the ids of the model's own parts to their names. Raises ValueError for what cannot be described.
    """

    def describe(part: Any, above: tuple[int, ...]) -> Any:
        if known and id(part) in known:
            return ["part", known[id(part)]]
        if part is None or type(part) in (bool, int, str) or (type(part) is float and math.isfinite(part)):
            return part
        if (leaf := _leaf(part)) is not None:
            return leaf
        if id(part) in above:
            return ["above", len(above) - above.index(id(part))]

        def each(items: Any) -> list[Any]:
            return [describe(item, (*above, id(part))) for item in items]

        if isinstance(part, (list, tuple)):
            return each(part)
        if isinstance(part, (set, frozenset)):
            return ["set", *sorted(each(part), key=canonical)]
        if isinstance(part, Mapping):
            return ["mapping", *sorted(map(list, zip(each(part), each(part.values()), strict=True)), key=canonical)]
        return [type(part).__name__, *each(_contents(part, argument, where))]

    return describe(value, ())


def _plain(module: nn.Module) -> dict[str, Any]:
    """A module's attributes beyond those of every module, and its hooks."""
    if type(module).__module__.startswith("torch._dynamo"):  # what torch.compile made, around the module itself
        return {}
    own = {name: value for name, value in sorted(vars(module).items()) if name not in OF_EVERY_MODULE}
    hooks = {name: vars(module)[name] for name in sorted(OF_EVERY_MODULE & vars(module).keys()) if "_hooks" in name}
    return own | {name: list(value.values()) for name, value in hooks.items() if value}  # keys count in this process


def _leaf(part: Any) -> list[Any] | None:
    """The description of what has nothing inside: an odd number, bytes, a tensor, an array, another's function."""
    if isinstance(part, (float, bytes)):
        return [type(part).__name__, repr(part)]
    if hasattr(part, "__array__") and hasattr(part, "dtype") and str(part.dtype) != "object":
        return ["tensor", tensors_digest({"": torch.as_tensor(part, device="cpu")})]
    if callable(part) and hasattr(part, "__qualname__") and not is_own(part) and "<" not in part.__qualname__:
        return ["named", f"{part.__module__}.{part.__qualname__}"]
    return None


def _contents(part: Any, argument: str, where: str) -> list[Any]:
    """What a function or an object is made of."""
    if isinstance(part, FunctionType):
        cells = [cell.cell_contents for cell in part.__closure__ or ()]
        return [source(part, argument), part.__defaults__, part.__kwdefaults__, cells]
    if isinstance(part, type):
        return [source(part, argument)]
    try:
        own: Any = copyreg.dispatch_table.get(type(part))
        reduced = part.__reduce_ex__(4) if own is None else own(part)
    except Exception:  # noqa: BLE001  # an object may raise anything here
        raise ValueError(
            f"{argument} must be made of values that can be described, to name the run, got {shown(part)} in {where}"
        ) from None
    return (
        [reduced]
        if isinstance(reduced, str)
        else [list(item) if isinstance(item, Iterator) else item for item in reduced]
    )
