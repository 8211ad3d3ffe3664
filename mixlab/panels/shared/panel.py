"""What every panel that is drawn in the browser shares: its sources, its checked traits, its still picture."""

import base64
import html
import io
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import anywidget
import traitlets
from IPython.display import display, update_display

from mixlab import _check
from mixlab.panels.shared.law import ALPHA_HIGH, ALPHA_LOW, K_HIGH, SEED_HIGH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REVIVE = "Run this cell to bring the panel to life."
# JupyterLab says "model not found" in the place of a widget whose kernel is gone: an output of text without elements.
_HUSH = ".jp-OutputArea-child:has(+ .jp-OutputArea-child .{still}) .jupyter-widgets:not(:has(*)) {{ display: none }}"


class Checked(traitlets.TraitType[Any, Any]):
    """A synced trait whose values pass one of the package's argument checks, with the same error messages."""

    def __init__(self, default: Any, check: Callable[[str, Any], Any]) -> None:
        super().__init__(default_value=default)
        self.check = check
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> Any:  # noqa: ARG002  # traitlets passes both
        """Return the value as the check gives it back, or raise what the check raises."""
        return self.check(self.name or "", value)


def alpha_trait() -> Checked:
    """The α of a log slider."""
    return Checked(1.0, lambda name, value: _check.number(name, value, ALPHA_LOW, ALPHA_HIGH))


def k_trait() -> Checked:
    """The number of mixes of a pair."""
    return Checked(5, lambda name, value: _check.integer(name, value, 1, K_HIGH))


def seed_trait() -> Checked:
    """The seed of what a panel draws."""
    return Checked(0, lambda name, value: _check.integer(name, value, 0, SEED_HIGH))


class Panel(anywidget.AnyWidget):
    """A widget with a still picture beside it, for a page without a kernel.

    Displaying a panel puts out two things: the widget, and a picture of its state drawn by Python. A living widget
    hides the picture; exported HTML, or a notebook whose kernel is gone, shows the picture in its last state.
    """

    _still = traitlets.Unicode().tag(sync=True)  # the class name of the picture that a living widget hides
    _needs_kernel = traitlets.Bool(False).tag(sync=True)  # whether it can do nothing without Python

    def __init__(self, **traits: Any) -> None:
        super().__init__(_still=f"mixlab-still-{uuid4().hex}", **traits)
        self._pictured: dict[str, Any] | None = None  # the state in the picture beside the widget, once there is one
        self.observe(lambda _: self._refresh(), names=list(self.state))

    @property
    def state(self) -> dict[str, Any]:
        """The values of the controls."""
        return {name: getattr(self, name) for name, trait in self.traits().items() if isinstance(trait, Checked)}

    @abstractmethod
    def describe(self) -> str:
        """What the panel shows at this moment, in one or two sentences."""

    @abstractmethod
    def figure(self) -> "Figure":
        """A still picture of what the panel shows at this moment (a matplotlib figure of its own)."""

    def still(self) -> str:
        """The picture as HTML: an image with its text alternative, its description and how to go on in a caption."""
        ink = io.BytesIO()
        self.figure().savefig(ink, format="png", dpi=110, facecolor="white")
        data = base64.b64encode(ink.getvalue()).decode()
        words = html.escape(self.describe())
        return (
            f'<figure class="{self._still}" style="margin: 0"><style>{_HUSH.format(still=self._still)}</style>'
            f'<img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words} '
            f"<strong>{REVIVE}</strong></figcaption></figure>"
        )

    def _picture(self) -> dict[str, str]:
        return {"text/html": self.still(), "text/plain": self.describe()}

    def _refresh(self) -> None:
        # Several traits that change together are heard one by one, but are all set by then: one picture is enough.
        if self._pictured is not None and self._pictured != self.state:
            self._pictured = self.state
            update_display(self._picture(), raw=True, display_id=self._still)  # type: ignore[no-untyped-call]

    def _ipython_display_(self) -> None:
        # Two outputs, not one with two forms: so the picture can follow the state, and the widget is never rebuilt.
        bundle = self._repr_mimebundle_()
        assert bundle is not None
        data, metadata = bundle
        words = {"text/plain": self.describe()}
        display(data | words, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        display(self._picture(), raw=True, display_id=self._still)  # type: ignore[no-untyped-call]
        self._pictured = self.state


class AnsweringPanel(Panel):
    """A panel that has part of its pictures drawn by Python, under a drag too.

    The browser says what it wants in `_wanted`, the controls named in `asks`, and Python answers with words and bytes.
    No queue builds up: a widget has one message under way at a time, and sends only the last of what it sets meanwhile.
    """

    asks: ClassVar[tuple[str, ...]]
    _needs_kernel = traitlets.Bool(True).tag(sync=True)
    _wanted = traitlets.Dict().tag(sync=True)
    _answer = traitlets.Dict().tag(sync=True)
    _pictures = traitlets.Bytes().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._answered: dict[str, Any] | None = None
        self.observe(lambda change: self._respond(change["new"]), names="_wanted")
        self.observe(lambda _: self._respond(self.state), names=list(self.asks))
        self._respond(self.state)

    def _refresh(self) -> None:
        if self._pictured is not None:
            self._respond(self.state)  # first, as the still picture takes longer
        super()._refresh()

    @abstractmethod
    def answer(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The words and numbers (as JSON) and the pictures for these values of the controls in `asks`."""

    def _respond(self, wanted: dict[str, Any]) -> None:
        wanted = {name: self.traits()[name].validate(self, wanted[name]) for name in self.asks}
        if wanted != self._answered:
            self._answered = wanted
            words, pictures = self.answer(wanted)
            with self.hold_sync():  # one message
                self._answer, self._pictures = words | {"wanted": wanted}, pictures
