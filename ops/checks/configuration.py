"""What `vinops doctor` looks at: each check yields findings, none changes anything that matters.

Each imports what it needs: a fault of one part is not to hide what the others say.
"""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from vinops import config
from vinops.config import ConfigError, Settings, Survey
from vinops.db import database, embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Survey], Iterator["Finding"]]

Level = Literal["OK", "WARNING", "ERROR"]

PYTHON: Final = (3, 11)
OLDEST_SERVER: Final = 15  # Debian 12's; the tests run on 18
GIGABYTE: Final = 1e9
LOW_SPACE: Final = 10 * GIGABYTE  # a day of photos has about this
NO_SPACE: Final = 1 * GIGABYTE
SKEW_SECONDS: Final = 5.0
ONLINE_SECONDS: Final = 15.0
MANY_REQUESTS: Final = 200_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check says of a subject, and what mends it if it is not OK."""

    level: Level
    subject: str
    text: str
    mend: str = ""


def fault(subject: str, error: Exception, *, level: Level = "ERROR") -> Finding:
    """Return a finding of an error of ours, whose message ends in what mends it."""
    text, colon, mend = " ".join(str(error).split()).rpartition(": ")
    return Finding(level=level, subject=subject, text=text if colon else mend, mend=mend if colon else "")


def python(_: Survey) -> Iterator[Finding]:
    """Look at the interpreter and its idea of text."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield Finding(level="ERROR", subject="python", text=f"{version} is older than 3.11", mend="run `make setup`")
    else:
        yield Finding(level="OK", subject="python", text=version)
    encodings = {sys.getfilesystemencoding().lower(), locale.getencoding().lower()}
    if encodings <= {"utf-8", "utf8"}:
        yield Finding(level="OK", subject="locale", text="UTF-8")
    else:
        yield Finding(
            level="WARNING",
            subject="locale",
            text=f"text is {', '.join(sorted(encodings))} here: names and words that are not English break",
            mend="set LANG=C.UTF-8",
        )


def variables(survey: Survey) -> Iterator[Finding]:
    """Look at each variable: whether it is set and fits, and whether a name is one."""
    from difflib import get_close_matches

    for variable, message in survey.problems.items():
        yield fault(variable, ConfigError(message))
    for variable, source in survey.sources.items():
        if variable not in survey.problems:
            yield Finding(level="OK", subject=variable, text=f"set in {source}")
    for name, source in survey.unknown.items():
        close = get_close_matches(name, config.variables(), n=1, cutoff=0.7)
        mend = f"did you mean {close[0]}?" if close else "remove it; .env.example has all names"
        yield Finding(level="WARNING", subject=name, text=f"set in {source}, and nobody reads it", mend=mend)
    missing = len(config.variables()) - len(survey.sources)
    yield Finding(level="OK", subject="settings", text=f"{len(survey.sources)} set, {missing} have their default")


def dotenv(survey: Survey) -> Iterator[Finding]:
    """Look who can read .env."""
    path = Path(".env")
    if not path.is_file():
        return
    mode = path.stat().st_mode & 0o777
    secret = config.secret_variables(survey.settings) & {
        name for name, source in survey.sources.items() if source == ".env"
    }
    if secret and mode & 0o077:
        yield Finding(
            level="ERROR" if mode & 0o007 else "WARNING",
            subject=".env",
            text=f"it holds secrets, and others can read it (mode {mode:04o})",
            mend="chmod 600 .env",
        )
    else:
        yield Finding(level="OK", subject=".env", text=f"mode {mode:04o}")


def folders(survey: Survey) -> Iterator[Finding]:
    """Look whether the folders can be written, and have room."""
    settings = survey.settings
    for variable, folder in (("VINOPS_DATA_DIR", settings.data_dir), ("VINOPS_LOG_DIR", settings.log_dir)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        try:
            if not there.is_dir():
                raise NotADirectoryError(20, f"{there} is no folder")
            if there == folder:
                with tempfile.TemporaryFile(dir=folder):
                    pass
            elif not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            text = f"{folder} cannot be written ({error.strerror})"
            yield Finding(level="ERROR", subject=variable, text=text, mend="set it to a folder of yours")
            continue
        free = shutil.disk_usage(there).free
        state = "can be written" if there == folder else "is made on first use"
        text = f"{folder} {state}, {free / GIGABYTE:,.0f} GB free"
        level: Level = "ERROR" if free < NO_SPACE else "WARNING" if free < LOW_SPACE else "OK"
        mend = "" if level == "OK" else "free space, or name a folder on another disk"
        yield Finding(level=level, subject=variable, text=text, mend=mend)


def the_database(survey: Survey) -> Iterator[Finding]:
    """Look whether the database can be reached, is migrated, and lets this role work. The embedded one is not made
    for that."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    settings = survey.settings
    if "DATABASE_URL" in survey.problems:
        return
    if settings.database_url is None:
        try:
            embedded.binary("postgres")
        except embedded.ServerError as error:
            yield fault("database", error)
            return
        if not (embedded.folder(settings.data_dir) / "data" / "PG_VERSION").exists():
            yield Finding(
                level="OK", subject="database", text=f"embedded PostgreSQL {embedded.MAJOR}, made on first use"
            )
            return
    try:
        address = make_conninfo(database.address(settings, "vinops doctor"), connect_timeout=5)
        with psycopg.connect(address, autocommit=True) as connection:
            yield from _of_server(connection, settings)
    except psycopg.OperationalError as error:
        yield Finding(
            level="ERROR",
            subject="database",
            text=f"not reached: {' '.join(str(error).split())}",
            mend="check DATABASE_URL and that the server runs, or leave it empty for the embedded one",
        )
    except psycopg.errors.InsufficientPrivilege as error:
        text = f"this role may not look: {error.diag.message_primary}"
        yield Finding(level="ERROR", subject="rights", text=text, mend="run vinops as the owner of the tables")
    except (psycopg.Error, database.DatabaseError) as error:
        yield fault("database", error)


def _of_server(connection: Any, settings: Settings) -> Iterator[Finding]:
    from psycopg.rows import dict_row

    queries = database.queries("doctor")
    asked = time.time()
    with connection.cursor(row_factory=dict_row) as cursor:
        row: dict[str, Any] = cursor.execute(queries["server"]).fetchone()
    skew = abs(row["now"].timestamp() - (asked + time.time()) / 2)
    kind = "embedded" if settings.database_url is None else "DATABASE_URL"
    old = row["version_number"] < OLDEST_SERVER * 10_000
    yield Finding(
        level="WARNING" if old else "OK",
        subject="database",
        text=f"PostgreSQL {row['version']} ({kind}), {row['bytes'] / 1e6:,.0f} MB",
        mend=f"upgrade it to PostgreSQL {OLDEST_SERVER} or newer" if old else "",
    )
    if row["encoding"] != "UTF8":
        text = f"its encoding is {row['encoding']}: Bulgarian texts cannot be stored"
        yield Finding(level="ERROR", subject="database", text=text, mend="create it with `encoding 'UTF8'`")
    yield from _of_schema(connection, row, settings)
    if skew > SKEW_SECONDS:
        text = f"this machine and the database's differ by {skew:,.0f} s: leases and budgets go wrong"
        yield Finding(level="ERROR", subject="clock", text=text, mend="timedatectl set-ntp true, on both")
    else:
        yield Finding(level="OK", subject="clock", text=f"within {skew:.1f} s of the database's")


def _of_schema(connection: Any, row: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    if row["has_service_roles"]:
        found = list(_of_roles(connection, row["role_name"]))
        yield from found
        if any(each.level == "ERROR" for each in found):
            return  # what follows asks with these rights
    yield from _of_migrations(connection, row, settings)
    if not row["has_service_roles"]:
        yield from _of_one_role(connection, row["role_name"])


def _of_roles(connection: Any, role: str) -> Iterator[Finding]:
    """Look at the roles of all services, as one of them."""
    from ops.backup import dumps
    from ops.checks.roles import BACKUP, OWNER, look

    roles = look(connection)
    mend = "as the server's administrator run deploy/sql/roles.sql, then deploy/sql/grants.sql, in this database"
    if roles.absent:
        text = f"{len(roles.absent)} roles of services are not there, as {roles.absent[0]}"
        yield Finding(level="ERROR", subject="rights", text=text, mend=mend)
    if roles.missing:
        text = f"{len(roles.missing)} rights of services are missing, as {roles.missing[0]}"
        yield Finding(level="ERROR", subject="rights", text=text, mend=mend)
    if role == OWNER and (forbidden := _forbidden(connection)):
        text = f"{role} does not own all tables, as {forbidden[0]}"
        mend_owner = f"as the server's administrator run `alter table … owner to {role}`"
        yield Finding(level="ERROR", subject="rights", text=text, mend=mend_owner)
    elif not roles.absent and not roles.missing:
        text = f"{len(roles.names)} roles of services have what they need; this is {role}"
        yield Finding(level="OK", subject="rights", text=text)
    if BACKUP in roles.absent:
        return
    if not roles.can_back_up:
        text = f"{BACKUP} may not read everything and create databases, and a backup is tried in one of its own"
        yield Finding(level="WARNING", subject="backups", text=text, mend=mend)
        return
    try:
        which = dumps.programs(connection)
        yield Finding(
            level="OK", subject="backups", text=f"pg_dump {which.major}, scratch databases allowed to {BACKUP}"
        )
    except dumps.BackupError as error:
        yield fault("backups", error, level="WARNING")


def _of_migrations(connection: Any, row: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    waiting = database.pending(connection)
    is_owner = row["may_create_schemas"] or row["has_service_roles"]  # then `vinops migrate` is, if not this role
    if waiting and settings.database_url is not None and not is_owner:
        text = f"{row['role_name']} may not create schemas, which migrations do"
        mend = f"as its owner run `grant create on database … to {row['role_name']}`"
        yield Finding(level="ERROR", subject="migrations", text=text, mend=mend)
    elif waiting:
        text = f"{len(waiting)} are missing"
        yield Finding(level="WARNING", subject="migrations", text=text, mend="run `vinops migrate`")
    else:
        yield Finding(level="OK", subject="migrations", text="all applied")


def _forbidden(connection: Any) -> list[str]:
    """Return the tables of ours that this role cannot read or write."""
    return [str(name) for (name,) in connection.execute(database.queries("doctor")["forbidden_tables"]).fetchall()]


def _of_one_role(connection: Any, role: str) -> Iterator[Finding]:
    """Look whether this role can do everything, as there is no other."""
    from ops.backup import dumps

    if forbidden := _forbidden(connection):
        text = f"{role} may not read and write {len(forbidden)} tables, as {forbidden[0]}"
        yield Finding(level="ERROR", subject="rights", text=text, mend="run vinops as the owner of the tables")
    try:
        dumps.require_create(connection)
        which = dumps.programs(connection)
        yield Finding(level="OK", subject="backups", text=f"pg_dump {which.major}, scratch databases allowed")
    except dumps.BackupError as error:
        yield fault("backups", error, level="WARNING")


def store(survey: Survey) -> Iterator[Finding]:
    """Write a trial object where photos go, and remove it."""
    from vinops.storage.opening import open_photos
    from vinops.storage.store import StoreError

    if any(variable.startswith("R2") for variable in survey.problems):
        return
    settings = survey.settings
    if settings.r2_endpoint is None and not settings.data_dir.exists():
        yield Finding(level="OK", subject="photos", text="kept in a folder of the data folder, made on first use")
        return
    try:
        with closing(open_photos(settings)) as opened:
            opened.check()
            yield Finding(level="OK", subject="photos", text=f"can be stored in {opened.describe()}")
    except StoreError as error:
        yield fault("photos", error)


def chromium(survey: Survey) -> Iterator[Finding]:
    """Start the browser far enough to tell its version."""
    from vinops_scrapy.copart.browser import find_chromium, version

    try:
        path = find_chromium(survey.settings)
        yield Finding(level="OK", subject="chromium", text=f"{version(path)} ({path})")
    except ConfigError as error:
        needed = survey.settings.copart_username is not None or survey.settings.chromium_path is not None
        yield fault("chromium", error, level="ERROR" if needed else "WARNING")


def member(survey: Survey) -> Iterator[Finding]:
    """Look at what belongs together on the auction side."""
    settings = survey.settings
    if settings.copart_csv_url is None and "COPART_CSV_URL" not in survey.problems:
        text = "COPART_CSV_URL is not set: no feed is fetched"
        yield Finding(level="WARNING", subject="feed", text=text, mend="set it to the address from the member page")
    if (settings.copart_username is None) != (settings.copart_password is None):
        missing = "COPART_USERNAME" if settings.copart_username is None else "COPART_PASSWORD"
        yield Finding(level="ERROR", subject=missing, text="user name and password belong together", mend="set both")
    if settings.telegram_bot_token is None and (settings.telegram_channel_id or settings.telegram_alert_chat_id):
        text = "a chat is set and no token: nothing is sent"
        yield Finding(level="WARNING", subject="telegram", text=text, mend="set TELEGRAM_BOT_TOKEN")
    elif settings.telegram_bot_token is not None and settings.telegram_alert_chat_id is None:
        text = "a token is set and no TELEGRAM_ALERT_CHAT_ID: alerts stay in the log"
        yield Finding(level="WARNING", subject="telegram", text=text, mend="set it to the chat that alerts go to")


def crawls(survey: Survey) -> Iterator[Finding]:
    """Look at what crawls are told: makes, proxies, pace."""
    from ops.workers import registry
    from vinops.network import is_loopback
    from vinops_scrapy.hosts import every_host
    from vinops_scrapy.proxy_list import read_proxies

    settings = survey.settings
    try:
        followed = [program.makes for program in registry.workers(settings) if program.makes]
        text = f"{sum(map(len, followed))} for {len(followed)} workers"
        yield Finding(level="OK", subject="makes", text=text)
    except ConfigError as error:
        yield fault("makes", error)
    try:
        if proxies := read_proxies(settings):
            yield Finding(level="OK", subject="proxies", text=f"{len(proxies)} are named")
    except ConfigError as error:
        yield fault("proxies", error)
    far = sorted(host for host in every_host(settings) if not is_loopback(host))
    if settings.pace == "none" and far:
        text = f"VINOPS_PACE is none, which is for stand-ins, and {far[0]} is none: crawls refuse to start"
        yield Finding(level="ERROR", subject="pace", text=text, mend="set VINOPS_PACE to careful or steady")
    elif settings.daily_requests > MANY_REQUESTS:
        text = f"VINOPS_DAILY_REQUESTS allows {settings.daily_requests:,} requests to a host a day"
        yield Finding(level="WARNING", subject="pace", text=text, mend="60000 is what a careful pace can use")
    else:
        text = f"{settings.pace}, {settings.daily_requests:,} requests to a host a day; robots.txt is obeyed"
        yield Finding(level="OK", subject="pace", text=text)


def broker(survey: Survey) -> Iterator[Finding]:
    """Connect to Celery's broker."""
    settings = survey.settings
    if "CELERY_BROKER_URL" in survey.problems:
        return
    if settings.celery_broker_url is None:
        yield Finding(level="OK", subject="celery", text="the embedded broker, in the data folder")
        return
    from kombu.connection import Connection

    try:
        with Connection(settings.celery_broker_url.reveal(), connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        yield Finding(level="OK", subject="celery", text="the broker answers")
    except Exception as error:  # noqa: BLE001 # every transport has errors of its own
        yield Finding(
            level="ERROR",
            subject="celery",
            text=f"the broker does not answer ({type(error).__name__})",
            mend="start it, correct CELERY_BROKER_URL, or leave that empty for the embedded one",
        )


def clock(_: Survey) -> Iterator[Finding]:
    """Look whether the clock is before what was written."""
    newest = max(path.stat().st_mtime for path in (database.SQL / "migrations").glob("*.sql"))
    if time.time() < newest - 86_400:
        text = f"it is {datetime.now(UTC):%Y-%m-%d %H:%M} here, before this version of vinops was written"
        yield Finding(level="ERROR", subject="clock", text=text, mend="timedatectl set-ntp true")


def feed_online(survey: Survey) -> Iterator[Finding]:
    """Ask the source once, for the first line. Nothing is kept."""
    from etl.errors import FeedError
    from etl.fetch.download import Job, ask, content, status_error
    from etl.fetch.incoming import source
    from etl.progress import silent

    settings = replace(survey.settings, fetch_total_seconds=ONLINE_SECONDS, fetch_attempts=1)
    if settings.copart_csv_url is None:
        return
    try:
        address = source(settings)
        if address.scheme == "file":
            with Path(address.path).open("rb") as file:
                head = file.read(4096)
        else:
            deadline = time.monotonic() + ONLINE_SECONDS
            job = Job(settings=settings, address=address, seen=None, deadline=deadline, progress=silent)
            with ExitStack() as stack:
                response = ask(job, stack)
                if response.status != 200:
                    raise status_error(response)
                head = next(content(job, response), b"")[:4096]
    except FeedError as error:
        yield fault("feed", error)
    except OSError as error:
        yield Finding(level="ERROR", subject="feed", text=f"not read ({error.strerror})", mend="correct COPART_CSV_URL")
    else:
        if b"lot number" in head.lower() and not head.lstrip().startswith(b"<"):
            yield Finding(level="OK", subject="feed", text=f"{address.masked} gives a feed")
        else:
            text = f"{address.masked} gives something that is no feed"
            mend = "open the member page in a browser, and copy the address anew"
            yield Finding(level="ERROR", subject="feed", text=text, mend=mend)


def telegram_online(survey: Survey) -> Iterator[Finding]:
    """Ask Telegram who the bot is."""
    import http.client
    import json
    from urllib.parse import urlsplit

    settings = survey.settings
    if settings.telegram_bot_token is None:
        return
    parts = urlsplit(settings.telegram_api_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with closing(kind(parts.hostname or "", parts.port, timeout=ONLINE_SECONDS)) as connection:
            connection.request("GET", f"{parts.path}/bot{settings.telegram_bot_token.reveal()}/getMe")
            answer = connection.getresponse()
            status, body = answer.status, answer.read(65_536)
        name = json.loads(body)["result"]["username"] if status == 200 else ""
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        text = f"{parts.netloc} was not reached, or does not answer as Telegram does ({type(error).__name__})"
        yield Finding(level="ERROR", subject="telegram", text=text, mend="check the line and TELEGRAM_API_URL")
        return
    if status == 200:
        yield Finding(level="OK", subject="telegram", text=f"the bot is @{name}")
    else:
        text = f"Telegram does not know the token (status {status})"
        yield Finding(level="ERROR", subject="telegram", text=text, mend="copy TELEGRAM_BOT_TOKEN anew from @BotFather")


OFFLINE: Final[tuple[Check, ...]] = (
    python,
    variables,
    dotenv,
    folders,
    the_database,
    clock,
    store,
    chromium,
    member,
    crawls,
    broker,
)
ONLINE: Final[tuple[Check, ...]] = (feed_online, telegram_online)
