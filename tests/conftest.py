"""What all tests share: one embedded PostgreSQL for the run, and a fresh migrated database for each test that asks."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from psycopg import sql

from tests.support import contain
from tests.support.outbound import sitecustomize as outbound
from vinops.config import LIBPQ_IGNORED, LIBPQ_KEPT, Secret, Settings, variables
from vinops.db import database as db, embedded
from vinops.db.embedded import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import TupleRow

DEAF_SECONDS = 10
LEAVING_SECONDS = 30  # a keeper of a server lingers, a browser takes its time
ROOM = 8 << 30  # bytes: a whole run has less than half of it at any one time
UNSAFE = "fsync = off\nfull_page_writes = off\nautovacuum = off\n"
"""Settings of the server that tests share: a database that lives for a second is made and dropped with a tenth less of
processor. No machine dies in a test, and plans do not depend on when the server looked at tables."""
IN_MEMORY = pytest.StashKey[Path]()
"""The folder that this process has to remove; none in the processes of pytest-xdist, which find TMPDIR named."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin below. Let temporary files of the tests, and of what they start, lie in memory where there
    is room and nobody named a place: a copy of a database takes a tenth of the time. What tests kill are processes: no
    disk has to outlive them.

    No variable of libpq reaches them: they connect by other ways than vinops does, too.
    """
    for name in LIBPQ_IGNORED | LIBPQ_KEPT:
        os.environ.pop(name, None)
    config.pluginmanager.register(Staying())
    hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no failure
    hypothesis.settings.load_profile("here")
    _use_memory(config)
    _refuse_connections()


def _use_memory(config: pytest.Config) -> None:
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_mount() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return
    if shutil.disk_usage(memory).free > ROOM:
        folder = config.stash[IN_MEMORY] = Path(tempfile.mkdtemp(prefix="vinops-tests-", dir=memory))
        folder.chmod(0o1777)  # as /tmp: servers are run by other accounts
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _refuse_connections() -> None:
    """Let this process, and every Python process that a test starts, reach no other machine; a record says which tried.

    Each process of pytest-xdist has a record of its own."""
    file, record = tempfile.mkstemp(prefix="vinops-outbound-")
    os.fchmod(file, 0o666)  # servers are run by other accounts
    os.close(file)
    atexit.register(Path(record).unlink, missing_ok=True)
    is_guarded = outbound.RECORD in os.environ  # by its interpreter
    os.environ[outbound.RECORD] = record
    os.environ["TLDEXTRACT_CACHE"] = f"{record}-suffixes"  # a list that was fetched once is not asked for again
    if not is_guarded:
        outbound.guard(record)
        folder = str(Path(outbound.__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Spare the garbage collector what collecting leaves: thousands of tests and modules, which stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Contain each worker process: what its tests started dies with it, also when it is killed."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, contain.__file__, sys.executable])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """End the process of a test past its limit that no signal reaches: pytest-xdist names it, and goes on."""
    mark = item.get_closest_marker("timeout")
    limit = float(mark.args[0] if mark else item.config.getini("timeout") or 0)
    if limit:
        seconds = limit + max(DEAF_SECONDS, limit / 2)
        faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


WHOLE = {"tests/crash/test_kills.py": 20, "tests/crash/test_photo_kills.py": 20}
"""Files of crash tests, and with how many tests they count as run whole."""
LEAST_KILLS = 50

_running: dict[str, float] = {}
_tests: Counter[str] = Counter()
_kills: Counter[str] = Counter()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Remember when each test began; with pytest-xdist this is called in the process that directs the others."""
    _running[nodeid] = time.monotonic()


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Forget a test that has ended."""
    _running.pop(nodeid, None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the kills of crash tests, and forget a test whose process crashed, which has a failure of its own."""
    if report.when not in {"setup", "call", "teardown"}:
        _running.pop(report.nodeid, None)
    if report.when == "teardown":
        file = report.nodeid.partition("::")[0]
        _tests[file] += 1
        _kills[file] += sum(value for name, value in report.user_properties if name == "kills")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a run whose crash tests killed too little. Give the memory back, unless tests failed: look at it then."""
    if not hasattr(session.config, "workerinput") and exitstatus == pytest.ExitCode.OK and _missing_kills():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    folder = session.config.stash.get(IN_MEMORY, None)
    if folder and session.exitstatus == pytest.ExitCode.OK:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # pytest itself has not done with it yet


def _missing_kills() -> list[str]:
    return [file for file, tests in WHOLE.items() if _tests[file] >= tests and _kills[file] < LEAST_KILLS]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many kills landed, and name the tests that had not ended when the run was stopped."""
    for file, kills in sorted(_kills.items()):
        if kills:
            terminalreporter.write_line(f"{file}: {kills} kills landed")
    for file in _missing_kills():
        terminalreporter.write_line(
            f"FAILED {file}: {_kills[file]} kills landed, {LEAST_KILLS} are the least", red=True
        )
    for nodeid, began in _running.items():
        terminalreporter.write_line(f"STILL RUNNING after {time.monotonic() - began:.0f} s: {nodeid}", red=True)


def _started() -> set[int]:
    """The processes that tests started and that have not ended, but for those that serve many tests."""
    return _children() - contain.STAYING


class Staying:
    """A plugin, since a conftest's hooks are not asked about fixtures of the session."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
        """What fixtures of a module or the session start may stay until they end it."""
        if fixturedef.scope == "function":
            return (yield)
        before = _started()
        try:
            return (yield)
        finally:
            contain.STAYING.update(_started() - before)


@pytest.fixture(autouse=True)
def _nothing_is_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a process behind fails, and the process is killed. A machine that several tests share may be
    booted anew by one of them."""
    before = _started()
    yield
    if request.node.get_closest_marker("machines"):
        return
    deadline = time.monotonic() + LEAVING_SECONDS
    while left := {each for each in _started() - before if contain.runs(each)}:
        if time.monotonic() > deadline:
            lines = "\n".join(contain.command_line(each, 4096) for each in left)
            contain.kill([each for pid in left for each in (pid, *contain.descendants(pid))])
            pytest.fail(f"left running, and killed:\n{lines}", pytrace=False)
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _no_connection_leaves_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test fails if something that it started looked up, or connected to, another machine. Hosts in namespaces are
    other machines on purpose."""
    record = Path(os.environ[outbound.RECORD])
    before = record.stat().st_size
    yield
    tried = record.read_text()[before:] if record.stat().st_size > before else ""
    if tried and not request.node.get_closest_marker("machines"):
        pytest.fail(f"tried to reach other machines:\n{tried}", pytrace=False)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither see nor touch the database and the feed of the person who runs them."""
    for name in (*variables(), "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def _children() -> set[int]:
    """The processes that tests started, and the daemons that fell to the container of this process."""
    parents = {os.getpid(), int(os.environ.get(contain.CONTAINED, os.getpid()))}
    return set().union(*map(contain.children, parents))


def remove_folder(folder: Path) -> None:
    """Remove a folder with the servers in it, and let their keepers go."""
    for found in folder.rglob("postmaster.pid"):
        embedded.stop(found.parent.parent)
    data_dirs = [found.parent.parent for found in folder.rglob("users.lock")]
    # Keepers linger for the next user of a server; there is none.
    contain.kill([each for each in _children() if str(folder) in contain.command_line(each, 4096)])
    while folder.exists():  # a keeper that is about to end may make its lock file once more
        shutil.rmtree(folder, ignore_errors=True)
    for data_dir in data_dirs:
        embedded.release(data_dir)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's account reaches, unlike pytest's tmp_path, which is for its owner only."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    yield folder
    remove_folder(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The embedded server of this run, its database `vinops` migrated: the template of the others. Yields a libpq
    connection string to `postgres`, from which databases are made."""
    folder = Path(tempfile.mkdtemp(prefix="vinops-test-"))
    folder.chmod(0o711)
    settings = Settings(data_dir=folder, embedded_linger=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "CONFIGURATION", cluster.CONFIGURATION + UNSAFE)
        db.migrate(settings)
    yield psycopg.conninfo.make_conninfo(db.url(settings), dbname="postgres")
    remove_folder(folder)


@pytest.fixture(scope="session")
def admin(server: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection that makes and drops databases."""
    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


@pytest.fixture
def empty_url(server: str, admin: psycopg.Connection[TupleRow]) -> Iterator[str]:
    """The address of a fresh database without any schema."""
    yield from fresh(server, admin, "template0")


@pytest.fixture
def database_url(server: str, admin: psycopg.Connection[TupleRow]) -> Iterator[str]:
    """The address of a fresh migrated database."""
    yield from fresh(server, admin, "vinops")


def fresh(server: str, admin: psycopg.Connection[TupleRow], template: str) -> Iterator[str]:
    """Yield the address of a copy of a database, which goes afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    # The copy of files leaves nothing in the buffers, which `drop` would look through: a third of both less.
    statement = sql.SQL("create database {} template {} strategy file_copy")
    admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    host = str(psycopg.conninfo.conninfo_to_dict(server)["host"])
    yield f"postgresql://vinops@/{name}?host={quote(host, safe='')}"
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with a fresh migrated database and folders of its own."""
    return Settings(database_url=Secret(database_url), data_dir=tmp_path / "data", log_dir=tmp_path / "logs")


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a command run as a process the same settings."""
    assert settings.database_url is not None
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.reveal(),
        "VINOPS_DATA_DIR": str(settings.data_dir),
        "VINOPS_LOG_DIR": str(settings.log_dir),
    }


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection in autocommit to the database of `settings`."""
    with db.connect(settings, application="tests", autocommit=True) as connection:
        yield connection
