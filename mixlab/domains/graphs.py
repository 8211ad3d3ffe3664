"""Graphs: molecules and proteins, a small message-passing network in plain torch, and where graphs can be mixed.

What may be mixed: the vectors of whole graphs, by `mx.Mixer("manifold", layers=["graph"])`. Node 3 of one molecule has
nothing to do with node 3 of another, and there may be no such node: graphs have no common grid on which to blend them.

Wang, Wang, Liang, Cai and Hooi, "Mixup for Node and Graph Classification", WWW 2021, section 3.2.
"""

import os

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import _check
from mixlab._torch_state import spared, usual_defaults
from mixlab.domains.invented_molecules import invented_molecules
from mixlab.domains.problem import Problem, divided
from mixlab.domains.public_data import Arrays, PublicData

NONE = -1  # fills up the rows of a graph
_FOLDER = "https://github.com/muhanzhang/pytorch_DGCNN/raw/50f5041/data"
_CLASSES = {
    "mutag": ("does not mutate", "mutates"),
    "proteins": ("enzyme", "no enzyme"),
    "nci1": ("inactive", "active"),
}


def _unpack(files: list[bytes]) -> Arrays:
    """A text: the number of graphs; for each, its nodes and its class; for each node, its tag, how many, and whom."""
    lines = iter(files[0].decode().split("\n"))
    tags, edges, labels = [], [], []
    sizes: list[tuple[int, int]] = []
    for _ in range(int(next(lines))):
        nodes, label = map(int, next(lines).split())
        rows = [list(map(int, line[: int(line[1]) + 2])) for line in (next(lines).split() for _ in range(nodes))]
        pairs = {pair for node, row in enumerate(rows) for other in row[2:] for pair in ((node, other), (other, node))}
        tags += [row[0] for row in rows]
        edges += sorted(pairs)
        labels.append(label)
        sizes.append((nodes, len(pairs)))
    node_offsets, edge_offsets = np.cumsum([(0, 0), *sizes], axis=0).T
    return {
        "tags": np.array(tags, np.int16),
        "edges": np.array(edges, np.int32),
        "node_offsets": node_offsets.astype(np.int64),
        "edge_offsets": edge_offsets.astype(np.int64),
        "labels": np.array(labels, np.int8),
    }


def _public(name: str, title: str, sha256: str) -> PublicData:
    upper = name.upper()
    return PublicData(title, name, (f"{_FOLDER}/{upper}/{upper}.txt",), _unpack, sha256)


SETS = {
    "mutag": _public(
        "mutag",
        "MUTAG, 188 molecules (Debnath et al., 1991)",
        "ed70f257fd7f1ae4ba47fea0accded9ffe0075bc2024387d10f857d47d0a9b90",
    ),
    "proteins": _public(
        "proteins",
        "PROTEINS, 1,113 proteins (Borgwardt et al., 2005)",
        "2a020a4cf1f6b9b1ec6d73b068947de4ec592edd49ffe0934386c90687a8a270",
    ),
    "nci1": _public(
        "nci1",
        "NCI1, 4,110 molecules (Wale and Karypis, 2006)",
        "bc16e965794840f5181b7efb9b14bbb3916cfe7cc3549f513501bbc7d28eedd2",
    ),
}


def load(
    which: str = "auto",
    *,
    name: str = "mutag",
    test_share: float = 0.25,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
) -> Problem:
    """Graphs with their classes; x is `packed`, int32 [N, 3, L].

    Args:
        which: is "public", "generated" (trees that hold a group of atoms, or its atoms elsewhere), or "auto"; see
            `mixlab.domains.public_data.PublicData.load`.
        name: is "mutag" (188 molecules, atoms of 7 kinds), "proteins" (1,113, parts of 3 kinds) or "nci1" (4,110, atoms
            of 37 kinds).
        test_share: is the share of the graphs that become the test set; there is no official one.
        seed: draws which.
        root: is the folder of the cache.

    Raises:
        TypeError, ValueError: an argument of the wrong kind; the message names it.
        DataError: "public" data that is not in the cache and cannot be fetched.
    """
    public = SETS[_check.choice("name", name, SETS)]
    arrays = public.load(which, root)
    source = f"invented molecules, a stand-in for {name}" if arrays is None else public.title
    arrays = invented_molecules() if arrays is None else arrays
    _, labels = np.unique(arrays["labels"], return_inverse=True)
    y = torch.from_numpy(labels.astype(np.int64))
    return divided(f"graphs ({name})", source, packed(arrays), y, _CLASSES[name], test_share=test_share, seed=seed)


def packed(arrays: Arrays) -> Tensor:
    """All graphs as one tensor, int32 [N, 3, L]: tags of nodes, and the two ends of each edge, −1 after the last.

    Args:
        arrays: hold for all graphs end to end `tags` [nodes], kinds of nodes from 0, and `edges` [edges, 2], from which
            node of its graph, counted from 0, a message goes to which; an edge without a direction is there twice.
            Graph i has nodes `node_offsets[i]` to `node_offsets[i + 1]` − 1, and its edges likewise.

    Raises:
        ValueError: tags below 0, edges to nodes that their graph has not, offsets of different lengths.
    """
    nodes, edges = (np.diff(arrays[f"{part}_offsets"]) for part in ("node", "edge"))
    if len(nodes) != len(edges):
        raise ValueError(f"edge_offsets must be those of {len(nodes)} graphs, as node_offsets, got {len(edges)}")
    if arrays["tags"].min() < 0:
        raise ValueError(f"tags must be of at least 0, got {arrays['tags'].min()}")
    ends, counts = arrays["edges"].reshape(-1, 2), np.repeat(nodes, edges)[:, None]
    wrong = ((ends < 0) | (ends >= counts)).any(1)
    if wrong.any():
        example = f"{ends[wrong][0].tolist()} in a graph of {counts[wrong][0, 0]} nodes"
        raise ValueError(f"edges must hold nodes of their own graph, counted from 0, got {example}")
    result = np.full((len(nodes), 3, max(nodes.max(), edges.max())), NONE, np.int32)
    for i, (node, edge) in enumerate(zip(arrays["node_offsets"], arrays["edge_offsets"], strict=True)):
        if i < len(nodes):
            result[i, 0, : nodes[i]] = arrays["tags"][node : node + nodes[i]]
            result[i, 1:, : edges[i]] = ends[edge : edge + edges[i]].T
    return torch.from_numpy(result)


class GraphNet(nn.Module):
    """Three layers of messages, the vector of the graph, a hidden layer, and a read-out.

    The order of a graph's nodes, and its company in the batch, change nothing in eval mode.

    Args:
        tags: counts the kinds of nodes.
        num_classes: is the number of logits.
        width: is that of node vectors; graph vectors have three times it.
        seed: seeds the initial weights; the global random state is left alone.
    """

    mixing_points = ("graph", "hidden")

    def __init__(self, tags: int, num_classes: int, *, width: int = 32, seed: int = 0) -> None:
        super().__init__()
        tags, num_classes = _check.integer("tags", tags, 1), _check.integer("num_classes", num_classes, 2)
        width = _check.integer("width", width, 1)
        with spared(_check.integer("seed", seed, 0, _check.SEED_MAX)), usual_defaults():
            self.graph = GraphVector(tags, width)
            self.hidden = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.ReLU())
            self.head = nn.Linear(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, num_classes] of packed graphs int32 [B, 3, L]."""
        logits: Tensor = self.head(self.hidden(self.graph(x)))
        return logits


class GraphVector(nn.Module):
    """The sums of the node vectors after each of three layers, normalized over the batch.

    Source: Xu, Hu, Leskovec and Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019, equations 4.1 and 4.2.
    """

    def __init__(self, tags: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tags, width)
        self.layers = nn.ModuleList(MessageLayer(width) for _ in range(3))
        self.norm = nn.BatchNorm1d(3 * width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3 * width] of packed graphs [B, 3, L]."""
        tags, graph, start, end = flattened(x)
        _check.below("x", tags, self.embedding.num_embeddings, "tags")
        states, sums = self.embedding(tags), []
        for layer in self.layers:
            states = layer(states, start, end)
            sums.append(states.new_zeros(len(x), states.shape[1]).index_add(0, graph, states))
        vectors: Tensor = self.norm(torch.cat(sums, 1))
        return vectors


class MessageLayer(nn.Module):
    """h ← MLP(h + the sum over neighbors of their h): equation 4.1 with ε = 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )

    def forward(self, states: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """States [nodes, width], for edges from `start` to `end`."""
        messages: Tensor = self.mlp(states.index_add(0, end, states[start]))
        return messages


def flattened(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All nodes of a batch of packed graphs as one graph in pieces.

    Returns int64 tags [nodes], the graph of each node, and both ends [edges] of each edge, as places among the nodes.
    """
    length = max(1, int((x != NONE).any(1).sum(1).max()))
    x = x[:, :, :length].long()
    is_node, is_edge = x[:, 0] != NONE, x[:, 1] != NONE
    counts = is_node.sum(1)
    ends = x[:, 1:] + (counts.cumsum(0) - counts)[:, None, None]
    return x[:, 0][is_node], is_node.nonzero()[:, 0], ends[:, 0][is_edge], ends[:, 1][is_edge]
