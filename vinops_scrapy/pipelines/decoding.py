"""Decodes photos, without giving a crafted one more time or memory than a photo needs.

Measured with Pillow 13 on 2026-11-29, in seconds of one core: a progressive JPEG of 7000 by 7000 pixels costs 0.05 for
each of its scans, and a scan may be 70 bytes; a lossless WebP of 34 bytes takes 16 bytes of memory for each pixel, half
of them when it is opened. An ordinary photo (2 megapixels, one scan) takes 0.01 and 0.5 MB, as it is read at an eighth
of its size (`draft`): that still reads the whole stream, which `verify()` does not.

So an ordinary photo is decoded in a thread of the crawl. One that may cost more is decoded in a process of its own with
limits of time and memory, and one that exceeds all photos is rejected. The header and a count of two bytes decide.

This module imports only Pillow and the standard library, so that the process starts fast.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

from PIL import Image, UnidentifiedImageError

FORMATS: Final = ("JPEG", "PNG", "WEBP")
CONTENT_TYPES: Final = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""MPO is a JPEG followed by further JPEGs: stereo, HDR, the preview of many phones. The first is the photo."""

MOST_PIXELS: Final = {"JPEG": 50_000_000, "MPO": 50_000_000, "PNG": 20_000_000, "WEBP": 20_000_000}
"""By format: a PNG or WebP is decoded at its full size, which takes 4 to 16 bytes for each pixel."""
LEAST_SIDE: Final = 64  # pixels; the smallest thumbnail is 96 wide
MOST_SCANS: Final = 64
"""The most scans that a JPEG may have: progressive ones have 10, those of elaborate encoders 20."""

ORDINARY_PIXELS: Final = {"JPEG": 16_000_000, "MPO": 16_000_000, "PNG": 4_000_000, "WEBP": 4_000_000}
ORDINARY_WORK: Final = 200_000_000  # pixels times scans: a fifth of a second
PIXELS_AT_ONCE: Final = 64_000_000
"""Over all threads: one of the largest beside eight ordinary photos."""

CPU_SECONDS: Final = 6  # three times what the largest accepted photo takes
WALL_SECONDS: Final = 60.0  # for a process that hangs; long enough for a busy machine
MEMORY: Final = 768 * 1024 * 1024  # bytes of address space: the largest photo and 350 MB to spare
POLL_SECONDS: Final = 0.1  # between two checks whether the crawl is about to end

SCAN: Final = b"\xff\xda"
END: Final = b"\xff\xd9"
SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
"""The markers in a JPEG's header by which it is not progressive."""
UNUSUAL: Final = frozenset({0, 1, *range(0xC2, 0xD0), *range(0xD0, 0xDA), 0xFF}) - {0xC4}
"""The markers of all other codings, and those without a length after them. 0xC4 is a table."""
INDEX: Final = b"MPF\0"
INDEX_BYTES: Final = 65_533  # the maximum of a segment of a JPEG
PICTURES: Final = 0xB002  # the entry of an MPO's index with the positions of its pictures


class Undecodable(Exception):  # noqa: N818 # about bytes from outside, not a fault
    """The bytes are not a photo, for this `reason` from docs/runbook.md."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep reason and detail."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Halted(Exception):  # noqa: N818 # a state, not a fault
    """The crawl is about to end: the photo was not decoded completely."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Type and size of a photo. `width` and `height` are in pixels."""

    content_type: str
    width: int
    height: int


def decode(body: bytes) -> Picture:
    """Decode a photo completely in this process, whatever that costs. Raises Undecodable."""
    with _opened(body) as picture:
        return _loaded(picture, body)


class Decoder:
    """Decodes photos for the threads of a crawl, with a limit of pixels at once; costly ones in a process of their own,
    which has ended when `decode` returns. If this process dies, that one ends after its CPU seconds at the latest."""

    def __init__(
        self,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        pixels_at_once: int = PIXELS_AT_ONCE,
        cpu_seconds: int = CPU_SECONDS,
        memory: int = MEMORY,
    ) -> None:
        """`is_stopping` tells whether the crawl is about to end; any thread may call it."""
        self._is_stopping = is_stopping
        self._most = pixels_at_once
        self._room = pixels_at_once
        self._changed = threading.Condition()
        self._limits = (str(cpu_seconds), str(memory))

    def decode(self, body: bytes) -> Picture:
        """Return type and size of a photo. Raises Undecodable, and Halted if the crawl is about to end."""
        size = webp_size(body)  # Pillow allocates memory when it opens a WebP
        if size is None:
            with _opened(body) as picture:
                size = picture.size
                if not _is_costly(picture.format or "", size, body):
                    with self._taken(size):
                        return _loaded(picture, body)
        else:
            _check("WEBP", size)
            if not _is_costly("WEBP", size, body):
                with self._taken(size):
                    return decode(body)
        with self._taken(size):
            return self._in_a_process(body)

    @contextmanager
    def _taken(self, size: tuple[int, int]) -> Iterator[None]:
        """Reserve a picture's part of the pixels that may be decoded at once; wait until there is room for it."""
        pixels = min(size[0] * size[1], self._most)
        with self._changed:
            while self._room < pixels:
                self._go_on()
                self._changed.wait(POLL_SECONDS)
            self._room -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._room += pixels
                self._changed.notify_all()

    def _go_on(self) -> None:
        if self._is_stopping():
            raise Halted

    def _in_a_process(self, body: bytes) -> Picture:
        self._go_on()
        with tempfile.TemporaryFile() as photo:
            photo.write(body)
            photo.seek(0)
            # With the module path of this process, as vinops may run from an egg, and without its environment.
            with subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(sys.path), *self._limits],
                stdin=photo,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            ) as process:
                try:
                    answer = self._answer(process)
                finally:
                    process.kill()
        if process.returncode in ENDED_BY_A_STOP:
            raise Halted
        try:
            found = json.loads(answer)
        except ValueError:
            if process.returncode == 0:
                raise
            raise Undecodable("too_costly", f"its decoder ended with {process.returncode}") from None
        if "reason" in found:
            raise Undecodable(found["reason"], found["detail"])
        return Picture(**found)

    def _answer(self, process: subprocess.Popen[bytes]) -> bytes:
        until = time.monotonic() + WALL_SECONDS
        while True:
            try:
                return process.communicate(timeout=POLL_SECONDS)[0]
            except subprocess.TimeoutExpired:
                self._go_on()
            if time.monotonic() > until:
                raise Undecodable("too_costly", f"not decoded after {WALL_SECONDS:.0f} seconds")


PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from vinops_scrapy.pipelines import decoding;"
    " decoding.main(int(sys.argv[2]), int(sys.argv[3]))"
)
ENDED_BY_A_STOP: Final = frozenset({-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})
"""Exit codes after a stop of the whole process group, as of a unit or at a terminal; limits end it otherwise."""


def main(cpu_seconds: int, memory: int) -> None:
    """Decode standard input within these limits, and print the result as JSON."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    body = sys.stdin.buffer.read()
    _limit(resource.RLIMIT_AS, memory)
    try:
        found = asdict(decode(body))
    except Undecodable as error:
        found = {"reason": error.reason, "detail": error.detail}
    sys.stdout.write(json.dumps(found))


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def webp_size(body: bytes) -> tuple[int, int] | None:
    """Return width and height in the header of a WebP (RFC 9649), None for another format. Raises Undecodable for an
    unknown kind of header."""
    if body[:4] != b"RIFF" or body[8:12] != b"WEBP":
        return None
    kind, head = body[12:16], body[20:30]
    if kind == b"VP8X" and len(head) == 10:
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L" and head[:1] == b"\x2f" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(head) == 10 and head[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise Undecodable("damaged", "a WebP without a header")


@contextmanager
def opened_within_limits(body: bytes) -> Iterator[Image.Image]:
    """Open a picture that a process with limits may decode: of a plausible size, with no more scans than a photo has.
    Any error in the block is raised as Undecodable."""
    if (size := webp_size(body)) is not None:  # Pillow allocates memory when it opens a WebP
        _check("WEBP", size)
    with _opened(body) as picture:
        _checked_scans(picture.format or "", body)
        yield picture


@contextmanager
def _opened(body: bytes) -> Iterator[Image.Image]:
    """Open a picture of a plausible size. Any error in the block is raised as Undecodable."""
    try:
        with Image.open(io.BytesIO(body), formats=list(FORMATS)) as picture:
            _check(picture.format or "", picture.size)
            yield picture
    except UnidentifiedImageError:
        raise Undecodable("no_image", f"{len(body)} bytes that are not a picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Undecodable("too_large", "more pixels than any photo has") from None
    except MemoryError:
        raise Undecodable("too_costly", "it takes more memory than any photo does") from None
    except (Undecodable, Halted):
        raise
    except Exception as error:  # noqa: BLE001 # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error …
        raise Undecodable("damaged", str(error)) from None


def _check(form: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS[form]:
        raise Undecodable("too_large", f"{form} of {width} by {height} pixels")
    if min(width, height) < LEAST_SIDE:
        raise Undecodable("too_small", f"{width} by {height} pixels")


def _checked_scans(form: str, body: bytes) -> int:
    scans = scans_of(body) if CONTENT_TYPES[form] == "image/jpeg" else 1
    if scans > MOST_SCANS:
        raise Undecodable("too_costly", f"a JPEG of {scans} scans")
    return scans


def _is_costly(form: str, size: tuple[int, int], body: bytes) -> bool:
    """Tell whether a picture may take more time or memory than an ordinary one. Raises Undecodable for too many
    scans."""
    pixels = size[0] * size[1]
    scans = _checked_scans(form, body)
    return pixels > ORDINARY_PIXELS[form] or pixels * scans > ORDINARY_WORK


def scans_of(body: bytes) -> int:
    """Return the maximum number of scans in a JPEG.

    It is one if the JPEG is not progressive and its first scan has all components, as cameras write it: then only the
    header is read. Otherwise the markers of scans are counted. Image data cannot contain one, as 0xFF is followed there
    by 0 or the number of a restart, but metadata may, as that of a small preview does.
    """
    at, components = 2, 0
    with suppress(IndexError):
        while body[at] == 0xFF and body[at + 1] not in UNUSUAL:
            if body[at + 1] in SEQUENTIAL:
                components = body[at + 9]
            elif body[at + 1] == SCAN[1]:
                return 1 if body[at + 4] == components else body.count(SCAN)
            at += 2 + int.from_bytes(body[at + 2 : at + 4])
    return body.count(SCAN)


def _loaded(picture: Image.Image, body: bytes) -> Picture:
    """Decode a picture completely."""
    (width, height), form = picture.size, picture.format or ""
    picture.decodermaxblock = len(body)  # type: ignore[attr-defined] # at once: each further block takes Python's lock again
    picture.draft(None, (width // 8, height // 8))
    picture.load()
    if "mp" in picture.info and not _is_whole(body):
        raise Undecodable("damaged", "the pictures after the first one are cut short")
    return Picture(content_type=CONTENT_TYPES[form], width=width, height=height)


def _is_whole(body: bytes) -> bool:
    """Tell whether the pictures that the index of an MPO names are present.

    Programs that copy the metadata of a JPEG but not the pictures after it (`jpegtran -copy all`) keep an index of
    missing pictures: a file that ends where a picture ends is complete.
    """
    if body.rstrip(b"\0").endswith(END):
        return True
    start = body.find(INDEX) + len(INDEX)
    index = body[start : start + INDEX_BYTES]
    try:
        # The position of the first one is 0, the others count from the index.
        return all((start + at if at else 0) + length <= len(body) for at, length in _indexed(index))
    except struct.error:
        return True  # an unreadable index counts as none


def _indexed(index: bytes) -> Iterator[tuple[int, int]]:
    """Yield position and length of the pictures in the index of an MPO (CIPA DC-007). Raises struct.error."""
    order = "<" if index[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", index, 4)
    (count,) = struct.unpack_from(f"{order}H", index, place)
    for number in range(count):
        tag, _, size, at = struct.unpack_from(f"{order}HHII", index, place + 2 + 12 * number)
        if tag == PICTURES:
            for _, length, offset, _, _ in struct.iter_unpack(f"{order}IIIHH", index[at : at + size]):
                yield offset, length
