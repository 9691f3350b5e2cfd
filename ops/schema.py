"""`python -m ops.schema`: writes sql/schema.sql, the result of the migrations; a test compares the two."""

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
    """Return the schema of a database, without the parts that differ between servers. Raises DatabaseError.

    `conninfo` is passed in the environment of pg_dump, not on its command line, which every account can read.
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
    """Remove comments, settings and psql's commands between statements, and the empty lines that they leave.

    Lines inside a `$$ … $$` body are not changed.
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
    """Return the schema that the migrations make, from a temporary embedded database."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-schema-"))
    try:
        folder.chmod(0o711)  # the server's account must be able to traverse it
        settings = Settings(data_dir=folder, embedded_linger=0)
        database.migrate(settings)
        return dump(database.url(settings))
    finally:
        embedded.stop(embedded.folder(folder))
        shutil.rmtree(folder, ignore_errors=True)
        embedded.release(folder)  # last: the keeper, which now continues, finds nothing left to do


if __name__ == "__main__":
    target = database.SQL / "schema.sql"
    target.write_text(current(), encoding="utf-8")
    sys.stderr.write(f"wrote {target}\n")
