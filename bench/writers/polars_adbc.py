"""polars: `DataFrame.write_database` through ADBC, which uses COPY."""

import sys

import polars as pl  # type: ignore[import-not-found,unused-ignore]

frame = pl.read_csv(sys.argv[2], infer_schema=False)
frame.write_database("copied", sys.argv[1], engine="adbc")
