"""The buttons below messages. Each may be pressed twice, and long after what it is about is gone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from deals.watches import people
from deals.watches.bot import commands, drafts
from deals.watches.bot.cards import counts
from deals.watches.bot.turn import add_reply
from deals.watches.in_words import of_watch
from deals.watches.preview import preview, preview_lots

if TYPE_CHECKING:
    from collections.abc import Callable

    from deals.watches.bot.turn import Turn
    from deals.watches.bot.updates import Pressed
    from deals.watches.people import Watch

DATA: Final = re.compile(r"([a-z]{1,12}):(yes|\d{1,18})(?::(\d{1,3}):(\d{1,3}):(\d{1,10}))?")


def press(turn: Turn, pressed: Pressed) -> None:
    """Do what a button is for. `turn.notice` is set to what the person is shown; a button that is not known, or whose
    subject is gone, changes nothing."""
    found = DATA.fullmatch(pressed.data)
    turn.notice = turn.text("stale")
    if found is None:
        return
    name, subject = found[1], found[2]
    if subject == "yes":
        if name == "forget":
            _forget(turn)
    elif name == "choose" and found[3]:
        turn.notice = ""
        drafts.choose(turn, int(subject), int(found[3]), int(found[4]), mark=int(found[5]), edits=pressed.message_id)
    elif name in DRAFTS:
        turn.notice = ""
        DRAFTS[name](turn, int(subject), pressed.message_id)
    elif name in CARS:
        if (row := turn.row("message_of_id", id=int(subject))) is not None:
            CARS[name](turn, row)
    elif name in WATCHES:
        _of_watch(turn, name, int(subject))


def _of_watch(turn: Turn, name: str, watch_id: int) -> None:
    watch = next((each for each in people.watches(turn.connection, turn.person) if each.id == watch_id), None)
    if watch is not None:
        WATCHES[name](turn, watch)
    elif name == "delete":
        turn.notice = turn.text("deleted_already")


def _forget(turn: Turn) -> None:
    people.forget(turn.connection, turn.person)
    turn.notice = turn.text("done")
    if turn.person.chat_id is not None:
        add_reply(turn.connection, turn.text("forgotten"), chat_id=turn.person.chat_id)


def _daily(turn: Turn, draft_id: int, _: int) -> None:
    del draft_id
    if turn.person.digest_at is None:
        commands.set_digest(turn, commands.DEFAULT_DIGEST)
        turn.notice = turn.text("done")
    else:
        turn.notice = turn.text("done_already")


def _follow(turn: Turn, message: dict[str, Any]) -> None:
    is_new = turn.row("follow_price", id=message["id"], is_on=True) is not None
    turn.notice = turn.text("following" if is_new else "done_already")


def _mute(turn: Turn, message: dict[str, Any]) -> None:
    turn.row("mute_car", id=message["id"])
    turn.notice = turn.text("muted")


def _pause(turn: Turn, watch: Watch) -> None:
    is_new = people.pause(turn.connection, turn.person, watch.id)
    turn.notice = turn.text("paused", number=watch.number) if is_new else turn.text("done_already")


def _resume(turn: Turn, watch: Watch) -> None:
    is_new = people.resume(turn.connection, turn.person, watch.id)
    said = [turn.text("resumed", number=watch.number) if is_new else turn.text("done_already")]
    turn.notice = "\n".join([*said, *commands.all_paused(turn)])


def _delete(turn: Turn, watch: Watch) -> None:
    people.delete(turn.connection, turn.person, watch.id)
    turn.notice = turn.text("done")
    turn.say("deleted", number=watch.number, filter=of_watch(turn.language, watch))


def _edit(turn: Turn, watch: Watch) -> None:
    turn.notice = ""
    commands.how_to_edit(turn, watch)


def _count(turn: Turn, watch: Watch) -> None:
    found = []
    if watch.kind != "lot":
        found.append(counts(turn, preview(turn.connection, watch.filter)))
    if watch.lots is not None:
        zone = turn.person.time_zone
        found.append(counts(turn, preview_lots(turn.connection, watch.lots, time_zone=zone), "lots_counts"))
    turn.notice = "\n".join(found)


def _change(turn: Turn, _draft: int, _message: int) -> None:
    turn.say("how_to_change")


DRAFTS: Final[dict[str, Callable[[Any, int, int], None]]] = {
    "save": lambda turn, draft_id, message_id: drafts.save(turn, draft_id, edits=message_id),
    "below": lambda turn, draft_id, message_id: drafts.tighten(turn, draft_id, edits=message_id),
    "change": _change,
    "daily": _daily,
}
CARS: Final[dict[str, Callable[[Any, dict[str, Any]], None]]] = {"follow": _follow, "mute": _mute}
WATCHES: Final[dict[str, Callable[[Any, Any], None]]] = {
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
    "edit": _edit,
    "count": _count,
}
