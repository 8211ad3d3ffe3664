"""The puzzle panel: saliency, mask, transport and result of Puzzle Mix, solved anew by Python at each move."""

import time
from math import isqrt
from typing import TYPE_CHECKING, Any

import traitlets
from matplotlib.colors import to_hex
from torch import Tensor, nn

from mixlab import _check
from mixlab.data.dataset import Dataset
from mixlab.mixing.variants.puzzle.mincut import WIDEST
from mixlab.panels.puzzle_panel.masks import Board, Masks, Setting, Solution
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.law import SEED_HIGH, cut_box
from mixlab.panels.shared.pairs import Pairs, bytes_of, choose_pairs, label_words
from mixlab.panels.shared.panel import AnsweringPanel, Checked
from mixlab.plots.style import BLUE, HEAT, PALE_VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = (2, 4, 8, 16)
# Where the sliders end. Above γ = 1 weights would be cut; at a cost of 1 hardly a block moves.
LIMITS = {"beta": 4.0, "gamma": 1.0, "eta": 2.0, "cost": 1.0}
SHADES = (PALE_VERMILION, BLUE)  # of the mask, from x′ to x
_DARK = 0.8  # the share of x from which a block is too dark for black numbers
_SAME = 1e-6  # of two energies, which are about 1: float32 decides no finer
_SHOWN = 1e-4  # the last digit of an energy


def _number(name: str, value: Any) -> float:
    return _check.number(name, value, 0, LIMITS[name])


def _blocks(name: str, value: Any) -> int:
    if value not in BLOCKS or isinstance(value, bool):
        raise ValueError(f"{name} must be one of {', '.join(map(str, BLOCKS))}, got {_check.shown(value)}")
    return int(value)


class PuzzlePanel(AnsweringPanel):
    """See `puzzle_panel`. Its traits follow the controls, and move them."""

    _esm = module("puzzle_panel/puzzle_panel.js")
    _css = styles("mx-puzzle", "puzzle_panel/puzzle_panel.css")
    asks = ("pair", "lam", "beta", "gamma", "eta", "blocks", "levels", "transport", "cost")
    _images = traitlets.Bytes().tag(sync=True)  # [pairs, 2, H, W, 3]
    _seen = traitlets.Bytes().tag(sync=True)  # [pairs, 2, H, W]: saliency, 255 the largest of each image
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # H, W
    _names: traitlets.List[list[str]] = traitlets.List().tag(sync=True)  # for each pair, the classes of x and x′
    _limits = traitlets.Dict(LIMITS).tag(sync=True)
    _choices = traitlets.List(traitlets.Int()).tag(sync=True)  # of b, those that divide the images
    _whose = traitlets.Unicode().tag(sync=True)
    _shades = traitlets.List(traitlets.Unicode(), list(SHADES)).tag(sync=True)
    _heat = traitlets.List(traitlets.Unicode(), [to_hex(HEAT(i / 8)) for i in range(9)]).tag(sync=True)
    pair = Checked(0, lambda name, value: _check.integer(name, value, 0))
    lam = Checked(0.5, lambda name, value: _check.number(name, value, 0, 1))
    beta = Checked(1.2, _number)
    gamma = Checked(0.5, _number)
    eta = Checked(0.2, _number)
    blocks = Checked(4, _blocks)
    levels = Checked(3, lambda name, value: _check.integer(name, value, 2, 4))
    transport = Checked(True, _check.flag)
    cost = Checked(0.8, _number)

    def __init__(self, pairs: Pairs, seed: int, choices: list[int]) -> None:
        self._board = Board(pairs, seed)
        self._solved: dict[Setting, Solution] = {}
        seen = self._board.saliency
        seen = 255 * seen / seen.amax((2, 3), keepdim=True).clamp(min=1e-30)
        super().__init__(
            _images=pairs.pixels.tobytes(),
            _seen=seen.round().byte().numpy().tobytes(),
            _size=list(pairs.size),
            _names=[list(names) for names in pairs.names],
            _choices=choices,
            _whose=pairs.whose,
            blocks=4 if 4 in choices else choices[0],
        )

    @traitlets.validate("pair", "blocks")
    def _within(self, proposal: Any) -> int:
        value = proposal["value"]
        if proposal["trait"].name == "pair":
            return _check.integer("pair", value, 0, len(self._names) - 1)
        if value not in self._choices:
            side = self._size[0]
            raise ValueError(f"blocks must divide the side of the images, {side} pixels, got {value}")
        return int(value)

    @property
    def names(self) -> tuple[str, str]:
        """The classes of x and x′."""
        first, second = self._names[self.pair]
        return first, second

    @property
    def saliency(self) -> Tensor:
        """The saliency of all pairs, float32 [pairs, 2, H, W]."""
        return self._board.saliency

    @property
    def solution(self) -> Solution:
        """What is solved at this moment, for all pairs: `.exact`, `.swap` and `.cutmix`."""
        return self._solve(self.state)

    def answer(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The masks of all pairs, and the pictures of the one on show followed by the results of all."""
        began = time.perf_counter()
        solution, pair = self._solve(wanted), wanted["pair"]
        milliseconds = 1000 * (time.perf_counter() - began)
        results = bytes_of(self._board.mixes(solution.exact.plan))
        halves = bytes_of(self._board.halves(solution.exact)[pair])
        cutmix, swap = (bytes_of(self._board.mixes(plan)[pair]) for plan in (solution.cutmix, solution.swap.plan))
        words = {
            "mask": solution.exact.mask[pair].flatten().tolist(),
            "moved": solution.exact.moved[pair].tolist(),
            "movable": _movable(solution.exact),
            "lams": solution.exact.plan.lam[0, : len(results)].tolist(),
            "cutmix": float(solution.cutmix.lam[0, pair]),
            "clipped": self._clipped(solution, pair, wanted["lam"]),
            "exact": _verdict(solution.exact, pair),
            "proved": _proved(solution.exact),
            "swap": _verdict(solution.swap, pair),
            "compared": _compared(solution, pair),
            "milliseconds": milliseconds,
        }
        return words, b"".join(part.tobytes() for part in (halves, cutmix, swap, results))

    def describe(self) -> str:
        """The pair, the settings, the label, and how the masks compare, in words."""
        solution, pair = self.solution, self.pair
        lam, cut = (float(plan.lam[0, pair]) for plan in (solution.exact.plan, solution.cutmix))
        first, second = solution.exact.moved[pair].tolist()
        moved = f"{first} blocks of x and {second} of x′ moved" if self.transport else "no blocks moved"
        box = ", its box clipped at the edge" if self._clipped(solution, pair, self.lam) else ""
        weights = f"β = {self.beta:g}, γ = {self.gamma:g}, η = {self.eta:g}, transport cost {self.cost:g}"
        return (
            f"x is of class {self.names[0]}, x′ of class {self.names[1]}; {self._whose}. "
            f"Puzzle Mix on {self.blocks} × {self.blocks} blocks, {self.levels} levels, {weights}, {moved}: "
            f"at λ = {self.lam:.2f} the label is {label_words(lam, self.names)}. "
            f"{_compared(solution, pair)} CutMix at the same λ{box}: {label_words(cut, self.names)}."
            f"{_grid_words(solution.exact, self._size[0])}"
        )

    def figure(self) -> "Figure":
        """Images, saliency, mask, halves and result; below, the swap's result and CutMix's."""
        from matplotlib.figure import Figure

        board, solution, pair = self._board, self.solution, self.pair
        figure = Figure(figsize=(9, 7.6), layout="constrained")
        axes = figure.subplots(3, 4)
        images, halves = self._board.pairs.pixels[pair], bytes_of(board.halves(solution.exact)[pair])
        lam, cut = (float(plan.lam[0, pair]) for plan in (solution.exact.plan, solution.cutmix))
        result, swapped, cutmix = (
            bytes_of(board.mixes(plan))[pair] for plan in (solution.exact.plan, solution.swap.plan, solution.cutmix)
        )
        ours = "exact" if _proved(solution.exact) else "our"
        tiles: list[tuple[str, Any]] = [
            (f"x: {self.names[0]}", images[0]),
            ("saliency of x", board.saliency[pair, 0].numpy()),
            (f"x′: {self.names[1]}", images[1]),
            ("saliency of x′", board.saliency[pair, 1].numpy()),
            ("mask: the share of x", None),
            ("what x gives", halves[0]),
            ("what x′ gives", halves[1]),
            (f"result: {label_words(lam, self.names)}", result),
            (f"{ours} mask: energy {float(solution.exact.energy[pair]):.4f}", result),
            (f"α–β swap: energy {float(solution.swap.energy[pair]):.4f}", swapped),
            (f"CutMix: {label_words(cut, self.names)}", cutmix),
        ]
        for ax, (title, picture) in zip(axes.flat, tiles, strict=False):
            if picture is not None:
                ax.imshow(picture, cmap=HEAT)
            else:
                _draw_mask(ax, solution.exact.mask[pair])
            ax.set_title(title, fontsize=9, parse_math=False)
        for ax in axes.flat:
            ax.axis("off")
        return figure

    def _clipped(self, solution: Solution, pair: int, lam: float) -> bool:
        """Whether CutMix's box loses a part at the edge, so that x keeps more than it would in the middle."""
        height, width = self._size
        _, whole = cut_box(lam, (height, width), height // 2, width // 2)
        return float(solution.cutmix.lam[0, pair]) > whole + _SAME

    def _solve(self, state: dict[str, Any]) -> Solution:
        """Kept for the last settings: a change of pair, and the picture of what is on show, solve nothing anew."""
        setting = Setting(**{name: state[name] for name in self.asks if name != "pair"})
        if setting not in self._solved:
            if len(self._solved) > 1:
                del self._solved[next(iter(self._solved))]
            self._solved[setting] = self._board.solve(setting)
        return self._solved[setting]


def _verdict(masks: Masks, pair: int) -> dict[str, float]:
    return {"lam": float(masks.plan.lam[0, pair]), "energy": float(masks.energy[pair])}


def _proved(masks: Masks) -> bool:
    """Whether the blocks are few enough that no mask has less energy."""
    return masks.mask.shape[-1] <= WIDEST


def _movable(masks: Masks) -> int:
    """How many blocks an image has for transport, which may be finer than the mask's; 0 if none moves."""
    return 0 if masks.plan.moves is None else masks.plan.moves.shape[-1]


def _grid_words(masks: Masks, side: int) -> str:
    """How fine the blocks that move are, as a sentence with a space before it."""
    if not (count := _movable(masks)):
        return ""
    pixels = side // isqrt(count)
    return f" Of each image {count} blocks of {pixels} × {pixels} pixels can move."


def _compared(solution: Solution, pair: int) -> str:
    """Whether the swap came to the same mask, in a sentence."""
    exact, swap = solution.exact, solution.swap
    ours = "the exact mask" if _proved(exact) else "our mask (16 by 16 is not proved exact)"
    said = f"Energy of {ours} {float(exact.energy[pair]):.4f}"
    different = int((exact.mask[pair] != swap.mask[pair]).sum())
    gap = float(swap.energy[pair] - exact.energy[pair])
    if not different:
        return f"{said}; the α–β swap found the same mask."
    blocks = f"{different} of {exact.mask[pair].numel()} blocks"
    if abs(gap) < _SAME:
        return f"{said}; the α–β swap differs in {blocks}, at equal energy."
    size = f"{abs(gap):.4f}" if abs(gap) >= _SHOWN / 2 else f"less than {_SHOWN}"
    return f"{said}; the α–β swap differs in {blocks}, {size} {'higher' if gap > 0 else 'lower'}."


def _draw_mask(ax: Any, mask: Tensor) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    side = len(mask)
    shades = LinearSegmentedColormap.from_list("mask", SHADES)
    ax.imshow(mask.numpy(), cmap=shades, vmin=0, vmax=1, extent=(0, side, side, 0))
    if side <= WIDEST:
        for row, shares in enumerate(mask.tolist()):
            for column, share in enumerate(shares):
                ink = "white" if share > _DARK else "black"
                ax.text(column + 0.5, row + 0.5, f"{share:.2g}", ha="center", va="center", color=ink, fontsize=8)


def puzzle_panel(data: Dataset, model: nn.Module | None = None, pairs: int = 8, seed: int = 0) -> PuzzlePanel:
    """A panel that takes Puzzle Mix apart: saliency, mask, transport and result, and the α–β swap and CutMix beside it.

    All pairs are solved anew by Python at each move of a slider.

    Args:
        data: what `mixlab.load` returns, with square images; the pairs are training images, each of two classes where
            there are two.
        model: the net whose saliency is used, from normalized images to logits (default: an untrained
            `models.quick`, and the panel says so).
        pairs: how many pairs, 1 to 64.
        seed: which pairs, and where CutMix's boxes lie.

    Returns:
        A widget. Its pair, lam (nominal λ), beta, gamma, eta, blocks, levels, transport and cost follow the controls;
        `.names`, `.saliency` and `.solution` give what is on show.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range, fewer than two images a pair, images that
            are not square or not of 1 or 3 channels, or of a side that none of 2, 4, 8 and 16 divides; or a model
            that gives no logits for them.
    """
    seed = _check.integer("seed", seed, 0, SEED_HIGH)
    chosen = choose_pairs(data, pairs, seed, model)
    height, width = chosen.size
    choices = [blocks for blocks in BLOCKS if height % blocks == 0]
    if height != width or not choices:
        raise ValueError(f"data must hold square images of an even side, got {height} by {width} pixels")
    return PuzzlePanel(chosen, seed, choices)
