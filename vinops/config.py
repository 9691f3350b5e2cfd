"""The settings: the environment, read only here, typed and validated, with secrets that cannot be printed.

A value comes from the systemd credentials directory, else from the environment, else from `.env` in the current
directory, else from the default. An empty value counts as not set, and hides the values of the sources after it. This
module must load fast: every command imports it, also those that end after a hash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from vinops.parsers import (
    LOG_LEVELS,
    Number,
    Whole,
    headers,
    hosts,
    https,
    level,
    lines,
    nodes,
    one_line,
    one_of,
    path,
    secret,
    site,
    some_of,
    switch,
    url,
    zone,
)
from vinops.secrets import Secret as Secret, secrets_in

T = TypeVar("T")

PACES = ("careful", "steady", "none")
SKIPPABLE = ("staging.copart_raw", "audit.rejected_rows", "audit.lot_events")
"""Tables that no pipeline needs to continue: raw and rejected rows are archived as files, events are history."""


class ConfigError(Exception):
    """A setting is missing or wrong. The message names the variable and what fixes it, never a secret's value."""


def _setting(name: str, parse: Callable[[str], T], default: T, fix: str = "") -> T:
    """Declare a field of Settings: its variable, its parser, its default, and what to do when the value is wrong."""
    if isinstance(parse, Number | Whole):
        fix = f"give {parse.what}, for example {'365' if default is None else str(default).removesuffix('.0')}"
    return field(default=default, metadata={"variable": name, "parse": parse, "fix": fix})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a process, as `load()` reads them. Times are in seconds unless the name says otherwise."""

    database_url: Secret | None = _setting(
        "DATABASE_URL",
        url("postgresql", "postgres"),
        None,
        "use postgresql://user:password@host/name, or leave it empty for the embedded server",
    )
    data_dir: Path = _setting("VINOPS_DATA_DIR", path, Path("var"), "name a folder")
    log_dir: Path = _setting("VINOPS_LOG_DIR", path, Path(), "name a folder")
    log_days: float = _setting("VINOPS_LOG_DAYS", Number("days", 0.01, 3650), 14.0)
    log_level: str = _setting("VINOPS_LOG_LEVEL", level, "INFO", f"use one of {', '.join(LOG_LEVELS)}")
    time_zone: str = _setting(
        "VINOPS_TIME_ZONE", zone, "Europe/Sofia", "give a name such as Europe/Sofia, and see that tzdata is installed"
    )
    embedded_linger: float = _setting("VINOPS_EMBEDDED_LINGER", Number("seconds", 0, 86_400), 15.0)
    copart_csv_url: Secret | None = _setting(
        "COPART_CSV_URL", url("https", "http", "file"), None, "use the https:// address of the member feed"
    )
    copart_csv_user_agent: str = _setting(
        "COPART_CSV_USER_AGENT", one_line, "vinops/0.1", "give one line, as in `vinops/0.1 (ops@example.com)`"
    )
    copart_csv_referer: str | None = _setting(
        "COPART_CSV_REFERER", one_line, None, "give one address, or leave it empty"
    )
    copart_csv_headers: Mapping[str, Secret] = field(
        default_factory=dict,
        metadata={
            "variable": "COPART_CSV_HEADERS",
            "parse": headers,
            "fix": "write `Name: value`, several separated by | or a line break",
        },
    )
    fetch_connect_seconds: float = _setting("VINOPS_FETCH_CONNECT_SECONDS", Number("seconds", 0.1, 3600), 10.0)
    fetch_total_seconds: float = _setting("VINOPS_FETCH_TOTAL_SECONDS", Number("seconds", 0.1, 86_400), 300.0)
    fetch_attempts: int = _setting("VINOPS_FETCH_ATTEMPTS", Whole("a count", 1), 4)
    feed_min_rows: int = _setting("VINOPS_FEED_MIN_ROWS", Whole("a count of rows", 0), 1000)
    feed_shrink_limit: float = _setting("VINOPS_FEED_SHRINK_LIMIT", Number("a share", 0, 1), 0.2)
    archive_days: int = _setting("VINOPS_ARCHIVE_DAYS", Whole("a count of days", 1), 30)
    archive_chain: int = _setting("VINOPS_ARCHIVE_CHAIN", Whole("a count of files", 1), 96)
    staging_days: float = _setting("VINOPS_STAGING_DAYS", Number("days", 1, 3650), 30.0)
    runs_days: float = _setting("VINOPS_RUNS_DAYS", Number("days", 1, 3650), 90.0)
    event_days: float | None = _setting("VINOPS_EVENT_DAYS", Number("days", 1, 36_500), None)
    gone_lot_days: float | None = _setting("VINOPS_GONE_LOT_DAYS", Number("days", 1, 36_500), None)
    gone_photo_days: float | None = _setting("VINOPS_GONE_PHOTO_DAYS", Number("days", 1, 36_500), None)
    backup_keep: int = _setting("VINOPS_BACKUP_KEEP", Whole("a count of backups", 1), 7)
    backup_days: float = _setting("VINOPS_BACKUP_DAYS", Number("days", 0, 3650), 30.0)
    secret_days: float = _setting("VINOPS_SECRET_DAYS", Number("days", 0, 36_500), 365.0)
    backup_skip: tuple[str, ...] = _setting(
        "VINOPS_BACKUP_SKIP", some_of(*SKIPPABLE), (), f"name some of {', '.join(SKIPPABLE)}, separated by commas"
    )
    copart_site_url: str = _setting(
        "COPART_SITE_URL", site, "https://www.copart.com", "use the site's address, as in https://www.copart.com"
    )
    copart_image_hosts: tuple[str, ...] = _setting(
        "COPART_IMAGE_HOSTS",
        hosts,
        ("inventoryv2.copart.io", "cs.copart.com"),
        "name hosts, as in `inventoryv2.copart.io,cs.copart.com`",
    )
    copart_username: Secret | None = _setting("COPART_USERNAME", secret, None, "give the member's user name")
    copart_password: Secret | None = _setting("COPART_PASSWORD", secret, None, "give the member's password")
    r2_endpoint: str | None = _setting(
        "R2_ENDPOINT", site, None, "use https://ACCOUNT.r2.cloudflarestorage.com, or leave it empty for a local folder"
    )
    r2_access_key_id: Secret | None = _setting("R2_ACCESS_KEY_ID", secret, None, "give the key's id")
    r2_secret_access_key: Secret | None = _setting("R2_SECRET_ACCESS_KEY", secret, None, "give the key")
    r2_bucket_name: str | None = _setting("R2_BUCKET_NAME", one_line, None, "name the bucket")
    mobile_bg_url: str = _setting(
        "MOBILE_BG_URL", site, "https://www.mobile.bg", "use the site's address, as in https://www.mobile.bg"
    )
    makes_file: Path | None = _setting(
        "VINOPS_MAKES_FILE", path, None, "name a file like vinops_scrapy/mobile_bg/makes.toml"
    )
    market_walk_hours: float = _setting("VINOPS_MARKET_WALK_HOURS", Number("hours", 1, 720), 48.0)
    market_shrink_limit: float = _setting("VINOPS_MARKET_SHRINK_LIMIT", Number("a share", 0, 1), 0.2)
    newest_every: float = _setting("VINOPS_NEWEST_EVERY", Number("seconds", 1, 86_400), 60.0)
    newest_pages: int = _setting("VINOPS_NEWEST_PAGES", Whole("a count of pages", 1), 50)
    recheck_share: float = _setting("VINOPS_RECHECK_SHARE", Number("a share", 0, 1), 0.05)
    walk_every_hours: float = _setting("VINOPS_WALK_EVERY_HOURS", Number("hours", 0, 8760), 8.0)
    market_run_hours: float = _setting("VINOPS_MARKET_RUN_HOURS", Number("hours", 0.001, 720), 6.0)
    clock_speed: float = _setting("VINOPS_CLOCK_SPEED", Number("times real time", 0.01, 1000), 1.0)
    mobile_bg_image_hosts: tuple[str, ...] = _setting(
        "MOBILE_BG_IMAGE_HOSTS", hosts, ("focus.bg",), "name hosts, as in `focus.bg`: those below them are included"
    )
    web_public_url: str | None = _setting(
        "WEB_PUBLIC_URL", https, None, "give the address that people open, as in https://vinops.example.com"
    )
    web_cache_mb: int = _setting("VINOPS_WEB_CACHE_MB", Whole("a count of megabytes", 1), 2000)
    user_agent: str = _setting(
        "VINOPS_USER_AGENT", one_line, "vinops/0.1", "give one line, as in `vinops/0.1 (ops@example.com)`"
    )
    proxy_list: tuple[Secret, ...] = _setting(
        "PROXY_LIST", lines, (), "name proxies, as in `http://user:password@host:port`, separated by commas"
    )
    proxy_list_file: Path | None = _setting("PROXY_LIST_FILE", path, None, "name a file with one proxy a line")
    chromium_path: Path | None = _setting("CHROMIUM_PATH", path, None, "name the browser, as in /usr/bin/chromium")
    telegram_bot_token: Secret | None = _setting("TELEGRAM_BOT_TOKEN", secret, None, "give the bot's token")
    telegram_channel_id: str | None = _setting(
        "TELEGRAM_CHANNEL_ID", one_line, None, "give the id of the channel that deals are posted to"
    )
    telegram_alert_chat_id: str | None = _setting(
        "TELEGRAM_ALERT_CHAT_ID", one_line, None, "give the id of the chat that alerts go to"
    )
    telegram_imports_chat_id: str | None = _setting(
        "TELEGRAM_IMPORTS_CHAT_ID", one_line, None, "give the id of the chat that messages about lots go to"
    )
    telegram_api_url: str = _setting(
        "TELEGRAM_API_URL", site, "https://api.telegram.org", "use https://api.telegram.org"
    )
    celery_broker_url: Secret | None = _setting(
        "CELERY_BROKER_URL",
        url("redis", "rediss", "amqp", "amqps"),
        None,
        "use redis://host:6379/0 or amqp://user:password@host, or leave it empty for the embedded broker",
    )
    deals_lease: float = _setting("VINOPS_DEALS_LEASE", Number("seconds", 0.1, 3600), 120.0)
    deals_min_score: float = _setting("VINOPS_DEALS_MIN_SCORE", Number("a score", 1, 10), 7.5)
    deals_min_comparables: int = _setting("VINOPS_DEALS_MIN_COMPARABLES", Whole("a count of comparable cars", 0), 0)
    deals_min_confidence: float = _setting("VINOPS_DEALS_MIN_CONFIDENCE", Number("a number", 0, 1), 0.5)
    deals_posts_an_hour: int = _setting("VINOPS_DEALS_POSTS_AN_HOUR", Whole("a count", 0), 20)
    imports_least_profit: int = _setting("VINOPS_IMPORTS_LEAST_PROFIT", Whole("an amount in EUR", 0), 1500)
    imports_most_loss_percent: float = _setting("VINOPS_IMPORTS_MOST_LOSS", Number("a percentage", 0, 100), 30.0)
    imports_posts_an_hour: int = _setting("VINOPS_IMPORTS_POSTS_AN_HOUR", Whole("a count", 0), 10)
    tariffs_dir: Path | None = _setting(
        "VINOPS_TARIFFS_DIR", path, None, "name a folder with files like deals/landed/tariffs/*.toml"
    )
    ecb_rates_url: str = _setting(
        "ECB_RATES_URL",
        site,
        "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml",
        "use the address of the ECB's daily reference rates",
    )
    pace: str = _setting("VINOPS_PACE", one_of(*PACES), "careful", f"use one of {', '.join(PACES)}")
    daily_requests: int | None = _setting("VINOPS_DAILY_REQUESTS", Whole("a count of requests", 1), None)
    photos_first: int = _setting("VINOPS_PHOTOS_FIRST", Whole("a count of photos", 1), 3)
    session_lots: int = _setting("VINOPS_SESSION_LOTS", Whole("a count of lots", 1), 25)
    session_pause: float = _setting("VINOPS_SESSION_PAUSE", Number("seconds", 0, 3600), 5.0)
    breaker_refusals: int = _setting("VINOPS_BREAKER_REFUSALS", Whole("a count of refusals in a row", 1), 5)
    breaker_seconds: float = _setting("VINOPS_BREAKER_SECONDS", Number("seconds", 1, 86_400), 1800.0)
    stealth: bool = _setting("VINOPS_STEALTH", switch, True, "use on or off")
    thumbnails: bool = _setting("VINOPS_THUMBNAILS", switch, False, "use on or off")
    photo_recheck_days: float = _setting("VINOPS_PHOTO_RECHECK_DAYS", Number("days", 0.01, 365), 3.0)
    photo_lease: float = _setting("VINOPS_PHOTO_LEASE", Number("seconds", 1, 86_400), 600.0)
    workers_backend: str = _setting(
        "VINOPS_WORKERS_BACKEND", one_of("auto", "processes", "systemd"), "auto", "use auto, processes or systemd"
    )
    stop_grace: float = _setting("VINOPS_STOP_GRACE", Number("seconds", 0, 86_400), 120.0)
    supervise_every: float = _setting("VINOPS_SUPERVISE_EVERY", Number("seconds", 0.05, 3600), 60.0)
    supervise_report: float = _setting("VINOPS_SUPERVISE_REPORT", Number("seconds", 0.05, 86_400), 600.0)
    worker_silence: float = _setting("VINOPS_WORKER_SILENCE", Number("seconds", 0.5, 86_400), 300.0)
    restart_cooldown: float = _setting("VINOPS_RESTART_COOLDOWN", Number("seconds", 0, 86_400), 300.0)
    restart_limit: int = _setting("VINOPS_RESTART_LIMIT", Whole("a count of restarts", 0), 10)
    restart_window: float = _setting("VINOPS_RESTART_WINDOW", Number("seconds", 1, 2_592_000), 21_600.0)
    cycle_pause: float = _setting("VINOPS_CYCLE_PAUSE", Number("seconds", 0, 86_400), 60.0)
    scrapyd_nodes: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "variable": "VINOPS_SCRAPYD_NODES",
            "parse": nodes,
            "fix": "write name=address, as in `one=http://127.0.0.1:6800,two=http://127.0.0.1:6801`",
        },
    )
    scrapyd_password: Secret | None = _setting(
        "VINOPS_SCRAPYD_PASSWORD", secret, None, "give the password that the nodes were started with"
    )

    def __post_init__(self) -> None:
        """Set the log folder to `logs` in the data folder unless it is given. Raises ConfigError if only some of the R2
        settings are given."""
        store = (self.r2_endpoint, self.r2_access_key_id, self.r2_secret_access_key, self.r2_bucket_name)
        if any(store) and not all(store):
            raise ConfigError(
                "R2_ENDPOINT, R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY and R2_BUCKET_NAME belong together: "
                "set all four, or none to keep photos in a local folder"
            )
        if self.log_dir == Path():
            object.__setattr__(self, "log_dir", self.data_dir / "logs")

    @property
    def copart_headers(self) -> Mapping[str, Secret]:
        """All request headers of the feed: User-Agent, Referer if set, and COPART_CSV_HEADERS, which win over these."""
        headers = {"User-Agent": Secret(self.copart_csv_user_agent)}
        if self.copart_csv_referer is not None:
            headers["Referer"] = Secret(self.copart_csv_referer)
        own = {name.lower() for name in self.copart_csv_headers}
        return {name: value for name, value in headers.items() if name.lower() not in own} | dict(
            self.copart_csv_headers
        )

    def secrets(self) -> tuple[Secret, ...]:
        """Return all secrets in these settings, for the redaction of logs and errors."""
        return tuple(found for each in fields(self) for found in secrets_in(getattr(self, each.name)))


def variables() -> tuple[str, ...]:
    """Return the names of all environment variables that vinops reads, in the order of Settings."""
    return tuple(each.metadata["variable"] for each in fields(Settings))


def in_environment() -> list[str]:
    """Return the names of the variables of vinops that the environment of this process sets: they win over `.env`."""
    return [name for name in variables() if name in os.environ]


def without_settings() -> dict[str, str]:
    """Return the environment of this process without the settings of vinops, for a program that must not get them."""
    ours = {*variables(), "CREDENTIALS_DIRECTORY"}
    return {name: value for name, value in os.environ.items() if name not in ours}


# Variables that libpq may read for DATABASE_URL: how a password is found, and how the connection is secured.
LIBPQ_KEPT = frozenset(
    {"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR", "PGREQUIRESSL", "PGSSLMODE"}
    | {"PGSSLNEGOTIATION", "PGSSLCOMPRESSION", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT", "PGSSLCRL"}
    | {"PGSSLCRLDIR", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION"}
    | {"PGMAXPROTOCOLVERSION", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER", "PGGSSENCMODE", "PGGSSLIB"}
    | {"PGGSSDELEGATION", "PGKRBSRVNAME"}
)
# Variables that would change the server or its answers. DATABASE_URL has a parameter for each.
LIBPQ_IGNORED = frozenset(
    {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGTARGETSESSIONATTRS"}
    | {"PGLOADBALANCEHOSTS", "PGOPTIONS", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ"}
    | {"PGGEQO"}
)


def forget_libpq_variables() -> None:
    """Remove LIBPQ_IGNORED from the environment of this process, and so of its children. A connection string cannot
    override all of them: libpq sends a date style after everything in the string."""
    for name in LIBPQ_IGNORED & os.environ.keys():
        os.environ.pop(name, None)


def notify_socket() -> str | None:
    """Return the address of systemd's socket for a service of Type=notify; None in other processes, and in a child of
    one, whose messages systemd ignores. The variables are set by systemd and are not settings."""
    is_child = os.environ.get("WATCHDOG_PID") not in (None, "", str(os.getpid()))
    return None if is_child else os.environ.get("NOTIFY_SOCKET") or None


def watchdog_seconds() -> float | None:
    """Return the seconds of systemd's watchdog for this process; None if there is none. The variables are set by
    systemd and are not settings."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not limit.isdecimal() or int(limit) == 0 or (process and process != str(os.getpid())):
        return None
    return int(limit) / 1e6


def playwright_browsers() -> Path:
    """Return the folder of the browsers that Playwright installs. The variable is Playwright's, not a setting."""
    return Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read the settings.

    `environ` stands for the environment of the process (default: the real one), `folder` for the directory of `.env`
    (default: the current one). Raises ConfigError for the first value that is wrong.
    """
    environ = os.environ if environ is None else environ
    found, broken = _dotenv((folder or Path()) / ".env")
    values, problems = _read((_credentials(environ), environ, found))
    for problem in (*broken, *problems.values()):
        raise ConfigError(problem)
    settings = Settings(**values)
    there = next((each for each in (settings.data_dir, *settings.data_dir.absolute().parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise ConfigError(f"VINOPS_DATA_DIR {settings.data_dir} is not a folder, as {there} is a file: name a folder")
    return settings


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Everything that is known of the settings, for `vinops doctor`. Values are in `settings` only, which has the
    default for each variable that is wrong.

    `problems` has a message for each variable that is wrong, `sources` the source of each one that is set, and
    `unknown` the source of each name that looks like one of ours and is not.
    """

    settings: Settings
    problems: Mapping[str, str]
    sources: Mapping[str, str]
    unknown: Mapping[str, str]


OUR_PREFIXES = ("VINOPS_", "COPART_", "R2_", "MOBILE_BG_", "TELEGRAM_", "WEB_")


def survey(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Survey:
    """Read the settings as `load` does, and return all problems instead of raising the first."""
    environ = os.environ if environ is None else environ
    problems: dict[str, str] = {}
    named: dict[str, Mapping[str, str]] = {}
    try:
        named["a credential"] = _credentials(environ)
    except ConfigError as error:
        problems["CREDENTIALS_DIRECTORY"] = str(error)
        named["a credential"] = {}
    named["the environment"] = environ
    named[".env"], broken = _dotenv((folder or Path()) / ".env")
    problems |= {f".env {number}" if number > 1 else ".env": text for number, text in enumerate(broken, 1)}
    values, wrong = _read(tuple(named.values()))
    problems |= wrong
    sources = {
        variable: next(name for name, source in named.items() if variable in source)
        for variable in variables()
        if _first(variable, tuple(named.values())) is not None
    }
    try:
        settings = Settings(**values)
    except ConfigError as error:
        if not any(variable.startswith("R2_") for variable in problems):  # else one is missing because it was wrong
            problems["R2"] = str(error)
        settings = Settings(**{name: value for name, value in values.items() if not name.startswith("r2_")})
    known = {*variables(), "CREDENTIALS_DIRECTORY"}
    unknown = {name: ".env" for name in named[".env"] if name not in known}
    unknown |= {name: "the environment" for name in environ if name.startswith(OUR_PREFIXES) and name not in known}
    return Survey(settings=settings, problems=problems, sources=sources, unknown=unknown)


def secret_variables(found: Settings) -> frozenset[str]:
    """Return the names of the variables whose values here are secrets, or hold some."""
    return frozenset(each.metadata["variable"] for each in fields(found) if secrets_in(getattr(found, each.name)))


def _first(variable: str, sources: tuple[Mapping[str, str], ...]) -> str | None:
    """Return the value of the first source that has the variable; None if it is empty there."""
    for source in sources:
        if variable in source:
            return source[variable].strip() or None
    return None


def _read(sources: tuple[Mapping[str, str], ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values that are set, by field, and a message for each variable that is wrong. Messages do not show the
    value: it may be a secret that was pasted behind the wrong name."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for each in fields(Settings):
        variable = each.metadata["variable"]
        if (raw := _first(variable, sources)) is not None:
            try:
                values[each.name] = each.metadata["parse"](raw)
            except ValueError as error:
                problems[variable] = f"{variable} {error}: {each.metadata['fix']}"
    return values, problems


def _credentials(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Read the files of systemd's LoadCredential, named like the variables in any case."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    known = set(variables())
    try:
        return {
            path.name.upper(): path.read_text(encoding="utf-8")
            for path in sorted(Path(folder).iterdir())
            if path.name.upper() in known
        }
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a file in it is not UTF-8 text"
        raise ConfigError(
            f"CREDENTIALS_DIRECTORY cannot be read ({reason}): check LoadCredential= in the unit, or unset it"
        ) from None


def _dotenv(path: Path) -> tuple[Mapping[str, str], list[str]]:
    """Return the values of the file, and what is wrong with it: of a broken line its number, never its text, which may
    hold a secret."""
    try:
        if not path.exists():
            return {}, []
        text = path.read_text(encoding="utf-8-sig")  # an editor of Windows puts a mark first
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return {}, [f".env cannot be read ({reason}): fix {path.absolute()} or remove it"]
    from dotenv.parser import parse_stream  # costs 30 ms: only where there is a file to read

    values, broken = {}, []
    for each in parse_stream(StringIO(text)):
        if each.error or (each.key is not None and each.value is None):
            blank = each.original.string[: -len(each.original.string.lstrip())].count("\n")
            broken.append(
                f"{path.absolute()}, line {each.original.line + blank}, is not NAME=value: write it as in .env.example,"
                " a value with blanks in quotes, or put a # before it"
            )
        elif each.key is not None and each.value is not None:
            values[each.key] = each.value
    return values, broken
