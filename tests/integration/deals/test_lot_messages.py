"""Messages about lots reach their own chat once a lot, are edited when they are out of date, and add up."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.channel import lots as waiting, post as poster
from deals.channel.queue import ABANDONED, Posted
from deals.imports.post import LotPoster, post
from deals.lots import terms
from deals.offers import passes, ranking, requote
from deals.queue import runner
from deals.stages.registry import LOT_STAGES
from standin.telegram.server import TelegramServer
from tests.support import import_lots, lot_photos
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, channel_settings
from vinops.storage import opening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

Database = psycopg.Connection[Any]

CHAT = "-100777"
CHEAP, USUAL, UNKNOWN, DEAR, SOON, SECOND = range(1, 7)
BARGAIN = {"buy_now_price": 2_500}


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER, CHAT)) as server:
        yield server


@pytest.fixture
def chat(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings with a chat for the imports."""
    return replace(channel_settings(settings, telegram), telegram_imports_chat_id=CHAT)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "GAP", 0.0)


@pytest.fixture
def market(database: Database) -> Database:
    """A market, a bargain, and lots that are none, each for another reason."""
    import_lots.store_market(database)
    lots: dict[int, dict[str, Any]] = {
        CHEAP: BARGAIN,
        USUAL: {},
        UNKNOWN: BARGAIN | {"title_state": "WI", "title_type": "BP", "title_group": "other"},
        DEAR: {"buy_now_price": 30_000},
        SOON: BARGAIN | {"in_hours": 1},
    }
    for number, facts in lots.items():
        import_lots.add_lot(database, number, **facts)
    return database


def quoted(database: Database, settings: Settings) -> None:
    """Take what changed through all stages, as workers do."""
    passes.queue_changed(database, settings)
    for stage in LOT_STAGES:
        runner.drain(database, settings, stage)


def change(database: Database, number: int, what: str) -> None:
    """Change a lot as a file of the feed does."""
    statement = f"update lots set {what}, row_hash = row_hash || 'x' where lot_external_id = %s"
    database.execute(statement.encode(), [number])


def table(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "select lot_external_id, kind, told.state from lot_notifications as told join lots on lots.id = told.lot_id"
        " order by told.id"
    ).fetchall()


def test_another_rate_queues_what_it_made_a_bargain_and_drops_what_is_none(market: Database, chat: Settings) -> None:
    market.execute("update exchange_rates set rate = 0.2")
    quoted(market, chat)
    assert table(market) == []
    for rate, state in ((1.16, "waiting"), (0.2, "dropped")):
        market.execute("update exchange_rates set rate = %s", [rate])
        requote.run(market, chat)
        assert table(market) == [(CHEAP, "deal", state)]


def test_a_bargain_is_told_once_in_its_own_chat(market: Database, chat: Settings, telegram: TelegramServer) -> None:
    for _ in range(2):
        quoted(market, chat)
        market.execute("update exchange_rates set rate = rate + 0.0001")  # all is quoted anew
    assert table(market) == [(CHEAP, "deal", "waiting")]
    assert waiting.is_due(market, chat)
    assert post(market, chat) == Posted(sent=1)
    quoted(market, chat)
    assert post(market, chat) == Posted()
    (message,) = telegram.chat(CHAT)
    assert not telegram.chat(CHANNEL)
    for part in ("Toyota RAV4, 2019", "minor dent/scratches", "NJ ST", "NJ - TRENTON", "in Sofia", "Assumed: "):
        assert part in message.text
    assert message.buttons[0][1].endswith(f"/lot/{CHEAP}")


def test_each_euro_is_one_of_the_quote(market: Database, chat: Settings, telegram: TelegramServer) -> None:
    quoted(market, chat)
    post(market, chat)
    text = telegram.chat(CHAT)[0].text
    by = terms.current(market, chat)
    (most,) = market.execute("select most_bid_usd from lot_quotes join lots on id = lot_id where lot_external_id = 1")
    at_most = ranking.sheet(market, CHEAP, by, bid=most[0])
    at_price = ranking.sheet(market, CHEAP, by)
    assert at_most is not None
    assert at_price is not None
    said = set()
    for sheet in (at_most, at_price):
        assert sheet.quote is not None
        assert sheet.quoted is not None
        assert sheet.quote.total_eur == sum(line.eur or 0 for line in sheet.quote.lines)
        assert all(line.source for line in sheet.quote.lines)
        said |= {round(line.eur) for line in sheet.assumptions if line.eur is not None}
        repair = (sheet.quote.total_eur or 0) - (sheet.quote.landed_eur or 0)
        said |= {round(sheet.quote.landed_eur or 0), round(repair)}
        said |= {sheet.quoted.profit_eur or 0, sheet.facts["p50"]}
    euros = {int(each.replace(",", "")) for each in re.findall(r"(-?[\d,]+) €", text)}
    assert euros
    assert euros <= said
    assert f"Bid up to ${most[0]:,}: lands at" in text
    assert "Buy now for $2,500: lands at" in text
    assert re.search(r"profit -?[\d,]+ €, \d+ % chance of a loss", text)
    for line in at_most.assumptions:
        assert line.name.replace("_", " ") in text


def test_without_a_chat_or_a_bot_nothing_is_queued_or_sent(market: Database, chat: Settings) -> None:
    for settings in (replace(chat, telegram_imports_chat_id=None), replace(chat, telegram_bot_token=None)):
        quoted(market, settings)
        market.execute("update exchange_rates set rate = rate + 0.0001")
        assert not waiting.is_due(market, settings)
        assert post(market, settings) == Posted()
    assert table(market) == []


def test_what_is_worth_a_message_is_a_setting(market: Database, chat: Settings) -> None:
    quoted(market, replace(chat, imports_least_profit=100_000))
    assert table(market) == []
    market.execute("update exchange_rates set rate = rate + 0.0001")
    quoted(market, replace(chat, imports_most_loss_percent=0.0))
    assert table(market) == []


def test_no_more_than_the_limit_in_an_hour_the_best_first(
    market: Database, chat: Settings, telegram: TelegramServer
) -> None:
    import_lots.add_lot(market, SECOND, buy_now_price=2_000)
    few = replace(chat, imports_posts_an_hour=1)
    quoted(market, few)
    assert post(market, few).sent == 1
    assert "$2,000" in telegram.chat(CHAT)[0].text
    assert post(market, few).waiting == 1
    assert post(market, few, now=datetime.now(UTC) + timedelta(hours=1, minutes=1)).sent == 1


def test_a_message_is_edited_when_the_bid_passes_the_limit_or_the_sale_moves(
    market: Database, chat: Settings, telegram: TelegramServer
) -> None:
    quoted(market, chat)
    post(market, chat)
    before = telegram.chat(CHAT)[0].text
    change(market, CHEAP, "high_bid = 100")
    quoted(market, chat)
    assert post(market, chat) == Posted(), "a bid within the limit changes nothing"
    change(market, CHEAP, "sale_at = sale_at + interval '7 days', sale_date = sale_date + 7")
    quoted(market, chat)
    assert post(market, chat) == Posted(edited=1)
    moved = telegram.chat(CHAT)[0].text
    assert re.findall(r"sale \S+", moved) != re.findall(r"sale \S+", before)
    change(market, CHEAP, "high_bid = 40000")
    quoted(market, chat)
    assert post(market, chat) == Posted(edited=1)
    assert "The bid of $40,000 has passed the limit" in telegram.chat(CHAT)[0].text
    change(market, CHEAP, "status = 'gone', gone_at = now()")
    quoted(market, chat)
    assert post(market, chat) == Posted(edited=1)
    (message,) = telegram.chat(CHAT)
    assert "No longer at the auction" in message.text
    quoted(market, chat)
    assert post(market, chat) == Posted(), "it shows what is so"


def test_a_title_that_became_unknown_is_dropped_before_and_edited_after(
    market: Database, chat: Settings, telegram: TelegramServer
) -> None:
    unknown = "title_state = 'WI', title_type = 'BP', title_group = 'other'"
    known = "title_state = 'NJ', title_type = 'ST', title_group = 'salvage'"
    quoted(market, chat)
    change(market, CHEAP, unknown)
    quoted(market, chat)
    assert table(market) == [(CHEAP, "deal", "dropped")]
    assert post(market, chat) == Posted()
    change(market, CHEAP, known)
    quoted(market, chat)
    assert post(market, chat).sent == 1
    change(market, CHEAP, unknown)
    quoted(market, chat)
    assert post(market, chat) == Posted(edited=1)
    assert "Not to be bought any more: WI BP" in telegram.chat(CHAT)[0].text


def test_what_changed_without_being_queued_is_seen_before_it_is_sent(market: Database, chat: Settings) -> None:
    quoted(market, chat)
    market.execute("update lots set sale_at = now() + interval '1 hour' where lot_external_id = %s", [CHEAP])
    assert post(market, chat) == Posted(dropped=1)


def test_hostile_text_stays_text(market: Database, chat: Settings, telegram: TelegramServer) -> None:
    evil = "</b><a href='https://evil.example'>&lt; @admin \u202e\x07" + "😀" * 400
    quoted(market, chat)
    market.execute("update lots set damage = %s, yard_name = %s where lot_external_id = %s", [evil, evil, CHEAP])
    market.execute("update lot_values set model = %s", [evil])
    assert post(market, chat) == Posted(sent=1)
    (message,) = telegram.chat(CHAT)
    assert message.text.startswith("</b><a href='https"), "as text, not as a tag"
    assert "&lt;/b&gt;" in message.html
    assert not any(each in message.text for each in ("evil.example", "@admin", "\u202e", "\x07")), "no link, no sign"
    assert len(message.text.encode("utf-16-le")) // 2 <= 1024


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("where", ["before it is sent", "before it is settled"])
def test_a_process_that_dies_loses_nothing_and_doubles_at_most_what_had_arrived(
    market: Database, chat: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    quoted(market, chat)
    with monkeypatch.context() as patched:
        patched.setattr(LotPoster, "_call" if where == "before it is sent" else "_settle", die)
        with pytest.raises(Killed):
            post(market, chat)
    assert table(market) == [(CHEAP, "deal", "trying")], "the try was recorded before the call"
    arrived = len(telegram.chat(CHAT))
    assert arrived == (where == "before it is settled")
    assert post(market, chat).sent == 0, "its call may still run"
    assert post(market, chat, now=datetime.now(UTC) + timedelta(seconds=ABANDONED + 1)).sent == 1
    assert len(telegram.chat(CHAT)) == arrived + 1
    assert table(market) == [(CHEAP, "deal", "sent")]


def test_a_chat_that_takes_nothing_raises_its_own_alert(
    market: Database, chat: Settings, telegram: TelegramServer
) -> None:
    quoted(market, chat)
    telegram.fault("forbidden_403")
    assert post(market, chat).sent == 0
    telegram.clear_faults()
    (text,) = market.execute("select message from ops.alerts where subject = 'imports'").fetchone() or ("",)
    assert "TELEGRAM_IMPORTS_CHAT_ID" in text
    assert post(market, chat, now=datetime.now(UTC) + timedelta(minutes=16)).sent == 1
    assert market.execute("select cleared_at is null from ops.alerts where subject = 'imports'").fetchone() == (False,)


def test_a_message_has_the_first_archived_photo_or_the_picture_of_the_feed(
    market: Database, chat: Settings, telegram: TelegramServer
) -> None:
    market.execute("update lots set thumbnail_url = 'cs.copart.com/1_thb.jpg'")
    for number in (11, 12, 13, 14):
        import_lots.add_lot(market, number, **BARGAIN, vin=f"1VN{number:014d}")
    market.execute("update lots set thumbnail_url = 'cs.copart.com/1_thb.jpg'")
    lot_photos.add_photo(market, chat, lot=11, seq=2)
    first = lot_photos.add_photo(market, chat, lot=11, seq=1)
    lot_photos.record(market, chat, b"gone from the store", lot=12)
    lot_photos.record(market, chat, b"elsewhere", lot=13, place="bucket other at example.org")
    _, key = lot_photos.record(market, chat, b"as recorded", lot=14)
    store = opening.open_photos(chat)
    store.put(key, b"damaged", content_type="image/jpeg")
    store.close()
    quoted(market, chat)
    assert post(market, chat).sent == 5
    photos = {each.buttons[0][1].rpartition("/")[2]: each.photo for each in telegram.chat(CHAT)}
    feed = "https://cs.copart.com/1_thb.jpg"
    assert photos == {"11": f"sha256:{first}", "12": feed, "13": feed, "14": feed, str(CHEAP): feed}
    change(market, 11, "high_bid = 40000")
    quoted(market, chat)
    assert post(market, chat) == Posted(edited=1), "the caption of a photo that was uploaded"
