"""What a network has learned by heart: how often it gives right labels, and wrong ones, of its training images."""

from torch import nn

from mixlab import _check
from mixlab.data.noise import Noisy
from mixlab.mixing.normalize import Statistics
from mixlab.probes.per_image import PerImage, answers


def memorized(model: nn.Module, noisy: Noisy, normalize: Statistics) -> dict[str, PerImage]:
    """How a network answers the training images of a data set with wrong labels.

    Args:
        model: maps normalized float images to logits; it is read in evaluation mode.
        noisy: is a data set with wrong labels, from `mixlab.data.with_wrong_labels`.
        normalize: gives the (mean, std) of the images the model takes.

    Returns:
        Three shares, each as the ones and zeros of its images: "learned", of images with right labels those that get
        them; "memorized", of images with wrong labels those that get the wrong one; "corrected", of the same images
        those that get the right one all the same. A share of no images is left out.

    Source: Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR 2017.
    """
    if not isinstance(noisy, Noisy):
        raise TypeError(f"noisy must be a Noisy data set, as with_wrong_labels gives it, got {_check.shown(noisy)}")
    said, given, wrong = answers(model, noisy.data.train, normalize), noisy.data.train.labels, noisy.wrong
    parts = {
        "learned": (said == given)[~wrong],
        "memorized": (said == given)[wrong],
        "corrected": (said == noisy.true)[wrong],
    }
    return {name: PerImage(part.double().cpu()) for name, part in parts.items() if len(part)}
