"""What the ledger measures on networks and with a counter, beside what is known; and how it shows itself."""

import html
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

import mixlab as mx
from mixlab.ledger import (
    CLAIMS,
    Ledger,
    changes_of_variance,
    counted,
    parity,
    probed,
    rows,
    stress,
    tables,
    under_stress,
)
from mixlab.ledger.picture import plot_settings
from mixlab.mixing.normalize import normalized
from mixlab.plots.style import PictureAxes
from mixlab.probes import occluded
from mixlab.runs.atlas import Atlas


@pytest.fixture(scope="module")
def data():
    return mx.load("shapes", train_size=64, test_size=30)


@pytest.fixture(scope="module")
def nets(data):
    made = [mx.models.quick(len(data.classes), seed=seed).eval() for seed in range(4)]
    return {"none": made[:2], "mixup": made[2:], "cutmix": [made[0], made[2]]}


class Blind(nn.Module):
    """Answers the same whatever it sees."""

    def __init__(self, classes):
        super().__init__()
        self.bias = nn.Parameter(torch.linspace(0, 1, classes))

    def forward(self, x):
        return self.bias + 0 * x.flatten(1).sum(1, keepdim=True)


def test_networks_against_themselves_and_against_one_that_answers_blindly(data, nets):
    same = probed(dict.fromkeys(nets, nets["none"]), data, few=4)
    assert all(values == [0, 0] for key, values in same.items() if not key.startswith("rescaled"))
    blind = Blind(len(data.classes))
    against = probed({"none": nets["none"], "mixup": [blind] * 2, "cutmix": [blind] * 2}, data, few=4)
    guess = 100 * (data.test.labels == len(data.classes) - 1).double().mean().item()
    assert against["smooth"] == [-100, -100]  # no slope at all
    assert against["rescaled-accuracy"] == [0, 0]
    covered = replace(data.test, images=occluded(data.test.images, 0.3, "center"))
    seen = [mx.predict(net, covered, data.normalization).correct.double().mean().item() for net in nets["none"]]
    assert against["occlusion"] == pytest.approx([guess - 100 * share for share in seen])
    assert set(against) <= {claim.key for claim in CLAIMS}


@pytest.mark.parametrize("wrong", [{"none": []}, {"none": [1], "mixup": [1, 2], "cutmix": [1]}])
def test_other_networks_are_refused(data, wrong):
    with pytest.raises(ValueError, match="equally many networks of each of none, mixup, cutmix, got"):
        probed(wrong, data)


def test_what_is_counted(data, nets):
    model = nets["none"][0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    numbers = counted(model, data, tries=3)
    assert numbers["free-steps"] == [400, 400, 400]
    assert max(numbers["ordered"]) < 1e-8  # rounding of float64, in percent
    assert min(numbers["overhead"] + numbers["overhead-puzzle"]) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    ledger = Ledger(Atlas([]), measured=numbers)
    assert (ledger["ordered"].word, ledger["free-steps"].word) == ("refuted", "refuted")
    with pytest.raises(ValueError, match="tries must be an integer of at least 3"):
        counted(model, data, tries=2)


def test_changes_of_variance_are_those_of_the_traces(data, nets):
    schemes = {name: mx.Mixer("mixup", k=k) for name, k in (("one", 1), ("two", 2))}
    of = mx.gradient_variance(nets["none"][0], data, schemes, batch_size=8, draws=3)
    changes = changes_of_variance(of, "one", "two", "one")
    assert sum(changes) / 3 == pytest.approx(100 * (of["two"].trace.value / of["one"].trace.value - 1))


def test_parity_is_what_the_bits_say_and_is_learned_without_mixing(monkeypatch):
    x, y = rows._all_rows()
    assert len({tuple(row) for row in x.tolist()}) == len(x) == 2**rows.BITS
    signs = -x[:, : rows.COUNTED]  # −1 for each 1 among the bits that count
    assert torch.equal(y == 1, signs.prod(1) < 0)
    assert parity(2, steps=3) == parity(2, steps=3)
    errors, real = [], rows._error
    monkeypatch.setattr(rows, "_error", lambda *given, **more: errors.append(real(*given, **more)) or errors[-1])
    (change,) = parity(1)
    mixed, plain = errors
    assert change == mixed - plain
    assert plain < 10


def test_tables_are_a_mean_over_all_sets(monkeypatch):
    errors = {}

    def change(table, seed, *, epochs):
        assert (len(table.train[1]), epochs) == (rows.FEW, 7)
        errors.setdefault(seed, []).append(len(table.columns.numbers) + 10 * seed)
        return float(errors[seed][-1])

    monkeypatch.setattr(rows, "_change", change)
    assert tables(2, epochs=7) == [sum(errors[seed]) / len(rows.SETS) for seed in range(2)]


def test_under_stress(data, monkeypatch):
    """What is trained: each network twice from the same weights, mixed and not."""
    trained = []

    def accuracy(net, given, mixer, seed, epochs, **more):
        weights = torch.cat([weight.flatten() for weight in net.parameters()])
        trained.append((weights, given.train, mixer and mixer.settings["alpha"], epochs, more))
        return 10.0 if mixer else 4.0

    real = stress._accuracy
    monkeypatch.setattr(stress, "_accuracy", accuracy)
    monkeypatch.setattr(stress, "_turn", lambda _, seed, epochs, mixer: (3.0 if mixer else 4.0) * (seed + epochs))
    changes = dict.fromkeys(("label-noise", "brakes", "small-net"), [6.0] * 3) | {"turns": [-25.0] * 3}
    assert under_stress(data, 3, epochs=6) == changes
    assert [(alpha, epochs) for _, _, alpha, epochs, _ in trained[::6]] == [(8.0, 6), (8.0, 3), (1.0, 12)]
    assert [more for *_, more in trained if more] == [{"label_smoothing": stress.SMOOTHING}] * 3
    for (weights, *_), (same, *_) in zip(trained[::2], trained[1::2], strict=True):
        assert torch.equal(weights, same)
    assert len(trained[-1][0]) < 2000
    (noisy, also), (jittered, clean) = ([part for _, part, *_ in trained[at : at + 2]] for at in (0, 6))
    assert (noisy.labels != data.train.labels).double().mean() == stress.WRONG
    assert torch.equal(noisy.labels, also.labels)
    assert clean is data.train
    bright = data.train.images.double()
    assert bool(((jittered.images - bright).abs() <= stress.JITTER * bright + 0.5).all())
    net = stress._small(data, 0)
    score = real(net, data, None, 0, 1)
    right = mx.predict(net, data.test, data.normalization).correct.double().mean().item()
    assert score == pytest.approx(100 * right, abs=4)


def test_how_far_a_gradient_turns_is_that_of_two_copies_by_hand(data):
    mixer, places = mx.Mixer("mixup"), []
    net = stress._usual(data, 1)
    x = normalized(data.train.images, data.normalization)

    def stand():
        weights = [weight for weight in net.eval().parameters() if weight.requires_grad]
        slopes = torch.autograd.grad(nn.functional.cross_entropy(net(x), data.train.labels), weights)
        places.append([torch.cat([part.detach().double().flatten() for part in parts]) for parts in (weights, slopes)])

    stand()
    list(mx.fit(net, data, mixer, epochs=1, seed=1, batch_size=64, augment=False))
    stand()
    moved, turned = (float((after - before).norm()) for before, after in zip(*places, strict=True))
    assert stress._turn(data, 1, 1, mixer) == pytest.approx(turned / moved, rel=1e-4)


def test_the_ledger_shows_itself():
    measured = {"linear": [-1.0, -1.1, -0.9], "flat": [1.0, 1.2, 1.1], "pgd": [1.0, -1.0, 0.5], "fgsm": [2.0, 2.1, 2.2]}
    ledger = Ledger(Atlas([]), measured=measured)
    assert len(ledger) == len(CLAIMS)
    assert "linear" in ledger
    assert ledger.get("linaer") is None
    assert ledger.counts()["not measured here"] == len(CLAIMS) - len(measured)
    assert repr(ledger).startswith(f"Ledger of {len(CLAIMS)} claims: ")
    ax = ledger.plot()
    assert isinstance(ax, PictureAxes)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["linear: supported", "fgsm: supported", "flat: refuted", "pgd: undecided"]
    assert [label.get_text() for label in ledger.plot(["flat"]).get_yticklabels()] == ["flat: refuted"]
    shown = ledger._repr_html_()
    assert shown.count("<details>") == len(CLAIMS)
    assert all(html.escape(claim.text) in shown for claim in CLAIMS)
    assert re.search(r"Measured:</b> −1\.00 \[", ledger["linear"]._repr_html_())
    assert "Claimed: below 0." in plot_settings(ledger["linear"]).get_label()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Ledger([]), "runs must be an Atlas, as mx.atlas gives it, got []"),
        (lambda: Ledger(Atlas([]), measured={"linaer": [1]}), "did you mean 'linear'?"),
        (lambda: Ledger(Atlas([]))["linaer"], "did you mean 'linear'?"),
        (lambda: Ledger(Atlas([])).plot(), "verdicts must hold at least one with an interval, got none"),
        (lambda: Ledger(Atlas([])).plot_settings("flat"), "verdict must have an interval"),
        (lambda: Ledger(Atlas([]), rate=2), "rate must be a number from 0.01 to 0.5, got 2"),
    ],
)
def test_what_is_wrong_is_named(call, says):
    with pytest.raises((TypeError, ValueError, KeyError)) as caught:
        call()
    assert says in caught.value.args[0]
