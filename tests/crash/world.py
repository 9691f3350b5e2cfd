"""What the crash tests stand on: a database and a data folder, loads into them, and all that can be seen of them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

from etl.errors import ArchiveDamaged
from etl.store.archive import extract
from etl.store.files import chain_of
from tests.support.connections import alone
from vinops import config
from vinops.db import database as db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Snapshot = dict[str, list[str]]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds until a test that waits for something gives up; none passes or fails by how long it took
FIRST_FETCH = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)

# What identity columns give, and when by our clock something happened, differ from run to run; whatever refers to an
# identity is told by what it refers to. All other columns are compared, also those that are yet to be added.
TABLES = {
    "public.vehicles": "select to_jsonb(each) - 'id' from public.vehicles as each",
    "public.lots": """
        select to_jsonb(each) - '{id,vehicle_id,previous_lot_id,file_id}'::text[] || jsonb_build_object(
            'vehicle', to_jsonb(vehicles) - 'id', 'previous', previous.lot_external_id, 'file', files.sha256)
        from public.lots as each
        left join public.vehicles on vehicles.id = each.vehicle_id
        left join public.lots as previous on previous.id = each.previous_lot_id
        left join raw.csv_files as files on files.id = each.file_id""",
    **{
        f"public.lot_board{part}": f"""
        select to_jsonb(each) - '{{lot_id,first_seen}}'::text[] || jsonb_build_object('lot', lots.lot_external_id)
        from public.lot_board{part} as each
        left join public.lots on lots.id = each.lot_id"""
        for part in ("", "_active", "_gone")
    },
    "audit.lot_events": """
        select to_jsonb(each) - '{id,lot_id,file_id}'::text[] || jsonb_build_object(
            'lot', lots.lot_external_id, 'file', files.sha256, 'old_value',
            case when each.event = 'relisted' then previous.lot_external_id::text else each.old_value end)
        from audit.lot_events as each
        left join public.lots on lots.id = each.lot_id
        left join public.lots as previous on previous.id::text = each.old_value and each.event = 'relisted'
        left join raw.csv_files as files on files.id = each.file_id""",
    "staging.copart_raw": """
        select to_jsonb(each) - '{file_id,ingested_at}'::text[] || jsonb_build_object('file', files.sha256)
        from staging.copart_raw as each
        left join raw.csv_files as files on files.id = each.file_id""",
    "staging.placeholder_vins": "select to_jsonb(each) - 'found_at' from staging.placeholder_vins as each",
    "audit.rejected_rows": """
        select to_jsonb(each) - '{id,file_id,rejected_at}'::text[] || jsonb_build_object('file', files.sha256)
        from audit.rejected_rows as each
        left join raw.csv_files as files on files.id = each.file_id""",
    "raw.csv_files": """
        select to_jsonb(each) - '{id,base_id,removed_at}'::text[] || jsonb_build_object(
            'base', base.sha256, 'removed', each.removed_at is not null)
        from raw.csv_files as each
        left join raw.csv_files as base on base.id = each.base_id""",
    # A run that found nothing to do, because the one before it died after its commit, is no difference.
    "audit.etl_runs": """
        select to_jsonb(each) - '{id,file_id,started_at,finished_at,seconds}'::text[]
            || jsonb_build_object('file', files.sha256)
        from audit.etl_runs as each
        left join raw.csv_files as files on files.id = each.file_id
        where each.status = 'loaded'""",
}
OTHER_TABLES = """
    select format('%I.%I', schemaname, tablename) from pg_tables
    where schemaname in ('raw', 'staging', 'audit', 'ops', 'public') and tablename not like '%yoyo%'"""

# Of a fetched file the times, and the name that comes of them, are those of the fetch.
TIMES = frozenset({"fetched_at", "happened_at", "first_seen_at", "gone_at", "path"})


@dataclass(frozen=True, kw_only=True)
class Load:
    """A file to load: from disk with the time it counts as fetched at, or from the source at `url`."""

    content: bytes
    path: Path | None = None
    fetched_at: datetime = FIRST_FETCH
    url: str | None = None

    @property
    def sha256(self) -> str:
        """Its name in the database."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a load ended: its exit status (-9: killed), its events, what it wrote to standard error."""

    code: int
    trace: tuple[str, ...]
    errors: str

    @property
    def events(self) -> list[str]:
        """The events it passed."""
        return [line for line in self.trace if not line.startswith(("killed ", "ended "))]

    @property
    def killed_at(self) -> str | None:
        """The event at which the fault was injected."""
        return next((line.partition(" at ")[2] for line in self.trace if line.startswith("killed ")), None)

    @property
    def status(self) -> str:
        """What the load says came of it; empty if it did not get that far."""
        return next((line.removeprefix("ended ") for line in self.trace if line.startswith("ended ")), "")

    def __str__(self) -> str:
        """Tell enough to see what went wrong."""
        return f"exit {self.code}, {self.status or 'no end'}, last events {self.trace[-3:]}\n{self.errors[-3000:]}"


class Loader:
    """The process that forks loads (loader.py)."""

    def __init__(self, folder: Path) -> None:
        """Start it; the traces go to the folder."""
        self._folder = folder
        self._number = 0
        self._job: Job | None = None
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("loader.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, with a load that a failed test left behind."""
        self.clear()
        self._process.communicate()

    def clear(self) -> None:
        """Kill the load under way, if there is one."""
        if self._job is not None:
            self._job.kill()
            self._job.wait()

    def start(
        self,
        environment: dict[str, str],
        load: Load,
        *,
        plan: str | None = None,
        victim: str = "loader",
        broken: str | None = None,
    ) -> Job:
        """Start a load; one at a time."""
        self.clear()
        self._number += 1
        trace = self._folder / f"{id(self)}-{self._number}.trace"
        job = {
            "environment": environment | ({"COPART_CSV_URL": load.url} if load.url else {}),
            "file": str(load.path) if load.path else None,
            "fetched_at": load.fetched_at.isoformat(),
            "trace": str(trace),
            "plan": plan,
            "victim": victim,
            "broken": broken,
        }
        self._tell(json.dumps(job))
        self._job = Job(self, int(self.line()), trace)
        return self._job

    def line(self) -> str:
        """Return the next line of its output."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the loader's parent ended"
        return line

    def let_go(self) -> None:
        """Forget the load that has ended."""
        self._job = None
        self._tell("")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Job:
    """A load under way."""

    def __init__(self, loader: Loader, pid: int, trace: Path) -> None:
        """`pid` stays that of the load until `wait` returns."""
        self._loader = loader
        self._pid = pid
        self._trace = trace

    def kill(self) -> None:
        """Kill the load, unless it has ended."""
        os.kill(self._pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the load to stop."""
        os.kill(self._pid, signal.SIGTERM)

    def stopped_at(self) -> None:
        """Wait until the load is stopped at its fault-injection point."""
        wait_until(lambda: "killed stop" in _read(self._trace))

    def go_on(self) -> None:
        """Let a stopped load go on."""
        wait_until(
            lambda: Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
        )
        os.kill(self._pid, signal.SIGCONT)

    def wait(self) -> Ended:
        """Wait for its end."""
        code = int(self._loader.line())
        self._loader.let_go()
        trace, errors = (_read(path) for path in (self._trace, self._trace.with_suffix(".err")))
        return Ended(code=code, trace=tuple(trace.splitlines()), errors=errors)


def _read(path: Path) -> str:
    """Return the text of a file that a load may have died before making."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclass(frozen=True, kw_only=True)
class World:
    """A database with a data folder, and how to load into them."""

    environment: dict[str, str]
    loader: Loader

    @property
    def settings(self) -> config.Settings:
        """The settings of every load."""
        return config.load(self.environment, folder=Path("/nonexistent"))

    @property
    def data_dir(self) -> Path:
        """The data folder."""
        return self.settings.data_dir

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect in autocommit."""
        return db.connect(self.settings, application="crash tests", autocommit=True)

    def load(self, load: Load, **how: Any) -> Ended:
        """Load a file; see Loader.start."""
        return self.loader.start(self.environment, load, **how).wait()

    def quiet(self) -> None:
        """Wait until the server has noticed that the killed load is gone."""
        with self.connect() as connection:
            wait_until(lambda: alone(connection))

    def tables(self, *, without: frozenset[str] = frozenset()) -> Snapshot:
        """Return the rows of all tables, whatever their order, without some columns."""
        with self.connect() as connection:
            queries = {
                name: sql.SQL("select to_jsonb(each) - 'id' from {} as each").format(sql.Identifier(*name.split(".")))
                for (name,) in connection.execute(OTHER_TABLES)
            }
            queries |= {name: sql.SQL(text) for name, text in TABLES.items()}  # type: ignore[arg-type]
            return {
                name: sorted(_text(row, without) for (row,) in connection.execute(query))
                for name, query in queries.items()
            }

    def files(self, *, without: frozenset[str] = frozenset()) -> Snapshot:
        """Return the name and the sum of every file of the archive, the state and the incoming folder."""
        return {
            folder: sorted(
                f"{path.relative_to(self.data_dir) if 'path' not in without or folder == 'state' else path.suffix}"
                f" {sha256(path.read_bytes()).hexdigest()}"
                for path in (self.data_dir / folder).rglob("*")
                if path.is_file() and path.name != "fetch.json"
            )
            for folder in ("raw", "state", "incoming", "tmp")
        }

    def archive_faults(self, contents: dict[str, bytes], *, midway: bool = False) -> list[str]:
        """Return what is wrong with the archive: a file that is missing, not its bytes, or nobody's.

        `contents` are the files that were loaded by their sha256. `midway` in a story, files that retention has marked
        may still be there.
        """
        faults, known = [], set()
        with self.connect() as connection:
            query = "select id, sha256, path from raw.csv_files where removed_at is null order by id"
            for number, digest, path in connection.execute(query).fetchall():
                known.add(path)
                if not (self.data_dir / path).is_file():
                    faults.append(f"{path} is not there")
                    continue
                buffer = io.BytesIO()
                try:
                    extract(self.data_dir, chain_of(connection, number), buffer)
                except ArchiveDamaged as damage:
                    faults.append(str(damage))
                    continue
                if buffer.getvalue() != contents[digest]:
                    faults.append(f"{path} does not give the bytes of its file")
            if midway:
                removed = "select path from raw.csv_files where removed_at is not null"
                known.update(path for (path,) in connection.execute(removed))
        found = {str(path.relative_to(self.data_dir)) for path in (self.data_dir / "raw").rglob("*") if path.is_file()}
        return faults + [f"{path} is nobody's" for path in sorted(found - known)]


def _text(row: dict[str, Any], without: frozenset[str]) -> str:
    return json.dumps({key: value for key, value in row.items() if key not in without}, sort_keys=True)


def difference(found: Snapshot, wanted: Snapshot) -> list[str]:
    """Return what one snapshot has that the other has not; empty if they are equal."""
    texts = []
    for name in sorted(found.keys() | wanted.keys()):
        have, want = Counter(found.get(name, [])), Counter(wanted.get(name, []))
        for sign, rows in (("+", have - want), ("-", want - have)):
            if rows:
                example = next(iter(rows))
                texts.append(f"{sign}{sum(rows.values())} {name}, as {example[:400]}")
    return texts


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class SharedServer:
    """Worlds on the server of the test run: each a clone of a database, and a copy of a folder."""

    def __init__(self, server: str, admin: psycopg.Connection[Any], loader: Loader, folder: Path) -> None:
        """`server` is the connection string to its `postgres`, `admin` a connection to it."""
        self._host = str(psycopg.conninfo.conninfo_to_dict(server)["host"])
        self._admin = admin
        self._loader = loader
        self._folder = folder
        self._number = 0

    def clone(self, template: World | None, settings: dict[str, str]) -> World:
        """Return a world as that of the template, or one where nothing was loaded yet."""
        self._number += 1
        name = f"crash_{self._number}"
        source = template.data_dir.name if template else "vinops"
        self._admin.execute(
            sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(source))
        )
        data_dir = self._folder / name
        if template and template.data_dir.exists():
            shutil.copytree(template.data_dir, data_dir)
        url = f"postgresql://vinops@/{name}?host={self._host.replace('/', '%2F')}"
        environment = {"DATABASE_URL": url, "VINOPS_DATA_DIR": str(data_dir), "VINOPS_FEED_MIN_ROWS": "0", **settings}
        return World(environment=environment, loader=self._loader)

    def drop(self, world: World) -> None:
        """Remove a world."""
        self._admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(world.data_dir.name)))
        shutil.rmtree(world.data_dir, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Story:
    """Files in their order; the load of one of them is killed.

    `before` are loaded before it, `then` after it. `settings` are those of every load, `prepare` is called with the
    data folder before the kill. `status` is the outcome of the killed file.
    """

    name: str
    before: tuple[Load, ...]
    killed: Load
    then: tuple[Load, ...]
    settings: dict[str, str]
    prepare: Callable[[Path], None] = lambda _: None
    status: str = "loaded"

    @property
    def without(self) -> frozenset[str]:
        """The columns that cannot be compared."""
        return TIMES if self.killed.url else frozenset()

    @property
    def without_midway(self) -> frozenset[str]:
        """The same as long as the story goes on: what retention did not come to it does with the next whole file."""
        return self.without | {"removed"}

    def contents(self) -> dict[str, bytes]:
        """All files by their sha256."""
        return {load.sha256: load.content for load in (*self.before, self.killed, *self.then)}


@dataclass(frozen=True, kw_only=True)
class Uninterrupted:
    """The result of a story without a kill. `skipped` is its end without the file whose load is killed."""

    story: Story
    template: World
    before: Snapshot
    after: Snapshot
    after_files: Snapshot
    end: Snapshot
    end_files: Snapshot
    skipped: Snapshot
    skipped_files: Snapshot
    events: tuple[str, ...]
    seconds: float


def told(story: Story, template: World, clone: Callable[[], World]) -> Uninterrupted:
    """Run the story to its end, in `template` up to the killed file and in clones from there."""
    for load in story.before:
        ended = template.load(load)
        assert (ended.code, ended.status) == (0, "loaded"), ended
    story.prepare(template.data_dir)
    without = story.without
    before = template.tables(without=story.without_midway)
    world = clone()
    began = time.monotonic()
    ended = world.load(story.killed)
    seconds = time.monotonic() - began
    assert ended.status.startswith(story.status), ended
    after, after_files = world.tables(without=story.without_midway), world.files(without=without)
    if story.status == "loaded":
        assert difference(after, before), f"{story.name}: the killed file changes nothing"
    _go_on(world, story)
    end, end_files = world.tables(without=without), world.files(without=without)
    assert not world.archive_faults(story.contents())
    world = clone()
    _go_on(world, story)
    return Uninterrupted(
        story=story,
        template=template,
        before=before,
        after=after,
        after_files=after_files,
        end=end,
        end_files=end_files,
        skipped=world.tables(without=without),
        skipped_files=world.files(without=without),
        events=tuple(ended.events),
        seconds=seconds,
    )


def _go_on(world: World, story: Story) -> None:
    for load in story.then:
        ended = world.load(load)
        assert (ended.code, ended.status) == (0, "loaded"), ended


def state_after_kill(world: World, told: Uninterrupted) -> tuple[str, list[str]]:
    """Return whether the tables are as `before` the killed load or as `after` it, or `between` and what differs."""
    found = world.tables(without=told.story.without_midway)
    from_before, from_after = difference(found, told.before), difference(found, told.after)
    if not from_before:
        return "before", []
    if not from_after:
        return "after", []
    return "between", ["the tables are between: from before", *from_before, "from after", *from_after]


def faults_of_rerun(
    world: World, told: Uninterrupted, *, again: bool, where: str, broken: str | None = None
) -> list[str]:
    """Go on after a kill as if nothing had happened, and return all that differs from a life without it.

    `again`: the same file is loaded once more. Else it is gone for good, as the next one comes: the end is that of the
    whole story if the tables are as after the killed load, and that of the story without it if they are as before.
    """
    story, without = told.story, told.story.without
    faults: list[str] = []
    if again:
        ended = world.load(story.killed, broken=broken)
        if ended.status.split()[:1] not in ([story.status], ["unchanged"]):
            return [f"the load after the kill: {ended}"]
        # The files of an older state go with the next load: those are looked for at the end.
        faults += difference(world.tables(without=story.without_midway), told.after)
        missing = set(told.after_files["state"]) - set(world.files(without=without)["state"])
        faults += [f"not in the folder of states: {name}" for name in sorted(missing)]
        faults += world.archive_faults(story.contents(), midway=True)
    for load in story.then:
        ended = world.load(load, broken=broken)
        if (ended.code, ended.status) != (0, "loaded"):
            return [*faults, f"a file after the kill: {ended}"]
    whole = again or where == "after"
    faults += difference(world.tables(without=without), told.end if whole else told.skipped)
    faults += difference(world.files(without=without), told.end_files if whole else told.skipped_files)
    return faults + world.archive_faults(story.contents())


def some_files(folder: Path, contents: list[bytes], days: list[float]) -> Iterator[Load]:
    """Write files to a folder and return them as loads, each fetched so many days after the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (content, day) in enumerate(zip(contents, days, strict=True)):
        path = folder / f"{number}.csv"
        path.write_bytes(content)
        yield Load(content=content, path=path, fetched_at=FIRST_FETCH + timedelta(days=day))
