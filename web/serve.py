"""Runs the site in uvicorn, as a service that systemd may watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

import typer
import uvicorn

from ops import roles
from ops.observe import site as site_state
from vinops import config, logs, network, systemd
from vinops.db import database
from vinops.redaction import one_line
from web.app import create
from web.site import APPLICATION, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

log = logging.getLogger("web")
CONNECTIONS: Final = 200
KEEP_ALIVE: Final = 30
STOP_SECONDS: Final = 5
UNREAD_SECONDS: Final = 60
"""After which the kernel ends a connection whose client takes nothing of what is sent, as one that stopped in a
download: uvicorn would wait for it for ever, and CONNECTIONS of them are all that there are."""
SWITCH: Final = 0.001
"""Seconds after which a thread that makes a page lets others go on: pages at the same time, and the loop that accepts
requests, wait for one another for less than with 5 ms, Python's own."""
STARTING: Final = 0.05  # seconds between two looks whether it listens
BEAT: Final = 10.0  # seconds between two signs of life, without a watchdog


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve the site until a signal ends it. Raises ConfigError if the port cannot be opened, or if another
    process serves a site on the data folder."""
    logs.configure("web", settings, console=True)
    try:
        with database.connect(
            settings, application=APPLICATION, autocommit=True
        ) as connection:  # the schema has to fit
            if settings.database_url is None:
                roles.ensure_web(connection)
    except database.NotMigrated:
        raise
    except database.DatabaseError as error:
        log.warning("the database does not answer: pages say so until it does. %s", one_line(str(error)))
    site = Site(settings, host=host, port=port, is_watching=True)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = _listener(host, port, family)
    except OSError as error:
        text = f"--port {port} on {host} cannot be opened ({error.strerror}): choose another"
        raise config.ConfigError(text) from None
    try:
        held = site_state.hold(settings, host, port)
    except BlockingIOError:
        listener.close()
        text = f"a site runs on {settings.data_dir} already: end it, or name another folder in VINOPS_DATA_DIR"
        raise config.ConfigError(text) from None
    own = f"http://{site.own}"
    typer.echo(settings.web_public_url or own, err=True)
    if network.is_loopback(host) and settings.web_public_url is None:
        typer.echo(f"sign in as the operator, once, within 15 minutes: {site.new_link(own)}", err=True)
    setup = uvicorn.Config(
        create(site),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="on",
        ws="none",
        loop="asyncio",
        proxy_headers=settings.web_public_url is not None,
        forwarded_allow_ips="127.0.0.1,::1",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=32_768,
    )
    sys.setswitchinterval(SWITCH)
    with contextlib.closing(listener), os.fdopen(held):
        asyncio.run(_run(_Server(setup), listener))


def _listener(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Return a socket that listens. What it accepts has its options."""
    listener = socket.create_server((host, port), family=family, backlog=128)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
    return listener


class _Server(uvicorn.Server):
    """A server that ends with exit code 0 on SIGTERM and SIGINT; uvicorn's own raises them again after its end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let these signals end the server."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait({running}, timeout=STARTING)
    while not running.done() and not server.started:
        await asyncio.wait({running}, timeout=STARTING)
    systemd.ready()
    try:
        while not running.done():
            systemd.alive()
            await asyncio.wait({running}, timeout=(systemd.watchdog_seconds() or 3 * BEAT) / 3)
    finally:
        systemd.stopping()
    await running
