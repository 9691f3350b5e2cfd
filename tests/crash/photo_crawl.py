"""Runs photo crawls, each in a process of its own that may be killed: `python tests/crash/photo_crawl.py`.

The fault-injection points are those of crawl_fault_injection.py; `body` is a part of a photo of which more is to come.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import crawl_fault_injection  # beside this file
import psycopg
from scrapy.core.downloader.handlers import http11

from vinops.storage import folder as objects_folder
from vinops_scrapy.copart import leases as lots, work
from vinops_scrapy.pipelines import photo_record, photo_store, validate  # noqa: F401 # before the fork, for they take time
from vinops_scrapy.spiders import lot_photos  # noqa: F401 # as those

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FaultInjector(crawl_fault_injection.FaultInjector):
    """Strikes photo crawls."""

    calls = (
        ("decode", validate, "validated"),
        ("put", objects_folder.Folder, "put"),
        ("write", objects_folder, "_write"),
        ("rename", Path, "replace"),
    )
    awaited = (
        ("listed", work.Work, "listed"),
        ("enlist", lots.Lots, "enlist"),
        ("lease", lots.Lots, "lease_due"),
        ("settle", lots.Lots, "settle"),
        ("give_back", work.Work, "give_back"),
        ("commit", psycopg.AsyncTransaction, "__aexit__"),
    )
    query_files = ("photos", "politeness", "crawls")

    def install(self) -> None:
        """Patch the calls and the statements of this process, and what reads answers."""
        super().install()
        received = http11._ResponseReader.dataReceived

        def in_parts(reader: Any, data: bytes) -> None:
            received(reader, data)
            if reader._request.meta["expects"] == "image" and reader._bytes_received < reader._txresponse.length:
                self._event("body", self._next("body"), "after")

        http11._ResponseReader.dataReceived = in_parts  # type: ignore[method-assign]


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

    def careless(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        self._queries = MappingProxyType(statements)

    lots.Lots.__init__ = careless  # type: ignore[method-assign]


BROKEN = {broken.__name__: broken for broken in (record_before_store, settle_without_transaction, settle_without_lease)}


if __name__ == "__main__":
    crawl_fault_injection.take_jobs("lot_photos", FaultInjector, BROKEN)
