"""The upkeep of the board: its comparison, its rebuild and its end of old ads, as functions and as a command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from deals import board
from deals.queue import runner
from deals.stages.registry import STAGES
from tests.support import forks
from tests.support.deal_ads import insert_ads, requeue
from vinops.checks import Level

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]


@pytest.fixture
def ids(database: Database, settings: Settings) -> list[int]:
    """Ads on the board."""
    found = insert_ads(database, 20)
    drain(database, settings)
    return found


def drain(database: Database, settings: Settings) -> None:
    for stage in STAGES:
        runner.drain(database, settings, stage)


def count(database: Database, table: str) -> int:
    row = database.execute(f"select count(*) from {table}".encode()).fetchone()
    return int(row[0]) if row else 0


FAULTS = [
    ("delete from board where listing_id = any(%s)", {"missing": 2}, "2 missing"),
    ("update board set score = 9.9 where listing_id = any(%s)", {"wrong": 2}, "2 wrong"),
    ("update board set price_eur = null where listing_id = any(%s)", {"wrong": 2}, "2 wrong"),
    ("update board set is_gone = true, gone_at = now() where listing_id = any(%s)", {"wrong": 2}, "2 wrong"),
    ("delete from scores where listing_id = any(%s)", {"surplus": 2}, "2 too many"),
    ("delete from listing_words where listing_id = any(%s)", {"wordless": 2}, "2 without words"),
]


@pytest.mark.parametrize(("fault", "counts", "text"), FAULTS)
def test_what_is_wrong_is_counted_named_and_corrected(
    database: Database, settings: Settings, ids: list[int], fault: str, counts: dict[str, int], text: str
) -> None:
    right = board.Compared(ads=20, missing=0, wrong=0, surplus=0, wordless=0)
    assert board.compare(database, None) == right
    assert board.judge(right).level is Level.OK
    database.execute(fault.encode(), [ids[3:5]])
    found = board.compare(database, None)
    assert found == board.Compared(**{**vars(right), **counts})
    finding = board.judge(found)
    assert (finding.level, finding.fix) == (Level.WARNING, board.REBUILD)
    assert text in finding.text
    rebuilt = board.rebuild(database)
    assert rebuilt.written + rebuilt.removed + rebuilt.queued == 2
    drain(database, settings)
    left = board.compare(database, None)
    assert left == (right if "surplus" not in counts else board.Compared(**{**vars(right), "ads": 20}))
    assert board.rebuild(database) == board.Rebuilt(written=0, removed=0, queued=0)


def test_a_sample_is_of_its_size_and_of_any_ads(database: Database, ids: list[int]) -> None:
    found = [board.compare(database, 5).ads for _ in range(30)]
    assert max(found) == 5
    assert min(found) >= 1
    assert len(ids) == 20


def test_ads_that_wait_for_a_stage_are_not_compared(database: Database, ids: list[int]) -> None:
    requeue(database, ids[:4], by=0.7)
    assert board.compare(database, None) == board.Compared(ads=16, missing=0, wrong=0, surplus=0, wordless=0)


def test_an_ad_leaves_the_board_sixty_days_after_it_went(
    database: Database, settings: Settings, ids: list[int]
) -> None:
    database.execute("update listings set removed_at = now() - interval '59 days 23 hours' where id = %s", [ids[0]])
    requeue(database, ids[:1])
    drain(database, settings)
    assert (count(database, "board_gone"), count(database, "board_active")) == (1, 19)
    assert board.expire(database) == 0
    database.execute("update listings set removed_at = removed_at - interval '2 hours' where id = %s", [ids[0]])
    database.execute("update board set gone_at = gone_at - interval '2 hours' where listing_id = %s", [ids[0]])
    assert board.compare(database, None).surplus == 0, "it is removed within the hour"
    assert board.expire(database) == 1
    assert (count(database, "board"), count(database, "listing_words")) == (19, 19)
    requeue(database, ids[:1])
    drain(database, settings)
    assert (count(database, "board"), count(database, "listing_words")) == (19, 19)


def test_scores_and_board_are_committed_together_or_not_at_all(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deals.queue import outbox

    insert_ads(database, 3)
    runner.drain(database, settings, "normalize")
    runner.drain(database, settings, "price")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            runner.run(database, settings, "score")
    assert (count(database, "scores"), count(database, "board")) == (0, 0)
    database.execute("update ops.deal_outbox set leased_until = '-infinity'")
    runner.run(database, settings, "score")
    assert (count(database, "scores"), count(database, "board")) == (3, 3)


def test_a_row_that_is_right_is_not_written_again(database: Database, settings: Settings, ids: list[int]) -> None:
    before = database.execute("select *, xmin from board order by listing_id").fetchall()
    words = database.execute("select listing_id, xmin from listing_words order by listing_id").fetchall()
    requeue(database, ids)
    drain(database, settings)
    assert database.execute("select *, xmin from board order by listing_id").fetchall() == before
    assert database.execute("select listing_id, xmin from listing_words order by listing_id").fetchall() == words


def test_the_command_compares_and_rebuilds(database: Database, environment: dict[str, str], ids: list[int]) -> None:
    done = forks.vinops(environment, "deals", "board")
    assert (done.returncode, done.stdout) == (0, "20 ads compared, all rows right\n")
    database.execute("delete from board where listing_id = any(%s)", [ids[:2]])
    done = forks.vinops(environment, "deals", "board")
    assert (done.returncode, done.stdout) == (1, "of 20 ads compared 2 missing\n")
    assert "vinops deals board --rebuild" in done.stderr
    done = forks.vinops(environment, "deals", "board", "--rebuild", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rebuilt"] == {"written": 2, "removed": 0, "queued": 0}
