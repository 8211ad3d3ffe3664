"""Networks on graphs against dense adjacency matrices in float64; what their order and company change: nothing."""

import numpy as np
import pytest
import torch
from refusals import each_refused

import mixlab as mx
from mixlab.domains import graphs, predict, train
from mixlab.domains.public_data import PublicData, digest


def arrays_of(*drawn: tuple[list[int], list[tuple[int, int]]]):
    """Graphs of tags and of edges in one direction."""
    tags, edges = zip(*drawn, strict=True)
    both = [sorted([*pairs, *((b, a) for a, b in pairs)]) for pairs in edges]
    return {
        "tags": np.concatenate(tags),
        "edges": np.array([pair for pairs in both for pair in pairs]),
        "node_offsets": np.cumsum([0, *map(len, tags)]),
        "edge_offsets": np.cumsum([0, *map(len, both)]),
    }


GRAPHS = (
    ([0, 1, 2, 0], [(0, 1), (1, 2), (2, 3), (3, 0)]),
    ([2, 2], [(0, 1)]),
    ([1, 0, 3, 1, 2, 0, 0], [(0, 6), (0, 5), (2, 4), (1, 3), (3, 5)]),
    ([3], []),  # no edge, and in the batch no node with an edge after it
)


@pytest.fixture(scope="module")
def net() -> graphs.GraphNet:
    """In eval mode, its running statistics not those it starts with."""
    model = graphs.GraphNet(4, 2, width=5)
    model(graphs.packed(arrays_of(*GRAPHS)))
    return model.eval()


def dense_vector(net: graphs.GraphNet, tags: list[int], edges: list[tuple[int, int]]) -> np.ndarray:
    """The vector of one graph by its adjacency matrix, in float64."""
    part = {name: value.double().numpy() for name, value in net.graph.state_dict().items()}

    def norm(h: np.ndarray, at: str) -> np.ndarray:
        deviation = np.sqrt(part[f"{at}.running_var"] + 1e-5)
        return (h - part[f"{at}.running_mean"]) / deviation * part[f"{at}.weight"] + part[f"{at}.bias"]

    adjacency = np.eye(len(tags))
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1
    h, sums = part["embedding.weight"][tags], []
    for i in range(3):
        mlp = f"layers.{i}.mlp"
        h = norm(adjacency @ h @ part[f"{mlp}.0.weight"].T + part[f"{mlp}.0.bias"], f"{mlp}.1").clip(min=0)
        h = (h @ part[f"{mlp}.3.weight"].T + part[f"{mlp}.3.bias"]).clip(min=0)
        sums.append(h.sum(0))
    return norm(np.concatenate(sums), "norm")


def test_vectors_of_graphs_are_those_of_dense_matrices(net) -> None:
    vectors = net.graph(graphs.packed(arrays_of(*GRAPHS))).detach()
    expected = [dense_vector(net, *graph) for graph in GRAPHS]
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)


def test_order_of_nodes_and_company_change_nothing(net) -> None:
    together = net(graphs.packed(arrays_of(*GRAPHS)))
    stream = np.random.default_rng(0)
    for (tags, edges), logits in zip(GRAPHS, together, strict=True):
        order = stream.permutation(len(tags))
        shuffled = [tags[place] for place in np.argsort(order)], [(order[a], order[b]) for a, b in edges]
        for graph in ((tags, edges), shuffled):
            torch.testing.assert_close(net(graphs.packed(arrays_of(graph)))[0], logits)


@pytest.mark.parametrize("k", [1, 5])
def test_a_blend_of_graphs_is_one_of_their_vectors(net, k) -> None:
    x = graphs.packed(arrays_of(*GRAPHS))
    lam = torch.linspace(0, 1, 4 * k).view(k, 4)
    plan = mx.MixPlan("manifold", torch.tensor([2, 0, 3, 1]), lam, lam, layer="graph")
    vectors = torch.tensor(np.array([dense_vector(net, *graph) for graph in GRAPHS]))
    blends = lam[..., None] * vectors + (1 - lam[..., None]) * vectors[plan.partner]
    expected = net.head(net.hidden(blends.float().flatten(0, 1)))
    torch.testing.assert_close(mx.mixed_logits(net, x, plan), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixer", [None, mx.Mixer("manifold", layers=["graph", "hidden"], k=5)], ids=str)
def test_stand_in_is_learned_and_counting_atoms_does_not_help(mixer) -> None:
    problem = graphs.load("generated")
    model = graphs.GraphNet(3, 2)
    train(problem, model, mixer, epochs=12, learning_rate=0.01)
    assert predict(problem, model).correct.double().mean() > 0.75  # of 0.9, as one label in ten is wrong
    x, y = problem.train
    assert torch.equal((x[:, 0] == 1).sum(1), torch.ones(len(y), dtype=torch.int64))
    assert torch.equal((x[:, 0] == 2).sum(1), torch.full((len(y),), 2))
    assert "stand-in" in problem.source
    assert not torch.equal(graphs.load("generated", seed=1).test[1], problem.test[1])


def test_public_file_is_unpacked(tmp_path, capsys, monkeypatch) -> None:
    content = b"2\n3 2\n5 1 1 0.25\n6 2 2 0 0.5\n5 1 1 -1\n2 0\n4 1 1 0\n7 1 0 1\n"  # attributes after the neighbors
    (tmp_path / "file").write_bytes(content)
    arrays = graphs.SETS["mutag"].unpack([content])
    public = PublicData("T", "t", ((tmp_path / "file").as_uri(),), graphs.SETS["mutag"].unpack, digest(arrays))
    monkeypatch.setitem(graphs.SETS, "mutag", public)
    problem = graphs.load("public", test_share=0.5, root=tmp_path)
    graph_of = {int(y): x.tolist() for part in (problem.train, problem.test) for x, y in zip(*part, strict=True)}
    assert graph_of[1] == [[5, 6, 5, -1], [0, 1, 1, 2], [1, 0, 2, 1]]
    assert graph_of[0] == [[4, 7, -1, -1], [0, 1, -1, -1], [1, 0, -1, -1]]
    capsys.readouterr()


def test_nodes_are_not_blended() -> None:
    with pytest.raises(TypeError, match="mix what a layer makes of them"):
        train(graphs.load("generated"), graphs.GraphNet(3, 2), mx.Mixer("mixup"), epochs=1)


test_refused = each_refused(
    (lambda: graphs.load("generated", name="mutga"), "name must be one of 'mutag', .* did you mean 'mutag'"),
    (lambda: graphs.load("generated", test_share=2), "test_share must be a number from 0.01 to 0.99"),
    (lambda: graphs.GraphNet(3, 2)(graphs.packed(arrays_of(*GRAPHS))), "x must hold tags from 0 to 2, got 0 to 3"),
    (lambda: graphs.packed(arrays_of(([0, -1], []))), "tags must be of at least 0, got -1"),
    (
        lambda: graphs.packed(arrays_of(([0], []), ([1, 0], [(1, 2)]))),
        r"edges must hold nodes of their own graph, .* got \[1, 2\] in a graph of 2 nodes",
    ),
    (
        lambda: graphs.packed(arrays_of(*GRAPHS) | {"edge_offsets": np.zeros(3, int)}),
        "edge_offsets must be those of 4 graphs, as node_offsets, got 2",
    ),
    (lambda: graphs.GraphNet(0, 2), "tags must be an integer of at least 1"),
    (lambda: graphs.GraphNet(3, 1), "num_classes must be an integer of at least 2"),
)
