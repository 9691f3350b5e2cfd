"""Lines with meaning, on a terminal in colours, elsewhere plain."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

GOOD: Final = "green"
WARN: Final = "yellow"
BAD: Final = "red"
QUIET: Final = "dim"
TITLE: Final = "bold"
PLAIN: Final = ""

WIDTH: Final = 80  # of what is no terminal
LEVELS: Final = {"OK": GOOD, "WARNING": WARN, "CRITICAL": BAD, "UNKNOWN": WARN}


def width() -> int:
    """Return the columns that standard output has."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH


def line(*parts: str | Text | tuple[str, str]) -> Text:
    """Return a line made of texts and of (text, style)."""
    return Text.assemble(*parts, no_wrap=True, overflow="crop")


def levelled(text: str) -> Text:
    """Return a line with its levels (OK, WARNING, …) in their colours."""
    found = Text(text)
    for level, style in LEVELS.items():
        found.highlight_words([level], style)
    return found


def show(lines: Iterable[Text]) -> None:
    """Print lines on standard output. Rich leaves the colours out where NO_COLOR asks for it."""
    if not sys.stdout.isatty():
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a pipe may be of a narrow encoding
        sys.stdout.writelines(f"{each.plain.rstrip()}\n" for each in lines)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for each in lines:
        console.print(each, no_wrap=True, overflow="ignore", crop=False)
