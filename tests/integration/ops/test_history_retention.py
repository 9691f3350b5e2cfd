"""Events, gone lots and their photos go if a setting says so, in an order that is safe at any kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from ops import retention
from ops.retention import Removed
from tests.support import forks
from vinops.config import Secret
from vinops.db import database as db
from vinops.storage.folder import Folder
from vinops.storage.opening import open_photos
from vinops.storage.store import PHOTOS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[tuple[Any, ...]]

DAY: Final = timedelta(days=1)
ACTIVE, FRESH, OLD, OLDEST = 1, 2, 3, 4
EACH: Final = 3  # of each lot
SHARED: Final = f"photos/{OLDEST}/{'a' * 64}.jpg"
"""The object of a photo of the oldest lot, which the active lot of the same vehicle has, too."""


def object_of(lot: int, number: int) -> str:
    return f"photos/{lot}/{f'{lot}{number}'.rjust(64, '0')}.jpg"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, event_days=90, gone_photo_days=60, gone_lot_days=300)


@pytest.fixture
def history(database: Database, settings: Settings) -> datetime:
    """An active lot, one that left last week, one 100 days ago and one 400 days ago, with photos and events. The
    active lot came after the oldest: it is the same vehicle, and shares an object with it."""
    now = datetime.now(UTC)
    gone = {ACTIVE: None, FRESH: now - 7 * DAY, OLD: now - 100 * DAY, OLDEST: now - 400 * DAY}
    store = open_photos(settings)
    for lot, gone_at in gone.items():
        seen = (gone_at or now) - 10 * DAY
        database.execute(
            """
            insert into lots (id, lot_external_id, vin, vehicle_id, status, first_seen_at, gone_at, row_hash, file_id)
            overriding system value values (%s, %s, %s, 1, %s, %s, %s, '', 1)
            """,
            [lot, lot, str(lot), "gone" if gone_at else "active", seen, gone_at],
        )
        database.execute("insert into lot_photos (lot_id, state, stored) values (%s, 'ok', %s)", [lot, EACH])
        database.execute(
            "insert into audit.lot_events (lot_id, file_id, event, happened_at) values (%s, 1, 'appeared', %s)",
            [lot, seen],
        )
        keys = [object_of(lot, number) for number in range(EACH)]
        keys[0] = SHARED if lot in (ACTIVE, OLDEST) else keys[0]
        for number, key in enumerate(keys):
            store.put(key, b"photo", content_type="image/jpeg")
            database.execute(
                """
                insert into images (lot_id, seq, variant, source_url, storage_key, content_hash, content_type, width,
                    height, bytes, created_at)
                values (%s, %s, 'hrs', %s, %s, repeat('0', 64), 'image/jpeg', 1, 1, 5, %s)
                """,
                [lot, number, str(number), key, seen + DAY],
            )
    database.execute("update lots set previous_lot_id = %s where id = %s", [OLDEST, ACTIVE])
    for days in (8, 1, 0):
        at = now - days * DAY
        database.execute(
            "insert into ops.crawl_runs (spider, machine, pid, started_at, heartbeat_at) values ('x', 'm', 1, %s, %s)",
            [at, at],
        )
        database.execute(
            "insert into audit.etl_runs (started_at, finished_at, status) values (now(), %s, 'loaded')", [at]
        )
    return now


def run(settings: Settings, now: datetime, *, batch: int = 1000) -> dict[str, int]:
    with db.connect(settings, application="tests") as connection:
        found = list(retention.retain(connection, settings, now, batch=batch))
    assert all(isinstance(each, Removed) for each in found), found
    return {each.what: each.count for each in found if isinstance(each, Removed)}


def lots_of(database: Database, table: str) -> set[int]:
    column = "id" if table == "lots" else "lot_id"
    return {row[0] for row in database.execute(f"select {column} from {table}".encode())}


def let_a_day_pass(database: Database) -> None:
    database.execute("update ops.photo_removals set queued_at = queued_at - interval '25 hours'")


def objects(settings: Settings) -> set[str]:
    return {key for key, _ in open_photos(settings).sizes()}


def recorded(database: Database) -> set[str]:
    return {row[0] for row in database.execute("select storage_key from images")}


def test_all_is_kept_for_ever_unless_a_setting_says_otherwise(
    database: Database, settings: Settings, history: datetime
) -> None:
    settings = replace(settings, event_days=None, gone_photo_days=None, gone_lot_days=None)
    assert not {"events of lots", "photos of gone lots", "gone lots"} & set(run(settings, history))
    assert lots_of(database, "lots") == lots_of(database, "audit.lot_events") == lots_of(database, "images")


def test_each_goes_by_its_own_setting(database: Database, settings: Settings, history: datetime) -> None:
    removed = run(settings, history)
    assert {name: removed[name] for name in ("events of lots", "photos of gone lots", "gone lots")} == {
        "events of lots": 2,
        "photos of gone lots": 2 * EACH,
        "gone lots": 1,
    }
    assert lots_of(database, "lots") == lots_of(database, "lot_photos") == {ACTIVE, FRESH, OLD}
    assert lots_of(database, "images") == lots_of(database, "audit.lot_events") == {ACTIVE, FRESH}
    assert database.execute("select stored from lot_photos where lot_id = %s", [OLD]).fetchone() == (0,)
    assert database.execute("select previous_lot_id from lots where id = %s", [ACTIVE]).fetchone() == (None,)


def test_a_dry_run_counts_the_same_and_removes_nothing(
    database: Database, settings: Settings, history: datetime
) -> None:
    with db.connect(settings, application="tests") as connection:
        found = list(retention.retain(connection, settings, history, dry_run=True))
    counts = {each.what: each.count for each in found if isinstance(each, Removed)}
    assert (counts["events of lots"], counts["photos of gone lots"], counts["gone lots"]) == (2, 2 * EACH, 1)
    assert lots_of(database, "lots") == lots_of(database, "audit.lot_events") == lots_of(database, "images")


def test_lots_go_with_their_photos_if_only_lots_have_a_setting(
    database: Database, settings: Settings, history: datetime
) -> None:
    removed = run(replace(settings, gone_photo_days=None, event_days=None), history)
    assert (removed["photos of gone lots"], removed["gone lots"]) == (EACH, 1)
    assert lots_of(database, "images") == lots_of(database, "audit.lot_events") == {ACTIVE, FRESH, OLD}


def test_objects_go_a_day_after_their_rows_and_those_in_use_stay(
    database: Database, settings: Settings, history: datetime
) -> None:
    before = objects(settings)
    assert "objects of removed photos" not in run(settings, history)
    assert objects(settings) == before
    let_a_day_pass(database)
    assert run(settings, history)["objects of removed photos"] == 2 * EACH - 1
    assert objects(settings) == recorded(database)
    assert SHARED in objects(settings)
    assert database.execute("select count(*) from ops.photo_removals").fetchone() == (0,)


def test_a_photo_that_is_stored_again_within_the_day_stays(
    database: Database, settings: Settings, history: datetime
) -> None:
    run(settings, history)
    database.execute("update images set storage_key = %s where lot_id = %s and seq = 1", [object_of(OLD, 1), FRESH])
    let_a_day_pass(database)
    run(settings, history)
    assert object_of(OLD, 1) in objects(settings)


def test_a_lot_in_the_hands_of_a_crawl_stays(database: Database, settings: Settings, history: datetime) -> None:
    database.execute(
        "update lot_photos set lease_owner = 'x', lease_expires_at = now() + interval '1 minute' where lot_id = %s",
        [OLDEST],
    )
    assert run(settings, history)["gone lots"] == 0


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the process end right after the n-th commit or removal of an object from now on."""

    def arm(nth: int) -> None:
        left = [nth]

        def then_die(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **named: Any) -> Any:
                found = call(*arguments, **named)
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return found

            return called

        monkeypatch.undo()
        monkeypatch.setattr(psycopg.Connection, "commit", then_die(psycopg.Connection.commit))
        monkeypatch.setattr(Folder, "delete", then_die(Folder.delete))

    return arm


def test_wherever_it_dies_no_photo_loses_its_object_and_the_next_run_ends_it(
    database: Database,
    settings: Settings,
    history: datetime,
    kill_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kills = 0
    for nth in range(1, 100):  # each run gets one step further, and what was done stays done
        let_a_day_pass(database)
        kill_at(nth)
        try:
            run(settings, history, batch=2)
        except Killed:
            kills += 1
        finally:
            monkeypatch.undo()
        assert recorded(database) <= objects(settings)  # a row never names an object that is not there
        unreferenced = objects(settings) - recorded(database)
        queued = {row[0] for row in database.execute("select storage_key from ops.photo_removals")}
        assert unreferenced <= queued  # no object is forgotten
        if not unreferenced and lots_of(database, "lots") == {ACTIVE, FRESH, OLD}:
            break
    assert kills > 8
    run(settings, history)
    assert objects(settings) == recorded(database)
    assert lots_of(database, "images") == {ACTIVE, FRESH}


KILL: Final = """
import os, signal, sys
from vinops.storage.folder import Folder
delete, left = Folder.delete, [2]
def then_die(*arguments):
    delete(*arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
Folder.delete = then_die
from ops.cli import main
sys.argv = ["vinops", "retention"]
main()
"""


def test_killed_between_two_objects_the_next_run_removes_the_rest(
    database: Database, settings: Settings, history: datetime, environment: dict[str, str]
) -> None:
    environment |= {"VINOPS_GONE_PHOTO_DAYS": "60", "VINOPS_GONE_LOT_DAYS": "300", "VINOPS_EVENT_DAYS": "90"}
    assert forks.vinops(environment, "retention").returncode == 0
    let_a_day_pass(database)
    before = objects(settings)
    died = subprocess.run([sys.executable, "-c", KILL], env=environment, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(before) - len(objects(settings)) == 2  # the kill landed between two of them
    done = forks.vinops(environment, "retention")
    assert "photos of gone lots: 0 rows older than 60 days removed" in done.stdout.splitlines(), done.stderr
    assert objects(settings) == recorded(database)


def test_a_store_that_fails_is_named_and_nothing_is_forgotten(
    database: Database, settings: Settings, history: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vinops.storage.store import StoreError

    def fail(*_: object) -> None:
        raise StoreError("the bucket is closed")

    run(settings, history)
    let_a_day_pass(database)
    monkeypatch.setattr(Folder, "delete", fail)
    with db.connect(settings, application="tests") as connection:
        found = list(retention.retain(connection, settings, history))
    assert "objects of removed photos: the bucket is closed" in found
    monkeypatch.undo()
    assert run(settings, history)["objects of removed photos"] == 2 * EACH - 1


def test_objects_go_from_the_bucket_and_from_the_folder_that_was_used_before(
    database: Database, settings: Settings, history: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = Folder(tmp_path / "bucket", PHOTOS)
    for key in recorded(database):
        bucket.put(key, b"photo", content_type="image/jpeg")
    run(settings, history)
    let_a_day_pass(database)
    monkeypatch.setattr(retention, "open_photos", lambda _settings: bucket)
    keys = (Secret("id"), Secret("key"))
    with_r2 = replace(
        settings,
        r2_endpoint="http://127.0.0.1:9",
        r2_access_key_id=keys[0],
        r2_secret_access_key=keys[1],
        r2_bucket_name="b",
    )
    run(with_r2, history)
    assert {key for key, _ in bucket.sizes()} == objects(settings) == recorded(database)
