"""Puzzle Mix: a mask that hides little of what matters, and blocks moved to where they are seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import _check
from mixlab.mixing.constants import constant
from mixlab.mixing.plan import MixPlan
from mixlab.mixing.saliency import input_gradient, magnitude
from mixlab.mixing.variants.puzzle.energy import best_masks, block_saliency, divisor, seams
from mixlab.mixing.variants.puzzle.transport import moves_of
from mixlab.mixing.variants.variant import Request, Variant
from mixlab.mixing.ways import Mask

_STEP_BEYOND = 2 / 255  # by which the adversarial step outdoes the ball it is clipped to, as in the official code


@dataclass(frozen=True)
class Puzzle(Variant):
    """Kim, Choo and Song, "Puzzle Mix", ICML 2020, with the settings of its README's commands for CIFAR-100.

    There alone blocks of 4 pixels are moved: main.py's own default for t_size, −1, moves the mask's blocks.

    One pass of the model gives each image's saliency. For each pair and λ the mask of least energy is found, exactly up
    to 8 by 8 blocks (`mincut.py`), then blocks are moved within each image so that salient ones are seen. λ of the
    label is the mask's mean, of each pair; the official code draws one λ for the batch (`shared_lam=True`). K masks
    cost one saliency pass, and (K + 2) batches of memory.

    Args:
        blocks: is the number of blocks on a side of the mask, or several to draw from for each batch; each divides the
            image's side. Of the default those are taken that do.
        levels: says how many values m can have, 2 to 4: 3 for 0, ½ and 1.
        beta: weighs smoothness, by beta/(16 blocks) for each border where m changes.
        gamma: weighs the seams in it. Above 1 some edges would come out negative; these are 0.
        eta: weighs the prior, which pulls each block to the likeliest level under λ; if it is large, the mask's mean
            becomes a staircase in λ.
        neighbor_size: says how many pixels are pooled before seams are measured, at most a block's; it divides the
            larger blocks' sides. Where the default does not, the next smaller number that does takes its place.
        transport: moves blocks.
        transport_cost: is what moving a block across the whole image costs.
        transport_size: is the side of a block that is moved, in pixels, at most the mask's; it divides the larger
            blocks' sides. None moves the mask's own blocks. Where the default does not divide, the next smaller number
            that does takes its place, or the mask's own block if that is 1. On a t by t grid time grows as t⁴ or t⁵:
            take 16 and more for large images.
        clean: above 0, makes `plan.clean_loss` clean × the mean cross entropy of the saliency pass, which is then made
            in the modes the model is in, for the caller to add to the loss. Labels beyond the model's classes are seen
            only after this pass, when BatchNorm has counted it. (The official clean_lam scales a loss that is about
            2/classes of this one.)
        adversarial: is the probability, for each side and batch, that its images get one step of adversarial noise:
            random start, a step of epsilon + 2/255 along the gradient's sign, clipped to epsilon, times U(0, 1).
        epsilon: bounds the noise, where pixels go from 0 to 1. Pixels stay there if x is uint8 or comes with normalize;
            of other float images the range is not known, and they are not clipped.
        std: is what float images were divided by, a number or one for each channel, so that seams and epsilon are in
            pixels from 0 to 1. With the default, images normalized before have seams weighted higher by 1/std. uint8
            images, and what comes with normalize=, need no std.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or out of range.
    """

    blocks: int | Sequence[int] = (2, 4, 8, 16)
    levels: int = 3
    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    neighbor_size: int = 4
    transport: bool = True
    transport_cost: float = 0.8
    transport_size: int | None = 4
    clean: float = 0.0
    adversarial: float = 0.0
    epsilon: float = 10 / 255
    std: float | Sequence[float] = (1.0,)

    name = "puzzle"
    about = "blocks by saliency: the best mask, and blocks moved to be seen (Kim et al., 2020)"
    needs_model = True

    def __post_init__(self) -> None:
        wanted = f"blocks must be an integer of at least 2, or several of them, got {_check.shown(self.blocks)}"
        if isinstance(self.blocks, (str, bytes)):
            raise TypeError(wanted)
        choices = tuple(self.blocks) if isinstance(self.blocks, Sequence) else (self.blocks,)
        if not choices:
            raise ValueError(wanted)
        self._set("blocks", tuple(_check.integer("blocks", number, 2) for number in choices))
        self._set("levels", _check.integer("levels", self.levels, 2, 4))
        self._set("neighbor_size", _check.integer("neighbor_size", self.neighbor_size, 1))
        if self.transport_size is not None:
            self._set("transport_size", _check.integer("transport_size", self.transport_size, 1))
        _check.flag("transport", self.transport)
        for setting in ("beta", "gamma", "eta", "transport_cost", "clean"):
            self._set(setting, _check.number(setting, getattr(self, setting), 0, 1e6))
        for setting in ("adversarial", "epsilon"):
            self._set(setting, _check.number(setting, getattr(self, setting), 0, 1))
        each = self.std if isinstance(self.std, Sequence) and not isinstance(self.std, str) else (self.std,)
        self._set("std", tuple(_check.number("std", part, 1e-6, 1e6) for part in each))

    def _set(self, setting: str, value: object) -> None:
        object.__setattr__(self, setting, value)

    def check(self, x: Tensor) -> None:
        """Square images, whose side the blocks divide."""
        height, width = x.shape[2:]
        if height != width or height == 1:
            raise ValueError(f"x must be square images of at least 2 by 2 pixels for 'puzzle', got {_check.shown(x)}")
        for blocks in self._choices(height):
            if height % blocks:
                fits = _one_of(number for number in range(2, height + 1) if height % number == 0)
                raise ValueError(f"blocks must divide the side of the images, {height} pixels {fits}, got {blocks}")
            self._check_sizes(blocks, height // blocks)
        if len(self._std) not in (1, x.shape[1]):
            raise ValueError(f"std must be one number for each of the {x.shape[1]} channels, got {self.std}")

    def _check_sizes(self, blocks: int, block: int) -> None:
        """Raise for pixels that were asked for and do not divide a larger block; the defaults give way to what does."""
        for name in ("neighbor_size", "transport_size"):
            pixels = getattr(self, name)
            if pixels not in (None, getattr(Puzzle, name)) and block % min(pixels, block):
                fits = _one_of(number for number in range(1, block + 1) if block % number == 0)
                raise ValueError(
                    f"{name} must divide the side of a block that is larger, here {block} pixels {fits}, got {pixels} "
                    f"for {blocks} by {blocks} blocks"
                )

    def _choices(self, side: int) -> tuple[int, ...]:
        """The numbers of blocks to draw from."""
        assert isinstance(self.blocks, tuple)  # since __post_init__
        fitting = tuple(blocks for blocks in self.blocks if side % blocks == 0)
        return fitting if fitting and self.blocks == Puzzle.blocks else self.blocks

    @property
    def _std(self) -> tuple[float, ...]:
        assert isinstance(self.std, tuple)  # since __post_init__
        return self.std

    def draw(self, ask: Request) -> MixPlan:
        """Saliency, masks and moves."""
        side = ask.x.shape[-1]
        lam = ask.lambdas()
        choices = self._choices(side)
        blocks = choices[ask.pick(len(choices))]
        saliency, noise, clean_loss = self._look(ask)
        own = block_saliency(saliency, blocks)
        pooled = divisor(side // blocks, self.neighbor_size)
        mask = best_masks(
            own,
            own.index_select(0, ask.partner),
            seams(self._pixels(ask)[0], ask.partner, blocks, pooled),
            lam,
            levels=self.levels,
            beta=self.beta,
            gamma=self.gamma,
            eta=self.eta,
        )
        moves = None
        if self.transport:
            both, worth = torch.cat([mask, 1 - mask], 1), torch.cat([saliency, saliency.index_select(0, ask.partner)])
            moves = moves_of(both, worth, self.transport_cost, most=self.transport_size)
            moves = moves.view(len(mask), 2, len(saliency), -1).movedim(1, 0).contiguous()
        return ask.plan(
            self.name,
            mask.mean((2, 3)),
            lam,
            Mask(mask, moves, noise, noise_for_uint8=noise is not None and ask.x.dtype == torch.uint8),
            clean_loss=clean_loss,
        )

    def _look(self, ask: Request) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Saliency [B, H, W], the noise of both sides in x's units, and the clean loss."""
        model, y = ask.model_and_labels
        sides = self._sides(ask)
        if not any(sides):
            gradient, clean_loss = input_gradient(model, ask.x, y, normalize=ask.normalize, clean=self.clean)
            return magnitude(gradient), None, clean_loss
        pixels, unit, known = self._pixels(ask)
        start = _random_start(pixels, self.epsilon, ask.generator, known)
        looked_at = ((pixels + start) * unit).to(ask.x.dtype if ask.x.is_floating_point() else torch.float32)
        gradient, clean_loss = input_gradient(model, looked_at, y, normalize=ask.normalize, clean=self.clean)
        strength = torch.rand((), dtype=torch.float32, device=pixels.device, generator=ask.generator)
        step = start + (self.epsilon + _STEP_BEYOND) * gradient.sign().float()
        shift = _within(pixels, strength * step.clamp(-self.epsilon, self.epsilon), known)
        shift = shift * (255 if ask.x.dtype == torch.uint8 else unit)
        noise = torch.stack([shift if chosen else torch.zeros_like(shift) for chosen in sides])
        return magnitude(gradient), noise, clean_loss

    def _sides(self, ask: Request) -> list[bool]:
        """Whether the examples, and the partners, get adversarial noise."""
        if self.adversarial == 0:
            return [False, False]
        return ask.chances(self.adversarial, 2)

    def _pixels(self, ask: Request) -> tuple[Tensor, Tensor | float, bool]:
        """Images in units where white is 1 above black, what brings them to the model's units, and if black is 0."""
        x = ask.x
        if x.dtype == torch.uint8:
            return x.float() / 255, 1.0, True
        if ask.normalize is not None:
            return x.detach().float(), 1.0, True
        std = constant(self._std, torch.float32, x.device).view(1, -1, 1, 1)
        return x.detach().float() * std, 1 / std, False


def _random_start(pixels: Tensor, epsilon: float, generator: torch.Generator | None, known: bool) -> Tensor:
    noise = torch.rand(pixels.shape, dtype=torch.float32, device=pixels.device, generator=generator)
    return _within(pixels, (2 * noise - 1) * epsilon, known)


def _within(pixels: Tensor, noise: Tensor, known: bool) -> Tensor:
    """Noise that leaves pixels from 0 to 1 where that is their range."""
    return (pixels + noise).clamp(0, 1) - pixels if known else noise


def _one_of(numbers: Iterable[int]) -> str:
    """What would fit, for an error message."""
    *others, last = map(str, numbers)
    return f"({', '.join(others)} or {last} would fit)" if others else f"({last} would fit)"
