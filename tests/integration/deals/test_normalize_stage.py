"""The first stage on a database: what it writes, what it leaves alone, which ads it links, and what that costs."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from deals.stages import duplicates, normalize
from tests.support.cases import few_quick
from vinops.db.database import queries, sql_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import TupleRow

    from vinops.config import Settings

    Database = psycopg.Connection[TupleRow]

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SAME_CAR = {
    "title": "VW Golf 1.9 TDI", "make_text": "VW", "model_text": "Golf", "price_eur": 4500, "vat": "exempt",
    "year": 2008, "month": 5, "mileage_km": 210_000, "fuel": "Дизелов", "gearbox": "Ръчна", "body": "Хечбек",
    "power_hp": 105, "colour": "Син", "region": "София",
}  # fmt: skip


def advertise(database: Database, number: int, **changes: Any) -> int:
    """Put an ad into the list and return its id; ads are posted in the order of their numbers unless it is said."""
    ad = {
        "source": "mobile.bg", "ad_id": str(number), "make_slug": "vw", "url": f"https://www.mobile.bg/{number}",
        "posted_at": FIRST + timedelta(hours=number), "list_hash": b"", **SAME_CAR, **changes,
    }  # fmt: skip
    names, holes = ", ".join(ad), ", ".join(f"%({name})s" for name in ad)
    row = database.execute(f"insert into listings ({names}) values ({holes}) returning id", ad).fetchone()
    assert row is not None
    return int(row[0])


def normalized(database: Database, settings: Settings, *listing_ids: int) -> None:
    """Take ads through the stage in one batch, as the runner does."""
    results = normalize.work(normalize.read(database, listing_ids, settings))
    with database.transaction():
        normalize.write(database, results)


def change(database: Database, listing_id: int, **changes: Any) -> None:
    """Change an ad."""
    for name, value in changes.items():
        database.execute(f"update listings set {name} = %s where id = %s", [value, listing_id])


def links(database: Database) -> dict[int, int]:
    """The ads that show another ad's car."""
    rows = database.execute("select listing_id, duplicate_of from normalized_listings where duplicate_of is not null")
    return dict(rows.fetchall())


def versions(database: Database) -> list[TupleRow]:
    """What tells whether a row was written again."""
    return database.execute("select listing_id, ctid, xmin::text, normalized_at from normalized_listings").fetchall()


def test_an_ad_is_stored_in_our_words(database: Database, settings: Settings) -> None:
    golf = advertise(database, 1, vat="excluded", description="Катастрофирал отпред.", colour="Шарен")
    normalized(database, settings, golf)
    row = database.execute(
        """
        select make, model, family, fuel, gearbox, body, colour, region, year, month, mileage_km, power_hp, price_eur,
            price_problem, risk, risks -> 0 ->> 'level', guesses, unknowns, duplicate_of, is_comparable
        from normalized_listings
        """
    ).fetchone()
    assert row is not None
    assert [*map(str, row)] == [
        "Volkswagen", "Volkswagen Golf", "Volkswagen Golf", "diesel", "manual", "hatchback", "None", "София", "2008",
        "5", "210000", "105", "5400.00", "None", "high", "high", "[]", "[{'text': 'Шарен', 'field': 'colour'}]", "None",
        "False",
    ]  # fmt: skip


def test_a_batch_is_read_in_one_statement(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number) for number in range(30)]
    ads = normalize.read(database, [*ids, 987_654], settings)
    assert [ad.listing_id for ad in ads] == ids
    assert normalize.read(database, [], settings) == []
    normalize.write(database, [])


def test_what_is_as_it_was_is_not_written_again(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number) for number in range(4)]
    ids += [advertise(database, 10, year=2011, description="Катастрофирал.", colour="Шарен", price_eur=None)]
    normalized(database, settings, *ids)
    before = versions(database)
    normalized(database, settings, *ids)
    assert versions(database) == before
    change(database, ids[-1], description="Неудрян.")
    normalized(database, settings, *ids)
    assert len(set(versions(database)) - set(before)) == 1


def test_the_same_car_is_linked_to_its_first_ad(database: Database, settings: Settings) -> None:
    old = advertise(database, 1)
    new = advertise(database, 9, price_eur=4590, mileage_km=210_700, title="VW Golf ТОП", make_text="Volkswagen")
    newest = advertise(database, 20, price_eur=4480, mileage_km=210_000)
    normalized(database, settings, newest)
    assert links(database) == {}
    normalized(database, settings, new)
    assert links(database) == {newest: new}
    normalized(database, settings, old)
    assert links(database) == {new: old, newest: old}


@pytest.mark.parametrize(
    "other",
    [
        {"model_text": "Passat", "title": "VW Passat"}, {"year": 2009}, {"month": 6}, {"fuel": "Бензинов"},
        {"gearbox": "Автоматична"}, {"body": "Комби"}, {"power_hp": 140}, {"power_hp": None}, {"colour": "Черен"},
        {"colour": None}, {"region": "Варна"}, {"mileage_km": 211_001}, {"mileage_km": None}, {"price_eur": 4640},
        {"price_eur": None}, {"removed_at": FIRST}, {"vat": "excluded"}, {"month": None}, {"year": None},
    ],
)  # fmt: skip
def test_another_car_is_not(database: Database, settings: Settings, other: dict[str, Any]) -> None:
    ids = [advertise(database, 1), advertise(database, 2, **other)]
    normalized(database, settings, *ids)
    assert links(database) == {}


def test_what_neither_ad_says_is_the_same(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number, power_hp=None, colour=None) for number in (1, 2)]
    normalized(database, settings, *ids)
    assert links(database) == {ids[1]: ids[0]}


@pytest.mark.parametrize(
    "changes",
    [
        {"price_eur": 6000}, {"mileage_km": 90_000}, {"removed_at": FIRST}, {"year": 2012}, {"month": None},
        {"title": "VW Зубър", "model_text": "Зубър"}, {"description": "Цената е първоначалната вноска."},
    ],
)  # fmt: skip
def test_a_link_that_no_longer_holds_is_undone(database: Database, settings: Settings, changes: dict[str, Any]) -> None:
    old, new = advertise(database, 1), advertise(database, 2)
    for changed in (old, new):
        normalized(database, settings, old, new)
        assert links(database) == {new: old}
        as_it_was = database.execute("select * from listings where id = %s", [changed]).fetchone()
        assert as_it_was is not None
        change(database, changed, **changes)
        normalized(database, settings, changed)
        assert links(database) == {}, changed
        change(database, changed, **{**SAME_CAR, "removed_at": None, "description": None})


def test_when_the_first_ad_is_gone_the_next_is_the_first(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number) for number in (1, 2, 3)]
    normalized(database, settings, *ids)
    assert links(database) == {ids[1]: ids[0], ids[2]: ids[0]}
    change(database, ids[0], removed_at=FIRST)
    normalized(database, settings, ids[0])
    assert links(database) == {ids[2]: ids[1]}
    change(database, ids[0], removed_at=None)
    normalized(database, settings, ids[0])
    assert links(database) == {ids[1]: ids[0], ids[2]: ids[0]}


def test_when_the_first_ad_turns_out_to_be_another_car_the_next_is_the_first(
    database: Database, settings: Settings
) -> None:
    ids = [advertise(database, number) for number in (1, 2, 3)]
    normalized(database, settings, *ids)
    change(database, ids[0], model_text="Passat", title="VW Passat")
    normalized(database, settings, ids[0])
    assert links(database) == {ids[2]: ids[1]}


def test_the_order_of_the_ads_and_their_batches_make_no_difference(database: Database, settings: Settings) -> None:
    dice = random.Random(7)
    ids = [
        advertise(
            database,
            number,
            price_eur=dice.choice([4500, 4600, 4700, 4900]),
            mileage_km=dice.choice([150_000, 150_700, 151_500, 153_000]),
            colour=dice.choice(["Син", "Черен"]),
            posted_at=FIRST + timedelta(days=dice.randrange(3)),
        )
        for number in range(40)
    ]
    found = []
    for round_ in range(8):
        database.execute("truncate normalized_listings")
        dice.shuffle(ids)
        start = 0
        while start < len(ids):
            size = dice.choice([1, 3, 10, 40]) if round_ else 40
            normalized(database, settings, *ids[start : start + size])
            start += size
        found.append(links(database))
    assert len(found[0]) > 15
    assert all(each == found[0] for each in found)


def test_of_two_batches_at_once_the_later_sees_the_cars_of_the_earlier(
    database: Database, settings: Settings, database_url: str
) -> None:
    old, new = advertise(database, 1), advertise(database, 2)
    ads = {listing_id: normalize.work(normalize.read(database, [listing_id], settings)) for listing_id in (old, new)}
    with psycopg.connect(database_url) as earlier, psycopg.connect(database_url) as later:
        normalize.write(earlier, ads[new])

        def write() -> None:
            normalize.write(later, ads[old])
            later.commit()

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it did not wait for its turn"
        earlier.commit()
        thread.join(20)
    assert links(database) == {new: old}


def test_what_is_rolled_back_leaves_nothing(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number) for number in (1, 2)]
    results = normalize.work(normalize.read(database, ids, settings))
    with database.transaction(force_rollback=True):
        normalize.write(database, results)
        assert len(versions(database)) == 2
    assert versions(database) == []
    normalized(database, settings, *ids)
    assert links(database) == {ids[1]: ids[0]}


def test_the_most_frequent_unknown_words(database: Database, settings: Settings) -> None:
    ids = [advertise(database, number, model_text="Зубър", title="VW Зубър", colour="Шарен") for number in range(3)]
    ids += [advertise(database, 10, colour="Шарен"), advertise(database, 11, region="Марс")]
    ids += [advertise(database, 12, fuel="Въглища", removed_at=FIRST)]
    normalized(database, settings, *ids)
    statement = queries("normalize")["unknown_words"]
    assert database.execute(statement, {"count": 10}).fetchall() == [
        ("colour", "Шарен", 4, ids[0]), ("model", "Volkswagen Зубър", 3, ids[0]), ("region", "Марс", 1, ids[4]),
    ]  # fmt: skip
    assert len(database.execute(statement, {"count": 2}).fetchall()) == 2


def test_the_share_of_unknown_models(database: Database, settings: Settings) -> None:
    statement = queries("normalize")["unknown_rate"]
    assert database.execute(statement).fetchall() == [(0, 0, 0.0)]
    ids = [advertise(database, number) for number in range(3)]
    ids += [advertise(database, 10, model_text="Зубър", title="VW Зубър")]
    ids += [advertise(database, 11, model_text="Зубър", title="VW Зубър", removed_at=FIRST)]
    normalized(database, settings, *ids)
    assert database.execute(statement).fetchall() == [(4, 1, 0.25)]


def many(database: Database, count: int) -> None:
    """Fill the database with ads of 300 models, 20 years and 12 months, all of them normalized; without statistics."""
    database.execute(
        """
        insert into listings (source, ad_id, make_slug, url, title, posted_at, list_hash)
        select 'mobile.bg', 'm' || n, 'vw', 'https://www.mobile.bg/', 'VW Golf', '2026-01-01', ''
        from generate_series(1, %(count)s) as n
        """,
        {"count": count},
    )
    database.execute(
        """
        insert into normalized_listings (
            listing_id, make, model, family, fuel, gearbox, body, colour, region, year, month, mileage_km, power_hp,
            price_eur, risk, is_comparable
        )
        select
            id, 'Volkswagen', 'Model ' || id % 300, 'Family', 'diesel', 'manual', 'hatchback', 'blue', 'София',
            2000 + id / 300 % 20, 1 + id / 6000 % 12, 100000 + 37 * (id % 4000), 105, 4500, 'low', true
        from listings
        where ad_id like 'm%'
        """
    )


def scans(plan: dict[str, Any]) -> list[str]:
    """The tables that a plan reads from end to end."""
    below = [name for each in plan.get("Plans", ()) for name in scans(each)]
    return below + ([plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else [])


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize(
    ("size", "are_counted"),
    few_quick([(500, True), (1, False), (1, True), (500, False)], 0),
)
def test_a_batch_reads_its_own_ads_and_those_beside_them(database: Database, size: int, are_counted: bool) -> None:
    many(database, 100_000)
    if are_counted:
        database.execute("analyze listings, normalized_listings")
    ids = [listing_id for (listing_id,) in database.execute("select id from listings order by id limit %s", [size])]
    statements: Sequence[tuple[str, dict[str, Any]]] = (
        ("read_listings", {"listing_ids": ids}),
        ("unlink_unknown", {"listing_ids": ids}),
        ("cars_beside", {"listing_ids": ids}),
        ("link_duplicates", {"listing_ids": ids[:20], "duplicates_of": ids[:20]}),
    )
    for name, parameters in statements:
        explain = f"explain (analyze, buffers, format json) {queries('normalize')[name]}"
        with database.transaction(force_rollback=True):
            row = database.execute(explain, parameters).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        assert scans(plan) == [], name
        assert buffers(plan) < 100 + 25 * size, name


def test_links_are_right_among_many(database: Database, settings: Settings) -> None:
    many(database, 5_000)
    ids = [advertise(database, number) for number in (1, 2)]
    normalized(database, settings, *ids)
    assert links(database) == {ids[1]: ids[0]}
    assert duplicates.link(database, ids) == 0


VIN, OTHER = "WVWZZZ1KZAW123456", "1M8GDM9AXKP042788"


def vins(database: Database) -> list[tuple[int, str]]:
    return database.execute("select listing_id, vin from listing_vins order by listing_id, vin").fetchall()


def test_vins_follow_the_text_of_the_ad(database: Database, settings: Settings) -> None:
    first = advertise(database, 1, description=f"VIN: {VIN}, внос {OTHER}")
    second = advertise(database, 2, description=f"шаси {VIN[:-4]}****")
    third = advertise(database, 3, title=f"Golf VIN {VIN}", removed_at=FIRST)
    normalized(database, settings, first, second, third)
    assert vins(database) == [(first, OTHER), (first, VIN), (third, VIN)]
    before = database.execute("select listing_id, vin, xmin from listing_vins order by 1, 2").fetchall()
    normalized(database, settings, first, second, third)
    assert database.execute("select listing_id, vin, xmin from listing_vins order by 1, 2").fetchall() == before
    change(database, first, description=f"VIN: {VIN}")
    change(database, third, title="Golf")
    normalized(database, settings, first)
    assert vins(database) == [(first, VIN), (third, VIN)], "the third was not in the batch"
    normalized(database, settings, third)
    assert vins(database) == [(first, VIN)]


def test_the_migration_queues_the_ads_whose_text_may_name_a_vin(database: Database, settings: Settings) -> None:
    texts = (f"VIN {VIN}", "шаси WVWZZZ1KZАW123456", f"vin {VIN.lower()}", "тел. 0888123456", f"VIN {VIN[:-1]}", None)
    ids = [advertise(database, number, description=text) for number, text in enumerate(texts)]
    unread = advertise(database, 9, description=f"VIN {VIN}")
    normalized(database, settings, *ids)
    migration = (sql_folder("migrations") / "0030_listing_vins.sql").read_text(encoding="utf-8")
    database.execute("delete from ops.deal_outbox")
    database.execute(migration[migration.index("insert into ops.deal_outbox") :].encode())
    queued = database.execute("select listing_id from ops.deal_outbox order by listing_id").fetchall()
    assert queued == [(listing,) for listing in ids[:3]], f"{unread} waits for the stage anyway"
