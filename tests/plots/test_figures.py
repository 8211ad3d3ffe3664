"""Plots: what is drawn equals the numbers, nothing global is touched, and every picture carries its words."""

import base64
import html
import io
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import beta, binomtest

from mixlab import plots
from mixlab.calibration.intervals import Interval
from mixlab.calibration.reliability import Reliability, wilson
from mixlab.mixing.mixer import Mixer
from mixlab.plots import plot_intervals
from mixlab.plots.style import PictureAxes
from mixlab.training.record import Record

CLASSES = ("cat", "dog", "bird")


def reliability(sharpness: float = 2.0, n: int = 3000) -> Reliability:
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, 10, generator=g)
    return Reliability().update(
        (sharpness * logits).softmax(1), torch.multinomial(logits.softmax(1), 1, generator=g)[:, 0]
    )


def mixed(dtype: torch.dtype = torch.uint8, batch: int = 4, k: int = 2):
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (batch, 3, 8, 8), generator=g).to(dtype)
    return x, Mixer("mixup", 1.0, k, ordered=True)(x, torch.arange(batch) % 3, generator=g)


def record(epoch: float, accuracy: float, loss: float) -> Record:
    zeros = dict.fromkeys(Record.__dataclass_fields__, 0.0)
    blank = Record(**(zeros | {"reliability": reliability(n=10)}))  # type: ignore[arg-type]
    return replace(blank, epoch=epoch, test_accuracy=accuracy, train_loss=loss)


RUN = [record(1, 0.5, 1.5), record(2, 0.625, 1.25)]
DRAW = {
    "reliability": lambda ax=None: plots.plot_reliability(reliability(), ax),
    "lambda": lambda ax=None: plots.plot_lambda(0.2, ax),
    "mixed": lambda ax=None: plots.plot_mixed(mixed()[1], ax),
    "history": lambda ax=None: plots.plot_history(RUN, ax, ghost=RUN[:1]),
}
each_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


@each_plot
def test_own_axes_show_themselves_with_their_words(draw):
    ax = draw()
    shown = ax._repr_html_()
    alt = html.unescape(re.search(r'<img alt="([^"]+)"', shown).group(1))
    assert alt == plots.picture(ax).alt
    assert len(alt) > 40
    data = base64.b64decode(re.search(r"base64,([^\"]+)", shown).group(1))
    with Image.open(io.BytesIO(data)) as image:
        assert 2 * int(re.search(r'width="(\d+)"', shown).group(1)) in (image.width, image.width - 1)
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[0, 0].tolist() == [255, 255, 255, 255]  # opaque, so that a dark theme leaves it readable
    assert (pixels[..., 3] == 255).all()
    assert pixels[..., :3].std() > 5


@each_plot
def test_given_axes_are_drawn_in_and_returned(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(left) is left
    assert not right.has_data()
    assert not isinstance(left, PictureAxes)
    assert plots.picture(left).alt == plots.picture(draw()).alt
    draw(right)
    assert plots.picture(left).alt.count(plots.picture(draw()).alt) == 2
    assert plots.picture(left).png().startswith(b"\x89PNG")


@each_plot
def test_settings_of_matplotlib_are_left_alone_and_do_not_hide_text(draw):
    before = dict(mpl.rcParams)
    plain = plots.picture(draw()).png()
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"text.color": "white", "axes.labelcolor": "white", "axes.titlecolor": "white"}):
        assert plots.picture(draw()).png() == plain


def test_pyplot_is_never_loaded():
    code = "import sys, mixlab; mixlab.plot_lambda(1.0)._repr_html_(); sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_are_escaped():
    ax = plots.plot_reliability(reliability(), label='<b>"mine"')
    assert "&lt;b&gt;&quot;mine&quot;" in ax._repr_html_()


def test_reliability_bars_counts_whiskers_and_headline():
    rel = reliability()
    bins = rel.bins()
    ax = plots.plot_reliability(rel, label="plain")
    filled = bins.count > 0
    heights = {round(bar.get_x() * 15): bar.get_height() for group in ax.containers[:1] for bar in group}
    for i, height in heights.items():
        assert height == pytest.approx(float(bins.accuracy[i]))
    gaps = [bar for bar in ax.patches if bar.get_hatch()]
    for bar in gaps:
        i = round(bar.get_x() * 15)
        ends = sorted((bar.get_y(), bar.get_y() + bar.get_height()))
        assert ends == pytest.approx(sorted((float(bins.confidence[i]), float(bins.accuracy[i]))))
        assert bar.get_hatch() == ("////" if bins.confidence[i] > bins.accuracy[i] else "....")
    assert len(gaps) == int(filled.sum())
    strip = ax.child_axes[0]
    assert [bar.get_height() for bar in strip.patches] == bins.count[filled].tolist()
    ece = rel.interval("ece")
    title = ax.get_title(loc="left")
    assert title.startswith("plain: over-confident: says ")
    expected = f"n = 3,000   accuracy {rel.accuracy():.1%}   ECE {rel.ece():.3f} (95%: {ece.low:.3f} to {ece.high:.3f})"
    assert title.endswith("\n" + expected)


@pytest.mark.parametrize(
    ("sharpness", "words"), [(2.0, "Over-confident: says"), (0.5, "Under-confident"), (1.0, "As confident as right")]
)
def test_confidence_is_judged_in_words(sharpness, words):
    assert plots.plot_reliability(reliability(sharpness)).get_title(loc="left").startswith(words)


def test_bins_of_few_are_pale_and_one_row_is_enough():
    ax = plots.plot_reliability(Reliability().update(torch.tensor([[0.3, 0.7]]), torch.tensor([1])))
    assert [bar.get_alpha() for bar in ax.patches if bar.get_hatch()] == [0.2]
    assert "n = 1 " in ax.get_title(loc="left")


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (3, 10), (700, 1000)])
def test_whiskers_are_wilsons(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    low, high = wilson(torch.tensor(right / count, dtype=torch.float64), torch.tensor(count))
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0, 1e5])
def test_lambda_curve_is_the_density(alpha):
    ax = plots.plot_lambda(alpha)
    x, y = ax.get_lines()[0].get_data()
    np.testing.assert_allclose(y, beta(alpha, alpha).pdf(x), rtol=1e-6, atol=1e-12)
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.07)  # what lies beyond 1e-6 is not drawn
    assert ax.get_ylim()[1] >= y[(x > 0.1) & (x < 0.9)].max()


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        (0.2, "high at 0 and 1, lowest at one half. Both images show in 32.7% of mixes"),
        (1, "flat. Both images show in 80.0% of mixes"),
        (8, "highest at one half. Both images show in more than 99.9% of mixes"),
        (1e-6, "high at 0 and 1, lowest at one half. Both images show in less than 0.1% of mixes"),
    ],
)
def test_lambda_is_told_in_words(alpha, words):
    assert words in plots.picture(plots.plot_lambda(alpha)).alt


def test_mixed_grid_holds_the_images_between_their_sources():
    x, batch = mixed(k=3)
    ax = plots.plot_mixed(batch, x=x, classes=CLASSES)
    tiles = [image.get_array() for image in ax.images]
    assert len(tiles) == 4 * 5
    columns = [x, *batch.x.view(3, *x.shape), x[batch.plan.partner]]
    for column, images in enumerate(columns):
        for row in range(4):
            np.testing.assert_allclose(tiles[4 * column + row], images[row].permute(1, 2, 0) / 255, atol=1e-9)
    lam = float(batch.lam[0])
    texts = [text.get_text().replace("\n", " ") for text in ax.texts]
    a, b = (CLASSES[int(labels[0])] for labels in (batch.y_a, batch.y_b))
    assert texts[0] == f"x: {a}"
    assert texts[4] == (f"{lam:.2f} {a} + {1 - lam:.2f} {b}" if a != b else f"1.00 {a}")
    assert plots.picture(ax).alt.startswith("4 pairs of images, 3 mixes of each by mixup. First row: x: ")


def test_mixed_shows_eight_pairs_at_most_and_single_ones():
    assert len(plots.plot_mixed(mixed(batch=12, k=1)[1]).images) == 8
    assert "2 pairs of images, 1 mix of each" in plots.picture(plots.plot_mixed(mixed(batch=2, k=1)[1])).alt


def test_float_images_are_brought_to_the_range_of_a_screen():
    _, batch = mixed(torch.float32)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    whole = batch.x / 255
    normal = replace(batch, x=(whole - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    undone = plots.plot_mixed(normal, normalize=(mean, std))
    np.testing.assert_allclose(undone.images[0].get_array(), whole[0].permute(1, 2, 0), atol=1e-6)
    stretched = np.stack([image.get_array() for image in plots.plot_mixed(batch).images])
    assert stretched.min() == 0
    assert stretched.max() == 1
    gray = replace(batch, x=batch.x[:, :1])
    assert plots.plot_mixed(gray).images[0].get_array().shape == (8, 8)


def test_history_draws_both_runs():
    ax = plots.plot_history(RUN, ghost=RUN[:1])
    this, before = ax.get_lines()[1], ax.get_lines()[0]
    assert this.get_ydata().tolist() == [50, 62.5]
    assert this.get_linestyle() == "-"
    assert before.get_ydata().tolist() == [50]
    assert before.get_linestyle() == "--"
    loss = ax.figure.axes[1].get_lines()[1]
    assert loss.get_ydata().tolist() == [1.5, 1.25]
    words = "Test accuracy 62.5%, training loss 1.25, after epoch 2."
    assert plots.picture(ax).alt == words + " The previous run ended at 50.0%."
    assert plots.picture(plots.plot_history(iter(RUN))).alt == words


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plots.plot_reliability(3), TypeError, "result must be a Reliability or Predictions, got 3"),
        (
            lambda: plots.plot_reliability(reliability(), bins="mass"),
            ValueError,
            f"result must be Predictions where after, n_bins or bins are given, got {reliability()!r}",
        ),
        (
            lambda: plots.plot_reliability(Reliability()),
            ValueError,
            "this Reliability is empty: there is nothing to read before update(probs, labels)",
        ),
        (lambda: plots.plot_lambda(1.0, "left"), TypeError, "ax must be a matplotlib Axes or None, got 'left'"),
        (
            lambda: plots.picture(Figure),
            TypeError,
            "ax must be a matplotlib Axes, got <class 'matplotlib.figure.Figure'>",
        ),
        (lambda: plots.plot_mixed("x"), TypeError, "mixed must be a Mixed, what a Mixer returns, got 'x'"),
        (
            lambda: plots.plot_mixed(replace(mixed()[1], x=torch.zeros(8, 2, 8, 8))),
            ValueError,
            (
                "mixed.x must hold images of shape [K * B, C, H, W] with 1 or 3 channels, "
                "got a float32 tensor of shape [8, 2, 8, 8]"
            ),
        ),
        (
            lambda: plots.plot_mixed(mixed()[1], x=torch.zeros(3, 3, 8, 8)),
            ValueError,
            "x must be the batch that was mixed, [4, ...], got a float32 tensor of shape [3, 3, 8, 8]",
        ),
        (lambda: plots.plot_mixed(mixed()[1], x=[1]), TypeError, "x must be the batch that was mixed, got [1]"),
        (lambda: plots.plot_history([]), ValueError, "records must hold at least one record, got none"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_picture_speaks_where_no_image_can():
    ax = plots.plot_lambda(1.0)
    assert isinstance(ax, Axes)
    assert repr(plots.picture(ax)) == "Picture: " + plots.picture(ax).alt


def test_mixes_and_originals_on_different_scales_are_refused():
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    mixed = Mixer()(images / 255, torch.arange(4))
    ours, theirs = (f"a {kind} tensor of shape [4, 3, 8, 8]" for kind in ("float32", "uint8"))
    message = f"x must be on the scale of mixed.x, {ours}, got {theirs}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plots.plot_mixed(mixed, x=images)


def test_the_numbers_of_intervals_stand_in_one_column_beside_the_axes() -> None:
    found = {"five": Interval(-4.25, -8.72, 0.22, 3, 0.95), "one": Interval(3.0, -1.57, 7.6, 3, 0.95)}
    ax = plot_intervals(found, quantity="points", reference=0.0)
    assert [text.get_text() for text in ax.texts] == ["−4.25 [−8.72, 0.22]", "3.00 [−1.57, 7.60]"]
    assert ax.get_label() == "points: five −4.25 [−8.72, 0.22]; one 3.00 [−1.57, 7.60]."
    ax.get_figure().canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert boxes[0].x1 == pytest.approx(boxes[1].x1)
    assert min(box.x0 for box in boxes) > ax.get_window_extent().x1


def test_intervals_are_drawn_where_they_are_and_say_so() -> None:
    found = {"five": Interval(0.8, 0.7, 0.95, 9, 0.95), "one": Interval(1.1, 0.9, 1.3, 9, 0.95)}
    ax = plot_intervals(found, quantity="variance over mixup's", reference=1.0)
    bars = [line.get_xdata() for line in ax.get_lines() if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    assert [list(bar) for bar in bars[:2]] == [[0.7, 0.95], [0.9, 1.3]]
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [list(dot.get_xdata()) for dot in dots] == [[0.8], [1.1]]
    filled = [dot.get_markerfacecolor() == dot.get_color() for dot in dots]
    assert filled == [True, False]  # hollow where the interval holds the reference
    assert [label.get_text() for label in ax.get_yticklabels()] == ["five", "one"]
    assert ax.get_xlabel() == "variance over mixup's; 95% intervals"
    assert ax.get_label() == "variance over mixup's: five 0.80 [0.70, 0.95]; one 1.10 [0.90, 1.30]."
    assert [text.get_text() for text in ax.texts] == ["0.80 [0.70, 0.95]", "1.10 [0.90, 1.30]"]
    for wrong, kind, message in (
        ({}, ValueError, "intervals must hold at least one Interval by name, got none"),
        ({"a": 0.5}, TypeError, "intervals must hold at least one Interval by name, got {'a': 0.5}"),
        ([0.5], TypeError, "intervals must hold at least one Interval by name, got [0.5]"),
    ):
        with pytest.raises(kind) as caught:
            plot_intervals(wrong, quantity="x")
        assert str(caught.value) == message
