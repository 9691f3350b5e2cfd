"""Quirks: the defects of real feed files, injected into a valid file at places chosen by a seed.

`inject` takes the bytes of a file written by `Market.write` and returns the damaged file and a `Report`: the place of
each quirk, and how many rows a correct reader accepts, rejects and recovers. Tests compare a reader with the report.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from standin.feed.market import HEADERS
from standin.feed.report import Report, Touch, Verdict
from standin.feed.values import HEADER_2026

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BOM: Final = b"\xef\xbb\xbf"
SEPARATOR: Final = b'","'


@dataclass(kw_only=True)
class _Mark:
    quirk: str
    lot: str
    verdict: Verdict
    column: str = ""
    value: str = ""


@dataclass(kw_only=True)
class Sheet:
    """A file split into records, to which quirks are applied in turn. No record is changed by two quirks."""

    header: list[str]
    records: list[bytes]
    bom: bool
    newline: bytes
    draw: Callable[[], float]
    count: int
    quirk: str = ""
    refused: str | None = None
    unknown_columns: list[str] = field(default_factory=list)
    missing_columns: list[str] = field(default_factory=list)
    cut: float | None = None
    _marks: dict[int, _Mark] = field(default_factory=dict)
    _inserted: dict[int, list[tuple[bytes, _Mark]]] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, *, seed: int, count: int) -> Sheet:
        """Parse a file written by `Market.write`."""
        bom = data.startswith(BOM)
        newline = b"\r\n" if data[: data.find(b"\n") + 1].endswith(b"\r\n") else b"\n"
        lines = data[len(BOM) * bom :].split(newline)
        return cls(
            header=lines[0].decode()[1:-1].split('","'),
            records=lines[1:-1],
            bom=bom,
            newline=newline,
            draw=random.Random(seed).random,
            count=count,
        )

    def column(self, *names: str) -> int:
        """Return the position of the first of these columns that the file has. Raises ValueError if it has none."""
        for name in names:
            if name in self.header:
                return self.header.index(name)
        message = f"{self.quirk}: the file has no column {' or '.join(names)}: omit the quirk that removes it"
        raise ValueError(message)

    def fields(self, position: int) -> list[bytes]:
        """Return the fields of a record."""
        return self.records[position][1:-1].split(SEPARATOR)

    def lot(self, fields: list[bytes]) -> str:
        """Return the text of the lot number in the fields of a record; empty without that column."""
        return fields[self.header.index("Lot number")].decode() if "Lot number" in self.header else ""

    def is_free(self, position: int) -> bool:
        """Return whether no quirk has changed that record yet."""
        return position not in self._marks

    def places(self) -> list[int]:
        """Return the positions of up to `count` records that no quirk has changed yet, in file order."""
        free = len(self.records) - len(self._marks)
        chosen: set[int] = set()
        while len(chosen) < min(self.count, free):
            position = int(self.draw() * len(self.records))
            if self.is_free(position):
                chosen.add(position)
        return sorted(chosen)

    def replace(
        self, position: int, record: bytes, verdict: Verdict, *, column: str = "", value: str = "", lot: str = ""
    ) -> None:
        """Replace a record."""
        lot = lot or self.lot(self.fields(position))
        self.records[position] = record
        self._marks[position] = _Mark(quirk=self.quirk, lot=lot, verdict=verdict, column=column, value=value)

    def insert(self, after: int, record: bytes, verdict: Verdict, *, lot: str = "") -> None:
        """Insert a record after another one."""
        mark = _Mark(quirk=self.quirk, lot=lot, verdict=verdict)
        self._inserted.setdefault(after, []).append((record, mark))

    def set_field(self, position: int, column: int, text: bytes, verdict: Verdict, *, value: str) -> None:
        """Set a field to a text that is written between the quotes without escaping."""
        fields = self.fields(position)
        lot = self.lot(fields)
        fields[column] = text
        name = self.header[column]
        self.replace(position, join(fields), verdict, column=name, value=value, lot=lot)

    def render(self) -> tuple[bytes, list[Touch], int]:
        """Return the bytes of the file, the touches, and the number of records. `Id` is renumbered from 1."""
        numbered = self.header[0] == "Id"
        parts = [BOM if self.bom else b"", join([name.encode() for name in self.header]), self.newline]
        touches: list[Touch] = []
        line, number = 2, 0
        for position, original in enumerate(self.records):
            behind = self._inserted.get(position, ())
            for record, mark in ((original, self._marks.get(position)), *behind):
                text = record
                if record:
                    number += 1
                    text = b'"%d"%b' % (number, record[record.find(b",") :]) if numbered and b"," in record else record
                parts += (text, self.newline)
                if mark:
                    touches.append(
                        Touch(
                            quirk=mark.quirk,
                            line=line,
                            lot=mark.lot,
                            verdict=mark.verdict,
                            column=mark.column,
                            value=mark.value,
                        )
                    )
                line += 1 + text.count(b"\n")
        return b"".join(parts), touches, number


def join(fields: Iterable[bytes]) -> bytes:
    """Return the record of these fields, all of them quoted."""
    return b'"' + SEPARATOR.join(fields) + b'"'


def inner_quotes(sheet: Sheet) -> None:
    """Quotes inside a field that are not doubled: `"125" SLEEPER CAB"`."""
    texts = ('125" SLEEPER CAB', 'SLEEPER 72"', '"OLD" TITLE', "BED 8' 2\" LONG", 'SAID "RUNS, DRIVES" TODAY')
    for turn, place in enumerate(sheet.places()):
        text = texts[turn % len(texts)]
        sheet.set_field(place, sheet.column("Trim", "Model Detail"), text.encode(), Verdict.RECOVER, value=text)


def doubled_quotes(sheet: Sheet) -> None:
    """Quotes inside a field, properly doubled."""
    for place in sheet.places():
        column = sheet.column("Trim", "Model Detail")
        sheet.set_field(place, column, b'125"" SLEEPER CAB', Verdict.ACCEPT, value='125" SLEEPER CAB')


def embedded_newline(sheet: Sheet) -> None:
    """A line break inside a quoted field: the record continues on the next line."""
    for place in sheet.places():
        text = "Front damage\nTrue mileage unknown."
        sheet.set_field(place, sheet.column("Special Note"), text.encode(), Verdict.RECOVER, value=text)


def too_many_fields(sheet: Sheet) -> None:
    """One to three fields more than the header has columns."""
    for turn, place in enumerate(sheet.places()):
        sheet.replace(place, join([*sheet.fields(place), *[b"EXTRA"] * (turn % 3 + 1)]), Verdict.REJECT)


def too_few_fields(sheet: Sheet) -> None:
    """A record with too few fields: without the last one, half of them, or only the first two."""
    for turn, place in enumerate(sheet.places()):
        fields = sheet.fields(place)
        sheet.replace(place, join(fields[: (-1, len(fields) // 2, 2)[turn % 3]]), Verdict.REJECT, lot=sheet.lot(fields))


def blank_lines(sheet: Sheet) -> None:
    """Empty lines."""
    for place in sheet.places():
        sheet.insert(place, b"", Verdict.IGNORE)


def placeholder_rows(sheet: Sheet) -> None:
    """Rows with all fields whose lot number is empty or not a number."""
    texts = ("TBD", "FUTURE", "", "LOT NUMBER", "4567890X")
    for turn, place in enumerate(sheet.places()):
        fields = sheet.fields(place)
        lot = texts[turn % len(texts)]
        fields[sheet.column("Lot number")] = lot.encode()
        sheet.insert(place, join(fields), Verdict.REJECT, lot=lot)


def nul_bytes(sheet: Sheet) -> None:
    """A NUL byte inside a field, which PostgreSQL cannot store in a text column."""
    for place in sheet.places():
        text = b"Side\x00damage"
        sheet.set_field(place, sheet.column("Special Note"), text, Verdict.EITHER, value="Sidedamage")


def invalid_utf8(sheet: Sheet) -> None:
    """Latin-1 and invalid bytes in a UTF-8 file."""
    for turn, place in enumerate(sheet.places()):
        text = (b"D\xe9g\xe2ts", b"damage \xff\xfe", b"cut short \xe2\x82")[turn % 3]
        sheet.set_field(place, sheet.column("Special Note"), text, Verdict.EITHER, value="")


def _duplicate(sheet: Sheet, hours: int) -> None:
    for place in sheet.places():
        fields = sheet.fields(place)
        lot = sheet.lot(fields)
        updated = sheet.column("Last Updated Time")
        moment = datetime.strptime(fields[updated].decode(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        twin = fields.copy()
        twin[updated] = (moment + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        bid = sheet.column("High Bid =non-vix,Sealed=Vix")
        twin[bid] = b"77725.0"
        first, second = (Verdict.ACCEPT, Verdict.SUPERSEDED) if hours < 0 else (Verdict.SUPERSEDED, Verdict.ACCEPT)
        sheet.replace(place, sheet.records[place], first)
        behind = place + int(sheet.draw() * min(50, len(sheet.records) - place))
        sheet.insert(behind, join(twin), second, lot=lot)


def duplicate_older(sheet: Sheet) -> None:
    """The same lot again further down with an older Last Updated Time: the first row is the valid one."""
    _duplicate(sheet, -3)


def duplicate_newer(sheet: Sheet) -> None:
    """The same lot again further down with a newer Last Updated Time: the second row is the valid one."""
    _duplicate(sheet, 3)


def duplicate_equal(sheet: Sheet) -> None:
    """The same lot again, another bid, the same Last Updated Time: the last row is the valid one."""
    _duplicate(sheet, 0)


def duplicate_vin(sheet: Sheet) -> None:
    """One VIN under two lot numbers in one file: both rows are valid."""
    column = sheet.column("VIN")
    places = sheet.places()
    for place in places:
        free = (n for n in range(len(sheet.records)) if n not in places and sheet.is_free(n))
        donor = next((n for n in free if sheet.fields(n)[column]), None)
        if donor is None:
            return
        vin = sheet.fields(donor)[column]
        sheet.replace(donor, sheet.records[donor], Verdict.ACCEPT, column="VIN", value=vin.decode())
        sheet.set_field(place, column, vin, Verdict.ACCEPT, value=vin.decode())


IMPOSSIBLE: Final = (
    ("Year", "2999"),
    ("Year", "0"),
    ("High Bid =non-vix,Sealed=Vix", "NaN"),
    ("Repair cost", "0x1F40"),
    ("High Bid =non-vix,Sealed=Vix", "-500.0"),
    ("Time Zone", "QQT"),
    ("Sale time (HHMM)", "2575"),
    ("Odometer", "1e999"),
    ("Sale Date M/D/CY", "20261345"),
    ("Repair cost", "Infinity"),
    ("Odometer", "now"),
)


def impossible_values(sheet: Sheet) -> None:
    """Impossible values: year 2999, amounts that are NaN, hexadecimal or negative, time 2575, an unknown time zone.

    With a count of eleven, each entry of `IMPOSSIBLE` occurs once.
    """
    for turn, place in enumerate(sheet.places()):
        column, value = IMPOSSIBLE[turn % len(IMPOSSIBLE)]
        sheet.set_field(place, sheet.column(column), value.encode(), Verdict.FLAG, value=value)


def bom(sheet: Sheet) -> None:
    """A byte order mark before the header."""
    sheet.bom = True


def crlf(sheet: Sheet) -> None:
    """Lines that end with CR LF."""
    sheet.newline = b"\r\n"


def unknown_column(sheet: Sheet) -> None:
    """An unknown column at the end of the header and of every row."""
    sheet.header.append("Title Group")
    sheet.unknown_columns.append("Title Group")
    sheet.records = [record + b',"GROUP %d"' % (n % 4) for n, record in enumerate(sheet.records)]


def _drop(sheet: Sheet, name: str) -> None:
    column = sheet.column(name)
    sheet.missing_columns.append(name)
    kept = []
    for position in range(len(sheet.records)):
        fields = sheet.fields(position)
        del fields[column]
        kept.append(join(fields))
    sheet.records = kept
    del sheet.header[column]


def missing_optional_column(sheet: Sheet) -> None:
    """A file without the column AutoGrade."""
    _drop(sheet, "AutoGrade")


def missing_mandatory_column(sheet: Sheet) -> None:
    """A file without the column Lot number, which identifies the rows."""
    _drop(sheet, "Lot number")
    sheet.refused = "mandatory column Lot number is missing"


def copart_select(sheet: Sheet) -> None:
    """Column 51, Wholesale, under its name of 2025, Copart Select."""
    sheet.header[sheet.column("Wholesale")] = "Copart Select"


def lot_acv(sheet: Sheet) -> None:
    """`Lot ACV`, the former name of `Est. Retail Value`."""
    sheet.header[sheet.column("Est. Retail Value")] = "Lot ACV"


def no_id(sheet: Sheet) -> None:
    """A file without the column `Id`, as in older files."""
    _drop(sheet, "Id")


def header_45(sheet: Sheet) -> None:
    """The oldest header: 45 columns, no `Id`, `Lot ACV`, and `Last Updated Time` last."""
    if len(sheet.header) != len(HEADER_2026):
        message = "header_45 cannot be combined with another quirk that adds or drops columns"
        raise ValueError(message)
    names, positions = HEADERS["45"]
    sheet.missing_columns += [name for n, name in enumerate(HEADER_2026) if n not in positions]
    rows = (sheet.fields(n) for n in range(len(sheet.records)))
    sheet.records = [join([fields[position] for position in positions]) for fields in rows]
    sheet.header = list(names)


def shrunk(sheet: Sheet) -> None:
    """Only the first 70 % of the rows, in a file that is otherwise valid."""
    sheet.records = sheet.records[: len(sheet.records) * 7 // 10]
    sheet.refused = "the rows have shrunk by more than a fifth"


def truncated(sheet: Sheet) -> None:
    """A file truncated at 60 % of its bytes, in the middle of a row."""
    sheet.cut = 0.6
    sheet.refused = "the file is cut short"


#: All quirks in the order in which they are applied: first to the whole file, then to single rows.
QUIRKS: Final[dict[str, Callable[[Sheet], None]]] = {
    quirk.__name__: quirk
    for quirk in (
        shrunk,
        no_id,
        header_45,
        copart_select,
        lot_acv,
        unknown_column,
        missing_optional_column,
        missing_mandatory_column,
        bom,
        crlf,
        inner_quotes,
        doubled_quotes,
        embedded_newline,
        too_many_fields,
        too_few_fields,
        blank_lines,
        placeholder_rows,
        nul_bytes,
        invalid_utf8,
        duplicate_older,
        duplicate_newer,
        duplicate_equal,
        duplicate_vin,
        impossible_values,
        truncated,
    )
}


def inject(data: bytes, *names: str, seed: int = 1, count: int = 3) -> tuple[bytes, Report]:
    """Apply quirks to a file written by `Market.write`; return the damaged file and a report of every change.

    Each row quirk changes `count` records, no record is changed twice, and the same arguments give the same bytes.
    Raises ValueError for an unknown quirk, or two that cannot be combined.
    """
    unknown = [name for name in names if name not in QUIRKS]
    if unknown:
        message = f"unknown quirk {', '.join(unknown)}: choose from {', '.join(QUIRKS)}"
        raise ValueError(message)
    sheet = Sheet.parse(data, seed=seed, count=count)
    for name, quirk in QUIRKS.items():
        if name in names:
            sheet.quirk = name
            quirk(sheet)
    result, touches, records = sheet.render()
    if sheet.cut is not None:
        result = cut_in_row(result, sheet.cut)
        line = result.count(b"\n") + 1
        touches = [touch for touch in touches if touch.line < line]
        blank = Counter(touch.verdict for touch in touches)[Verdict.IGNORE]
        inside = sum(touch.value.count("\n") for touch in touches)
        # The header and the incomplete row at the end are lines but do not count as records.
        records = line - 2 - blank - inside
    report = Report(
        quirks=tuple(name for name in QUIRKS if name in names),
        touches=tuple(touches),
        records=records,
        refused=sheet.refused,
        unknown_columns=tuple(sheet.unknown_columns),
        missing_columns=tuple(sheet.missing_columns),
    )
    return result, report


def cut_in_row(data: bytes, share: float) -> bytes:
    """Return the file truncated at about that share of its bytes, in the middle of a row."""
    start = data.rfind(b"\n", 0, int(len(data) * share)) + 1
    end = data.find(b"\n", start)
    return data[: start + max((end - start) // 2, 1)]
