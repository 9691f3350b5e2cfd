"""Whoever kills the site or its process for pictures, whenever: the cache is never above its cap, no half picture is in
it, and every photo is shown afterwards."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from standin.photos.pictures import drawing, encoded
from tests.crash.killing import SIGKILLED, Kills
from tests.crash.world import wait_until
from tests.support.children import child
from tests.support.contain import children
from tests.support.lot_photos import LOT, add_lot, add_photo
from tests.support.sites import user
from web import people
from web.photos.cache import FOLDER
from web.photos.maker import Maker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

PROGRAM = Path(__file__).with_name("site_of_photos.py")
ROOT = Path(__file__).resolve().parents[2]
PHOTOS = 24
CAP = 60_000
"""Bytes: a third of what all thumbnails have."""


@dataclass(kw_only=True)
class Killing:
    """Kills sites that are asked for thumbnails, and keeps what is wrong afterwards."""

    settings: Settings
    listener: socket.socket
    addresses: list[str]
    kills: Kills
    client: httpx.Client
    broken: str = ""
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def site(self) -> Iterator[subprocess.Popen[Any]]:
        """Run a site on the one socket until it is killed."""
        assert self.settings.database_url is not None
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "VINOPS_DATA_DIR": str(self.settings.data_dir),
            "DATABASE_URL": self.settings.database_url.reveal(),
        }  # fmt: skip
        number = self.listener.fileno()
        command = [sys.executable, str(PROGRAM), str(number), str(CAP), self.broken]
        with child(command, env=environment, pass_fds=[number], cwd=ROOT) as process:
            try:
                assert self.get("/robots.txt") == 200
                yield process
            finally:
                process.kill()

    def get(self, path: str) -> int:
        """Return the status of an answer; 0 if the site died over it."""
        url = f"http://localhost:{self.listener.getsockname()[1]}{path}"
        try:
            return self.client.get(url).status_code
        except httpx.TransportError:
            return 0

    def at_moment(self, seconds: float) -> None:
        """Kill a site that is asked for all thumbnails, several at once, so long after the first one; prove it."""
        with self.site() as process, ThreadPoolExecutor(4) as threads:
            wanted = random.sample(self.addresses, len(self.addresses))
            asked = [threads.submit(self.get, each) for each in wanted]
            asked[0].result()
            time.sleep(seconds)
            process.kill()
            assert process.wait() == SIGKILLED
            self.look("killed")
            for each in asked:  # the socket is there, and nobody answers: what waits is let go
                each.cancel()
            self.listener.settimeout(0.05)
            while any(not each.done() for each in asked):
                try:
                    self.listener.accept()[0].close()
                except TimeoutError:
                    continue
            self.listener.settimeout(None)
            answers = [each.result() for each in asked if not each.cancelled()]
        if 0 in answers or len(answers) < len(asked):
            self.kills.landed["site"] += 1

    def look(self, when: str) -> None:
        """Look at the cache of a site that is dead, or has nothing to do."""
        files = [path for path in (self.settings.data_dir / FOLDER).rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in files)
        if total > CAP:
            self.faults.append(f"{when}: {total} bytes are kept, of at most {CAP}")
        for path in files:
            try:
                Image.open(io.BytesIO(path.read_bytes())).load()
            except OSError as error:
                if not path.name.endswith(".part"):
                    self.faults.append(f"{when}: half a picture is kept: {error}")

    def finish(self) -> None:
        """See that all photos are shown, and that nothing unfinished is left."""
        with self.site(), ThreadPoolExecutor(4) as threads:
            self.look("started again")
            if left := list((self.settings.data_dir / FOLDER).glob("*.part")):
                self.faults.append(f"{left} are left")
            if set(threads.map(self.get, self.addresses)) != {200}:
                self.faults.append("a photo is not shown any more")
            self.look("at the end")


@pytest.fixture
def killing(database: Database, settings: Settings) -> Iterator[Killing]:
    add_lot(database)
    hashes = [add_photo(database, settings, seq=seq) for seq in range(1, PHOTOS + 1)]
    token = people.sign_in(database, user(database, "viewer"))
    once = httpx.Limits(max_keepalive_connections=0)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        httpx.Client(cookies={"session": str(token)}, timeout=120, limits=once) as client,
    ):
        yield Killing(
            settings=settings,
            listener=listener,
            addresses=[f"/thumbs/{LOT}/{each}/{side}.webp" for each in hashes for side in (320, 640)],
            kills=Kills(wanted=1),
            client=client,
        )


def test_a_killed_site_leaves_no_half_picture_and_no_more_than_its_cap(killing: Killing) -> None:
    killing.at_moment(0.1)
    assert killing.kills.landed["site"] == 1
    killing.finish()
    assert killing.faults == []


@pytest.mark.slow
def test_a_site_killed_at_any_moment_and_again_is_made_good(killing: Killing) -> None:
    dice = random.Random(1)
    while killing.kills.landed["site"] < 12:
        killing.at_moment(dice.random() * 0.6)
    killing.finish()
    assert killing.faults == []


@pytest.mark.parametrize(("broken", "fault"), [("no_room", "bytes are kept"), ("in_place", "half a picture")])
def test_a_broken_cache_is_caught(killing: Killing, broken: str, fault: str) -> None:
    killing.broken = broken
    for _ in range(5):
        killing.at_moment(0.6)
        if killing.faults:
            break
    assert any(fault in each for each in killing.faults), killing.faults


def test_a_killed_process_for_pictures_takes_nobodys_picture_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is killed in the middle of a picture of 24 megapixels, which takes it a second."""
    body = encoded(drawing(3, (6000, 4000), 0.1), "JPEG", progressive=True)

    async def kill_and_wait() -> tuple[list[bytes], int | None, int | None]:
        maker = Maker()
        async with maker.running():
            await maker.make(encoded(drawing(1, (640, 480), 0.1), "JPEG"), [320])
            first = maker.pid
            assert first is not None
            before = busy(first)
            making = asyncio.create_task(maker.make(body, [640, 320]))
            await asyncio.to_thread(wait_until, lambda: busy(first) >= before + 5)
            assert not making.done()
            os.kill(first, signal.SIGKILL)
            return await making, first, maker.pid

    made, first, second = asyncio.run(kill_and_wait())
    assert "code=-9" in caplog.text, "the kill did not land"
    assert [Image.open(io.BytesIO(each)).size for each in made] == [(640, 427), (320, 214)]
    assert first != second


@pytest.mark.slow
def test_its_kills_at_any_moment_under_load_cost_no_photo(killing: Killing) -> None:
    dice = random.Random(2)
    killed = 0
    with killing.site() as process, ThreadPoolExecutor(4) as threads:
        for _ in range(6):
            asked = [threads.submit(killing.get, each) for each in dice.sample(killing.addresses, 24)]
            time.sleep(dice.random() * 0.2)
            for maker in children(process.pid):
                os.kill(maker, signal.SIGKILL)
                killed += 1
            assert {each.result() for each in asked} <= {200, 503}
        assert killed >= 6
        assert {killing.get(each) for each in killing.addresses} == {200}
        killing.look("at the end")
    assert killing.faults == []


def busy(pid: int) -> int:
    """Return how many hundredths of a second a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
