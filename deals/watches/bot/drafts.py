"""Drafts: what was typed, shown as it was understood, until it is saved. A draft is a row; nothing is in memory."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from deals.channel.message import clean
from deals.watches import people, texts
from deals.watches.bot.updates import LONGEST_TEXT
from deals.watches.preview import preview
from vinops.filter_text import LONGEST, parse
from vinops.filter_words import describe
from vinops.filters import Filter

if TYPE_CHECKING:
    from deals.watches.bot.turn import Turn
    from deals.watches.preview import Preview
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
    if wanted == Filter() and not understood.ambiguous:
        turn.reply([turn.text("nothing"), *_struck(turn, understood), *_too_long(turn, understood)])
        return
    row = turn.row("add_draft", watch_id=watch_id, typed=typed, below_market=below)
    assert row is not None  # noqa: S101 # an insert returns its row
    show(turn, row["id"], understood, wanted)


def show(turn: Turn, draft_id: int, understood: Understood, wanted: Filter, *, edits: int | None = None) -> None:
    """Answer with a draft: the filter in words, what was not understood, what is asked, how many cars, the best."""
    lines = [turn.text("understood", filter=in_words(turn, wanted, understood.kind)), *_struck(turn, understood)]
    lines += _too_long(turn, understood)
    buttons: list[list[Link]] = []
    for place, ambiguity in enumerate(understood.ambiguous):
        lines.append(turn.text("ask", text=ambiguity.text))
        buttons += [
            [(_button(choice.says(turn.language)), f"choose:{draft_id}:{place}:{number}")]
            for number, choice in enumerate(ambiguity.choices[:MOST_CHOICES])
        ]
    if not understood.ambiguous:
        found = preview(turn.connection, wanted)
        lines += _found(turn, found)
        buttons.append([(turn.text("save"), f"save:{draft_id}"), (turn.text("change"), f"change:{draft_id}")])
        if found.per_day > FLOOD:
            lines.append(turn.text("too_many"))
            more: list[Link] = [(turn.text("daily"), f"daily:{draft_id}")]
            if wanted.below_market is None:
                more.insert(0, (turn.text("only_below"), f"below:{draft_id}"))
            buttons.append(more)
    turn.reply(lines, buttons, edits=edits)


def choose(turn: Turn, draft_id: int, place: int, number: int, *, edits: int | None) -> None:
    """Replace what can be two things by the choice, and show the draft again."""
    draft = turn.row("draft", draft_id=draft_id)
    if draft is None:
        turn.notice = turn.text("stale")
        return
    understood = parse(draft["typed"])
    if place >= len(understood.ambiguous) or number >= len(understood.ambiguous[place].choices):
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
        turn.connection, turn.person, wanted, kind=understood.kind, typed=draft["typed"], watch_id=draft["watch_id"]
    )
    turn.row("remove_draft", draft_id=draft_id)
    number = next((each.number for each in people.watches(turn.connection, turn.person) if each.id == watch_id), None)
    if number is None:
        turn.notice = turn.text("stale")
        return
    turn.notice = turn.text("done")
    turn.reply(turn.text("saved", number=number, filter=in_words(turn, wanted, understood.kind)), edits=edits)


def in_words(turn: Turn, wanted: Filter, kind: str) -> str:
    """Return a filter in words, as plain text."""
    said = describe(wanted, turn.language) or turn.text("anything")
    return said if kind == "ad" else f"{said} ({turn.text(f'kind_{kind}')})"


def site_link(turn: Turn, listing_id: int, url: str) -> str:
    """Return the address of an ad: on the site if people can open that, else where it is advertised."""
    public = turn.settings.web_public_url
    return f"{public.rstrip('/')}/ads/{listing_id}" if public else url


def _change(turn: Turn, draft: dict[str, Any], typed: str, below: Decimal | None, edits: int | None) -> None:
    turn.row("change_draft", draft_id=draft["id"], typed=typed, below_market=below)
    understood = parse(typed)
    show(turn, draft["id"], understood, _with_below(understood.filter, below), edits=edits)


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


def counts(turn: Turn, found: Preview) -> str:
    """Return how many cars a preview found, in words; figures of a sample as "about 800"."""

    def figure(number: int) -> str:
        return turn.text("around", number=texts.number(number)) if found.is_about else texts.number(number)

    day = f"{found.per_day:.1f}" if 0 < found.per_day < 3 else texts.number(found.per_day)
    return turn.text("counts", now=figure(found.ads), lately=figure(found.lately), days=found.days, day=day)


def _found(turn: Turn, found: Preview) -> list[str]:
    lines = [counts(turn, found)]
    if found.best:
        lines.append(turn.text("best"))
    for card in turn.rows("cards", listing_ids=list(found.best)):
        facts = [texts.eur(card["price_eur"]), str(card["year"] or ""), _km(turn, card["mileage_km"])]
        link = site_link(turn, card["listing_id"], card["url"])
        title = texts.quoted(card["title"], 80)
        shown = f'<a href="{escape(link)}">{title}</a>' if _is_link(link) else title
        lines.append(f"• {shown}: {escape(', '.join(filter(None, facts)))}")
    return lines


def _km(turn: Turn, km: int | None) -> str:
    return "" if km is None else f"{texts.number(km)} {turn.text('km')}"


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and len(url) < 500


def _button(text: str) -> str:
    plain = clean(text)
    return plain if len(plain) <= LONGEST_BUTTON else f"{plain[: LONGEST_BUTTON - 1]}…"
