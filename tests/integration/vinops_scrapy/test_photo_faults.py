"""Each fault of the photo side ends as promised: by name, with nothing else lost."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ops.checks.health import Health, judge
from ops.observe.observer import Observer
from ops.observe.snapshot import Celery
from standin.photos.server import PhotoServer
from tests.support.cases import few_quick
from tests.support.photo_crawls import AT_ONCE, SECONDS, Crawls, Database
from vinops.checks import Level
from vinops_scrapy.pipelines import decoding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

ELSEWHERE = "https://photos.example.com/a_hrs.jpg"

# fault, its options, whose requests it meets, state of the lot, reason, statistics
LIST_FAULTS: list[tuple[str, dict[str, Any], str, str | None, dict[str, int]]] = [
    ("gone_404", {}, "gone", None, {}),
    ("none_yet", {}, "none_yet", None, {}),
    ("empty_list", {}, "failed", "empty_list", {}),
    ("bad_json", {}, "failed", "bad_json", {}),
    ("not_photos", {}, "failed", "not_photos", {}),
    ("server_error_500", {}, "failed", "status_500", {}),
    ("server_error_503", {}, "failed", "status_503", {}),
    ("reset", {}, "failed", "broken_off", {}),
    ("tarpit", {"every": 0.5, "seconds": 60}, "failed", "timeout", {}),
    ("redirect_private", {}, "failed", "host_scheme", {"host/not_allowed/scheme": 1}),
    ("redirect_host", {"target": ELSEWHERE}, "failed", "host_host", {"host/not_allowed/host": 1}),
]
PHOTO_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("truncated_jpeg", {}, "damaged"),
    ("truncated_length", {}, "broken_off"),
    ("png_bomb", {}, "too_large"),
    ("wrong_type", {"kind": "gif"}, "no_image"),
    ("wrong_type", {"kind": "text"}, "no_image"),
    ("slow_jpeg", {"width": 640, "height": 480}, "too_costly"),
    ("small_webp", {}, "too_large"),
    ("multi_picture", {"at": 0.99}, "damaged"),
    ("tiny_image", {}, "too_small"),
    ("huge_body", {}, "too_large"),
    ("redirect_private", {}, "host_scheme"),
    ("redirect_host", {"target": ELSEWHERE}, "host_host"),
    ("server_error_500", {}, "status_500"),
    ("reset", {}, "broken_off"),
    ("tarpit", {"every": 0.5, "seconds": 60}, "timeout"),
]
TRIED_AGAIN = {"server_error_500", "reset", "tarpit", "truncated_length"}
"""What a photo is asked for again after: it would be there the second time."""

# fault, whose it is, its options, the kind that is counted
BLOCKING: list[tuple[str, str, dict[str, Any], str, int]] = [
    ("forbidden_403", "api", {}, "forbidden", 3),
    ("rate_limited_429", "api", {"retry_after": 0}, "too_many", 3),
    ("challenge_200", "api", {"kind": "incapsula"}, "challenge", 3),
    ("challenge_200", "cdn", {"kind": "interruption"}, "challenge", 3),
    ("html_for_json", "api", {}, "html", 3),
    ("challenge_200", "api", {"kind": "captcha"}, "captcha", 1),
    ("redirect_login", "api", {}, "login_wall", 1),
]


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=5, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, photos: PhotoServer) -> Crawls:
    """Crawls of an empty database."""
    return Crawls(settings=settings, database=database, server=photos, more=dict(AT_ONCE))


def ends(crawls: Crawls) -> dict[int, tuple[str, str | None]]:
    """Return state and reason of each lot."""
    rows = crawls.rows("select lot_external_id, p.state, reason from lot_photos p join lots on lots.id = lot_id")
    return {number: (state, reason) for number, state, reason in rows}


@pytest.mark.slow
def test_a_list_that_is_none_ends_its_lot_alone(crawls: Crawls) -> None:
    lots = crawls.add_lots(2 * len(LIST_FAULTS))
    for lot, (name, options, *_) in zip(lots, LIST_FAULTS, strict=False):
        crawls.server.fault(name, host="api", lots=[lot], **options)
    crawled = crawls.run("-s", "DOWNLOAD_TIMEOUT=20")
    found = ends(crawls)
    expected = {lot: (state, reason) for lot, (_, _, state, reason, _) in zip(lots, LIST_FAULTS, strict=False)}
    assert {lot: found[lot] for lot in expected} == expected
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots[len(LIST_FAULTS) :])
    for *_, stats in LIST_FAULTS:
        assert stats.items() <= crawled.stats.items()
    assert crawls.rows("select count(*) from lot_photos where lease_owner is not null or due_at <= now()") == [(0,)]


@pytest.mark.slow
def test_a_photo_that_is_none_costs_itself_alone(crawls: Crawls) -> None:
    lots = crawls.add_lots(len(PHOTO_FAULTS) + 1)
    for lot, (name, options, _) in zip(lots, PHOTO_FAULTS, strict=False):
        crawls.server.fault(name, None if name in TRIED_AGAIN else 1, host="cdn", lots=[lot], **options)
    crawled = crawls.run("-s", "DOWNLOAD_TIMEOUT=20")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    found = ends(crawls)
    expected = {
        lot: ("failed" if name in TRIED_AGAIN else "partial", reason)
        for lot, (name, _, reason) in zip(lots, PHOTO_FAULTS, strict=False)
    }
    assert {lot: found[lot] for lot in expected} == expected
    crawls.check(lots[-1:])
    missing = dict(crawls.rows("select lot_external_id, listed - stored from lot_photos join lots on id = lot_id"))
    once = {lot for lot, (state, _) in expected.items() if state == "partial"}
    assert {lot for lot, count in missing.items() if count == 1} == once
    crawls.server.clear_faults()
    crawls.database.execute("update lot_photos set due_at = now()")
    again = crawls.run()
    assert again.stats["photo/stored"] == sum(missing.values()), "only what was missing is asked for again"
    crawls.check(lots)


@pytest.mark.parametrize(("name", "host", "options", "kind", "least"), few_quick(BLOCKING, 0, 5))
def test_refusals_in_a_row_end_the_run(
    crawls: Crawls, name: str, host: Any, options: dict[str, Any], kind: str, least: int
) -> None:
    crawls.add_lots(12)
    crawls.server.fault(name, host=host, **options)
    crawled = crawls.run("-s", "VINOPS_BREAKER_REFUSALS=3", "-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (1, "blocked"), crawled.log
    assert crawled.stats[f"refusal/{kind}"] >= least
    asked = [each for each in crawls.server.requests if each.host == host]
    assert len(asked) < 12, "nobody pushes on"
    assert crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []
    assert crawls.rows("select kind, times from ops.alerts") == [("blocked", 1)]
    crawls.server.clear_requests()
    crawls.server.clear_faults()
    again = crawls.run()
    assert (again.exit_code, again.reason) == (1, "blocked"), "it stays away"
    assert [each for each in crawls.server.requests if each.host == host] == []


def test_a_single_refusal_costs_its_lot_a_while_and_nothing_else(crawls: Crawls) -> None:
    lots = crawls.add_lots(4)
    crawls.server.fault("forbidden_403", 1, host="api", lots=lots[:1])
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert ends(crawls)[lots[0]] == ("failed", "forbidden")
    crawls.check(lots[1:])
    assert crawls.rows("select refusals_in_row from ops.host_budgets where refusals_in_row > 0") == []


@pytest.mark.slow
def test_the_content_says_what_a_photo_is(crawls: Crawls) -> None:
    named = ["image/jpg", "image/pjpeg", "image/*", "application/octet-stream"]
    lots = crawls.add_lots(len(named) + 4)
    for lot, kind in zip(lots, named, strict=False):
        crawls.server.fault("other_name", host="cdn", lots=[lot], kind=kind)
    crawls.server.fault("multi_picture", host="cdn", lots=[lots[-4]])
    crawls.server.fault("multi_picture", host="cdn", lots=[lots[-3]], kind="image/mpo")
    crawls.server.fault("mislabelled", host="cdn", lots=[lots[-2]], kind="png")
    crawls.server.fault("mislabelled", host="cdn", lots=[lots[-1]], kind="webp")
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert {state for state, _ in ends(crawls).values()} == {"ok"}
    crawls.check(lots[: len(named)])
    found = crawls.rows(
        "select lot_external_id, content_type, right(storage_key, 4) from images join lots on lots.id = lot_id"
        " where lot_external_id = any(%s) group by 1, 2, 3 order by 1",
        lots[-4:],
    )
    expected = [("image/jpeg", ".jpg"), ("image/jpeg", ".jpg"), ("image/png", ".png"), ("image/webp", "webp")]
    assert found == [(lot, *each) for lot, each in zip(lots[-4:], expected, strict=True)]
    assert crawled.stats["photo/mislabelled"] == sum(len(crawls.server.photos(lot)) for lot in lots[-2:])


def test_a_missing_best_size_is_replaced_by_the_next(crawls: Crawls) -> None:
    (lot,) = crawls.add_lots(1)
    best = crawls.server.photos(lot)[0][2]
    assert best.endswith("_hrs.jpg")
    crawls.server.fault("photo_404", 1, host="cdn", lots=[lot])
    crawled = crawls.run("-s", "CONCURRENT_REQUESTS=1")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.rows("select variant, count(*) from images where source_url like '%%_ful.jpg' group by 1")
    assert ends(crawls)[lot][0] == "ok"


def test_shifted_numbers_fetch_only_the_new_photo(crawls: Crawls) -> None:
    (lot,) = crawls.add_lots(1)
    crawls.run()
    before = len(crawls.server.photos(lot))
    crawls.server.shift(lot)
    crawls.server.clear_requests()
    crawls.run("-a", f"lot={lot}")
    assert [each.kind for each in crawls.server.requests] == ["list", "photo"]
    assert len(crawls.server.photos(lot)) == before + 1
    crawls.check([lot])


@pytest.mark.slow
def test_a_stop_ends_what_is_being_decoded(crawls: Crawls) -> None:
    crawls.add_lots(2)
    crawls.server.fault("slow_jpeg", host="cdn", scans=64)
    with crawls.start() as process:
        crawl, until = psutil.Process(process.pid), time.monotonic() + SECONDS
        decoders: list[psutil.Process] = []  # a crawl that comes up asks other programs about the machine
        while not decoders and time.monotonic() < until:
            time.sleep(0.01)
            decoders = [each for each in crawl.children() if decoding.PROGRAM in each.cmdline()]
        process.send_signal(signal.SIGTERM)
        crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "shutdown"), crawled.log
    assert decoders
    assert not any(each.is_running() for each in decoders)
    assert crawled.stats["item_dropped_reasons_count/Interrupted"] >= 1
    assert set(ends(crawls).values()) == {("missing", None)}, "nothing is known of what was not decoded"
    assert crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []


@pytest.mark.slow
def test_the_heart_beats_while_something_moves(crawls: Crawls) -> None:
    crawls.add_lots(1)
    crawls.more["VINOPS_PHOTO_LEASE"] = "5"
    crawls.server.fault("tarpit", host="cdn", every=0.5, seconds=600)
    with crawls.start("-s", "VINOPS_STILL_SECONDS=1") as process:
        try:
            until = time.monotonic() + SECONDS
            silent = 0.0
            while silent < 5 and time.monotonic() < until:
                time.sleep(0.2)
                rows = crawls.rows(
                    "select extract(epoch from clock_timestamp() - heartbeat_at)::float8, stats from ops.crawl_runs"
                )
                silent = rows[0][0] if rows else 0.0
            assert process.poll() is None
            assert silent >= 5, "it runs and stands still: the supervisor and the watchdog have to see that"
            assert rows[0][1]["run/stood_still"] == 1
            expired = "select count(*) from lot_photos where lease_owner is not null and lease_expires_at < now()"
            while crawls.rows(expired) == [(0,)] and time.monotonic() < until:
                time.sleep(0.2)
            assert crawls.rows(expired) == [(1,)], "others may have its lots"
        finally:
            process.kill()
            log = process.communicate()[1]
    assert "nothing moves: the heartbeat stops" in log


def mostly_failed(crawls: Crawls) -> list[tuple[str, bool]]:
    """Return the subjects of what was told, and whether it has passed."""
    return [
        (subject, is_over)
        for subject, is_over in crawls.rows(
            "select subject, cleared_at is not null from ops.alerts where kind = 'mostly_failed' order by id"
        )
    ]


def test_a_cause_that_fails_every_photo_is_an_exit_code_an_alert_and_a_line(crawls: Crawls) -> None:
    lots = crawls.add_lots(3)
    crawls.server.fault("truncated_jpeg", host="cdn")
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (1, "mostly_failed"), crawled.log
    count = sum(len(crawls.server.photos(lot)) for lot in lots)
    assert f"{count} of {count} photos failed (damaged {count})" in crawled.log
    told = [("lot_photos: photos", False), ("lot_photos: lots", False)]
    assert mostly_failed(crawls) == told
    lines = {line.name: line for line in health(crawls).lines}
    assert (lines["photos"].level, lines["crawls"].level) == (Level.CRITICAL, Level.WARNING)
    assert lines["photos"].text == "0 % of 3 lots, and no lot of the last run ended well"
    assert "photos failed (damaged" in lines["crawls"].text
    crawls.server.clear_faults()
    crawls.database.execute("update lot_photos set due_at = now()")
    again = crawls.run()
    assert (again.exit_code, again.reason) == (0, "finished"), again.log
    assert mostly_failed(crawls) == [(subject, True) for subject, _ in told]
    lines = {line.name: line for line in health(crawls).lines}
    assert (lines["photos"].level, lines["crawls"].level) == (Level.OK, Level.OK)


def test_a_cause_that_fails_every_list_is_told_alike(crawls: Crawls) -> None:
    crawls.add_lots(3)
    crawls.server.fault("not_photos", host="api")
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (1, "mostly_failed"), crawled.log
    assert crawled.stats["lot/failed/not_photos"] == 3
    assert mostly_failed(crawls) == [("lot_photos: lots", False)]


def health(crawls: Crawls) -> Health:
    """Return what the health check says now."""
    observer = Observer(
        crawls.settings, application="test", workers=list, celery=lambda: Celery(workers=(), children=0, beats=())
    )
    try:
        return judge(observer.observe())
    finally:
        observer.close()
