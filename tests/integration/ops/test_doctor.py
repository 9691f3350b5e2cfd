"""`vinops doctor`: every mistake in the configuration is found at once, with its fix, and no secret is shown."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg import sql

from ops.checks import configuration as doctor_checks
from standin.feed.command import Market
from standin.feed.server import FeedServer
from tests.support import forks, snapshots
from tests.support.s3_server import BUCKET, KEY_ID, s3_server
from vinops import config
from vinops.checks import Level
from vinops.config import Survey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg
    from psycopg.rows import TupleRow

    Run = Callable[..., "Ended"]

CANARY = "c4nary5f2c9"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended, and the findings of its JSON."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.out)["findings"]
        return found

    def of(self, subject: str, level: str | None = None) -> dict[str, str]:
        """The first finding of a subject."""
        return next(each for each in self.findings if each["subject"] == subject and level in (None, each["level"]))


@pytest.fixture
def vinops(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs the doctor in a folder of its own, where `.env` may lie. A variable that is None is not set."""

    def run(*arguments: str, **variables: str | None) -> Ended:
        merged = {**environment, **variables}
        given = {name: value for name, value in merged.items() if value is not None}
        done = forks.vinops(given, "doctor", *arguments, cwd=tmp_path)
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


def test_a_machine_that_is_set_up_has_no_error(vinops: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = vinops("--json")
    assert done.code == 0, done.out
    assert json.loads(done.out)["ok"] is True
    assert done.of("database")["level"] == "OK"
    assert done.of("migrations")["text"] == "all applied"
    assert done.of("DATABASE_URL") == {
        "level": "OK",
        "subject": "DATABASE_URL",
        "text": "set in the environment",
        "fix": "",
    }
    assert {"python", "locale", "settings", "clock", "photos", "makes", "pace", "celery", "backups"} <= {
        each["subject"] for each in done.findings
    }
    assert done.of("first photos", "OK")["text"] == (
        "of a feed of usual size, 16,667 new lots a day: careful reaches 3,600, 78 % leave without a photo; "
        "VINOPS_PACE=steady loses none (`vinops forecast`)"
    )
    plain = vinops()
    assert plain.out.splitlines()[0].startswith("OK       python")
    assert "-> set it to the address from the member page" in plain.out


def test_every_variable_that_does_not_fit_is_named_at_once(vinops: Run) -> None:
    wrong = {
        "VINOPS_FEED_MIN_ROWS": CANARY,
        "VINOPS_PACE": CANARY,
        "COPART_CSV_URL": f"ftp://h/?authKey={CANARY}",
        "CELERY_BROKER_URL": f"redis://:p@{CANARY}@h/0",
        "DATABASE_URL": f"postgresql://me:p@{CANARY}@127.0.0.1/d",
        "R2_ENDPOINT": f"ftp://{CANARY}@h",
    }
    done = vinops("--json", **wrong)
    assert done.code == 1
    for name in wrong:
        found = done.of(name)
        assert found["level"] == "ERROR"
        assert found["fix"]
    assert CANARY not in done.out + done.err


def test_names_that_nobody_reads_are_told_with_what_was_meant(vinops: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"COPART_USER=x\nTELEGRAM_CHANEL_ID=1\nSMTP_HOST={CANARY}\n")
    (tmp_path / ".env").chmod(0o600)
    done = vinops("--json", VINOPS_ARCHIV_DAYS="3", R2_BUCKET="b")
    assert done.of("VINOPS_ARCHIV_DAYS")["fix"] == "did you mean VINOPS_ARCHIVE_DAYS?"
    assert done.of("TELEGRAM_CHANEL_ID")["fix"] == "did you mean TELEGRAM_CHANNEL_ID?"
    assert done.of("R2_BUCKET")["fix"] == "did you mean R2_BUCKET_NAME?"
    assert done.of("SMTP_HOST")["text"] == "set in .env, and not a setting"
    assert done.code == 0  # they are warnings
    assert CANARY not in done.out


def test_a_dotenv_with_secrets_is_for_its_owner_only(vinops: Run, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("VINOPS_ARCHIVE_DAYS=3\n")
    path.chmod(0o644)
    assert vinops("--json").of(".env")["level"] == "OK"
    path.write_text(f"COPART_USERNAME=u\nCOPART_PASSWORD={CANARY}\n")
    done = vinops("--json")
    assert (done.code, done.of(".env")["fix"]) == (1, "chmod 600 .env")
    path.chmod(0o640)
    assert vinops("--json").of(".env")["level"] == "WARNING"
    path.chmod(0o600)
    assert vinops("--json").of(".env")["level"] == "OK"
    path.write_bytes(b"\xff\xfe=\x00")
    assert vinops("--json").of(".env", "ERROR")


def test_folders_that_cannot_be_written_or_are_full(
    vinops: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: config.Settings
) -> None:
    (tmp_path / "file").write_text("")
    done = vinops("--json", VINOPS_DATA_DIR=str(tmp_path / "file" / "below"), VINOPS_LOG_DIR=str(tmp_path / "file"))
    for name in ("VINOPS_DATA_DIR", "VINOPS_LOG_DIR"):
        assert "cannot be written" in done.of(name, "ERROR")["text"]
    for share, level in ((0.9, Level.CRITICAL), (0.8, Level.WARNING), (0.79, Level.OK)):
        monkeypatch.setattr(doctor_checks.machine, "disk", lambda _path, share=share: snapshots.disk(share))
        found = list(doctor_checks.folders(survey_of(settings)))
        assert {each.level for each in found} == {level}


def survey_of(settings: config.Settings) -> Survey:
    return Survey(settings=settings, problems={}, sources={}, unknown={})


def test_a_database_that_is_not_reached_not_migrated_or_forbidden(
    vinops: Run, empty_url: str, database_url: str, admin: psycopg.Connection[TupleRow]
) -> None:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    away = vinops("--json", DATABASE_URL=f"postgresql://u:{CANARY}@127.0.0.1:{port}/d")
    assert away.code == 1
    assert "not reached" in away.of("database", "ERROR")["text"]
    assert CANARY not in away.out + away.err
    assert vinops("--json", DATABASE_URL=empty_url).of("migrations")["fix"] == "run `vinops migrate`"
    role = f"reader_{uuid4().hex[:8]}"
    admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    try:
        poor = vinops("--json", DATABASE_URL=database_url.replace("vinops@", f"{role}@"))
        assert poor.code == 1
        assert poor.of("rights", "ERROR")["fix"] == "run vinops as the owner of the tables"
    finally:
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_role_that_may_only_read_is_told(
    vinops: Run, database: psycopg.Connection[TupleRow], database_url: str
) -> None:
    role = sql.Identifier(name := f"reader_{uuid4().hex[:8]}")
    database.execute(sql.SQL("create role {} login").format(role))
    try:
        database.execute(sql.SQL("grant usage on schema public, ops, audit, raw, staging to {}").format(role))
        database.execute(sql.SQL("grant select on all tables in schema public to {}").format(role))
        done = vinops("--json", DATABASE_URL=database_url.replace("vinops@", f"{name}@"))
        assert done.code == 1
        assert f"{name} may not read and write" in done.of("rights", "ERROR")["text"]
        assert f"alter role {name} createdb" in done.of("backups", "WARNING")["fix"]
    finally:
        database.execute(sql.SQL("drop owned by {}").format(role))
        database.execute(sql.SQL("drop role {}").format(role))


def test_the_embedded_database_is_not_made_by_looking(vinops: Run, tmp_path: Path) -> None:
    done = vinops("--json", DATABASE_URL=None)
    assert done.of("database")["text"].endswith("made on first use")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_r2_is_tried_and_explained(vinops: Run) -> None:
    with s3_server() as server:
        r2 = {
            "R2_ENDPOINT": server.endpoint,
            "R2_ACCESS_KEY_ID": KEY_ID,
            "R2_SECRET_ACCESS_KEY": CANARY,
            "R2_BUCKET_NAME": BUCKET,
        }
        missing = vinops("--json", **r2)
        assert missing.code == 1
        assert "R2_BUCKET_NAME" in missing.of("photos", "ERROR")["fix"]
        server.make_bucket()
        assert vinops("--json", **r2).of("photos")["level"] == "OK"
    partly = vinops("--json", R2_BUCKET_NAME="b", VINOPS_CLOCK_SPEED="60")
    assert partly.of("pace", "WARNING")["fix"] == "leave VINOPS_CLOCK_SPEED empty"
    assert "belong together" in partly.of("R2", "ERROR")["text"]
    assert CANARY not in missing.out + missing.err


def test_what_crawls_are_told_has_to_make_sense(vinops: Run, tmp_path: Path) -> None:
    (tmp_path / "makes.toml").write_text("sort = 'x'\n")
    (tmp_path / "proxies").write_text(f"http://u:{CANARY}@host\n")
    done = vinops(
        "--json",
        VINOPS_PACE="none",
        VINOPS_MAKES_FILE="makes.toml",
        PROXY_LIST_FILE="proxies",
        CHROMIUM_PATH="/nowhere",
        COPART_USERNAME="u",
        TELEGRAM_CHANNEL_ID="@x",
    )
    assert done.code == 1
    assert "stand-ins" in done.of("pace", "ERROR")["text"]
    assert "sort" in done.of("makes", "ERROR")["text"]
    assert "line 1" in done.of("proxies", "ERROR")["text"]
    assert "CHROMIUM_PATH" in done.of("chromium", "ERROR")["text"]
    assert done.of("COPART_PASSWORD", "ERROR")["fix"] == "set both"
    assert done.of("telegram", "WARNING")["fix"] == "set TELEGRAM_BOT_TOKEN"
    assert CANARY not in done.out + done.err


def test_a_broker_that_does_not_answer_is_an_error(vinops: Run) -> None:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        done = vinops("--json", CELERY_BROKER_URL=f"redis://:{CANARY}@127.0.0.1:{found.getsockname()[1]}/0")
    assert done.code == 1
    assert "does not answer" in done.of("celery", "ERROR")["text"]
    assert CANARY not in done.out + done.err


@pytest.mark.slow
def test_a_public_site_needs_somebody_who_may_sign_in(vinops: Run, database: psycopg.Connection[TupleRow]) -> None:
    assert not [each for each in vinops("--json").findings if each["subject"] == "web"]
    public = {"WEB_PUBLIC_URL": "https://cars.example"}
    found = vinops("--json", **public).of("web")
    assert (found["level"], found["fix"]) == ("WARNING", "vinops users add NAME --role operator")
    database.execute("insert into ops.users (name, role, password_hash) values ('vera', 'viewer', 'none')")
    assert vinops("--json", **public).of("web")["text"] == "https://cars.example, for 1 person"


def test_the_source_is_asked_only_when_told_to(vinops: Run) -> None:
    with FeedServer(Market(lots=1300, seed=1)) as feed:
        url = feed.url
        offline = vinops("--json", COPART_CSV_URL=url)
        assert not [each for each in offline.findings if "returns a feed" in each["text"]]
        online = vinops("--json", "--online", COPART_CSV_URL=url)
        assert "returns a feed" in online.of("feed", "OK")["text"]
        feed.fault("html_200")
        html = vinops("--json", "--online", COPART_CSV_URL=url)
        assert "no feed" in html.of("feed", "ERROR")["text"]
    gone = vinops("--json", "--online", COPART_CSV_URL=f"http://127.0.0.1:{feed.port}/x?authKey={CANARY}")
    assert gone.of("feed", "ERROR")["fix"]
    assert CANARY not in gone.out + gone.err + online.out


@pytest.mark.slow
def test_telegram_says_who_the_bot_is(vinops: Run) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Telegram(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the server calls
            known = "good" in self.path and self.path.endswith("/getMe")
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"ok": known, "result": {"username": "vinops_bot"}}).encode())

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Telegram) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        good = vinops("--json", "--online", TELEGRAM_API_URL=url, TELEGRAM_BOT_TOKEN=f"1:good{CANARY}")
        bad = vinops("--json", "--online", TELEGRAM_API_URL=url, TELEGRAM_BOT_TOKEN=f"1:{CANARY}")
        server.shutdown()
    assert good.of("telegram", "OK")["text"] == "the bot is @vinops_bot"
    assert bad.of("telegram", "ERROR")["fix"] == "copy TELEGRAM_BOT_TOKEN again from @BotFather"
    away = vinops("--json", "--online", TELEGRAM_API_URL=url, TELEGRAM_BOT_TOKEN=f"1:{CANARY}")
    assert "not reached" in away.of("telegram", "ERROR")["text"]
    assert CANARY not in good.out + bad.out + away.out + bad.err + away.err


def test_no_secret_is_shown_whatever_is_wrong(vinops: Run, tmp_path: Path) -> None:
    """All secrets at once, in .env and in the environment, right and wrong."""
    names = [name for name in config.variables() if name not in ("VINOPS_DATA_DIR", "VINOPS_LOG_DIR", "CHROMIUM_PATH")]
    (tmp_path / ".env").write_text("".join(f"{name}={CANARY}\n" for name in names))
    right = {
        "COPART_CSV_URL": f"http://127.0.0.1:9/x?authKey={CANARY}",
        "COPART_CSV_HEADERS": f"X-Key: {CANARY}",
        "DATABASE_URL": f"postgresql://u:{quote(CANARY)}@127.0.0.1:9/d",
        "CELERY_BROKER_URL": f"redis://:{CANARY}@127.0.0.1:9/0",
        "PROXY_LIST": f"http://u:{CANARY}@127.0.0.1:9",
        "R2_ENDPOINT": "http://127.0.0.1:9",
        "TELEGRAM_API_URL": "http://127.0.0.1:9",
    }
    for variables in ({}, right):
        for arguments in (("--json",), ("--online",)):
            done = vinops(*arguments, **({"DATABASE_URL": None} | variables))
            assert done.code == 1
            assert "Traceback" not in done.err
            shown = [line for line in (done.out + done.err).splitlines() if CANARY in line]
            # What is no secret may be named: a bucket, for one.
            assert not [line for line in shown if "bucket" not in line], shown


def test_a_check_that_breaks_is_a_finding(settings: config.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_survey: Survey) -> Any:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(doctor_checks, "OFFLINE", (broken, doctor_checks.python))
    found = doctor_checks.examine(survey_of(settings))
    assert (found[0].level, found[0].text) == (Level.CRITICAL, "could not be checked (RuntimeError)")
    assert found[-1].name == "locale"


def test_a_wrong_clock_and_other_encodings_are_told(settings: config.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks.locale, "getencoding", lambda: "ascii")
    assert [each.level for each in doctor_checks.python(survey_of(settings))] == [Level.OK, Level.WARNING]
    now = doctor_checks.time.time
    monkeypatch.setattr(doctor_checks.time, "time", lambda: now() + 60)
    found = [each for each in doctor_checks.the_database(survey_of(settings)) if each.name == "clock"]
    assert [each.level for each in found] == [Level.CRITICAL]
    monkeypatch.setattr(doctor_checks.time, "time", lambda: 0.0)
    assert [each.level for each in doctor_checks.clock(survey_of(settings))] == [Level.CRITICAL]
