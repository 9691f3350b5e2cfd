"""Runs photo crawls, each in a process of its own that may be killed: `python tests/crash/photo_crawl.py`.

It takes jobs as loader.py does. A job is `scrapy crawl lot_photos` with the knife in it: everything a crawl does that
could be its last deed, named and counted. An event is `name nth when`: `put 3 after`, `settle_lot 1 before`. Statements
have their names from sql/queries; `body` is a part of a photo of which more is to come.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import knife  # beside this file
import psycopg
from scrapy import cmdline
from scrapy.core.downloader.handlers import http11

from vinops import objects_folder
from vinops.database import queries
from vinops_scrapy import lots, work
from vinops_scrapy.pipelines import photo_store, record, validate  # noqa: F401 # before the fork, for they take time
from vinops_scrapy.spiders import lot_photos  # noqa: F401 # as record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

CALLS: tuple[tuple[str, Any, str], ...] = (
    ("listed", work.Work, "listed"),
    ("decode", validate, "validated"),
    ("put", objects_folder.Folder, "put"),
    ("write", objects_folder, "_write"),
    ("rename", Path, "replace"),
)
AWAITED: tuple[tuple[str, Any, str], ...] = (
    ("enlist", lots.Lots, "enlist"),
    ("lease", lots.Lots, "lease_due"),
    ("settle", lots.Lots, "settle"),
    ("give_back", work.Work, "give_back"),
    ("commit", psycopg.AsyncTransaction, "__aexit__"),
)
STATEMENTS: tuple[tuple[Any, str], ...] = ((psycopg.AsyncConnection, "execute"), (psycopg.AsyncCursor, "executemany"))


class Knife(knife.Knife):
    """Strikes crawls. `asked_to_stop` is the event at which the crawl gets a SIGTERM, long before or without a kill."""

    def __init__(self, trace: Path, plan: str | None, victim: str, asked_to_stop: str | None) -> None:
        """`victim` is loader, which is the crawl here, or stop: it waits for SIGCONT."""
        super().__init__(trace, plan, victim, Path())
        self._asked_to_stop = asked_to_stop

    def put_in(self) -> None:
        """Patch the calls and the statements of this process."""
        for name, owner, attribute in CALLS:
            setattr(owner, attribute, self._around(name, getattr(owner, attribute)))
        for name, owner, attribute in AWAITED:
            setattr(owner, attribute, self._around_awaited(getattr(owner, attribute), name))
        names = {text: name for file in ("photos", "politeness", "crawls") for name, text in queries(file).items()}
        for owner, attribute in STATEMENTS:
            setattr(owner, attribute, self._around_awaited(getattr(owner, attribute), attribute, names))
        received = http11._ResponseReader.dataReceived

        def in_parts(reader: Any, data: bytes) -> None:
            received(reader, data)
            if reader._request.meta["expects"] == "image" and reader._bytes_received < reader._txresponse.length:
                self._event("body", self._next("body"), "after")

        http11._ResponseReader.dataReceived = in_parts  # type: ignore[method-assign]

    def _around_awaited(
        self, call: Callable[..., Any], usual: str, names: Mapping[object, str] = MappingProxyType({})
    ) -> Callable[..., Any]:
        """`names` are events by what the call is given first; others have the `usual` name."""

        async def patched(owner: Any, *arguments: Any, **named: Any) -> Any:
            name = names.get(arguments[0], usual) if names else usual
            number = self._next(name)
            self._event(name, number, "before")
            result = await call(owner, *arguments, **named)
            self._event(name, number, "after")
            return result

        return patched

    def _event(self, name: str, number: int, when: str) -> None:
        if f"{name} {number} {when}" == self._asked_to_stop:
            os.kill(os.getpid(), signal.SIGTERM)
        super()._event(name, number, when)


def record_before_store() -> None:
    """A broken crawl: what it says it has stored it stores at its end only."""
    put, close = objects_folder.Folder.put, objects_folder.Folder.close
    later: list[tuple[Any, ...]] = []

    def closing(folder: Any) -> None:
        for key, body, content_type in later:
            put(folder, key, body, content_type=content_type)
        close(folder)

    objects_folder.Folder.put = lambda _, key, body, *, content_type: later.append((key, body, content_type))  # type: ignore[method-assign]
    objects_folder.Folder.close = closing  # type: ignore[method-assign]


def settle_without_transaction() -> None:
    """A broken crawl: each statement that settles a lot is true at once."""

    @asynccontextmanager
    async def none(_: object) -> AsyncIterator[None]:
        yield

    psycopg.AsyncConnection.transaction = none  # type: ignore[method-assign,assignment]


def settle_without_lease() -> None:
    """A broken crawl: it settles a lot whoever has it."""
    statements = dict(lots.queries("photos"))
    token, owner = "and lease_token = %(token)s", "and lease_owner = %(owner)s"
    held = statements["hold_lease"]
    assert token in held
    assert owner in held
    statements["hold_lease"] = held.replace(token, "").replace(owner, "")
    made = lots.Lots.__init__

    def careless(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._queries = MappingProxyType(statements)

    lots.Lots.__init__ = careless  # type: ignore[method-assign]


BROKEN = {broken.__name__: broken for broken in (record_before_store, settle_without_transaction, settle_without_lease)}


def crawl(job: dict[str, Any]) -> None:
    """Do a job. Ends with SystemExit, as Scrapy does."""
    os.environ.clear()
    os.environ.update(job["environment"])
    if job["broken"]:
        BROKEN[job["broken"]]()
    Knife(Path(job["trace"]), job["plan"], job["victim"], job["asked_to_stop"]).put_in()
    cmdline.execute(["scrapy", "crawl", "lot_photos", *job["arguments"]])


def main() -> None:
    """Take jobs until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            errors = os.open(Path(job["trace"]).with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            try:
                crawl(job)
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:  # noqa: BLE001 # the process ends here, and must not go on as its parent
                traceback.print_exc()
            os._exit(code)
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        sys.stdin.readline()  # until then the id belongs to nobody else: whoever kills late kills a dead process
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
