"""The puzzle panel without a browser: its plans are the variant's, its energies independent ones, its words true."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import puzzles
import pytest
import torch
from refusals import refuses

import mixlab as mx
from mixlab.data.dataset import Dataset, Split
from mixlab.mixing.variants import Request
from mixlab.mixing.variants.puzzle.mincut import least_energy
from mixlab.mixing.variants.puzzle.puzzle_mix import Puzzle
from mixlab.panels.puzzle_panel import masks as solving
from mixlab.panels.puzzle_panel.alpha_beta_swap import energy_of, swap_labels
from mixlab.panels.puzzle_panel.masks import Setting
from mixlab.panels.puzzle_panel.puzzle_panel import PuzzlePanel
from mixlab.panels.shared.pairs import label_words
from mixlab.training.loop import copies_of

SETTING = Setting(lam=0.4, beta=2.0, gamma=0.7, eta=0.3, blocks=8, levels=3, transport=True, cost=0.1)


@pytest.fixture
def panel(data: Dataset) -> PuzzlePanel:
    return mx.panels.puzzle_panel(data, pairs=3, seed=1)


def cropped(data: Dataset, side: int, channels: int = 3) -> Dataset:
    train = Split(data.train.images[:, :channels, :side, :side].contiguous(), data.train.labels)
    return Dataset("cropped", train, train, data.classes)


class Given(Request):
    """A request whose λs are 0.4 for the first half of the batch, 0.6 for the rest, not drawn."""

    def lambdas(self) -> torch.Tensor:
        half = len(self.x) // 2
        return torch.tensor([[0.4] * half + [0.6] * half])


@pytest.mark.parametrize("blocks", [2, 4, 8])
@pytest.mark.parametrize("transport", [True, False])
def test_its_plans_are_those_of_the_variant(data: Dataset, blocks: int, transport: bool) -> None:
    board = mx.panels.puzzle_panel(data, pairs=5, seed=1)._board
    ours = board.solve(Setting(0.4, 2.0, 0.7, 0.3, blocks, 3, transport, 0.1)).exact.plan
    own = {"model": board.pairs.model, "normalize": board.pairs.normalize, "generator": None}
    partner = {"partner": torch.arange(10).roll(5), "rolled": False}
    request = Given(x=board.batch, y=board.pairs.labels.T.flatten(), **partner, alpha=1.0, k=1, shared_lam=False, **own)
    variant = Puzzle(blocks=blocks, beta=2.0, gamma=0.7, eta=0.3, transport=transport, transport_cost=0.1)
    theirs = variant.draw(request)
    torch.testing.assert_close(ours.mask[:, :5], theirs.mask[:, :5])
    torch.testing.assert_close(board.mixes(ours), theirs.apply(board.batch)[:5])
    assert (ours.moves is None) == (theirs.moves is None) == (not transport)


def test_energies_are_those_of_an_independent_sum(panel: PuzzlePanel) -> None:
    board = panel._board
    problem = board.problem(SETTING)
    solution = board.solve(SETTING)
    for masks in (solution.exact, solution.swap):
        labels = (masks.mask * 2).round().long()
        by_hand = [puzzles.energy(*(part[i].numpy() for part in problem), labels[i].numpy()) for i in range(3)]
        np.testing.assert_allclose(masks.energy, by_hand, rtol=1e-12)


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_no_exchange_of_two_labels_is_better_than_the_swap(levels: int) -> None:
    """Against every exchange on 3 by 3 blocks; and it is not always the best mask, nor ever better."""
    rng = np.random.default_rng(levels)
    batch = [puzzles.problem(3, levels, rng) for _ in range(8)]
    found = swap_labels(*(torch.from_numpy(np.stack(parts)) for parts in zip(*batch, strict=True)))
    for one, labels in zip(batch, found.numpy(), strict=True):
        energy = puzzles.energy(*one, labels)
        for pair in itertools.combinations(range(levels), 2):
            free = np.isin(labels, pair)
            for values in itertools.product(pair, repeat=int(free.sum())):
                exchanged = labels.copy()
                exchanged[free] = values
                assert puzzles.energy(*one, exchanged) >= energy - 1e-9


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_the_swap_is_as_good_as_gco_s_and_never_below_the_exact_one(levels: int) -> None:
    pytest.importorskip("gco", reason="gco-wrapper has no wheel for this Python")
    rng = np.random.default_rng(levels)
    batch = [puzzles.problem(8, levels, rng) for _ in range(40)]
    problem = [torch.from_numpy(np.stack(parts)) for parts in zip(*batch, strict=True)]
    swapped, exact = (energy_of(solve(*problem), *problem) for solve in (swap_labels, least_energy))
    theirs = torch.tensor([puzzles.energy(*one, puzzles.swap(*one)) for one in batch])
    assert (swapped >= exact - 1e-9).all()
    assert ((swapped > exact + 1e-6).any()) == (levels > 2)
    assert float((swapped / exact - theirs / exact).abs().mean()) < 2e-3


def test_the_halves_add_up_to_the_mix(panel: PuzzlePanel) -> None:
    board, masks = panel._board, panel._board.solve(SETTING).exact
    halves = board.halves(masks).int()
    assert (halves.sum(1) - board.mixes(masks.plan).int()).abs().max() <= 1
    assert halves[:, 0].amax() > 0
    shown = masks.mask.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None].expand(-1, 3, -1, -1)
    assert (halves[:, 0][shown == 0] == 0).all()
    assert (halves[:, 1][shown == 1] == 0).all()


def test_blocks_move_only_where_they_may(panel: PuzzlePanel) -> None:
    panel.cost = 0.0
    assert panel.solution.exact.moved.sum() > 0
    assert panel._answer["movable"] > 0
    panel.transport = False
    assert panel.solution.exact.moved.tolist() == [[0, 0]] * 3
    assert panel._answer["movable"] == 0
    assert "no blocks moved" in panel.describe()
    cut = label_words(float(panel.solution.cutmix.lam[0, 0]), panel.names)
    assert panel.describe().endswith(f": {cut}.")


def test_saliency_is_the_package_s(data: Dataset, panel: PuzzlePanel) -> None:
    assert panel.saliency.shape == (3, 2, 32, 32)
    net, pairs = mx.models.quick(len(data.classes)), panel._board.pairs
    here = mx.saliency(net, pairs.images[:, 0].contiguous(), pairs.labels[:, 0], normalize=data.normalization)
    torch.testing.assert_close(here, panel.saliency[:, 0], rtol=1e-3, atol=1e-6)
    assert panel._seen[: 32 * 32] == (255 * here[0] / here[0].max()).round().byte().numpy().tobytes()


def test_the_answer_is_what_is_solved(panel: PuzzlePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.pair, panel.blocks, panel.levels, panel.lam = 2, 8, 4, 0.3
    exact, answer = panel.solution.exact, panel._answer
    assert answer["wanted"] == {name: getattr(panel, name) for name in panel.asks}
    assert answer["mask"] == exact.mask[2].flatten().tolist()
    assert answer["moved"] == exact.moved[2].tolist()
    assert answer["lams"] == exact.plan.lam[0, :3].tolist()
    assert answer["exact"]["energy"] == float(exact.energy[2])
    before = panel.state
    panel._wanted = answer["wanted"] | {"lam": 0.9}  # under a drag
    assert panel.state == before
    assert min(panel._answer["lams"]) > 0.5
    panel.lam = 0.2
    assert panel._answer["wanted"]["lam"] == 0.2
    monkeypatch.setattr(solving.Board, "solve", lambda *_: pytest.fail("solved again"))
    panel.pair = 1  # which needs nothing to be solved anew
    assert panel._answer["wanted"]["pair"] == 1


def test_describe_gives_the_numbers_of_the_moment(panel: PuzzlePanel) -> None:
    panel.lam, panel.blocks = 0.7, 8
    solution = panel.solution
    first, second = solution.exact.moved[0].tolist()
    label = label_words(float(solution.exact.plan.lam[0, 0]), panel.names)
    words = panel.describe()
    assert words.startswith(
        f"x is of class {panel.names[0]}, x′ of class {panel.names[1]}; saliency of an untrained net: give model= a "
        "trained one. Puzzle Mix on 8 × 8 blocks, 3 levels, β = 1.2, γ = 0.5, η = 0.2, transport cost 0.8, "
        f"{first} blocks of x and {second} of x′ moved: at λ = 0.70 the label is {label}. "
        f"Energy of the exact mask {float(solution.exact.energy[0]):.4f}; the α–β swap "
    )
    assert f'alt="{words}"' in panel.still()
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("side", "blocks", "pixels"), [(32, 2, 4), (32, 8, 4), (32, 16, 2), (28, 2, 2), (28, 4, 7)])
def test_the_blocks_that_move_are_counted(data: Dataset, side: int, blocks: int, pixels: int) -> None:
    """Of four pixels where the mask's blocks are made of fours, else of two; a block of 7 pixels moves whole."""
    panel = mx.panels.puzzle_panel(cropped(data, side), pairs=2)
    panel.blocks = blocks
    movable = (side // pixels) ** 2
    assert panel._answer["movable"] == panel.solution.exact.plan.moves.shape[-1] == movable
    assert panel.describe().endswith(f". Of each image {movable} blocks of {pixels} × {pixels} pixels can move.")


def test_a_clipped_box_is_said(data: Dataset) -> None:
    """By counting pixels: a box is clipped where it covers fewer of them than one of its sides would in the middle."""
    panel = mx.panels.puzzle_panel(data, pairs=20, seed=3)
    said = set()
    for panel.lam in (0.05, 0.5, 0.8):
        side = int(32 * (1 - panel.lam) ** 0.5)
        for panel.pair in range(20):
            plan = panel.solution.cutmix
            top, left, bottom, right = plan.box[0, panel.pair].tolist()
            clipped = (bottom - top) * (right - left) < (2 * (side // 2)) ** 2
            assert panel._answer["clipped"] is clipped
            assert plan.nominal[0, panel.pair] == pytest.approx(panel.lam)
            words = ", its box clipped at the edge" if clipped else ""
            cut = label_words(float(plan.lam[0, panel.pair]), panel.names)
            assert f" CutMix at the same λ{words}: {cut}. Of each image 64 blocks " in panel.describe()
            said.add(clipped)
    assert said == {True, False}
    panel.lam = 1.0  # a box of no pixels loses none
    assert panel._answer["clipped"] is False


def test_the_swap_is_compared_in_words(data: Dataset) -> None:
    panel = mx.panels.puzzle_panel(data, pairs=20)
    panel.levels, panel.blocks = 4, 8
    solution, said = panel.solution, set()
    for panel.pair in range(20):
        words = panel._answer["compared"]
        different = int((solution.exact.mask[panel.pair] != solution.swap.mask[panel.pair]).sum())
        gap = float(solution.swap.energy[panel.pair] - solution.exact.energy[panel.pair])
        more = f"{gap:.4f}" if gap >= 5e-5 else "less than 0.0001"
        end = "found the same mask." if not different else f"differs in {different} of 64 blocks, {more} higher."
        assert words.endswith(f"the α–β swap {end}")
        said.add(bool(different))
    assert said == {True, False}
    assert panel._answer["proved"] is True
    panel.blocks = 16
    assert panel._answer["proved"] is False
    assert panel._answer["compared"].startswith("Energy of our mask (16 by 16 is not proved exact)")


def test_your_own_net_is_named_and_left_as_it_was(data: Dataset) -> None:
    net = mx.models.quick(len(data.classes)).train()
    before = copies_of(net)
    assert "; saliency of your net." in mx.panels.puzzle_panel(data, net, pairs=3).describe()
    assert net.training
    torch.testing.assert_close(copies_of(net), before, rtol=0, atol=0)


def test_other_sizes_offer_the_blocks_that_divide_them(data: Dataset) -> None:
    panel = mx.panels.puzzle_panel(cropped(data, 28, channels=1), pairs=2)
    assert panel._choices == [2, 4]
    for panel.blocks in (2, 4):
        assert panel.solution.exact.mask.shape == (2, panel.blocks, panel.blocks)
    refuses(lambda: setattr(panel, "blocks", 8), ValueError, "blocks", "divide the side", "28 pixels", "got 8")
    assert panel.blocks == 4
