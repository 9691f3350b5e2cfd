"""The services at their work under their units: deals scored, photos through Chromium, objects in a bucket.

The tests are steps of one story and run in their order; each depends on those before it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.systemd import wheels
from tests.systemd.boot import Done, Machine
from tests.systemd.installed import (
    CANARY,
    CHECKOUT,
    MARKS,
    PYTHON,
    SECRETS,
    SETTINGS,
    ask,
    booted,
    drop_in,
    is_active,
    journal,
    sql,
    start_feed,
    start_market,
    start_standin,
    was_fed,
    write_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = MARKS

CELERY, BEAT = "vinops-celery.service", "vinops-celery-beat.service"
PHOTOS = "vinops-photo-scraper.service"
LOTS = 12
BUCKET = "bucket-of-the-tests"
STORE = {
    "R2_ENDPOINT": "http://127.0.0.1:8804",
    "R2_BUCKET_NAME": BUCKET,
    "R2_ACCESS_KEY_ID": "key-id-of-the-tests",
    "R2_SECRET_ACCESS_KEY": f"{CANARY}-store",
}
SITE = {
    "COPART_SITE_URL": "http://127.0.0.1:8807",
    "COPART_IMAGE_HOSTS": "127.0.0.1:8805,127.0.0.1:8806",
    "VINOPS_SESSION_PAUSE": "0",
    "VINOPS_FEED_MIN_ROWS": "1",
}
WAITING = "select count(*) from ops.deal_outbox where dead_at is null"
REQUEUE = (
    "insert into ops.deal_outbox (listing_id, change) select id, 'changed' from listings"
    " on conflict (listing_id, stage) do update set change = excluded.change"
)


@pytest.fixture(scope="module")
def machine(wheelhouse: Path) -> Iterator[Machine]:
    """A machine with vinops, and the outside world on its loopback."""
    with booted(lambda machine: wheels.put_into(machine, wheelhouse)) as machine:
        start_feed(machine, rows=LOTS, photo_url="http://127.0.0.1:8805")
        start_market(machine)
        start_standin(machine, "store", "-m", "moto.server", "-H", "127.0.0.1", "-p", "8804")
        # The lists of every second lot are empty: its photos are on its page only.
        member = ("--username", SECRETS["COPART_USERNAME"], "--password", SECRETS["COPART_PASSWORD"])
        ports = ("--api-port", "8805", "--cdn-port", "8806", "--site-port", "8807")
        start_standin(
            machine,
            "photos",
            "-m",
            "standin.photos",
            "serve",
            "--empty-every",
            "2",
            "--none-every",
            "0",
            *member,
            *ports,
        )
        machine.until(lambda: make_bucket(machine), "the store answers")
        wheels.install(machine, *write_secrets(machine, SECRETS | SETTINGS | STORE | SITE))
        yield machine


def of_store(machine: Machine, expression: str) -> Done:
    """Print something that a client `c` of the store says, in the machine."""
    program = (
        "from pathlib import Path; from tests.support.s3_server import S3Server;"
        f"c = S3Server(endpoint='{STORE['R2_ENDPOINT']}', ca_file=None, log=Path('/dev/null')).client();"
        f"print({expression})"
    )
    return machine.run("env", "-C", CHECKOUT, PYTHON, "-B", "-c", program, check=False)


def make_bucket(machine: Machine) -> bool:
    """Make the bucket; tell whether the store has done it."""
    return of_store(machine, f"c.create_bucket(Bucket='{BUCKET}')").returncode == 0


def keys(machine: Machine) -> list[str]:
    """Return the names of the objects in the bucket."""
    done = of_store(machine, f"*(each['Key'] for each in c.list_objects_v2(Bucket='{BUCKET}').get('Contents', ()))")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def scored(machine: Machine) -> int:
    """Return how many ads have a score."""
    return int(sql(machine, "select count(*) from scores"))


def all_scored_again(machine: Machine) -> bool:
    """Tell whether nothing waits and every ad on the market has been scored after it was last queued."""
    return sql(machine, WAITING) == "0" and scored(machine) > 0


def queue_again(machine: Machine) -> None:
    """Have all ads be scored again, as if their prices had changed."""
    sql(machine, f"begin; delete from scores; {REQUEUE}; commit")


def photograph_all(machine: Machine) -> None:
    """Run the photo crawl until a run has ended after which all lots have their photos."""
    runs = "select count(*) from ops.crawl_runs where spider = 'lot_photos' and finished_at is not null"
    ended = sql(machine, runs)
    machine.run("systemctl", "start", PHOTOS, seconds=300)
    machine.until(lambda: sql(machine, runs) != ended, "a run has ended", seconds=300)
    machine.run("systemctl", "stop", PHOTOS, seconds=200)
    found = sql(machine, "select count(*) from lot_photos where state = 'ok'")
    assert found == str(LOTS), journal(machine, PHOTOS)[-3000:]


def watch_chromium(machine: Machine) -> str:
    """Take down the command lines of Chromium's processes from now on; return the file."""
    machine.shell(
        "rm -f /root/seen; systemctl stop watch-chromium 2>/dev/null;"
        "systemd-run --quiet --collect --unit=watch-chromium bash -c"
        ' \'while sleep 0.3; do for p in $(pgrep chrom); do tr "\\0" " " </proc/$p/cmdline; echo; done'
        " >>/root/seen 2>/dev/null; done'",
        check=False,
    )
    return "/root/seen"


def test_ads_come_out_scored(machine: Machine) -> None:
    machine.until(lambda: is_active(machine, CELERY) and is_active(machine, BEAT), "both are up")
    machine.until(lambda: all_scored_again(machine), "the ads of the workers are scored", seconds=120)
    # Nothing new comes from here on.
    machine.run("systemctl", "stop", "vinops-workers.target", "vinops-supervisor.service")


@pytest.mark.parametrize("unit", [CELERY, BEAT])
def test_the_watchdog_is_fed_and_ends_what_hangs(machine: Machine, unit: str) -> None:
    drop_in(machine, unit, "[Service]\nWatchdogSec=15\nRestartSec=1")
    machine.run("systemctl", "restart", unit)
    main = machine.show(unit, "MainPID")["MainPID"]
    machine.until(lambda: was_fed(machine, unit, seconds=32), "it is fed")
    assert machine.show(unit, "MainPID", "NRestarts") == {"MainPID": main, "NRestarts": "0"}, "it is fed"
    if unit == CELERY:
        assert "tasks running" in machine.show(unit, "StatusText")["StatusText"]
    machine.run("kill", "-STOP", main)
    machine.until(lambda: machine.show(unit, "NRestarts")["NRestarts"] == "1", "systemd has restarted it", seconds=200)
    machine.until(lambda: is_active(machine, unit), "it is back")
    left = machine.shell(f"cat /proc/{main}/cmdline 2>/dev/null || true")
    assert left == ""
    machine.shell(f"rm /etc/systemd/system/{unit}.d/99-test.conf; systemctl daemon-reload")


def test_told_to_stop_in_the_middle_they_end_in_time_and_lose_nothing(machine: Machine) -> None:
    queue_again(machine)
    machine.until(lambda: scored(machine) > 0 or sql(machine, WAITING) != "0", "work is in hand")
    began = time.monotonic()
    machine.run("systemctl", "stop", CELERY, BEAT, seconds=200)
    assert time.monotonic() - began < 60
    for unit in (CELERY, BEAT):
        assert machine.show(unit, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    assert "vinops-celery" not in machine.shell("cat /proc/[0-9]*/cgroup")
    queue_again(machine)
    machine.run("systemctl", "start", CELERY, BEAT)
    machine.until(lambda: all_scored_again(machine), "all are scored", seconds=180)


def test_without_a_broker_of_its_own_the_embedded_one_does(machine: Machine) -> None:
    """Folders of the data folder, with Redis gone; both units under their whole hardening."""
    machine.shell(
        "rm -f /etc/vinops/credentials/CELERY_BROKER_URL /etc/vinops/credentials.encrypted/CELERY_BROKER_URL;"
        "vinops credentials apply; systemctl disable --now redis-server"
    )
    machine.run("systemctl", "restart", CELERY, BEAT)
    queue_again(machine)
    machine.until(lambda: all_scored_again(machine), "all are scored", seconds=180)
    assert {"control", "messages"} <= set(machine.shell("ls /var/data/vinops/celery").split())
    assert machine.run("vinops", "doctor", check=False).stdout.count("the embedded broker") == 1
    assert machine.show(CELERY, "NRestarts")["NRestarts"] == "0"


def test_lots_whose_list_is_empty_come_through_chromium_into_the_bucket(machine: Machine) -> None:
    """Under the unit's whole hardening, where Chromium has no sandbox of its own (docs/decisions/0019-units.md)."""
    machine.run("systemctl", "start", "vinops-etl.service")
    assert sql(machine, "select count(*) from lots where status = 'active'") == str(LOTS)
    seen = watch_chromium(machine)
    photograph_all(machine)
    said = journal(machine, PHOTOS)
    states = sql(machine, "select state, count(*) from lot_photos group by state")
    assert states == f"ok|{LOTS}", said[-3000:]
    stats = "select (stats ->> 'page/opened')::int, (stats ->> 'session/login')::int, reason from ops.crawl_runs"
    opened, logins, reason = sql(machine, f"{stats} where spider = 'lot_photos' order by id desc limit 1").split("|")
    assert int(opened) > int(logins) > 0
    assert reason == "finished"
    assert "--no-sandbox" in machine.shell(f"cat {seen}")
    photos = [key for key in keys(machine) if not key.startswith("backups/")]
    assert len(photos) == int(sql(machine, "select count(distinct storage_key) from images")) > 0
    assert machine.shell("ls /var/data/vinops/photos 2>/dev/null; true") == "", "none is in a folder"
    assert machine.shell("pgrep -u vinops chrom || true") == ""


def test_who_would_rather_have_chromiums_own_wall_gets_it(machine: Machine) -> None:
    drop_in(machine, PHOTOS, "[Service]\nRestrictNamespaces=user pid net\nSystemCallFilter=chroot")
    sql(machine, "update lot_photos set due_at = now(), state = 'missing'")
    seen = watch_chromium(machine)
    photograph_all(machine)
    lines = machine.shell(f"cat {seen}")
    assert "--type=renderer" in lines
    assert "--no-sandbox" not in lines
    machine.shell(f"rm /etc/systemd/system/{PHOTOS}.d/99-test.conf; systemctl daemon-reload")


def test_told_to_stop_with_a_browser_open_it_gives_its_lots_back_in_time(machine: Machine) -> None:
    sql(machine, "update lot_photos set due_at = now(), state = 'missing'")
    tarpit = {"name": "tarpit", "host": "site", "options": {"every": 0.2, "seconds": 60}}
    ask(machine, 8805, "POST", "fault", tarpit)
    ask(machine, 8805, "DELETE", "requests")
    machine.run("systemctl", "start", "--no-block", PHOTOS)
    machine.until(lambda: machine.shell("pgrep -u vinops chrom || true"), "Chromium is at work")
    machine.until(lambda: '"login"' in json.dumps(ask(machine, 8805, "GET", "requests")), "it signs in")
    began = time.monotonic()
    machine.run("systemctl", "stop", PHOTOS, seconds=200)
    assert time.monotonic() - began < 60
    assert machine.show(PHOTOS, "Result")["Result"] == "success"
    assert machine.shell("pgrep -u vinops chrom || true") == ""
    assert sql(machine, "select count(*) from lot_photos where lease_owner is not null") == "0"


def test_a_backup_goes_into_the_bucket_too(machine: Machine) -> None:
    """With the drop-in that the runbook shows."""
    command = "/opt/vinops/.venv/bin/vinops backup --to-r2"
    drop_in(machine, "vinops-backup.service", f"[Service]\nExecStart=\nExecStart={command}")
    machine.run("systemctl", "start", "vinops-backup.service", seconds=300)
    found = [key for key in keys(machine) if key.startswith("backups/")]
    assert [key.rpartition(".")[2] for key in sorted(found)] == ["dump", "json"]
    assert machine.run("vinops", "backup", "--to-r2", "--list").stdout.count(".dump") == 1
    drilled = machine.run("vinops", "restore", "latest", "--from-r2", "--drill", check=False)
    assert "all checksums equal" in drilled.stdout + drilled.stderr


def test_the_keys_of_the_store_are_nowhere(machine: Machine) -> None:
    for place, command in {
        "units": "cat /etc/systemd/system/vinops-*.service /etc/systemd/system/vinops-*.d/*",
        "systemctl show": "systemctl show --all 'vinops-*'",
        "journal": "journalctl --no-pager -o cat",
        "logs": "find /var/log/vinops -type f | xargs -d '\\n' cat",
        "settings": "cat /etc/vinops/vinops.env",
        "browser": "cat /root/seen",
        "encrypted": "cat /etc/vinops/credentials.encrypted/* | strings",
    }.items():
        assert CANARY not in machine.shell(command, check=False), f"{place} shows a secret"
