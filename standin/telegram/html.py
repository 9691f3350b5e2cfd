"""A parser for Telegram's HTML, as strict as Telegram's own: https://core.telegram.org/bots/api#html-style."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

TAGS: Final = frozenset(
    ("a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "blockquote", "tg-spoiler")
)
_TAG: Final = re.compile(
    r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s+[a-zA-Z-]+(?:=(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))?)*)\s*>"
)
# Telegram supports these four entities and numeric ones; it shows any other as text.
_ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")

_LINKED: Final = re.compile(
    r"(?<![\w])@\w{2,32}|(?<!\w)[#$]\w{1,256}|(?<![\w/<>])/\w{1,64}(?![\w/<>])|[a-z][a-z0-9+.-]{0,20}://\S{1,300}"
    r"|[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[\w-]{2,24}|(?:[\w-]{1,63}[.。．｡]){1,5}[^\W\d_]{2,24}\b|(?:\d{1,3}\.){3}\d{1,3}",
    re.IGNORECASE,
)


class EntitiesError(ValueError):
    """The text is not valid Telegram HTML. The message is the last part of Telegram's error description."""


def plain(html: str) -> str:
    """Return the text that a reader sees. Raises EntitiesError for an unknown tag, and for tags that do not match."""
    shown: list[str] = []
    open_tags: list[str] = []
    place = 0
    while (start := html.find("<", place)) != -1:
        shown.append(html[place:start])
        tag = _TAG.match(html, start)
        offset = len(html[:start].encode("utf-8", "surrogatepass"))
        if tag is None:
            raise EntitiesError(f"Unsupported start tag at byte offset {offset}")
        is_end, name = bool(tag[1]), tag[2].lower()
        if is_end:
            if not open_tags or open_tags.pop() != name:
                raise EntitiesError(f'Unmatched end tag at byte offset {offset}, found "</{name}>"')
        elif name not in TAGS:
            raise EntitiesError(f'Unsupported start tag "{name}" at byte offset {offset}')
        else:
            open_tags.append(name)
        place = tag.end()
    if open_tags:
        raise EntitiesError(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    shown.append(html[place:])
    return _ENTITY.sub(lambda entity: unescape(entity[0]), "".join(shown)).strip()


def links(text: str) -> list[str]:
    """Return the parts of a text that Telegram turns into links: mentions, hashtags, commands, URLs and domains.

    Domains may have any ending, while Telegram only links known top-level domains.
    """
    return _LINKED.findall(text)


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it, in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
