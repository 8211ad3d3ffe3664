"""Differences between the runs of an atlas, pair by pair, as the claims need them."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, product
from statistics import fmean
from typing import Any

from mixlab.ledger.claim import LEAST, ORIGIN, Effect
from mixlab.runs.atlas import Atlas, AtlasRun
from mixlab.runs.atlas.atlas_run import SETTINGS

Settings = Mapping[str, Any]
Value = Callable[[AtlasRun], float]
_MIXING = {"variant", "alpha", "k"}


def points(metric: str, *, tempered: bool = False, epoch: float | None = None) -> Value:
    """A metric of a run in points (hundredths), raw or after its temperature, at the end or at one of its epochs."""
    if epoch is None:
        return lambda run: 100 * run.value(metric, tempered=tempered)
    return lambda run: 100 * run.along(metric, tempered=tempered)[epoch]


def differences(runs: Atlas, value: Value, first: Settings, second: Settings) -> list[Effect]:
    """The value of each run with the settings `first` less that of its partner with the settings `second`.

    Partners are alike in all that neither side names, and α and K are left aside where a side does not mix.
    """
    plain = "none" in (first.get("variant"), second.get("variant"))
    named = {*first, *second} | (_MIXING if plain else set())
    shared = [name for name in SETTINGS if name not in named]
    partners = {_key(run, shared): value(run) for run in _where(runs, second)}
    return [
        Effect(value(run) - partners[key], _at(run))
        for run in _where(runs, first)
        if (key := _key(run, shared)) in partners
    ]


def same_run(runs: Atlas, after: Value, before: Value, settings: Settings) -> list[Effect]:
    """What each run with these settings gains by a repair: one value of it less another one."""
    return [Effect(after(run) - before(run), _at(run)) for run in _where(runs, settings)]


def second_step(runs: Atlas, value: Value, ks: tuple[int, int, int]) -> list[Effect]:
    """What the step from the second K to the third adds, less what the step from the first to the second adds."""
    one, two, three = ks
    early = {_identity(effect): effect.value for effect in differences(runs, value, {"k": two}, {"k": one})}
    return [
        Effect(late.value - early[_identity(late)], late.at)
        for late in differences(runs, value, {"k": three}, {"k": two})
        if _identity(late) in early
    ]


def at_equal_cost(runs: Atlas, value: Value, variant: str, k: int) -> list[Effect]:
    """K mixes against one mix, trained for longer at no more cost: the costliest such run of the same α and seed.

    A pair whose cheaper side has less than nine tenths of the other's forward passes is marked as unfair, and left out
    where enough others are fair.
    """
    shared = [name for name in SETTINGS if name not in ("k", "epochs")]
    single: dict[Any, list[AtlasRun]] = {}
    for run in _where(runs, {"variant": variant, "k": 1}):
        single.setdefault(_key(run, shared), []).append(run)
    effects = []
    for run in _where(runs, {"variant": variant, "k": k}):
        longer = [one for one in single.get(_key(run, shared), []) if one.epochs > run.epochs]
        within = [one for one in longer if one.forwards <= 1.01 * run.forwards]  # the last batches round
        if within:
            dearest = max(within, key=lambda one: one.forwards)
            fair = dearest.forwards >= 0.9 * run.forwards
            effects.append(Effect(value(run) - value(dearest), _at(run), fair))
    alike = [effect for effect in effects if effect.fair]
    return alike if len({effect.unit for effect in alike}) >= LEAST else effects


def agreement(runs: Atlas, value: Value) -> list[Effect]:
    """Kendall's τ between the orders of the variants on the fewest and on the most images (α = 1, K = 1).

    An order is that of runs on the same images, not just on as many.
    1 is the same order, −1 the reverse; 0 is what chance gives on average.
    """
    places: dict[tuple[Any, ...], dict[tuple[int, Any], dict[str, float]]] = {}
    for run in _where(runs, {"k": 1}):
        if run.alpha in (None, 1.0):
            place = (run.data, run.model, run.epochs, run.seed, run.made.get("recipe"))
            order = places.setdefault(place, {}).setdefault((run.images, run.made.get("digest")), {})
            order[run.variant] = value(run)
    effects = []
    for (data, model, epochs, seed, recipe), orders in places.items():
        sizes = sorted({images for images, _ in orders})
        fewest, most = ([order for (images, _), order in orders.items() if images == sizes[end]] for end in (0, -1))
        for few, many in product(fewest, most):
            pairs = list(combinations(sorted(few.keys() & many.keys()), 2))
            if len(sizes) > 1 and pairs:
                same = [_sign(few[a] - few[b]) * _sign(many[a] - many[b]) for a, b in pairs]
                at = {"data": data, "model": model, "epochs": epochs, "seed": seed, "recipe": recipe}
                effects.append(Effect(sum(same) / len(same), at))
    return effects


def gains_of_models(runs: Atlas, value: Value, first: str, second: str) -> list[Effect]:
    """What mixing adds for one model less what it adds for the other, on the same images, with the same α and seed.

    A model trained by several recipes counts with their mean.
    """
    apart = {"model", "recipe"}  # each model is trained as suits it
    gains: dict[str, dict[Any, list[Effect]]] = {}
    for name in (first, second):
        own = Atlas(_where(runs, {"model": name}))
        for variant in {run.variant for run in own} - {"none"}:
            for effect in differences(own, value, {"variant": variant}, {"variant": "none"}):
                key = tuple(sorted((k, repr(v)) for k, v in effect.at.items() if k not in apart))
                gains.setdefault(name, {}).setdefault(key, []).append(effect)
    both = gains.get(first, {}).keys() & gains.get(second, {}).keys()
    return [
        Effect(_mean(gains[first][key]) - _mean(gains[second][key]), gains[first][key][0].at) for key in sorted(both)
    ]


def _where(runs: Atlas, settings: Settings) -> Iterator[AtlasRun]:
    return (run for run in runs if all(getattr(run, name) == wanted for name, wanted in settings.items()))


def _at(run: AtlasRun) -> dict[str, Any]:
    return run.settings | {name: run.made[name] for name in ORIGIN if name in run.made}


def _key(run: AtlasRun, names: list[str]) -> tuple[Any, ...]:
    return (*(getattr(run, name) for name in names), *(run.made.get(name) for name in ORIGIN))


def _identity(effect: Effect) -> tuple[Any, ...]:
    return (*effect.unit, effect.at.get("variant"), effect.at.get("alpha"))


def _mean(effects: list[Effect]) -> float:
    return fmean(effect.value for effect in effects)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
