"""Write the outcomes of recorded pages anew: see tests/pages/recorded.py."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.pages.recorded import FOLDER, OUTCOMES, case_folders, outcome

if TYPE_CHECKING:
    from pathlib import Path


def rewrite(folder: Path) -> bool:
    """Write the outcome of a case; return whether it differs from what was there."""
    name, found = outcome(folder)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name in OUTCOMES}
    for other in before:
        (folder / other).unlink()
    (folder / name).write_text(text, encoding="utf-8")
    return before != {name: text}


def main(arguments: list[str]) -> int:
    """Write the outcomes of the cases that are named, of all if none is. Return 2 if there is no such case."""
    folders = [FOLDER / name for name in arguments] or case_folders()
    for folder in folders:
        if folder not in case_folders():
            print(f"{folder.name}: there is no such case; name it as copart/normal", file=sys.stderr)
            return 2
    for folder in folders:
        if rewrite(folder):
            print(folder.relative_to(FOLDER))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
