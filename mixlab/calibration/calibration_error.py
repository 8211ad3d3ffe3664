"""Binned calibration errors of the top-1 answer (ECE and kin), and the static error of every class."""

from torch import Tensor

from mixlab import _check
from mixlab.calibration.bins import MAX_BINS, fill_cells, mass_edges, read_cells, width_edges
from mixlab.calibration.classwise import class_gaps
from mixlab.calibration.predictions import Predictions, check_predictions

NORMS = ("l1", "l2", "max")
BINS = ("width", "mass")


def calibration_error(
    predictions: Predictions, *, norm: str = "l1", bins: str = "width", n_bins: int = 15, debiased: bool = False
) -> float:
    """Binned calibration error of the top-1 answer.

    With gap_b = |accuracy - mean confidence| in bin b, holding n_b of N predictions:
    "l1": sum_b n_b/N gap_b (ECE, Guo et al. 2017, eq. 3); "l2": root of sum_b n_b/N gap_b^2; "max": the largest gap_b
    of a bin that is not empty (MCE).

    Noise in a bin counts as error whatever its sign, so that a calibrated model has an error above 0. `debiased`
    takes the noise off: for "l2" acc_b (1 - acc_b) / (n_b - 1) is taken from each gap_b^2, bins of one prediction count
    0, and a negative sum counts 0 (Kumar et al. 2019, "Verified Uncertainty Calibration", after Broecker 2012); for
    "l1" the result is 2 gap_b - E|N(gap_b, acc_b (1 - acc_b) / n_b)|, summed, and 0 if negative: `normal_debiased_ce`
    in the code of Kumar et al., with the folded normal's mean in closed form where they draw samples.

    Args:
        predictions: predictions.
        norm: "l1", "l2" or "max".
        bins: "width": bin i holds the confidences in (i/n_bins, (i+1)/n_bins], edges rounded to the dtype of the
            probabilities. "mass": equal counts (Nixon et al. 2019), but equal confidences never in different bins.
        n_bins: 1 to 10,000.
        debiased: for "l1" and "l2".

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range; `debiased` with "max".
    """
    check_predictions(predictions)
    _check.choice("norm", norm, NORMS)
    if _check.flag("debiased", debiased) and norm == "max":
        raise ValueError("norm must be 'l1' or 'l2' where debiased is True, got 'max'")
    return read_cells(f"{norm} debiased" if debiased else norm, cells_of(predictions, bins, n_bins))


def classwise_error(predictions: Predictions, *, norm: str = "l1", bins: str = "width", n_bins: int = 15) -> float:
    """Static calibration error: the mean over classes k of the binned error of p_k against [label = k].

    All N rows count for each class, n_b of them in bin b: "l1" is (1/C) sum_k sum_b n_b/N |freq_b - mean p_b|, "l2" the
    mean over classes of the root of the squares, "max" the mean of the largest gaps.

    Args:
        predictions: predictions.
        norm: "l1", "l2" or "max".
        bins: "width" or "mass" as for `calibration_error`; with "mass", each class has edges of its own.
        n_bins: 1 to 10,000.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of range.

    Source: Nixon et al. 2019, "Measuring Calibration in Deep Learning", eq. 4.
    """
    check_predictions(predictions)
    _check.choice("norm", norm, NORMS)
    _check.choice("bins", bins, BINS)
    _check.integer("n_bins", n_bins, 1, MAX_BINS)
    gap, size = (
        sums[0]
        for sums in class_gaps(
            predictions.probs, predictions.labels, bins, n_bins, beside="" if norm == "l1" else "count"
        )
    )
    if norm == "l1":
        return float(gap.abs().sum(1).mean() / len(predictions))
    mean_gap = gap.abs() / size.clamp(min=1)
    if norm == "max":
        return float(mean_gap.amax(1).mean())
    return float(((size * mean_gap.square()).sum(1) / len(predictions)).sqrt().mean())


def overconfidence(predictions: Predictions, n_bins: int = 15) -> float:
    """Sum over bins of n_b/N conf_b max(conf_b - acc_b, 0) (Thulasidasan et al. 2019, "On Mixup Training")."""
    return read_cells("overconfidence", cells_of(check_predictions(predictions), "width", n_bins))


def underconfidence(predictions: Predictions, n_bins: int = 15) -> float:
    """The mirror of `overconfidence`: sum over bins of n_b/N conf_b max(acc_b - conf_b, 0)."""
    return read_cells("underconfidence", cells_of(check_predictions(predictions), "width", n_bins))


def cells_of(predictions: Predictions, bins: str, n_bins: int) -> Tensor:
    """Cells of the top-1 answers, on the CPU."""
    edges = inner_edges(predictions, _check.choice("bins", bins, BINS), _check.integer("n_bins", n_bins, 1, MAX_BINS))
    return fill_cells(predictions.confidence, predictions.correct, edges).cpu()


def inner_edges(predictions: Predictions, bins: str, n_bins: int) -> Tensor:
    """The inner edges [n_bins - 1] of bins of equal width, or of equal counts ("mass")."""
    conf = predictions.confidence
    if bins == "width":
        return width_edges(n_bins, predictions.given_dtype, conf.device)
    return mass_edges(conf.to(predictions.probs.dtype), n_bins)
