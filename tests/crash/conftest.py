"""The stories of the crash tests, their results without a kill, and the count of kills."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from standin.feed.command import Market, inject
from standin.feed.server import FeedServer
from tests.crash.crawler import Crawler
from tests.crash.killing import Killing, Kills, spread
from tests.crash.world import Load, Loader, SharedServer, Story, Uninterrupted, World, some_files, told
from tests.support.feed_files import NOON, line, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

LOTS = 100
SHARES = {"changed": 0.2, "new": 0.06, "gone": 0.08, "returned": 0.04, "relisted": 0.04}
QUIRKS = (
    "inner_quotes",
    "embedded_newline",
    "too_few_fields",
    "nul_bytes",
    "duplicate_older",
    "duplicate_equal",
    "duplicate_vin",
)
MAKES = ("FORD", "HYUNDAI", "FREIGHTLINER", "UTILITY", "KIA", "BMW")
HOUR = 1 / 24
STORIES = ("first", "delta", "rebase", "rebuilt", "damaged", "refused", "fetched")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, for `pytest -m crash`."""
    for item in items:
        if "/tests/crash/" in str(item.path):
            item.add_marker(pytest.mark.crash)


LEAST = 50
_kills = Kills(wanted=int(os.environ.get("VINOPS_CRASH_KILLS", LEAST)))


@pytest.fixture(autouse=True)
def _kills_are_counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Report the kills of each test to the process that directs the run: tests/conftest.py adds them up."""
    before = sum(each.total for each in Kills.every)
    yield
    record_property("kills", sum(each.total for each in Kills.every) - before)


@pytest.fixture(scope="session")
def kills() -> Kills:
    """The count of this run."""
    return _kills


@pytest.fixture(scope="module")
def module_kills(request: pytest.FixtureRequest) -> Kills:
    """The count of one file, whose LEAST is how many are wanted at least."""
    least = request.module.LEAST
    return Kills(wanted=max(least, int(os.environ.get("VINOPS_CRASH_KILLS", least))))


@pytest.fixture(scope="module")
def crawler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawler]:
    """The process that forks the crawls of one file, whose PROGRAM it runs."""
    with Crawler(request.module.PROGRAM, tmp_path_factory.mktemp("traces")) as crawler:
        yield crawler


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """The process that forks loads."""
    with Loader(tmp_path_factory.mktemp("traces")) as loader:
        yield loader


@pytest.fixture(scope="session")
def second_loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """Another one, for two loads at once."""
    with Loader(tmp_path_factory.mktemp("traces")) as loader:
        yield loader


@pytest.fixture(scope="session")
def shared(
    server: str, admin: psycopg.Connection[Any], loader: Loader, tmp_path_factory: pytest.TempPathFactory
) -> SharedServer:
    """Where worlds are made."""
    return SharedServer(server, admin, loader, tmp_path_factory.mktemp("worlds"))


def contents(seed: int, count: int) -> list[bytes]:
    """Files that follow one another: changed, new, gone, returned, relisted lots, rows twice, bent and broken rows."""
    market = Market(seed=seed, lots=LOTS)
    files = []
    for number in range(count):
        if number:
            market.advance(**SHARES)  # type: ignore[arg-type]
        buffer = io.BytesIO()
        market.write(buffer)
        files.append(inject(buffer.getvalue(), *QUIRKS, seed=seed, count=1)[0] + strangers(number))
    return files


def strangers(number: int) -> bytes:
    """Rows of lots that one more make joins with each file, all under one VIN: from the third on they are too many to
    be one vehicle. And a row from the future, which changes with each file."""
    makes = [
        row(80_000_000 + place, vin="12345678901234567", make=make, model_detail=make, last_updated_at=NOON)
        for place, make in enumerate(MAKES[: number + 2])
    ]
    future = row(80_000_100, last_updated_at="2099-01-01T00:00:00Z", high_bid=f"{number + 1}.0")
    return b"".join(line(each, 900_000 + place) + b"\n" for place, each in enumerate([*makes, future]))


def story(name: str, seed: int, folder: Path, sources: Callable[[bytes], str]) -> Story:
    """Return a story told with the market of a seed; `sources` returns the address of a server of a file."""
    rows = contents(seed, 5)
    if name == "first":
        one, two = some_files(folder, rows[:2], [0, HOUR])
        return Story(name=name, before=(), killed=one, then=(two,), settings={})
    if name == "rebase":  # a new chain begins with the killed file, and the old one is old enough to be removed
        one, two, three, four, five = some_files(folder, rows, [0, HOUR, 5, 5 + HOUR, 5 + 2 * HOUR])
        settings = {"VINOPS_ARCHIVE_CHAIN": "2", "VINOPS_ARCHIVE_DAYS": "1"}
        return Story(name=name, before=(one, two), killed=three, then=(four, five), settings=settings)
    if name == "fetched":
        loads = [Load(content=content, url=sources(content)) for content in rows[:4]]
        return Story(name=name, before=tuple(loads[:2]), killed=loads[2], then=(loads[3],), settings={})
    if name == "refused":
        lines = rows[2].splitlines(keepends=True)
        rows[2] = b"".join(lines[: len(lines) // 2])
    one, two, three, four = some_files(folder, rows[:4], [number * HOUR for number in range(4)])
    status = "refused" if name == "refused" else "loaded"
    prepare = {"rebuilt": lose_state, "damaged": damage_state}.get(name, lambda _: None)
    return Story(name=name, before=(one, two), killed=three, then=(four,), settings={}, prepare=prepare, status=status)


def lose_state(data_dir: Path) -> None:
    """The state of the last file is gone: it is rebuilt from the database."""
    for path in (data_dir / "state" / "copart").iterdir():
        path.unlink()


def damage_state(data_dir: Path) -> None:
    """A block in the middle of the last file's copy is not what it was: found while the file is read."""
    (path,) = (data_dir / "state" / "copart").glob("*.body")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="session")
def tell(shared: SharedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Uninterrupted]]:
    """Tell a story to its end, once; a later call gets the same."""
    with ExitStack() as servers:

        @cache
        def source(content: bytes) -> str:
            return servers.enter_context(Canned(content)).url

        @cache
        def tell(name: str, seed: int = 1) -> Uninterrupted:
            one = story(name, seed, tmp_path_factory.mktemp("files"), source)
            template = shared.clone(None, one.settings)
            clones: list[World] = []

            def clone() -> World:
                clones.append(shared.clone(template, one.settings))
                return clones[-1]

            result = told(one, template, clone)
            for world in clones:
                shared.drop(world)
            return result

        yield tell


@pytest.fixture(scope="session")
def killing(shared: SharedServer, tell: Callable[..., Uninterrupted], kills: Kills) -> Callable[..., Killing]:
    """Begin to kill loads of a story."""

    def begin(name: str, seed: int = 1, broken: str | None = None) -> Killing:
        return Killing(shared=shared, told=tell(name, seed), kills=kills, broken=broken)

    return begin


@pytest.fixture(scope="session")
def some(kills: Kills) -> Callable[[list[str], int], list[str]]:
    """Choose so many of some events; in the long run all of them."""
    return lambda events, count: events if kills.wanted > LEAST else spread(events, count, seed=count)


class Canned(FeedServer):
    """The stand-in with one file that stays."""

    def __init__(self, content: bytes) -> None:
        """Serve that file."""
        self._content = content
        super().__init__(Market(seed=1, lots=1))

    def _render(self) -> Any:
        plain = super()._render()
        return type(plain).of(self._content, plain.last_modified)
