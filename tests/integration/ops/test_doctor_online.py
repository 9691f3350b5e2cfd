"""What `vinops doctor` asks others: the store, the feed and Telegram; test_doctor.py has the whole command."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from ops.checks import configuration as doctor
from standin.feed.command import Market
from standin.feed.server import FeedServer
from tests.support.s3_server import BUCKET, KEY_ID, s3_server
from vinops.checks import Level
from vinops.config import Secret, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinops.config import Settings

CANARY = "c4nary77e0"


def survey(settings: Settings, **values: Any) -> Survey:
    """Settings without a mistake, with these in addition."""
    return Survey(settings=replace(settings, **values), problems={}, sources={}, unknown={})


def test_a_bucket_that_is_not_there_is_an_error_until_it_is(settings: Settings) -> None:
    with s3_server() as server:
        r2 = survey(
            settings,
            r2_endpoint=server.endpoint,
            r2_access_key_id=Secret(KEY_ID),
            r2_secret_access_key=Secret(CANARY),
            r2_bucket_name=BUCKET,
        )
        (missing,) = doctor.store(r2)
        assert missing.level is Level.CRITICAL
        assert "R2_BUCKET_NAME" in missing.fix
        assert CANARY not in repr(missing)
        server.make_bucket()
        assert [each.level for each in doctor.store(r2)] == [Level.OK]


def test_a_feed_that_is_none_is_an_error(settings: Settings) -> None:
    with FeedServer(Market(lots=1300, seed=1)) as feed:
        there = survey(settings, copart_csv_url=Secret(feed.url))
        assert [each.level for each in doctor.feed_online(there)] == [Level.OK]
        feed.fault("html_200")
        (html,) = doctor.feed_online(there)
        assert (html.level, "no feed" in html.text) == (Level.CRITICAL, True)


@pytest.fixture
def telegram() -> Iterator[str]:
    """The address of a Telegram that knows one bot."""

    class Telegram(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == f"/bot1:{CANARY}/getMe" else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"ok": True, "result": {"username": "vinops_bot"}}).encode())

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Telegram) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("token", "level"), [(CANARY, Level.OK), ("another", Level.CRITICAL)])
def test_telegram_says_whose_the_token_is(settings: Settings, telegram: str, token: str, level: Level) -> None:
    (found,) = doctor.telegram_online(
        survey(settings, telegram_api_url=telegram, telegram_bot_token=Secret(f"1:{token}"))
    )
    assert found.level is level
    assert "@vinops_bot" in found.text if level is Level.OK else "@BotFather" in found.fix
    assert CANARY not in repr(found)
