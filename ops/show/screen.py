"""Lines of text, in color on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from vinops.checks import Level
from vinops.output import terminal_width
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

GOOD: Final = "green"
WARN: Final = "yellow"
BAD: Final = "red"
QUIET: Final = "dim"
TITLE: Final = "bold"
PLAIN: Final = ""

WIDTH: Final = 80  # where standard output is no terminal
STYLES: Final = {Level.OK: GOOD, Level.WARNING: WARN, Level.CRITICAL: BAD, Level.UNKNOWN: WARN}


def width() -> int:
    """Return the width of standard output in columns."""
    return terminal_width() or WIDTH


def line(*parts: str | Text | tuple[str, str]) -> Text:
    """Return a line made of texts and of (text, style)."""
    from rich.text import Text

    return Text.assemble(*map(_shown, parts), no_wrap=True, overflow="crop")


def _shown(part: str | Text | tuple[str, str]) -> str | Text | tuple[str, str]:
    """Return a part with its text as it may be shown; a Text is made of such parts."""
    if isinstance(part, tuple):
        return printable(part[0]), part[1]
    return printable(part) if isinstance(part, str) else part


def levelled(text: str) -> Text:
    """Return a line with its levels (OK, WARNING, …) in color."""
    from rich.text import Text

    found = Text(printable(text))
    for level, style in STYLES.items():
        found.highlight_words([level.value], style)
    return found


def show(lines: Iterable[Text]) -> None:
    """Print lines on standard output, without color if NO_COLOR is set."""
    if not sys.stdout.isatty():
        _show_plain(each.plain for each in lines)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for each in lines:
        console.print(each, no_wrap=True, overflow="ignore", crop=False)


def show_levelled(lines: Iterable[str]) -> None:
    """Print lines of text as `show` prints them `levelled`; where there is no color, without importing rich."""
    if sys.stdout.isatty():
        show(map(levelled, lines))
    else:
        _show_plain(map(printable, lines))


def _show_plain(lines: Iterable[str]) -> None:
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a pipe may be of a narrow encoding
    sys.stdout.writelines(f"{each.rstrip()}\n" for each in lines)
