"""Lots through their stages: valued, quoted, ranked; what changed is made anew, and the rest is not touched."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.landed import profiles
from deals.lots import results, terms
from deals.offers import passes, ranking, requote
from deals.queue import runner
from deals.stages import match_lots as matching, quote as quoting, value as valuing
from deals.stages.registry import LOT_STAGES
from tests.support import import_lots
from tests.unit.deals.test_lots import GOOD

if TYPE_CHECKING:
    from psycopg import Connection

    from vinops.config import Settings

    Database = Connection[Any]

USUAL, TWIN, PASSAT, FLOOD, PARTS, UNKNOWN, CANADA, GONE, CHEAP, DEAR, SOON = range(1, 12)


@pytest.fixture
def market(database: Database) -> Database:
    """A market, and one lot of each kind."""
    import_lots.store_market(database)
    lots: dict[int, dict[str, Any]] = {
        USUAL: {},
        TWIN: {"make": "FORD", "model_group": "ESCAPE", "model": "ESCAPE"},
        PASSAT: {"make": "VOLKSWAGEN", "model_group": "PASSAT", "model": "PASSAT"},
        FLOOD: {"secondary_damage": "water/flood"},
        PARTS: {"title_type": "PO", "title_group": "other"},
        UNKNOWN: {"title_state": "WI", "title_type": "BP", "title_group": "other"},
        CANADA: {"country": "CAN", "currency": "CAD", "odometer": 80_467, "state": "ON", "title_state": "ON",
                 "title_type": "ST", "title_group": "other"},
        GONE: {"status": "gone"},
        CHEAP: {"buy_now_price": 3_000},
        DEAR: {"buy_now_price": 30_000},
        SOON: {"in_hours": 1},
    }  # fmt: skip
    for number, facts in lots.items():
        import_lots.add_lot(database, number, **facts)
    return database


def drained(database: Database, settings: Settings) -> dict[str, int]:
    """Quote anew by other terms, queue what changed, take it through all stages, and return how many lots were valued
    and quoted: all of these are matched, but those quoted anew."""
    anew = requote.run(database, settings)
    passes.queue_changed(database, settings)
    outcomes = {stage: runner.drain(database, settings, stage) for stage in LOT_STAGES}
    done = {stage: sum(len(each.done) for each in found) for stage, found in outcomes.items()}
    assert done.pop("match_lots") >= done["quote"]
    return {**done, "quote": done["quote"] + anew}


def row(database: Database, table: str, number: int) -> Any:
    """Return a row of a table of lots by the number of the lot, with names."""
    statement = f"select to_jsonb(t) from {table} as t join lots on lots.id = t.lot_id where lot_external_id = %s"
    found = database.execute(statement.encode(), [number]).fetchone()
    return found and found[0]


def blockers(database: Database, number: int) -> list[str]:
    return [each["name"] for each in row(database, "lot_values", number)["blockers"]]


def ranked(database: Database) -> list[int]:
    found = [*ranking.top(database, ranking.Wanted(), 50, by_profit=True)]
    found += ranking.top(database, ranking.Wanted(), 50, by_profit=False)
    return [each["lot"] for each in found]


def test_each_lot_comes_out_as_it_must(market: Database, settings: Settings) -> None:
    assert drained(market, settings) == {"value": 10, "quote": 10}
    assert blockers(market, USUAL) == []
    assert blockers(market, FLOOD) == ["damage"]
    assert blockers(market, PARTS) == ["title not exportable"]
    assert blockers(market, UNKNOWN) == ["title unknown"]
    assert blockers(market, PASSAT) == ["no market"]
    assert row(market, "lot_values", GONE) is None
    assert row(market, "lot_values", FLOOD)["p50"] is None, "what is blocked for good is not valued"
    assert row(market, "lot_values", UNKNOWN)["p50"], "what may be asked for is"
    assert ranked(market) == [CHEAP, USUAL, TWIN], "the bargain first; none blocked, dear, sold at once, or unknown"


def test_a_value_is_near_what_such_cars_are_asked_for(market: Database, settings: Settings) -> None:
    drained(market, settings)
    found = row(market, "lot_values", USUAL)
    assert found["mileage_km"] == 80_467, "50,000 miles"
    wanted = import_lots.price("Toyota RAV4", 2019, 80_467) * 0.9
    assert found["p50"] == pytest.approx(wanted, rel=0.1), "less the assumed discount of imported cars"
    assert found["p10"] < found["p20"] < found["p50"] < found["p90"]
    assert found["details"]["discount"].startswith("10.0 % less for cars from America, assumed: 0 ads")
    assert len(found["details"]["comparables"]) >= 5


def test_kilometres_of_canada_are_not_converted(market: Database, settings: Settings) -> None:
    drained(market, settings)
    american, canadian = (row(market, "lot_values", number) for number in (USUAL, CANADA))
    assert canadian["mileage_km"] == american["mileage_km"]
    assert canadian["p50"] == american["p50"]
    assert not row(market, "lot_quotes", CANADA)["is_complete"], "no tariff is in Canadian dollars"


NOTES = (None, "", "Odometer is in km", "IN KMS", "Kilometers", "KMS", "IN KMX", "xKILOM", "IN KM.", "GAS KILOM")


def test_the_site_has_the_same_mileage(database: Database) -> None:
    for place in product((None, "USA", "CAN"), (None, "USD", "CAD"), NOTES):
        country, currency, note = place
        lot = replace(GOOD, odometer=50_000, country=country, currency=currency, special_note=note)
        (km,) = database.execute(
            "select odometer_in_km(50000, %s::text, %s::text, %s::text)", [country, currency, note]
        ).fetchone() or (None,)
        assert km == lot.mileage_km, place


def test_a_value_by_twin_is_wider_and_says_so(market: Database, settings: Settings) -> None:
    drained(market, settings)
    found = row(market, "lot_values", TWIN)
    assert (found["model"], found["twin"]) == ("Ford Escape", "Ford Kuga")
    assert "Kuga" in found["details"]["by_twin"]
    own = import_lots.add_lot(market, 99, make="FORD", model_group="KUGA", model="KUGA")
    drained(market, settings)
    kuga = row(market, "lot_values", 99)
    assert own
    assert kuga["twin"] is None
    assert kuga["p50"] == found["p50"]
    assert found["p90"] - found["p10"] > kuga["p90"] - kuga["p10"]
    assert found["confidence"] < kuga["confidence"]


def test_a_bid_before_the_sale_is_no_price(market: Database, settings: Settings) -> None:
    market.execute("update lots set high_bid = 500 where lot_external_id = %s", [USUAL])
    drained(market, settings)
    found = row(market, "lot_quotes", USUAL)
    assert (found["bid_usd"], found["bid_kind"]) == (None, None)
    market.execute("insert into lot_floors (hours, lots, growth) values (48, 500, 3.0), (96, 99, 9.0)")
    market.execute("update lots set high_bid = 600, row_hash = 'x', sale_at = now() + interval '40 hours'")
    drained(market, settings)
    found = row(market, "lot_quotes", USUAL)
    assert (found["bid_usd"], found["bid_kind"]) == (1_800, "floor"), "what 500 lots tell; 99 are too few"


def test_a_buy_now_is_a_price_until_bids_pass_it(market: Database, settings: Settings) -> None:
    for bid, wanted in ((3_000, (3_000, "buy now")), (3_001, (None, None))):
        changed = "update lots set buy_now_price = 3000, high_bid = %s, row_hash = %s where lot_external_id = %s"
        market.execute(changed, [bid, str(bid).encode(), USUAL])
        drained(market, settings)
        found = row(market, "lot_quotes", USUAL)
        assert (found["bid_usd"], found["bid_kind"]) == wanted


def test_a_bid_above_the_most_leaves_the_ranking(market: Database, settings: Settings) -> None:
    drained(market, settings)
    most = row(market, "lot_quotes", USUAL)["most_bid_usd"]
    assert most > 1_000
    market.execute("update lots set high_bid = %s where lot_external_id = %s", [most + 1, USUAL])
    assert USUAL not in ranked(market)


def test_quoting_twice_writes_nothing(market: Database, settings: Settings) -> None:
    drained(market, settings)

    def versions() -> list[Any]:
        both = (
            "select xmin::text, lot_id from lot_values union all select xmin::text, lot_id from lot_quotes order by 2"
        )
        return market.execute(both.encode()).fetchall()

    before = versions()
    assert drained(market, settings) == {"value": 0, "quote": 0}, "nothing changed"
    passes.renew(market)
    assert drained(market, settings) == {"value": 10, "quote": 10}, "all are looked at again"
    assert versions() == before, "and nothing is written"


def test_only_what_changed_is_made_anew(market: Database, settings: Settings) -> None:
    drained(market, settings)
    market.execute("update lots set row_hash = 'new', odometer = 90000 where lot_external_id = %s", [USUAL])
    before = row(market, "lot_values", TWIN)["valued_at"]
    less = row(market, "lot_values", USUAL)["p50"]
    assert drained(market, settings) == {"value": 1, "quote": 1}
    assert row(market, "lot_values", USUAL)["p50"] < less
    assert row(market, "lot_values", TWIN)["valued_at"] == before


def test_another_rate_quotes_all_that_have_a_value(market: Database, settings: Settings) -> None:
    drained(market, settings)
    most = row(market, "lot_quotes", USUAL)["most_bid_usd"]
    market.execute("update exchange_rates set rate = 1.25")
    valued = market.execute("select count(*) from lot_values where p50 is not null").fetchone()
    assert valued is not None
    assert drained(market, settings) == {"value": 0, "quote": valued[0]}
    assert row(market, "lot_quotes", USUAL)["most_bid_usd"] > most, "a dollar costs less"


@pytest.mark.parametrize("changed", ["tariff", "profile"])
def test_another_tariff_or_profile_quotes_anew(
    market: Database, settings: Settings, changed: str, tmp_path: Any
) -> None:
    drained(market, settings)
    folder = tmp_path / "mine"
    folder.mkdir()
    if changed == "profile":
        (settings.data_dir / "profiles").mkdir(parents=True)
        name = profiles.load().default.name
        text = (profiles.HERE / f"{name}.toml").read_text(encoding="utf-8").replace("margin_eur = ", "margin_eur = 1")
        (settings.data_dir / "profiles" / f"{name}.toml").write_text(text, encoding="utf-8")
    else:
        (folder / "mine.toml").write_text(
            '[[lines]]\nkind = "registration"\nname = "first registration and plates"\nfrom = 2026-01-01\n'
            'until = "open"\nunit = "per car"\ncurrency = "EUR"\nsource = "mine"\nchecked = 2026-11-29\n'
            'confidence = "high"\namount = 999\n',
            encoding="utf-8",
        )
        settings = replace(settings, tariffs_dir=folder)
    assert drained(market, settings)["quote"] > 0
    assert drained(market, settings)["quote"] == 0


def test_a_tariff_that_cannot_be_read_leaves_the_quotes_as_they_are(
    market: Database, settings: Settings, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    drained(market, settings)
    (tmp_path / "broken.toml").write_text("nonsense", encoding="utf-8")
    market.execute("update lots set row_hash = 'new', odometer = 90000 where lot_external_id = %s", [USUAL])
    before = row(market, "lot_quotes", USUAL)
    broken = replace(settings, tariffs_dir=tmp_path)
    assert drained(market, broken) == {"value": 1, "quote": 1}
    assert "lots are not quoted" in caplog.text
    assert row(market, "lot_quotes", USUAL) == before
    market.execute("delete from lot_quotes where lot_id = (select id from lots where lot_external_id = %s)", [TWIN])
    assert drained(market, settings)["quote"] == 2, "corrected, the sweep finds what is old, and what is missing"
    assert row(market, "lot_quotes", USUAL)["most_bid_usd"] < before["most_bid_usd"]


def test_a_lot_that_goes_leaves_the_ranking(market: Database, settings: Settings) -> None:
    drained(market, settings)
    market.execute("update lots set status = 'gone' where lot_external_id = %s", [USUAL])
    drained(market, settings)
    assert not row(market, "lot_quotes", USUAL)["is_ranked"]
    assert drained(market, settings) == {"value": 0, "quote": 0}


def test_a_lot_that_breaks_the_stage_holds_up_no_other(
    market: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = market.execute("select id from lots where lot_external_id = %s", [TWIN]).fetchone()
    assert bad is not None
    real = valuing.read

    def failing(connection: Database, lot_ids: Any, given: Settings) -> Any:
        if bad[0] in lot_ids:
            raise ValueError("nonsense")
        return real(connection, lot_ids, given)

    monkeypatch.setattr(valuing, "read", failing)
    passes.queue_changed(market, settings)
    for _ in range(8):
        runner.drain(market, settings, "value")
        market.execute("update ops.lot_outbox set retry_at = null")
    assert market.execute("select count(*) from lot_values").fetchone() == (9,)
    assert market.execute("select lot_id, error from ops.lot_outbox where dead_at is not null").fetchall() == [
        (bad[0], "ValueError: nonsense")
    ]


@pytest.mark.parametrize("stage", LOT_STAGES)
@pytest.mark.parametrize("when", ["write", "finish"])
def test_a_worker_that_dies_leaves_what_the_sweep_finishes(
    market: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, stage: str, when: str
) -> None:
    from deals.queue import outbox

    landed = []

    def die(*_: Any, **__: Any) -> Any:
        landed.append(when)
        raise psycopg.OperationalError("the connection is lost")

    passes.queue_changed(market, settings)
    for each in list(LOT_STAGES)[: list(LOT_STAGES).index(stage)]:
        runner.drain(market, settings, each)
    module = {"value": valuing, "quote": quoting, "match_lots": matching}[stage]
    with monkeypatch.context() as broken:
        broken.setattr(*((module, "write", die) if when == "write" else (outbox, "finish", die)))
        with pytest.raises(psycopg.OperationalError):
            runner.run(market, settings, stage)
    assert landed == [when]
    assert runner.run(market, settings, stage) is None, "its lease holds"
    market.execute("update ops.lot_outbox set leased_until = '-infinity'")
    drained(market, settings)
    assert ranked(market) == [CHEAP, USUAL, TWIN]
    assert market.execute("select count(*) from ops.lot_outbox").fetchone() == (0,)


def test_the_sheet_of_a_lot_adds_up(market: Database, settings: Settings) -> None:
    drained(market, settings)
    by = terms.current(market, settings)
    found = ranking.sheet(market, CHEAP, by)
    assert found is not None
    assert found.quote is not None
    assert (found.bid, found.bid_kind) == (3_000, "buy now")
    assert found.quote.total_eur == sum(line.eur or 0 for line in found.quote.lines)
    assert f"{found.quote.landed_eur}" == f"{row(market, 'lot_quotes', CHEAP)['landed_eur']:.2f}", "as it is stored"
    typed = ranking.sheet(market, USUAL, by, bid=5_000)
    assert typed is not None
    assert (typed.bid, typed.bid_kind) == (5_000, "typed")
    soon = ranking.sheet(market, SOON, by)
    assert soon is not None
    assert [each["name"] for each in soon.blockers] == ["sale soon"]
    assert ranking.sheet(market, 12_345, by) is None


def test_results_are_judged_once_there_are_enough(market: Database, settings: Settings) -> None:
    drained(market, settings)
    assert results.note(market, CHEAP, 4_000, is_won=True)
    assert not results.note(market, 12_345, 4_000, is_won=True)
    found = results.evaluate(market)
    assert (found["results"], found["won"], found["priced"], found["mdape"]) == (1, 1, 1, None)
    assert "too few" in found["verdict"]
    for number in range(100, 120):
        import_lots.add_lot(market, number, buy_now_price=3_000)
        results.note(market, number, 4_000, is_won=False)
    drained(market, settings)
    found = results.evaluate(market)
    assert (found["results"], found["won"], found["mdape"]) == (21, 1, 0.25)
