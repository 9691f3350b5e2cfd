"""Text from outside for a chat, in which Telegram finds no link, name, tag or command."""

from __future__ import annotations

import re
from typing import Final

JOINER: Final = "\u2060"
"""WORD JOINER: invisible, without a line break, and no letter, digit or sign of a link, a name, a tag or a command
(https://core.telegram.org/api/entities). Not tried in a real channel."""

_FILES: Final = "service|timer|log|env|sql|csv|html|toml|json|gz|zst|lock"  # and of no top-level domain
_SIGNS: Final = re.compile(
    # a domain, in any alphabet; the names of units and files are for copying, and Telegram takes them for none
    rf"(?<=\w)[.。．｡](?=[^\W\d_])(?!(?:{_FILES})(?![\w./:-]))"
    r"|(?<=\d)\.(?=\d{1,3}\.\d{1,3}\.\d)"  # the first point of an address such as 192.0.2.1
    r"|:(?=[/\\]{2})"  # any scheme, such as https:// and tg://
    r"|[@#$＠＃](?=\w)(?!\d+\.service\b)"  # a name, a mail address, a tag
    r"|(?<![\w/<>])/(?=\w{1,64}(?![\w/]))"  # a command; a path is none
)


def unlinked(text: str) -> str:
    """Return a text with an invisible sign in all that would become a link; what people read is the same."""
    return _SIGNS.sub(lambda sign: sign[0] + JOINER, text)
