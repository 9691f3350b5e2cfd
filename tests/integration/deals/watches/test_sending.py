"""Messages about cars: one a person and car, at the right time, true when they are sent, whatever Telegram does."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deals.watches import clock
from deals.watches.bot.run import Bot
from deals.watches.bot.turn import add_reply
from deals.watches.sending import queue, send
from deals.watches.sending.send import Sender
from standin.telegram.server import Request, TelegramServer
from tests.crash.world import wait_until
from tests.support.deal_messages import add_deal
from tests.support.watching import CHAT, GROUP, TOKEN, Talk, bot_settings
from vinops.config import Settings
from vinops.db import database as db
from vinops.telegram import request

NIGHT = datetime.now(ZoneInfo("Europe/Sofia")).replace(hour=3, minute=30, second=0, microsecond=0) + timedelta(days=1)
"""Tomorrow: the database compares with its own clock."""


@pytest.fixture
def person(talk: Talk) -> int:
    found = talk.join()
    talk.telegram.messages.clear()
    return found


def reprice(talk: Talk, listing_id: int, price: int) -> None:
    talk.database.execute("update normalized_listings set price_eur = %s where listing_id = %s", [price, listing_id])
    queue.queue_changes(talk.database, [listing_id])


def remove(talk: Talk, listing_id: int, moment: str = "now()") -> None:
    talk.database.execute(f"update listings set removed_at = {moment} where id = %s".encode(), [listing_id])
    queue.queue_changes(talk.database, [listing_id])


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


# One message a person and car


def test_a_car_is_told_once_however_many_watches_find_it(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8)
    talk.hit(talk.watch(person, make=["Volkswagen"]), ad)
    talk.hit(talk.watch(person, fuel=["diesel"], year_from=2014), ad)
    talk.send()
    [message] = talk.telegram.messages
    assert "For: Volkswagen; " in message.text
    assert "2014" in message.text
    assert [label for label, _ in message.buttons] == [
        "Open the ad", "⭐ Follow the price", "🙈 Not this car", "⏸ Pause this watch",
    ]  # fmt: skip
    talk.hit(talk.watch(person, year_to=2016), ad)
    talk.send()
    assert len(talk.telegram.messages) == 1


def test_the_best_cars_come_first_behind_answers_and_followed_prices(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    followed = add_deal(talk.database, score=7, title="Followed")
    talk.hit(watch, followed)
    talk.send()
    talk.press(f"follow:{talk.one('select max(id) from watch_messages')}")
    talk.telegram.messages.clear()
    for score in (8.0, 9.0):
        talk.hit(watch, add_deal(talk.database, score=score))
    reprice(talk, followed, 9700)
    talk.telegram.updates.say(CHAT, "/help")
    talk.receiver.step(seconds=0)
    talk.send()
    assert [text.split("\n")[0][:6] for text in talk.shown()] == ["Write ", "📉 9 70", "Car 9.", "Car 8."]


def test_two_people_get_a_message_each(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8)
    other = talk.join(8)
    for each in (person, other):
        talk.hit(talk.watch(each), ad)
    talk.send()
    assert len(talk.shown()) == 1
    assert len(talk.shown(8)) == 2  # with the welcome


def test_what_is_no_longer_true_is_not_sent(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    gone, edited, paused = (add_deal(talk.database, score=8) for _ in range(3))
    talk.hit(watch, gone)
    second, third = talk.watch(person), talk.watch(person)
    talk.hit(second, edited)
    talk.hit(third, paused)
    talk.sender.queue()
    remove(talk, gone)
    talk.database.execute("update watches set version = 2 where id = %s", [second])
    talk.database.execute("update watches set paused_at = now() where id = %s", [third])
    talk.send()
    assert talk.telegram.messages == []
    assert talk.one("select count(*) from watch_messages where state = 'dropped'") == 3


# Price drops, gone, not this car


def test_a_price_drop_answers_the_message_with_sound_and_a_small_one_does_not(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8, price=10_000)
    talk.hit(talk.watch(person, is_silent=True), ad)
    talk.send()
    reprice(talk, ad, 9_750)  # less than 3 %
    reprice(talk, ad, 9_900)
    talk.send()
    assert len(talk.telegram.messages) == 1
    reprice(talk, ad, 9_690)
    talk.send()
    first, drop = talk.telegram.messages
    assert drop.reply_to == first.message_id
    assert (first.is_silent, drop.is_silent) == (True, False)
    assert "9 690 €, it was 10 000 €" in drop.text.replace("\u202f", " ").replace("\xa0", " ")
    reprice(talk, ad, 9_690)
    talk.send()
    assert len(talk.telegram.messages) == 2


def test_a_cheap_car_has_to_come_down_by_200_euros(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8, price=2_000)
    talk.hit(talk.watch(person), ad)
    talk.send()
    reprice(talk, ad, 1_850)
    talk.send()
    assert len(talk.telegram.messages) == 1
    reprice(talk, ad, 1_800)
    talk.send()
    assert len(talk.telegram.messages) == 2


def test_a_cheaper_ad_of_a_told_car_is_a_price_drop(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8, price=10_000)
    talk.hit(talk.watch(person), ad)
    talk.send()
    beside = add_deal(talk.database, score=8, price=9_900, title="Beside", duplicate_of=ad)
    reprice(talk, beside, 9_750)
    talk.send()
    assert len(talk.telegram.messages) == 1
    reprice(talk, beside, 9_600)
    talk.send()
    first, drop = talk.telegram.messages
    assert drop.reply_to == first.message_id
    assert "9 600 €, it was 10 000 €" in drop.text.replace("\u202f", " ").replace("\xa0", " ")
    assert "Beside" in drop.text
    remove(talk, ad)  # the other ad is still there
    talk.send()
    assert len(talk.telegram.messages) == 2
    assert not first.text.startswith("No longer advertised")
    remove(talk, beside)
    talk.send()
    assert first.text.startswith("No longer advertised")


def test_the_first_ad_of_a_told_car_counts_when_it_was_told_with_another_one(talk: Talk, person: int) -> None:
    first = add_deal(talk.database, score=8, price=10_000)
    told = add_deal(talk.database, score=8, price=10_000)
    talk.hit(talk.watch(person), told)
    talk.send()
    talk.database.execute("update normalized_listings set duplicate_of = %s where listing_id = %s", [first, told])
    reprice(talk, first, 9_600)
    talk.send()
    assert "📉" in talk.telegram.messages[-1].text


def test_a_car_that_is_put_up_again_for_less_is_back_and_a_price_drop(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8, price=10_000)
    watch = talk.watch(person)
    talk.hit(watch, ad)
    talk.send()
    remove(talk, ad)
    talk.send()
    again = add_deal(talk.database, score=8, price=9_000, title="Again")
    talk.database.execute("update watch_hits set listing_id = %s", [again])  # as the stage `match` does
    queue.queue_changes(talk.database, [again])
    talk.send()
    first, drop = talk.telegram.messages
    assert first.text.startswith("Again")
    assert drop.reply_to == first.message_id
    assert "9 000 €, it was 10 000 €" in drop.text.replace("\u202f", " ").replace("\xa0", " ")
    queue.queue_changes(talk.database, [ad, again])
    talk.send()
    assert len(talk.telegram.messages) == 2


def test_why_answers_a_message_about_a_lower_price_too(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8, price=10_000)
    talk.hit(talk.watch(person, make=["Volkswagen"]), ad)
    talk.send()
    reprice(talk, ad, 9_000)
    talk.send()
    drop = talk.telegram.messages[-1]
    assert "It came because of" in talk.say("/why", reply_to_message={"message_id": drop.message_id})[0].text


def test_why_a_car_was_told_is_said_in_the_language_of_the_person(talk: Talk, person: int) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.send()
    asked = {"reply_to_message": {"message_id": talk.telegram.messages[0].message_id}}
    assert "21 % below 34 comparable cars" in talk.say("/why", **asked)[-1].text
    talk.say("/language bg")
    assert "21 % под 34 сравними коли" in talk.say("/why", **asked)[-1].text


def test_gone_and_back_is_edited_without_a_message(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8)
    talk.hit(talk.watch(person), ad)
    talk.send()
    remove(talk, ad)
    talk.send()
    [message] = talk.telegram.messages
    assert message.text.startswith("No longer advertised")
    remove(talk, ad, "null")
    talk.send()
    assert len(talk.telegram.messages) == 1
    assert message.text.startswith("Car 8")


def test_not_this_car_ends_everything_about_it(talk: Talk, person: int) -> None:
    ad = add_deal(talk.database, score=8)
    talk.hit(talk.watch(person), ad)
    talk.send()
    talk.press(f"mute:{talk.one('select max(id) from watch_messages')}")
    reprice(talk, ad, 5_000)
    talk.send()
    assert len(talk.telegram.messages) == 1


# When


def test_in_quiet_hours_everything_is_held_for_one_digest(
    talk: Talk, person: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.say("/quiet 22-8")
    talk.telegram.messages.clear()
    at(monkeypatch, NIGHT)
    watch = talk.watch(person)
    for score in (8, 9):
        talk.hit(watch, add_deal(talk.database, score=score))
    talk.send()
    assert talk.telegram.messages == []
    assert talk.one("select digest_due from watch_people") == NIGHT.replace(hour=8, minute=0)
    talk.database.execute("update watch_people set digest_due = now()")
    at(monkeypatch, NIGHT.replace(hour=8, minute=0))
    talk.send()
    [digest] = talk.telegram.messages
    assert digest.text.splitlines()[0] == "2 new for you"
    assert digest.text.index("Car 9") < digest.text.index("Car 8")
    talk.send()
    assert len(talk.telegram.messages) == 1


def test_in_silent_quiet_hours_messages_come_without_sound(
    talk: Talk, person: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.say("/quiet 22-8 silent")
    talk.telegram.messages.clear()
    at(monkeypatch, NIGHT)
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.send()
    assert [each.is_silent for each in talk.telegram.messages] == [True]


def test_a_message_that_still_waits_when_the_quiet_hours_begin_waits_for_their_end(
    talk: Talk, person: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.sender.queue()
    talk.database.execute("update watch_people set quiet_from = 1320, quiet_to = 480")
    at(monkeypatch, NIGHT)
    talk.send()
    assert talk.telegram.messages == []
    assert talk.one("select next_try_at from watch_messages where kind = 'hit'") == NIGHT.replace(hour=8, minute=0)


def test_who_wants_a_digest_gets_one_a_day(talk: Talk, person: int, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.say("/digest 8:30")
    talk.telegram.messages.clear()
    at(monkeypatch, NIGHT)
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.send()
    assert talk.telegram.messages == []
    assert talk.one("select digest_due from watch_people") == NIGHT.replace(hour=8, minute=30)


def test_a_watch_causes_twenty_messages_a_day_and_the_rest_is_held(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    for _ in range(23):
        talk.hit(watch, add_deal(talk.database, score=8))
    talk.send()
    assert len(talk.telegram.messages) == 20
    assert ["tomorrow's digest" in each.text for each in talk.telegram.messages].count(True) == 1
    assert talk.one("select count(*) from watch_hits where state = 'held'") == 3
    assert talk.one("select digest_due > now() from watch_people") is True


def test_what_nobody_was_told_for_hours_comes_as_one_digest(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    for _ in range(5):
        talk.hit(watch, add_deal(talk.database, score=8), found_at=datetime(2026, 1, 1, tzinfo=UTC))
    talk.send()
    [digest] = talk.telegram.messages
    assert "5 new for you" in digest.text


def test_after_an_outage_of_the_crawl_one_digest_comes(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    ids = [add_deal(talk.database, score=8) for _ in range(4)]
    talk.database.execute("update listings set first_seen = now() - interval '8 hours' where id = %s", [ids[0]])
    for each in ids:
        talk.hit(watch, each)
    talk.send()
    assert talk.telegram.messages == []
    assert talk.one("select count(*) from watch_hits where state = 'held'") == 4
    talk.database.execute("update watch_people set digest_due = now()")
    talk.send()
    assert len(talk.telegram.messages) == 1


# Whatever Telegram does


def test_who_blocked_the_bot_is_paused_and_nothing_waits(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    for _ in range(3):
        talk.hit(watch, add_deal(talk.database, score=8))
    talk.telegram.kicked.add(str(CHAT))
    talk.send()
    assert talk.one("select paused_by from watch_people") == "blocked"
    assert talk.one("select count(*) from watch_messages where state in ('waiting', 'trying')") == 0
    assert len([each for each in talk.telegram.requests if each.status == 403]) == 1


def test_a_group_that_moved_is_followed(talk: Talk) -> None:
    person = talk.join(GROUP)
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.telegram.moved[str(GROUP)] = GROUP - 1
    talk.send()
    assert len(talk.shown(GROUP - 1)) == 1
    assert talk.one("select chat_id from watch_people") == GROUP - 1


def test_a_pause_that_telegram_asks_for_stops_all_messages(talk: Talk, person: int) -> None:
    watch = talk.watch(person)
    for _ in range(3):
        talk.hit(watch, add_deal(talk.database, score=8))
    talk.telegram.fault("too_many_429", times=1, retry_after=40)
    talk.send()
    talk.send()
    assert len([each for each in talk.telegram.requests if each.path.startswith("/send")]) == 2  # with the welcome
    assert 30 < talk.sender.pause <= 40
    talk.database.execute("update ops.host_budgets set next_at = now()")
    talk.send()
    assert len(talk.telegram.messages) == 3


@pytest.mark.parametrize("fault", ["answer_lost", "server_error_502", "reset"])
def test_a_message_whose_answer_is_lost_is_sent_again(talk: Talk, person: int, fault: str) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8, photo_urls=[]))
    talk.telegram.fault(fault, times=1)
    talk.send()
    talk.database.execute("update watch_messages set next_try_at = now()")
    talk.send()
    assert len(talk.telegram.messages) == (2 if fault == "answer_lost" else 1)
    assert talk.one("select (state, attempts) from watch_messages where kind = 'hit'") == ("sent", "2")


def test_a_refused_photo_is_followed_by_the_text(talk: Talk, person: int) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.telegram.fault("bad_request_400", times=1, methods=["sendPhoto"])
    talk.send()
    assert [each.photo for each in talk.telegram.messages] == [None]


def test_a_message_that_is_refused_each_time_fails_with_an_alert(talk: Talk, person: int) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8, photo_urls=[]))
    talk.telegram.fault("bad_request_400", description=f"Bad Request: odd {CHAT}")
    for _ in range(5):
        talk.database.execute("update watch_messages set next_try_at = now()")
        talk.send()
    assert talk.one("select state from watch_messages where kind = 'hit'") == "failed"
    assert talk.one("select kind from ops.alerts") == "watch_refused"
    assert str(CHAT) not in talk.one("select message from ops.alerts")


def test_titles_from_outside_are_text(talk: Talk, person: int) -> None:
    title = "<b>x</b> & https://evil.example/ @someone \x00\u202e </a>".replace("\x00", "")
    talk.hit(talk.watch(person), add_deal(talk.database, score=8, title=title, photo_urls=[]))
    talk.send()
    [message] = talk.telegram.messages
    assert "<b>x</b> & " in message.text
    assert "https://evil" not in message.text
    assert "\u202e" not in message.text


# Pace


def test_the_limits_of_telegram_are_kept(settings: Settings, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "CHAT_GAP", 2.0)  # a busy machine brings the first of two messages late to the server
    monkeypatch.setattr(send, "GROUP_GAP", 60 / 18)
    with TelegramServer(token=TOKEN, limits=True) as telegram:
        talk = Talk(database=database, settings=bot_settings(settings, telegram), telegram=telegram)
        database.execute("insert into watch_people (chat_id, language) select n, 'en' from generate_series(1, 40) as n")
        for person in range(1, 41):
            for _ in range(2):
                database.execute(
                    "insert into watch_messages (person_id, kind, rank, html) values (%s, 'reply', 0, 'x')", [person]
                )
        began = time.monotonic()
        while talk.one("select count(*) from watch_messages where state <> 'sent'"):
            talk.send()
            time.sleep(0.05)
        assert time.monotonic() - began > 79 / 25
        assert telegram.limits is not None
        assert telegram.limits.refused == 0
        assert len(telegram.messages) == 80


def test_the_gap_of_a_chat_is_kept_between_calls_that_wait(
    talk: Talk, person: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = iter((0.5, 0.0))
    monkeypatch.setattr(send, "take_place", lambda *_: time.sleep(next(waits)))
    monkeypatch.setattr(send, "CHAT_GAP", 0.6)
    for _ in range(2):
        talk.hit(talk.watch(person), add_deal(talk.database, score=8, photo_urls=[]))
    talk.sender.queue()
    wait_until(lambda: talk.sender.step() is not None and len(talk.telegram.messages) == 2)
    first, second = talk.telegram.messages
    assert second.taken_at - first.taken_at >= 0.6


def test_one_process_sends_at_a_time(talk: Talk) -> None:
    assert talk.sender.take_turn()
    with db.connect(talk.settings, application="other", autocommit=True) as other:
        assert not Sender(other, talk.settings).take_turn()


def test_messages_come_over_one_connection(
    bot: Settings, telegram: TelegramServer, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "IDLE", 600.0)
    talk.join()
    telegram.requests.clear()
    loops = Bot(bot)
    thread = threading.Thread(target=loops.run)
    thread.start()
    try:
        for number in range(3):
            telegram.updates.say(CHAT, "/help")
            wait_until(lambda: len(sent(telegram)) > number)  # noqa: B023
    finally:
        loops.stopped.set()
        thread.join(60)
    assert len({each.port for each in sent(telegram)}) == 1


def sent(telegram: TelegramServer) -> list[Request]:
    return [each for each in telegram.requests if each.path == "/sendMessage"]


def test_a_clock_that_was_set_back_stops_nobody(talk: Talk, person: int) -> None:
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.sender.queue()
    assert talk.sender._take() is not None  # and its process dies
    talk.database.execute("update watch_messages set tried_at = now() + interval '2 days' where state = 'trying'")
    talk.database.execute("update watch_people set next_at = now() + interval '2 days'")
    talk.send()
    assert [each.text.splitlines()[0] for each in talk.telegram.messages] == ["Car 8"]


@pytest.mark.parametrize("fault", ["bad_request_400", "forbidden_403", "no_answer"])
def test_nothing_of_a_chat_stays_that_is_no_longer_known(
    talk: Talk, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "SECONDS", 0.3)
    monkeypatch.setattr(send, "REFUSED_PAUSES", ())
    monkeypatch.setattr(send, "MOST_TRIES", 1)
    add_reply(talk.database, "Goodbye", chat_id=CHAT)
    talk.telegram.fault(fault)
    talk.send()
    assert talk.one("select count(*) from watch_messages") == 0


def test_a_reply_to_nobody_whose_process_died_each_time_is_removed(talk: Talk) -> None:
    add_reply(talk.database, "Goodbye", chat_id=CHAT)
    talk.database.execute("update watch_messages set state = 'trying', attempts = 99, tried_at = '-infinity'")
    talk.send()
    assert talk.one("select count(*) from watch_messages") == 0
