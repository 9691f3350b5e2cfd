"""What goes wrong in real feed files, put into a good one at seeded places, with the exact account of it.

`inject` takes the bytes of a file as `Market.write` made it and returns the damaged file and a `Report`: where each
quirk sits and how many rows a right reader accepts, rejects and recovers. A test compares its reader with that.
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
    """A file taken apart into records, on which quirks are laid one after the other, each on records of its own."""

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
        """Take apart a file that `Market.write` made."""
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
        """The position of the first of these columns that the file has."""
        for name in names:
            if name in self.header:
                return self.header.index(name)
        message = f"{self.quirk}: the file has no column {' or '.join(names)}; leave out the quirk that removed it"
        raise ValueError(message)

    def fields(self, position: int) -> list[bytes]:
        """The fields of a record."""
        return self.records[position][1:-1].split(SEPARATOR)

    def lot(self, fields: list[bytes]) -> str:
        """The text of its lot number."""
        return fields[self.header.index("Lot number")].decode() if "Lot number" in self.header else ""

    def is_free(self, position: int) -> bool:
        """Whether no quirk has touched that record yet."""
        return position not in self._marks

    def places(self) -> list[int]:
        """Up to `count` records no quirk has touched yet, in file order."""
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
        """Put another record in the place of this one."""
        lot = lot or self.lot(self.fields(position))
        self.records[position] = record
        self._marks[position] = _Mark(quirk=self.quirk, lot=lot, verdict=verdict, column=column, value=value)

    def insert(self, after: int, record: bytes, verdict: Verdict, *, lot: str = "") -> None:
        """Add a record behind that one."""
        mark = _Mark(quirk=self.quirk, lot=lot, verdict=verdict)
        self._inserted.setdefault(after, []).append((record, mark))

    def set_field(self, position: int, column: int, text: bytes, verdict: Verdict, *, value: str) -> None:
        """Write that text, as it is, between the quotes of one field."""
        fields = self.fields(position)
        lot = self.lot(fields)
        fields[column] = text
        name = self.header[column]
        self.replace(position, join(fields), verdict, column=name, value=value, lot=lot)

    def render(self) -> tuple[bytes, list[Touch], int]:
        """The file, what was touched where, and how many records it holds. `Id` is numbered afresh."""
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
    """The record of these fields, every one quoted."""
    return b'"' + SEPARATOR.join(fields) + b'"'


def inner_quotes(sheet: Sheet) -> None:
    """Quotes inside a field that nobody doubled: `"125" SLEEPER CAB"`."""
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
    """A line break inside a quoted field: the record goes on in the next line."""
    for place in sheet.places():
        text = "Front damage\nTrue mileage unknown."
        sheet.set_field(place, sheet.column("Special Note"), text.encode(), Verdict.RECOVER, value=text)


def too_many_fields(sheet: Sheet) -> None:
    """One to three fields more than the header has columns."""
    for turn, place in enumerate(sheet.places()):
        sheet.replace(place, join([*sheet.fields(place), *[b"EXTRA"] * (turn % 3 + 1)]), Verdict.REJECT)


def too_few_fields(sheet: Sheet) -> None:
    """A record that ends early: one field short, half of it, or its first two fields."""
    for turn, place in enumerate(sheet.places()):
        fields = sheet.fields(place)
        sheet.replace(place, join(fields[: (-1, len(fields) // 2, 2)[turn % 3]]), Verdict.REJECT, lot=sheet.lot(fields))


def blank_lines(sheet: Sheet) -> None:
    """Lines with nothing on them."""
    for place in sheet.places():
        sheet.insert(place, b"", Verdict.IGNORE)


def placeholder_rows(sheet: Sheet) -> None:
    """Rows of full width whose lot number is a text, blank, or too long to be one."""
    texts = ("TBD", "FUTURE", "", "LOT NUMBER", "4567890X")
    for turn, place in enumerate(sheet.places()):
        fields = sheet.fields(place)
        lot = texts[turn % len(texts)]
        fields[sheet.column("Lot number")] = lot.encode()
        sheet.insert(place, join(fields), Verdict.REJECT, lot=lot)


def nul_bytes(sheet: Sheet) -> None:
    """A NUL inside a field, which PostgreSQL's text cannot hold."""
    for place in sheet.places():
        text = b"Side\x00damage"
        sheet.set_field(place, sheet.column("Special Note"), text, Verdict.EITHER, value="Sidedamage")


def invalid_utf8(sheet: Sheet) -> None:
    """Latin-1 and stray bytes in a UTF-8 file."""
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
    """Values that cannot be: year 2999, money NaN, hexadecimal or negative, time 2575, a zone nobody knows.

    With a count of eleven, each of `IMPOSSIBLE` occurs once.
    """
    for turn, place in enumerate(sheet.places()):
        column, value = IMPOSSIBLE[turn % len(IMPOSSIBLE)]
        sheet.set_field(place, sheet.column(column), value.encode(), Verdict.FLAG, value=value)


def bom(sheet: Sheet) -> None:
    """A byte order mark before the header."""
    sheet.bom = True


def crlf(sheet: Sheet) -> None:
    """Lines that end in CR LF."""
    sheet.newline = b"\r\n"


def unknown_column(sheet: Sheet) -> None:
    """A column nobody has seen yet, at the end of the header and of every row."""
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
    """The file comes without AutoGrade."""
    _drop(sheet, "AutoGrade")


def missing_mandatory_column(sheet: Sheet) -> None:
    """The file comes without Lot number: nothing in it can be told apart."""
    _drop(sheet, "Lot number")
    sheet.refused = "mandatory column Lot number is missing"


def copart_select(sheet: Sheet) -> None:
    """Column 51 under its name of 2025."""
    sheet.header[sheet.column("Wholesale")] = "Copart Select"


def lot_acv(sheet: Sheet) -> None:
    """`Lot ACV` where `Est. Retail Value` stands today."""
    sheet.header[sheet.column("Est. Retail Value")] = "Lot ACV"


def no_id(sheet: Sheet) -> None:
    """Without `Id`, as older files are."""
    _drop(sheet, "Id")


def header_45(sheet: Sheet) -> None:
    """The oldest files: 45 columns, no `Id`, `Lot ACV`, and `Last Updated Time` as the last."""
    if len(sheet.header) != len(HEADER_2026):
        message = "header_45 cannot be combined with another quirk that adds or drops columns"
        raise ValueError(message)
    names, positions = HEADERS["45"]
    sheet.missing_columns += [name for n, name in enumerate(HEADER_2026) if n not in positions]
    rows = (sheet.fields(n) for n in range(len(sheet.records)))
    sheet.records = [join([fields[position] for position in positions]) for fields in rows]
    sheet.header = list(names)


def shrunk(sheet: Sheet) -> None:
    """Only the first 70 % of the rows, the file otherwise in order."""
    sheet.records = sheet.records[: len(sheet.records) * 7 // 10]
    sheet.refused = "the rows have shrunk by more than a fifth"


def truncated(sheet: Sheet) -> None:
    """Cut at 60 % of the bytes, in the middle of a row."""
    sheet.cut = 0.6
    sheet.refused = "the file is cut short"


#: In the order in which they are laid on a file: its shape first, then single rows.
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
    """Lay these quirks on a file that `Market.write` made and say exactly what was done.

    Each row quirk touches `count` records, no record is touched twice, and the same arguments give the same bytes.
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
        # The header and the half row at the end are lines, but no records to be had.
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
    """The beginning of a file up to about that share of its bytes, ended in the middle of a row."""
    start = data.rfind(b"\n", 0, int(len(data) * share)) + 1
    end = data.find(b"\n", start)
    return data[: start + max((end - start) // 2, 1)]
