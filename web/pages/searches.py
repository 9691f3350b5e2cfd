"""Saved searches: the watches of a person, what they found, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException

from deals.watches import clock, columns, people
from vinops.board.sorts import BEST
from vinops.filters import FIELDS, Filter
from vinops.lots.filter import LotFilter
from vinops.lots.sorts import FIRST
from web.pages import board, lots as lots_page

if TYPE_CHECKING:
    from psycopg import Connection
    from starlette.responses import Response

    from deals.watches.people import Person, Watch
    from web.requests import Asked

PAGE: Final = "/searches"
DAYS: Final = 7
KINDS: Final = ("ad", "lot")
"""What a page shows of which a search is saved. One of both is written to the bot."""
NOT_WATCHED: Final = ("new_since", "gone")
"""Fields of the board's filter that make no sense for what is to come."""
LONGEST: Final = 2000
"""Characters of what is kept as typed."""


def page(asked: Asked) -> Response:
    """Show the searches of a person, with what they found in the last seven days."""
    return _page(asked)


def save(asked: Asked) -> Response:
    """Save the filter of the board as a search, or replace that of one."""
    query = asked.form.get("query", "")
    kind = asked.form.get("kind", "ad")
    number = asked.form.get("id", "")
    if kind not in KINDS or (number and not _is_id(number)):
        raise HTTPException(400)
    wanted: Filter | LotFilter = _watched(query) if kind == "ad" else _watched_lots(query)
    if wanted.is_empty:
        return _page(asked, asked.language.gettext("Choose a filter on the board first: everything is too much."), 400)
    typed = urlencode(wanted.to_params())[:LONGEST]
    with asked.site.write() as connection, connection.transaction():
        person = _person(asked, connection)
        watches = people.watches(connection, person)
        is_full = not number and len(watches) >= people.MOST_WATCHES
        replaced = next((each for each in watches if str(each.id) == number), None)
        is_both = replaced is not None and replaced.kind == "both"
        ads, lots = _both(wanted, replaced if is_both else None)
        watch_id = int(number) if number else None
        saved = (
            None
            if is_full
            else people.save(
                connection, person, ads, kind="both" if is_both else kind, typed=typed, watch_id=watch_id, of_lots=lots
            )
        )
    if is_full:
        return _page(asked, asked.language.gettext("There is no room for more searches: delete one first."), 400)
    if saved is None:
        return _page(asked, asked.language.gettext("This search was deleted meanwhile: save it as a new one."), 404)
    return asked.back(PAGE)


def change(asked: Asked) -> Response:
    """Pause, resume, silence or delete a search of the person."""
    watch_id = int(asked.request.path_params["watch_id"])
    if not 0 < watch_id < 1 << 63:
        raise HTTPException(404)
    action = asked.form.get("do", "")
    with asked.site.write() as connection, connection.transaction():
        person = _person(asked, connection)
        match action:
            case "pause":
                people.pause(connection, person, watch_id)
            case "resume":
                people.resume(connection, person, watch_id)
            case "delete":
                people.delete(connection, person, watch_id)
            case "silent" | "loud":
                is_silent = action == "silent"
                people.change(connection, "silence_watch", person, watch_id=watch_id, is_silent=is_silent)
            case _:
                raise HTTPException(400)
    return asked.back(PAGE)


def notify(asked: Asked) -> Response:
    """Set how a person is told: not at all, with or without sound, in one digest a day."""
    how = asked.form.get("how", "")
    at = _minute(asked.form.get("digest", ""))
    if how not in ("on", "silent", "digest", "off") or (how == "digest" and at is None):
        raise HTTPException(400)
    with asked.site.write() as connection, connection.transaction():
        person = _person(asked, connection)
        if how == "off":
            people.change(connection, "pause_person", person, reason=people.BY_PERSON)
            return asked.back(PAGE)
        if people.change(connection, "resume_person", person, reasons=[people.BY_PERSON]):
            people.begin_again(connection, person)
        people.change(connection, "set_silent", person, is_silent=how == "silent")
        digest = at if how == "digest" else None
        now = clock.now()
        due = now if digest is None else clock.next_time(now, person.time_zone, digest)
        people.change(connection, "set_digest", person, digest_at=digest, digest_due=due)
    return asked.back(PAGE)


def connect(asked: Asked) -> Response:
    """Make an invitation that links a chat of Telegram to the searches of the person, and show it once."""
    with asked.site.write() as connection:
        person = _person(asked, connection)
        code = people.invite(
            connection, person.language, user_id=asked.person.user_id, is_operator=asked.person.user_id is None
        )
    return _page(asked, code=code)


def _page(asked: Asked, error: str = "", status: int = 200, *, code: str = "") -> Response:
    with asked.site.read() as connection:
        person = people.of_user(connection, asked.person.user_id)
        watches = [] if person is None else people.watches(connection, person)
        found = [] if person is None else people.found_lately(connection, person, days=DAYS)
    by_watch: dict[int, list[Any]] = {}
    for each in found:
        by_watch.setdefault(each["watch_id"], []).append(each)
    return asked.page(
        "searches.html",
        status,
        person=person,
        watches=watches,
        chips={watch.id: _chips(asked, watch) for watch in watches},
        boards={watch.id: _boards(watch) for watch in watches},
        found=by_watch,
        digest=clock.written(person.digest_at) if person and person.digest_at is not None else "8:30",
        error=error,
        code=code,
        days=DAYS,
    )


def _person(asked: Asked, connection: Connection[Any]) -> Person:
    zone = asked.site.settings.time_zone
    return people.ensure_user(connection, asked.person.user_id, language=asked.language.code, time_zone=zone)


def _watched(query: str) -> Filter:
    """Return the filter of the board's parameters, of what can be watched. A form is not so long that they need a cut,
    which would be another filter than the one that is shown."""
    params = parse_qsl(query, keep_blank_values=True)
    wanted, _problems = Filter.parse(params, others=board.OWN)
    return Filter(**{name: getattr(wanted, name) for name in FIELDS if name not in NOT_WATCHED})


def _watched_lots(query: str) -> LotFilter:
    """Return the filter of the parameters of lots, of what can be watched; uncut, as that of the board."""
    params = parse_qsl(query, keep_blank_values=True)
    return columns.watched(LotFilter.parse(params, others=board.OWN)[0])


def _both(wanted: Filter | LotFilter, replaced: Watch | None) -> tuple[Filter, LotFilter | None]:
    """Return the filters of ads and of lots of a search that is saved; of one of both that is edited one stays."""
    if isinstance(wanted, LotFilter):
        return Filter() if replaced is None else replaced.filter, wanted
    return wanted, None if replaced is None else replaced.lots


def _chips(asked: Asked, watch: Watch) -> list[str]:
    ads = [] if watch.kind == "lot" else board.chips(asked.language, watch.filter, BEST)
    of_lots = [] if watch.lots is None else lots_page.chips(asked.language, watch.lots, FIRST)
    return [*dict.fromkeys(chip.text for chip in (*ads, *of_lots))]


def _boards(watch: Watch) -> dict[str, str]:
    """Return the addresses of the boards that show what a search asks for, by kind."""
    found = {} if watch.kind == "lot" else {"ad": board.address(watch.filter, BEST)}
    return found if watch.lots is None else found | {"lot": lots_page.address(watch.lots, FIRST)}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _minute(text: str) -> int | None:
    hour, _, minutes = text.partition(":")
    if not (hour.isascii() and hour.isdecimal() and len(hour) < 3 and minutes.isascii() and minutes.isdecimal()):
        return None
    return clock.minute(hour, minutes[:2])
