"""Every figure: it shows itself with its words, keeps what is given, touches nothing global, refuses what is wrong."""

import base64
import gc
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
from figures import COOLED, OVER, RUN, same
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image
from seeding import seeded

import mixlab as mx
from mixlab import plots
from mixlab.calibration.intervals import Interval
from mixlab.calibration.multilabel import LabelPredictions
from mixlab.calibration.reliability import Reliability
from mixlab.mixing.mixer import Mixer
from mixlab.plots.style import PictureAxes, picture

X = torch.randint(0, 256, (4, 3, 8, 8), generator=seeded(), dtype=torch.uint8)
MIXED = Mixer("mixup", 1.0, 2)(X, torch.arange(4) % 3, generator=seeded())
LABELS = LabelPredictions.one_vs_rest(OVER).errors(n=100)
SPANS = {"five": Interval(-4.25, -8.72, 0.22, 3, 0.95)}
DRAW = {
    "reliability": lambda ax=None: plots.plot_reliability(RUN[0].reliability, ax),
    "before and after": lambda ax=None: plots.plot_reliability(OVER, ax, after=COOLED, label='<b>"plain"'),
    "smooth": lambda ax=None: plots.plot_smooth(OVER[:200], ax),
    "confidence": lambda ax=None: plots.plot_confidence(OVER, ax),
    "rejection": lambda ax=None: plots.plot_rejection(OVER, ax),
    "murphy": lambda ax=None: plots.plot_murphy(RUN, ax),
    "bins": lambda ax=None: plots.plot_bins({"plain": OVER, "cooled": COOLED}, ax, bins=(1, 5, 15)),
    "lambda": lambda ax=None: plots.plot_lambda(0.2, ax),
    "mixed": lambda ax=None: plots.plot_mixed(MIXED, ax),
    "history": lambda ax=None: plots.plot_history(RUN, ax, ghost=RUN[:1]),
    "label errors": lambda ax=None: plots.plot_label_errors(LABELS, ax),
    "lines": lambda ax=None: plots.plot_lines({"none": {0: SPANS["five"]}}, ax, across="epoch", quantity="points"),
    "heat": lambda ax=None: plots.plot_heat({("a", "b"): SPANS["five"]}, ax, down="α", across="brake", quantity="x"),
    "intervals": lambda ax=None: plots.plot_intervals(SPANS, ax, quantity="points", reference=0.0),
}
each_plot = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


@each_plot
def test_own_axes_show_themselves_with_their_words(draw):
    ax = draw()
    assert isinstance(ax, PictureAxes)
    shown = ax._repr_html_()
    alt = html.unescape(re.search(r'<img alt="([^"]+)"', shown).group(1))
    assert alt == picture(ax).alt
    assert len(alt) > 30
    assert repr(picture(ax)) == f"Picture: {alt}"
    data = base64.b64decode(re.search(r"base64,([^\"]+)", shown).group(1))
    with Image.open(io.BytesIO(data)) as image:
        assert 2 * int(re.search(r'width="(\d+)"', shown).group(1)) in (image.width, image.width - 1)
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[0, 0].tolist() == [255, 255, 255, 255]  # opaque, so that a dark theme leaves it readable
    assert (pixels[..., 3] == 255).all()
    assert pixels[..., :3].std() > 5


@each_plot
def test_given_axes_are_drawn_in_and_returned(draw):
    figure = Figure(facecolor="#102030")
    left, right = figure.subplots(1, 2)
    place = left.get_position(original=True).bounds
    assert draw(left) is left
    assert not right.has_data()
    assert not isinstance(left, PictureAxes)
    assert figure.get_facecolor() == to_rgba("#102030")
    assert left.get_position(original=True).bounds == place
    words = picture(draw()).alt
    assert picture(left).alt == words
    draw(right)
    assert picture(left).alt.count(words) == 2


@each_plot
def test_settings_of_matplotlib_are_left_alone_and_do_not_hide_text(draw, monkeypatch):
    monkeypatch.setattr("mixlab.plots.style.DPI", 50)
    before, random = dict(mpl.rcParams), torch.get_rng_state()
    plain = picture(draw()).png()
    assert dict(mpl.rcParams) == before
    assert torch.equal(torch.get_rng_state(), random)
    with mpl.rc_context({"text.color": "white", "axes.labelcolor": "white", "axes.titlecolor": "white"}):
        assert picture(draw()).png() == plain


@each_plot
def test_given_colors_are_kept(draw):
    ax = Figure(facecolor="black").add_subplot(facecolor="black")
    ax.xaxis.label.set_color("yellow")
    draw(ax)
    legend = ax.get_legend()
    words = [
        *(legend.get_texts() if legend else []),
        *filter(lambda text: text.get_text(), [ax._left_title, *ax.texts]),
    ]
    assert {to_rgba(text.get_color()) for text in words} == {to_rgba("yellow")}
    assert min(text.get_fontsize() for text in words) >= 8.5
    assert legend is None or legend.get_frame().get_facecolor()[:3] == (0, 0, 0)
    assert all(to_rgba(strip.get_facecolor())[:3] == (0, 0, 0) for strip in ax.child_axes)


def test_pyplot_is_never_loaded():
    code = (
        "import sys, torch, mixlab; from mixlab.calibration import Predictions as P\n"
        "mixlab.plot_reliability(P.from_logits(torch.eye(3), torch.arange(3)))._repr_html_()\n"
        "mixlab.plot_lambda(1.0)._repr_html_(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_figure_that_was_shown_keeps_no_pixels():
    before = {id(each) for each in gc.get_objects() if type(each) is RendererAgg}
    ax = plots.plot_intervals(SPANS, quantity="points")
    ax._repr_html_()
    gc.collect()
    assert {id(each) for each in gc.get_objects() if type(each) is RendererAgg} <= before


@pytest.mark.parametrize(("confidence", "right"), [(0.5, 0), (0.8, 3), (1.0, 7)])
def test_the_smallest_and_most_extreme_can_be_drawn(confidence, right):
    p = same(confidence, right, 7)
    axes = [draw(p) for draw in (plots.plot_reliability, plots.plot_confidence, plots.plot_rejection)]
    axes += [plots.plot_smooth(p[:1]), plots.plot_murphy([p]), plots.plot_bins(p, bins=[1, 50])]
    axes += [plots.plot_reliability(p, n_bins=1), plots.plot_reliability(p, n_bins=10_000, bins="mass")]
    for ax in axes:
        assert "nan" not in picture(ax).alt
        ax.figure.canvas.draw()


diagram = plots.plot_reliability
BLANK = Figure().add_subplot()
SWAPPED = replace(OVER, labels=OVER.labels.flip(0))
PAIRED = replace(MIXED, x=torch.zeros(8, 2, 8, 8))
BOTH = {"across": "epoch", "quantity": "points"}
HOLED = {("a", "b"): SPANS["five"], ("c", "d"): SPANS["five"]}
RISING = "rising numbers of bins"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ax: diagram(3, ax), ["result", "Reliability or Predictions", "3"]),
        (lambda ax: diagram(RUN[0].reliability, ax, bins="mass"), ["result", "n_bins or bins", "(n=2,000"]),
        (lambda ax: diagram(Reliability(), ax), ["Reliability", "empty"]),
        (lambda ax: diagram(OVER, ax, after=3), ["after", "Predictions", "3"]),
        (lambda ax: diagram(OVER, ax, after=OVER[:5]), ["after", "the 2,000 labels", "(5 of 10 classes"]),
        (lambda ax: diagram(OVER, ax, after=SWAPPED), ["after", "in the same order"]),
        (lambda ax: diagram(OVER, ax, bins="with"), ["bins", "'width', 'mass'", "'with'", "did you mean"]),
        (lambda _: plots.plot_lambda(1.0, "left"), ["ax", "Axes or None", "'left'"]),
        (lambda _: plots.picture(Figure), ["ax", "Axes", "figure.Figure"]),
        (lambda ax: plots.plot_smooth(3, ax), ["predictions", "mx.predict", "3"]),
        (lambda ax: plots.plot_rejection({}, ax), ["predictions", "several by name", "none"]),
        (lambda ax: plots.plot_bins([OVER], ax), ["predictions", "several by name", "[Predictions("]),
        (lambda ax: plots.plot_bins(OVER, ax, bins=15), ["bins", RISING, "15"]),
        (lambda ax: plots.plot_bins(OVER, ax, bins=(3, 3)), ["bins", RISING, "(3, 3)"]),
        (lambda ax: plots.plot_murphy([], ax), ["steps", "at least one", "none"]),
        (lambda ax: plots.plot_murphy(OVER, ax), ["steps", "Records of mx.fit or Predictions", "Predictions("]),
        (lambda ax: plots.plot_murphy([OVER, 3], ax), ["steps", "Records of mx.fit or Predictions", "3"]),
        (lambda ax: plots.plot_murphy([OVER], ax, labels=["a", "b"]), ["labels", "each of the 1 steps", "['a', 'b']"]),
        (lambda ax: plots.plot_mixed("x", ax), ["mixed", "Mixer", "'x'"]),
        (lambda ax: plots.plot_mixed(PAIRED, ax), ["mixed.x", "1 or 3 channels", "[8, 2, 8, 8]"]),
        (lambda ax: plots.plot_mixed(MIXED, ax, x=X[:3]), ["x", "[4, ...]", "[3, 3, 8, 8]"]),
        (lambda ax: plots.plot_mixed(MIXED, ax, x=X / 255), ["x", "scale of mixed.x", "uint8", "float32"]),
        (lambda ax: plots.plot_history([], ax), ["records", "at least one", "none"]),
        (lambda ax: plots.plot_label_errors(SPANS, ax), ["errors", "LabelPredictions.errors", "{'five'"]),
        (lambda ax: plots.plot_label_errors(LABELS, ax, most=0), ["most", "at least 1", "got 0"]),
        (lambda ax: plots.plot_lines({}, ax, **BOTH), ["lines", "1 to 4 names", "got 0"]),
        (lambda ax: plots.plot_lines({"a": {0: 0.5}}, ax, **BOTH), ["lines", "Intervals by number", "{0: 0.5}"]),
        (lambda ax: plots.plot_heat({("a", "b"): 0.5}, ax, down="", **BOTH), ["cells", "to an Interval", "0.5"]),
        (lambda ax: plots.plot_heat(HOLED, ax, down="", **BOTH), ["cells", "2 cells of 2 rows and 2 columns"]),
        (lambda ax: plots.plot_intervals({}, ax, quantity="x"), ["intervals", "at least one", "none"]),
        (lambda ax: plots.plot_intervals({"a": 0.5}, ax, quantity="x"), ["intervals", "by name", "{'a': 0.5}"]),
    ],
)
def test_wrong_input_raises_before_anything_is_drawn(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(BLANK)
    message, at = str(caught.value), 0
    for word in words:
        at = message.index(word, at) + len(word)
    assert not BLANK.has_data()
    assert not BLANK.child_axes


@pytest.mark.parametrize("name", ["$5 to $6", "a$b", r"\frac{1$ \$", "$\\notacommand$", "<b> & %"])
def test_names_with_dollars_and_backslashes_are_drawn_letter_by_letter(name):
    """Matplotlib would set $...$ as a formula, and raise where it is none."""
    axes = [
        plots.plot_reliability(OVER, label=name),
        plots.plot_rejection({name: OVER, "other": COOLED}),
        plots.plot_bins({name: OVER}, bins=(1, 15)),
        plots.plot_murphy([OVER], labels=[name]),
        plots.plot_intervals({name: SPANS["five"]}, quantity=name),
        plots.plot_lines({name: {0: SPANS["five"]}}, across=name, quantity=name),
        plots.plot_heat({(name, name): SPANS["five"]}, down=name, across=name, quantity=name),
    ]
    for ax in [*axes, mx.panels.calibration_panel({name: OVER}).figure().axes[0]]:
        ax.figure.canvas.draw()
        legend = ax.get_legend()
        texts = [ax._left_title, *ax.get_yticklabels(), *ax.get_xticklabels(), *(legend.get_texts() if legend else [])]
        shown = [text._preprocess_math(text.get_text()) for text in texts]
        assert [is_math for letters, is_math in shown if name in letters][:1] == [False]
    assert all(name in picture(ax).alt for ax in axes if ax is not axes[3])
