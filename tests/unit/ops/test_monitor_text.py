"""The monitor as text: what stands on it, and that it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ops.checks.health import judge
from ops.monitor import panels
from ops.monitor.panels import View
from tests.support import snapshots as given
from tests.support.snapshots import MAKES, NOW, ago
from vinops.text import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from ops.observe.snapshot import Snapshot

WORST = given.snapshot(
    workers=(
        given.worker("1", error=given.error()),
        given.worker("2", state="dead"),
        given.worker("3", state="failed", exit_code=1, run=given.run("3", reason="login_failed")),
        given.worker("4", run=given.run("4", done=12_345, total=12_345, items=1_234_567, heartbeat_at=ago(minutes=9))),
        given.never_started("photos"),
    ),
    database=given.database(size=999 * 10**9, inserts_per_minute=1_234_567.0, connections=45),
    machine=given.machine(cpu=1.0, load=99.9, memory=1.0, data_disk=given.disk(1.0)),
    feed=given.feed(
        status="refused", reason="missing_column", good_at=ago(days=12, hours=23), loaded_at=ago(days=12, hours=23)
    ),
    photos=given.photos(lots={"ok": 1_000_000, "missing": 1_000_000}, pace=given.pace(1008)),
    hosts=(given.host(open_until=NOW + (NOW - ago(hours=23)), host="inventoryv2.copart.io"), given.host()),
    deals=given.deals(
        stages=tuple(
            given.stage(name, waiting=1_000_000, dead=1234, oldest=ago(days=3, hours=4))
            for name in ("normalize", "price", "score")
        ),
        lots=tuple(given.stage(name, waiting=1_000_000, dead=1234, oldest=ago(days=3)) for name in ("value", "quote")),
        waiting_posts=120,
    ),
    logs=given.logs(errors=1000),
    alerts=(given.alert(),),
    backup=given.backup(None),
)
SNAPSHOTS = {"well": given.snapshot(), "worst": WORST, "away": given.without_database()}


def view(snapshot: Snapshot, chosen: int = 0) -> View:
    return View(snapshot=snapshot, health=judge(snapshot), chosen=chosen)


def plain(lines: Sequence[Text]) -> list[str]:
    return [each.plain for each in lines]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_once_fits_its_width_whatever_there_is_to_say(name: str, width: int) -> None:
    for line in plain(panels.page(view(SNAPSHOTS[name]), width)):
        assert len(line.rstrip()) <= width or "→ " in line, line


@pytest.mark.parametrize(
    "panel",
    [
        *(panels.feed, panels.photos, panels.deals, panels.machine),
        *(panels.items, panels.best, panels.hosts, panels.market),
    ],
)
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_panel_fits_half_of_eighty_columns(name: str, panel: object) -> None:
    assert callable(panel)
    for line in plain(panel(view(SNAPSHOTS[name]), 38)):
        assert len(line) <= 38, line


def test_the_table_says_what_each_worker_does() -> None:
    lines = plain(panels.workers(view(given.snapshot()), 80))
    assert lines[0].split() == ["worker", "state", "now", "pages", "items", "/min", "trend", "up", "ETA"]
    assert lines[1].split() == [
        "▸",
        "1",
        "running",
        "bmw",
        "page",
        "37",
        "37/117",
        "1,240",
        "42",
        *lines[1].split()[9:],
    ]
    assert lines[1].split()[-2:] == ["2:05", "1:10"]
    assert len(lines) == 1 + len(MAKES)
    assert {len(line) for line in lines} == {80}, "the columns are aligned"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_names_make_and_page_and_why_a_worker_ended(width: int) -> None:
    workers = (
        given.worker("1"),
        given.worker("2", state="stopped", run=given.run("2", reason="blocked", finished_at=ago(minutes=1))),
        given.worker("3", state="failed", exit_code=1, run=None),
        given.worker("photos", run=given.run("photos", current_item="45000001")),
    )
    lines = plain(panels.workers(view(given.snapshot(workers=workers)), width))
    for found, said in zip(lines[1:], ("bmw page 37", "blocked", "exit code 1", "lot 45000001"), strict=True):
        assert said in found
        assert len(found) <= width


@pytest.mark.parametrize("width", [38, 78])
def test_inserts_and_updates_are_told_apart(width: int) -> None:
    for inserts, updates, said in (
        (1003.0, 200.0, "inserts   1,003/min updates 200/min"),
        (99_949.0, 1_234_567.0, "inserts   100k/min  updates 1.2M/min"),
        (None, None, "inserts   -         updates -"),
    ):
        found = given.database(inserts_per_minute=inserts, updates_per_minute=updates)
        assert said in plain(panels.machine(view(given.snapshot(database=found)), width))


def test_a_wide_table_says_more() -> None:
    lines = plain(panels.workers(view(WORST), 200))
    for word in ("makes", "PID", "refusals", "last error"):
        assert word in lines[0]
    assert "login_failed" in lines[3]
    assert "12 min ago: market: the page could not be read" in lines[1]


def test_states_have_colours_that_mean_something() -> None:
    rows = panels.workers(view(WORST), 80)[1:]
    states = {}
    for row in rows:
        word = row.plain[9:17].strip()
        states[word] = next(span.style for span in row.spans if span.start <= 9 < span.end)
    assert states == {"running": "green", "dead": "red", "failed": "yellow", "stuck": "red", "stopped": "dim"}


def test_without_a_database_nobody_is_called_stuck() -> None:
    lines = plain(panels.workers(view(given.without_database()), 80))
    assert not any("stuck" in line for line in lines)
    assert "does not answer" in panels.machine(view(given.without_database()), 38)[0].plain


def test_more_is_said_of_the_worker_that_is_chosen() -> None:
    assert "1: error 12 min ago: market: the page" in panels.detail(view(WORST, 0), 80)[0].plain
    assert "photos: never started; s starts it" in panels.detail(view(WORST, 4), 80)[0].plain
    assert "2: at bmw page 37; no error" in panels.detail(view(given.snapshot(), 1), 80)[0].plain


def test_makes_are_shown_whole_or_counted() -> None:
    assert panels.makes(MAKES["1"], 20) == "Mercedes-Benz, BMW"
    assert panels.makes(MAKES["1"], 16) == "Mercedes-Benz +1"
    assert panels.makes(MAKES["4"], 30) == "Skoda, Seat, Honda, Mazda +6"


def test_an_alarm_names_the_command_that_fixes_it() -> None:
    lines = plain(panels.alarms(view(WORST), 78, 20))
    assert any(line.startswith("CRITICAL feed: ") and line.endswith("→ python -m etl run") for line in lines)
    assert any(line.endswith("→ vinops workers start 2") for line in lines)
    assert all(len(line) <= 78 for line in lines)


def test_where_there_is_no_room_the_last_line_says_how_many_alarms_there_are() -> None:
    count = len(judge(WORST).alarms)
    lines = plain(panels.alarms(view(WORST), 78, 3))
    assert len(lines) == 3
    assert lines[2].startswith(f"{count - 2} more: ")
    assert len(panels.alarms(view(given.snapshot()), 78, 3)) == 0


def test_all_alarms_are_there_whole() -> None:
    text = " ".join(" ".join(plain(panels.all_alarms(view(WORST), 60))).split())
    for line in judge(WORST).alarms:
        assert " ".join(line.fix.split()) in text
    assert "The run ended; no crawl requests it before 03:10." in text


def test_the_last_items_are_of_all_workers_in_turn() -> None:
    lines = plain(panels.items(view(given.snapshot()), 60))[:5]
    assert sorted(line.split()[0] for line in lines) == sorted(MAKES)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    assert figures.age(seconds) == said


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Sofia", "2026-11-25 02:40 UTC (04:40 EET)"),
        ("UTC", "2026-11-25 02:40 UTC"),
        ("America/New_York", "2026-11-25 02:40 UTC (2026-11-24 21:40 EST)"),
        ("Nowhere/At-all", "2026-11-25 02:40 UTC"),
    ],
)
def test_a_moment_is_in_utc_and_in_the_time_zone_of_the_reader(zone: str, said: str) -> None:
    assert figures.moment(NOW, zone) == said


def test_once_has_the_local_time_beside_utc() -> None:
    shown = View(snapshot=given.snapshot(), health=judge(given.snapshot()), zone="Europe/Sofia")
    assert panels.page(shown, 80)[0].plain == "vinops 2026-11-25 02:40:00 UTC (04:40 EET)"


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (120e9, "120 GB"), (5e15, "5000 TB")],
)
def test_sizes(number: float, said: str) -> None:
    assert figures.size(number) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (0.0001, "0.1 %"), (0.62, "62 %"), (0.9999, "99 %"), (1, "100 %")]
)
def test_what_is_not_whole_is_never_said_to_be(share: float, said: str) -> None:
    assert figures.percent(share) == said


def test_a_sparkline_is_scaled_to_its_largest() -> None:
    assert figures.sparkline([0, 1, 2, 4, 8], 5) == "▁▂▃▅█"
    assert figures.sparkline([0, 0], 5) == "▁▁"
    assert figures.sparkline([1, 2, 3], 2) == "▆█"
    assert figures.sparkline([], 5) == ""


def test_lots_that_wait_stand_behind_the_ads() -> None:
    lots = (
        given.stage("value", waiting=3, oldest=ago(minutes=5)),
        given.stage("quote", waiting=12, oldest=ago(hours=1)),
    )
    lines = plain(panels.deals(view(given.snapshot(deals=given.deals(lots=lots))), 40))
    assert " ".join(lines[-1].split()) == "lots 15 for 1:00"
