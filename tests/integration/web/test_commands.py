"""`vinops web` and `vinops users`, as they are run."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.support import forks
from tests.support.sites import ads_on_board
from web import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow

    Database = psycopg.Connection[TupleRow]

PASSWORD = "correct horse battery"


@contextmanager
def serving(environment: dict[str, str], folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `vinops web`, and yield it with the key of the link that it prints, once it serves."""
    command = [sys.executable, "-m", "ops.cli", "web", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True) as site:
        assert site.stderr is not None
        said = ""
        while "startup complete" not in said:
            line = site.stderr.readline()
            assert line, said
            said += line
        link = re.search(rf"http://localhost:{port}/enter\?key=(\S+)", said)
        assert link is not None
        try:
            yield site, link[1]
        finally:
            site.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def asked(port: int, path: str, *, cookie: str = "", form: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Return status, body and the cookie that is set of an answer of the site."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}", "Cookie": cookie}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("GET" if form is None else "POST", path, form and urlencode(form), headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        return answer.status, body, str(answer.headers["set-cookie"]).partition(";")[0]


def test_the_site_serves_says_that_it_does_and_ends(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    ads_on_board(database)
    port = free_port()
    with serving(environment, tmp_path, port) as (site, key):
        status, _, cookie = asked(port, "/enter", form={"key": key})
        assert status == 303
        assert "VW Golf" in asked(port, "/", cookie=cookie)[1]
        health = forks.vinops(environment, "health", "--json", cwd=tmp_path).stdout
        lines = {each["name"]: each for each in json.loads(health)["lines"]}
        assert lines["web"]["figure"] == f"answers at 127.0.0.1:{port}"
        second = forks.vinops(environment, "web", "--port", str(free_port()), cwd=tmp_path)
        assert (second.returncode, "already" in second.stderr) == (1, True), second.stderr
        stopped = forks.vinops(environment, "stop", cwd=tmp_path)
        assert f"Site: PID {site.pid} stopped" in stopped.stdout.splitlines(), stopped.stderr
        assert site.wait(30) == 0
        assert "Site does not run" in forks.vinops(environment, "stop", cwd=tmp_path).stdout.splitlines()


@pytest.mark.slow
def test_a_site_that_is_killed_starts_again_with_its_people_signed_in(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    (listing,) = ads_on_board(database)
    port = free_port()
    with serving(environment, tmp_path, port) as (site, key):
        cookie = asked(port, "/enter", form={"key": key})[2]
        assert asked(port, f"/ads/{listing}/star", cookie=cookie, form={"on": "1"})[0] == 303
        site.kill()
        site.wait(30)
        health = forks.vinops(environment, "health", "--json", cwd=tmp_path).stdout
        assert {each["name"]: each for each in json.loads(health)["lines"]}["web"]["figure"] == "not started"
    with serving(environment, tmp_path, port) as (_, another):
        status, page, _ = asked(port, "/", cookie=cookie)
        assert (status, page.count('aria-pressed="true"')) == (200, 1)
        assert asked(port, "/enter", form={"key": key})[0] == 403, "a link ends with its site"
        assert asked(port, "/enter", form={"key": another})[0] == 303


def test_who_takes_nothing_of_a_download_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "UNREAD_SECONDS", 1)
    with (
        serve._listener("127.0.0.1", 0, socket.AF_INET) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
        pytest.raises(TimeoutError),  # of the kernel: the socket has no limit of its own
    ):
        connection.sendall(bytes(64 << 20))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_beyond_loopback_it_needs_tls_in_front(environment: dict[str, str], tmp_path: Path, host: str) -> None:
    done = forks.vinops(environment, "web", "--host", host, cwd=tmp_path)
    assert done.returncode == 1
    assert "WEB_PUBLIC_URL" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_address_that_people_open_is_one_with_tls(environment: dict[str, str], tmp_path: Path) -> None:
    done = forks.vinops(environment | {"WEB_PUBLIC_URL": "http://cars.example"}, "web", cwd=tmp_path)
    assert done.returncode == 1
    assert "https" in done.stderr


def test_people_are_added_listed_changed_and_removed(
    database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    def users(*arguments: str, given: str = "") -> tuple[int, str, str]:
        done = forks.vinops(environment, "users", *arguments, cwd=tmp_path, given=given)
        return done.returncode, done.stdout, done.stderr

    assert users("add", "ivan", "--role", "trader", "--password-stdin", given=f"{PASSWORD}\n") == (0, "", "")
    code, _, said = users("add", "IVAN", "--role", "viewer", "--password-stdin", given=f"{PASSWORD}\n")
    assert (code, "vinops users passwd" in said) == (1, True)
    code, _, said = users("add", "maria", "--role", "viewer", "--password-stdin", given="short\n")
    assert (code, said) == (1, "vinops users: a password has from 10 to 200 characters\n")
    assert users("add", "maria", "--role", "owner", "--password-stdin", given=f"{PASSWORD}\n")[0] == 2
    assert users("add", "maria", "--role", "viewer")[0] == 2, "there is no terminal to ask on"
    assert users("role", "ivan", "--role", "operator")[0] == 0
    assert users("passwd", "ivan", "--password-stdin", given=f"{PASSWORD} 2\n")[0] == 0
    (person,) = json.loads(users("list", "--json")[1])
    assert (person["name"], person["role"], person["sign_ins"]) == ("ivan", "operator", 0)
    assert PASSWORD not in users("list")[1]
    assert users("remove", "ivan")[0] == 0
    code, _, said = users("remove", "ivan")
    assert (code, "vinops users list" in said) == (1, True)
    assert json.loads(users("list", "--json")[1]) == []
    assert users("list") == (0, "", "nobody yet: vinops users add NAME --role operator\n")
