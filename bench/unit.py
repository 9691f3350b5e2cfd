"""The unit of every ratio: `COPY` of a feed file into an unlogged all-text table. `python -m bench.unit URL FILE`.

It prints the seconds of the COPY command alone, from its start to the server's answer, without the process around it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psycopg
from psycopg import sql

TABLE = "unit"
PIECE = 1 << 20


def columns_of(path: Path) -> list[str]:
    """Return the names in the header of a feed file."""
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n").strip('"').split('","')


def copy(url: str, path: Path) -> float:
    """Make the table and fill it, in one transaction; return the seconds of the COPY."""
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in columns_of(path))
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("create unlogged table {} ({})").format(sql.Identifier(TABLE), columns))
        began = time.perf_counter()
        statement = sql.SQL("copy {} from stdin (format csv, header)").format(sql.Identifier(TABLE))
        with connection.cursor().copy(statement) as into, path.open("rb") as file:
            while piece := file.read(PIECE):
                into.write(piece)
        return time.perf_counter() - began


if __name__ == "__main__":
    print(copy(sys.argv[1], Path(sys.argv[2])))
