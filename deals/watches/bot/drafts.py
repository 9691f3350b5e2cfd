"""Drafts: what was typed, shown as it was understood, until it is saved. A draft is a row; nothing is in memory."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from deals.channel.message import clean
from deals.watches import people, texts
from deals.watches.bot.cards import found_ads, found_lots
from deals.watches.bot.updates import LONGEST_TEXT
from deals.watches.in_words import in_words
from deals.watches.preview import preview, preview_lots
from vinops.filter_text import LONGEST, parse
from vinops.filters import Filter
from vinops.lots.filter import LotFilter

if TYPE_CHECKING:
    from deals.watches.bot.turn import Turn
    from vinops.filter_text import Understood
    from vinops.telegram import Link

FLOOD: Final = 10.0  # cars a day, above which a digest or a tighter filter is proposed
BELOW: Final = Decimal(10)  # per cent
LONGEST_BUTTON: Final = 40
MOST_CHOICES: Final = 4


def propose(turn: Turn, typed: str, *, watch_id: int | None = None, below: Decimal | None = None) -> None:
    """Note what was typed and answer with what it finds. Nothing is watched until it is saved."""
    understood = parse(typed)
    wanted = _with_below(understood.filter, below)
    is_empty = wanted == Filter() if understood.kind == "ad" else understood.lots in (None, LotFilter())
    if is_empty and not understood.ambiguous:
        turn.reply([turn.text("nothing"), *_struck(turn, understood), *_too_long(turn, understood)])
        return
    row = turn.row("add_draft", watch_id=watch_id, typed=typed, below_market=below)
    assert row is not None  # noqa: S101 # an insert returns its row
    show(turn, row["id"], understood, wanted)


def show(turn: Turn, draft_id: int, understood: Understood, wanted: Filter, *, edits: int | None = None) -> None:
    """Answer with a draft: the filter in words, what was not understood, what is asked, how many cars, the best."""
    said = in_words(turn.language, wanted, understood.kind, understood.lots)
    lines = [turn.text("understood", filter=said), *_struck(turn, understood), *_too_long(turn, understood)]
    buttons: list[list[Link]] = []
    for place, ambiguity in enumerate(understood.ambiguous):
        lines.append(turn.text("ask", text=ambiguity.text))
        buttons += [
            [(_button(choice.says(turn.language)), f"choose:{draft_id}:{place}:{number}:{_mark(understood)}")]
            for number, choice in enumerate(ambiguity.choices[:MOST_CHOICES])
        ]
    if not understood.ambiguous:
        per_day = 0.0
        if understood.kind != "lot":
            ads = preview(turn.connection, wanted)
            lines += found_ads(turn, ads)
            per_day += ads.per_day
        if understood.lots is not None:
            of_lots = preview_lots(turn.connection, understood.lots, time_zone=turn.person.time_zone)
            lines += found_lots(turn, of_lots)
            per_day += of_lots.per_day
        buttons.append([(turn.text("save"), f"save:{draft_id}"), (turn.text("change"), f"change:{draft_id}")])
        if per_day > FLOOD:
            lines.append(turn.text("too_many"))
            more: list[Link] = [(turn.text("daily"), f"daily:{draft_id}")]
            if wanted.below_market is None and understood.kind != "lot":
                more.insert(0, (turn.text("only_below"), f"below:{draft_id}"))
            buttons.append(more)
    turn.reply(lines, buttons, edits=edits)


def choose(turn: Turn, draft_id: int, place: int, number: int, *, mark: int, edits: int | None) -> None:
    """Replace what can be two things by the choice, and show the draft again. `mark` is of the text that was asked
    about: of another one the same place may be another question, as for the second press of two."""
    draft = turn.row("draft", draft_id=draft_id)
    if draft is None:
        turn.notice = turn.text("stale")
        return
    understood = parse(draft["typed"])
    is_other = mark != _mark(understood)
    if is_other or place >= len(understood.ambiguous) or number >= len(understood.ambiguous[place].choices):
        turn.notice = turn.text("done_already")
        return
    typed = understood.ambiguous[place].chosen(draft["typed"], number)[:LONGEST_TEXT]
    _change(turn, draft, typed, draft["below_market"], edits)


def tighten(turn: Turn, draft_id: int, *, edits: int | None) -> None:
    """Ask of a draft only for cars below the market, and show it again."""
    draft = turn.row("draft", draft_id=draft_id)
    if draft is None:
        turn.notice = turn.text("stale")
    elif draft["below_market"] is not None:
        turn.notice = turn.text("done_already")
    else:
        _change(turn, draft, draft["typed"], BELOW, edits)


def save(turn: Turn, draft_id: int, *, edits: int | None) -> None:
    """Save a draft as a watch, once: the second press finds no draft."""
    draft = turn.row("draft", draft_id=draft_id)
    if draft is None:
        turn.notice = turn.text("saved_already")
        return
    understood = parse(draft["typed"])
    wanted = _with_below(understood.filter, draft["below_market"])
    if understood.ambiguous:
        turn.notice = turn.text("stale")
        return
    if draft["watch_id"] is None and len(people.watches(turn.connection, turn.person)) >= people.MOST_WATCHES:
        turn.say("full", most=people.MOST_WATCHES)
        return
    watch_id = people.save(
        turn.connection, turn.person, wanted, kind=understood.kind, typed=draft["typed"], watch_id=draft["watch_id"],
        of_lots=understood.lots,
    )  # fmt: skip
    turn.row("remove_draft", draft_id=draft_id)
    number = next((each.number for each in people.watches(turn.connection, turn.person) if each.id == watch_id), None)
    if number is None:
        turn.notice = turn.text("stale")
        return
    turn.notice = turn.text("done")
    said = in_words(turn.language, wanted, understood.kind, understood.lots)
    paused = [turn.text("all_paused")] if turn.person.paused_at is not None else []
    turn.reply([turn.text("saved", number=number, filter=said), *paused], edits=edits)


def _change(turn: Turn, draft: dict[str, Any], typed: str, below: Decimal | None, edits: int | None) -> None:
    turn.row("change_draft", draft_id=draft["id"], typed=typed, below_market=below)
    understood = parse(typed)
    show(turn, draft["id"], understood, _with_below(understood.filter, below), edits=edits)


def _mark(understood: Understood) -> int:
    return crc32(understood.text.encode())


def _with_below(wanted: Filter, below: Decimal | None) -> Filter:
    return wanted if below is None or wanted.below_market is not None else replace(wanted, below_market=below)


def _struck(turn: Turn, understood: Understood) -> list[str]:
    """Return the typed text with what was not understood struck out; nothing if all was."""
    if not understood.leftovers:
        return []
    pieces = [
        texts.quoted(text) if is_understood else f"<s>{texts.quoted(text)}</s>"
        for text, is_understood in understood.pieces
        if clean(text)
    ]
    return [turn.text("not_understood", words="").rstrip() + " " + " ".join(pieces)]


def _too_long(turn: Turn, understood: Understood) -> list[str]:
    """Return that not all of a text was read, if that is so: what comes behind may be cut where it is shown."""
    return [turn.text("too_long", most=texts.number(LONGEST))] if len(understood.text) > LONGEST else []


def _button(text: str) -> str:
    plain = clean(text)
    return plain if len(plain) <= LONGEST_BUTTON else f"{plain[: LONGEST_BUTTON - 1]}…"
