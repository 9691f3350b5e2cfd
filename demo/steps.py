"""The steps of the demo: a table of titles and of the functions that run a step and print its result."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import typer

from demo import alerts, questions, world
from demo.folder import held, migrations
from demo.text import say, typed
from demo.world import DemoFailed
from ops.commands import sql
from ops.workers import registry
from standin.feed.imports import PLANTED
from standin.photos.lots import PhotoLots
from vinops.db import database, embedded
from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from demo.demo import Demo
    from demo.questions import Question

BROKEN_ROWS = 3
PHOTO_LOTS = 24
WORKERS = 2  # of four, run in parallel
EXPECTED: Final = {
    "bargain": ("ranked",),
    "dear": ("ranked",),
    "flood": ("damage",),
    "parts_only": ("title not exportable",),
    "canadian": ("title unknown",),
    "masked": ("ranked",),
}
"""What each planted lot must come out as; the dear one is ranked with a loss, and so on no list."""
PLANTED_STATE: Final = """
    select quotes.is_ranked, quotes.profit_eur, array(select b ->> 'name' from jsonb_array_elements(known.blockers) b)
    from lots join lot_values as known on known.lot_id = lots.id left join lot_quotes as quotes using (lot_id)
    where lot_external_id = %(lot)s"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step: its title, and the function that runs it and prints its result.

    `in_demo` says which demos include it: the `first` one in a folder, `later` ones, or `any`.
    """

    title: str
    run: Callable[[Demo], None]
    in_demo: str = "any"


def start_database(demo: Demo) -> None:
    """Create or start the embedded database server and read the note of an earlier demo."""
    began = time.monotonic()
    wanted = {} if demo.is_fresh else {"lots": demo.lots, "migrations": migrations()}
    demo.earlier = demo.cleanup.enter_context(held(demo.folder, demo.settings, wanted))
    demo.cleanup.callback(embedded.release, demo.settings.data_dir)
    typed("vinops migrate")
    applied = database.migrate(demo.settings)
    seconds = time.monotonic() - began
    link = demo.folder / "postgres"  # a link if run by root, whose folders the server's account cannot read
    where = f"{link} (a link to {link.readlink()})" if link.is_symlink() else str(link)
    if demo.earlier:
        say(
            f"The embedded PostgreSQL {embedded.MAJOR} of an earlier demo in {where}, started in {seconds:.1f} s. It "
            "has the feed and the photos: the steps below do nothing twice. To start over, add --fresh."
        )
    else:
        say(
            f"An embedded PostgreSQL {embedded.MAJOR} in {where}, created and started, and {len(applied)} migrations "
            f"applied, in {seconds:.1f} s."
        )


def start_feed(demo: Demo) -> None:
    """Start the stand-ins; in a later demo, advance them to their state at the end of the earlier one."""
    say(
        f"A stand-in for the member feed, on this machine only: {demo.lots:,} lots, generated from a seed. "
        f"{BROKEN_ROWS} rows of its first file have too few fields, as happens in real files."
    )
    typed("python -m standin.feed serve", rows=demo.lots)
    demo.world = world.start(
        demo.environment,
        demo.folder,
        lots=demo.lots,
        count=world.ads(demo.lots),
        cleanup=demo.cleanup,
        earlier=demo.earlier,
        with_page=world.has_browser(),
    )
    demo.environment |= demo.world.settings
    say(redact(demo.world.feed))
    if demo.earlier:
        demo.sha256 = str(demo.earlier["sha256"])
        demo.world.catch_up(demo.earlier["served"])


def load_first_file(demo: Demo) -> None:
    """Load a file with broken rows, and record the SHA-256 of the file that the stand-in served."""
    world.control(demo.world.feed, "POST", "fault", {"name": "too_few_fields", "options": {"count": BROKEN_ROWS}})
    demo.sha256 = hashlib.sha256(world.ask("GET", demo.world.feed)).hexdigest()
    load(demo)


def load_next_file(demo: Demo) -> None:
    """Advance the feed and load its second file."""
    typed("curl -X POST", f"http://{urlsplit(demo.world.feed).netloc}/control/advance")
    world.control(demo.world.feed, "DELETE", "fault")
    moved = world.advance(demo.world.feed)
    counts = ", ".join(f"{moved[name]:,} lots {name}" for name in ("changed", "new", "gone"))
    say(f"The next file: {counts}. The {BROKEN_ROWS} broken rows are complete now: their lots are new as well.")
    load(demo)


def load(demo: Demo) -> None:
    """Run `python -m etl run` and print its output. Raises DemoFailed unless it exits with 0."""
    typer.echo(f"$ VINOPS_DATA_DIR={demo.folder} \\")
    typer.echo(f"  COPART_CSV_URL='{redact(demo.world.feed)}' \\")
    typer.echo("  python -m etl run")
    demo.show("etl", "run", log="etl.log", indent="    ")


def asks(*asked: Question) -> Callable[[Demo], None]:
    """Return a step that runs the queries of these questions and prints their results."""

    def run(demo: Demo) -> None:
        for number, question in enumerate(asked):
            if number:
                typer.echo()
            if question.why:
                say(question.why)
            typed(f"vinops sql{' -x' if question.is_wide else ''}", question.statement)
            form = sql.Format.EXPANDED if question.is_wide else sql.Format.TABLE
            sql.run(demo.settings, question.statement, form, write=False)

    return run


def read_archive(demo: Demo) -> None:
    """Compare the SHA-256 of the archived first file with that of the served one. Raises DemoFailed if they differ."""
    with database.connect(demo.settings, application="vinops demo") as connection:
        rows = connection.execute("select fetched_at, bytes, archive_bytes from raw.csv_files order by id").fetchall()
    stamp = f"{rows[0][0].astimezone(UTC):%Y-%m-%dT%H:%M}"
    typed(f"python -m etl cat {stamp} | sha256sum")
    process = subprocess.Popen(
        [sys.executable, "-m", "etl", "cat", stamp], stdout=subprocess.PIPE, cwd=demo.folder, env=demo.environment
    )
    demo.cleanup.callback(world.end, process)
    found = hashlib.file_digest(cast("IO[bytes]", process.stdout), "sha256").hexdigest()  # type: ignore[arg-type]
    if process.wait():
        raise DemoFailed(f"`python -m etl cat` ended with {process.returncode}")
    say(found)
    if found != demo.sha256:
        raise DemoFailed(f"the archived file differs from the served one: its SHA-256 is {found}, not {demo.sha256}")
    say("The very bytes that the stand-in served as its first file.")
    for name, (_, size, kept) in zip(("first file", "next file"), rows, strict=False):
        say(f"{name + ':':<12}{size:>12,} bytes, kept in {kept:>11,} ({kept / size:.2%})")


def fetch_photos(demo: Demo) -> None:
    """Fetch the photos of the lots planted for the import deals, of those with the earliest sales, and of a lot whose
    photos are only on its page. A later demo asks for the same lots, also if others have come."""
    with_page = world.has_browser()
    with database.connect(demo.settings, application="vinops demo") as connection:
        rows = connection.execute(
            "select lot_external_id from lots where status = 'active' and image_url is not null"
            " order by exists (select from lot_photos where lot_id = lots.id and state <> 'missing') desc,"
            " coalesce(sale_at, sale_date) asc nulls last, id desc limit 1000"
        ).fetchall()
    drawn = PhotoLots(seed=world.SEED)
    planted = list(world.planted(demo.settings).values())
    numbers = [*planted, *(int(number) for (number,) in rows if int(number) not in planted)]
    empty = [number for number in numbers if drawn.state(number) == "empty_list"]
    listed = [number for number in numbers if number not in empty][: PHOTO_LOTS - with_page]
    on_page = empty[:1] if with_page else []
    say(
        f"{len(listed)} lots: those planted for the import deals, and those with the earliest sales. The feed has a "
        "URL for each lot that lists all its photos. "
        f"After {world.SESSION_LOTS} lots a session ends and the next begins."
    )
    if on_page:
        say(f"The list of lot {on_page[0]} is empty, as some are: its page is read in Chromium, logged in.")
    elif not with_page:
        say("Chromium is not installed (apt-get install chromium): no lot page is read in the browser.")
    lots = [*listed, *on_page]
    typed(f"scrapy crawl lot_photos -a lot={lots[0]},…")
    (crawled,) = demo.crawl(["lot_photos", "-a", f"lot={','.join(map(str, lots))}"])
    scraped = crawled.marked("Scraped: lot")
    for line in [*scraped[:3], *crawled.marked(" session "), *scraped[-2:]]:
        say(line, indent="    ")
    if crawled.exit_code or len(scraped) < len(lots):
        raise DemoFailed(
            f"`scrapy crawl lot_photos` ended with {crawled.exit_code}: read {demo.folder}/logs/photo-scraper.log"
        )
    new = sum(int(line.partition("new=")[2].split()[0]) for line in scraped)
    known = "" if new else " All were here already: none was requested."
    say(f"{len(scraped)} lots, {new} photos fetched.{known}")


def follow_market(demo: Demo) -> None:
    """Crawl the market with two workers; in a first demo twice, and advance the market by some hours in between."""
    say(
        f"A stand-in for mobile.bg, on this machine only: {world.ads(demo.lots):,} ads of twenty makes, twenty on a "
        "page. Two of four workers walk the lists of their makes to the end, in parallel."
    )
    if demo.earlier:
        typer.echo("It is in the state in which the earlier demo left it.")
    else:
        _crawl_market(demo)
        moved = world.advance(demo.world.market)
        counts = ", ".join(f"{len(moved[name]):,} {name}" for name in ("new", "changed", "gone"))
        typer.echo(f"Hours later, of all twenty makes: {counts}.")
    _crawl_market(demo)


def _crawl_market(demo: Demo) -> None:
    workers = registry.workers(demo.settings)[:WORKERS]
    crawls = [f"{worker.crawl} -a mode=full" for worker in workers]
    typed(" & ".join(crawls))
    ends = demo.crawl(*(crawl.split()[2:] for crawl in crawls))
    for worker, crawled in zip(workers, ends, strict=True):
        lines = crawled.marked("Scraped: ", " walked ")
        if crawled.exit_code or not lines:
            raise DemoFailed(f"worker {worker.name} ended with {crawled.exit_code}: read {demo.folder}/logs")
        for line in [*lines[:2], *crawled.marked(" walked ")]:
            say(line, indent="    ")


def find_deals(demo: Demo) -> None:
    """Process the ads in all stages of the deals pipeline, and show the messages in the channel."""
    say("A stand-in for Telegram, on this machine only. The ads above go through all stages of the pipeline.")
    _deals(demo, "run")
    if demo.earlier:
        say("The channel already has the messages of the earlier demo: none is posted twice.")
    else:
        _show_messages(demo)
    _deals(demo, "top")
    say(
        "The workers compute the prices over time every night; the site shows them under /market. Here they are of the "
        "minutes since the first ad: of one day of data, and the pages say so."
    )
    _deals(demo, "market")


def _deals(demo: Demo, command: str) -> None:
    typed(f"vinops deals {command}")
    demo.show("ops.cli", "deals", command, log="deals.log", indent=" " * 10)


def _show_messages(demo: Demo) -> None:
    messages = _messages(demo, world.CHANNEL)
    ads = world.control(demo.world.market, "GET", "ads")
    # The site's id of an ad is in its address: /obiava-ID-title.
    ids = [urlsplit(each["buttons"][0][1]).path.partition("-")[2].partition("-")[0] for each in messages]
    posted = [ads[ad_id] for ad_id in ids if ad_id in ads]
    bargains = sum(bool(ad["is_bargain"]) for ad in posted)
    traps = sum(bool(ad["is_damaged"]) or ad["oddity"] in ("placeholder", "lease_balance") for ad in posted)
    say(
        f"The channel has {len(messages)} messages. The ads of the stand-in include bargains and traps: "
        f"{bargains} of these messages are for bargains, {traps} for traps. The best of them:"
    )
    _show_message(messages)


def _messages(demo: Demo, chat: str) -> list[dict[str, Any]]:
    """Return the messages of a chat, oldest first."""
    messages = world.control(demo.world.settings["TELEGRAM_API_URL"], "GET", "messages")
    return [each for each in messages if each["chat_id"] == chat]


def _show_message(messages: Sequence[Mapping[str, Any]]) -> None:
    for line in messages[0]["text"].splitlines() if messages else ():
        say(f"    | {line}", indent="    | ")


def find_imports(demo: Demo) -> None:
    """Value and quote the lots, and show the best ones with the breakdown of the first."""
    say(
        "What a lot costs landed in Bulgaria, against what its car is worth there. Among the lots of the stand-in are "
        f"{len(PLANTED)} that must come out in a known way: "
        f"{', '.join(name.replace('_', ' ') for name in PLANTED)}."
    )
    for arguments in (("rate", "--fetch"), ("run",), ("top",)):
        typed(" ".join(("vinops landed", *arguments)))
        demo.show("ops.cli", "landed", *arguments, log="deals.log", indent="    ")
    numbers = world.planted(demo.settings)
    _expect(demo, numbers)
    messages = _messages(demo, world.IMPORTS)
    say(f"The chat of the imports has {len(messages)} message: a lot is told once, and edited when the sale moves.")
    if len(messages) != 1:
        raise DemoFailed(f"the chat of the imports has {len(messages)} messages: read {demo.folder}/logs/deals.log")
    _show_message(messages)
    typed(f"vinops landed show {numbers['bargain']}")
    demo.show("ops.cli", "landed", "show", str(numbers["bargain"]), log="deals.log", indent=" " * 13)


def _expect(demo: Demo, numbers: Mapping[str, int]) -> None:
    """Print how the planted lots came out. Raises DemoFailed for one that came out otherwise than it must."""
    with database.connect(demo.settings, application="vinops demo") as connection:
        found = {
            name: connection.execute(PLANTED_STATE, {"lot": lot}).fetchone() or (None, None, None)
            for name, lot in numbers.items()
        }
    for name, (is_ranked, profit, blockers) in found.items():
        said = ", ".join(blockers or ()) or ("ranked" if is_ranked else "not ranked")
        say(f"{name.replace('_', ' '):<12}{said}" + (f", careful profit {profit:,} EUR" if profit is not None else ""))
        if said.split(",")[0] not in EXPECTED[name]:
            raise DemoFailed(f"the lot {name} came out as {said}: read {demo.folder}/logs/deals.log")
    if (found["bargain"][1] or 0) <= 0 or (found["dear"][1] or 0) >= 0:
        raise DemoFailed(f"the bargain and the dear lot came out as {found['bargain']} and {found['dear']}")


STEPS: Final = (
    Step(title="A database", run=start_database),
    Step(title="A feed", run=start_feed),
    Step(title="The first file: all lots are new, only broken rows are rejected", run=load_first_file, in_demo="first"),
    Step(title="A quarter of an hour later: only what changed is read and sent", run=load_next_file, in_demo="first"),
    Step(title="Once more: an unchanged file takes one request", run=load, in_demo="first"),
    Step(title="The feed: an unchanged file takes one request", run=load, in_demo="later"),
    Step(title="What the operators ask", run=asks(*questions.FEED)),
    Step(title="The archive returns every file byte for byte", run=read_archive),
    Step(title="The photos: every lot, before it disappears", run=fetch_photos),
    Step(title="What the operators ask of the photos", run=asks(*questions.PHOTOS)),
    Step(title="The market: what is advertised, list by list", run=follow_market),
    Step(title="What the operators ask of the market", run=asks(*questions.MARKET)),
    Step(title="The deals: what is each ad worth, and which are worth a message?", run=find_deals),
    Step(title="The imports: which lots of the auction are worth a bid?", run=find_imports),
    Step(title="The alerts: a person's own car, in the person's own words", run=alerts.watch, in_demo="first"),
)
"""All steps, in order."""
