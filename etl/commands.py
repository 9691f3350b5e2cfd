"""The command line of the feed: arguments in, one result out, honest exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.errors import ArchiveDamaged, FeedRefused, FetchFailed
from vinops import config
from vinops.output import for_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vinops.config import Settings

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done or nothing to do, 1 refused or failed, 2 wrong usage."""
    options = parser().parse_args(arguments)
    from vinops import logs  # after the arguments: a wrong one costs nothing

    try:
        settings = config.load()
        logs.configure("etl", settings, console=options.verbose)
    except config.ConfigError as error:
        return say(str(error))
    from vinops.db.database import DatabaseError

    try:
        return for_reader(lambda: int(options.command(settings, options)), enough=DONE)
    except (FeedRefused, FetchFailed, ArchiveDamaged, DatabaseError) as error:
        return say(str(error), log=True)
    except FileNotFoundError as error:
        return say(f"{error.filename}: no such file", log=True)
    except OSError as error:
        return say(_disk_message(settings, error), log=True)
    except KeyboardInterrupt:
        return say("interrupted: nothing was changed by the step in work")


def _disk_message(settings: Settings, error: OSError) -> str:
    """Return what is said of a file that could not be written. What the output still holds must not fail again at the
    end of the process."""
    from vinops import disk

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return disk.explain(error, settings.data_dir, is_sure=False)


def say(message: str, *, log: bool = False) -> int:
    """Tell on standard error what failed, and return the exit code for it."""
    from vinops.logs import redact

    message = redact(message)
    print(f"etl: {message}", file=sys.stderr)
    if log:
        logging.getLogger("etl").error("%s", message)
    return FAILED


def parser() -> argparse.ArgumentParser:
    """Return the arguments of all commands."""
    top = argparse.ArgumentParser(prog="python -m etl", description="The feed: fetch, archive, diff, merge, audit.")
    top.set_defaults(verbose=False)
    commands = top.add_subparsers(dest="name", required=True, metavar="run | fetch | ingest | cat | status")

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
    ingest = command("ingest", ingest_command, "Load a feed file from disk.")
    ingest.add_argument("file", type=Path, metavar="FILE")
    ingest.add_argument("--allow-shrink", action="store_true", help=shrink)
    cat = command("cat", cat_command, "Write an archived file to standard output, byte for byte.")
    cat.add_argument(
        "stamp",
        metavar="STAMP",
        help="its minute in UTC (2026-11-23T07:10), its path, the start of its sha256, or latest",
    )
    command("status", status_command, "Show the last runs, the archive and what the feed looks like.")
    return top


def run_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch, then load. A feed that did not change costs one request."""
    from etl.run import run

    outcome = run(settings, allow_shrink=options.allow_shrink, progress=bar("loading"), fetching=bar("fetching"))
    return report(outcome, options)


def fetch_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch only."""
    from etl.fetch.incoming import fetch

    fetched = fetch(settings, progress=bar("fetching"))
    if options.json:
        print(json.dumps({"status": "unchanged"} if fetched is None else asdict(fetched), default=str))
    else:
        print("unchanged" if fetched is None else fetched.path)
    return DONE


def ingest_command(settings: Settings, options: argparse.Namespace) -> int:
    """Load a file from disk; its time is now."""
    from etl.ingest import Busy, ingest
    from etl.merge.report import summary

    try:
        outcome = ingest(
            settings,
            options.file,
            fetched_at=datetime.now(UTC),
            allow_shrink=options.allow_shrink,
            progress=bar("loading"),
        )
    except Busy as busy:
        return say(f"{busy}; {options.file} was not loaded, run this again")
    logging.getLogger("etl").log(logging.ERROR if outcome.exit_code else logging.INFO, "%s", summary(outcome))
    return report(outcome, options)


def cat_command(settings: Settings, options: argparse.Namespace) -> int:
    """Write an archived file to standard output."""
    from etl.connection import connected
    from etl.load import chain_of
    from etl.merge.report import find_file
    from etl.store.archive import extract

    with connected(settings, "vinops etl cat") as connection:
        chain = chain_of(connection, find_file(connection, options.stamp))
    if options.json:
        print(json.dumps([asdict(link) for link in chain], default=str))
        return DONE
    extract(settings.data_dir, chain, sys.stdout.buffer)
    return DONE


def status_command(settings: Settings, options: argparse.Namespace) -> int:
    """Show how the feed stands."""
    from etl.connection import connected
    from etl.merge.report import status, status_text

    with connected(settings, "vinops etl status") as connection:
        found = status(connection)
    print(json.dumps(found, default=str) if options.json else status_text(found))
    return DONE


def report(outcome: Any, options: argparse.Namespace) -> int:
    """Print what came of a run and return its exit code."""
    from etl.merge.report import summary, table

    values = {key: value for key, value in asdict(outcome).items() if value not in (None, {}, "")}
    if options.json:
        print(json.dumps(values, default=str))
    elif not outcome.exit_code:
        print(summary(outcome))
        if outcome.status == "loaded":
            print(table(outcome))
    if outcome.exit_code:
        print(f"etl: {summary(outcome)}", file=sys.stderr)
    return int(outcome.exit_code)


def bar(label: str) -> Any:
    """Return a progress bar on standard error if that is a terminal, else something that shows nothing."""
    if not sys.stderr.isatty():
        return lambda _done, _all: None
    width = 40

    def show(done: int, whole: int) -> None:
        share = min(1.0, done / whole) if whole else 0.0
        filled = int(width * share)
        end = "\r\033[K" if share >= 1 else ""
        sys.stderr.write(f"\r{label} [{'#' * filled}{'.' * (width - filled)}] {share:4.0%} {done >> 20} MB{end}")
        sys.stderr.flush()

    return show
