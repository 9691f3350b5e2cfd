"""The checks of `vinops health`: each at each of its levels, and the exit code of the command."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deals.landed.book import Checked
from deals.market import FILL, State
from ops.checks import health
from ops.checks.health import CHECKS, PARTS, judge, unreadable
from ops.commands import health as health_command
from ops.observe import observer
from ops.observe.site import Site
from ops.observe.snapshot import Celery, Database, Feed, Secrets, Snapshot, Supervision, Wanted, Worker
from ops.photos.places import Stored
from tests.support import snapshots as given
from tests.support.snapshots import NOW, ago
from vinops.checks import Level

OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN
NO_CELERY = Celery(workers=(), children=0, beats=())
NEVER = tuple(map(given.never_started, given.MAKES))
AWAY = Database(error="connection refused", fix="vinops doctor")
NEW = Database(error="there is no database yet in var", fix="vinops migrate", is_new=True)


def stages(**more: Any) -> Any:
    """Deals whose first stage is as told."""
    return given.deals(stages=(given.stage("normalize", **more), given.stage("price"), given.stage("score")))


def lots_waiting(count: int, **units: float) -> Any:
    """Lots that wait for the last stage, the oldest for so long."""
    return given.deals(lots=(given.stage("value"), given.stage("quote", waiting=count, oldest=ago(**units))))


def at_work(**units: float) -> Celery:
    """Celery's worker and beat, started so long ago."""
    return Celery(workers=(5000,), children=4, beats=(5001,), since=ago(**units))


def tasks(**units: float) -> Any:
    """The last task was done so long ago."""
    return given.deals(last_task_at=ago(**units))


def one_worker(**more: Any) -> dict[str, Any]:
    """A snapshot's workers: one."""
    return {"workers": (given.worker("2", **more),)}


def beat(seconds: float) -> dict[str, Any]:
    """One worker whose run was last heard of so long ago."""
    return one_worker(run=given.run("2", heartbeat_at=ago(seconds=seconds)))


def passed(**units: float) -> tuple[Wanted, ...]:
    """What is wanted, with a supervisor whose last pass was so long ago."""
    *others, its = given.wanted()
    return (*others, replace(its, at=ago(**units)))


FIRST_DAY = given.photos(
    lots={"first": 1, "missing": 1, "partial": 1}, with_photo=2, with_first=1, lots_before=0, lots_left=0
)


def fallen(before: int) -> Any:
    """Photos of a thousand lots, of which 850 have had their first pass, and so many had a day ago."""
    counts = {"with_photo": 860, "with_first": 850, "lots_before": 1000, "with_first_before": before}
    return given.photos(lots={"ok": 850, "missing": 150}, lots_left=0, **counts)


ALL = tuple(given.worker(name) for name in "1234")
FIFTH_OUT = replace(given.worker("4"), name="5", state="stopped", pid=None, is_optional=True)
FIFTH_OFF = replace(FIFTH_OUT, wanted="stopped")


def ended(wanted: str | None, state: str = "stopped") -> tuple[Worker, ...]:
    """The market workers, none of which runs."""
    return tuple(given.worker(name, state=state, pid=None, wanted=wanted) for name in "1234")


def never_read(*, reason: str | None = None, **since: float) -> Any:
    """Passes over the newest ads that began so long ago, and of which none was read to its end."""
    return given.market(newest_at=None, newest_since=ago(**since), newest_reason=reason)


LATE = given.market(newest_at=ago(days=1), makes=(given.make("BMW", since=ago(days=9)),))


def walked(**units: float) -> Any:
    """The market, in which BMW was complete so long ago."""
    return given.market(makes=(given.make("Seat"), given.make("BMW", since=ago(**units), complete_at=ago(**units))))


CASES: list[tuple[str, Level, str, str, dict[str, Any]]] = [
    # check, level, its text, what fixes it, what differs from all being well
    ("workers", OK, "5 running", "", {}),
    ("workers", OK, "none was ever started", "", {"workers": NEVER}),
    ("workers", OK, "1 stopped", "", one_worker(state="stopped", pid=None, wanted=None)),
    ("workers", OK, "1 finished", "", one_worker(state="finished", exit_code=0)),
    ("workers", OK, "1 running, 4 stopped", "", {"workers": (*ended("elsewhere"), given.worker("photos"))}),
    ("workers", OK, "4 running, 1 stopped", "", {"workers": (*ALL, given.worker("photos", state="stopped", pid=None))}),
    (
        "workers",
        WARNING,
        "0 of 4 run: workers 1, 2, 3, 4 stopped by an operator",
        "vinops workers start 1 2 3 4",
        {"workers": ended("stopped")},
    ),
    (
        "workers",
        WARNING,
        "0 of 4 run: workers 1, 2, 3, 4 stopped by an operator",
        "vinops workers start 1 2 3 4",  # and not the fifth, which was off before it was stopped
        {"workers": (*ended("stopped"), FIFTH_OFF)},
    ),
    (
        "workers",
        WARNING,
        "4 of 5 run: worker 5 wanted, and not running",
        "vinops workers start 5",
        {"workers": (*ALL[:4], FIFTH_OUT)},
    ),
    (
        "workers",
        WARNING,
        "0 of 4 run: workers 1, 2, 3, 4 finished, and no supervisor begins the next cycle",
        "nohup vinops supervise &",
        {"workers": ended("running", state="finished"), "wanted": given.wanted(supervisor="")},
    ),
    (
        "workers",
        WARNING,
        "2 of 4 run: workers 3, 4 never started on any machine",
        "vinops workers start 3 4",
        {"workers": (*ALL[:2], given.never_started("3"), given.never_started("4"))},
    ),
    (
        "workers",
        WARNING,
        "3 of 4 run: worker 4 wanted, and not running",
        "vinops workers start 4",
        {"workers": (*ALL[:3], *ended("running")[3:])},
    ),
    (
        "workers",
        WARNING,
        "worker 2 failed (2: blocked)",
        "vinops logs 2",
        one_worker(state="failed", exit_code=1, run=given.run("2", reason="blocked")),
    ),
    ("workers", WARNING, "2: exit code 1", "vinops logs 2", one_worker(state="failed", exit_code=1, run=None)),
    ("workers", CRITICAL, "worker 2 died", "vinops workers start 2", one_worker(state="dead")),
    ("workers", UNKNOWN, "no bus", "vinops doctor", {"workers": None, "faults": {"workers": "no bus"}}),
    ("progress", OK, "5 workers at work, the last heartbeat 2 s ago", "", {}),
    ("progress", OK, "nothing runs", "", {"workers": NEVER}),
    ("progress", OK, "at work", "", beat(29)),
    ("progress", WARNING, "no heartbeat of worker 2 for 31 s", "vinops workers restart 2", beat(31)),
    ("progress", CRITICAL, "no heartbeat of worker 2 for 5 min", "vinops workers restart 2", beat(301)),
    ("progress", OK, "at work", "", one_worker(run=None, started_at=ago(seconds=5))),
    (
        "progress",
        CRITICAL,
        "no heartbeat of worker 2 for 10 min",
        "vinops workers restart 2",
        one_worker(run=None, started_at=ago(minutes=10)),
    ),
    (
        "progress",
        WARNING,
        "no request for 20 min",
        "vinops logs 1",
        {"hosts": (given.host(asked_at=ago(minutes=20)),)},
    ),
    (
        "progress",
        OK,
        "at work",
        "",
        {"hosts": (given.host(asked_at=ago(minutes=20), open_until=NOW + (NOW - ago(minutes=5))),)},
    ),
    ("progress", UNKNOWN, "no bus", "vinops doctor", {"workers": None, "faults": {"workers": "no bus"}}),
    ("celery", OK, "worker 5000 with 4 processes, beat", "", {}),
    ("newest", OK, "newest ads read 42 s ago", "", {}),
    (
        "newest",
        WARNING,
        "read 6 min ago",
        "vinops workers status; docs/runbook.md, The newest",
        {"market": given.market(newest_at=ago(minutes=6))},
    ),
    ("newest", CRITICAL, "read 2 h ago", "vinops workers status", {"market": given.market(newest_at=ago(hours=2))}),
    ("newest", OK, "read 50 min ago", "", {"market": given.market(newest_at=ago(minutes=50), is_day=False)}),
    (
        "newest",
        WARNING,
        "read 2 h ago",
        "vinops workers status",
        {"market": given.market(newest_at=ago(hours=2), is_day=False)},
    ),
    (
        "newest",
        WARNING,
        "the last one failed (timeout)",
        "vinops workers status",
        {"market": given.market(newest_at=ago(minutes=6), newest_reason="timeout")},
    ),
    ("newest", OK, "no pass over the newest ads has begun", "", {"market": given.market(newest_at=None)}),
    ("newest", OK, "never read, the first pass began 50 min ago", "", {"market": never_read(minutes=50)}),
    (
        "newest",
        WARNING,
        "never read, the first pass began 2 h ago, the last one failed (timeout)",
        "vinops workers status; docs/runbook.md, The newest",
        {"market": never_read(hours=2, reason="timeout")},
    ),
    ("newest", OK, "no market worker is wanted", "", {"wanted": (), "runs": (), "market": LATE}),
    ("newest", CRITICAL, "read 1 d ago", "vinops workers status", {"wanted": (), "market": LATE}),
    ("walks", OK, "20 of 20 makes complete, the oldest 3 h ago; a full walk takes about 6 h 30 min", "", {}),
    ("walks", OK, "no walk has begun", "", {"market": given.market(makes=(given.make("BMW", since=None),))}),
    ("walks", OK, "no market worker is wanted", "", {"wanted": (), "runs": (), "market": LATE}),
    (
        "walks",
        WARNING,
        "not complete for 1 d 2 h: BMW",
        "vinops workers status; docs/runbook.md, A make",
        {"market": walked(hours=26)},
    ),
    (
        "walks",
        CRITICAL,
        "not complete for 4 d: BMW",
        "vinops workers status; docs/runbook.md, A make",
        {"market": walked(days=4)},
    ),
    ("newest", UNKNOWN, "gone", "vinops doctor", {"market": None, "faults": {"market": "gone"}}),
    ("walks", UNKNOWN, "gone", "vinops doctor", {"market": None, "faults": {"market": "gone"}}),
    ("celery", OK, "not running, and nothing waits", "", {"celery": NO_CELERY, "wanted": ()}),
    (
        "celery",
        WARNING,
        "not running, and started 2 h ago",
        "vinops celery start",
        {"celery": NO_CELERY},
    ),
    (
        "celery",
        WARNING,
        "stopped by an operator 2 h ago",
        "vinops celery start",
        {"celery": NO_CELERY, "wanted": given.wanted(celery_worker="stopped")},
    ),
    (
        "celery",
        WARNING,
        "not running, 7 ads wait for normalize, the oldest for 1 min",
        "vinops celery start",
        {"celery": NO_CELERY, "deals": stages(waiting=7, oldest=ago(minutes=1))},
    ),
    (
        "celery",
        CRITICAL,
        "not running, 7 ads wait for normalize, the oldest for 30 min",
        "vinops celery start",
        {"celery": NO_CELERY, "deals": stages(waiting=7, oldest=ago(minutes=30))},
    ),
    (
        "celery",
        WARNING,
        "beat does not: nothing dispatches the work",
        "vinops celery restart",
        {"celery": Celery(workers=(1,), children=4, beats=())},
    ),
    (
        "celery",
        WARNING,
        "more than one of the workers: PIDs 1, 2, 4",
        "vinops celery restart",
        {"celery": Celery(workers=(1, 2, 4), children=12, beats=(3,))},
    ),
    (
        "celery",
        WARNING,
        "more than one of the beats: PIDs 2, 3",
        "vinops celery restart",
        {"celery": Celery(workers=(1,), children=4, beats=(2, 3))},
    ),
    (
        "celery",
        CRITICAL,
        "worker 5000 and beat run, and no task was done for 6 min",
        "vinops celery restart",
        {"celery": at_work(hours=2), "deals": tasks(minutes=6)},
    ),
    ("celery", OK, "worker 5000", "", {"celery": at_work(hours=2), "deals": tasks(minutes=4)}),
    ("celery", OK, "worker 5000", "", {"celery": at_work(minutes=1), "deals": tasks(hours=9)}),
    ("celery", CRITICAL, "no task was done for 10 min", "vinops celery restart", {"celery": at_work(minutes=10)}),
    ("celery", UNKNOWN, "no proc", "vinops doctor", {"celery": None, "faults": {"celery": "no proc"}}),
    ("supervisor", OK, "the last pass 20 s ago, PID 4999", "", {}),
    ("supervisor", OK, "its process is not visible", "", {"supervisor": Supervision(pid=None, every=60)}),
    ("supervisor", OK, "not set up", "", {"wanted": given.wanted(supervisor="")}),
    ("supervisor", OK, "nothing is wanted here", "", {"wanted": given.wanted(supervisor="stopped")[-1:]}),
    (
        "supervisor",
        WARNING,
        "and 1, 2, 3, 4, photos, celery_worker, celery_beat are wanted",
        "nohup vinops supervise &",
        {"wanted": given.wanted(supervisor="stopped")},
    ),
    (
        "supervisor",
        CRITICAL,
        "the last pass 4 min ago, its process is not visible",
        "nohup vinops supervise &",
        {"wanted": passed(minutes=4), "supervisor": Supervision(pid=None, every=60)},
    ),
    ("supervisor", CRITICAL, "the last pass 4 min ago, PID 4999", "kill 4999; nohup", {"wanted": passed(minutes=4)}),
    ("supervisor", OK, "4 min ago", "", {"wanted": passed(minutes=4), "supervisor": Supervision(pid=1, every=600)}),
    ("supervisor", UNKNOWN, "timeout", "vinops doctor", {"wanted": None, "faults": {"wanted": "timeout"}}),
    ("web", OK, "answers at 127.0.0.1:8080", "", {}),
    ("web", OK, "not started", "", {"site": Site()}),
    (
        "web",
        CRITICAL,
        "https://cars.example is not served",
        "systemctl start vinops-web",
        {"site": Site(public_url="https://cars.example")},
    ),
    (
        "web",
        CRITICAL,
        "does not answer at 127.0.0.1:8080 (timed out)",
        "systemctl restart vinops-web",
        {"site": Site(address="127.0.0.1:8080", error="timed out")},
    ),
    ("web", WARNING, "with status 503", "vinops logs web", {"site": Site(address="127.0.0.1:8080", answered=503)}),
    (
        "web",
        UNKNOWN,
        "pages say that the database is away",
        "vinops doctor",
        {"site": Site(address="127.0.0.1:8080", answered=503), "database": AWAY},
    ),
    ("prices", OK, "812 families, computed 9 h ago", "", {}),
    ("prices", OK, "no ad was ever seen", "", {"deals": given.deals(figures=None)}),
    ("prices", OK, "never computed", "", {"deals": given.deals(figures=State(since=ago(hours=5)))}),
    ("prices", WARNING, "never computed", FILL, {"deals": given.deals(figures=State(since=ago(days=2)))}),
    (
        "prices",
        WARNING,
        "computed 1 d 7 h ago",
        FILL,
        {"deals": given.deals(figures=State(computed_at=ago(hours=31), since=ago(days=9)))},
    ),
    (
        "prices",
        CRITICAL,
        "computed 3 d ago",
        FILL,
        {"deals": given.deals(figures=State(computed_at=ago(days=3), since=ago(days=9)))},
    ),
    ("prices", UNKNOWN, "timeout", "vinops doctor", {"deals": None, "faults": {"deals": "timeout"}}),
    ("tariffs", OK, "105 lines, the oldest check of 2026-09-21", "", {}),
    (
        "tariffs",
        WARNING,
        "checked more than 180 days ago: gate_fee “gate, clean” (2026-05-01) and 1 more",
        "vinops landed tariffs",
        {"tariffs": Checked(lines=9, oldest=date(2026, 5, 1), stale=("gate_fee “gate, clean” (2026-05-01)", "vat"))},
    ),
    ("tariffs", UNKNOWN, "vat.toml: no", "vinops doctor", {"tariffs": None, "faults": {"tariffs": "vat.toml: no"}}),
    ("watches", OK, "nobody is invited", "", {"watching": given.watching(people=0)}),
    ("watches", OK, "12 watches of 3 chats, nothing waits", "", {}),
    ("watches", OK, "waits for 1 min", "", {"watching": given.watching(oldest=given.ago(minutes=1))}),
    (
        "watches",
        WARNING,
        "the oldest message waits for 11 min",
        "systemctl restart vinops-watch.service",
        {"watching": given.watching(oldest=given.ago(minutes=11))},
    ),
    (
        "watches",
        CRITICAL,
        "waits for 2 h",
        "systemctl restart vinops-watch.service",
        {"watching": given.watching(oldest=given.ago(hours=2))},
    ),
    ("watches", UNKNOWN, "timeout", "vinops doctor", {"watching": None, "faults": {"watching": "timeout"}}),
    ("board", OK, "500 ads compared, all rows right", "", {}),
    ("board", WARNING, "2 wrong", "vinops deals board --rebuild", {"board": given.compared(wrong=2)}),
    ("board", WARNING, "3 without words", "vinops deals board --rebuild", {"board": given.compared(wordless=3)}),
    ("board", UNKNOWN, "timeout", "vinops doctor", {"board": None, "faults": {"board": "timeout"}}),
    ("lot_board", OK, "900 lots compared, all rows right", "", {}),
    (
        "lot_board",
        WARNING,
        "2 wrong",
        "python -m etl board --rebuild",
        {"lot_board": given.compared_lots(wrong=2)},
    ),
    ("lot_board", UNKNOWN, "timeout", "vinops doctor", {"lot_board": None, "faults": {"lot_board": "timeout"}}),
    ("backlog", OK, "no ad waits", "", {}),
    (
        "backlog",
        OK,
        "1 ad waits for normalize, the oldest for 1 min",
        "",
        {"deals": stages(waiting=1, oldest=ago(minutes=1))},
    ),
    (
        "backlog",
        OK,
        "7 ads wait for normalize, the oldest for 29 min",
        "",
        {"deals": stages(waiting=7, oldest=ago(minutes=29))},
    ),
    (
        "backlog",
        WARNING,
        "7 ads wait for normalize, the oldest for 30 min",
        "vinops deals run",
        {"deals": stages(waiting=7, oldest=ago(minutes=30))},
    ),
    ("backlog", CRITICAL, "for 2 h", "vinops deals run", {"deals": stages(waiting=7, oldest=ago(hours=2))}),
    ("backlog", WARNING, "3 ads given up", "vinops deals dead", {"deals": stages(dead=3)}),
    ("backlog", UNKNOWN, "timeout", "vinops doctor", {"deals": None, "faults": {"deals": "timeout"}}),
    ("lot_backlog", OK, "no lot waits", "", {}),
    ("lot_backlog", OK, "7 lots wait for quote, the oldest for 29 min", "", {"deals": lots_waiting(7, minutes=29)}),
    ("lot_backlog", WARNING, "oldest for 30 min", "vinops landed run", {"deals": lots_waiting(7, minutes=30)}),
    ("lot_backlog", CRITICAL, "for 2 h", "vinops landed run", {"deals": lots_waiting(7, hours=2)}),
    (
        "lot_backlog",
        WARNING,
        "3 lots given up",
        "vinops landed dead",
        {"deals": given.deals(lots=(given.stage("value", dead=3),))},
    ),
    ("lot_backlog", UNKNOWN, "timeout", "vinops doctor", {"deals": None, "faults": {"deals": "timeout"}}),
    ("estimates", OK, "no price model yet", "", {}),
    (
        "estimates",
        OK,
        "13 % off on 900 later ads, 79 % within p10 to p90",
        "",
        {"deals": given.deals(model=given.model())},
    ),
    ("estimates", OK, "too few ads came", "", {"deals": given.deals(model=given.model(off=None, ads=None))}),
    (
        "estimates",
        WARNING,
        "21 % off on 900",
        "vinops deals train",
        {"deals": given.deals(model=given.model(off=0.21))},
    ),
    ("estimates", WARNING, "69 % within", "vinops deals", {"deals": given.deals(model=given.model(inside=0.69))}),
    (
        "estimates",
        WARNING,
        "trained 3 d ago",
        "vinops deals train",
        {"deals": given.deals(model=given.model(trained_at=ago(days=3)))},
    ),
    ("estimates", UNKNOWN, "timeout", "vinops doctor", {"deals": None, "faults": {"deals": "timeout"}}),
    ("feed", OK, "3 min old", "", {}),
    ("feed", OK, "not set up", "", {"feed": Feed(is_configured=False)}),
    ("feed", WARNING, "no file was ever loaded", "python -m etl run", {"feed": Feed(is_configured=True)}),
    ("feed", OK, "44 min old", "", {"feed": given.feed(good_at=ago(minutes=44))}),
    ("feed", WARNING, "dated 60 d in the future", "date", {"feed": given.feed(good_at=ago(hours=-60 * 24))}),
    ("feed", WARNING, "45 min old", "python -m etl run", {"feed": given.feed(good_at=ago(minutes=45))}),
    (
        "feed",
        CRITICAL,
        "3 h old, last run refused (html)",
        "python -m etl run",
        {"feed": given.feed(good_at=ago(hours=3), status="refused", reason="html")},
    ),
    (
        "feed",
        WARNING,
        "COPART_CSV_URL is not set",
        "set COPART_CSV_URL in .env",
        {"feed": given.feed(good_at=ago(days=9), is_configured=False)},
    ),
    ("feed", UNKNOWN, "timeout", "vinops doctor", {"feed": None, "faults": {"feed": "timeout"}}),
    ("unknown", OK, "0.08 % of the key columns' values, most of them fuel: 795 of 150,000 lots", "", {}),
    ("unknown", OK, "no active lot", "", {"audit": given.audit(lots=0, unknown={})}),
    (
        "unknown",
        WARNING,
        "1.00 % of the key columns' values, most of them make: 2 of 100 lots",
        "vinops sql 'select * from audit.v_unknown_rate'",
        {"audit": given.audit(lots=100, unknown={"make": 2, "vin": 0})},
    ),
    ("unknown", UNKNOWN, "timeout", "vinops doctor", {"audit": None, "faults": {"audit": "timeout"}}),
    ("parsing", OK, "all rows and values of the last load were read", "", {}),
    (
        "parsing",
        OK,
        "4 rows or values of the last load not read (quotes 3, color 1)",
        "",
        {"audit": given.audit(errors=(("row", "quotes", 3), ("value", "color", 1))), "feed": given.feed(new=4)},
    ),
    (
        "parsing",
        OK,
        "17 rows or values of the last load not read (color 17), 1,803 rows were new or changed",
        "",
        {"audit": given.audit(errors=(("value", "color", 17),))},
    ),
    (
        "parsing",
        WARNING,
        "19 rows or values of the last load not read (color 19)",
        "vinops sql -x 'select * from audit.v_parse_errors'",
        {"audit": given.audit(errors=(("value", "color", 19),))},
    ),
    ("parsing", UNKNOWN, "timeout", "vinops doctor", {"audit": None, "faults": {"audit": "timeout"}}),
    ("photos", OK, "94 % of 150,000 lots", "", {}),
    ("photos", OK, "no active lot", "", {"photos": given.photos(lots={})}),
    ("photos", OK, "not set up", "", {"photos": given.photos(lots={"missing": 9}, last_run_at=None)}),
    (
        "photos",
        OK,
        "50 % of 200 lots, 1,440 a day, 0.1 days to go",
        "",
        {"photos": given.photos(lots={"ok": 100, "missing": 100}, pace=given.pace(1440))},
    ),
    (
        "photos",
        WARNING,
        "50 % of 200,000 lots, 1,440 a day, 69 days to go",
        "vinops forecast",
        {"photos": given.photos(lots={"ok": 100_000, "missing": 100_000}, pace=given.pace(1440))},
    ),
    (
        "photos",
        OK,
        "50 % of 200 lots, not enough data yet, from 2026-",
        "",
        {"photos": given.photos(lots={"ok": 100, "missing": 100}, pace=given.pace(None))},
    ),
    (
        "photos",
        WARNING,
        "50 % of 200 lots, 0 a day",
        "vinops forecast",
        {"photos": given.photos(lots={"ok": 100, "missing": 100}, pace=given.pace(0))},
    ),
    (
        "photos",
        CRITICAL,
        "no crawl for 2 d",
        "vinops workers start photos",
        {"photos": given.photos(lots={"ok": 1, "missing": 1}, pace=None, last_run_at=ago(days=2))},
    ),
    (
        "photos",
        CRITICAL,
        "0 % of 3 lots, and no lot of the last run ended well",
        "vinops logs photos --errors",
        {"photos": given.photos(lots={"failed": 3}, pace=None, is_stuck=True)},
    ),
    ("crawls", OK, "5 runs in the last day", "", {}),
    ("crawls", OK, "0 runs in the last day", "", {"runs": ()}),
    (
        "crawls",
        WARNING,
        "mobile_bg 2: 9 of 9 pages failed (timeout 9)",
        "vinops logs 2 --errors",
        {"runs": (given.run("1"), given.run("2", shortfalls=("9 of 9 pages failed (timeout 9)",)))},
    ),
    (
        "crawls",
        WARNING,
        "lot_photos: 36 of 36 photos failed (damaged 36), 3 of 3 lots failed (damaged 3)",
        "vinops logs photos --errors",
        {
            "runs": (
                given.run(
                    "photos",
                    shortfalls=("36 of 36 photos failed (damaged 36)", "3 of 3 lots failed (damaged 3)"),
                ),
            )
        },
    ),
    ("crawls", UNKNOWN, "timeout", "vinops doctor", {"runs": None, "faults": {"runs": "timeout"}}),
    ("coverage", OK, "97 % of 150,000 lots past their first pass, 97 % a day ago, 97 % with a photo", "", {}),
    ("coverage", OK, "12 of 16,000 that left in a day had none", "", {}),
    ("coverage", OK, "no active lot", "", {"photos": given.photos(lots={})}),
    ("coverage", OK, "33 % of 3 lots past their first pass, 67 % with a photo", "", {"photos": FIRST_DAY}),
    ("coverage", OK, "85 % of 1,000 lots past their first pass, 87 % a day ago", "", {"photos": fallen(870)}),
    ("coverage", WARNING, "89 % a day ago, 86 % with a photo", "vinops logs photos", {"photos": fallen(890)}),
    ("coverage", CRITICAL, "96 % a day ago, 86 % with a photo", "vinops logs photos", {"photos": fallen(960)}),
    ("coverage", UNKNOWN, "timeout", "vinops doctor", {"photos": None, "faults": {"photos": "timeout"}}),
    ("photos", UNKNOWN, "timeout", "vinops doctor", {"photos": None, "faults": {"photos": "timeout"}}),
    ("stored", OK, "about 1,700,000 photos in the folder", "", {}),
    ("stored", OK, "no photo yet", "", {"stored": Stored(wanted="folder", photos={})}),
    (
        "stored",
        WARNING,
        "7 photos in bucket b at h, 3 photos in the folder; new ones go to bucket b at h",
        "vinops photos sync",
        {"stored": Stored(wanted="bucket b at h", photos={"folder": 3, "bucket b at h": 7})},
    ),
    (
        "stored",
        WARNING,
        "9 photos in a place that is not known; new ones go to bucket b at h",
        "vinops photos sync",
        {"stored": Stored(wanted="bucket b at h", photos={None: 9})},
    ),
    ("stored", UNKNOWN, "timeout", "vinops doctor", {"stored": None, "faults": {"stored": "timeout"}}),
    ("hosts", OK, "no breaker is open", "", {}),
    (
        "hosts",
        WARNING,
        "www.mobile.bg refused us (429): 28 min to wait",
        "wait",
        {"hosts": (given.host(open_until=NOW + (NOW - ago(minutes=28)), last_refusal="429"),)},
    ),
    ("hosts", UNKNOWN, "timeout", "vinops doctor", {"hosts": None, "faults": {"hosts": "timeout"}}),
    ("alerts", OK, "none is open", "", {}),
    ("alerts", WARNING, "blocked cs.copart.com, and 1 more", "vinops sql", {"alerts": (given.alert(), given.alert())}),
    ("alerts", UNKNOWN, "timeout", "vinops doctor", {"alerts": None, "faults": {"alerts": "timeout"}}),
    ("data", OK, "/var/data/vinops", "", {}),
    (
        "data",
        WARNING,
        "/root/var is not there: nothing ran here yet",
        "vinops doctor",
        {"machine": given.machine(data_dir=Path("/root/var"), has_data_dir=False)},
    ),
    ("data", UNKNOWN, "gone", "vinops doctor", {"machine": None, "faults": {"machine": "gone"}}),
    ("errors", OK, "4 in the last hour", "", {"logs": given.logs(errors=4)}),
    ("errors", WARNING, "5 in the last hour", "vinops logs --errors", {"logs": given.logs(errors=5)}),
    ("errors", CRITICAL, "50 in the last hour", "vinops logs --errors", {"logs": given.logs(errors=50)}),
    ("errors", UNKNOWN, "denied", "vinops doctor", {"logs": None, "faults": {"logs": "denied"}}),
    ("database", OK, "3.2 GB, 12 of 50 connections, migrations current", "", {}),
    ("database", WARNING, "not set up", "vinops migrate", {"database": NEW}),
    ("database", WARNING, "40 of 50 connections", "vinops sql", {"database": given.database(connections=40)}),
    (
        "database",
        CRITICAL,
        "connection refused",
        "vinops doctor",
        {"database": Database(error="connection refused", fix="vinops doctor")},
    ),
    (
        "database",
        CRITICAL,
        "the database lacks 0009_deals",
        "vinops migrate",
        {"database": Database(error="the database lacks 0009_deals", fix="vinops migrate")},
    ),
    ("backup", OK, "5 h old, 2.0 GB", "", {}),
    ("backup", OK, "nothing to back up yet", "", {"backup": given.backup(None), "database": NEW}),
    ("backup", WARNING, "not set up", "vinops backup", {"backup": given.backup(None)}),
    ("backup", WARNING, "1 d 2 h old", "vinops backup", {"backup": given.backup(26)}),
    ("backup", CRITICAL, "3 d old", "vinops backup", {"backup": given.backup(72)}),
    ("backup", WARNING, "5 h old, 2.0 GB; a.dump dated in the future", "date", {"backup": given.backup(5, "a.dump")}),
    ("backup", WARNING, "none but a.dump, b.dump dated", "date", {"backup": given.backup(None, "a.dump", "b.dump")}),
    ("backup", CRITICAL, "3 d old, 2.0 GB; a.dump", "vinops backup", {"backup": given.backup(72, "a.dump")}),
    ("backup", UNKNOWN, "denied", "vinops doctor", {"backup": None, "faults": {"backup": "denied"}}),
    ("disk", OK, "data 79 %, logs 61 %", "", {"machine": given.machine(data_disk=given.disk(0.79))}),
    ("disk", WARNING, "data 80 %", "vinops forecast", {"machine": given.machine(data_disk=given.disk(0.8))}),
    ("disk", WARNING, "logs 80 %", "vinops logs --prune 7d", {"machine": given.machine(log_disk=given.disk(0.8))}),
    ("disk", CRITICAL, "logs 90 %", "vinops logs --prune 1d", {"machine": given.machine(log_disk=given.disk(0.9))}),
    ("disk", CRITICAL, "data 90 %", "vinops logs --prune 1d;", {"machine": given.machine(data_disk=given.disk(0.9))}),
    (
        "disk",
        CRITICAL,
        "data 50 %, logs 61 %, 50.0 GB free, data: 99 % of the files that it can have",
        "vinops logs --prune 1d; docs/runbook.md, The disk is full",
        {"machine": given.machine(data_disk=replace(given.disk(0.5), files=0.99))},
    ),
    (
        "disk",
        CRITICAL,
        "data: the file system of var is read-only",
        "mount it writable",
        {"machine": given.machine(data_disk=replace(given.disk(0.2), is_read_only=True))},
    ),
    ("disk", UNKNOWN, "gone", "vinops doctor", {"machine": None, "faults": {"machine": "gone"}}),
    ("logs", OK, "42.0 MB", "", {}),
    ("logs", WARNING, "1.0 GB", "vinops logs --prune 7d", {"logs": given.logs(bytes=10**9)}),
    ("logs", CRITICAL, "5.0 GB", "vinops logs --prune 7d", {"logs": given.logs(bytes=5 * 10**9)}),
    ("logs", WARNING, "worker_1.log has 20.0 MB", "vinops logs", {"logs": given.logs(largest_bytes=20_000_000)}),
    ("logs", CRITICAL, "cannot be written", "chown", {"logs": given.logs(is_writable=False)}),
    ("logs", UNKNOWN, "denied", "vinops doctor", {"logs": None, "faults": {"logs": "denied"}}),
    ("cpu", OK, "23 %, load 0.8 on 2 cores", "", {}),
    ("cpu", OK, "100 %", "", {"machine": given.machine(cpu=1.0)}),
    ("cpu", WARNING, "100 %", "top", {"machine": given.machine(cpu=1.0, load=2.0)}),
    ("cpu", WARNING, "load 4.0 on 2 cores", "top", {"machine": given.machine(load=4.0)}),
    ("cpu", CRITICAL, "load 16.0", "top", {"machine": given.machine(load=16.0)}),
    ("cpu", UNKNOWN, "gone", "vinops doctor", {"machine": None, "faults": {"machine": "gone"}}),
    ("memory", OK, "41 %, 5.0 GB free", "", {}),
    ("memory", WARNING, "90 %", "ps aux", {"machine": given.machine(memory=0.9)}),
    ("memory", CRITICAL, "97 %", "ps aux", {"machine": given.machine(memory=0.97)}),
    ("memory", UNKNOWN, "gone", "vinops doctor", {"machine": None, "faults": {"machine": "gone"}}),
    ("clock", OK, "0.0 s from the database's", "", {}),
    ("clock", OK, "0.0 s", "", {"clock_synchronized": None}),
    ("clock", WARNING, "2.5 s from", "timedatectl", {"database": given.database(clock_offset=-2.5)}),
    ("clock", CRITICAL, "31.0 s from", "timedatectl", {"database": given.database(clock_offset=31)}),
    ("clock", WARNING, "not synchronized", "timedatectl", {"clock_synchronized": False}),
    ("clock", UNKNOWN, "does not answer", "vinops doctor", {"database": Database(error="x", fix="vinops doctor")}),
    ("secrets", OK, "6 set, readable", "", {}),
    ("secrets", OK, "none is set", "", {"secrets": Secrets(count=0)}),
    (
        "secrets",
        WARNING,
        "chmod 600 .env",
        "vinops doctor",
        {"secrets": Secrets(count=1, problems=(".env can be read by everybody on this machine: chmod 600 .env",))},
    ),
]


@pytest.mark.parametrize(
    ("name", "level", "text", "fix", "more"),
    CASES,
    ids=[f"{case[0]}-{case[1].value}-{case[2][:30]}" for case in CASES],
)
def test_each_check_at_each_level(name: str, level: Level, text: str, fix: str, more: dict[str, Any]) -> None:
    line = {line.name: line for line in judge(given.snapshot(**more)).lines}[name]
    assert (line.level, line.fix[: len(fix)]) == (level, fix), line
    assert text in line.text
    assert bool(line.fix) is (level is not OK)


def test_the_help_and_the_script_say_what_each_exit_code_means() -> None:
    script = Path(__file__).resolve().parents[3] / "bin" / "health_check.sh"
    for text in (health_command.command.__doc__ or "", script.read_text()):
        assert all(re.search(rf"\b{code}\b", text) for code in health.EXIT.values()), text


def test_every_check_has_a_case_for_each_level_that_it_can_have() -> None:
    seen = {(name, level) for name, level, *_ in CASES}
    assert {name for name, _ in seen} == set(CHECKS)
    # What cannot be: nothing to be grave about, or nothing that could not be looked at.
    never = {
        *(
            (name, CRITICAL)
            for name in (
                "crawls",
                "unknown",
                "parsing",
                "hosts",
                "alerts",
                "secrets",
                "data",
                "stored",
                "estimates",
                "board",
                "lot_board",
                "tariffs",
            )
        ),
        *((name, UNKNOWN) for name in ("database", "secrets")),
    }
    every = {(name, level) for name in CHECKS for level in Level}
    assert every - seen == never


@pytest.mark.parametrize(
    ("more", "level", "code"),
    [
        ({}, OK, 0),
        ({"backup": given.backup(None)}, WARNING, 1),
        ({"backup": given.backup(100)}, CRITICAL, 2),
        ({"machine": None, "faults": {"machine": "gone"}}, UNKNOWN, 3),
        ({"machine": None, "faults": {"machine": "gone"}, "backup": given.backup(None)}, UNKNOWN, 3),
        ({"machine": None, "faults": {"machine": "gone"}, "backup": given.backup(100)}, CRITICAL, 2),
    ],
)
def test_the_most_severe_level_decides_the_exit_code(more: dict[str, Any], level: Level, code: int) -> None:
    judged = judge(given.snapshot(**more))
    assert (judged.level, judged.exit_code) == (level, code)


def test_one_summary_line_comes_first_and_names_what_is_wrong() -> None:
    assert judge(given.snapshot()).summary == f"OK: {len(CHECKS)} of {len(CHECKS)} as they should be"
    judged = judge(given.snapshot(backup=given.backup(None), feed=given.feed(good_at=ago(hours=9))))
    assert judged.summary == "CRITICAL: feed; WARNING: backup"
    assert next(health.text(judged, 80)) == judged.summary


def test_a_database_that_is_away_is_one_alarm_not_thirteen() -> None:
    judged = judge(given.without_database())
    assert [line.name for line in judged.alarms] == ["database"]
    assert {line.name for line in judged.lines if line.level is UNKNOWN} == {
        *(
            "progress",
            "crawls",
            "newest",
            "walks",
            "supervisor",
            "backlog",
            "lot_backlog",
            "estimates",
            "board",
            "lot_board",
            "prices",
            "watches",
            "feed",
            "unknown",
            "parsing",
            "photos",
            "coverage",
            "stored",
            "hosts",
            "alerts",
            "clock",
        )
    }
    assert judged.exit_code == 2


def test_a_fresh_checkout_is_no_emergency() -> None:
    fresh = replace(
        given.without_database(),
        database=NEW,
        workers=NEVER,
        celery=NO_CELERY,
        backup=given.backup(None),
        secrets=Secrets(count=0),
    )
    judged = judge(fresh)
    assert judged.summary == "WARNING: database"
    assert judged.exit_code == 1


def test_settings_that_cannot_be_read_are_critical() -> None:
    judged = unreadable("CREDENTIALS_DIRECTORY cannot be read")
    assert judged.exit_code == 2
    assert [line.name for line in judged.lines if line.level is CRITICAL] == ["secrets"]


def test_the_text_fits_eighty_columns_but_for_commands_which_stay_whole() -> None:
    bad = given.snapshot(
        workers=tuple(given.worker(name, state="dead") for name in given.MAKES),
        database=Database(error="a very long reason " * 12, fix="vinops doctor"),
        logs=given.logs(folder=Path("/var/log/vinops"), is_writable=False),
    )
    for line in health.text(judge(bad), 80):
        assert len(line) <= 80 or line.lstrip().startswith("fix: "), line


@pytest.mark.parametrize(("seconds", "level"), [(5, OK), (7, WARNING), (59, WARNING), (61, CRITICAL)])
def test_the_limit_of_silence_is_that_of_the_supervisor(seconds: float, level: Level) -> None:
    """VINOPS_WORKER_SILENCE, for crawls and Celery; a tenth of it is a warning."""
    judged = judge(given.snapshot(silence=60.0, celery=at_work(hours=2), deals=tasks(seconds=seconds), **beat(seconds)))
    levels = {line.name: line.level for line in judged.lines}
    assert levels["progress"] is level
    assert levels["celery"] is (CRITICAL if level is CRITICAL else OK)


def test_judging_is_pure() -> None:
    snapshot: Snapshot = given.snapshot()
    assert judge(snapshot) == judge(snapshot)


def test_a_check_reads_no_part_that_it_does_not_declare() -> None:
    """A command that asks for the parts of its checks alone must find the same as one that asks for all."""
    parts = {"workers", "machine", "logs", "celery", "backup", "secrets", "feed", "photos", "hosts", "deals", "alerts"}
    parts.add("market")
    for snapshot in (given.snapshot(), given.snapshot(celery=NO_CELERY, deals=stages(waiting=7, oldest=ago(hours=3)))):
        for check in CHECKS.values():
            narrowed = replace(snapshot, **dict.fromkeys(parts - set(check.reads)))
            assert check(narrowed) == check(snapshot), check.name


def test_the_parts_that_checks_read_are_parts_that_can_be_asked_for() -> None:
    assert PARTS - {"database"} <= observer.PARTS
    assert "top" not in PARTS, "the best deals are a query that no check needs"
