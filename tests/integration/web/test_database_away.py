"""While the database is away, pages say so within three seconds, in both languages, and come back by themselves."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from tests.support.lot_photos import add_photo
from tests.support.lots import lots_on_board
from tests.support.sites import ads_on_board, running, signed_in
from vinops.secrets import Secret
from web.app import create

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

    from vinops.config import Settings


class Line:
    """A line to the server that can be cut, or go silent."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []
        self.is_silent = False
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=[one, other], daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                while self.is_silent:
                    time.sleep(0.02)
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for each in self._ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._ends = []

    def restore(self) -> None:
        self.is_silent = False
        self._listen(self.port)


@pytest.fixture
def line(settings: Settings) -> Iterator[tuple[Line, Settings]]:
    assert settings.database_url is not None
    found = psycopg.conninfo.conninfo_to_dict(settings.database_url.reveal())
    made = Line(f"{found['host']}/.s.PGSQL.5432")
    url = f"postgresql://vinops@127.0.0.1:{made.port}/{quote(str(found['dbname']))}?sslmode=disable&gssencmode=disable"
    yield made, replace(settings, database_url=Secret(url))
    made.is_silent = False
    made.cut()


@pytest.mark.parametrize("how", ["cut", pytest.param("silent", marks=pytest.mark.slow)])
def test_pages_say_that_the_database_is_away_and_come_back(
    database: psycopg.Connection[TupleRow], line: tuple[Line, Settings], how: str
) -> None:
    between, settings = line
    with running(settings, make=create) as (site, client):
        signed_in(site, client, database, "viewer")
        (lot,) = lots_on_board(database)
        lots = ("/lots", f"/lots/{lot}", "/lots.csv")
        market = ("/market", "/market/Volkswagen%20Golf", "/market.csv", "/market/family.csv?family=Volkswagen+Golf")
        (ad,), thumbnail = ads_on_board(database), f"/thumbs/{lot}/{add_photo(database, settings, lot=lot)}/320.webp"
        photos = (thumbnail, f"/lots/{lot}/photos/1", f"/lots/{lot}/photos.zip")
        sheets = (f"/lots/{lot}/sheet", f"/ads/{ad}/sheet")
        shown = ("/", *lots, *sheets, *photos)
        assert [client.get(page).status_code for page in shown] == [200] * len(shown)
        pages = (*shown, *market, "/ops", "/vin/1FMCU9GD0KUA12345", "/search?q=1")
        if how == "cut":
            between.cut()
        else:
            between.is_silent = True
        for language, text in (("en", "The database does not answer"), ("bg", "Базата данни не отговаря")):
            began = time.monotonic()
            answer = client.get("/", headers={"Accept-Language": language})
            took = time.monotonic() - began
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert text in answer.text
            assert took < 15, "three seconds, and room for a busy machine"
        for page in pages[1:] if how == "cut" else ():
            assert client.get(page).status_code == 503, page
        assert client.get("/health").status_code == 503
        assert client.get("/robots.txt").status_code == 200
        if how == "cut":
            between.restore()
        between.is_silent = False
        deadline = time.monotonic() + 60
        while client.get("/").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
