"""Invented molecules: trees with or without a group of atoms; a stand-in where there are no graphs."""

import numpy as np

from mixlab.domains.public_data import Arrays

_COUNT = 400


def invented_molecules() -> Arrays:
    """400 trees of 8 to 24 atoms, as arrays of `mixlab.domains.graphs`; labels 0 and 1.

    Those of label 1 hold a group, an atom of kind 1 with two of kind 2 at it. The others have the same atoms, each at a
    place of its own, so that counting atoms does not help. One label in ten is wrong.
    """
    stream = np.random.default_rng(0)
    tags, edges, labels, sizes = [], [], [], [(0, 0)]
    for i in range(_COUNT):
        grouped = i % 2 == 0
        size = int(stream.integers(5, 22))
        kinds = [0] * size + [1, 2, 2]
        parents = [int(stream.integers(node)) for node in range(1, size)]
        parents += [int(stream.integers(size)), size, size] if grouped else stream.permutation(size)[:3].tolist()
        order = stream.permutation(size + 3)
        pairs = [(order[node], order[parent]) for node, parent in enumerate(parents, 1)]
        tags += [kinds[place] for place in np.argsort(order)]
        edges += sorted([*pairs, *((parent, node) for node, parent in pairs)])
        labels.append(int(grouped) ^ int(stream.random() < 0.1))
        sizes.append((size + 3, 2 * len(pairs)))
    node_offsets, edge_offsets = np.cumsum(sizes, axis=0).T
    return {
        "tags": np.array(tags, np.int16),
        "edges": np.array(edges, np.int32),
        "node_offsets": node_offsets,
        "edge_offsets": edge_offsets,
        "labels": np.array(labels, np.int8),
    }
