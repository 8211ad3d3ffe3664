"""Figures of mixing: the law of λ, and mixed images."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mixlab import _check
from mixlab.mixing.beta import lambda_moments, lambda_pdf
from mixlab.mixing.mixer import Mixed
from mixlab.plots.style import BLUE, PALE_BLUE, axes_and_ink, describe


def plot_lambda(alpha: float, ax: Axes | None = None) -> Axes:
    """Density of λ ~ Beta(α, α), the part between 0.1 and 0.9 hatched, with its moments in words.

    Args:
        alpha: number from 1e-6 to 1e6.
        ax: where to draw; by default a figure of its own.
    """
    moments = lambda_moments(alpha)
    ax, ink = axes_and_ink(ax, (6.0, 3.6))
    spread = 8 * moments.variance**0.5  # a large α needs its grid where the mass is
    ends = torch.logspace(-6, -1, 100, dtype=torch.float64)
    middle = torch.linspace(max(0.1, 0.5 - spread), min(0.9, 0.5 + spread), 401, dtype=torch.float64)
    grid = torch.cat([ends, middle, 1 - ends]).sort().values
    density = lambda_pdf(alpha, grid)
    visible = (grid >= 0.1) & (grid <= 0.9)
    ax.plot(grid.numpy(), density.numpy(), color=BLUE, linewidth=2)
    looks: dict[str, Any] = {"facecolor": PALE_BLUE, "edgecolor": BLUE, "hatch": "//", "linewidth": 0, "alpha": 0.8}
    ax.fill_between(grid[visible].numpy(), density[visible].numpy(), **looks)
    inside = density[(grid >= 0.02) & (grid <= 0.98)]
    ax.set(xlim=(0, 1), ylim=(0, 1.15 * max(1.0, float(inside.max()))), xlabel="λ, the share of x", ylabel="density")
    share = f"both images show in {_percent(moments.mixed_mass)} of mixes: P(0.1 < λ < 0.9), hatched"
    larger = f"the larger share is {_percent(moments.theta_bar)} on average: θ̄ = {moments.theta_bar:.3f}"
    ax.set_title(f"α = {alpha:g}\n{share}\n{larger}", loc="left", fontsize=10.5, color=ink)
    where = "highest at one half" if alpha > 1 else "flat" if alpha == 1 else "high at 0 and 1, lowest at one half"
    words = f"{share.removesuffix(', hatched')}; {larger}"
    return describe(ax, f"Density of λ for α = {alpha:g}: {where}. {words[0].upper()}{words[1:]}.")


def plot_mixed(
    mixed: Mixed,
    ax: Axes | None = None,
    *,
    x: Tensor | None = None,
    classes: Sequence[str] | None = None,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Axes:
    """The first mixed images (at most 8 pairs), one row for each pair, one column for each of the K mixes.

    uint8 images are shown as they are. Of float images `normalize` undoes a normalization; else they are stretched to
    the range they have together.

    Args:
        mixed: what a Mixer gave; mixed.x [K * B, C, H, W] with C = 1 or 3.
        ax: where to draw; by default a figure of its own.
        x: the batch [B, C, H, W] that was mixed, on the same scale; puts x and its partner x′ to the left and right.
        classes: names of all labels, so that these read "0.70 cat + 0.30 dog".
        normalize: (mean, std) of each channel, as given to `MixPlan.apply`.
    """
    if not isinstance(mixed, Mixed):
        raise TypeError(f"mixed must be a Mixed, what a Mixer returns, got {_check.shown(mixed)}")
    if mixed.x.ndim != 4 or mixed.x.shape[1] not in (1, 3):
        wanted = "images of shape [K * B, C, H, W] with 1 or 3 channels"
        raise ValueError(f"mixed.x must hold {wanted}, got {_check.shown(mixed.x)}")
    if classes is not None:
        most = int(torch.maximum(mixed.y_a, mixed.y_b).max())
        if isinstance(classes, str) or len(classes) <= most:
            wanted = f"classes must hold a name for each label, here at least {most + 1}"
            raise ValueError(f"{wanted}, got {_check.shown(classes)}")
    k, batch = mixed.plan.lam.shape
    rows = min(8, batch)
    tiles = list(mixed.x.view(k, batch, *mixed.x.shape[1:])[:, :rows])
    texts = [[_soft_label(mixed, j * batch + row, classes) for row in range(rows)] for j in range(k)]
    if x is not None:
        _check.tensor("x", x, "the batch that was mixed")
        if x.shape != (batch, *mixed.x.shape[1:]):
            raise ValueError(f"x must be the batch that was mixed, [{batch}, ...], got {_check.shown(x)}")
        if (x.dtype == torch.uint8) != (mixed.x.dtype == torch.uint8):
            raise ValueError(f"x must be on the scale of mixed.x, {_check.shown(mixed.x)}, got {_check.shown(x)}")
        tiles = [x[:rows], *tiles, x[mixed.plan.partner[:rows].to(x.device)]]
        a, b = mixed.y_a[:rows].tolist(), mixed.y_b[:rows].tolist()
        texts = [[f"x: {_name(i, classes)}" for i in a], *texts, [f"x′: {_name(i, classes)}" for i in b]]
    shown = _displayable([tile.detach().cpu() for tile in tiles], normalize)

    height, width = mixed.x.shape[2:]
    step_x, step_y = 1.14, height / width + (0.22 if classes is None else 0.36)
    ax, ink = axes_and_ink(ax, (1.5 * len(tiles) * step_x, 1.5 * rows * step_y))
    # parse_math is off so that names are drawn as they are
    looks: dict[str, Any] = {"fontsize": 8.5, "va": "bottom", "linespacing": 1.1, "parse_math": False}
    for column, images in enumerate(shown):
        for row, image in enumerate(images):
            left, top = column * step_x, row * step_y
            ax.imshow(image, extent=(left, left + 1, top + height / width, top), cmap="gray", vmin=0, vmax=1)
            words = texts[column][row].replace(" + ", "\n+ ") if len(texts[column][row]) > 17 else texts[column][row]
            ax.text(left, top - 0.03, words, color=ink, **looks)
    ax.set(xlim=(0, len(tiles) * step_x - 0.14), ylim=(rows * step_y - 0.2, 1 - step_y), aspect="equal")
    ax.axis("off")
    first = ", ".join(column[0].replace("\n", " ") for column in texts)
    counts = f"{rows} pair{'s' if rows > 1 else ''} of images, {k} mix{'es' if k > 1 else ''} of each"
    return describe(ax, f"{counts} by {mixed.plan.variant}. First row: {first}.")


def _percent(share: float) -> str:
    if 0.001 <= share <= 0.999:
        return f"{share:.1%}"
    return "less than 0.1%" if share < 0.5 else "more than 99.9%"


def _name(label: int, classes: Sequence[str] | None) -> str:
    return str(classes[label]) if classes is not None else f"class {label}"


def _soft_label(mixed: Mixed, row: int, classes: Sequence[str] | None) -> str:
    lam, a, b = float(mixed.lam[row]), int(mixed.y_a[row]), int(mixed.y_b[row])
    if classes is None:
        return f"λ = {lam:.2f}"
    return f"{lam:.2f} {classes[a]} + {1 - lam:.2f} {classes[b]}" if a != b else f"1.00 {classes[a]}"


def _displayable(tiles: list[Tensor], normalize: tuple[Sequence[float], Sequence[float]] | None) -> list[list[Any]]:
    """Images [H, W, 3] or [H, W] from 0 to 1, for imshow; all on one scale."""
    if tiles[0].dtype == torch.uint8:
        images = [tile.double() / 255 for tile in tiles]
    else:
        images = [tile.double() for tile in tiles]
        if normalize is not None:
            mean, std = (torch.as_tensor(part, dtype=torch.float64).view(-1, 1, 1) for part in normalize)
            images = [image * std + mean for image in images]
        else:
            low = min(float(image.min()) for image in images)
            high = max(float(image.max()) for image in images)
            images = [(image - low) / ((high - low) or 1.0) for image in images]
    return [[image.clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy() for image in batch] for batch in images]
