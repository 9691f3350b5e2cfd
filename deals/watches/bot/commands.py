"""Commands and plain text: what each changes, and what is answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from deals.watches import clock, people, reasons, texts
from deals.watches.bot import cards, drafts
from deals.watches.in_words import of_watch
from vinops.filter_text import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from deals.watches.bot.turn import Turn
    from deals.watches.bot.updates import Said
    from deals.watches.people import Watch
    from vinops.telegram import Link

COMMAND: Final = re.compile(r"/([A-Za-z0-9_]{1,64})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+(.*))?", re.DOTALL)
NUMBER: Final = re.compile(r"(\d{1,4})(?:\s+(.*))?", re.DOTALL)
HOURS: Final = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*[-–]\s*(\d{1,2})(?:[:.](\d{2}))?(?:\s+(.+))?")
PARAMETERS: Final = re.compile(r"[a-z_]+=\S+$")
TIME: Final = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?")
OFF: Final = ("off", "no", "не", "изкл", "изключи", "спри")
SILENT: Final = ("silent", "without sound", "тихо", "без", "без звук")
MOST_STARS: Final = 30
LISTED: Final = 10  # watches of a message: each of at most 300 characters, with four of a hundred buttons
DEFAULT_DIGEST: Final = 8 * 60 + 30


def split(text: str) -> tuple[str, str, str] | None:
    """Return command, name of the bot that is addressed, and the rest; None for a text that is no command."""
    found = COMMAND.fullmatch(text)
    return (found[1].lower(), (found[2] or "").lower(), (found[3] or "").strip()) if found else None


def obey(turn: Turn, said: Said) -> None:
    """Do what a text says: a command, or a plain text, which is a new watch. A text that was edited is read again only
    where that changes nothing yet."""
    parts = split(said.text)
    if parts is None:
        if not said.is_group:  # what people write to one another is not for the bot
            drafts.propose(turn, said.text)
        return
    name, _bot, rest = parts
    if said.is_edited and name not in ("watch", "edit"):
        return
    if name == "why":
        _why(turn, said)
    elif (command := COMMANDS.get(name)) is not None:
        command(turn, rest)
    elif not said.is_group:
        turn.say("unknown", command=f"/{name}"[:40])


def _watch(turn: Turn, rest: str) -> None:
    if rest:
        drafts.propose(turn, rest)
    else:
        turn.say("welcome")


def _list(turn: Turn, _: str) -> None:
    found = people.watches(turn.connection, turn.person)
    if not found:
        turn.say("none")
        return
    lines = [turn.text("list"), *all_paused(turn)]
    buttons: list[list[Link]] = []
    for watch in found:
        if len(buttons) == LISTED:
            turn.reply(lines, buttons)
            lines, buttons = [], []
        mark = f" ({turn.text('paused_mark')})" if watch.paused_at else ""
        lines.append(f"{watch.number}. {texts.quoted(of_watch(turn.language, watch), 300)}{mark}")
        switch = ("▶️", f"resume:{watch.id}") if watch.paused_at else ("⏸", f"pause:{watch.id}")
        number = str(watch.number)
        buttons.append(
            [(f"{number} ✏️", f"edit:{watch.id}"), switch, ("🗑", f"delete:{watch.id}"), ("📊", f"count:{watch.id}")]
        )
    if turn.settings.web_public_url:
        lines.append(turn.text("link", url="") + f"{turn.settings.web_public_url.rstrip('/')}/searches")
    turn.reply(lines, buttons)


def _edit(turn: Turn, rest: str) -> None:
    found = NUMBER.fullmatch(rest)
    if found is None:
        turn.say("which", command="/edit")
    elif (watch := numbered(turn, found[1])) is None:
        turn.say("no_such", number=found[1])
    elif found[2]:
        drafts.propose(turn, found[2], watch_id=watch.id)
    else:
        how_to_edit(turn, watch)


def _pause(turn: Turn, rest: str) -> None:
    if not rest:
        people.change(turn.connection, "pause_person", turn.person, reason=people.BY_PERSON)
        turn.say("paused_all")
    elif (watch := numbered(turn, rest)) is None:
        turn.say("no_such", number=rest[:40])
    else:
        people.pause(turn.connection, turn.person, watch.id)
        turn.say("paused", number=watch.number)


def _resume(turn: Turn, rest: str) -> None:
    if not rest:
        if people.change(turn.connection, "resume_person", turn.person, reasons=[people.BY_PERSON, people.BY_BLOCK]):
            people.begin_again(turn.connection, turn.person)
        paused = [str(each.number) for each in people.watches(turn.connection, turn.person) if each.paused_at]
        turn.reply(turn.text("still_paused", numbers=", ".join(paused)) if paused else turn.text("resumed_all"))
    elif (watch := numbered(turn, rest)) is None:
        turn.say("no_such", number=rest[:40])
    else:
        people.resume(turn.connection, turn.person, watch.id)
        turn.reply([turn.text("resumed", number=watch.number), *all_paused(turn)])


def _delete(turn: Turn, rest: str) -> None:
    if not rest:
        turn.say("which", command="/delete")
    elif (watch := numbered(turn, rest)) is None:
        turn.say("no_such", number=rest[:40])
    else:
        people.delete(turn.connection, turn.person, watch.id)
        turn.say("deleted", number=watch.number, filter=of_watch(turn.language, watch))


def _quiet(turn: Turn, rest: str) -> None:
    word = rest.lower()
    found = HOURS.fullmatch(word)
    start = end = None
    if found:
        start, end = clock.minute(found[1], found[2]), clock.minute(found[3], found[4])
    if word in OFF:
        people.change(turn.connection, "set_quiet", turn.person, quiet_from=None, quiet_to=None, is_silent=False)
        turn.say("quiet_off")
    elif found is None or start is None or end is None or start == end or found[5] not in (None, *SILENT):
        turn.say("quiet_usage")
    else:
        is_silent = found[5] in SILENT
        people.change(turn.connection, "set_quiet", turn.person, quiet_from=start, quiet_to=end, is_silent=is_silent)
        hours = {"from": clock.written(start), "to": clock.written(end), "zone": turn.person.time_zone}
        turn.say("quiet_silent" if is_silent else "quiet", **hours)


def _digest(turn: Turn, rest: str) -> None:
    found = TIME.fullmatch(rest)
    at = clock.minute(found[1], found[2]) if found else None
    if rest.lower() in OFF:
        set_digest(turn, None)
    elif at is None:
        turn.say("digest_usage")
    else:
        set_digest(turn, at)


def set_digest(turn: Turn, at: int | None) -> None:
    """Set the time of the daily digest, or end it, and answer."""
    now = clock.now()
    due = now if at is None else clock.next_time(now, turn.person.time_zone, at)
    people.change(turn.connection, "set_digest", turn.person, digest_at=at, digest_due=due)
    if at is None:
        turn.say("digest_off")
    else:
        turn.say("digest", at=clock.written(at), zone=turn.person.time_zone)


def _language(turn: Turn, rest: str) -> None:
    code = {"български": "bg", "english": "en"}.get(rest.lower(), rest.lower())
    if code not in texts.LANGUAGES:
        turn.say("language_usage")
        return
    people.change(turn.connection, "set_language_of_person", turn.person, language=code)
    turn.reply(texts.say(code, "language"))


def _why(turn: Turn, said: Said) -> None:
    row = turn.row("message_of", message_id=said.reply_to) if said.reply_to is not None else None
    if row is None:
        turn.say("why_usage")
        return
    found = turn.rows("why", car=row["car"])
    if not found:
        turn.say("why_gone")
        return
    watches = {watch.id: watch for watch in people.watches(turn.connection, turn.person)}
    lines = [turn.text("why")]
    for each in found:
        watch = watches[each["watch_id"]]
        lines.append(f"{watch.number}. {texts.quoted(of_watch(turn.language, watch))}")
    if found[0]["score"] is not None:
        sentences = "; ".join(reasons.said(turn.language, found[0]["reasons"] or ()))
        lines.append(turn.text("why_score", score=found[0]["score"], reasons=sentences))
    if row["lot_id"] is not None:
        lines += cards.lot_figures(turn, row["lot_id"])
    turn.reply(lines)


def _star(turn: Turn, _: str) -> None:
    found = turn.rows("followed", limit=MOST_STARS)
    if not found:
        turn.say("no_stars")
        return
    lines = [turn.text("stars")]
    for each in found:
        mark = f" ({turn.text('gone_mark')})" if each["is_gone"] else ""
        lines.append(f"• {texts.quoted(each['title'], 80)}: {texts.eur(each['price_eur'])}{mark}")
    turn.reply(lines)


def _forget(turn: Turn, _: str) -> None:
    turn.reply(turn.text("forget_ask"), [[(turn.text("forget_button"), "forget:yes")]])


def how_to_edit(turn: Turn, watch: Watch) -> None:
    """Answer how a watch is edited, with its text; with its filter in words if the text says something else, or is
    the parameters of a search that was saved on the site."""
    understood = parse(watch.typed)
    is_same = (understood.filter, understood.lots) == (watch.filter, watch.lots) and not PARAMETERS.match(watch.typed)
    typed = watch.typed if is_same else of_watch(turn.language, watch)
    turn.say("how_to_edit", number=watch.number, typed=typed)


def all_paused(turn: Turn) -> list[str]:
    """Return the line that says that everything is paused, if that is so: a watch alone does not go on then."""
    return [turn.text("all_paused")] if turn.person.paused_at is not None else []


def numbered(turn: Turn, text: str) -> Watch | None:
    """Return the watch with a number of the person's list; None if there is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        return None
    found = people.watches(turn.connection, turn.person)
    return found[int(text) - 1] if 0 < int(text) <= len(found) else None


def _says(key: str) -> Callable[[Turn, str], None]:
    return lambda turn, _: turn.say(key)


COMMANDS: Final[dict[str, Callable[[Any, str], None]]] = {
    "start": _says("welcome"),
    "watch": _watch,
    "list": _list,
    "edit": _edit,
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
    "quiet": _quiet,
    "digest": _digest,
    "language": _language,
    "star": _star,
    "stop": lambda turn, _: _pause(turn, ""),
    "forget": _forget,
    "privacy": _says("privacy"),
    "help": _says("help"),
}
