"""The environment, read here and nowhere else: typed, validated, secrets wrapped so that they cannot be printed.

A value comes from the systemd credentials directory, else from the environment, else from `.env` in the current
directory, else from the default. An empty value counts as not set, and hides what the sources after it say. Importing
this module is cheap on purpose: every command pays for it, also the ones that end after a hash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PACES = ("careful", "steady", "none")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ConfigError(Exception):
    """A setting is missing or wrong. The message names the variable and what mends it, never a secret's value."""


class Secret:
    """A string that does not show itself: not in repr, str, format, pickle or JSON. `reveal()` gives the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap the value."""
        self._value = value

    def reveal(self) -> str:
        """Return the wrapped value. Call it where the value is used, not earlier."""
        return self._value

    def __repr__(self) -> str:
        """Return a mask."""
        return "Secret('***')"

    def __str__(self) -> str:
        """Return a mask."""
        return "***"

    def __format__(self, spec: str) -> str:
        """Return a mask, whatever the format asks for."""
        return "***"

    def __bool__(self) -> bool:
        """Tell whether there is a value."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare two secrets; a secret never equals a plain string."""
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        """Hash the value, so that equal secrets hash alike."""
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied into a message. Raises TypeError."""
        raise TypeError("a Secret cannot be pickled: pass the name of the setting, not its value")


def _text(raw: str) -> str:
    return raw


def _path(raw: str) -> Path:
    return Path(raw).expanduser()


def _whole(least: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError("is not a whole number") from None
        if value < least:
            raise ValueError(f"is less than {least}")
        return value

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError("is not a number") from None
        if not least <= value <= most:  # also refuses nan
            raise ValueError(f"is not between {least:g} and {most:g}")
        return value

    return parse


def _level(raw: str) -> str:
    if raw.upper() not in LOG_LEVELS:
        raise ValueError(f"is none of {', '.join(LOG_LEVELS)}")
    return raw.upper()


HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
WEB = frozenset({"http", "https", "file"})  # where an @ in a path is nothing unusual


def unescaped(address: str) -> str | None:
    """Return why it is not clear where the user name and the password of an address end, and how they are written then;
    None if it is. Taken as it stands, the end of such a password would count as host, and errors would show it."""
    several = address.split(";")  # as a broker may have
    if len(several) > 1 and all("://" in each for each in several):
        return next((reason for reason in map(unescaped, several) if reason), None)
    scheme, _, rest = address.partition("://")
    ends = [rest.find(sign) for sign in "/?#" if sign in rest]
    authority, behind = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "")
    if authority.count("@") > 1:
        return "has an @ inside its user name or password, where it is written %40"
    port = authority.rpartition(":")[2] if ":" in authority and not authority.endswith("]") else ""
    is_cut = "@" not in authority and "@" in behind and port and not port.isdecimal()
    is_in_path = scheme.lower() not in WEB and authority and "@" in behind.partition("=")[0]
    if is_cut or is_in_path:
        return "has a /, ? or # inside its password, where they are written %2F, %3F and %23, and an @ %40"
    if scheme.lower() in ("postgresql", "postgres"):  # libpq refuses these and shows all of the password
        escapes = [part[:2] for part in authority.split("%")[1:]]
        if any(len(escape) < 2 or not HEXADECIMAL.issuperset(escape) for escape in escapes):
            return "has a % inside its user name or password, where it is written %25"
    return None


def _split(raw: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address. Raises ValueError, whose message has nothing of the address, unlike
    that of the standard library."""
    from urllib.parse import urlsplit  # costs 10 ms: only where there is an address to read

    try:
        parts = urlsplit(raw)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no address") from None


def _url(*schemes: str) -> Callable[[str], Secret]:
    def parse(raw: str) -> Secret:
        if raw.partition("://")[0].lower() not in schemes or "://" not in raw:
            raise ValueError(f"does not start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if reason := unescaped(raw):
            raise ValueError(reason)
        return Secret(raw)

    return parse


def _headers(raw: str) -> Mapping[str, Secret]:
    """Read `Name: value` lines, separated by a newline or `|`."""
    headers: dict[str, Secret] = {}
    for line in raw.replace("|", "\n").splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not value or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("has a part that is not `Name: value`")
        headers[name] = Secret(value)
    return headers


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return raw.lower()

    return parse


def _switch(raw: str) -> bool:
    if raw.lower() not in {"1", "0", "on", "off", "true", "false", "yes", "no"}:
        raise ValueError("is neither on nor off")
    return raw.lower() in {"1", "on", "true", "yes"}


def _site(raw: str) -> str:
    """Read the address of a site: https, or http where it names a loopback host and port, as a stand-in's does."""
    scheme, host, port = _split(raw)
    if "@" in raw:
        raise ValueError("holds a user name or a password")
    loopback = host in LOOPBACK and port is not None
    if not host or not (scheme == "https" or (scheme == "http" and loopback)):
        raise ValueError("is no https:// address")
    return raw.rstrip("/")


def _nodes(raw: str) -> Mapping[str, str]:
    """Read `name=address`, separated by commas or blanks."""
    nodes: dict[str, str] = {}
    for part in raw.replace(",", " ").split():
        name, equals, address = part.partition("=")
        if not equals or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError("has a part that is not name=address")
        if name in nodes:
            raise ValueError("has a name twice")
        nodes[name] = _site(address)
    return nodes


def _hosts(raw: str) -> tuple[str, ...]:
    """Read `host` or `host:port`, separated by commas or blanks."""
    hosts = tuple(raw.replace(",", " ").lower().split())
    for host in hosts:
        if "/" in host or "@" in host or not _split(f"//{host}")[1]:
            raise ValueError("holds something that is no host")
    return hosts


def _lines(raw: str) -> tuple[Secret, ...]:
    """Read values that may hold credentials, separated by commas, blanks or line breaks."""
    return tuple(Secret(part) for part in raw.replace(",", " ").split())


def _secret(raw: str) -> Secret:
    return Secret(raw)


def _one_line(raw: str) -> str:
    if not raw.isprintable():
        raise ValueError("holds a line break or a control character")
    return raw


def _setting(name: str, parse: Callable[[str], T], default: T, mend: str) -> T:
    """Declare a field of Settings: the variable it is read from, how it is read, and what to do when it is wrong."""
    return field(default=default, metadata={"variable": name, "parse": parse, "mend": mend})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the environment decides. Made by `load()`; a test may make one itself. Times are in seconds."""

    database_url: Secret | None = _setting(
        "DATABASE_URL",
        _url("postgresql", "postgres"),
        None,
        "use postgresql://user:password@host/name, or leave it empty for the embedded server",
    )
    data_dir: Path = _setting("VINOPS_DATA_DIR", _path, Path("var"), "name a folder")
    log_dir: Path = _setting("VINOPS_LOG_DIR", _path, Path(), "name a folder")
    log_days: float = _setting("VINOPS_LOG_DAYS", _number(0.01, 3650), 14.0, "give days, for example 14")
    log_level: str = _setting("VINOPS_LOG_LEVEL", _level, "INFO", f"use one of {', '.join(LOG_LEVELS)}")
    embedded_linger: float = _setting(
        "VINOPS_EMBEDDED_LINGER", _number(0, 86_400), 15.0, "give seconds, for example 15"
    )
    copart_csv_url: Secret | None = _setting(
        "COPART_CSV_URL", _url("https", "http", "file"), None, "use the https:// address of the member feed"
    )
    copart_csv_user_agent: str = _setting(
        "COPART_CSV_USER_AGENT", _one_line, "vinops/0.1", "give one line, as in `vinops/0.1 (ops@example.com)`"
    )
    copart_csv_referer: str | None = _setting(
        "COPART_CSV_REFERER", _one_line, None, "give one address, or leave it empty"
    )
    copart_csv_headers: Mapping[str, Secret] = field(
        default_factory=dict,
        metadata={
            "variable": "COPART_CSV_HEADERS",
            "parse": _headers,
            "mend": "write `Name: value`, several separated by | or a line break",
        },
    )
    fetch_connect_seconds: float = _setting(
        "VINOPS_FETCH_CONNECT_SECONDS", _number(0.1, 3600), 10.0, "give seconds, for example 10"
    )
    fetch_total_seconds: float = _setting(
        "VINOPS_FETCH_TOTAL_SECONDS", _number(0.1, 86_400), 300.0, "give seconds, for example 300"
    )
    fetch_attempts: int = _setting("VINOPS_FETCH_ATTEMPTS", _whole(1), 4, "give a count of at least 1")
    feed_min_rows: int = _setting("VINOPS_FEED_MIN_ROWS", _whole(0), 1000, "give a count of rows, for example 1000")
    feed_shrink_limit: float = _setting(
        "VINOPS_FEED_SHRINK_LIMIT", _number(0, 1), 0.2, "give a share between 0 and 1, for example 0.2"
    )
    archive_days: int = _setting("VINOPS_ARCHIVE_DAYS", _whole(1), 30, "give a count of days, at least 1")
    archive_chain: int = _setting("VINOPS_ARCHIVE_CHAIN", _whole(1), 96, "give a count of files, at least 1")
    staging_days: float = _setting("VINOPS_STAGING_DAYS", _number(1, 3650), 30.0, "give days, for example 30")
    runs_days: float = _setting("VINOPS_RUNS_DAYS", _number(1, 3650), 90.0, "give days, for example 90")
    backup_keep: int = _setting("VINOPS_BACKUP_KEEP", _whole(1), 7, "give a count of backups, at least 1")
    backup_days: float = _setting("VINOPS_BACKUP_DAYS", _number(0, 3650), 30.0, "give days, for example 30")
    copart_site_url: str = _setting(
        "COPART_SITE_URL", _site, "https://www.copart.com", "use the site's address, as in https://www.copart.com"
    )
    copart_image_hosts: tuple[str, ...] = _setting(
        "COPART_IMAGE_HOSTS",
        _hosts,
        ("inventoryv2.copart.io", "cs.copart.com"),
        "name hosts, as in `inventoryv2.copart.io,cs.copart.com`",
    )
    copart_username: Secret | None = _setting("COPART_USERNAME", _secret, None, "give the member's user name")
    copart_password: Secret | None = _setting("COPART_PASSWORD", _secret, None, "give the member's password")
    r2_endpoint: str | None = _setting(
        "R2_ENDPOINT", _site, None, "use https://ACCOUNT.r2.cloudflarestorage.com, or leave it empty for a local folder"
    )
    r2_access_key_id: Secret | None = _setting("R2_ACCESS_KEY_ID", _secret, None, "give the key's id")
    r2_secret_access_key: Secret | None = _setting("R2_SECRET_ACCESS_KEY", _secret, None, "give the key")
    r2_bucket_name: str | None = _setting("R2_BUCKET_NAME", _one_line, None, "name the bucket")
    mobile_bg_url: str = _setting(
        "MOBILE_BG_URL", _site, "https://www.mobile.bg", "use the site's address, as in https://www.mobile.bg"
    )
    makes_file: Path | None = _setting(
        "VINOPS_MAKES_FILE", _path, None, "name a file like vinops_scrapy/mobile_bg/makes.toml"
    )
    market_shrink_limit: float = _setting(
        "VINOPS_MARKET_SHRINK_LIMIT", _number(0, 1), 0.2, "give a share between 0 and 1, for example 0.2"
    )
    user_agent: str = _setting(
        "VINOPS_USER_AGENT", _one_line, "vinops/0.1", "give one line, as in `vinops/0.1 (ops@example.com)`"
    )
    proxy_list: tuple[Secret, ...] = _setting(
        "PROXY_LIST", _lines, (), "name proxies, as in `http://user:password@host:port`, separated by commas"
    )
    proxy_list_file: Path | None = _setting("PROXY_LIST_FILE", _path, None, "name a file with one proxy a line")
    chromium_path: Path | None = _setting("CHROMIUM_PATH", _path, None, "name the browser, as in /usr/bin/chromium")
    telegram_bot_token: Secret | None = _setting("TELEGRAM_BOT_TOKEN", _secret, None, "give the bot's token")
    telegram_channel_id: str | None = _setting(
        "TELEGRAM_CHANNEL_ID", _one_line, None, "give the id of the channel that deals are posted to"
    )
    telegram_alert_chat_id: str | None = _setting(
        "TELEGRAM_ALERT_CHAT_ID", _one_line, None, "give the id of the chat that alerts go to"
    )
    telegram_api_url: str = _setting(
        "TELEGRAM_API_URL", _site, "https://api.telegram.org", "use https://api.telegram.org"
    )
    celery_broker_url: Secret | None = _setting(
        "CELERY_BROKER_URL",
        _url("redis", "rediss", "amqp", "amqps"),
        None,
        "use redis://host:6379/0 or amqp://user:password@host, or leave it empty for the embedded broker",
    )
    deals_lease: float = _setting("VINOPS_DEALS_LEASE", _number(0.1, 3600), 120.0, "give seconds, for example 120")
    deals_min_score: float = _setting("VINOPS_DEALS_MIN_SCORE", _number(1, 10), 7.5, "give a score, for example 7.5")
    deals_min_comparables: int = _setting(
        "VINOPS_DEALS_MIN_COMPARABLES", _whole(1), 8, "give a count of comparable cars, for example 8"
    )
    deals_min_confidence: float = _setting(
        "VINOPS_DEALS_MIN_CONFIDENCE", _number(0, 1), 0.5, "give a number between 0 and 1, for example 0.5"
    )
    deals_posts_an_hour: int = _setting("VINOPS_DEALS_POSTS_AN_HOUR", _whole(0), 20, "give a count, for example 20")
    pace: str = _setting("VINOPS_PACE", _one_of(*PACES), "careful", f"use one of {', '.join(PACES)}")
    daily_requests: int = _setting("VINOPS_DAILY_REQUESTS", _whole(1), 60_000, "give a count of requests a day")
    session_lots: int = _setting("VINOPS_SESSION_LOTS", _whole(1), 25, "give a count of lots, for example 25")
    session_pause: float = _setting("VINOPS_SESSION_PAUSE", _number(0, 3600), 5.0, "give seconds, for example 5")
    breaker_refusals: int = _setting(
        "VINOPS_BREAKER_REFUSALS", _whole(1), 5, "give a count of refusals in a row, for example 5"
    )
    breaker_seconds: float = _setting(
        "VINOPS_BREAKER_SECONDS", _number(1, 86_400), 1800.0, "give seconds, for example 1800"
    )
    stealth: bool = _setting("VINOPS_STEALTH", _switch, True, "use on or off")
    thumbnails: bool = _setting("VINOPS_THUMBNAILS", _switch, False, "use on or off")
    photo_recheck_days: float = _setting(
        "VINOPS_PHOTO_RECHECK_DAYS", _number(0.01, 365), 3.0, "give days, for example 3"
    )
    photo_lease: float = _setting("VINOPS_PHOTO_LEASE", _number(1, 86_400), 600.0, "give seconds, for example 600")
    workers_backend: str = _setting(
        "VINOPS_WORKERS_BACKEND", _one_of("auto", "processes", "systemd"), "auto", "use auto, processes or systemd"
    )
    stop_grace: float = _setting("VINOPS_STOP_GRACE", _number(0, 86_400), 120.0, "give seconds, for example 120")
    supervise_every: float = _setting(
        "VINOPS_SUPERVISE_EVERY", _number(0.05, 3600), 60.0, "give seconds, for example 60"
    )
    supervise_report: float = _setting(
        "VINOPS_SUPERVISE_REPORT", _number(0.05, 86_400), 600.0, "give seconds, for example 600"
    )
    worker_silence: float = _setting(
        "VINOPS_WORKER_SILENCE", _number(0.5, 86_400), 300.0, "give seconds, for example 300"
    )
    restart_cooldown: float = _setting(
        "VINOPS_RESTART_COOLDOWN", _number(0, 86_400), 300.0, "give seconds, for example 300"
    )
    restart_limit: int = _setting("VINOPS_RESTART_LIMIT", _whole(0), 10, "give a count of restarts, for example 10")
    restart_window: float = _setting(
        "VINOPS_RESTART_WINDOW", _number(1, 2_592_000), 21_600.0, "give seconds, for example 21600"
    )
    cycle_pause: float = _setting("VINOPS_CYCLE_PAUSE", _number(0, 86_400), 60.0, "give seconds, for example 60")
    scrapyd_nodes: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "variable": "VINOPS_SCRAPYD_NODES",
            "parse": _nodes,
            "mend": "write name=address, as in `one=http://127.0.0.1:6800,two=http://127.0.0.1:6801`",
        },
    )
    scrapyd_password: Secret | None = _setting(
        "VINOPS_SCRAPYD_PASSWORD", _secret, None, "give the password that the nodes were started with"
    )

    def __post_init__(self) -> None:
        """Fill in the log folder, which lies in the data folder unless it is set. Raises ConfigError if the settings
        of the object store are neither all given nor all left out."""
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
        """The request headers of the feed, complete: User-Agent, Referer if set, then COPART_CSV_HEADERS over them."""
        headers = {"User-Agent": Secret(self.copart_csv_user_agent)}
        if self.copart_csv_referer is not None:
            headers["Referer"] = Secret(self.copart_csv_referer)
        own = {name.lower() for name in self.copart_csv_headers}
        return {name: value for name, value in headers.items() if name.lower() not in own} | dict(
            self.copart_csv_headers
        )

    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that these settings hold, for the redaction of logs and errors."""
        return tuple(secret for each in fields(self) for secret in _secrets_in(getattr(self, each.name)))


def _secrets_in(value: Any) -> tuple[Secret, ...]:
    """Return the secrets that the value of a setting is, or holds."""
    if isinstance(value, Secret):
        return (value,)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return tuple(part for part in parts if isinstance(part, Secret))


def variables() -> tuple[str, ...]:
    """Return the names of all environment variables that vinops reads, in the order of Settings."""
    return tuple(each.metadata["variable"] for each in fields(Settings))


def in_environment() -> list[str]:
    """Return the names of the variables of vinops that the environment of this process sets: they win over `.env`."""
    return [name for name in variables() if name in os.environ]


def without_settings() -> dict[str, str]:
    """Return the environment of this process without anything that vinops reads, for a command that is to see none."""
    ours = {*variables(), "CREDENTIALS_DIRECTORY"}
    return {name: value for name, value in os.environ.items() if name not in ours}


# What libpq reads of the environment of DATABASE_URL's server: how a password is found and the connection secured.
LIBPQ_KEPT = frozenset(
    {"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR", "PGREQUIRESSL", "PGSSLMODE"}
    | {"PGSSLNEGOTIATION", "PGSSLCOMPRESSION", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT", "PGSSLCRL"}
    | {"PGSSLCRLDIR", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION"}
    | {"PGMAXPROTOCOLVERSION", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER", "PGGSSENCMODE", "PGGSSLIB"}
    | {"PGGSSDELEGATION", "PGKRBSRVNAME"}
)
# And what would change where DATABASE_URL leads, or what the server answers. A parameter of DATABASE_URL says the same.
LIBPQ_IGNORED = frozenset(
    {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGTARGETSESSIONATTRS"}
    | {"PGLOADBALANCEHOSTS", "PGOPTIONS", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ"}
    | {"PGGEQO"}
)


def forget_libpq_variables() -> None:
    """Take LIBPQ_IGNORED out of the environment of this process, and so of those that it starts. Some of them cannot be
    overruled by a connection string: libpq sends a date style behind everything that the string says."""
    for name in LIBPQ_IGNORED & os.environ.keys():
        os.environ.pop(name, None)


def notify_socket() -> str | None:
    """Return where systemd listens for what a service of Type=notify says; None outside of one, and in a child of one,
    which has its variables and is not listened to. They are systemd's own, no settings."""
    is_child = os.environ.get("WATCHDOG_PID") not in (None, "", str(os.getpid()))
    return None if is_child else os.environ.get("NOTIFY_SOCKET") or None


def watchdog_seconds() -> float | None:
    """Return within how many seconds systemd wants a sign of this process; None if it wants none. The variables are
    systemd's own, no settings."""
    wanted, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 1e6


def playwright_browsers() -> Path:
    """Return the folder of the browsers that Playwright installs. The variable is Playwright's own, no setting."""
    return Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """Read the settings.

    `environ` stands for the environment of the process (default: the real one) and `folder` for the directory in
    which `.env` is looked for (default: the current one). Raises ConfigError on the first value that does not fit.
    """
    environ = os.environ if environ is None else environ
    sources = (_credentials(environ), environ, _dotenv((folder or Path()) / ".env"))
    values: dict[str, Any] = {}
    for each in fields(Settings):
        raw = _first(each.metadata["variable"], sources)
        if raw is not None:
            values[each.name] = _parsed(each, raw)
    return Settings(**values)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All that can be said of the settings at once, for `vinops doctor`. No value of a variable is in it but in
    `settings`, which has the default for each variable that does not fit.

    `problems` has a message for each variable that does not fit, `sources` says where each one that is set is set, and
    `unknown` where there are names that look like ours and are not.
    """

    settings: Settings
    problems: Mapping[str, str]
    sources: Mapping[str, str]
    unknown: Mapping[str, str]


OUR_PREFIXES = ("VINOPS_", "COPART_", "R2_", "MOBILE_BG_", "TELEGRAM_")


def survey(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Survey:
    """Read the settings as `load` does, and return everything that is wrong with them instead of raising the first."""
    environ = os.environ if environ is None else environ
    problems: dict[str, str] = {}
    named: dict[str, Mapping[str, str]] = {}
    readers: dict[str, Callable[[], Mapping[str, str]]] = {
        "a credential": lambda: _credentials(environ),
        "the environment": lambda: environ,
        ".env": lambda: _dotenv((folder or Path()) / ".env"),
    }
    for name, read in readers.items():
        try:
            named[name] = read()
        except ConfigError as error:
            problems[name if name == ".env" else "CREDENTIALS_DIRECTORY"] = str(error)
            named[name] = {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for each in fields(Settings):
        variable = each.metadata["variable"]
        raw = _first(variable, tuple(named.values()))
        if raw is None:
            continue
        sources[variable] = next(name for name, source in named.items() if variable in source)
        try:
            values[each.name] = _parsed(each, raw)
        except ConfigError as error:
            problems[variable] = str(error)
    try:
        settings = Settings(**values)
    except ConfigError as error:
        if not any(variable.startswith("R2_") for variable in problems):  # else it lacks what did not fit
            problems["R2"] = str(error)
        settings = Settings(**{name: value for name, value in values.items() if not name.startswith("r2_")})
    known = {*variables(), "CREDENTIALS_DIRECTORY"}
    unknown = {name: ".env" for name in named[".env"] if name not in known}
    unknown |= {name: "the environment" for name in environ if name.startswith(OUR_PREFIXES) and name not in known}
    return Survey(settings=settings, problems=problems, sources=sources, unknown=unknown)


def secret_variables(found: Settings) -> frozenset[str]:
    """Return the names of the variables whose values here are secrets, or hold some."""
    return frozenset(each.metadata["variable"] for each in fields(found) if _secrets_in(getattr(found, each.name)))


def _first(variable: str, sources: tuple[Mapping[str, str], ...]) -> str | None:
    """Return the value of the first source that has the variable; set to nothing there, it is not set at all."""
    for source in sources:
        if variable in source:
            return source[variable].strip() or None
    return None


def _parsed(each: Field[Any], raw: str) -> Any:
    parse: Callable[[str], Any] = each.metadata["parse"]
    try:
        return parse(raw)
    except ValueError as error:
        # The value is left out for all variables alike: a secret pasted behind the wrong name stays unseen too.
        raise ConfigError(f"{each.metadata['variable']} {error}: {each.metadata['mend']}") from None


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


def _dotenv(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # costs 30 ms: only where there is a file to read

    try:
        found = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f".env cannot be read ({reason}): mend {path} or remove it") from None
    return {name: value for name, value in found.items() if value is not None}
