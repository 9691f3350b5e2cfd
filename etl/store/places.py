"""Where the files of the feed lie, below the data folder."""

from __future__ import annotations

from pathlib import Path

INCOMING = Path("incoming")
"""Feed files from their fetch until they are loaded."""

ARCHIVE = Path("raw") / "copart"
NEXT = ARCHIVE / "next.csv.zst"
"""An archived file until the commit that records it; then it is moved to its name."""

STATES = Path("state") / "copart"
TEMPORARY = Path("tmp")
