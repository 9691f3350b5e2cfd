"""Entry point of `python -m standin.photos`."""

import sys

from standin.photos.command import main

if __name__ == "__main__":
    sys.exit(main())
