"""Lots in watches where they are odd: over before a digest, without a time of the sale, edits that Telegram refuses,
hostile texts, persons who are paused or gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from deals.watches import lots, people
from tests.integration.deals.watches.test_lots import (  # noqa: F401 # market is a fixture
    BARGAIN,
    RAV4,
    change,
    edits,
    lot,
    market,
    stages,
    told,
    watch,
)
from tests.support.watching import CHAT

if TYPE_CHECKING:
    from tests.support.watching import Talk

GONE = "status = 'gone', gone_at = now()"


def queued(talk: Talk) -> int:
    """How many lots the sweep queues now."""
    count = lots.queue_due(talk.database)
    for stage in LOT_STAGES:
        runner.drain(talk.database, talk.settings, stage)
    talk.send()
    return count


def digest(talk: Talk) -> list[str]:
    """Let the digest come, and return what it says."""
    before = len(talk.telegram.messages)
    talk.database.execute("update watch_people set digest_due = now()")
    talk.send()
    return [each.text for each in talk.telegram.messages[before:]]


@pytest.mark.parametrize("what", [GONE, "sale_at = now() - interval '1 minute'", "condition = null", "high_bid = 9000"])
def test_a_digest_names_only_lots_that_still_fit(market: Talk, what: str) -> None:  # noqa: F811
    watch(market, "лотове RAV4 палещ наддаване до 3000")
    market.say("/digest 8:30")
    for number in (411, 412):
        lot(market.database, number, high_bid=100, **BARGAIN)
    stages(market)
    change(market, 411, what)
    (text,) = digest(market)
    assert "1 new for you" in text
    assert digest(market) == []


def test_a_preview_gives_no_time_of_a_sale_without_one(market: Talk) -> None:  # noqa: F811
    number = lot(market.database, 410, **BARGAIN)
    market.database.execute("update lots set sale_at = null, sale_date = '2099-07-31' where id = %s", [number])
    stages(market)
    proposal = watch(market, RAV4)
    assert "sale 31.07.2099" in proposal.text
    assert "31.07.2099 " not in proposal.text


@pytest.mark.parametrize("what", ["update watch_people set paused_at = now(), paused_by = 'person'", "refuse"])
def test_a_message_that_cannot_be_edited_is_not_queued_each_minute(market: Talk, what: str) -> None:  # noqa: F811
    watch(market, RAV4)
    lot(market.database, 411, **BARGAIN)
    stages(market)
    if what == "refuse":
        market.database.execute(f"update lots set {GONE}".encode())
        assert lots.queue_due(market.database) == 1
        market.database.execute("delete from ops.lot_outbox")
        market.database.execute(
            "insert into watch_messages (person_id, kind, rank, about_id, state, settled_at)"
            " select person_id, 'gone', 4, id, 'failed', now() from watch_messages where kind = 'hit'"
        )
    else:
        market.database.execute(what)
        market.database.execute(f"update lots set {GONE}".encode())
    assert queued(market) == 0
    assert edits(market) == 0


def test_hostile_texts_of_lots_are_shown_as_text(market: Talk) -> None:  # noqa: F811
    hostile = "<b>x</b><script>alert(1)</script>&\u202e"
    watch(market, RAV4)
    lot(market.database, 411, yard_name=hostile, damage="minor dent/scratches", **BARGAIN)
    stages(market)
    (text,) = told(market)
    assert "<b>x</b><script>alert(1)</script>&" in text
    assert "\u202e" not in text


def test_two_watches_tell_one_message_with_both_names(market: Talk) -> None:  # noqa: F811
    watch(market, RAV4)
    watch(market, "лотове Тойота до 90000 евро на място")
    watch(market, "обяви и лотове RAV4 2015+")
    for _ in range(2):
        lot(market.database, 411, **BARGAIN) if not told(market) else None
        stages(market)
    (text,) = told(market)
    assert text.count("Toyota RAV4") == 2
    assert market.one("select count(*) from watch_hits where state = 'told'") == 3


def test_nothing_of_a_person_who_wants_to_be_forgotten_stays(market: Talk) -> None:  # noqa: F811
    watch(market, RAV4)
    lot(market.database, 411, **BARGAIN)
    stages(market)
    (asked, *_) = market.say("/forget")
    target = next(target for _, target in asked.buttons if "forget" in target)
    market.press(target, message_id=asked.message_id)
    for table in ("watch_people", "watches", "watch_lots", "watch_lot_keys", "watch_hits", "watch_messages"):
        assert market.one(f"select count(*) from {table}") == 0, table
    change(market, 411, GONE)
    assert queued(market) == 0
    assert edits(market) == 0


@pytest.mark.parametrize(
    "text", ["лотове", "лотове 🚗", "lots " + "9" * 400, "търг до 99999999999 часа", "лотове -5 €"]
)
def test_nonsense_about_lots_is_answered(market: Talk, text: str) -> None:  # noqa: F811
    answers = market.say(text)
    assert len(answers) == 1
    assert answers[0].text


def test_a_vehicle_that_comes_back_while_it_is_held_is_one_line_of_the_digest(market: Talk) -> None:  # noqa: F811
    watch(market, RAV4)
    market.say("/digest 8:30")
    first = lot(market.database, 411, vin="2T3BFREV0FW000001", **BARGAIN)
    stages(market)
    change(market, 411, GONE)
    lot(market.database, 412, **BARGAIN)
    market.database.execute(
        "update lots set vehicle_id = (select vehicle_id from lots where id = %s) where lot_external_id = 412", [first]
    )
    stages(market)
    (text,) = digest(market)
    assert "1 new for you" in text
    assert digest(market) == []


def test_quiet_hours_hold_lots_and_a_second_chat_is_told_apart(market: Talk) -> None:  # noqa: F811
    watch(market, RAV4)
    market.join(chat_id=CHAT + 1, language="bg")
    market.say("/quiet 0-23")
    for number in (411, 412):
        lot(market.database, number, **BARGAIN)
    stages(market)
    stages(market)
    assert market.one("select count(*) from watch_hits where state = 'held'") == 2
    assert len(told(market)) == 0
    assert len(market.shown(CHAT + 1)) == 1, "who has no watch is told nothing"


def test_a_linked_chat_keeps_what_is_held_and_its_messages_are_edited(market: Talk) -> None:  # noqa: F811
    user = market.one("insert into ops.users (name, role, password_hash) values ('Ana', 'trader', 'x') returning id")
    theirs = people.ensure_user(market.database, user, language="en", time_zone="Europe/Sofia")
    watch(market, RAV4)
    lot(market.database, 411, **BARGAIN)
    stages(market)
    market.say("/digest 8:30")
    lot(market.database, 412, **BARGAIN)
    stages(market)
    market.say(f"/start {people.invite(market.database, 'en', user_id=user)}")
    assert market.one("select array_agg(id) from watch_people") == [theirs.id]
    assert market.one("select digest_due is not null from watch_people")
    (text,) = digest(market)
    assert "1 new for you" in text
    change(market, 411, GONE)
    assert "No longer at the auction" in told(market)[0]
