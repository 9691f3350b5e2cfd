"""The alarms of the deals in the database: an alert while something is wrong, none any more when it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deals import alarms

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings


def open_alerts(database: Connection[Any]) -> dict[tuple[str, str], str]:
    rows = database.execute("select kind, subject, message from ops.alerts where cleared_at is null").fetchall()
    return {(kind, subject): message for kind, subject, message in rows}


def test_a_backlog_opens_one_alert_for_its_stage_and_clears_it(database: Connection[Any], settings: Settings) -> None:
    assert alarms.watch(database, settings) == []
    database.execute(
        """
        insert into listings (id, source, ad_id, make_slug, url, title, posted_at, list_hash)
        overriding system value
        select n, 'mobile.bg', n::text, 'opel', 'https://x/' || n, 'Opel Astra', now(), ''::bytea
        from generate_series(1, 7) as n
        """
    )
    database.execute(
        """
        insert into ops.deal_outbox (listing_id, stage, change, queued_at)
        select n, 'price', 'new', clock_timestamp() - interval '31 minutes' from generate_series(1, 7) as n
        """
    )
    (alarm,) = alarms.watch(database, settings)
    assert (alarm.kind, alarm.subject) == ("deals_backlog", "price")
    message = "7 ads wait for price, the oldest for 31 min (limit 30 min): `vinops deals run`"
    assert open_alerts(database) == {("deals_backlog", "price"): message}
    database.execute("update ops.deal_outbox set dead_at = clock_timestamp()")
    alarms.watch(database, settings)
    assert open_alerts(database) == {
        ("deals_given_up", "ads"): "7 ads given up (limit 1): `vinops deals dead`",
    }
    database.execute("delete from ops.deal_outbox")
    assert alarms.watch(database, settings) == []
    assert open_alerts(database) == {}


def test_every_alarm_is_examined_each_time(database: Connection[Any]) -> None:
    assert {alarm.kind for alarm in alarms.alarms(database)} == set(alarms.ALARMS)
