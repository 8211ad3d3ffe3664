"""The robustness panel: an image gets worse on a slider, and two networks answer; below, accuracy and ECE by level.

Python measures all levels of a kind when it is chosen; what follows the sliders is drawn in the browser from that.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from torch import nn

from mixlab import _check
from mixlab.data.dataset import Dataset, Split
from mixlab.panels.robustness_panel.levels import KINDS, LEVELS, Levels, levels_of, words_of
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.panel import AnsweringPanel, Checked
from mixlab.plots.style import BLUE, GRAY, PAPER, VERMILION
from mixlab.probes.corruption import CORRUPTIONS
from mixlab.probes.occlusion import PLACES
from mixlab.training.checks import check_logits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12  # images to choose from
MEASURED, ATTACKED = 250, 100  # images at each level; an attack takes more work for each
LOOKS: tuple[dict[str, Any], ...] = ({"color": BLUE, "marker": "o"}, {"color": VERMILION, "marker": "s"})


class RobustnessPanel(AnsweringPanel):
    """See `robustness_panel`. Its traits follow the controls, at release, and move them."""

    _esm = module("robustness_panel/robustness_panel.js")
    _css = styles("mx-robustness", "robustness_panel/robustness_panel.css")
    _needs_kernel = traitlets.Bool(False).tag(sync=True)  # without one it has the kind that was shown last
    asks = ("kind",)
    _kinds = traitlets.Dict().tag(sync=True)  # words of the menu by kind
    _names: traitlets.List[str] = traitlets.List().tag(sync=True)  # of the two networks
    _labels: traitlets.List[str] = traitlets.List().tag(sync=True)  # the true classes of the images to choose from
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # H, W
    kind = Checked("gaussian_noise", lambda name, value: _check.choice(name, value, KINDS))
    level = Checked(3, lambda name, value: _check.integer(name, value, 0, LEVELS[-1]))
    image = Checked(0, lambda name, value: _check.integer(name, value, 0, SHOWN - 1))

    def __init__(self, models: Mapping[str, nn.Module], data: Dataset, kind: str, level: int, image: int) -> None:
        self._models, self._data = dict(models), data
        self._measured: dict[str, dict[str, Levels]] = {}
        labels = [data.classes[label] for label in data.test.labels[:SHOWN].tolist()]
        super().__init__(
            _kinds={name: list(words) for name, words in KINDS.items()},
            _names=list(models),
            _labels=labels,
            _size=list(data.test.images.shape[-2:]),
            kind=kind,
            level=level,
            image=image,
        )

    def levels(self, kind: str | None = None) -> dict[str, Levels]:
        """By network, what was measured at each level of a kind; by default of the one on show."""
        kind = self.kind if kind is None else _check.choice("kind", kind, KINDS)
        if kind not in self._measured:
            images = self._data.test
            count = MEASURED if kind in CORRUPTIONS or kind in PLACES else ATTACKED
            split, shown = Split(images.images[:count], images.labels[:count]), len(self._labels)
            self._measured[kind] = {
                name: levels_of(net, split, self._data.normalization, kind, shown) for name, net in self._models.items()
            }
        return self._measured[kind]

    def answer(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """For each network and level what it says of each image, accuracy and ECE; and the pictures it saw."""
        kind, both = wanted["kind"], self.levels(wanted["kind"]).values()
        words = {
            "levels": [words_of(kind, level) for level in LEVELS],
            "count": next(iter(both)).accuracy[0].n,
            "answers": [_answers(part, self._data.classes) for part in both],
            "curves": [
                [[[part.value, part.low, part.high] for part in curve] for curve in (each.accuracy, each.ece)]
                for each in both
            ],
        }
        return words, b"".join(part.pictures.tobytes() for part in both)

    def describe(self) -> str:
        """The image, what both networks answer, and their accuracy and ECE at this level."""
        classes, labels = self._data.classes, self._labels
        said, over = [], []
        for name, part in self.levels().items():
            sure = part.sure[self.level, self.image].item()
            said.append(f"{name} says {classes[part.said[self.level, self.image]]} ({sure:.2f})")
            accuracy, ece = (str(each[self.level]).split(" (")[0] for each in (part.accuracy, part.ece))
            over.append(f"{name}: accuracy {accuracy}, ECE {ece}")
        count = part.accuracy[0].n
        return (
            f"{KINDS[self.kind][0]}, {words_of(self.kind, self.level)}. Image {self.image + 1}, a picture of "
            f"{labels[self.image]}: {'; '.join(said)}. Over {count} images, {'; '.join(over)}."
        )

    def figure(self) -> "Figure":
        """The picture that each network sees, and accuracy and ECE over the levels."""
        from matplotlib.figure import Figure

        both = self.levels()
        figure = Figure(figsize=(10, 3.6), layout="constrained", facecolor=PAPER)
        *pictures, accuracy, ece = figure.subplots(1, 4, width_ratios=[1, 1, 1.7, 1.7])
        for ax, (name, part) in zip(pictures, both.items(), strict=True):
            ax.imshow(part.pictures[self.level, self.image])
            said = self._data.classes[part.said[self.level, self.image]]
            ax.set_title(f"{name}: {said}, {part.sure[self.level, self.image]:.0%}", fontsize=10)
            ax.set_axis_off()
        for ax, curve, words in ((accuracy, "accuracy", "accuracy"), (ece, "ece", "ECE")):
            for (name, part), looks, aside in zip(both.items(), LOOKS, (-0.06, 0.06), strict=True):
                value, low, high = np.array([[each.value, each.low, each.high] for each in getattr(part, curve)]).T
                ax.errorbar(np.array(LEVELS) + aside, value, [value - low, high - value], label=name, **looks)
            ax.axvline(self.level, color=GRAY, linestyle="--", linewidth=1)
            ax.set(ylim=(0, 1), xlabel="level", ylabel=words)
        accuracy.legend(fontsize=9)
        accuracy.set_label(self.describe())
        return figure


def _answers(part: Levels, classes: tuple[str, ...]) -> list[list[list[Any]]]:
    """[level][image]: the class that is answered, the confidence, and the probability of the true class."""
    rows = zip(part.said.tolist(), part.sure.tolist(), part.truth.tolist(), strict=True)
    return [[[classes[said], sure, truth] for said, sure, truth in zip(*row, strict=True)] for row in rows]


def robustness_panel(
    models: Mapping[str, nn.Module], data: Dataset, kind: str = "gaussian_noise", level: int = 3, image: int = 0
) -> RobustnessPanel:
    """A panel in which a test image gets worse, and two networks answer it.

    Kinds are the corruptions of `mixlab.probes.corrupt` at severity 1 to 5, an occlusion of 10 to 50% of the pixels
    (`mixlab.probes.occluded`), and the attacks FGSM and PGD in the L∞ ball of ¼ to 4 of 255. A network is attacked by
    its own gradients, so the two then see different pictures. Level 0 is the image as it is.

    Args:
        models: two networks by name, from normalized float images [B, C, H, W] to logits [B, classes].
        data: what `mixlab.load` returns; the first 12 test images can be chosen, accuracy and ECE are over the first
            250, attacks over the first 100.
        kind: a key of `mixlab.probes.CORRUPTIONS`, "center", "square", "patches", "fgsm" or "pgd".
        level: 0 to 5.
        image: 0 to 11.

    Returns:
        A widget. Its traits kind, level and image follow the controls; `.levels()` holds what was measured.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    wanted = "models must map two names to networks (torch.nn.Module)"
    if not isinstance(models, Mapping) or not all(isinstance(net, nn.Module) for net in models.values()):
        raise TypeError(f"{wanted}, got {_check.shown(models)}")
    if len(models) != 2:
        raise ValueError(f"{wanted}, got {len(models)}")
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a data set from mixlab.load, got {_check.shown(data)}")
    channels = data.test.images.shape[1]
    if channels not in (1, 3) or len(data.test) < SHOWN:
        came = f"{len(data.test)} of {channels}"
        raise ValueError(f"data must hold at least {SHOWN} test images of 1 or 3 channels, got {came}")
    for net in models.values():
        check_logits(net, data.test.images.device, data)
    return RobustnessPanel(models, data, kind, level, image)
