"""`scrapy crawl lot_photos` as a process, on the stand-in: what it stores, in which order, and what it does not ask."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from standin.photos.server import PhotoServer
from tests.support import forks
from tests.support.cases import few_quick
from tests.support.notify_listener import Systemd
from tests.support.photo_crawls import ROOT, Crawls, Database
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, s3_server
from vinops.config import Settings
from vinops_scrapy.spiders.lot_photos import LOTS_BUDGET

FIRST = Settings.photos_first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    """The photo side of the outside world."""
    with PhotoServer(seed=3, empty_every=0, none_every=0) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, photos: PhotoServer) -> Crawls:
    """Crawls of an empty database."""
    return Crawls(settings=settings, database=database, server=photos)


def test_every_photo_of_every_lot_is_stored_once_and_a_second_run_asks_for_nothing(crawls: Crawls) -> None:
    lots = crawls.add_lots(10)
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots)
    assert set(crawls.states().values()) == {"ok"}
    photos = sum(len(crawls.server.photos(lot)) for lot in lots)
    assert len(crawls.server.requests) == photos + len(lots)
    assert crawled.stats["photo/stored"] == photos
    two_passes = sum(len(crawls.server.photos(lot)) > FIRST for lot in lots)
    assert crawled.log.count("Scraped: lot") == len(lots) + two_passes
    assert (crawled.stats["lot/first_pass"], crawled.stats["list/kept"]) == (len(lots), two_passes)
    crawls.server.clear_requests()
    again = crawls.run()
    assert (again.exit_code, again.reason) == (0, "finished"), again.log
    assert crawls.server.requests == []


def test_a_crawl_that_is_a_service_says_that_it_is_up_and_that_it_moves(crawls: Crawls, tmp_path: Path) -> None:
    systemd = Systemd(tmp_path / "notify")
    crawls.add_lots(1)
    crawls.more |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ""}
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert (systemd.hear()[0], systemd.count("WATCHDOG=1") > 0) == ("READY=1", True)
    systemd.close()


def test_each_lot_and_each_request_has_a_place_in_the_budget_of_all_crawls(crawls: Crawls) -> None:
    lots = crawls.add_lots(2, most=7)
    crawled = crawls.run("-s", "VINOPS_PACE=careful", "-s", "VINOPS_CLOCK_SPEED=2000")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    api, cdn = crawls.server.image_hosts.split(",")
    photos = sum(len(crawls.server.photos(lot)) for lot in lots)
    assert dict(crawls.rows("select host, requests from ops.host_budgets")) == {
        LOTS_BUDGET: len(lots),
        api: len(lots),
        cdn: photos,
    }


def test_what_is_sold_first_comes_first_and_then_what_came_first(crawls: Crawls) -> None:
    for number, hours in ((45_000_001, None), (45_000_002, 48), (45_000_003, 2), (45_000_004, None)):
        crawls.add_lot(number, hours=hours)
    crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1", "-a", "batch=3")
    listed = [each.lot for each in crawls.server.requests if each.kind == "list"]
    assert listed == [45_000_003, 45_000_002, 45_000_001]
    assert crawls.states()[45_000_004] == "missing"


def test_no_lot_gets_the_rest_of_its_photos_while_another_has_none(crawls: Crawls) -> None:
    lots = crawls.add_lots(6)
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1", "-a", f"batch={len(lots)}")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    for lot in lots:
        urls = [url for _, _, url in crawls.server.photos(lot)[:FIRST]]
        stored = "select source_url from images join lots on lots.id = lot_id where lot_external_id = %s order by seq"
        assert crawls.rows(stored, lot) == [(url,) for url in urls]
    assert set(crawls.states().values()) == {"first"}
    assert [each.lot for each in crawls.server.requests if each.kind == "list"] == lots
    crawls.server.clear_requests()
    crawls.run()
    crawls.check(lots)
    assert set(crawls.states().values()) == {"ok"}
    assert {each.kind for each in crawls.server.requests} == {"photo"}, "the list was kept"
    assert crawls.rows("select count(*) from lot_photos where links is not null") == [(0,)]


def test_the_careful_pace_comes_once_to_a_lot(crawls: Crawls) -> None:
    """Coming back costs as much as another lot's first photos: see docs/decisions/0029-two-passes.md."""
    lots = crawls.add_lots(2, most=7)
    crawled = crawls.run("-s", "VINOPS_PACE=careful", "-s", "VINOPS_CLOCK_SPEED=2000", "-a", "batch=2")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots)
    assert set(crawls.states().values()) == {"ok"}


def test_a_list_that_is_old_or_whose_photos_are_gone_is_asked_for_again(crawls: Crawls) -> None:
    old, gone = crawls.add_lots(2)
    crawls.run("-a", "batch=2")
    crawls.database.execute(
        "update lot_photos set settled_at = now() - interval '4 days' from lots where lots.id = lot_id"
        " and lot_external_id = %s",
        [old],
    )
    crawls.server.fault("photo_404", host="cdn", lots=[gone])
    crawls.server.clear_requests()
    crawls.run()
    assert [each.lot for each in crawls.server.requests if each.kind == "list"] == [old]
    assert crawls.states() == {old: "ok", gone: "partial"}
    crawls.server.clear_faults()
    crawls.server.clear_requests()
    crawls.database.execute("update lot_photos set due_at = now() where state = 'partial'")
    crawls.run()
    assert [each.lot for each in crawls.server.requests if each.kind == "list"] == [gone]
    crawls.check([old, gone])


def test_where_all_first_photos_fail_the_next_try_takes_others(crawls: Crawls) -> None:
    (lot,) = crawls.add_lots(1)
    crawls.server.fault("photo_404", host="cdn", lots=[lot])
    crawls.run()
    assert crawls.states() == {lot: "failed"}
    first = {each.path for each in crawls.server.requests if each.kind == "photo"}
    crawls.server.clear_requests()
    crawls.database.execute("update lot_photos set due_at = now()")
    crawls.run()
    assert first.isdisjoint(each.path for each in crawls.server.requests if each.kind == "photo")


def test_lots_are_named_by_number_or_vin_due_or_not(crawls: Crawls) -> None:
    lots = crawls.add_lots(4)
    crawls.run("-a", f"lot={lots[2]}")
    crawls.server.shift(lots[2])
    crawled = crawls.run("-a", f"lot={lots[2]},99", "-a", f"vin=1vn{lots[0]:014d}")
    assert {number for number, state in crawls.states().items() if state == "ok"} == {lots[0], lots[2]}
    crawls.check([lots[0], lots[2]])
    assert "not every lot that was named is in the database missing=99 count=1" in crawled.log


def test_a_vehicle_that_is_back_has_its_photos_stored_once(settings: Settings, database: Database) -> None:
    with PhotoServer(seed=3, empty_every=0, none_every=0, alias={45_000_002: 45_000_001}) as server:
        crawls = Crawls(settings=settings, database=database, server=server)
        first = crawls.add_lot(45_000_001, vin="1VN00000000000001")
        crawls.run()
        again = crawls.add_lot(45_000_002, vin="1VN00000000000001")
        crawled = crawls.run()
        keys = "select count(*), count(distinct storage_key), count(distinct content_hash) from images"
        ((rows, objects, contents),) = crawls.rows(keys)
        photos = len(server.photos(45_000_001))
        assert (rows, objects) == (2 * photos, contents)
        assert crawled.stats["photo/reused"] == photos
        assert "photo/stored" not in crawled.stats
        assert crawls.rows("select lot_id, count(*) from images group by 1 order by 1") == [
            (first, photos),
            (again, photos),
        ]


def test_thumbnails_come_only_on_request(crawls: Crawls) -> None:
    (lot,) = crawls.add_lots(1)
    crawls.run()
    assert crawls.rows("select count(*) from images where variant = 'thb'") == [(0,)]
    crawls.more["VINOPS_THUMBNAILS"] = "true"
    crawls.server.clear_requests()
    again = crawls.run("-a", f"lot={lot}")
    photos = len(crawls.server.photos(lot))
    assert [each.path.endswith("_thb.jpg") for each in crawls.server.requests] == [False] + [True] * photos, again.log
    ((thumbnails,),) = crawls.rows("select count(*) from images where variant = 'thb'")
    assert thumbnails == photos


def test_a_session_ends_after_its_lots_and_the_next_has_cookies_of_its_own(crawls: Crawls) -> None:
    crawls.add_lots(5)
    crawls.more |= {"VINOPS_SESSION_LOTS": "2", "VINOPS_PHOTOS_FIRST": "99"}
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1")
    assert [f"session {number} begins" in crawled.log for number in (1, 2, 3, 4)] == [True, True, True, False]
    given = [each.cookies.get("visitor") for each in crawls.server.requests if each.kind == "list"]
    assert [cookie is None for cookie in given] == [True, False, True, False, True]
    assert len(set(given) - {None}) == 2


def test_photos_go_to_the_bucket_and_a_second_run_puts_none(crawls: Crawls) -> None:
    lots = crawls.add_lots(3)
    with s3_server(strict=True) as bucket:
        bucket.make_bucket()
        crawls.more |= {
            "R2_ENDPOINT": bucket.endpoint,
            "R2_ACCESS_KEY_ID": KEY_ID,
            "R2_SECRET_ACCESS_KEY": SECRET,
            "R2_BUCKET_NAME": BUCKET,
        }
        crawled = crawls.run()
        assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
        client = bucket.client()
        for url, key in crawls.rows("select source_url, storage_key from images"):
            found = client.get_object(Bucket=BUCKET, Key=key)
            assert found["Body"].read() == crawls.server.photo(url)
            assert (found["ContentType"], found["CacheControl"]) == (
                "image/jpeg",
                "public, max-age=31536000, immutable",
            )
        client.close()
        assert set(crawls.states().values()) == {"ok"}
        before = len(bucket.requests())
        crawls.run("-a", f"lot={','.join(map(str, lots))}")
        assert len(bucket.requests()) == before
        everything = "".join(path.read_text() for path in crawls.settings.log_dir.glob("*.log")) + crawled.log
        assert SECRET not in everything
    assert not crawls.settings.data_dir.joinpath("photos").exists()


def test_a_store_that_takes_nothing_ends_the_run_and_gives_the_lots_back(crawls: Crawls) -> None:
    crawls.add_lots(3)
    crawls.settings.data_dir.mkdir(parents=True, exist_ok=True)
    crawls.settings.data_dir.joinpath("photos").write_text("in the way")
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (1, "store_failed"), crawled.log
    assert crawls.rows("select count(*) from images") == [(0,)]
    assert crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []
    assert crawls.rows("select kind, times from ops.alerts") == [("store_failed", 1)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-a", "lot=x"], 2, "-a lot=x is not a count or a list of numbers above 0"),
        (["-a", "lot=,"], 2, "-a lot=, is not a count or a list of numbers above 0"),
        (["-a", "lot=99999999999999999999"], 2, "is not a count or a list of numbers above 0"),
        (["-a", "vin="], 2, "-a vin= has no value: give one, or leave the argument out"),
        (["-a", "vin=,"], 2, "-a vin=, names no VIN"),
        (["-a", "vin=\udcff"], 2, "-a vin has a character that cannot be printed"),
        (["-a", "batch=0"], 2, "-a batch=0 is not a count or a list of numbers above 0"),
        (["-a", "batch=-5"], 2, "-a batch=-5 is not a count or a list of numbers above 0"),
        (["-a", "source=fax"], 2, "-a source=fax is none of auto, api, page"),
        (["-a", "bach=5"], 2, "lot_photos knows no -a bach: use batch, lot, vin or source"),
        (["-a", "source=page"], 1, "-a source=page needs COPART_USERNAME and COPART_PASSWORD: set both"),
        (["-s", "VINOPS_PACE=fast"], 1, "VINOPS_PACE is none of careful, steady, none: use careful or steady"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_asks_nothing(
    crawls: Crawls, arguments: list[str], code: int, says: str
) -> None:
    crawls.add_lots(1)
    crawled = crawls.run(*arguments)
    assert crawled.exit_code == code
    assert says in crawled.log
    assert "Traceback" not in crawled.log
    assert crawls.server.requests == []


def test_a_spider_that_is_not_there_is_told_in_one_line(crawls: Crawls) -> None:
    done = forks.crawl(crawls.environment, "lot_foto")
    assert done.exit_code == 2
    assert "lot_foto is not a spider: use lot_photos or mobile_bg" in done.log
    assert "Traceback" not in done.log


@pytest.mark.parametrize("named", few_quick(["vin=1VN00000000000001", "lot=1,{lot}", "vin=1VN00000000000001,{vin}"], 1))
def test_a_lot_that_is_named_and_not_there_ends_the_run_with_1(crawls: Crawls, named: str) -> None:
    (lot,) = crawls.add_lots(1)
    crawled = crawls.run("-a", named.format(lot=lot, vin=f"1VN{lot:014d}"))
    assert crawled.exit_code == 1
    assert crawled.stats["lot/not_there"] == 1
    missing = named.partition("=")[2].partition(",")[0]
    assert f"not every lot that was named is in the database missing={missing} count=1" in crawled.log
    if "{" in named:
        crawls.check([lot])


def test_without_a_pace_only_stand_ins_are_asked(crawls: Crawls) -> None:
    crawls.add_lots(1)
    crawls.more["COPART_IMAGE_HOSTS"] = f"{crawls.server.image_hosts},cs.copart.com"
    crawled = crawls.run()
    assert crawled.exit_code == 1
    assert "are for stand-ins on loopback, not for cs.copart.com" in crawled.log
    assert crawls.server.requests == []


@pytest.mark.slow
def test_told_to_stop_it_keeps_what_it_has_and_gives_the_rest_back(crawls: Crawls) -> None:
    crawls.more["VINOPS_PHOTOS_FIRST"] = "99"
    lots = crawls.add_lots(4)
    crawls.server.fault("tarpit", host="cdn", lots=lots[1:], every=0.2, seconds=60)
    with crawls.start("-s", "VINOPS_LOTS_AT_ONCE=1") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f"Scraped: lot {lots[0]}" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert crawls.rows("select reason, finished_at is not null from ops.crawl_runs") == [("shutdown", True)]
    crawls.check(lots[:1])
    crawls.server.clear_faults()
    again = crawls.run()
    assert again.reason == "finished", again.log
    crawls.check(lots)


def test_heartbeats_say_where_a_run_is(crawls: Crawls) -> None:
    lots = crawls.add_lots(6)
    visits = sum(1 + (len(crawls.server.photos(lot)) > FIRST) for lot in lots)
    crawled = crawls.run()
    ((done, total, items, size, refusals, last, finished),) = crawls.rows(
        "select done, total, items, bytes, refusals, last_items, finished_at is not null from ops.crawl_runs"
    )
    assert (done, total, refusals, finished) == (visits, 12, 0, True)
    assert (items, size) == (crawled.stats["photo/stored"], crawled.stats["photo/bytes"])
    assert len(last) == 5


@pytest.mark.slow
def test_scrapy_knows_the_spider_and_finds_no_fault_in_it(crawls: Crawls) -> None:
    for command, says in ((["list"], "lot_photos"), (["check"], "OK")):
        done = subprocess.run(
            [sys.executable, "-m", "scrapy", *command],
            cwd=ROOT,
            env=crawls.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert says in done.stdout + done.stderr


def test_the_grep_of_operators_for_errors_is_empty_on_a_good_day(crawls: Crawls) -> None:
    crawls.add_lots(2)
    assert crawls.run().exit_code == 0
    log = (crawls.settings.log_dir / "photo-scraper.log").read_text()
    assert [line for line in log.splitlines() if "error" in line.lower()] == []
    assert "Scraped: lot" in log
    crawls.run("-a", "lot=99")
    log = (crawls.settings.log_dir / "photo-scraper.log").read_text()
    assert "ERROR" in {line.split()[1] for line in log.splitlines() if "error" in line.lower()}
