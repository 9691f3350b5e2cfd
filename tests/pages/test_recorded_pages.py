"""Every recorded page gives what was expected of it. How to add one: tests/pages/recorded.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.pages import rewrite
from tests.pages.recorded import FOLDER, case_folders, faults, outcome

if TYPE_CHECKING:
    from pathlib import Path

CASES = case_folders()


def name_of(folder: Path) -> str:
    return str(folder.relative_to(FOLDER))


@pytest.mark.parametrize("folder", CASES, ids=name_of)
def test_a_recorded_page_gives_what_is_expected(folder: Path) -> None:
    assert faults(folder) == []
    name, found = outcome(folder)
    expected = folder / name
    assert expected.exists(), f"{name_of(folder)} ends in {name}: {found}"
    assert found == json.loads(expected.read_text(encoding="utf-8"))


def test_there_are_pages_of_every_kind() -> None:
    functions = [json.loads((folder / "case.json").read_text(encoding="utf-8"))["function"] for folder in CASES]
    assert functions.count("photo_list") >= 12
    assert functions.count("lot_page") >= 6
    assert functions.count("refusal") >= 8


def test_nothing_lies_beside_the_cases() -> None:
    beside = [path for site in {folder.parent for folder in CASES} for path in site.iterdir() if path not in CASES]
    assert beside == []


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A whole case, to be spoilt."""
    folder = tmp_path / "copart" / "made_up"
    folder.mkdir(parents=True)
    case = {"says": "nothing", "function": "photo_list", "url": "https://inventoryv2.copart.io/v1/lotImages/1"}
    (folder / "case.json").write_text(json.dumps(case))
    (folder / "response.json").write_text('{"imgCount": 0, "lotImages": []}')
    (folder / "expected.json").write_text('{"announced": 0, "photos": [], "left_out": {}}')
    return folder


def test_a_whole_case_has_no_fault(case: Path) -> None:
    assert faults(case) == []
    assert outcome(case) == ("expected.json", {"announced": 0, "photos": [], "left_out": {}})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("case.json", "case.json is missing"),
        ("response.json", "response.* is missing"),
        ("expected.json", "expected.json or error.json is missing"),
    ],
)
def test_a_missing_file_is_named(case: Path, name: str, fault: str) -> None:
    (case / name).unlink()
    assert faults(case) == [fault]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("response.html", "one of response.html, response.json is too much"),
        ("error.json", "one of error.json, expected.json is too much"),
        ("notes.md", "notes.md does not belong there"),
    ],
)
def test_a_file_too_much_is_named(case: Path, name: str, fault: str) -> None:
    (case / name).write_text("{}")
    assert faults(case) == [fault]


def test_a_misspelt_key_is_named(case: Path) -> None:
    (case / "case.json").write_text('{"says": "", "function": "photo_list", "urls": ""}')
    assert faults(case) == ["case.json: url is missing", "case.json: urls is not known"]


def test_rewriting_replaces_the_outcome_and_says_so(case: Path) -> None:
    assert rewrite.rewrite(case)
    assert not rewrite.rewrite(case)
    (case / "response.json").write_text("{")
    assert rewrite.rewrite(case)
    assert {path.name for path in case.iterdir()} == {"case.json", "response.json", "error.json"}
    assert json.loads((case / "error.json").read_text())["reason"] == "bad_json"


def test_rewriting_knows_no_other_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert rewrite.main(["copart/no_such_case"]) == 2
    assert "no_such_case" in capsys.readouterr().err
