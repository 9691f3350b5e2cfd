"""`scrapy crawl`, with the logs of vinops and an exit code for the end of the run.

0: finished, or stopped and to be continued later (the day's requests used up, SIGTERM). 1: blocked, login failed, an
unexpected error, no browser for a lot page, most photos, lots, pages or ads failed, a lot that was named is not in the
database, or an invalid setting. 2: wrong
usage, as in Scrapy: no such spider, or an argument of -a that it does not know or that makes no sense.
"""

from __future__ import annotations

import gc
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from scrapy.commands import crawl
from scrapy.exceptions import UsageError

from vinops import config, logs
from vinops.db.database import DatabaseError
from vinops.db.errors import explanation, fix_of
from vinops.output import data_folder
from vinops.redaction import one_line
from vinops_scrapy.arguments import WrongArgument
from vinops_scrapy.shortfalls import shortfalls

if TYPE_CHECKING:
    import argparse
    import asyncio
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler

log = logging.getLogger("crawl")

SWITCH_SECONDS = 0.0005
"""Seconds; the default of 0.005 is how long a thread with a decoded or stored photo would wait for the reactor."""

GOOD_ENDS = frozenset({"finished", "shutdown", "daily_cap", "postponed"})

FAULTS = ("spider_exceptions/count", "photo/failed/fault", "listing/not_recorded", "page/no_browser", "lot/not_there")
"""Statistics of unexpected errors, and of failures that recur until an operator fixes their cause."""


class Command(crawl.Command):
    """Runs a spider and sets the exit code."""

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Run a spider."""
        if len(args) != 1:
            raise UsageError("name one spider: `scrapy list` shows them")
        process: Any = self.crawler_process
        known = sorted(process.spider_loader.list())
        if args[0] not in known:
            raise UsageError(f"{args[0]} is not a spider: use {' or '.join(known)}", print_help=False)
        crawler: Crawler = process.create_crawler(args[0])
        try:
            settings = replace(config.load(), log_level=str(crawler.settings["LOG_LEVEL"]))
            logs.configure(_log_name(crawler, opts.spargs), settings, console=True)
            log.info("the data folder is %s", data_folder(settings))
        except config.ConfigError as error:
            self._fail(error)
            return
        if self.settings and (file := self.settings.get("LOG_FILE")):
            logs.also(Path(file))  # scrapyd names one for each job
        # It lists the classes that are enabled: operators search the log for `error`, and one is HttpErrorMiddleware.
        logging.getLogger("scrapy.middleware").setLevel(logging.WARNING)
        faults: list[BaseException] = []
        task: asyncio.Task[None] = process.crawl(crawler, **opts.spargs)
        task.add_done_callback(
            lambda done: faults.extend(filter(None, [None if done.cancelled() else done.exception()]))
        )
        gc.freeze()  # collecting among the imported modules cost 0.4 ms a photo
        sys.setswitchinterval(SWITCH_SECONDS)
        process.start()
        if faults:
            self._fail(faults[0])
            return
        reason = crawler.stats.get_value("finish_reason")
        errors = sum(crawler.stats.get_value(name, 0) for name in FAULTS)
        short = shortfalls(crawler.stats.get_stats())  # also after SIGTERM
        if process.bootstrap_failed or reason not in GOOD_ENDS or errors or short:
            said = {"reason": reason or "not_started", "errors": errors}
            if short:
                said["failed"] = "; ".join(map(str, short))
            log.warning("the run did not end well %s", logs.pairs(**said))
            self.exitcode = 1

    def _fail(self, error: BaseException) -> None:
        """Report why there was no run. An unexpected error is logged with its traceback, redacted."""
        is_of_database = isinstance(error, psycopg.Error)
        text = explanation(error) if is_of_database else str(error)
        if not isinstance(error, (config.ConfigError, DatabaseError)) and not (is_of_database and fix_of(error)):
            log.critical("the run did not begin", exc_info=error)
        sys.stderr.write(f"scrapy crawl: {one_line(text)}\n")
        self.exitcode = 2 if isinstance(error, WrongArgument) else 1


def _log_name(crawler: Crawler, arguments: dict[str, str]) -> str:
    """Return the name of the log of a spider with these arguments."""
    name: Callable[[Mapping[str, str]], str] | None = getattr(crawler.spidercls, "log_name", None)
    return name(arguments) if name else str(crawler.spidercls.name)
