"""`python -m vinops.db.embedded`: removes the data of deleted data folders and unused copies of programs.

`make clean` runs it, with any Python.
"""

from __future__ import annotations

import sys

from vinops.db.embedded import ServerError, places


def main() -> int:
    """Remove them, print what was removed, and return the exit code."""
    try:
        for path in places.sweep(programs_seconds=0):
            sys.stderr.write(f"removed {path}\n")
    except (OSError, ServerError) as error:
        sys.stderr.write(f"{places.PLACE} was not cleaned up: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
