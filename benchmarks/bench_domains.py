"""What mixup and K = 5 change where the data is no image: the error against no mixing, over seeds.

make bench-lessons, or: python benchmarks/bench_domains.py [--quick] [--only NAME ...]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import harness
import results
from torch import nn

import mixlab as mx
from mixlab.domains import graphs, predict, regression, series, speech, tabular, text, train
from mixlab.domains.problem import Problem
from mixlab.domains.training import Augment

SEEDS = 6
WAYS = {"none": 0, "mixup": 1, "K = 5": 5}  # K of each; 0 does not mix
METHOD = f"""Small networks, trained as in lesson 11: without mixing, with mixup, and with five mixes of each pair, all
at α = 1. One of {SEEDS} seeds decides the training examples, the first weights, the order, the pairs and the λs, alike
for all three ways; where a set has no official test set, the seed draws that, too. A change is the mean over the seeds
of a difference between two networks of one seed, with Student's 95% interval: in wrong answers of 100 test examples,
and for labels that are numbers in hundredths of their deviation (of the root mean square error). Seeds share test
examples, all or some of them, so that intervals hold for other training examples rather than for other test examples.
Nothing is corrected for the number of sets: of 20 intervals with nothing behind them one misses 0. --only measures
these sets, and keeps what results/domains.json has of the others."""
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


class Case(NamedTuple):
    """One data set.

    Attributes:
        load: makes its problem from a seed.
        net: makes a network for the problem from a seed.
        size: is the number of training examples at most.
        settings: are those of the training.
        place: is the layer before which is mixed; "input" is before the network.
    """

    load: Callable[[int], Problem]
    net: Callable[[Any, int], nn.Module]
    size: int
    settings: dict[str, Any]
    place: str = "input"

    def mixer(self, k: int) -> mx.Mixer:
        """That of a K."""
        if self.place == "input":
            return mx.Mixer("mixup" if k else "none", k=max(k, 1))
        return mx.Mixer("manifold", k=k, layers=[self.place]) if k else mx.Mixer("none")

    def problem(self, seed: int, *, quick: bool = False) -> Any:
        """With as many training examples as this case takes."""
        problem = self.load(seed)
        return problem.smaller(min(len(problem.train[1]), 40 if quick else self.size), seed)

    def error(self, mixer: mx.Mixer, seed: int, *, quick: bool = False, augment: Augment | None = None) -> float:
        """Wrong answers of 100, or the root mean square error in hundredths of a deviation."""
        problem = self.problem(seed, quick=quick)
        model = self.net(problem, seed)
        settings = self.settings | ({"epochs": 1} if quick else {})
        train(problem, model, mixer, seed=seed, augment=augment, **settings)
        if problem.classes is None:
            return 100 * regression.forecast(problem, model).rmse
        return wrong(predict(problem, model))


def wrong(predictions: mx.Predictions) -> float:
    """Wrong answers of 100."""
    return 100 * (1 - predictions.correct.double().mean().item())


def _speech(problem: Problem, seed: int) -> nn.Module:
    return speech.SpeechNet(len(problem.classes or ()), seed=seed)


def _series(problem: Problem, seed: int) -> nn.Module:
    return series.SeriesNet(problem.train[0].shape[1], len(problem.classes or ()), seed=seed)


def _table(problem: tabular.TableProblem, seed: int) -> nn.Module:
    return tabular.TableNet(problem.columns, len(problem.classes or ()), seed=seed)


def _text(problem: text.TextProblem, seed: int) -> nn.Module:
    return text.TextNet(len(problem.words), len(problem.classes or ()), seed=seed)


def _graphs(problem: Problem, seed: int) -> nn.Module:
    kinds = 1 + max(int(x[:, 0].max()) for x, _ in (problem.train, problem.test))
    return graphs.GraphNet(kinds, 2, seed=seed)


def _numbers(problem: Problem, seed: int) -> nn.Module:
    return regression.ForecastNet(problem.train[0].shape[1], seed=seed)


def _cases() -> dict[str, Case]:
    spoken, timed = {"epochs": 15}, {"epochs": 45, "learning_rate": 0.01}
    rows, graph = {"epochs": 40}, {"epochs": 20}
    numbers = {"epochs": 40, "loss": regression.gaussian_loss}
    cases = {
        "speech": Case(lambda _: speech.load("public"), _speech, 400, spoken),
        "speech, a new speaker": Case(
            lambda s: speech.load("public", held_out=SPEAKERS[s % len(SPEAKERS)]), _speech, 400, spoken
        ),
        "series, cbf": Case(lambda _: series.load("cbf", noise=2.5), _series, 120, timed),
        "series, cbf in time": Case(lambda _: series.load("cbf", noise=2.5, warp=0), _series, 120, timed),
        "series, gestures": Case(lambda _: series.load("gestures", noise=2.5), _series, 120, timed),
    }
    for name in series.RECORDED:
        cases[f"series, {name}"] = Case(lambda _, name=name: series.recorded(name), _series, 12, timed)
    for name in tabular.SETS:
        cases[f"table, {name}"] = Case(lambda s, name=name: tabular.load(name, seed=s), _table, 300, rows)
    for name, size, epochs in (("trec", 300, 20), ("sst2", 2000, 6)):
        cases[f"sentences, {name}"] = Case(
            lambda _, name=name: text.load("public", name=name), _text, size, {"epochs": epochs}, "embedding"
        )
    for name in graphs.SETS:
        cases[f"graphs, {name}"] = Case(
            lambda s, name=name: graphs.load("public", name=name, seed=s), _graphs, 300, graph, "graph"
        )
    for name in regression.SETS:
        cases[f"numbers, {name}"] = Case(lambda s, name=name: regression.load(name, seed=s), _numbers, 200, numbers)
    return cases


CASES = _cases()


def measured(name: str, *, quick: bool) -> dict[str, Any]:
    """The row of a data set: [mean, low, high] of the error without mixing, and of three changes."""
    case, seeds = CASES[name], range(2 if quick else SEEDS)
    errors = {way: [case.error(case.mixer(k), seed, quick=quick) for seed in seeds] for way, k in WAYS.items()}
    row: dict[str, Any] = {"name": name, "n": len(seeds), "none": interval(errors["none"])}
    for before, after in (("none", "mixup"), ("none", "K = 5"), ("mixup", "K = 5")):
        gaps = [b - a for a, b in zip(errors[before], errors[after], strict=True)]
        row[f"{after} − {before}"] = interval(gaps)
    print(row, flush=True)
    return row


def interval(values: list[float]) -> list[float]:
    """The mean over the seeds, and Student's 95% interval, as they are kept."""
    part = mx.mean_interval(values)
    return [results.short(value, 3) for value in (part.value, part.low, part.high)]


def main() -> None:
    """Measure, print, save."""
    parser = harness.parser(__doc__, METHOD, quick="two seeds on little data, nothing saved")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME", help="these")
    options = parser.parse_args()
    held = {row["name"]: row for row in results.read().get("domains", {}).get("changes", ())}
    for name in options.only:
        held[name] = measured(name, quick=options.quick)
        if not options.quick:
            changes = [held[name] for name in CASES if name in held]
            results.save("domains", ("mixlab", "torch", "scikit-learn"), changes=changes)


if __name__ == "__main__":
    main()
