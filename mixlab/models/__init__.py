"""Networks for small images by name, each naming the points where hidden states can be mixed.

A name, a number of classes and a seed determine every initial weight.
"""

from collections.abc import Callable

from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.models.airbench_nets import Airbench, Quick, patch_covariance, whitening
from mixlab.models.resnets import ResNet
from mixlab.models.resnets import preact_resnet18 as _preact_resnet18
from mixlab.models.resnets import resnet18 as _resnet18
from mixlab.models.spiral_net import SpiralNet as SpiralNet
from mixlab.models.vit import ViT


def quick(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """A net for two CPU cores: 0.2 million weights, wide only where the image is small.

    The shape is airbench's (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024) at about a third of its width: a fixed
    whitening of 2×2 patches, three stages that halve the image after their first convolution, and a linear read-out.

    Args:
        num_classes: is the number of logits.
        channels: is the number of channels of the images, 1 for gray.
        seed: seeds the initial weights; the global random state is left alone.

    Returns:
        A module from normalized float images [B, channels, H, W] of any size to logits [B, num_classes], with
        `mixing_points`.
    """
    return _seeded(seed, Quick, num_classes, channels)


def airbench(num_classes: int, *, channels: int = 3, seed: int = 0, images: Tensor | None = None) -> nn.Module:
    """The net of airbench94 (Jordan, 2024): 2.0 million weights, in stages of 64, 256 and 256 channels.

    BatchNorm learns a shift and no scale, and forgets fast; the whitening's filters are fixed, and its biases, like
    those of the rest, are trained.

    Args:
        num_classes: is the number of logits.
        channels: is the number of channels of the images, 1 for gray.
        seed: seeds the initial weights; the global random state is left alone.
        images: are normalized float images [N, channels, H, W] whose 2×2 patches the first layer whitens; by default it
            whitens those of a model of photographs, as in `quick`. airbench takes the first 5,000 of the training set.

    Returns:
        A module as `quick` returns it.
    """
    net = _seeded(seed, Airbench, num_classes, channels)
    if images is not None:
        filters = whitening(patch_covariance(_check_images(images, channels)))
        net.get_parameter("whiten.weight").data.copy_(filters)
    return net


def resnet8(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """ResNet of He et al. (2016), section 4.2, with n = 1: 75 thousand weights. Arguments as for `quick`."""
    return _seeded(seed, ResNet, num_classes, channels, blocks=1)


def resnet20(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """ResNet of He et al. (2016), section 4.2, with n = 3: 270 thousand weights. Arguments as for `quick`."""
    return _seeded(seed, ResNet, num_classes, channels, blocks=3)


def resnet18(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """ResNet-18 of He et al. (2016), table 1, with a first layer for small images: 3×3, stride 1, no pooling after it.

    So it is in the tables of mixup's many relatives, as OpenMixup has them: 11.2 million weights; filters are drawn as
    by He et al. (2015), and each block begins as its short cut alone. Arguments as for `quick`.
    """
    return _seeded(seed, _resnet18, num_classes, channels)


def preact_resnet18(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """ResNet-18 of pre-activated blocks (He et al., "Identity Mappings in Deep Residual Networks", 2016).

    As in the code of Manifold Mixup and Puzzle Mix: a bare 3×3 convolution first, and no normalization between the
    last block and the mean over the image, where He et al. have one. 11.2 million weights. Arguments as for `quick`.
    """
    return _seeded(seed, _preact_resnet18, num_classes, channels)


def vit_tiny(num_classes: int, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """A vision transformer for 32×32 images, with as many weights as `quick`: 0.2 million.

    The shape is ViT's (Dosovitskiy et al., ICLR 2021): patches of 8×8 pixels and a class token, of 64 numbers each;
    four blocks with four heads; nothing is dropped. A forward and backward takes about two thirds of the time that
    `quick` takes, on one or two CPU cores in float32. Positions are fixed sines and cosines (Beyer et al., 2022), so
    that images of any size will do. Train it with `TrainOptions(optimizer="adamw")`.

    Args:
        num_classes: is the number of logits.
        channels: is the number of channels of the images, 1 for gray.
        seed: seeds the initial weights; the global random state is left alone.

    Returns:
        A module as `quick` returns it, for images whose sides are multiples of 8. Its mixing points are "input" and
        its four blocks, "stage1" to "stage4". Its method `attention` says where the blocks look.
    """
    return _seeded(seed, ViT, num_classes, channels)


MODELS = {
    "quick": "0.2 million weights, for two CPU cores",
    "airbench": "2.0 million weights, for a speed run on a GPU (Jordan, 2024)",
    "resnet8": "75 thousand weights (He et al., 2016)",
    "resnet20": "270 thousand weights (He et al., 2016)",
    "resnet18": "11.2 million weights, that of most tables (He et al., 2016)",
    "preact_resnet18": "11.2 million weights, that of the mixup papers (He et al., 2016b)",
    "vit_tiny": "0.2 million weights, a vision transformer (Dosovitskiy et al., 2021)",
}


def _check_images(images: Tensor, channels: int) -> Tensor:
    wanted = f"normalized float images of shape [N, {channels}, height, width], at least 2 pixels each way"
    tensor = _check.tensor("images", images, wanted)
    if not tensor.is_floating_point():
        raise TypeError(f"images must be {wanted}, got {_check.shown(tensor)}")
    if tensor.ndim != 4 or tensor.shape[1] != channels or len(tensor) == 0 or min(tensor.shape[2:]) < 2:
        raise ValueError(f"images must be {wanted}, got {_check.shown(tensor)}")
    return tensor


def _seeded(seed: int, build: Callable[..., nn.Module], num_classes: int, channels: int, **settings: int) -> nn.Module:
    """What `build` makes when the global CPU generator starts at `seed`; afterwards that generator is as before."""
    num_classes = _check.integer("num_classes", num_classes, 2)
    channels = _check.integer("channels", channels, 1)
    seed = _check.integer("seed", seed, 0, _check.SEED_MAX)
    with spared(seed), usual_defaults():
        return build(num_classes, channels, **settings)
