"""A pooler in front of a PostgreSQL server, as pgbouncer: in session mode or in transaction mode, where each
transaction is served by any of its connections. It listens on a Unix socket, and its server trusts it."""

from __future__ import annotations

import asyncio
import struct
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from pathlib import Path

ENCRYPTION = {80877103, 80877104}  # SSLRequest, GSSENCRequest
CANCEL = 80877102


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def received(reader: StreamReader) -> tuple[bytes, bytes]:
    """Return the kind and the body of a message. Raises IncompleteReadError at the end."""
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


class Pooler:
    """Serves in a thread, from entering it until it is left. `url` is its address."""

    def __init__(self, folder: Path, server_url: str, *, mode: str, takes_options: bool = False) -> None:
        """Listen in a folder, in front of the database of an address; `mode` is session or transaction."""
        told = conninfo_to_dict(server_url)
        self._server = f"{told['host']}/.s.PGSQL.{told.get('port') or 5432}"
        self._parameters = {"user": str(told["user"]), "database": str(told["dbname"])}
        self._folder, self._mode, self._takes_options = folder, mode, takes_options
        self._idle: list[tuple[StreamReader, StreamWriter]] = []
        self._greeting = b""
        self._writers: set[StreamWriter] = set()
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.url = f"postgresql://{told['user']}@/{told['dbname']}?host={quote(str(folder), safe='')}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with await asyncio.start_unix_server(self._serve, self._folder / ".s.PGSQL.5432"):
            self._ready.set()
            await self._end.wait()
            for writer in self._writers:
                writer.close()
            await asyncio.sleep(0.05)  # for the tasks of their clients to end

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        if self._idle:
            return self._idle.pop()  # the last one first, as pgbouncer
        reader, writer = await asyncio.open_unix_connection(self._server)
        self._writers.add(writer)
        given = b"".join(f"{name}\0{value}\0".encode() for name, value in self._parameters.items())
        start = struct.pack("!i", 196608) + given + b"\0"
        writer.write(struct.pack("!i", len(start) + 4) + start)
        greeting = b""
        while True:
            kind, body = await received(reader)
            assert kind != b"E", body
            if kind == b"S":
                greeting += message(kind, body)
            if kind == b"Z":
                self._greeting = greeting
                return reader, writer

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.add(writer)
        server: tuple[StreamReader, StreamWriter] | None = None
        pump: asyncio.Task[None] | None = None
        try:
            if not await self._greet(reader, writer):
                return
            while True:
                kind, body = await received(reader)
                if kind == b"X":
                    break
                if pump is not None and pump.done():
                    server = None
                if server is None:
                    server = await self._connect()
                    pump = asyncio.create_task(self._pump(server, writer))
                server[1].write(message(kind, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if pump is not None and not pump.done():
                pump.cancel()
                assert server is not None
                server[1].close()
            writer.close()

    async def _greet(self, reader: StreamReader, writer: StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!i", body[:4])
            if code not in ENCRYPTION:
                break
            writer.write(b"N")
        if code == CANCEL:
            return False
        if b"\0options\0" in body and not self._takes_options:
            error = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            writer.write(message(b"E", error))
            return False
        self._idle.append(await self._connect())
        own_key = message(b"K", struct.pack("!ii", 1_234_567, 89))  # not that of the server's process
        writer.write(message(b"R", struct.pack("!i", 0)) + self._greeting + own_key + message(b"Z", b"I"))
        return True

    async def _pump(self, server: tuple[StreamReader, StreamWriter], client: StreamWriter) -> None:
        """Pass on what the server says, in transaction mode to the end of the transaction."""
        while True:
            kind, body = await received(server[0])
            is_over = kind == b"Z" and body == b"I" and self._mode == "transaction"
            if is_over:
                self._idle.append(server)
            client.write(message(kind, body))
            if is_over:
                return
