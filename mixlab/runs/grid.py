"""The runs that a grid stands for: every combination of its values that differs from the rest, checked."""

import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    return tuple(found.name for found in named if found.kind is not found.VAR_KEYWORD and found.name not in without)


COMMON = _parameters(Mixer, "variant")
OWN = {name: tuple(field.name for field in fields(kind)) for name, kind in KINDS.items()}
MIXING = tuple(dict.fromkeys((*COMMON, *itertools.chain(*OWN.values()))))
FITTING = (*_parameters(Trainer, "model", "data", "mixer", "options"), *_parameters(TrainOptions))
NAMES = ("model", "variant", *MIXING, *FITTING)
_MOST = 10_000  # runs of a grid
ALWAYS = {"model": "quick", "variant": "none", "seed": 0}


@dataclass(frozen=True)
class Planned:
    """A run to be trained.

    Attributes:
        model: a name of `mixlab.models`.
        mixing: what its Mixer is made with, the variant too.
        fitting: what `mixlab.fit` takes besides, the seed too.
        label: its variant, and the values in which it differs from the other runs of its grid, for people.
    """

    model: str
    mixing: Settings
    fitting: Settings
    label: str = ""

    @property
    def mixer(self) -> Mixer:
        """Its mixer, made anew."""
        return Mixer(**self.mixing)


def planned(grid: Any, data: Dataset, given: Mapping[str, Any], *, elsewhere: bool) -> list[Planned]:
    """The runs of a grid, in its order, equal ones once.

    Args:
        grid: a mapping from names to values, or a list of such mappings.
        data: what is trained on.
        given: what all runs have, where the grid does not say otherwise.
        elsewhere: whether they are trained on other machines, which pick device and arithmetic themselves. Otherwise
            both are picked here, once for all.

    Raises:
        TypeError, ValueError: what is no grid, an unknown name, a setting that no variant of its grid has, and all that
            `Mixer` and `fit` refuse, together with the run's values.
    """
    mappings = _mappings(grid)
    for what, names in (("a name in grid", itertools.chain(*mappings)), ("a keyword of sweep", given)):
        for name in names:
            _check.choice(what, name, NAMES)
    if any("epochs" not in {*mapping, *given} for mapping in mappings):
        raise TypeError("epochs must be given, in grid or as a keyword")
    _check_used(mappings, ALWAYS | dict(given))

    count = sum(math.prod(len(values) for values in mapping.values()) for mapping in mappings)
    if count > _MOST:
        raise ValueError(f"grid must stand for at most {_MOST:,} runs, got {count:,}")

    runs: dict[str, Planned] = {}
    known: dict[str, tuple[str, Settings]] = {}
    for chosen in itertools.chain(*map(_combinations, mappings)):
        run = _plan(ALWAYS | dict(given) | chosen)
        try:
            key, run = _resolved(run, data, known, elsewhere)
        except (TypeError, ValueError) as error:
            place = f"; in the run with {', '.join(_shown(chosen, chosen))}" if chosen else ""
            raise type(error)(f"{error}{place}") from None
        runs.setdefault(key, run)
    return _labeled(list(runs.values()))


def _mappings(grid: Any) -> list[dict[str, tuple[Any, ...]]]:
    """The grid as a list of mappings, each from names to their values."""
    wanted = "grid must be a mapping from names to values, or a list of such mappings"
    single = isinstance(grid, Mapping)
    if not single and (isinstance(grid, (str, bytes)) or not isinstance(grid, Iterable)):
        raise TypeError(f"{wanted}, got {_check.shown(grid)}")
    parts = [grid] if single else list(grid)
    if not parts:
        raise ValueError(f"{wanted}, got none")
    for part in parts:
        if not isinstance(part, Mapping):
            raise TypeError(f"{wanted}, got {_check.shown(part)} in the list")
    return [{name: _values(name, values) for name, values in part.items()} for part in parts]


def _values(name: Any, values: Any) -> tuple[Any, ...]:
    wanted = f"grid[{name!r}] must be a list of values"
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{wanted}, got {_check.shown(values)}; for one value write [{_check.shown(values)}]")
    try:
        first = itertools.islice(values, _MOST + 1)  # an iterable need not end
        found = tuple(value.item() if getattr(value, "ndim", None) == 0 else value for value in first)
    except TypeError:  # a tensor or array of no axes
        raise TypeError(f"{wanted}, got {_check.shown(values)}") from None
    if len(found) > _MOST:
        raise ValueError(f"{wanted}, at most {_MOST:,}, got {_check.shown(values)}")
    if not found:
        raise ValueError(f"{wanted}, at least one, got {_check.shown(values)}")
    return found


def _check_used(mappings: list[dict[str, tuple[Any, ...]]], given: Settings) -> None:
    """Raise for a setting that none of the variants has, which could only be a mistake."""
    everywhere: list[str] = []
    for mapping in mappings:
        variants = [_check.choice("variant", name, KINDS) for name in mapping.get("variant", (given["variant"],))]
        everywhere += variants
        _check_some_has(mapping, variants)
    _check_some_has(given, list(dict.fromkeys(everywhere)))


def _check_some_has(names: Iterable[str], variants: list[str]) -> None:
    for name in names:
        if name in MIXING and not any(name in _settings_of(variant) for variant in variants):
            owners = [variant for variant in KINDS if name in _settings_of(variant)]
            raise ValueError(
                f"variant must be one that has the setting {name!r}, such as {owners[0]!r}, in some run at least, got "
                f"{', '.join(map(repr, variants))}"
            )


def _settings_of(variant: str) -> tuple[str, ...]:
    """What changes anything for this variant: without pairs, all that says how pairs are mixed does not."""
    kind = KINDS[variant]
    return tuple(name for name in (*COMMON, *OWN[variant]) if setting_matters(name, kind))


def _combinations(mapping: dict[str, tuple[Any, ...]]) -> Iterator[Settings]:
    for values in itertools.product(*mapping.values()):
        yield dict(zip(mapping, values, strict=True))


def _plan(values: Settings) -> Planned:
    """The run with these values, without the settings that its variant does not have."""
    variant = values["variant"]
    mixing = {name: values[name] for name in _settings_of(variant) if name in values}
    fitting = {name: values[name] for name in FITTING if name in values}
    return Planned(values["model"], {"variant": variant} | mixing, fitting)


def _resolved(
    run: Planned, data: Dataset, known: dict[str, tuple[str, Settings]], elsewhere: bool
) -> tuple[str, Planned]:
    """What the run is equal to others by, and the run with all that is picked here; raises what would be raised there.

    A Trainer is made for it, but only one for all seeds: `known` holds what came of it.
    """
    seed = _check.integer("seed", run.fitting["seed"], 0, _check.SEED_MAX)
    model = _check.choice("model", run.model, models.MODELS)
    fitting = run.fitting | {"seed": seed}
    look = _key(model, run.mixing, fitting | {"seed": 0})
    if look not in known:
        known[look] = _tried(Planned(model, run.mixing, fitting | {"seed": 0}), data, elsewhere)
    key, picked = known[look]
    return _key(key, seed), replace(run, fitting=fitting | picked)


def _tried(run: Planned, data: Dataset, elsewhere: bool) -> tuple[str, Settings]:
    """What its trainer calls itself, and the device and arithmetic that it picks."""
    net, mixer = getattr(models, run.model)(len(data.classes)), run.mixer
    if elsewhere:
        asked = {name: run.fitting.get(name) for name in ("device", "dtype")}
        here = {"device": "cpu", "dtype": asked["dtype"] or torch.float32}
        trainer = Trainer(net, data, mixer, **gathered(run.fitting | here))
        return _key(run.model, mixer.variant, mixer.settings, trainer.settings, asked), {}
    trainer = Trainer(net, data, mixer, **gathered(run.fitting))
    picked = {"device": trainer.device, "dtype": trainer.dtype}
    return _key(run.model, mixer.variant, mixer.settings, trainer.settings), picked


def _labeled(runs: list[Planned]) -> list[Planned]:
    """The runs, each with its variant and what else they do not all have alike, as far as their variants have it."""
    tables = [{"model": run.model} | run.mixing | run.fitting for run in runs]
    differ = []
    for name in ("model", *MIXING, *FITTING):
        having = [table for table in tables if name not in MIXING or name in _settings_of(table["variant"])]
        if len({_key(table.get(name)) for table in having}) > 1:
            differ.append(name)
    labels = [", ".join([table["variant"], *_shown(table, differ)]) for table in tables]
    return [replace(run, label=label) for run, label in zip(runs, labels, strict=True)]


def _shown(values: Settings, names: Iterable[str]) -> list[str]:
    return [f"{name}={_check.shown(values[name])}" for name in names if name in values]


def _key(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=repr)
