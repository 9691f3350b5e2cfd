"""The places of the embedded server when root's folders are closed to the account that it runs as."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from demo import folder as demo_folder
from ops.observe import machine
from ops.observe.snapshot import Disk
from tests.support.children import child
from vinops import locks
from vinops.config import Settings
from vinops.db import database as db, embedded
from vinops.db.embedded import __main__ as tidy, cluster, places
from vinops.db.embedded.account import reaches

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="about what root meets")


@pytest.fixture
def place(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /var/lib/vinops/embedded."""
    monkeypatch.setattr(places, "PLACE", open_folder / "lib" / "embedded")
    return open_folder / "lib" / "embedded"


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A folder that is closed to other accounts, as root's home."""
    folder = open_folder / "home"
    folder.mkdir(mode=0o700)
    return folder


def clusters(place: Path) -> list[Path]:
    return [each for each in place.iterdir() if places.NAME.fullmatch(each.name)]


def a_database(data_dir: Path) -> Path:
    """Create the folder of a database of a data folder, without a server, and return it."""
    base = places.prepare(data_dir)
    (base / "data").mkdir()
    (base / "data" / "rows").write_text("mine")
    return base


def modes(*folders: Path) -> list[int]:
    return [each.stat().st_mode & 0o7777 for each in folders]


def test_it_works_in_a_folder_that_is_closed_to_all_others(
    place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = embedded.binary("postgres").parents[2]
    package = home / ".venv" / installed.name
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("pginstall", "include"))
    shutil.copytree(installed.with_name(f"{installed.name}.libs"), home / ".venv" / f"{installed.name}.libs")
    (package / "pginstall18" / "bin").chmod(0o700)  # as a strict umask leaves them
    spec = ModuleSpec(installed.name, None, is_package=True)
    assert spec.submodule_search_locations is not None
    spec.submodule_search_locations.append(str(package))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    before = modes(home, package)
    settings = Settings(data_dir=home / "clone" / "var", embedded_linger=0)
    with db.connect(settings, application="t", autocommit=True) as connection:
        connection.execute("create table kept as select 7 as a")
    base = embedded.folder(settings.data_dir)
    assert base.parent == place
    assert (settings.data_dir / "postgres").readlink() == base
    embedded.stop(base)
    with db.connect(settings, application="t") as connection:
        assert connection.execute("select a from kept").fetchone() == (7,)
    pid = embedded.process.server_pid(base)
    assert Path(f"/proc/{pid}/exe").readlink().is_relative_to(place)
    assert Path(f"/proc/{pid}").stat().st_uid == embedded.account_of(base).uid != 0
    assert modes(home, package) == before, "a folder that is not ours was changed"
    assert embedded.binary("pg_dump") == package / "pginstall18" / "bin" / "pg_dump"
    embedded.release(settings.data_dir)
    embedded.remove(settings.data_dir, 30)
    assert clusters(place) == []
    assert list(settings.data_dir.iterdir()) == []


def test_the_data_of_a_folder_that_was_deleted_go(place: Path, home: Path) -> None:
    base, other = a_database(home / "clone" / "var"), a_database(home / "other" / "var")
    shutil.rmtree(home / "clone")
    assert places.sweep() == [base]
    assert clusters(place) == [other]
    (home / "other" / "var" / "postgres").unlink()
    assert places.sweep() == [other]


def test_a_start_removes_what_others_left(place: Path, open_folder: Path, home: Path) -> None:
    a_database(home / "clone" / "var")
    shutil.rmtree(home / "clone")
    settings = Settings(data_dir=open_folder / "var", embedded_linger=0)
    db.connect(settings, application="t").close()
    assert clusters(place) == []
    assert not (open_folder / "var" / "postgres").is_symlink(), "it could be reached where it was"


def test_the_data_of_a_folder_that_was_moved_stay(place: Path, home: Path) -> None:
    base = a_database(home / "clone" / "var")
    (home / "clone").rename(home / "renamed")
    assert places.sweep() == []
    assert places.prepare(home / "renamed" / "var") == base
    assert places.sweep() == []
    shutil.rmtree(home / "renamed")
    assert places.sweep() == [base]


def test_a_copy_of_a_data_folder_has_no_say_in_the_database_of_the_first(place: Path, home: Path) -> None:
    base = a_database(home / "var")
    shutil.copytree(home / "var", home / "copy", symlinks=True)
    with pytest.raises(embedded.ServerError, match=f"is that of {home}/var, from which this data folder was copied"):
        places.prepare(home / "copy")
    embedded.remove(home / "copy", 0)
    assert (base / "data" / "rows").read_text() == "mine"
    assert places.prepare(home / "copy") != base
    assert len(clusters(place)) == 2


def test_another_file_system_that_is_not_mounted_is_not_a_deleted_folder(
    place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    base = a_database(home / "var")
    link, device = places._owner(base) or (Path(), 0)
    assert (link, link.readlink()) == (home / "var" / "postgres", base)
    shutil.rmtree(home / "var")
    noted = (base / places.OWNER).read_text()
    (base / places.OWNER).write_text(noted.replace(str(device), str(device + 1)))  # what was mounted there has gone
    assert places.sweep() == []
    (base / places.OWNER).write_text(noted)
    assert places.sweep() == [base]


def test_what_is_in_use_stays_and_who_uses_it_is_named(place: Path, home: Path) -> None:
    base = a_database(home / "var")
    user = locks.locked(base / "users.lock", fcntl.LOCK_SH)
    with pytest.raises(embedded.ServerError, match=f"the database in .* is in use: .*process {os.getpid()} "):
        embedded.remove(home / "var", 0.05)
    shutil.rmtree(home / "var")
    assert places.sweep() == []
    os.close(user)
    assert places.sweep() == [base]


def test_what_a_killed_start_left_goes(place: Path, home: Path) -> None:
    places.prepare(home / "var")
    (place / "0123456789abcdef").mkdir()
    (place / "fedcba9876543210").mkdir()
    (place / "fedcba9876543210" / "data").mkdir()  # of nobody knows whom: kept
    assert places.sweep() == [place / "0123456789abcdef"]


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(place: Path, home: Path) -> None:
    base = a_database(home / "var")
    shutil.rmtree(base)
    with pytest.raises(embedded.ServerError, match=f"leads to {base}, which is missing"):
        places.prepare(home / "var")
    assert clusters(place) == []


def test_what_an_earlier_version_left_when_it_gave_up_is_no_obstacle(place: Path, home: Path) -> None:
    left = home / "var" / "postgres"
    left.mkdir(parents=True)
    (left / "users.lock").touch()
    assert places.prepare(home / "var").parent == place
    assert left.is_symlink()


def test_a_database_that_is_there_stays_where_it_is(place: Path, home: Path) -> None:
    there = home / "var" / "postgres"
    (there / "data").mkdir(parents=True)
    shutil.chown(there / "data", embedded.account_of(home).uid)
    assert places.prepare(home / "var") == there
    with pytest.raises(embedded.ServerError, match=f"{home} \\(mode 0700\\) is in the way"):
        cluster.start(there, embedded.account_of(there))
    assert not place.exists()
    assert modes(home) == [0o700]


def test_where_nothing_can_be_made_it_says_what_is_in_the_way(
    open_folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "lib").touch()
    monkeypatch.setattr(places, "PLACE", open_folder / "lib" / "embedded")
    with pytest.raises(embedded.ServerError, match=r"home \(mode 0700\) is in the way, and .*VINOPS_DATA_DIR"):
        places.prepare(home / "var")


def test_programs_that_nobody_runs_go_in_the_end(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used, unused = place / "programs-18-used", place / "programs-18-unused"
    for each in (used, unused):
        each.mkdir(parents=True)
        shutil.copy("/bin/sleep", each / "postgres")
    with child([used / "postgres", "600"]) as process:
        assert places.sweep() == [], "they may be needed again"
        assert tidy.main() == 0  # as `make clean` has it
        process.kill()
    assert list(place.glob("programs-*")) == [used]
    assert capsys.readouterr().err == f"removed {unused}\n"
    assert tidy.main() == 0
    assert list(place.glob("programs-*")) == []


def test_programs_that_can_be_reached_are_not_copied(place: Path, open_folder: Path) -> None:
    account = embedded.account_of(open_folder)
    if not reaches(account, embedded.binary("postgres")):
        pytest.skip("this checkout is in a closed folder")
    assert embedded.binary("postgres", account) == embedded.binary("postgres")
    assert not place.exists()


def test_the_disk_that_is_watched_is_the_fuller_of_data_and_database(
    place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=home / "var")
    base = places.prepare(settings.data_dir)
    free = {settings.data_dir: 7, base: 5}
    monkeypatch.setattr(machine, "disk", lambda folder: Disk(path=folder, size=9, used=0, free=free.get(folder, 9)))
    assert machine.machine(settings).data_disk.path == base
    free[settings.data_dir] = 3
    assert machine.machine(settings).data_disk.path == settings.data_dir


def test_a_demo_that_begins_anew_leaves_nothing_of_the_one_before(place: Path, home: Path) -> None:
    folder = home / "var" / "demo"
    a_database(folder)
    with demo_folder.held(folder, Settings(data_dir=folder), {}):
        assert clusters(place) == []
        assert not (folder / "postgres").is_symlink()


def test_make_clean_removes_what_nobody_needs() -> None:
    root = Path(__file__).resolve().parents[3]
    said = subprocess.run(["make", "-n", "clean"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.index(" -m vinops.db.embedded") < said.index("rm -rf .venv")
