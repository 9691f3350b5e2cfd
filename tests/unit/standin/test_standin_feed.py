"""The stand-in feed keeps its promises: believable rows, exact successors, and quirks that are what they say."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from standin.feed import command as feed
from standin.feed.command import HEADERS, QUIRKS, Advance, Market, Report, Verdict, inject, refusal_page, site_export

COLUMNS = [
    "Id", "Yard number", "Yard name", "Sale Date M/D/CY", "Day of Week", "Sale time (HHMM)", "Time Zone", "Item#",
    "Lot number", "Vehicle Type", "Year", "Make", "Model Group", "Model Detail", "Body Style", "Color",
    "Damage Description", "Secondary Damage", "Sale Title State", "Sale Title Type", "Has Keys-Yes or No",
    "Lot Cond. Code", "VIN", "Odometer", "Odometer Brand", "Est. Retail Value", "Repair cost", "Engine", "Drive",
    "Transmission", "Fuel Type", "Cylinders", "Runs/Drives", "Sale Status", "High Bid =non-vix,Sealed=Vix",
    "Special Note", "Location city", "Location state", "Location ZIP", "Location country", "Currency Code",
    "Image Thumbnail", "Create Date/Time", "Grid/Row", "Make-an-Offer Eligible", "Buy-It-Now Price", "Image URL",
    "Trim", "Last Updated Time", "Rentals", "Wholesale", "Seller Name", "Offsite Address1", "Offsite State",
    "Offsite City", "Offsite Zip", "Sale Light", "AutoGrade", "Announcements",
]  # fmt: skip
Rows = list[dict[str, str]]
Step = tuple[dict[int, str], Advance, dict[int, str]]
ROW_QUIRKS = (
    "inner_quotes", "doubled_quotes", "embedded_newline", "too_many_fields", "too_few_fields", "blank_lines",
    "placeholder_rows", "nul_bytes", "invalid_utf8", "duplicate_older", "duplicate_newer", "duplicate_equal",
    "duplicate_vin", "impossible_values",
)  # fmt: skip
FILE_QUIRKS = (
    "bom", "crlf", "unknown_column", "missing_optional_column", "missing_mandatory_column", "copart_select", "lot_acv",
    "no_id", "header_45", "shrunk", "truncated",
)  # fmt: skip


def content(market: Market) -> bytes:
    buffer = io.BytesIO()
    market.write(buffer)
    return buffer.getvalue()


def read(data: bytes) -> Rows:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def by_lot(data: bytes) -> dict[int, str]:
    """Lot number → the row without its Id, exactly as it stands in the file."""
    rows = [line.split(",", 1)[1] for line in data.decode().splitlines()[1:]]
    return {int(row.split('","')[7]): row for row in rows}


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(seed=5, lots=12_000)


@pytest.fixture(scope="module")
def data(market: Market) -> bytes:
    return content(market)


@pytest.fixture(scope="module")
def rows(data: bytes) -> Rows:
    return read(data)


@pytest.fixture(scope="module")
def small() -> bytes:
    return content(Market(seed=9, lots=300))


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """Four advances, each between the lots of the files before and after it."""
    market = Market(seed=8, lots=4000)
    steps = []
    for _ in range(4):
        before = by_lot(content(market))
        advance = market.advance(changed=0.05, new=0.02, gone=0.05, returned=0.01, relisted=0.005)
        steps.append((before, advance, by_lot(content(market))))
    return steps


class TestDeterminism:
    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self) -> None:
        assert content(Market(seed=3, lots=200)) == content(Market(seed=3, lots=200))
        assert content(Market(seed=3, lots=200)) != content(Market(seed=4, lots=200))

    @pytest.mark.slow
    @pytest.mark.parametrize("hash_seed", ["0", "4711"])
    def test_neither_the_process_nor_the_hash_order_matters(self, tmp_path: Path, hash_seed: str) -> None:
        target = tmp_path / "sales.csv"
        arguments = ["write", str(target), "--rows", "500", "--seed", "11", "--advance", "3", "--gone", "0.1"]
        arguments += ["--returned", "0.05", "--relisted", "0.05", "--quirk", "inner_quotes", "--quirk", "duplicate_vin"]
        root = str(Path(feed.__file__).parents[1])
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root}
        subprocess.run(
            [sys.executable, "-m", "standin.feed", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        assert hashlib.sha256(target.read_bytes()).hexdigest() == GOLDEN

    @pytest.mark.slow
    def test_a_clone_goes_the_same_way_without_moving_the_original(self, market: Market) -> None:
        first, second = market.clone(), market.clone()
        before = content(market)
        assert first.advance(gone=0.1) == second.advance(gone=0.1)
        assert first.advance(returned=0.05, relisted=0.05) == second.advance(returned=0.05, relisted=0.05)
        assert content(first) == content(second) != before
        assert content(market) == before


#: The file above as it was first generated. A change here is a change of every file of every seed.
GOLDEN = "98900ca0e3f50460eb68db26c34586dbbdf62bb47bd085e5cad9ef30e845ead7"


class TestShape:
    def test_header_and_quoting_are_those_of_the_feed(self, data: bytes) -> None:
        lines = data.decode().split("\n")
        assert next(csv.reader([lines[0]])) == COLUMNS
        assert lines[-1] == ""
        assert "\r" not in data.decode()
        quoted = re.compile(r'"[^"]*"(?:,"[^"]*"){58}')
        assert all(quoted.fullmatch(line) for line in lines[:-1])

    def test_id_is_the_position_and_lot_numbers_are_eight_digits_each_once(self, rows: Rows) -> None:
        assert [row["Id"] for row in rows] == [str(n) for n in range(1, 12_001)]
        assert all(re.fullmatch(r"\d{8}", row["Lot number"]) for row in rows)
        assert len({row["Lot number"] for row in rows}) == 12_000

    def test_a_row_is_as_long_as_a_real_one(self, data: bytes) -> None:
        assert 580 < len(data) / 12_000 < 670

    @pytest.mark.parametrize(
        ("column", "low", "high"),
        [
            ("VIN", 0.998, 1.0),
            ("Engine", 0.93, 0.97),
            ("Cylinders", 0.93, 0.97),
            ("Trim", 0.84, 0.92),
            ("Day of Week", 0.70, 0.74),
            ("Sale time (HHMM)", 0.70, 0.74),
            ("Secondary Damage", 0.41, 0.47),
            ("Seller Name", 0.31, 0.37),
            ("Body Style", 0.15, 0.21),
            ("Special Note", 0.028, 0.042),
            ("Offsite City", 0.009, 0.019),
            ("Sale Light", 0.0, 0.004),
            ("AutoGrade", 0.0, 0.004),
            ("Announcements", 0.0, 0.004),
            ("Drive", 0.95, 1.0),
            ("Lot number", 1.0, 1.0),
            ("Last Updated Time", 1.0, 1.0),
            ("Image URL", 1.0, 1.0),
        ],
    )
    def test_coverage_is_close_to_the_real_one(self, rows: Rows, column: str, low: float, high: float) -> None:
        assert low <= sum(row[column] != "" for row in rows) / len(rows) <= high

    def test_shares_that_others_rely_on(self, rows: Rows) -> None:
        def share(column: str, *wanted: str) -> float:
            return sum(row[column] in wanted for row in rows) / len(rows)

        assert 0.26 < share("Sale Date M/D/CY", "0") < 0.30
        assert 0.92 < share("Vehicle Type", "V") < 0.98
        assert 0.03 < share("Currency Code", "CAD") < 0.08
        assert 0.3 < share("High Bid =non-vix,Sealed=Vix", "0.0") < 0.7
        assert share("Repair cost", "9999999.99") > 0
        assert {"GAS", "Gas"} <= {row["Fuel Type"] for row in rows}
        assert any("  " in row["Engine"] for row in rows)
        assert any(row["Special Note"].endswith("   ") for row in rows)
        assert any(not row["Special Note"].isascii() for row in rows)
        assert len({row["Drive"] for row in rows}) >= 20
        assert len({row["Damage Description"] for row in rows}) >= 20
        assert len({row["Yard number"] for row in rows}) > 100

    def test_columns_agree_with_one_another(self, rows: Rows) -> None:
        places: dict[str, set[tuple[str, ...]]] = {}
        names: dict[str, set[str]] = {}
        conditions = set()
        for row in rows:
            names.setdefault(row["Yard number"], set()).add(row["Yard name"])
            place = (row["Location city"], row["Location state"], row["Location ZIP"], row["Location country"])
            places.setdefault(row["Yard number"], set()).add(place)
            conditions.add((row["Lot Cond. Code"], row["Runs/Drives"]))
            assert (row["Location country"], row["Currency Code"]) in {("USA", "USD"), ("CAN", "CAD")}
            assert len(row["Model Group"]) <= 10
            assert row["Wholesale"] == ("TRUE" if row["Yard name"] == "WHOLESALE AUCTION" else "FALSE")
            country = "ca" if row["Location country"] == "CAN" else "us"
            assert row["Image URL"] == (
                f"http://inventoryv2.copart.io/v1/lotImages/{row['Lot number']}"
                f"?country={country}&brand=cprt&yardNumber={row['Yard number']}"
            )
        assert all(len(found) == 1 for found in names.values())
        physical = [number for number in places if " - " in next(iter(names[number])) and int(number) < 800]
        assert len(physical) > 90
        assert all(len(places[number]) == 1 for number in physical)
        assert max(len(found) for found in places.values()) > 20, "virtual yards spread over many places"
        assert conditions == {("D", "Run & Drive Verified"), ("E", "DEFAULT"), ("S", "Vehicle Starts"), ("", "")}

    def test_sale_date_day_and_time_go_together(self, rows: Rows) -> None:
        for row in rows:
            day = row["Sale Date M/D/CY"]
            if day == "0":
                assert (row["Day of Week"], row["Sale time (HHMM)"], row["Item#"]) == ("", "", "0")
                continue
            assert date.fromisoformat(day).strftime("%A").upper() == row["Day of Week"]
            assert re.fullmatch(r"0|[1-9]\d{2,3}", row["Sale time (HHMM)"])
        assert {"700", "1000", "1200"} <= {row["Sale time (HHMM)"] for row in rows}

    def test_times_have_their_formats_and_order(self, rows: Rows) -> None:
        for row in rows:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d{6}", row["Create Date/Time"])
            created = datetime.strptime(row["Create Date/Time"], "%Y-%m-%d-%H.%M.%S.%f").replace(tzinfo=UTC)
            updated = datetime.strptime(row["Last Updated Time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            assert created.replace(microsecond=0) <= updated <= datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
            assert re.fullmatch(
                rf"cs\.copart\.com/v1/AUTH_svc\.pdoc00001/lpp/{created:%m%y}/[0-9a-f]{{32}}_thb\.jpg",
                row["Image Thumbnail"],
            )

    def test_vins_are_well_formed_and_nobodys(self, rows: Rows) -> None:
        values = {**{str(n): n for n in range(10)}, **dict(zip("ABCDEFGH", range(1, 9), strict=True))}
        values |= dict(zip("JKLMN", range(1, 6), strict=True)) | {"P": 7, "R": 9}
        values |= dict(zip("STUVWXYZ", range(2, 10), strict=True))
        weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
        vins = [row["VIN"] for row in rows if row["VIN"]]
        for vin in vins:
            assert re.fullmatch(r"1ZZ[A-HJ-NPR-Z0-9]{14}", vin)
            remainder = sum(values[letter] * weight for letter, weight in zip(vin, weights, strict=True)) % 11
            assert vin[8] == ("X" if remainder == 10 else str(remainder))
        assert len(set(vins)) == len(vins)


class TestTimeZones:
    def labels(self, now: datetime) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in read(content(Market(seed=2, lots=20_000, now=now))):
            found.setdefault(row["Yard name"], set()).add(row["Time Zone"])
        return found

    @pytest.mark.slow
    def test_labels_follow_the_day_of_the_snapshot(self) -> None:
        summer = self.labels(datetime(2026, 7, 1, 8, 0, tzinfo=UTC))
        winter = self.labels(datetime(2026, 1, 15, 8, 0, tzinfo=UTC))
        assert summer["KS - KANSAS CITY"] == {"CDT"}
        assert winter["KS - KANSAS CITY"] == {"CST"}
        assert summer["AZ - PHOENIX NORTH"] == {"PDT"}
        assert winter["AZ - PHOENIX NORTH"] == {"MST"}
        assert summer["ATLANTIC CANADA AUCTION"] == winter["ATLANTIC CANADA AUCTION"] == {"AKST"}
        assert summer["AK - ANCHORAGE"] == {"AKDT", "ASDT", "ADDT"}

    def test_when_the_clocks_change_every_label_moves_and_nothing_else(self) -> None:
        market = Market(seed=2, lots=1000, now=datetime(2026, 10, 31, 23, 50, tzinfo=UTC))
        before = by_lot(content(market))
        advance = market.advance(changed=0.01)
        after = by_lot(content(market))
        moved = {lot for lot in before.keys() & after.keys() if before[lot] != after[lot]} - set(advance.changed)
        assert advance.relabelled == len(moved) > 900
        for lot in moved:
            old, new = before[lot].split('","'), after[lot].split('","')
            assert [n for n in range(58) if old[n] != new[n]] == [5]
            assert new[5] in {"PDT": {"PST", "MST"}, "ASDT": {"AKST"}, "ADDT": {"AKST"}}.get(
                old[5], {old[5].replace("D", "S")}
            )


class TestAdvance:
    def test_the_record_says_exactly_what_differs(self, steps: list[Step]) -> None:
        ever = set(steps[0][0])
        for before, advance, after in steps:
            come = after.keys() - before.keys()
            assert set(advance.gone) == before.keys() - after.keys()
            assert set(advance.changed) == {lot for lot in before.keys() & after.keys() if before[lot] != after[lot]}
            assert set(advance.returned) == come & ever
            assert {*advance.new, *(relisting.lot for relisting in advance.relisted)} == come - ever
            assert advance.rows == len(after)
            ever |= after.keys()

    def test_the_shares_are_kept(self, steps: list[Step]) -> None:
        for turn, (before, advance, _) in enumerate(steps):
            total = len(before)
            counts = advance.counts()
            assert counts["changed"] == round(0.05 * total)
            assert counts["gone"] == round(0.05 * total)
            assert counts["new"] == round(0.02 * total)
            assert counts["returned"] == (round(0.01 * total) if turn else 0)
            assert counts["relisted"] == (round(0.005 * total) if turn else 0)

    def test_rows_keep_their_order_and_new_ones_are_appended(self, steps: list[Step]) -> None:
        for before, _, after in steps:
            stayed = [lot for lot in before if lot in after]
            assert list(after)[: len(stayed)] == stayed

    def test_a_changed_lot_differs_in_more_than_its_time_which_is_newer(self, steps: list[Step]) -> None:
        updated = COLUMNS.index("Last Updated Time") - 1
        touched: Counter[str] = Counter()
        for before, advance, after in steps:
            newest = max(row.split('","')[updated] for row in before.values())
            for lot in advance.changed:
                old, new = before[lot].split('","'), after[lot].split('","')
                different = {COLUMNS[n + 1] for n in range(58) if old[n] != new[n]}
                assert len(different) >= 2
                assert newest <= new[updated] <= advance.now.strftime("%Y-%m-%dT%H:%M:%SZ")
                touched.update(different)
        total = sum(len(advance.changed) for _, advance, _ in steps)
        assert 0.2 < touched["Sale Date M/D/CY"] / total < 0.33
        assert 0.01 < touched["Sale Status"] / total < 0.1
        assert 0 < touched["Yard number"] / total < 0.05
        assert touched["High Bid =non-vix,Sealed=Vix"] > touched["Sale Date M/D/CY"] > touched["Buy-It-Now Price"] > 0

    def test_half_of_the_returned_come_back_as_they_were(self, steps: list[Step]) -> None:
        last_seen: dict[int, str] = {}
        for before, advance, after in steps:
            last_seen |= before
            unaltered = [lot for lot in advance.returned if after[lot] == last_seen[lot]]
            assert set(unaltered) == set(advance.returned) - set(advance.returned_changed)
            assert len(advance.returned_changed) == len(advance.returned) // 2

    def test_a_relisted_vehicle_is_back_under_a_new_number_only(self, steps: list[Step]) -> None:
        vin = COLUMNS.index("VIN") - 1
        last_seen: dict[int, str] = {}
        for before, advance, after in steps:
            last_seen |= before
            for relisting in advance.relisted:
                assert relisting.previous_lot not in after
                assert after[relisting.lot].split('","')[vin] == relisting.vin
                assert last_seen[relisting.previous_lot].split('","')[vin] == relisting.vin

    def test_lots_leave_when_their_sale_is_near(self, steps: list[Step]) -> None:
        before, advance, _ = steps[0]
        days = [before[lot].split('","')[2] for lot in advance.gone]
        assert sum(day in {"20260701", "20260702"} for day in days) > len(days) / 2

    def test_nothing_moves_when_nothing_is_asked(self, small: bytes) -> None:
        market = Market(seed=9, lots=300)
        advance = market.advance(changed=0, new=0, gone=0, returned=0, relisted=0)
        assert (advance.changed, advance.new, advance.gone, advance.returned) == ((), (), (), ())
        assert content(market) == small

    def test_a_market_can_be_refused(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            Market(now=datetime(2026, 7, 1))  # noqa: DTZ001 - the mistake under test
        with pytest.raises(ValueError, match="between 0 and"):
            Market(lots=2_000_000)
        assert content(Market(lots=0)).count(b"\n") == 1


class TestHeaders:
    @pytest.mark.slow
    @pytest.mark.parametrize("header", HEADERS)
    def test_variants_hold_the_same_values_under_their_own_names(self, rows: Rows, header: str) -> None:
        buffer = io.BytesIO()
        Market(seed=5, lots=12_000).write(buffer, header=header)
        found = read(buffer.getvalue())
        names = list(found[0])
        renamed = {"Lot ACV": "Est. Retail Value", "Copart Select": "Wholesale"}
        assert all(
            row[name] == whole[renamed.get(name, name)]
            for row, whole in zip(found, rows, strict=True)
            for name in names
        )
        expected = {
            "2026": COLUMNS,
            "2025": [*COLUMNS[:50], "Copart Select", *COLUMNS[51:]],
            "acv": [*COLUMNS[:25], "Lot ACV", *COLUMNS[26:]],
            "no-id": COLUMNS[1:],
            "45": [*COLUMNS[1:25], "Lot ACV", *COLUMNS[26:45], "Last Updated Time"],
        }
        assert names == expected[header]

    def test_bom_and_crlf_on_request_and_paths_like_streams(self, tmp_path: Path, small: bytes) -> None:
        target = tmp_path / "sales.csv"
        size = Market(seed=9, lots=300).write(target, bom=True, newline="\r\n")
        assert target.read_bytes() == b"\xef\xbb\xbf" + small.replace(b"\n", b"\r\n")
        assert target.stat().st_size == size

    def test_an_unknown_variant_is_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown header"):
            Market(lots=1).write(io.BytesIO(), header="1999")


class Reading:
    """A reader of its own, that knows nothing of how quirks are made: what it finds must agree with the report."""

    def __init__(self, damaged: bytes) -> None:
        self.accepted: list[dict[str, str]] = []
        self.rejected: list[bytes] = []
        self.either: list[bytes] = []
        self.superseded = 0
        body = damaged.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        header, *lines = body.removesuffix(b"\n").split(b"\n")
        names = header.decode()[1:-1].split('","')
        self.lines = [header, *lines]
        records: list[bytes] = []
        for line in lines:
            if line and not line.startswith(b'"'):
                records[-1] += b"\n" + line
            elif line:
                records.append(line)
        self.records = len(records)
        latest: dict[str, dict[str, str]] = {}
        for record in records:
            fields = record[1:-1].split(b'","')
            if len(fields) != len(names) or not fields[names.index("Lot number")].isdigit():
                self.rejected.append(record)
                continue
            try:
                text = [field.decode().replace('""', '"') for field in fields]
            except UnicodeDecodeError:
                self.either.append(record)
                continue
            if b"\x00" in record:
                self.either.append(record)
                continue
            row = dict(zip(names, text, strict=True))
            known = latest.get(row["Lot number"])
            self.superseded += known is not None
            if known is None or row["Last Updated Time"] >= known["Last Updated Time"]:
                latest[row["Lot number"]] = row
        self.accepted = list(latest.values())


def lots_with(report: Report, quirk: str, verdict: Verdict) -> list[str]:
    return [touch.lot for touch in report.touches if touch.quirk == quirk and touch.verdict is verdict]


class TestQuirks:
    def test_every_quirk_is_tested_here(self) -> None:
        assert set(QUIRKS) == {*ROW_QUIRKS, *FILE_QUIRKS}
        assert all(quirk.__doc__ for quirk in QUIRKS.values())

    @pytest.mark.slow
    @given(
        names=st.sets(st.sampled_from([*ROW_QUIRKS, "bom", "crlf", "unknown_column", "copart_select", "lot_acv"])),
        seed=st.integers(0, 1000),
        count=st.integers(0, 12),
    )
    @settings(max_examples=60, deadline=None)
    def test_the_report_agrees_with_an_independent_reading(self, names: set[str], seed: int, count: int) -> None:
        original = content(Market(seed=9, lots=300))
        damaged, report = inject(original, *names, seed=seed, count=count)
        found = Reading(damaged)
        assert found.records == report.records
        assert len(found.rejected) == report.rejected
        assert len(found.either) == report.either
        assert found.superseded == report.superseded
        assert len(found.accepted) == report.accepted
        rows = {row["Lot number"]: row for row in found.accepted}
        for touch in report.touches:
            if touch.verdict in (Verdict.ACCEPT, Verdict.RECOVER, Verdict.FLAG) and touch.column:
                line = touch.value.replace("\r\n", "\n")
                assert rows[touch.lot][touch.column] == line
            if touch.verdict is not Verdict.IGNORE and touch.quirk != "too_few_fields":
                assert f'"{touch.lot}"'.encode() in found.lines[touch.line - 1]
            if touch.verdict is Verdict.IGNORE:
                assert found.lines[touch.line - 1] == b""
        untouched = read(original)
        touched = {touch.lot for touch in report.touches}
        for row in untouched:
            if row["Lot number"] not in touched:
                assert all(rows[row["Lot number"]][name] == row[name] for name in ("VIN", "Trim", "Image URL"))

    @pytest.mark.parametrize("name", ROW_QUIRKS)
    def test_a_row_quirk_touches_as_many_places_as_asked_and_is_repeatable(self, small: bytes, name: str) -> None:
        damaged, report = inject(small, name, seed=4, count=5)
        per_place = 2 if name.startswith("duplicate") else 1
        assert len(report.touches) == 5 * per_place
        assert (damaged, report) == inject(small, name, seed=4, count=5)
        assert damaged != inject(small, name, seed=5, count=5)[0]
        assert damaged != small
        assert report.refused is None

    def test_unescaped_quotes_break_a_strict_reader_and_lose_rows_for_a_lenient_one(self, small: bytes) -> None:
        damaged, report = inject(small, "inner_quotes", count=5)
        assert b',"125" SLEEPER CAB",' in damaged
        assert report.recovered == 5
        with pytest.raises(csv.Error):
            read(damaged)
        lenient = list(csv.reader(io.StringIO(damaged.decode())))
        assert sum(len(row) == 59 for row in lenient) < 301

    def test_doubled_quotes_are_right_for_a_strict_reader(self, small: bytes) -> None:
        damaged, report = inject(small, "doubled_quotes")
        found = {row["Lot number"]: row for row in read(damaged)}
        assert report.recovered == 0
        assert all(
            found[lot]["Trim"] == '125" SLEEPER CAB' for lot in lots_with(report, "doubled_quotes", Verdict.ACCEPT)
        )

    def test_an_embedded_newline_is_one_record_on_two_lines(self, small: bytes) -> None:
        damaged, report = inject(small, "embedded_newline", count=4)
        assert damaged.count(b"\n") == small.count(b"\n") + 4
        assert len(read(damaged)) == 300 == report.accepted

    @pytest.mark.parametrize(("name", "widths"), [("too_many_fields", {60, 61, 62}), ("too_few_fields", {2, 29, 58})])
    def test_wrong_widths(self, small: bytes, name: str, widths: set[int]) -> None:
        damaged, report = inject(small, name, count=3)
        found = [len(row) for row in csv.reader(io.StringIO(damaged.decode()), strict=True)]
        assert {width for width in found if width != 59} == widths
        assert (report.accepted, report.rejected) == (297, 3)

    def test_placeholders_are_added_and_no_lot_is_lost(self, small: bytes) -> None:
        damaged, report = inject(small, "placeholder_rows", count=5)
        found = read(damaged)
        assert {row["Lot number"] for row in read(small)} < {row["Lot number"] for row in found}
        assert sorted(row["Lot number"] for row in found if not row["Lot number"].isdigit()) == sorted(
            lots_with(report, "placeholder_rows", Verdict.REJECT)
        )
        assert (report.records, report.accepted, report.rejected) == (305, 300, 5)

    def test_nul_bytes_and_invalid_utf8_are_there(self, small: bytes) -> None:
        assert inject(small, "nul_bytes")[0].count(b"\x00") == 3
        damaged, report = inject(small, "invalid_utf8")
        for line in [touch.line for touch in report.touches]:
            with pytest.raises(UnicodeDecodeError):
                damaged.split(b"\n")[line - 1].decode()

    @pytest.mark.parametrize(
        ("name", "order"), [("duplicate_older", 1), ("duplicate_newer", -1), ("duplicate_equal", 0)]
    )
    def test_duplicates_are_ordered_as_they_say(self, small: bytes, name: str, order: int) -> None:
        damaged, report = inject(small, name, count=4)
        twice: dict[str, Rows] = {}
        for row in read(damaged):
            twice.setdefault(row["Lot number"], []).append(row)
        pairs = [pair for pair in twice.values() if len(pair) == 2]
        assert len(pairs) == 4 == report.superseded
        for first, second in pairs:
            one, two = first["Last Updated Time"], second["Last Updated Time"]
            assert (one > two) - (one < two) == order
            assert first["High Bid =non-vix,Sealed=Vix"] != second["High Bid =non-vix,Sealed=Vix"]

    def test_a_vin_under_two_lot_numbers(self, small: bytes) -> None:
        damaged, report = inject(small, "duplicate_vin", count=2)
        vins = Counter(row["VIN"] for row in read(damaged) if row["VIN"])
        assert sorted(vins.values())[-2:] == [2, 2]
        assert report.accepted == 300

    def test_each_impossible_value_is_there_once(self, small: bytes) -> None:
        damaged, report = inject(small, "impossible_values", count=11)
        assert len({(touch.column, touch.value) for touch in report.touches}) == 11
        assert {"2999", "NaN", "0x1F40", "-500.0", "QQT", "2575"} <= {touch.value for touch in report.touches}
        assert len(read(damaged)) == 300

    def test_bom_and_crlf(self, small: bytes) -> None:
        assert inject(small, "bom")[0] == b"\xef\xbb\xbf" + small
        assert inject(small, "crlf")[0] == small.replace(b"\n", b"\r\n")
        assert inject(inject(small, "crlf")[0], "bom")[0] == b"\xef\xbb\xbf" + small.replace(b"\n", b"\r\n")

    def test_columns_come_and_go(self, small: bytes) -> None:
        damaged, report = inject(small, "unknown_column")
        assert list(read(damaged)[0]) == [*COLUMNS, *report.unknown_columns] == [*COLUMNS, "Title Group"]
        damaged, report = inject(small, "missing_optional_column")
        assert set(COLUMNS) - set(read(damaged)[0]) == set(report.missing_columns) == {"AutoGrade"}
        assert (report.refused, report.accepted) == (None, 300)
        damaged, report = inject(small, "missing_mandatory_column")
        assert set(COLUMNS) - set(read(damaged)[0]) == set(report.missing_columns) == {"Lot number"}
        assert report.refused == "mandatory column Lot number is missing"

    @pytest.mark.parametrize(
        ("name", "header"), [("copart_select", "2025"), ("lot_acv", "acv"), ("no_id", "no-id"), ("header_45", "45")]
    )
    def test_older_headers_are_those_the_market_writes(self, small: bytes, name: str, header: str) -> None:
        buffer = io.BytesIO()
        Market(seed=9, lots=300).write(buffer, header=header)
        damaged, report = inject(small, name)
        assert damaged == buffer.getvalue()
        assert report.accepted == 300

    def test_a_shrunk_file_is_in_order_but_for_its_size(self, small: bytes) -> None:
        damaged, report = inject(small, "shrunk")
        assert small.startswith(damaged)
        assert len(read(damaged)) == 210 == report.records
        assert report.refused is not None

    def test_a_truncated_file_ends_in_the_middle_of_a_row(self, small: bytes) -> None:
        damaged, report = inject(small, "truncated", "embedded_newline", "blank_lines", count=20)
        assert not damaged.endswith(b"\n")
        *whole, half = damaged.split(b"\n")
        assert 0 < half.count(b'","') < 58
        assert Reading(b"\n".join(whole)).records == report.records < 300
        assert report.refused == "the file is cut short"

    def test_what_cannot_be_is_refused(self, small: bytes) -> None:
        with pytest.raises(ValueError, match="unknown quirk nonsense"):
            inject(small, "nonsense")
        with pytest.raises(ValueError, match="header_45 cannot be combined"):
            inject(small, "header_45", "no_id")
        with pytest.raises(ValueError, match="placeholder_rows: the file has no column Lot number"):
            inject(small, "missing_mandatory_column", "placeholder_rows")

    def test_nothing_asked_nothing_done(self, small: bytes) -> None:
        damaged, report = inject(small)
        assert damaged == small
        assert (report.records, report.accepted, report.touches) == (300, 300, ())


class TestOtherFiles:
    def test_the_export_is_another_file(self, market: Market) -> None:
        rows = list(csv.reader(io.StringIO(site_export(market, rows=50).decode(), newline=""), strict=True))
        assert rows[0][:2] == ["Lot URL", "Lot #"]
        assert len(rows) == 51
        assert rows[1][0] == f"https://www.copart.com/lot/{rows[1][1]}"
        assert int(rows[1][1]) == market.lot_numbers[0]

    @pytest.mark.parametrize(
        ("kind", "mark"),
        [
            ("denied", b"Access denied"),
            ("incapsula", b"_Incapsula_Resource"),
            ("incapsula", b"Request unsuccessful. Incapsula incident ID"),
            ("interruption", b"Pardon Our Interruption"),
            ("login", b'input id="username"'),
            ("captcha", b"captcha"),
        ],
    )
    def test_refusals_carry_the_marks_of_the_real_ones(self, kind: str, mark: bytes) -> None:
        assert mark in refusal_page(kind)
        assert refusal_page(kind).lstrip().lower().startswith((b"<html", b"<!doctype html"))

    def test_an_unknown_refusal_is_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown refusal"):
            refusal_page("polite")


class TestCommandLine:
    def test_write_prints_what_it_wrote(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "sales.csv"
        assert feed.main(["write", str(target), "--rows", "400", "--advance", "2", "--gone", "0.05"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["rows"] == len(read(target.read_bytes()))
        assert result["bytes"] == target.stat().st_size
        assert [step["gone"] for step in result["advances"]] == [20, 19]

    def test_write_with_quirks_prints_the_report(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "sales.csv"
        arguments = ["--quirk", "too_few_fields", "--quirk", "crlf", "--quirk-count", "2"]
        assert feed.main(["write", str(target), "--rows", "100", *arguments]) == 0
        report = json.loads(capsys.readouterr().out)["quirks"]
        assert (report["accepted"], report["rejected"], len(report["touches"])) == (98, 2, 2)
        assert target.read_bytes().count(b"\r\n") == 101

    def test_mistakes_have_honest_exit_codes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert feed.main(["write", str(tmp_path / "no" / "such.csv"), "--rows", "1"]) == 1
        assert "such.csv" in capsys.readouterr().err
        with pytest.raises(SystemExit) as stopped:
            feed.main(["write", "x.csv", "--quirk", "nonsense"])
        assert stopped.value.code == 2
