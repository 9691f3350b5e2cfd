"""DuckDB: `create table … as` into an attached PostgreSQL."""

import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb  # type: ignore[import-not-found,unused-ignore]

spec = find_spec("duckdb_extension_postgres_scanner")
assert spec is not None
assert spec.origin is not None
(extension,) = Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension")
duckdb.execute(f"load '{extension}'")
duckdb.execute(f"attach '{sys.argv[1]}' as target (type postgres)")
duckdb.execute(f"create table target.copied as from read_csv('{sys.argv[2]}', all_varchar = true, header = true)")
