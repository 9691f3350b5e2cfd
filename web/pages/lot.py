"""A lot, and what people mark on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from vinops.lots import reads
from web import people
from web.operations import freshness

if TYPE_CHECKING:
    from psycopg import Connection
    from starlette.responses import Response

    from web.requests import Asked


def lot(asked: Asked) -> Response:
    """Show a lot."""
    with asked.site.read() as connection:
        found = reads.lot(connection, _number(asked))
        if found is None:
            raise HTTPException(404)
        mark = people.marks(connection, asked.person.user_id, [found.lot_id], of="lot")[found.lot_id]
        history = people.history(connection, found.lot_id, of="lot")
    return asked.page(
        "lot.html",
        lot=found,
        old_feed=freshness.of_feed(asked.language, asked.site.watch.seen),
        mark=mark,
        history=history,
        statuses=people.STATUSES,
        bids_end=found.gone_at or datetime.now(UTC),
        longest_note=people.LONGEST_NOTE,
        numbers={each.lot_id: each.lot_external_id for each in found.others},
    )


def star(asked: Asked) -> Response:
    """Star a lot for the person, or take the star back."""
    with asked.site.write() as connection:
        lot_id = _lot_id(asked, connection)
        people.star(connection, asked.person.user_id, lot_id, is_on=asked.form.get("on") == "1", of="lot")
    return _back(asked)


def status(asked: Asked) -> Response:
    """Note where a lot stands: seen, called, bought, rejected."""
    chosen = next((each for each in people.STATUSES if each == asked.form.get("status")), None)
    if chosen is None:
        raise HTTPException(400)
    with asked.site.write() as connection:
        people.set_status(connection, asked.person.user_id, _lot_id(asked, connection), chosen, of="lot")
    return _back(asked)


def note(asked: Asked) -> Response:
    """Add a note to a lot."""
    body = asked.form.get("body", "").replace("\0", "").strip()[: people.LONGEST_NOTE]
    if body:
        with asked.site.write() as connection:
            people.add_note(connection, asked.person.user_id, _lot_id(asked, connection), body, of="lot")
    return _back(asked)


def _number(asked: Asked) -> int:
    number: int = asked.request.path_params["lot_number"]
    return number


def _lot_id(asked: Asked, connection: Connection[object]) -> int:
    found = reads.lot_id(connection, _number(asked))
    if found is None:
        raise HTTPException(404)
    return found


def _back(asked: Asked) -> Response:
    return asked.back(asked.form.get("next") or f"/lots/{_number(asked)}")
