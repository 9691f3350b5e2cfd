"""The archive, for any files: what went in comes out, and what is damaged is noticed.

    VINOPS_PROPERTY_CASES=50000 .venv/bin/pytest tests/property

tries 50,000 cases of each property (5,000 where each case loads files into the database).
"""

from __future__ import annotations

import hashlib
import io
import shutil
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, strategies as st

from etl.errors import ArchiveDamaged
from etl.merge.diff import Differ
from etl.read.file import FeedFile
from etl.store.archive import Archiver, Link, extract
from etl.store.places import ARCHIVE, NEXT
from etl.store.state import EMPTY, StateWriter, load
from tests.property.cases import crooked_lines, few, many, newlines
from tests.support.feed_files import NAMES, feed_bytes, row

LATEST = "2027-01-01T00:00:00Z"
Line = dict[str, str] | bytes


@st.composite
def successions(draw: st.DrawFn) -> list[bytes]:
    """Draw files, each made of the one before: rows changed, new, gone, moved, and lines that are no rows."""
    names = NAMES if draw(st.booleans()) else NAMES[1:]
    rows: list[Line] = [row(10_000_000 + number) for number in range(draw(st.integers(0, 12)))]
    files = []
    for turn in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, len(rows)))
            what = draw(st.sampled_from(["new", "gone", "changed", "moved", "crooked"]))
            if what == "new":
                rows.insert(at, row(20_000_000 + turn * 100 + at))
            elif what == "crooked":
                rows.insert(at, draw(crooked_lines()).replace(b"\n", b""))
            elif at < len(rows):
                each = rows.pop(at)
                if what == "changed" and isinstance(each, dict):
                    rows.insert(at, {**each, "odometer": str(draw(st.integers(0, 99)))})
                elif what == "moved":
                    rows.insert(draw(st.integers(0, len(rows))), each)
        files.append(feed_bytes(rows, names=names, newline=draw(newlines)))
    return files


def archived(data_dir: Path, files: list[bytes], *, block_bytes: int) -> list[Link]:
    """Archive files as one chain and return its links."""
    chain: list[Link] = []
    last = EMPTY
    for number, data in enumerate(files, 1):
        sha256 = hashlib.sha256(data).hexdigest()
        source = data_dir / "sales.csv"
        source.write_bytes(data)
        feed = FeedFile(source, block_bytes=block_bytes)
        states = data_dir / "state" / str(number)
        with ExitStack() as cleanup:
            writer = StateWriter(states, sha256, feed.header.layout, feed.separator)
            cleanup.callback(writer.drop)
            archiver = Archiver(data_dir, feed, sha256, writer, base=last if last.sha256 else None, wanted=True)
            cleanup.callback(archiver.drop)
            differ = Differ(
                feed, last, send=lambda _rows: None, keep=archiver.keep, state=writer, file_id=number, latest=LATEST
            )
            found = differ.run(lambda _done: None)
            written = archiver.finish()
            writer.finish(found.newest, found.newest_lines)
            cleanup.pop_all()
        assert written is not None
        path = ARCHIVE / f"{number}.csv.zst"
        (data_dir / NEXT).replace(data_dir / path)
        link = Link(
            id=number,
            sha256=sha256,
            path=path,
            bytes=len(data),
            archive_bytes=written.archive_bytes,
            archive_sha256=written.archive_sha256,
        )
        chain.append(link)
        state = load(states, sha256)
        assert state is not None
        last = state
    return chain


def extracted(data_dir: Path, chain: list[Link]) -> bytes:
    target = io.BytesIO()
    extract(data_dir, chain, target)
    return target.getvalue()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return tmp_path


@many
@given(files=successions(), block_bytes=st.sampled_from([1, 700, 5000, 1 << 21]))
def test_every_file_of_a_chain_comes_back(files: list[bytes], block_bytes: int, folders: Path) -> None:
    data_dir = folders / uuid4().hex
    data_dir.mkdir()
    try:
        chain = archived(data_dir, files, block_bytes=block_bytes)
        for length, data in enumerate(files, 1):
            assert extracted(data_dir, chain[:length]) == data
    finally:
        shutil.rmtree(data_dir)


@few
@given(files=successions(), other=successions(), draw=st.data())
def test_damage_is_noticed_by_its_own_chain_from_there_on(
    files: list[bytes], other: list[bytes], draw: st.DataObject, folders: Path
) -> None:
    """Each of the bits of a byte, at any place of any file of the chain."""
    damaged_dir, sound_dir = folders / uuid4().hex, folders / uuid4().hex
    damaged_dir.mkdir()
    sound_dir.mkdir()
    try:
        chain, beside = archived(damaged_dir, files, block_bytes=700), archived(sound_dir, other, block_bytes=700)
        hit = draw.draw(st.integers(0, len(chain) - 1), label="file")
        path = damaged_dir / chain[hit].path
        data = bytearray(path.read_bytes())
        at = draw.draw(st.integers(0, len(data) - 1), label="byte")
        data[at] ^= draw.draw(st.integers(1, 255), label="bits")
        path.write_bytes(data)
        for length, expected in enumerate(files, 1):
            if length <= hit:
                assert extracted(damaged_dir, chain[:length]) == expected
            else:
                with pytest.raises(ArchiveDamaged, match=chain[hit].path.name):
                    extracted(damaged_dir, chain[:length])
        for length, expected in enumerate(other, 1):
            assert extracted(sound_dir, beside[:length]) == expected
    finally:
        shutil.rmtree(damaged_dir)
        shutil.rmtree(sound_dir)
