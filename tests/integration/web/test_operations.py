"""The page /ops: one sentence, and figures that equal those of the database, however little there is of it."""

from __future__ import annotations

import re
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from starlette.testclient import TestClient

from deals import market
from ops.checks import health, outside
from tests.integration.web.test_pages import ENGLISH, HOSTILE, Tags
from tests.support import snapshots
from tests.support.feed_files import Loader, row
from tests.support.lots import lots_on_board
from tests.support.sites import ads_on_board, running, signed_in
from vinops.checks import Level
from vinops_scrapy.mobile_bg.makes import read_makes
from web.app import create
from web.language import language
from web.operations import freshness, history, plots
from web.operations.history import Coverage, FeedRun, History
from web.operations.watch import PROMISE, Seen
from web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

LANGUAGE = language("en", "Europe/Sofia")


@pytest.fixture
def shown(database: Database, settings: Settings) -> Iterator[tuple[Site, TestClient]]:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        client.headers.update(ENGLISH)
        yield site, client


def seen(**parts: Any) -> Seen:
    """What the site saw a moment ago."""
    now = datetime.now(UTC)
    shift = now - snapshots.NOW
    snapshot = snapshots.snapshot(at=now, **parts)
    moved = {
        "feed": snapshot.feed
        and replace(snapshot.feed, good_at=snapshot.feed.good_at and snapshot.feed.good_at + shift),
        "backup": replace(snapshot.backup, at=now),
        "market": replace(
            snapshot.market,
            newest_at=now,
            makes=tuple(
                replace(
                    make,
                    complete_at=make.complete_at and make.complete_at + shift,
                    since=make.since and make.since + shift,
                )
                for make in snapshot.market.makes
            ),
        ),
        "photos": replace(snapshot.photos, last_run_at=now),
        "supervisor": snapshot.supervisor,
        "deals": snapshot.deals
        and replace(
            snapshot.deals, figures=snapshot.deals.figures and replace(snapshot.deals.figures, computed_at=now)
        ),
        "wanted": tuple(replace(each, at=each.at + shift) for each in snapshot.wanted),
        "hosts": tuple(replace(each, asked_at=now) for each in snapshot.hosts),
        "workers": tuple(
            replace(each, started_at=now, run=replace(each.run, heartbeat_at=now)) for each in snapshot.workers
        ),
    }
    snapshot = replace(snapshot, **moved)
    return Seen(snapshot=snapshot, health=health.judge(snapshot))


def plain(text: str) -> str:
    """Return the text of a page, each run of blanks as one."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", text.partition("<main")[2])).split())


def figure(text: str, title: str) -> str:
    """Return the figure beside a title in a list of figures."""
    found = re.search(rf"<dt>(?:<svg.*?</svg>)? ?{re.escape(title)}</dt><dd[^>]*>(.*?)</dd>", text, re.DOTALL)
    assert found is not None, title
    return " ".join(unescape(re.sub("<[^>]*>", "", found[1])).split())


def test_the_first_sentence_says_that_all_is_well(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    assert "The state has not been read yet" in client.get("/ops").text
    site.watch.seen = seen()
    assert site.watch.seen.health.alarms == ()
    assert "All is well." in plain(client.get("/ops").text)


def test_the_first_sentence_says_what_is_wrong_since_when_and_what_fixes_it(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    late = seen(feed=snapshots.feed(good_at=snapshots.ago(hours=4)), logs=snapshots.logs(errors=7))
    site.watch.seen = late
    text = plain(client.get("/ops").text)
    since = LANGUAGE.moment(late.at - timedelta(hours=3, minutes=15))
    assert f"Something is wrong: feed, 4 h old (limit 3 h) , since {since}" in text
    assert "What fixes it: python -m etl run" in text
    assert text.count("python -m etl run") == 2, "it stands beside the figures of the feed, too"
    assert "WARNING errors: 7 in the last hour" in text


def test_since_when_is_remembered_where_the_check_does_not_know_it(database: Database, settings: Settings) -> None:
    with running(settings) as (site, _client):
        shutil.rmtree(settings.data_dir)
        first = site.watch.take()
        bad = next(line for line in first.health.lines if line.name == "data")
        assert bad.level is Level.WARNING
        second = site.watch.take()
        assert second.at > first.at
        assert second.began(bad) == (first.at, False)
        settings.data_dir.mkdir()
        assert "data" not in site.watch.take().since


def test_a_snapshot_that_is_older_than_promised_says_so(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    now = seen()
    site.watch.seen = now
    assert "These figures are old" not in client.get("/ops").text
    old = now.at - PROMISE - timedelta(seconds=1)
    site.watch.seen = replace(now, snapshot=replace(now.snapshot, at=old))
    assert "These figures are old" in client.get("/ops").text


def test_a_request_reads_nothing_but_who_asks(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as (site, client):
        signed_in(site, client, database, "viewer")
        site.watch.take()

        def fail(*_: object, **__: object) -> None:
            raise AssertionError("it was read in the request")

        monkeypatch.setattr("ops.observe.observer.Observer.observe", fail)
        monkeypatch.setattr("web.operations.history.read", fail)
        assert client.get("/ops").status_code == 200
        assert client.get("/").status_code == 200


def test_an_empty_database_has_no_invented_figures(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    taken = site.watch.take()
    assert (taken.snapshot.faults, taken.history_error) == ({}, "")
    assert not any((taken.history.runs, taken.history.coverage, taken.history.messages, taken.history.steps))
    text = client.get("/ops").text
    for said in ("No run yet.", "No active lot.", "No host was asked in the last week.", "fewer than two counts"):
        assert said in text
    assert " nan" not in plain(text)


def test_the_figures_equal_those_of_the_database(
    database: Database, settings: Settings, shown: tuple[Site, TestClient]
) -> None:
    site, client = shown
    loader = Loader(
        settings=replace(settings, feed_min_rows=1), database=database, folder=settings.data_dir / "files",
        now=datetime.now(UTC) - timedelta(hours=1),
    )  # fmt: skip
    loader.loaded([row(number) for number in range(1, 21)])
    loader.loaded([row(number, **({"sale_date": "20260801"} if number < 4 else {})) for number in range(2, 21)])
    database.execute("insert into lot_photos (lot_id, state, stored, first_at, turn_at) select id, case when"
                     " lot_external_id < 8 then 'ok' else 'first' end, 3, now(), now() from lots"
                     " where lot_external_id < 12")  # fmt: skip
    ads_on_board(database, 5)
    database.execute("update ops.deal_outbox set dead_at = now() where listing_id = 1")
    database.execute("insert into notifications (listing_id, kind, state, score, settled_at) values"
                     " (1, 'deal', 'sent', 9, now()), (2, 'deal', 'failed', 9, now()), (3, 'deal', 'waiting', 9, null),"
                     " (4, 'deal', 'sent', 9, now() - interval '3 days')")  # fmt: skip
    database.execute("insert into ops.host_budgets (host, requests, day) values ('www.mobile.bg', 4012,"
                     " (now() at time zone 'UTC')::date)")  # fmt: skip
    taken = site.watch.take()
    text = client.get("/ops").text

    def one(query: str) -> Any:
        (value,) = database.execute(query.encode()).fetchone() or (None,)
        return value

    active = "select count(*) from lots where status = 'active'"
    photographed = f"{active} and id in (select lot_id from lot_photos where stored > 0)"
    complete = f"{active} and id in (select lot_id from lot_photos where state in ('ok', 'none_yet', 'gone'))"
    assert one(active) == 19
    assert figure(text, "With a photo") == f"{one(photographed)} of {one(active)} (53 %)"
    assert figure(text, "With all photos").startswith(f"{one(complete)} (")
    assert figure(text, "Queue") == str(one(active) - one(complete))
    assert figure(text, "Waiting") == str(
        one("select count(*) from notifications where state in ('waiting', 'trying')")
    )
    assert figure(text, "In a day: sent").startswith("1,")
    assert figure(text, "In a day: failed").startswith("1,")
    stages = re.findall(r"<tr><td>(normalize|price|score)</td><td class=\"n\">(\d+)</td><td class=\"n\">(\d+)</td>"
                        r"<td class=\"n\">(\d+)</td>", text)  # fmt: skip
    assert [(name, int(waiting), int(dead)) for name, waiting, _, dead in stages] == [
        (
            name,
            one(f"select count(*) from ops.deal_outbox where dead_at is null and stage = '{name}'"),
            one(f"select count(*) from ops.deal_outbox where dead_at is not null and stage = '{name}'"),
        )
        for name in ("normalize", "price", "score")
    ]
    assert f"last load: {one('select lots_new from audit.etl_runs order by id desc limit 1')} new, " in text
    assert '<td class="n">4\u202f012</td>' in text
    runs = database.execute(
        "select finished_at, status, seconds ->> 'total' from audit.etl_runs order by id"
    ).fetchall()
    assert [(each.at, each.status, each.total) for each in taken.history.runs] == [
        (at, status, float(total)) for at, status, total in runs
    ]
    assert text.count("<title>") == 1 + len(runs)
    for each in taken.history.runs:
        assert 0 < sum(each.seconds.values()) <= (each.total or 0) + 0.01, "the steps are parts of the run"


def walk(database: Database, slug: str, *, began: float, ended: float | None, is_complete: bool | None) -> None:
    """Add a walk that began and ended so many hours ago."""
    database.execute(
        "insert into ops.listing_walks (source, make_slug, started_at, finished_at, is_complete, pages, claimed_until)"
        " values ('mobile.bg', %s, now() - make_interval(secs => %s * 3600), now() - make_interval(secs => %s * 3600),"
        " %s, 40, case when %s then now() + interval '1 hour' end)",
        [slug, began, ended, is_complete, ended is None],
    )


def test_walks_by_make_count_only_complete_ones(
    database: Database, settings: Settings, shown: tuple[Site, TestClient]
) -> None:
    site, client = shown
    slugs = {make.name: make.slug for makes in read_makes(settings.makes_file).workers.values() for make in makes}
    walk(database, slugs["Audi"], began=35, ended=31, is_complete=True)
    walk(database, slugs["Audi"], began=9, ended=8, is_complete=False)
    walk(database, slugs["Audi"], began=2, ended=None, is_complete=None)
    walk(database, slugs["BMW"], began=5, ended=3, is_complete=True)
    walk(database, slugs["Opel"], began=40, ended=39, is_complete=False)
    site.watch.take()
    text = client.get("/ops").text
    rows = {name: (when, page) for name, when, page in re.findall(
        r"<td>([^<]+)</td><td>(.*?)</td><td class=\"n\">(.*?)</td></tr>", text)}  # fmt: skip
    assert "1 day ago" in rows["Audi"][0]
    assert "late" in rows["Audi"][0]
    assert rows["Audi"][1].startswith("40 / ")
    assert ("3 hours ago" in rows["BMW"][0], "late" in rows["BMW"][0]) == (True, False)
    assert ("never" in rows["Opel"][0], "late" in rows["Opel"][0]) == (True, True)
    assert ("never" in rows["Ford"][0], "late" in rows["Ford"][0]) == (True, False)
    board = client.get("/").text
    assert "Audi: prices of 31 hours ago" in board
    assert "Opel: not all of its ads have been read yet" in board
    assert "BMW" not in "".join(re.findall(r'<p class="stale">.*?</p>', board))
    assert "Audi: prices" in client.get("/?make=audi").text
    assert "Audi: prices" in client.get("/?family=Audi+A4").text
    assert "Audi: prices" not in client.get("/?make=bmw").text
    market.refresh(database, is_again=True)
    assert "Audi: prices of 31 hours ago" in client.get("/market").text
    assert "Audi: prices of 31 hours ago" in client.get("/market?make=Audi").text
    assert "Audi: prices" not in client.get("/market?make=BMW").text
    (listing,) = ads_on_board(database)
    paths = (f"/ads/{listing}", f"/ads/{listing}/sheet")
    assert not [path for path in paths if "prices of" in client.get(path).text]
    database.execute("update normalized_listings set make = 'Audi', family = 'Audi A4'")
    market.refresh(database, is_again=True)
    assert not [
        path for path in (*paths, "/market/Audi%20A4") if "Audi: prices of 31 hours ago" not in client.get(path).text
    ]
    database.execute("update listings set removed_at = now()")
    assert not [path for path in paths if "Audi: prices of 31 hours ago" in client.get(path).text]


def test_ages_of_prices_in_words() -> None:
    found = snapshots.snapshot()
    makes = tuple(
        replace(each, complete_at=snapshots.ago(hours=hours), since=snapshots.ago(hours=hours))
        for each, hours in zip(found.market.makes[:6], (23, 24, 31, 80, 500, 30), strict=True)
    )
    found = replace(found, market=replace(found.market, makes=makes))
    notes = freshness.notes(LANGUAGE, Seen(snapshot=found, health=health.judge(found)), set(), snapshots.NOW)
    assert notes == [
        f"{makes[4].name}: prices of 20 days ago", f"{makes[3].name}: prices of 3 days ago",
        f"{makes[2].name}: prices of 31 hours ago", "and 2 makes more",
    ]  # fmt: skip
    assert freshness.notes(LANGUAGE, None, set(), snapshots.NOW) == []


def test_coverage_is_kept_once_an_hour_by_the_supervisor(database: Database, settings: Settings) -> None:
    loader = Loader(settings=replace(settings, feed_min_rows=1), database=database, folder=settings.data_dir / "files")
    for _ in range(2):
        outside.Watch(settings)(database)
    assert database.execute("select count(*) from ops.photo_coverage").fetchone() == (0,), "no lot yet"
    loader.loaded([row(number) for number in range(1, 5)])
    database.execute("insert into lot_photos (lot_id, state, stored, first_at) select id, 'ok', 3, now() from lots"
                     " where lot_external_id = 1 union all select id, 'none_yet', 0, null from lots where"
                     " lot_external_id = 2")  # fmt: skip
    for _ in range(2):
        outside.Watch(settings)(database)
    rows = database.execute("select at, lots, with_photo, past_first, with_all from ops.photo_coverage").fetchall()
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert rows in ([(hour, 4, 1, 2, 2)], [(hour - timedelta(hours=1), 4, 1, 2, 2)])
    database.execute("insert into ops.photo_coverage values (now() - interval '1 day', 3, 0, 0, 0),"
                     " (now() - interval '40 days', 3, 0, 0, 0)")  # fmt: skip
    read = history.read(database)
    assert [each.lots for each in read.coverage] == [3, 4], "the oldest first, of thirty days"


def run(**about: Any) -> FeedRun:
    values: dict[str, Any] = {
        "at": snapshots.NOW, "status": "loaded", "reason": None, "rows": 3, "new": 1, "changed": 1, "gone": 1,
        "seconds": {"fetch": 1.0, "merge": 3.0}, "total": 4.0,
    }  # fmt: skip
    return FeedRun(**values | about)


def test_the_bars_of_runs_have_the_heights_of_their_seconds() -> None:
    runs = [run(), run(status="refused", reason="html", seconds={"fetch": 2.0}, total=2.0)]
    text = str(plots.feed_runs(LANGUAGE, runs, History(runs=runs).steps))
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', text)
    whole = plots.HEIGHT - plots.TOP - plots.BOTTOM
    heights = [(name, float(height) / whole) for name, _, _, height in bars if name != "bad"]
    assert [(name, round(share, 2)) for name, share in heights] == [("step0", 0.25), ("step1", 0.75), ("step0", 0.5)]
    assert len([bar for bar in bars if bar[0] == "bad"]) == 1
    assert plots.feed_runs(LANGUAGE, [], []) == ""
    assert "svg" in plots.feed_runs(LANGUAGE, [run(seconds={}, total=None)], [])


def test_coverage_has_a_gap_where_nobody_counted() -> None:
    hours = (0, 1, 2, 8, 9)
    counts = [
        Coverage(at=snapshots.NOW + timedelta(hours=hour), lots=100, with_photo=50, past_first=40, with_all=25)
        for hour in hours
    ]
    text = str(plots.coverage(LANGUAGE, counts))
    (path,) = re.findall(r'<path class="line with_photo" d="([^"]+)"', text)
    assert re.sub("[^ML]", "", path) == "MLLML"
    middle = plots.TOP + (plots.HEIGHT - plots.BOTTOM - plots.TOP) / 2
    assert {float(each) for each in re.findall(r"[ML][\d.]+ ([\d.]+)", path)} == {middle}
    assert plots.coverage(LANGUAGE, counts[:1]) == ""


def test_hostile_text_is_text(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    bad = HOSTILE
    found = seen(
        alerts=(snapshots.alert(kind=bad, subject=bad, message=bad),),
        hosts=(snapshots.host(host=bad, last_refusal=bad, open_until=datetime.now(UTC) + timedelta(hours=1)),),
        feed=snapshots.feed(status=bad, reason=bad),
    )
    site.watch.seen = replace(found, history=History(runs=[run(status=bad, reason=bad, seconds={bad: 1.0})]),
                              history_error=bad)  # fmt: skip
    text = client.get("/ops").text
    assert "alert(1)" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", text)
    for tag, attributes in Tags(text).tags:
        assert (attributes.get("href") or "/").startswith(("/", "#"))
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert tag != "script" or (attributes.get("src") or "").startswith("/static/")


def test_the_thread_takes_snapshots_while_the_site_runs_and_ends_with_it(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = threading.Event()
    real = Seen

    def noted(**about: Any) -> Seen:
        taken.set()
        return real(**about)

    monkeypatch.setattr("web.operations.watch.Seen", noted)
    site = Site(settings, is_watching=True)
    with TestClient(create(site)):
        assert taken.wait(60)
    assert not [each for each in threading.enumerate() if each.name == "snapshots"]


def test_a_snapshot_that_fails_leaves_the_last_one(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as (site, _client):
        first = site.watch.take()
        real = history.read

        def broken(*_: object, **__: object) -> History:
            raise psycopg.errors.InsufficientPrivilege("permission denied for etl_runs")

        monkeypatch.setattr(history, "read", broken)
        second = site.watch.take()
        assert "permission denied" in second.history_error
        assert second.history == first.history
        monkeypatch.setattr(history, "read", real)
        assert site.watch.take().history_error == ""


def test_lots_say_when_the_feed_is_older_than_promised(shown: tuple[Site, TestClient], database: Database) -> None:
    site, client = shown
    (lot,) = lots_on_board(database, vin="1FTFW1E50NKE00001")
    (gone,) = lots_on_board(database, status="gone", gone_at="2026-11-20 10:00+00")
    paths = ("/lots", f"/lots/{lot}", f"/lots/{lot}/sheet", "/vin/1FTFW1E50NKE00001", "/imports", f"/imports/{lot}")
    site.watch.seen = seen()
    assert not [path for path in paths if "was last read" in client.get(path).text]
    site.watch.seen = seen(feed=snapshots.feed(good_at=snapshots.ago(hours=4)))
    for path in paths:
        assert "The feed was last read 4 hours ago: bids and sales may have changed since" in client.get(path).text
        assert "Фийдът е прочетен последно" in client.get(path, headers={"Accept-Language": "bg"}).text
    assert not [path for path in (f"/lots/{gone}", f"/lots/{gone}/sheet") if "was last read" in client.get(path).text]
    site.watch.seen = seen(feed=snapshots.feed(good_at=None))
    assert 'class="stale"' not in client.get("/lots").text


def test_lots_that_wait_are_beside_the_ads(shown: tuple[Site, TestClient]) -> None:
    site, client = shown
    waiting = snapshots.stage("quote", waiting=12, oldest=snapshots.ago(hours=3))
    site.watch.seen = seen(deals=snapshots.deals(lots=(snapshots.stage("value"), waiting)))
    text = plain(client.get("/ops").text)
    assert "Queue of the lots" in text
    assert "lot_backlog, 12 lots wait for quote, the oldest for " in text
    assert "vinops landed run" in text
