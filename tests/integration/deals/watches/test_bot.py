"""What people write and press, and what the bot answers; each update is applied once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from deals.watches import people
from deals.watches.bot import receive
from deals.watches.bot.receive import Receiver
from tests.support.deal_messages import add_deal
from tests.support.watching import CHAT, GROUP, Talk
from vinops import telegram
from vinops.db import database as db
from web import people as accounts

TYPED = "BMW X5 diesel up to 25000 €"


def saved(talk: Talk, text: str = TYPED) -> int:
    """Type a watch and save it; return its id."""
    [proposal] = talk.say(text)
    [data] = [target for label, target in proposal.buttons if target.startswith("save:")]
    talk.press(data, message_id=proposal.message_id)
    return int(talk.one("select max(id) from watches"))


# Who may


def test_a_stranger_gets_one_sentence_and_then_silence(talk: Talk) -> None:
    talk.say("hello", "hello?", "/list", "/start nonsense", "/start other")
    said, refused = talk.shown()
    assert "invited people only" in said
    assert "вече е използвана" in refused  # who has an old invitation learns that, though strangers get one sentence
    assert talk.one("select count(*) from watch_messages") == 0
    assert talk.one("select count(*) from watch_people") == 0


def test_many_strangers_are_not_all_answered(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "STRANGERS_A_MINUTE", 3)
    for chat in range(1, 9):
        talk.telegram.updates.say(chat, "hello")
    talk.turn()
    assert len(talk.telegram.messages) == 3


def test_an_invitation_lets_one_chat_in_once(talk: Talk) -> None:
    code = people.invite(talk.database, "en")
    assert code not in str(talk.database.execute("select * from ops.watch_invitations").fetchall())
    assert "Welcome" in talk.say(f"/start {code}")[0].text
    talk.say(f"/start {code}", chat_id=8)
    assert "used already" in talk.shown(8)[0] or "вече е използвана" in talk.shown(8)[0]
    assert talk.one("select count(*) from watch_people") == 1


def test_an_invitation_ends_after_a_day(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "INVITED", timedelta(seconds=-1))
    code = people.invite(talk.database, "en")
    talk.say(f"/start {code}")
    assert talk.one("select count(*) from watch_people") == 0


def test_an_invitation_links_the_chat_to_the_watches_of_a_person_of_the_site(talk: Talk) -> None:
    user = talk.one("insert into ops.users (name, role, password_hash) values ('Ana', 'trader', 'x') returning id")
    person = people.ensure_user(talk.database, user, language="bg", time_zone="Europe/Sofia")
    talk.watch(person.id, make=["BMW"])
    assert talk.join(user_id=user) == person.id
    assert "BMW" in talk.say("/list")[0].text


def test_a_chat_with_watches_is_linked_to_a_person_of_the_site_with_those_of_both(talk: Talk) -> None:
    user = talk.one("insert into ops.users (name, role, password_hash) values ('Ana', 'trader', 'x') returning id")
    theirs = people.ensure_user(talk.database, user, language="en", time_zone="Europe/Sofia")
    talk.watch(theirs.id, make=["BMW"])
    person = talk.join()
    talk.hit(talk.watch(person, make=["Volkswagen"]), add_deal(talk.database, score=8))
    talk.send()
    code = people.invite(talk.database, "en", user_id=user)
    assert "belong together" in talk.say(f"/start {code}")[0].text
    assert talk.one("select count(*) from watch_people") == 1
    listed = talk.say("/list")[0].text
    assert "BMW" in listed
    assert "Volkswagen" in listed
    assert talk.one("select count(*) from watch_messages where kind = 'hit' and person_id = %s", theirs.id) == 1
    assert "Welcome" in talk.say(f"/start {code}")[0].text


def test_a_chat_with_watches_becomes_that_of_a_person_of_the_site_without_any(talk: Talk) -> None:
    user = talk.one("insert into ops.users (name, role, password_hash) values ('Ana', 'trader', 'x') returning id")
    person = talk.join()
    talk.watch(person)
    plain = people.invite(talk.database, "en")
    assert "Welcome" in talk.say(f"/start {plain}")[0].text
    assert talk.one("select count(*) from ops.watch_invitations") == 1  # for somebody else
    talk.say(f"/start {people.invite(talk.database, 'en', user_id=user)}")
    assert talk.one("select (id, user_id) = (%s, %s) from watch_people", person, user) is True
    other = talk.one("insert into ops.users (name, role, password_hash) values ('Bo', 'trader', 'x') returning id")
    talk.say(f"/start {people.invite(talk.database, 'en', user_id=other)}")
    assert talk.one("select user_id from watch_people") == user


def test_another_chat_of_a_person_of_the_site_gets_no_edits_of_messages_of_the_first(talk: Talk) -> None:
    user = talk.one("insert into ops.users (name, role, password_hash) values ('Ana', 'trader', 'x') returning id")
    person = talk.join(user_id=user)
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.send()
    assert talk.join(8, user_id=user) == person
    assert talk.one("select count(*) from watch_messages where kind = 'hit' and message_id is not null") == 0


def test_who_is_removed_from_the_site_is_a_stranger_to_the_bot(talk: Talk) -> None:
    accounts.add(talk.database, "Ana", "trader", "a long password")
    talk.join(user_id=talk.one("select id from ops.users"))
    accounts.remove(talk.database, "Ana")
    assert "invited people only" in talk.say("/list")[0].text
    assert talk.one("select paused_by from watch_people") == "account"


def test_an_invitation_ends_when_its_person_is_removed_from_the_site(talk: Talk) -> None:
    accounts.add(talk.database, "Ana", "trader", "a long password")
    user = talk.one("select id from ops.users")
    people.ensure_user(talk.database, user, language="en", time_zone="Europe/Sofia")
    codes = [people.invite(talk.database, "en", user_id=user)]
    accounts.remove(talk.database, "Ana")
    assert talk.one("select count(*) from ops.watch_invitations") == 0
    codes.append(people.invite(talk.database, "en", user_id=user))  # by a page that was requested just before
    talk.say(*(f"/start {code}" for code in codes))
    assert "вече е използвана" in talk.shown()[0]
    assert talk.one("select count(*) from watch_people where chat_id is not null") == 0


# Watches


def test_a_text_is_shown_as_understood_and_watched_only_when_it_is_saved(talk: Talk) -> None:
    talk.join()
    [proposal] = talk.say("BMW X5 diesel blablabla")
    assert "BMW X5" in proposal.text
    assert "<s>blablabla</s>" in proposal.html
    assert "now" in proposal.text
    assert talk.one("select count(*) from watches") == 0
    [data] = [target for _, target in proposal.buttons if target.startswith("save:")]
    talk.press(data, message_id=proposal.message_id)
    assert talk.one("select family from watches") == ["BMW X5"]
    assert "Saved" in talk.shown()[-1]


def test_a_button_pressed_twice_saves_once_and_is_answered_twice(talk: Talk) -> None:
    talk.join()
    [proposal] = talk.say(TYPED)
    for _ in range(2):
        talk.telegram.updates.press(CHAT, proposal.message_id, proposal.buttons[0][1])
    talk.turn()
    assert talk.one("select count(*) from watches") == 1
    assert len(talk.telegram.updates.answered) == 2


def test_the_button_of_a_deleted_watch_changes_nothing(talk: Talk) -> None:
    talk.join()
    watch_id = saved(talk)
    talk.press(f"delete:{watch_id}")
    for data in (f"delete:{watch_id}", f"pause:{watch_id}", f"edit:{watch_id}", f"count:{watch_id}"):
        talk.press(data)
    assert talk.one("select count(*) from watches") == 0
    assert len(talk.telegram.updates.answered) == 6
    assert talk.sender.counts["failed"] == 0


def test_nobody_touches_the_watches_of_others(talk: Talk) -> None:
    talk.join()
    watch_id = saved(talk)
    talk.join(8)
    for data in (f"delete:{watch_id}", f"pause:{watch_id}"):
        talk.press(data, chat_id=8)
    assert talk.one("select paused_at is null from watches") is True


def test_a_watch_is_edited_paused_resumed_and_deleted(talk: Talk) -> None:
    talk.join()
    saved(talk)
    [proposal] = talk.say("/edit 1 BMW diesel")
    talk.press(proposal.buttons[0][1], message_id=proposal.message_id)
    assert talk.database.execute("select version, family, make from watches").fetchall() == [(2, [], ["BMW"])]
    talk.say("/pause 1")
    assert talk.one("select paused_at is not null from watches") is True
    talk.say("/resume 1")
    assert talk.one("select paused_at is null from watches") is True
    talk.say("/delete 1")
    assert talk.one("select count(*) from watches") == 0


def test_how_to_edit_shows_the_text_or_the_filter_of_a_search_of_the_site(talk: Talk) -> None:
    person = talk.join()
    saved(talk)
    talk.watch(person, make=["BMW"], price_to=25000, typed="make=BMW&price_to=25000")
    assert TYPED in talk.say("/edit 1")[0].text
    shown = talk.say("/edit 2")[0].text
    assert "BMW, up to €25,000" in shown
    assert "make=" not in shown


def test_what_stays_paused_is_said(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    monkeypatch.setattr(telegram, "answer_callback_query", lambda *about: notices.append(about[-1]))
    talk.join()
    saved(talk)
    saved(talk, "Golf")
    talk.say("/pause 1", "/pause")
    saved(talk, "Octavia")
    assert "Everything is paused" in talk.shown()[-1]
    assert "Everything is paused" in talk.say("/resume 2")[0].text
    talk.press(f"resume:{talk.one('select min(id) from watches')}")
    assert "Everything is paused" in notices[-1]
    talk.say("/pause 1")
    assert "Still paused: 1." in talk.say("/resume")[0].text
    talk.say("/resume 1")
    assert talk.say("/resume")[0].text == "All watches go on."


def test_a_long_list_is_shown_whole_in_several_messages(talk: Talk) -> None:
    person = talk.join()
    for number in range(people.MOST_WATCHES):
        talk.watch(person, make=["BMW"], words_not=[f"{number} {'x' * 60} {place}" for place in range(8)])
    shown = talk.say("/list")
    numbers = [int(found) for each in shown for found in re.findall(r"^(\d+)\. BMW", each.text, re.MULTILINE)]
    assert numbers == [*range(1, people.MOST_WATCHES + 1)]
    deletes = {target for each in shown for _, target in each.buttons if target.startswith("delete:")}
    assert len(deletes) == people.MOST_WATCHES


@pytest.mark.parametrize(("language", "said"), [("en", "about 0.03 a day"), ("bg", "около 0,03 на ден")])
def test_a_rare_car_does_not_come_zero_times_a_day(talk: Talk, language: str, said: str) -> None:
    person = talk.join(language=language)
    talk.hit(talk.watch(person), add_deal(talk.database, score=8))
    talk.database.execute("update board set family = 'Volkswagen Golf', make = 'Volkswagen'")
    assert said in talk.say("Golf")[0].text


def test_an_edit_drops_what_the_filter_before_has_found(talk: Talk) -> None:
    talk.join()
    watch_id = saved(talk)
    talk.hit(watch_id, add_deal(talk.database, score=8))
    talk.telegram.updates.say(CHAT, "/edit 1 BMW diesel")
    talk.receiver.step(seconds=0)
    data = f"save:{talk.one('select max(id) from watch_drafts')}"
    talk.telegram.updates.press(CHAT, 5, data)
    talk.receiver.step(seconds=0)
    talk.send()
    assert talk.one("select state from watch_hits") == "dropped"
    assert talk.one("select count(*) from watch_messages where kind = 'hit'") == 0


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("/quiet 22-8", "(quiet_from, quiet_to, is_quiet_silent)", ("1320", "480", "f")),
        ("/quiet 22:30-7:15 silent", "(quiet_from, quiet_to, is_quiet_silent)", ("1350", "435", "t")),
        ("/quiet 24-8", "quiet_from", 0),
        ("/quiet 22-8 без звук", "(quiet_from, quiet_to, is_quiet_silent)", ("1320", "480", "t")),
        ("/quiet 22-8 sometimes", "quiet_from", None),
        ("/quiet 25-8", "quiet_from", None),
        ("/digest 8:30", "digest_at", 510),
        ("/digest 8:99", "digest_at", None),
        ("/language bg", "language", "bg"),
        ("/language xx", "language", "en"),
        ("/stop", "paused_by", "person"),
    ],
)
def test_settings(talk: Talk, text: str, column: str, value: Any) -> None:
    talk.join()
    assert len(talk.say(text)) == 1
    assert talk.one(f"select {column} from watch_people") == value


def test_every_command_is_answered_in_both_languages(talk: Talk) -> None:
    talk.join()
    saved(talk)
    commands = (
        *("/start", "/watch", "/list", "/edit", "/edit 1", "/edit 9", "/pause 9", "/quiet", "/digest", "/language"),
        *("/why", "/star", "/privacy", "/help", "/delete", "/nonsense", "/quiet off", "/digest off", "/forget"),
    )
    for language in ("bg", "en"):
        talk.say(f"/language {language}")
        for command in commands:
            [answer] = talk.say(command)
            is_bulgarian = re.search("[а-я]{4}", answer.text) is not None
            assert is_bulgarian == (language == "bg"), (command, answer.text)


# Groups, chats that change


def test_in_a_group_only_commands_for_this_bot_are_read(talk: Talk) -> None:
    talk.join(GROUP)
    assert talk.say("we talk about BMW X5", "/help@other_bot", "/unknown", chat_id=GROUP) == []
    assert len(talk.say("/help@standin_bot", "/help", chat_id=GROUP)) == 2


def test_a_group_that_becomes_a_supergroup_keeps_its_watches(talk: Talk) -> None:
    person = talk.join(GROUP)
    talk.watch(person, make=["BMW"])
    talk.telegram.updates.add(
        message={"message_id": 1, "chat": {"id": GROUP, "type": "group"}, "migrate_to_chat_id": GROUP - 1}
    )
    talk.telegram.updates.add(
        message={"message_id": 1, "chat": {"id": GROUP - 1, "type": "supergroup"}, "migrate_from_chat_id": GROUP}
    )
    talk.turn()
    assert talk.database.execute("select id, chat_id from watch_people").fetchall() == [(person, GROUP - 1)]
    assert "BMW" in talk.say("/list", chat_id=GROUP - 1)[0].text


def test_who_blocks_the_bot_is_paused_and_goes_on_when_writing_again(talk: Talk) -> None:
    talk.join()
    chat = {"chat": {"id": CHAT, "type": "private"}, "new_chat_member": {"status": "kicked"}}
    talk.telegram.updates.add(my_chat_member=chat)
    talk.turn()
    assert talk.one("select paused_by from watch_people") == "blocked"
    talk.say("/help")
    assert talk.one("select paused_by from watch_people") is None


def test_an_edited_text_is_read_again_but_no_command_that_changes_something(talk: Talk) -> None:
    talk.join()
    saved(talk)
    for text in ("BMW diesel", "/delete 1"):
        talk.telegram.updates.add(
            edited_message={"message_id": 1, "chat": {"id": CHAT, "type": "private"}, "text": text}
        )
    talk.turn()
    assert talk.one("select count(*) from watches") == 1
    assert "diesel" in talk.shown()[-1]


# Once


def test_an_update_that_is_returned_again_is_applied_once(talk: Talk) -> None:
    talk.join()
    talk.telegram.updates.say(CHAT, "/help")
    [update] = talk.telegram.updates.waiting[-1:]
    assert [talk.receiver.apply(update) for _ in range(3)] == [True, False, False]
    assert talk.one("select count(*) from watch_messages where html like '%%/pause%%'") == 1


def test_of_an_update_whose_transaction_fails_nothing_is_done(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.join()
    number = talk.one("select update_id from ops.watch_updates")
    monkeypatch.setattr(people, "change", lambda *_, **__: 1 / 0)
    [answer] = talk.say("/stop")
    assert "did not work" in answer.text
    assert talk.one("select paused_at is null from watch_people") is True
    assert talk.one("select update_id from ops.watch_updates") == number + 1


def test_one_process_reads_at_a_time(talk: Talk) -> None:
    assert talk.receiver.take_turn()
    with db.connect(talk.settings, application="other", autocommit=True) as other:
        assert not Receiver(other, talk.settings).take_turn()


def test_after_a_week_without_updates_their_numbers_may_begin_anywhere(talk: Talk) -> None:
    talk.join()
    talk.telegram.updates.waiting.clear()  # which Telegram does after a day
    talk.database.execute("update ops.watch_updates set update_id = 900000, applied_at = now() - interval '7 days'")
    assert len(talk.say("/help")) == 1


@pytest.mark.parametrize(
    ("fault", "options", "kind"),
    [
        ("too_many_429", {"retry_after": 30}, None),
        ("server_error_502", {}, None),
        ("reset", {}, None),
        ("redirect", {}, None),
        ("forbidden_403", {"description": "Forbidden: bot was kicked"}, "telegram_forbidden"),
        ("bad_request_400", {"description": "Bad Request: what"}, None),
        ("garbage", {}, None),
        ("garbage", {"answer": '{"ok": true, "result": {"update_id": 1}}'}, None),
        ("garbage", {"answer": '{"ok": true, "result": null}'}, None),
        ("garbage", {"answer": "[" * 60_000}, None),
    ],
)
def test_whatever_telegram_answers_the_next_call_comes_later(
    talk: Talk, fault: str, options: dict[str, Any], kind: str | None
) -> None:
    talk.join()
    talk.telegram.updates.say(CHAT, "/help")
    talk.telegram.fault(fault, times=1, methods=["getUpdates"], **options)
    assert talk.receiver.step(seconds=0) == 0
    assert talk.receiver.pause >= 5
    assert talk.one("select kind from ops.alerts where cleared_at is null") == kind
    assert talk.receiver.step(seconds=0) == 1
    assert talk.receiver.pause == 0
    assert talk.one("select count(*) from ops.alerts where cleared_at is null") == 0


def test_the_bot_learns_its_name_when_telegram_says_it(talk: Talk) -> None:
    talk.join(GROUP)
    receiver = Receiver(talk.database, talk.settings)  # as when Telegram was away at its start
    talk.receiver = receiver
    talk.say("/help@other_bot", chat_id=GROUP)
    talk.telegram.messages.clear()
    assert talk.say("/help@other_bot", chat_id=GROUP) == []
    assert len(talk.say("/help@standin_bot", chat_id=GROUP)) == 1


def test_a_choice_replaces_what_was_asked_and_nothing_else(talk: Talk) -> None:
    talk.join()
    [asked] = talk.say("bmw 1320 320")  # what is asked is in another number too
    choice = next(target for label, target in asked.buttons if label == "BMW 320")
    talk.press(choice, message_id=asked.message_id)
    assert talk.one("select typed from watch_drafts") == "bmw 1320 BMW 320"


def test_a_choice_pressed_twice_answers_no_other_question(talk: Talk) -> None:
    talk.join()
    [asked] = talk.say("320 150000")  # two questions: the second one takes the place of the first when that is answered
    for _ in range(2):
        talk.telegram.updates.press(CHAT, asked.message_id, asked.buttons[0][1])
    talk.turn()
    assert talk.one("select typed from watch_drafts") == "BMW 320 150000"
    assert "150000 can be two things" in talk.shown()[-1]
    assert len(talk.telegram.updates.answered) == 2


def test_a_text_that_is_not_read_to_its_end_is_said_to_be_so(talk: Talk) -> None:
    talk.join()
    [shown] = talk.say("golf " + "much equipment " * 100 + "not crashed")
    assert "Only the first 1 000 characters" in shown.text.replace("\u202f", " ")
    assert "Only the first" not in talk.say("golf " + "x " * 400)[0].text
