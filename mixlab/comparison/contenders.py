"""The mixers that are compared, by the names they have in tables; the one that does not mix comes first."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mixlab import _check
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.one_of import OneOf

BASELINE = "none"
MOST = 50  # mixers, as the level corrected for many more would be rounded up to 1
_WANTED = 'mixers must be mixers or names of variants, such as ["none", mx.Mixer("mixup", alpha=0.2)], or a mapping '


def contenders(mixers: Any = None) -> dict[str, Mixer]:
    """The mixers by name, "none" first; raises TypeError or ValueError as `compare` says it."""
    if mixers is None:
        soft, cut = Mixer("mixup", alpha=0.2), Mixer("cutmix")
        mixers = (soft, Mixer("mixup", alpha=1.0), cut, OneOf([soft, cut]))
    if isinstance(mixers, Mapping):
        pairs = [(_name(name), _mixer(mixer)) for name, mixer in mixers.items()]
    elif isinstance(mixers, Iterable) and not isinstance(mixers, (str, bytes)):
        pairs = [(label_of(mixer), mixer) for mixer in map(_mixer, mixers)]
    else:
        raise TypeError(f"{_WANTED}from names to them, got {_check.shown(mixers)}")
    named = {BASELINE: Mixer("none")}
    names: dict[str, str] = {}
    for name, mixer in pairs:
        if repr(mixer) in names:
            raise ValueError(f"mixers must differ, got {mixer!r} twice: {names[repr(mixer)]!r} and {name!r}")
        if (name == BASELINE) != (repr(mixer) == repr(named[BASELINE])):
            raise ValueError(f'mixers must give the name "none" to mx.Mixer("none") and to no other, got {name!r}')
        names[repr(mixer)] = name
        named[name] = mixer
    if not 2 <= len(named) <= MOST:
        raise ValueError(f'mixers must be 1 to {MOST - 1} besides "none", got {len(named) - 1}')
    return named


def label_of(mixer: Mixer) -> str:
    """What a mixer is called in a table, such as "mixup α=0.2, k=5"."""
    if isinstance(mixer, OneOf):
        names, weights = map(label_of, mixer.settings["mixers"]), mixer.settings["weights"]
        return " or ".join(names if weights is None else map("{} ({:g})".format, names, weights))
    variant, *settings = repr(mixer).removeprefix("Mixer(").removesuffix(")").split(", ", 1)
    shown = re.sub(r"\bk=1(, |$)", "", ", ".join(settings)).removesuffix(", ").replace("alpha=", "α=")
    return f"{variant.strip(chr(39))} {shown}".strip()


def _mixer(value: Any) -> Mixer:
    if isinstance(value, str):
        return Mixer(value)
    if not isinstance(value, Mixer):
        raise TypeError(f"{_WANTED}from names to them, got {_check.shown(value)} among them")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{_WANTED}from names to them, got the name {_check.shown(value)}")
    return value
