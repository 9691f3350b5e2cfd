"""The parts of the monitor as lines of text: pure functions of a snapshot, for a screen and for a pipe alike.

A panel is asked for lines of at most `width` characters, the most important ones first: a small screen shows the first
few. Colours mean something or are not there: green at work, yellow look at it, red act.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ops.checks.lines import Health, Level
from ops.checks.rules import end_of, silence
from ops.show.figures import age, amount, clock, fitted, percent, plural, rate, short, size, sparkline
from ops.show.screen import BAD, GOOD, PLAIN, QUIET, TITLE, WARN, line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ops.observe.snapshot import Snapshot, Stage, Worker

LABEL: Final = 10  # columns of the word that a line begins with
STYLES: Final = {Level.OK: PLAIN, Level.WARNING: WARN, Level.CRITICAL: BAD, Level.UNKNOWN: WARN}
STATES: Final = {"running": GOOD, "stuck": BAD, "dead": BAD, "failed": WARN, "finished": QUIET, "stopped": QUIET}
GOING: Final = frozenset({"running", "stuck"})
AWAY: Final = "the database does not answer"


@dataclass(frozen=True, kw_only=True)
class View:
    """What panels are drawn of: the snapshot, its judgement, and the worker that is chosen."""

    snapshot: Snapshot
    health: Health
    chosen: int = 0

    def style(self, name: str) -> str:
        """Return the colour of what the health check has to say of this."""
        return next((STYLES[each.level] for each in self.health.lines if each.name == name), PLAIN)


def summary(view: View) -> str:
    """Return one line on everything: `4 of 5 workers run, 2 alarms`."""
    workers = view.snapshot.workers
    running = sum(worker.state == "running" for worker in workers or ())
    said = f"{running} of {len(workers)} workers run" if workers is not None else "workers unknown"
    count = len(view.health.alarms)
    return f"{said}, {plural(count, 'alarm') if count else 'no alarm'}"


def summary_style(view: View) -> str:
    """Return the colour of the gravest alarm."""
    return STYLES[view.health.level] or GOOD


def state_of(worker: Worker, snapshot: Snapshot) -> str:
    """Return the state of a worker; `stuck` is one that runs and gives no sign, as far as the database can tell."""
    is_known = worker.state == "running" and snapshot.database.error is None
    return "stuck" if is_known and silence(worker, snapshot.at) >= snapshot.silence else worker.state


# The workers: a table, and more of the one that is chosen.


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table. `width` 0 is what the others leave; `from_width` is the screen that it needs."""

    title: str
    width: int
    cell: Callable[[Worker, datetime, int], tuple[str, str]]
    is_number: bool = False
    from_width: int = 0


def _state(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return worker.state, STATES.get(worker.state, PLAIN)


def _makes(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return makes(worker.makes, width) if worker.makes else "auction photos", PLAIN


def makes(names: Sequence[str], width: int) -> str:
    """Return as many names as fit whole, and how many more there are: `Skoda, Seat +8`."""
    for count in range(len(names), 0, -1):
        text = ", ".join(names[:count]) + (f" +{len(names) - count}" if count < len(names) else "")
        if len(text) <= width:
            return text
    return fitted(names[0], width)


def _page(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    run = worker.run
    if run is None:
        return "-", QUIET
    if not run.total:
        return short(run.done), PLAIN
    whole = f"{run.done}/{run.total}"
    return (whole if len(whole) <= width else percent(run.done / run.total)), PLAIN


def _items(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return (short(worker.run.items), PLAIN) if worker.run else ("-", QUIET)


def _rate(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return (rate(worker.rate), PLAIN) if worker.state in GOING else ("-", QUIET)


def _trend(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return sparkline(worker.history, width).rjust(width), PLAIN if worker.state in GOING else QUIET


def _up(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    if worker.started_at is None or worker.state not in GOING:
        return "-", QUIET
    return clock((now - worker.started_at).total_seconds()), PLAIN


def _left(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    run = worker.run
    if run is None or run.expected_end is None or worker.state not in GOING:
        return "-", QUIET
    return clock(max((run.expected_end - now).total_seconds(), 0)), PLAIN


def _refusals(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    count = worker.run.refusals if worker.run else 0
    return str(count), WARN if count else QUIET


def _pid(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    return (str(worker.pid), PLAIN) if worker.pid and worker.state in GOING else ("-", QUIET)


def _end(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    if worker.state in GOING or worker.started_at is None:
        return "-", QUIET
    return end_of(worker), PLAIN


def _last_error(worker: Worker, now: datetime, width: int) -> tuple[str, str]:
    if worker.error is None:
        return "-", QUIET
    return fitted(f"{age((now - worker.error.at).total_seconds())} ago: {worker.error.text}", width), WARN


COLUMNS: Final = (
    Column(title="worker", width=6, cell=lambda worker, now, width: (worker.name, TITLE)),
    Column(title="state", width=8, cell=_state),
    Column(title="makes", width=0, cell=_makes),
    Column(title="pages", width=9, cell=_page, is_number=True),
    Column(title="items", width=7, cell=_items, is_number=True),
    Column(title="/min", width=5, cell=_rate, is_number=True),
    Column(title="trend", width=6, cell=_trend, is_number=True),
    Column(title="up", width=6, cell=_up, is_number=True),
    Column(title="ETA", width=6, cell=_left, is_number=True),
    Column(title="PID", width=8, cell=_pid, is_number=True, from_width=120),
    Column(title="refusals", width=8, cell=_refusals, is_number=True, from_width=120),
    Column(title="ended", width=14, cell=_end, from_width=150),
    Column(title="last error", width=56, cell=_last_error, from_width=180),
)
TREND: Final = 30  # columns of the trend where there is room


def workers(view: View, width: int, *, marked: bool = True) -> list[Text]:
    """Return the table of the workers; `marked` points at the one that is chosen."""
    snapshot = view.snapshot
    if snapshot.workers is None:
        return [line((fitted(f"workers unknown: {snapshot.faults.get('workers', AWAY)}", width), WARN))]
    shown = [column for column in COLUMNS if column.from_width <= width]
    widths = {column.title: column.width for column in shown}
    if width >= 120:
        widths["trend"] = TREND
    room = width - 2 - sum(widths.values()) - len(shown)
    widths["makes"] = max(room, 4)
    head: list[str | tuple[str, str]] = ["  "]
    for column in shown:
        text = (
            column.title.rjust(widths[column.title]) if column.is_number else column.title.ljust(widths[column.title])
        )
        head.append((f"{text} ", QUIET))
    lines = [line(*head)]
    for number, each in enumerate(snapshot.workers):
        worker = replace(each, state=state_of(each, snapshot))
        is_chosen = marked and number == view.chosen
        parts: list[str | tuple[str, str]] = [("▸ " if is_chosen else "  ", TITLE)]
        for column in shown:
            place = widths[column.title]
            text, style = column.cell(worker, snapshot.at, place)
            text = fitted(text, place)
            parts += [(text.rjust(place) if column.is_number else text.ljust(place), style), " "]
        lines.append(line(*parts))
    return lines


def detail(view: View, width: int) -> list[Text]:
    """Return a line more about the worker that is chosen: its last error, else what it is at."""
    if not view.snapshot.workers:
        return [line("")]
    worker = view.snapshot.workers[min(view.chosen, len(view.snapshot.workers) - 1)]
    name = f"{worker.name}: "
    if worker.error is not None and (worker.started_at is None or worker.error.at >= worker.started_at):
        ago = age((view.snapshot.at - worker.error.at).total_seconds())
        return [line("  ", (fitted(f"{name}error {ago} ago: {worker.error.text}", width - 2), WARN))]
    if worker.state == "running":
        at = worker.run.current_item if worker.run else None
        said = f"at {at}; no error" if at else "begins"
    elif worker.started_at is None:
        said = "never started; s starts it"
    else:
        since = f", {age((view.snapshot.at - worker.ended_at).total_seconds())} ago" if worker.ended_at else ""
        said = f"{worker.state}{since}; s starts it"
    names = f" ({', '.join(worker.makes)})" if len(f"{name}{said}") + len(", ".join(worker.makes)) + 5 <= width else ""
    return [line("  ", (fitted(f"{name}{said}{names if worker.makes else ''}", width - 2), QUIET))]


# The streets.


def _row(label: str, *parts: str | tuple[str, str]) -> Text:
    return line((label.ljust(LABEL), QUIET), *parts)


def feed(view: View, width: int) -> list[Text]:
    """Return the last file of the feed, and what it brought."""
    found, now = view.snapshot.feed, view.snapshot.at
    if found is None:
        return [_missing(view, "feed", width)]
    if found.last_at is None:
        set_up = "no file was ever loaded" if found.is_configured else "not set up (COPART_CSV_URL)"
        return [_row("file", (set_up, view.style("feed") or QUIET))]
    old = f"{age((now - found.loaded_at).total_seconds())} ago" if found.loaded_at else "none yet"
    last = f"{found.status}{f' ({found.reason})' if found.reason else ''}"
    is_bad = found.status in {"refused", "failed"}
    return [
        _row("file", (old, view.style("feed")), f", {amount(found.rows or 0)} rows"),
        _pair(("new", found.new), ("changed", found.changed)),
        _pair(("gone", found.gone), ("rejected", found.rejected)),
        _row(
            "last run",
            (fitted(last, width - LABEL - 14), WARN if is_bad else PLAIN),
            f", {age((now - found.last_at).total_seconds())} ago",
        ),
    ]


def _pair(left: tuple[str, int | None], right: tuple[str, int | None]) -> Text:
    return line(
        (left[0].ljust(LABEL), QUIET),
        f"{amount(left[1] or 0):>8}   ",
        (right[0].ljust(LABEL - 1), QUIET),
        f"{amount(right[1] or 0):>8}",
    )


def photos(view: View, width: int) -> list[Text]:
    """Return how far the photos of the active lots are, and whether their hosts let us."""
    found = view.snapshot.photos
    if found is None:
        return [_missing(view, "photos", width), *_breaker(view, width)]
    if found.share is None:
        return [_row("coverage", ("no active lot", QUIET)), *_breaker(view, width)]
    said = f" {percent(found.share)} of {amount(found.active)}"
    bar = max(width - LABEL - len(said), 4)
    full = round(bar * found.share)
    speed = f"{rate(found.lots_per_minute)} lots/min" if found.lots_per_minute else "no rate yet"
    left = f", {rate(found.days_to_drain)} days left" if found.days_to_drain is not None else ""
    return [
        _row("coverage", ("█" * full, view.style("photos") or GOOD), ("░" * (bar - full), QUIET), said),
        _row("rate", f"{speed}{left}"),
        *_breaker(view, width),
        *(_row("", f"{amount(count):>9} ", (state, QUIET)) for state, count in found.lots.items()),
    ]


def _breaker(view: View, width: int) -> list[Text]:
    hosts = view.snapshot.hosts
    if hosts is None:
        return []
    shut = [host for host in hosts if host.open_until]
    if shut and shut[0].open_until:
        left = clock((shut[0].open_until - view.snapshot.at).total_seconds() + 59)
        more = f" +{len(shut) - 1}" if len(shut) > 1 else ""
        said = fitted(f"open {left}, {shut[0].host}{more}", width - LABEL)
        return [_row("breaker", (said, BAD))]
    refusals = sum(worker.run.refusals for worker in view.snapshot.workers or () if worker.run)
    return [_row("breaker", "shut, ", (plural(refusals, "refusal"), WARN if refusals else PLAIN))]


def hosts(view: View, width: int) -> list[Text]:
    """Return the budget of each host: requests of the day, refusals in a row."""
    lines = []
    for host in view.snapshot.hosts or ():
        said = f"{amount(host.requests):>7} today"
        refused = f", {plural(host.refusals_in_row, 'refusal')} in a row" if host.refusals_in_row else ""
        lines.append(line(f"{fitted(host.host, 24):<24} ", said, (refused, WARN)))
    return lines or [line(("no host was asked lately", QUIET))]


def deals(view: View, width: int) -> list[Text]:
    """Return what waits for each stage, and what was posted."""
    found = view.snapshot.deals
    if found is None:
        return [_missing(view, "deals", width)]
    lines = [_stage(view, stage) for stage in found.stages]
    waiting = f", {short(found.waiting_posts)} to post" if found.waiting_posts else ""
    return [*lines, _row("posted", f"{amount(found.posted_today):>7} today{waiting}")]


def _stage(view: View, stage: Stage) -> Text:
    parts: list[str | tuple[str, str]] = [f"{short(stage.waiting):>7}"]
    if stage.oldest:
        oldest = clock((view.snapshot.at - stage.oldest).total_seconds())
        parts += [" for ", (oldest, view.style("backlog"))]
    else:
        parts.append(" wait")
    if stage.dead:
        parts.append((f" {short(stage.dead)} dead", WARN))
    return _row(stage.stage, *parts)


def best(view: View, width: int) -> list[Text]:
    """Return the best deals: score, title, price."""
    found = view.snapshot.deals
    lines = []
    for deal in found.top if found else ():
        price = f"{amount(deal.price)} EUR" if deal.price is not None else "no price"
        title = max(width - 6 - len(price) - 1, 4)
        lines.append(line((f"{deal.score:>4.1f}  ", TITLE), fitted(deal.title, title).ljust(title), f" {price}"))
    return lines or [line(("no deal yet" if found else AWAY, QUIET))]


def items(view: View, width: int) -> list[Text]:
    """Return the last items, and the worker that brought each."""
    found = view.snapshot.last_items
    lines = [line((f"{name:<6}  ", QUIET), fitted(text, width - 8)) for name, text in found]
    return lines or [line(("no item yet", QUIET))]


# The machine.


def machine(view: View, width: int) -> list[Text]:
    """Return how busy and how full machine and database are."""
    found, data = view.snapshot.machine, view.snapshot.database
    cpu, load, memory, disk = "-", "-", "-", "-"
    if found is not None:
        cpu, memory = percent(found.cpu), percent(found.memory)
        load, disk = f"{found.load:.1f}", percent(max(found.data_disk.share, found.log_disk.share))
    lines = [
        _cells(("CPU", cpu, view.style("cpu")), ("memory", memory, view.style("memory"))),
        _cells(("load", load, view.style("cpu")), ("disk", disk, view.style("disk"))),
    ]
    if data.error is not None:
        away = ("none yet", WARN) if data.is_new else ("does not answer", BAD)
        return [_row("database", away), *lines, *_more_of_the_machine(view)]
    writes = f"{short(data.writes_per_minute)}/min" if data.writes_per_minute is not None else "-"
    lines.append(_cells(("Celery", *_celery_words(view)), ("writes", writes, PLAIN)))
    return [*lines, *_more_of_the_machine(view)]


def _cells(left: tuple[str, str, str], right: tuple[str, str, str]) -> Text:
    return line(
        (left[0].ljust(LABEL), QUIET), (left[1].ljust(LABEL), left[2]), (right[0].ljust(8), QUIET), (right[1], right[2])
    )


def _celery_words(view: View) -> tuple[str, str]:
    found = view.snapshot.celery
    if found is None:
        return "unknown", WARN
    if not found.workers:
        return "off", view.style("celery") or QUIET
    return f"{len(found.workers) + found.children}{', beat' if found.beats else ''}", view.style("celery")


def _more_of_the_machine(view: View) -> list[Text]:
    snapshot, found = view.snapshot, view.snapshot.machine
    lines = []
    data = snapshot.database
    if data.error is None:
        lines.append(_row("database", f"{size(data.size) if data.size else 'ok'}, {data.connections} connections"))
        lines += [
            _row("rows", f"≈{amount(count)} ", (name, QUIET))
            for name, count in (("lots", data.lots), ("images", data.images), ("listings", data.listings))
            if count is not None
        ]
    if found is not None:
        lines.append(_row("free", f"{size(found.data_disk.free)} data, {size(found.memory_free)} memory"))
    if snapshot.logs is not None:
        errors = (f"{amount(snapshot.logs.errors)} errors/h", view.style("errors"))
        lines.append(_row("logs", f"{size(snapshot.logs.bytes)}, ", errors))
    return lines


def _missing(view: View, part: str, width: int) -> Text:
    if view.snapshot.database.is_new:
        return line(("no database yet", QUIET))
    return line((fitted(view.snapshot.faults.get(part, AWAY), width), WARN))


# The alarms.

SHORTEST_FIGURE: Final = 30


def alarms(view: View, width: int, rows: int) -> list[Text]:
    """Return a line for each alarm with the command that mends it, `rows` at the most: the last says how many more."""
    found = view.health.alarms
    shown = found if len(found) <= rows else found[: max(rows - 1, 0)]
    lines = []
    for each in shown:
        head = f"{each.level.value:<8} {each.name}: "
        mend = f" → {each.mend}"
        if len(head) + SHORTEST_FIGURE + len(mend) > width:
            mend = " → vinops health"
        limit = f" (limit {each.threshold})" if each.threshold else ""
        room = width - len(head) - len(mend)
        figure = f"{each.figure}{limit}" if len(each.figure) + len(limit) <= room else fitted(each.figure, room)
        style = STYLES[each.level]
        lines.append(line((head, style), (figure, style), (mend, TITLE)))
    if len(found) > len(shown) and rows > 0:
        lines.append(line((f"{len(found) - len(shown)} more: a shows them, `vinops health` too", WARN)))
    return lines


def all_alarms(view: View, width: int) -> list[Text]:
    """Return every alarm whole, wrapped: what the health check says, and every open alert."""
    import textwrap

    lines: list[Text] = []
    for each in view.health.alarms:
        limit = f" (limit {each.threshold})" if each.threshold else ""
        for part in textwrap.wrap(f"{each.level.value} {each.name}: {each.figure}{limit}", width):
            lines += [line((part, STYLES[each.level]))]
        lines += [line(("  → ", QUIET), (each.mend, TITLE))]
    for alert in view.snapshot.alerts or ():
        ago = age((view.snapshot.at - alert.raised_at).total_seconds())
        said = f"alert {alert.kind} {alert.subject}, {ago} ago, {plural(alert.times, 'time')}: {alert.message}"
        lines += [line((part, WARN)) for part in textwrap.wrap(said, width)]
    return lines or [line(("no alarm: everything is as it should be", GOOD))]


SECTIONS: Final[tuple[tuple[str, Callable[[View, int], list[Text]], int], ...]] = (
    ("feed", feed, 4),
    ("photos", photos, 9),
    ("hosts", hosts, 6),
    ("deals", deals, 4),
    ("top deals", best, 5),
    ("machine", machine, 9),
    ("last items", items, 5),
)
"""What `--once` prints behind the workers: title, panel, lines at the most."""


def page(view: View, width: int) -> list[Text]:
    """Return everything, one panel below the other."""
    at = view.snapshot.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [line((f"vinops {at}: ", TITLE), (summary(view), summary_style(view))), line("")]
    lines += workers(view, width, marked=False)
    for title, panel, most in SECTIONS:
        lines += [line(""), line((title.upper(), TITLE))]
        lines += [line("  ", each) for each in panel(view, width - 2)[:most]]
    if view.health.alarms:
        lines += [line(""), line(("ALARMS", TITLE))]
        lines += [line("  ", each) for each in all_alarms(view, width - 2)]
    return lines
