"""`python -m vinops.db.embedded`: removes what the data folders of this machine no longer need, for `make clean`: the
programs that were copied for another account, and the data of data folders that were deleted. Any Python will do."""

from __future__ import annotations

import sys

from vinops.db.embedded import ServerError, places


def main() -> int:
    """Remove it, name what went, and return the exit code."""
    try:
        for path in places.sweep(programs_seconds=0):
            sys.stderr.write(f"removed {path}\n")
    except (OSError, ServerError) as error:
        sys.stderr.write(f"{places.PLACE} was not tidied: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
