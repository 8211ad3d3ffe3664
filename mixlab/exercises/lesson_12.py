"""The exercises of lesson 12, transformers and convolutions."""

from typing import Any

import torch

from mixlab.exercises.verdict import Verify, alike, near, result_of


def _attend(answer: Any) -> str | None:
    """A function attend(q, k): softmax over the keys of q kᵀ / √d, [T, T]."""
    g = torch.Generator().manual_seed(12)
    q, k = torch.randn(2, 5, 9, generator=g)
    value, products = torch.as_tensor(result_of(answer, "attend(q, k)", q, k)), q @ k.T
    if value.shape != (5, 5):
        return f"for 5 queries and 5 keys the weights are [5, 5], but yours are {list(value.shape)}."
    over_d = products / 9
    slips = {
        "the softmax must run over the keys, axis 1, so that each row sums to 1; yours runs over the queries.": (
            products / 3
        ).softmax(0),
        "the products must be divided by √d before the softmax; yours are not.": products.softmax(1),
        "the products must be divided by √d, the root of the width 9; yours are divided by d.": over_d.softmax(1),
        "the root is that of the width d, not of the number of tokens.": (products / 5**0.5).softmax(1),
        "these are the products; their softmax over the keys is wanted.": products / 3,
        "row i must belong to query i; in yours queries and keys are swapped.": (products.T / 3).softmax(1),
    }
    return alike(value, (products / 3).softmax(1), slips, "yours is something other than softmax(q kᵀ / √d).")


def _tokens(answer: Any) -> str | None:
    """Patches of 8×8 in 32×32 that a box from 4 to 28 cuts: all but the 2×2 that lie inside it."""
    slips: dict[str, float] = {
        "the tokens that show the partner alone; the others show both": 4.0,
        "all of them; some lie wholly inside the box": 16.0,
        "the corners left out; the box covers a part of those too": 8.0,
        "as if the box ended at borders of patches": 0.0,
    }
    return near(answer, 12, within=0.1, slips=slips)


def _difference(answer: Any) -> str | None:
    """A function delta(vit_plain, vit_mixed, cnn_plain, cnn_mixed): the difference of the gains, a number a seed."""
    table = torch.tensor([[24, 26, 25], [28, 29, 31], [33, 36, 34], [40, 39, 38]], dtype=torch.float64)
    plain, mixed, cnn_plain, cnn_mixed = table.unbind(0)
    value = torch.as_tensor(result_of(answer, "delta of four tensors", plain, mixed, cnn_plain, cnn_mixed))
    right = (mixed - plain) - (cnn_mixed - cnn_plain)
    if value.shape != right.shape:
        return f"Δ is a number for each of the 3 seeds, but yours has shape {list(value.shape)}."
    slips = {
        "the gain of the ViT comes first, and that of the CNN is taken from it; yours is the other way around.": -right,
        "this is the gain of the ViT; the CNN's is to be taken from it.": mixed - plain,
        "this compares the mixed nets; first take from each what it has without mixing.": mixed - cnn_mixed,
        "this is the sum of the two gains; take their difference.": mixed - plain + cnn_mixed - cnn_plain,
        "this is a ratio of the gains; take their difference.": (mixed - plain) / (cnn_mixed - cnn_plain),
    }
    otherwise = "yours is something other than (vit_mixed − vit_plain) − (cnn_mixed − cnn_plain)."
    return alike(value, right, slips, otherwise)


EXERCISES: dict[str, Verify] = {
    "transformers/attend": _attend,
    "transformers/tokens": _tokens,
    "transformers/difference": _difference,
}
