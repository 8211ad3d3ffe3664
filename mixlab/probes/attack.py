"""Attacks: the worst small change of an image that gradients find, by FGSM and PGD, on pixels from 0 to 1."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlab import _check
from mixlab._torch_state import evaluating, usual_defaults
from mixlab.calibration.intervals import Interval, wilson
from mixlab.data.dataset import Split
from mixlab.machine import releasing_memory
from mixlab.mixing.normalize import Statistics, normalized
from mixlab.probes.per_image import ROWS, check_logits

BALLS = ("linf", "l2")


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack came to.

    Attributes:
        pixels: the attacked images, float32 [N, C, H, W] in [0, 1]; where the attack failed, the last that was tried.
        robust: is True where no change that was tried fooled the network, bool [N]; False where the clean image did.
        losses: the mean cross entropy over images in nats, at the clean images and after each step of the first start;
            it rises steadily unless gradients are masked.
    """

    pixels: Tensor
    robust: Tensor
    losses: tuple[float, ...]

    def accuracy(self, level: float = 0.95) -> Interval:
        """The accuracy that is left, at most: another attack may find more. Wilson's interval over images."""
        level = _check.number("level", level, 0.5, 0.999)
        share, count = (
            self.robust.double().mean(),
            torch.tensor(float(len(self.robust)), dtype=torch.float64, device="cpu"),
        )
        low, high = wilson(share.cpu(), count, level)
        return Interval(float(share), float(low), float(high), len(self.robust), level)


def pgd(
    model: nn.Module,
    split: Split,
    normalize: Statistics,
    radius: float,
    *,
    ball: str = "linf",
    steps: int = 10,
    step: float | None = None,
    restarts: int = 1,
    seed: int = 0,
) -> Attacked:
    """Projected gradient ascent of the cross entropy in a ball around each image.

    An image counts as fooled as soon as any step of any start is answered wrong. More steps go on along the same path,
    and more restarts add to the ones before, so both can only lower the accuracy. One step of the whole radius is
    `fgsm`; a network that holds out against that alone is not safe.

    Args:
        model: maps normalized float images to logits, on the split's device; it is read in evaluation mode.
        split: holds uint8 images and their labels.
        normalize: gives the (mean, std) of the images the model takes; the gradient goes through it.
        radius: is that of the ball in pixels from 0 to 1, such as 8/255 for "linf" or 0.5 for "l2"; at least 0.
        ball: is "linf", the largest change of a value, or "l2", the length of the whole change.
        steps: counts the steps of each start, at least 1.
        step: is the length of a step in pixels from 0 to 1, by default a quarter of the radius.
        restarts: counts random starts in the ball, at least 1; the first start is the image itself.
        seed: seeds the random starts.

    Returns:
        Attacked.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    """
    steps, restarts = _check.integer("steps", steps, 1), _check.integer("restarts", restarts, 1)
    radius = _check.number("radius", radius, 0, math.inf)
    step = radius / 4 if step is None else _check.number("step", step, 0, math.inf)
    return _attack(model, split, normalize, radius, ball, [step] * steps, restarts, seed)


def fgsm(model: nn.Module, split: Split, normalize: Statistics, radius: float, *, ball: str = "linf") -> Attacked:
    """One step of the whole radius along the gradient's sign ("linf") or direction ("l2").

    Args:
        model: maps normalized float images to logits.
        split: holds uint8 images and their labels.
        normalize: gives the (mean, std) of the images the model takes.
        radius: is that of the ball in pixels from 0 to 1.
        ball: is "linf" or "l2".

    Returns:
        Attacked.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
    """
    radius = _check.number("radius", radius, 0, math.inf)
    return _attack(model, split, normalize, radius, ball, [radius], 1, 0)


@releasing_memory()
def _attack(
    model: nn.Module,
    split: Split,
    normalize: Statistics,
    radius: float,
    ball: str,
    lengths: list[float],
    restarts: int,
    seed: int,
) -> Attacked:
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, such as data.test, got {_check.shown(split)}")
    _check.choice("ball", ball, BALLS)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    found, robust, curves = [], [], []
    with evaluating(model), torch.enable_grad():
        for start in range(0, len(split), ROWS):
            clean = split.images[start : start + ROWS].float() / 255
            labels = split.labels[start : start + ROWS]
            generator = torch.Generator().manual_seed((seed + start * 1_000_003) % _check.SEED_MAX)
            pixels, standing, curve = _chunk(
                model, clean, labels, normalize, radius, ball, lengths, restarts, generator
            )
            found.append(pixels)
            robust.append(standing)
            curves.append(curve * len(labels))
    losses = (torch.stack(curves).sum(0) / len(split)).tolist()
    return Attacked(torch.cat(found), torch.cat(robust), tuple(losses))


def _chunk(
    model: nn.Module,
    clean: Tensor,
    labels: Tensor,
    normalize: Statistics,
    radius: float,
    ball: str,
    lengths: list[float],
    restarts: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Attacked pixels, whether each image stands, and the mean loss before each step of the first start and after."""
    standing = torch.ones(len(clean), dtype=torch.bool, device=clean.device)
    worst, curve = clean.clone(), []
    for restart in range(restarts):
        shift = torch.zeros_like(clean) if restart == 0 else _start(clean, radius, ball, generator)
        for length in [*lengths, None]:
            pixels = (clean + shift).clamp(0, 1)
            losses, slope, right = _ask(model, pixels, labels, normalize)
            if restart == 0:
                curve.append(losses.mean())
            worst = torch.where(standing.view(-1, 1, 1, 1), pixels, worst)
            standing &= right
            if length is not None:
                shift = _projected(pixels - clean + length * _direction(slope, ball), radius, ball)
    return worst, standing, torch.stack(curve)


def _ask(model: nn.Module, pixels: Tensor, labels: Tensor, normalize: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each image, its gradient with respect to the pixels, and whether the answer is right."""
    pixels = pixels.detach().requires_grad_()
    logits = check_logits(model(normalized(pixels, normalize)), len(labels)).float()
    losses = functional.cross_entropy(logits, labels, reduction="none")
    (slope,) = torch.autograd.grad(losses.sum(), pixels)
    return losses.detach(), slope, logits.argmax(1) == labels


def _lengths(x: Tensor) -> Tensor:
    length: Tensor = x.flatten(1).norm(dim=1).clamp(min=1e-12)
    return length.view(-1, 1, 1, 1)


def _direction(slope: Tensor, ball: str) -> Tensor:
    return slope.sign() if ball == "linf" else slope / _lengths(slope)


def _projected(shift: Tensor, radius: float, ball: str) -> Tensor:
    return shift.clamp(-radius, radius) if ball == "linf" else shift * (radius / _lengths(shift)).clamp(max=1)


@usual_defaults()
def _start(clean: Tensor, radius: float, ball: str, generator: torch.Generator) -> Tensor:
    """A uniform draw from the ball."""
    if ball == "linf":
        return radius * (2 * torch.rand(clean.shape, generator=generator) - 1).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    share = torch.rand(len(clean), 1, 1, 1, generator=generator).to(clean.device) ** (1 / clean[0].numel())
    return radius * share * noise / _lengths(noise)
