"""`vinops nodes`: crawls over several scrapyd nodes, never two of one worker, and trouble with a node told in words."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pytest

from ops.nodes import egg
from standin.market.server import MarketServer
from tests.support.market_crawls import Database, MarketCrawls
from tests.support.scrapyd_nodes import (
    DEPLOY,
    PASSWORD,
    NodeProcess,
    Nodes,
    environment_of_nodes,
    free_port,
    plain_environment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vinops.config import Settings

pytestmark = pytest.mark.machines  # a node has a virtual environment of its own

SLOW = ("-s", "VINOPS_PACE=careful")  # a page in three seconds: a worker that runs for long enough to be looked at


@pytest.fixture
def crawls(settings: Settings, database: Database) -> Iterator[MarketCrawls]:
    """The market, and what came of it."""
    with MarketServer(seed=1, ads=600) as server:
        yield MarketCrawls(settings=settings, database=database, server=server)


@pytest.fixture
def nodes(crawls: MarketCrawls, tmp_path: Path) -> Iterator[Nodes]:
    """No nodes yet."""
    environment_of_nodes()
    found = Nodes(folder=tmp_path / "nodes", environment=plain_environment(crawls.environment))
    yield found
    found.close()


def running(crawls: MarketCrawls) -> list[str]:
    """Return the workers that have begun and not ended."""
    rows = crawls.rows("select worker from ops.crawl_runs where finished_at is null order by worker")
    return [worker for (worker,) in rows]


@pytest.mark.timeout(600)
def test_a_worker_is_started_once_wherever_it_runs(crawls: MarketCrawls, nodes: Nodes) -> None:
    one, two = nodes.add("one"), nodes.add("two")
    assert [row["state"] for row in nodes.rows("list")] == ["up", "up"]
    assert [row["version"] for row in nodes.rows("list")] == [None, None]
    assert {row["spiders"] for row in nodes.rows("deploy", "--version", "7")} == {2}
    assert [row["version"] for row in nodes.rows("list")] == ["7", "7"]

    rows = nodes.rows("schedule", "1", "2", *SLOW)
    assert [(row["worker"], row["node"], row["problem"]) for row in rows] == [("1", "one", None), ("2", "two", None)]
    again = nodes.rows("schedule", "1", "2", "3", *SLOW, code=1)
    refused = {row["worker"]: row["problem"] for row in again if row["problem"]}
    assert set(refused) == {"1", "2"}
    assert f"on node one as {rows[0]['job']}" in refused["1"]
    assert [row["node"] for row in again if row["worker"] == "3"] == ["one"], "the first of those with as much to do"

    nodes.until(lambda: running(crawls) == ["1", "2", "3"], "all three have begun")
    listed = {row["id"]: row for row in nodes.rows("jobs")}
    assert {row["state"] for row in listed.values()} == {"running"}
    first = psutil.Process(listed[rows[0]["job"]]["pid"])
    assert one.process is not None
    shown = " ".join(part for each in (first, psutil.Process(one.process.pid)) for part in each.cmdline())
    assert PASSWORD not in shown + nodes.log()
    said = (one.folder / "node.log").read_text()
    assert "'BOT_NAME': 'vinops'" in said
    assert "Unable to format" not in said

    one.kill(jobs=False)  # its jobs go on, and no node knows of them
    answer = nodes.run("schedule", "1", "--json", *SLOW)
    assert answer.returncode == 1
    assert "it runs already, as PID" in json.loads(answer.stdout)[0]["problem"]
    assert "node one is down (Connection refused)" in answer.stderr
    assert [row["state"] for row in nodes.rows("list", code=1)] == ["trouble", "up"]

    (mine,) = [row["job"] for row in rows if row["node"] == "two"]
    ended = nodes.rows("cancel", mine, "--node", "two")
    assert [(row["job"], row["was"]) for row in ended] == [(mine, "running")]
    nodes.until(lambda: "2" not in running(crawls), "the cancelled one has ended")
    assert crawls.rows("select reason from ops.crawl_runs where worker = '2'") == [("shutdown",)]
    nodes.until(lambda: not nodes.rows("jobs", "--node", "two"), "its process is gone")
    assert nodes.run("cancel", mine, "--node", "two").returncode == 1, "it does not run any more"
    two.kill(jobs=True)
    two.start()
    finished = [row["id"] for row in nodes.rows("jobs", "--all", "--node", "two") if row["state"] == "finished"]
    assert finished == [mine], "what has ended is remembered by a node that was killed"


@pytest.mark.timeout(300)
def test_trouble_is_told_in_words_and_the_other_nodes_go_on(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add("one")
    nodes.members.append(NodeProcess(name="gone", folder=tmp_path / "gone", environment={}))

    unknown = nodes.run("schedule", "1", "--node", "one")
    assert (unknown.returncode, "node one has no egg of vinops: run `vinops nodes deploy`" in unknown.stderr) == (
        1,
        True,
    )

    half = tmp_path / "half.egg"
    half.write_bytes(without_market(egg.build()))
    done = nodes.run("deploy", "--egg", str(half))
    assert done.returncode == 1
    assert "node gone is down (Connection refused): start scrapyd at" in done.stderr
    assert nodes.rows("list", code=1)[0]["version"] is None, "none has got it"
    (row,) = nodes.rows("deploy", "--egg", str(half), "--node", "one", "--version", "7")
    assert (row["node"], row["spiders"]) == ("one", 1)

    lacking = nodes.run("schedule", "1")
    assert lacking.returncode == 1
    assert "spider 'mobile_bg' not found; its egg is another version" in lacking.stderr

    locked = nodes.run("list", "--node", "one", password="not-the-password")
    assert locked.returncode == 1
    assert "node one refuses the password" in locked.stderr
    assert "not-the-password" not in locked.stderr + locked.stdout

    no_egg = nodes.run("deploy", "--node", "one", "--egg", str(tmp_path / "nothing.egg"))
    assert (no_egg.returncode, "nothing.egg" in no_egg.stderr) == (1, True)
    not_zipped = tmp_path / "text.egg"
    not_zipped.write_text("no egg")
    assert "this is not an egg" in nodes.run("deploy", "--node", "one", "--egg", str(not_zipped)).stderr

    locked = nodes.run("jobs", "--node", "one", password="not-the-password")
    assert (locked.returncode, "node one refuses the password" in locked.stderr) == (1, True)
    assert "no jobs" not in locked.stderr

    refused = tmp_path / "refused.egg"
    refused.write_bytes(refused_by_nodes())
    done = nodes.run("deploy", "--egg", str(refused), "--node", "one", "--version", "8")
    assert done.returncode == 1
    assert "version 8 was taken back from every node" in done.stderr
    assert [row["version"] for row in nodes.rows("list", "--node", "one")] == ["7"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("schedule", "9"), "9 is not a worker"),
        (("schedule", "1", "--node", "three"), "three is not a node: use one"),
        (("schedule", "1", "-a", "pages"), "is not NAME=VALUE"),
        (("schedule", "1", "-a", "project=other"), "is reserved by scrapyd"),
        (("cancel",), "name jobs, or give --all"),
    ],
)
def test_wrong_usage_is_told(nodes: Nodes, tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    nodes.members.append(NodeProcess(name="one", folder=tmp_path / "one", environment={}))
    done = nodes.run(*arguments)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_without_nodes_it_says_which_setting_names_them(nodes: Nodes) -> None:
    done = nodes.run("list")
    assert (done.returncode, "VINOPS_SCRAPYD_NODES names no node" in done.stderr) == (1, True)


class Silent(BaseHTTPRequestHandler):
    """A node that takes a job and is gone before it has said so."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Have no jobs."""
        body = json.dumps({"status": "ok", "pending": [], "running": [], "finished": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Read what is asked and hang up."""
        self.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def silent_nodes(count: int) -> Iterator[list[int]]:
    """Yield the ports of some."""
    Silent.asked.clear()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Silent) for _ in range(count)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    try:
        yield [server.server_address[1] for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def test_what_may_have_been_scheduled_is_not_scheduled_elsewhere(nodes: Nodes, tmp_path: Path) -> None:
    with silent_nodes(2) as ports:
        for number, port in enumerate(ports, 1):
            nodes.members.append(
                NodeProcess(name=f"silent{number}", folder=tmp_path / str(number), environment={}, port=port)
            )
        (row,) = nodes.rows("schedule", "1", code=1)
    assert len(Silent.asked) == 1, "a second node was asked too: two of a worker might run"
    assert (row["node"], row["job"] in Silent.asked[0]) == ("silent1", True)
    assert "gave no answer" in row["problem"]


@pytest.mark.parametrize("place", ["environment", "credential"])
def test_a_node_has_a_password_or_does_not_start(tmp_path: Path, place: str) -> None:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("VINOPS_", "SCRAPYD_"))}
    systemds = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}
    told = {**base, **systemds, "SCRAPYD_PYTHON": "/usr/bin/env"}
    refused = subprocess.run([str(DEPLOY / "start")], env=told, capture_output=True, text=True, check=False)
    assert refused.returncode == 78
    assert "VINOPS_SCRAPYD_PASSWORD is not set" in refused.stderr
    if place == "credential":
        (tmp_path / "vinops_scrapyd_password").write_text("from-a-file")
        told["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    else:
        told["VINOPS_SCRAPYD_PASSWORD"] = "from-a-file"
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\necho "$SCRAPYD_USERNAME $SCRAPYD_PASSWORD $*"; env | grep -E "NOTIFY|WATCHDOG"; true\n'
    )
    script.chmod(0o755)
    done = subprocess.run(
        [str(DEPLOY / "start")], env={**told, "SCRAPYD_PYTHON": str(script)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"vinops from-a-file {DEPLOY / 'node.py'} /run/notify 6000000 --pidfile=\n"


def test_a_node_listens_on_loopback_and_lets_nobody_in_without_password(nodes: Nodes) -> None:
    node = nodes.add("one")
    assert node.process is not None
    listens = [each.laddr.ip for each in psutil.Process(node.process.pid).net_connections() if each.status == "LISTEN"]
    assert listens == ["127.0.0.1"]
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{node.address}/daemonstatus.json", timeout=30)
    refused.value.close()
    assert refused.value.code == 401
    assert free_port() != node.port


def without_market(whole: bytes) -> bytes:
    """Return an egg of a version that had no mobile_bg."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if not name.startswith("vinops_scrapy/spiders/") or "mobile_bg" not in name:
                new.writestr(name, old.read(name))
    return made.getvalue()


def refused_by_nodes() -> bytes:
    """Return an egg whose spider can be imported here, and not by a node."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        new.writestr("EGG-INFO/entry_points.txt", "[scrapy]\nsettings = cars.settings\n")
        new.writestr("cars/__init__.py", "")
        new.writestr("cars/settings.py", 'SPIDER_MODULES = ["cars.one"]\n')
        new.writestr(
            "cars/one.py",
            "import os\nimport scrapy\n\nif 'SCRAPY_PROJECT' in os.environ:\n    raise RuntimeError('not here')\n\n\n"
            "class One(scrapy.Spider):\n    name = 'one'\n",
        )
    return made.getvalue()
