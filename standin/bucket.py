"""An S3 bucket on loopback, reduced to what photos need: PUT, HEAD and GET of objects, path-style, over HTTP/1.1.

    python -m standin.bucket serve --bucket photos

moto's server implements all of S3 and uses 3.5 ms of CPU time for a PUT and 2.4 ms for a HEAD (200 kB, AMD EPYC,
2026-11-25), so a benchmark on two cores measures moto. This server uses a fifth of that. The ETag is the MD5 of the
body, a body that does not match its Content-MD5 is refused with 400, and a missing object is a 404. Signatures are not
checked. GET /control/requests lists the requests and GET /control/objects counts the stored objects; DELETE clears
either.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from standin.core import LoopbackServer, add_port, serve_command, serve_parser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Maximum size of a request body in bytes, about a hundred times the size of a photo.
LARGEST: Final = 50_000_000


@dataclass(kw_only=True, slots=True)
class Request:
    """A recorded request and the HTTP status of its response."""

    method: str
    path: str
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """A stored object."""

    body: bytes
    md5: bytes
    content_type: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the response headers that describe the object: ETag and Content-Type."""
        return {"ETag": f'"{self.md5.hex()}"', "Content-Type": self.content_type}


class BucketServer(LoopbackServer):
    """A server with one bucket, run in its own thread for the duration of a `with` block."""

    def __init__(self, *, bucket: str, host: str = "127.0.0.1", port: int = 0) -> None:
        """Create an empty bucket. Raises ValueError for a host that is not loopback."""
        super().__init__(name="bucket", host=host, ports={"bucket": port}, faults={})
        self.bucket = bucket
        self.requests: list[Request] = []
        self.objects: dict[str, Object] = {}

    @property
    def endpoint(self) -> str:
        """Return the URL to set R2_ENDPOINT to."""
        return self.address("bucket")

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Raise ValueError: this server supports no faults, because it is only used for benchmarks."""
        self.faults.add(name, times, options)

    def applications(self) -> Mapping[str, web.Application]:
        """Return the application served on the port."""
        application = web.Application(client_max_size=LARGEST)
        self.add_control(application)
        application.router.add_get("/control/objects", self._control_objects)
        application.router.add_delete("/control/objects", self._control_empty)
        application.router.add_route("*", "/{bucket}/{key:.+}", self._answer)
        return {"bucket": application}

    async def _answer(self, request: web.Request) -> web.Response:
        bucket, key = request.match_info["bucket"], request.match_info["key"]
        if bucket != self.bucket:
            response = _refusal(404, "NoSuchBucket")
        elif request.method == "PUT":
            response = self._put(key, await request.read(), request)
        elif request.method in {"GET", "HEAD"}:
            response = self._get(key)
        else:
            response = _refusal(405, "MethodNotAllowed")
        self.requests.append(Request(method=request.method, path=request.path, status=response.status))
        return response

    def _put(self, key: str, body: bytes, request: web.Request) -> web.Response:
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        wanted = request.headers.get("Content-MD5")
        if wanted is not None and wanted != base64.b64encode(md5).decode("ascii"):
            return _refusal(400, "BadDigest")
        self.objects[key] = stored = Object(body=body, md5=md5, content_type=request.content_type)
        return web.Response(headers={"ETag": stored.headers["ETag"]})

    def _get(self, key: str) -> web.Response:
        found = self.objects.get(key)
        return _refusal(404, "NoSuchKey") if found is None else web.Response(body=found.body, headers=found.headers)

    async def _control_objects(self, _: web.Request) -> web.Response:
        return web.json_response({"objects": len(self.objects)})

    async def _control_empty(self, _: web.Request) -> web.Response:
        self.objects.clear()
        return web.json_response({"objects": 0})


def _refusal(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    parser, serve = serve_parser("bucket", "A stand-in for a bucket of S3.")
    serve.add_argument("--bucket", required=True, metavar="NAME", help="name of the only bucket")
    add_port(serve)
    options = parser.parse_args(arguments)
    return serve_command(
        "bucket",
        lambda: BucketServer(bucket=options.bucket, host=options.host, port=options.port),
        lambda server: {"endpoint": server.endpoint},
    )


if __name__ == "__main__":
    sys.exit(main())
