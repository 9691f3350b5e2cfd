"""What all requests of a site share: settings, connection pools, the one-time link, the cache of photos, and the names
and hosts that depend on whether TLS is in front."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from ops import roles
from vinops import network
from vinops.board import reads
from vinops.db import database, session
from vinops.lots import reads as lots
from web import people
from web.cached import Cached
from web.photos.ads import AdPhotos
from web.photos.cache import FOLDER, Cache
from web.photos.maker import Maker
from web.photos.originals import Originals
from web.photos.thumbnails import Thumbnails

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg import Connection

    from vinops.board.records import Facets
    from vinops.config import Settings

APPLICATION: Final = "vinops web"
READERS, WRITERS, EXPORTS, BUDGETS = 6, 2, 2, 2
"""The most connections: of pages that read, of those that write, of downloads, and for the budgets of photo hosts."""
STATEMENT_MS, EXPORT_MS = 2_000, 10_000
POOL_SECONDS: Final = 2.0
FACETS_SECONDS: Final = 60.0
LINK_SECONDS: Final = 900.0


class Site:
    """The state of a running site."""

    def __init__(self, settings: Settings, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        """Prepare a site that listens on a port of an address. No connection is made yet."""
        self.settings = settings
        self.is_public = settings.web_public_url is not None
        self.port = port
        self.own = _own(host, port)
        self.hosts = frozenset({self.own, *_hosts(settings, port)})
        prefix = "__Host-" if self.is_public else ""
        self.session_cookie, self.language_cookie = f"{prefix}session", f"{prefix}language"
        self._pictures = Cache(settings.data_dir / FOLDER, settings.web_cache_mb * 1_000_000)
        self.maker = Maker()
        self.photos = AdPhotos(settings, self._pictures, self.maker)
        self.originals = Originals(settings)
        self.thumbnails = Thumbnails(self.read, self.originals, self._pictures, self.maker)
        self._reading = self._pool(READERS, read_only=True)
        self._writing = self._pool(WRITERS, read_only=False)
        self._exporting = self._pool(EXPORTS, read_only=True, limit_ms=EXPORT_MS)
        self._facets: Cached[Facets] = Cached(reads.facets, FACETS_SECONDS)
        self._lot_facets: Cached[Facets] = Cached(lots.facets, FACETS_SECONDS)
        self._links: dict[bytes, float] = {}  # the digest of a key, until when it holds

    def _conninfo(self, *, read_only: bool, limit_ms: int = STATEMENT_MS) -> str:
        base = database.address(self.settings, APPLICATION)
        if self.settings.database_url is None:
            base = make_conninfo(base, user=roles.WEB)  # on a server, DATABASE_URL.web names the role
        limits = f"-c statement_timeout={limit_ms} -c default_transaction_read_only={'on' if read_only else 'off'}"
        options = psycopg.conninfo.conninfo_to_dict(base).get("options")
        if options is None:  # a pooler that takes none
            return make_conninfo(base, connect_timeout=2, tcp_user_timeout=2500)
        return make_conninfo(base, connect_timeout=2, tcp_user_timeout=2500, options=f"{options} {limits}")

    def _pool(self, size: int, *, read_only: bool, limit_ms: int = STATEMENT_MS) -> ConnectionPool[Connection[Any]]:
        return ConnectionPool(
            lambda: self._conninfo(read_only=read_only, limit_ms=limit_ms),
            kwargs={"autocommit": True, "context": session.adapters()},
            min_size=0,
            max_size=size,
            open=False,
            timeout=POOL_SECONDS,
            reconnect_timeout=10,
            max_idle=60,
            check=ConnectionPool.check_connection,
            name=f"{APPLICATION} {'reads' if read_only else 'writes'}",
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the pools, without waiting for the database, and close them at the end."""
        async with AsyncConnectionPool(
            lambda: self._conninfo(read_only=False),
            kwargs={"autocommit": True, "context": session.adapters()},
            min_size=0,
            max_size=BUDGETS,
            open=False,
            timeout=POOL_SECONDS,
            reconnect_timeout=10,
            name=f"{APPLICATION} budgets",
        ) as budgets:
            for pool in (self._reading, self._writing, self._exporting):
                pool.open()
            try:
                await asyncio.to_thread(self._pictures.start)
                async with self.maker.running(), self.originals.running(), self.photos.running(budgets):
                    try:
                        yield
                    finally:
                        self.thumbnails.cancel()
            finally:
                for pool in (self._reading, self._writing, self._exporting):
                    pool.close(timeout=1)

    @contextmanager
    def read(self) -> Iterator[Connection[Any]]:
        """Provide a connection that only reads. Raises what is_passing within POOL_SECONDS if there is none."""
        with self._reading.connection() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection[Any]]:
        """Provide a connection that writes. Raises what is_passing within POOL_SECONDS if there is none."""
        with self._writing.connection() as connection:
            yield connection

    @contextmanager
    def export(self) -> Iterator[Connection[Any]]:
        """Provide a connection for a statement of a download, of EXPORTS at once: none of the pages' connections."""
        with self._exporting.connection() as connection:
            yield connection

    def facets(self, connection: Connection[Any]) -> Facets:
        """Return the facets of the board, at most FACETS_SECONDS old; older ones while another request reads them."""
        return self._facets.get(connection)

    def lot_facets(self, connection: Connection[Any]) -> Facets:
        """Return the facets of the lots, as those of the board."""
        return self._lot_facets.get(connection)

    def new_link(self, address: str) -> str:
        """Return the address of a page that signs the operator in, once, within LINK_SECONDS. Earlier ones end."""
        key = secrets.token_urlsafe(32)
        self._links = {people.digest(key): time.monotonic() + LINK_SECONDS}
        return f"{address}/enter?key={key}"

    def take_link(self, key: str) -> bool:
        """Tell whether a key is that of the link, and end the link if it is."""
        until = self._links.pop(people.digest(key), None)  # at once: of two requests one gets it
        return until is not None and time.monotonic() <= until


def _own(host: str, port: int) -> str:
    """Return the name by which a browser on this machine reaches a site that listens on `host`."""
    if not network.is_loopback(host) or host == "127.0.0.1":
        return f"localhost:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hosts(settings: Settings, port: int) -> Iterator[str]:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        yield f"{name}:{port}"
        if port == 80:
            yield name
    if settings.web_public_url is not None:
        public = urlsplit(settings.web_public_url).netloc
        yield public
        yield f"{public}:443" if ":" not in public else public.removesuffix(":443")
