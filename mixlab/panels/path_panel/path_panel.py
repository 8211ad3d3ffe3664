"""The path panel: λ dragged along the way from one image to another, and what each network answers there."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from mixlab import _check
from mixlab.data.dataset import Dataset, Split
from mixlab.mixing.normalize import normalized
from mixlab.panels.shared.bundle import module, styles
from mixlab.panels.shared.law import SEED_HIGH
from mixlab.panels.shared.pairs import bytes_of, mix_bytes
from mixlab.panels.shared.panel import Checked, Panel
from mixlab.plots.style import BLUE, INK, PALE_BLUE, PALE_VERMILION, PAPER, VERMILION, plain
from mixlab.probes import prediction_path
from mixlab.training.checks import check_logits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 64  # the slider has a stop at each λ that the networks were asked at
GRID = tuple(step / STEPS for step in range(STEPS + 1))
MOST_IMAGES, MOST_NETWORKS = 16, 4


def _stop(name: str, value: object) -> float:
    """The stop of the slider nearest to a λ."""
    return round(STEPS * _check.number(name, value, 0, 1)) / STEPS


class PathPanel(Panel):
    """See `path_panel`. The traits first, second and lam follow the controls, at release, and move them."""

    _esm = module("path_panel/path_panel.js")
    _css = styles("mx-path", "path_panel/path_panel.css")
    _images = traitlets.Bytes().tag(sync=True)  # [images, H, W, 3]
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # H, W
    _labels = traitlets.List(traitlets.Unicode()).tag(sync=True)  # the class of each image
    _classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _networks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _paths = traitlets.Bytes().tag(sync=True)  # `paths`, float32
    first = Checked(0, lambda name, value: _check.integer(name, value, 0))
    second = Checked(1, lambda name, value: _check.integer(name, value, 0))
    lam = Checked(0.5, _stop)

    def __init__(self, split: Split, classes: tuple[str, ...], paths: dict[str, np.ndarray]) -> None:
        self.images = bytes_of(split.images.cpu())
        self.paths = paths
        labels = [classes[label] for label in split.labels.tolist()]
        super().__init__(
            _images=self.images.tobytes(),
            _size=list(self.images.shape[1:3]),
            _labels=labels,
            _classes=list(classes),
            _networks=list(paths),
            _paths=np.stack(list(paths.values())).tobytes(),
        )

    @traitlets.validate("first", "second")
    def _of_these(self, proposal: traitlets.Bunch) -> int:
        return _check.integer(proposal["trait"].name, proposal["value"], 0, len(self.images) - 1)

    @property
    def names(self) -> tuple[str, str]:
        """The classes of x and x′."""
        return self._labels[self.first], self._labels[self.second]

    def path(self, network: str) -> np.ndarray:
        """What a network answers between the two images on show: float32 [65, 4] over λ = 0, 1/64, ... 1.

        The columns are the probability of the class of x, that of the class of x′ (0 if it is the same class), the
        largest probability, and the number of its class.
        """
        path: np.ndarray = self.paths[network][self.first, self.second]
        return path

    @property
    def answers(self) -> dict[str, str]:
        """What each network answers at λ, in words."""
        at = round(STEPS * self.lam)
        return {name: self._answer(*self.path(name)[at]) for name in self.paths}

    def describe(self) -> str:
        """The pair, λ, and what each network answers there, in words."""
        first, second = self.names
        said = " ".join(f"{name}: {answer}." for name, answer in self.answers.items())
        return f"λ = {self.lam:.2f} of x, {first}, and the rest of x′, {second}. {said}"

    def _answer(self, of_x: float, of_x_prime: float, top: float, answer: float) -> str:
        first, second = self.names
        both = f"{of_x:.2f} {first}" + ("" if first == second else f" + {of_x_prime:.2f} {second}")
        return f"{both} + {abs(1 - of_x - of_x_prime):.2f} others; it answers {self._classes[int(answer)]} ({top:.2f})"

    def figure(self) -> "Figure":
        """Both images with their blend, and for each network the probabilities along the whole way."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.2 + 3 * len(self.paths), 3.4), layout="constrained", facecolor=PAPER)
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.9 * len(self.paths)))[0]
        x, x_prime = self.images[self.first], self.images[self.second]
        pictures = {f"x: {self.names[0]}": x, f"λ = {self.lam:.2f}": mix_bytes(x, x_prime, self.lam)}
        pictures[f"x′: {self.names[1]}"] = x_prime
        for ax, (words, image) in zip(left.subplots(3, 1), pictures.items(), strict=True):
            ax.imshow(image)
            ax.set_title(plain(words), fontsize=9)
            ax.axis("off")
        for ax, name in zip(np.atleast_1d(right.subplots(1, len(self.paths), sharey=True)), self.paths, strict=True):
            of_x, of_x_prime = self.path(name)[:, :2].T
            for low, high, pale, color in ((0, of_x, PALE_BLUE, BLUE), (1 - of_x_prime, 1, PALE_VERMILION, VERMILION)):
                ax.fill_between(GRID, low, high, color=pale)
                ax.plot(GRID, high if color == BLUE else low, color=color, linewidth=2)
            ax.plot([0, 1], [0, 1] if self.names[0] != self.names[1] else [1, 1], color=INK, linestyle="--")
            ax.axvline(self.lam, color=INK, linewidth=1)
            ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="λ, the share of x", title=plain(name))
        right.supylabel("probability")
        return figure


def path_panel(networks: Mapping[str, nn.Module], data: Dataset, images: int = 8, seed: int = 0) -> PathPanel:
    """A panel that follows the answers of networks on the way from one image to another.

    Every network is asked at 65 places between any two of the images beforehand, so the whole panel lives in the
    browser: no drag and no choice waits for Python. The blends on show are rounded to bytes, those asked are not.

    Args:
        networks: map names to modules from normalized images to logits, one to four, on the data's device.
        data: is what `mixlab.load` returns; the images are training images, of different classes as far as there are.
        images: counts the images to choose from, 2 to 16.
        seed: chooses the images.

    Returns:
        A widget. Its `first` (x), `second` (x′) and `lam` follow the controls; λ stands at multiples of 1/64.
        `.names` are the classes of the two, `.path(network)` is what is drawn.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; the message names it.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a data set from mixlab.load, got {_check.shown(data)}")
    if not isinstance(networks, Mapping) or not 1 <= len(networks) <= MOST_NETWORKS:
        raise TypeError(f"networks must map one to four names to networks, got {_check.shown(networks)}")
    for name, network in networks.items():
        if not isinstance(name, str) or not isinstance(network, nn.Module):
            raise TypeError(f"networks must map names to modules, got {name!r}: {_check.shown(network)}")
        check_logits(network, data.train.images.device, data)
    images = _check.integer("images", images, 2, min(MOST_IMAGES, len(data.train)))
    split = data.train.subset(_choose(data.train.labels, images, _check.integer("seed", seed, 0, SEED_HIGH)))
    x = normalized(split.images, data.normalization)
    paths = {name: _paths(network, x, split.labels) for name, network in networks.items()}
    return PathPanel(split, data.classes, paths)


def _choose(labels: Tensor, count: int, seed: int) -> Tensor:
    """Numbers of examples drawn by the seed: one of each class in turn, in the order of the draw."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed), device="cpu").tolist()
    drawn: dict[int, int] = {}  # of each class, how many are already there
    turns = []
    for place, i in enumerate(order):
        turn = drawn[int(labels[i])] = drawn.get(int(labels[i]), -1) + 1
        turns.append((turn, place, i))
    return torch.tensor([i for _, _, i in sorted(turns)[:count]], device=labels.device)


def _paths(network: nn.Module, x: Tensor, labels: Tensor) -> np.ndarray:
    """Between any two of the images, float32 [images, images, 65, 4]; see `PathPanel.path`."""
    n = len(x)
    first, second = torch.triu_indices(n, n, device=x.device)
    probs = prediction_path(network, x[first], x[second], GRID)  # [65, pairs, classes]
    top, answer = probs.max(2)
    of_x, of_x_prime = (
        probs.gather(2, labels[side].expand(len(GRID), -1)[..., None])[..., 0] for side in (first, second)
    )
    same = labels[first] == labels[second]
    of_x_prime, swapped = of_x_prime.where(~same, 0), of_x.where(~same, 0)
    one_way = torch.stack([of_x, of_x_prime, top, answer.float()], 2).transpose(0, 1)
    # From x′ to x the same blends come in the other order.
    other_way = torch.stack([of_x_prime.where(~same, of_x), swapped, top, answer.float()], 2).transpose(0, 1).flip(1)
    paths = torch.empty(n, n, len(GRID), 4)
    paths[first, second], paths[second, first] = one_way.float().cpu(), other_way.float().cpu()
    return paths.numpy()
