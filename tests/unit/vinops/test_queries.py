"""Named queries: blocks of a file under sql/queries."""

from __future__ import annotations

import pytest

from vinops.db.database import SQL, parse_queries, queries


def test_blocks_are_found_by_name_with_their_comments() -> None:
    text = "-- A file.\n\n-- name: one\n-- Says one.\nselect 1;\n\n-- name: two\nselect '-- name: no';\nselect 2;\n"
    assert parse_queries(text, "t") == {
        "one": "-- Says one.\nselect 1;",
        "two": "select '-- name: no';\nselect 2;",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nselect 1;\n-- name: a\nselect 2;\n", "line 3: 'a' is not a new name"),
        ("-- name: two words\nselect 1;\n", "line 1: 'two words' is not a new name"),
        ("-- name:\nselect 1;\n", "line 1"),
        ("select 1;\n-- name: a\nselect 1;\n", "line 1: a statement without"),
        ("-- name: a\n-- only words\n-- name: b\nselect 1;\n", "'a' has no statement"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_queries(text, "t")


@pytest.mark.parametrize("path", sorted((SQL / "queries").glob("*.sql")), ids=lambda path: path.stem)
def test_the_files_of_this_repository_are_well_formed(path: object) -> None:
    from pathlib import Path

    assert isinstance(path, Path)
    found = queries(path.stem)
    assert found
    for name, text in found.items():
        assert text.startswith("--"), f"{path.name}: {name} lacks a purpose line"
