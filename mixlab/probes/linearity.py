"""How far from linear a network is between two examples: the path of its answer, and its gap to the chord."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import evaluating
from mixlab.machine import releasing_memory
from mixlab.probes.per_image import OF, ROWS, PerImage, check_images, check_logits, outputs


@releasing_memory()
def prediction_path(model: nn.Module, x: Tensor, x_prime: Tensor, lam: Sequence[float], *, of: str = "probs") -> Tensor:
    """What the network says on the way from one example to another, at λx + (1 − λ)x′.

    Args:
        model: maps inputs to logits [N, classes]; it is read in evaluation mode.
        x: holds the examples at λ = 1, float [N, ...], as the model takes them.
        x_prime: holds those at λ = 0.
        lam: holds the shares of x, from 0 to 1.
        of: is "probs" or "logits".

    Returns:
        Float [len(lam), N, classes] on the device of x.

    Raises:
        TypeError, ValueError: an argument of the wrong kind, shape or range.
    """
    x = check_images("x", x)
    x_prime = check_images("x_prime", x_prime, like=x)
    shares = [_check.number("lam", value, 0, 1) for value in lam]
    if not shares:
        raise ValueError("lam must hold at least one number from 0 to 1, got none")
    _check.choice("of", of, OF)
    with evaluating(model), torch.no_grad():
        steps = [
            torch.cat(
                [
                    outputs(check_logits(model(share * one + (1 - share) * other), len(one)), of)
                    for one, other in zip(torch.split(x, ROWS), torch.split(x_prime, ROWS), strict=True)
                ]
            )
            for share in shares
        ]
    return torch.stack(steps)


def linearity_gap(
    model: nn.Module, x: Tensor, x_prime: Tensor, lam: Sequence[float], *, of: str = "probs"
) -> list[PerImage]:
    """‖f(λx + (1 − λ)x′) − λf(x) − (1 − λ)f(x′)‖₂ for each pair: 0 where the network is linear between them.

    Mixup asks for a gap of 0 in probabilities (Zhang et al., "mixup", ICLR 2018, abstract: "linear behavior in-between
    training examples"). Logits may differ by a constant in each row without any effect; they are centered first.

    Args:
        model: maps inputs to logits [N, classes]; it is read in evaluation mode.
        x: holds the examples at λ = 1, float [N, ...]. Pairs of one class and of two differ, so say which you took.
        x_prime: holds those at λ = 0.
        lam: holds the shares of x, from 0 to 1.
        of: is "probs" or "logits".

    Returns:
        For each λ the gaps of the N pairs, as PerImage.

    Raises:
        TypeError, ValueError: see `prediction_path`.
    """
    path = prediction_path(model, x, x_prime, [*lam, 1.0, 0.0], of=of).double()
    if of == "logits":
        path = path - path.mean(2, keepdim=True)
    *between, at_x, at_x_prime = path
    chords = [share * at_x + (1 - share) * at_x_prime for share in lam]
    return [PerImage((value - chord).norm(dim=1).cpu()) for value, chord in zip(between, chords, strict=True)]
