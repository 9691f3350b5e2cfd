"""The embedded server: shared, restarted, stopped, whichever process is killed."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vinops.config import Settings
from vinops.db import database as db, embedded
from vinops.db.embedded import cluster
from vinops.db.embedded.account import reaches

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from psycopg.rows import TupleRow

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60  # seconds until a test that waits for something gives up; none passes or fails by how long it took

# A process that uses the server: says the server's process id, then waits for its input to end.
USER = """
import sys
from pathlib import Path
from vinops.db import database, embedded
from vinops.config import Settings
settings = Settings(data_dir=Path(sys.argv[1]), embedded_linger=float(sys.argv[2]))
try:
    connection = database.connect(settings, application="user", autocommit=True)
except database.DatabaseError as error:
    sys.exit(str(error))
connection.execute("select 1")
print(Path(sys.argv[1], "postgres/data/postmaster.pid").read_text().split()[0], flush=True)
sys.stdin.read()
"""


def user(folder: Path, linger: float = 30) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), str(linger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def server_of(process: subprocess.Popen[str]) -> int:
    """The process id of the server that a user reported."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return int(line)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def processes(folder: Path, program: str) -> list[int]:
    """The processes of a program for this folder, without the children of the server."""
    base = os.fsencode(embedded.folder(folder))
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith(program.encode()) for word in words) and {base, base + b"/data"} & set(words):
                found.append(int(entry.name))
    return found


def keepers(folder: Path) -> list[int]:
    return processes(folder, embedded.KEEPER)


def servers(folder: Path) -> list[int]:
    return processes(folder, "bin/postgres")


def test_the_server_and_its_data_survive_between_commands(open_folder: Path) -> None:
    with db.connect(Settings(data_dir=open_folder), application="t", autocommit=True) as connection:
        connection.execute("create table kept (a int)")
    first, second = user(open_folder), user(open_folder)
    assert server_of(first) == server_of(second)
    finish(first)
    finish(second)
    with db.connect(Settings(data_dir=open_folder), application="t") as connection:
        connection.execute("select a from kept")


@pytest.mark.quick
def test_processes_that_start_at_once_share_one_cluster_one_server_and_one_keeper(open_folder: Path) -> None:
    users = [user(open_folder) for _ in range(6)]
    assert len({server_of(each) for each in users}) == 1
    assert len(servers(open_folder)) == 1
    assert len(keepers(open_folder)) == 1
    for each in users:
        finish(each)


@pytest.mark.quick
def test_it_stops_when_unused_and_starts_again(open_folder: Path) -> None:
    first = user(open_folder, linger=0)
    pid = server_of(first)
    finish(first)
    wait_until(lambda: not servers(open_folder) and not keepers(open_folder))
    second = user(open_folder, linger=0)
    assert server_of(second) != pid
    finish(second)
    assert "was not properly shut down" not in (embedded.folder(open_folder) / "server.log").read_text()


def test_it_does_not_stop_while_somebody_uses_it(open_folder: Path) -> None:
    long = user(open_folder, linger=0)
    pid = server_of(long)
    for _ in range(3):
        short = user(open_folder, linger=0)
        assert server_of(short) == pid
        finish(short)
    assert servers(open_folder) == [pid]
    lock = os.open(embedded.folder(open_folder) / "users.lock", os.O_RDONLY)
    with pytest.raises(BlockingIOError):  # what the keeper waits for
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    finish(long)


def test_a_killed_user_does_not_keep_it_up(open_folder: Path) -> None:
    killed = user(open_folder, linger=0)
    server_of(killed)
    killed.kill()
    killed.communicate()
    wait_until(lambda: not servers(open_folder) and not keepers(open_folder))


@pytest.mark.quick
def test_a_killed_server_is_started_again_with_what_was_committed(open_folder: Path) -> None:
    settings = Settings(data_dir=open_folder)
    with db.connect(settings, application="t", autocommit=True) as connection:
        connection.execute("create table kept as select 7 as a")
        [pid] = servers(open_folder)
        os.kill(pid, signal.SIGKILL)
    with db.connect(settings, application="t") as connection:
        assert connection.execute("select a from kept").fetchone() == (7,)
    assert servers(open_folder) != [pid]


def test_a_killed_backend_is_waited_for(open_folder: Path) -> None:
    settings = Settings(data_dir=open_folder)
    with db.connect(settings, application="t", autocommit=True) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)  # the server drops everybody and recovers
        with db.connect(settings, application="t") as another:
            assert another.execute("select 1").fetchone() == (1,)


def test_a_connection_that_breaks_before_it_is_handed_out_is_replaced(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, killed = db._compare, []

    def after_a_kill(connection: psycopg.Connection[TupleRow]) -> tuple[list[str], list[str]]:
        if not killed:
            killed.append(connection.info.backend_pid)
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        return compare(connection)

    settings = Settings(data_dir=open_folder)
    db.migrate(settings)
    monkeypatch.setattr(db, "_compare", after_a_kill)
    with db.connect(settings, application="t") as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        assert connection.info.backend_pid not in killed


def test_a_killed_keeper_is_replaced_by_the_next_user(open_folder: Path) -> None:
    first = user(open_folder, linger=0)
    pid = server_of(first)
    [keeper] = keepers(open_folder)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not keepers(open_folder))
    finish(first)
    assert servers(open_folder) == [pid]
    second = user(open_folder, linger=0)
    assert server_of(second) == pid
    finish(second)
    wait_until(lambda: not servers(open_folder))


def test_a_process_killed_while_it_makes_the_cluster_leaves_nothing_broken(open_folder: Path) -> None:
    base = embedded.folder(open_folder)
    killed = user(open_folder)
    wait_until(lambda: any(base.glob("data.new-*")))
    killed.kill()
    killed.communicate()
    assert not (base / "data").exists(), "the kill came too late to prove anything"
    after = user(open_folder)  # while the initdb of the killed one may still be at work
    server_of(after)
    finish(after)


def test_a_process_killed_while_it_starts_the_server_leaves_it_to_the_next(open_folder: Path) -> None:
    settings = Settings(data_dir=open_folder)
    db.connect(settings, application="t").close()
    base = embedded.folder(open_folder)
    embedded.stop(base)
    sockets = base / "run"
    cluster.spawn(base, sockets, embedded.account_of(base))  # as a starter that is killed right after it
    db.connect(settings, application="t").close()  # which of two at once has the folder is PostgreSQL's to say
    wait_until(lambda: len(servers(open_folder)) == 1)


def test_a_process_can_say_that_it_no_longer_uses_the_server(open_folder: Path) -> None:
    db.connect(Settings(data_dir=open_folder, embedded_linger=0), application="t").close()
    embedded.release(open_folder)
    wait_until(lambda: not servers(open_folder) and not keepers(open_folder))


def test_a_process_id_that_now_belongs_to_another_program_is_no_obstacle(open_folder: Path) -> None:
    settings = Settings(data_dir=open_folder)
    db.connect(settings, application="t").close()
    [pid] = servers(open_folder)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers(open_folder))
    file = embedded.folder(open_folder) / "data" / "postmaster.pid"
    owner = file.stat()
    other = subprocess.Popen(["/bin/sleep", "600"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        lines = file.read_text().splitlines()
        file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        db.connect(settings, application="t").close()
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("name", ["with blanks and 'quotes\"", "a,b", "long" * 30, "$(touch x) `y`"])
def test_any_name_of_a_folder_will_do(open_folder: Path, name: str) -> None:
    with db.connect(Settings(data_dir=open_folder / name), application="t") as connection:
        sockets = Path(connection.info.host)
    assert len(servers(open_folder / name)) == 1
    embedded.stop(embedded.folder(open_folder / name))
    assert sockets == embedded.folder(open_folder / name) / "run" or not sockets.exists(), "a folder was left behind"


def test_a_relative_folder_and_a_link_are_the_same_server(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (open_folder / "link").symlink_to(open_folder / "data")
    monkeypatch.chdir(open_folder)
    for spelling in (Path("data"), open_folder / "link", Path("./link/../data")):
        db.connect(Settings(data_dir=spelling), application="t").close()
    assert len(servers(open_folder / "data")) == 1


@pytest.mark.quick
def test_nobody_else_reaches_data_or_socket(open_folder: Path) -> None:
    db.connect(Settings(data_dir=open_folder), application="t").close()
    base = embedded.folder(open_folder)
    assert {(base / name).stat().st_mode & 0o777 for name in ("data", "run")} == {0o700}
    with db.connect(Settings(data_dir=open_folder), application="t") as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)


def test_what_is_no_cluster_is_not_touched(open_folder: Path) -> None:
    data = embedded.folder(open_folder) / "data"
    data.mkdir(parents=True)
    data.parent.chmod(0o711)
    (data / "letters").write_text("mine")
    with pytest.raises(db.DatabaseError, match="is not a PostgreSQL cluster"):
        db.connect(Settings(data_dir=open_folder), application="t")
    assert (data / "letters").read_text() == "mine"


@pytest.mark.quick
def test_a_server_that_does_not_start_says_why(open_folder: Path) -> None:
    settings = Settings(data_dir=open_folder)
    db.connect(settings, application="t").close()
    base = embedded.folder(open_folder)
    embedded.stop(base)
    (base / "data" / "local.conf").write_text("no_such_setting = 1\n")
    (base / "data" / "local.conf").chmod(0o644)
    with pytest.raises(db.DatabaseError, match="no_such_setting"):
        db.connect(settings, application="t")


def test_a_running_server_is_found_without_a_subprocess(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=open_folder)
    db.connect(settings, application="t").close()

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    db.connect(settings, application="t").close()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root meets")


@as_root
def test_run_by_root_the_server_is_another_user(open_folder: Path) -> None:
    db.connect(Settings(data_dir=open_folder), application="t").close()
    [pid] = servers(open_folder)
    assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("vinops").pw_uid


NOBODY = 65534


def as_nobody(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as an ordinary user, with an interpreter that this user can reach."""
    for name in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        version = "import sys; print(*sys.version_info[:2])"
        try:
            probe = subprocess.run(
                [name, "-c", version],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                text=True,
            )
        except OSError:
            continue
        if probe.returncode == 0 and probe.stdout.split() == [str(part) for part in sys.version_info[:2]]:
            break
    else:
        pytest.skip("no interpreter of this version that an ordinary user reaches")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    nobody = embedded.Account(uid=NOBODY, gid=NOBODY, name="nobody")
    if not all(reaches(nobody, Path(each)) for each in (ROOT, packages)):
        pytest.skip("an ordinary user does not reach this checkout")
    return subprocess.run(
        [name, "-c", code, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@as_root
def test_an_ordinary_user_has_a_server_of_his_own(open_folder: Path) -> None:
    own = open_folder / "own"
    own.mkdir()
    shutil.chown(own, NOBODY, NOBODY)
    for _ in range(2):
        done = as_nobody(USER, str(own), "5")
        assert done.returncode == 0, done.stderr
        assert Path(f"/proc/{int(done.stdout)}").stat().st_uid == NOBODY
    db.connect(Settings(data_dir=own), application="t").close()  # root shares it
    assert [Path(f"/proc/{pid}").stat().st_uid for pid in servers(own)] == [NOBODY]


@as_root
def test_the_database_of_another_account_is_refused_with_a_remedy(open_folder: Path) -> None:
    db.connect(Settings(data_dir=open_folder), application="t").close()
    done = as_nobody(USER, str(open_folder), "5")
    assert done.returncode == 1
    assert "belongs to another account" in done.stderr
    assert "VINOPS_DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr
