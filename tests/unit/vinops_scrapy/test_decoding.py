"""Photos are decoded at the price of photos: what may cost more is decoded apart, within limits, or not at all."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from PIL import Image

from standin.photos.pictures import disguised, jpeg, mpo, png_bomb, scan_bomb, single_colour, webp_bomb
from vinops_scrapy.pipelines import decoding
from vinops_scrapy.pipelines.decoding import Decoder, Halted, Picture, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = f"{7:032x}"
HANG = 60.0  # seconds


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The processes that were started."""
    started: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(command)
        return real(command, **options)

    monkeypatch.setattr(decoding.subprocess, "Popen", popen)
    return started


def progressive(width: int, height: int) -> bytes:
    """Return an ordinary progressive JPEG."""
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 40).convert("RGB").save(buffer, "JPEG", progressive=True)
    return buffer.getvalue()


def seen(body: bytes, decoder: Decoder | None = None) -> Picture | str:
    """Return what a photo is, or why it is none."""
    try:
        return (decoder or Decoder()).decode(body)
    except Undecodable as error:
        return error.reason


BEFORE: set[int] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Know the processes that other tests have left running on purpose."""
    BEFORE.clear()
    BEFORE.update(each.pid for each in psutil.Process().children())


def children() -> list[psutil.Process]:
    """Return the processes that this test has started and that are there."""
    return [each for each in psutil.Process().children() if each.pid not in BEFORE]


@pytest.mark.parametrize(
    ("make", "content_type", "size"),
    [
        (lambda: jpeg(NAME, "hrs"), "image/jpeg", (1600, 1200)),
        (lambda: jpeg(NAME, "thb"), "image/jpeg", (192, 144)),
        (lambda: progressive(1600, 1200), "image/jpeg", (1600, 1200)),
        (lambda: mpo(NAME), "image/jpeg", (1024, 768)),
        (lambda: disguised("png", "a"), "image/png", (640, 480)),
        (lambda: disguised("webp", "a"), "image/webp", (640, 480)),
        (lambda: webp_bomb(1600, 1200), "image/webp", (1600, 1200)),
        (lambda: single_colour(4608, 3456), "image/jpeg", (4608, 3456)),
    ],
)
def test_an_ordinary_photo_is_decoded_where_it_is(
    make: Callable[[], bytes], content_type: str, size: tuple[int, int], apart: list[list[str]]
) -> None:
    assert seen(make()) == Picture(content_type=content_type, width=size[0], height=size[1])
    assert apart == []


def test_scans_are_counted_where_there_may_be_many() -> None:
    plain = jpeg(NAME, "ful")
    noted = plain[:2] + b"\xff\xe1\0\x0e" + b"\xff\xda\0\x0c\x01" + b"\xff\xda" * 3 + b"." + plain[2:]
    assert decoding.scans_of(plain) == decoding.scans_of(noted) == 1
    assert decoding.scans_of(progressive(640, 480)) >= 6
    assert decoding.scans_of(scan_bomb(640, 480, 40)) == 40
    # Not progressive, and its first scan has one component of three: the decoder reads on.
    start = plain.index(b"\xff\xda")
    parted = plain[: start + 4] + b"\x01" + plain[start + 5 :] + b"\xff\xda" * 9
    assert decoding.scans_of(parted) == 10
    filled = plain[:2] + b"\xff" + plain[2:] + b"\xff\xda"
    assert decoding.scans_of(filled) == 2
    assert decoding.scans_of(plain[:30]) == 0


@pytest.mark.parametrize(
    ("make", "content_type"),
    [
        (lambda: scan_bomb(4000, 4000, 20), "image/jpeg"),
        (lambda: webp_bomb(2100, 2000), "image/webp"),
        (lambda: single_colour(5000, 4000), "image/jpeg"),
    ],
)
def test_what_may_cost_more_is_decoded_apart(
    make: Callable[[], bytes], content_type: str, apart: list[list[str]]
) -> None:
    found = seen(make())
    assert isinstance(found, Picture)
    assert found.content_type == content_type
    assert len(apart) == 1
    assert children() == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: scan_bomb(640, 480, 300), "too_costly"),
        (lambda: webp_bomb(7000, 7000), "too_large"),
        (lambda: png_bomb(5000, 5000), "too_large"),
        (lambda: single_colour(7200, 7200), "too_large"),
        (lambda: single_colour(63, 640), "too_small"),
        (lambda: webp_bomb(63, 640), "too_small"),
        (lambda: b"RIFF\x10\0\0\0WEBPVP9 " + bytes(30), "damaged"),
        (lambda: b"GIF89a" + bytes(50), "no_image"),
        (lambda: jpeg(NAME, "ful")[:-5000], "damaged"),
    ],
)
def test_what_no_photo_is_is_not_decoded(make: Callable[[], bytes], reason: str, apart: list[list[str]]) -> None:
    assert seen(make()) == reason
    assert apart == []


def test_a_limit_of_time_ends_the_decoder(apart: list[list[str]]) -> None:
    assert seen(scan_bomb(7000, 7000, 64), Decoder(cpu_seconds=1)) == "too_costly"
    assert len(apart) == 1
    assert children() == []


def test_a_limit_of_memory_ends_the_decoder(apart: list[list[str]]) -> None:
    body = webp_bomb(4400, 4400)
    assert isinstance(seen(body), Picture)
    assert seen(body, Decoder(memory=200 * 1024 * 1024)) == "too_costly"
    assert len(apart) == 2
    assert children() == []


def test_a_decoder_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(decoding, "WALL_SECONDS", 0.2)
    assert seen(single_colour(5000, 4000)) == "too_costly"
    assert children() == []


@pytest.mark.parametrize("make", [lambda: jpeg(NAME, "ful"), lambda: single_colour(5000, 4000)])
def test_damage_is_told_from_a_photo_alike_here_and_apart(make: Callable[[], bytes]) -> None:
    body = make()
    assert seen(body[: len(body) * 6 // 10]) == "damaged"


@pytest.mark.parametrize("cut", [1, 100, 2000])
def test_a_multi_picture_file_that_is_cut_short_is_damaged(cut: int) -> None:
    body = mpo(NAME)
    assert isinstance(seen(body), Picture)
    assert seen(body[:-cut]) == "damaged"


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
def test_an_index_of_pictures_that_are_gone_costs_no_photo() -> None:
    body = mpo(NAME)
    first = body[: body.index(b"\xff\xd8\xff", 2)]  # as `jpegtran -copy all` leaves it
    assert first.endswith(b"\xff\xd9")
    assert isinstance(seen(first), Picture)
    at = body.index(b"MPF\0") + 4
    assert isinstance(seen(body[:at] + b"MM\0*\xff\xff\xff\xf0" + body[at + 8 :] + b"SEFT"), Picture)


def test_a_stop_ends_what_is_being_decoded_and_what_waits() -> None:
    stopping = threading.Event()
    decoder = Decoder(is_stopping=stopping.is_set, cpu_seconds=600)
    body = scan_bomb(7000, 7000, 64)
    with ThreadPoolExecutor(3) as threads:
        halted = [threads.submit(decoder.decode, body) for _ in range(3)]
        until = time.monotonic() + HANG
        while not children() and time.monotonic() < until:
            time.sleep(0.01)
        assert len(children()) == 1, "one of the largest at once"
        stopping.set()
        for each in halted:
            with pytest.raises(Halted):
                each.result(HANG)
    assert children() == []
    assert isinstance(seen(jpeg(NAME, "ful"), decoder), Picture), "what costs nothing is finished"


def test_a_stop_of_the_whole_group_says_nothing_of_the_photo() -> None:
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(Decoder(cpu_seconds=600).decode, scan_bomb(7000, 7000, 64))
        until = time.monotonic() + HANG
        while not children() and time.monotonic() < until:
            time.sleep(0.01)
        children()[0].send_signal(signal.SIGTERM)
        with pytest.raises(Halted):
            found.result(HANG)


def test_so_many_pixels_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0
    lock = threading.Lock()
    real = decoding._loaded

    def loaded(picture: Image.Image, body: bytes) -> Picture:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        try:
            return real(picture, body)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(decoding, "_loaded", loaded)
    decoder = Decoder(pixels_at_once=2 * 640 * 480)
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(decoder.decode, [disguised("png", str(each)) for each in range(12)]))) == 12
    assert most == 2


def test_the_process_apart_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", "word")
    program = "import json, os; print(json.dumps({'reason': 'x', 'detail': str(dict(os.environ))}))"
    monkeypatch.setattr(decoding, "PROGRAM", program)
    with pytest.raises(Undecodable) as caught:
        Decoder().decode(single_colour(5000, 4000))
    assert "R2" not in caught.value.detail


def test_it_works_out_of_an_egg(tmp_path: Path) -> None:
    root = Path(decoding.__file__).parents[2]
    with zipfile.ZipFile(tmp_path / "vinops.egg", "w") as egg:
        for name in ("vinops_scrapy/__init__.py", "vinops_scrapy/pipelines/__init__.py"):
            egg.write(root / name, name)
        egg.write(decoding.__file__, "vinops_scrapy/pipelines/decoding.py")
    (tmp_path / "photo.jpg").write_bytes(single_colour(5000, 4000))
    program = (
        "import sys; sys.path.insert(0, 'vinops.egg')\n"
        "from vinops_scrapy.pipelines import decoding\n"
        "print(decoding.__file__, decoding.Decoder().decode(open('photo.jpg', 'rb').read()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "vinops.egg" in ended.stdout, ended.stderr
    assert "width=5000" in ended.stdout
