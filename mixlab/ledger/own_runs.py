"""A user's own runs, made comparable: as runs of an atlas that are paired only with runs trained in the same way."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mixlab.ledger.claim import ORIGIN
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.variants import KINDS
from mixlab.runs import Run
from mixlab.runs.atlas import Atlas, AtlasRun
from mixlab.runs.atlas.atlas_run import of_run
from mixlab.runs.digest import canonical, sha256
from mixlab.runs.identity import mixing_of
from mixlab.runs.store import FORMAT, StoreError

_FREE = {"epochs", "seed", "every", "compile"}  # settings of training that are a column of their own, or change nothing


def comparable(runs: Iterable[Run]) -> Atlas:
    """Those of your runs that can be evidence: finished, whole, of this format, and of a mixer with the usual settings.

    What may differ are variant, α and K. Runs whose files are damaged are passed over. `images` counts those of an
    epoch, which are whole batches. Two runs become a pair only if images, network and all settings of training are the
    same; `made` has the digests of the images and of the rest, as "digest" and "recipe".
    """
    taken = []
    for run in runs:
        with suppress(StoreError):
            if (one := _taken(run)) is not None:
                taken.append(one)
    return Atlas(taken)


def _taken(run: Run) -> AtlasRun | None:
    if run.fault is not None or not run.finished or run.format != FORMAT or not _plain(run.identity["mixer"]):
        return None
    identity = run.identity
    training = {name: value for name, value in identity["training"].items() if name not in _FREE}
    if training["mix_until"] == run.settings["epochs"]:  # all are mixed, however many there are
        del training["mix_until"]
    network = {name: value for name, value in identity["model"].items() if name != "weights"}  # which the seed draws
    last = run.history[-1]
    images = last.steps // run.settings["epochs"] * run.settings["batch_size"]
    recipe, digest = sha256(canonical([training, network])), identity["data"]["digest"]
    made = dict(zip(ORIGIN, (recipe[:16], digest[:16]), strict=True))
    return of_run(run, images, made)


def _plain(mixing: dict[str, Any]) -> bool:
    """Whether a mixer is the usual one of its variant."""
    if mixing["variant"] not in KINDS:
        return False
    chosen = {name: mixing[name] for name in ("alpha", "k") if name in mixing}
    return canonical(mixing_of(Mixer(mixing["variant"], **chosen))) == canonical(mixing)
