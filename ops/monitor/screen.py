"""The live monitor: the panels of panels.py on a screen, and keys. What may block runs in a thread."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.widget import Widget
from textual.widgets import Footer, Static
from textual.worker import get_current_worker

from ops.checks.health import judge
from ops.monitor import panels
from ops.monitor.dialogs import Ask, LogScreen, Sheet, log_line
from ops.monitor.panels import View
from ops.observe.log_tails import last_lines
from ops.observe.observer import Observer
from ops.show.screen import BAD, QUIET, TITLE, WARN, line
from vinops.redaction import redact
from vinops.text.figures import age, local_time, moment
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.screen import Screen

    from ops.observe.snapshot import Snapshot, Worker
    from vinops.config import Settings

ROOMY: Final = (170, 45)  # columns and rows from where on panels have borders, and there is room for a log
NARROW: Final = 70  # columns below which panels stand below each other, and the screen scrolls
MOST_ALARMS: Final = {False: 3, True: 8}
LATE: Final = 4  # refreshes without a new snapshot before its age is shown
ACT_SECONDS: Final = 300
KEYS: Final = (
    ("↑ ↓", "select a worker"),
    ("s", "start it"),
    ("x", "stop it: it ends its page and returns its leases"),
    ("l", "follow its log"),
    ("a", "all alarms in full, with the command that fixes each"),
    ("p", "pause or continue"),
    ("r", "refresh now"),
    ("pgdn", "scroll, where the screen is narrow"),
    ("q", "quit"),
)


OF_THE_MAIN_SCREEN: Final = frozenset({"choose", "scroll", "act", "log", "alarms", "pause", "snapshot", "help", "quit"})


class Panel(Widget):
    """A widget that draws the lines of a function of ops/monitor/panels.py, as many as fit."""

    def __init__(self, name: str, draw: Callable[[View, int, int], list[Text]], title: str = "") -> None:
        """Draw with `draw(view, width, rows)`."""
        super().__init__(id=name)
        self._draw = draw
        self._view: View | None = None
        self._drawn: tuple[object, ...] = ()
        self._title = title

    def retitle(self, *, is_roomy: bool) -> None:
        """Set the title, with spaces where there is no border."""
        if self._title:
            self.border_title = self._title if is_roomy else f" {self._title} "

    def show(self, view: View) -> None:
        """Draw this view, if its lines differ from those that are shown."""
        self._view = view
        lines = self._lines()
        drawn = tuple((each.plain, tuple(each.spans)) for each in lines)
        if drawn != self._drawn:
            self._drawn = drawn
            self.refresh()

    def _lines(self) -> list[Text]:
        width, rows = self.content_size.width, self.content_size.height
        return self._draw(self._view, width, rows)[:rows] if self._view and width > 0 else []

    def render(self) -> Text:
        """Return the lines as one text."""
        text = Text("\n", no_wrap=True, overflow="crop").join(self._lines())
        text.no_wrap = True
        return text


def tail(view: View, width: int, rows: int) -> list[Text]:
    """Return the end of the log of the selected worker."""
    if view.worker is None or rows <= 0:
        return []
    path = view.worker.log
    try:
        lines = last_lines(path, rows)
    except OSError as error:
        return [line((f"{path} cannot be read: {error.strerror}", BAD))]
    if not lines:
        return [line((f"{path.name}: nothing was logged yet", QUIET))]
    return [log_line(each)[:width] for each in lines]


class Monitor(App[None]):
    """The monitor."""

    TITLE = "vinops"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; overflow: hidden; }
    * { scrollbar-color: $foreground 40%; scrollbar-color-hover: $foreground 40%; }
    * { scrollbar-color-active: $foreground 40%; }
    #head { height: 1; background: $surface; }
    #workers { height: 6; }
    #detail { height: 1; }
    #pipelines { height: 9; grid-size: 2; grid-rows: 5 4; grid-gutter: 0 0; }
    #pipelines Panel, #lists Panel { border-top: solid $surface-lighten-2; border-title-color: $text-muted; }
    #pipelines Panel, #lists Panel { padding: 0 1 0 1; }
    #lists { height: 1fr; grid-size: 2; }
    #alarms { height: 0; padding: 0 1; }
    #log { display: none; }
    Footer { background: $surface; }
    FooterKey .footer-key--key { color: $text; background: $surface; }
    FooterKey .footer-key--description { color: $text-muted; background: $surface; }

    .roomy #workers { height: 8; border: round $surface-lighten-2; border-title-color: $text-muted; padding: 0 1; }
    .roomy #detail { height: 1; padding: 0 1; }
    .roomy #pipelines { height: 12; grid-size: 4; grid-rows: 12; }
    .roomy #pipelines Panel, .roomy #lists Panel { border: round $surface-lighten-2; }
    .roomy #lists { height: 12; grid-size: 3; }
    .roomy #hosts { display: block; }
    #hosts { display: none; }
    .roomy #log {
        display: block; height: 1fr; border: round $surface-lighten-2; border-title-color: $text-muted; padding: 0 1;
    }

    Screen.narrow { overflow-y: auto; scrollbar-size-vertical: 0; }
    .narrow #head { dock: top; }
    .narrow Footer { display: none; }
    .narrow #keys { display: block; }
    #keys { display: none; dock: bottom; height: 1; background: $surface; }
    Panel { text-wrap: nowrap; }
    .narrow #pipelines { grid-size: 1; grid-rows: 6 6 6 6; height: 24; }
    .narrow #lists { grid-size: 1; grid-rows: 6 6; height: 12; }

    Ask, Sheet { align: center middle; background: $background 60%; }
    .box, .sheet { width: auto; max-width: 90%; height: auto; max-height: 90%; padding: 1 2; }
    .box, .sheet { background: $surface; border: round $foreground 60%; border-title-color: $text; }
    .sheet { overflow-y: auto; }
    .sheet Static, .box Label { width: auto; }
    .keys { margin-top: 1; }
    #log-head { height: 1; background: $surface; }
    #log-body { height: 1fr; overflow-y: auto; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", "choose", show=False),
        Binding("down,j", "choose(1)", "choose", show=False),
        Binding("pageup", "scroll(-1)", "scroll", show=False),
        Binding("pagedown", "scroll(1)", "scroll", show=False),
        Binding("s", "act('start')", "start"),
        Binding("x", "act('stop')", "stop"),
        Binding("l,enter", "log", "log"),
        Binding("a", "alarms", "alarms"),
        Binding("p,space", "pause", "pause"),
        Binding("r", "snapshot", "refresh now", show=False),
        Binding("question_mark,h", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self,
        settings: Settings,
        *,
        refresh: float,
        observe: Callable[[], Snapshot] | None = None,
        act: Callable[[str, str], str] | None = None,
    ) -> None:
        """Observe every `refresh` seconds. `observe` and `act` replace the observer and `vinops workers`."""
        super().__init__()
        self._settings = settings
        self._seconds = refresh
        self._observer = Observer(settings, application="vinops monitor") if observe is None else None
        self._take: Callable[[], Snapshot] = observe or self._observer.observe  # type: ignore[union-attr]
        self._act = act or workers_command
        self._snapshot: Snapshot | None = None
        self._is_observing = False
        self._is_paused = False
        self._missed = 0
        self._chosen = 0

    def compose(self) -> ComposeResult:
        """Yield the panels."""
        yield Static(" vinops   loading…", id="head")
        yield Panel("workers", lambda view, width, rows: panels.workers(view, width), "workers")
        yield Panel("detail", lambda view, width, rows: panels.detail(view, width))
        with Grid(id="pipelines"):
            yield Panel("feed", lambda view, width, rows: panels.feed(view, width), "feed")
            yield Panel("deals", lambda view, width, rows: panels.deals(view, width), "deals")
            yield Panel("photos", lambda view, width, rows: panels.photos(view, width), "photos")
            yield Panel("machine", lambda view, width, rows: panels.machine(view, width), "machine")
        with Grid(id="lists"):
            yield Panel("items", lambda view, width, rows: panels.items(view, width), "last items")
            yield Panel("best", lambda view, width, rows: panels.best(view, width), "best deals")
            yield Panel(
                "hosts",
                lambda view, width, rows: [*panels.hosts(view, width), *panels.market(view, width)],
                "hosts, market",
            )
        yield Panel("log", tail, "log")
        yield Panel("alarms", panels.alarms)
        yield Footer(show_command_palette=False)
        yield Static(" s start x stop l log a alarms ? q quit", id="keys")

    def on_mount(self) -> None:
        """Observe now and at each interval."""
        self._arrange()
        self._tick()
        self.set_interval(self._seconds, self._tick)

    def on_resize(self) -> None:
        """Arrange the panels for the new size."""
        self._arrange()
        self.call_after_refresh(self._draw)

    def _main(self) -> list[Screen[object]]:
        """Return the main screen; none after it was closed, when a snapshot or a timer may still arrive."""
        return self.screen_stack[:1]

    def _arrange(self) -> None:
        is_roomy = self._is_roomy()
        for main in self._main():
            main.set_class(is_roomy, "roomy")
            main.set_class(is_narrow := self.size.width < NARROW, "narrow")
            if main.query("#alarms"):  # where the screen scrolls they come before the pipelines
                before = main.query_one("#detail" if is_narrow else "#log")
                main.move_child(main.query_one("#alarms"), after=before)
            for panel in main.query(Panel):
                panel.retitle(is_roomy=is_roomy)

    def _is_roomy(self) -> bool:
        return self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1]

    def _tick(self) -> None:
        if self._is_paused:
            return
        if self._is_observing:  # the database is slow: the head shows the age of the snapshot
            self._missed += 1
            self._draw_head()
            return
        self._is_observing = True
        self._observe()

    @work(thread=True, exclusive=True, group="observe")
    def _observe(self) -> None:
        snapshot = self._take()
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._seen, snapshot)

    def _seen(self, snapshot: Snapshot) -> None:
        self._is_observing, self._missed = False, 0
        self._snapshot = snapshot
        self._draw()

    def _view(self) -> View | None:
        if self._snapshot is None:
            return None
        zone = self._settings.time_zone
        return View(snapshot=self._snapshot, health=judge(self._snapshot), chosen=self._chosen, zone=zone)

    def _draw(self) -> None:
        view = self._view()
        for main in self._main():
            if view is not None and main.query("#alarms"):  # not composed yet, or closed
                self._draw_on(main, view)

    def _draw_on(self, main: Screen[object], view: View) -> None:
        self._arrange()
        rows = min(len(view.health.alarms), MOST_ALARMS[self._is_roomy()])
        alarms = main.query_one("#alarms")
        if alarms.styles.height is None or alarms.styles.height.value != rows:
            alarms.styles.height = rows
            self.call_after_refresh(self._draw)
        count = max(len(view.snapshot.workers or ()), 1)
        table = main.query_one("#workers")
        wanted = count + 1 + (2 if self._is_roomy() else 0)
        if table.styles.height is None or table.styles.height.value != wanted:
            table.styles.height = wanted
            self.call_after_refresh(self._draw)
        for panel in main.query(Panel):
            panel.show(view)
        if worker := view.worker:
            main.query_one("#log").border_title = f"log of {worker.name}: {worker.log}"
        self._draw_head(view)

    def _draw_head(self, view: View | None = None) -> None:
        view = view or self._view()
        if view is None:
            return
        at = moment(view.snapshot.at, view.zone, seconds=True) + " "
        state: tuple[str, str] = ("", "")
        if self._is_paused:
            state = ("paused  ", WARN)
        elif self._missed >= LATE:
            state = (f"{age(self._missed * self._seconds)} old  ", WARN)
        said = (panels.summary(view), panels.summary_style(view))
        name = " vinops   " if self.size.width >= NARROW else " "
        room = self.size.width - len(name) - len(said[0]) - len(state[0])
        if room <= len(at):
            at = f"{local_time(view.snapshot.at, view.zone)} "
        head = line((name, TITLE), said, " " * max(room - len(at), 1), state, at)
        for main in self._main():
            for shown in main.query("#head").results(Static):
                shown.update(head)

    def _worker(self) -> Worker | None:
        view = self._view()
        return view.worker if view else None

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key is active: in a log only its own are."""
        return len(self.screen_stack) == 1 or action not in OF_THE_MAIN_SCREEN

    def action_choose(self, step: int) -> None:
        """Select the worker above or below."""
        count = len(self._snapshot.workers or ()) if self._snapshot else 0
        self._chosen = min(max(self._chosen + step, 0), max(count - 1, 0))
        self._draw()

    def action_scroll(self, pages: int) -> None:
        """Scroll a screen that is too narrow to show all panels at once."""
        for main in self._main():
            main.scroll_relative(y=pages * (main.size.height - 2), animate=False)

    def action_pause(self) -> None:
        """Pause, or continue."""
        self._is_paused = not self._is_paused
        self._draw_head()
        self._tick()

    def action_snapshot(self) -> None:
        """Take a snapshot now, also while paused."""
        if not self._is_observing:
            self._is_observing = True
            self._observe()

    def action_log(self) -> None:
        """Open the log of the selected worker."""
        if worker := self._worker():
            self.push_screen(LogScreen(worker.log))

    def action_alarms(self) -> None:
        """Show all alarms."""
        if view := self._view():
            self.push_screen(Sheet("alarms", lambda width: panels.all_alarms(view, width)))

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Sheet("keys", lambda width: [line((f"{key:<6}", TITLE), what) for key, what in KEYS]))

    def action_act(self, what: str) -> None:
        """Start or stop the selected worker after a confirmation."""
        worker = self._worker()
        if worker is None:
            return
        is_running = worker.state == "running"
        if is_running is (what == "start"):
            self.notify(f"worker {worker.name} runs already" if is_running else f"worker {worker.name} does not run")
            return
        about = f" ({', '.join(worker.makes)})" if worker.makes else ""

        def answered(answer: bool | None) -> None:
            if answer:
                self.notify(f"vinops workers {what} {worker.name} …")
                self._carry_out(what, worker.name)

        self.push_screen(Ask(f"{what.capitalize()} worker {worker.name}{about}?"), answered)

    @work(thread=True, group="act")
    def _carry_out(self, what: str, name: str) -> None:
        said = self._act(what, name)
        self.call_from_thread(self.notify, printable(said, lines=True), timeout=10, markup=False)
        self.call_from_thread(self.action_snapshot)

    def on_unmount(self) -> None:
        """Close the connection."""
        if self._observer is not None and not self._is_observing:
            self._observer.close()


def workers_command(what: str, name: str) -> str:
    """Run `vinops workers start|stop NAME` and return its output. The command outlives this process."""
    command = [sys.executable, "-m", "ops.cli", "workers", what, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ACT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"`vinops workers {what} {name}` has not finished after {ACT_SECONDS} s"
    said = [line for line in (done.stdout + done.stderr).splitlines() if "data folder " not in line]
    return redact("\n".join(said).strip()) or f"exit code {done.returncode}"
