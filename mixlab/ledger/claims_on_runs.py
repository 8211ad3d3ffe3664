"""The claims that recorded runs decide: gains, repairs and K; a few of them need a look at the network."""

import math

from mixlab.ledger.claim import Claim
from mixlab.ledger.effects import (
    agreement,
    agreement_of_seeds,
    at_equal_cost,
    differences,
    gains_of_models,
    points,
    same_run,
    second_step,
)
from mixlab.runs.atlas import Atlas

MORE, LESS = (0.0, math.inf), (-math.inf, 0.0)  # claimed ranges without a size: only the sign counts
_FEW = 500  # images: the atlas's smaller size

ZHANG = "Zhang et al., mixup, ICLR 2018"
OVERVIEWS = "said in overviews of mixup, without a source"
MULTI = "multi-mix, arXiv 2406.01417"
CARRATINO = "Carratino et al., On Mixup Regularization, JMLR 2022"
THULASIDASAN = "Thulasidasan et al., On Mixup Training, NeurIPS 2019"
WANG = "Wang et al., On the Pitfall of Mixup for Uncertainty Calibration, CVPR 2023"
PAIRS = "Pairs of runs with the same images, epochs and seed; all epochs, data sets and sizes."
NETS = "Networks of one seed, with and without mixing, looked at after training; a number for each seed."
LARGER = "Small images and a small net; the papers train larger ones for longer."

ACCURACY, ECE = "points of accuracy", "points of ECE"
_NONE, _MIXUP = {"variant": "none"}, {"variant": "mixup", "alpha": 1.0, "k": 1}
_VARIANTS = {"mixup": "mixup", "cutmix": "CutMix", "manifold": "manifold mixup", "puzzle": "Puzzle Mix"}


def _small(runs: Atlas) -> Atlas:
    return Atlas(run for run in runs if run.images <= _FEW)


GAINS = (
    Claim(
        "top1",
        "mixup raises top-1 accuracy by 0.5 to 2 points.",
        f"{OVERVIEWS}; {ZHANG}: 1.4 points on CIFAR-10",
        ACCURACY,
        *(0.5, 2.0),
        f"mixup (α = 1, K = 1) minus no mixing. {PAIRS}",
        f"{LARGER} Whether mixing pays depends on how often each image is seen: lesson 03.",
        effects=lambda runs: differences(runs, points("accuracy"), _MIXUP, _NONE),
        lesson="03_train_it_live.ipynb",
    ),
    Claim(
        "ece",
        "mixup lowers ECE by 2 to 5 points.",
        f"{OVERVIEWS}; {THULASIDASAN}: lower, in most of their settings",
        ECE,
        *(-5.0, -2.0),
        f"ECE (15 bins) of mixup (α = 1, K = 1) minus that of no mixing, as trained. {PAIRS}",
        f"{LARGER} What is left after a temperature is another claim.",
        effects=lambda runs: differences(runs, points("ece"), _MIXUP, _NONE),
        lesson="07_calibration.ipynb",
    ),
    Claim(
        "small-alpha",
        "A small α (0.2 to 0.4) suits better than α = 1.",
        f"{ZHANG}, section 3.1: 0.1 to 0.4 on ImageNet; on CIFAR they take 1",
        ACCURACY,
        *MORE,
        f"mixup with α = 0.2 minus mixup with α = 1, K = 1. {PAIRS}",
        f"{LARGER} α = 0.4 is not tried; the best α depends on how much there is to regularize.",
        effects=lambda runs: differences(runs, points("accuracy"), _MIXUP | {"alpha": 0.2}, _MIXUP),
        lesson="03_train_it_live.ipynb",
    ),
    Claim(
        "large-alpha",
        "A large α underfits, and so costs accuracy.",
        f"{ZHANG}, section 3.1",
        ACCURACY,
        *LESS,
        "Test accuracy of mixup with α = 8 minus that of no mixing. The runs of lesson 10 count, once they are yours.",
        "More epochs, with which underfitting should pass. How well the training images are learned: lesson 10.",
        effects=lambda runs: differences(runs, points("accuracy"), {"variant": "mixup", "alpha": 8.0, "k": 1}, _NONE),
        lesson="10_when_things_go_wrong.ipynb",
    ),
    Claim(
        "small-data",
        "On very small data mixing costs accuracy.",
        OVERVIEWS,
        ACCURACY,
        *LESS,
        f"mixup (α = 1, K = 1) minus no mixing, on at most {_FEW} images. {PAIRS}",
        "Fewer images, and a count of how often each image is seen.",
        effects=lambda runs: differences(_small(runs), points("accuracy"), _MIXUP, _NONE),
        lesson="03_train_it_live.ipynb",
    ),
    Claim(
        "cutmix",
        "CutMix beats mixup.",
        "Yun et al., CutMix, ICCV 2019: CIFAR-100 and ImageNet",
        ACCURACY,
        *MORE,
        f"CutMix (α = 1, K = 1) minus mixup (α = 1, K = 1). {PAIRS}",
        f"{LARGER} Their best-epoch results favor CutMix: lesson 02.",
        effects=lambda runs: differences(runs, points("accuracy"), _MIXUP | {"variant": "cutmix"}, _MIXUP),
        lesson="02_two_images_one_label.ipynb",
    ),
    Claim(
        "manifold",
        "Manifold mixup beats mixup at the input.",
        "Verma et al., Manifold Mixup, ICML 2019: CIFAR-10 and CIFAR-100",
        ACCURACY,
        *MORE,
        f"manifold mixup (α = 1, K = 1) minus mixup (α = 1, K = 1). {PAIRS}",
        f"{LARGER} They train for up to 2,000 epochs.",
        effects=lambda runs: differences(runs, points("accuracy"), _MIXUP | {"variant": "manifold"}, _MIXUP),
        lesson="05_manifold_mixup.ipynb",
    ),
    Claim(
        "order",
        "The order of the variants on few images foretells their order on more.",
        "taken for granted wherever variants are compared on one data set",
        "Kendall's τ",
        *MORE,
        "Accuracy of none, mixup, CutMix and manifold mixup (α = 1, K = 1), ordered on the fewest and on the most "
        "images of one seed: the share of pairs in the same order less that in the reverse order.",
        "More sizes and more seeds. Above 0 is some agreement: the same order would be 1. Two seeds: the next claim.",
        effects=lambda runs: agreement(runs, points("accuracy")),
        lesson="03_train_it_live.ipynb",
    ),
    Claim(
        "order-seeds",
        "The order of the variants with one seed foretells their order with another.",
        "taken for granted wherever variants are compared with one seed",
        "Kendall's τ",
        *MORE,
        "Accuracy of the variants (α = 1, K = 1), ordered with two seeds on the same images: the share of pairs in the "
        "same order less that in the reverse order; a number for each setting, the mean over all pairs of seeds.",
        "Above 0 is some agreement: the same order would be 1. Variants that hardly differ change places by chance.",
        effects=lambda runs: agreement_of_seeds(runs, points("accuracy")),
        lesson="03_train_it_live.ipynb",
    ),
    Claim(
        "vit",
        "Mixing does more for a vision transformer than for a convolutional net.",
        "Touvron et al., DeiT, ICML 2021, read as a comparison",
        ACCURACY,
        *MORE,
        "What mixing adds for `vit_tiny` less what it adds for `quick`, on the same images. Runs of lesson 12 "
        "count, once they are yours.",
        "Transformers at their usual size, trained for 300 epochs.",
        effects=lambda runs: gains_of_models(runs, points("accuracy"), "vit_tiny", "quick"),
        lesson="12_transformers_and_convolutions.ipynb",
    ),
)

REPAIRS = (
    Claim(
        "temperature",
        "A temperature improves the calibration of a network trained with mixup.",
        "Guo et al., ICML 2017, for networks without mixing",
        ECE,
        *LESS,
        "ECE after a temperature minus ECE as trained, of all mixup runs; each half of the test images is judged by "
        "the temperature of the other half.",
        "Test images from elsewhere than those the temperature was fitted on: lesson 10.",
        effects=lambda runs: same_run(runs, points("ece", tempered=True), points("ece"), {"variant": "mixup"}),
        lesson="08_at_test_time.ipynb",
    ),
    Claim(
        "less-calibratable",
        "After a temperature, mixup is worse calibrated than no mixing.",
        WANG,
        ECE,
        *MORE,
        f"ECE after a temperature: mixup (α = 1, K = 1) minus no mixing. {PAIRS}",
        f"{LARGER} An estimator with less bias than 15 bins: lesson 07.",
        effects=lambda runs: differences(runs, points("ece", tempered=True), _MIXUP, _NONE),
        lesson="08_at_test_time.ipynb",
    ),
    Claim(
        "rescaled-accuracy",
        "Rescaling at test time improves the accuracy of a mixup network.",
        CARRATINO,
        ACCURACY,
        *MORE,
        f"Accuracy with inputs shrunk and answers stretched by θ̄, minus accuracy without, mixup at α = 1. {NETS}",
        "Networks that mixup has trained for long.",
        lesson="08_at_test_time.ipynb",
    ),
    Claim(
        "rescaled-ece",
        "Rescaling at test time improves the calibration of a mixup network.",
        CARRATINO,
        ECE,
        *LESS,
        f"ECE with inputs shrunk and answers stretched by θ̄, minus ECE without, mixup at α = 1. {NETS}",
        "Networks that are too modest: the output half can only sharpen.",
        lesson="08_at_test_time.ipynb",
    ),
)

K_MIXES = (
    *(
        Claim(
            f"k5-{variant}",
            f"K = 5 beats K = 1 for {name}, at equal steps.",
            f"{MULTI}, as we read its abstract",
            ACCURACY,
            *MORE,
            f"K = 5 minus K = 1 of the same α. {PAIRS}",
            f"{LARGER} Equal steps give K = 5 five times the work.",
            effects=lambda runs, v=variant: differences(  # type: ignore[misc]  # mypy does not infer a lambda's default
                runs, points("accuracy"), {"variant": v, "k": 5}, {"variant": v, "k": 1}
            ),
            lesson="06_puzzle_mix.ipynb" if variant == "puzzle" else "04_multi_mix.ipynb",
        )
        for variant, name in _VARIANTS.items()
    ),
    *(
        Claim(
            f"k5-{variant}-cost",
            f"K = 5 beats K = 1 for {name}, at equal cost.",
            f"implied by {MULTI}, where costs are not compared",
            ACCURACY,
            *MORE,
            "K = 5 minus K = 1 of the same α and seed, trained for longer at no more forward passes than K = 5. A "
            "K = 1 that wins with less work refutes the claim; one that loses with less work does not support it.",
            "In the recorded runs K = 5 has few epochs; longer training of both may say otherwise. In lesson 04 K = 1 "
            "has five times the batch, and as many steps.",
            effects=lambda runs, v=variant: at_equal_cost(runs, points("accuracy"), v, 5),  # type: ignore[misc]
            lesson="04_multi_mix.ipynb",
        )
        for variant, name in _VARIANTS.items()
    ),
    Claim(
        "saturation",
        "What K adds saturates: from 2 to 5 it adds less than from 1 to 2.",
        f"read into the choice of K = 5 by {MULTI}",
        ACCURACY,
        *LESS,
        f"(K = 5 minus K = 2) minus (K = 2 minus K = 1), the same variant and α. {PAIRS}",
        "If K adds nothing, there is nothing to saturate: read it beside the claims on K = 5.",
        effects=lambda runs: second_step(runs, points("accuracy"), (1, 2, 5)),
        lesson="04_multi_mix.ipynb",
    ),
    Claim(
        "variance",
        "The variance of the gradient falls as K grows.",
        f"{MULTI}, proposition III.1",
        "change, % of mixup's variance",
        *LESS,
        "Trace of the gradient's covariance with K = 5 minus that with K = 1, on the same 16 pairs; a number "
        "for each draw.",
        "Another place in training; other variants: lesson 04 has the law.",
        lesson="04_multi_mix.ipynb",
    ),
    Claim(
        "variance-batch",
        "K mixes of a batch have a lower gradient variance than a batch K times as large.",
        f"{MULTI}, proposition III.2, in our reading",
        "change, % of mixup's variance",
        *LESS,
        "Trace of the gradient's covariance with K = 5 and 16 pairs minus that with K = 1 and 80 pairs: equal forward "
        "passes, a λ for each pair; a number for each draw.",
        "One λ for a whole batch of more than a thousand images: lesson 04, appendix.",
        lesson="04_multi_mix.ipynb",
    ),
    Claim(
        "free-steps",
        "K mixes of a pair cost no more than one.",
        f"{MULTI}, as its summary may be read",
        "% more images through the network",
        *(0.0, 0.0),
        "Images that a forward hook counts in a step with K = 5, over those with K = 1, for mixup, CutMix and "
        "ResizeMix. (Manifold mixup shares the layers before the one it mixes at.)",
        "Seconds grow less than that where a small batch leaves the processor idle.",
        exact=True,
        lesson="04_multi_mix.ipynb",
    ),
    Claim(
        "ordered",
        "The ordered sequence of the mixes of a pair matters.",
        f"{MULTI}: an ordered sequence from x to x′",
        "% change of the gradient",
        *(0.001, math.inf),
        "The gradient of the mean loss over K = 5 mixes, as drawn and sorted by λ: the length of the difference over "
        "the length of the gradient. A mean does not know the order of its terms; what is left is rounding.",
        "A loss that looks at neighbors in the sequence would know the order.",
        exact=True,
        lesson="04_multi_mix.ipynb",
    ),
)
