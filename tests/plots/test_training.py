"""The figure of a training: this run and the one before, on the axes they belong to."""

from figures import RUN

from mixlab.plots import picture, plot_history


def test_history_draws_both_runs():
    ax = plot_history(RUN, ghost=RUN[:1])
    before, this = ax.get_lines()
    assert (this.get_ydata().tolist(), this.get_linestyle()) == ([50, 62.5], "-")
    assert (before.get_ydata().tolist(), before.get_linestyle()) == ([50], "--")
    loss = ax.figure.axes[1].get_lines()[1]
    assert loss.get_ydata().tolist() == [1.5, 1.25]
    words = "Test accuracy 62.5%, training loss 1.25, after epoch 2."
    assert picture(ax).alt == words + " The previous run ended at 50.0%."
    assert picture(plot_history(iter(RUN))).alt == words
