"""Recorded pages: a folder tests/pages/<module>/<case>/ for each, with

case.json       what the case shows (`says`), the `function` of vinops_scrapy/pages/<module>.py, its `arguments`, and
                what came: `url`, `status`, `headers`; `asked` is the address that was asked, where it is another one
response.*      the body as it came: .json, .html, .xml, .xml.gz, .txt (what is neither) or .jpg
expected.json   what the function returns, or error.json: the reason and the message of the PageError that it raises

All of them are written by us: the shapes are real, the words and the names are not. After a change that is meant,

    .venv/bin/python -m tests.pages.rewrite [copart/blurred_beside_clear …]

writes expected.json and error.json anew, of all cases or of those that are named. Read the difference before you
keep it.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrapy import Request
from scrapy.http import Headers
from scrapy.responsetypes import responsetypes

from vinops_scrapy.pages.errors import PageError

if TYPE_CHECKING:
    from scrapy.http import Response

FOLDER: Final = Path(__file__).parent
RESPONSES: Final = {"response.json", "response.html", "response.txt", "response.jpg", "response.xml", "response.xml.gz"}
OUTCOMES: Final = {"expected.json", "error.json"}
KEYS: Final = {"says", "function", "url"}
OPTIONAL: Final = {"arguments", "status", "headers", "asked"}


def case_folders(root: Path = FOLDER) -> list[Path]:
    """Return the folder of every case."""
    return sorted(path for path in root.glob("*/*") if path.is_dir() and path.name != "__pycache__")


def faults(folder: Path) -> list[str]:
    """Return what is missing in a case's folder and what is too much."""
    names = {path.name for path in folder.iterdir()}
    found = []
    if "case.json" not in names:
        found.append("case.json is missing")
    else:
        keys = set(json.loads((folder / "case.json").read_text(encoding="utf-8")))
        found += [f"case.json: {key} is missing" for key in sorted(KEYS - keys)]
        found += [f"case.json: {key} is not known" for key in sorted(keys - KEYS - OPTIONAL)]
    for kind, choices in (("response.*", RESPONSES), ("expected.json or error.json", OUTCOMES)):
        there = sorted(names & choices)
        if not there:
            found.append(f"{kind} is missing")
        elif len(there) > 1:
            found.append(f"one of {', '.join(there)} is too much")
    return found + [f"{name} does not belong there" for name in sorted(names - RESPONSES - OUTCOMES - {"case.json"})]


def response_of(folder: Path) -> Response:
    """Return what came, as Scrapy would hand it over."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    body = next(path for path in folder.iterdir() if path.name in RESPONSES).read_bytes()
    headers = Headers(case.get("headers", {}))
    kind = responsetypes.from_args(headers=headers, url=case["url"], body=body)
    asked = Request(case["asked"]) if "asked" in case else None
    return kind(case["url"], status=case.get("status", 200), headers=headers, body=body, request=asked)


def outcome(folder: Path) -> tuple[str, Any]:
    """Return the name of the file in which the outcome of a case belongs, and what belongs there."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    function = getattr(importlib.import_module(f"vinops_scrapy.pages.{folder.parent.name}"), case["function"])
    try:
        item = function(response_of(folder), **case.get("arguments", {}))
    except PageError as error:
        return "error.json", {"reason": error.reason, "message": error.message}
    found = asdict(item) if is_dataclass(item) else item  # type: ignore[arg-type]
    return "expected.json", json.loads(json.dumps(found, default=_text))


def _text(value: object) -> str:
    """Return as text what JSON has no word for: a time, an amount of money."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} in an item")
