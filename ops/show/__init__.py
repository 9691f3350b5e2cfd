"""Output on a terminal: styled lines and tables."""
