"""`vinops deals …` as an operator uses it: with real ads in a real database, as processes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from deals.stages.registry import STAGES
from tests.support import forks
from tests.support.deal_ads import insert_ads

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection

COLUMNS = (
    *("listing_id", "title", "make", "model", "year", "month", "mileage_km", "fuel", "gearbox", "body", "power_hp"),
    *("color", "price_bgn", "price_eur", "vat"),
)


PARTS = ("listing", "valuation")


def deals(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vinops deals …`."""
    return forks.vinops(environment, "deals", *arguments)


@pytest.fixture
def market(database: Connection[Any]) -> list[int]:
    """Three hundred ads that wait, two of them bargains, one of which is crashed."""
    ids = insert_ads(database, 300)
    good = insert_ads(database, 1, first=300)
    crashed = insert_ads(database, 1, first=305, description="Катастрофирал в предната част.")
    for (listing,) in (good, crashed):
        database.execute(
            "update listings set make_text = 'VW', model_text = 'Golf', title = 'VW Golf 1.6 TDI', year = 2016,"
            " month = 6, mileage_km = 140000, fuel = 'Дизелов', gearbox = 'Ръчна', price_eur = 3900, price = 3900,"
            " power_hp = 110, body = 'Хечбек' where id = %s",
            [listing],
        )
    return [*good, *crashed, *ids]


def test_run_takes_every_ad_through_all_stages_and_tells_of_the_deal(
    environment: dict[str, str], market: list[int], database: Connection[Any], settings: Any
) -> None:
    good, crashed = market[:2]
    done = deals(environment, "run", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [(row["stage"], row["done"]) for row in said["stages"]] == [(stage, len(market)) for stage in STAGES]
    assert said["waiting"] == dict.fromkeys(STAGES, 0)
    assert said["notify"]["sent"] >= 1
    approved = {row[0] for row in database.execute("select listing_id from scores where is_approved").fetchall()}
    assert good in approved
    assert crashed not in approved
    told = database.execute("select listing_id, state, is_dry_run from notifications").fetchall()
    assert (good, "sent", True) in told
    log = (settings.log_dir / "deals.log").read_text()
    assert "Score: " in log
    assert "dry run" in log
    again = json.loads(deals(environment, "run", "--json").stdout)
    assert [row["done"] for row in again["stages"]] == [0] * len(STAGES)
    assert again["notify"]["sent"] == 0
    rescored = json.loads(deals(environment, "run", "--again", "--no-post", "--json").stdout)
    assert [row["done"] for row in rescored["stages"]] == [0, *[len(market)] * (len(STAGES) - 1)]
    assert rescored["notify"] == {}


def test_top_and_show_say_why(environment: dict[str, str], market: list[int]) -> None:
    good, crashed = market[:2]
    assert "no ad has been scored yet" in deals(environment, "top").stderr
    assert deals(environment, "run", "--no-post").returncode == 0
    best = json.loads(deals(environment, "top", "--limit", "3", "--json").stdout)
    assert len(best) == 3
    assert best[0]["listing_id"] == good
    assert any("below" in reason for reason in best[0]["reasons"])
    shown = deals(environment, "top", "--limit", "1").stdout
    assert "VW Golf 1.6 TDI, 2016" in shown
    assert "worth about" in shown
    assert "comparable cars" in shown
    one = json.loads(deals(environment, "show", str(crashed), "--json").stdout)[0]
    assert "Катастрофирал" in json.dumps(one, ensure_ascii=False)
    assert "is_comparable" in json.dumps(one)
    plain = deals(environment, "show", str(good))
    assert plain.returncode == 0
    assert "VW Golf" in plain.stdout
    lines = plain.stdout.splitlines()
    assert lines[0] == "VW Golf 1.6 TDI, 2016"
    listing, worth = (json.loads(deals(environment, "show", str(good), "--json").stdout)[0][name] for name in PARTS)
    assert lines[1] == listing["url"]
    assert f"The nearest of {worth['comparables']} comparable cars" in lines
    for other in worth["details"]["comparables"]:
        assert any(f"(id {other})" in line and " EUR, " in line for line in lines)
    assert sum(line.startswith("    http") for line in lines) == len(worth["details"]["comparables"]) > 2
    at = lines.index("Price history")
    assert "UTC (" in lines[at + 3]
    assert any(line.startswith("score ") and "worth a message" in line for line in lines)


def test_top_is_narrowed_down_and_written_as_csv(
    environment: dict[str, str], market: list[int], database: Connection[Any]
) -> None:
    good = market[0]
    database.execute("update listings set title = '=cmd|''/c calc''!A1' where id = %s", [good])
    assert deals(environment, "run", "--no-post").returncode == 0
    given = ("--make", "фолксваген", "--family", "golf", "--max-price", "4000", "--year", "2015-2016")
    done = deals(environment, "top", "--csv", *given)
    assert done.returncode == 0, done.stderr
    row, *others = csv.DictReader(io.StringIO(done.stdout))
    assert [each["listing_id"] for each in others] == [str(market[1])]
    assert (row["listing_id"], row["price_eur"], row["year"]) == (str(good), "3900.00", "2016")
    assert row["title"] == "'=cmd|'/c calc'!A1", "a spreadsheet would run it"
    assert "comparable cars" in row["reasons"]
    shown = deals(environment, "top", *given).stdout
    assert f"(id {good})" in shown
    assert shown.count(" EUR, worth") == 2
    none = deals(environment, "top", "--make", "Trabant")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "no ad matches\n")


@pytest.mark.parametrize("year", ["x", "-", "2012-x", "2012-2013-2014", "²"])
def test_a_year_that_is_none_is_wrong_usage(environment: dict[str, str], year: str) -> None:
    done = deals(environment, "top", f"--year={year}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("listing", "code"), [("999999", 1), ("abc", 2), ("-1", 2), ("1; drop table lots", 2)])
def test_show_refuses_what_is_no_ad(environment: dict[str, str], listing: str, code: int) -> None:
    done = deals(environment, "show", "--", listing)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_unknown_words_are_listed_with_the_most_frequent_first(
    environment: dict[str, str], market: list[int], database: Connection[Any]
) -> None:
    database.execute(
        "update listings set make_text = 'Коликоли', title = 'Коликоли 5' where id = any(%s)", [market[2:9]]
    )
    database.execute(
        "update listings set model_text = 'Ксантоп', title = 'VW Ксантоп' where id = any(%s)", [market[12:14]]
    )
    assert deals(environment, "run", "--no-post").returncode == 0
    rows = json.loads(deals(environment, "unknowns", "--json").stdout)
    assert (rows[0]["text"], rows[0]["ads"]) == ("Коликоли", 7)
    assert any(row["text"].endswith("Ксантоп") for row in rows)
    assert len(json.loads(deals(environment, "unknowns", "--limit", "1", "--json").stdout)) == 1


def test_ads_that_were_given_up_are_shown_and_tried_again(
    environment: dict[str, str], market: list[int], database: Connection[Any]
) -> None:
    assert "no ad was given up" in deals(environment, "dead").stderr
    database.execute(
        "update ops.deal_outbox set dead_at = now(), error = 'it made no sense', attempts = 6 where listing_id = %s",
        [market[0]],
    )
    rows = json.loads(deals(environment, "dead", "--json").stdout)
    assert [(row["listing_id"], row["stage"], row["error"]) for row in rows] == [
        (market[0], "normalize", "it made no sense")
    ]
    assert "1 are to be tried again" in deals(environment, "dead", "--retry").stderr
    assert json.loads(deals(environment, "run", "--no-post", "--json").stdout)["stages"][0]["done"] == len(market)


def test_training_needs_enough_ads_and_says_so(environment: dict[str, str], market: list[int]) -> None:
    assert market
    assert deals(environment, "run", "--no-post").returncode == 0
    said = json.loads(deals(environment, "train", "--json").stdout)
    assert said["trained"] is False
    assert "1000" in said["reason"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no such file"),
        ("", "empty"),
        ("a,b\n1,2\n", "title"),
        (",".join(COLUMNS) + "\n", "holds no ad"),
    ],
)
def test_evaluate_says_what_is_wrong_with_a_file(
    environment: dict[str, str], tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "ads.csv"
    if content is not None:
        file.write_text(content)
    done = deals(environment, "evaluate", str(file), "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert told in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_market_computes_the_prices_over_time_and_says_what_it_did(
    environment: dict[str, str], market: list[int], database: Connection[Any]
) -> None:
    nothing = deals(environment, "market")
    assert nothing.returncode == 0, nothing.stderr
    assert "0 families" in nothing.stdout
    assert deals(environment, "run", "--no-post").returncode == 0
    done = deals(environment, "market", "--json")
    said = json.loads(done.stdout)
    (month, families) = database.execute(
        "select (select to_char(month, 'YYYY-MM') from market_months), count(*) from market_now"
        " where split = '' and family <> ''"
    ).fetchone()  # type: ignore[misc]
    assert (said["months"], said["families"], said["is_busy"]) == ([month], families, False)
    assert families >= 5
    assert f"computed 1 month of 1 ({month}), {families} families" in deals(environment, "market", "--again").stdout
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(hashtextextended('market_state', 0))")
        busy = deals(environment, "market")
    assert (busy.returncode, busy.stdout) == (1, "")
    assert "another process computes the market" in busy.stderr
