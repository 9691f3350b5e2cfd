"""Entry point of `python -m standin.market`."""

import sys

from standin.market.command import main

if __name__ == "__main__":
    sys.exit(main())
