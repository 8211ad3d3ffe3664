"""A bar that counts: in a notebook an output, still there when it is reopened; elsewhere text on stderr."""

import io
import sys
from typing import Any

from tqdm import tqdm


class _Output(tqdm):  # type: ignore[misc]
    """tqdm's words as one output, written anew: on stderr they are a red block, and its widget needs a kernel."""

    _handle: Any = None

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # noqa: ARG002  # tqdm passes both
        from IPython.display import display

        words = {"text/plain": str(self)}
        if self._handle is None:
            self._handle = display(words, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(words, raw=True)
        return True


def bar(**settings: Any) -> tqdm:
    """A tqdm bar with these settings, for where the program runs."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or "IPKernelApp" not in shell.config:
        return tqdm(**settings)
    return _Output(file=io.StringIO(), ascii=False, **settings)
