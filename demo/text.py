"""Output of the demo: titles, text wrapped to the width of the terminal, and commands as a user would type them."""

from __future__ import annotations

import textwrap

import typer

from vinops.output import terminal_width

WIDTH = 80


def title(text: str) -> None:
    typer.secho(f"\n{text}\n{'-' * len(text)}", bold=True)


def say(text: str, *, indent: str = "") -> None:
    """Print a text, wrapped to the width of the terminal; `indent` is the prefix of all lines but the first."""
    typer.echo(_folded(text, indent))


def _folded(text: str, indent: str) -> str:
    width = min(terminal_width() or WIDTH, WIDTH)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def typed(command: str, statement: str = "", **options: object) -> None:
    """Print a command as a user would type it. It can be copied even if it is wrapped in quotes or after a pipe."""
    given = "".join(f" --{name} {value}" for name, value in options.items())
    argument = f' "{statement}"' if " " in statement else f" {statement}" if statement else ""
    typer.echo(_folded(f"$ {command}{given}{argument}", "    "))
