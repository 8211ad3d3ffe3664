"""The spirals trained by the browser alone: net, gradient, descent, measures and words are Python's."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from browsing import load_module
from playwright.sync_api import Browser, Page, expect
from torch import nn

import mixlab as mx
from mixlab.data.spiral_points import spirals
from mixlab.mixing.plan import MixPlan
from mixlab.models import SpiralNet
from mixlab.panels.shared.alone import alone
from mixlab.panels.spiral_panel.spiral_panel import LAYERS, SpiralSettings, _reached
from mixlab.training.schedules import at_step
from mixlab.training.sgd import Descent
from mixlab.training.spiral_trainer import _SCHEDULE, SpiralTrainer

STEPS, ROWS, K = 4, 10, 3


@pytest.fixture(scope="module")
def own(browser: Browser) -> Iterator[Page]:
    """A page with the functions of the spiral panel's files as `panel`."""
    context = browser.new_context()
    page = context.new_page()
    load_module(page, mx.panels.spiral_panel())
    yield page
    context.close()


def layers_of(net: SpiralNet) -> list[dict[str, list[float]]]:
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    return [{"weight": one.weight.flatten().tolist(), "bias": one.bias.tolist()} for one in linear]


@pytest.mark.parametrize("layer", [None, "input", "block2", "bottleneck"])
def test_a_descent_is_torchs_in_float64(own: Page, layer: str | None) -> None:
    net = SpiralNet(3, seed=1).double()
    g = torch.Generator().manual_seed(2)
    x, y = torch.randn(ROWS, 2, generator=g).double(), torch.randint(3, (ROWS,), generator=g)
    partner, lam = torch.randperm(ROWS, generator=g), torch.rand(K, ROWS, generator=g)
    first, optimizer, losses = layers_of(net), Descent(net.parameters(), momentum=0.9, weight_decay=0.0), []
    plan = MixPlan("manifold", partner, lam, lam, layer=layer) if layer else mx.Mixer("none").plan(x)
    for step in range(STEPS):
        optimizer.learning_rate = 0.05 * at_step(_SCHEDULE, step, STEPS)
        optimizer.zero_grad()
        loss = mx.mixed_loss(net, x, y, plan)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    given, trained = own.evaluate(
        """([layers, x, y, mix, steps]) => {
          const net = panel.netOf(layers);
          if (mix) mix.place = panel.PLACES.indexOf(mix.layer);
          const losses = Array.from({ length: steps }, (_, step) => {
            const loss = panel.differentiate(net, Float64Array.from(x), y, mix);
            panel.descend(net, step, steps);
            return loss;
          });
          return [losses, net.map(({ weight, bias }) => ({ weight: [...weight], bias: [...bias] }))];
        }""",
        [
            first,
            x.flatten().tolist(),
            y.tolist(),
            layer and {"layer": layer, "partner": partner.tolist(), "lam": lam.flatten().tolist()},
            STEPS,
        ],
    )
    np.testing.assert_allclose(given, losses, rtol=1e-6)  # mixlab takes the cross entropy in float32 or more
    for ours, theirs in zip(trained, layers_of(net), strict=True):
        for part, values in theirs.items():
            np.testing.assert_allclose(ours[part], values, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_measured_is_pythons(own: Page, classes: int) -> None:
    g = torch.Generator().manual_seed(classes)
    train, test = (spirals(n, classes=classes, generator=g) for n in (90, 300))
    trainer = SpiralTrainer(SpiralNet(classes, seed=3), train, test, epochs=30)
    while not trainer.done:
        trainer.step()
    record = trainer.evaluate()
    accuracy, confidence, values, field, words = own.evaluate(
        """([layers, [x, y], [u, v], classes]) => {
          const parts = (points, labels) => ({ points: Float64Array.from(points), labels: Uint8Array.from(labels) });
          const work = panel.measured(panel.netOf(layers), parts(x, y), parts(u, v), classes);
          let step = work.next();
          while (!step.done) step = work.next();
          const { accuracy, confidence, values, field } = step.value;
          return [accuracy, confidence, values, [...field], panel.reachedOf(step.value)];
        }""",
        [
            layers_of(trainer.model),
            *([points.flatten().tolist(), labels.tolist()] for points, labels in (train, test)),
            classes,
        ],
    )
    assert accuracy == pytest.approx(record.test_accuracy, abs=1e-9)
    assert confidence == pytest.approx(record.test_confidence, abs=1e-5)
    np.testing.assert_allclose(values, record.singular_values, atol=1e-5)
    assert np.abs(np.array(field) - record.field.flatten().numpy()).max() <= 1  # a rounding of float32
    assert words == _reached(replace(record, singular_values=torch.tensor(values)))


def test_the_words_for_a_mixing_are_pythons(own: Page) -> None:
    for settings in (SpiralSettings(layer, 0.12345, 2, 2 + (layer == "input"), 5, 0) for layer in LAYERS):
        assert own.evaluate("([s, layers]) => panel.mixingOf(s, layers)", [vars(settings), LAYERS]) == settings.mixing


def test_points_have_the_same_law(own: Page) -> None:
    shape = {"classes": 3, "noise": 0.1, "turns": 1.5}
    drawn = own.evaluate(
        "(shape) => { const { points, labels } = panel.spirals(9000, shape, panel.stream(5));"
        " return [[...points], [...labels]]; }",
        shape,
    )
    theirs, labels = spirals(9000, **shape, generator=torch.Generator().manual_seed(0))
    ours = torch.tensor(drawn[0]).view(-1, 2)
    assert drawn[1] == labels.tolist()
    for label in range(3):
        one, other = (points[labels == label] for points in (ours, theirs))
        assert (one.mean(0) - other.mean(0)).abs().max() < 5 * (2 / 3000) ** 0.5 * other.std(0).max()
        assert one.T.cov() == pytest.approx(other.T.cov(), abs=0.02)


def test_a_page_trains_pauses_and_keeps_the_recorded_run(page: Page) -> None:
    panel = mx.panels.spiral_panel(layer="none", epochs=1)
    panel.run()
    page.set_content(alone(panel.get_manager_state()["state"][panel.model_id]))
    root = page.locator(".mixlab-panel")
    says = root.locator(".mx-status")
    expect(says).to_contain_text("Recorded: trained in Python")
    expect(root).to_contain_text(_reached(panel.records[-1]))
    root.get_by_label("Mix", exact=True).select_option("at bottleneck")
    root.get_by_label("Epochs").fill("40")
    root.get_by_role("button", name="Start").click()
    root.get_by_role("button", name="Pause").click()
    expect(says).to_contain_text("Paused at epoch")
    paused = says.inner_text()
    page.wait_for_timeout(100)
    assert says.inner_text() == paused
    root.get_by_role("button", name="Resume").click()
    expect(says).to_contain_text("Finished: 40 epochs", timeout=60_000)
    expect(root.locator(".mx-ghost-run")).to_contain_text(_reached(panel.records[-1]))
    reached = root.locator(".mx-run-name + .mx-note").inner_text()
    assert float(re.search(r"accuracy ([\d.]+)", reached)[1]) > 0.8
    root.get_by_role("button", name="Reset").click()
    expect(says).to_have_text("Choose, and press Start: the net is trained in this page.")
    expect(root.get_by_label("Epochs")).to_have_value("1")
    panel.close()
