"""The process that decodes pictures and makes them smaller: it has no settings, no secrets and no database.

It reads orders from standard input and answers on standard output, each a line of JSON with bytes behind it. A picture
that takes more memory or time of the processor than any photo does costs the process, which the site starts again. It
ends when its input does: with the site, however that ends.

Measured with Pillow 12 on 2026-11-30, for a photo of 1600 by 1200 pixels and 230 kB, in ms of one core: 320 pixels wide
10 (of them reading 4, scaling 4, WebP with method 2 2), 640 wide 39 (14, 17, 8). Method 4 takes 5 and 21 instead of 2
and 8 for files that are 3 % smaller, method 0 saves 1 and 3 for files that are 20 to 30 % larger.

This module imports only Pillow, the standard library and decoding, which does so too: the process starts fast.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import sys
from typing import IO, Final

from PIL import ImageOps

from vinops_scrapy.pipelines import decoding
from vinops_scrapy.pipelines.decoding import Undecodable

QUALITY: Final = 78
METHOD: Final = 2


def resized(body: bytes, sides: list[int]) -> list[bytes]:
    """Return a photo as WebP without its metadata, its longest side at most as long as each of `sides`, which descend.
    Raises Undecodable for what is no photo, or costs more than one."""
    with decoding.opened_within_limits(body) as opened:
        opened.draft("RGB", (sides[0], sides[0]))
        picture = ImageOps.exif_transpose(opened).convert("RGB")
        made = []
        for side in sides:
            picture.thumbnail((side, side), reducing_gap=2.0)
            out = io.BytesIO()
            picture.save(out, "WEBP", quality=QUALITY, method=METHOD)
            made.append(out.getvalue())
        return made


def answer(orders: IO[bytes], answers: IO[bytes], seconds: float) -> bool:
    """Answer an order. Return False at the end of the orders."""
    order = orders.readline()
    if not order:
        return False
    wanted = json.loads(order)
    body = orders.read(wanted["bytes"])
    if len(body) < wanted["bytes"]:
        return False
    signal.setitimer(signal.ITIMER_PROF, seconds)  # ends the process
    made: list[bytes] = []
    try:
        made = resized(body, wanted["sides"])
        found: dict[str, object] = {"sizes": [len(each) for each in made]}
    except Undecodable as error:
        found = {"reason": error.reason, "detail": error.detail}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    answers.write(b"".join([json.dumps(found).encode(), b"\n", *made]))
    answers.flush()
    return True


def main(memory: int, seconds: float) -> None:
    """Answer orders until they end, each within these limits: bytes of address space, seconds of the processor."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while answer(sys.stdin.buffer, sys.stdout.buffer, seconds):
        pass
