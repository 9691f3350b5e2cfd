"""A scrapyd node: its HTTP interface, and its errors as exceptions."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode
from uuid import uuid4

from vinops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vinops.config import Secret, Settings

PROJECT: Final = "vinops"
USER: Final = "vinops"
SECONDS: Final = 60.0
"""Seconds to wait for an answer: a node does not answer while it imports a new egg."""
SHOWN: Final = 300  # characters of a message of scrapyd

JobState = Literal["pending", "running", "finished"]
STATES: Final[tuple[JobState, ...]] = ("pending", "running", "finished")


class NodeError(Exception):
    """A node cannot do what it is asked. The message names the node and what fixes it, and shows no password."""


class NodeSilent(NodeError):  # noqa: N818
    """The node was asked, and gave no answer: what it was asked may be done or not."""


class NoEgg(NodeError):  # noqa: N818
    """The node lacks the project, or its egg lacks the spider."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a node. Times are text by the node's own clock, as scrapyd tells them."""

    node: str
    id: str
    spider: str
    state: JobState
    pid: int | None = None
    started: str | None = None
    ended: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeLoad:
    """The jobs of a node, counted over all projects, and the newest version of its egg, None if it has none."""

    pending: int
    running: int
    finished: int
    version: str | None


class Node:
    """One scrapyd node. Methods raise NodeError; what was asked is not done then, unless it is NodeSilent."""

    def __init__(self, name: str, address: str, password: Secret | None) -> None:
        """`address` is http://127.0.0.1:6800 or https://…, without a slash at the end."""
        self.name, self.address = name, address
        self._password = password
        # No proxy of the environment, which loopback is not for, and no redirect: the password goes to this address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def load(self) -> NodeLoad:
        """Return the load of the node."""
        counts = self._ask("daemonstatus.json")
        versions = self.versions()
        return NodeLoad(
            pending=int(counts["pending"]),
            running=int(counts["running"]),
            finished=int(counts["finished"]),
            version=versions[-1] if versions else None,
        )

    def versions(self) -> list[str]:
        """Return the versions of the egg that are stored, the one that jobs run from last."""
        return [str(each) for each in self._ask("listversions.json", query={"project": PROJECT})["versions"]]

    def jobs(self) -> list[Job]:
        """Return the node's jobs: those that wait, that run, and the last that ended. A node without egg has none."""
        try:
            found = self._ask("listjobs.json", query={"project": PROJECT})
        except NoEgg:
            return []
        return [
            Job(
                node=self.name,
                id=str(each["id"]),
                spider=str(each["spider"]),
                state=state,
                pid=each.get("pid"),
                started=each.get("start_time"),
                ended=each.get("end_time"),
            )
            for state in STATES
            for each in found[state]
        ]

    def schedule(self, spider: str, job: str, arguments: Mapping[str, str], settings: Sequence[str]) -> str:
        """Have a spider run as a job of this id, with -a `arguments` and -s `settings`; return the id."""
        form = [("project", PROJECT), ("spider", spider), ("jobid", job)]
        form += [("setting", each) for each in settings]
        form += list(arguments.items())
        return str(self._ask("schedule.json", body=urlencode(form).encode())["jobid"])

    def cancel(self, job: str) -> JobState | None:
        """Stop a job, as Ctrl-C does, or remove it from the queue; return its state before, None if there is no job."""
        form = urlencode({"project": PROJECT, "job": job}).encode()
        found = self._ask("cancel.json", body=form)["prevstate"]
        return found if found in STATES else None

    def deploy(self, egg: bytes, version: str) -> int:
        """Give the node an egg under a version; return how many spiders are in it. Jobs that run keep their egg.

        The node stores it first: one that it refuses is its newest version until it is removed.
        """
        boundary = uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in (("project", PROJECT), ("version", version))
        ]
        parts += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="egg"; filename="vinops.egg"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode(),
            egg,
            f"\r\n--{boundary}--\r\n".encode(),
        ]
        answer = self._ask(
            "addversion.json", body=b"".join(parts), content_type=f"multipart/form-data; boundary={boundary}"
        )
        return int(answer["spiders"])

    def remove(self, version: str) -> None:
        """Remove a version of the egg, which may not be there. Jobs that run keep their egg."""
        form = urlencode({"project": PROJECT, "version": version}).encode()
        try:
            self._ask("delversion.json", body=form)
        except NoEgg:
            return

    def _ask(
        self,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/x-www-form-urlencoded",
    ) -> dict[str, Any]:
        url = f"{self.address}/{what}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, data=body)  # noqa: S310 # the settings allow http and https only
        if body is not None:
            request.add_header("Content-Type", content_type)
        if self._password is not None:
            account = b64encode(f"{USER}:{self._password.reveal()}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {account}")
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # no answer in time, or one that is not JSON
            raise self._no_answer(error) from None
        if not isinstance(found, dict) or found.get("status") != "ok":
            raise self._complaint(str(found.get("message", "")) if isinstance(found, dict) else "")
        return found

    def _refusal(self, code: int) -> NodeError:
        if code == 401:
            return NodeError(
                f"node {self.name} refuses the password: VINOPS_SCRAPYD_PASSWORD is to be what {self.address} has"
            )
        return NodeError(f"node {self.name} answers {code}: is there a scrapyd at {self.address}?")

    def _no_answer(self, error: Exception) -> NodeError:
        if isinstance(error, ValueError):
            return NodeError(f"node {self.name} does not answer with JSON: is there a scrapyd at {self.address}?")
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or str(reason)
        if isinstance(error, urllib.error.URLError):  # it went wrong before all was sent
            return NodeError(
                f"node {self.name} is down ({words}): start scrapyd at {self.address}, or repair the connection to it"
            )
        return NodeSilent(f"node {self.name} gave no answer ({words}): see `vinops nodes jobs` for what it did")

    def _complaint(self, message: str) -> NodeError:
        """Return the exception for an error of scrapyd, which has no codes."""
        if ("project '" in message or "version '" in message) and "not found" in message:
            return NoEgg(f"node {self.name} has no egg of {PROJECT}: run `vinops nodes deploy`")
        if "spider '" in message and "not found" in message:
            return NoEgg(f"node {self.name}: {message}; its egg is another version: run `vinops nodes deploy`")
        lines = message.strip().splitlines()  # the last one of a traceback names the error
        said = redact(lines[-1])[-SHOWN:] if lines else "nothing"
        return NodeError(f"node {self.name} says: {said}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow no redirect: it is an error, with its code."""


def nodes_of(settings: Settings) -> list[Node]:
    """Return the nodes that VINOPS_SCRAPYD_NODES names, in its order."""
    return [Node(name, address, settings.scrapyd_password) for name, address in settings.scrapyd_nodes.items()]
