"""The λ panel: α, K and variant on sliders; the law of λ, what is drawn from it, and the λs of one pair."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets

from mixlab import VARIANTS, _check
from mixlab.data.dataset import Dataset
from mixlab.mixing.beta import LambdaMoments, lambda_moments, lambda_pdf, lambda_quantile
from mixlab.mixing.variants.cutmix import clipped_boxes
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.law import SEED_HIGH, uniforms
from mixlab.panels.shared.pairs import Pairs, choose_pairs, mix_bytes, paste
from mixlab.panels.shared.panel import Checked, Panel, alpha_trait, k_trait, seed_trait
from mixlab.plots.style import BLUE, PALE_BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWS = 2000
_BINS = 20
_SIZE = (32, 32)  # the image on which CutMix's box is cut
LAWS = {name: VARIANTS[name] for name in ("none", "mixup", "cutmix")}  # the rest draw λ by one of these laws, or not


class LambdaPanel(Panel):
    """See `lambda_panel`. The traits alpha, k, variant and seed follow the controls, at release, and move them."""

    _esm = module("lambda_panel/lambda_panel.js")
    _css = styles("mx-law")
    _variants = traitlets.Dict(LAWS).tag(sync=True)
    _images = traitlets.Bytes().tag(sync=True)  # x and x′, [2, 32, 32, 3], or none
    alpha = alpha_trait()
    k = k_trait()
    variant = Checked("mixup", lambda name, value: _check.choice(name, value, LAWS))
    seed = seed_trait()

    def __init__(self, alpha: float, k: int, variant: str, seed: int, pairs: Pairs | None) -> None:
        self.images = None if pairs is None else pairs.pixels[0]  # x and x′, uint8 [2, 32, 32, 3]
        images = b"" if self.images is None else self.images.tobytes()
        super().__init__(_images=images, alpha=alpha, k=k, variant=variant, seed=seed)

    @property
    def moments(self) -> LambdaMoments:
        """θ̄, P(0.1 < λ < 0.9) and the variance of Beta(α, α) at the panel's α."""
        return lambda_moments(self.alpha)

    @property
    def drawn(self) -> np.ndarray:
        """The 2,000 λs of the histogram, float64 [2000], as they weigh the label; the first k are the pair's."""
        return self._draw()[1]

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """CutMix's boxes, int64 [2000, 4], empty for other variants; and `drawn`."""
        none = np.zeros((_DRAWS, 4), np.int64)
        if self.variant == "none":
            return none, np.ones(_DRAWS)
        shares, *centers = uniforms(self.seed, 3 * _DRAWS).view(3, _DRAWS)
        lams = lambda_quantile(self.alpha, shares)
        if self.variant != "cutmix":
            return none, lams.numpy()
        boxes, lams = clipped_boxes((1 - lams).sqrt(), torch.stack(centers, -1), _SIZE)
        return boxes.numpy(), lams.numpy()

    @property
    def pair(self) -> np.ndarray:
        """The λs of one pair, float64 [k], in order from x to x′."""
        return np.sort(self.drawn[: self.k])[::-1]

    @property
    def mixes(self) -> np.ndarray:
        """The images of the pair's mixes, uint8 [k, 32, 32, 3], in order from x to x′; of a panel made with data.

        Raises:
            ValueError: the panel was made without data.
        """
        if self.images is None:
            raise ValueError("mixes must be asked of a panel made with data=, got one without")
        boxes, lams = (part[: self.k] for part in self._draw())
        a, b = self.images
        shown = [
            paste(a, b, box) if self.variant == "cutmix" else mix_bytes(a, b, lam)
            for box, lam in zip(boxes, lams, strict=True)
        ]
        return np.stack(shown)[np.argsort(-lams, kind="stable")]

    def describe(self) -> str:
        """The law and the pair's λs in words."""
        if self.variant == "none":
            return "No mixing: every λ is 1, and each image keeps its own label."
        lams = ", ".join(f"{lam:.2f}" for lam in self.pair)
        return (
            f"The law of λ for {self.variant} at α = {self.alpha:.3g}: the larger part of a mix weighs "
            f"θ̄ = {self.moments.theta_bar:.3f} on average, P(0.1 < λ < 0.9) = {self.moments.mixed_mass:.3f}"
            f"{', both before clipping' if self.variant == 'cutmix' else ''}. One pair, K = {self.k}: λ = {lams}."
        )

    def figure(self) -> "Figure":
        """The density, the λs drawn and those of the pair."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3.6 if self.images is None else 4.8))
        below = 0 if self.images is None else 0.25  # where the images are
        axes = figure.add_axes((0.08, below + 0.29 * (1 - below), 0.89, 0.62 * (1 - below)))
        lane = figure.add_axes((0.08, below + 0.14 * (1 - below), 0.89, 0.09 * (1 - below)))
        for i, image in enumerate([] if self.images is None else self.mixes[::-1]):
            thumb = figure.add_axes((0.08 + 0.89 * i / self.k, 0.02, 0.89 / self.k, 0.2))
            thumb.imshow(image)
            thumb.axis("off")
        name = "true λs, the box clipped" if self.variant == "cutmix" else "λs drawn"
        bars, _, _ = axes.hist(self.drawn, _BINS, range=(0, 1), density=True, color=PALE_BLUE, label=name)
        if self.variant != "none":
            grid = np.linspace(0, 1, 401)[1:-1]
            density = lambda_pdf(self.alpha, grid.tolist()).numpy()
            axes.plot(grid, density, color=BLUE, linewidth=2, label="density of Beta(α, α)")
        axes.set(xlim=(0, 1), ylim=(0, 1.3 * np.max(bars)), ylabel="density")
        axes.set_title(f"{self.variant}, α = {self.alpha:.3g}")
        axes.legend(loc="upper center", ncols=2)
        axes.tick_params(labelbottom=False)
        lane.plot(self.pair, np.zeros(self.k), "o", color=VERMILION, markeredgecolor="black", clip_on=False)
        lane.set(yticks=[], xlim=(0, 1), xlabel=f"λ, the share of x (dots: one pair, K = {self.k})")
        return figure


def lambda_panel(
    alpha: float = 1.0, k: int = 5, variant: str = "mixup", seed: int = 0, *, data: Dataset | None = None
) -> LambdaPanel:
    """A panel for the law of λ, drawn in the browser.

    Args:
        alpha: number from 0.01 to 100, on a log slider.
        k: mixes of each pair, 1 to 8.
        variant: "none", "mixup" or "cutmix"; for "cutmix" the bars are the true λs on a 32 × 32 image.
        seed: which λs are drawn. Each keeps its quantile when α moves.
        data: a data set of 32 × 32 images, as `mixlab.load` returns it; two of them are the pair, and each of its
            mixes is shown below its dot.

    Returns:
        A widget. Its alpha, k, variant and seed follow the controls; `.moments`, `.drawn` and `.pair` give the numbers,
        and `.mixes` the images below the dots.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    pairs = None if data is None else choose_pairs(data, 1, _check.integer("seed", seed, 0, SEED_HIGH), None)
    if pairs is not None and pairs.size != _SIZE:
        raise ValueError(f"data must hold images of 32 × 32 pixels, got {pairs.size[0]} × {pairs.size[1]}")
    return LambdaPanel(alpha, k, variant, seed, pairs)
