"""What every stand-in server is made of: loopback ports in a thread of its own, and faults that wait for their turn."""

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

#: Seconds a test waits for the server's thread before it is told that something hangs.
PATIENCE: Final = 30


Server = TypeVar("Server", bound="LoopbackServer")


@dataclass(kw_only=True)
class Fault:
    """A fault that answers the next `times` requests it is meant for, or all of them.

    `host` and `lots` narrow down which requests those are; None is any.
    """

    name: str
    times: int | None
    options: dict[str, Any] = field(default_factory=dict)
    host: str | None = None
    lots: frozenset[int] | None = None


class FaultQueue:
    """Faults in the order in which they were asked for. May be used from any thread."""

    def __init__(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the faults of these names, each with its options and their defaults."""
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
        """Queue a fault up. Raises ValueError for an unknown name or option, and for `times` below 1."""
        known = self._known.get(name)
        if known is None:
            message = f"unknown fault {name!r}: choose one of {', '.join(self._known)}"
            raise ValueError(message)
        if wrong := sorted(options.keys() - known.keys()):
            message = f"fault {name} has no option {', '.join(wrong)}; it knows {', '.join(known) or 'none'}"
            raise ValueError(message)
        if times is not None and times < 1:
            message = f"times must be at least 1, or left out for always, not {times}"
            raise ValueError(message)
        chosen = None if lots is None else frozenset(lots)
        with self._lock:
            self._faults.append(Fault(name=name, times=times, options={**known, **options}, host=host, lots=chosen))

    def take(self, meant: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """The first fault that is meant for a request, one of its times used up; None if there is none."""
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
        """From now on all is well."""
        with self._lock:
            self._faults.clear()


class LoopbackServer(ABC):
    """One or more HTTP applications in a thread of their own, from `with` to the end of the block.

    `ports` maps each application to its port; 0 until the server has started picks a free one.
    """

    #: What was asked so far: dataclasses, each server's own.
    requests: list[Any]

    def __init__(
        self, *, name: str, host: str, ports: Mapping[str, int], faults: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Prepare to listen; `faults` are the known ones, each with its options and their defaults.

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
        """The application behind each name in `ports`; called in the server's thread."""

    @abstractmethod
    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Let the next `times` requests (all of them without it) meet that fault; ValueError for one unknown."""

    def clear_faults(self) -> None:
        """From now on all is well."""
        self.faults.clear()

    def clear_requests(self) -> None:
        """Forget what was asked so far."""
        self.requests.clear()

    def address(self, name: str) -> str:
        """The root of that application, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.ports[name]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when requests are answered. Raises OSError if a port is taken."""
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            message = f"the {self.name} stand-in did not start within {PATIENCE} seconds"
            raise TimeoutError(message)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Stop listening, end every answer under way, and wait for the thread."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)

    async def pause(self, seconds: float) -> bool:
        """Wait that long, or until the server stops; whether it stopped."""
        if self._stopping is None:
            return True
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def add_control(self, application: web.Application) -> None:
        """Answer POST and DELETE /control/fault, GET and DELETE /control/requests there."""
        application.router.add_post("/control/fault", self._control_fault)
        application.router.add_delete("/control/fault", self._control_clear)
        application.router.add_get("/control/requests", self._control_requests)
        application.router.add_delete("/control/requests", self._control_forget)

    async def _control_fault(self, request: web.Request) -> web.Response:
        """`{"name": …, "times": …, "options": {…}}`, and `host` and `lots` where the server knows them."""
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
    """Serve until SIGINT or SIGTERM. One line of JSON on standard output says when and where it answers."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with server:
        sys.stdout.write(json.dumps(addresses()) + "\n")
        sys.stdout.flush()
        done.wait()


def serve_parser(name: str, description: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parser of `python -m standin.NAME`, and that of its command `serve` with --host, for more options."""
    parser = argparse.ArgumentParser(prog=f"python -m standin.{name}", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve on loopback until interrupted")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    return parser, serve


def add_port(serve: argparse.ArgumentParser, option: str = "--port") -> None:
    """Let an option name a port."""
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
    """A page."""
    content = body.encode() if isinstance(body, str) else body
    return web.Response(body=content, status=status, content_type="text/html", charset="utf-8", headers=headers)


def unchanged(request: web.Request, *, etag: str, last_modified: str) -> bool:
    """Whether the client says that it has that version; an ETag wins over a date, a broken condition is none."""
    known = request.headers.get("If-None-Match")
    if known is not None:
        return known.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    since = request.headers.get("If-Modified-Since")
    try:
        return since is not None and parsedate_to_datetime(since) >= parsedate_to_datetime(last_modified)
    except (TypeError, ValueError):
        return False


def close(request: web.Request, *, reset: bool = False) -> None:
    """End the connection although the answer is not complete, politely or with a reset."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        # Lingering for zero seconds makes the kernel answer with RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
