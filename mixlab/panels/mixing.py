"""The mixing panel: pairs of images, λ by hand or drawn, mixup beside CutMix, and K mixes from x to x′."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import traitlets

from mixlab import _check
from mixlab.data import Dataset, Split
from mixlab.panels.law import K_HIGH, SEED_HIGH, cut_box, quantiles, uniforms
from mixlab.panels.panel import Checked, Panel, alpha_trait, k_trait, seed_trait, sources

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mix_bytes(a: np.ndarray, b: np.ndarray, lam: float) -> np.ndarray:
    """λ a + (1 − λ) b for uint8 arrays, computed in float64 and rounded to the nearest, halves to even."""
    return np.rint(lam * a.astype(np.float64) + (1 - lam) * b.astype(np.float64)).astype(np.uint8)


def paste(a: np.ndarray, b: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """a with the box (top, left, bottom, right) of b pasted in; both [H, W, C]."""
    top, left, bottom, right = box
    mixed: np.ndarray = a.copy()
    mixed[top:bottom, left:right] = b[top:bottom, left:right]
    return mixed


def label_words(lam: float, names: tuple[str, str]) -> str:
    """A soft label in words: "0.70 cat + 0.30 dog"."""
    share = int(100 * lam + 0.5)
    if names[0] == names[1] or share == 100:
        return f"1.00 {names[0]}"
    if share == 0:
        return f"1.00 {names[1]}"
    return f"{share / 100:.2f} {names[0]} + {(100 - share) / 100:.2f} {names[1]}"


class Mix(NamedTuple):
    """One draw: λ, and the centre of CutMix's box."""

    lam: float
    row: int
    column: int


def draw_mixes(alpha: float, seed: int, size: Sequence[int]) -> list[Mix]:
    """What the seed draws: first the mix on show, then the strip's."""
    height, width = size
    numbers = uniforms(seed, 3 * (1 + K_HIGH)).reshape(-1, 3)
    lams = quantiles(alpha, numbers[:, 0])
    return [Mix(float(lam), int(height * u), int(width * v)) for lam, (_, u, v) in zip(lams, numbers, strict=True)]


class MixingPanel(Panel):
    """See `mixing_panel`. The traits pair, lam, alpha, k, seed, row and column follow the controls, and move them."""

    _esm = sources("law.js", "dom.js", "mixing.js")
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

    def __init__(self, images: np.ndarray, names: list[tuple[str, str]], **state: Any) -> None:
        self.images = images  # [pairs, 2, H, W, 3] uint8
        size = list(images.shape[2:4])
        super().__init__(_images=images.tobytes(), _size=size, _names=[list(pair) for pair in names], **state)

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

    def _cut(self, lam: float, row: int, column: int) -> tuple[tuple[int, int, int, int], float]:
        return cut_box(lam, (self._size[0], self._size[1]), row, column)

    def describe(self) -> str:
        """The pair and its soft labels in words."""
        return (
            f"x is of class {self.names[0]}, x′ of class {self.names[1]}. mixup: {label_words(self.lam, self.names)}. "
            f"CutMix: {label_words(self.true_lam, self.names)} (λ drawn {self.lam:.2f}, true λ {self.true_lam:.2f}). "
            f"K = {self.k} mixes at α = {self.alpha:.3g}: λ = {', '.join(f'{lam:.2f}' for lam, _, _ in self.strip[0])}."
        )

    def figure(self) -> "Figure":
        """Both images, both mixes, and the strip."""
        from matplotlib.figure import Figure

        a, b = self.images[self.pair]
        figure = Figure(figsize=(8, 5.2))
        axes = figure.add_axes((0, 0, 1, 1))

        def place(picture: np.ndarray, left: float, top: float, side: float, words: str) -> None:
            axes.imshow(picture, extent=(left, left + side, top + side, top))
            axes.text(left + side / 2, top - 0.08, words, ha="center", va="bottom", fontsize=9)

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
        axes.set(xlim=(0, 8.1), ylim=(5.1, 0))
        axes.axis("off")
        return figure


def _choose(split: Split, pairs: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of images, none twice, each of two classes where there are two."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed)).tolist()
    first, rest = order[:pairs], order[pairs:]
    chosen = []
    for i in first:
        partner = next((j for j in rest if split.labels[j] != split.labels[i]), rest[0])
        rest.remove(partner)
        chosen.append((i, partner))
    return chosen


def mixing_panel(data: Dataset, pairs: int = 8, seed: int = 0) -> MixingPanel:
    """A panel in which two images and their labels are mixed, drawn in the browser.

    Args:
        data: what `mixlab.load` returns; the pairs are training images, each of two classes where there are two.
        pairs: how many pairs are sent to the browser, 1 to 64.
        seed: which pairs, and which λs and boxes are drawn first.

    Returns:
        A widget. Its pair, lam, alpha, k, seed, row and column (the centre of CutMix's box) follow the controls;
        `.names`, `.true_lam` and `.strip` give what is on show.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, fewer than two images a pair, or images
            of neither 1 nor 3 channels; the message says which.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a data set from mixlab.load, got {_check.shown(data)}")
    pairs = _check.integer("pairs", pairs, 1, 64)
    seed = _check.integer("seed", seed, 0, SEED_HIGH)
    split = data.train
    channels = split.images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"data must hold images of 1 or 3 channels, got {channels} channels")
    if len(split) < 2 * pairs:
        raise ValueError(
            f"pairs must leave two images for each pair, got {pairs} pairs of {len(split)} training images"
        )
    chosen = _choose(split, pairs, seed)
    images = split.images[torch.tensor(chosen)].expand(-1, -1, 3, -1, -1).permute(0, 1, 3, 4, 2)  # [pairs, 2, H, W, 3]
    names = [(data.classes[split.labels[i]], data.classes[split.labels[j]]) for i, j in chosen]
    _, row, column = draw_mixes(1.0, seed, images.shape[2:4])[0]
    return MixingPanel(np.ascontiguousarray(images.numpy()), names, seed=seed, row=row, column=column)
