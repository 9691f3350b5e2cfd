"""Backups in a folder, whenever the process dies: those that count are whole, the rest is found and removed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ops.backup import backup, files as backup_files
from ops.backup.files import PART, Backup
from ops.backup.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

DUMP = b"a dump"


class Died(BaseException):
    """Simulates the death of the process."""


def a_backup(day: int) -> Backup:
    return Backup(
        name=f"vinops-202611{day:02}T120000Z.dump",
        taken_at=f"2026-11-{day:02}T12:00:00+00:00",
        seconds=1.0,
        bytes=len(DUMP),
        sha256=hashlib.sha256(DUMP).hexdigest(),
        database="vinops",
        encoding="UTF8",
        server_version="18.0",
        dump_major=18,
        migrations=(),
        tables={},
        sequences={},
    )


def place(folder: Path, day: int) -> Backup:
    made = a_backup(day)
    part = folder / (made.name + PART)
    part.write_bytes(DUMP)
    backup_files.place(backup_files.in_folder(folder), part, made, Progress())
    return made


def dies(number: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> bool:
    """Run `work`, and die before it renames or removes file number `number`. Return whether it died."""
    changes = iter([None] * number)

    def before(call: Callable[..., object]) -> Callable[..., object]:
        def change(*arguments: object, **options: object) -> object:
            try:
                next(changes)
            except StopIteration:
                raise Died from None
            return call(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", before(Path.replace))
        patch.setattr(Path, "unlink", before(Path.unlink))
        try:
            work()
        except Died:
            return True
    return False


def clean(folder: Path) -> None:
    """Remove the leftovers as the next backup does."""
    for path in backup_files.leftovers(folder):
        path.unlink()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("number", range(3))
def test_a_dump_counts_once_all_of_it_is_there(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = place(tmp_path, 1)
    assert dies(number, monkeypatch, lambda: place(tmp_path, 2)) is (number < 2)
    counted = [old] if number < 2 else [a_backup(2), old]
    assert backup_files.verified(backup_files.in_folder(tmp_path)) == (counted, [])
    clean(tmp_path)
    assert names(tmp_path) == {name for each in counted for name in (each.name, f"{each.name}.json")}
    assert [backup_files.checked(tmp_path / each.name) for each in counted] == counted


@pytest.mark.parametrize("number", range(3))
def test_an_old_one_that_goes_counts_no_more_before_its_dump_goes(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place(tmp_path, 1), place(tmp_path, 2)
    assert dies(
        number,
        monkeypatch,
        lambda: backup.retain(backup_files.in_folder(tmp_path), Progress(), keep=1, days=30, now=new.time, taken=new),
    ) is (number < 2)
    counted = [new, old] if number < 1 else [new]
    assert backup_files.verified(backup_files.in_folder(tmp_path)) == (counted, [])
    clean(tmp_path)
    assert names(tmp_path) == {name for each in counted for name in (each.name, f"{each.name}.json")}
