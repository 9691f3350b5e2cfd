"""The corpora: phrases and the filters that they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from vinops import vehicles
from vinops.filter_text import parse
from vinops.filters import FIELDS

HERE = Path(__file__).parent
TODAY = date(2026, 7, 1)


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A phrase with the fields of its filter, the words left over, and what is asked."""

    text: str
    fields: dict[str, Any]
    leftovers: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def phrases(name: str) -> list[Phrase]:
    """Return the phrases of a file."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [_phrase(line) for line in lines if " | " in line and not line.startswith("#")]


def _phrase(line: str) -> Phrase:
    text, _, about = line.rpartition(" | ")
    given = dict(part.split("=", 1) for part in about.split("; "))
    lists = {name: [each for each in given.pop(name, "").split(",") if each] for name in ("leftovers", "ambiguous")}
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if FIELDS[name].many:
            fields[name] = tuple(sorted(value.split(",")))
        else:
            fields[name] = Decimal(value) if name.startswith(("price", "min", "below")) else int(value)
    if "family" in fields and "make" not in fields:
        makes = set(vehicles.makes().values())
        owners = {max((m for m in makes if each.startswith(f"{m} ")), key=len) for each in fields["family"]}
        fields["make"] = tuple(sorted(owners))
    return Phrase(text=text, fields=fields, leftovers=lists["leftovers"], ambiguous=lists["ambiguous"])


def understood(text: str) -> Phrase:
    """Return what the parser understands of a text."""
    found = parse(text, today=TODAY)
    fields = {name: value for name, about in FIELDS.items() if (value := getattr(found.filter, name)) != about.default}
    return Phrase(
        text=text,
        fields=fields,
        leftovers=list(found.leftovers),
        ambiguous=[each.text for each in found.ambiguous],
    )
