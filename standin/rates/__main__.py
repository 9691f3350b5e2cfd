"""Entry point of `python -m standin.rates`."""

import sys

from standin.rates.command import main

if __name__ == "__main__":
    sys.exit(main())
