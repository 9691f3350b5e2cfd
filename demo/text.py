"""Output of the demo: titles, lines folded to the width of a terminal, commands as they would be typed."""

from __future__ import annotations

import textwrap

import typer

from vinops.output import terminal_width

WIDTH = 80


def title(text: str) -> None:
    typer.secho(f"\n{text}\n{'-' * len(text)}", bold=True)


def say(text: str, *, indent: str = "") -> None:
    """Print a line, folded to the width of a terminal; `indent` begins the lines after the first."""
    typer.echo(_folded(text, indent))


def _folded(text: str, indent: str) -> str:
    width = min(terminal_width() or WIDTH, WIDTH)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def typed(command: str, statement: str = "", **options: object) -> None:
    """Print a command as it would be typed; where it is folded, inside quotes or after a bar, it can be copied."""
    given = "".join(f" --{name} {value}" for name, value in options.items())
    argument = f' "{statement}"' if " " in statement else f" {statement}" if statement else ""
    typer.echo(_folded(f"$ {command}{given}{argument}", "    "))
