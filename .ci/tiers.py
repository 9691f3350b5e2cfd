"""Names the tests that a change calls for beside `make test`, one a line: nothing, some files, or `tests` for all.

python .ci/tiers.py COMMIT      what changed since that commit
python .ci/tiers.py             it is not known which commit passed last: everything
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = "tests"


def table() -> dict[str, dict[str, list[str]]]:
    """Return the tiers by name: the paths that call for them, and their tests."""
    return tomllib.loads((ROOT / ".ci/tiers.toml").read_text(encoding="utf-8"))


def changed_since(commit: str) -> list[str] | None:
    """Return the paths that differ from a commit, or None where this repository does not have it."""
    command = ["git", "diff", "--name-only", "--no-renames", commit, "HEAD", "--"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


def called_for(changed: list[str]) -> list[str]:
    """Return the tests that these changed paths call for, in the order of the table."""
    tests = [
        test
        for tier in table().values()
        if any(fnmatchcase(path, pattern) for path in changed for pattern in tier["paths"])
        for test in tier["tests"]
    ]
    own = [path for path in changed if fnmatchcase(path, "tests/*/test_*.py") and (ROOT / path).exists()]
    return [EVERYTHING] if EVERYTHING in tests else list(dict.fromkeys([*tests, *own]))


def main(arguments: list[str]) -> None:
    """Print what the change since the commit that is named calls for."""
    changed = changed_since(arguments[0]) if arguments else None
    print(*([EVERYTHING] if changed is None else called_for(changed)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
