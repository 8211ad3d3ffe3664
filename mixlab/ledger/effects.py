"""Differences between the runs of an atlas, pair by pair, as the claims need them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations, product
from statistics import fmean
from typing import Any

from mixlab.ledger.claim import LEAST, ORIGIN, PLACE, Effect
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
    effects = []
    for place, orders in _orders(runs, value, ("data", "model", "epochs", "seed", "recipe"), ("images", "digest")):
        sizes = sorted({images for images, _ in orders})
        fewest, most = ([order for (images, _), order in orders.items() if images == sizes[end]] for end in (0, -1))
        if len(sizes) > 1:
            effects += [Effect(tau, place) for tau in _taus(product(fewest, most))]
    return effects


def agreement_of_seeds(runs: Atlas, value: Value) -> list[Effect]:
    """Likewise between the orders with two seeds on the same images. All pairs of seeds of one place are one unit."""
    effects = []
    for place, orders in _orders(runs, value, (*PLACE, *ORIGIN), ("seed",)):
        effects += [Effect(tau, place) for tau in _taus(combinations(orders.values(), 2))]
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


def _orders(
    runs: Atlas, value: Value, place: tuple[str, ...], own: tuple[str, ...]
) -> Iterator[tuple[dict[str, Any], dict[tuple[Any, ...], dict[str, float]]]]:
    """The settings of each place, and there, by `own` settings, the value of each variant (α = 1, K = 1)."""
    orders: dict[tuple[Any, ...], dict[tuple[Any, ...], dict[str, float]]] = {}
    for run in _where(runs, {"k": 1}):
        if run.alpha in (None, 1.0):
            key, order = (tuple(_at(run).get(name) for name in names) for names in (place, own))
            orders.setdefault(key, {}).setdefault(order, {})[run.variant] = value(run)
    return ((dict(zip(place, key, strict=True)), own_orders) for key, own_orders in orders.items())


def _taus(pairs: Iterable[tuple[dict[str, float], dict[str, float]]]) -> Iterator[float]:
    """Kendall's τ of the variants that both have, where they are two or more."""
    for one, other in pairs:
        both = combinations(one.keys() & other.keys(), 2)
        signs = [_sign(one[a] - one[b]) * _sign(other[a] - other[b]) for a, b in both]
        if signs:
            yield fmean(signs)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
