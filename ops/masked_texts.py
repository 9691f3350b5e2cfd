"""Masks the stored texts of ads again after the rules have changed: an ad that is gone, or that does not change, is not
read by a crawl any more, and would keep what today's rules remove."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from vinops.db.database import queries
from vinops_scrapy.pages.masking import masked

if TYPE_CHECKING:
    from psycopg import Connection

RULES: Final = (
    ("vinops_scrapy.pages", "masking.py"),
    *(("vinops.text", name) for name in ("contacts.py", "phones.py", "plain.py")),
)
"""The files of the rules: a change of one of them begins again with the first ad."""
BATCH: Final = 1_000  # ads in one transaction
MOST: Final = 100_000  # ads of a night: under a minute


def mask_again(connection: Connection[Any], *, most: int = MOST, batch: int = BATCH) -> int:
    """Mask the texts of up to `most` ads by today's rules, behind those of the last call, and return how many changed.

    Each batch is a transaction with the note of how far it went: if the process dies, the next call continues there. A
    text that a crawl writes meanwhile stays as the crawl wrote it.
    """
    statements, rules, changed = queries("retention"), digest(), 0
    row = connection.execute(statements["texts_masked"], {"rules": rules}).fetchone()
    up_to = row[0] if row else 0
    while most > 0:
        ads = connection.execute(statements["texts_of_ads"], {"up_to": up_to, "count": min(batch, most)}).fetchall()
        if not ads:
            break
        fresh = [(*ad, masked(ad[1]), None if ad[2] is None else masked(ad[2])) for ad in ads]
        others = [each for each in fresh if each[1:3] != each[3:]]
        if others:
            ids, old_titles, old_descriptions, titles, descriptions = map(list, zip(*others, strict=True))
            about = {"ids": ids, "titles": titles, "descriptions": descriptions}
            about |= {"old_titles": old_titles, "old_descriptions": old_descriptions}
            changed += connection.execute(statements["mask_texts"], about).rowcount
        up_to = ads[-1][0]
        connection.execute(statements["note_texts_masked"], {"rules": rules, "up_to": up_to})
        connection.commit()
        most -= len(ads)
    connection.rollback()  # of what was only read
    return changed


@cache
def digest() -> str:
    """Return a digest of the rules."""
    found = hashlib.blake2b(digest_size=8)
    for package, name in RULES:
        found.update((files(package) / name).read_bytes())
    return found.hexdigest()
