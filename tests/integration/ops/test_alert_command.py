"""`vinops alert`: what OnFailure= runs. One alert a subject until it has passed, told even without a database."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from standin.telegram.command import TelegramServer
from tests.support import forks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    Database = Connection[tuple[Any, ...]]

UNIT = "vinops-etl.service"


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with TelegramServer(token="123:abc") as server:
        yield server


@pytest.fixture
def told(environment: dict[str, str], telegram: TelegramServer) -> dict[str, str]:
    """An environment in which somebody is told."""
    return {
        **environment,
        "TELEGRAM_API_URL": telegram.url,
        "TELEGRAM_BOT_TOKEN": telegram.token,
        "TELEGRAM_ALERT_CHAT_ID": "7",
    }


def alert(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return forks.vinops(environment, "alert", *arguments)


def test_a_failed_unit_is_told_once_until_it_has_passed(database: Database, told: dict[str, str]) -> None:
    first = alert(told, "unit_failed", UNIT, "--json")
    assert json.loads(first.stdout) == {"new": True, "delivered": 1}
    again = alert(told, "unit_failed", UNIT, "--json")
    assert json.loads(again.stdout) == {"new": False, "delivered": 0}
    rows = database.execute("select times, message from ops.alerts").fetchall()
    assert rows[0][0] == 2
    assert f"journalctl -u {UNIT}" in rows[0][1], "the message names the command that shows the cause"
    assert alert(told, "--clear", "unit_failed", UNIT).returncode == 0
    assert json.loads(alert(told, "unit_failed", UNIT, "--json").stdout)["new"] is True


def test_without_a_database_it_is_told_all_the_same(told: dict[str, str]) -> None:
    told["DATABASE_URL"] = "postgresql://127.0.0.1:9/nobody"
    done = alert(told, "unit_failed", UNIT, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"new": True, "delivered": 1}


def test_what_a_database_refuses_to_record_is_told_all_the_same(database: Database, told: dict[str, str]) -> None:
    database.execute("drop table ops.alerts")
    done = alert(told, "unit_failed", UNIT, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"new": True, "delivered": 1}


def test_without_a_database_a_text_that_telegram_refuses_is_told_in_other_words(
    told: dict[str, str], telegram: TelegramServer
) -> None:
    told["DATABASE_URL"] = "postgresql://127.0.0.1:9/nobody"
    telegram.fault("bad_request_400", text=UNIT)
    done = alert(told, "unit_failed", UNIT, "--json")
    assert json.loads(done.stdout) == {"new": True, "delivered": 1}
    assert telegram.messages[0].text.startswith("vinops: unit_failed\nTelegram refused the text")


def test_without_a_database_and_without_telegram_it_fails(environment: dict[str, str]) -> None:
    environment["DATABASE_URL"] = "postgresql://127.0.0.1:9/nobody"
    done = alert(environment, "unit_failed", UNIT)
    assert done.returncode == 1
    assert "no connection to the database" in done.stderr
