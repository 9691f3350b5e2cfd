"""The alerts as they run in production, on a database server and a Redis of their own that may be killed: the bot and a
worker of the deals as processes, a person who writes, and ads that go through all stages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import psycopg

from deals.watches import people
from tests.crash.striking import BACKEND, SELF, landed, plan
from tests.crash.world import wait_until
from tests.support.deal_ads import insert_ads
from tests.support.watching import CHAT, TOKEN
from vinops.db import database as db, embedded

if TYPE_CHECKING:
    from standin.telegram.server import TelegramServer
    from tests.crash.killing import Kills
    from tests.support.brokers import Broker
    from vinops.config import Settings

HERE: Final = Path(__file__).parent
QUEUES: Final = "normalize,price,score,match,upkeep"  # the channel has tests of its own
ADS: Final = 2  # of a round
ANSWERS: Final = 3  # to the updates of a round
SERVER, RESTART, REDIS = "server", "restart", "redis"
"""Victims beside SELF and BACKEND: the server is killed, the server is restarted fast, the broker is killed."""
AWAY: Final = 1.0  # seconds that Redis is away: a message that is sent meanwhile is tried twice within 0.2 s
CRASHED: Final = "was terminated by signal 9"
READY: Final = "database system is ready to accept connections"
LEFT: Final = """
    select (select count(*) from ops.deal_outbox where dead_at is null),
        (select count(*) from watch_hits where state = 'new'),
        (select count(*) from watch_messages where state in ('waiting', 'trying'))"""


@dataclass(kw_only=True)
class Alerts:
    """The processes, rounds in each of which somebody dies, and what was wrong after them."""

    settings: Settings
    broker: Broker
    telegram: TelegramServer
    folder: Path
    kills: Kills
    broken_bot: str = ""
    broken_worker: str = ""
    patience: float = 60.0
    faults: list[str] = field(default_factory=list)
    rounds: int = 0
    bot: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Connect, and let a person in who watches for everything."""
        self.database = self.connect()
        self.base = embedded.folder(self.settings.data_dir)
        with self.database.transaction():
            code = people.invite(self.database, "en")
            person = people.accept(self.database, code, CHAT, "Europe/Sofia")
        assert person is not None
        self.database.execute(
            "insert into watches (person_id, typed, since) values (%s, 'everything', '-infinity')", [person.id]
        )
        self.person_id = person.id

    @property
    def point(self) -> Path:
        """The file that names the event and the victim."""
        return self.folder / "point"

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection to the server, which is started if it is down."""
        return db.connect(self.settings, application="tests", autocommit=True)

    def start(self, *, is_matching: bool = True) -> None:
        """Start the bot, and a worker unless nothing is to be matched."""
        self.bot = self._begin("watch_live.py", str(self.point), self.broken_bot)
        if is_matching:
            self.worker = self._begin("deal_worker.py", str(self.point), self.broken_worker, QUEUES)

    def _begin(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DATABASE_URL": self._address(),
            "VINOPS_DATA_DIR": str(self.folder / "data"),
            "VINOPS_LOG_DIR": str(self.folder / "logs"),
            "VINOPS_DEALS_LEASE": "1.2",
            "CELERY_BROKER_URL": self.broker.url,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": self.telegram.url,
            "C_FORCE_ROOT": "1",
        }
        with (self.folder / f"{program}.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, str(HERE / program), *arguments],
                env=environment,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _address(self) -> str:
        """Return the server's address as DATABASE_URL has it: who is given one does not start the server."""
        host = psycopg.conninfo.conninfo_to_dict(db.url(self.settings))["host"]
        return f"postgresql://vinops@/vinops?host={quote(str(host), safe='')}"

    def end(self) -> None:
        """Kill the processes."""
        for process in (self.bot, self.worker):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.database.close()

    def said(self, program: str) -> str:
        """Return what a process has written."""
        return (self.folder / f"{program}.out").read_text(encoding="utf-8", errors="replace")

    def one(self, query: str, *values: Any) -> Any:
        """Return the first value of a query."""
        row = self.database.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def kill(self, event: str, victim: str, *, is_matching: bool = True) -> None:
        """Let a person write and ads come, let somebody die at an event, prove it, start what is down, and judge what
        the bot and the worker have made of it."""
        logged = self._logged(CRASHED), self._logged(READY)
        postmaster = self._postmaster()
        self._prepare()
        pids = {SERVER: postmaster, RESTART: postmaster}
        number = signal.SIGINT if victim == RESTART else signal.SIGKILL
        target = self.broker.processes[-1].pid if victim == REDIS else pids.get(victim, victim)
        plan(self.point, event, target, number)
        self._write(is_matching=is_matching)
        wait_until(lambda: landed(self.point).exists() or bool(self._ended()))
        assert landed(self.point).exists(), self._ended()
        if victim in pids:
            wait_until(lambda: not embedded.process.is_server(postmaster, self.base))
            assert self._postmaster(start=True) != postmaster
        elif victim == BACKEND:
            wait_until(lambda: self._logged(CRASHED) > logged[0] and self._logged(READY) > logged[1])
            self._reconnect()
        elif victim == REDIS:
            assert self.broker.processes[-1].wait() == -signal.SIGKILL
            time.sleep(AWAY)
            self.broker.lose()
        self.kills.landed[f"{victim} at {event}"] += 1
        self._judge(f"{victim} at {event}")

    def _postmaster(self, *, start: bool = False) -> int:
        if start:
            self._reconnect()
        return int((self.base / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def _reconnect(self) -> None:
        self.database.close()
        self.database = self.connect()

    def _logged(self, text: str) -> int:
        return (self.base / "server.log").read_text(encoding="utf-8", errors="replace").count(text)

    def _prepare(self) -> None:
        """Let the messages of earlier rounds be of another day: a watch may cause twenty a day."""
        self.database.execute("update watch_messages set created_at = created_at - interval '2 days'")
        self.answers = self.one("select count(*) from watch_messages where kind in ('reply', 'edit')")
        self.shown = len(self.telegram.messages)
        self.watches = self.one("select count(*) from watches")
        self.saved = self.one("select max(id) from watches")
        self.draft = self.one("select max(id) from watch_drafts")

    def _write(self, *, is_matching: bool) -> None:
        """Let the person save the draft of the round before, delete the watch of that, and type another; and let ads
        come."""
        self.rounds += 1
        updates = self.telegram.updates
        updates.press(CHAT, 1, f"delete:{self.saved}" if self.watches > 1 else "save:999999")
        updates.press(CHAT, 1, f"save:{self.draft}" if self.draft else "save:999999")
        self.last = updates.say(CHAT, f"golf up to {10000 + self.rounds} €")
        self.ads = [f"Car {self.rounds}-{number}." for number in range(ADS)] if is_matching else []
        for place, title in enumerate(self.ads):
            self._insert(ADS * self.rounds + place, title)

    def _insert(self, number: int, title: str) -> None:
        """Let an ad come, again if the server died in it: that may be before the last one is there."""
        while True:
            try:
                if self.one("select 1 from listings where title = %s", title) is None:
                    insert_ads(self.database, 1, first=number, title=title)
            except psycopg.OperationalError:
                self._reconnect()
            else:
                return

    def _judge(self, event: str) -> None:
        found = [*self._left(), *self._broken()]
        if found:
            self.faults.append("\n  ".join([f"round {self.rounds}, {event}:", *found]))

    def _left(self) -> list[str]:
        """Wait until nothing is left to do, and return what is left if that does not come."""
        until = time.monotonic() + self.patience
        while (left := self._waiting()) != (True, 0, 0, 0):
            if ended := self._ended():
                return ended
            if time.monotonic() > until:
                return [f"left behind: updates confirmed {left[0]}, work, hits and messages {left[1:]}"]
            time.sleep(0.05)
        return []

    def _ended(self) -> list[str]:
        processes = (("bot", "watch_live.py", self.bot), ("worker", "deal_worker.py", self.worker))
        return [
            f"the {name} has ended with {process.returncode}: {self.said(program)[-1000:]}"
            for name, program, process in processes
            if process is not None and process.poll() is not None
        ]

    def _waiting(self) -> tuple[Any, ...]:
        is_confirmed = not [each for each in self.telegram.updates.waiting if each["update_id"] <= self.last]
        row = self.database.execute(LEFT).fetchone()
        assert row is not None
        return is_confirmed, *row

    def _broken(self) -> list[str]:
        found = []
        answers = self.one("select count(*) from watch_messages where kind in ('reply', 'edit')") - self.answers
        wanted = ANSWERS if self.watches > 1 else ANSWERS - (2 if self.draft is None else 1)
        if answers != wanted:
            found.append(f"{answers} answers were recorded to updates that have {wanted}")
        watches = self.one("select count(*) from watches")
        if watches != (1 if self.draft is None else 2):
            found.append(f"there are {watches} watches")
        texts = [each.text for each in self.telegram.messages[self.shown :]]
        counts = [sum(title in text for text in texts) for title in self.ads]
        if 0 in counts:
            found.append(f"messages are lost: {dict(zip(self.ads, counts, strict=True))}")
        if (extra := len(texts) - wanted - len(self.ads)) > 1:
            found.append(f"{extra} messages too many for one death: {texts}")
        for title, hits in zip(self.ads, self._hits(), strict=True):
            if not hits:
                found.append(f"{title} was not found by the watch")
        if "Traceback" in (said := self.said("watch_live.py")):  # Celery and its client log some of their own
            found.append(f"a traceback in the output of the bot: {said[-2000:]}")
        return found

    def _hits(self) -> list[int]:
        everything = "select min(id) from watches"
        return [
            self.one(
                "select count(*) from watch_hits as hits join listings on listings.id = hits.listing_id"
                f" where title = %s and watch_id = ({everything})",
                title,
            )
            for title in self.ads
        ]


__all__ = ["BACKEND", "REDIS", "RESTART", "SELF", "SERVER", "Alerts"]
