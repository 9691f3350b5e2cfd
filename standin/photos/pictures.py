"""The pictures of the stand-in: valid JPEGs, a different file for every name.

Drawing and encoding a picture takes 10 to 40 ms, so a pool is drawn once. A comment segment after the start of the
file contains the photo's name: every photo has unique bytes, and so a unique hash, at the cost of one copy.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from typing import Any, Final, Literal

from PIL import Image, ImageDraw

from standin.cars import BODIES, COLORS, PLACES, drawn

Variant = Literal["hrs", "ful", "thb"]
#: Number of pictures of each size in the pool.
POOL: Final = 9
#: Of them, each car is seen from this many sides.
SIDES: Final = 3
#: variant: the sizes in pixels, used alternately, and the share of noise that gives files of 200 to 250, 130 to 180 and
#: 4 kB.
SHAPES: Final[dict[Variant, tuple[tuple[tuple[int, int], float], ...]]] = {
    "hrs": (((1600, 1200), 0.085), ((1280, 960), 0.195)),
    "ful": (((1024, 768), 0.24), ((960, 720), 0.24)),
    "thb": (((192, 144), 0.05), ((144, 108), 0.36)),
}
QUALITY: Final = 80


@functools.cache
def pool(variant: Variant) -> tuple[bytes, ...]:
    """Return the JPEGs from which all photos of that size are made: cars, each from all of its sides."""
    shapes = SHAPES[variant]
    return tuple(encoded(car(*divmod(turn, SIDES), *shapes[turn % len(shapes)]), "JPEG") for turn in range(POOL))


def jpeg(name: str, variant: Variant) -> bytes:
    """Return the photo with that name (32 hexadecimal digits) in that size: a valid JPEG, the same for every call.

    Names with the same first eight digits, those of a lot, show the same car.
    """
    pictures = pool(variant)
    picture = pictures[int(name[:8], 16) % (POOL // SIDES) * SIDES + int(name[8:16], 16) % SIDES]
    comment = f"{name} {variant}".encode()
    return b"".join((b"\xff\xd8\xff\xfe", struct.pack(">H", len(comment) + 2), comment, memoryview(picture)[2:]))


def disguised(kind: str, name: str) -> bytes:
    """Return a photo of 640 by 480 pixels in another format, `png` or `webp`; it contains the name, to be unique."""
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
    """Return content that is not a photo: a `gif`, an `html` page, or `text`."""
    if kind == "gif":
        return encoded(Image.new("P", (640, 480), 3), "GIF")
    return {"html": b"<!DOCTYPE html>\n<html><body>Moved</body></html>\n", "text": b"Not found\n" * 20}[kind]


def single_colour(width: int, height: int) -> bytes:
    """Return a JPEG of a single color and of that size in pixels."""
    return encoded(Image.new("RGB", (width, height), (90, 90, 90)), "JPEG")


def png_bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes whose header declares that size in pixels; its data is incomplete."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(60_000), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in parts)


@functools.cache
def scan_bomb(width: int, height: int, scans: int) -> bytes:
    """Return a progressive JPEG of that size in pixels with so many scans: the last one, some 70 bytes, is repeated."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(buffer, "JPEG", progressive=True)
    picture = buffer.getvalue()
    last = picture[picture.rindex(b"\xff\xda") : -2]
    return picture[:-2] + last * (scans - picture.count(b"\xff\xda")) + picture[-2:]


def webp_bomb(width: int, height: int) -> bytes:
    """Return a lossless WebP of 38 bytes, of a single color and of that size in pixels."""
    picture = encoded(Image.new("RGB", (1, 1), (90, 90, 90)), "WEBP", lossless=True)
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return picture[:21] + size + picture[25:]


def mpo(name: str) -> bytes:
    """Return an MPO, a JPEG followed by a second picture, as stereo and HDR cameras make it; unique for each name."""
    first, second = (Image.open(io.BytesIO(jpeg(name, variant))) for variant in ("ful", "thb"))
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second], comment=name.encode())
    return buffer.getvalue()


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def car(number: int, side: int, size: tuple[int, int], noise: float) -> Image.Image:
    """Return a picture of a car from one of its sides, with film grain of that share."""
    picture = drawn(number * 3 % len(COLORS), (number + side) % len(PLACES), number % len(BODIES))
    if side == 1:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif side:
        picture = picture.crop((0, 170, 380, 455))  # its front
    return _grained(picture.resize(size), random.Random(f"{number}:{side}"), noise)


def drawing(seed: int, size: tuple[int, int], noise: float) -> Image.Image:
    """Return a picture of colored shapes with film grain; `noise` is the share of the grain, from 0 to 1."""
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
    return _grained(picture, dice, noise)


def _grained(picture: Image.Image, dice: random.Random, noise: float) -> Image.Image:
    # Grain three pixels wide compresses about as well as the texture of a real photo.
    coarse = (picture.width // 3, picture.height // 3)
    grain = Image.frombytes("L", coarse, dice.randbytes(coarse[0] * coarse[1])).resize(picture.size)
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), noise)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """Return the picture encoded in that format."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **({"quality": QUALITY} if form != "GIF" else {}), **options)
    return buffer.getvalue()
