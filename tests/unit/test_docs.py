"""The documents keep their word: what the code can say stands in the runbook, what they name exists."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from etl import commands
from ops.checks.configuration import OLDEST_SERVER
from tests.support import forks
from vinops.config import variables

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("deploy/**/*.md")]
)
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ROWS = [line for line in RUNBOOK.splitlines() if line.startswith("|")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = (
    "vinops",
    "etl",
    "vinops_scrapy",
    "deals",
    "ops",
    "web",
    "demo",
    "standin",
    "sql",
    "tests",
    "bench",
    "deploy",
    "tools",
)
CALLS = {"FeedRefused": 0, "FetchFailed": 0, "_end": 1}
"""What is called with a reason, and the place of the reason among its arguments."""


def nodes(*packages: str) -> Iterator[ast.AST]:
    """Yield every node of the packages' modules."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def text_of(node: ast.AST | None) -> str | None:
    """Return the text that a node is, if it is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def reasons() -> set[str]:
    """Return every reason of a refusal, a failure or a rejected row in etl/, wherever it is written down."""
    found: set[str | None] = set()
    for node in nodes("etl"):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = CALLS.get(name)
            if place is not None and len(node.args) > place:
                found.add(text_of(node.args[place]))
            found |= {text_of(keyword.value) for keyword in node.keywords if keyword.arg == "reason"}
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == "reason":
                    found.add(text_of(node.value))
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=False)
                    found |= {text_of(value) for name, value in pairs if getattr(name, "id", "") == "reason"}
    return {reason for reason in found if reason}


def warnings() -> set[str]:
    """Return what is constant in every warning that a crawl, the feed, the deals or an alert logs."""
    found = set()
    for node in nodes("etl", "vinops_scrapy", "vinops", "deals"):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "warning" and node.args:
            text = text_of(node.args[0])
            if text:
                found.add(max(re.split(r"%[a-z]", text), key=len).strip(" :(,"))
    return found


def statistics() -> set[str]:
    """Return the name of every Scrapy statistic that a crawl counts, or its beginning where the end is a value."""
    found = set()
    for node in nodes("vinops_scrapy"):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"inc_value", "set_value"}:
            name = node.args[0]
            first = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if text := text_of(first):
                found.add(text)
    return found


def test_every_statistic_is_explained_in_the_runbook() -> None:
    assert {name for name in statistics() if not any(f"`{name}" in row for row in ROWS)} == set()


def test_the_statistics_are_found() -> None:
    assert {"photo/stored", "lot/", "refusal/", "session/started"} <= statistics()


def test_the_reasons_are_found_in_every_way_they_are_written() -> None:
    # As an argument, as a keyword, in a tuple, at a row: if this is empty-handed, the next test proves nothing.
    assert {"html", "stale", "denied", "login", "disk", "duplicate_lot", "placeholder", "nul"} <= reasons()


def test_every_reason_is_explained_in_the_runbook() -> None:
    for reason in {*reasons(), "busy", "unchanged"}:
        rows = [row for row in ROWS if row.startswith(f"| `{reason}` |")]
        assert rows, f"docs/runbook.md has no line for {reason}: say what it means and what to do"
        assert all(len(row.split("|")[2].split()) > 1 for row in rows)


def test_every_warning_is_explained_in_the_runbook() -> None:
    assert {warning for warning in warnings() if not any(warning in row for row in ROWS)} == set()


def test_the_commands_of_the_feed_are_all_in_the_readme() -> None:
    text = commands.parser().format_help()
    names = re.search(r"^ +(\w+(?: \| \w+)+)$", text, re.MULTILINE)
    assert names
    for name in names[1].split(" | "):
        assert f"`python -m etl {name}" in README


@pytest.mark.parametrize(
    ("program", "name"),
    sorted(set(re.findall(r"(?:`|\$ |bin/)(python -m etl|vinops) (\w+)", README + RUNBOOK))),
)
def test_every_command_that_the_documents_name_exists(program: str, name: str) -> None:
    done = forks.vinops(os.environ, name, "--help", program=forks.ETL if "etl" in program else program)
    assert done.returncode == 0, done.stderr


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)(?:`| +#|$)", text, re.MULTILINE)) <= targets, path.name


def test_every_variable_that_the_documents_name_is_a_setting() -> None:
    of_the_tests = {"VINOPS_PROPERTY_CASES", "VINOPS_CRASH_KILLS", "VINOPS_FAULT_MESSAGES", "VINOPS_FAULT_SEEDS"}
    of_scrapy = set(re.findall(r"^(VINOPS_\w+) =", (ROOT / "vinops_scrapy/settings.py").read_text(), re.MULTILINE))
    of_the_examples = {"VINOPS_ALERTS_PAUSED"}
    for path in DOCUMENTS:
        named = set(re.findall(r"\b(?:VINOPS|COPART)_[A-Z_]*[A-Z]\b(?![_*])", path.read_text(encoding="utf-8")))
        assert named - of_the_tests - of_the_examples - of_scrapy <= set(variables()), path.name


def test_every_link_leads_to_a_file() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@cache
def paths() -> frozenset[str]:
    """Return the files and folders of the repository's packages, each with all the ends of its path."""
    files = [path.relative_to(ROOT) for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file()]
    folders = {parent for path in files for parent in path.parents}
    names = [*(path.as_posix() for path in files), *(f"{folder.as_posix()}/" for folder in folders)]
    return frozenset(name.split("/", cut)[cut] for name in names for cut in range(name.count("/") + 1))


def missing_paths(text: str) -> set[str]:
    """Return the paths of source files and packages in a text that no path of the repository ends with."""
    named = set(re.findall(r"(?<![\w./])(?:[\w.@-]+/)*[\w@-]+\.(?:py|sql|toml|sh|service)\b", text))
    named |= set(re.findall(rf"`((?:{'|'.join(SOURCES)})/(?:[\w.-]+/)*)`", text))
    return {path for path in named - paths() if not (ROOT / path).exists() and not re.search(r"@\d", path)}


@pytest.mark.parametrize("name", ["docs/architecture.md", "README.md"])
def test_every_source_file_that_a_document_names_exists(name: str) -> None:
    assert missing_paths((ROOT / name).read_text(encoding="utf-8")) == set()


def test_every_module_that_a_docstring_or_a_comment_names_exists() -> None:
    texts = [path for name in SOURCES[:7] for path in (ROOT / name).rglob("*.py")]
    texts += [*(ROOT / "sql" / "queries").glob("*.sql"), *(ROOT / "deploy").rglob("*.service")]
    gone = {path.name: {name for name in missing_paths(path.read_text()) if name.endswith(".py")} for path in texts}
    assert {name: names for name, names in gone.items() if names} == {}


def test_a_source_file_that_has_moved_is_noticed() -> None:
    text = "`ops/workers/registry.py`, config.py, `ops/nowhere.py`, nothing.py and `deals/gone/`"
    assert missing_paths(text) == {"ops/nowhere.py", "nothing.py", "deals/gone/"}


def test_no_document_shows_a_path_of_somebodys_machine() -> None:
    for path in DOCUMENTS:
        found = re.findall(r"(?:/home/|/Users/|/work/|/tmp/)\S*", path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"


def test_a_document_is_at_most_a_screen_wide() -> None:
    for path in DOCUMENTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.startswith("|"):  # a row of a table cannot be folded
                assert len(line) <= 120, f"{path.name} line {number}"


def test_the_changelog_names_this_version() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version
    assert re.search(rf"^## {re.escape(version[1])}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("document", ["README.md", "docs/scaling.md", "docs/runbook.md"])
def test_the_oldest_server_of_doctor_stands_in_the_documents(document: str) -> None:
    text = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    found = re.findall(r"PostgreSQL (?:server(?: of version|,)? )?(\d+) or newer", text)
    assert found == [str(OLDEST_SERVER)]
