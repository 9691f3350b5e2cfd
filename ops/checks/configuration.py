"""The checks of `vinops doctor` on the configuration: each yields findings, named after what they are about.

None changes anything that matters. Each imports what it needs: a fault in one part must not hide the other findings.
"""

from __future__ import annotations

import locale
import os
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ops.checks.machine import DISK, SET_CLOCK, skew
from ops.observe import machine
from vinops import config
from vinops.checks import Finding, Level, critical, ok, warning
from vinops.config import ConfigError, Settings, Survey
from vinops.db import database, embedded
from vinops.db.errors import explanation
from vinops.redaction import redact
from vinops.text.figures import plural, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Survey], Iterator[Finding]]

PYTHON: Final = (3, 11)
OLDEST_SERVER: Final = 15  # Debian 12's; the tests run on 18
ONLINE_SECONDS: Final = 15.0
MANY_REQUESTS: Final = 200_000
ROLES: Final = "as the server's administrator run deploy/sql/roles.sql, then deploy/sql/grants.sql, in this database"


def examine(survey: Survey, *, online: bool = False) -> list[Finding]:
    """Run all checks and return their findings, redacted. A check that fails is a finding, too."""
    found: list[Finding] = []
    for check in (*OFFLINE, *(ONLINE if online else ())):
        try:
            found += check(survey)
        except Exception as error:  # noqa: BLE001 # the other checks must still run
            text = f"could not be checked ({type(error).__name__})"
            found.append(critical(text, fix="see the runbook", name=check.__name__.replace("_", " ").strip()))
    return [replace(each, text=redact(each.text), fix=redact(each.fix)) for each in found]


def fault(name: str, error: Exception, *, level: Level = Level.CRITICAL) -> Finding:
    """Return the finding of an error of ours, whose message ends in what fixes it."""
    text, colon, fix = " ".join(str(error).split()).rpartition(": ")
    return Finding(name=name, level=level, text=text if colon else fix, fix=fix if colon else "")


def python(_: Survey) -> Iterator[Finding]:
    """Check the version of Python and the encoding of text."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield critical(f"{version} is older than 3.11", fix="run `make setup`", name="python")
    else:
        yield ok(version, name="python")
    encodings = {sys.getfilesystemencoding().lower(), locale.getencoding().lower()}
    if encodings <= {"utf-8", "utf8"}:
        yield ok("UTF-8", name="locale")
    else:
        text = f"text is {', '.join(sorted(encodings))} here: names and words that are not English break"
        yield warning(text, fix="set LANG=C.UTF-8", name="locale")


def variables(survey: Survey) -> Iterator[Finding]:
    """Check each variable: whether its value is valid, and whether its name is known."""
    from difflib import get_close_matches

    for variable, message in survey.problems.items():
        yield fault(variable, ConfigError(message))
    for variable, source in survey.sources.items():
        if variable not in survey.problems:
            yield ok(f"set in {source}", name=variable)
    for name, source in survey.unknown.items():
        close = get_close_matches(name, config.variables(), n=1, cutoff=0.7)
        fix = f"did you mean {close[0]}?" if close else "remove it; .env.example has all names"
        yield warning(f"set in {source}, and not a setting", fix=fix, name=name)
    missing = len(config.variables()) - len(survey.sources)
    yield ok(f"{len(survey.sources)} set, {missing} have their default", name="settings")


def dotenv(survey: Survey) -> Iterator[Finding]:
    """Check who can read .env."""
    path = Path(".env")
    if not path.is_file():
        return
    mode = path.stat().st_mode & 0o777
    secret = config.secret_variables(survey.settings) & {
        name for name, source in survey.sources.items() if source == ".env"
    }
    if secret and mode & 0o077:
        judge = critical if mode & 0o007 else warning
        yield judge(f"it holds secrets, and others can read it (mode {mode:04o})", fix="chmod 600 .env", name=".env")
    else:
        yield ok(f"mode {mode:04o}", name=".env")


def folders(survey: Survey) -> Iterator[Finding]:
    """Check whether the folders can be written, and have free space: the limit is that of `vinops health`."""
    settings = survey.settings
    for variable, folder in (("VINOPS_DATA_DIR", settings.data_dir), ("VINOPS_LOG_DIR", settings.log_dir)):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        try:
            if not there.is_dir():
                raise NotADirectoryError(20, f"{there} is not a folder")
            if there == folder:
                with tempfile.TemporaryFile(dir=folder):
                    pass
            elif not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            text = f"{folder} cannot be written ({error.strerror})"
            yield critical(text, fix="set it to a folder of yours", name=variable)
            continue
        state = "can be written" if there == folder else "is made on first use"
        disk = machine.disk(there)
        text = f"{folder} {state}, {size(disk.free)} free"
        finding = DISK.judge(disk.share, text, fix="free space, or name a folder on another disk")
        yield replace(finding, name=variable)


def the_database(survey: Survey) -> Iterator[Finding]:
    """Check whether the database can be reached, is migrated, and grants this role its rights. Does not create the
    embedded one."""
    import psycopg

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
            yield ok(f"embedded PostgreSQL {embedded.MAJOR}, made on first use", name="database")
            return
    try:
        with database.open_any(settings, "vinops doctor") as connection:
            yield from _of_server(connection, settings)
    except database.DatabaseError as error:
        said, _, fix = str(error).partition("\n")
        if not fix:
            yield fault("database", error)
            return
        yield critical(f"not reached: {' '.join(said.split())}", fix=" ".join(fix.split()), name="database")
    except psycopg.errors.InsufficientPrivilege as error:
        text = f"this role may not read: {error.diag.message_primary}"
        yield critical(text, fix="run vinops as the owner of the tables", name="rights")
    except psycopg.Error as error:
        yield fault("database", database.DatabaseError(explanation(error)))


def _of_server(connection: Any, settings: Settings) -> Iterator[Finding]:
    from psycopg.rows import dict_row

    queries = database.queries("doctor")
    asked = time.time()
    with connection.cursor(row_factory=dict_row) as cursor:
        row: dict[str, Any] = cursor.execute(queries["server"]).fetchone()
    ahead = row["now"].timestamp() - (asked + time.time()) / 2
    kind = "embedded" if settings.database_url is None else "DATABASE_URL"
    old = row["version_number"] < OLDEST_SERVER * 10_000
    text = f"PostgreSQL {row['version']} ({kind}), {row['bytes'] / 1e6:,.0f} MB"
    fix = f"upgrade it to PostgreSQL {OLDEST_SERVER} or newer"
    yield warning(text, fix=fix, name="database") if old else ok(text, name="database")
    if row["encoding"] != "UTF8":
        text = f"its encoding is {row['encoding']}: Bulgarian texts cannot be stored"
        yield critical(text, fix="create it with `encoding 'UTF8'`", name="database")
    yield from _of_schema(connection, row, settings)
    yield from _of_photos(connection, settings)
    yield replace(skew(ahead), name="clock")


def _of_photos(connection: Any, settings: Settings) -> Iterator[Finding]:
    """Check whether the stored photos are where these settings look for them."""
    import psycopg

    from ops.checks.pipelines import judge_stored
    from ops.photos import places

    try:
        yield replace(judge_stored(places.read(connection, settings)), name="photos")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return  # another role's, or not migrated yet, which has a finding of its own


def _of_schema(connection: Any, row: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    if row["has_service_roles"]:
        found = list(_of_roles(connection, row["role_name"]))
        yield from found
        if any(each.level is Level.CRITICAL for each in found):
            return  # what follows needs these rights
    yield from _of_migrations(connection, row, settings)
    if not row["has_service_roles"]:
        yield from _of_one_role(connection, row["role_name"])


def _of_roles(connection: Any, role: str) -> Iterator[Finding]:
    """Check the roles of all services, connected as one of them."""
    from ops.backup import dumps
    from ops.roles import BACKUP, OWNER, read

    roles = read(connection)
    if roles.absent:
        text = f"{len(roles.absent)} roles of services are not there, as {roles.absent[0]}"
        yield critical(text, fix=ROLES, name="rights")
    if roles.missing:
        text = f"{len(roles.missing)} rights of services are missing, as {roles.missing[0]}"
        yield critical(text, fix=ROLES, name="rights")
    if role == OWNER and (forbidden := _forbidden(connection)):
        text = f"{role} does not own all tables, as {forbidden[0]}"
        fix = f"as the server's administrator run `alter table … owner to {role}`"
        yield critical(text, fix=fix, name="rights")
    elif not roles.absent and not roles.missing:
        text = f"{len(roles.names)} roles of services have what they need; this is {role}"
        yield ok(text, name="rights")
    if BACKUP in roles.absent:
        return
    if not roles.can_back_up:
        text = f"{BACKUP} may not read everything and create databases, and a backup is tried in one of its own"
        yield warning(text, fix=ROLES, name="backups")
        return
    try:
        which = dumps.programs(connection)
        yield ok(f"pg_dump {which.major}, scratch databases allowed to {BACKUP}", name="backups")
    except dumps.BackupError as error:
        yield fault("backups", error, level=Level.WARNING)


def _of_migrations(connection: Any, row: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    waiting = database.pending(connection)
    is_owner = row["may_create_schemas"] or row["has_service_roles"]  # `vinops migrate` then is
    if waiting and settings.database_url is not None and not is_owner:
        text = f"{row['role_name']} may not create schemas, which migrations do"
        fix = f"as its owner run `grant create on database … to {row['role_name']}`"
        yield critical(text, fix=fix, name="migrations")
    elif waiting:
        text = f"{len(waiting)} are missing"
        yield warning(text, fix="run `vinops migrate`", name="migrations")
    else:
        yield ok("all applied", name="migrations")


def _forbidden(connection: Any) -> list[str]:
    """Return the tables of ours that this role cannot read or write."""
    return [str(name) for (name,) in connection.execute(database.queries("doctor")["forbidden_tables"]).fetchall()]


def _of_one_role(connection: Any, role: str) -> Iterator[Finding]:
    """Check whether this role has all rights, as there is no other."""
    from ops.backup import dumps

    if forbidden := _forbidden(connection):
        text = f"{role} may not read and write {len(forbidden)} tables, as {forbidden[0]}"
        yield critical(text, fix="run vinops as the owner of the tables", name="rights")
    try:
        dumps.require_create(connection)
        which = dumps.programs(connection)
        yield ok(f"pg_dump {which.major}, scratch databases allowed", name="backups")
    except dumps.BackupError as error:
        yield fault("backups", error, level=Level.WARNING)


def store(survey: Survey) -> Iterator[Finding]:
    """Write a trial object where photos are stored, and remove it."""
    from vinops.storage.opening import open_photos
    from vinops.storage.store import StoreError

    if any(variable.startswith("R2") for variable in survey.problems):
        return
    settings = survey.settings
    if settings.r2_endpoint is None and not settings.data_dir.exists():
        yield ok("kept in a folder of the data folder, made on first use", name="photos")
        return
    try:
        with closing(open_photos(settings)) as opened:
            opened.check()
            yield ok(f"can be stored in {opened.describe()}", name="photos")
    except StoreError as error:
        yield fault("photos", error)


def chromium(survey: Survey) -> Iterator[Finding]:
    """Ask the browser for its version."""
    from vinops_scrapy.copart.browser_program import find_chromium, version

    try:
        path = find_chromium(survey.settings)
        yield ok(f"{version(path)} ({path})", name="chromium")
    except ConfigError as error:
        needed = survey.settings.copart_username is not None or survey.settings.chromium_path is not None
        yield fault("chromium", error, level=Level.CRITICAL if needed else Level.WARNING)


def member(survey: Survey) -> Iterator[Finding]:
    """Check settings that belong together: the feed, the member account, Telegram."""
    settings = survey.settings
    if settings.copart_csv_url is None and "COPART_CSV_URL" not in survey.problems:
        text = "COPART_CSV_URL is not set: no feed is fetched"
        yield warning(text, fix="set it to the address from the member page", name="feed")
    if (settings.copart_username is None) != (settings.copart_password is None):
        missing = "COPART_USERNAME" if settings.copart_username is None else "COPART_PASSWORD"
        yield critical("user name and password belong together", fix="set both", name=missing)
    if settings.telegram_bot_token is None and (settings.telegram_channel_id or settings.telegram_alert_chat_id):
        text = "a chat is set and no token: nothing is sent"
        yield warning(text, fix="set TELEGRAM_BOT_TOKEN", name="telegram")
    elif settings.telegram_bot_token is not None and settings.telegram_alert_chat_id is None:
        text = "a token is set and no TELEGRAM_ALERT_CHAT_ID: alerts stay in the log"
        yield warning(text, fix="set it to the chat that alerts go to", name="telegram")


def crawls(survey: Survey) -> Iterator[Finding]:
    """Check the settings of crawls: makes, proxies, pace."""
    from ops.observe.reach import PACES, USUAL_ARRIVALS, USUAL_PHOTOS, reaches, verdict
    from ops.workers import registry
    from vinops.politeness import NO_CAP, pace
    from vinops_scrapy.proxy_list import read_proxies

    settings = survey.settings
    try:
        followed = [each.makes for each in registry.workers(settings) if each.makes and not each.is_optional]
        yield ok(f"{sum(map(len, followed))} for {len(followed)} workers", name="makes")
    except ConfigError as error:
        yield fault("makes", error)
    try:
        if proxies := read_proxies(settings):
            yield ok(f"{len(proxies)} in the list", name="proxies")
    except ConfigError as error:
        yield fault("proxies", error)
    far = _far_hosts(settings) if settings.pace == "none" or settings.clock_speed != 1 else []
    if settings.pace == "none" and far:
        text = f"VINOPS_PACE is none, which is for stand-ins only, and {far[0]} is not one: crawls refuse to start"
        yield critical(text, fix="set VINOPS_PACE to careful or steady", name="pace")
    elif settings.clock_speed != 1 and far:
        text = f"VINOPS_CLOCK_SPEED is for stand-ins only, and {far[0]} is not one: crawls of it refuse to start"
        yield warning(text, fix="leave VINOPS_CLOCK_SPEED empty", name="pace")
    elif settings.daily_requests is not None and settings.daily_requests > MANY_REQUESTS:
        text = f"VINOPS_DAILY_REQUESTS allows {settings.daily_requests:,} requests to a host a day"
        yield warning(text, fix="60000 is what a careful pace can use", name="pace")
    else:
        most = pace(settings.pace).requests_a_day(settings.daily_requests)
        text = f"at most {most:,.0f}" if most < NO_CAP else "any number of"
        yield ok(f"{settings.pace}, {text} requests to a host a day; robots.txt is obeyed", name="pace")
    if settings.pace in PACES:
        found = reaches(
            (settings.photos_first,), photos=USUAL_PHOTOS, arrivals=USUAL_ARRIVALS, daily=settings.daily_requests
        )
        text = verdict(found, pace=settings.pace, first=settings.photos_first, arrivals=USUAL_ARRIVALS)
        yield ok(f"of a feed of usual size, {text} (`vinops forecast`)", name="first photos")


def _far_hosts(settings: Settings) -> list[str]:
    """Return the hosts of crawls that are on other machines. It takes Scrapy, and half a second."""
    from vinops.network import is_loopback
    from vinops_scrapy.hosts import every_host

    return sorted(host for host in every_host(settings) if not is_loopback(host))


def broker(survey: Survey) -> Iterator[Finding]:
    """Connect to Celery's broker."""
    settings = survey.settings
    if "CELERY_BROKER_URL" in survey.problems:
        return
    if settings.celery_broker_url is None:
        yield ok("the embedded broker, in the data folder", name="celery")
        return
    from kombu.connection import Connection

    try:
        with Connection(settings.celery_broker_url.reveal(), connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        yield ok("the broker answers", name="celery")
    except Exception as error:  # noqa: BLE001 # every transport has errors of its own
        yield critical(
            f"the broker does not answer ({type(error).__name__})",
            fix="start it, correct CELERY_BROKER_URL, or leave that empty for the embedded one",
            name="celery",
        )


def site(survey: Survey) -> Iterator[Finding]:
    """Check whether anybody can sign in to a site that has a public address."""
    import psycopg

    url = survey.settings.web_public_url
    if url is None:
        return
    try:
        with database.connect(survey.settings, application="vinops doctor", autocommit=True) as connection:
            row = connection.execute(database.queries("people")["count_people"]).fetchone()
    except (database.DatabaseError, psycopg.Error):  # the check of the database says why
        return
    if row and row[0]:
        yield ok(f"{url}, for {plural(row[0], 'person', 'people')}", name="web")
    else:
        text = f"WEB_PUBLIC_URL is {url}, and nobody can sign in"
        yield warning(text, fix="vinops users add NAME --role operator", name="web")


def tariffs(survey: Survey) -> Iterator[Finding]:
    """Read the tariffs and the profiles of import deals, and check the age of the tariffs."""
    from deals.landed import book, profiles
    from deals.landed.lines import TariffError

    settings = survey.settings
    try:
        yield replace(book.judge(book.load(settings.tariffs_dir).checked(datetime.now(UTC).date())), name="tariffs")
    except TariffError as error:
        yield fault("tariffs", error)
    try:
        found = profiles.load(settings.data_dir)
    except TariffError as error:
        yield fault("profiles", error)
    else:
        names = ", ".join(sorted(found.by_name))
        yield ok(f"{names}; the default is {found.default.name}", name="profiles")


def clock(_: Survey) -> Iterator[Finding]:
    """Check whether the clock is behind the newest migration."""
    newest = max(path.stat().st_mtime for path in (database.SQL / "migrations").glob("*.sql"))
    if time.time() < newest - 86_400:
        text = f"it is {datetime.now(UTC):%Y-%m-%d %H:%M} here, before this version of vinops was written"
        yield critical(text, fix=SET_CLOCK, name="clock")


def feed_online(survey: Survey) -> Iterator[Finding]:
    """Request the first line of the feed, once. Nothing is stored."""
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
        yield critical(f"not read ({error.strerror})", fix="correct COPART_CSV_URL", name="feed")
    else:
        if b"lot number" in head.lower() and not head.lstrip().startswith(b"<"):
            yield ok(f"{address.masked} returns a feed", name="feed")
        else:
            text = f"{address.masked} returns no feed"
            fix = "open the member page in a browser, and copy the address again"
            yield critical(text, fix=fix, name="feed")


def telegram_online(survey: Survey) -> Iterator[Finding]:
    """Ask Telegram for the name of the bot."""
    import http.client
    import json
    from urllib.parse import urlsplit

    settings = survey.settings
    if settings.telegram_bot_token is None or "TELEGRAM_API_URL" in survey.problems:  # the token is for that one
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
        yield critical(text, fix="check the connection and TELEGRAM_API_URL", name="telegram")
        return
    if status == 200:
        yield ok(f"the bot is @{name}", name="telegram")
    else:
        text = f"Telegram does not know the token (status {status})"
        yield critical(text, fix="copy TELEGRAM_BOT_TOKEN again from @BotFather", name="telegram")


OFFLINE: Final[tuple[Check, ...]] = (
    *(python, variables, dotenv, folders, the_database, clock),
    *(store, chromium, member, crawls, broker, site, tariffs),
)
ONLINE: Final[tuple[Check, ...]] = (feed_online, telegram_online)
