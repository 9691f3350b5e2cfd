"""Text from outside as it may be shown: without effect on a terminal, a log, a spreadsheet or a chat.

A character that is not a letter, digit, mark, symbol or blank may move the cursor, set the title of the window, turn
the direction of writing or hide what follows: printable() is at every outlet, without_controls() where text is read.
"""

from __future__ import annotations

import unicodedata
from typing import Final

ELLIPSIS: Final = "…"


def printable(text: str, *, longest: int | None = None, lines: bool = False) -> str:
    """Return a text with escapes for the signs that would not be printed: `\\x1b`, `\\u202e`, `\\n`.

    With `lines` line breaks and tabs stay. A text of more than `longest` characters is cut and ends with an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: max(longest - 1, 0)] + ELLIPSIS
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(sign if sign.isprintable() or sign in kept else repr(sign)[1:-1] for sign in text)


def printable_json(text: str) -> str:
    """Return JSON with escapes for the signs that would not be printed; its meaning is the same."""
    if text.isascii() and "\x7f" not in text:
        return text
    import json

    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)


def without_controls(text: str) -> str:
    """Return a text without control characters, direction marks and invisible signs; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(sign for sign in text if sign in "\n\r\t" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))
