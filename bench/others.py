"""Other writers, for scale: the same file into a bare all-text table, no validation, no diff, no upsert, no archive.

Each has a virtual environment of its own under the cache folder, from the pinned versions below; pgloader is taken
from PATH or unpacked from Debian's package beside them. What cannot be had here is reported with the reason.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.files import Feed
from bench.pairs import Series, add_pair, say
from bench.processes import ProcessFailed, run
from bench.server import BenchFailed, Place, Server
from bench.unit import columns_of

PROGRAMS = Path(__file__).resolve().parent / "writers"
ENOUGH_SECONDS = 60.0
"""A writer that has taken so long gets no further pair."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A writer in Python: what the table calls it, its program and what pip is to install."""

    title: str
    program: str
    packages: tuple[str, ...]


_ARROW = "pyarrow==26.0.1"
_PANDAS = ("pandas==3.1.1", "sqlalchemy==2.1.9", "psycopg[binary]==3.3.9")
WRITERS: Mapping[str, Writer] = {
    "duckdb": Writer(
        title="DuckDB 1.5.5, `create table … as` into an attached database",
        program="duckdb_postgres.py",
        # The extension is a download of its own otherwise; its version must be DuckDB's.
        packages=("duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5"),
    ),
    "polars": Writer(
        title="polars 2.1.0, `write_database` (ADBC)",
        program="polars_adbc.py",
        packages=("polars==2.1.0", _ARROW, "adbc-driver-postgresql==1.13.0"),
    ),
    "dlt_arrow": Writer(
        title="dlt 1.31.0, Arrow tables as CSV", program="dlt_arrow.py", packages=("dlt[postgres]==1.31.0", _ARROW)
    ),
    "dlt": Writer(title="dlt 1.31.0, rows", program="dlt_rows.py", packages=("dlt[postgres]==1.31.0",)),
    "pandas_multi": Writer(title='pandas 3.1.1, `to_sql(method="multi")`', program="pandas_multi.py", packages=_PANDAS),
    "pandas": Writer(title="pandas 3.1.1, `to_sql`", program="pandas_insert.py", packages=_PANDAS),
}
PGLOADER = "pgloader"
TITLES: Mapping[str, str] = {**{name: writer.title for name, writer in WRITERS.items()}, PGLOADER: "pgloader (Debian)"}


def measure(server: Server, cache: Path, feed: Feed, names: Sequence[str], runs: int) -> dict[str, Series]:
    """Return up to `runs` pairs for each named writer, or why there are none."""
    found = {}
    for name in names:
        series = found[name] = Series(name=name)
        try:
            command = _pgloader(cache, feed) if name == PGLOADER else _python(cache, name, feed)
            began = time.monotonic()
            while len(series.pairs) < runs and (not series.pairs or time.monotonic() - began < ENOUGH_SECONDS):
                place = server.make("other", "empty")
                add_pair(series, server, feed, lambda place=place, command=command: run(command(place)))  # type: ignore[misc]
                _check(server, feed)
        except (OSError, subprocess.CalledProcessError, ProcessFailed, BenchFailed) as error:
            series.pairs.clear()
            series.missing = _reason(error)
            say(f"{name}: {series.missing}")
    return found


def _check(server: Server, feed: Feed) -> None:
    rows, columns = server.query(
        "other",
        "select (select count(*) from copied), count(*) from information_schema.columns where table_name = 'copied'",
    )
    if rows != feed.rows or columns < len(columns_of(feed.path)):
        raise BenchFailed(f"it wrote {rows} rows and {columns} columns of {feed.rows} and {len(columns_of(feed.path))}")


def _reason(error: Exception) -> str:
    """Return the last line of what went wrong."""
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) and error.stderr else str(error)
    return said.strip().splitlines()[-1][:200]


def _python(cache: Path, name: str, feed: Feed) -> Callable[[Place], list[str]]:
    writer = WRITERS[name]
    python = _environment(cache / "venvs" / name, writer.packages)
    return lambda place: [str(python), str(PROGRAMS / writer.program), place.url, str(feed.path)]


def _environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """Return the interpreter of a virtual environment that has these packages; a note in it tells that it is whole."""
    python, note = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if not note.exists() or note.read_text(encoding="utf-8") != wanted:
        say(f"installing {', '.join(packages)}")
        venv.create(folder, clear=True, with_pip=True)
        _quietly([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        note.write_text(wanted, encoding="utf-8")
    return python


def _pgloader(cache: Path, feed: Feed) -> Callable[[Place], list[str]]:
    program = shutil.which("pgloader") or _unpacked(cache / "pgloader")
    columns = ", ".join(f'"{name}"' for name in columns_of(feed.path))
    texts = ", ".join(f'"{name}" text' for name in columns_of(feed.path))

    def command(place: Place) -> list[str]:
        sockets, _, name = _parts(place)
        script = cache / "pgloader.load"
        script.write_text(
            f"load csv from '{feed.path}' ({columns})\n"
            f"into postgresql://vinops@unix:{quote(sockets)}:5432/{name}\ntarget table public.copied ({columns})\n"
            "with skip header = 1, fields optionally enclosed by '\"', fields escaped by double-quote,\n"
            "fields terminated by ','\n"
            f"before load do $$ create table public.copied ({texts}); $$;\n",
            encoding="utf-8",
        )
        return [program, "--quiet", "--root-dir", str(cache / "pgloader-logs"), str(script)]

    return command


def _parts(place: Place) -> tuple[str, str, str]:
    from psycopg.conninfo import conninfo_to_dict

    found = conninfo_to_dict(place.url)
    return str(found["host"]), str(found["user"]), str(found["dbname"])


def _unpacked(folder: Path) -> str:
    """Unpack Debian's package without installing it. Raises OSError, CalledProcessError."""
    program = folder / "usr" / "bin" / "pgloader"
    if not program.exists():
        say("unpacking Debian's pgloader")
        folder.mkdir(parents=True, exist_ok=True)
        _quietly(["apt-get", "download", "pgloader"], folder)
        _quietly(["dpkg-deb", "-x", str(next(folder.glob("pgloader_*.deb"))), str(folder)], folder)
    return str(program)


def _quietly(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, cwd=folder)
