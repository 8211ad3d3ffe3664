"""The exercises of lesson 12: a typical wrong answer is told what is wrong with it."""

import math
from typing import Any

import torch
from answers import answered
from torch import Tensor

from mixlab.exercises import lesson_12
from mixlab.exercises.verdict import STILL_OPEN


def by_loops(q: Tensor, k: Tensor) -> Tensor:
    rows = []
    for query in q.tolist():
        scores = [
            math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(key))) for key in k.tolist()
        ]
        rows.append([score / sum(scores) for score in scores])
    return torch.tensor(rows)


def gained(plain: Tensor, mixed: Tensor, cnn_plain: Tensor, cnn_mixed: Tensor) -> list[float]:
    table = zip(plain.tolist(), mixed.tolist(), cnn_plain.tolist(), cnn_mixed.tolist(), strict=True)
    return [(d - c) - (f - e) for c, d, e, f in table]


RIGHT: dict[str, list[Any]] = {
    "transformers/attend": [by_loops],
    "transformers/tokens": [12],
    "transformers/difference": [gained],
}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "transformers/attend": [
        (0.5, "a function attend(q, k), but you gave 0.5"),
        (lambda *_: None, STILL_OPEN),
        (lambda q, _: q, "[5, 5], but yours are [5, 9]"),
        (lambda q, k: (q @ k.T / 3).softmax(0), "yours runs over the queries"),
        (lambda q, k: (q @ k.T).softmax(1), "yours are not"),
        (lambda q, k: (q @ k.T / 9).softmax(1), "divided by d"),
        (lambda q, k: (q @ k.T / len(q) ** 0.5).softmax(1), "not of the number of tokens"),
        (lambda q, k: q @ k.T / 3, "these are the products"),
        (lambda q, k: by_loops(k, q), "queries and keys are swapped"),
        (lambda *_: torch.eye(5), "something other than softmax(q kᵀ / √d)"),
    ],
    "transformers/tokens": [
        (4, "4 is the tokens that show the partner alone"),
        (16, "16 is all of them"),
        (8, "8 is the corners left out"),
        (0, "0 is as if the box ended"),
    ],
    "transformers/difference": [
        (1.5, "a function delta of four tensors, but you gave 1.5"),
        (lambda *_: ..., STILL_OPEN),
        (lambda *given: sum(gained(*given)) / 3, "a number for each of the 3 seeds"),
        (lambda a, b, c, d: gained(c, d, a, b), "the other way around"),
        (lambda a, b, *_: b - a, "this is the gain of the ViT"),
        (lambda _, b, __, d: b - d, "this compares the mixed nets"),
        (lambda a, b, c, d: b - a + d - c, "the sum of the two gains"),
        (lambda a, b, c, d: (b - a) / (d - c), "a ratio of the gains"),
        (lambda a, *_: a * 0, "something other than (vit_mixed"),
    ],
}
test_answers = answered(lesson_12.EXERCISES, RIGHT, WRONG)
