"""The judgement of a snapshot: a rule for each line of the health check.

What was never set up is said, and is no emergency. What could not be looked at is UNKNOWN, never OK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ops.checks.lines import Health, Level, Line, Thresholds
from ops.show.figures import age, percent, plural, size
from vinops import clock

if TYPE_CHECKING:
    from datetime import datetime

    from ops.observe.snapshot import Disk, Run, Snapshot, Worker


def judge(snapshot: Snapshot, limits: Thresholds | None = None) -> Health:
    """Judge a snapshot. Pure: the same snapshot gives the same lines."""
    limits = limits or Thresholds()
    return Health(at=snapshot.at, lines=tuple(_line(name, rule, snapshot, limits) for name, rule in RULES.items()))


Rule = Callable[["Snapshot", Thresholds], Line]


def _line(name: str, rule: Rule, snapshot: Snapshot, limits: Thresholds) -> Line:
    return replace(rule(snapshot, limits), name=name)


def _ok(figure: str, threshold: str = "") -> Line:
    return Line(name="", level=Level.OK, figure=figure, threshold=threshold)


def _warning(figure: str, threshold: str = "", *, mend: str) -> Line:
    return Line(name="", level=Level.WARNING, figure=figure, threshold=threshold, mend=mend)


def _critical(figure: str, threshold: str = "", *, mend: str) -> Line:
    return Line(name="", level=Level.CRITICAL, figure=figure, threshold=threshold, mend=mend)


def _unknown(snapshot: Snapshot, part: str) -> Line:
    """Return the line of what could not be looked at; what comes from the database fails with it."""
    if part in snapshot.faults:
        return Line(name="", level=Level.UNKNOWN, figure=snapshot.faults[part], mend="vinops doctor")
    if snapshot.database.is_new:
        return _ok("nothing yet: there is no database")
    return Line(name="", level=Level.UNKNOWN, figure="the database does not answer", mend=snapshot.database.mend or "")


def _graded(value: float, warning: float, critical: float) -> Level:
    return Level.CRITICAL if value >= critical else Level.WARNING if value >= warning else Level.OK


def _seconds(snapshot: Snapshot, since: datetime) -> float:
    return max((snapshot.at - since).total_seconds(), 0.0)


def _workers(snapshot: Snapshot, _: Thresholds) -> Line:
    if snapshot.workers is None:
        return _unknown(snapshot, "workers")
    started = [worker for worker in snapshot.workers if worker.started_at is not None or worker.pid is not None]
    if not started:
        return _ok("not set up: none was ever started (`vinops workers start`)")
    states = [worker.state for worker in started]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    named = {state: [worker for worker in started if worker.state == state] for state in ("dead", "failed")}
    if dead := named["dead"]:
        return _critical(
            f"{_names(dead)} died, {states.count('running')} run",
            "0 dead",
            mend=f"vinops workers start {_numbers(dead)}",
        )
    if failed := named["failed"]:
        ends = ", ".join(f"{worker.name}: {end_of(worker)}" for worker in failed)
        return _warning(f"{_names(failed)} failed ({ends})", "0 failed", mend=f"vinops logs {failed[0].name}")
    return _ok(counts)


def _names(workers: list[Worker]) -> str:
    return f"worker{'s' if len(workers) > 1 else ''} {', '.join(worker.name for worker in workers)}"


def _numbers(workers: list[Worker]) -> str:
    return " ".join(worker.name for worker in workers)


def end_of(worker: Worker) -> str:
    """Return why a worker ended: what its run says, else how its process ended."""
    code = f"exit code {worker.exit_code}" if worker.exit_code is not None else "no exit code"
    return (worker.run.reason if worker.run else None) or code


def _progress(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.workers is None:
        return _unknown(snapshot, "workers")
    running = [worker for worker in snapshot.workers if worker.state == "running"]
    if not running:
        return _ok("nothing runs")
    if snapshot.database.error is not None:
        return _unknown(snapshot, "runs")
    silences = {worker.name: silence(worker, snapshot.at) for worker in running}
    longest = max(silences, key=lambda name: silences[name])
    late = limits.heartbeat_warning * snapshot.silence
    level = _graded(silences[longest], late, snapshot.silence)
    if level is not Level.OK:
        stuck = [worker for worker in running if silences[worker.name] >= late]
        return Line(
            name="",
            level=level,
            figure=f"no sign of {_names(stuck)} for {age(silences[longest])}",
            threshold=age(snapshot.silence),
            mend=f"vinops workers restart {_numbers(stuck)}",
        )
    asked = max((host.asked_at for host in snapshot.hosts or ()), default=None)
    is_shut_out = any(host.open_until for host in snapshot.hosts or ())
    begun = min((worker.started_at for worker in running if worker.started_at), default=snapshot.at)
    quiet = _seconds(snapshot, max(asked, begun) if asked else begun)
    if quiet >= limits.quiet and not is_shut_out:
        return _warning(
            f"{plural(len(running), 'worker')} run, and no request for {age(quiet)}",
            age(limits.quiet),
            mend=f"vinops logs {running[0].name}",
        )
    return _ok(f"{plural(len(running), 'worker')} at work, the last sign {age(silences[longest])} ago")


def _crawls(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.runs is None:
        return _unknown(snapshot, "runs")
    lacking = [(run, run.shortfalls) for run in snapshot.runs if run.shortfalls]
    if not lacking:
        return _ok(
            f"{plural(len(snapshot.runs), 'run')} in the last day, none of which mostly failed", percent(limits.failed)
        )
    said = "; ".join(f"{_crawl(run)}: {', '.join(shortfalls)}" for run, shortfalls in lacking)
    name = "photos" if lacking[0][0].spider == "lot_photos" else lacking[0][0].worker or ""
    return _warning(said, percent(limits.failed), mend=" ".join(f"vinops logs {name} --errors".split()))


def _crawl(run: Run) -> str:
    return f"{run.spider} {run.worker}" if run.worker else run.spider


def silence(worker: Worker, now: datetime) -> float:
    """Return for how many seconds a running worker has given no sign: since its run's heartbeat, or its start."""
    since = worker.run.heartbeat_at if worker.run else worker.started_at
    if worker.run and worker.started_at:
        since = max(worker.run.heartbeat_at, worker.started_at)
    return max((now - since).total_seconds(), 0.0) if since else 0.0


def _celery(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.celery is None:
        return _unknown(snapshot, "celery")
    workers, beats = snapshot.celery.workers, snapshot.celery.beats
    if len(workers) > 1 or len(beats) > 1:
        twice, pids = ("workers", workers) if len(workers) > 1 else ("beats", beats)
        said = f"more than one of the {twice}: PIDs {', '.join(map(str, pids))}"
        return _warning(said, "one of each", mend=f"kill {' '.join(map(str, pids[1:]))}")
    if workers and beats:
        quiet = _since_a_task(snapshot)
        if quiet is not None and quiet >= snapshot.silence:
            figure = f"worker {workers[0]} and beat run, and no task was done for {age(quiet)}"
            return _critical(figure, age(snapshot.silence), mend="vinops celery restart")
        return _ok(f"worker {workers[0]} with {plural(snapshot.celery.children, 'process', 'processes')}, beat")
    if workers:
        return _warning(f"worker {workers[0]}, but no beat: nobody rings", "one of each", mend="vinops celery restart")
    stages = snapshot.deals.stages if snapshot.deals else ()
    waiting = sum(stage.waiting for stage in stages)
    oldest = min((stage.oldest for stage in stages if stage.oldest), default=None)
    if oldest is None:
        return _ok("not running, and nothing waits for it" if snapshot.deals else "not running")
    level = Level.CRITICAL if _seconds(snapshot, oldest) >= limits.backlog_warning else Level.WARNING
    figure = f"not running, {_waiting(waiting)}, for {age(_seconds(snapshot, oldest))}"
    return Line(name="", level=level, figure=figure, threshold="1 worker", mend="vinops celery start")


def _since_a_task(snapshot: Snapshot) -> float | None:
    """Return for how many seconds Celery has run here without a task done; None if that is not known."""
    if snapshot.deals is None or snapshot.celery is None:
        return None
    moments = [at for at in (snapshot.deals.last_task_at, snapshot.celery.since) if at is not None]
    return _seconds(snapshot, max(moments)) if moments else None


def _backlog(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.deals is None:
        return _unknown(snapshot, "deals")
    stages = [stage for stage in snapshot.deals.stages if stage.oldest]
    dead = sum(stage.dead for stage in snapshot.deals.stages)
    if stages:
        slowest = min(stages, key=lambda stage: stage.oldest or snapshot.at)
        waits = _seconds(snapshot, slowest.oldest or snapshot.at)
        level = _graded(waits, limits.backlog_warning, limits.backlog_critical)
        figure = f"{_waiting(sum(stage.waiting for stage in stages))}, {slowest.stage} for {age(waits)}"
        if level is not Level.OK:
            limit = limits.backlog_critical if level is Level.CRITICAL else limits.backlog_warning
            return Line(name="", level=level, figure=figure, threshold=age(limit), mend="vinops deals run")
    else:
        figure = "no ad waits"
    if dead:
        return _warning(f"{plural(dead, 'ad')} given up", "0", mend="vinops deals dead")
    return _ok(figure, age(limits.backlog_warning))


def _waiting(ads: int) -> str:
    return f"{plural(ads, 'ad')} wait{'s' if ads == 1 else ''}"


def _database(snapshot: Snapshot, limits: Thresholds) -> Line:
    found = snapshot.database
    if found.is_new:
        return _warning("not set up: there is no database yet", mend="vinops migrate")
    if found.error is not None:
        return _critical(found.error, mend=found.mend or "vinops doctor")
    used, most = found.connections or 0, found.most_connections or 1
    figure = f"{f'{size(found.size)}, ' if found.size else ''}{used} of {most} connections, migrations current"
    if used / most >= limits.connections:
        return _warning(figure, f"{percent(limits.connections)} of the connections", mend=CONNECTIONS)
    return _ok(figure)


CONNECTIONS: Final = "vinops sql 'select application_name, count(*) from pg_stat_activity group by 1'"


def _disk(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.machine is None:
        return _unknown(snapshot, "machine")
    disks = {"data": snapshot.machine.data_disk, "logs": snapshot.machine.log_disk}
    name = max(disks, key=lambda each: disks[each].share)
    fullest: Disk = disks[name]
    level = _graded(fullest.share, limits.disk_warning, limits.disk_critical)
    figure = ", ".join(f"{each} {percent(disk.share)}" for each, disk in disks.items())
    if level is Level.OK:
        return _ok(f"{figure}, {size(fullest.free)} free", percent(limits.disk_warning))
    limit = limits.disk_critical if level is Level.CRITICAL else limits.disk_warning
    mend = "vinops logs --prune 7d" if name == "logs" else "vinops forecast"
    return Line(
        name="", level=level, figure=f"{figure}, {size(fullest.free)} free", threshold=percent(limit), mend=mend
    )


def _logs(snapshot: Snapshot, limits: Thresholds) -> Line:
    logs = snapshot.logs
    if logs is None:
        return _unknown(snapshot, "logs")
    if not logs.is_writable:
        return _critical(f"{logs.folder} cannot be written", "writable", mend=f"chown -R $(id -un) {logs.folder}")
    level = _graded(logs.bytes, limits.logs_warning, limits.logs_critical)
    if level is not Level.OK:
        limit = limits.logs_critical if level is Level.CRITICAL else limits.logs_warning
        return Line(name="", level=level, figure=size(logs.bytes), threshold=size(limit), mend="vinops logs --prune 7d")
    if logs.largest is not None and logs.largest_bytes >= limits.unrotated:
        return _warning(
            f"{logs.largest.name} has {size(logs.largest_bytes)}: it is not rotated",
            size(limits.unrotated),
            mend="vinops logs --prune 7d",
        )
    return _ok(f"{size(logs.bytes)}, the largest file {size(logs.largest_bytes)}", size(limits.logs_warning))


def _cpu(snapshot: Snapshot, limits: Thresholds) -> Line:
    machine = snapshot.machine
    if machine is None:
        return _unknown(snapshot, "machine")
    a_core = machine.load / machine.cores
    figure = f"{percent(machine.cpu)}, load {machine.load:.1f} on {plural(machine.cores, 'core')}"
    level = _graded(a_core, limits.load_warning, limits.load_critical)
    if level is not Level.OK:
        limit = limits.load_critical if level is Level.CRITICAL else limits.load_warning
        return Line(name="", level=level, figure=figure, threshold=f"load {limit:g} a core", mend="top")
    if machine.cpu >= limits.cpu and a_core >= 1:
        return _warning(figure, percent(limits.cpu), mend="top")
    return _ok(figure, f"load {limits.load_warning:g} a core")


def _memory(snapshot: Snapshot, limits: Thresholds) -> Line:
    machine = snapshot.machine
    if machine is None:
        return _unknown(snapshot, "machine")
    level = _graded(machine.memory, limits.memory_warning, limits.memory_critical)
    figure = f"{percent(machine.memory)}, {size(machine.memory_free)} free"
    if level is Level.OK:
        return _ok(figure, percent(limits.memory_warning))
    limit = limits.memory_critical if level is Level.CRITICAL else limits.memory_warning
    return Line(name="", level=level, figure=figure, threshold=percent(limit), mend="ps aux --sort=-rss | head")


def _errors(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.logs is None:
        return _unknown(snapshot, "logs")
    count = snapshot.logs.errors
    level = _graded(count, limits.errors_warning, limits.errors_critical)
    figure = f"{count} in the last hour"
    if level is Level.OK:
        return _ok(figure, str(limits.errors_warning))
    limit = limits.errors_critical if level is Level.CRITICAL else limits.errors_warning
    return Line(name="", level=level, figure=figure, threshold=str(limit), mend="vinops logs --errors")


def _alerts(snapshot: Snapshot, _: Thresholds) -> Line:
    if snapshot.alerts is None:
        return _unknown(snapshot, "alerts")
    if not snapshot.alerts:
        return _ok("none is open")
    newest = snapshot.alerts[0]
    more = f", and {len(snapshot.alerts) - 1} more" if len(snapshot.alerts) > 1 else ""
    return _warning(f"{newest.kind} {newest.subject}{more}", "0 open", mend=ALERTS)


ALERTS: Final = "vinops sql -x 'select * from ops.alerts where cleared_at is null'"


def _hosts(snapshot: Snapshot, _: Thresholds) -> Line:
    if snapshot.hosts is None:
        return _unknown(snapshot, "hosts")
    shut = [host for host in snapshot.hosts if host.open_until]
    if not shut:
        return _ok(f"no breaker is open, {plural(len(snapshot.hosts), 'host')} asked lately")
    first = shut[0]
    left = (first.open_until - snapshot.at).total_seconds() if first.open_until else 0
    figure = f"{', '.join(host.host for host in shut)} refused us ({first.last_refusal}): {age(left)} to wait"
    return _warning(figure, "0 open", mend="wait; docs/runbook.md, A host refuses")


def _feed(snapshot: Snapshot, limits: Thresholds) -> Line:
    feed = snapshot.feed
    if feed is None:
        return _unknown(snapshot, "feed")
    if feed.good_at is None and not feed.is_configured:
        return _ok("not set up: COPART_CSV_URL is not set")
    mend = "python -m etl run" if feed.is_configured else "set COPART_CSV_URL in .env"
    if feed.good_at is None:
        why = f", the last run: {feed.status} ({feed.reason})" if feed.status else ""
        return _warning(f"no file was ever loaded{why}", mend=mend)
    if clock.is_ahead(feed.good_at, snapshot.at):
        ahead = age((feed.good_at - snapshot.at).total_seconds())
        return _warning(f"its last run is dated {ahead} in the future", mend=WRONG_CLOCK)
    seconds = _seconds(snapshot, feed.good_at)
    level = _graded(seconds, limits.feed_warning, limits.feed_critical)
    why = f", last run {feed.status} ({feed.reason})" if feed.status in {"refused", "failed"} else ""
    figure = f"{age(seconds)} old{why}"
    if level is Level.OK:
        return _ok(figure, age(limits.feed_warning))
    if not feed.is_configured:  # loaded by hand, or this shell lacks the setting: no reason to wake anybody
        return _warning(f"{figure}, and COPART_CSV_URL is not set", age(limits.feed_warning), mend=mend)
    limit = limits.feed_critical if level is Level.CRITICAL else limits.feed_warning
    return Line(name="", level=level, figure=figure, threshold=age(limit), mend=mend)


def _photos(snapshot: Snapshot, limits: Thresholds) -> Line:
    photos = snapshot.photos
    if photos is None:
        return _unknown(snapshot, "photos")
    if photos.share is None:
        return _ok("no active lot")
    if photos.last_run_at is None and not photos.settled:
        return _ok("not set up: no photo crawl ever ran")
    days = photos.days_to_drain
    drain = f", {days:.1f} days to go" if days is not None else ""
    stuck = ", and no lot of the last run ended well" if photos.is_stuck else ""
    figure = f"{percent(photos.share)} of {plural(photos.active, 'lot')}{drain}{stuck}"
    if photos.share >= limits.coverage:
        return _ok(figure, percent(limits.coverage))
    idle = _seconds(snapshot, photos.last_run_at) if photos.last_run_at else None
    mend = "vinops workers start photos"
    if idle is None or idle >= limits.photos_idle:
        since = f", and no crawl for {age(idle)}" if idle is not None else ", and no crawl"
        return _critical(figure + since, percent(limits.coverage), mend=mend)
    if photos.is_stuck:
        return _critical(figure, percent(limits.coverage), mend="vinops logs photos --errors")
    if days is not None and days <= limits.drain_days:
        return _ok(figure, f"{limits.drain_days:g} days")
    return _warning(figure, f"{percent(limits.coverage)}, or {limits.drain_days:g} days", mend="vinops forecast")


def _backup(snapshot: Snapshot, limits: Thresholds) -> Line:
    backup = snapshot.backup
    if backup is None:
        return _unknown(snapshot, "backup")
    ahead = f"{', '.join(backup.ahead)} dated in the future, which does not count" if backup.ahead else ""
    if backup.at is None:
        if ahead:
            return _warning(f"none but {ahead}", age(limits.backup_warning), mend=WRONG_CLOCK)
        if snapshot.database.is_new:
            return _ok("nothing to keep yet: there is no database")
        return _warning("not set up: there is none", age(limits.backup_warning), mend="vinops backup")
    seconds = _seconds(snapshot, backup.at)
    level = _graded(seconds, limits.backup_warning, limits.backup_critical)
    figure = f"{age(seconds)} old, {size(backup.bytes or 0)}"
    limit = limits.backup_critical if level is Level.CRITICAL else limits.backup_warning
    if ahead and level is Level.OK:
        return _warning(f"{figure}; {ahead}", age(limit), mend=WRONG_CLOCK)
    return Line(
        name="",
        level=level,
        figure=f"{figure}; {ahead}" if ahead else figure,
        threshold=age(limit),
        mend="" if level is Level.OK else "vinops backup",
    )


WRONG_CLOCK: Final = "date; docs/runbook.md, A wrong clock"


def _secrets(snapshot: Snapshot, _: Thresholds) -> Line:
    if snapshot.secrets.problems:
        return _warning("; ".join(snapshot.secrets.problems), mend="vinops doctor")
    return _ok(f"{snapshot.secrets.count} set, readable" if snapshot.secrets.count else "none is set")


def _clock(snapshot: Snapshot, limits: Thresholds) -> Line:
    if snapshot.database.clock_offset is None:
        return _unknown(snapshot, "clock")
    off = abs(snapshot.database.clock_offset)
    level = _graded(off, limits.clock_warning, limits.clock_critical)
    figure = f"{off:.1f} s from the database's"
    if level is not Level.OK:
        limit = limits.clock_critical if level is Level.CRITICAL else limits.clock_warning
        return Line(name="", level=level, figure=figure, threshold=f"{limit:g} s", mend="timedatectl set-ntp true")
    if snapshot.clock_synchronized is False:
        return _warning("not synchronized with a time server", mend="timedatectl set-ntp true")
    return _ok(figure, f"{limits.clock_warning:g} s")


RULES: Final[dict[str, Rule]] = {
    "workers": _workers,
    "progress": _progress,
    "crawls": _crawls,
    "celery": _celery,
    "backlog": _backlog,
    "feed": _feed,
    "photos": _photos,
    "hosts": _hosts,
    "alerts": _alerts,
    "errors": _errors,
    "database": _database,
    "backup": _backup,
    "disk": _disk,
    "logs": _logs,
    "cpu": _cpu,
    "memory": _memory,
    "clock": _clock,
    "secrets": _secrets,
}
