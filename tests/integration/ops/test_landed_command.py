"""`vinops landed …` as an operator uses it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from deals.landed import book
from standin.rates.server import RatesServer
from tests.support import forks

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from psycopg import Connection

GIVEN = (
    *("--bid", "5000", "--account", "non-licensed", "--title", "non-clean", "--payment", "secured"),
    *("--bid-kind", "pre", "--rate", "1.10", "--year", "2019", "--vin", "1FTEW1E50KFA12345", "--fuel", "gasoline"),
    *("--state", "NJ", "--on", "2026-11-30"),
)


def landed(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vinops landed …`."""
    return forks.vinops(environment, "landed", *arguments)


def quoted(environment: dict[str, str], *more: str) -> dict[str, Any]:
    """Return a quote as JSON; options in `more` win."""
    done = landed(environment, "quote", *GIVEN, *more, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    return found


def test_a_quote_by_hand_needs_no_database_and_has_the_lines_of_its_total(environment: dict[str, str]) -> None:
    found = quoted({**environment, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"})
    assert (found["auction_fees_usd"], found["is_complete"], found["most_bid_usd"]) == (995, True, None)
    lines = {line["name"]: line for line in found["lines"]}
    assert {"name", "amount", "currency", "kind", "source"} <= set(lines["duty"])
    assert (lines["duty"]["rate_percent"], lines["duty"]["kind"]) == (0, "certain")
    assert sum(line["eur"] for line in found["lines"]) == found["total_eur"]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (("--vin", "1FTEW1E5*KFA12345"), (10, "assumed")),
        (("--vin", ""), (10, "assumed")),
        (("--vin", "3FTEW1E50KFA12345"), (10, "certain")),
        (("--fuel", "EV"), (10, "assumed")),
        (("--fuel", "petrol"), (0, "certain")),
        (("--fuel", "flex fuel"), (0, "certain")),
        (("--on", "2026-06-30"), (10, "certain")),
        (("--on", "2026-07-01"), (0, "certain")),
    ],
)
def test_the_duty_of_a_quote(more: tuple[str, ...], wanted: tuple[int, str], environment: dict[str, str]) -> None:
    found = quoted(environment, *more)
    duty = next(line for line in found["lines"] if line["name"] == "duty")
    assert (duty["rate_percent"], duty["kind"]) == wanted
    assert found["is_complete"]


def test_what_is_unknown_leaves_no_total(environment: dict[str, str]) -> None:
    found = quoted(environment, "--account", "high-volume", "--title", "clean", "--value", "15000")
    assert (found["is_complete"], found["total_eur"], found["auction_fees_usd"]) == (False, None, None)
    assert found["most_bid_usd"] is None
    assert found["missing"] == ["buyer_fee: no line of the tariffs for high-volume, clean, secured"]
    by_yard = [each for each in GIVEN if each not in ("--state", "NJ")]
    assert forks.vinops(environment, "landed", "quote", *by_yard, "--yard", "tx - houston east").returncode == 0
    assert quoted(environment, "--state", "KS")["missing"] == ["road: no line of the tariffs for KS to Houston"]


def test_the_most_one_may_bid_lands_within_the_limit_and_a_dollar_more_does_not(environment: dict[str, str]) -> None:
    more = ("--repair", "4000", "--value", "15000")
    found = quoted(environment, *more)
    most, limit = found["most_bid_usd"], found["limit_eur"]
    within, above = (quoted(environment, *more, "--bid", str(bid))["total_eur"] for bid in (most, most + 1))
    assert within <= limit < above


def test_a_quote_for_people_fits_80_columns_and_says_where_each_amount_comes_from(environment: dict[str, str]) -> None:
    done = landed(environment, "quote", *GIVEN, "--damage", "Front End", "--value", "15000", "--title-state", "nj")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for text in ("auction fees: 995.00 USD", "so bid up to", "the largest assumptions: repair", "Reg. (EU) 2026/1455"):
        assert text in done.stdout
    incomplete = landed(environment, "quote", *GIVEN, "--state", "KS", "--value", "15000").stdout
    assert "incomplete" in incomplete
    assert "unknown, so that there is no total: road to the port: no line" in incomplete
    assert "but what it costs is not known" in incomplete


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--bid", "-5"), "a bid is from 0 to"),
        (("--bid", "5000.5"), "--bid"),
        (("--account", "dealer"), "use one of non-licensed, high-volume"),
        (("--title", "salvage"), "use one of clean, non-clean"),
        (("--payment", "cash"), "use one of secured, unsecured"),
        (("--bid-kind", "proxy"), "use one of pre, live"),
        (("--rate", "0"), "a rate is dollars for one euro"),
        (("--rate", "nan"), "a rate is dollars for one euro"),
        (("--rate", "1,10"), "a rate is dollars for one euro"),
        (("--fuel", "steam"), "it is no fuel that is known"),
        (("--state", "New Jersey"), "write the two letters of a state"),
        (("--year", "19"), "--year"),
        (("--value", "much"), "give euro as in 4000"),
        (("--repair", "-1"), "give euro as in 4000"),
        (("--vehicle-type", "car"), "write the letter of the feed"),
        (("--on", "1.7.2026"), "write a day as in 2026-07-01"),
    ],
)
def test_bad_input_is_named_with_what_is_right(more: tuple[str, ...], says: str, environment: dict[str, str]) -> None:
    done = landed(environment, "quote", *GIVEN, *more)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_an_unknown_profile_and_broken_tariffs_say_what_fixes_them(environment: dict[str, str], tmp_path: Path) -> None:
    done = landed(environment, "quote", *GIVEN, "--profile", "mine")
    assert (done.returncode, done.stderr) == (1, "vinops: there is no profile mine: use one of company, private\n")
    (tmp_path / "own.toml").write_text("[[lines]]\nname = 'x'\n")
    done = landed({**environment, "VINOPS_TARIFFS_DIR": str(tmp_path)}, "tariffs")
    assert done.returncode == 1
    assert done.stderr.startswith(f"vinops: {tmp_path}/own.toml, line “x”: kind is missing: use one of: buyer_fee")


def test_the_tariffs_are_listed_oldest_check_first(environment: dict[str, str]) -> None:
    as_json = json.loads(landed(environment, "tariffs", "--json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(landed(environment, "tariffs", "--csv").stdout)))
    assert [row["name"] for row in as_json] == [line.name for line in book.load().by_check()]
    assert [row["name"] for row in as_csv] == [row["name"] for row in as_json]
    assert {"kind", "name", "from", "until", "unit", "currency", "source", "checked", "confidence"} <= set(as_json[0])
    text = landed(environment, "tariffs").stdout
    assert text.splitlines()[0].startswith("checked")
    assert landed(environment, "tariffs", "--json", "--csv").returncode == 2


def test_the_rate_is_shown_fetched_and_used(database: Connection[Any], environment: dict[str, str]) -> None:
    without = landed(environment, "quote", *[each for each in GIVEN if each not in ("--rate", "1.10")])
    assert (without.returncode, without.stdout) == (1, "")
    assert "no exchange rate is kept: give one, as in --rate 1.10" in without.stderr
    assert landed(environment, "rate").returncode == 1
    with RatesServer(usd="1.1234") as ecb:
        there = {**environment, "ECB_RATES_URL": ecb.url}
        done = landed(there, "rate", "--fetch")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("1 EUR = 1.1234 USD, reference rate of ")
        ecb.fault("forbidden_403")
        database.execute("update ops.host_budgets set next_at = now()")
        refused = landed(there, "rate", "--fetch", "--json")
    assert refused.returncode == 1
    assert "vinops: no new rate: " in refused.stderr
    assert "answered 403" in refused.stderr
    assert json.loads(refused.stdout)["usd_per_eur"] == 1.1234, "the last good one stays"
    used = landed(environment, "quote", *[each for each in GIVEN if each not in ("--rate", "1.10")], "--json")
    assert json.loads(used.stdout)["usd_per_eur"] == 1.1234
    database.execute("update exchange_rates set day = day - 9")
    old = landed(environment, "rate")
    assert old.returncode == 1
    assert "days ago" in old.stderr
    assert landed(environment, "rate", "--accept-jump").returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--make", "Zzzyx"), "there is no such make"),
        (("--model", "Toyota \x1b[31mzz"), "there is no such model"),
        (("--fuel", "coal"), "it is no fuel that is known"),
        (("--state", "éé"), "write the two letters of a state"),
        (("--from-year", "99999999999"), "is not in the range 1900<=x<=2100"),
        (("--to-year", "1"), "is not in the range"),
        (("--max-bid", "99999999999"), "is not in the range"),
    ],
)
def test_a_filter_of_the_ranking_that_is_no_word_is_no_empty_ranking(
    words: tuple[str, ...], says: str, environment: dict[str, str]
) -> None:
    done = landed({**environment, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}, "top", *words)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "\x1b" not in done.stderr


def test_a_run_that_quotes_nothing_because_of_a_broken_tariff_says_so(
    database: Connection[Any], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text("[[lines]", encoding="utf-8")
    done = landed({**environment, "VINOPS_TARIFFS_DIR": str(tmp_path)}, "run")
    assert done.returncode == 1
    assert "lots are not quoted and no message is sent" in done.stderr
    assert "is no TOML" in done.stderr
    assert landed(environment, "run").returncode == 0
