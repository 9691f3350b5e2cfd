"""The base of every stand-in server: HTTP applications on loopback ports in their own thread, and a queue of faults."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import signal
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

#: Seconds to wait for the server's thread to start (then TimeoutError is raised) or to stop.
PATIENCE: Final = 30


Server = TypeVar("Server", bound="LoopbackServer")


@dataclass(kw_only=True)
class Fault:
    """A fault that replaces the response to the next `times` requests it applies to (None: to all of them).

    `host` and `lots` restrict the requests it applies to; None is no restriction.
    """

    name: str
    times: int | None
    options: dict[str, Any] = field(default_factory=dict)
    host: str | None = None
    lots: frozenset[int] | None = None


class FaultQueue:
    """A thread-safe queue of faults, in the order in which they were added."""

    def __init__(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """Accept faults with the names in `known`, which maps each name to its options and their defaults."""
        self._known = known
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        times: int | None,
        options: Mapping[str, Any],
        *,
        host: str | None = None,
        lots: Collection[int] | None = None,
    ) -> None:
        """Queue a fault. Raises ValueError for an unknown name or option, and for `times` below 1."""
        known = self._known.get(name)
        if known is None:
            message = f"unknown fault {name!r}: choose one of {', '.join(self._known)}"
            raise ValueError(message)
        if wrong := sorted(options.keys() - known.keys()):
            message = f"fault {name} has no option {', '.join(wrong)}: its options are {', '.join(known) or 'none'}"
            raise ValueError(message)
        if times is not None and times < 1:
            message = f"times must be at least 1, or omitted for no limit, not {times}"
            raise ValueError(message)
        chosen = None if lots is None else frozenset(lots)
        with self._lock:
            self._faults.append(Fault(name=name, times=times, options={**known, **options}, host=host, lots=chosen))

    def take(self, meant: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Return the first fault for which `meant` is true, or None, and count one of its `times` as used.

        A fault whose `times` are used up leaves the queue.
        """
        with self._lock:
            for position, fault in enumerate(self._faults):
                if meant(fault):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            del self._faults[position]
                    return fault
        return None

    def clear(self) -> None:
        """Remove all queued faults."""
        with self._lock:
            self._faults.clear()


class LoopbackServer(ABC):
    """One or more HTTP applications, run in their own thread for the duration of a `with` block.

    `ports` maps the name of each application to its port. Port 0 picks a free one, which replaces the 0 on start.
    """

    #: The recorded requests, as instances of a dataclass that each server defines.
    requests: list[Any]

    def __init__(
        self, *, name: str, host: str, ports: Mapping[str, int], faults: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Set up the server without listening yet; `faults` maps each known fault to its options and their defaults.

        Raises ValueError for a host that is not loopback.
        """
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            message = f"the stand-in serves on loopback only, not on {host}"
            raise ValueError(message)
        self.name = name
        self.host = host
        self.ports = dict(ports)
        self.faults = FaultQueue(faults)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-stand-in", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @abstractmethod
    def applications(self) -> Mapping[str, web.Application]:
        """Return the application for each name in `ports`. Called in the server's thread."""

    @abstractmethod
    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Queue a fault for the next `times` requests (None: for all). Raises ValueError for an unknown fault."""

    def clear_faults(self) -> None:
        """Remove all queued faults."""
        self.faults.clear()

    def clear_requests(self) -> None:
        """Clear the recorded requests."""
        self.requests.clear()

    def address(self, name: str) -> str:
        """Return the root URL of an application, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.ports[name]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start to listen, and return once requests are answered.

        Raises OSError if a port is taken, and TimeoutError if the server has not started within PATIENCE seconds.
        """
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            message = f"the {self.name} stand-in did not start within {PATIENCE} seconds"
            raise TimeoutError(message)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Stop listening, end all responses in progress, and wait for the thread."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)

    async def pause(self, seconds: float) -> bool:
        """Wait for so many seconds or until the server stops; return whether it is stopping."""
        if self._stopping is None:
            return True
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def add_control(self, application: web.Application) -> None:
        """Add the routes POST and DELETE /control/fault and GET and DELETE /control/requests to an application."""
        application.router.add_post("/control/fault", self._control_fault)
        application.router.add_delete("/control/fault", self._control_clear)
        application.router.add_get("/control/requests", self._control_requests)
        application.router.add_delete("/control/requests", self._control_forget)

    async def _control_fault(self, request: web.Request) -> web.Response:
        """Queue a fault from JSON: `{"name": …, "times": …, "options": {…}}`, and `host` and `lots` where supported."""
        try:
            order = json.loads(await request.text())
            narrowed = {key: order[key] for key in ("host", "lots") if key in order}
            self.fault(order["name"], order.get("times"), **narrowed, **order.get("options") or {})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"fault": order["name"]})

    async def _control_clear(self, _: web.Request) -> web.Response:
        self.clear_faults()
        return web.json_response({"fault": None})

    async def _control_requests(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(request) for request in self.requests])

    async def _control_forget(self, _: web.Request) -> web.Response:
        self.clear_requests()
        return web.json_response({"requests": 0})

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        runners: list[web.AppRunner] = []
        try:
            for name, application in self.applications().items():
                runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1)
                runners.append(runner)
                await runner.setup()
                await web.TCPSite(runner, self.host, self.ports[name]).start()
                self.ports[name] = runner.addresses[0][1]
            self._ready.set()
            await self._stopping.wait()
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))


def serve_until_told(server: LoopbackServer, addresses: Callable[[], Mapping[str, str]]) -> None:
    """Serve until SIGINT or SIGTERM. Print the addresses as one line of JSON once the server is ready."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with server:
        sys.stdout.write(json.dumps(addresses()) + "\n")
        sys.stdout.flush()
        done.wait()


def serve_parser(name: str, description: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parser of `python -m standin.NAME`, and that of its command `serve`, which has --host so far."""
    parser = argparse.ArgumentParser(prog=f"python -m standin.{name}", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve on loopback until interrupted")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    return parser, serve


def add_port(serve: argparse.ArgumentParser, option: str = "--port") -> None:
    """Add an option for a port number."""
    serve.add_argument(option, type=int, default=0, metavar="N", help="0 picks a free one (%(default)s)")


def serve_command(name: str, make: Callable[[], Server], addresses: Callable[[Server], Mapping[str, str]]) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 1 with a message if the server cannot start."""
    try:
        server = make()
        serve_until_told(server, lambda: addresses(server))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"standin.{name}: {error}\n")
        return 1
    return 0


def html(body: bytes | str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an HTML response."""
    content = body.encode() if isinstance(body, str) else body
    return web.Response(body=content, status=status, content_type="text/html", charset="utf-8", headers=headers)


def unchanged(request: web.Request, *, etag: str, last_modified: str) -> bool:
    """Return whether a conditional request already has this version, so that the response is 304 Not Modified.

    If-None-Match takes precedence over If-Modified-Since; a condition that cannot be parsed is ignored.
    """
    known = request.headers.get("If-None-Match")
    if known is not None:
        return known.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    since = request.headers.get("If-Modified-Since")
    try:
        return since is not None and parsedate_to_datetime(since) >= parsedate_to_datetime(last_modified)
    except (TypeError, ValueError):
        return False


def close(request: web.Request, *, reset: bool = False) -> None:
    """Close the connection before the response is complete, with FIN or, if `reset`, with RST."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        # SO_LINGER with zero seconds makes the kernel send RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
