"""The fault-injection points of crawls, and the process that forks them: what photo_crawl.py and market_crawl.py share.

It takes jobs as loader.py does. A job is `scrapy crawl SPIDER` whose calls and statements are named and counted. An
event is `name nth when`: `put 3 after`, `settle_lot 1 before`. Statements have their names from sql/queries.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import fault_injection  # beside this file
import psycopg
from scrapy import cmdline

from tests.support.forks import import_scrapy
from vinops.db.database import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Calls = tuple[tuple[str, Any, str], ...]

STATEMENTS: tuple[tuple[Any, str], ...] = ((psycopg.AsyncConnection, "execute"), (psycopg.AsyncCursor, "executemany"))


class FaultInjector(fault_injection.FaultInjector):
    """Kills crawls. `asked_to_stop` is the event at which the crawl gets a SIGTERM, long before or without a kill."""

    calls: Calls = ()
    awaited: Calls = ()
    query_files: tuple[str, ...] = ("politeness", "crawls")

    def __init__(self, trace: Path, plan: str | None, victim: str, asked_to_stop: str | None) -> None:
        """`victim` is loader, which is the crawl here, or stop: the crawl waits for SIGCONT."""
        super().__init__(trace, plan, victim, Path())
        self._asked_to_stop = asked_to_stop

    def install(self) -> None:
        """Patch the calls and the statements of this process."""
        for name, owner, attribute in self.calls:
            setattr(owner, attribute, self._around(name, getattr(owner, attribute)))
        for name, owner, attribute in self.awaited:
            setattr(owner, attribute, self._around_awaited(getattr(owner, attribute), name))
        names = {text: name for file in self.query_files for name, text in queries(file).items()}
        for owner, attribute in STATEMENTS:
            setattr(owner, attribute, self._around_awaited(getattr(owner, attribute), attribute, names))

    def _around_awaited(
        self, call: Callable[..., Any], usual: str, names: Mapping[object, str] = MappingProxyType({})
    ) -> Callable[..., Any]:
        """`names` are events by what the call is given first; others have the `usual` name."""

        async def patched(owner: Any, *arguments: Any, **named: Any) -> Any:
            name = self._name(owner, names.get(arguments[0], usual) if names else usual)
            number = self._next(name)
            self._event(name, number, "before")
            result = await call(owner, *arguments, **named)
            self._event(name, number, "after")
            return result

        return patched

    def _name(self, owner: Any, name: str) -> str:
        """Return the name of an event, by the object that is called."""
        return name

    def _event(self, name: str, number: int, when: str) -> None:
        if f"{name} {number} {when}" == self._asked_to_stop:
            os.kill(os.getpid(), signal.SIGTERM)
        super()._event(name, number, when)


def take_jobs(spider: str, injector: type[FaultInjector], broken: Mapping[str, Callable[[], None]]) -> None:
    """Take jobs until the input ends."""
    import_scrapy()
    gc.freeze()  # or each child copies what its collector looks at
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            errors = os.open(Path(job["trace"]).with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            try:
                _crawl(spider, injector, broken, job)
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:  # noqa: BLE001 # the process ends here, and must not go on as its parent
                traceback.print_exc()
            os._exit(code)
        print(pid, flush=True)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)
        sys.stdin.readline()  # until then the id belongs to nobody else: whoever kills late kills a dead process
        os.waitpid(pid, 0)


def _crawl(
    spider: str, injector: type[FaultInjector], broken: Mapping[str, Callable[[], None]], job: dict[str, Any]
) -> None:
    """Do a job. Ends with SystemExit, as Scrapy does."""
    os.environ.clear()
    os.environ.update(job["environment"])
    if job["broken"]:
        broken[job["broken"]]()
    injector(Path(job["trace"]), job["plan"], job["victim"], job["asked_to_stop"]).install()
    cmdline.execute(["scrapy", "crawl", spider, *job["arguments"]])
