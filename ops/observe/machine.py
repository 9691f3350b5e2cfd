"""Reads the state of this machine: load, memory, disks, the Celery processes, the clock, backups, secrets."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from ops.backup import files as backup_files
from ops.credentials import OLD_SECRETS
from ops.observe.snapshot import Backup, Celery, Disk, Machine, Secrets, Supervision
from vinops import clock
from vinops.db import embedded
from vinops.storage.store import StoreError

if TYPE_CHECKING:
    from vinops.config import Settings

SYSTEMD: Final = Path("/run/systemd/system")  # there where systemd is the init, as sd_booted(3) says
TIMEDATECTL_SECONDS: Final = 5


def machine(settings: Settings) -> Machine:
    """Return the load of this machine; that of the CPU since the last call in this process. Raises OSError."""
    memory = psutil.virtual_memory()
    return Machine(
        cpu=cpu(),
        cores=psutil.cpu_count() or 1,
        load=psutil.getloadavg()[0],
        memory=memory.percent / 100,
        memory_size=memory.total,
        memory_free=memory.available,
        data_disk=min(map(disk, _data_folders(settings)), key=lambda each: (not each.is_read_only, each.free)),
        log_disk=disk(settings.log_dir),
        data_dir=settings.data_dir.absolute(),
        has_data_dir=settings.data_dir.is_dir(),
    )


def cpu() -> float:
    """Return the share of the CPU in use since the last call in this process, 0 to 1."""
    return float(psutil.cpu_percent(interval=None)) / 100


def _data_folders(settings: Settings) -> list[Path]:
    """Return the data folder, and that of its database if a link leads to it."""
    database = embedded.folder(settings.data_dir)
    is_elsewhere = settings.database_url is None and database.parent != settings.data_dir.resolve()
    return [settings.data_dir, *([database] if is_elsewhere else [])]


def disk(folder: Path) -> Disk:
    """Return the file system of a folder, or of its first parent that exists. Raises OSError."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    usage, system = psutil.disk_usage(str(place)), os.statvfs(place)
    return Disk(
        path=folder,
        size=usage.total,
        used=usage.used,
        free=usage.free,
        files=1 - system.f_favail / system.f_files if system.f_files else 0.0,
        is_read_only=bool(system.f_flag & os.ST_RDONLY),
    )


def celery(settings: Settings) -> Celery:
    """Return the processes of `celery -A deals` that work on this data folder, whoever started them: units of systemd,
    this command line, or a person. Raises ProcessError."""
    from ops.workers import backends, celery as processes, registry

    programs = registry.celery(settings)
    workers, beats = (
        (*([status.pid] if status.pid else []), *processes.duplicates(settings, status))
        for status in backends.backend(settings, programs).status(programs)
    )
    return Celery(
        workers=workers,
        children=sum(map(_children, workers)),
        beats=beats,
        since=max((at for at in map(_began, [*workers, *beats]) if at), default=None),
    )


def supervisor(settings: Settings) -> Supervision:
    """Return the supervisor of this data folder."""
    from ops.workers import supervisor as supervising

    return Supervision(pid=supervising.pid(settings), every=settings.supervise_every)


def _began(pid: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC)
    except psutil.Error:
        return None


def _children(pid: int) -> int:
    try:
        return len(psutil.Process(pid).children())
    except psutil.Error:
        return 0


def clock_synchronized() -> bool | None:
    """Return whether systemd reports the clock as synchronized, None without systemd."""
    if not SYSTEMD.is_dir():
        return None
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEDATECTL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())


def backup(settings: Settings) -> Backup:
    """Return the last verified backup of this machine, wherever it went; if that is dated in the future, the newest in
    the folder that is not."""
    folder, now = backup_files.folder_of(settings), clock.now()
    store = backup_files.in_folder(folder)
    try:
        ahead = backup_files.candidates(store, now)[1]
    except StoreError:
        ahead = []
    last = backup_files.last_backup(settings)
    if last is not None and clock.is_ahead(last.time, now):
        ahead = [last.name, *(name for name in ahead if name != last.name)]
        found, _ = backup_files.counted(backup_files.verified(store)[0], now)
        last = found[0] if found else None
    if last is None:
        return Backup(folder=folder, newest=None, at=None, bytes=None, ahead=tuple(ahead))
    return Backup(folder=folder, newest=folder / last.name, at=last.time, bytes=last.bytes, ahead=tuple(ahead))


def secrets(settings: Settings) -> Secrets:
    """Return the number of secrets that are set, and what is wrong with them."""
    problems = []
    if bool(settings.copart_username) != bool(settings.copart_password):
        problems.append("of COPART_USERNAME and COPART_PASSWORD only one is set")
    if settings.telegram_bot_token and not (settings.telegram_channel_id or settings.telegram_alert_chat_id):
        problems.append("TELEGRAM_BOT_TOKEN is set, but no chat to write to")
    dotenv = Path(".env")
    if settings.secrets() and dotenv.is_file() and dotenv.stat().st_mode & 0o007:
        problems.append(".env can be read by everybody on this machine: chmod 600 .env")
    old = clock.days_since(dotenv.stat().st_mtime) if settings.secrets() and dotenv.is_file() else 0.0
    if settings.secret_days and old > settings.secret_days:
        problems.append(f".env was last changed {old:.0f} days ago: {OLD_SECRETS}")
    return Secrets(count=len(settings.secrets()), problems=tuple(problems))
