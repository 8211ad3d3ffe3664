"""The runs that a grid stands for: every combination of its values that differs from the rest, checked."""

import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from mixlab import _check, models
from mixlab.data.dataset import Dataset
from mixlab.mixing.mixer import Mixer, setting_matters
from mixlab.mixing.variants import KINDS
from mixlab.training.options import TrainOptions, gathered
from mixlab.training.trainer import Trainer

Settings = dict[str, Any]


def _parameters(of: Callable[..., Any], *without: str) -> tuple[str, ...]:
    named = inspect.signature(of).parameters.values()
    return tuple(part.name for part in named if part.kind is not part.VAR_KEYWORD and part.name not in without)


COMMON = _parameters(Mixer, "variant")
OWN = {name: tuple(field.name for field in fields(kind)) for name, kind in KINDS.items()}
MIXING = tuple(dict.fromkeys((*COMMON, *itertools.chain(*OWN.values()))))
FITTING = (*_parameters(Trainer, "model", "data", "mixer", "options"), *_parameters(TrainOptions))
NAMES = ("model", "variant", *MIXING, *FITTING)


@dataclass(frozen=True)
class Planned:
    """A run to be trained.

    Attributes:
        model: a name of `mixlab.models`.
        mixing: what its Mixer is made with, the variant too; or the Mixer itself as the variant.
        fitting: what `mixlab.fit` takes besides, the seed too.
        label: its variant, and the values in which it differs from the other runs of its grid, for people.
    """

    model: str
    mixing: Settings
    fitting: Settings
    label: str = ""

    @property
    def mixer(self) -> Mixer:
        """The Mixer."""
        variant = self.mixing["variant"]
        return variant if isinstance(variant, Mixer) else Mixer(**self.mixing)


def planned(grid: Any, data: Dataset, given: Mapping[str, Any]) -> list[Planned]:
    """The runs of a grid in its order, equal ones once; `given` is what all have where the grid says nothing else.

    Raises TypeError or ValueError for what is no grid, an unknown name, and all that `Mixer` and `fit` refuse.
    """
    mappings, given = _mappings(grid), {"model": "quick", "variant": "none", "seed": 0, **given}
    for what, names in (("a name in grid", itertools.chain(*mappings)), ("a keyword of sweep", given)):
        for name in names:
            _check.choice(what, name, NAMES)
    if any("epochs" not in {*mapping, *given} for mapping in mappings):
        raise TypeError("epochs must be given, in grid or as a keyword")
    _check_used(mappings, given)

    runs: dict[str, Planned] = {}
    tried: dict[str, str] = {}
    for mapping in mappings:
        for values in itertools.product(*mapping.values()):
            chosen = dict(zip(mapping, values, strict=True))
            try:
                run = _plan(given | chosen)
                runs.setdefault(_resolved(run, data, tried), run)
            except (TypeError, ValueError) as error:
                place = f"; in the run with {', '.join(_shown(chosen, chosen))}" if chosen else ""
                raise type(error)(f"{error}{place}") from None
    return labeled(list(runs.values()))


def _mappings(grid: Any) -> list[dict[str, list[Any]]]:
    """The grid as a list of mappings, each from names to their values."""
    parts = [grid] if isinstance(grid, Mapping) else grid
    if not (isinstance(parts, (list, tuple)) and parts and all(isinstance(part, Mapping) for part in parts)):
        wanted = "grid must be a mapping from names to values, or a list of such mappings"
        raise TypeError(f"{wanted}, got {_check.shown(grid)}")
    return [{name: _values(name, values) for name, values in part.items()} for part in parts]


def _values(name: Any, values: Any) -> list[Any]:
    single = isinstance(values, (str, bytes, Mapping)) or getattr(values, "ndim", 1) == 0
    if single or not isinstance(values, Iterable):
        shown = _check.shown(values)
        raise TypeError(f"grid[{name!r}] must be a list of values, got {shown}; for one value write [{shown}]")
    items = [value.item() if getattr(value, "ndim", None) == 0 else value for value in values]
    if not items:
        raise ValueError(f"grid[{name!r}] must be a list of values, at least one, got {_check.shown(values)}")
    return items


def _check_used(mappings: list[dict[str, list[Any]]], given: Settings) -> None:
    """Raise for a setting that none of the variants has, which could only be a mistake."""
    variants = [mapping.get("variant", [given["variant"]]) for mapping in mappings]
    for names, own in ((given, list(itertools.chain(*variants))), *zip(mappings, variants, strict=True)):
        used = {setting for variant in own for setting in _settings_of(variant)}
        for name in names:
            if name in MIXING and name not in used:
                owner = next(variant for variant in KINDS if name in _settings_of(variant))
                raise ValueError(
                    f"variant must be one that has the setting {name!r}, such as {owner!r}, in some run at least, got "
                    f"{', '.join(map(repr, dict.fromkeys(own)))}"
                )


def _settings_of(variant: str | Mixer) -> tuple[str, ...]:
    """What changes anything for this variant: nothing for a Mixer, and for no pairs nothing of how they are mixed."""
    if isinstance(variant, Mixer):
        return ()
    kind = KINDS[_check.choice("variant", variant, KINDS)]
    return tuple(name for name in (*COMMON, *OWN[variant]) if setting_matters(name, kind))


def _plan(values: Settings) -> Planned:
    """The run with these values, without the settings that its variant does not have."""
    variant = values["variant"]
    mixing = {name: values[name] for name in _settings_of(variant) if name in values}
    fitting = {name: values[name] for name in FITTING if name in values}
    return Planned(values["model"], {"variant": variant} | mixing, fitting)


def _resolved(run: Planned, data: Dataset, tried: dict[str, str]) -> str:
    """What equal runs have in common; raises what training would raise.

    A Trainer is made for it, but only one for all seeds: `tried` holds what it calls itself.
    """
    seed = _check.integer("seed", run.fitting["seed"], 0, _check.SEED_MAX)
    _check.choice("model", run.model, models.MODELS)
    first = replace(run, fitting=run.fitting | {"seed": 0})
    look = key(first.model, first.mixing, first.fitting)
    if look not in tried:
        tried[look] = _tried(first, data)
    return key(tried[look], seed)


def _tried(run: Planned, data: Dataset) -> str:
    """What its trainer calls itself, but for device and dtype, which are picked where it is trained."""
    net, mixer = getattr(models, run.model)(len(data.classes), channels=data.channels), run.mixer
    asked = {name: run.fitting.get(name) for name in ("device", "dtype")}
    tried_on = {"device": "cpu", "dtype": asked["dtype"] or torch.float32}
    trainer = Trainer(net, data, mixer, **gathered(run.fitting | tried_on))
    return key(run.model, mixer.variant, mixer.settings, trainer.settings, asked)


def labeled(runs: list[Planned]) -> list[Planned]:
    """The runs, each with its variant and what else they do not all have alike, as far as their variants have it."""
    tables = [{"model": run.model} | run.mixing | run.fitting for run in runs]
    differ = []
    for name in ("model", *MIXING, *FITTING):
        having = [table for table in tables if name not in MIXING or name in _settings_of(table["variant"])]
        if len({key(table.get(name)) for table in having}) > 1:
            differ.append(name)
    labels = [", ".join([str(table["variant"]), *_shown(table, differ)]) for table in tables]
    return [replace(run, label=label) for run, label in zip(runs, labels, strict=True)]


def _shown(values: Settings, names: Iterable[str]) -> list[str]:
    return [f"{name}={_check.shown(values[name])}" for name in names if name in values]


def key(*parts: Any) -> str:
    """Settings as text, by which equal ones are known."""
    return json.dumps(parts, sort_keys=True, default=repr)
