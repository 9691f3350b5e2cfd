"""Statements of a text: quotes and comments with semicolons do not split one."""

from __future__ import annotations

import pytest

from vinops.db import statements


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select 1; select 2 ;\n", ["select 1", "select 2"]),
        (
            "-- Total lots; all of them\nSELECT COUNT(*) FROM lots;",
            ["-- Total lots; all of them\nSELECT COUNT(*) FROM lots"],
        ),
        ("select ';' , E'\\';' , \";\"; select 'it''s;'", ["select ';' , E'\\';' , \";\"", "select 'it''s;'"]),
        ("select $$;$$, $a$ $$;$$ $a$; select 2", ["select $$;$$, $a$ $$;$$ $a$", "select 2"]),
        ("select a$b, c$d; select $1", ["select a$b, c$d", "select $1"]),
        ("/* a; /* nested; */ b; */ select 1; /* end", ["/* a; /* nested; */ b; */ select 1"]),
        ("select 1 -- to the end;\n; -- and no more", ["select 1 -- to the end;"]),
        ("'text'", ["'text'"]),
        ("", []),
        (";;\n-- nothing\n;", []),
        ("select 'no end; select 2", ["select 'no end", "select 2"]),
    ],
)
def test_statements_are_told_apart(text: str, found: list[str]) -> None:
    assert statements.split(text) == found
