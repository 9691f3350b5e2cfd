"""The checks of `vinops health` on this machine: logs, database, backups, site, disk, CPU, memory, clock, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ops.checks.pipelines import DAY, HOUR, WRONG_CLOCK
from ops.checks.registry import Checks, unknown
from vinops.checks import Finding, Level, Limit, critical, ok, warning
from vinops.text.figures import age, percent, plural, size

if TYPE_CHECKING:
    from ops.observe.site import Site
    from ops.observe.snapshot import Backup, Database, Logs, Machine, Secrets, Snapshot

MB: Final = 1_000_000
GB: Final = 1_000_000_000

# A page that failed after its retries is one error; five an hour have a common cause.
ERRORS: Final = Limit(5, 50)
CONNECTIONS: Final = Limit(0.8, unit=lambda share: f"{percent(share)} of the connections")
# One backup a day, and an hour or two of patience with a slow one.
BACKUP: Final = Limit(26 * HOUR, 3 * DAY, age)
DISK: Final = Limit(0.8, 0.9, percent)
# Rotation leaves at most 17 logs of 10 MB with five old ones of each; a file of 20 MB is not rotated.
LOGS: Final = Limit(1 * GB, 5 * GB, size)
UNROTATED: Final = Limit(20 * MB, unit=size)
LOAD: Final = Limit(2, 8, "load {:g} a core".format)  # runnable processes
CPU: Final = Limit(0.95, unit=percent)
MEMORY: Final = Limit(0.9, 0.97, percent)
# Leases are minutes long and times are the database's: seconds do no harm yet.
CLOCK: Final = Limit(2, 30, "{:g} s".format)

PRUNE_LOGS: Final = "vinops logs --prune 7d"
FULL_DISK: Final = "docs/runbook.md, The disk is full"
ACTIVITY: Final = "vinops sql 'select application_name, count(*) from pg_stat_activity group by 1'"
START_SITE: Final = "systemctl start vinops-web.service, or by hand: nohup vinops web &"
RESTART_SITE: Final = "systemctl restart vinops-web.service, or by hand: end it, then nohup vinops web &"
SET_CLOCK: Final = "timedatectl set-ntp true"

CHECKS: Final = Checks()


@CHECKS.add("data", "machine")
def data(snapshot: Snapshot, found: Machine) -> Finding:
    """Report a data folder that is not there: what is judged is another one than the one in use, or nothing ran yet."""
    if found.has_data_dir:
        return ok(str(found.data_dir))
    text = f"{found.data_dir} is not there: nothing ran here yet, or vinops is run in the wrong folder"
    return warning(text, fix="vinops doctor; docs/runbook.md, Another data folder")


@CHECKS.add("errors", "logs")
def errors(snapshot: Snapshot, found: Logs) -> Finding:
    """Check the number of errors in the logs."""
    return ERRORS.judge(found.errors, f"{found.errors} in the last hour", fix="vinops logs --errors")


@CHECKS.add("database", "database", reads=("sizes",))
def database(snapshot: Snapshot, found: Database) -> Finding:
    """Check whether the database answers, is migrated, and has connections left."""
    if found.is_new:
        return warning("not set up: there is no database yet", fix="vinops migrate")
    if found.error is not None:
        return critical(found.error, fix=found.fix or "vinops doctor")
    used, most = found.connections or 0, found.most_connections or 1
    text = f"{f'{size(found.size)}, ' if found.size else ''}{used} of {most} connections, migrations current"
    finding = CONNECTIONS.judge(used / most, text, fix=ACTIVITY)
    return ok(text) if finding.level is Level.OK else finding


@CHECKS.add("backup", "backup")
def backup(snapshot: Snapshot, found: Backup) -> Finding:
    """Check the age of the newest verified backup that is not dated in the future."""
    ahead = f"{', '.join(found.ahead)} dated in the future, which does not count" if found.ahead else ""
    limit = age(BACKUP.warning)
    if found.at is None:
        if ahead:
            return warning(f"none but {ahead}", limit, fix=WRONG_CLOCK)
        if snapshot.database.is_new:
            return ok("nothing to back up yet: there is no database")
        return warning("not set up: there is none", limit, fix="vinops backup")
    seconds = max((snapshot.at - found.at).total_seconds(), 0.0)
    text = f"{age(seconds)} old, {size(found.bytes or 0)}" + (f"; {ahead}" if ahead else "")
    finding = BACKUP.judge(seconds, text, fix="vinops backup")
    return warning(text, limit, fix=WRONG_CLOCK) if ahead and finding.level is Level.OK else finding


@CHECKS.add("web", "site")
def web(snapshot: Snapshot, found: Site) -> Finding:
    """Check whether the site runs, if it has a public address, and whether it answers."""
    if found.address is None:
        if found.public_url is None:
            return ok("not started")
        return critical(f"{found.public_url} is not served: the site does not run", "running", fix=START_SITE)
    if found.answered == 200:
        return ok(f"answers at {found.address}")
    if found.answered is None:
        text = f"does not answer at {found.address} ({found.error})"
        return critical(text, "status 200", fix=RESTART_SITE)
    if found.answered == 503 and snapshot.database.error is not None:  # the check of the database says why
        text = f"at {found.address} pages say that the database is away"
        return Finding(level=Level.UNKNOWN, text=text, fix=snapshot.database.fix or "vinops doctor")
    return warning(f"answers at {found.address} with status {found.answered}", "status 200", fix="vinops logs web")


@CHECKS.add("disk", "machine")
def disk(snapshot: Snapshot, found: Machine) -> Finding:
    """Check whether the disks below the data folder and the log folder take writes, and how full they are."""
    return judge_disks(found)


def judge_disks(found: Machine) -> Finding:
    """Check the disks; for the alert of the supervisor, too."""
    for name, each in found.disks.items():
        if each.is_read_only:
            text = f"{name}: the file system of {each.path} is read-only, nothing can be stored"
            return critical(text, "writable", fix=f"mount it writable; `dmesg` says why it is not; {FULL_DISK}")
    name, fullest = max(found.disks.items(), key=lambda each: max(each[1].share, each[1].files))
    shares = ", ".join(f"{each} {percent(disk.share)}" for each, disk in found.disks.items())
    text = f"{shares}, {size(fullest.free)} free"
    if fullest.files > fullest.share:
        text += f", {name}: {percent(fullest.files)} of the files that it can have"
    share = max(fullest.share, fullest.files)
    is_critical = DISK.level(share) is Level.CRITICAL
    fix = f"vinops logs --prune 1d; {FULL_DISK}" if is_critical else PRUNE_LOGS if name == "logs" else "vinops forecast"
    return DISK.judge(share, text, fix=fix)


@CHECKS.add("logs", "logs")
def logs(snapshot: Snapshot, found: Logs) -> Finding:
    """Check whether logs can be written, their size, and whether they are rotated."""
    if not found.is_writable:
        fix = f"chown -R $(id -un) {found.folder}; where the line `disk` says read-only or full, that first"
        return critical(f"{found.folder} cannot be written", "writable", fix=fix)
    text = f"{size(found.bytes)}, the largest file {size(found.largest_bytes)}"
    finding = LOGS.judge(found.bytes, text, fix=PRUNE_LOGS)
    if finding.level is Level.OK and found.largest and UNROTATED.level(found.largest_bytes) is not Level.OK:
        text = f"{found.largest.name} has {size(found.largest_bytes)}: it is not rotated"
        return UNROTATED.judge(found.largest_bytes, text, fix=PRUNE_LOGS)
    return finding


@CHECKS.add("cpu", "machine")
def cpu(snapshot: Snapshot, found: Machine) -> Finding:
    """Check the load of each core, and how busy they are if there are more runnable processes than cores."""
    load = found.load / found.cores
    text = f"{percent(found.cpu)}, load {found.load:.1f} on {plural(found.cores, 'core')}"
    finding = LOAD.judge(load, text, fix="top")
    return CPU.judge(found.cpu, text, fix="top") if finding.level is Level.OK and load >= 1 else finding


@CHECKS.add("memory", "machine")
def memory(snapshot: Snapshot, found: Machine) -> Finding:
    """Check how much of the memory is in use."""
    text = f"{percent(found.memory)}, {size(found.memory_free)} free"
    return MEMORY.judge(found.memory, text, fix="ps aux --sort=-rss | head")


@CHECKS.add("clock", "database", reads=("clock",))
def clock(snapshot: Snapshot, found: Database) -> Finding:
    """Check how far this clock is from the database's, and whether it is synchronized."""
    if found.clock_offset is None:
        return unknown(snapshot, "clock")
    finding = skew(found.clock_offset)
    if finding.level is Level.OK and snapshot.clock_synchronized is False:
        return warning("not synchronized with a time server", fix=SET_CLOCK)
    return finding


def skew(seconds: float) -> Finding:
    """Check how far two clocks are apart; for `vinops doctor`, too."""
    return CLOCK.judge(abs(seconds), f"{abs(seconds):.1f} s from the database's", fix=SET_CLOCK)


@CHECKS.add("secrets", "secrets")
def secrets(snapshot: Snapshot, found: Secrets) -> Finding:
    """Report secrets that are set by half or can be read by others."""
    if found.problems:
        return warning("; ".join(found.problems), fix="vinops doctor")
    return ok(f"{found.count} set, readable" if found.count else "none is set")
