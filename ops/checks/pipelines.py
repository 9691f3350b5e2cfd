"""The checks of `vinops health` on workers, pipelines, hosts and alerts. What was never set up is not a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deals import alarms, board as board_of_deals, market as figures
from deals.alarms import BACKLOG, SENDING, START_BOT
from deals.landed import book
from etl.merge import board as board_of_lots
from ops.checks.registry import Checks, unknown
from ops.photos import places
from ops.workers.registry import CELERY_WORKER as CELERY, SUPERVISOR
from vinops import clock
from vinops.checks import Finding, Level, Limit, critical, ok, warning
from vinops.text.figures import age, amount, percent, plural
from vinops_scrapy.shortfalls import MOST_FAILED

if TYPE_CHECKING:
    from datetime import datetime

    from deals.board import Compared
    from deals.landed.book import Checked
    from etl.merge.board import Compared as ComparedLots
    from ops.observe.market import MakeState, Market
    from ops.observe.snapshot import (
        Alert,
        Audit,
        Celery,
        CrawlRun,
        Deals,
        Feed,
        Host,
        Photos,
        Snapshot,
        Wanted,
        Watching,
        Worker,
    )
    from ops.photos.places import Stored

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0

# Of the silence after which a process counts as hung (VINOPS_WORKER_SILENCE): ten heartbeats were missed by then.
SILENCE: Final = 0.1
# The careful pace sends a request every few seconds; Retry-After seldom asks for more than this.
NO_REQUEST: Final = Limit(15 * MINUTE, unit=age)
# A pass is due each minute, and takes seconds. At night few ads are posted, and nobody waits for them.
NEWEST: Final = Limit(5 * MINUTE, HOUR, age)
NEWEST_BY_NIGHT: Final = Limit(HOUR, 3 * HOUR, age)
# A full walk of twenty makes takes seven hours: three missed.
WALKS: Final = Limit(DAY, 3 * DAY, age)
# A night's training may fail once. Above a fifth the posts are no deals; the model measures 12 to 16 %.
MODEL_AGE: Final = Limit(3 * DAY, unit=age)
OFF: Final = Limit(0.2, unit=percent)
INSIDE: Final = 0.8  # of later prices should lie between p10 and p90
INSIDE_SLACK: Final = 0.1
# The timer loads every 15 minutes: three missed, then a morning's worth of sales.
FEED: Final = Limit(45 * MINUTE, 3 * HOUR, age)
# The operators' own limit. On real files, sampled in 2026, it is under a tenth of that.
UNKNOWN: Final = Limit(0.01, unit=percent)
# A few odd rows come with any file; a format that changed shows in each.
PARSING: Final = Limit(0.01, unit=percent)
LEAST_ERRORS: Final = 5
# Lots come and go all day. Missing photos are not a fault if they take no longer than lots stay in the feed.
COVERAGE: Final = 0.9
DRAIN_DAYS: Final = 7.0
# Of the lots a ninth is new each day: without a photo crawl the share falls by eleven hundredths.
FIRST_FALLS: Final = Limit(0.03, 0.1, percent)
# The photo crawl runs all day, and is started three times a day if it does not: a day without one is three missed.
PHOTOS_IDLE: Final = DAY

SUPERVISE: Final = "nohup vinops supervise &, or systemctl start vinops-supervisor"
FINISHED: Final = "finished, and no supervisor begins the next cycle"
ALERTS: Final = "vinops sql -x 'select * from ops.alerts where cleared_at is null'"
UNKNOWN_RATE: Final = "vinops sql 'select * from audit.v_unknown_rate'; docs/runbook.md, A column changed"
PARSE_ERRORS: Final = "vinops sql -x 'select * from audit.v_parse_errors'; docs/runbook.md, Rejected rows"
WRONG_CLOCK: Final = "date; docs/runbook.md, A wrong clock"

CHECKS: Final = Checks()


@CHECKS.add("workers", "workers", reads=("wanted", "supervisor"))
def workers(snapshot: Snapshot, found: tuple[Worker, ...]) -> Finding:
    """Check how workers ended, and whether all workers run that an operator wants."""
    started = [worker for worker in found if worker.started_at is not None or worker.pid is not None]
    if not started and not any(worker.wanted for worker in found):
        return ok("not set up: none was ever started (`vinops workers start`)")
    states = sorted(worker.state for worker in started)
    if dead := [worker for worker in started if worker.state == "dead"]:
        text = f"{_named(dead)} died, {states.count('running')} run"
        return critical(text, "0 dead", fix=f"vinops workers start {_names(dead)}")
    if failed := [worker for worker in started if worker.state == "failed"]:
        ends = ", ".join(f"{worker.name}: {worker.end}" for worker in failed)
        return warning(f"{_named(failed)} failed ({ends})", "0 failed", fix=f"vinops logs {failed[0].name}")
    if missing := _missing(snapshot, found):
        return missing
    return ok(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)))


def _missing(snapshot: Snapshot, found: tuple[Worker, ...]) -> Finding | None:
    """Return the finding about workers that are wanted and do not run; None if there are none.

    Wanted is what was started here and not retired, and, where one worker is, also those that no machine has. A shared
    one is judged by its work: the line `photos`. An optional one is wanted only where it was started and not stopped.
    """
    if snapshot.wanted is None:
        return None
    own = [
        worker
        for worker in found
        if not worker.is_shared
        and worker.wanted != "elsewhere"
        and (worker.wanted == "running" or not worker.is_optional)
    ]
    whys: dict[str, list[Worker]] = {}
    for worker in own:
        if worker.state != "running" and (why := _why(snapshot, worker, is_used=any(each.wanted for each in found))):
            whys.setdefault(why, []).append(worker)
    if not whys:
        return None
    count = sum(worker.state == "running" for worker in own)
    text = "; ".join(f"{_named(some)} {why}" for why, some in whys.items())
    names = sorted(worker.name for some in whys.values() for worker in some)
    fix = SUPERVISE if set(whys) == {FINISHED} else f"vinops workers start {' '.join(names)}"
    return warning(f"{count} of {len(own)} run: {text}", f"{len(own)} running", fix=fix)


def _why(snapshot: Snapshot, worker: Worker, *, is_used: bool) -> str | None:
    """Return why a worker that does not run is missing, None if it is not."""
    if worker.wanted == "stopped":
        return "stopped by an operator"
    if worker.wanted == "running":
        if worker.state != "finished":
            return "wanted, and not running"
        return None if _supervised(snapshot) else FINISHED
    return "never started on any machine" if is_used and worker.started_at is None else None


def _row(snapshot: Snapshot, name: str) -> Wanted | None:
    """Return whether an operator wants a program of this machine to run or not; None if that is not recorded."""
    return next((each for each in snapshot.wanted or () if each.name == name and each.is_here), None)


def _supervised(snapshot: Snapshot) -> bool:
    """Tell whether the supervisor of this machine is to run, and makes passes."""
    row = _row(snapshot, SUPERVISOR)
    return row is not None and row.desired == "running" and _seconds(snapshot, row.at) < _passes(snapshot).warning


def _passes(snapshot: Snapshot) -> Limit:
    """Return the limit for the time since the last pass of the supervisor: three of them."""
    every = snapshot.supervisor.every if snapshot.supervisor else MINUTE
    seconds = max(3 * every, 3 * MINUTE)
    return Limit(seconds, seconds, age)


@CHECKS.add("supervisor", "wanted", reads=("supervisor",))
def supervisor(snapshot: Snapshot, found: tuple[Wanted, ...]) -> Finding:
    """Check whether the supervisor makes passes, if it should run, and whether one should run and does not."""
    row = _row(snapshot, SUPERVISOR)
    needed = [each.name for each in found if each.is_here and each.desired == "running" and each.name != SUPERVISOR]
    if row is None:
        return ok("not set up: what dies is not restarted (`vinops supervise`)")
    seconds = _seconds(snapshot, row.at)
    if row.desired == "stopped":
        if not needed:
            return ok(f"stopped {age(seconds)} ago, and nothing is wanted here")
        verb = "are" if len(needed) > 1 else "is"
        return warning(f"stopped {age(seconds)} ago, and {', '.join(needed)} {verb} wanted", fix=SUPERVISE)
    pid = snapshot.supervisor.pid if snapshot.supervisor else None
    who = f"PID {pid}" if pid else "its process is not visible"
    fix = f"kill {pid}; {SUPERVISE}" if pid else SUPERVISE
    return _passes(snapshot).judge(seconds, f"the last pass {age(seconds)} ago, {who}", fix=fix)


def _named(found: list[Worker]) -> str:
    return f"worker{'s' if len(found) > 1 else ''} {', '.join(worker.name for worker in found)}"


def _names(found: list[Worker]) -> str:
    return " ".join(worker.name for worker in found)


@CHECKS.add("progress", "workers", reads=("hosts",))
def progress(snapshot: Snapshot, found: tuple[Worker, ...]) -> Finding:
    """Check how long running workers have sent neither a heartbeat nor a request."""
    running = [worker for worker in found if worker.state == "running"]
    if not running:
        return ok("nothing runs")
    if snapshot.database.error is not None:
        return unknown(snapshot, "runs")
    silences = {worker.name: worker.silence(snapshot.at) for worker in running}
    longest = max(silences.values())
    limit = Limit(SILENCE * snapshot.silence, snapshot.silence, age)
    if stuck := [worker for worker in running if silences[worker.name] >= limit.warning]:
        text = f"no heartbeat of {_named(stuck)} for {age(longest)}"
        return limit.judge(longest, text, fix=f"vinops workers restart {_names(stuck)}")
    begun = min((worker.started_at for worker in running if worker.started_at), default=snapshot.at)
    quiet = _seconds(snapshot, max([begun, *(host.asked_at for host in snapshot.hosts or ())]))
    if quiet >= NO_REQUEST.warning and not any(host.open_until for host in snapshot.hosts or ()):
        text = f"{plural(len(running), 'worker')} run, and no request for {age(quiet)}"
        return NO_REQUEST.judge(quiet, text, fix=f"vinops logs {running[0].name}")
    return ok(f"{plural(len(running), 'worker')} at work, the last heartbeat {age(longest)} ago")


@CHECKS.add("crawls", "runs")
def crawls(snapshot: Snapshot, runs: tuple[CrawlRun, ...]) -> Finding:
    """Check whether a run of the last day failed for the most part; vinops_scrapy/shortfalls.py has the rule."""
    limit = percent(MOST_FAILED)
    lacking = [run for run in runs if run.shortfalls]
    if not lacking:
        return ok(f"{plural(len(runs), 'run')} in the last day, none of which mostly failed", limit)
    text = "; ".join(
        f"{run.spider}{(run.worker and f' {run.worker}') or ''}: {', '.join(run.shortfalls)}" for run in lacking
    )
    name = "photos" if lacking[0].spider == "lot_photos" else lacking[0].worker or ""
    return warning(text, limit, fix=" ".join(f"vinops logs {name} --errors".split()))


@CHECKS.add("newest", "market", reads=("wanted", "runs"))
def newest(snapshot: Snapshot, found: Market) -> Finding:
    """Check how old the last pass over the newest ads is, while market workers are at work."""
    if not _is_crawled(snapshot, found):
        return ok("no market worker is wanted")
    since = found.newest_at or found.newest_since
    if since is None:
        return ok("no pass over the newest ads has begun yet")
    seconds = _seconds(snapshot, since)
    text = found.newest_said(snapshot.at)
    if found.newest_at is None:
        text += f", the first pass began {age(seconds)} ago"
    if found.newest_reason:
        text += f", the last one failed ({found.newest_reason})"
    is_strict = found.is_day and found.newest_at is not None  # the first one reads up to 50 pages
    limit = NEWEST if is_strict else NEWEST_BY_NIGHT
    return limit.judge(seconds, text, fix="vinops workers status; docs/runbook.md, The newest ads are late")


@CHECKS.add("walks", "market", reads=("wanted", "runs"))
def walks(snapshot: Snapshot, found: Market) -> Finding:
    """Check how long ago the make was complete that was so longest ago, while market workers are at work."""
    if not _is_crawled(snapshot, found):
        return ok("no market worker is wanted")
    walked = [(make.since, make) for make in found.makes if make.since is not None]
    if not walked:
        return ok("no walk has begun yet")
    seconds = _seconds(snapshot, min(since for since, _ in walked))
    late = late_makes(found, snapshot.at)
    if late:
        text = f"not complete for {age(seconds)}: {', '.join(make.name for make in late)}"
        return WALKS.judge(seconds, text, fix="vinops workers status; docs/runbook.md, A make is not complete")
    complete = sum(make.complete_at is not None for make in found.makes)
    takes = f"; {found.walk_said}" if found.walk_said else ""
    text = f"{complete} of {plural(len(found.makes), 'make')} complete, the oldest {age(seconds)} ago{takes}"
    return WALKS.judge(seconds, text, fix="")


def late_makes(found: Market, now: datetime) -> list[MakeState]:
    """Return the makes whose prices are older than promised: that were not complete for as long as WALKS allows."""
    return [make for make in found.makes if make.since and (now - make.since).total_seconds() >= WALKS.warning]


def _is_crawled(snapshot: Snapshot, found: Market) -> bool:
    """Tell whether a market worker is to run on any machine, or runs."""
    wanted = any(each.desired == "running" and each.name in found.workers for each in snapshot.wanted or ())
    return wanted or any(
        run.spider == "mobile_bg" and run.worker is not None and run.finished_at is None for run in snapshot.runs or ()
    )


@CHECKS.add("celery", "celery", reads=("deals", "wanted"))
def celery(snapshot: Snapshot, found: Celery) -> Finding:
    """Check whether one Celery worker and one beat run, and tasks are completed."""
    for name, pids in (("workers", found.workers), ("beats", found.beats)):
        if len(pids) > 1:
            text = f"more than one of the {name}: PIDs {', '.join(map(str, pids))}"
            return warning(text, "one of each", fix="vinops celery restart")
    if found.workers and found.beats:
        quiet = _since_last_task(snapshot, found)
        if quiet is not None and quiet >= snapshot.silence:
            text = f"worker {found.workers[0]} and beat run, and no task was done for {age(quiet)}"
            return critical(text, age(snapshot.silence), fix="vinops celery restart")
        return ok(f"worker {found.workers[0]} with {plural(found.children, 'process', 'processes')}, beat")
    if found.workers:
        text = f"worker {found.workers[0]} runs, beat does not: nothing dispatches the work"
        return warning(text, "one of each", fix="vinops celery restart")
    late = _oldest(snapshot.deals, snapshot.at)
    row = _row(snapshot, CELERY)
    if row is not None and late is None:
        since = f"{age(_seconds(snapshot, row.at))} ago"
        text = f"stopped by an operator {since}" if row.desired == "stopped" else f"not running, and started {since}"
        return warning(text, "1 worker", fix="vinops celery start")
    if late is None:
        return ok("not running, and nothing waits for it" if snapshot.deals else "not running")
    judge = warning if late.level is Level.OK else critical
    return judge(f"not running, {late.text}", "1 worker", fix="vinops celery start")


def _since_last_task(snapshot: Snapshot, found: Celery) -> float | None:
    """Return for how many seconds Celery has run here without a task done; None if that is not known."""
    if snapshot.deals is None:
        return None
    moments = [at for at in (snapshot.deals.last_task_at, found.since) if at is not None]
    return _seconds(snapshot, max(moments)) if moments else None


@CHECKS.add("backlog", "deals")
def backlog(snapshot: Snapshot, deals: Deals) -> Finding:
    """Check the stage that is furthest behind, and ads that were given up."""
    late = _oldest(deals, snapshot.at) or ok("no ad waits", age(BACKLOG.warning))
    given_up = alarms.given_up(deals.stages)
    return given_up if late.level is Level.OK and given_up.level is not Level.OK else late


@CHECKS.add("lot_backlog", "deals")
def lot_backlog(snapshot: Snapshot, deals: Deals) -> Finding:
    """Check the stage of the import deals that is furthest behind, and lots that were given up."""
    waiting = [(stage.oldest, stage) for stage in deals.lots if stage.oldest]
    late = ok("no lot waits", age(BACKLOG.warning))
    if waiting:
        late = alarms.waits(min(waiting, key=lambda each: each[0])[1], snapshot.at, "lot", "vinops landed run")
    given_up = alarms.given_up(deals.lots, "lot", "vinops landed dead")
    return given_up if late.level is Level.OK and given_up.level is not Level.OK else late


@CHECKS.add("estimates", "deals")
def estimates(snapshot: Snapshot, deals: Deals) -> Finding:
    """Check how far the estimates are off for ads that came after those that the model learned from."""
    found = deals.model
    if found is None:
        return ok("no price model yet: comparables are used")
    old = _seconds(snapshot, found.trained_at)
    if old >= MODEL_AGE.warning:
        return MODEL_AGE.judge(old, f"the price model was trained {age(old)} ago", fix="vinops deals train")
    if found.off is None or found.inside is None:
        return ok("too few ads came since to measure the price model on")
    text = (
        f"{percent(found.off)} off on {plural(found.ads or 0, 'later ad')}, {percent(found.inside)} within p10 to p90"
    )
    finding = OFF.judge(found.off, text, fix="vinops deals train")
    if finding.level is Level.OK and abs(found.inside - INSIDE) > INSIDE_SLACK:
        return warning(text, f"{percent(INSIDE)} within", fix="vinops deals train")
    return finding


def _oldest(deals: Deals | None, now: datetime) -> Finding | None:
    """Return the finding about the stage whose oldest ad has waited longest; None if no ad waits."""
    waiting = [(stage.oldest, stage) for stage in (deals.stages if deals else ()) if stage.oldest]
    return alarms.waits(min(waiting, key=lambda each: each[0])[1], now) if waiting else None


@CHECKS.add("board", "board")
def board(snapshot: Snapshot, found: Compared) -> Finding:
    """Check a sample of the rows of the board against the tables that they are made of."""
    return board_of_deals.judge(found)


@CHECKS.add("lot_board", "lot_board")
def lot_board(snapshot: Snapshot, found: ComparedLots) -> Finding:
    """Check a sample of the rows of the board of lots against the tables that they are made of."""
    return board_of_lots.judge(found)


@CHECKS.add("prices", "deals")
def prices(snapshot: Snapshot, deals: Deals) -> Finding:
    """Check the age of the prices over time, which a task computes every night."""
    return figures.judge(deals.figures or figures.State(), snapshot.at)


@CHECKS.add("tariffs", "tariffs")
def tariffs(snapshot: Snapshot, found: Checked) -> Finding:
    """Check whether the tariffs of import deals were compared with their sources lately."""
    return book.judge(found)


@CHECKS.add("watches", "watching")
def watches(snapshot: Snapshot, found: Watching) -> Finding:
    """Check how long messages and answers of the bot wait to be sent."""
    if not found.people:
        return ok("nobody is invited")
    text = f"{plural(found.watches, 'watch', 'watches')} of {plural(found.people, 'chat')}"
    if found.oldest is None:
        return ok(f"{text}, nothing waits")
    seconds = _seconds(snapshot, found.oldest)
    return SENDING.judge(seconds, f"{text}, the oldest message waits for {age(seconds)}", fix=START_BOT)


@CHECKS.add("feed", "feed")
def feed(snapshot: Snapshot, found: Feed) -> Finding:
    """Check the age of the last file that was loaded or found unchanged."""
    if found.good_at is None and not found.is_configured:
        return ok("not set up: COPART_CSV_URL is not set")
    fix = "python -m etl run" if found.is_configured else "set COPART_CSV_URL in .env"
    if found.good_at is None:
        last = f", the last run: {found.status} ({found.reason})" if found.status else ""
        return warning(f"no file was ever loaded{last}", fix=fix)
    if clock.is_ahead(found.good_at, snapshot.at):
        ahead = age((found.good_at - snapshot.at).total_seconds())
        return warning(f"its last run is dated {ahead} in the future", fix=WRONG_CLOCK)
    seconds = _seconds(snapshot, found.good_at)
    last = f", last run {found.status} ({found.reason})" if found.status in {"refused", "failed"} else ""
    finding = FEED.judge(seconds, f"{age(seconds)} old{last}", fix=fix)
    if finding.level is Level.OK or found.is_configured:
        return finding
    # Loaded by hand, or this shell lacks the setting: not critical.
    return warning(f"{finding.text}, and COPART_CSV_URL is not set", age(FEED.warning), fix=fix)


@CHECKS.add("unknown", "audit")
def unknown_values(snapshot: Snapshot, found: Audit) -> Finding:
    """Check the share of values of the key columns that are unknown: the row `(key columns)` of v_unknown_rate."""
    if not found.lots:
        return ok("no active lot", percent(UNKNOWN.warning))
    name, count = max(found.unknown.items(), key=lambda each: each[1])
    text = f"{100 * found.unknown_rate:.2f} % of the key columns' values"
    text += f", most of them {name}: {amount(count)} of {plural(found.lots, 'lot')}" if count else ""
    return UNKNOWN.judge(found.unknown_rate, text, fix=UNKNOWN_RATE)


@CHECKS.add("parsing", "audit", "feed")
def parsing(snapshot: Snapshot, found: Audit, last: Feed) -> Finding:
    """Check what share of the rows that the last load brought could not be read, or has a value that could not be."""
    errors = sum(count for _, _, count in found.errors)
    brought = (last.new or 0) + (last.changed or 0)
    if not errors:
        return ok("all rows and values of the last load were read")
    worst = ", ".join(f"{name} {amount(count)}" for _, name, count in found.errors[:3])
    text = f"{plural(errors, 'row or value', 'rows or values')} of the last load not read ({worst}), "
    text += f"{amount(brought)} rows were new or changed"
    if errors < LEAST_ERRORS:
        return ok(text, f"{LEAST_ERRORS}, and {percent(PARSING.warning)}")
    return PARSING.judge(errors / max(brought, errors), text, fix=PARSE_ERRORS)


@CHECKS.add("photos", "photos")
def photos(snapshot: Snapshot, found: Photos) -> Finding:
    """Check how many active lots have their photos, and how long the others take."""
    if found.share is None:
        return ok("no active lot")
    if found.last_run_at is None and not found.settled:
        return ok("not set up: no photo crawl ever ran")
    days = found.days_to_go
    text = f"{percent(found.share)} of {plural(found.active, 'lot')}"
    text += f", {found.time_left}" if found.time_left and not found.is_stuck else ""
    text += ", and no lot of the last run ended well" if found.is_stuck else ""
    limit = percent(COVERAGE)
    if found.share >= COVERAGE:
        return ok(text, limit)
    idle = _seconds(snapshot, found.last_run_at) if found.last_run_at else None
    if idle is None or idle >= PHOTOS_IDLE:
        since = f" for {age(idle)}" if idle is not None else ""
        return critical(f"{text}, and no crawl{since}", limit, fix="vinops workers start photos")
    if found.is_stuck:
        return critical(text, limit, fix="vinops logs photos --errors")
    if found.pace and found.pace.lots_a_day is None:  # the first day
        return ok(text)
    if days is not None and days <= DRAIN_DAYS:
        return ok(text, f"{DRAIN_DAYS:g} days")
    return warning(text, f"{limit}, or {DRAIN_DAYS:g} days", fix="vinops forecast")


@CHECKS.add("coverage", "photos")
def coverage(snapshot: Snapshot, found: Photos) -> Finding:
    """Check whether fewer lots have had their first pass than a day ago."""
    return judge_first(found)


def judge_first(found: Photos) -> Finding:
    """Judge by how much the share of lots that had their first pass fell in a day; for the supervisor's alert, too."""
    now, before = found.first_share, found.first_share_before
    if now is None:
        return ok("no active lot")
    text = f"{percent(now)} of {plural(found.active, 'lot')} past their first pass"
    text += f", {percent(before)} a day ago" if before is not None else ""
    text += f", {percent(found.photo_share or 0)} with a photo"
    if found.lots_left:
        text += f"; {amount(found.lots_lost)} of {amount(found.lots_left)} that left in a day had none"
    fall = before - now if before is not None else 0.0
    return FIRST_FALLS.judge(fall, text, fix="vinops logs photos; vinops forecast")


@CHECKS.add("stored", "stored")
def stored(snapshot: Snapshot, found: Stored) -> Finding:
    """Check whether all photos are in one place, the one where the next ones go."""
    return judge_stored(found)


def judge_stored(found: Stored) -> Finding:
    """Check where photos are stored; for `vinops doctor`, too."""
    if not found.elsewhere:
        return ok(found.text)
    text = f"{found.text}; new ones go {places.words(found.wanted).replace('in ', 'to ', 1)}"
    return warning(text, "one place", fix="vinops photos sync")


@CHECKS.add("hosts", "hosts")
def hosts(snapshot: Snapshot, found: tuple[Host, ...]) -> Finding:
    """Report the hosts whose breaker is open."""
    shut = [(host, host.open_until) for host in found if host.open_until]
    if not shut:
        return ok(f"no breaker is open, {plural(len(found), 'host')} asked lately")
    first, until = shut[0]
    left = age((until - snapshot.at).total_seconds())
    text = f"{', '.join(host.host for host, _ in shut)} refused us ({first.last_refusal}): {left} to wait"
    return warning(text, "0 open", fix="wait; docs/runbook.md, A host refuses")


@CHECKS.add("alerts", "alerts")
def alerts(snapshot: Snapshot, found: tuple[Alert, ...]) -> Finding:
    """Report open alerts, the newest by name."""
    if not found:
        return ok("none is open")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return warning(f"{found[0].kind} {found[0].subject}{more}", "0 open", fix=ALERTS)


def _seconds(snapshot: Snapshot, since: datetime) -> float:
    return max((snapshot.at - since).total_seconds(), 0.0)
