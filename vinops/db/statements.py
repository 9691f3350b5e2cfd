"""Splits a text of SQL into its statements, as psql does."""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = re.compile(
    r"""
    (?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'            # a string with escapes
    | '(?:[^']|'')*'                              # a string
    | "(?:[^"]|"")*"                              # a name
    | (?<![\w$])(?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag)
    | --[^\n]*
    | /\*
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT: Final = re.compile(r"/\*|\*/")


def split(text: str) -> list[str]:
    """Return the statements of a text, each with the comments before it. Those that are only comments are left out.

    What PostgreSQL refuses anyway, such as a string without an end, may be split anywhere.
    """
    found: list[str] = []
    begun = place = 0
    has_words = False
    while token := TOKEN.search(text, place):
        has_words = has_words or bool(text[place : token.start()].strip())
        place = token.end()
        if token[0] == "/*":
            place = _end_of_comment(text, place)
        elif token[0] == ";":
            if has_words:
                found.append(text[begun : token.start()].strip())
            begun, has_words = place, False
        elif not token[0].startswith("--"):
            has_words = True
    if has_words or text[place:].strip():
        found.append(text[begun:].strip())
    return found


def _end_of_comment(text: str, place: int) -> int:
    """Return where the comment ends whose beginning ends at `place`. Comments may be nested."""
    depth = 1
    while depth and (sign := COMMENT.search(text, place)):
        depth += 1 if sign[0] == "/*" else -1
        place = sign.end()
    return len(text) if depth else place
