"""Installed by pip from the hash-pinned locks, as on a real server: vinops, a scrapyd node beside it, a node alone.

The tests are steps of one story and run in their order; each depends on those before it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.systemd import wheels
from tests.systemd.boot import Machine
from tests.systemd.installed import (
    CANARY,
    MARKS,
    SECRETS,
    SETTINGS,
    booted,
    deploy,
    drop_in,
    is_active,
    journal,
    sql,
    start_market,
    was_fed,
    write_secrets,
)
from tests.systemd.wheels import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = MARKS

NODE = "vinops-scrapyd.service"
PASSWORD = f"{CANARY}-node"
COPART = {"COPART_SITE_URL": "http://127.0.0.1:8807", "COPART_IMAGE_HOSTS": "127.0.0.1:8805"}  # else no pace of none
NODES = {"VINOPS_SCRAPYD_NODES": "one=http://127.0.0.1:6800"}
SLOW = ("-s", "VINOPS_PACE=careful")  # a page in three seconds: a crawl that is at work when the node ends
JOBS = "pgrep -f [s]crapyd.runner || true"  # not the shell that asks
RUNNING = "select count(*) from ops.crawl_runs where finished_at is null and heartbeat_at > now() - interval '20 s'"


@pytest.fixture(scope="module")
def machine(wheelhouse: Path) -> Iterator[Machine]:
    """A machine without vinops and without a network, with what the locks name in a folder."""
    with booted(lambda machine: wheels.put_into(machine, wheelhouse)) as machine:
        start_market(machine, ads=2400)
        yield machine


def nodes(machine: Machine, *arguments: str, code: int = 0) -> Any:
    """Run `vinops nodes …` as the operator does, and return what it prints."""
    done = machine.run("vinops", "nodes", *arguments, "--json", check=False)
    assert done.returncode == code, done.stdout + done.stderr + journal(machine, NODE)[-3000:]
    assert PASSWORD not in done.stdout + done.stderr
    return json.loads(done.stdout)


def begin_a_crawl(machine: Machine) -> None:
    """Have the node run a market crawl, and wait until it is at work."""
    (row,) = nodes(machine, "schedule", "1", *SLOW)
    assert row["problem"] is None
    machine.until(lambda: sql(machine, RUNNING) == "1", "the crawl is at work")


def test_the_script_installs_what_the_lock_names(machine: Machine) -> None:
    said = install(machine, "--no-start", *write_secrets(machine, SECRETS | SETTINGS | NODES))
    assert "from the hash-pinned lock" in said
    assert "== done" in said
    assert "VINOPS_SCRAPYD_PASSWORD" not in said, "it is no node"
    assert machine.run("vinops", "health", "--json", check=False).returncode in (0, 1, 2)
    machine.run("systemctl", "start", "vinops-retention.service")
    again = install(machine, "--no-start")
    assert "is up to date with the lock" in again
    assert "this version is installed" in again


def test_without_its_password_a_node_is_not_tried_again_and_that_is_told(machine: Machine) -> None:
    said = install(machine, "--no-start", "--node")
    assert "not set: VINOPS_SCRAPYD_PASSWORD" in said
    machine.run("systemctl", "start", NODE, check=False)
    shown = machine.show(NODE, "ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    alert = f"select times from ops.alerts where kind = 'unit_failed' and subject = '{NODE}' and cleared_at is null"
    machine.until(lambda: sql(machine, alert) == "1", "the alert")
    machine.run("vinops", "credentials", "set", "VINOPS_SCRAPYD_PASSWORD", text=PASSWORD)
    machine.run("systemctl", "start", NODE)
    assert is_active(machine, NODE)
    machine.until(lambda: not sql(machine, alert), "it is up, and the alert has passed")


def test_it_crawls_with_the_code_it_is_given_and_the_rights_of_its_role(machine: Machine) -> None:
    assert [(row["node"], row["spiders"]) for row in nodes(machine, "deploy")] == [("one", 2)]
    (row,) = nodes(machine, "schedule", "1", "-a", "mode=full")
    assert (row["node"], row["problem"]) == ("one", None)
    machine.until(lambda: int(sql(machine, "select count(*) from listings")) > 0, "the node brings ads", seconds=120)
    machine.until(lambda: nodes(machine, "jobs") == [], "the job has ended", seconds=120)
    assert sql(machine, "select distinct reason from ops.crawl_runs") == "finished"
    who = "select distinct usename from pg_stat_activity where usename like '%node'"
    begin_a_crawl(machine)
    assert sql(machine, who) == "vinops_node"
    nodes(machine, "cancel", "--all")
    machine.until(lambda: nodes(machine, "jobs") == [], "the job has ended")


def test_the_watchdog_is_fed_and_its_jobs_cannot_speak_for_it(machine: Machine) -> None:
    drop_in(machine, NODE, "[Service]\nWatchdogSec=15\nRestartSec=1")
    machine.run("systemctl", "restart", NODE)
    begin_a_crawl(machine)
    main = machine.show(NODE, "MainPID")["MainPID"]
    machine.until(lambda: was_fed(machine, NODE, seconds=32), "it is fed")
    assert machine.show(NODE, "NRestarts", "MainPID") == {"NRestarts": "0", "MainPID": main}
    job = machine.shell(JOBS).split()[0]
    seen = machine.shell(f"tr '\\0' '\\n' </proc/{job}/environ")
    assert "NOTIFY_SOCKET" not in seen
    assert "WATCHDOG" not in seen
    machine.run("kill", "-STOP", main)
    machine.until(lambda: machine.show(NODE, "NRestarts")["NRestarts"] == "1", "systemd has restarted it", seconds=200)
    machine.until(lambda: is_active(machine, NODE), "it is back")


def test_a_node_that_is_killed_leaves_no_orphan(machine: Machine) -> None:
    machine.until(lambda: sql(machine, RUNNING) == "0", "nobody is at work")
    begin_a_crawl(machine)
    jobs = machine.shell(JOBS).split()
    assert jobs
    main = machine.show(NODE, "MainPID")["MainPID"]
    machine.run("kill", "-KILL", main)
    machine.until(lambda: machine.show(NODE, "MainPID")["MainPID"] != main, "systemd has noticed")
    machine.until(lambda: is_active(machine, NODE), "it is back", seconds=200)
    assert not set(jobs) & set(machine.shell(JOBS).split())
    last = "select reason from ops.crawl_runs order by id desc limit 1"
    assert sql(machine, last) == "shutdown", "it had the time to give back what it had"


def test_told_to_stop_it_ends_with_its_jobs_in_time(machine: Machine) -> None:
    begin_a_crawl(machine)
    began = time.monotonic()
    machine.run("systemctl", "stop", NODE, seconds=150)
    assert time.monotonic() - began < 60
    assert machine.shell(JOBS) == ""
    assert sql(machine, "select reason from ops.crawl_runs order by id desc limit 1") == "shutdown"
    assert machine.show(NODE, "Result")["Result"] == "success"


def test_its_secrets_are_nowhere(machine: Machine) -> None:
    machine.run("systemctl", "start", NODE)
    begin_a_crawl(machine)
    for place, command in {
        "systemctl show": f"systemctl show --all {NODE}",
        "processes": "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
        "journal": "journalctl --no-pager -o cat",
        "files": f"grep -rla {CANARY} /var/log/vinops /var/data/vinops/scrapyd",
    }.items():
        said = machine.shell(command, check=False)
        assert (said == "") if place == "files" else CANARY not in said, place
    machine.run("systemctl", "stop", NODE)


def test_alone_on_a_machine_it_is_the_only_service(machine: Machine) -> None:
    deploy(machine, "--uninstall", venv=())
    assert machine.shell("ls -d /opt/vinops* /etc/scrapyd/scrapyd.conf 2>/dev/null; true") == ""
    machine.shell("rm -rf /etc/vinops; systemctl disable --now redis-server", check=False)
    # The database is elsewhere, and its administrator has given the role a password.
    machine.run(
        *("runuser", "-u", "postgres", "--", "psql", "-Xqd", "vinops"),
        text=f"alter role vinops_node password '{CANARY}-role';",
    )
    address = f"postgresql://vinops_node:{CANARY}-role@127.0.0.1/vinops"
    told = {"DATABASE_URL.node": address, "DATABASE_URL.ops": address, "VINOPS_SCRAPYD_PASSWORD": PASSWORD}
    said = install(
        machine,
        "--node",
        *write_secrets(machine, told | SETTINGS | COPART | NODES | {"VINOPS_MARKET_RUN_HOURS": "0.005"}),
    )
    assert "elsewhere: DATABASE_URL.node is for the crawls" in said
    assert "doctor exits with" not in said, said
    machine.until(lambda: is_active(machine, NODE), "the node is up")
    running = machine.run("systemctl", "list-units", "--no-legend", "--plain", "vinops-*", "redis*").stdout
    services = {line.split()[0] for line in running.splitlines() if " loaded active running " in " ".join(line.split())}
    assert [name for name in services if name.endswith((".service", ".timer"))] == [NODE]
    nodes(machine, "deploy")
    nodes(machine, "schedule", "1")
    machine.until(lambda: nodes(machine, "jobs") == [], "the job has ended", seconds=120)
    assert "== node" in install(machine, "--upgrade"), "it stays a node"
    machine.until(lambda: is_active(machine, NODE), "the node is up again")
    deploy(machine, "--uninstall", venv=())
    assert machine.shell("pgrep -u vinops || true") == ""
