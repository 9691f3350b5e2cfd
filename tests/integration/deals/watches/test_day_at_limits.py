"""A day of alerts, played by the bench: Telegram's limits are kept, and what is found is told, held or over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bench import alert_day, watches
from deals.channel import pace
from deals.watches.sending import send
from vinops import vehicles

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

SIZE = alert_day.Size(
    watches=watches.Size(active=400, gone=40, watches=2_000), hours=0.5, ads=20, every=timedelta(minutes=30)
)
GAPS = {"CHAT_GAP": send.CHAT_GAP, "GROUP_GAP": send.GROUP_GAP}


@pytest.fixture
def filled(database: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Connection[Any]:
    for name, seconds in GAPS.items():  # which the other tests here do without
        monkeypatch.setattr(send, name, seconds)
    watches.fill_on(database, SIZE.watches, sorted(vehicles.families())[::40])
    return database


def test_no_message_of_a_day_is_refused(filled: Connection[Any], settings: Settings) -> None:
    day = alert_day.play(filled, settings, SIZE)
    assert day.refused == 0
    assert day.connections == 1
    assert day.messages["hit"] > 50
    left = "select count(*) from watch_hits where state = 'new'"
    assert filled.execute(left).fetchone() == (0,)
    late = "select count(*) from watch_messages where state not in ('sent', 'dropped')"
    assert filled.execute(late).fetchone() == (0,)


@pytest.mark.parametrize(("where", "name", "value"), [(pace, "A_SECOND", 40), (send, "CHAT_GAP", 0.5)])
def test_a_sender_that_is_too_fast_is_refused(
    filled: Connection[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: float
) -> None:
    monkeypatch.setattr(where, name, value)
    assert alert_day.play(filled, settings, SIZE).refused > 0
