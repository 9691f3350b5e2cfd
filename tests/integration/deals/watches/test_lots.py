"""Lots in watches, from what is typed to the message: told once a car, true when it is sent, edited without sound."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deals.offers import passes
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from deals.watches.sending import queue
from tests.support import import_lots, lots as board
from tests.support.deal_messages import add_deal
from tests.support.watching import CHAT

if TYPE_CHECKING:
    from psycopg import Connection

    from standin.telegram.messages import Message
    from tests.support.watching import Talk

RAV4 = "лотове RAV4"
VIN = "2T3BFREV0FW000001"
BARGAIN: dict[str, Any] = {"buy_now_price": 2_500}


@pytest.fixture
def market(talk: Talk) -> Talk:
    """A market in which lots have a value, and a person."""
    import_lots.store_market(talk.database)
    talk.join()
    talk.telegram.messages.clear()
    return talk


def watch(talk: Talk, text: str) -> Message:
    """Type a watch, save it, and return what the bot proposed."""
    proposal = replace(talk.say(text)[0])  # the message says something else when it is saved
    save = next(target for _, target in proposal.buttons if target.startswith("save:"))
    talk.press(save, message_id=proposal.message_id)
    return proposal


def stages(talk: Talk) -> None:
    """Take what changed through the stages, as workers do, and let the bot send."""
    board.rebuild(talk.database)
    passes.queue_changed(talk.database, talk.settings)
    for stage in LOT_STAGES:
        runner.drain(talk.database, talk.settings, stage)
    talk.send()


def lot(database: Connection[Any], number: int, **facts: Any) -> int:
    lot_id = import_lots.add_lot(database, number, **facts)
    if vin := facts.get("vin"):
        database.execute(
            "update vehicles set vin = %s, lot_external_id = null"
            " where id = (select vehicle_id from lots where id = %s)",
            [vin, lot_id],
        )
    return lot_id


def change(talk: Talk, number: int, what: str) -> None:
    statement = f"update lots set {what}, row_hash = row_hash || 'x' where lot_external_id = %s"
    talk.database.execute(statement.encode(), [number])
    stages(talk)


def told(talk: Talk) -> list[str]:
    """The texts of the messages about lots."""
    return [each.text for each in talk.telegram.chat(str(CHAT)) if "41" in each.text and "RAV4" in each.text
            and "Watch" not in each.text]  # fmt: skip


def edits(talk: Talk) -> int:
    return sum(each.edits for each in talk.telegram.messages if "41" in each.text and "Watch" not in each.text)


def test_a_lot_is_previewed_told_once_and_explained(market: Talk) -> None:
    lot(market.database, 410, **BARGAIN)
    stages(market)
    proposal = watch(market, "лотове RAV4 палещ NJ до 20000 на място")
    assert "Toyota RAV4, runs and drives or starts, NJ, landed for up to €20,000 (auction lots)" in proposal.text
    assert "Lots: 1 now, 1 in the last 7 days" in proposal.text
    assert "2019 TOYOTA RAV4: lands at" in proposal.text
    assert "Only 10 %" not in str(proposal.buttons)
    before = len(told(market))
    lot(market.database, 411, **BARGAIN)
    lot(market.database, 412, condition=None, **BARGAIN)
    for _ in range(2):
        stages(market)
    (text,) = told(market)[before:]
    parts = (
        "Lot 411 · minor dent/scratches · salvage title · runs and drives", "(50\u202f000 mi)", "NJ - TRENTON",
        "(Europe/Sofia)", "worth ", "Bid up to ", "% chance of a loss", "For: Toyota RAV4",
    )  # fmt: skip
    for part in parts:
        assert part in text
    assert re.search(r"Buy now for 2.500.\$: lands at", text)
    message = market.telegram.messages[-1]
    assert [label for label, _ in message.buttons] == ["Open the lot", "🙈 Not this car", "⏸ Pause this watch"]
    assert message.buttons[0][1].endswith("/lot/411")
    (why,) = market.say("/why", reply_to_message={"message_id": message.message_id})
    assert "1. Toyota RAV4" in why.text
    assert "Buy now for 2 500" in why.text


def test_what_changes_by_little_is_not_told_again_and_a_new_state_is_a_silent_edit(market: Talk) -> None:
    watch(market, RAV4)
    lot(market.database, 411, **BARGAIN)
    stages(market)
    count = len(market.telegram.messages)
    market.database.execute("update exchange_rates set rate = rate + 0.0001")
    change(market, 411, "high_bid = 100")
    assert len(market.telegram.messages) == count
    assert edits(market) == 0
    change(market, 411, "sale_at = sale_at + interval '1 day'")
    change(market, 411, "high_bid = 90000")
    change(market, 411, "status = 'gone', gone_at = now()")
    assert len(market.telegram.messages) == count, "nothing is told anew"
    (text,) = told(market)
    assert "No longer at the auction" in text
    states = [
        row[0] for row in market.database.execute("select kind from watch_messages where rank in (2, 4) order by id")
    ]
    assert states == ["hit", "gone", "gone", "gone"]


def test_the_bid_that_passes_the_limit_is_said(market: Talk) -> None:
    watch(market, RAV4)
    lot(market.database, 411, **BARGAIN)
    stages(market)
    change(market, 411, "high_bid = 90000")
    (text,) = told(market)
    assert "The bid has passed the limit" in text


@pytest.mark.parametrize(
    "what", ["status = 'gone', gone_at = now()", "sale_at = now() - interval '1 minute'", "condition = null"]
)
def test_what_is_over_before_it_is_sent_is_not_told(market: Talk, what: str) -> None:
    watch(market, "лотове RAV4 палещ")
    lot(market.database, 411, **BARGAIN)
    board.rebuild(market.database)
    passes.queue_changed(market.database, market.settings)
    for stage in LOT_STAGES:
        runner.drain(market.database, market.settings, stage)
    queue.queue_hits(market.database)
    assert market.one("select count(*) from watch_messages where kind = 'hit' and state = 'waiting'") == 1
    market.database.execute(f"update lots set {what} where lot_external_id = 411".encode())
    board.rebuild(market.database)
    market.send()
    assert told(market) == []


def test_a_lot_without_a_quote_says_what_is_against_it(market: Talk) -> None:
    watch(market, RAV4)
    lot(market.database, 411, secondary_damage="water/flood")
    stages(market)
    (text,) = told(market)
    assert "Against it: the damage" in text
    assert "€" not in text


def test_a_vehicle_that_is_listed_again_is_the_same_car(market: Talk) -> None:
    watch(market, RAV4)
    first = lot(market.database, 411, vin=VIN, **BARGAIN)
    stages(market)
    change(market, 411, "status = 'gone', gone_at = now()")
    assert "No longer at the auction" in told(market)[0]
    second = import_lots.add_lot(market.database, 412, **BARGAIN)
    market.database.execute(
        "update lots set vehicle_id = (select vehicle_id from lots where id = %s) where id = %s", [first, second]
    )
    stages(market)
    (text,) = told(market)
    assert "Lot 412" in text
    assert "No longer" not in text


def test_a_car_that_is_advertised_and_auctioned_is_told_once(market: Talk) -> None:
    watch(market, RAV4)
    market.database.execute("select setval('listings_id_seq', 9000)")
    ad = add_deal(market.database, score=8)
    market.database.execute("insert into listing_vins values (%s, %s)", [ad, VIN])
    person = market.one("select id from watch_people")
    market.hit(market.watch(person, make=["Volkswagen"]), ad)
    market.send()
    count = len(market.telegram.messages)
    lot(market.database, 411, vin=VIN, **BARGAIN)
    stages(market)
    assert len(market.telegram.messages) == count
    assert market.one("select state from watch_hits where lot_id is not null") == "told"


def test_both_kinds_in_one_watch_are_previewed_apart(market: Talk) -> None:
    proposal = watch(market, "обяви и лотове RAV4 до 20000 без удар")
    assert (
        "Toyota RAV4, up to €20,000, without “удар” (ads and auction lots); lots: damage: not a collision, landed for"
        in proposal.text
    )
    assert "0 now, 0 in the last 30 days" in proposal.text
    assert "Lots: 0 now" in proposal.text
    lot(market.database, 411, **BARGAIN)
    stages(market)
    assert len(told(market)) == 1
    assert [text for text in market.shown() if "lots: damage" in text]


def test_held_lots_are_lines_of_the_digest(market: Talk) -> None:
    watch(market, RAV4)
    market.say("/digest 8:30")
    lot(market.database, 411, **BARGAIN)
    stages(market)
    market.database.execute("update watch_people set digest_due = now()")
    market.send()
    text = market.shown()[-1]
    assert "1 new for you" in text
    assert "2019 TOYOTA RAV4: lands at" in text


def test_an_edited_watch_of_ads_asks_for_lots_no_more(market: Talk) -> None:
    watch(market, RAV4)
    assert market.one("select count(*) from watch_lots") == 1
    watch(market, "/edit 1 RAV4 до 20000")
    assert market.one("select count(*) from watch_lots") == 0
    assert market.one("select kind from watches") == "ad"
    lot(market.database, 411, **BARGAIN)
    stages(market)
    assert told(market) == []
