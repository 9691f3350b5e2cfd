"""Entry point of `python -m standin.feed`."""

import sys

from standin.feed.command import main

if __name__ == "__main__":
    sys.exit(main())
