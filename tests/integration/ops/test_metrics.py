"""The metrics: well-formed, with few labels, without a secret, each explained and on the dashboard."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.checks.metrics import Collector, exposition
from ops.observe.observer import Observer
from tests.support import forks, snapshots as given
from tests.support.cases import few_quick
from tests.support.metrics_lint import lint
from tests.support.snapshots import NOW, ago
from vinops.config import Secret

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

VINOPS = [sys.executable, "-m", "ops.cli"]
ROOT = Path(__file__).resolve().parents[3]
LABELS = {"worker", "make", "host", "stage", "state"}
EVERYTHING = given.snapshot(
    hosts=(given.host(open_until=NOW + (NOW - ago(minutes=5)), last_refusal="429"), given.host(host="cs.copart.com")),
    deals=given.deals(
        stages=tuple(given.stage(name, waiting=3, oldest=ago(minutes=2)) for name in ("normalize", "price"))
    ),
)


def families(text: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each series by the name of its sample."""
    found = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


def test_they_are_well_formed() -> None:
    assert lint(exposition(EVERYTHING)) == []
    assert lint(exposition(given.without_database())) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "vinops_x 1\n",
        "# HELP vinops_x Said.\n# TYPE vinops_x counter\nvinops_x 1\n",
        "# HELP vinops_x_total Said.\n# TYPE vinops_x_total gauge\nvinops_x_total 1\n",
        "# HELP vinops_x_minutes Said.\n# TYPE vinops_x_minutes gauge\nvinops_x_minutes 1\n",
        "# HELP vinops_x Said.\n# TYPE vinops_x gauge\nvinops_x 1\nvinops_x 2\n",
        "# HELP vinops_x\n# TYPE vinops_x gauge\nvinops_x 1\n",
    ],
)
def test_the_lint_finds_what_is_malformed(wrong: str) -> None:
    assert lint(wrong)


def test_only_four_labels_are_used_and_none_of_them_grows_with_the_data() -> None:
    for name, series in families(exposition(EVERYTHING)).items():
        for labels in series:
            assert set(labels) <= LABELS, name
    assert sum(map(len, families(exposition(EVERYTHING)).values())) < 200


def test_figures_are_those_of_the_snapshot() -> None:
    lines = exposition(EVERYTHING).splitlines()
    for line in (
        'vinops_worker_state{state="running",worker="1"} 1.0',
        'vinops_worker_state{state="dead",worker="1"} 0.0',
        'vinops_worker_items_total{worker="photos"} 1240.0',
        'vinops_worker_heartbeat_age_seconds{worker="2"} 2.0',
        "vinops_feed_age_seconds 180.0",
        'vinops_feed_rows{state="new"} 303.0',
        'vinops_photo_lots{state="missing"} 8000.0',
        'vinops_host_breaker_open{host="www.mobile.bg"} 1.0',
        'vinops_host_breaker_open{host="cs.copart.com"} 0.0',
        'vinops_deal_waiting{stage="price"} 3.0',
        'vinops_deal_oldest_seconds{stage="price"} 120.0',
        'vinops_lot_waiting{stage="quote"} 0.0',
        "vinops_backup_age_seconds 18000.0",
        "vinops_database_up 1.0",
        "vinops_database_rows_written_total 123456.0",
        'vinops_celery_processes{state="child"} 4.0',
    ):
        assert line in lines, line


def test_what_is_not_known_has_no_sample_and_no_zero() -> None:
    found = families(exposition(given.without_database()))
    assert "vinops_database_up" in found
    for name in ("vinops_feed_age_seconds", "vinops_photo_coverage_ratio", "vinops_deal_waiting", "vinops_alerts_open"):
        assert name not in found


def test_two_who_ask_at_once_cost_one_look() -> None:
    looks = []

    def look() -> Any:
        looks.append(1)
        return EVERYTHING

    collector = Collector(look)
    assert list(collector.collect())
    assert list(collector.collect())
    assert len(looks) == 1


def test_no_secret_no_lot_and_no_vin_is_shown(settings: Settings, database: Connection[Any]) -> None:
    canary, lot, vin = "canary-4e8c", "45123456", "WBA3A5C50CF256985"
    database.execute("insert into ops.host_budgets (host, last_refusal) values ('www.mobile.bg', %s)", [canary])
    database.execute(
        "insert into ops.alerts (kind, subject, message) values ('blocked', %s, %s)", [f"lot {lot}", f"{vin} {canary}"]
    )
    database.execute(
        "insert into ops.crawl_runs (spider, worker, machine, pid, current_item, last_items, arguments)"
        " values ('mobile_bg', '1', 'here', 1, %s, jsonb_build_array(%s::text), jsonb_build_object('vin', %s::text))",
        [f"lot {lot}", f"{vin} {lot}", vin],
    )
    secret = replace(
        settings, copart_username=Secret(canary), copart_csv_url=Secret(f"https://x.example/?authKey={canary}")
    )
    observer = Observer(secret, application="tests")
    text = exposition(observer.observe())
    observer.close()
    assert 'worker="1"' in text
    for word in (canary, lot, vin):
        assert word not in text


def test_every_metric_of_the_dashboard_exists_and_every_metric_is_on_it() -> None:
    board = json.loads((ROOT / "deploy/grafana/vinops.json").read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
    names = set(re.findall(r"vinops_\w+", asked))
    found = families(exposition(EVERYTHING))
    assert names == set(found)
    for name, label in re.findall(r"(vinops_\w+)\{(\w+)=", asked):
        assert label in found[name][0]


def test_the_dashboard_names_no_machine_and_its_panels_do_not_lie_on_each_other() -> None:
    board = json.loads((ROOT / "deploy/grafana/vinops.json").read_text(encoding="utf-8"))
    assert {panel["datasource"]["uid"] for panel in board["panels"] if "datasource" in panel} == {"${source}"}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_once_prints_them(environment: dict[str, str]) -> None:
    done = forks.vinops(environment, "metrics", "--once")
    assert done.returncode == 0, done.stderr
    assert lint(done.stdout) == []
    assert "vinops_database_up 1.0" in done.stdout


@pytest.mark.parametrize("host", few_quick(["0.0.0.0", "::", "192.0.2.1"], 0))
def test_an_address_that_others_reach_is_refused_unless_it_is_meant(environment: dict[str, str], host: str) -> None:
    done = forks.vinops(environment, "metrics", "--host", host, "--port", "1")
    assert done.returncode == 2
    assert "--expose" in done.stderr
    meant = subprocess.run(
        [*VINOPS, "metrics", "--host", "192.0.2.1", "--port", "9477", "--expose"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert meant.returncode == 1, "192.0.2.1 is nobody's address: it was tried"
    assert "cannot be opened" in meant.stderr


def test_they_are_served_on_loopback(environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*VINOPS, "metrics", "--port", str(port)], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("vinops: data folder ")
        assert process.stderr.readline().strip() == f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert lint(text) == []
        assert "vinops_database_up 1.0" in text
    finally:
        process.terminate()
        process.communicate(timeout=30)
