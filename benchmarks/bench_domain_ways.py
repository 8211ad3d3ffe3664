"""Other ways to mix where the data is no image, and baselines: the error against no mixing, over seeds.

make bench-lessons, or: python benchmarks/bench_domain_ways.py [--quick] [--only NAME ...]
"""

from functools import cache
from typing import Any, NamedTuple

import harness
import results
from bench_domains import CASES, SEEDS, Case, interval, wrong

import mixlab as mx
from mixlab.domains import speech, tabular
from mixlab.domains.training import Augment
from mixlab.mixing import Near

METHOD = f"""The data sets, networks, settings and {SEEDS} seeds of bench_domains.py, which has mixup and K = 5. Here
the same networks are trained in other ways: speech mixed as waves before the spectrogram is computed; CutMix of a box
of the spectrogram, of a span of time, of a range of frequency; SpecAugment, which mixes nothing; mixup of sentence
vectors in place of word vectors; manifold mixup at a layer drawn for each batch; partners with near labels (C-Mixup,
within half a deviation). All train as long as without mixing. What makes the task harder needs longer, so speech is
there a second time, with 60 epochs in place of 15. "Trees" are scikit-learn's gradient-boosted ones on the same rows.
Each change is against the network without mixing of the same seed, in points, with Student's 95% interval; nothing is
corrected for the number of rows. --only measures these sets, and keeps what results/domain_ways.json has of the
others."""


class Way(NamedTuple):
    """Another way to train on a data set.

    Attributes:
        mixer: mixes; None for gradient-boosted trees.
        case: is the data set in another form and the network for it, where it is not that of bench_domains.py.
        augment: changes a batch before it is mixed.
    """

    mixer: mx.Mixer | None
    case: Case | None = None
    augment: Augment | None = None


CUTMIX = mx.Mixer("cutmix")
MANIFOLD = mx.Mixer("manifold", layers=["input", "block1", "block2"])
SENTENCES = mx.Mixer("manifold", layers=["sentence"])
NEAR = mx.Mixer("mixup", partners=Near(0.5), distinct=True)
LONG = "speech, 60 epochs"
SETS = CASES | {LONG: CASES["speech"]._replace(settings={"epochs": 60})}


def _speech(name: str) -> dict[tuple[str, str], Way]:
    def of(form: str) -> Case:
        return SETS[name]._replace(
            load=lambda _: speech.load("public", form=form),
            net=lambda _, seed: speech.SpeechNet(10, form=form, seed=seed),
        )

    return {
        (name, "mixup of waves"): Way(mx.Mixer("mixup"), of("waves")),
        (name, "CutMix of a box"): Way(CUTMIX),
        (name, "CutMix in time"): Way(CUTMIX, of("frames")),
        (name, "CutMix in frequency"): Way(CUTMIX, of("bands")),
        (name, "SpecAugment"): Way(mx.Mixer("none"), augment=speech.spec_augment),
    }


WAYS = _speech("speech") | {(LONG, "mixup"): Way(mx.Mixer("mixup"))} | _speech(LONG)
WAYS |= {
    ("series, cbf", "CutMix in time"): Way(CUTMIX),
    ("table, people", "manifold mixup"): Way(MANIFOLD),
    ("table, people", "trees"): Way(None),
    ("table, digits", "manifold mixup"): Way(MANIFOLD),
    ("table, digits", "trees"): Way(None),
    ("sentences, trec", "mixup of sentences"): Way(SENTENCES),
    ("sentences, sst2", "mixup of sentences"): Way(SENTENCES),
    ("numbers, diabetes", "near partners"): Way(NEAR),
    ("numbers, friedman", "near partners"): Way(NEAR),
}


@cache
def plain(name: str, seed: int, *, quick: bool) -> float:
    """The error without mixing."""
    return SETS[name].error(mx.Mixer("none"), seed, quick=quick)


def error(name: str, way: Way, seed: int, *, quick: bool) -> float:
    """The error in this way."""
    case = way.case or SETS[name]
    if way.mixer is None:
        return wrong(tabular.boosted_trees(case.problem(seed, quick=quick)))
    return case.error(way.mixer, seed, quick=quick, augment=way.augment)


def measured(name: str, way: str, *, quick: bool) -> dict[str, Any]:
    """A row: [mean, low, high] of the error without mixing, and of the change."""
    seeds = range(2 if quick else SEEDS)
    none = [plain(name, seed, quick=quick) for seed in seeds]
    then = [error(name, WAYS[name, way], seed, quick=quick) for seed in seeds]
    change = interval([b - a for a, b in zip(none, then, strict=True)])
    row = {"name": name, "way": way, "n": len(seeds), "none": interval(none), "change": change}
    print(row, flush=True)
    return row


def main() -> None:
    """Measure, print, save."""
    names = sorted({name for name, _ in WAYS})
    parser = harness.parser(__doc__, METHOD, quick="two seeds on little data, nothing saved")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="these")
    options = parser.parse_args()
    held = {(row["name"], row["way"]): row for row in results.read().get("domain_ways", {}).get("changes", ())}
    for name, way in (key for key in WAYS if key[0] in options.only):
        held[name, way] = measured(name, way, quick=options.quick)
        if not options.quick:
            changes = [held[key] for key in WAYS if key in held]
            results.save("domain_ways", ("mixlab", "torch", "scikit-learn"), changes=changes)


if __name__ == "__main__":
    main()
