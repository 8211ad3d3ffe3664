"""What every live loop does, on the smallest one: a line through points, retraced by hand."""

import math
from typing import Any

import pytest
import torch
from seeding import seeded
from torch import Tensor, nn

from mixlab.training.loop import Loop
from mixlab.training.schedules import Linear
from mixlab.training.sgd import Descent

X = torch.tensor([-1.0, 0.0, 1.0, 2.0, 3.0])
RISING = Linear(((0, 0), (1, 1)))


class Line(Loop[float]):
    """y = 2 x, with noise drawn from the mixing stream."""

    def __init__(self, noise: float = 0.0, **settings: Any) -> None:
        defaults = {"epochs": 3, "seed": 5, "batch_size": 2, "learning_rate": 0.1, "schedule": RISING}
        super().__init__(examples=len(X), device=torch.device("cpu"), **(defaults | settings))
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = Descent(self.model.parameters(), momentum=0.0, weight_decay=0.0)
        self.mixer, self.noise = None, noise
        self.seen: list[list[int]] = []
        self.rates: list[float] = []

    def _loss(self, chosen: Tensor) -> Tensor:
        self.seen.append(chosen.tolist())
        self.rates.append(self.optimizer.learning_rate)
        x = X[chosen, None]
        noise = self.noise * torch.randn(len(x), 1, generator=self._mixing_stream)
        return (self.model(x) - 2 * x - noise).square().mean()

    def evaluate(self) -> float:
        return self._mean_loss()


def test_the_order_is_drawn_anew_each_epoch_and_a_short_batch_left_out() -> None:
    loop, stream = Line(), seeded(10)
    list(loop)
    orders = [torch.randperm(5, generator=stream).tolist() for _ in range(3)]
    assert loop.seen == [batch for order in orders for batch in (order[:2], order[2:4])]
    noisy = Line(noise=1.0)
    list(noisy)
    assert noisy.seen == loop.seen, "mixing has a stream of its own"


@pytest.mark.parametrize(
    ("every", "epochs", "measured"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (2, 4, [2, 4]), (9, 3, [3])]
)
def test_it_measures_every_so_many_epochs_and_at_the_end(every: int, epochs: int, measured: list[int]) -> None:
    loop, often = Line(epochs=epochs, every=every), Line(epochs=epochs)
    assert [loop.epoch for _ in loop] == measured
    list(often)
    assert torch.equal(loop.model.weight, often.model.weight)


def test_counts_rates_and_means() -> None:
    loop = Line()
    assert (loop.steps_per_epoch, loop.steps, loop.step_count, loop.epoch, loop.done) == (2, 6, 0, 0, False)
    assert math.isnan(loop.evaluate())
    weight, losses, means = 0.0, [], []
    for mean in loop:
        means.append(mean)
        assert loop.epoch == len(means)
        assert loop.loss_so_far == (0, 0)
    for step, batch in enumerate(loop.seen):
        squares = float(X[batch].square().mean())
        losses.append(squares * (weight - 2) ** 2)
        weight -= 0.1 * (step + 1) / 7 * 2 * squares * (weight - 2)
    assert loop.rates == pytest.approx([0.1 * (step + 1) / 7 for step in range(6)])
    assert means == pytest.approx([sum(losses[i : i + 2]) / 2 for i in (0, 2, 4)], rel=1e-5)
    assert loop.model.weight.item() == pytest.approx(weight, rel=1e-5)
    assert loop.done
    with pytest.raises(RuntimeError, match=r"^step must not be called after the last of 6 steps$"):
        loop.step()
    cut = Line(batch_size=100)  # to the examples there are
    assert (cut.batch_size, cut.steps, cut.settings["batch_size"]) == (5, 3, 5)


def test_a_lost_loss_stays_lost() -> None:
    loop = Line(noise=math.inf)
    message = r"^the loss is no longer finite at step 1 of 6; lower learning_rate, now 0.1$"
    with pytest.raises(FloatingPointError, match=message):
        loop.step()
    assert not math.isfinite(loop.loss_so_far[0])


def test_a_state_between_two_epochs_has_no_order() -> None:
    loop, sizes = Line(), []
    while not loop.done:
        sizes.append(len(loop.state().tensors["order"]))
        loop.step()
    assert sizes == [0, 5, 0, 5, 0, 5]
    assert loop.state().numbers["training"] == loop.settings | {"mixer": "None", "examples": 5}
