"""`scrapy crawl lot_photos` with a member's account: whole crawls through a real browser, on the stand-in."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from standin.photos.server import VISITOR, PhotoServer
from tests.support.photo_crawls import AT_ONCE, FIRST_LOT, Crawled, Crawls, Database
from tests.support.s3_server import BUCKET, KEY_ID, s3_server
from vinops.config import ConfigError, Settings
from vinops_scrapy.copart.browser_program import find_chromium

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator


def has_chromium() -> bool:
    """Tell whether there is a browser."""
    try:
        find_chromium(Settings())
    except ConfigError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(not has_chromium(), reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.slow,
]

USERNAME = "canary-member-5d0c"
PASSWORD = "canary-password-91ef"
STORE_SECRET = "canary-store-secret-77aa"
PATIENCE = 60  # seconds


@pytest.fixture
def site() -> Iterator[PhotoServer]:
    """The photo side of the outside world; the lists of some lots are empty, for their pages alone have the photos.

    The pages name thumbnails only: the size of each photo is found out by asking.
    """
    with PhotoServer(
        seed=5,
        empty_every=3,
        none_every=0,
        username=USERNAME,
        password=PASSWORD,
        consent="both",
        layout="slides",
        script_delay=0.1,
    ) as server:
        yield server


@pytest.fixture
def crawls(settings: Settings, database: Database, site: PhotoServer) -> Crawls:
    """Crawls of an empty database by a member."""
    return Crawls(
        settings=settings,
        database=database,
        server=site,
        more={"COPART_USERNAME": USERNAME, "COPART_PASSWORD": PASSWORD, "VINOPS_LOG_LEVEL": "DEBUG", **AT_ONCE},
    )


def add(crawls: Crawls, *are_empty: bool) -> list[int]:
    """Add lots whose lists are empty or not, in this order; return their numbers."""
    numbers: list[int] = []
    for is_empty in are_empty:
        number = (numbers[-1] if numbers else FIRST_LOT) + 1
        while (crawls.server.lots.state(number) == "empty_list") != is_empty:
            number += 1
        crawls.add_lot(number, hours=len(numbers) + 1)
        numbers.append(number)
    return numbers


def command_lines() -> dict[int, str]:
    """Return the command line of each process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it ended meanwhile
            continue
    return found


def descendants(pid: int) -> set[int]:
    """Return the processes that a process started, and those that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, more = set(), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return when it is so. Raises AssertionError if it does not come to that."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def written(crawls: Crawls, crawled: Crawled) -> str:
    """Return all that a crawl left behind: its logs, the names of its files, and every row of the database."""
    logs = crawls.settings.log_dir
    texts = [crawled.log, *(path.read_text() for path in logs.rglob("*.log*"))]
    for folder in (logs, crawls.settings.data_dir):
        texts += [str(path) for path in folder.rglob("*")]
    tables = crawls.rows(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables"
        " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
    )
    assert {"ops.crawl_runs", "ops.alerts", "public.images", "public.lot_photos"} <= {name for (name,) in tables}
    for (name,) in tables:
        texts += [json.dumps(row) for (row,) in crawls.rows(f"select to_jsonb(t) from {name} t")]
    return "\n".join(texts)


def no_leases(crawls: Crawls) -> bool:
    """Tell whether all lots are given back."""
    return crawls.rows("select lot_id from lot_photos where lease_owner is not null") == []


def test_a_lot_whose_list_is_empty_is_photographed_through_its_page(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, True, False, False, True)
    crawls.more["VINOPS_SESSION_LOTS"] = "2"
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.states() == dict.fromkeys(lots, "ok")
    crawls.check(lots)
    assert [each.lot for each in site.requests if each.kind == "list"] == lots
    assert [each.lot for each in site.requests if each.kind == "lot"] == [lots[0], lots[3]]

    assert [f"session {number} begins" in crawled.log for number in (1, 2, 3)] == [True, True, False]
    assert site.site.logins == crawled.stats["session/login"] == 2
    assert len(site.site.sessions_seen) == 2, "the second session has a login of its own"
    assert not any("Headless" in str(each.headers) for each in site.requests)
    visitors = [each.cookies.get(VISITOR) for each in site.requests if each.kind == "list"]
    assert [cookie is None for cookie in visitors] == [True, False, True, False]
    assert visitors[1] != visitors[3]


def test_from_pages_alone_every_photo_comes_and_a_second_run_fetches_none_again(
    crawls: Crawls, site: PhotoServer
) -> None:
    lots = add(crawls, False, True)
    crawled = crawls.run("-a", "source=page", "-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    crawls.check(lots)
    assert [each for each in site.requests if each.kind == "list"] == []
    assert "consent-after" in [each for each in site.requests if each.kind == "lot"][-1].cookies
    assert {each.kind for each in site.requests} <= {"login", "login_post", "dashboard", "lot", "photo", "other"}
    assert {each.path for each in site.requests if each.kind == "other"} == {"/robots.txt"}
    assert crawled.stats["page/opened"] == 1 + len(lots)
    site.clear_requests()
    again = crawls.run("-a", "source=page", "-a", f"lot={','.join(map(str, lots))}")
    assert (again.exit_code, again.reason) == (0, "finished"), again.log
    assert sorted(each.lot for each in site.requests if each.kind == "lot") == lots
    assert [each for each in site.requests if each.kind == "photo"] == []
    assert again.stats["photo/known"] == again.stats["photo/listed"] > 0
    crawls.check(lots)


def test_without_a_browser_the_other_lots_are_done_and_the_exit_code_says_so(crawls: Crawls) -> None:
    page_only, listed = add(crawls, True, False)
    crawls.more["CHROMIUM_PATH"] = "/nowhere/chromium"
    crawled = crawls.run()
    assert (crawled.exit_code, crawled.reason) == (1, "finished"), crawled.log
    assert crawled.stats["page/no_browser"] == 1
    assert crawls.states() == {page_only: "failed", listed: "ok"}
    assert "there is no Chromium" in crawled.log
    assert "CHROMIUM_PATH" in crawled.log


@pytest.mark.quick
def test_without_a_browser_a_run_of_pages_alone_ends_and_blames_no_lot(crawls: Crawls) -> None:
    lots = add(crawls, True, False, False)
    crawls.more["CHROMIUM_PATH"] = "/nowhere/chromium"
    crawled = crawls.run("-a", "source=page")
    assert (crawled.exit_code, crawled.reason) == (1, "no_browser"), crawled.log
    assert crawls.states() == dict.fromkeys(lots, "missing")
    assert no_leases(crawls)


def test_pages_are_not_asked_for_with_half_an_account(crawls: Crawls, site: PhotoServer) -> None:
    add(crawls, True)
    del crawls.more["COPART_PASSWORD"]
    crawled = crawls.run("-a", "source=page")
    assert crawled.exit_code == 1
    assert "-a source=page needs COPART_USERNAME and COPART_PASSWORD: set both" in crawled.log
    assert "Traceback" not in crawled.log
    assert site.requests == []


def test_a_login_that_fails_ends_the_run_and_keeps_what_it_has(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, False, True, True, False)
    site.fault("login_broken", host="site")
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (1, "login_failed"), crawled.log
    assert "Login failed reason=site_error" in crawled.log
    assert site.site.attempts == 2, "once more, and no lot after it tries again"
    assert [each.name[:6] for each in crawls.settings.log_dir.glob("screenshots/*.png")] == ["login-"] * 2
    assert crawls.rows("select kind, times from ops.alerts where cleared_at is null") == [("login_failed", 1)]
    assert no_leases(crawls)
    crawls.check(lots[:1])
    assert crawls.states() == {lots[0]: "ok"} | dict.fromkeys(lots[1:], "missing"), "no lot is to blame"


def test_what_is_secret_is_written_nowhere(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, True)
    site.fault("login_broken", 1, host="site")  # for a picture of the form
    with s3_server() as bucket:
        bucket.make_bucket()
        crawls.more |= {
            "R2_ENDPOINT": bucket.endpoint,
            "R2_ACCESS_KEY_ID": KEY_ID,
            "R2_SECRET_ACCESS_KEY": STORE_SECRET,
            "R2_BUCKET_NAME": BUCKET,
            "PROXY_LIST": "",
        }
        seen: set[str] = set()
        process = crawls.start()
        browser = False
        while process.poll() is None and not (browser and site.site.logins):
            lines = command_lines()
            ours = descendants(process.pid) | {process.pid}
            seen |= {line for pid, line in lines.items() if pid in ours}
            browser = browser or any("--type=renderer" in line for line in seen)
            time.sleep(0.05)
        crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.states() == dict.fromkeys(lots, "ok")
    assert any("--type=renderer" in line for line in seen), "Chromium was among them"
    assert list(crawls.settings.log_dir.glob("screenshots/login-*.png"))
    text = written(crawls, crawled) + "\n".join(seen)
    assert "[Context=session-1-1]" in text, "at DEBUG, the browser's requests too"
    assert "canary" not in text
    cookies = {each.cookies["member_session"] for each in site.requests if "member_session" in each.cookies}
    assert cookies
    assert not any(cookie in text for cookie in cookies)


def test_told_to_stop_it_gives_its_lots_back_and_leaves_no_browser(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, False, False, False)
    site.fault("tarpit", host="site", lots=lots[1:], every=0.2, seconds=60)
    crawls.more["VINOPS_LOG_LEVEL"] = "INFO"  # the log waits in a pipe until the end
    process = crawls.start("-a", "source=page", "-s", "VINOPS_LOTS_AT_ONCE=1")
    wait_until(lambda: any(each.lot == lots[1] for each in site.requests))
    started = descendants(process.pid)
    assert any("--type=renderer" in command_lines().get(pid, "") for pid in started)
    process.send_signal(signal.SIGTERM)
    crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "shutdown"), crawled.log
    assert no_leases(crawls)
    crawls.check(lots[:1])
    assert crawls.states() == {lots[0]: "ok"} | dict.fromkeys(lots[1:], "missing"), "no lot is to blame"
    assert crawled.log.count("Launching browser") == 1, "none is started for the page that was closed"
    wait_until(lambda: not [line for pid, line in command_lines().items() if pid in started and line])


def test_told_to_stop_while_it_signs_in_it_does_not_try_again(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, True, True, True)
    site.fault("tarpit", host="site", every=0.2, seconds=60)
    process = crawls.start("-s", "VINOPS_LOTS_AT_ONCE=3", "-s", "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT=8000")
    wait_until(lambda: any(each.kind == "login" for each in site.requests))
    process.send_signal(signal.SIGTERM)
    crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "shutdown"), crawled.log
    assert len([each for each in site.requests if each.kind == "login"]) == 1
    assert crawls.rows("select kind from ops.alerts") == [], "nothing is wrong with the account"
    assert no_leases(crawls)
    assert crawls.states() == dict.fromkeys(lots, "missing"), "no lot is to blame"


def test_a_login_that_fails_is_not_tried_by_every_lot_that_waits_for_it(crawls: Crawls, site: PhotoServer) -> None:
    add(crawls, True, True, True)
    site.fault("login_broken", host="site")
    crawled = crawls.run("-s", "VINOPS_LOTS_AT_ONCE=3")
    assert (crawled.exit_code, crawled.reason) == (1, "login_failed"), crawled.log
    assert site.site.attempts == 2
    assert no_leases(crawls)


def test_a_lot_page_that_is_not_there_or_out_of_order_costs_its_lot_alone(crawls: Crawls) -> None:
    gone, broken, well = add(crawls, True, True, True)
    crawls.server.fault("gone_404", host="site", lots=[gone])
    crawls.server.fault("server_error_500", host="site", lots=[broken])
    crawled = crawls.run("-a", "source=page")
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    rows = crawls.rows("select lot_external_id, p.state, reason from lot_photos p join lots on lots.id = lot_id")
    assert {number: (state, reason) for number, state, reason in rows} == {
        gone: ("gone", None),
        broken: ("failed", "status_500"),
        well: ("ok", None),
    }


def browser_of(process: subprocess.Popen[str]) -> int:
    """Return the main process of the browser that a crawl has, which leads the process group of all of its others."""
    mains = [
        pid
        for pid in descendants(process.pid)
        if (line := command_lines().get(pid, "")) and "--type=" not in line and "--remote-debugging-pipe" in line
    ]
    (main,) = {os.getpgid(pid) for pid in mains}
    return main


def is_there(group: int) -> bool:
    """Tell whether a process of a group lives."""
    return any(
        fields[2] == str(group) and fields[0] != "Z"
        for path in Path("/proc").glob("[0-9]*/stat")
        if (fields := _stat(path))
    )


def _stat(path: Path) -> list[str]:
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return []


def lot_pages(site: PhotoServer, lot: int) -> list[int | None]:
    """Return the answers that a lot's page got so far; None is one that is not sent yet."""
    return [each.status for each in site.requests if each.kind == "lot" and each.lot == lot]


@pytest.mark.parametrize("what", [pytest.param("browser", marks=pytest.mark.quick), "driver"])
def test_a_browser_that_is_killed_costs_the_page_in_work_and_a_new_login(
    crawls: Crawls, site: PhotoServer, what: str
) -> None:
    lots = add(crawls, False, False, False)
    site.fault("tarpit", 1, host="site", lots=lots[1:2], every=0.2, seconds=60)
    process = crawls.start("-a", "source=page", "-s", "VINOPS_LOTS_AT_ONCE=1")
    wait_until(lambda: lot_pages(site, lots[1]))
    main = browser_of(process)
    (driver,) = (pid for pid in descendants(process.pid) if "run-driver" in command_lines().get(pid, ""))
    os.kill(main if what == "browser" else driver, signal.SIGKILL)
    crawled = crawls.finish(process)
    assert not is_there(main)
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    rows = crawls.rows("select lot_external_id, p.state, reason from lot_photos p join lots on lots.id = lot_id")
    assert {number: (state, reason) for number, state, reason in rows} == {
        lots[0]: ("ok", None),
        lots[1]: ("failed", "browser_crashed"),
        lots[2]: ("ok", None),
    }
    assert (site.site.logins, crawled.stats["browser/crashed"]) == (2, 1)
    assert len(lot_pages(site, lots[1])) == 1, "no other browser asks for it without a login"
    assert crawls.rows("select host from ops.host_budgets where open_until is not null or refusals_in_row > 0") == []
    assert crawls.rows("select kind from ops.alerts") == []


def test_a_session_that_the_site_ends_is_no_refusal_until_a_new_login_does_not_help(
    crawls: Crawls, site: PhotoServer
) -> None:
    expired, walled = add(crawls, False, False)
    site.fault("expired_login", 1, host="site", lots=[expired])
    site.fault("redirect_login", host="site", lots=[walled])
    crawled = crawls.run("-a", "source=page", "-s", "VINOPS_LOTS_AT_ONCE=1")
    assert (crawled.exit_code, crawled.reason) == (1, "blocked"), crawled.log
    assert (len(lot_pages(site, expired)), len(lot_pages(site, walled))) == (2, 2)
    assert (site.site.logins, crawled.stats["session/bounced"]) == (3, 2)
    assert crawls.states()[expired] == "ok"
    assert crawls.rows("select last_refusal from ops.host_budgets where open_until is not null") == [("login_wall",)]


def test_a_browser_that_hangs_is_killed_with_all_of_its_processes(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, False, False, False)
    site.fault("tarpit", 1, host="site", lots=lots[1:2], every=0.2, seconds=60)
    process = crawls.start(
        *("-a", "source=page", "-s", "VINOPS_LOTS_AT_ONCE=1", "-s", "PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT=12000")
    )
    wait_until(lambda: lot_pages(site, lots[1]))
    main = browser_of(process)
    os.killpg(main, signal.SIGSTOP)
    crawled = crawls.finish(process)
    assert not is_there(main)
    assert (crawled.exit_code, crawled.reason) == (0, "finished"), crawled.log
    assert crawls.states() == {lots[0]: "ok", lots[1]: "failed", lots[2]: "ok"}
    assert (site.site.logins, crawled.stats["browser/hung"]) == (2, 1)


def test_told_to_stop_while_the_browser_hangs_it_ends_and_leaves_no_browser(crawls: Crawls, site: PhotoServer) -> None:
    lots = add(crawls, True, True)
    site.fault("tarpit", host="site", lots=lots[:1], every=0.2, seconds=60)
    crawls.more["VINOPS_LOG_LEVEL"] = "INFO"  # the log waits in a pipe until the end
    process = crawls.start("-s", "VINOPS_LOTS_AT_ONCE=1")
    wait_until(lambda: lot_pages(site, lots[0]))
    main = browser_of(process)
    os.killpg(main, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    crawled = crawls.finish(process)
    assert (crawled.exit_code, crawled.reason) == (0, "shutdown"), crawled.log
    assert not is_there(main)
    assert no_leases(crawls)
    assert crawls.states() == dict.fromkeys(lots, "missing"), "no lot is to blame"
