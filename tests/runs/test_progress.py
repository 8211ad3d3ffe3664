"""The bar of a training in a notebook; elsewhere it is tqdm's, as test_run.py shows."""

import sys
from types import SimpleNamespace

import IPython.display
import pytest

from mixlab.runs.progress import bar


def test_in_a_notebook_the_bar_is_one_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, updates = [], []
    handle = SimpleNamespace(update=lambda words, **_: updates.append(words["text/plain"]))
    monkeypatch.setattr(IPython.display, "display", lambda words, **_: shown.append(words["text/plain"]) or handle)
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with bar(total=2, desc="mixup", unit="epoch") as counting:
        for _ in range(2):
            counting.update()
    assert len(shown) == 1
    assert shown[0].startswith("mixup:   0%|")
    assert updates[-1].startswith("mixup: 100%|")
    assert " 2/2 [" in updates[-1]
    assert capsys.readouterr() == ("", "")
