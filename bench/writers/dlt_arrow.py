"""dlt: Arrow tables handed through as CSV, its fastest way into PostgreSQL."""

import sys
import tempfile
from pathlib import Path

import dlt  # type: ignore[import-not-found,unused-ignore]
import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
from pyarrow import csv

with Path(sys.argv[2]).open(encoding="utf-8") as file:
    names = file.readline().rstrip("\n").strip('"').split('","')
table = csv.read_csv(
    sys.argv[2],
    convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
)

with tempfile.TemporaryDirectory() as folder:
    # dlt wants a host and a password; libpq lets the host behind the question mark win.
    target = dlt.destinations.postgres(sys.argv[1].replace("vinops@/", "vinops:none@localhost/"))
    pipeline = dlt.pipeline("bench", destination=target, dataset_name="public", pipelines_dir=folder)
    pipeline.run(table, table_name="copied", loader_file_format="csv").raise_on_failed_jobs()
