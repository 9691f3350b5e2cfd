"""Settings: the sources of values, refused values, and secrets that are never shown."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vinops import config
from vinops.config import ConfigError, Secret, Settings, load

ROOT = Path(__file__).resolve().parents[3]
CANARY = "canary-5f2c9"


def test_env_example_and_settings_name_the_same_variables() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(named) == sorted(config.variables())


def test_the_environment_is_read_in_one_place() -> None:
    packages = ("vinops", "etl", "vinops_scrapy", "ops")
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text(encoding="utf-8"))
    }
    assert readers == {"vinops/config.py"}


def test_env_example_says_what_each_variable_is_its_default_and_its_reader() -> None:
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Z0-9_]+= +# [^;]+; [^;]+; [^;]+", line), line


def test_a_copy_of_env_example_gives_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    assert load({}, folder=tmp_path) == Settings()


def test_credentials_win_over_the_environment_which_wins_over_dotenv(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "vinops_feed_min_rows").write_text("1\n", encoding="utf-8")
    (tmp_path / ".env").write_text(
        "VINOPS_FEED_MIN_ROWS=3\nVINOPS_ARCHIVE_DAYS=3\nVINOPS_ARCHIVE_CHAIN=3\n", encoding="utf-8"
    )
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "VINOPS_FEED_MIN_ROWS": "2",
        "VINOPS_ARCHIVE_DAYS": "2",
    }
    found = load(environ, folder=tmp_path)
    assert (found.feed_min_rows, found.archive_days, found.archive_chain) == (1, 2, 3)


def test_an_empty_value_counts_as_not_set_and_hides_the_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://user@host/name\n", encoding="utf-8")
    assert load({}, folder=tmp_path).database_url is not None
    assert load({"DATABASE_URL": " "}, folder=tmp_path).database_url is None


def test_logs_lie_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert load({"VINOPS_DATA_DIR": "/srv/x"}, folder=tmp_path).log_dir == Path("/srv/x/logs")
    assert load({"VINOPS_LOG_DIR": "/var/log/x"}, folder=tmp_path).log_dir == Path("/var/log/x")
    assert load({}, folder=tmp_path).log_dir == Path("var/logs")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", f"mysql://u:{CANARY}@h/d"),
        ("COPART_CSV_URL", f"ftp://h/?authKey={CANARY}"),
        ("COPART_CSV_URL", CANARY),
        ("COPART_CSV_HEADERS", f"no colon {CANARY}"),
        ("COPART_CSV_HEADERS", f"bad name {CANARY}: x"),
        ("COPART_CSV_USER_AGENT", f"a\r\nX: {CANARY}"),
        ("DATABASE_URL", f"postgresql://me:p@{CANARY}@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me@{CANARY}:pw@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:{CANARY}/x@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:12/{CANARY}@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:12?{CANARY}@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:12#{CANARY}@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:a@b/{CANARY}@127.0.0.1/d"),
        ("DATABASE_URL", f"postgresql://me:{CANARY}%zz@127.0.0.1/d"),
        ("COPART_CSV_URL", f"https://me:p@{CANARY}@feeds.example.com/sales.csv"),
        ("COPART_CSV_URL", f"https://me:{CANARY}/x@feeds.example.com/sales.csv"),
        ("CELERY_BROKER_URL", f"redis://:p@{CANARY}@127.0.0.1:6379/0"),
        ("CELERY_BROKER_URL", f"redis://:pw@one.example/0;redis://:p@{CANARY}@two.example/0"),
        ("CELERY_BROKER_URL", f"amqp://me:{CANARY}/x@127.0.0.1"),
        ("R2_ENDPOINT", f"https://me:p@{CANARY}@127.0.0.1:9000"),
        ("R2_ENDPOINT", f"https://me:{CANARY}/x@one.example"),
        ("R2_ENDPOINT", f"https://me:12/{CANARY}@one.example"),
        ("R2_ENDPOINT", f"http://localhost:{CANARY}"),
        ("TELEGRAM_API_URL", f"https://[{CANARY}]/"),
        ("VINOPS_SCRAPYD_NODES", f"one=http://localhost:{CANARY}"),
        ("COPART_IMAGE_HOSTS", f"[{CANARY}]"),
        ("VINOPS_FEED_MIN_ROWS", CANARY),
        ("VINOPS_FEED_MIN_ROWS", "-1"),
        ("VINOPS_FETCH_ATTEMPTS", "0"),
        ("VINOPS_FETCH_TOTAL_SECONDS", "nan"),
        ("VINOPS_FEED_SHRINK_LIMIT", "1.5"),
        ("VINOPS_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_never_shown(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable} .+: .+") as caught:
        load({variable: value}, folder=tmp_path)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss%2Fword%25@db.example/vinops",
        "postgresql://me%40corp:pw@one.example:5432,two.example:5433/vinops?target_session_attrs=read-write",
        "postgresql://db.example:5432/vinops?user=me@corp&password=p@ss",
        "postgresql:///vinops?host=%2Fvar%2Frun%2Fpostgresql",
        "postgresql:///me@home",
        "postgresql://me@[::1]:5432/vinops",
    ],
)
def test_an_address_of_a_database_that_libpq_reads_as_it_is_meant_is_taken(url: str, tmp_path: Path) -> None:
    assert load({"DATABASE_URL": url}, folder=tmp_path).database_url == Secret(url)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("CELERY_BROKER_URL", "redis://:p%40ss@127.0.0.1:6379/0"),
        ("CELERY_BROKER_URL", "amqp://me:pw@one.example//;amqp://me:pw@two.example//"),
        ("COPART_CSV_URL", "https://feeds.example.com:8443/@me/sales.csv?authKey=a@b"),
        ("COPART_CSV_URL", "https://[::1]/@me/sales.csv"),
    ],
)
def test_so_is_any_other_whose_credentials_are_clear(variable: str, url: str, tmp_path: Path) -> None:
    assert url in {each.reveal() for each in load({variable: url}, folder=tmp_path).secrets()}


def test_an_unescaped_at_is_refused_with_the_way_to_write_it(tmp_path: Path) -> None:
    for variable, scheme in (("DATABASE_URL", "postgresql"), ("CELERY_BROKER_URL", "redis")):
        with pytest.raises(ConfigError, match=rf"{variable} has an @ inside .* %40"):
            load({variable: f"{scheme}://me:p@ss@127.0.0.1/0"}, folder=tmp_path)


def test_headers_are_read_from_lines_or_bars_and_win_over_the_named_ones(tmp_path: Path) -> None:
    found = load(
        {
            "COPART_CSV_USER_AGENT": "ours",
            "COPART_CSV_REFERER": "https://example.com/",
            "COPART_CSV_HEADERS": "user-agent: theirs | X-Key: a:b\nAccept: text/csv",
        },
        folder=tmp_path,
    )
    assert {name: value.reveal() for name, value in found.copart_headers.items()} == {
        "Referer": "https://example.com/",
        "user-agent": "theirs",
        "X-Key": "a:b",
        "Accept": "text/csv",
    }


def test_a_secret_never_shows() -> None:
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r:>40}", repr({"k": [secret]})]
    shown.append(repr(Settings(copart_csv_url=secret, copart_csv_headers={"X": secret})))
    assert not [text for text in shown if CANARY in text]
    for leak in (pickle.dumps, json.dumps, copy.copy):
        with pytest.raises(TypeError) as caught:
            leak(secret)
        assert CANARY not in str(caught.value)
    assert not hasattr(secret, "__dict__")


def test_a_secret_gives_its_value_when_asked_and_compares_by_it() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(CANARY) == Secret(CANARY)
    assert hash(Secret(CANARY)) == hash(Secret(CANARY))
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().archive_days = 1  # type: ignore[misc]


def test_all_secrets_are_found() -> None:
    found = Settings(
        database_url=Secret("d"), copart_csv_url=Secret("u"), copart_csv_headers={"X": Secret("h")}
    ).secrets()
    assert {secret.reveal() for secret in found} == {"d", "u", "h"}


def test_importing_and_loading_settings_pulls_in_nothing_slow(tmp_path: Path) -> None:
    code = "import sys; from vinops import config; from vinops.db import database; config.load();"
    code += "print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    slow = {"psycopg", "dotenv", "yoyo", "logging", "subprocess", "tempfile", "shutil", "socket", "typer", "rich"}
    assert slow.isdisjoint(done.stdout.split())


def test_a_survey_names_all_that_is_wrong_and_where_the_rest_comes_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VINOPS_ARCHIVE_DAYS=3\nVINOPS_ARCHIV_DAYS=4\nOTHER=5\n", encoding="utf-8")
    environ = {
        "VINOPS_FEED_MIN_ROWS": CANARY,
        "DATABASE_URL": f"mysql://u:{CANARY}@h/d",
        "R2_BUCKET_NAME": "b",
        "COPART_CSV_ULR": "x",
        "PATH": "x",
        "VINOPS_PACE": "steady",
    }
    found = config.survey(environ, folder=tmp_path)
    assert set(found.problems) == {"VINOPS_FEED_MIN_ROWS", "DATABASE_URL", "R2"}
    assert CANARY not in repr(found)
    assert found.sources["VINOPS_ARCHIVE_DAYS"] == ".env"
    assert found.sources["VINOPS_PACE"] == "the environment"
    assert found.unknown == {"VINOPS_ARCHIV_DAYS": ".env", "OTHER": ".env", "COPART_CSV_ULR": "the environment"}
    assert (found.settings.archive_days, found.settings.pace, found.settings.feed_min_rows) == (3, "steady", 1000)


def test_a_survey_of_what_is_right_is_what_load_gives(tmp_path: Path) -> None:
    environ = {"COPART_PASSWORD": CANARY, "PROXY_LIST": f"http://{CANARY}@h:1", "VINOPS_PACE": "steady"}
    found = config.survey(environ, folder=tmp_path)
    assert (found.settings, found.problems, found.unknown) == (load(environ, folder=tmp_path), {}, {})
    assert config.secret_variables(found.settings) == {"COPART_PASSWORD", "PROXY_LIST"}


@pytest.mark.parametrize("name", ["Sofia", "../etc/passwd", "/etc/localtime", "Europe", "UTC+2"])
def test_a_time_zone_is_one_that_the_machine_knows(name: str) -> None:
    with pytest.raises(
        ConfigError, match="VINOPS_TIME_ZONE is not a time zone that this machine knows: give a name such"
    ):
        load({"VINOPS_TIME_ZONE": name})
    assert load({"VINOPS_TIME_ZONE": "Europe/Berlin"}).time_zone == "Europe/Berlin"
    assert load({}).time_zone == "Europe/Sofia"


BROKEN = [
    ("A=1\n\n# a note\nnonsense {canary} here\nVINOPS_PACE=steady\n", [4]),
    ("VINOPS_PACE=steady\nCOPART_PASSWORD\n", [2]),
    ('VINOPS_PACE=steady\nCOPART_PASSWORD = "{canary}\n={canary}\n', [2, 3]),
]


@pytest.mark.parametrize(("text", "numbers"), BROKEN)
def test_a_broken_line_of_dotenv_is_told_by_file_and_number_without_its_text(
    tmp_path: Path, text: str, numbers: list[int]
) -> None:
    (tmp_path / ".env").write_text(text.format(canary=CANARY), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load({}, folder=tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/.env, line {numbers[0]}, is not NAME=value: write it as in")
    found = config.survey({}, folder=tmp_path)
    assert len(found.problems) == len(numbers), "each is an error of `vinops doctor`"
    for number, problem in zip(numbers, found.problems.values(), strict=True):
        assert f".env, line {number}, is not NAME=value" in problem
    assert CANARY not in repr(found) + str(caught.value)
    assert found.settings.pace == "steady", "the lines that can be read count for the rest of the survey"


@pytest.mark.parametrize("kind", ["a folder", "not UTF-8"])
def test_a_dotenv_that_cannot_be_read_is_an_error_and_not_nothing(tmp_path: Path, kind: str) -> None:
    if kind == "a folder":
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=re.escape(f"fix {tmp_path}/.env or remove it")):
        load({}, folder=tmp_path)
    assert list(config.survey({}, folder=tmp_path).problems) == [".env"]


def test_a_mark_at_the_start_of_dotenv_belongs_to_no_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfVINOPS_PACE=steady\n")
    assert load({}, folder=tmp_path).pace == "steady"
