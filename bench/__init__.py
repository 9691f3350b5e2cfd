"""What the feed costs, measured against `COPY` of the same file: `make bench`, `python -m bench`."""
