"""What `vinops workers status` says of each worker, in 80 columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ops.show import workers
from tests.support import snapshots as given
from tests.support.snapshots import ago

LOG = Path("/var/log/vinops/worker_1.log")
LAST = "2026-11-23T07:10:00Z INFO market: Scraped: bmw page 37 of 117 INSERT 22 UPDATE 0 unchanged 0 back 0"


def text(*, width: int = 80, market: dict[str, Any] | None = None, **more: object) -> list[str]:
    about = given.worker("1", log=LOG, **more)
    found = given.snapshot(workers=(about,), machine=given.machine(), **(market or {}))
    return list(workers.lines(found, by_hand={"1": [25268]}, last={"1": LAST}, width=width))


def test_one_that_runs_says_where_it_is_and_how_far() -> None:
    lines = text(rate=41.5)
    said = " ".join(" ".join(lines).split())
    assert "1 running, PID 4710, for 2 h 5 min; Mercedes-Benz, BMW" in said
    assert "at bmw page 37; page 37 of 117, 1240 items, 42/min, heartbeat 2 s ago" in said
    assert "started by hand: PID 25268 (`vinops workers stop 1` ends it)" in said
    assert f"last: {LAST}" in said
    assert f"log: {LOG}" in said
    assert "machine CPU 23 %, load 0.8 on 2 cores; memory 41 %, 5.0 GB free; disk 61 %" in said
    assert max(map(len, lines)) <= 80


def test_it_says_when_each_make_was_complete_and_how_old_the_newest_ads_are() -> None:
    said = " ".join(" ".join(text()).split())
    assert "complete: Mercedes-Benz 3 h ago; BMW 3 h ago, page 120 of 860" in said
    assert "market newest ads read 42 s ago; a full walk takes about 6 h 30 min" in said
    never = given.market(makes=(given.make("BMW", complete_at=None),), newest_at=None, walk_seconds=None)
    said = " ".join(" ".join(text(market={"market": never})).split())
    assert "complete: BMW never, page 120 of 860" in said
    assert "market the newest ads were never read machine" in said


def test_it_fits_any_width_and_paths_stay_whole() -> None:
    for width in (40, 60, 80, 200):
        assert all(len(line) <= width or str(LOG) in line for line in text(width=width))


def test_one_that_ended_says_why() -> None:
    said = " ".join(" ".join(text(state="failed", pid=None, ended_at=ago(minutes=5), exit_code=1)).split())
    assert "1 failed 5 min ago, exit code 1; Mercedes-Benz, BMW" in said
    blocked = given.run("1", reason="blocked")
    said = " ".join(" ".join(text(state="failed", pid=None, ended_at=ago(minutes=5), run=blocked)).split())
    assert "1 failed 5 min ago, blocked; " in said


def test_text_from_outside_moves_no_cursor() -> None:
    lines = text(run=given.run("1", current_item="bmw \x1b]0;owned\x07 page"))
    assert all(line.isprintable() for line in lines)
