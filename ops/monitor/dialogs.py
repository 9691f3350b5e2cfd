"""Dialogs of the monitor: a question, a text, a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Label, Static

from ops.observe.log_tails import last_lines
from ops.show.screen import BAD, GOOD, TITLE, WARN, line
from vinops.redaction import redact
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from textual.app import ComposeResult

LOG_LINES: Final = 500
FOLLOW: Final = 1.0  # seconds between two reads of an open log


class Ask(ModalScreen[bool]):
    """A question to be answered with y or n."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        """Show the question and wait for the answer."""
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Yield the question."""
        with Vertical(classes="box"):
            yield Label(self._question, markup=False)
            yield Label(Text.assemble(("y", TITLE), " yes   ", ("n", TITLE), " no"), classes="keys")

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class Sheet(ModalScreen[None]):
    """A text that scrolls: the keys, the alarms."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,a,question_mark,enter", "dismiss", "close")]

    def __init__(self, title: str, lines: Callable[[int], list[Text]]) -> None:
        """Show what `lines(width)` returns."""
        super().__init__()
        self._title, self._lines = title, lines

    def compose(self) -> ComposeResult:
        """Yield the text."""
        with Vertical(classes="sheet") as box:
            box.border_title = self._title
            box.border_subtitle = "esc closes"
            width = min(self.app.size.width * 9 // 10 - 9, 110)  # border, padding, the bar at the side
            yield Static(Text("\n").join(self._lines(width)), id="sheet")


class LogScreen(Screen[None]):
    """The end of a log, followed as it grows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "follow or stop"),
        Binding("e", "errors", "errors only, or all"),
        Binding("escape,q,l", "dismiss", "back"),
    ]

    def __init__(self, path: Path) -> None:
        """Show this file, which need not exist yet."""
        super().__init__()
        self._path = path
        self._follows = True
        self._errors_only = False
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        """Yield the head, the lines and the keys."""
        yield Static(id="log-head")
        with Vertical(id="log-body"):
            yield Static(id="log-lines")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Read the file every second."""
        self._read()
        self.set_interval(FOLLOW, self._read)

    def action_follow(self) -> None:
        """Follow the log, or stop."""
        self._follows = not self._follows
        self._read(again=True)

    def action_errors(self) -> None:
        """Show errors and warnings only, or everything."""
        self._errors_only = not self._errors_only
        self._read(again=True)

    def _read(self, *, again: bool = False) -> None:
        state = ("following", GOOD) if self._follows else ("stopped", WARN)
        self.query_one("#log-head", Static).update(line((f" {self._path}  ", TITLE), state))
        if not (self._follows or again):
            return
        try:
            lines = last_lines(self._path, LOG_LINES) or ["nothing was logged yet"]
        except OSError as error:
            lines = [f"the log cannot be read: {error.strerror}"]
        if self._errors_only:
            lines = [each for each in lines if log_style(each) in {WARN, BAD}] or ["no error in the last lines"]
        if lines != self._shown or again:
            self._shown = lines
            self.query_one("#log-lines", Static).update(Text("\n").join(map(log_line, lines)))
            self.query_one("#log-body").scroll_end(animate=False)


def log_style(text: str) -> str:
    """Return the color of a log line, by its level."""
    level = text.split(" ", 2)[1:2]
    return {"WARNING": WARN, "ERROR": BAD, "CRITICAL": BAD}.get(level[0] if level else "", "")


def log_line(text: str) -> Text:
    """Return a line of a log in its color; control characters are shown as a dot."""
    return Text(printable(redact(text)), style=log_style(text))
