"""The pictures of the stand-in: a few real JPEGs, and as many different files as there are names for.

Drawing and encoding a picture costs 10 to 40 ms, so a pool is drawn once. A comment segment right behind the start of
the file carries the photo's name: every photo has bytes, and so a hash, of its own for the price of one copy.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from typing import Any, Final, Literal

from PIL import Image, ImageDraw

Variant = Literal["hrs", "ful", "thb"]
#: Pictures of each size in the pool.
POOL: Final = 4
#: variant: sizes in pixels that take turns, and the share of noise that makes files of 200 to 250, 130 to 180 and 6 kB.
SHAPES: Final[dict[Variant, tuple[tuple[tuple[int, int], float], ...]]] = {
    "hrs": (((1600, 1200), 0.07), ((1280, 960), 0.19)),
    "ful": (((1024, 768), 0.22), ((960, 720), 0.22)),
    "thb": (((192, 144), 0.05), ((144, 108), 0.36)),
}
QUALITY: Final = 80


@functools.cache
def pool(variant: Variant) -> tuple[bytes, ...]:
    """The JPEGs of that size that all photos are made from."""
    shapes = SHAPES[variant]
    return tuple(encoded(drawing(turn, *shapes[turn % len(shapes)]), "JPEG") for turn in range(POOL))


def jpeg(name: str, variant: Variant) -> bytes:
    """The photo of that name (32 hexadecimal digits) in that size: a whole JPEG, the same bytes every time."""
    pictures = pool(variant)
    picture = pictures[int(name[:8], 16) % len(pictures)]
    comment = f"{name} {variant}".encode()
    return b"".join((b"\xff\xd8\xff\xfe", struct.pack(">H", len(comment) + 2), comment, memoryview(picture)[2:]))


def disguised(kind: str, name: str) -> bytes:
    """A whole photo in another format, `png` or `webp`, 640 by 480, with the name in it so that no two are the same."""
    picture, note = _plain(kind), name.encode() + b"\0" * (len(name) % 2)
    if kind == "webp":
        body = picture[8:] + b"NOTE" + struct.pack("<I", len(note)) + note
        return b"RIFF" + struct.pack("<I", len(body)) + body
    end_of_header = 33
    return picture[:end_of_header] + _png_chunk(b"tEXt", b"Comment\0" + note) + picture[end_of_header:]


@functools.cache
def _plain(kind: str) -> bytes:
    return encoded(drawing(7, (640, 480), 0.05), {"png": "PNG", "webp": "WEBP"}[kind])


@functools.cache
def other_type(kind: str) -> bytes:
    """What is no photo at all: a `gif`, a page of `html`, or `text`."""
    if kind == "gif":
        return encoded(Image.new("P", (640, 480), 3), "GIF")
    return {"html": b"<!DOCTYPE html>\n<html><body>Moved</body></html>\n", "text": b"Not found\n" * 20}[kind]


def single_colour(width: int, height: int) -> bytes:
    """A JPEG of one colour in that size."""
    return encoded(Image.new("RGB", (width, height), (90, 90, 90)), "JPEG")


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces that many pixels; its data end early."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(60_000), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in parts)


@functools.cache
def scan_bomb(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG of so many pixels that comes in so many scans, of some 70 bytes each: the last one again and
    again."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(buffer, "JPEG", progressive=True)
    picture = buffer.getvalue()
    last = picture[picture.rindex(b"\xff\xda") : -2]
    return picture[:-2] + last * (scans - picture.count(b"\xff\xda")) + picture[-2:]


def webp_bomb(width: int, height: int) -> bytes:
    """A lossless WebP of 38 bytes and that many pixels of one colour."""
    picture = encoded(Image.new("RGB", (1, 1), (90, 90, 90)), "WEBP", lossless=True)
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return picture[:21] + size + picture[25:]


def mpo(name: str) -> bytes:
    """A photo with a second picture behind it, as cameras for stereo and HDR make it, of a hash of its own."""
    first, second = (Image.open(io.BytesIO(jpeg(name, variant))) for variant in ("ful", "thb"))
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second], comment=name.encode())
    return buffer.getvalue()


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def drawing(seed: int, size: tuple[int, int], noise: float) -> Image.Image:
    """A picture of coloured shapes under grain; `noise` is the grain's share, from 0 to 1."""
    dice = random.Random(seed)
    width, height = size
    ramp = Image.linear_gradient("L").resize(size)
    picture = Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM), ramp))
    pencil = ImageDraw.Draw(picture)
    for turn in range(60):
        left, top = dice.randrange(width), dice.randrange(height)
        box = (left, top, left + 1 + dice.randrange(width // 4), top + 1 + dice.randrange(height // 4))
        colour = (dice.randrange(256), dice.randrange(256), dice.randrange(256))
        (pencil.ellipse if turn % 2 else pencil.rectangle)(box, fill=colour)
    # Grain three pixels wide survives the encoder about as the texture of a real photo does.
    coarse = (width // 3, height // 3)
    grain = Image.frombytes("L", coarse, dice.randbytes(coarse[0] * coarse[1])).resize(size)
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), noise)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """The picture as a file of that format."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **({"quality": QUALITY} if form != "GIF" else {}), **options)
    return buffer.getvalue()
