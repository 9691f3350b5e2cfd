"""Every command that may take more than two seconds shows progress on a terminal."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ops import cli
from tests.unit.ops.test_cli import every_command

ROOT = Path(__file__).resolve().parents[3]
QUICK = {
    ("demo",): "prints its steps, and serve.py shows what it starts",
    ("workers", "run"): "a service: its log is on the terminal",
    ("web",): "a service: its log is on the terminal",
    ("watch", "bot"): "a service: its log is on the terminal",
    ("watch", "invite"): "one statement",
    ("watch", "list"): "one statement",
    ("watch", "parse"): "reads a text",
    **{("users", name): "one statement, and at most a hash" for name in ("add", "passwd", "role", "remove", "list")},
    ("landed", "tariffs"): "reads a few small files",
    ("logs",): "reads the ends of files; --prune is at work",
    ("credentials", "set"): "asks, and writes a file",
    ("credentials", "list"): "reads the names of files",
    ("credentials", "apply"): "writes small files",
}
"""The commands that are not all at work themselves, and why."""
SHOWING = {"at_work", "observe_once", "Progress"}


def functions(path: Path) -> dict[str, set[str]]:
    """Return the names that each function of a module, also a nested one, calls."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
            found[node.name] = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
    return found


def reached(name: str, calls: dict[str, set[str]]) -> set[str]:
    """Return what a function calls, directly or through others of its module."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for each in calls.get(waiting.pop(), set()) - seen:
            seen.add(each)
            waiting.append(each)
    return seen


def shows(words: tuple[str, ...]) -> bool:
    """Tell whether a command is at work somewhere."""
    module, _, attribute = cli.COMMANDS[words[0]].partition(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    others = re.findall(r"from (ops\.commands\.\w+) import app", path.read_text(encoding="utf-8"))
    calls = {}
    for each in (*(ROOT / f"{other.replace('.', '/')}.py" for other in others), path):
        calls |= functions(each)
    if is_group(words):
        return True
    names = (words[-1], f"{words[-1]}_command", f"{words[-1]}_nodes") if len(words) > 1 else (attribute, "command")
    (name,) = [each for each in names if each in calls][:1]
    return bool(reached(name, calls) & SHOWING)


def test_every_command_shows_what_it_does_or_is_quick() -> None:
    silent = {words for words in every_command() if not shows(words)}
    assert silent <= set(QUICK), "wrap what takes long in vinops.output.at_work, or say why it takes no two seconds"


def is_group(words: tuple[str, ...]) -> bool:
    return len(words) == 1 and any(each[0] == words[0] for each in every_command() if len(each) > 1)


def test_every_command_of_the_feed_shows_what_it_does() -> None:
    calls = functions(ROOT / "etl" / "commands.py")
    names = [name for name in calls if name.endswith("_command")]
    assert len(names) == 6
    assert [name for name in names if "at_work" not in calls[name]] == []
