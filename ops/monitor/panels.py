"""The panels of the monitor as lines of text: pure functions of a snapshot, for a screen and for a pipe.

A panel returns lines of at most `width` characters, the most important ones first: a small screen shows the first few.
Green is at work, yellow needs attention, red needs action; nothing else has a color.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ops.show.screen import BAD, GOOD, PLAIN, QUIET, STYLES, TITLE, WARN, line
from vinops.checks import Level
from vinops.text.figures import age, amount, clock, fitted, moment, percent, plural, rate, short, size, sparkline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from deals.alarms import Backlog
    from ops.checks.health import Health
    from ops.observe.snapshot import CrawlRun, Snapshot, Worker

LABEL: Final = 10  # columns of the word that a line begins with
STATES: Final = {"running": GOOD, "stuck": BAD, "dead": BAD, "failed": WARN, "finished": QUIET, "stopped": QUIET}
GOING: Final = frozenset({"running", "stuck"})
WELL_ENDED: Final = frozenset({"finished", "shutdown", "exit code 0"})
AWAY: Final = "the database does not answer"


@dataclass(frozen=True, kw_only=True)
class View:
    """What panels show: the snapshot, its health, the selected worker, and the time zone beside UTC."""

    snapshot: Snapshot
    health: Health
    chosen: int = 0
    zone: str = "UTC"

    @property
    def worker(self) -> Worker | None:
        """The selected worker."""
        workers = self.snapshot.workers
        return workers[min(self.chosen, len(workers) - 1)] if workers else None

    def style(self, name: str) -> str:
        """Return the color of a check's finding."""
        level = next((each.level for each in self.health.lines if each.name == name), Level.OK)
        return PLAIN if level is Level.OK else STYLES[level]


def summary(view: View) -> str:
    """Return the summary: `4 of 5 workers run, 2 alarms`."""
    workers = view.snapshot.workers
    running = sum(worker.state == "running" for worker in workers or ())
    said = f"{running} of {len(workers)} workers run" if workers is not None else "workers unknown"
    count = len(view.health.alarms)
    return f"{said}, {plural(count, 'alarm') if count else 'no alarm'}"


def summary_style(view: View) -> str:
    """Return the color of the most severe alarm."""
    return STYLES[view.health.level]


def state_of(worker: Worker, snapshot: Snapshot) -> str:
    """Return the state of a worker; `stuck` is one that runs without a heartbeat, as far as the database can tell."""
    is_known = worker.state == "running" and snapshot.database.error is None
    is_stuck = is_known and worker.silence(snapshot.at) >= snapshot.silence
    return "stuck" if is_stuck else worker.state


# The workers: a table, and details of the selected one.

COLUMNS: Final = {
    "worker": (6, 0),
    "state": (8, 0),
    "now": (0, 0),
    "pages": (9, 50),
    "items": (7, 60),
    "/min": (5, 0),
    "trend": (6, 70),
    "up": (6, 70),
    "ETA": (6, 70),
    "makes": (30, 150),
    "PID": (8, 120),
    "refusals": (8, 120),
    "last error": (48, 190),
}
"""The width of each column, and from which width of the screen on it is shown; `now` has the remaining width: the make
and the page of a worker at work, why another ended."""
ON_THE_LEFT: Final = frozenset({"worker", "state", "now", "makes", "last error"})
WIDE: Final = 120
WIDE_TREND: Final = 14


def _worker_cells(worker: Worker, now: datetime, widths: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Return the text and the style of each cell of a worker's row."""
    nothing = ("-", QUIET)
    run, is_going = worker.run, worker.state in GOING
    up = (now - worker.started_at).total_seconds() if worker.started_at and is_going else None
    left = max((run.expected_end - now).total_seconds(), 0) if run and run.expected_end and is_going else None
    error = worker.error
    return {
        "worker": (worker.name, TITLE),
        "state": (worker.state, STATES.get(worker.state, PLAIN)),
        "now": _now(worker, widths["now"]),
        "pages": (_pages(run, widths.get("pages", 0)), PLAIN) if run else nothing,
        "items": (short(run.items), PLAIN) if run else nothing,
        "/min": (rate(worker.rate), PLAIN) if is_going else nothing,
        "trend": (sparkline(worker.history, widths.get("trend", 0)), PLAIN if is_going else QUIET),
        "up": (clock(up), PLAIN) if up is not None else nothing,
        "ETA": (clock(left), PLAIN) if left is not None else nothing,
        "makes": (makes(worker.makes, widths.get("makes", 0)) if worker.makes else "auction photos", QUIET),
        "PID": (str(worker.pid), PLAIN) if worker.pid and is_going else nothing,
        "refusals": (str(run.refusals), WARN) if run and run.refusals else ("0", QUIET),
        "last error": (f"{age((now - error.at).total_seconds())} ago: {error.text}", WARN) if error else nothing,
    }


def _now(worker: Worker, width: int) -> tuple[str, str]:
    """Return the make and the page, or the lot, that a worker is at; why it ended; what it is for if it never ran."""
    if worker.state in GOING:
        at = worker.run.current_item if worker.run else None
        if at is None:
            return "begins", QUIET
        return f"lot {at}" if at.isdecimal() else at, PLAIN
    if worker.started_at is None:
        return makes(worker.makes, width) if worker.makes else "auction photos", QUIET
    return worker.end, QUIET if worker.end in WELL_ENDED else WARN


def makes(names: Sequence[str], width: int) -> str:
    """Return as many names as fit whole, and how many more there are: `Skoda, Seat +8`."""
    for count in range(len(names), 0, -1):
        text = ", ".join(names[:count]) + (f" +{len(names) - count}" if count < len(names) else "")
        if len(text) <= width:
            return text
    return fitted(names[0], width)


def _pages(run: CrawlRun, width: int) -> str:
    if not run.total:
        return short(run.done)
    whole = f"{run.done}/{run.total}"
    return whole if len(whole) <= width else percent(run.done / run.total)


def workers(view: View, width: int, *, marked: bool = True) -> list[Text]:
    """Return the table of the workers; `marked` marks the selected one."""
    snapshot = view.snapshot
    if snapshot.workers is None:
        return [line((fitted(f"workers unknown: {snapshot.faults.get('workers', AWAY)}", width), WARN))]
    widths = {title: least for title, (least, from_width) in COLUMNS.items() if from_width <= width}
    if width >= WIDE:
        widths["trend"] = WIDE_TREND
    widths["now"] = max(width - 2 - sum(widths.values()) - len(widths), 4)

    def aligned(title: str, text: str) -> str:
        text = fitted(text, widths[title])
        return f"{text.ljust(widths[title]) if title in ON_THE_LEFT else text.rjust(widths[title])} "

    lines = [line("  ", *((aligned(title, title), QUIET) for title in widths))]
    for number, each in enumerate(snapshot.workers):
        cells = _worker_cells(replace(each, state=state_of(each, snapshot)), snapshot.at, widths)
        mark = "▸ " if marked and number == view.chosen else "  "
        shown = ((title, *cells[title]) for title in widths)
        lines.append(line((mark, TITLE), *((aligned(title, text), style) for title, text, style in shown)))
    return lines


def detail(view: View, width: int) -> list[Text]:
    """Return a line on the selected worker: its last error, else its current item."""
    worker = view.worker
    if worker is None:
        return [line("")]
    name = f"{worker.name}: "
    if worker.error is not None and (worker.started_at is None or worker.error.at >= worker.started_at):
        ago = age((view.snapshot.at - worker.error.at).total_seconds())
        return [line("  ", (fitted(f"{name}error {ago} ago: {worker.error.text}", width - 2), WARN))]
    if worker.state == "running":
        at = worker.run.current_item if worker.run else None
        market = view.snapshot.market
        newest = f"; {market.newest_said(view.snapshot.at)}" if market and market.of_worker(worker.name) else ""
        said = f"at {at}; no error{newest}" if at else "begins"
    elif worker.started_at is None:
        said = "never started; s starts it"
    else:
        since = f", {age((view.snapshot.at - worker.ended_at).total_seconds())} ago" if worker.ended_at else ""
        said = f"{worker.state}{since}: {worker.end}; s starts it"
    names = f" ({', '.join(worker.makes)})" if len(f"{name}{said}") + len(", ".join(worker.makes)) + 5 <= width else ""
    return [line("  ", (fitted(f"{name}{said}{names if worker.makes else ''}", width - 2), QUIET))]


# The pipelines.


def _row(label: str, *parts: str | tuple[str, str]) -> Text:
    return line((label.ljust(LABEL), QUIET), *parts)


def feed(view: View, width: int) -> list[Text]:
    """Return the last file of the feed, and its counts."""
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
    """Return the coverage of the active lots with all photos, that of the first pass, and the state of the breaker."""
    found = view.snapshot.photos
    if found is None:
        return [_missing(view, "photos", width), *_breaker(view, width)]
    if found.share is None:
        return [_row("coverage", ("no active lot", QUIET)), *_breaker(view, width)]
    said = f" {percent(found.share)} of {amount(found.active)}"
    bar = max(width - LABEL - len(said), 4)
    full = round(bar * found.share)
    speed = f"{rate(found.lots_per_minute)} lots/min" if found.lots_per_minute else "no rate yet"
    pace = textwrap.wrap(found.time_left, width - LABEL) or [speed]
    return [
        _row("coverage", ("█" * full, view.style("photos") or GOOD), ("░" * (bar - full), QUIET), said),
        *_breaker(view, width),
        *(_row("" if number else "rate", part) for number, part in enumerate(pace)),
        _row("passes", f"{percent(found.first_share or 0)} first, {percent(found.photo_share or 0)} a photo"),
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
        name = min(max(width - len(said) - 1, 8), 24)
        lines.append(line(f"{fitted(host.host, name):<{name}} ", said, (refused, WARN)))
    return lines or [line(("no host was asked lately", QUIET))]


def market(view: View, width: int) -> list[Text]:
    """Return how old the newest ads are, how long a full walk takes, and the makes whose last complete walk is longest
    ago."""
    found, now = view.snapshot.market, view.snapshot.at
    if found is None:
        return [_missing(view, "market", width)]
    newest = "never" if found.newest_at is None else f"{age((now - found.newest_at).total_seconds())} ago"
    complete = sum(make.complete_at is not None for make in found.makes)
    oldest = sorted(found.makes, key=lambda make: (make.complete_at is not None, str(make.complete_at)))
    return [
        _row("newest", (newest, view.style("newest"))),
        _row("complete", (f"{complete} of {plural(len(found.makes), 'make')}", view.style("walks"))),
        *([_row("full walk", f"about {age(found.walk_seconds)}")] if found.walk_seconds else []),
        *(_row("", (fitted(make.said(now), width - LABEL), QUIET)) for make in oldest),
    ]


def deals(view: View, width: int) -> list[Text]:
    """Return the backlog of each stage, the number of posts, and the lots that wait for any stage."""
    found = view.snapshot.deals
    if found is None:
        return [_missing(view, "deals", width)]
    lines = [_row(stage.stage, *_waiting(view, [stage], "backlog")) for stage in found.stages]
    waiting = f", {short(found.waiting_posts)} to post" if found.waiting_posts else ""
    lines.append(_row("posted", f"{amount(found.posted_today):>7} today{waiting}"))
    return [*lines, _row("lots", *_waiting(view, found.lots, "lot_backlog"))]


def _waiting(view: View, stages: Sequence[Backlog], check: str) -> list[str | tuple[str, str]]:
    """Return what waits for stages: how much, the oldest for how long, and what was given up."""
    parts: list[str | tuple[str, str]] = [f"{short(sum(stage.waiting for stage in stages)):>7}"]
    if since := [stage.oldest for stage in stages if stage.oldest]:
        oldest = clock((view.snapshot.at - min(since)).total_seconds())
        parts += [" for ", (oldest, view.style(check))]
    else:
        parts.append(" wait")
    if dead := sum(stage.dead for stage in stages):
        parts.append((f" {short(dead)} dead", WARN))
    return parts


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
    """Return the last items, each with its worker."""
    found = view.snapshot.last_items
    lines = [line((f"{name:<6}  ", QUIET), fitted(text, width - 8)) for name, text in found]
    return lines or [line(("no item yet", QUIET))]


# The machine.


def machine(view: View, width: int) -> list[Text]:
    """Return the load of the machine and the database."""
    found, data = view.snapshot.machine, view.snapshot.database
    load, memory, disk = "-", "-", "-"
    if found is not None:
        load, memory = f"{percent(found.cpu)}, {found.load:.1f}", percent(found.memory)
        disk = percent(max(found.data_disk.share, found.log_disk.share))
    lines = [_cells(("CPU, load", load, view.style("cpu")), ("memory", memory, view.style("memory")))]
    lines.append(_cells(("Celery", *_celery_words(view)), ("disk", disk, view.style("disk"))))
    if data.error is not None:
        away = ("none yet", WARN) if data.is_new else ("does not answer", BAD)
        return [_row("database", away), *lines, *_more_of_the_machine(view)]
    inserts, updates = _a_minute(data.inserts_per_minute), _a_minute(data.updates_per_minute)
    lines.append(_cells(("inserts", inserts, PLAIN), ("updates", updates, PLAIN)))
    return [*lines, *_more_of_the_machine(view)]


def _a_minute(number: float | None) -> str:
    """Return a rate in at most nine characters: `9,999/min`, `123k/min`."""
    if number is None:
        return "-"
    return f"{number / 1000:.0f}k/min" if 9_999.5 <= number < 99_999.5 else f"{short(number)}/min"


def _cells(left: tuple[str, str, str], right: tuple[str, str, str]) -> Text:
    return line(
        (left[0].ljust(LABEL), QUIET),
        (f"{left[1]:<{LABEL - 1}} ", left[2]),
        (right[0].ljust(8), QUIET),
        (right[1], right[2]),
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
    """Return at most `rows` lines: an alarm each with the command that fixes it; the last counts the rest."""
    found = view.health.alarms
    shown = found if len(found) <= rows else found[: max(rows - 1, 0)]
    lines = []
    for each in shown:
        head = f"{each.level.value:<8} {each.name}: "
        fix = f" → {each.fix}"
        if len(head) + SHORTEST_FIGURE + len(fix) > width:
            fix = " → vinops health"
        room = width - len(head) - len(fix)
        figure = each.message if len(each.message) <= room else fitted(each.text, room)
        style = STYLES[each.level]
        lines.append(line((head, style), (figure, style), (fix, TITLE)))
    if len(found) > len(shown) and rows > 0:
        lines.append(line((f"{len(found) - len(shown)} more: a shows them, `vinops health` too", WARN)))
    return lines


def all_alarms(view: View, width: int) -> list[Text]:
    """Return every alarm in full, wrapped, and every open alert."""
    lines: list[Text] = []
    for each in view.health.alarms:
        wrapped = textwrap.wrap(f"{each.level.value} {each.name}: {each.message}", width)
        lines += [*(line((part, STYLES[each.level])) for part in wrapped), line(("  → ", QUIET), (each.fix, TITLE))]
    for alert in view.snapshot.alerts or ():
        ago = age((view.snapshot.at - alert.raised_at).total_seconds())
        said = f"alert {alert.kind} {alert.subject}, {ago} ago, {plural(alert.times, 'time')}: {alert.message}"
        lines += [line((part, WARN)) for part in textwrap.wrap(said, width)]
    return lines or [line(("no alarm: everything is as it should be", GOOD))]


SECTIONS: Final[tuple[tuple[str, Callable[[View, int], list[Text]], int], ...]] = (
    ("feed", feed, 4),
    ("photos", photos, 9),
    ("market", market, 6),
    ("hosts", hosts, 6),
    ("deals", deals, 4),
    ("top deals", best, 5),
    ("machine", machine, 9),
    ("last items", items, 5),
)
"""What `--once` prints after the workers: title, panel, maximum of lines."""


def page(view: View, width: int) -> list[Text]:
    """Return all panels, one below the other."""
    at = moment(view.snapshot.at, view.zone, seconds=True)
    lines = [line((f"vinops {at}", TITLE)), line((summary(view), summary_style(view))), line("")]
    lines += workers(view, width, marked=False)
    for title, panel, most in SECTIONS:
        lines += [line(""), line((title.upper(), TITLE))]
        lines += [line("  ", each) for each in panel(view, width - 2)[:most]]
    if view.health.alarms:
        lines += [line(""), line(("ALARMS", TITLE))]
        lines += [line("  ", each) for each in all_alarms(view, width - 2)]
    return lines
