"""Pages that could not be read, kept for inspection: in the log folder, without personal data."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from vinops_scrapy.pages.masking import masked

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.http import Response

MOST: Final = 50
LONGEST: Final = 2_000_000  # characters


def save_page(response: Response, folder: Path, *, site: str, reason: str) -> Path:
    """Keep a page as `pages/TIME-SITE-REASON.html` below `folder` and return its path. Raises OSError.

    Phone numbers, mail addresses and names are masked, as in descriptions; the newest 50 pages are kept,
    among them always this one.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    path = folder / "pages" / f"{stamp}-{site}-{re.sub(r'[^a-z0-9_]+', '-', reason)}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = response.body.decode()
    except UnicodeDecodeError:
        text = response.body.decode("cp1251", "replace")
    kept = masked(text[:LONGEST])
    path.write_text(f"<!-- {response.url} status {response.status} -->\n{kept}", encoding="utf-8")
    # Never this page: if a wrong clock dated others in the future, it is the oldest by name.
    for old in sorted(each for each in path.parent.glob("*.html") if each != path)[: 1 - MOST]:
        old.unlink(missing_ok=True)
    return path
