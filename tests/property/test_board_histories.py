"""Random histories of a market: when no ad waits for a stage, the board is what a rebuild would make of it.

Ads come, change, go, return, are advertised twice, are priced again, and are taken through the stages a few at a time,
by workers that may die before they commit.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, strategies as st

from deals import board
from deals.queue import outbox, runner
from deals.stages import score as scoring
from deals.stages.registry import STAGES
from tests.property.cases import few
from tests.support.deal_ads import insert_ads, requeue

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

PLACE: Final = st.integers(0, 30)
STEP: Final = st.one_of(
    st.tuples(st.just("new"), st.integers(1, 4)),
    st.tuples(st.just("twin"), PLACE),
    st.tuples(st.just("price"), PLACE, st.sampled_from([0.5, 0.99, 1.3])),
    st.tuples(st.just("text"), PLACE, st.sampled_from(["Без удари", "катастрофирал", "на лизинг, вноска 100 лв", ""])),
    st.tuples(st.just("go"), PLACE, st.sampled_from([0, 30, 59, 61, 400])),
    st.tuples(st.just("return"), PLACE),
    st.tuples(st.just("again")),
    st.tuples(st.just("run"), st.sampled_from(list(STAGES)), st.integers(1, 6)),
    st.tuples(st.just("die"), st.sampled_from(list(STAGES))),
)
HISTORY: Final = st.lists(STEP, min_size=5, max_size=25)


class World:
    """A market in the database, and what happens to it."""

    def __init__(self, database: Connection[Any], settings: Settings) -> None:
        """Begin with nothing."""
        self.database, self.settings = database, settings
        database.execute("truncate listings cascade")
        self.ids: list[int] = []
        self.numbers = count()

    def take(self, step: tuple[Any, ...]) -> None:
        """Do a step; one about an ad does nothing while there is none."""
        what, *about = step
        if what in ("twin", "price", "text", "go", "return"):
            if not self.ids:
                return
            about[0] = self.ids[about[0] % len(self.ids)]
        getattr(self, what if what != "return" else "come_back")(*about)

    def new(self, ads: int) -> None:
        for _ in range(ads):
            self.ids += insert_ads(self.database, 1, first=next(self.numbers), seed=3)

    def twin(self, listing: int) -> None:
        """Advertise the car of an ad once more."""
        (twin,) = insert_ads(self.database, 1, first=next(self.numbers), seed=3)
        columns = "make_text, model_text, title, year, month, mileage_km, fuel, gearbox, body, power_hp, colour, region"
        columns += ", price, price_eur"
        self.database.execute(
            f"update listings set ({columns}) = (select {columns} from listings where id = %s) where id = %s".encode(),
            [listing, twin],
        )
        self.ids.append(twin)

    def price(self, listing: int, by: float) -> None:
        requeue(self.database, [listing], by=by)

    def text(self, listing: int, text: str) -> None:
        self.database.execute("update listings set description = %s where id = %s", [text, listing])
        requeue(self.database, [listing])

    def go(self, listing: int, days: int) -> None:
        statement = "update listings set removed_at = now() - make_interval(days => %s) where id = %s"
        self.database.execute(statement, [days, listing])
        requeue(self.database, [listing])

    def come_back(self, listing: int) -> None:
        self.database.execute("update listings set removed_at = null where id = %s", [listing])
        requeue(self.database, [listing])

    def again(self) -> None:
        """Price and score all ads again, as each night."""
        runner.requeue_all(self.database)

    def run(self, stage: str, ads: int) -> None:
        """Take a few ads through one stage."""
        waiting = self.database.execute(
            "select listing_id from ops.deal_outbox where stage = %s order by queued_at limit %s", [stage, ads]
        ).fetchall()
        runner.run(self.database, self.settings, stage, [row[0] for row in waiting])

    def die(self, stage: str) -> None:
        """Have a worker die before it commits: its lease expires."""
        lease = outbox.take(self.database, stage, seconds=60)
        if lease is not None:
            self.database.execute(
                "update ops.deal_outbox set leased_until = '-infinity' where token = %s", [lease.token]
            )

    def drain(self) -> None:
        """Take all ads through all stages; what the first ones queue for the last is done, too."""
        for _ in range(2):
            for stage in STAGES:
                runner.drain(self.database, self.settings, stage)
        board.expire(self.database)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.database.execute("select * from board order by listing_id").fetchall()


def is_right(world: World) -> bool:
    """Tell whether the board that was written is the one that a rebuild makes, and the comparison says the same."""
    written = world.rows()
    compared = board.compare(world.database, None)
    rebuilt = board.rebuild(world.database)
    assert board.compare(world.database, None) == board.Compared(
        ads=compared.ads, missing=0, wrong=0, surplus=0, wordless=compared.wordless
    )
    is_same = world.rows() == written
    assert is_same == (compared.missing == compared.wrong == compared.surplus == 0)
    assert is_same == (rebuilt.written == rebuilt.removed == 0)
    return is_same and compared.wordless == 0


def test_the_board_that_is_written_is_the_one_that_a_rebuild_makes(
    database: Connection[Any], settings: Settings
) -> None:
    @few
    @given(HISTORY)
    def check(history: list[tuple[Any, ...]]) -> None:
        world = World(database, settings)
        for step in history:
            world.take(step)
        world.drain()
        left = database.execute("select count(*) from ops.deal_outbox").fetchone()
        assert left == (0,)
        assert is_right(world)

    check()


def test_a_stage_that_forgot_the_board_would_be_noticed(
    database: Connection[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken control: the same comparison, with a stage that writes its scores only."""
    world = World(database, settings)
    world.take(("new", 3))
    world.drain()
    assert is_right(world)
    real = scoring.queries
    nothing = {**real("board"), "write_board": "select %(listing_ids)s::bigint[]"}
    monkeypatch.setattr(scoring, "queries", lambda name: nothing if name == "board" else real(name))
    world.take(("price", 1, 0.5))
    world.drain()
    assert not is_right(world)
    assert is_right(world)


def test_a_link_to_another_ad_reaches_the_board(database: Connection[Any], settings: Settings) -> None:
    """An ad whose first ad goes was in no batch, and comes onto the board all the same."""
    world = World(database, settings)
    world.take(("new", 1))
    world.take(("twin", 0))
    world.drain()
    assert [row[3] for row in world.rows()] == [None, world.ids[0]]
    world.take(("go", 0, 0))
    world.drain()
    assert [row[3] for row in world.rows()] == [None, None]
    assert is_right(world)
