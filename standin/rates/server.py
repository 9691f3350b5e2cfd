"""The ECB's daily reference rates on loopback, with faults on demand.

    with RatesServer(usd="1.1234") as server:
        get(server.url)
        server.fault("forbidden_403", times=1)

The same over HTTP: POST and DELETE /control/fault, GET and DELETE /control/requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from standin.core import LoopbackServer, close

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = "/stats/eurofxref/eurofxref-daily.xml"
FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "forbidden_403": {},
    "too_many_429": {"retry_after": 30},
    "server_error_502": {},
    "redirect": {"to": "/elsewhere"},
    "html": {},  # a page instead of the file
    "huge": {"bytes": 5_000_000},
    "bomb": {},  # entities that would expand to gigabytes
    "cut": {"bytes": 400},  # the first bytes, as a whole answer
    "no_dollar": {},
    "drip": {"seconds": 0.05},  # an endless answer, one byte at a time
    "reset": {},
    "garbage": {},  # an answer that is no HTTP
}
OTHERS: Final = {"JPY": "171.35", "CZK": "24.9", "GBP": "0.8713", "CHF": "0.9345", "CAD": "1.5512"}


@dataclass(kw_only=True)
class Request:
    """A recorded request; `status` is 0 until there is a response."""

    method: str
    path: str
    user_agent: str = ""
    fault: str | None = None
    status: int = 0


class RatesServer(LoopbackServer):
    """A server of one day's rates, run in its own thread for the duration of a `with` block."""

    def __init__(self, *, usd: str = "1.1000", day: date | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve so many dollars for one euro. `day` is that of the rates; None: today, in UTC.

        Raises ValueError for a host that is not loopback.
        """
        super().__init__(name="rates", host=host, ports={"rates": port}, faults=FAULTS)
        self.usd = usd
        self.day = day
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """Return the address to set ECB_RATES_URL to."""
        return f"{self.address('rates')}{PATH}"

    def addresses(self) -> dict[str, str]:
        """Return what `serve` prints."""
        return {"url": self.url}

    def fault(self, name: str, times: int | None = None, **options: Any) -> None:
        """Queue a fault for the next `times` requests (None: for all). Raises ValueError for an unknown one."""
        self.faults.add(name, times, options)

    def applications(self) -> Mapping[str, web.Application]:
        """Return the application served on the port."""
        application = web.Application()
        self.add_control(application)
        application.router.add_get("/{rest:.*}", self._answer)
        return {"rates": application}

    def content(self, others: Mapping[str, str] = OTHERS) -> str:
        """Return the file."""
        day = self.day or datetime.now(UTC).date()
        cubes = "".join(
            f"\t\t\t<Cube currency='{name}' rate='{rate}'/>\n" for name, rate in {"USD": self.usd, **others}.items()
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<gesmes:Envelope '
            'xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
            'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n'
            "\t<gesmes:subject>Reference rates</gesmes:subject>\n"
            "\t<gesmes:Sender>\n\t\t<gesmes:name>European Central Bank</gesmes:name>\n\t</gesmes:Sender>\n"
            f"\t<Cube>\n\t\t<Cube time='{day}'>\n{cubes}\t\t</Cube>\n\t</Cube>\n</gesmes:Envelope>\n"
        )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        note = Request(method=request.method, path=request.path, user_agent=request.headers.get("User-Agent", ""))
        self.requests.append(note)
        if request.path != PATH:
            note.status = 404
            return web.Response(status=404, text="not found")
        fault = self.faults.take()
        if fault is None:
            note.status = 200
            return _xml(self.content())
        note.fault = fault.name
        if fault.name in ("drip", "reset", "garbage"):
            return await self._keep_waiting(request, fault.name, fault.options)
        response = self._faulty(fault.name, fault.options)
        note.status = response.status
        return response

    async def _keep_waiting(self, request: web.Request, name: str, options: Mapping[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        if name == "drip":
            await response.prepare(request)
            while not await self.pause(options["seconds"]):
                await response.write(b" ")
        if name == "garbage" and request.transport is not None:
            request.transport.write(b"this is no HTTP\r\n\r\n")
        close(request, reset=name == "reset")
        return response

    def _faulty(self, name: str, options: Mapping[str, Any]) -> web.Response:
        match name:
            case "forbidden_403" | "server_error_502":
                return web.Response(status=int(name[-3:]), text="no")
            case "too_many_429":
                return web.Response(status=429, headers={"Retry-After": str(options["retry_after"])})
            case "redirect":
                return web.Response(status=302, headers={"Location": options["to"]})
            case "html":
                return web.Response(text="<html><body><p>Maintenance<br></body></html>", content_type="text/html")
            case "huge":
                return _xml(self.content() + " " * options["bytes"])
            case "bomb":
                return _xml(_bomb())
            case "cut":
                return _xml(self.content()[: options["bytes"]])
        return _xml(self.content().replace("USD", "XXX"))


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")


def _bomb() -> str:
    entities = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 10))
    return f'<!DOCTYPE lolz [<!ENTITY e0 "lol">{entities}]><Cube><Cube time="2026-11-27">&e9;</Cube></Cube>'
