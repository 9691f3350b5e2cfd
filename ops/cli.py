"""The command line `vinops`: data on standard output, diagnostics on standard error.

Exit codes: 0 done, 1 failed (one line says why and what fixes it), 2 wrong usage. docs/decisions/0023-layout.md says
why commands are named here and imported only when they run.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from vinops import config, disk, version
from vinops.db.errors import DatabaseError, explanation, fix_of, is_of_database
from vinops.output import for_reader, not_text, open_streams, to_its_end
from vinops.redaction import one_line

# Name and place of each: a function of typer's, or an application of it with one command or more.
COMMANDS: Final = {
    "demo": "demo.command:command",
    "migrate": "ops.commands.migrate:command",
    "sql": "ops.commands.sql:app",
    "monitor": "ops.commands.monitor:command",
    "status": "ops.commands.status:command",
    "health": "ops.commands.health:command",
    "doctor": "ops.commands.doctor:command",
    "logs": "ops.commands.logs:command",
    "metrics": "ops.commands.metrics:command",
    "workers": "ops.commands.workers:app",
    "stop": "ops.commands.stop:command",
    "supervise": "ops.commands.supervise:command",
    "celery": "ops.commands.celery:app",
    "deals": "ops.commands.deals:app",
    "landed": "ops.commands.imports:app",
    "web": "ops.commands.web:command",
    "watch": "ops.commands.watch:app",
    "users": "ops.commands.users:app",
    "nodes": "ops.commands.nodes:app",
    "forecast": "ops.commands.forecast:command",
    "photos": "ops.commands.maintenance.photos:app",
    "backup": "ops.commands.maintenance.backup:command",
    "restore": "ops.commands.maintenance.restore:command",
    "retention": "ops.commands.maintenance.retention:command",
    "credentials": "ops.commands.maintenance.credentials:app",
    "alert": "ops.commands.alert:command",
}

JUDGING: Final = frozenset({"health", "doctor", "workers", "celery", "nodes", "supervise"})
"""Commands whose exit code is a verdict: they run to the end even if the reader of their output closes the pipe."""


def unfolded(text: str | None) -> str | None:
    """Return a docstring without the line breaks inside its paragraphs: typer would keep them in a help text."""
    return text and "\n\n".join(" ".join(each.split()) for each in text.split("\n\n"))


class Commands(TyperGroup):
    """The commands of the table. Each allows for a reader that closes the pipe early, such as `head`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override] # typer's context is click's
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Import the command that is named, or return None for a name that is not a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command()(found)
            found = single
        command: Any = get_group(found) if len(found.registered_commands) > 1 else get_command(found)
        command.name = cmd_name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = unfolded(each.help)
        if cmd_name in JUDGING:
            invoke = command.invoke
            command.invoke = lambda ctx: to_its_end(lambda: invoke(ctx))
        return command

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the arguments, and print the help if it is asked for."""
        return to_its_end(lambda: super(Commands, self).make_context(*arguments, **named))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that is named."""
        return for_reader(lambda: super(Commands, self).invoke(ctx), enough=None)


app = typer.Typer(
    cls=Commands,
    help="The used-vehicle market from both ends, in one PostgreSQL database.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # of all commands
    pretty_exceptions_enable=False,  # it prints local variables, and they hold secrets
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"vinops {version()}")
        raise typer.Exit


@app.callback()
def _vinops(
    *,
    version_asked: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _fail_of_database(error: Exception) -> NoReturn:
    """Print in one line what PostgreSQL refused and what fixes it, and exit. A fault of vinops is logged whole."""
    text = one_line(explanation(error))
    if logging.getLogger().handlers:  # else it would be printed a second time
        logging.getLogger("vinops").error("%s", text, exc_info=None if fix_of(error) else error)
    sys.stderr.write(f"vinops: {text}\n")
    sys.exit(1)


def main() -> None:
    """Run the command line and exit. Errors are one line, redacted."""
    open_streams()
    try:
        app()
    except (config.ConfigError, DatabaseError) as error:
        sys.stderr.write(f"vinops: {one_line(str(error))}\n")
        sys.exit(1)
    except UnicodeError:
        if not (problem := not_text(sys.argv)):
            raise
        sys.stderr.write(f"vinops: {problem}\n")
        sys.exit(2)
    except Exception as error:
        if is_of_database(error):
            _fail_of_database(error)
        if not isinstance(error, OSError) or (not disk.is_full(error) and error.filename is None):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what it still holds must not fail again
        sys.stderr.write(f"vinops: {one_line(disk.explain(error, config.load().data_dir, is_sure=False))}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
