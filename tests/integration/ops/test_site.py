"""Whether the site runs, as `vinops health` sees it: by the lock that it holds, and by its answer."""

from __future__ import annotations

import http.server
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ops.observe import site
from ops.observe.site import Site

if TYPE_CHECKING:
    from vinops.config import Settings


class Answers(http.server.BaseHTTPRequestHandler):
    """Says 200 to a request for its state under a name of this machine, 404 to others."""

    def do_GET(self) -> None:
        is_right = self.path == "/health" and self.headers["Host"] == f"localhost:{self.server.server_address[1]}"
        self.send_response(200 if is_right else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_site_that_does_not_run_has_no_address(settings: Settings) -> None:
    assert site.read(settings) == Site()
    os.close(site.hold(settings, "127.0.0.1", 8080))  # as the kernel does when its process ends
    assert site.read(replace(settings, web_public_url="https://cars.example")) == Site(
        public_url="https://cars.example"
    )


def test_a_site_that_runs_is_asked(settings: Settings) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        with os.fdopen(site.hold(settings, "0.0.0.0", port)):
            found = site.read(settings)
            with pytest.raises(BlockingIOError):
                site.hold(settings, "127.0.0.1", 1)
        server.shutdown()
        thread.join()
    assert found == Site(address=f"0.0.0.0:{port}", answered=200)


def test_the_process_of_a_site_is_known_while_it_runs(settings: Settings) -> None:
    assert site.pid(settings) is None
    descriptor = site.hold(settings, "::1", 8080)
    assert site.pid(settings) == os.getpid()
    os.ftruncate(descriptor, 5)  # as one that is about to write it
    assert site.pid(settings) is None
    os.close(descriptor)
    assert site.pid(settings) is None, "what it wrote is of no account when it has ended"


def test_a_site_that_does_not_answer_says_why(settings: Settings) -> None:
    descriptor = site.hold(settings, "127.0.0.1", 1)
    try:
        found = site.read(settings)
    finally:
        os.close(descriptor)
    assert (found.address, found.answered) == ("127.0.0.1:1", None)
    assert found.error == "Connection refused"
