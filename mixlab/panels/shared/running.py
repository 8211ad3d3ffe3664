"""What the panels that train share: the commands of a run, and what is sent to the browser and drawn while it lasts."""

import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import update_display

from mixlab import _check
from mixlab.panels.shared.course import Course, R, Training
from mixlab.panels.shared.panel import Panel
from mixlab.panels.shared.session import Result, Session

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_COMMANDS = ("start", "pause", "resume", "step", "stop", "reset")
S = TypeVar("S", bound="DataclassInstance")  # what a run is started with


def _cell_at_work() -> tuple[str, str]:
    """The cell that makes a panel, by its name or its code, and which run of it this is; empty outside a notebook."""
    parent: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)() or {}
    cell = parent.get("metadata", {}).get("cellId") or parent.get("content", {}).get("code", "")
    return cell, parent.get("header", {}).get("msg_id", "")


class RunPanel(Panel, Generic[S, R]):
    """A panel with a training behind it. Its traits follow the controls, at release, and move them.

    A subclass makes the trainer of a run (`_build`, in the training thread), and gives the browser what it shows
    (`_say`). One that keeps its runs says how (`_keep`), and which starts are of one run (`_same`).

    A cell that is run again makes another panel in the place of its last one, whose training ends then: nobody sees it.

    Args:
        settings: what a run is started with, and the first values of the controls: a field for each control.
        traits: other synced traits.
    """

    _view = traitlets.Dict().tag(sync=True)  # what is shown; sent by Python alone
    _needs_kernel = traitlets.Bool(True).tag(sync=True)
    _made: ClassVar["weakref.WeakSet[RunPanel[Any, Any]]"] = weakref.WeakSet()

    def __init__(self, settings: S, **traits: Any) -> None:
        self._initial = settings
        self._session: Session[S, R] = Session(self._build, self._keep, self._same, self._hear)
        self._sending, self._drawing = threading.RLock(), threading.Lock()
        self._stale = False  # whether there is something to send
        self._trouble = ""  # a command that was refused
        self._shown_records: tuple[R, ...] = ()  # those in the still picture
        super().__init__(**vars(settings), **traits)
        self.on_msg(self._obey)
        self._publish()
        self._cell, self._run_of_cell = _cell_at_work()
        for other in tuple(self._made):
            same_cell = self._cell and other._cell == self._cell
            if same_cell and other._run_of_cell != self._run_of_cell and other._session.alive:
                other.stop()
        self._made.add(self)

    def _settings(self) -> S:
        """The values of the controls."""
        return replace(self._initial, **self.state)

    @abstractmethod
    def _build(self, settings: S) -> Training[R]:
        """The trainer of a run."""

    def _keep(
        self,
        trainer: Training[R],
        wait: Callable[[str], None],  # noqa: ARG002  # for a subclass that keeps its runs
    ) -> AbstractContextManager[Course[R]]:
        """The training of this trainer, in the training thread; `wait` says a sentence, and returns in a moment."""
        return nullcontext(Course(trainer))

    def _same(self, one: S, other: S) -> bool:  # noqa: ARG002
        """Whether two starts are of one run that is kept, so that the second goes on with the first."""
        return False

    @abstractmethod
    def _say(self) -> None:
        """Set the synced traits that only Python sets, `_view` among them, to what the session stands at."""

    @property
    def result(self) -> Result[S, R] | None:
        """The latest run as it stands, a snapshot; None before the first."""
        return self._session.result

    @property
    def previous(self) -> Result[S, R] | None:
        """The run before it, the ghost in the picture."""
        return self._session.previous

    @property
    def records(self) -> list[R]:
        """The evaluations of the latest run, at epoch 0 and after each epoch."""
        return list(self.result.records) if self.result else []

    def start(self) -> None:
        """Train with the values of the controls; a run at work is stopped first, within a batch."""
        self._session.start(self._settings())

    def pause(self) -> None:
        """Pause after the batch at work."""
        self._session.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._session.resume()

    def step(self) -> None:
        """Take one batch: of the paused run, else the first one of a new run."""
        self._session.step(self._settings())

    def stop(self) -> None:
        """Stop within a batch, and wait for it; records, model and trainer stay."""
        self._session.stop()
        self._refresh()

    def reset(self) -> None:
        """Stop, forget both runs, and put the controls back."""
        self._session.reset()
        for name, value in vars(self._initial).items():
            setattr(self, name, value)
        self._refresh()

    def run(self) -> Result[S, R]:
        """Train to the end before returning, for scripts and tests; raises what the training raises."""
        return self._session.run(self._settings())

    def record(self) -> None:
        """Train, unless a run is there already, for a page without a kernel, which shows it then."""
        if self.result is None:
            self.run()
        self._needs_kernel = False

    @classmethod
    def idle(cls) -> "list[RunPanel[Any, Any]]":
        """The panels of this process that only a kernel can start, and that have trained nothing yet."""
        return [panel for panel in cls._made if panel.result is None and panel._needs_kernel]

    def close(self) -> None:
        """Stop the training and close the widget."""
        # Garbage collection calls this too, in any thread, but only after the run's own has ended: no lock then.
        if self._session.alive:
            self._session.stop()
        super().close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the browser's values. The training thread sends nothing meanwhile, for traitlets has no lock."""
        with self._sending:
            super().set_state(sync_data)
        self._publish()

    def _obey(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """A button: its command, what the controls stood at when it was pressed, and the number of the click."""
        self.send({"heard": content.get("number")})
        try:
            command = _check.choice("command", content.get("command"), _COMMANDS)
            for name, value in content.get("state", {}).items():
                setattr(self, _check.choice("control", name, self.state), value)
            self._trouble = ""
            getattr(self, command)()
        except (TypeError, ValueError) as error:
            self._trouble = str(error)
            self._publish()

    def _hear(self) -> None:
        self._publish()
        if self.result is not None and self.result.phase in ("paused", "finished", "failed"):
            self._refresh()

    def _publish(self) -> None:
        # Never waits: who holds the lock may be waiting for this very thread to end. It looks at the mark once more
        # after it has let go, so that the last state is always sent.
        self._stale = True
        while self._stale and self._sending.acquire(blocking=False):
            try:
                self._stale = False
                self._say()
            finally:
                self._sending.release()

    def _refresh(self) -> None:
        """Draw the still picture anew if it is on a page and there is another evaluation to show."""
        records = tuple(self.records)
        at_work = self.result is not None and self.result.phase in ("preparing", "training")
        with self._drawing:
            if self._pictured is not None and not at_work and records != self._shown_records:
                self._shown_records = records
                update_display(self._picture(), raw=True, display_id=self._still)  # type: ignore[no-untyped-call]
