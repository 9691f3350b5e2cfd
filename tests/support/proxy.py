"""A forwarding HTTP proxy on loopback: plain requests and CONNECT, with a user name and a password if it has them."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

HOP: Final = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade"}
SECONDS: Final = 30
SHUT: Final = b"<h1>Proxy Authentication Required</h1>"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A request that came to the proxy: `target` is what was asked for, `status` what the proxy answered."""

    method: str
    target: str
    status: int


class Proxy:
    """A proxy in threads of its own, from `with` to the end of the block."""

    def __init__(self, *, username: str = "", password: str = "") -> None:
        """Listen. With a user name, whoever does not give both is answered 407."""
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.expected = f"Basic {pair}" if username else None
        self.requests: list[Passed] = []
        self._userinfo = f"{username}:{password}@" if username else ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def label(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The proxy as PROXY_LIST names it."""
        return f"http://{self._userinfo}{self.label}"

    def passed(self, *, method: str = "GET") -> list[str]:
        """Return what was asked for and let through, in order."""
        return [each.target for each in self.requests if each.method == method and each.status != 407]

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SECONDS)


def dead() -> str:
    """Return the address of a proxy that nobody serves."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name that http.server calls
        """Ask the host, and hand its answer on."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._may_pass():
            return
        parts = urlsplit(self.path)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            upstream.request(self.command, path, body or None, headers)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self._note(answer.status)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*HOP, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 # the name that http.server calls

    def do_CONNECT(self) -> None:  # the name that http.server calls
        """Open a tunnel."""
        if not self._may_pass():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS) as upstream:
            self._note(200)
            self.send_response_only(200)
            self.end_headers()
            both = [self.connection, upstream]
            while ready := select.select(both, [], [], SECONDS)[0]:
                for end in ready:
                    data = end.recv(65_536)
                    if not data:
                        self.close_connection = True
                        return
                    both[end is self.connection].sendall(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _may_pass(self) -> bool:
        if self.server.proxy.expected in (None, self.headers.get("Proxy-Authorization")):
            return True
        self._note(407)
        self.send_response_only(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", str(len(SHUT)))
        self.end_headers()
        self.wfile.write(SHUT)
        return False

    def _note(self, status: int) -> None:
        self.server.proxy.requests.append(Passed(method=self.command, target=self.path, status=status))
