"""The claims that need a look at trained networks, a clock or a count; no table of runs holds them."""

import math

from mixlab.ledger.claim import Claim
from mixlab.ledger.claims_on_runs import ACCURACY, CARRATINO, LESS, MORE, NETS, OVERVIEWS, ZHANG
from mixlab.ledger.counting import BATCH

BETWEEN = (
    Claim(
        "linear",
        "mixup makes a network more linear between examples.",
        f"{ZHANG}, section 2",
        "% of the distance of the ends",
        *LESS,
        f"The bend halfway between test images of two classes, mixup minus none. {NETS}",
        "Label smoothing alone bends less, too: lesson 09.",
        lesson="09_why_it_works.ipynb",
    ),
    Claim(
        "smooth",
        "mixup makes gradients smaller between training images.",
        f"{ZHANG}, figure 2b",
        "% of the slope without mixing",
        *LESS,
        f"The norm of the Jacobian halfway between training images, mixup minus none, over that of none. {NETS}",
        "At training images the sign may be the other one: lesson 09.",
        lesson="09_why_it_works.ipynb",
    ),
    Claim(
        "turns",
        "mixup makes the gradient of the loss smoother: it turns less along the training.",
        "said in overviews of mixup; measured as by Santurkar et al., NeurIPS 2018, section 3.1",
        "% of the turn without mixing",
        *LESS,
        "The gradient of the loss on clean training images at copies of a network in training: its change from copy to "
        "copy over the distance of their weights, mixup minus none, over that of none; a number for each seed.",
        "Copies at every step; the gradient of the mixed loss, which mixup follows: lesson 09.",
        lesson="09_why_it_works.ipynb",
    ),
    Claim(
        "flat",
        "mixup finds flatter minima.",
        "said in overviews of mixup; correlates only, as Andriushchenko et al., ICML 2023, show for flatness",
        "nats",
        *LESS,
        "The largest rise of the loss on clean training images in an adaptive ball around the weights, mixup minus "
        f"none. {NETS}",
        "Other rulers of flatness, and other losses: lesson 09.",
        lesson="09_why_it_works.ipynb",
    ),
)

TROUBLE = (
    Claim(
        "corruption",
        "mixup helps on corrupted images.",
        f"{OVERVIEWS}; {CARRATINO}: ImageNet-A and ObjectNet",
        ACCURACY,
        *MORE,
        "Accuracy at severity 5 of the first corruption of each of four families (Hendrycks and Dietterich, ICLR "
        f"2019), mixup minus none. {NETS}",
        "Kind by kind, and with the repair: lesson 10.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "occlusion",
        "CutMix helps where the center of the image is hidden.",
        "Yun et al., CutMix, ICCV 2019",
        ACCURACY,
        *MORE,
        f"Accuracy with three tenths of the pixels hidden behind gray at the center, CutMix minus none. {NETS}",
        "Other shares and places: lesson 10.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "fgsm",
        "mixup helps against an attack of one step.",
        f"{ZHANG}, table 3: FGSM on ImageNet",
        ACCURACY,
        *MORE,
        f"Accuracy under FGSM of radius ½ · 1/255, mixup minus none. {NETS}",
        "Whether gradients are masked: lesson 10.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "pgd",
        "mixup helps against an attack of many steps.",
        f"read into {ZHANG}, table 3, where the gain against I-FGSM is small",
        ACCURACY,
        *MORE,
        f"Accuracy under PGD of ten steps and radius ½ · 1/255, mixup minus none. {NETS}",
        "Larger radii, and attacks that adapt.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "label-noise",
        "mixup with a large α helps against wrong labels.",
        f"{ZHANG}, table 2",
        ACCURACY,
        *MORE,
        "Test accuracy after training with half of the labels wrong, mixup with α = 8 minus none; a number for "
        "each seed.",
        "Training that goes on until the wrong labels are learned by heart.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "brakes",
        "A large α, with label smoothing and color jitter on top, slows learning.",
        OVERVIEWS,
        ACCURACY,
        *LESS,
        "Test accuracy after few epochs of mixup with α = 8, smoothed labels and jittered colors, minus that with none "
        "of the three; a number for each seed.",
        "More epochs, with which it should pass; each brake by itself: lesson 10.",
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "small-net",
        "On a very small network mixing costs accuracy.",
        f"{OVERVIEWS}; {ZHANG}, section 3.3: LeNet on speech loses, VGG-11 gains",
        ACCURACY,
        *LESS,
        "mixup (α = 1) minus no mixing, for two convolutions with fewer than 2,000 weights; a number for each seed.",
        "Nets of other sizes, trained for longer.",
        lesson="11_beyond_images.ipynb",
    ),
)

COST_AND_REACH = (
    Claim(
        "overhead",
        "mixup costs less than 0.5 ms for each image.",
        OVERVIEWS,
        "ms for each image",
        *(-math.inf, 0.5),
        f"The time of blending a batch of {BATCH} on this machine, over {BATCH}; a number for each of several tries.",
        "Large images: the time grows with the pixels.",
        lesson="02_two_images_one_label.ipynb",
    ),
    Claim(
        "overhead-puzzle",
        "Puzzle Mix costs less than 0.5 ms for each image.",
        OVERVIEWS,
        "ms for each image",
        *(-math.inf, 0.5),
        f"The time of saliency, masks, transport and blending for a batch of {BATCH} on this machine, over {BATCH}.",
        "A GPU, and large images.",
        lesson="06_puzzle_mix.ipynb",
    ),
    Claim(
        "tables",
        "mixup helps on tables, too.",
        f"{ZHANG}, section 3.6",
        "points of error",
        *LESS,
        "Test error of a small net that learns a hundred rows, with mixup (α = 1) minus without: for each seed the "
        "mean of four tables.",
        "More rows, and other data than images: speech, series, sentences and graphs are in lesson 11.",
        lesson="11_beyond_images.ipynb",
    ),
    Claim(
        "exact-inputs",
        "Where the answer depends on exact inputs, mixing costs.",
        OVERVIEWS,
        "points of error",
        *MORE,
        "The parity of six of ten bits, learned by a small net from half of all rows: test error with mixup minus "
        "without; a number for each seed, after a short and after a longer training.",
        "Code, formulas, molecules: lesson 11 has graphs.",
        lesson="11_beyond_images.ipynb",
    ),
)
