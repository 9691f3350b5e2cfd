"""Masks secrets in text: in log lines, error messages and tracebacks.

Masked are the values of the secrets in Settings, in every encoding in which they may appear, and anything in the place
of a secret, as in `authKey=…`, whatever its value.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from re import Pattern

    from vinops.config import Secret, Settings

MASK = "***"
SHORTEST = 4  # a shorter value is masked by its place only: it would match parts of ordinary words

_known: frozenset[str] = frozenset()


def remember(settings: Settings) -> None:
    """Mask the secrets of these settings in every later call of `redact` in this process."""
    remember_secrets(*settings.secrets())


def remember_secrets(*secrets: Secret) -> None:
    """Mask these too: secrets that are not in the settings themselves, such as the proxies in PROXY_LIST_FILE."""
    global _known
    _known |= _spellings(secrets)


def redact(text: str, settings: Settings | None = None) -> str:
    """Return the text with its secrets masked: the remembered ones, those of `settings`, and what looks like one."""
    known = _known if settings is None else _known | _spellings(settings.secrets())
    if known:
        text = _any_of(known).sub(MASK, text)
    for pattern, mask in _patterns():
        text = pattern.sub(mask, text)
    return text


def one_line(text: str) -> str:
    """Return the text redacted, on one line and printable, for printing an error."""
    return printable(" ".join(redact(text).split()))


def without_ids(text: str) -> str:
    """Return the text redacted, on one line, and without long numbers: any of them may be the id of somebody's chat."""
    import re

    return re.sub(r"-?[0-9]{5,}", MASK, one_line(text))


@cache
def _any_of(values: frozenset[str]) -> Pattern[str]:
    """Compile values to one pattern, the longest first. A percent-encoded sign may be in either case."""
    import re

    def either(escape: re.Match[str]) -> str:
        return "%" + "".join(f"[{sign.lower()}{sign.upper()}]" for sign in escape[1])

    longest = sorted(values, key=lambda value: (-len(value), value))
    return re.compile("|".join(re.sub("%([0-9A-Fa-f]{2})", either, re.escape(value)) for value in longest))


def _spellings(secrets: Iterable[Secret]) -> frozenset[str]:
    """Return every text in which these secrets may appear."""
    from urllib.parse import quote, quote_plus, unquote

    found: set[str] = set()
    for secret in secrets:
        for part in _parts(secret.reveal()):
            encoded = {quote(part, safe=""), quote(part), quote_plus(part)}
            encoded |= {quote(each, safe="") for each in encoded}  # an address inside an address
            escaped = {repr(part)[1:-1], part.replace("\\", "\\\\").replace('"', '\\"')}
            found |= {part, unquote(part), *encoded, *escaped}
    return frozenset(each for each in found if len(each) >= SHORTEST)


def _parts(value: str) -> set[str]:
    """Return the secret parts of a value: of an address not the host, so that a log still shows it."""
    if "://" not in value:
        scheme, _, credentials = value.partition(" ")  # as in `Bearer abc`
        return {value, credentials} if scheme.lower() in ("basic", "bearer", "token") else {value}
    from urllib.parse import parse_qsl, urlsplit

    named = _patterns()[0][0]
    try:
        address = urlsplit(value)
    except ValueError:
        return {value}
    pairs = [pair.partition("=") for pair in address.query.split("&")]
    values = {raw for name, _, raw in pairs if named.search(f"{name}=x") or _looks_random(raw)}
    values |= {plain for name, plain in parse_qsl(address.query) if named.search(f"{name}=x") or _looks_random(plain)}
    credentials = address.netloc.rpartition("@")[0]
    password = credentials.partition(":")[2]
    # Of a password with an @ in it, others may show any part after an @: they take that for the host.
    pieces = credentials.split("@")[1:] + password.split("@")[:1] if "@" in credentials else []
    pieces += [f"{piece}@" for piece in pieces]  # with its @ a short piece matches no ordinary word
    return {part for part in (*values, password, *pieces) if part}


def _looks_random(value: str) -> bool:
    return len(value) >= 12 and any(sign.isdigit() for sign in value)


@cache
def _patterns() -> tuple[tuple[Pattern[str], str], ...]:
    """Compile the patterns on first use, as that takes longer than many commands. All are bounded, so that their time
    is linear in the length of the text."""
    import re

    name = r"(?:[\w.-]{0,40}(?:key|token|secret|passw(?:or)?d|pwd|signature|credential)|sig|pass)"
    bare = r"(?:(?!%26|%2526)[^\s&#'\"<>,;|)\]}])+"
    quoted = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    return (
        # name=value in a query, a connection string or percent-encoded inside another address
        (re.compile(rf"(?i)(?<![\w.-])({name}(?:=|%3D|%253D))(?:{quoted}|{bare})"), rf"\1{MASK}"),
        # "name": "value", as in JSON and in the repr of a dictionary
        (re.compile(rf"(?i)(['\"]{name}['\"]\s{{0,9}}:\s{{0,9}}b?['\"])[^'\"]+"), rf"\1{MASK}"),
        # headers
        (
            re.compile(
                r"(?i)\b(authorization['\"]?\s{0,9}[:=]\s{0,9}['\"]?)(?:(?:basic|bearer|token)\s{1,9})?[^\s'\"]+"
            ),
            rf"\1{MASK}",
        ),
        (re.compile(r"(?i)\b(cookie['\"]?\s{0,9}:\s{0,9})[^\r\n]+"), rf"\1{MASK}"),
        # the password in an address
        (
            re.compile(r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,30}://[^\s/:?#]{0,200}:)[^\s/?#]{1,200}(?=@)"),
            rf"\1{MASK}",
        ),
        # the end of one, taken for the beginning of the host
        (re.compile(r"(?i)(\bhost(?:name| name)?[\s=:]{1,9}['\"]?)[^'\"\s]{1,200}(?=@)"), rf"\1{MASK}"),
        # a bot's token as Telegram makes them: digits, a colon, 35 signs
        (re.compile(r"(?<![0-9])[0-9]{6,12}(?::|%3[Aa])[A-Za-z0-9_-]{30,}"), MASK),
    )
