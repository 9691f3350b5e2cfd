"""sql/schema.sql, the schema as the migrations make it: `python -m ops.schema` writes it, a test compares it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vinops.config import Settings
from vinops.db import database, embedded

HEADER = "-- The schema as the migrations make it. Written by `make schema`; change a migration, not this file.\n\n"


def dump(conninfo: str) -> str:
    """Return the schema of a database, without what differs between servers. Raises DatabaseError.

    `conninfo` reaches pg_dump by its environment, not its command line, which every account of the machine can read.
    """
    from psycopg.conninfo import conninfo_to_dict

    known = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    given = conninfo_to_dict(conninfo)
    done = subprocess.run(
        [
            str(embedded.binary("pg_dump")),
            *("--schema-only", "--no-owner", "--no-privileges", "--no-comments"),
            *("--exclude-table=public._yoyo_*", "--exclude-table=public.yoyo_*"),
        ],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={variable: str(given[key]) for key, variable in known.items() if given.get(key) is not None},
    )
    if done.returncode:
        raise database.DatabaseError(f"pg_dump failed: {done.stderr.strip()}")
    return HEADER + normalised(done.stdout)


def normalised(text: str) -> str:
    """Drop comments, settings and psql's commands between statements, and the empty lines that they leave.

    Lines inside a `$$ … $$` body stay as they are.
    """
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        noise = line.startswith(("--", "SET ", "SELECT pg_catalog.set_config", "\\"))
        if inside or not noise:
            blank = not line.strip() and not inside
            if not blank or (lines and lines[-1]):
                lines.append(line.rstrip() if blank else line)
        if line.count("$$") % 2 and (inside or not noise):
            inside = not inside
    return "\n".join(lines).strip() + "\n"


def current() -> str:
    """Return the schema that the migrations make, from an embedded database that is made for it and thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-schema-"))
    try:
        folder.chmod(0o711)  # the server's account must get through
        settings = Settings(data_dir=folder, embedded_linger=0)
        database.migrate(settings)
        return dump(database.url(settings))
    finally:
        embedded.stop(embedded.folder(folder))
        shutil.rmtree(folder, ignore_errors=True)
        embedded.release(folder)  # last: the keeper that this sets free finds nothing left to do


if __name__ == "__main__":
    target = database.SQL / "schema.sql"
    target.write_text(current(), encoding="utf-8")
    sys.stderr.write(f"wrote {target}\n")
