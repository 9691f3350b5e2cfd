"""A scrapyd node as far as `vinops nodes` asks one: it stores an egg before it looks into it, as scrapyd 1.6 does."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from ops.nodes.scrapyd import Node
from vinops.config import Secret

PASSWORD = "stand-in-node-password"
ACCOUNT = f"Basic {b64encode(f'vinops:{PASSWORD}'.encode()).decode()}"


@dataclass(kw_only=True)
class FakeScrapyd:
    """One node: the versions that it has, the newest last, and whether it refuses each egg or each removal."""

    name: str
    versions: list[str] = field(default_factory=list)
    refuses_eggs: bool = False
    refuses_removals: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Serve on a port of loopback."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Answers,), {"node": self}))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def client(self) -> Node:
        """Who asks it."""
        return Node(self.name, self.address, Secret(PASSWORD))

    def answer(self, what: str, given: dict[str, str]) -> dict[str, Any]:
        """Return the answer to a request."""
        if what == "listversions.json":
            return {"status": "ok", "versions": self.versions}
        if what == "listjobs.json":
            return {"status": "ok", "pending": [], "running": [], "finished": []}
        if what == "addversion.json":
            self.versions.append(given["version"])
            message = 'Traceback (most recent call last):\n  File "x"\nSyntaxError: invalid syntax'
            return {"status": "error", "message": message} if self.refuses_eggs else {"status": "ok", "spiders": 2}
        if what == "delversion.json":
            if self.refuses_removals:
                return {"status": "error", "message": "OSError: Read-only file system"}
            if given["version"] not in self.versions:
                return {"status": "error", "message": f"version '{given['version']}' not found"}
            self.versions.remove(given["version"])
            return {"status": "ok"}
        return {"status": "error", "message": f"nobody asks for {what}"}


class Answers(BaseHTTPRequestHandler):
    """Answers the requests of one node."""

    node: FakeScrapyd

    def do_GET(self) -> None:
        """Answer a question."""
        self._answer({})

    def do_POST(self) -> None:
        """Do what is asked."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b'name="version"' in body:
            self._answer({"version": body.split(b'name="version"\r\n\r\n')[1].split(b"\r\n")[0].decode()})
        else:
            self._answer({name: values[0] for name, values in parse_qs(body.decode()).items()})

    def _answer(self, given: dict[str, str]) -> None:
        what = urlsplit(self.path).path.lstrip("/")
        self.node.asked.append(what)
        is_known = self.headers["Authorization"] == ACCOUNT
        body = json.dumps(self.node.answer(what, given) if is_known else {}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""
