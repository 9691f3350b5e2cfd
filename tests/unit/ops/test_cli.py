"""The command line: -h everywhere, --version, and help texts whose lines break at the width only."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from etl import commands as etl_commands
from ops import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

VINOPS: Any = get_command(cli.app)


def every_command() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, and of each command below it."""
    context = typer.Context(VINOPS)
    for name in cli.COMMANDS:
        yield (name,)
        yield from ((name, child) for child in getattr(VINOPS.get_command(context, name), "commands", {}))


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_takes_h(words: tuple[str, ...]) -> None:
    short, long = (CliRunner().invoke(cli.app, [*words, each]) for each in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert f"Usage: vinops {' '.join(words)}" in short.output.replace("root", "vinops", 1)


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_no_help_text_breaks_in_mid_sentence(words: tuple[str, ...]) -> None:
    command = VINOPS.get_command(typer.Context(VINOPS), words[0])
    for word in words[1:]:
        command = command.commands[word]
    assert command.help
    for paragraph in command.help.split("\n\n"):
        assert "\n" not in paragraph
        assert paragraph.endswith("."), paragraph


def test_commands_import_no_library_that_most_of_them_do_not_use() -> None:
    """Scrapy alone takes half a second of processor time, of each command; pydantic, which newer releases of typer
    import for the options of a command, a tenth."""
    code = f"""
import sys
from ops import cli
commands = cli.get_command(cli.app)
for name in {[name for name in cli.COMMANDS if name != "demo"]}:
    command = commands.get_command(None, name)
    if name in ("status", "health", "metrics", "forecast"):
        command.make_context(name, [])  # reads the options
from vinops_scrapy import proxy_list
from vinops_scrapy.copart import browser_program
heavy = "aiohttp boto3 celery kombu numpy PIL playwright prometheus_client pydantic rapidfuzz redis rich.console scrapy"
heavy += " sklearn telegram textual twisted yoyo"
print(*[name for name in heavy.split() if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_what_scripts_and_timers_ask_does_not_import_rich() -> None:
    """Color is for terminals."""
    code = """
import sys
import ops.commands.forecast, ops.commands.health, ops.commands.metrics, ops.commands.status, ops.commands.workers
from ops.show import screen
screen.show_levelled(["OK  \\x1b[1mdisk"])
print(*[name for name in sys.modules if name.partition(".")[0] in ("rich", "textual", "pydantic")])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout.startswith("OK  "), "disk" in ran.stdout, "\x1b" in ran.stdout) == (True, True, False)
    assert ran.stdout.splitlines()[1:] == [""], "no module"


def test_the_version_is_that_of_the_installation(capsys: pytest.CaptureFixture[str]) -> None:
    said = f"vinops {metadata.version('vinops')}\n"
    assert CliRunner().invoke(cli.app, ["--version"]).output == said
    with pytest.raises(SystemExit) as end:
        etl_commands.main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, said)


def test_line_breaks_of_a_docstring_are_none_of_a_help_text() -> None:
    assert cli.unfolded("One.\n\nTwo goes\non, and\nends.\n") == "One.\n\nTwo goes on, and ends."
    assert cli.unfolded(None) is None
