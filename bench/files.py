"""The files that are measured: from the stand-in's generator, the same bytes for the same arguments.

`python -m bench.files FOLDER ROWS LATER` makes them in a process of its own: a market of 600,000 lots takes more than a
gigabyte, and the peak that Linux reports for a child is never below that of the process which started it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from standin.feed.command import Market

SEED = 20_260_701
CHURN = {
    "delta1": {"changed": 0.01, "new": 0.002, "gone": 0.002},
    "delta01": {"changed": 0.001, "new": 0.0002, "gone": 0.0002},
}


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A file and what a right loader finds in it, compared with the first file. Counts are lots."""

    path: Path
    sha256: str
    bytes: int
    rows: int
    new: int
    changed: int
    gone: int


def make(folder: Path, rows: int, later: int = 0) -> dict[str, Feed]:
    """Write the files `first`, `delta1` and `delta01` and return them. Both deltas follow the first, and so do as many
    files as asked for, `later1` and so on, each the one before it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.files", str(folder), str(rows), str(later)]
    noted = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {name: Feed(**{**values, "path": Path(values["path"])}) for name, values in noted.items()}


def _write(folder: Path, rows: int, later: int) -> dict[str, Feed]:
    market = Market(seed=SEED, lots=rows)
    made = {"first": _feed(market, folder / f"{rows}-first.csv", new=rows)}
    last = market
    for name, churn in [*CHURN.items(), *((f"later{number}", CHURN["delta1"]) for number in range(1, later + 1))]:
        after = (last if name.startswith("later") else market).clone()
        advance = after.advance(**churn, returned=0, relisted=0, minutes=15)
        made[name] = _feed(
            after,
            folder / f"{rows}-{name}.csv",
            new=len(advance.new),
            changed=len(advance.changed) + advance.relabelled,
            gone=len(advance.gone),
        )
        last = after if name.startswith("later") else market
    return made


def _feed(market: Market, path: Path, *, new: int, changed: int = 0, gone: int = 0) -> Feed:
    size = market.write(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Feed(path=path, sha256=sha256, bytes=size, rows=len(market), new=new, changed=changed, gone=gone)


if __name__ == "__main__":
    feeds = _write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({name: asdict(feed) for name, feed in feeds.items()}, default=str))
