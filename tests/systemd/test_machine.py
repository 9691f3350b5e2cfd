"""vinops installed for good, on a machine that boots: from nothing to running, through faults, to uninstalled.

The tests are steps of one story and run in their order; each depends on those before it.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.systemd.boot import Machine
from tests.systemd.installed import (
    CANARY,
    MARKS,
    SCRIPT,
    SECRETS,
    SETTINGS,
    VENV,
    booted,
    deploy,
    drop_in,
    is_active,
    journal,
    quiet,
    running,
    sql,
    start_feed,
    start_market,
    write_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = MARKS

WORKER = "vinops-worker@1.service"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine without vinops, with the outside world as stand-ins on its loopback."""
    with booted() as machine:
        open_the_world(machine)
        yield machine


def open_the_world(machine: Machine) -> None:
    """Start the stand-ins."""
    start_feed(machine, rows=1500)
    start_market(machine)


def test_from_nothing_to_a_running_system(machine: Machine) -> None:
    said = deploy(machine, *write_secrets(machine, SECRETS | SETTINGS))
    assert "== done" in said
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is ready")
    assert (
        machine.run("systemctl", "is-enabled", "vinops-workers.target", WORKER, "vinops-etl.timer").stdout.split()
        == ["enabled"] * 3
    )
    timers = machine.run("systemctl", "list-timers", "vinops-*", "--no-legend").stdout
    assert len(timers.splitlines()) == 5
    machine.until(lambda: int(sql(machine, "select count(*) from listings")) > 0, "worker 1 brings ads")


def test_run_again_it_changes_nothing(machine: Machine) -> None:
    look = "cd /etc && find vinops systemd/system/vinops* -type f | sort | xargs -d '\\n' sha256sum"
    before, pid = machine.shell(look), machine.show(WORKER, "MainPID")
    said = deploy(machine)
    assert machine.shell(look) == before
    assert machine.show(WORKER, "MainPID") == pid, "a worker that runs goes on"
    assert "CELERY_BROKER_URL is set" in said


def test_no_other_account_reads_the_settings_or_hands_out_work(machine: Machine) -> None:
    assert machine.shell("stat -c %a /etc/vinops/vinops.env").strip() == "640"
    asked = machine.run("runuser", "-u", "nobody", "--", "redis-cli", "lpush", "celery", "x", check=False)
    assert "NOAUTH" in asked.stdout + asked.stderr
    read = machine.run("runuser", "-u", "nobody", "--", "cat", "/etc/redis/vinops.conf", check=False)
    assert "Permission denied" in read.stderr
    with_password = "REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /etc/redis/vinops.conf) redis-cli ping"
    assert machine.shell(with_password).strip() == "PONG"


def test_services_work_with_the_rights_of_their_roles(machine: Machine) -> None:
    machine.run("systemctl", "start", "vinops-etl.service")
    assert sql(machine, "select count(*) from lots where status = 'active'") == "1500"
    machine.run("systemctl", "start", "vinops-retention.service", "vinops-backup.service")
    assert machine.shell("ls /var/data/vinops/backups/*.dump | wc -l").strip() == "1"
    assert machine.run("systemctl", "start", "vinops-health.service", check=False).returncode == 0
    assert "Worker" not in machine.run("vinops", "workers", "status", check=False).stderr
    # And no further: the feed's role does not see the ads, the market's not the lots.
    for role, table in (("etl", "listings"), ("market", "lots"), ("retention", "vehicles"), ("ops", "lots")):
        denied = machine.run(
            *("runuser", "-u", "postgres", "--", "psql", "-Xd", "vinops", "-c", f"set role vinops_{role}"),
            *("-c", f"delete from {table}"),
            check=False,
        )
        assert "permission denied" in denied.stderr


def test_secrets_are_seen_by_their_service_and_by_nobody_else(machine: Machine) -> None:
    main = machine.show(WORKER, "MainPID")["MainPID"]
    # Its own, in its own directory; not those of others.
    names = machine.shell(f"ls /proc/{main}/root/run/credentials/{WORKER}").split()
    assert names == ["DATABASE_URL", "PROXY_LIST", "TELEGRAM_BOT_TOKEN"]
    held = machine.shell(f"cat /proc/{main}/root/run/credentials/{WORKER}/*")
    assert SECRETS["TELEGRAM_BOT_TOKEN"] in held
    assert "vinops_market:" in held
    nobody = machine.run("runuser", "-u", "nobody", "--", "cat", f"/run/credentials/{WORKER}/DATABASE_URL", check=False)
    assert "Permission denied" in nobody.stderr
    # Neither the files, nor what another unit of the same user was given, can be read from inside of one.
    drop_in(
        machine,
        "vinops-retention.service",
        "[Service]\nExecStart=\n"
        "ExecStart=/bin/sh -c 'ls /etc/vinops/credentials /etc/vinops/credentials.encrypted; true'",
    )
    machine.run("systemctl", "start", "vinops-retention.service")
    denied = "Permission denied"  # the journal may have it a moment later
    machine.until(lambda: journal(machine, "vinops-retention.service").count(denied) == 2, "both are denied")
    machine.shell("rm /etc/systemd/system/vinops-retention.service.d/99-test.conf; systemctl daemon-reload")


def test_the_canary_is_nowhere(machine: Machine) -> None:
    passwords = [
        line.partition("vinops_")[2].partition(":")[2].partition("@")[0]
        for line in machine.shell(f"cat /run/credentials/{WORKER}/DATABASE_URL; echo").splitlines()
        if line
    ]
    assert len(passwords) == 1
    assert len(passwords[0]) == 48
    places = {
        "units": "cat /etc/systemd/system/vinops-*.service /etc/systemd/system/vinops-*.d/*",
        "systemctl show": "systemctl show --all 'vinops-*'",
        "processes": "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
        "journal": "journalctl --no-pager -o cat",
        "logs": "cat /var/log/vinops/*",
        "settings": "cat /etc/vinops/vinops.env",
        "program": "grep -rIl canary-4e7b /opt/vinops --include='*' | grep -v tests/ || true",
        "encrypted": "cat /etc/vinops/credentials.encrypted/* | strings",
        "PostgreSQL's log": "cat /var/log/postgresql/*",
    }
    for place, command in places.items():
        text = machine.shell(command, check=False)
        if place == "processes":  # the stand-in was told the key of the feed on its command line
            text = "\n".join(line for line in text.splitlines() if line != f"{CANARY}-feed")
        for secret in (CANARY, *passwords):
            assert secret not in text, f"{place} shows {secret}"


def test_timers_fire_and_never_overlap(machine: Machine) -> None:
    """Every second, a run of three: the next begins when the one before has ended."""
    drop_in(
        machine,
        "vinops-etl.service",
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo begin; sleep 3; echo end'",
    )
    drop_in(
        machine,
        "vinops-etl.timer",
        "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\nAccuracySec=100ms",
    )
    machine.run("systemctl", "restart", "vinops-etl.timer")

    def said() -> list[str]:
        log = machine.run("journalctl", "-u", "vinops-etl.service", "-o", "cat", "--no-pager").stdout
        return [line for line in log.splitlines() if line in ("begin", "end")]

    machine.until(lambda: said().count("end") >= 3, "three runs")
    assert re.fullmatch(r"(begin end )+(begin )?", " ".join(said()) + " ")


def test_what_was_missed_is_caught_up_after_a_power_cut(machine: Machine) -> None:
    """The photos were due while the power was off. After the boot they run, long before they are due again."""
    drop_in(
        machine, "vinops-photo-scraper.service", "[Service]\nType=oneshot\nExecStart=\nExecStart=/bin/echo caught up"
    )
    drop_in(machine, "vinops-photo-scraper.timer", "[Timer]\nRandomizedDelaySec=0\nAccuracySec=100ms")
    machine.shell(f"rm /etc/systemd/system/vinops-etl.*.d/99-test.conf {quiet('vinops-photo-scraper.timer')}")
    machine.cut_power()
    stamp = machine.changed / "var/lib/systemd/timers/stamp-vinops-photo-scraper.timer"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    os.utime(stamp, (time.time() - 9 * 3600,) * 2)
    machine.boot()
    open_the_world(machine)
    machine.until(
        lambda: "caught up" in machine.run("journalctl", "-b", "-u", "vinops-photo-scraper", "-o", "cat").stdout,
        "the missed run",
    )
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is up again by itself")


def test_a_hung_worker_is_killed_by_the_watchdog_and_comes_back(machine: Machine) -> None:
    drop_in(
        machine,
        "vinops-worker@.service",
        "[Service]\nWatchdogSec=20\nRestartSec=1",  # a loop at work feeds it every eight seconds at least
    )
    # A crawl that hangs, with a loop that does not: pages come so slowly that it can be caught.
    machine.run("systemctl", "restart", WORKER)
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is ready")
    main = machine.show(WORKER, "MainPID")["MainPID"]
    stop = f'crawl=$(cat /proc/{main}/task/{main}/children) && [ -n "$crawl" ] && kill -STOP $crawl'
    machine.until(lambda: machine.run("bash", "-c", stop, check=False).returncode == 0, "a crawl is at work, and hangs")
    machine.until(lambda: machine.show(WORKER, "NRestarts")["NRestarts"] != "0", "systemd has restarted it")
    assert "Watchdog timeout" in machine.run("journalctl", "-b", "-u", WORKER, "--no-pager").stdout
    machine.until(lambda: is_active(machine, WORKER), "it is back")
    assert machine.show(WORKER, "MainPID")["MainPID"] != main


def test_told_to_stop_a_crawl_gives_back_what_it_has_in_time(machine: Machine) -> None:
    machine.run("systemctl", "reset-failed", check=False)
    machine.run("systemctl", "restart", WORKER)
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is ready")
    machine.run("systemctl", "stop", WORKER, seconds=150)
    shown = machine.show(WORKER, "Result", "ExecMainCode", "ExecMainStatus")
    assert shown == {"Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"}
    open_runs = "select count(*) from ops.crawl_runs where worker = '1' and finished_at is null and heartbeat_at > "
    assert sql(machine, open_runs + "now() - interval '10 seconds'") == "0"


def test_at_the_limit_it_gives_up_and_one_alert_is_raised(machine: Machine) -> None:
    drop_in(
        machine,
        "vinops-worker@.service",
        "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=4\n[Service]\nRestartSec=1\nExecStart=\nExecStart=/bin/false",
    )
    machine.run("systemctl", "reset-failed", WORKER, check=False)
    machine.run("systemctl", "start", WORKER, check=False)
    machine.until(lambda: machine.show(WORKER, "ActiveState")["ActiveState"] == "failed", "it gives up")
    alert = f"select times from ops.alerts where kind = 'unit_failed' and subject = '{WORKER}' and cleared_at is null"
    machine.until(lambda: sql(machine, alert), "the alert")
    assert sql(machine, alert) == "1"
    assert machine.show(WORKER, "NRestarts")["NRestarts"] in ("3", "4")
    machine.shell("rm /etc/systemd/system/vinops-worker@.service.d/99-test.conf; systemctl daemon-reload")
    machine.run("systemctl", "reset-failed", WORKER)
    machine.run("systemctl", "start", WORKER)
    machine.until(lambda: not sql(machine, alert), "it is up, and the alert has passed")


def test_upgrade_backs_up_stops_migrates_and_starts_again(machine: Machine) -> None:
    pid = machine.show(WORKER, "MainPID")
    ads = int(sql(machine, "select count(*) from listings"))
    newest = max(path.stem for path in (machine.disk / "checkout/sql/migrations").glob("*.sql"))
    (machine.disk / "checkout/sql/migrations/9999_test.sql").write_text(
        f"-- An upgrade has come.\n-- depends: {newest}\n\ncreate table upgraded (id bigint primary key);\n"
    )
    refused = machine.run(SCRIPT, *VENV, check=False)
    assert refused.returncode == 1
    assert "another version is installed: run it with --upgrade" in refused.stderr
    assert machine.show(WORKER, "MainPID") == pid
    # An alert in progress is sent by the version that began it.
    look = "stat -c %%i /opt/vinops >>/var/data/vinops/run/versions"
    slow = f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{look}; sleep 30; {look}'"
    drop_in(machine, "vinops-alert@.service", slow)
    machine.run("systemctl", "start", "--no-block", "vinops-alert@test.service")
    said = deploy(machine, "--upgrade")
    first, *rest = machine.shell("cat /var/data/vinops/run/versions").split()
    assert rest == [first]
    machine.shell("rm -r /etc/systemd/system/vinops-alert@.service.d; systemctl daemon-reload")
    steps = re.findall(r"^== (.+)$", said, re.MULTILINE)
    assert steps.index("backup, before anything changes") < steps.index("stop") < steps.index("program")
    assert steps.index("program") < steps.index("migrations") < steps.index("start")
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is back")
    assert machine.show(WORKER, "MainPID") != pid
    assert sql(machine, "select count(*) from upgraded") == "0"
    assert int(sql(machine, "select count(*) from listings")) >= ads
    assert machine.shell("ls /var/data/vinops/backups/*.dump | wc -l").strip() == "2"
    assert machine.shell("ls -d /opt/vinops.old").strip() == "/opt/vinops.old"


def test_rolled_back_it_is_as_before_the_upgrade(machine: Machine) -> None:
    """As the runbook says it: the backup that the upgrade took, then the version before."""
    (machine.disk / "checkout/sql/migrations/9999_test.sql").unlink()
    machine.run("systemctl", "stop", "vinops-*", seconds=200)
    machine.until(lambda: not running(machine), "all have stopped, and what a stop started")
    restored = machine.run("vinops", "restore", "latest", "--yes")
    assert "all checksums equal" in restored.stdout
    said = deploy(machine, "--upgrade", "--no-backup")
    assert "skipped, as requested" in said
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is back")
    assert sql(machine, "select to_regclass('upgraded') is null") == "t"
    machine.run("systemctl", "start", "vinops-etl.service")
    assert "roles of services have what they need" in machine.run("vinops", "doctor", check=False).stdout
    assert int(sql(machine, "select count(*) from pg_database where datname like 'vinops_before_%'")) == 1


def test_a_new_password_of_a_role(machine: Machine) -> None:
    """As the runbook says it."""
    before = machine.shell(f"cat /run/credentials/{WORKER}/DATABASE_URL")
    machine.shell(
        "rm -f /etc/vinops/credentials/DATABASE_URL.market /etc/vinops/credentials.encrypted/DATABASE_URL.market"
    )
    deploy(machine)
    machine.run("systemctl", "restart", "vinops-worker@*")
    machine.until(lambda: is_active(machine, WORKER), "worker 1 is back")
    after = machine.shell(f"cat /run/credentials/{WORKER}/DATABASE_URL")
    assert "vinops_market" in after
    assert after != before
    refused = machine.run("psql", "-Xd", before.strip(), "-c", "select 1", check=False)
    assert "password authentication failed" in refused.stderr


def test_uninstalled_it_leaves_the_data(machine: Machine) -> None:
    # An alert in progress: a worker that fails while it is stopped starts one.
    machine.shell(
        "mkdir -p /run/systemd/system/vinops-alert@.service.d"
        " && printf '[Service]\\nExecStartPre=/bin/sleep 600\\n' >/run/systemd/system/vinops-alert@.service.d/slow.conf"
        " && systemctl daemon-reload"
    )
    machine.run("systemctl", "start", "--no-block", "vinops-alert@vinops-worker@1.service.service")
    machine.until(lambda: "activating" in running(machine, "vinops-alert@*"), "the alert is in progress")
    deploy(machine, "--uninstall")
    known = ("systemctl", "list-units", "--all", "--no-legend", "vinops-*.service")
    assert running(machine) == ""
    machine.until(lambda: machine.run(*known).stdout == "", "systemd has forgotten them")
    assert machine.shell("ls -d /opt/vinops* /usr/local/bin/vinops /etc/systemd/system/vinops* 2>/dev/null; true") == ""
    assert machine.shell("pgrep -u vinops || true") == ""
    assert int(sql(machine, "select count(*) from lots")) == 1500
    assert machine.shell("ls /var/data/vinops/backups/*.dump | wc -l").strip() == "2"
    assert "DATABASE_URL.owner" in machine.shell("ls /etc/vinops/credentials.encrypted")


def test_without_a_database_server_it_brings_its_own() -> None:
    with booted() as machine:
        said = deploy(machine, "--embedded")
        assert "== done" in said
        assert is_active(machine, "vinops-database.service")
        machine.run("systemctl", "restart", "vinops-database.service")
        machine.run("systemctl", "start", "vinops-retention.service", "vinops-backup.service")
        assert machine.shell("ls /var/data/vinops/backups/*.dump | wc -l").strip() == "1"
        assert "postgresql" not in machine.shell("systemctl list-units --no-legend --state=running 'postgresql*'")
