"""The mixing panel: pairs of images, λ by hand or drawn, mixup beside CutMix, and K mixes by any variant."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import traitlets
from torch import nn

from mixlab import Mixer, _check
from mixlab.data.dataset import Dataset
from mixlab.mixing.beta import lambda_quantile
from mixlab.mixing.variants import KINDS
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.law import K_HIGH, SEED_HIGH, cut_box, uniforms
from mixlab.panels.shared.pairs import Pairs, bytes_of, choose_pairs, label_words, mix_bytes, paste
from mixlab.panels.shared.panel import AnsweringPanel, Checked, alpha_trait, k_trait, seed_trait

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# mixup and CutMix are drawn by the browser and have rows of their own; "none" has nothing to show.
OTHERS = {name: kind.about for name, kind in KINDS.items() if name not in ("none", "mixup", "cutmix")}
# What a panel opens with: one that waits for no gradient, and whose picture shows what it mixes.
_FIRST = min(OTHERS, key=lambda name: KINDS[name].needs_model or KINDS[name].mixes_inside)


class Mix(NamedTuple):
    """One draw: λ, and the center of CutMix's box."""

    lam: float
    row: int
    column: int


def draw_mixes(alpha: float, seed: int, size: Sequence[int]) -> list[Mix]:
    """What the seed draws: first the mix on show, then the strip's."""
    shares, *centers = uniforms(seed, 3 * (1 + K_HIGH)).view(-1, 3).T
    down, across = ((side * u).int().tolist() for side, u in zip(size, centers, strict=True))
    return [Mix(*draw) for draw in zip(lambda_quantile(alpha, shares).tolist(), down, across, strict=True)]


class Row(NamedTuple):
    """The mixes of a pair from x to x′: images uint8 [K, H, W, 3], their λs, and what is to be said of them."""

    images: np.ndarray
    lams: list[float]
    words: str


def draw_row(pairs: Pairs, pair: int, alpha: float, k: int, seed: int, variant: str) -> Row:
    """The mixes that `mixlab.Mixer` draws; where it cannot mix these images, none, and why."""
    kind = KINDS[variant]
    words = f"{variant}: {kind.about}."
    if kind.needs_model:
        words += f" Here: {pairs.whose}."
    if not kind.label_follows_pixels:
        words += " The λ shown is not the share of the pixels."
    if not kind.takes_alpha:
        words += " α has no part in it."
    fitting = max(count for count in range(1, k + 1) if kind.rows(count) <= K_HIGH)
    if kind.rows(k) != k:
        words += f" K = {fitting} gives {kind.rows(fitting)} mixes{'' if fitting == k else ', as many as fit here'}."
    images, labels = pairs.images[pair], pairs.labels[pair]
    mixer = Mixer(variant, alpha, fitting, ordered=True, partners="reversed")
    try:
        plan = mixer.plan(
            images,
            labels,
            model=pairs.model,
            normalize=pairs.normalize,
            generator=torch.Generator().manual_seed(seed),
        )
        mixes = plan.apply(images).view(plan.k, *images.shape)[:, 0]
    except (TypeError, ValueError, RuntimeError) as error:
        return Row(
            np.empty((0, *pairs.size, 3), np.uint8),
            [],
            f"{words} It cannot mix these images: {str(error).rstrip(chr(46))}.",
        )
    if kind.mixes_inside:
        words += f" It mixes inside the net (this time at {plan.layer!r}); shown is what the same λs do to the images."
    return Row(bytes_of(mixes), plan.lam[:, 0].tolist(), words)


class MixingPanel(AnsweringPanel):
    """See `mixing_panel`. Its traits follow the controls, and move them."""

    _esm = module("mixing_panel/mixing_panel.js")
    _css = styles("mx-mixing")
    _needs_kernel = traitlets.Bool(False).tag(sync=True)  # without one the third row is left out
    asks = ("pair", "alpha", "k", "seed", "variant")
    _others = traitlets.Dict(OTHERS).tag(sync=True)
    _images = traitlets.Bytes().tag(sync=True)  # [pairs, 2, H, W, 3]
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # H, W
    _names: traitlets.List[list[str]] = traitlets.List().tag(sync=True)  # for each pair, the classes of x and x′
    pair = Checked(0, lambda name, value: _check.integer(name, value, 0))
    lam = Checked(0.7, lambda name, value: _check.number(name, value, 0, 1))
    alpha = alpha_trait()
    k = k_trait()
    seed = seed_trait()
    row = Checked(0, lambda name, value: _check.integer(name, value, 0))
    column = Checked(0, lambda name, value: _check.integer(name, value, 0))
    variant = Checked(_FIRST, lambda name, value: _check.choice(name, value, OTHERS))

    def __init__(self, pairs: Pairs, seed: int) -> None:
        self._pairs = pairs
        self.images = pairs.pixels  # [pairs, 2, H, W, 3] uint8
        names = [list(pair) for pair in pairs.names]
        _, row, column = draw_mixes(1.0, seed, pairs.size)[0]
        super().__init__(
            _images=self.images.tobytes(), _size=list(pairs.size), _names=names, seed=seed, row=row, column=column
        )

    @traitlets.validate("pair", "row", "column")
    def _within(self, proposal: Any) -> int:
        name = proposal["trait"].name
        count = len(self.images) if name == "pair" else self._size[name == "column"]
        return _check.integer(name, proposal["value"], 0, count - 1)

    @property
    def names(self) -> tuple[str, str]:
        """The classes of x and x′."""
        first, second = self._names[self.pair]
        return first, second

    @property
    def true_lam(self) -> float:
        """The share of x in the CutMix image, whose box is clipped at the edge."""
        return self._cut(self.lam, self.row, self.column)[1]

    @property
    def strip(self) -> tuple[list[Mix], list[Mix]]:
        """The K mixes of the strip, from x to x′: those of mixup by λ, those of CutMix by true λ."""
        mixes = draw_mixes(self.alpha, self.seed, self._size)[1 : 1 + self.k]
        by_lam = sorted(mixes, key=lambda mix: -mix.lam)
        return by_lam, sorted(mixes, key=lambda mix: -self._cut(*mix)[1])

    @property
    def third(self) -> Row:
        """The row that Python draws: K mixes by `variant`."""
        return draw_row(self._pairs, self.pair, self.alpha, self.k, self.seed, self.variant)

    def answer(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The third row."""
        row = draw_row(self._pairs, **wanted)
        return {"variant": wanted["variant"], "lams": row.lams, "words": row.words}, row.images.tobytes()

    def _cut(self, lam: float, row: int, column: int) -> tuple[tuple[int, int, int, int], float]:
        return cut_box(lam, (self._size[0], self._size[1]), row, column)

    def describe(self) -> str:
        """The pair and its soft labels in words."""
        third = self.third
        lams = f" λ = {', '.join(f'{lam:.2f}' for lam in third.lams)}." if third.lams else ""
        return (
            f"x is of class {self.names[0]}, x′ of class {self.names[1]}. mixup: {label_words(self.lam, self.names)}. "
            f"CutMix: {label_words(self.true_lam, self.names)} (λ drawn {self.lam:.2f}, true λ {self.true_lam:.2f}). "
            f"K = {self.k} mixes at α = {self.alpha:.3g}: λ = {', '.join(f'{lam:.2f}' for lam, _, _ in self.strip[0])}."
            f" {third.words}{lams}"
        )

    def figure(self) -> "Figure":
        """Both images, both mixes, and the strips."""
        from matplotlib.figure import Figure

        a, b = self.images[self.pair]
        figure = Figure(figsize=(8, 6.5))
        axes = figure.add_axes((0, 0, 1, 1))

        def place(picture: np.ndarray, left: float, top: float, side: float, words: str) -> None:
            axes.imshow(picture, extent=(left, left + side, top + side, top))
            axes.text(left + side / 2, top - 0.08, words, ha="center", va="bottom", fontsize=9, parse_math=False)

        box, true_lam = self._cut(self.lam, self.row, self.column)
        place(a, 0.1, 0.6, 1.8, f"x: {self.names[0]}")
        place(b, 2.1, 0.6, 1.8, f"x′: {self.names[1]}")
        place(mix_bytes(a, b, self.lam), 4.1, 0.6, 1.8, f"mixup:\n{label_words(self.lam, self.names)}")
        place(paste(a, b, box), 6.1, 0.6, 1.8, f"CutMix:\n{label_words(true_lam, self.names)}")
        by_lam, by_true_lam = self.strip
        for i, mix in enumerate(by_lam):
            place(mix_bytes(a, b, mix.lam), 0.1 + i, 2.8, 0.9, f"mixup {mix.lam:.2f}")
        for i, mix in enumerate(by_true_lam):
            box, true_lam = self._cut(*mix)
            place(paste(a, b, box), 0.1 + i, 4.1, 0.9, f"CutMix {true_lam:.2f}")
        third = self.third
        for i, (mixed, lam) in enumerate(zip(third.images, third.lams, strict=True)):
            place(
                mixed,
                0.1 + i,
                5.4,
                0.9,
                f"{self.variant}\n{lam:.2f}" if len(self.variant) > 8 else f"{self.variant} {lam:.2f}",
            )
        if not third.lams:
            axes.text(0.1, 5.5, fill(third.words, 110), va="top", fontsize=9, parse_math=False)
        axes.set(xlim=(0, 8.1), ylim=(6.4, 0))
        axes.axis("off")
        return figure


def mixing_panel(data: Dataset, pairs: int = 8, seed: int = 0, *, model: nn.Module | None = None) -> MixingPanel:
    """A panel in which two images and their labels are mixed; mixup and CutMix follow the drag in the browser.

    Args:
        data: what `mixlab.load` returns; the pairs are training images, each of two classes where there are two.
        pairs: how many pairs are sent to the browser, 1 to 64.
        seed: which pairs, and which λs and boxes are drawn first.
        model: the net that variants look at which go by saliency, from normalized images to logits (default: an
            untrained `models.quick`, and the panel says so).

    Returns:
        A widget. Its pair, lam, alpha, k, seed, row and column (the center of CutMix's box), and variant (of the third
        row of mixes, drawn by `mixlab.Mixer`) follow the controls; `.names`, `.true_lam`, `.strip` and `.third` give
        what is on show.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, fewer than two images a pair, or images
            of neither 1 nor 3 channels; the message says which.
    """
    seed = _check.integer("seed", seed, 0, SEED_HIGH)
    return MixingPanel(choose_pairs(data, pairs, seed, model), seed)
