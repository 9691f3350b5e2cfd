"""`vinops demo`: feed, photos and market end to end on this machine, with stand-ins for the sources.

It asks for nothing and touches nothing but `demo` below the data folder. The first run begins with an empty folder; a
later one finds everything there and shows that nothing is fetched or loaded twice. No setting of the user but
VINOPS_DATA_DIR counts here: not in the environment, not in `.env`, not as a systemd credential.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import typer

from demo import deals as demo_deals, market as demo_market, photos as demo_photos
from demo.folder import held, migrations, note, place, signals
from demo.text import say, title, typed
from demo.world import MORE_ADS, MORE_LOTS, DemoFailed, advance, ask, control, end, feed, move
from ops.commands import sql
from vinops import config
from vinops.db import database, embedded
from vinops.redaction import redact

LOTS = 150_000
BROKEN_ROWS = 3
HOURS_LATER = timedelta(hours=6)  # by so much the market moves on

ONE_LOT = (
    "SELECT lot_external_id AS lot, event, old_value, new_value "
    "FROM audit.lot_events AS e JOIN lots ON lots.id = e.lot_id "
    "WHERE e.lot_id = (SELECT lot_id FROM audit.lot_events GROUP BY lot_id ORDER BY COUNT(*) DESC, lot_id LIMIT 1) "
    "ORDER BY e.id"
)
COUNT_LOTS = "'select status, count(*) from lots group by status'"

OPERATORS = (
    (
        "Which files came, and what did they bring?",
        "SELECT * FROM audit.v_ingest_count ORDER BY last_ingest DESC LIMIT 10",
        True,
    ),
    ("How much is not known? The worst ten of all columns:", "SELECT * FROM audit.v_unknown_rate LIMIT 10", False),
    (
        "What could not be read? Broken rows, and values without a meaning:",
        "SELECT kind, name, errors, left(example, 28) AS example FROM audit.v_parse_errors",
        False,
    ),
    (
        "How much is staged? The rows that were new or changed, as they came:",
        "SELECT MAX(ingested_at), COUNT(*) FROM staging.copart_raw",
        False,
    ),
    (
        "What happened to one lot? The one that most happened to:",
        ONE_LOT,
        False,
    ),
    (
        "Which lots left the feed? That is not to say that they were sold:",
        "SELECT lot_external_id AS lot, vin, sale_date, gone_at FROM lots WHERE status='gone' ORDER BY id LIMIT 5",
        False,
    ),
)
"""The operators' queries: why, what, and whether a row is too wide for a line."""


WITHOUT_PHOTOS = (
    "SELECT COUNT(*) FROM lots WHERE status='active' "
    "AND id NOT IN (SELECT DISTINCT lot_id FROM images WHERE lot_id IS NOT NULL)"
)
PHOTOS = (
    (
        "How far are the photos of the active lots?",
        "SELECT state, lots, share, listed, stored FROM audit.v_photo_coverage",
        False,
    ),
    (
        "How many lots have photos, and which came last?",
        "SELECT COUNT(DISTINCT lot_id) FROM images WHERE lot_id IS NOT NULL",
        False,
    ),
    (
        "",
        "SELECT vin, lot_id, seq, bytes, created_at FROM images ORDER BY created_at DESC LIMIT 5",
        False,
    ),
    (
        "How many active lots have none yet?",
        WITHOUT_PHOTOS,
        False,
    ),
    (
        "What did the crawls do?",
        "SELECT spider, done, total, items AS photos, bytes, refusals, reason FROM ops.crawl_runs ORDER BY id",
        False,
    ),
)
"""The operators' queries on the photos."""

MARKET = (
    (
        "What is advertised, and what came and went?",
        "SELECT make_slug, active, without_price, mean_eur, new_in_a_day, gone_in_a_day FROM audit.v_market",
        False,
    ),
    (
        "Which price changed last, and how?",
        (
            "SELECT left(title, 36) AS title, array_agg(p.price_eur ORDER BY seen_at) AS prices FROM listings AS l "
            "JOIN listing_prices AS p ON l.id = p.listing_id GROUP BY l.id HAVING count(*) > 1 "
            "ORDER BY max(seen_at) DESC, l.id LIMIT 3"
        ),
        False,
    ),
    (
        "What is handed on to the deals?",
        "SELECT change, count(*) FROM ops.deal_outbox GROUP BY change ORDER BY change",
        False,
    ),
)
"""The operators' queries on the market."""


def run(lots: int = LOTS, *, fresh: bool = False) -> int:
    """Show the feed with so many lots and return the exit code: 0 done, 1 failed, 130 interrupted.

    `fresh` begins with an empty folder whatever an earlier demo left.

    Whenever it ends, by itself, by a signal or by an error, the stand-in has ended too, and the database server stops
    a moment later. Killed by SIGKILL it leaves the stand-in running.
    """
    try:
        with signals(), ExitStack() as cleanup:
            Demo(place(), lots, cleanup, fresh=fresh).run()
    except DemoFailed as failure:
        typer.echo(f"vinops demo: {redact(str(failure))}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("\nvinops demo: interrupted; the stand-in has ended, run it again at any time", err=True)
        return 130
    return 0


class Demo:
    """One showing: the folder, the database in it and the feed beside it."""

    def __init__(self, folder: Path, lots: int, cleanup: ExitStack, *, fresh: bool) -> None:
        """Whatever is started is ended by `cleanup`."""
        self._fresh = fresh
        self._sections = 0
        self._earlier: dict[str, Any] = {}
        self._photos: dict[str, str] = {}
        self._market: dict[str, str] = {}
        self._market_now = ""
        self._folder = folder
        self._lots = lots
        self._cleanup = cleanup
        # linger 0: this process keeps the server up, and nobody needs it after.
        self._settings = config.Settings(data_dir=folder.resolve(), embedded_linger=0)
        self._environment = _environment(self._settings)
        self._feed = ""

    def run(self) -> None:
        """Show everything, in order. Raises DemoFailed, DatabaseError."""
        began = time.monotonic()
        self._begin()
        self._start_feed()
        if self._earlier:
            sha256 = str(self._earlier["sha256"])
            advance(self._feed)
            move(self._feed, MORE_LOTS, self._earlier["served"])  # as far as the earlier demo came
            self._title("The feed: nothing new costs one request")
            self._etl_run()
        else:
            sha256 = self._first_file()
            self._next_file()
            self._same_file()
        self._ask_operators("What the operators ask", OPERATORS)
        self._archive(sha256)
        self._photograph()
        self._ask_operators("What the operators ask of the photos", PHOTOS)
        self._follow_the_market()
        self._ask_operators("What the operators ask of the market", MARKET)
        self._find_deals()
        self._note(sha256)
        self._where(time.monotonic() - began)

    def _begin(self) -> None:
        say("vinops demo: feed, photos, market and deals, end to end, on this machine.")
        say(
            f"Everything it makes lies in {self._folder}: below VINOPS_DATA_DIR. No other setting of yours is read "
            "here, neither from the environment nor from .env: not even DATABASE_URL."
        )
        self._title("A database")
        began = time.monotonic()
        wanted = {"lots": self._lots, "migrations": migrations()}
        self._earlier = self._cleanup.enter_context(held(self._folder, self._settings, {} if self._fresh else wanted))
        self._cleanup.callback(embedded.release, self._settings.data_dir)
        typed("vinops migrate")
        applied = database.migrate(self._settings)
        seconds = time.monotonic() - began
        if self._earlier:
            say(
                f"The embedded PostgreSQL {embedded.MAJOR} of an earlier demo in {self._database}, started in "
                f"{seconds:.1f} s. It knows the feed and the photos: see what is not done twice. To begin anew, add "
                "--fresh."
            )
        else:
            say(
                f"An embedded PostgreSQL {embedded.MAJOR} in {self._database}, made and started, and "
                f"{len(applied)} migrations applied, in {seconds:.1f} s."
            )

    def _start_feed(self) -> None:
        self._title("A feed")
        say(
            f"A stand-in for the member feed, on this machine only: {self._lots:,} lots, written from a seed. "
            f"{BROKEN_ROWS} rows of its first file end too early, as they do in real ones."
        )
        process, photos = demo_photos.start(self._environment, self._folder, self._earlier.get("ports", {}))
        self._cleanup.callback(end, process)
        if photos is None:
            raise DemoFailed("the stand-in of the photos did not start: see its message above, or try --fresh")
        self._photos = photos
        typed("python -m standin.feed serve", rows=self._lots)
        self._feed = feed(self._environment, self._folder, lots=self._lots, photos=photos, cleanup=self._cleanup)
        self._environment["COPART_CSV_URL"] = self._feed
        say(redact(self._feed))

    def _first_file(self) -> str:
        """Load the first file and return the sha256 of what the stand-in served."""
        control(self._feed, "POST", "fault", {"name": "too_few_fields", "options": {"count": BROKEN_ROWS}})
        served = ask("GET", self._feed)
        self._title("The first file: every lot is new, each broken row costs one row")
        self._etl_run()
        return hashlib.sha256(served).hexdigest()

    def _next_file(self) -> None:
        self._title("A quarter of an hour later: only what changed is read and sent")
        typed("curl -X POST", f"{self._base}/control/advance")
        control(self._feed, "DELETE", "fault")
        moved = advance(self._feed)
        told = ", ".join(f"{moved[name]:,} lots {name}" for name in ("changed", "new", "gone"))
        say(f"The market moved on: {told}. The {BROKEN_ROWS} broken rows are whole now: their lots are new as well.")
        self._etl_run()

    def _same_file(self) -> None:
        self._title("Once more: nothing new costs one request")
        self._etl_run()

    def _title(self, text: str) -> None:
        self._sections += 1
        title(f"{self._sections}. {text}")

    def _ask_operators(self, title: str, queries: tuple[tuple[str, str, bool], ...]) -> None:
        self._title(title)
        for number, (question, statement, is_wide) in enumerate(queries):
            if number:
                typer.echo()
            if question:
                say(question)
            typed(f"vinops sql{' -x' if is_wide else ''}", statement)
            sql.run(self._settings, statement, sql.Format.EXPANDED if is_wide else sql.Format.TABLE, write=False)

    def _photograph(self) -> None:
        self._title("The photos: every lot, before it disappears")
        with_page = demo_photos.has_browser()
        with database.connect(self._settings, application="vinops demo") as connection:
            listed, on_page = demo_photos.lots(connection, with_page=with_page)
        say(
            f"The {len(listed)} lots that are sold first. The feed names for each an address that lists all its "
            f"photos. After {demo_photos.SESSION_LOTS} lots a session ends and the next begins."
        )
        if on_page:
            say(f"The list of lot {on_page} is empty, as some are: its page is read in Chromium, logged in.")
        elif not with_page:
            say("No Chromium is installed (apt-get install chromium): no lot is looked at in the browser.")
        numbers = [*listed, *([on_page] if on_page else [])]
        self._environment |= demo_photos.settings_of(self._photos, with_page=on_page is not None)
        typed(f"scrapy crawl lot_photos -a lot={numbers[0]},…")
        crawled = demo_photos.crawl(self._environment, self._folder, numbers)
        scraped = crawled.told("Scraped: lot")
        for line in [*scraped[:3], *crawled.told(" session "), *scraped[-2:]]:
            say(line, indent="    ")
        if crawled.exit_code or len(scraped) < len(numbers):
            raise DemoFailed(
                f"`scrapy crawl lot_photos` ended with {crawled.exit_code}: read {self._folder}/logs/photo-scraper.log"
            )
        new = sum(int(line.partition("new=")[2].split()[0]) for line in scraped)
        say(
            f"{len(scraped)} lots, {new} photos fetched."
            + ("" if new else " All were here already: none was asked for.")
        )

    def _follow_the_market(self) -> None:
        self._title("The market: what is advertised, list by list")
        count = demo_market.ads(self._lots)
        # Hours later it is now: what the stand-in calls new is new.
        self._market_now = (
            self._earlier.get("market_now") or f"{datetime.now(UTC) - HOURS_LATER:%Y-%m-%dT%H:%M:%S+00:00}"
        )
        process, found = demo_market.start(
            self._environment,
            self._folder,
            count=count,
            now=self._market_now,
            port=self._earlier.get("market_port", 0),
        )
        self._cleanup.callback(end, process)
        if found is None:
            raise DemoFailed("the stand-in of the market did not start: see its message above, or try --fresh")
        self._market = found
        self._environment |= demo_market.settings_of(found)
        say(
            f"A stand-in for mobile.bg, on this machine only: {count:,} ads of twenty makes, twenty on a page. Two of "
            "four workers walk the lists of their makes, at once."
        )
        if not self._earlier:
            self._walk_the_market()
        moved = advance(found["url"])
        move(found["url"], MORE_ADS, self._earlier.get("served", 0))
        told = ", ".join(f"{len(moved[name]):,} {name}" for name in ("new", "changed", "gone"))
        if self._earlier:
            typer.echo("It stands where the earlier demo left it.")
        else:
            typer.echo(f"Hours later, of all twenty makes: {told}.")
        self._walk_the_market()

    def _walk_the_market(self) -> None:
        workers = demo_market.workers(self._environment)
        typed(" & ".join(worker.crawl for worker in workers))
        ends = demo_market.crawl(self._environment, self._folder)
        for worker, crawled in zip(workers, ends, strict=True):
            lines = crawled.told("Scraped: ", " walked ")
            if crawled.exit_code or not lines:
                raise DemoFailed(f"worker {worker.name} ended with {crawled.exit_code}: read {self._folder}/logs")
            for line in [*lines[:2], *crawled.told(" walked ")]:
                say(line, indent="    ")

    def _find_deals(self) -> None:
        self._title("The deals: what is each ad worth, and which of them is worth telling?")
        process, found = demo_deals.start(self._environment, self._folder)
        self._cleanup.callback(end, process)
        if found is None:
            raise DemoFailed("the stand-in of Telegram did not start: see its message above, or try --fresh")
        self._environment |= demo_deals.settings_of(found)
        say("A stand-in for Telegram, on this machine only, and the ads above through all stages.")
        self._deals("run")
        if self._earlier:
            say("The channel of the earlier demo has its messages: none is posted twice.")
        else:
            self._show_messages(found["url"])
        self._deals("top")

    def _show_messages(self, telegram: str) -> None:
        messages = json.loads(ask("GET", f"{telegram}/control/messages"))
        ads = json.loads(ask("GET", f"{self._market['url']}/control/ads"))
        judged = demo_deals.judged([_ad_id(message["buttons"][0][1]) for message in messages], ads)
        say(
            f"The channel has {len(messages)} messages. The stand-in planted bargains and traps among its ads: "
            f"{judged['bargains']} of these are bargains, {judged['traps']} are traps. The best of them:"
        )
        for line in messages[0]["text"].splitlines() if messages else ():
            say(f"    | {line}", indent="    | ")

    def _deals(self, *arguments: str) -> None:
        """Run `vinops deals …` and show what it prints. Raises DemoFailed unless it exits with 0."""
        typed(f"vinops deals {' '.join(arguments)}")
        done = demo_deals.command(self._environment, self._folder, *arguments)
        for line in done.stdout.splitlines():
            if "://" not in line:  # an address of the stand-in is of no use behind the demo, and wider than a line
                say(line, indent=" " * 10)
        if done.returncode:
            raise DemoFailed(
                f"`vinops deals {arguments[0]}` ended with {done.returncode}: read {self._folder}/logs/deals.log"
            )

    def _note(self, sha256: str) -> None:
        """Leave word for the next demo of what is here. Without it, it begins with an empty folder."""
        ports = {name: urlsplit(self._photos[f"{name}_url"]).port for name in ("api", "cdn", "site")}
        what = {
            "lots": self._lots,
            "migrations": migrations(),
            "sha256": sha256,
            "ports": ports,
            "market_port": urlsplit(self._market["url"]).port,
            "market_now": self._market_now,
            "served": self._earlier.get("served", 0),
        }
        note(self._folder, what)

    def _archive(self, served: str) -> None:
        self._title("The archive gives back every byte")
        with database.connect(self._settings, application="vinops demo") as connection:
            rows = connection.execute(
                "select fetched_at, bytes, archive_bytes from raw.csv_files order by id"
            ).fetchall()
        stamp = f"{rows[0][0].astimezone(UTC):%Y-%m-%dT%H:%M}"
        typed(f"python -m etl cat {stamp} | sha256sum")
        found = self._sum_of(stamp)
        say(found)
        if found != served:
            raise DemoFailed(f"that is not what the stand-in served ({served}): python -m etl cat gave other bytes")
        say("The very bytes that the stand-in served as its first file.")
        for name, (_, size, kept) in zip(("first file", "next file"), rows, strict=False):
            say(f"{name + ':':<12}{size:>12,} bytes, kept in {kept:>11,} ({kept / size:.2%})")

    def _where(self, seconds: float) -> None:
        folder = shlex.quote(str(self._folder))
        prefix = f"VINOPS_DATA_DIR={folder} "
        tools = Path(sys.executable).parent
        with suppress(ValueError):
            tools = tools.relative_to(Path.cwd())
        here = tools
        if _has_own_database():
            # There is no .env in the folder of the demo, and a relative path leads back.
            prefix = f"cd {folder} && env -u DATABASE_URL VINOPS_DATA_DIR=. "
            tools = Path(min(os.path.relpath(tools, self._folder), str(tools.absolute()), key=len))
        title("Where everything lies")
        for name, path in {
            "database": "postgres, started by whatever command needs it",
            "archive": "raw/copart/YYYY/MM/DD/HHMM.csv.zst",
            "photos": "photos/LOT/SHA256.jpg",
            "logs": "logs/etl.log, logs/photo-scraper.log",
            "the last file": "state/copart, what the next file is compared with",
        }.items():
            say(f"{name:<15}{self._folder}/{path}")
        say("")
        say("Look further:")
        for command in (
            f"{tools}/vinops sql {COUNT_LOTS}",
            f"{tools}/python -m etl status",
            f"{tools}/python -m etl cat latest >salesdata.csv",
        ):
            typed(f"{prefix}{command}")
        say("A day with it, at the stand-ins: workers, deals, monitor, health.")
        typed(f"{here}/vinops demo --serve")
        say(f"Your own feed: put COPART_CSV_URL into .env (see .env.example), then {tools}/python -m etl run")
        say("")
        say(f"Done in {seconds:.0f} s.")

    def _etl_run(self) -> None:
        """Run the feed as a user would, and show what it prints. Raises DemoFailed unless it exits with 0."""
        typer.echo(f"$ VINOPS_DATA_DIR={self._folder} \\")
        typer.echo(f"  COPART_CSV_URL='{redact(self._feed)}' \\")
        typer.echo("  python -m etl run")
        done = self._process("run")
        for line in done.stdout.splitlines():
            say(line, indent="    ")
        if done.returncode:
            raise DemoFailed(f"`python -m etl run` ended with {done.returncode}: read {self._folder}/logs/etl.log")

    def _process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Standard error is left alone: on a terminal it has the progress bar.
        command = [sys.executable, "-m", "etl", *arguments]
        return subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=False, cwd=self._folder, env=self._environment
        )

    def _sum_of(self, stamp: str) -> str:
        """Return the sha256 of what `etl cat` writes."""
        process = subprocess.Popen(
            [sys.executable, "-m", "etl", "cat", stamp],
            stdout=subprocess.PIPE,
            cwd=self._folder,
            env=self._environment,
        )
        self._cleanup.callback(end, process)
        output, found = cast("IO[bytes]", process.stdout), hashlib.sha256()
        while data := output.read(1 << 20):
            found.update(data)
        if process.wait():
            raise DemoFailed(f"`python -m etl cat` ended with {process.returncode}")
        return found.hexdigest()

    @property
    def _database(self) -> str:
        """Where the database lies: also as root's own folders are closed to the account of its server."""
        link = self._folder / "postgres"
        return f"{link} (a link to {link.readlink()})" if link.is_symlink() else str(link)

    @property
    def _base(self) -> str:
        return "http://" + urlsplit(self._feed).netloc


def _environment(settings: config.Settings) -> dict[str, str]:
    """Return the environment of the commands: this one without any setting of vinops, and the folder of the demo.

    They run in that folder too, because `.env` is looked for in the current one.
    """
    return {**config.without_settings(), "VINOPS_DATA_DIR": str(settings.data_dir), "VINOPS_EMBEDDED_LINGER": "0"}


def _ad_id(url: str) -> str:
    """Return the site's id of an ad, which its address holds: /obiava-ID-title."""
    return urlsplit(url).path.partition("-")[2].partition("-")[0]


def _has_own_database() -> bool:
    """Tell whether commands that are run here would go to a database of the user."""
    try:
        return config.load().database_url is not None
    except config.ConfigError:
        return True
