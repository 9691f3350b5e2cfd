"""Deals reach the channel best first, so many an hour, and stay true there; none is lost, whatever Telegram does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from deals.channel import post as poster, queue as notify
from deals.channel.post import post
from deals.channel.queue import Posted, is_due, queue
from standin.telegram.server import TelegramServer
from tests.support.connections import alone
from tests.support.deal_messages import CHANNEL, OWNER, TOKEN, add_deal, channel_settings
from vinops.config import Settings
from vinops.db import database as db
from vinops.telegram import request

Database = psycopg.Connection[Any]

NOW = datetime(2030, 7, 1, 8, 0, tzinfo=UTC)  # ahead of the clock, so that what was queued by it is due
SECOND = timedelta(seconds=1)


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token=TOKEN, chats=(CHANNEL, OWNER)) as server:
        yield server


@pytest.fixture
def channel(settings: Settings, telegram: TelegramServer) -> Settings:
    """Settings with a channel, and an owner who gets the alerts."""
    return channel_settings(settings, telegram)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls follow one another without a gap; one test is about it."""
    monkeypatch.setattr(poster, "GAP", 0.0)
    monkeypatch.setattr(poster, "A_MINUTE", 1000)


@pytest.fixture(autouse=True)
def _no_log_shows_the_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert "canary" not in caplog.text


def deals(database: Database, *scores: float, **about: Any) -> list[int]:
    """Add approved ads of these scores and queue them."""
    ids = [add_deal(database, score=score, **about) for score in scores]
    queue(database, ids)
    return ids


def table(database: Database, columns: str, kind: str = "deal") -> list[tuple[Any, ...]]:
    return database.execute(f"select {columns} from notifications where kind = %s order by id", [kind]).fetchall()


def states(database: Database, kind: str = "deal") -> list[str]:
    return [state for (state,) in table(database, "state", kind)]


def shown(telegram: TelegramServer) -> list[str]:
    """The titles in the channel, in their order."""
    return [each.text.split("\n")[0] for each in telegram.chat(CHANNEL)]


def alerted(database: Database) -> list[tuple[str, str, bool]]:
    return database.execute("select kind, subject, cleared_at is null from ops.alerts order by id").fetchall()  # type: ignore[return-value]


def reprice(database: Database, listing_id: int, price: int) -> None:
    database.execute("update listings set price_eur = %s where id = %s", [price, listing_id])
    database.execute("update normalized_listings set price_eur = %s where listing_id = %s", [price, listing_id])
    queue(database, [listing_id])


def remove(database: Database, listing_id: int, *, is_removed: bool = True) -> None:
    moment = datetime.now(UTC) if is_removed else None
    database.execute("update listings set removed_at = %s where id = %s", [moment, listing_id])
    queue(database, [listing_id])


def approve(database: Database, listing_id: int, *, is_approved: bool) -> None:
    database.execute("update scores set is_approved = %s where listing_id = %s", [is_approved, listing_id])
    queue(database, [listing_id])


# What is queued


def test_approved_ads_wait_once_and_others_do_not(database: Database) -> None:
    [first] = deals(database, 8.1)
    add_deal(database, score=7.0, is_approved=False)
    gone = add_deal(database, score=9.0)
    database.execute("update listings set removed_at = now() where id = %s", [gone])
    ids = [row[0] for row in database.execute("select id from listings").fetchall()]
    for _ in range(2):
        queue(database, ids)
    assert table(database, "listing_id, state, score::float8, price_eur::integer") == [(first, "waiting", 8.1, 9800)]
    queue(database, [])


def test_of_one_car_the_best_ad_is_told(database: Database, channel: Settings, telegram: TelegramServer) -> None:
    oldest = add_deal(database, score=7.6, title="oldest")
    better = add_deal(database, score=8.8, title="better", duplicate_of=oldest)
    third = add_deal(database, score=8.0, title="third", duplicate_of=oldest)
    queue(database, [oldest, better, third])
    assert table(database, "listing_id") == [(better,)]
    for listing_id in (oldest, better, third):  # in either direction, and from one duplicate to another
        queue(database, [listing_id])
    assert post(database, channel).sent == 1
    queue(database, [oldest, third])
    assert table(database, "listing_id") == [(better,)]


def test_two_ads_of_one_car_that_were_queued_at_once_become_one_message(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    first, second = deals(database, 8.0, 9.0)
    database.execute("update normalized_listings set duplicate_of = %s where listing_id = %s", [first, second])
    assert post(database, channel) == Posted(sent=1, dropped=1)
    assert table(database, "state, error") == [("dropped", f"listing {second} shows the same car"), ("sent", None)]


def test_what_is_no_deal_any_more_is_dropped_and_comes_back_when_it_is_one_again(database: Database) -> None:
    first, second, third = deals(database, 8.0, 8.0, 8.0)
    approve(database, first, is_approved=False)
    remove(database, second)
    database.execute("update normalized_listings set price_eur = null where listing_id = %s", [third])
    queue(database, [third])
    assert table(database, "state, error") == [
        ("dropped", "it is no longer a deal"),
        ("dropped", "the ad is gone"),
        ("dropped", "it names no price"),
    ]
    approve(database, first, is_approved=True)
    remove(database, second, is_removed=False)
    assert table(database, "state, error, settled_at is null") == [
        ("waiting", None, True),
        ("waiting", None, True),
        ("dropped", "it names no price", False),
    ]


def test_a_new_score_moves_what_waits(database: Database, channel: Settings, telegram: TelegramServer) -> None:
    first, _ = deals(database, 8.0, 8.5)
    database.execute("update scores set score = 9.9 where listing_id = %s", [first])
    queue(database, [first])
    post(database, channel)
    assert shown(telegram) == ["Car 8.0, 03/2015", "Car 8.5, 03/2015"]
    assert "Score 9.9" in telegram.chat(CHANNEL)[0].text


# What is posted


def test_deals_are_posted_best_first_with_photo_and_button(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 7.6, 9.4, 8.1, 8.8)
    assert is_due(database)
    assert post(database, channel) == Posted(sent=4)
    assert not is_due(database)
    assert shown(telegram) == [f"Car {score}, 03/2015" for score in (9.4, 8.8, 8.1, 7.6)]
    best = telegram.chat(CHANNEL)[0]
    assert best.photo == "https://photos.example/1.jpg"
    assert [text for text, _ in best.buttons] == ["Open the ad"]
    assert "21 % below the market: 34 comparable cars, about 12 400 €" in best.text.splitlines()
    assert (
        table(database, "state, attempts, message_id is not null, is_photo, is_dry_run, chat_id")
        == [("sent", 1, True, True, False, CHANNEL)] * 4
    )
    assert post(database, channel) == Posted()


def test_the_messages_of_a_call_come_over_one_connection(
    database: Database, channel: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "IDLE", 600.0)
    deals(database, 7.6, 9.4, 8.1)
    for sent in (3, 1):
        assert post(database, channel) == Posted(sent=sent)
        assert len({each.port for each in telegram.requests}) == 1
        telegram.requests.clear()
        deals(database, 8.8)


def test_no_more_than_twenty_are_posted_in_any_hour(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, *[8.0] * 45)
    first = post(database, channel, now=NOW)
    assert (first.sent, first.waiting, first.next_in_seconds) == (20, 25, 3600)
    for minutes in (1, 30, 59):
        assert post(database, channel, now=NOW + timedelta(minutes=minutes)).sent == 0
    almost = post(database, channel, now=NOW + 3599 * SECOND)
    assert (almost.sent, almost.next_in_seconds) == (0, 1)
    assert post(database, channel, now=NOW + 3601 * SECOND).sent == 20
    assert post(database, channel, now=NOW + 3602 * SECOND).sent == 0
    assert post(database, channel, now=NOW + 7300 * SECOND).sent == 5
    assert len(telegram.chat(CHANNEL)) == 45


def test_tries_that_may_have_arrived_count_against_the_hour(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    few = replace(channel, deals_posts_an_hour=3)
    deals(database, *[8.0] * 5)
    telegram.fault("answer_lost", times=1)
    assert post(database, few, now=NOW).sent == 0
    found = post(database, few, now=NOW + 61 * SECOND)
    assert (found.sent, found.waiting) == (2, 3)  # the first one twice, and another
    assert len(telegram.chat(CHANNEL)) == 3
    assert post(database, few, now=NOW + 3600 * SECOND).sent == 0
    assert post(database, few, now=NOW + 3662 * SECOND).sent == 3


def test_a_try_without_an_end_counts_until_what_it_sent_is_an_hour_old_for_sure(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    one = replace(channel, deals_posts_an_hour=1)
    deals(database, 8.0)
    telegram.fault("answer_lost", times=1)
    post(database, one, now=NOW)
    for seconds in (61, 3600, 3659):
        assert post(database, one, now=NOW + seconds * SECOND).sent == 0
    assert post(database, one, now=NOW + 3660 * SECOND).sent == 1


def test_a_limit_ends_a_round_early(database: Database, channel: Settings) -> None:
    deals(database, 8.0, 8.0, 8.0)
    assert post(database, channel, limit=2) == Posted(sent=2, waiting=1, next_in_seconds=0)


def test_of_many_that_post_at_once_each_deal_is_posted_by_one_and_the_hour_is_kept(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, *[8.0] * 9)
    six = replace(channel, deals_posts_an_hour=6)
    telegram.fault("slow", seconds=0.02)
    sent: list[int] = []

    def work() -> None:
        with db.connect(six, application="poster", autocommit=True) as connection:
            start.wait()
            sent.extend(post(connection, six).sent for _ in range(4))

    start = threading.Barrier(3)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(sent) == 6
    assert len(telegram.chat(CHANNEL)) == len({each.buttons[0] for each in telegram.chat(CHANNEL)}) == 6


def test_while_another_one_posts_nothing_is_tried(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 8.0)
    with db.connect(channel, application="other", autocommit=True) as other:
        other.execute(db.queries("notifications")["take_turn"])
        assert post(database, channel) == Posted(waiting=1, next_in_seconds=0)
    assert telegram.requests == []
    while not alone(database):
        time.sleep(0.01)
    assert post(database, channel).sent == 1  # it died: its turn went with its connection


def test_what_is_posted_is_true_at_that_moment(database: Database, channel: Settings, telegram: TelegramServer) -> None:
    first, second, third = deals(database, 8.0, 8.1, 8.2)
    # All without `queue`: as if it came a moment later.
    database.execute("update listings set removed_at = now() where id = %s", [first])
    database.execute("update scores set is_approved = false where listing_id = %s", [second])
    database.execute("update normalized_listings set price_eur = 9000 where listing_id = %s", [third])
    assert post(database, channel) == Posted(sent=1, dropped=2)
    assert "9 000 €" in telegram.chat(CHANNEL)[0].text
    assert table(database, "state, price_eur::integer") == [("dropped", 9800), ("dropped", 9800), ("sent", 9000)]


def test_calls_keep_a_gap_and_a_minute_has_twenty(
    database: Database, channel: Settings, telegram: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(poster, "GAP", 1.0)
    monkeypatch.setattr(poster, "A_MINUTE", 3)
    monkeypatch.setattr(poster, "take_place", lambda *_: None)  # the pace of the whole bot
    monkeypatch.setattr(poster.time, "sleep", pauses.append)
    deals(database, *[8.0] * 5)
    first = post(database, channel)
    assert (first.sent, first.waiting) == (3, 2)
    assert len(pauses) == 2
    assert all(0 < pause <= 1 for pause in pauses)
    assert first.next_in_seconds is not None
    assert 0 < first.next_in_seconds <= 60
    assert post(database, channel).sent == 0  # another process knows of the calls of the one before
    database.execute("update notifications set tried_at = tried_at - interval '1 minute'")
    assert post(database, channel).sent == 2


# Messages that change


def test_another_price_edits_the_message(database: Database, channel: Settings, telegram: TelegramServer) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    reprice(database, listing_id, 9500)
    reprice(database, listing_id, 9000)
    assert table(database, "state, price_eur::integer", "price") == [("waiting", 9000)]
    assert post(database, channel) == Posted(edited=1)
    [message] = telegram.chat(CHANNEL)
    assert "<s>9 500 €</s> <b>9 000 €</b>" in message.html
    assert (message.edits, len(message.buttons)) == (1, 1)
    queue(database, [listing_id])
    assert post(database, channel) == Posted()
    assert table(database, "state, price_eur::integer") == [("sent", 9000)]


def test_a_price_that_is_back_before_it_was_told_changes_nothing(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    reprice(database, listing_id, 9000)
    reprice(database, listing_id, 9800)
    assert states(database, "price") == ["dropped"]
    assert post(database, channel) == Posted()


def test_an_ad_that_is_gone_is_marked_and_one_that_is_back_is_restored(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    before = telegram.chat(CHANNEL)[0].html
    remove(database, listing_id)
    remove(database, listing_id)
    assert post(database, channel) == Posted(edited=1)
    assert "No longer advertised" in telegram.chat(CHANNEL)[0].text
    assert len(telegram.chat(CHANNEL)[0].buttons) == 1
    queue(database, [listing_id])
    assert post(database, channel) == Posted()
    remove(database, listing_id, is_removed=False)
    assert post(database, channel) == Posted(edited=1)
    assert telegram.chat(CHANNEL)[0].html == before
    assert len(telegram.messages) == 1


def test_what_is_gone_and_back_before_it_was_told_changes_nothing(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    remove(database, listing_id)
    remove(database, listing_id, is_removed=False)
    assert states(database, "gone") == ["dropped"]
    assert post(database, channel) == Posted()
    assert telegram.chat(CHANNEL)[0].edits == 0


def test_what_changed_while_the_message_was_under_way_is_told_next(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    telegram.fault("slow", times=1, seconds=0.5)
    with db.connect(channel, application="poster", autocommit=True) as connection:
        thread = threading.Thread(target=post, args=(connection, channel))
        thread.start()
        while not telegram.requests:
            thread.join(0.01)
        reprice(database, listing_id, 9000)
        thread.join()
    post(database, channel)
    [message] = telegram.chat(CHANNEL)
    assert "9 000 €" in message.text


def test_a_change_that_is_committed_while_the_message_is_settled_is_not_missed(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    telegram.fault("slow", times=1, seconds=0.3)
    waits = "select 1 from pg_stat_activity where application_name like '%poster' and wait_event_type = 'Lock'"
    with (
        db.connect(channel, application="poster", autocommit=True) as connection,
        db.connect(channel, application="watcher", autocommit=True) as watcher,
    ):
        thread = threading.Thread(target=post, args=(connection, channel))
        thread.start()
        while not telegram.requests:
            thread.join(0.01)
        with database.transaction():
            remove(database, listing_id)
            while thread.is_alive() and not watcher.execute(waits).fetchall():
                thread.join(0.01)
        thread.join()
    post(database, channel)
    assert "No longer advertised" in telegram.chat(CHANNEL)[0].text


def test_a_text_without_a_photo_is_edited_as_a_text(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0, photo_urls=[])
    post(database, channel)
    reprice(database, listing_id, 9000)
    assert post(database, channel) == Posted(edited=1)
    assert [each.path for each in telegram.requests] == ["/sendMessage", "/editMessageText"]


def test_an_edit_that_changes_nothing_is_done(database: Database, channel: Settings, telegram: TelegramServer) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    reprice(database, listing_id, 9000)
    telegram.fault("answer_lost", times=1)
    assert post(database, channel, now=NOW).edited == 0
    assert post(database, channel, now=NOW + 61 * SECOND) == Posted(edited=1)
    assert telegram.chat(CHANNEL)[0].edits == 1


def test_a_message_that_somebody_deleted_is_left_alone(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    telegram.messages[0].is_deleted = True
    reprice(database, listing_id, 9000)
    assert post(database, channel) == Posted(failed=1)
    assert alerted(database) == [("telegram_refused", "price", True)]
    reprice(database, listing_id, 8500)
    remove(database, listing_id)
    assert post(database, channel) == Posted()


# What Telegram does


def test_when_telegram_wants_to_be_left_alone_all_wait_and_nothing_is_counted(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 8.0, 9.0)
    telegram.fault("too_many_429", times=1, retry_after=500)
    assert post(database, channel) == Posted(waiting=2, next_in_seconds=500)
    with db.connect(channel, application="another", autocommit=True) as another:
        later = post(another, channel)
    assert later.next_in_seconds is not None
    assert 490 < later.next_in_seconds <= 500
    assert len(telegram.requests) == 1, "it was asked again"
    assert table(database, "state, attempts") == [("waiting", 0)] * 2
    database.execute("update ops.host_budgets set next_at = clock_timestamp()")
    assert post(database, channel).sent == 2
    assert shown(telegram) == ["Car 9.0, 03/2015", "Car 8.0, 03/2015"]
    assert alerted(database) == []


def test_a_flood_limit_of_the_chat_delays_and_loses_nothing(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 8.0, 8.1, 8.2)
    telegram.flood = 2
    found = post(database, channel)
    assert (found.sent, found.waiting) == (2, 1)
    assert found.next_in_seconds is not None
    assert found.next_in_seconds > 50
    telegram.flood = None
    database.execute("update ops.host_budgets set next_at = clock_timestamp()")
    assert post(database, channel).sent == 1


@pytest.mark.parametrize(
    "description",
    [
        "wrong file identifier/HTTP URL specified",
        "failed to get HTTP URL content",
        "WEBPAGE_MEDIA_EMPTY",
        "PHOTO_SAVE_FILE_INVALID",
        "file is too big",
        "invalid file HTTP URL specified",
        "MEDIA_EMPTY",
        "CHAT_SEND_PHOTOS_FORBIDDEN",
        "not enough rights to send photos to the chat",
        "something new",
    ],
)
def test_a_photo_that_telegram_refuses_for_whatever_reason_is_left_out(
    database: Database, channel: Settings, telegram: TelegramServer, description: str
) -> None:
    deals(database, 8.0, 8.1)
    telegram.fault("bad_request_400", methods=["sendPhoto"], description=f"Bad Request: {description}")
    assert post(database, channel) == Posted(sent=2)
    assert [(each.photo, len(each.buttons)) for each in telegram.chat(CHANNEL)] == [(None, 1)] * 2
    assert table(database, "state, attempts, is_photo") == [("sent", 1, False)] * 2
    assert alerted(database) == []


# Refusals: the message's fault, or the chat's


def refuse(telegram: TelegramServer, description: str = "SOMETHING_NEW", **narrowed: Any) -> None:
    """Have every message to the channel refused, or those that are meant."""
    telegram.fault("bad_request_400", description=f"Bad Request: {description}", **{"chat_id": CHANNEL, **narrowed})


def after(*moments: int) -> Iterator[datetime]:
    """The times so many minutes after the first one."""
    return (NOW + timedelta(minutes=each) for each in moments)


@pytest.mark.parametrize(
    ("description", "messages_tried"),
    [
        ("CHAT_RESTRICTED", 1),
        ("message thread not found", 1),
        ("SOMETHING_NEW", 2),
        ("can't parse entities: at byte offset %s", 2),
    ],
)
def test_what_holds_for_every_message_stops_the_queue_with_one_alert_and_loses_nothing(
    database: Database, channel: Settings, telegram: TelegramServer, description: str, messages_tried: int
) -> None:
    deals(database, *[8.0 + step / 10 for step in range(15)])
    for offset in range(100):
        refuse(telegram, description.replace("%s", str(offset)), times=1)
    assert post(database, channel, now=NOW) == Posted(waiting=15, next_in_seconds=900)
    assert len([each for each in telegram.requests if each.path == "/sendPhoto"]) == messages_tried
    for moment in after(14, 15, 30, 45, 60):
        assert post(database, channel, now=moment).waiting == 15
    assert set(table(database, "state, attempts")) == {("waiting", 0)}
    assert alerted(database) == [("telegram_forbidden", "channel", True)]
    [alert] = telegram.chat(OWNER)
    assert "status 400, Bad Request" in alert.text
    telegram.clear_faults()
    assert post(database, channel, now=NOW + timedelta(minutes=75)) == Posted(sent=15)
    best_first = [f"Car {8.0 + step / 10:.1f}, 03/2015" for step in reversed(range(15))]
    titles = shown(telegram)
    assert titles[1:] == [each for each in best_first if each != titles[0]], "behind the one that got through"
    assert alerted(database) == [("telegram_forbidden", "channel", False)]


def test_a_message_is_at_fault_when_others_get_through_twice_after_it_was_refused(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [bad] = deals(database, 9.9, title="bad")
    deals(database, 9.0, 8.0)
    refuse(telegram, text="bad")
    assert post(database, channel, now=NOW) == Posted(sent=2, waiting=1, next_in_seconds=900)
    assert alerted(database) == []
    deals(database, 7.0)
    assert post(database, channel, now=NOW + timedelta(minutes=16)) == Posted(sent=1, failed=1)
    reason = "status 400, Bad Request: SOMETHING_NEW"
    assert table(database, "state, error")[0] == ("failed", reason)
    [alert] = telegram.chat(OWNER)
    assert f"telegram_refused deal\nTelegram refused a message about listing {bad} ({reason})" in alert.text
    queue(database, [bad])
    assert post(database, channel, now=NOW + timedelta(minutes=32)) == Posted()


def test_a_message_that_was_refused_once_is_not_lost_though_others_got_through(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 9.0, 8.0)
    refuse(telegram, times=2)  # its photo and its text
    assert post(database, channel, now=NOW) == Posted(sent=1, waiting=1, next_in_seconds=900)
    assert post(database, channel, now=NOW + timedelta(minutes=16)) == Posted(sent=1)
    assert alerted(database) == []


def test_bad_messages_do_not_hold_up_the_others_for_long_and_fail_in_the_end(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    many = replace(channel, deals_posts_an_hour=1000)
    bad = deals(database, 9.9, 9.8, 9.7, 9.6, title="bad")
    refuse(telegram, text="bad")
    sent = failed = added = 0
    for moment in after(*range(0, 16 * 8, 16)):
        deals(database, 8.0, 8.1)
        added += 2
        found = post(database, many, now=moment)
        sent, failed = sent + found.sent, failed + found.failed
        # Two messages are tried each time while nothing gets through: the third time the first of the others.
        assert sent == (added if moment > NOW + timedelta(minutes=30) else 0)
    assert states(database)[:4] == ["failed"] * len(bad)
    assert (sent, failed) == (added, len(bad))
    forbidden = [is_open for kind, _, is_open in alerted(database) if kind == "telegram_forbidden"]
    assert forbidden == [False], "it is raised once, and has passed"


def test_a_message_that_is_alone_waits_with_an_alert_when_it_is_refused_again(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 8.0)
    refuse(telegram)
    assert post(database, channel, now=NOW) == Posted(waiting=1, next_in_seconds=900)
    assert alerted(database) == []
    for moment in after(15, 30, 45, 60):
        assert post(database, channel, now=moment) == Posted(waiting=1, next_in_seconds=900)
    assert alerted(database) == [("telegram_forbidden", "channel", True)]
    telegram.clear_faults()
    assert post(database, channel, now=NOW + timedelta(minutes=75)) == Posted(sent=1)
    assert alerted(database) == [("telegram_forbidden", "channel", False)]


def test_messages_refused_for_different_reasons_wait_for_one_that_gets_through(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    for score, reason in ((9.9, "ONE"), (9.8, "TWO")):
        deals(database, score, title=reason)
        refuse(telegram, reason, text=reason)
    deals(database, 8.0, 8.1)
    assert post(database, channel, now=NOW) == Posted(sent=2, waiting=2, next_in_seconds=900)
    assert table(database, "proofs") == [(1,), (1,), (0,), (0,)]
    assert alerted(database) == []


def test_three_in_a_row_stop_the_queue_whatever_the_reasons(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    for score, reason in ((9.9, "ONE"), (9.8, "TWO"), (9.7, "THREE")):
        deals(database, score, title=reason)
        refuse(telegram, reason, text=reason)
    deals(database, 8.0)
    assert post(database, channel, now=NOW) == Posted(waiting=4, next_in_seconds=900)
    assert alerted(database) == [("telegram_forbidden", "channel", True)]
    assert post(database, channel, now=NOW + timedelta(minutes=15)).sent == 1


def test_what_was_refused_is_known_to_the_next_process(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    refuse(telegram)
    deals(database, 9.0)
    post(database, channel, now=NOW)
    deals(database, 8.0)
    assert post(database, channel, now=NOW + 30 * SECOND) == Posted(waiting=2, next_in_seconds=900)
    assert alerted(database) == [("telegram_forbidden", "channel", True)]


def test_changes_that_are_refused_stop_changes_and_not_deals(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    told = deals(database, 9.0, 8.0, 8.5)
    post(database, channel, now=NOW)
    for listing_id in told:
        reprice(database, listing_id, 9000)
    refuse(telegram, methods=["editMessageCaption"])
    deals(database, 8.0)
    full = replace(channel, deals_posts_an_hour=3)
    assert post(database, full, now=NOW + timedelta(minutes=1)).waiting == 4
    for minutes in range(2, 40, 4):
        assert post(database, channel, now=NOW + timedelta(minutes=minutes)).sent == 1
        deals(database, 8.0)
    assert alerted(database) == [("telegram_forbidden", "edits", True)]
    telegram.clear_faults()
    assert post(database, channel, now=NOW + timedelta(minutes=50)).edited == 3
    assert alerted(database) == [("telegram_forbidden", "edits", False)]
    assert [("9 000 €" in each.text) for each in telegram.chat(CHANNEL)[:3]] == [True] * 3


@pytest.mark.parametrize("wrong", ["kicked", "chat"])
def test_messages_in_an_earlier_channel_are_left_alone_and_stop_nothing(
    database: Database, channel: Settings, telegram: TelegramServer, wrong: str
) -> None:
    [before] = deals(database, 9.0)
    post(database, channel)
    moved = replace(channel, telegram_channel_id="-100999")
    if wrong == "kicked":
        telegram.kicked.add(CHANNEL)
        telegram.chats = None
    else:
        telegram.chats = ("-100999", OWNER)
    reprice(database, before, 9000)
    deals(database, 8.0)
    [now] = deals(database, 8.1)
    assert post(database, moved) == Posted(sent=2, failed=1)
    reprice(database, before, 8000)
    reprice(database, now, 9000)
    assert post(database, moved) == Posted(edited=1)
    assert [kind for kind, _, _ in alerted(database)] == ["telegram_refused"]


def test_a_wrong_token_gives_up_no_message_of_an_earlier_channel(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [before] = deals(database, 9.0)
    post(database, channel, now=NOW)
    reprice(database, before, 9000)
    moved = replace(channel, telegram_channel_id="-100999")
    telegram.token = "12345:other"
    assert post(database, moved, now=NOW + timedelta(minutes=1)) == Posted(waiting=1, next_in_seconds=900)
    telegram.token = TOKEN
    assert post(database, moved, now=NOW + timedelta(minutes=16)) == Posted(edited=1)


def test_slow_mode_is_waited_for_and_delays_no_other_chat(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 9.0, 8.0)
    refuse(telegram, "SLOWMODE_WAIT_45", times=1)
    assert post(database, channel, now=NOW) == Posted(waiting=2, next_in_seconds=45)
    assert database.execute("select 1 from ops.host_budgets where next_at > clock_timestamp()").fetchall() == []
    assert alerted(database) == []
    assert post(database, channel, now=NOW + 45 * SECOND) == Posted(sent=2)


def test_a_group_that_became_a_supergroup_stops_the_queue_and_the_alert_names_its_new_id(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 9.0, 8.0)
    refuse(
        telegram,
        "group chat was upgraded to a supergroup chat",
        parameters={"migrate_to_chat_id": -1009998887776},
    )
    telegram.chats = None
    assert post(database, channel, now=NOW) == Posted(waiting=2, next_in_seconds=900)
    [alert] = telegram.chat(OWNER)
    assert "its id is -1009998887776 now" in alert.text
    assert "TELEGRAM_CHANNEL_ID" in alert.text
    corrected = replace(channel, telegram_channel_id="-1009998887776")
    assert post(database, corrected, now=NOW + timedelta(minutes=15)) == Posted(sent=2)


def test_the_alert_about_a_message_that_failed_waits_until_the_owner_has_it(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel, now=NOW)
    telegram.messages[0].is_deleted = True
    telegram.fault("server_error_502", chat_id=OWNER)
    reprice(database, listing_id, 9000)
    [other] = deals(database, 8.0)
    assert post(database, channel, now=NOW + timedelta(minutes=1)).failed == 1
    reprice(database, other, 9000)
    assert post(database, channel, now=NOW + timedelta(minutes=2)).edited == 1
    assert alerted(database) == [("telegram_refused", "price", True)], "it was cleared before anybody was told"
    telegram.clear_faults()
    reprice(database, other, 8900)
    post(database, channel, now=NOW + timedelta(minutes=3))
    assert len(telegram.chat(OWNER)) == 1


@pytest.mark.parametrize("wrong", ["kicked", "token", "chat"])
def test_when_the_bot_may_not_write_one_alert_is_raised_and_all_wait(
    database: Database, channel: Settings, telegram: TelegramServer, wrong: str
) -> None:
    deals(database, 9.0, 8.0, 8.5)
    if wrong == "kicked":
        telegram.kicked.add(CHANNEL)
    elif wrong == "token":
        telegram.token = "12345:other"
    else:
        telegram.chats = (OWNER,)
    for minutes in (0, 10, 15, 20, 31):
        found = post(database, channel, now=NOW + timedelta(minutes=minutes))
        assert (found.sent, found.failed, found.waiting) == (0, 0, 3)
    asked = [each for each in telegram.requests if each.path == "/sendPhoto"]
    assert len(asked) == 3, "after a quarter of an hour one is tried, and not all of them"
    assert alerted(database) == [("telegram_forbidden", "channel", True)]
    telegram.kicked.clear()
    telegram.token, telegram.chats = TOKEN, (CHANNEL, OWNER)
    assert post(database, channel, now=NOW + timedelta(minutes=47)) == Posted(sent=3)
    assert shown(telegram)[0] == "Car 9.0, 03/2015"
    assert alerted(database) == [("telegram_forbidden", "channel", False)]
    assert table(database, "attempts") == [(1,)] * 3


@pytest.mark.parametrize("fault", ["server_error_502", "reset", "redirect"])
def test_what_was_not_answered_is_tried_again(
    database: Database, channel: Settings, telegram: TelegramServer, fault: str
) -> None:
    deals(database, 8.0, 9.0)
    telegram.fault(fault, times=1)
    first = post(database, channel, now=NOW)
    assert first == Posted(waiting=2, next_in_seconds=60)
    assert len(telegram.requests) == 1
    assert post(database, channel, now=NOW + 59 * SECOND).sent == 0
    assert post(database, channel, now=NOW + 60 * SECOND) == Posted(sent=2)
    assert shown(telegram) == ["Car 9.0, 03/2015", "Car 8.0, 03/2015"]


@pytest.mark.parametrize("fault", ["no_answer", "answer_lost", "drip"])
def test_an_answer_that_is_lost_costs_one_message_too_many_at_most(
    database: Database,
    channel: Settings,
    telegram: TelegramServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(request, "SECONDS", 0.4)
    deals(database, 8.0)
    telegram.fault(fault, times=1)
    assert post(database, channel, now=NOW).waiting == 1
    assert post(database, channel, now=NOW + 61 * SECOND) == Posted(sent=1)
    assert len(telegram.chat(CHANNEL)) == (1 if fault == "drip" else 2)
    assert table(database, "state, attempts") == [("sent", 2)]


def test_what_nobody_ever_answers_is_given_up_after_five_tries_with_an_alert(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    telegram.fault("answer_lost", methods=["sendPhoto"])
    found, moment = [], NOW
    while not found or found[-1].waiting:
        found.append(post(database, channel, now=moment))
        moment += timedelta(seconds=(found[-1].next_in_seconds or 0) + 1)
        assert len(found) <= 5
    assert len(telegram.chat(CHANNEL)) == 5
    assert moment - NOW > timedelta(hours=2), "the pauses grow"
    assert found[-1] == Posted(failed=1)
    assert states(database) == ["failed"]
    assert alerted(database) == [("telegram_unanswered", f"listing {listing_id}", True)]
    assert "telegram_unanswered" in telegram.chat(OWNER)[0].text


def test_while_telegram_is_out_of_reach_nothing_is_counted(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, 8.0, 9.0)
    away = replace(channel, telegram_api_url="http://127.0.0.1:1")
    for minutes in range(0, 40, 2):
        found = post(database, away, now=NOW + timedelta(minutes=minutes))
        assert (found.waiting, found.next_in_seconds) == (2, 60)
    assert table(database, "state, attempts") == [("waiting", 0)] * 2
    assert post(database, channel, now=NOW + timedelta(hours=1)) == Posted(sent=2)


def test_what_a_dead_process_was_trying_is_tried_again_when_its_call_has_ended_for_sure(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    database.execute("update notifications set state = 'trying', attempts = 1, tried_at = %s", [NOW])
    assert post(database, channel, now=NOW + 59 * SECOND) == Posted(waiting=1, next_in_seconds=notify.ABANDONED)
    assert telegram.requests == []
    assert post(database, channel, now=NOW + 61 * SECOND) == Posted(sent=1)
    database.execute("update notifications set state = 'trying', attempts = 5")
    assert post(database, channel, now=NOW + 200 * SECOND) == Posted(failed=1)
    assert alerted(database) == [("telegram_unanswered", f"listing {listing_id}", True)]


def test_whoever_comes_back_late_does_not_settle_what_another_one_has_tried_since(
    database: Database, channel: Settings, telegram: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    deals(database, 8.0)
    telegram.fault("slow", times=1, seconds=0.5)
    with db.connect(channel, application="poster", autocommit=True) as connection:
        thread = threading.Thread(target=post, args=(connection, channel))
        thread.start()
        while not telegram.requests:
            thread.join(0.01)
        database.execute("update notifications set token = nextval('ops.deal_tokens')")
        thread.join()
    assert states(database) == ["trying"]
    assert "settled by another process" in caplog.text


# Without Telegram


@pytest.mark.parametrize("missing", ["telegram_bot_token", "telegram_channel_id"])
def test_without_telegram_the_whole_message_goes_to_the_log_and_is_not_posted_later(
    database: Database, channel: Settings, telegram: TelegramServer, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    [listing_id] = deals(database, 8.0)
    assert post(database, replace(channel, **{missing: None})) == Posted(sent=1)
    assert telegram.requests == []
    [line] = [each.getMessage() for each in caplog.records if each.name == "deals" and each.levelno == logging.INFO]
    assert line.startswith(f"dry run kind=deal listing={listing_id} score=8.0 photo=https://photos.example/1.jpg")
    assert "21 % below the market: 34 comparable cars, about 12 400 €" in line
    assert table(database, "state, is_dry_run, message_id") == [("sent", True, None)]
    reprice(database, listing_id, 9000)
    remove(database, listing_id)
    assert post(database, channel) == Posted()
    assert telegram.requests == []


def test_dry_runs_keep_to_the_hour_too_and_do_not_count_for_the_channel(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    deals(database, *[8.0] * 25)
    without = replace(channel, telegram_bot_token=None)
    assert post(database, without, now=NOW).sent == 20
    assert post(database, without, now=NOW + SECOND).sent == 0
    assert post(database, channel, now=NOW + SECOND).sent == 5


def test_without_telegram_changes_of_real_messages_wait(
    database: Database, channel: Settings, telegram: TelegramServer
) -> None:
    [listing_id] = deals(database, 8.0)
    post(database, channel)
    reprice(database, listing_id, 9000)
    assert post(database, replace(channel, telegram_bot_token=None)).waiting == 1
    assert post(database, channel) == Posted(edited=1)
