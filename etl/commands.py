"""The command line of the feed: arguments in, one result out, honest exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.errors import FeedError
from etl.progress import shown
from vinops import config, version
from vinops.output import at_work, data_folder, for_reader, not_text, open_streams, say, terminal_width
from vinops.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl.outcome import Outcome
    from vinops.config import Settings

DONE, FAILED, USAGE = 0, 1, 2  # argparse exits with 2, too


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done or nothing to do, 1 refused or failed, 2 wrong usage."""
    open_streams()
    options = parser().parse_args(arguments)
    from vinops import logs  # after the arguments: a wrong one costs nothing

    try:
        settings = config.load()
        logs.configure("etl", settings, console=options.verbose)
    except config.ConfigError as error:
        return fail(str(error))
    from vinops.db.database import DatabaseError

    try:
        return for_reader(lambda: int(options.command(settings, options)), enough=DONE)
    except (FeedError, DatabaseError) as error:
        return fail(str(error), log=True)
    except UnicodeError:
        if not (problem := not_text(sys.argv)):
            raise
        fail(problem)
        return USAGE
    except FileNotFoundError as error:
        return fail(f"{error.filename}: no such file", log=True)
    except OSError as error:
        return fail(_disk_message(settings, error), log=True)
    except KeyboardInterrupt:
        return fail("interrupted: the tables are as before the run, or as after it")


def _disk_message(settings: Settings, error: OSError) -> str:
    """Return the message for a file that could not be written. What is buffered for the output is dropped: it must not
    fail again at the end of the process."""
    from vinops import disk

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return disk.explain(error, settings.data_dir, is_sure=False)


def fail(message: str, *, log: bool = False) -> int:
    """Print on standard error what failed, and return the exit code for it."""
    from vinops.logs import redact

    message = printable(redact(message))
    print(f"etl: {message}", file=sys.stderr)
    if log:
        logging.getLogger("etl").error("%s", message)
    return FAILED


class ShowVersion(argparse.Action):
    """Prints the version, which is read only then, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"vinops {version()}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the arguments of all commands."""
    top = argparse.ArgumentParser(prog="python -m etl", description="The feed: fetch, archive, diff, merge, audit.")
    top.add_argument("--version", action=ShowVersion, nargs=0, help="print the version and exit")
    top.set_defaults(verbose=False)
    commands = top.add_subparsers(dest="name", required=True, metavar="run | fetch | ingest | cat | status | board")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        each = commands.add_parser(name, help=text, description=text)
        each.set_defaults(command=function)
        each.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        each.add_argument("--verbose", "-v", action="store_true", help="show the log on standard error")
        return each

    shrink = "load a file even if more than VINOPS_FEED_SHRINK_LIMIT of the lots are missing from it"
    run = command("run", run_command, "Fetch the feed from COPART_CSV_URL and load what changed.")
    run.add_argument("--allow-shrink", action="store_true", help=shrink)
    command("fetch", fetch_command, "Fetch the feed to the data folder and print where it is.")
    ingest = command("ingest", ingest_command, "Load a feed file from disk, plain or compressed with gzip.")
    ingest.add_argument("file", type=Path, metavar="FILE")
    ingest.add_argument("--allow-shrink", action="store_true", help=shrink)
    cat = command("cat", cat_command, "Write an archived file to standard output, byte for byte.")
    cat.add_argument(
        "stamp",
        metavar="STAMP",
        help="its minute in UTC (2026-11-23T07:10), its path, the start of its sha256, or latest",
    )
    command("status", status_command, "Show the last runs, the archive and the state of the feed.")
    board = command("board", board_command, "Compare all rows of the board of lots; exit 1 if any is wrong.")
    board.add_argument("--rebuild", action="store_true", help="correct the rows that are wrong")
    return top


def run_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch, then load. A feed that did not change costs one request."""
    from etl.run import run

    name_data_folder(settings, options)
    with at_work("fetching") as work:
        loading, fetching = shown(work, "loading"), shown(work, "fetching")
        outcome = run(settings, allow_shrink=options.allow_shrink, progress=loading, fetching=fetching)
    return report(outcome, options)


def fetch_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch only."""
    from etl.fetch.incoming import fetch

    with at_work("fetching") as work:
        fetched = fetch(settings, progress=shown(work, "fetching"))
    if options.json:
        print(json.dumps({"status": "unchanged"} if fetched is None else asdict(fetched), default=str))
    else:
        print("unchanged" if fetched is None else fetched.path)
    return DONE


def ingest_command(settings: Settings, options: argparse.Namespace) -> int:
    """Load a file from disk; its time is now."""
    from etl.run import ingest

    name_data_folder(settings, options)
    with at_work("loading") as work:
        outcome = ingest(
            settings,
            options.file,
            fetched_at=datetime.now(UTC),
            allow_shrink=options.allow_shrink,
            progress=shown(work, "loading"),
        )
    if outcome.status == "busy":
        return fail(f"{outcome.message}; {options.file} was not loaded, run this again")
    return report(outcome, options)


def cat_command(settings: Settings, options: argparse.Namespace) -> int:
    """Write an archived file to standard output."""
    from etl.connection import connected
    from etl.store import files
    from etl.store.archive import extract

    with connected(settings, "vinops etl cat") as connection:
        chain = files.chain_of(connection, files.find(connection, options.stamp))
    if options.json:
        print(json.dumps([asdict(link) for link in chain], default=str))
        return DONE
    # On the same terminal it would stand among the bytes.
    with nullcontext() if sys.stdout.isatty() else at_work("reading the archive"):
        extract(settings.data_dir, chain, sys.stdout.buffer)
    return DONE


def status_command(settings: Settings, options: argparse.Namespace) -> int:
    """Show the status of the feed."""
    from etl.connection import connected
    from etl.status import status, status_text
    from vinops.text import figures

    name_data_folder(settings, options)
    with at_work("counting"), connected(settings, "vinops etl status") as connection:
        found = status(connection)
    now = figures.moment(datetime.now(UTC), settings.time_zone)
    text = json.dumps(found, default=str) if options.json else status_text(found, now, terminal_width())
    print(printable(text, lines=True))
    return DONE


def board_command(settings: Settings, options: argparse.Namespace) -> int:
    """Compare the board of lots with the tables that it is made of, and correct it if asked to. The feed waits."""
    from etl.connection import connected, locked
    from etl.merge import board
    from vinops.checks import Level

    with connected(settings, "vinops etl board") as connection:
        with at_work("comparing the board"):
            found = board.compare(connection, None)
            connection.commit()
        rebuilt = None
        if options.rebuild:
            with at_work("rebuilding the board"), locked(connection):
                rebuilt = board.rebuild(connection)
    finding = board.judge(found)
    if options.json:
        print(json.dumps({"compared": asdict(found), "rebuilt": rebuilt and asdict(rebuilt)}))
    else:
        print(finding.text)
        if rebuilt is not None:
            print(f"rebuilt: {rebuilt.written} rows written, {rebuilt.removed} removed")
    if finding.level is Level.OK or rebuilt is not None:
        return DONE
    return fail(f"the board of lots is not right: `{board.REBUILD}`")


def name_data_folder(settings: Settings, options: argparse.Namespace) -> None:
    """Begin the text with the data folder. On standard output: cron sends what is on standard error."""
    if not options.json:
        say(f"data folder {data_folder(settings)}")


def report(outcome: Outcome, options: argparse.Namespace) -> int:
    """Print the outcome of a run and return its exit code."""
    if options.json:
        values = {key: value for key, value in asdict(outcome).items() if value not in (None, {}, "")}
        print(json.dumps(values, default=str))
    elif not outcome.exit_code:
        print(printable(outcome.summary))
        if outcome.status == "loaded":
            print(printable(outcome.table, lines=True))
    if outcome.exit_code:
        print(f"etl: {printable(outcome.summary)}", file=sys.stderr)
    return outcome.exit_code
