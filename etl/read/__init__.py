"""Reading a feed file: its bytes, records and columns."""
