"""dlt: a resource that yields rows, every setting as it comes except that all columns are text."""

import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dlt  # type: ignore[import-not-found,unused-ignore]

with Path(sys.argv[2]).open(encoding="utf-8", newline="") as file:
    names = next(csv.reader(file))


def rows() -> Iterator[dict[str, str]]:
    """Yield the rows of the file."""
    with Path(sys.argv[2]).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


with tempfile.TemporaryDirectory() as folder:
    # dlt wants a host and a password; libpq lets the host behind the question mark win.
    target = dlt.destinations.postgres(sys.argv[1].replace("vinops@/", "vinops:none@localhost/"))
    pipeline = dlt.pipeline("bench", destination=target, dataset_name="public", pipelines_dir=folder)
    columns = {name: {"data_type": "text"} for name in names}
    pipeline.run(dlt.resource(rows, name="copied", columns=columns)).raise_on_failed_jobs()
