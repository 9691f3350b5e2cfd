"""Entry point of `python -m standin.telegram`."""

import sys

from standin.telegram.command import main

if __name__ == "__main__":
    sys.exit(main())
