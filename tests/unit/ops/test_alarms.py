"""The alarms of the deals at their limits, and the registries: each alert, check and metric is explained."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deals import alarms
from deals.alarms import ALARMS
from ops.checks import outside
from ops.checks.health import CHECKS
from ops.checks.metrics import METRICS
from ops.workers.troubles import MEANINGS
from tests.support.snapshots import NOW, ago, stage
from vinops.checks import Level, Limit

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
HELP = {f"vinops_{metric.name}": metric.about for metric in METRICS}


def row(first: str, section: str = "") -> list[str]:
    """The cells behind the first one in the runbook's row about something."""
    _, _, text = RUNBOOK.partition(f"\n{section}\n")
    rows = [line for line in text.splitlines() if line.startswith("|") and first in line.split("|")[1]]
    assert rows, f"docs/runbook.md has no row for {first}: say what it means and what to do"
    return [cell.strip() for cell in rows[0].split("|")[2:-1]]


@pytest.mark.parametrize("kind", [*ALARMS, *MEANINGS, *outside.MEANINGS, "database_away"])
def test_each_alarm_has_its_meaning_and_an_action_in_the_runbook(kind: str) -> None:
    assert all(row(f"`{kind}`"))


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_has_its_limits_and_an_action_in_the_runbook(name: str) -> None:
    warning, _critical, action = row(f"`{name}`", "## Health")
    assert warning
    assert action


@pytest.mark.parametrize("name", HELP)
def test_each_metric_has_a_help_text_and_a_line_in_the_runbook(name: str) -> None:
    assert HELP[name].endswith(".")
    assert all(row(f"`{name}`", "### Metrics"))


def test_each_check_says_what_it_judges() -> None:
    assert all((check.judge.__doc__ or "").endswith(".") for check in CHECKS.values())


@pytest.mark.parametrize(
    ("waited", "level"),
    [
        (timedelta(minutes=29), Level.OK),
        (timedelta(minutes=30), Level.WARNING),
        (timedelta(hours=2), Level.CRITICAL),
        (timedelta(minutes=-5), Level.OK),
    ],
)
def test_a_backlog_is_late_from_half_an_hour_on(waited: timedelta, level: Level) -> None:
    found = alarms.waits(stage("price", waiting=7, oldest=NOW - waited), NOW)
    assert found.level is level
    assert found.fix == ("" if level is Level.OK else "vinops deals run")


def test_ads_that_were_given_up_are_counted_over_all_stages() -> None:
    found = alarms.given_up([stage("price", dead=1), stage("score", dead=2)])
    assert (found.level, found.message) == (Level.WARNING, "3 ads given up (limit 1)")
    assert alarms.given_up([stage("price", waiting=9, oldest=ago(days=1))]).level is Level.OK


@pytest.mark.parametrize(
    ("ads", "unknown", "level"), [(199, 199, Level.OK), (200, 19, Level.OK), (200, 20, Level.WARNING), (0, 0, Level.OK)]
)
def test_unknown_models_are_judged_by_their_share_of_many_ads(ads: int, unknown: int, level: Level) -> None:
    assert alarms.unknown_models(ads, unknown).level is level


def test_a_finding_names_the_limit_that_was_reached_or_comes_next() -> None:
    limit = Limit(10, 20, "{:g} s".format)
    assert [limit.judge(value, "x", fix="top").limit for value in (9, 10, 20)] == ["10 s", "10 s", "20 s"]
    assert [bool(limit.judge(value, "x", fix="top").fix) for value in (9, 10)] == [False, True]


def test_the_runbook_names_the_limit_of_the_backlog() -> None:
    assert "30 min" in row("`backlog`", "## Health")[0]
    assert "half an hour" in row("`deals_backlog`")[0]
    assert alarms.BACKLOG.unit(alarms.BACKLOG.warning) == "30 min"
